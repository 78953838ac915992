//! Rows that a server gives in pages: NDJSON, a row a line as in a file, and `Link: <…>; rel="next"` (RFC 8288) where
//! there is another page. docs/OPERATIONS.md has the whole contract.
//!
//! A page is read while it comes. What breaks off is asked for again after a while, and what was taken of it is passed
//! over; that it is still what it was is seen by its fingerprint.

use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LINK, RETRY_AFTER, TRANSFER_ENCODING};
use reqwest::{Response, StatusCode, Url, Version};
use serde_json::{Value, json};
use tidings_model::retry::{Backoff, delay};
use tidings_store::{Fingerprint, fingerprint};

use super::feed::{FeedError, PORTION_ROWS_MAX, Place, Portion};
use super::lines::LINE_BYTES_MAX;
use super::{RowProblem, ndjson_row};
use crate::clock::random;
use crate::config::UrlAudience;
use crate::http::{Http, told};

/// Pages of one audience: one that never ends is told as such.
const PAGES_MAX: u64 = 1_000_000;
/// Bytes of one page.
const PAGE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Between tries of a page that cannot be had now.
const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };
/// The longest wait that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);
/// What a page may be called. Anything else is the answer to another question: a sign-in page, say.
const MEDIA_TYPES: [&str; 6] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/jsonlines",
    "text/plain",
];

/// In or behind a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UrlPlace {
    /// Which audience: the fingerprint of its first address.
    first: i64,
    /// The page, from 1.
    number: u64,
    /// Its path and query; `None` for the first.
    page: Option<String>,
    /// Lines of it that were taken.
    lines: u64,
    /// Their fingerprint.
    print: i64,
    /// Whether it was the last, and all of it was taken.
    ended: bool,
}

impl UrlPlace {
    pub(super) fn to_json(&self) -> Value {
        json!([self.first, self.number, self.page, self.lines, self.print, self.ended])
    }

    pub(super) fn read(value: &Value) -> Option<UrlPlace> {
        let [first, number, page, lines, print, ended] = value.as_array()?.as_slice() else { return None };
        Some(UrlPlace {
            first: first.as_i64()?,
            number: number.as_u64()?,
            page: page.as_str().map(str::to_owned),
            lines: lines.as_u64()?,
            print: print.as_i64()?,
            ended: ended.as_bool()?,
        })
    }
}

/// See [`super::Feed::of_url`].
pub(crate) struct UrlRows {
    http: Http,
    config: UrlAudience,
    first: Url,
    place: UrlPlace,
    /// The fingerprint of the lines of the page that were taken, to go on with.
    print: Fingerprint,
    /// The page, as far as it has come.
    page: Option<Page>,
    failures: u32,
}

/// A page that comes.
struct Page {
    response: Response,
    /// Whether its end is known as its end.
    framed: bool,
    next: Option<String>,
    buffer: Vec<u8>,
    bytes: u64,
    ended: bool,
}

