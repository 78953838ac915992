//! Reading a stream of server-sent events (the HTML standard, "Interpreting an event stream").

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::timeout;

use super::{Client, ClientError};
use crate::wire::Event;

/// How long a stream may be silent: a few of the engine's heartbeats.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long a stream may go on. For ever would do, but a deadline is what can be set.
const STREAM_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// Bytes of one event. Ours have a third of it at most.
const EVENT_BYTES_MAX: usize = 64 * 1024;

/// Something a stream told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// It happened.
    Happened(Event),
    /// It was missed.
    Gap(crate::wire::Gap),
}

/// A stream of events.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    response: reqwest::Response,
    parser: Parser,
    told: VecDeque<Block>,
    place: Option<String>,
}

impl Client {
    /// Reads along with what happens. The query is that of `GET /v1/events`: `types`, `channel`, `full`, `follow`. `place`
    /// is where an earlier stream ended.
    pub async fn events(&self, query: &[(&str, String)], place: Option<&str>) -> Result<EventStream, ClientError> {
        let mut request = self.http.get(self.url(&super::with_query("/v1/events", query))).timeout(STREAM_MAX);
        if let Some(place) = place {
            request = request.header("last-event-id", place);
        }
        let response = self.answer(request).await?;
        Ok(EventStream {
            client: self.clone(),
            response,
            parser: Parser::default(),
            told: VecDeque::new(),
            place: place.map(str::to_owned),
        })
    }
}

impl EventStream {
    /// Where it is: another stream goes on there.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// What is told next; `None` when the engine ended the stream.
    pub async fn next(&mut self) -> Result<Option<Told>, ClientError> {
        loop {
            while let Some(block) = self.told.pop_front() {
                if let Some(id) = block.id {
                    self.place = Some(id);
                }
                if block.data.is_empty() {
                    continue;
                }
                return if block.event == "gap" {
                    self.client.parse(&block.data).map(|gap| Some(Told::Gap(gap)))
                } else {
                    self.client.parse(&block.data).map(|event| Some(Told::Happened(event)))
                };
            }
            let chunk = match timeout(SILENCE_MAX, self.response.chunk()).await {
                Ok(chunk) => chunk.map_err(|source| self.client.unreachable(source))?,
                Err(_) => return Err(self.client.foreign("a stream that says nothing any more")),
            };
            let Some(chunk) = chunk else { return Ok(None) };
            let blocks = self.parser.feed(&chunk).map_err(|problem| self.client.foreign(problem))?;
            self.told.extend(blocks);
        }
    }
}

/// The lines of one event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Block {
    id: Option<String>,
    event: String,
    data: String,
}

/// Takes a stream apart, in whatever pieces it comes.
#[derive(Debug, Default)]
struct Parser {
    rest: Vec<u8>,
    block: Block,
}

impl Parser {
    /// The events that are whole now. Lines end with a line feed, as ours do.
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Block>, &'static str> {
        self.rest.extend_from_slice(bytes);
        let mut blocks = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).take(end).collect();
            let line = String::from_utf8(line).map_err(|_| "a stream that is not UTF-8")?;
            if line.is_empty() {
                blocks.push(std::mem::take(&mut self.block));
            } else {
                self.line(&line);
            }
        }
        if self.rest.len() + self.block.data.len() > EVENT_BYTES_MAX {
            return Err("an event without end");
        }
        Ok(blocks)
    }

    fn line(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.block.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.block.event),
            "data" => {
                if !self.block.data.is_empty() {
                    self.block.data.push('\n');
                }
                self.block.data.push_str(value);
            }
            // A comment, or what only a browser needs.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "retry: 1000\nid: 5-0\n\n:\nid: 5-1\n\nevent: message.sent\nid: 5-2\ndata: {\"a\":\"ü\"}\n\n";

    #[test]
    fn a_stream_is_read_alike_in_whatever_pieces_it_comes() {
        let whole = Parser::default().feed(STREAM.as_bytes()).unwrap();
        let told =
            Block { id: Some("5-2".to_owned()), event: "message.sent".to_owned(), data: "{\"a\":\"ü\"}".to_owned() };
        assert_eq!((whole.len(), &whole[2]), (3, &told));
        assert_eq!((whole[1].id.as_deref(), whole[1].data.as_str()), (Some("5-1"), ""));
        for size in 1..9 {
            let mut parser = Parser::default();
            let pieces: Vec<Block> =
                STREAM.as_bytes().chunks(size).flat_map(|piece| parser.feed(piece).unwrap()).collect();
            assert_eq!(pieces, whole, "{size} bytes at a time");
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut parser = Parser::default();
        let mut fed = (0..).map(|_| parser.feed(&[b'x'; 1024]));
        assert!(fed.by_ref().take(64).all(|fed| fed.is_ok()));
        assert!(fed.next().unwrap().is_err());
    }
}
