//! `/metrics`: what monitoring scrapes.
//!
//! Cheap whatever the store holds: counts that the writer keeps, a look at the head of each queue, what is in memory
//! anyway, and the last walk through the ledger, which a scrape may set off and never waits for. What the store is asked is
//! asked first and at once: while it does not answer that is left out, and the rest is told all the same.

use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tidings_engine::measure::WriterHealth;
use tidings_engine::{EngineHandle, Forecasts, LaneState, NodeView, PluginFileView, Refusal, ScheduleView};
use tidings_model::{RunState, Timestamp};
use tidings_store::{ChannelId, Counts};

use crate::server::exposition::{Format, Page, Series};
use crate::server::process::Process;

/// How long a scrape waits for the store. Scrapers wait ten seconds as a rule, for all of it.
const STORE_WAIT: Duration = Duration::from_secs(3);

pub(super) async fn metrics(Shared(engine): Shared<EngineHandle>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::asked(accept);
    let mut page = Page::new(format);
    let stored = match tokio::time::timeout(STORE_WAIT, Stored::ask(&engine)).await {
        Ok(Ok(stored)) => Some(stored),
        Ok(Err(refusal)) => {
            tracing::debug!("ask the store for metrics: {refusal}");
            None
        }
        Err(_) => None,
    };
    program(&mut page, &engine);
    page.gauge(
        "tidings_store_answers",
        "Whether the store answered this scrape: 0 if not, and what it knows is left out.",
    )
    .value(&[], u8::from(stored.is_some()));
    if let Some(stored) = &stored {
        messages(&mut page, &engine, stored);
        schedules(&mut page, stored);
        nodes(&mut page, &stored.nodes);
        notices(&mut page, &engine, stored);
    }
    channels(&mut page, &engine);
    attempts(&mut page, &engine);
    tokens(&mut page, &engine);
    if let Some(forecasts) = engine.last_forecasts() {
        ledger(&mut page, &engine, &forecasts);
    }
    writer(&mut page, &engine);
    plugins(&mut page, &engine);
    webhooks(&mut page, &engine);
    requests(&mut page, &engine);
    telemetry(&mut page, &engine);
    process(&mut page, &engine);
    (StatusCode::OK, [(header::CONTENT_TYPE, format.media())], page.done()).into_response()
}

/// What only the store knows.
struct Stored {
    counts: Counts,
    /// Since when the head of each channel's queue is due.
    heads: Vec<(ChannelId, Timestamp)>,
    /// Since when the oldest notice of each webhook waits.
    notices: Vec<(String, Timestamp)>,
    schedules: Vec<ScheduleView>,
    nodes: Vec<NodeView>,
}

impl Stored {
    async fn ask(engine: &EngineHandle) -> Result<Stored, Refusal> {
        let channels: Vec<_> = engine.channel_ids().iter().map(|(id, _)| *id).collect();
        let webhooks = engine.webhooks();
        let waiting: Vec<_> = webhooks.iter().filter(|view| view.pending > 0).map(|view| &view.name).collect();
        Ok(Stored {
            counts: engine.counts().await?,
            heads: engine.reader().queue_heads(&channels).await?,
            notices: engine.reader().oldest_notices(&waiting).await?,
            schedules: engine.schedules().await?,
            nodes: engine.nodes().await?,
        })
    }
}

/// Seconds since 1970, as Prometheus has times.
#[expect(clippy::cast_precision_loss, reason = "a double has room for milliseconds of many thousand years")]
fn seconds(at: Timestamp) -> f64 {
    at.0 as f64 / 1000.0
}

