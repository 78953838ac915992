//! Broadcasts: a template for an audience, a step of rows at a time. Every row has a key of its run, so that a row which
//! was accepted before a crash is not accepted again.

use std::path::Path;
use std::time::Duration;

use serde_json::Map;
use tidings_model::{RunId, ScheduleName, Timestamp};
use tidings_store::{Accepted, RunProgress, fingerprint};
use tokio::sync::{mpsc, watch};

use super::{Cut, Jobs};
use crate::admit::Submission;
use crate::audience::{self, Row, RowProblem};
use crate::config::{self, Audience};
use crate::definitions::present;
use crate::refusal::{Class, Refusal};

/// Rows of an audience accepted in one transaction.
const ROWS_PER_STEP: usize = 500;
/// Between tries when the store does not take a step.
const STEP_WAIT: Duration = Duration::from_secs(1);
/// Broken rows that a run's result names.
const PROBLEMS_SHOWN: usize = 3;

/// A template on its way to an audience.
pub(super) struct Broadcast<'a> {
    pub(super) jobs: &'a Jobs,
    pub(super) run: RunId,
    pub(super) schedule: &'a ScheduleName,
    pub(super) what: &'a config::Broadcast,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) count: Count,
}

#[derive(Default)]
pub(super) struct Count {
    accepted: u64,
    before: u64,
    suppressed: u64,
    refused: u64,
    problems: Vec<String>,
}

