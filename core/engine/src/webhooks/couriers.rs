//! The couriers: one for each webhook, which posts what is due and hands what came of it to the writer.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_model::limits::NOTICES_IN_FLIGHT_MAX;
use tidings_model::{Clock, NoticeId, WebhookName};
use tidings_sdk::{Method, Request};
use tidings_store::{Lease, NoticeRow, NoticeSettle, Reader};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::desk::Desk;
use super::sign::signature;
use super::verdict::{Answer, Before, Fate, Verdict, judge};
use super::{WebhookConfig, WebhookView};
use crate::clock::random;
use crate::definitions::{Present, present};
use crate::events::{Besides, EventKind, What};
use crate::http::{Exchange, Http};
use crate::writer::WriterHandle;

/// How long one post may take.
const POST_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest sleep of a courier: a clock that was set is noticed within it.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Between two looks whether it is this engine that posts.
const LEAD_WAIT: Duration = Duration::from_secs(1);
/// After the store did not answer.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// Starts a courier for each webhook there is, and ends those of webhooks that are gone.
pub(crate) struct Couriers {
    /// One engine posts for all that share a store.
    pub(crate) lease: Lease,
    pub(crate) mail: Mail,
    pub(crate) present: Present,
    pub(crate) stop: watch::Receiver<bool>,
}

/// What couriers need.
#[derive(Clone)]
pub(crate) struct Mail {
    pub(crate) desk: Arc<Desk>,
    pub(crate) http: Http,
    pub(crate) reader: Reader,
    pub(crate) writer: WriterHandle,
    pub(crate) clock: Arc<dyn Clock>,
    /// What tells this store's notices from another's.
    pub(crate) instance: Arc<str>,
}

impl Couriers {
    /// Runs until the engine stops, and ends when every post that was on its way is settled.
    pub(crate) async fn run(mut self) {
        let mut couriers = JoinSet::new();
        let mut running: BTreeMap<WebhookName, tokio::task::AbortHandle> = BTreeMap::new();
        loop {
            let definitions = Arc::clone(&self.present.borrow_and_update());
            for name in definitions.config.webhooks.keys() {
                let is_running = running.get(name).is_some_and(|courier| !courier.is_finished());
                if !is_running {
                    let courier = Courier {
                        name: name.clone(),
                        lease: self.lease.clone(),
                        mail: self.mail.clone(),
                        present: self.present.clone(),
                        stop: self.stop.clone(),
                        under_way: HashSet::new(),
                    };
                    running.insert(name.clone(), couriers.spawn(courier.run()));
                }
            }
            running.retain(|name, _| definitions.config.webhooks.contains_key(name));
            tokio::select! {
                _ = self.stop.wait_for(|stop| *stop) => break,
                changed = self.present.changed() => if changed.is_err() { break },
                Some(_) = couriers.join_next() => {}
            }
        }
        while couriers.join_next().await.is_some() {}
    }
}

struct Courier {
    name: WebhookName,
    lease: Lease,
    mail: Mail,
    present: Present,
    stop: watch::Receiver<bool>,
    /// Posts whose outcome is not on disk.
    under_way: HashSet<NoticeId>,
}

/// What came of a post.
type Posted = (NoticeRow, Answer);

impl Courier {
    async fn run(mut self) {
        let mut posts: JoinSet<Posted> = JoinSet::new();
        let wake = self.mail.desk.look(&self.name).wake;
        loop {
            let config = present(&self.present).config.webhooks.get(&self.name).cloned();
            let stops = *self.stop.borrow();
            let sleep = match config {
                Some(config) if !stops => self.send_out(&config, &mut posts).await,
                // The engine stops, or config has no such webhook any more: what is on its way ends.
                _ if posts.is_empty() => return,
                _ => SLEEP_MAX,
            };
            tokio::select! {
                Some(posted) = posts.join_next(), if !posts.is_empty() => {
                    let mut all: Vec<Posted> = posted.into_iter().collect();
                    while let Some(more) = posts.try_join_next() {
                        all.extend(more);
                    }
                    self.settle(all).await;
                }
                () = wake.notified() => {}
                () = tokio::time::sleep(sleep) => {}
                _ = self.stop.changed(), if !stops => {}
                _ = self.present.changed() => {}
            }
        }
    }

