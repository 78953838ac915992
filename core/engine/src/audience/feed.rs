//! The rows of an audience, some at a time, each time with the place where the next ones begin.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidings_model::{Clock, TemplateName};
use tidings_store::Reader;

use super::Row;
use super::everyone::Everyone;
use super::file::{FilePlace, FileRows};
use super::url::{UrlPlace, UrlRows};
use crate::config::UrlAudience;
use crate::definitions::Present;
use crate::http::Http;

/// Rows of one portion at most: what is accepted in one transaction.
pub(crate) const PORTION_ROWS_MAX: usize = 500;

/// Some rows in order. However many an audience has, two portions of it are in memory.
#[derive(Debug, Clone)]
pub(crate) struct Portion {
    /// Each with its name within the audience, as in `line-7`; or what is wrong with it.
    pub(crate) rows: Vec<(String, Result<Row, String>)>,
    /// Where the next portion begins.
    pub(crate) place: Place,
}

/// Where an audience goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind a line of a file.
    File(FilePlace),
    /// Behind a recipient, in the order of their bytes.
    Everyone(String),
    /// In or behind a page.
    Url(UrlPlace),
}

/// Why there are no more rows now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FeedError {
    /// There will be none: the audience cannot be read.
    Unusable(String),
    /// It is another than the one that the place is of.
    Changed(String),
    /// There may be some after that wait.
    Later { wait: Duration, detail: String },
}

/// An audience that is being read.
pub(crate) enum Feed {
    File(FileRows),
    Everyone(Everyone),
    Url(Box<UrlRows>),
}

impl Feed {
    /// The rows of a file behind a place.
    pub(crate) fn of_file(path: &Path, place: Option<FilePlace>) -> Result<Feed, FeedError> {
        FileRows::open(path, place).map(Feed::File)
    }

    /// Everyone with a usable credential for the template, behind a recipient.
    pub(crate) fn of_everyone(
        reader: &Reader,
        present: &Present,
        clock: &Arc<dyn Clock>,
        template: &TemplateName,
        after: Option<String>,
    ) -> Feed {
        Feed::Everyone(Everyone::new(reader.clone(), present.clone(), Arc::clone(clock), template.clone(), after))
    }

    /// The rows of pages, behind a place.
    pub(crate) fn of_url(http: &Http, url: &UrlAudience, place: Option<UrlPlace>) -> Result<Feed, FeedError> {
        UrlRows::new(http.clone(), url.clone(), place).map(|rows| Feed::Url(Box::new(rows)))
    }

    /// The next rows; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Portion>, FeedError> {
        match self {
            Feed::File(file) => file.next().await,
            Feed::Everyone(everyone) => everyone.next().await,
            Feed::Url(url) => url.next().await,
        }
    }
}

impl Place {
    /// As it is kept with the run.
    pub(crate) fn to_json(&self) -> String {
        match self {
            Place::File(place) => json!({ "file": place.to_json() }),
            Place::Everyone(after) => json!({ "everyone": after }),
            Place::Url(place) => json!({ "url": place.to_json() }),
        }
        .to_string()
    }

    /// What was kept; `None` if it cannot be read.
    pub(crate) fn read(text: &str) -> Option<Place> {
        let value: Value = serde_json::from_str(text).ok()?;
        let (kind, inner) = value.as_object()?.iter().next()?;
        match kind.as_str() {
            "file" => FilePlace::read(inner).map(Place::File),
            "everyone" => inner.as_str().map(|after| Place::Everyone(after.to_owned())),
            "url" => UrlPlace::read(inner).map(Place::Url),
            _ => None,
        }
    }
}

/// The name of a row that has nothing but its recipient: the same for the same, and a hash because a recipient may have
/// characters that a key has not.
pub(crate) fn mark_of(recipient: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, recipient.as_bytes());
    let mut mark = String::from("to-");
    for byte in &digest.as_ref()[..16] {
        mark.push_str(&format!("{byte:02x}"));
    }
    mark
}