impl Broadcast<'_> {
    pub(super) async fn send(mut self, nominal: Timestamp) -> Result<(u64, String), Cut> {
        match &self.what.audience.clone() {
            Audience::File(path) => self.file(path).await?,
            Audience::Everyone => self.everyone(nominal).await?,
            Audience::Url(_) => return Err(Cut::Failed("an audience at an address cannot be read yet".to_owned())),
        }
        let Count { accepted, before, suppressed, refused, problems } = self.count;
        let mut result = format!("{accepted} accepted, {refused} refused");
        if suppressed > 0 {
            result.push_str(&format!(", {suppressed} suppressed"));
        }
        if before > 0 {
            result.push_str(&format!(", {before} accepted before an interruption"));
        }
        for problem in &problems {
            result.push_str(&format!("; {problem}"));
        }
        Ok((accepted + before, result))
    }

    async fn file(&mut self, path: &Path) -> Result<(), Cut> {
        let mut steps = read_in_steps(path)?;
        while let Some(step) = steps.recv().await {
            let mut submissions = Vec::with_capacity(step.len());
            for (line, row) in step {
                match row {
                    Ok(row) => submissions.push(self.submission(row, &format!("line-{line}"))),
                    Err(problem) => self.refused(problem.to_string()),
                }
            }
            self.step(submissions).await?;
        }
        Ok(())
    }

    async fn everyone(&mut self, nominal: Timestamp) -> Result<(), Cut> {
        let definitions = present(&self.jobs.present);
        let config = &definitions.config;
        let template = config
            .templates
            .get(&self.what.template)
            .ok_or_else(|| Cut::Failed(format!("there is no template `{}`", self.what.template)))?;
        let channel = &config.channels[&template.channel];
        if channel.credentials.is_empty() {
            let reason = "everyone with a credential is nobody: the channel needs none; name a file";
            return Err(Cut::Failed(reason.to_owned()));
        }
        let sources: Vec<(String, Duration)> =
            channel.credentials.iter().map(|stage| (stage.name.to_string(), stage.margin)).collect();
        tracing::debug!(run = %self.run, nominal = %nominal, "broadcast to everyone");
        let mut after: Option<String> = None;
        loop {
            let now = self.jobs.clock.now();
            let page = self
                .jobs
                .reader
                .recipients_with_credential(&channel.app, &sources, &template.scope, now, after.as_deref())
                .await;
            let page = match page.map_err(Refusal::from) {
                Ok(page) => page,
                // The store may have interrupted it: the same page is asked for again.
                Err(refusal) if refusal.class == Class::Unavailable => {
                    tracing::warn!(run = %self.run, "{refusal}");
                    self.pause().await?;
                    continue;
                }
                Err(refusal) => return Err(refusal.into()),
            };
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let submissions = page
                .into_iter()
                .map(|to| {
                    let mark = format!("to-{:016x}-{}", fingerprint(to.as_bytes()), to.len());
                    self.submission(Row { to, data: Map::new() }, &mark)
                })
                .collect();
            self.step(submissions).await?;
        }
    }

    /// Waits for the store to come back, or for the engine to stop.
    async fn pause(&mut self) -> Result<(), Cut> {
        tokio::select! {
            () = tokio::time::sleep(STEP_WAIT) => {}
            _ = self.stop.changed() => {}
        }
        if *self.stop.borrow() { Err(Cut::Stopped) } else { Ok(()) }
    }

    fn submission(&self, row: Row, mark: &str) -> Submission {
        let mut data = self.what.data.clone();
        data.extend(row.data);
        Submission {
            template: self.what.template.to_string(),
            to: row.to,
            data,
            key: Some(format!("{}/{mark}", self.run)),
            run: Some(self.run),
            priority: self.what.priority,
            ..Submission::default()
        }
    }

    fn refused(&mut self, problem: String) {
        self.count.refused += 1;
        if self.count.problems.len() < PROBLEMS_SHOWN {
            self.count.problems.push(problem);
        }
    }

    /// Accepts one step, however long the store takes to come back.
    async fn step(&mut self, submissions: Vec<Submission>) -> Result<(), Cut> {
        let now = self.jobs.clock.now();
        let mut messages = Vec::with_capacity(submissions.len());
        for submission in submissions {
            let to = submission.to.clone();
            let message = loop {
                let definitions = present(&self.jobs.present);
                match definitions.admission.message(submission.clone(), now).await {
                    // Its plugin is not there now: that is no fault of the row's.
                    Err(refusal) if refusal.class == Class::Unavailable => self.pause().await?,
                    answer => break answer,
                }
            };
            match message {
                Ok(message) => messages.push(message),
                Err(refusal) => self.refused(format!("{to}: {refusal}")),
            }
        }
        loop {
            if *self.stop.borrow() {
                return Err(Cut::Stopped);
            }
            match self.jobs.writer.accept(messages.clone()).await {
                Ok(accepted) => {
                    for (one, message) in accepted.into_iter().zip(&messages) {
                        match one {
                            Accepted::New(_) => self.count.accepted += 1,
                            Accepted::Repeat(_) => self.count.before += 1,
                            Accepted::Suppressed(_) => self.count.suppressed += 1,
                            // The row is not what it was before the interruption: nobody was told by this one.
                            Accepted::KeyTaken(_) => {
                                let to = message.recipient.clone();
                                self.refused(format!("{to}: the audience changed since this run began"));
                            }
                        }
                    }
                    let done = self.count.accepted + self.count.before;
                    let schedule = self.schedule.as_str().to_owned();
                    self.jobs.note(RunProgress { run: self.run, schedule, done, total: None, ended: None }).await;
                    return Ok(());
                }
                Err(refusal) if matches!(refusal.class, Class::Unavailable | Class::Full) => self.pause().await?,
                Err(refusal) => return Err(refusal.into()),
            }
        }
    }
}

type Step = Vec<(u64, Result<Row, RowProblem>)>;

/// Reads a file off the runtime, a step ahead and no more: a million rows take the memory of two steps.
fn read_in_steps(path: &Path) -> Result<mpsc::Receiver<Step>, Cut> {
    let mut rows = audience::rows(path).map_err(|error| {
        let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
        Cut::Failed(format!("{error}{cause}"))
    })?;
    let (sender, receiver) = mpsc::channel(1);
    // It ends with the file, or when nobody takes the next step.
    drop(tokio::task::spawn_blocking(move || {
        loop {
            let step: Step = rows.by_ref().take(ROWS_PER_STEP).collect();
            if step.is_empty() || sender.blocking_send(step).is_err() {
                return;
            }
        }
    }));
    Ok(receiver)
}
