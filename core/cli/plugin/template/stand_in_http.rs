//! Somebody to talk to: prints each request that comes, and says that all is well.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:8787")?;
    println!("listens on http://127.0.0.1:8787; Ctrl-C ends it");
    for stream in listener.incoming() {
        // A connection that breaks is no reason to end.
        let _ = stream.and_then(answer);
    }
    Ok(())
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first)?;
    for line in stream.by_ref().lines() {
        let line = line?.to_ascii_lowercase();
        match line.split_once(':') {
            Some(("content-length", size)) => length = size.trim().parse().unwrap_or(0),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = Vec::new();
    stream.by_ref().take(length).read_to_end(&mut body)?;
    println!("{} {}", first.trim_end(), String::from_utf8_lossy(&body));
    let said = r#"{"id": "1", "token": "a-token", "expires_in": 7200}"#;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close", said.len());
    stream.get_mut().write_all(format!("{head}\r\n\r\n{said}").as_bytes())
}
