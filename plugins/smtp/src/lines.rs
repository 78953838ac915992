//! A connection that is read line by line, so that nothing is smuggled into the encrypted part.
//!
//! STARTTLS begins in the clear. Whoever sits on the wire can put more lines behind the server's "go ahead", and a
//! client that has read them already takes them for answers from inside the encryption (CVE-2011-0411, "NO STARTTLS").
//! Here a read never gives more than one line: what stands behind it reaches the TLS handshake, which fails on it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that are read from the socket at once.
const CHUNK_BYTES: usize = 4096;

/// A TCP connection whose reads end with the line.
#[derive(Debug)]
pub(crate) struct LineByLine {
    stream: TcpStream,
    held: Vec<u8>,
    given: usize,
}

impl LineByLine {
    pub(crate) fn new(stream: TcpStream) -> LineByLine {
        LineByLine { stream, held: Vec::new(), given: 0 }
    }
}

impl AsyncRead for LineByLine {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.given == this.held.len() {
            let mut chunk = [0; CHUNK_BYTES];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut chunk))?;
            this.held.clear();
            this.held.extend_from_slice(chunk.filled());
            this.given = 0;
        }
        let rest = &this.held[this.given..];
        let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        let size = line.min(buffer.remaining());
        buffer.put_slice(&rest[..size]);
        this.given += size;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LineByLine {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncTokioStream for LineByLine {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use tokio::io::AsyncReadExt;
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_read_ends_with_the_line_and_loses_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let long = "x".repeat(CHUNK_BYTES + 10);
        let said = format!("220 ready\r\n250 smuggled\r\n{long}\nend");
        let sent = said.clone();
        let server = std::thread::spawn(move || listener.accept().unwrap().0.write_all(sent.as_bytes()).unwrap());
        let reads = Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let mut lines = LineByLine::new(TcpStream::connect(address).await.unwrap());
            let mut reads = Vec::new();
            loop {
                let mut buffer = [0; 2 * CHUNK_BYTES];
                let size = lines.read(&mut buffer).await.unwrap();
                if size == 0 {
                    return reads;
                }
                reads.push(String::from_utf8(buffer[..size].to_vec()).unwrap());
            }
        });
        server.join().unwrap();
        assert_eq!(reads.concat(), said);
        assert_eq!(reads[..2], ["220 ready\r\n", "250 smuggled\r\n"]);
        assert!(reads.iter().all(|read| read.find('\n').is_none_or(|end| end + 1 == read.len())), "{reads:?}");
    }
}
