//! Broadcasts: a template for an audience, a portion of rows at a time.
//!
//! A portion's messages and the place behind it are one transaction, so that after a crash the run goes on with the row
//! behind the last that was accepted. Every message has a key of its run as well: a transaction of which nobody can say
//! whether it landed is sent again, and accepts nobody twice. By default the key is the recipient's, so that a recipient
//! who stands in an audience twice is told once; where `duplicates = "send"`, it is the row's.

use std::sync::Arc;
use std::time::Duration;

use tidings_model::limits::{BROADCAST_QUEUE_MAX, RUN_PROGRESS_EVERY};
use tidings_model::{State, mask};
use tidings_store::{Accepted, NewMessage, RunLine, RunNote, RunStep, Stepped, fingerprint};
use tokio::time::Instant;

use super::{Course, Cut, Jobs, Outcome, Preflight, STEP_WAIT, info, warn};
use crate::admit::Submission;
use crate::audience::{Feed, FeedError, Place, Portion, Row, mark_of};
use crate::config::{Audience, Broadcast, Duplicates};
use crate::definitions::present;
use crate::refusal::{Class, Refusal};
use crate::writer::Taken;

/// Between two looks whether a full queue has room.
const ROOM_LOOK: Duration = Duration::from_millis(250);
/// Rows of one kind (refused, there twice) that the log names; the others are counted.
const ROWS_NAMED: u64 = 100;
/// Of tries of an audience that cannot be had one after the other, so many are in the log, and then every so many.
const TRIES_NAMED: u32 = 10;

/// How often an audience is read from its beginning because it is another than it was: one that is another each time it is
/// asked for would be asked for ever.
const BEGINNINGS_MAX: u32 = 3;

/// How many rows became what.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    accepted: u64,
    duplicates: u64,
    suppressed: u64,
    refused: u64,
}

/// A broadcast under way.
pub(super) struct Sending<'a> {
    course: &'a Course<'a>,
    what: &'a Broadcast,
    counts: Counts,
    /// Rows gone through.
    done: u64,
    total: Option<u64>,
    /// The number of the step that is next.
    number: i64,
    /// What the log is to say with the next step.
    log: Vec<RunLine>,
    /// The first rows that were refused, for the result.
    problem: Option<String>,
    told_at: Instant,
    /// Whether the log says that the queue was full.
    waited: bool,
    /// How often the audience was read from its beginning for being another.
    beginnings: u32,
    /// The first portion that comes is looked at before it is sent.
    looks_at_first: bool,
}

