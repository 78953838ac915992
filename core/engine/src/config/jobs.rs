//! `[schedules.NAME] job`: what a schedule does, and how long it may take.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use tidings_model::{AppName, State, TemplateName};
use toml::de::DeValue;

use super::apps::checked_url;
use super::read::{Found, Section, json, one_of, text, texts};
use super::{AppConfig, Names, Reading, Secret, SecretUse, TemplateConfig};

/// The longest a job may take. The keys by which a broadcast tells nobody twice are remembered for three times as long.
pub const DEADLINE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Backups kept in one folder at most.
const BACKUPS_MAX: u32 = 1000;
/// What a job may be, as a table says it.
const TASKS: [&str; 5] = ["refresh_token", "probe", "purge_messages", "backup", "send"];
/// Headers of an audience's requests.
const HEADERS_MAX: usize = 32;
/// How long the server of an audience may take for each part of an answer.
const URL_TIMEOUT: Duration = Duration::from_secs(30);
/// Beside what is sent one by one, a broadcast waits.
const BROADCAST_PRIORITY: i8 = -1;

/// What a schedule does.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What is done.
    pub task: Task,
    /// A run fails that is not at its end so long after it began. Time in which the engine was down counts.
    pub deadline: Duration,
}

/// What is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// Fetch a token for the app.
    RefreshToken(AppName),
    /// Ask the app's provider for a token, to see that it answers.
    Probe(AppName),
    /// Remove stale credentials.
    PurgeCredentials,
    /// Remove messages that ended in one of these states so long ago, before `keep_done` or `keep_failed` would.
    PurgeMessages {
        /// Terminal ones.
        states: Vec<State>,
        /// Since they ended.
        older_than: Duration,
    },
    /// Copy the store into a new file of the folder.
    Backup {
        /// Where.
        folder: PathBuf,
        /// So many copies stay, the newest.
        keep: u32,
    },
    /// Send a template to an audience.
    Send(Broadcast),
}

/// A template for an audience.
#[derive(Debug, Clone, PartialEq)]
pub struct Broadcast {
    /// What is said.
    pub template: TemplateName,
    /// To whom.
    pub audience: Audience,
    /// Data for everyone; a row's own data stands above it.
    pub data: Map<String, Value>,
    /// What becomes of a second row for the same recipient.
    pub duplicates: Duplicates,
    /// The priority of its messages.
    pub priority: i8,
}

/// What becomes of a second row for the same recipient in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// It is passed over and counted: one message a recipient.
    Skip,
    /// It is a message of its own.
    Send,
}

/// Who is told by a `send` job.
#[derive(Debug, Clone, PartialEq)]
pub enum Audience {
    /// The rows of a CSV or NDJSON file.
    File(PathBuf),
    /// Everyone with a usable credential for the template.
    Everyone,
    /// Rows that a server of yours gives in pages.
    Url(UrlAudience),
}

/// Where the pages of an audience are.
#[derive(Clone, PartialEq)]
pub struct UrlAudience {
    /// The first page. A secret may stand in it: it is shown without its path.
    pub url: String,
    /// Headers of each request.
    pub headers: Vec<(String, Secret)>,
    /// How long the server may take for each part of an answer.
    pub timeout: Duration,
}

impl UrlAudience {
    /// The address without its path and what may stand before its `@`.
    pub fn shown(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        format!("{scheme}://{}", host.rsplit('@').next().unwrap_or_default())
    }
}

impl fmt::Debug for UrlAudience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UrlAudience").field(&self.shown()).finish()
    }
}

impl From<Task> for Job {
    /// With the deadline of its kind.
    fn from(task: Task) -> Job {
        let deadline = Duration::from_secs(match &task {
            Task::RefreshToken(_) | Task::Probe(_) => 60,
            Task::PurgeCredentials | Task::PurgeMessages { .. } => 3600,
            Task::Backup { .. } => 6 * 3600,
            Task::Send(_) => 12 * 3600,
        });
        Job { task, deadline }
    }
}

impl Job {
    /// The job in a few words.
    pub fn describe(&self) -> String {
        match &self.task {
            Task::RefreshToken(app) => format!("refresh_token {app}"),
            Task::Probe(app) => format!("probe {app}"),
            Task::PurgeCredentials => "purge_credentials".to_owned(),
            Task::PurgeMessages { states, older_than } => {
                let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
                format!("purge_messages {} after {} s", states.join(","), older_than.as_secs())
            }
            Task::Backup { folder, keep } => format!("backup to {}, keep {keep}", folder.display()),
            Task::Send(Broadcast { template, audience, .. }) => match audience {
                Audience::File(path) => format!("send {template} to {}", path.display()),
                Audience::Everyone => format!("send {template} to everyone"),
                Audience::Url(url) => format!("send {template} to {}", url.shown()),
            },
        }
    }
}

