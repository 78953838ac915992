//! What others may ask of a running engine: the API, the command line, tests.

use std::sync::Arc;

use tidings_model::limits::EVENT_READERS_MAX;
use tidings_model::trace::{SpanId, TraceContext, TraceId};
use tidings_model::{AppName, ChannelName, Clock, MessageId, State, Timestamp, WebhookName};
use tidings_sdk::Intake;
use tidings_store::{
    Accepted, AppHalt, ChannelId, Counts, CredentialIntake, Lease, MessageRow, NewMessage, Reader, TemplateId, TokenRow,
};

use crate::acts::By;
use crate::admit::Submission;
use crate::config::ChannelConfig;
use crate::definitions::{Definitions, Present, present};
use crate::events::{Begin, EventFilter, EventReader, Happened, Ring};
use crate::jobs::Jobs;
use crate::keys::Keys;
use crate::lanes::LaneState;
use crate::measure::Measures;
use crate::reach::Forecaster;
use crate::refusal::{Class, Refusal};
use crate::registry::PluginView;
use crate::scheduler::ScheduleDesk;
use crate::suppression::suppressed;
use crate::telemetry::{Exported, Span, SpanKind, Telemetry};
use crate::token::{Keeper, Trouble};
use crate::trace;
use crate::webhooks::{Mail, Tested, WebhookConfig, WebhookView};
use crate::writer::{SharedLanes, WriterHandle, WriterRuntime, look};

/// Changes shown to whoever looks once: a screenful, not a history.
const RECENT_MAX: usize = 64;

/// A running engine, for whoever asks of it. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) present: Present,
    pub(crate) lanes: SharedLanes,
    pub(crate) ring: Arc<Ring>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) mail: Mail,
    pub(crate) reader: Reader,
    pub(crate) writer: WriterHandle,
    /// Which of the engines that share the store this one is.
    pub(crate) lease: Lease,
    pub(crate) schedule_desk: ScheduleDesk,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started_at: Timestamp,
    /// Held while config is read again.
    pub(crate) reloading: tokio::sync::Mutex<()>,
    /// Held while a backup is made.
    pub(crate) backing_up: Arc<tokio::sync::Mutex<()>>,
    pub(crate) jobs: Arc<Jobs>,
    /// What the ledger is good for, as it was found last.
    pub(crate) forecaster: Forecaster,
    pub(crate) measures: Arc<Measures>,
    pub(crate) telemetry: Telemetry,
    /// What tells this store from another.
    pub(crate) instance: String,
    /// The reader's first connection was made there.
    pub(crate) _runtime: Arc<WriterRuntime>,
}

impl std::fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineHandle").field("started_at", &self.shared.started_at).finish_non_exhaustive()
    }
}

/// A message that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// The message; `None` in a dry run.
    pub message: Option<MessageId>,
    /// Where it stands; `None` if it ended and has left the store since.
    pub state: Option<State>,
    /// Whether the same request had been accepted before.
    pub replayed: bool,
    /// The trace that it belongs to; `None` in a dry run.
    pub trace: Option<TraceId>,
}

/// A channel, for people.
#[derive(Debug, Clone)]
pub struct ChannelView {
    /// Its name.
    pub name: ChannelName,
    /// Its definition.
    pub config: Arc<ChannelConfig>,
    /// Whether it claims.
    pub state: LaneState,
    /// Messages on their way.
    pub in_flight: u32,
}

/// A token, for people, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenView {
    /// The app.
    pub app: AppName,
    /// `none`, `valid`, `expired`, `waiting`, `exhausted` or `halted`.
    pub state: &'static str,
    /// When it was fetched.
    pub fetched_at: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Fetches on the provider's present day.
    pub fetches_today: u32,
    /// How many the day has.
    pub fetches_max: Option<u32>,
    /// What is wrong.
    pub problem: Option<String>,
}

impl EngineHandle {
    /// What config defines now.
    pub(crate) fn definitions(&self) -> Arc<Definitions> {
        present(&self.shared.present)
    }

    /// Accepts messages. The answer has one entry each, in order; when it is there, what it says is on disk.
    pub async fn submit(&self, submissions: Vec<Submission>) -> Vec<Result<Submitted, Refusal>> {
        let begun = self.shared.clock.now();
        let (mut answers, places, mut messages) = self.admit(submissions).await;
        if places.is_empty() {
            return answers;
        }
        let named = trace::current();
        if let Some(context) = named {
            messages.iter_mut().for_each(|message| message.trace = Some(context.to_string()));
        }
        let said: Vec<(ChannelId, TemplateId)> = match self.intake_is_told() {
            true => messages.iter().map(|message| (message.channel, message.template)).collect(),
            false => Vec::new(),
        };
        match self.shared.writer.accept(messages).await {
            Ok(accepted) => {
                for (index, (place, one)) in places.into_iter().zip(accepted).enumerate() {
                    let Accepted::New(message) = one else {
                        answers[place] = self.not_new(one).await;
                        continue;
                    };
                    // Where it stands was said when it was admitted.
                    if let Ok(submitted) = &mut answers[place] {
                        submitted.message = Some(message);
                        submitted.trace = Some(self.trace_of(message, named.as_ref()));
                    }
                    if let Some(said) = said.get(index) {
                        self.tell_intake(message, *said, begun, named.as_ref());
                    }
                }
            }
            Err(refusal) => {
                for place in places {
                    answers[place] = Err(refusal.clone());
                }
            }
        }
        answers
    }