fn program(page: &mut Page, engine: &EngineHandle) {
    page.gauge("tidings_build_info", "The program that runs: always 1.")
        .value(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.gauge("tidings_draining", "Whether the engine stops: 1 if so.").value(&[], u8::from(engine.is_draining()));
}

fn messages(page: &mut Page, engine: &EngineHandle, stored: &Stored) {
    let mut series = page.gauge("tidings_messages", "Messages in the store, by channel and state.");
    for (channel, state, count) in &stored.counts.messages {
        series.value(&[("channel", channel), ("state", state.as_str())], count);
    }
    let now = engine.now();
    let help = "For how long the longest due message of a channel has been due; 0 if none is.";
    let mut series = page.gauge("tidings_queue_oldest_age_seconds", help);
    for (id, name) in &engine.channel_ids() {
        let head = stored.heads.iter().find(|(channel, _)| channel == id);
        let age = head.map_or(0.0, |(_, due)| now.since(*due).as_secs_f64());
        series.value(&[("channel", name.as_str())], age);
    }
}

fn channels(page: &mut Page, engine: &EngineHandle) {
    let views = engine.channels();
    let mut series =
        page.gauge("tidings_channel_state", "Whether a channel claims, and if not, why: 1 for what holds.");
    for view in &views {
        let held = match view.state {
            LaneState::Open => "open",
            LaneState::Paused { .. } => "paused",
            LaneState::Cooling { .. } => "cooling",
            LaneState::Halted { .. } => "halted",
            LaneState::Parked { .. } => "parked",
        };
        for state in ["open", "paused", "cooling", "halted", "parked"] {
            series.value(&[("channel", view.name.as_str()), ("state", state)], u8::from(state == held));
        }
    }
    let mut series = page.gauge("tidings_in_flight", "Messages of a channel on their way.");
    for view in &views {
        series.value(&[("channel", view.name.as_str())], view.in_flight);
    }
    let mut series = page.gauge("tidings_in_flight_limit", "Messages of a channel that may be on their way at once.");
    for view in &views {
        series.value(&[("channel", view.name.as_str())], view.config.in_flight);
    }
}

fn attempts(page: &mut Page, engine: &EngineHandle) {
    let names = engine.channel_ids();
    let measured = engine.measures().channels();
    let known: Vec<_> = measured
        .iter()
        .filter_map(|of| names.iter().find(|(id, _)| *id == of.channel).map(|(_, name)| (name.as_str(), of)))
        .collect();
    let mut series = page.counter("tidings_messages_accepted", "Messages accepted, repeats not counted.");
    for (channel, of) in &known {
        series.value(&[("channel", channel)], of.accepted);
    }
    let mut series = page.counter("tidings_attempts", "Attempts, by what the transport read from the answer.");
    for (channel, of) in &known {
        for (outcome, count) in &of.attempts {
            series.value(&[("channel", channel), ("outcome", outcome)], count);
        }
    }
    let help = "Moves of messages by attempts, receipts, time and suppressions: where to, and why.";
    let mut series = page.counter("tidings_messages_settled", help);
    for (channel, of) in &known {
        for (state, reason, count) in &of.moved {
            series.value(&[("channel", channel), ("state", state.as_str()), ("reason", reason)], count);
        }
    }
    let mut series =
        page.histogram("tidings_attempt_duration_seconds", "How long attempts took, token and render included.");
    for (channel, of) in &known {
        series.distribution(&[("channel", channel)], &of.took);
    }
    page.counter("tidings_outcomes_late", "Outcomes that came too late and changed nothing.")
        .value(&[], engine.late_outcomes());
}

fn nodes(page: &mut Page, nodes: &[NodeView]) {
    let nodes: Vec<&NodeView> = nodes.iter().filter(|node| !is_gone(node)).collect();
    page.gauge("tidings_nodes", "Engines that share the store and are there; 1 of a store in a file.")
        .value(&[], nodes.len());
    let differing = nodes.iter().filter(|node| node.config_differs).count();
    page.gauge("tidings_nodes_config_differs", "Of those, the ones that go by another config than this one.")
        .value(&[], differing);
    if let Some(lease) = nodes.iter().find(|node| node.is_self).and_then(|node| node.lease) {
        let age = Duration::from_millis(lease.age_ms).as_secs_f64();
        page.gauge("tidings_lease_age_seconds", "Since this engine's lease was renewed.").value(&[], age);
    }
}

fn is_gone(node: &NodeView) -> bool {
    node.lease.is_some_and(|lease| lease.is_over)
}

fn notices(page: &mut Page, engine: &EngineHandle, stored: &Stored) {
    let now = engine.now();
    let help = "For how long the oldest notice of a webhook has waited; 0 if none does.";
    let mut series = page.gauge("tidings_webhook_oldest_age_seconds", help);
    for view in &engine.webhooks() {
        let since = stored.notices.iter().find(|(name, _)| name == view.name.as_str());
        let age = since.map_or(0.0, |(_, at)| now.since(*at).as_secs_f64());
        series.value(&[("webhook", view.name.as_str())], age);
    }
}

fn webhooks(page: &mut Page, engine: &EngineHandle) {
    page.gauge("tidings_event_readers", "Streams of events that are read now.").value(&[], engine.event_readers());
    let views = engine.webhooks();
    let mut series = page.gauge("tidings_webhook_pending", "Notices that wait for a webhook.");
    for view in &views {
        series.value(&[("webhook", view.name.as_str())], view.pending);
    }
    let help = "When a webhook last answered something that was no yes, since the start.";
    let mut series = page.gauge("tidings_webhook_last_failure_timestamp_seconds", help);
    for view in &views {
        if let Some((at, _)) = &view.last_failure {
            series.value(&[("webhook", view.name.as_str())], seconds(*at));
        }
    }
    let help = "Whether a webhook is told nothing more until an operator acts: 1 if so.";
    let mut series = page.gauge("tidings_webhook_disabled", help);
    for view in &views {
        series.value(&[("webhook", view.name.as_str())], u8::from(view.standing.disabled.is_some()));
    }
    let mut series = page.counter("tidings_webhook_notices_told", "Notices that a webhook took.");
    for view in &views {
        series.value(&[("webhook", view.name.as_str())], view.told);
    }
    let help = "Notices that nobody was told: given up after every try, or the oldest of too many.";
    let mut series = page.counter("tidings_webhook_notices_lost", help);
    for view in &views {
        series.value(&[("webhook", view.name.as_str())], view.standing.given_up + view.standing.dropped);
    }
}

fn tokens(page: &mut Page, engine: &EngineHandle) {
    let (views, now) = (engine.tokens(), engine.now());
    let mut series = page.gauge("tidings_token_state", "How an app's token is: 1 for what holds.");
    for view in &views {
        for state in ["none", "valid", "expired", "waiting", "exhausted", "halted"] {
            series.value(&[("app", view.app.as_str()), ("state", state)], u8::from(state == view.state));
        }
    }
    let mut series = page.gauge("tidings_token_age_seconds", "How long ago an app's token was fetched.");
    for view in &views {
        if let Some(fetched) = view.fetched_at {
            series.value(&[("app", view.app.as_str())], now.since(fetched).as_secs_f64());
        }
    }
    let mut series = page.gauge("tidings_token_expiry_timestamp_seconds", "When an app's token ends.");
    for view in &views {
        if let Some(end) = view.expires_at {
            series.value(&[("app", view.app.as_str())], seconds(end));
        }
    }
    let mut series = page.gauge("tidings_token_fetches_today", "Token fetches on the provider's present day.");
    for view in &views {
        series.value(&[("app", view.app.as_str())], view.fetches_today);
    }
    let mut series = page.gauge("tidings_token_fetches_limit", "Token fetches that a day has.");
    for view in &views {
        if let Some(max) = view.fetches_max {
            series.value(&[("app", view.app.as_str())], max);
        }
    }
}

fn ledger(page: &mut Page, engine: &EngineHandle, forecasts: &Forecasts) {
    let mut each = |name, help, of: &dyn Fn(&tidings_engine::Stock) -> u64| {
        let mut series = page.gauge(name, help);
        for ((app, source), stock) in &forecasts.stock {
            series.value(&[("app", app), ("source", source)], of(stock));
        }
    };
    each("tidings_credentials_free", "Permits with uses left that no message holds.", &|stock| stock.permits);
    each("tidings_credential_uses_free", "Messages that those permits carry.", &|stock| stock.uses);
    each("tidings_credentials_ending_in_a_day", "Those that end within a day.", &|stock| stock.ending_in_a_day);
    each("tidings_credentials_ending_in_a_week", "Those that end within a week.", &|stock| stock.ending_in_a_week);
    let mut each = |name, help, of: &dyn Fn(&tidings_model::forecast::Forecast) -> u64| {
        let mut series = page.gauge(name, help);
        for template in &forecasts.templates {
            if let Some(forecast) = &template.ledger {
                series.value(&[("template", template.template.as_str())], of(forecast));
            }
        }
    };
    each("tidings_people_reachable", "People with a permit for a template that can be used now.", &|of| of.people);
    each("tidings_people_reachable_in_a_week", "Those who still have one in a week.", &|of| of.people_after(7));
    let age = engine.now().since(forecasts.now).as_secs_f64();
    page.gauge("tidings_forecast_age_seconds", "How old these figures of the ledger are.").value(&[], age);
    page.gauge("tidings_forecast_duration_seconds", "How long the walk through the ledger took.")
        .value(&[], forecasts.took.as_secs_f64());
}

fn schedules(page: &mut Page, stored: &Stored) {
    let views = &stored.schedules;
    let mut series = page.gauge("tidings_schedule_next_timestamp_seconds", "When a schedule fires next.");
    for view in views {
        // What the scheduler says, and not the calendar: it stands still where the scheduler does.
        if let Some(next) = view.row.as_ref().map_or(view.next_at, |row| row.next_at) {
            series.value(&[("schedule", view.name.as_str())], seconds(next));
        }
    }
    let runs = || views.iter().filter_map(|view| Some((view.name.as_str(), view.row.as_ref()?.last_run.as_ref()?)));
    let mut series = page.gauge("tidings_schedule_last_run_timestamp_seconds", "When a schedule's last run began.");
    for (name, run) in runs() {
        series.value(&[("schedule", name)], seconds(run.started_at));
    }
    let mut series = page.gauge("tidings_schedule_last_run_failed", "Whether a schedule's last run failed: 1 if so.");
    for (name, run) in runs() {
        series.value(&[("schedule", name)], u8::from(matches!(run.state, RunState::Failed | RunState::Interrupted)));
    }
}

fn writer(page: &mut Page, engine: &EngineHandle) {
    let measures = engine.measures();
    page.histogram("tidings_commit_duration_seconds", "How long transactions took, the sync included.")
        .distribution(&[], &measures.commits());
    page.counter("tidings_commits_failed", "Transactions that failed.").value(&[], measures.commits_failed());
    page.counter("tidings_credentials_taken", "Permits taken into the ledger, repeats not counted.")
        .value(&[], measures.credentials_taken());
    page.histogram("tidings_schedule_lateness_seconds", "How long after their time schedules fired.")
        .distribution(&[], &measures.lateness());
    let (length, limit) = engine.writer_queue();
    page.gauge("tidings_writer_queue", "Pieces of work that wait for the writer.").value(&[], length);
    page.gauge("tidings_writer_queue_limit", "Pieces of work that may.").value(&[], limit);
    let stuck = matches!(measures.writer(), WriterHealth::Stuck(_));
    page.gauge("tidings_writer_stuck", "Whether a transaction takes far too long: 1 if so.")
        .value(&[], u8::from(stuck));
    page.gauge("tidings_store_full", "Whether the disk is full: 1 if so.")
        .value(&[], u8::from(engine.store_problem().is_some()));
    // A server says by itself how large its databases are.
    let Some(file) = engine.store_file() else { return };
    let mut series = page.gauge("tidings_store_bytes", "Bytes of the store, and of its log.");
    for (part, end) in [("store", ""), ("log", "-wal")] {
        let mut name = file.clone().into_os_string();
        name.push(end);
        if let Ok(found) = std::fs::metadata(name) {
            series.value(&[("file", part)], found.len());
        }
    }
}

fn plugins(page: &mut Page, engine: &EngineHandle) {
    let views = engine.plugins();
    let mut series =
        page.gauge("tidings_plugin_working", "Whether a plugin may be called: 0 if it is not there or parked.");
    for view in &views {
        series.value(&[("plugin", &view.name)], u8::from(view.trouble.is_none()));
    }
    let files: Vec<(&str, &PluginFileView)> =
        views.iter().filter_map(|view| Some((view.name.as_str(), view.file.as_ref()?))).collect();
    let mut series =
        page.counter("tidings_plugin_faults", "What a plugin from a file did that it should not have done.");
    for (plugin, file) in &files {
        let counters = &file.counters;
        for (fault, count) in [
            ("panic", counters.panics),
            ("late", counters.late),
            ("doubled", counters.doubled),
            ("foreign", counters.foreign),
            ("misshapen", counters.misshapen),
        ] {
            series.value(&[("plugin", plugin), ("fault", fault)], count);
        }
    }
    let mut series = page.gauge("tidings_plugin_in_flight", "Deliveries that wait for a plugin's answer.");
    for (plugin, file) in &files {
        series.value(&[("plugin", plugin)], file.counters.in_flight);
    }
}

fn requests(page: &mut Page, engine: &EngineHandle) {
    let routes = engine.measures().routes();
    let mut series: Series<'_> = page.counter("tidings_http_requests", "Requests to the API, by route and status.");
    for of in &routes {
        for (status, count) in &of.by_status {
            let status = status.to_string();
            series.value(&[("method", of.method), ("route", of.route), ("status", &status)], count);
        }
    }
    let help = "How long requests to the API took, until their answer began.";
    let mut series = page.histogram("tidings_http_request_duration_seconds", help);
    for of in &routes {
        series.distribution(&[("method", of.method), ("route", of.route)], &of.took);
    }
}

fn telemetry(page: &mut Page, engine: &EngineHandle) {
    if let Some(spans) = engine.exported() {
        page.counter("tidings_spans_exported", "Spans that the collector took.").value(&[], spans.exported);
        let help = "Spans that nobody took: there were too many, or the collector was not there.";
        page.counter("tidings_spans_dropped", help).value(&[], spans.dropped);
    }
}

fn process(page: &mut Page, engine: &EngineHandle) {
    let process = Process::look();
    if let Some(cpu) = process.cpu_seconds {
        page.counter("process_cpu_seconds", "Processor time of the process.").value(&[], cpu);
    }
    let gauges = [
        ("process_resident_memory_bytes", "Resident memory of the process.", process.resident_bytes),
        ("process_virtual_memory_bytes", "Mapped memory of the process.", process.virtual_bytes),
        ("process_open_fds", "Files that the process has open.", process.open_files),
        ("process_max_fds", "Files that the process may have open.", process.open_files_max),
        ("process_threads", "Threads of the process.", process.threads),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            page.gauge(name, help).value(&[], value);
        }
    }
    page.gauge("process_start_time_seconds", "When the engine started.").value(&[], seconds(engine.started_at()));
}