    /// Posts what is due and has room, and says when to look again.
    async fn send_out(&mut self, config: &Arc<WebhookConfig>, posts: &mut JoinSet<Posted>) -> Duration {
        if !self.lease.leads() {
            return LEAD_WAIT;
        }
        let (now, stand) = (self.mail.clock.now(), self.mail.desk.look(&self.name));
        if stand.kept.disabled.is_some() || stand.pending == 0 {
            return SLEEP_MAX;
        }
        if let Some(until) = stand.rest_until.filter(|until| *until > now) {
            return until.since(now).min(SLEEP_MAX);
        }
        // Whoever fails is asked with one notice whether it is back.
        let most = if stand.kept.failing_since.is_some() { 1 } else { NOTICES_IN_FLIGHT_MAX };
        let busy = u32::try_from(self.under_way.len()).unwrap_or(u32::MAX);
        let mut room = most.saturating_sub(busy);
        if room == 0 {
            return SLEEP_MAX;
        }
        let rows = match self.mail.reader.notices(&self.name, busy + room + 1).await {
            Ok(rows) => rows,
            Err(error) => {
                let what = format_args!("look for what webhook `{}` is to be told: {error}", self.name);
                self.mail.writer.warn_unless_away(what);
                return STORE_WAIT;
            }
        };
        for row in rows {
            if self.under_way.contains(&row.id) {
                continue;
            }
            if row.due_at > now {
                return row.due_at.since(now).min(SLEEP_MAX);
            }
            if room == 0 {
                break;
            }
            room -= 1;
            self.under_way.insert(row.id);
            let (mail, config) = (self.mail.clone(), Arc::clone(config));
            posts.spawn(async move {
                let id = format!("evt_{}_{}", mail.instance, row.id.0);
                let body = body(&row.event, row.happened_at.to_rfc3339(), &row.data);
                let answer = post(&mail, &config, &id, body).await;
                (row, answer)
            });
        }
        SLEEP_MAX
    }

    async fn settle(&mut self, posted: Vec<Posted>) {
        let now = self.mail.clock.now();
        let mut stand = self.mail.desk.look(&self.name);
        let mut settle =
            NoticeSettle { webhook: self.name.clone(), done: Vec::new(), again: Vec::new(), standing: stand.kept };
        let mut besides: Vec<Besides> = Vec::new();
        for (row, answer) in &posted {
            let attempts = row.attempts.saturating_add(1);
            let before = Before { attempts, failing_since: settle.standing.failing_since, failures: stand.failures };
            let Verdict { fate, found, disable, rest_until } = judge(answer, before, now, random());
            if fate == Fate::Told {
                if settle.standing.failing_since.is_some() {
                    tracing::info!(webhook = %self.name, "webhook takes notices again");
                }
                settle.standing.failing_since = None;
                (stand.failures, stand.rest_until) = (0, None);
                stand.told += 1;
            } else {
                if settle.standing.failing_since.is_none() {
                    tracing::warn!(webhook = %self.name, "webhook does not take a notice: {found}");
                }
                settle.standing.failing_since.get_or_insert(now);
                stand.failures = stand.failures.saturating_add(1);
                stand.rest_until = stand.rest_until.max(rest_until);
                stand.last_failure = Some((now, found.clone()));
            }
            match fate {
                Fate::Told => settle.done.push(row.id),
                Fate::Again(due_at) => settle.again.push((row.id, attempts, due_at, found)),
                Fate::GivenUp => {
                    tracing::error!(webhook = %self.name, notice = %row.id, "a notice is given up: {found}");
                    settle.standing.given_up += 1;
                    settle.done.push(row.id);
                }
            }
            if let Some(reason) = disable.filter(|_| settle.standing.disabled.is_none()) {
                tracing::error!(webhook = %self.name, "webhook is told nothing more until `tidings webhooks resume`: {reason}");
                let webhook = Arc::from(self.name.as_str());
                besides.push((EventKind::WebhookDisabled, What::Webhook { webhook, reason: reason.clone() }));
                settle.standing.disabled = Some((now, reason));
            }
        }
        // In force at once: nothing goes out against it while it is written.
        let kept = settle.standing.clone();
        self.mail.desk.change(&self.name, |known| {
            known.kept = tidings_store::WebhookStanding { dropped: known.kept.dropped, ..kept };
            (known.told, known.failures, known.rest_until) = (stand.told, stand.failures, stand.rest_until);
            known.last_failure = stand.last_failure;
        });
        if let Err(refusal) = self.mail.writer.settle_notices(settle, besides).await {
            // They go out once more, under the same ids.
            self.mail.writer.warn_unless_away(format_args!("write what webhook `{}` was told: {refusal}", self.name));
            tokio::time::sleep(STORE_WAIT).await;
        }
        for (row, _) in &posted {
            self.under_way.remove(&row.id);
        }
    }
}