    /// Checks messages as [`EngineHandle::submit`] would, and accepts none.
    pub async fn dry_run(&self, submissions: Vec<Submission>) -> Vec<Result<Submitted, Refusal>> {
        let (mut answers, places, messages) = self.admit(submissions).await;
        for (place, message) in places.into_iter().zip(messages) {
            match self.suppression_of(&message).await {
                Ok(None) => {}
                Ok(Some(row)) => answers[place] = Err(suppressed(row.expires_at)),
                Err(refusal) => answers[place] = Err(refusal),
            }
        }
        answers
    }

    /// Answers with a no, or with what a yes would be; and the places of the yeses, and their messages.
    async fn admit(
        &self,
        submissions: Vec<Submission>,
    ) -> (Vec<Result<Submitted, Refusal>>, Vec<usize>, Vec<NewMessage>) {
        let now = self.shared.clock.now();
        let definitions = self.definitions();
        let count = submissions.len();
        let (mut answers, mut places) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut messages = Vec::with_capacity(count);
        for (place, submission) in submissions.into_iter().enumerate() {
            answers.push(definitions.admission.message(submission, now).await.map(|message| {
                let state = state_of(message.send_at, now);
                places.push(place);
                messages.push(message);
                Submitted { message: None, state: Some(state), replayed: false, trace: None }
            }));
        }
        (answers, places, messages)
    }

    /// Where a message stands that was accepted before. It may have ended and left: its key is remembered longer.
    async fn stand(&self, message: MessageId) -> Result<Option<MessageRow>, Refusal> {
        Ok(self.shared.reader.message(message).await?.map(|(row, _)| row))
    }

    /// The trace of a message: the one its caller named, or else its own.
    pub fn trace_of(&self, message: MessageId, named: Option<&TraceContext>) -> TraceId {
        named.map_or_else(|| TraceId::of_message(&self.shared.instance, message), |context| context.trace)
    }

    /// What became of spans; `None` where no collector is named.
    pub fn exported(&self) -> Option<Exported> {
        self.shared.telemetry.counted()
    }

    /// Whether anybody is told of each message that is taken in.
    fn intake_is_told(&self) -> bool {
        self.shared.telemetry.is_on() || tracing::enabled!(tracing::Level::DEBUG)
    }

    fn tell_intake(
        &self,
        message: MessageId,
        (channel, template): (ChannelId, TemplateId),
        begun: Timestamp,
        named: Option<&TraceContext>,
    ) {
        let trace = self.trace_of(message, named);
        tracing::debug!(id = %message, trace_id = %trace, "message accepted");
        if named.is_some_and(|context| !context.sampled) {
            return;
        }
        self.shared.telemetry.span(|| {
            let definitions = self.definitions();
            let channel = definitions.channels.get(&channel).map_or("", |(name, _)| name.as_str());
            let template = definitions.template_name(template).map_or("", |name| name.as_str());
            Span {
                trace,
                id: SpanId::of_intake(&self.shared.instance, message),
                parent: named.map(|context| context.parent),
                name: "intake",
                kind: SpanKind::Server,
                started_at: begun,
                ended_at: self.shared.clock.now(),
                attributes: vec![
                    ("tidings.message", message.to_string().as_str().into()),
                    ("tidings.channel", channel.into()),
                    ("tidings.template", template.into()),
                ],
                error: None,
            }
        });
    }

    /// The answer for a message that was not taken as a new one.
    async fn not_new(&self, one: Accepted) -> Result<Submitted, Refusal> {
        match one {
            Accepted::New(_) => unreachable!("a new message is answered for where it was admitted"),
            Accepted::Repeat(message) => {
                let row = self.stand(message).await?;
                let named = row.as_ref().and_then(|row| TraceContext::read(row.trace.as_deref()?));
                let trace = Some(self.trace_of(message, named.as_ref()));
                Ok(Submitted { message: Some(message), state: row.map(|row| row.state), replayed: true, trace })
            }
            Accepted::Suppressed(until) => Err(suppressed(until)),
            Accepted::RunOver => unreachable!("a caller's message is of no run"),
            Accepted::KeyTaken(message) => Err(Refusal::new(
                Class::Invalid,
                "key-taken",
                format!("the idempotency key belongs to {message}, which another request made; use a new key"),
            )),
        }
    }