impl Reading<'_> {
    /// The job of a schedule's section, if there is nothing wrong with it.
    pub(super) fn job(
        &self,
        section: &Section<'_>,
        apps: &Names<AppName, AppConfig>,
        templates: &Names<TemplateName, TemplateConfig>,
    ) -> Option<Job> {
        let task = match section.find("job") {
            Some(found) => self.task(section, &found, apps, templates),
            None => {
                section.missing(
                    "job",
                    "`\"purge_credentials\"`, `{ refresh_token = \"APP\" }` or `{ send = \"TEMPLATE\", audience = … }`",
                );
                None
            }
        };
        let deadline = section.parsed("deadline", |value| {
            let deadline = super::duration(&text(value)?)?;
            match deadline {
                Duration::ZERO => Err("a job without any time cannot be done".to_owned()),
                deadline if deadline > DEADLINE_MAX => Err("at most `24h`".to_owned()),
                deadline => Ok(deadline),
            }
        });
        let job = Job::from(task?);
        Some(Job { deadline: deadline.unwrap_or(job.deadline), ..job })
    }

    fn task<'c>(
        &self,
        section: &Section<'c>,
        found: &Found<'c>,
        apps: &Names<AppName, AppConfig>,
        templates: &Names<TemplateName, TemplateConfig>,
    ) -> Option<Task> {
        const JOBS: &str = "expected `\"purge_credentials\"`, `{ purge_messages = { older_than = \"7d\" } }`, \
                            `{ refresh_token = \"APP\" }`, `{ probe = \"APP\" }`, `{ backup = \"FOLDER\" }` or \
                            `{ send = \"TEMPLATE\", audience = … }`";
        if let Some(word) = found.value.as_str() {
            if word == "purge_credentials" {
                return Some(Task::PurgeCredentials);
            }
            section.report(&found.span, &found.path, format!("there is no job `{word}`; {JOBS}"));
            return None;
        }
        let table = section.as_section(found)?;
        let named = TASKS.iter().filter(|task| found.value.as_table().is_some_and(|table| table.get(**task).is_some()));
        if named.clone().count() > 1 {
            let named: Vec<&str> = named.copied().collect();
            section.report(&found.span, &found.path, format!("a job does one thing; found: {}", named.join(", ")));
            return None;
        }
        let app = |key: &'static str| {
            table.parsed(key, |value| {
                let app = text(value)?;
                apps.refers("app", &app)?;
                AppName::new(app).map_err(|error| error.to_string())
            })
        };
        let task = if table.find("refresh_token").is_some() {
            app("refresh_token").map(Task::RefreshToken)
        } else if table.find("probe").is_some() {
            app("probe").map(Task::Probe)
        } else if let Some(found) = table.find("purge_messages") {
            table.as_section(&found).and_then(purge)
        } else if let Some(found) = table.find("backup") {
            if !self.in_a_file {
                let message = "the store is in PostgreSQL, whose databases are copied by `pg_dump` or what your server's keeper \
                               uses; this job copies a file";
                section.report(&found.span, &found.path, message);
            }
            let folder = table.text("backup").filter(|folder| !folder.is_empty());
            let keep = table.number("keep", 1..=BACKUPS_MAX).unwrap_or(7);
            folder.map(|folder| Task::Backup { folder: self.folder.join(folder), keep })
        } else if table.find("send").is_some() {
            self.send(&table, templates).map(Task::Send)
        } else {
            section.report(&found.span, &found.path, JOBS);
            None
        };
        table.finish();
        task
    }

    fn send(&self, table: &Section<'_>, templates: &Names<TemplateName, TemplateConfig>) -> Option<Broadcast> {
        let template = table.parsed("send", |value| {
            let template = text(value)?;
            templates.refers("template", &template)?;
            TemplateName::new(template).map_err(|error| error.to_string())
        });
        let data = match table.find("data").map(|found| (json(found.value), found)) {
            Some((Value::Object(data), _)) => data,
            Some((_, found)) => {
                table.report(&found.span, &found.path, "expected a table");
                return None;
            }
            None => Map::new(),
        };
        let duplicates = match table.choice("duplicates", &["skip", "send"]) {
            Some("send") => Duplicates::Send,
            _ => Duplicates::Skip,
        };
        let priority = table.parsed("priority", |value| {
            let digits = value.as_integer().and_then(|digits| i8::from_str_radix(digits.as_str(), digits.radix()).ok());
            digits.ok_or_else(|| "expected a whole number from -128 to 127".to_owned())
        });
        let audience = self.audience(table);
        let priority = priority.unwrap_or(BROADCAST_PRIORITY);
        Some(Broadcast { template: template?, audience: audience?, data, duplicates, priority })
    }

    fn audience(&self, table: &Section<'_>) -> Option<Audience> {
        const AUDIENCES: &str = "`{ file = \"rows.csv\" }`, `{ url = \"https://…\" }` or `\"everyone\"`";
        let Some(found) = table.find("audience") else {
            table.missing("audience", AUDIENCES);
            return None;
        };
        if found.value.as_str() == Some("everyone") {
            return Some(Audience::Everyone);
        }
        let Some(inner) = found.value.as_table().and_then(|_| table.as_section(&found)) else {
            table.report(&found.span, &found.path, format!("expected {AUDIENCES}"));
            return None;
        };
        let audience = if inner.find("url").is_some() {
            self.url_audience(&inner).map(Audience::Url)
        } else {
            let file = inner.text("file").map(|path| Audience::File(self.folder.join(path)));
            if file.is_none() {
                inner.missing("file", "a CSV or NDJSON file; or `url`, where its pages are");
            }
            file
        };
        inner.finish();
        audience
    }

    fn url_audience(&self, inner: &Section<'_>) -> Option<UrlAudience> {
        let found = inner.find("url")?;
        let url = match found.value.as_str() {
            Some(url) => url.to_owned(),
            None => self.secret(inner, &found, SecretUse::Theirs)?.reveal().to_owned(),
        };
        let url = match checked_url(&url).and_then(|url| {
            reqwest::Url::parse(&url).map(drop).map_err(|error| format!("cannot be read as an address: {error}"))?;
            Ok(url)
        }) {
            Ok(url) => url,
            Err(message) => {
                inner.report(&found.span, &found.path, message);
                return None;
            }
        };
        let timeout = inner.duration("timeout").unwrap_or(URL_TIMEOUT);
        let headers = match inner.section("headers") {
            Some(section) => self.audience_headers(&section)?,
            None => Vec::new(),
        };
        Some(UrlAudience { url, headers, timeout })
    }

    fn audience_headers(&self, section: &Section<'_>) -> Option<Vec<(String, Secret)>> {
        let (mut headers, mut whole) = (Vec::new(), true);
        for (count, (name, found)) in section.entries().into_iter().enumerate() {
            let value = match found.value.as_str() {
                Some(plain) => Some(Secret::new(plain)),
                None => self.secret(section, &found, SecretUse::Theirs),
            };
            let problem = match &value {
                _ if count == HEADERS_MAX => Some(format!("more than {HEADERS_MAX} headers")),
                _ if HeaderName::from_bytes(name.as_bytes()).is_err() => Some("is no name of a header".to_owned()),
                Some(value) if HeaderValue::from_str(value.reveal()).is_err() => {
                    Some("its value has characters that a header cannot have".to_owned())
                }
                _ => None,
            };
            whole &= value.is_some() && problem.is_none();
            if let Some(problem) = problem {
                section.report(&found.span, &found.path, problem);
            }
            headers.extend(value.map(|value| (name.to_owned(), value)));
        }
        whole.then_some(headers)
    }
}

/// Which messages leave, and when.
fn purge(inner: Section<'_>) -> Option<Task> {
    let states = match inner.find("states") {
        None => Some(vec![State::Sent, State::Delivered, State::Expired, State::Cancelled]),
        Some(_) => inner.parsed("states", terminal_states),
    };
    let older_than = inner.duration("older_than");
    if older_than.is_none() && inner.find("older_than").is_none() {
        inner.missing("older_than", "how long ago they ended, as in `7d`");
    }
    inner.finish();
    Some(Task::PurgeMessages { states: states?, older_than: older_than? })
}

/// States in which messages stay until they leave.
fn terminal_states(value: &DeValue<'_>) -> Result<Vec<State>, String> {
    let terminal: Vec<State> = State::ALL.into_iter().filter(|state| state.is_terminal()).collect();
    let known: Vec<&str> = terminal.iter().map(|state| state.as_str()).collect();
    let words = texts(value)?;
    if words.is_empty() {
        return Err(format!("name one at least of {}", known.join(", ")));
    }
    let find = |word: &String| {
        let state = terminal.iter().find(|state| state.as_str() == word);
        state.copied().ok_or_else(|| one_of(word, &known))
    };
    words.iter().map(find).collect()
}
