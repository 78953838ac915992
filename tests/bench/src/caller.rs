//! A caller of the API that costs as little as one can: it shares the machine with what is measured, and what a general
//! client spends on a call is as much as the engine does.

use std::io;
use std::net::SocketAddr;

use tidings_api::wire::SendReply;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::engine::KEY;
use crate::failure::{Failure, check};
use crate::intake::request;
use crate::workload::key;

/// Bytes of an answer: one is a few hundred.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// One connection, kept.
pub(crate) struct Caller {
    stream: TcpStream,
    address: SocketAddr,
    sent: Vec<u8>,
    came: Vec<u8>,
}

impl Caller {
    /// Connects to `http://ADDRESS`.
    pub(crate) async fn connect(url: &str) -> Result<Caller, Failure> {
        let address = url.strip_prefix("http://").and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| Failure::new(format!("`{url}` is no address of a server of ours")))?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Caller { stream, address, sent: Vec::new(), came: Vec::new() })
    }

    /// Posts one message, and reads the answer.
    pub(crate) async fn post(&mut self, number: u32) -> Result<SendReply, Failure> {
        let (body, address, key) = (serde_json::to_vec(&request(number))?, self.address, key(number));
        self.sent.clear();
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
            authorization: Bearer {KEY}\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.sent.extend_from_slice(head.as_bytes());
        self.sent.extend_from_slice(&body);
        self.stream.write_all(&self.sent).await?;
        let (status, body) = self.answer().await?;
        check(status == 202 || status == 200, || {
            format!("a message was answered with {status}: {}", String::from_utf8_lossy(body))
        })?;
        Ok(serde_json::from_slice(body)?)
    }

    /// The answer's status and body.
    async fn answer(&mut self) -> Result<(u16, &[u8]), Failure> {
        self.came.clear();
        loop {
            if self.stream.read_buf(&mut self.came).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if let Some(Head { status, length, body }) = head(&self.came)?
                && self.came.len() >= body + length
            {
                check(self.came.len() == body + length, || "more came than was asked for".to_owned())?;
                return Ok((status, &self.came[body..]));
            }
            check(self.came.len() <= ANSWER_BYTES_MAX, || "an answer does not end".to_owned())?;
        }
    }
}

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes of the body, and where it begins.
    length: usize,
    body: usize,
}

/// The head of an answer of HTTP/1.1 with a `content-length`; `None` until all of it came.
fn head(came: &[u8]) -> Result<Option<Head>, Failure> {
    let Some(end) = came.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&came[..end]).ok();
    let read = |head: &str| {
        let mut lines = head.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        let (_, length) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
        Some(Head { status, length: length.trim().parse().ok()?, body: end + 4 })
    };
    let head = head.and_then(read);
    head.map(Some).ok_or_else(|| Failure::new("an answer is not as our servers write it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_wherever_it_is_cut() {
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nlocation: /x\r\n\r\n{}";
        let end = answer.len() - 2;
        for cut in 0..end {
            assert!(matches!(head(&answer[..cut]), Ok(None)), "{cut}");
        }
        for cut in end..=answer.len() {
            let read = head(&answer[..cut]).unwrap();
            assert_eq!(read, Some(Head { status: 202, length: 2, body: end }), "{cut}");
        }
        assert!(head(b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
