//! A provider on this machine: one thread, one connection at a time, one request a connection. It shares nothing with
//! the plugin, and may stand in for a provider in any test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long a connection may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// What came.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    /// A parameter of the query, as it came.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(other, _)| *other == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON, if the content type says that it is JSON, too.
    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        let is_json = self.header("content-type").split(';').next() == Some("application/json");
        is_json.then(|| serde_json::from_slice(&self.body).ok()).flatten()
    }
}

/// What goes back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl ToString) -> Answer {
        Answer { status, headers: Vec::new(), body: body.to_string() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Answer {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// How a provider answers.
pub(crate) type Provider = fn(&Received) -> Answer;

/// A provider at an address. It ends when it is dropped.
pub(crate) struct StandIn {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    pub(crate) fn start(provider: Provider) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                // A client that goes away is no concern of the next one.
                let _gone = stream.and_then(|stream| serve(&stream, provider));
            }
        });
        StandIn { address, stop, thread: Some(thread) }
    }

    /// `http://127.0.0.1:…`, for the provider's own scheme and host.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // It waits for a connection: here is one.
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the stand-in broke down");
        }
    }
}

fn serve(stream: &TcpStream, provider: Provider) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let Answer { status, headers, body } = provider(&receive(stream)?);
    let mut answer = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    for (name, value) in headers {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = stream;
    stream.write_all(format!("{answer}\r\n{body}").as_bytes())
}

fn receive(stream: &TcpStream) -> std::io::Result<Received> {
    let wrong = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let mut lines = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        lines.read_line(&mut line).map(|_| line.trim_end().to_owned())
    };
    let first = line()?;
    let [method, target, "HTTP/1.1"] = first.split(' ').collect::<Vec<_>>()[..] else { return Err(wrong()) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Vec::new();
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut received =
        Received { method: method.into(), path: path.into(), query: query.into(), headers, body: Vec::new() };
    let length: usize = received.header("content-length").parse().unwrap_or_default();
    if length > BODY_BYTES_MAX {
        return Err(wrong());
    }
    received.body.resize(length, 0);
    lines.read_exact(&mut received.body)?;
    Ok(received)
}
