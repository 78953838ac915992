//! A server that gives an audience in pages, as a test has it: whole, broken off, slow, and lying.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What is asked of it: the path with its query, and the head of the request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) head: String,
}

/// What it answers.
pub(crate) enum Reply {
    /// These bytes, and the end of the connection.
    Bytes(String),
    /// These bytes, and nothing more for as long as the other side waits.
    Stall(String),
}

/// A page that is whole.
pub(crate) fn page(rows: &str, next: Option<&str>) -> Reply {
    Reply::Bytes(whole(rows, next))
}

/// A page as it goes over the line.
pub(crate) fn whole(rows: &str, next: Option<&str>) -> String {
    let link = next.map_or_else(String::new, |next| format!("link: <{next}>; rel=\"next\"\r\n"));
    let length = rows.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n{link}content-length: {length}\r\nconnection: close\r\n\r\n{rows}"
    )
}

/// An answer without a body.
pub(crate) fn status(line: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
}

/// Rows about an order for these users.
pub(crate) fn rows(users: std::ops::Range<usize>) -> String {
    users
        .map(|user| {
            format!(
                "{{\"to\":\"o-user-{user:05}\",\"data\":{{\"title\":\"x\",\"order\":{{\"id\":\"row-{user:05}\"}}}}}}\n"
            )
        })
        .collect()
}

/// The server.
pub(crate) struct Pages {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Pages {
    /// One that answers by the path, and by how often that path was asked for before.
    pub(crate) fn start(answer: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Pages {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pages = Pages { address, asked: Arc::default() };
        let (asked, answer) = (Arc::clone(&pages.asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &asked, &*answer));
            }
        });
        pages
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often that path was asked for.
    pub(crate) fn times(&self, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path == path).count()
    }
}

fn serve(mut stream: TcpStream, asked: &Mutex<Vec<Asked>>, answer: &dyn Fn(&str, usize) -> Reply) {
    let (mut bytes, mut buffer) = (Vec::new(), [0_u8; 4096]);
    let head = loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            break head.to_owned();
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    };
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let before = {
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let before = asked.iter().filter(|one| one.path == path).count();
        asked.push(Asked { path: path.clone(), head });
        before
    };
    match answer(&path, before) {
        Reply::Bytes(bytes) => drop(stream.write_all(bytes.as_bytes())),
        Reply::Stall(bytes) => {
            drop(stream.write_all(bytes.as_bytes()));
            // Until the other side goes away.
            drop(stream.read_to_end(&mut Vec::new()));
        }
    }
}
