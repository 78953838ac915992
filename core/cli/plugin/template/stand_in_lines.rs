//! Somebody to talk to: prints each line that comes, and answers `ok`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:8787")?;
    println!("listens on 127.0.0.1:8787; Ctrl-C ends it");
    for stream in listener.incoming() {
        let mut stream = BufReader::new(stream?);
        let mut line = String::new();
        if stream.read_line(&mut line).is_ok() {
            println!("{}", line.trim_end());
            // Who has gone away needs no answer.
            let _ = stream.get_mut().write_all(b"ok\n");
        }
    }
    Ok(())
}