impl<'a> Sending<'a> {
    pub(super) fn new(course: &'a Course<'a>, what: &'a Broadcast) -> Sending<'a> {
        let row = &course.row;
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        let counts = Counts {
            accepted: count(row.accepted),
            duplicates: count(row.duplicates),
            suppressed: count(row.suppressed),
            refused: count(row.refused),
        };
        let (done, total) = (count(row.done), row.total.map(count));
        let (log, told_at) = (Vec::new(), Instant::now());
        let number = row.step + 1;
        Sending {
            course,
            what,
            counts,
            done,
            total,
            number,
            log,
            problem: None,
            told_at,
            waited: false,
            beginnings: 0,
            looks_at_first: false,
        }
    }

    pub(super) async fn send(mut self) -> Result<Outcome, Cut> {
        if self.course.row.step < 0 {
            let reason = "an earlier program began it and kept no place in its audience; what it accepted goes on, and \
                          nobody else is told";
            return Err(Cut::Failed(reason.to_owned()));
        }
        let mut feed = self.open().await?;
        if self.course.row.preflight.is_none() {
            self.preflight().await?;
        }
        let mut tries = 0;
        loop {
            if self.course.is_stopping() {
                return Err(Cut::Stopped);
            }
            match feed.next().await {
                Ok(Some(portion)) => {
                    tries = 0;
                    if std::mem::take(&mut self.looks_at_first) {
                        let found = self.course.jobs.preflight_of_first(self.what, portion.clone()).await?;
                        self.found(&found).await;
                    }
                    self.portion(portion).await?;
                }
                Ok(None) => break,
                Err(FeedError::Unusable(detail)) => return Err(Cut::Failed(self.told(detail))),
                Err(FeedError::Changed(detail)) => feed = self.changed(detail).await?,
                Err(FeedError::Later { wait, detail }) => {
                    tries += 1;
                    if tries <= TRIES_NAMED || tries % TRIES_NAMED == 0 {
                        let wait_s = wait.as_secs_f64();
                        tracing::warn!(run = %self.course.row.id, "audience: {detail}");
                        self.say(warn(format!("{detail}; tried again in {wait_s:.1} s (try {tries})"))).await;
                    }
                    self.course.wait(wait).await?;
                }
            }
        }
        let result = self.told(String::new());
        Ok(Outcome { done: None, result })
    }

    /// What came of it so far, behind what went wrong.
    fn told(&self, trouble: String) -> String {
        let Counts { accepted, duplicates, suppressed, refused } = self.counts;
        let mut told = if trouble.is_empty() { trouble } else { format!("{trouble}; until then ") };
        told.push_str(&format!("{accepted} accepted, {refused} refused"));
        if duplicates > 0 {
            told.push_str(&format!(", {duplicates} there twice"));
        }
        if suppressed > 0 {
            told.push_str(&format!(", {suppressed} suppressed"));
        }
        if let Some(problem) = &self.problem {
            told.push_str(&format!("; the first refused: {problem}"));
        }
        told
    }

    /// The audience, where the run goes on with it.
    async fn open(&mut self) -> Result<Feed, Cut> {
        let place = self.course.row.place.as_deref();
        let place = match place.map(Place::read) {
            Some(None) => {
                return Err(Cut::Failed(
                    "where it was in its audience cannot be read; what it accepted goes on".to_owned(),
                ));
            }
            place => place.flatten(),
        };
        match self.course.jobs.feed(self.what, place) {
            Ok(feed) => Ok(feed),
            Err(FeedError::Changed(detail)) => self.changed(detail).await,
            Err(FeedError::Unusable(detail) | FeedError::Later { detail, .. }) => Err(Cut::Failed(self.told(detail))),
        }
    }

    /// The audience is another than it was. Where nobody is told twice it is read from its beginning: who was told is
    /// passed over, and counted as there twice.
    async fn changed(&mut self, detail: String) -> Result<Feed, Cut> {
        tracing::warn!(run = %self.course.row.id, "{detail}");
        if self.what.duplicates == Duplicates::Send {
            let detail = format!("{detail}; with `duplicates = \"send\"` nobody can say which rows of it were sent");
            return Err(Cut::Failed(self.told(detail)));
        }
        self.beginnings += 1;
        if self.beginnings > BEGINNINGS_MAX {
            return Err(Cut::Failed(self.told(format!("{detail}, and was so {BEGINNINGS_MAX} times before"))));
        }
        let text = format!("{detail}; it is read from its beginning, and who was told is passed over");
        self.say(warn(text)).await;
        match self.course.jobs.feed(self.what, None) {
            Ok(feed) => {
                // It has rows of its own.
                self.preflight().await?;
                Ok(feed)
            }
            Err(FeedError::Changed(detail) | FeedError::Unusable(detail) | FeedError::Later { detail, .. }) => {
                Err(Cut::Failed(self.told(detail)))
            }
        }
    }

    /// Looks whom it would reach, and notes that. The pages of a server are asked for once only, to be sent: of those the
    /// first portion is looked at when it comes.
    async fn preflight(&mut self) -> Result<(), Cut> {
        if matches!(self.what.audience, Audience::Url(_)) {
            self.looks_at_first = self.done == 0;
            return Ok(());
        }
        let preflight = tokio::select! {
            preflight = self.course.jobs.preflight_of(self.what) => preflight?,
            _ = self.course.wait(Duration::MAX) => return Err(Cut::Stopped),
        };
        self.total = Some(self.done + preflight.rows);
        self.found(&preflight).await;
        Ok(())
    }

    /// Notes whom it reaches.
    async fn found(&self, preflight: &Preflight) {
        let mut log: Vec<RunLine> = preflight.told().into_iter().map(info).collect();
        if preflight.first_only {
            let text =
                "a server's pages are asked for once: `tidings runs preflight` looks through all of them beforehand";
            log.push(info(text));
        }
        let preflight = Some(preflight.to_json());
        self.course.write(RunNote { total: self.total, log, preflight, ..self.course.note() }).await;
    }

    async fn say(&self, line: RunLine) {
        self.course.write(RunNote { log: vec![line], ..self.course.note() }).await;
    }

    async fn portion(&mut self, portion: Portion) -> Result<(), Cut> {
        let mut messages = Vec::with_capacity(portion.rows.len());
        let (rows, mut refused) = (portion.rows.len() as u64, 0);
        for (mark, row) in portion.rows {
            let message = match row {
                Ok(row) => self.message(&mark, row).await?,
                Err(problem) => Err(problem),
            };
            match message {
                Ok(message) => messages.push((mark, message)),
                Err(problem) => {
                    refused += 1;
                    self.name(self.counts.refused + refused, &problem, "refused");
                    self.problem.get_or_insert(problem);
                }
            }
        }
        self.room().await?;
        self.step(messages, refused, rows, &portion.place).await
    }

    /// The message of a row, or why it cannot be one.
    async fn message(&self, mark: &str, row: Row) -> Result<Result<NewMessage, String>, Cut> {
        let run = self.course.row.id;
        let mut data = self.what.data.clone();
        data.extend(row.data);
        let mark = match self.what.duplicates {
            Duplicates::Skip => mark_of(&row.to),
            Duplicates::Send => mark.to_owned(),
        };
        let submission = Submission {
            template: self.what.template.to_string(),
            to: row.to,
            data,
            key: Some(format!("{run}/{mark}")),
            run: Some(run),
            priority: self.what.priority,
            ..Submission::default()
        };
        loop {
            let definitions = present(&self.course.jobs.present);
            let message = definitions.admission.message(submission.clone(), self.course.jobs.clock.now()).await;
            return Ok(match message {
                // Its plugin is not there now: that is no fault of the row's.
                Err(refusal) if refusal.class == Class::Unavailable => {
                    self.course.wait(STEP_WAIT).await?;
                    continue;
                }
                Err(refusal) => {
                    Err(format!("{}: {}", mask::masked(&submission.to), mask::without(&refusal.detail, &submission.to)))
                }
                // Whoever comes first with the recipient's key is told, whatever else his row says.
                Ok(message) if self.what.duplicates == Duplicates::Skip => {
                    Ok(NewMessage { body_hash: fingerprint(run.to_string().as_bytes()), ..message })
                }
                Ok(message) => Ok(message),
            });
        }
    }

    /// Names a row in the log, if it is one of the first of its kind.
    fn name(&mut self, count: u64, row: &str, what: &str) {
        match count {
            ..=ROWS_NAMED => self.log.push(warn(format!("{what}: {row}"))),
            _ if count == ROWS_NAMED + 1 => self.log.push(warn(format!("{what}: more rows, which are counted"))),
            _ => {}
        }
    }

    /// Waits until the channel's queue has room for more.
    async fn room(&mut self) -> Result<(), Cut> {
        let definitions = present(&self.course.jobs.present);
        let Some(template) = definitions.config.templates.get(&self.what.template) else { return Ok(()) };
        let channel = template.channel.as_str();
        loop {
            // What cannot be read now is met by the step.
            let Ok(counts) = self.course.jobs.reader.counts().await else { return Ok(()) };
            let queued = counts.messages.iter().find(|(name, state, _)| name == channel && *state == State::Queued);
            if queued.is_none_or(|(_, _, queued)| *queued < BROADCAST_QUEUE_MAX) {
                return Ok(());
            }
            if !self.waited {
                self.waited = true;
                tracing::debug!(run = %self.course.row.id, channel, "a broadcast waits for its channel's queue");
                let text =
                    format!("channel `{channel}` has {BROADCAST_QUEUE_MAX} messages queued: it goes on as they leave");
                self.say(info(text)).await;
            }
            self.course.wait(ROOM_LOOK).await?;
        }
    }

    /// Accepts one portion, however long the store takes to come back.
    async fn step(
        &mut self,
        messages: Vec<(String, NewMessage)>,
        refused: u64,
        rows: u64,
        place: &Place,
    ) -> Result<(), Cut> {
        let (marks, messages): (Vec<String>, Vec<NewMessage>) = messages.into_iter().unzip();
        let tell = self.told_at.elapsed() >= RUN_PROGRESS_EVERY;
        let step = RunStep {
            run: self.course.row.id,
            schedule: self.course.schedule.to_string(),
            number: self.number,
            place: place.to_json(),
            messages: 0..0,
            refused,
            done: self.done + rows,
            total: self.total,
            log: std::mem::take(&mut self.log),
            tell,
        };
        let taken = loop {
            if self.course.is_stopping() {
                return Err(Cut::Stopped);
            }
            match self.course.jobs.writer.step(messages.clone(), step.clone()).await {
                Ok(taken) => break taken,
                Err(refusal) if matches!(refusal.class, Class::Unavailable | Class::Full) => {
                    self.course.wait(STEP_WAIT).await?;
                }
                Err(refusal) => return Err(refusal.into()),
            }
        };
        match taken.stepped {
            Stepped::Over => return Err(Cut::Over),
            // It landed, and nobody had been told so: what became of it is in the store.
            Stepped::Before => self.recount().await?,
            Stepped::Done => {
                self.counts.refused += refused;
                self.count(&taken, &marks);
            }
        }
        if tell {
            self.told_at = Instant::now();
        }
        self.done += rows;
        self.number += 1;
        Ok(())
    }

    fn count(&mut self, taken: &Taken, marks: &[String]) {
        for (one, mark) in taken.accepted.iter().zip(marks) {
            match one {
                Accepted::New(_) => self.counts.accepted += 1,
                Accepted::Repeat(_) => {
                    self.counts.duplicates += 1;
                    self.name(self.counts.duplicates, mark, "its recipient is there twice");
                }
                Accepted::Suppressed(_) => self.counts.suppressed += 1,
                Accepted::KeyTaken(_) => {
                    self.counts.refused += 1;
                    let problem = format!("{mark}: a message of somebody else has its key");
                    self.name(self.counts.refused, &problem, "refused");
                    self.problem.get_or_insert(problem);
                }
                Accepted::RunOver => {}
            }
        }
    }

    async fn recount(&mut self) -> Result<(), Cut> {
        let row = self.course.jobs.reader.run(self.course.row.id).await.map_err(Refusal::from)?;
        if let Some(row) = row {
            let count = |count: i64| u64::try_from(count).unwrap_or(0);
            self.counts = Counts {
                accepted: count(row.accepted),
                duplicates: count(row.duplicates),
                suppressed: count(row.suppressed),
                refused: count(row.refused),
            };
        }
        Ok(())
    }
}

impl Jobs {
    /// An audience behind a place. A place of another kind of audience is of one that was changed.
    pub(super) fn feed(&self, what: &Broadcast, place: Option<Place>) -> Result<Feed, FeedError> {
        let other = || FeedError::Changed("the audience is another since some of it was taken".to_owned());
        match (&what.audience, place) {
            (Audience::File(path), None) => Feed::of_file(path, None),
            (Audience::File(path), Some(Place::File(place))) => Feed::of_file(path, Some(place)),
            (Audience::Everyone, None) => Ok(self.everyone(what, None)),
            (Audience::Everyone, Some(Place::Everyone(after))) => Ok(self.everyone(what, Some(after))),
            (Audience::Url(url), None) => Feed::of_url(&self.http, url, None),
            (Audience::Url(url), Some(Place::Url(place))) => Feed::of_url(&self.http, url, Some(place)),
            (_, Some(_)) => Err(other()),
        }
    }

    fn everyone(&self, what: &Broadcast, after: Option<String>) -> Feed {
        let clock = Arc::clone(&self.clock);
        Feed::of_everyone(&self.reader, &self.present, &clock, &what.template, after)
    }
}
