//! Callers that mean no good, while others go on: heads that never end, bodies without end, more connections than there
//! are places.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::engine::KEY;

/// Between two bytes of a head that drips.
const DRIP: Duration = Duration::from_millis(500);
/// The body of one large call, and of its pieces.
const BODY_BYTES: usize = 100 * 1024 * 1024;
const PIECE_BYTES: usize = 64 * 1024;

/// What is done to the engine.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// So many requests whose heads drip and never end.
    HalfOpen(u32),
    /// A body of 100 MB after the other.
    LargeBody,
    /// So many connections that ask nothing and are opened again when they are closed.
    Crowd(u32),
}

/// Does it until the handles are dropped by [`stop`].
pub(crate) fn begin(act: Act, url: &str) -> Vec<JoinHandle<()>> {
    let address = url.trim_start_matches("http://").to_owned();
    match act {
        Act::HalfOpen(count) => (0..count).map(|_| tokio::spawn(drip(address.clone()))).collect(),
        Act::LargeBody => vec![tokio::spawn(large(address))],
        Act::Crowd(count) => (0..count).map(|_| tokio::spawn(hold(address.clone()))).collect(),
    }
}

pub(crate) async fn stop(acting: Vec<JoinHandle<()>>) {
    for one in acting {
        one.abort();
        // It was stopped in the middle, as it was meant to be.
        drop(one.await);
    }
}

/// A head that drips; when it is cut off, another.
async fn drip(address: String) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(&address).await {
            let mut text: &[u8] = b"POST /v1/messages HTTP/1.1\r\nhost: tidings\r\nx: ";
            while stream.write_all(text).await.is_ok() {
                text = b"x";
                tokio::time::sleep(DRIP).await;
            }
        }
        tokio::time::sleep(DRIP).await;
    }
}

/// A body that is too large and does not say so before; when it is refused, another.
async fn large(address: String) {
    let piece = vec![b' '; PIECE_BYTES];
    loop {
        if let Ok(mut stream) = TcpStream::connect(&address).await {
            let head = format!(
                "POST /v1/messages HTTP/1.1\r\nhost: tidings\r\nauthorization: Bearer {KEY}\r\ntransfer-encoding: \
                 chunked\r\n\r\n"
            );
            let mut goes_on = stream.write_all(head.as_bytes()).await.is_ok();
            let mut written = 0;
            while goes_on && written < BODY_BYTES {
                let size = format!("{PIECE_BYTES:x}\r\n");
                goes_on = stream.write_all(size.as_bytes()).await.is_ok()
                    && stream.write_all(&piece).await.is_ok()
                    && stream.write_all(b"\r\n").await.is_ok();
                written += PIECE_BYTES;
            }
        }
        tokio::time::sleep(DRIP).await;
    }
}

/// A connection that is held open; when it is closed, another.
async fn hold(address: String) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(&address).await {
            // It ends when the engine closes it.
            drop(stream.read(&mut [0; 64]).await);
        }
        tokio::time::sleep(DRIP).await;
    }
}