/// The body of a post: `{"type":…,"timestamp":…,"data":{…}}`.
fn body(event: &str, timestamp: String, data: &str) -> String {
    let mut object = crate::events::Object::new();
    object.text("type", event);
    object.text("timestamp", &timestamp);
    object.raw("data", data);
    object.end()
}

/// Posts a signed body, and says what came of it.
pub(crate) async fn post(mail: &Mail, config: &WebhookConfig, id: &str, body: String) -> Answer {
    let timestamp_s = mail.clock.now().0.div_euclid(1000);
    let signature = signature(&config.secrets, id, timestamp_s, &body);
    let request = Request {
        method: Method::Post,
        url: config.url.clone(),
        headers: vec![
            ("content-type".into(), "application/json".into()),
            ("webhook-id".into(), id.to_owned().into()),
            ("webhook-timestamp".into(), timestamp_s.to_string().into()),
            ("webhook-signature".into(), signature.into()),
        ],
        body: body.into_bytes(),
    };
    match mail.http.send(request, POST_TIMEOUT).await {
        Exchange::Answered { status, retry_after, .. } => Answer::Status(status, retry_after),
        Exchange::NotSent(found) => Answer::Nothing(format!("not sent: {found}")),
        Exchange::Lost(found) => Answer::Nothing(format!("no whole answer: {found}")),
    }
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Whether the receiver took it.
    pub taken: bool,
    /// What it answered, or what was found instead.
    pub found: String,
    /// How long it took.
    pub took: Duration,
}

impl Mail {
    /// Posts one notice of the type `webhook.test` that is in no store, once.
    pub(crate) async fn test(&self, name: &WebhookName, config: &WebhookConfig) -> Tested {
        let now = self.clock.now();
        let mut data = crate::events::Object::new();
        data.text("webhook", name.as_str());
        let id = format!("evt_{}_test_{}", self.instance, now.0);
        let begun = Instant::now();
        let answer = post(self, config, &id, body("webhook.test", now.to_rfc3339(), &data.end())).await;
        let before = Before { attempts: 1, failing_since: None, failures: 0 };
        let verdict = judge(&answer, before, now, random());
        let taken = verdict.fate == Fate::Told;
        let found = match &answer {
            Answer::Status(status, _) if taken => format!("HTTP {status}"),
            _ => verdict.found,
        };
        Tested { taken, found, took: begun.elapsed() }
    }

    /// The webhook as people see it.
    pub(crate) fn view(&self, name: &WebhookName, config: &Arc<WebhookConfig>) -> WebhookView {
        let stand = self.desk.look(name);
        WebhookView {
            name: name.clone(),
            config: Arc::clone(config),
            standing: stand.kept,
            pending: stand.pending,
            told: stand.told,
            last_failure: stand.last_failure,
        }
    }
}