impl UrlRows {
    pub(super) fn new(http: Http, config: UrlAudience, place: Option<UrlPlace>) -> Result<UrlRows, FeedError> {
        let first = Url::parse(&config.url)
            .map_err(|error| FeedError::Unusable(format!("the address cannot be read: {error}")))?;
        let here = fingerprint(config.url.as_bytes());
        if place.as_ref().is_some_and(|place| place.first != here) {
            return Err(FeedError::Changed(
                "the address of the audience was changed since some of it was taken".to_owned(),
            ));
        }
        let empty = fingerprint(b"");
        let place =
            place.unwrap_or(UrlPlace { first: here, number: 1, page: None, lines: 0, print: empty, ended: false });
        Ok(UrlRows { http, config, first, place, print: Fingerprint::default(), page: None, failures: 0 })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Portion>, FeedError> {
        let mut rows = Vec::new();
        while !self.place.ended && rows.len() < PORTION_ROWS_MAX {
            match self.line().await {
                Ok(Some(line)) => rows.extend(self.row(line)),
                Ok(None) => self.turn()?,
                Err(error) => {
                    // It is asked for again, and what is here was taken of it.
                    self.page = None;
                    if !rows.is_empty() {
                        break;
                    }
                    return Err(self.later(error));
                }
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        self.failures = 0;
        Ok(Some(Portion { rows, place: Place::Url(self.place.clone()) }))
    }

    /// The name of a line and its row; nothing for a blank one.
    fn row(&mut self, line: Result<Vec<u8>, String>) -> Option<(String, Result<super::Row, String>)> {
        self.place.lines += 1;
        let (number, page) = (self.place.lines, self.place.number);
        let text = match line {
            Ok(text) => {
                self.print.add(&text);
                self.place.print = self.print.clone().finish();
                if text.iter().all(u8::is_ascii_whitespace) {
                    return None;
                }
                Ok(text)
            }
            Err(problem) => Err(problem),
        };
        let row = text.and_then(|text| ndjson_row(&text));
        let row = row.map_err(|problem| format!("page {page}, {}", RowProblem { line: number, problem }));
        Some((format!("page-{page}-line-{number}"), row))
    }

    /// The next line of the page; `None` at its end.
    async fn line(&mut self) -> Result<Option<Result<Vec<u8>, String>>, Trouble> {
        if self.page.is_none() {
            let page = self.open().await?;
            self.page = Some(page);
            self.pass_over().await?;
        }
        let page = self.page.as_mut().expect("it was opened");
        page.line(self.config.timeout).await
    }

    /// Passes over what was taken of a page that is asked for again.
    async fn pass_over(&mut self) -> Result<(), Trouble> {
        let page = self.page.as_mut().expect("it was opened");
        let mut print = Fingerprint::default();
        for _ in 0..self.place.lines {
            match page.line(self.config.timeout).await? {
                Some(Ok(text)) => print.add(&text),
                Some(Err(_)) => {}
                None => break,
            }
        }
        if self.place.lines > 0 && print.clone().finish() != self.place.print {
            let detail = format!("page {} of the audience is another than it was", self.place.number);
            return Err(Trouble::Changed(detail));
        }
        self.print = print;
        Ok(())
    }

    /// Goes on to the next page, or ends.
    fn turn(&mut self) -> Result<(), FeedError> {
        let next = self.page.take().and_then(|page| page.next);
        let Some(next) = next else {
            self.place.ended = true;
            return Ok(());
        };
        if self.place.number == PAGES_MAX {
            return Err(FeedError::Unusable(format!("the audience has more than {PAGES_MAX} pages")));
        }
        if self.place.page.as_ref() == Some(&next) {
            let detail = format!("page {} of the audience names itself as the next one", self.place.number);
            return Err(FeedError::Unusable(detail));
        }
        self.place = UrlPlace {
            number: self.place.number + 1,
            page: Some(next),
            lines: 0,
            print: fingerprint(b""),
            ..self.place.clone()
        };
        self.print = Fingerprint::default();
        Ok(())
    }

    async fn open(&self) -> Result<Page, Trouble> {
        let url = match &self.place.page {
            None => self.first.clone(),
            Some(page) => self
                .first
                .join(page)
                .map_err(|error| Trouble::Unusable(format!("the next page cannot be read: {error}")))?,
        };
        let number = self.place.number;
        let asked = tokio::time::timeout(self.config.timeout, self.http.get(&url, &self.config.headers)).await;
        let response = match asked {
            Ok(Ok(response)) => response,
            Ok(Err(found)) => return Err(Trouble::again(format!("page {number}: {found}"))),
            Err(_) => return Err(Trouble::again(format!("page {number}: no answer in {:?}", self.config.timeout))),
        };
        let status = response.status();
        if status != StatusCode::OK && status != StatusCode::NO_CONTENT {
            let detail = format!("page {number}: HTTP {}", status.as_u16());
            let goes_by = status.is_server_error()
                || matches!(
                    status,
                    StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
                );
            return Err(match goes_by {
                true => Trouble::Later { after: retry_after(&response), detail },
                false => Trouble::Unusable(format!("{detail}, where 200 was expected")),
            });
        }
        let header =
            |name| response.headers().get(name).and_then(|value: &reqwest::header::HeaderValue| value.to_str().ok());
        let kind =
            header(CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if status == StatusCode::OK && !MEDIA_TYPES.contains(&kind.as_str()) {
            let detail = format!("page {number} is `{}`, and `{}` was expected", kind.escape_debug(), MEDIA_TYPES[0]);
            return Err(Trouble::Unusable(detail));
        }
        let links: Vec<&str> =
            response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok()).collect();
        let next = match next_link(&links) {
            Some(link) => Some(self.next_page(&url, link)?),
            None => None,
        };
        let framed = response.version() == Version::HTTP_2
            || response.headers().contains_key(CONTENT_LENGTH)
            || response.headers().contains_key(TRANSFER_ENCODING)
            || status == StatusCode::NO_CONTENT;
        Ok(Page { response, framed, next, buffer: Vec::new(), bytes: 0, ended: false })
    }

    /// The path and query of the next page. It is on the same server: the headers are for nobody else.
    fn next_page(&self, url: &Url, link: &str) -> Result<String, Trouble> {
        let next = url.join(link);
        let next =
            next.map_err(|error| Trouble::Unusable(format!("the link to the next page cannot be read: {error}")))?;
        if next.origin() != self.first.origin() {
            let detail = format!(
                "page {} names a next one on another server, {}; what is asked of one is not shown to another",
                self.place.number,
                next.origin().ascii_serialization()
            );
            return Err(Trouble::Unusable(detail));
        }
        let query = next.query().map_or_else(String::new, |query| format!("?{query}"));
        Ok(format!("{}{query}", next.path()))
    }

    fn later(&mut self, trouble: Trouble) -> FeedError {
        match trouble {
            Trouble::Unusable(detail) => FeedError::Unusable(detail),
            Trouble::Changed(detail) => FeedError::Changed(detail),
            Trouble::Later { after, detail } => {
                self.failures = self.failures.saturating_add(1);
                let wait = delay(BACKOFF, self.failures, random()).max(after.unwrap_or_default().min(RETRY_AFTER_MAX));
                FeedError::Later { wait, detail }
            }
        }
    }
}

/// Why a page is not there.
enum Trouble {
    Unusable(String),
    Changed(String),
    Later { after: Option<Duration>, detail: String },
}

impl Trouble {
    fn again(detail: String) -> Trouble {
        Trouble::Later { after: None, detail }
    }
}

impl Page {
    /// The next line without its end; `None` at the end of the page.
    async fn line(&mut self, timeout: Duration) -> Result<Option<Result<Vec<u8>, String>>, Trouble> {
        let (mut seen, mut is_long) = (0, false);
        loop {
            if let Some(end) = self.buffer[seen..].iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=seen + end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(whole(line, is_long)));
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                // What is left of an endless line is not kept: it is skipped to its end.
                is_long = true;
                self.buffer.clear();
            }
            seen = self.buffer.len();
            if self.ended {
                return match seen {
                    0 if !is_long => Ok(None),
                    _ if self.framed => Ok(Some(whole(std::mem::take(&mut self.buffer), is_long))),
                    // Nobody can say whether it was cut off.
                    _ => Err(Trouble::again("the page ends within a line, and does not say how long it is".to_owned())),
                };
            }
            match tokio::time::timeout(timeout, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    self.bytes += chunk.len() as u64;
                    if self.bytes > PAGE_BYTES_MAX {
                        return Err(Trouble::Unusable(format!("a page has more than {PAGE_BYTES_MAX} bytes")));
                    }
                    self.buffer.extend_from_slice(&chunk);
                }
                Ok(Ok(None)) => self.ended = true,
                Ok(Err(error)) => return Err(Trouble::again(format!("the page broke off: {}", told(error)))),
                Err(_) => return Err(Trouble::again(format!("nothing more of the page came in {timeout:?}"))),
            }
        }
    }
}

