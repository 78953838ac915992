//! acme: a transport for Tidings. Sends each message as one line over TCP and waits for the line `ok`.

use std::io::{Error, ErrorKind};
use std::sync::Arc;

use tidings_sdk::{
    App, AsyncTransport, Asynchronous, Outcome, OwnedDelivery, Plugin, Setting, TransportRules, Violation,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const APP: &[Setting] = &[Setting::text("address", "host and port of the server").default("127.0.0.1:8787")];
const TEMPLATE: &[Setting] = &[Setting::template("text", "what is said").required()];

struct Line;

impl AsyncTransport for Line {
    /// What the messages of one app share: here the address; a client or a pool of connections elsewhere.
    type Session = String;

    fn rules(&self) -> TransportRules {
        TransportRules { template_settings: TEMPLATE, ..TransportRules::default() }
    }

    /// Cheap, and without a network. What it refuses is told by `tidings check`, with file and line.
    fn open(&self, app: &App) -> Result<String, Vec<Violation>> {
        let address = app.settings.text("address");
        match address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(address.to_owned()),
            _ => Err(vec![Violation::new("address", "is no host and port; write it as in 127.0.0.1:8787")]),
        }
    }

    /// One message. What is certainly not sent is `Retry`; what may have arrived is `Unknown`.
    async fn send(address: Arc<String>, delivery: OwnedDelivery) -> Outcome {
        let server = match TcpStream::connect(address.as_str()).await {
            Ok(server) => server,
            Err(error) => return Outcome::Retry { after: None, detail: format!("connect to {address}: {error}") },
        };
        let line = format!("{}: {}\n", delivery.recipient, delivery.text("text").replace(['\r', '\n'], " "));
        match exchange(server, &line).await {
            Ok(answer) if answer == "ok" => Outcome::Accepted { provider_id: None },
            Ok(answer) => Outcome::Rejected { reason: format!("the server says: {answer}") },
            Err(error) => Outcome::Unknown { detail: format!("no answer from {address}: {error}") },
        }
    }
}

async fn exchange(server: TcpStream, line: &str) -> Result<String, Error> {
    let mut server = BufReader::new(server);
    server.write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    match server.read_line(&mut answer).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer.trim().to_owned()),
    }
}

/// The plugin `acme`: transport `line`.
pub fn plugin() -> Plugin {
    Plugin::new("acme", env!("CARGO_PKG_VERSION")).app_settings(APP).transport("line", Asynchronous(Line))
}

tidings_sdk::export!(name: "acme", roles: [transport], plugin: plugin());