    /// Takes credentials of one source into the ledger. The answer has one entry each, in order.
    pub async fn add_credentials(
        &self,
        source: &str,
        app: Option<&str>,
        intakes: Vec<Intake>,
    ) -> Result<Vec<Result<CredentialIntake, String>>, Refusal> {
        let definitions = self.definitions();
        let (stage, app) = definitions.admission.stage(source, app)?;
        let now = self.shared.clock.now();
        let mut news = Vec::new();
        let mut answers: Vec<Result<CredentialIntake, String>> = Vec::with_capacity(intakes.len());
        for intake in &intakes {
            let credential = definitions.admission.credential(stage, &app, intake, now).await?;
            answers.push(credential.map(|credential| {
                news.push(credential);
                CredentialIntake::Repeated
            }));
        }
        if news.is_empty() {
            return Ok(answers);
        }
        let mut taken = self.shared.writer.credentials(news).await?.into_iter();
        for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
            *answer = Ok(taken.next().expect("the store answers for each credential"));
        }
        Ok(answers)
    }

    pub(crate) fn channel_id(&self, name: &str) -> Result<ChannelId, Refusal> {
        self.definitions().admission.channels.get(name).copied().ok_or_else(|| channel_unknown(name))
    }

    /// The channels by name.
    pub fn channels(&self) -> Vec<ChannelView> {
        let now = self.shared.clock.now();
        let lanes = look(&self.shared.lanes);
        let mut views: Vec<ChannelView> = lanes
            .lanes
            .values()
            .filter(|lane| !lane.gone)
            .map(|lane| ChannelView {
                name: lane.name.clone(),
                config: Arc::clone(&lane.config),
                state: lanes.state(lane, now),
                in_flight: lane.in_flight,
            })
            .collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// The messages that changed last, newest first.
    pub fn recent(&self) -> Vec<Happened> {
        self.shared.ring.recent(RECENT_MAX)
    }

    /// Reads along with what happens.
    pub fn events(&self, filter: EventFilter, begin: Begin) -> Result<EventReader, Refusal> {
        EventReader::new(&self.shared.ring, filter, begin).ok_or_else(|| {
            let detail = format!("{EVENT_READERS_MAX} read along already; come again later, or poll the lists");
            Refusal::new(Class::Unavailable, "too-many-readers", detail)
        })
    }

    /// How many read along now.
    pub fn event_readers(&self) -> usize {
        self.shared.ring.readers()
    }

    /// The webhooks by name.
    pub fn webhooks(&self) -> Vec<WebhookView> {
        let config = Arc::clone(&self.definitions().config);
        config.webhooks.iter().map(|(name, webhook)| self.shared.mail.view(name, webhook)).collect()
    }

    /// Sets a webhook going that is told nothing more, and has what waits for it told now.
    pub async fn resume_webhook(&self, name: &str, by: &By) -> Result<WebhookView, Refusal> {
        let (name, config) = self.webhook(name)?;
        self.shared.writer.resume_webhook(name.clone(), by.entry("webhook.resume", name.as_str())).await?;
        Ok(self.shared.mail.view(&name, &config))
    }

    /// Posts a notice that says nothing to a webhook, once, and says what came of it.
    pub async fn test_webhook(&self, name: &str) -> Result<Tested, Refusal> {
        let (name, config) = self.webhook(name)?;
        Ok(self.shared.mail.test(&name, &config).await)
    }

    fn webhook(&self, name: &str) -> Result<(WebhookName, Arc<WebhookConfig>), Refusal> {
        let definitions = self.definitions();
        let found = definitions.config.webhooks.get_key_value(name);
        found.map(|(name, config)| (name.clone(), Arc::clone(config))).ok_or_else(|| {
            Refusal::not_found("webhook-unknown", format!("there is no webhook `{}`", name.escape_debug()))
        })
    }

    /// Outcomes since the start that came too late and changed nothing.
    pub fn late_outcomes(&self) -> u64 {
        look(&self.shared.lanes).late_outcomes
    }

    /// Why the store takes no new messages, if it does not.
    pub fn store_problem(&self) -> Option<String> {
        look(&self.shared.lanes).store_problem.clone()
    }

    /// What is wrong with this engine's clock, if nothing may be decided by it.
    pub fn clock_problem(&self) -> Option<String> {
        look(&self.shared.lanes).clock_problem.clone()
    }

    /// Whether the engine is stopping.
    pub fn is_draining(&self) -> bool {
        look(&self.shared.lanes).draining
    }

    /// How many messages of each channel are in each state.
    pub async fn counts(&self) -> Result<Counts, Refusal> {
        Ok(self.shared.reader.counts().await?)
    }

    /// The plugins by name.
    pub fn plugins(&self) -> Vec<PluginView> {
        self.definitions().config.plugins.views()
    }

    /// The tokens by app.
    pub fn tokens(&self) -> Vec<TokenView> {
        let now = self.shared.clock.now();
        let definitions = self.definitions();
        let mut keepers: Vec<(&AppName, &Arc<Keeper>)> = definitions.keepers.iter().collect();
        keepers.sort_by_key(|(app, _)| *app);
        keepers.into_iter().map(|(app, keeper)| self.token_view(app, keeper, now)).collect()
    }

    fn token_view(&self, app: &AppName, keeper: &Keeper, now: Timestamp) -> TokenView {
        let (row, trouble) = keeper.look();
        let halt = look(&self.shared.lanes).halts.get(app).and_then(|halt| halt.halted.clone());
        let halted = halt.is_some();
        let problem =
            halt.map(|(_, reason)| reason).or_else(|| trouble.as_ref().map(|trouble| trouble.detail().to_owned()));
        TokenView {
            app: app.clone(),
            state: if halted { "halted" } else { token_state(&row, trouble.as_ref(), now) },
            fetched_at: row.fetched_at,
            expires_at: row.expires_at,
            fetches_today: keeper.fetches_today(),
            fetches_max: keeper.fetches_max(),
            problem,
        }
    }

    /// Fetches a token now, and sets a halted app going again.
    pub async fn refresh_token(&self, app: &str, by: &By) -> Result<TokenView, Refusal> {
        let definitions = self.definitions();
        let Some((name, keeper)) = definitions.keepers.get_key_value(app) else {
            let known = definitions.keepers.keys().map(AppName::as_str).collect::<Vec<_>>().join(", ");
            return Err(Refusal::not_found("app-unknown", format!("no app `{app}` has tokens; there are: {known}")));
        };
        match keeper.refresh().await {
            Ok(()) => {
                let fingerprint = definitions.config.apps[name].fingerprint.clone();
                let halt = AppHalt { app: name.clone(), fingerprint, halted: None };
                self.shared.writer.lift_halt(halt, by.entry("token.refresh", name.as_str())).await?;
                Ok(self.token_view(name, keeper, self.shared.clock.now()))
            }
            Err(trouble) => Err(Refusal::new(Class::Unavailable, "token", trouble.detail())),
        }
    }

    /// What the engine has counted since its start.
    pub fn measures(&self) -> &Arc<Measures> {
        &self.shared.measures
    }

    /// Whether metrics are for anybody, without a key.
    pub fn metrics_are_open(&self) -> bool {
        self.definitions().config.api.metrics_open
    }

    /// How many pieces of work wait for the writer, and how many could.
    pub fn writer_queue(&self) -> (usize, usize) {
        self.shared.writer.queue()
    }

    /// The channels' numbers in the store.
    pub fn channel_ids(&self) -> Vec<(ChannelId, ChannelName)> {
        self.definitions().channels.iter().map(|(id, (name, _))| (*id, name.clone())).collect()
    }

    /// Where the store is, if it is a file.
    pub fn store_file(&self) -> Option<std::path::PathBuf> {
        self.definitions().config.store.file().map(std::path::Path::to_path_buf)
    }

    /// Reads what is in the store.
    pub fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    /// The engine's clock.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Since when it runs.
    pub fn started_at(&self) -> Timestamp {
        self.shared.started_at
    }
}

fn state_of(send_at: Option<Timestamp>, now: Timestamp) -> State {
    if send_at.is_some_and(|at| at > now) { State::Scheduled } else { State::Queued }
}

fn token_state(row: &TokenRow, trouble: Option<&Trouble>, now: Timestamp) -> &'static str {
    let valid = row.value.is_some() && row.expires_at.is_some_and(|end| now < end);
    match trouble {
        // The last refresh was refused for good, while sends still go on with the token there is.
        Some(Trouble::Halt { .. }) if !valid => "halted",
        Some(Trouble::Exhausted { until, .. }) if now < *until => "exhausted",
        Some(Trouble::Wait { until, .. }) if now < *until => "waiting",
        _ if valid => "valid",
        _ if row.value.is_some() => "expired",
        _ => "none",
    }
}

pub(crate) fn message_unknown(message: MessageId) -> Refusal {
    Refusal::not_found("message-unknown", format!("there is no message {message}"))
}

pub(crate) fn channel_unknown(name: &str) -> Refusal {
    Refusal::not_found("channel-unknown", format!("there is no channel `{}`", name.escape_debug()))
}