fn whole(line: Vec<u8>, is_long: bool) -> Result<Vec<u8>, String> {
    if is_long || line.len() > LINE_BYTES_MAX {
        Err(format!("is longer than {LINE_BYTES_MAX} bytes"))
    } else {
        Ok(line)
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<u32>().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

/// The target of the link whose relation is `next` (RFC 8288 §3).
fn next_link<'a>(headers: &[&'a str]) -> Option<&'a str> {
    headers.iter().find_map(|header| {
        let mut rest = *header;
        while let Some(start) = rest.find('<') {
            let (target, after) = rest[start + 1..].split_once('>')?;
            let end = after.find('<').unwrap_or(after.len());
            let is_next = after[..end].split(';').any(|parameter| {
                let Some((name, value)) = parameter.split_once('=') else { return false };
                let value = value.trim().trim_end_matches(',').trim().trim_matches('"');
                name.trim().eq_ignore_ascii_case("rel")
                    && value.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("next"))
            });
            if is_next {
                return Some(target);
            }
            rest = &after[end..];
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_link_whose_relation_says_so() {
        let check = |headers: &[&str], expected: Option<&str>| assert_eq!(next_link(headers), expected, "{headers:?}");
        check(&[], None);
        check(&[r#"</p?after=7>; rel="next""#], Some("/p?after=7"));
        check(&["</p>; rel=next"], Some("/p"));
        check(&[r#"</first>; rel="first", </p?a=1,2>; title="x"; rel="last next""#], Some("/p?a=1,2"));
        check(&[r#"</first>; rel="first""#, r#"</p>; REL="NEXT""#], Some("/p"));
        check(&[r#"</p>; rel="prev""#, "nonsense", "<unclosed; rel=next"], None);
    }

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place = UrlPlace {
            first: -7,
            number: 3,
            page: Some("/p?after=x".to_owned()),
            lines: 500,
            print: i64::MIN,
            ended: false,
        };
        assert_eq!(UrlPlace::read(&place.to_json()), Some(place.clone()));
        let place = Place::Url(UrlPlace { page: None, ended: true, ..place });
        assert_eq!(Place::read(&place.to_json()), Some(place));
        assert_eq!(Place::read("{}"), None);
    }
}
