//! The table of calls, readable as a list of what the API does and who may, and how the call is found that a request is for.

mod answer;
mod audit;
mod backup;
mod bulk;
mod callbacks;
mod channels;
mod config;
mod credentials;
mod endpoint;
mod events;
mod gate;
mod health;
mod keys;
mod messages;
mod metrics;
mod nodes;
mod openapi;
mod overview;
mod parameter;
mod plugins;
mod query;
mod reach;
mod runs;
mod schedules;
mod suppressions;
mod tokens;
mod webhooks;

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use axum::{Extension, Router};
use tidings_engine::EngineHandle;
use tidings_engine::config::ApiLimits;
use tidings_model::Scope;
use tidings_model::limits::{PUSH_BYTES_MAX, REQUEST_BYTES_MAX};
use tower_service::Service as _;

pub(super) use endpoint::{Access, Content, Endpoint, Form};
use endpoint::{EVENT_STREAM, FORM, NDJSON, TEXT, call};
use gate::{Bearing, Gate};
pub(super) use parameter::parameter;

use super::caller::Caller;
use super::problem::{Refused, from_framework, no_route, unauthorised};
use crate::wire;

/// Bytes of a message to send: its data in its widest spelling fits.
const SEND_BYTES_MAX: usize = 512 * 1024;

/// Everything the API does. A call says in its line what callers read of it in the description: what it does, what it
/// takes and gives, and the problems that are its own (each stands in the catalogue). Parameters are described by their
/// names in `parameter.rs`.
pub(super) fn endpoints() -> Vec<Endpoint> {
    use Access::{AnyKey, Key, Local, Open};
    use Scope::{Collect, Operate, Read, Send};
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const DELETE: Method = Method::DELETE;
    const LIST: &[&str] =
        &["state", "reason", "channel", "template", "to", "run", "newer_than", "older_than", "limit", "cursor"];
    const LEDGER: &[&str] = &["source", "recipient", "usable", "limit", "cursor"];
    const SUPPRESSIONS: &[&str] = &["app", "recipient", "limit", "cursor"];
    const RECORD: &[&str] = &["who", "act", "subject", "since", "limit", "cursor"];
    const SEND: &[&str] = &[
        "template-unknown",
        "channel-unknown",
        "recipient-invalid",
        "key-invalid",
        "key-taken",
        "data-invalid",
        "data-too-large",
        "recipient-suppressed",
        "time-invalid",
        "expired",
        "plugin-absent",
    ];
    const MANY: &[&str] = &["cursor-invalid", "filter-empty", "state-unfit", "time-invalid", "note-too-long"];
    const ACT: &[&str] = &["message-unknown", "state", "note-too-long"];
    const TOLD_NOTHING: &[&str] = &["recipient-suppressed"];
    const CHANNEL: &[&str] = &["channel-unknown", "note-too-long"];
    const SCHEDULE: &[&str] = &["schedule-unknown", "note-too-long"];
    const PUSH: &[&str] = &[
        "callback-unknown",
        "push-malformed",
        "push-unproved",
        "push-unreadable",
        "too-large",
        "plugin-absent",
        "store",
        "store-full",
        "busy",
        "stopping",
    ];
    vec![
        call(GET, "/v1/overview", Key(Read), &[], overview::overview)
            .says("What an operator looks at first: counts, channels, schedules, tokens, the last changes")
            .gives::<wire::Overview>(200),
        call(GET, "/v1/hello", AnyKey, &[], keys::hello)
            .says("Who you are to this engine, and what you may do")
            .gives::<wire::Hello>(200),
        call(GET, "/v1/messages", Key(Read), LIST, messages::list_messages)
            .says("Messages, newest first; a page may have fewer rows than asked for, and still a next one")
            .gives::<wire::Page<wire::Message>>(200)
            .refuses(&["time-invalid"]),
        call(POST, "/v1/messages", Key(Send), &["dry_run"], messages::send_message)
            .says("Send one message: when it is answered with 202, it is on disk")
            .idempotent()
            .takes::<wire::SendRequest>()
            .at_most(SEND_BYTES_MAX)
            .gives::<wire::SendReply>(202)
            .gives::<wire::SendReply>(200)
            .refuses(SEND),
        call(POST, "/v1/messages/bulk", Key(Send), &["dry_run"], bulk::send_bulk)
            .says("Send many messages: a line out for each line in, and a bad line never stops the rest")
            .idempotent()
            .takes_as::<wire::SendRequest>(NDJSON, Form::Many)
            .or_nothing()
            .gives_as::<wire::BulkLine>(200, NDJSON, Form::Many)
            .refuses(&["key-invalid"]),
        call(GET, "/v1/messages/reasons", Key(Read), &["state", "channel"], messages::list_reasons)
            .says("Messages that stopped short of being sent, counted by why")
            .gives::<wire::Reasons>(200)
            .refuses(&["state-goes-on"]),
        call(POST, "/v1/messages/cancel", Key(Operate), &[], messages::cancel_many)
            .says("Withdraw many messages that are not on their way yet, or say what that would do")
            .takes::<wire::BulkRequest>()
            .gives::<wire::BulkAnswer>(200)
            .refuses(MANY),
        call(POST, "/v1/messages/hold", Key(Operate), &[], messages::hold_many)
            .says("Stop many messages until they are released, or say what that would do")
            .takes::<wire::BulkRequest>()
            .gives::<wire::BulkAnswer>(200)
            .refuses(MANY),
        call(POST, "/v1/messages/release", Key(Operate), &[], messages::release_many)
            .says("Let many held messages go on, or say what that would do")
            .takes::<wire::BulkRequest>()
            .gives::<wire::BulkAnswer>(200)
            .refuses(MANY),
        call(POST, "/v1/messages/retry", Key(Operate), &[], messages::retry_many)
            .says("Send many messages again at a rate, or say what that would do")
            .takes::<wire::BulkRequest>()
            .gives::<wire::BulkAnswer>(200)
            .refuses(MANY)
            .refuses(&["rate-invalid", "state-goes-on"]),
        call(GET, "/v1/messages/{id}", Key(Read), &[], messages::show_message)
            .says("One message with its data, its attempts, and all that happened to it in order")
            .gives::<wire::Message>(200)
            .refuses(&["message-unknown"]),
        call(POST, "/v1/messages/{id}/cancel", Key(Operate), &[], messages::cancel_message)
            .says("Withdraw a message that is not on its way yet")
            .may_take::<wire::ActRequest>()
            .gives::<wire::ActReply>(200)
            .refuses(ACT),
        call(POST, "/v1/messages/{id}/retry", Key(Operate), &[], messages::retry_message)
            .says("Send a message again that stopped short of being sent")
            .may_take::<wire::ActRequest>()
            .gives::<wire::ActReply>(200)
            .refuses(ACT)
            .refuses(TOLD_NOTHING),
        call(POST, "/v1/messages/{id}/hold", Key(Operate), &[], messages::hold_message)
            .says("Stop a message until it is released")
            .may_take::<wire::ActRequest>()
            .gives::<wire::ActReply>(200)
            .refuses(ACT),
        call(POST, "/v1/messages/{id}/release", Key(Operate), &[], messages::release_message)
            .says("Let a held message go on")
            .may_take::<wire::ActRequest>()
            .gives::<wire::ActReply>(200)
            .refuses(ACT)
            .refuses(TOLD_NOTHING),
        call(GET, "/v1/credentials", Key(Read), LEDGER, credentials::list_credentials)
            .says("Credentials of the ledger, newest first, without their values")
            .gives::<wire::Page<wire::Credential>>(200),
        call(POST, "/v1/credentials/{source}", Key(Collect), &["app"], credentials::add_credentials)
            .says("Take credentials into the ledger: a form post as a mini-program sends it, or JSON, one or many")
            .takes::<wire::CredentialsRequest>()
            .takes_as::<wire::CredentialFields>(FORM, Form::One)
            .at_most(REQUEST_BYTES_MAX)
            .gives::<wire::CredentialsReply>(200)
            .refuses(&["source-unknown", "app-unknown", "app-ambiguous", "credential-refused", "plugin-absent"]),
        call(POST, "/v1/credentials/{source}/bulk", Key(Collect), &["app"], bulk::add_credentials_bulk)
            .says("Take many credentials into the ledger: a line out for each line in; the same lines may come again")
            .takes_as::<wire::CredentialFields>(NDJSON, Form::Many)
            .or_nothing()
            .gives_as::<wire::CredentialLine>(200, NDJSON, Form::Many)
            .refuses(&["source-unknown", "app-unknown", "app-ambiguous"]),
        call(GET, "/v1/credentials/forecast", Key(Read), &["template"], reach::forecast)
            .says("How many people can be reached today, in a week, and what runs out when, if nothing arrives")
            .gives::<wire::Forecasts>(200)
            .refuses(&["template-unknown"]),
        call(GET, "/v1/reachability/{recipient}", Key(Read), &["template"], reach::reachability)
            .says("How one recipient can be reached: by template, how many sends, until when, and why not")
            .gives::<wire::Reachability>(200)
            .refuses(&["template-unknown", "recipient-invalid"]),
        call(GET, "/v1/events", Key(Read), &["types", "channel", "full", "follow"], events::events)
            .says(
                "What happens, as server-sent events: from now on, or behind the `Last-Event-ID` of an earlier stream",
            )
            .gives_as::<wire::Event>(200, EVENT_STREAM, Form::Many)
            .refuses(&["too-many-readers"]),
        call(GET, "/v1/webhooks", Key(Read), &[], webhooks::list_webhooks)
            .says("The webhooks that are told what happens, and how they stand")
            .gives::<Vec<wire::Webhook>>(200),
        call(POST, "/v1/webhooks/{name}/resume", Key(Operate), &[], webhooks::resume_webhook)
            .says("Set a webhook going again, and have everything told now that waits for it")
            .may_take::<wire::ActRequest>()
            .gives::<wire::Webhook>(200)
            .refuses(&["webhook-unknown", "note-too-long"]),
        call(POST, "/v1/webhooks/{name}/test", Key(Operate), &[], webhooks::test_webhook)
            .says("Post one notice of the type `webhook.test`, once, and say what came of it")
            .gives::<wire::WebhookTest>(200)
            .refuses(&["webhook-unknown"]),
        call(GET, "/v1/nodes", Key(Read), &[], nodes::list_nodes)
            .says("The engines that share the store: how sure of each one may be, what it does, and whose config differs")
            .gives::<Vec<wire::Node>>(200),
        call(GET, "/v1/channels", Key(Read), &[], channels::list_channels)
            .says("The channels with their counts")
            .gives::<Vec<wire::Channel>>(200),
        call(POST, "/v1/channels/{name}/pause", Key(Operate), &[], channels::pause_channel)
            .says("Claim nothing more of a channel; what is on its way goes on")
            .may_take::<wire::ActRequest>()
            .gives::<wire::Channel>(200)
            .refuses(CHANNEL),
        call(POST, "/v1/channels/{name}/resume", Key(Operate), &[], channels::resume_channel)
            .says("Let a paused channel go on")
            .may_take::<wire::ActRequest>()
            .gives::<wire::Channel>(200)
            .refuses(CHANNEL),
        call(GET, "/v1/plugins", Key(Read), &[], plugins::list_plugins)
            .says("The plugins, and what they did that they should not have done")
            .gives::<Vec<wire::Plugin>>(200),
        call(GET, "/v1/tokens", Key(Read), &[], tokens::list_tokens)
            .says("The tokens by app: how long they last, fetches today; never the tokens themselves")
            .gives::<Vec<wire::Token>>(200),
        call(POST, "/v1/tokens/{app}/refresh", Key(Operate), &[], tokens::refresh_token)
            .says("Fetch a token now, and set a halted app going again")
            .may_take::<wire::ActRequest>()
            .gives::<wire::Token>(200)
            .refuses(&["app-unknown", "token", "note-too-long"]),
        call(GET, "/v1/schedules", Key(Read), &["next"], schedules::list_schedules)
            .says("The schedules: how they stand, when they run next, and what became of their last times")
            .gives::<Vec<wire::Schedule>>(200),
        call(GET, "/v1/schedules/{name}", Key(Read), &["next"], schedules::show_schedule)
            .says("One schedule: how it stands, its next times, and what became of its last ones")
            .gives::<wire::Schedule>(200)
            .refuses(&["schedule-unknown"]),
        call(GET, "/v1/schedules/{name}/firings", Key(Read), &["limit", "cursor"], schedules::list_firings)
            .says("What became of each nominal time of a schedule, newest first")
            .gives::<wire::Page<wire::Firing>>(200)
            .refuses(&["schedule-unknown"]),
        call(POST, "/v1/schedules/{name}/pause", Key(Operate), &[], schedules::pause_schedule)
            .says("Have a schedule run no more until it is resumed; what runs goes on")
            .may_take::<wire::ActRequest>()
            .gives::<wire::Schedule>(200)
            .refuses(SCHEDULE),
        call(POST, "/v1/schedules/{name}/resume", Key(Operate), &[], schedules::resume_schedule)
            .says("Let a paused schedule go on from now; what passed meanwhile does not run")
            .may_take::<wire::ActRequest>()
            .gives::<wire::Schedule>(200)
            .refuses(SCHEDULE),
        call(POST, "/v1/schedules/{name}/skip", Key(Operate), &[], schedules::skip_schedule)
            .says("Have the next times of a schedule left out: so many, whatever was said before")
            .may_take::<wire::SkipRequest>()
            .gives::<wire::Schedule>(200)
            .refuses(SCHEDULE)
            .refuses(&["skips-too-many"]),
        call(POST, "/v1/schedules/{name}/run", Key(Operate), &[], schedules::run_schedule)
            .says("Have a schedule run now, paused or not, beside the times of its cron line")
            .may_take::<wire::ActRequest>()
            .gives::<wire::RunReply>(200)
            .refuses(SCHEDULE)
            .refuses(&["schedule-running"]),
        call(POST, "/v1/schedules/{name}/backfill", Key(Operate), &[], schedules::backfill_schedule)
            .says("Run the times of the past that did not run, one after the other, or say which those are")
            .takes::<wire::BackfillRequest>()
            .gives::<wire::BackfillReply>(200)
            .refuses(SCHEDULE)
            .refuses(&["backfill-empty", "backfill-too-large", "backfill-running", "time-invalid"]),
        call(POST, "/v1/schedules/{name}/backfill/stop", Key(Operate), &[], schedules::stop_backfill)
            .says("Run no more times of the past")
            .may_take::<wire::ActRequest>()
            .gives::<wire::Schedule>(200)
            .refuses(SCHEDULE),
        call(GET, "/v1/keys", Key(Operate), &[], keys::list_keys)
            .says("The keys of callers: what each is for, how long, when it was used last; never the keys themselves")
            .gives::<Vec<wire::Key>>(200),
        call(POST, "/v1/keys", Key(Operate), &[], keys::add_key)
            .says("Make a key, for no more than the caller may do itself; the answer is the only place that shows it")
            .takes::<wire::KeyRequest>()
            .gives::<wire::NewKey>(201)
            .refuses(&["key-name-invalid", "scope-unknown", "time-invalid", "expired", "key-exists", "key-in-config"])
            .refuses(&["key-exceeds", "keys-full"]),
        call(POST, "/v1/keys/{name}/revoke", Key(Operate), &[], keys::revoke_key)
            .says("Make a key as good as none, at once")
            .may_take::<wire::ActRequest>()
            .gives::<wire::Key>(200)
            .refuses(&["key-unknown", "key-in-config", "key-exceeds", "note-too-long"]),
        call(GET, "/v1/runs", Key(Read), &["schedule", "run_state", "limit", "cursor"], runs::list_runs)
            .says("Runs of schedules, newest first")
            .gives::<wire::Page<wire::Run>>(200),
        call(GET, "/v1/runs/{run}", Key(Read), &["limit", "cursor"], runs::show_run)
            .says("One run: how far it is, whom it could reach, and a page of its log from its first line on")
            .gives::<wire::RunDetail>(200)
            .refuses(&["run-unknown"]),
        call(POST, "/v1/runs/{run}/cancel", Key(Operate), &[], runs::cancel_run)
            .says("End a run: nothing more of it is accepted once this is answered; what was accepted goes on")
            .may_take::<wire::ActRequest>()
            .gives::<wire::Run>(200)
            .refuses(&["run-unknown", "run-over", "note-too-long"]),
        call(POST, "/v1/schedules/{name}/preflight", Key(Operate), &[], runs::preflight)
            .says("Whom a schedule's broadcast would reach now, and why not the others: nothing is sent, spent or written")
            .gives::<wire::Preflight>(200)
            .refuses(&["schedule-unknown", "no-broadcast", "audience-unusable", "audience-away", "template-unknown"]),
        call(POST, "/v1/config/reload", Key(Operate), &["dry_run"], config::reload)
            .says("Read config again and go on by it, all of it or none, or say what differs")
            .may_take::<wire::ActRequest>()
            .gives::<wire::ReloadReply>(200)
            .refuses(&["config-invalid", "config-fixed", "needs-restart", "note-too-long"]),
        call(GET, "/v1/suppressions", Key(Read), SUPPRESSIONS, suppressions::list_suppressions)
            .says("Recipients who are told nothing, in the order of apps and recipients")
            .gives::<wire::Page<wire::Suppression>>(200),
        call(POST, "/v1/suppressions", Key(Operate), &[], suppressions::add_suppression)
            .says("Have a recipient told nothing from now on, and withdraw what is not on its way yet")
            .takes::<wire::SuppressionRequest>()
            .gives::<wire::SuppressionReply>(200)
            .refuses(&["app-unknown", "recipient-invalid", "time-invalid", "expired", "note-too-long"]),
        call(DELETE, "/v1/suppressions", Key(Operate), &["app", "recipient", "why"], suppressions::remove_suppression)
            .says("Have a recipient told again")
            .gives::<wire::Suppression>(200)
            .refuses(&["app-unknown", "recipient-invalid", "suppression-unknown", "note-too-long"]),
        call(GET, "/v1/audit", Key(Read), RECORD, audit::list_audit)
            .says("The record of changes, newest first: who did what, when, why")
            .gives::<wire::Page<wire::AuditEntry>>(200)
            .refuses(&["time-invalid"]),
        call(POST, "/v1/backup", Local, &[], backup::backup)
            .says("Copy the store into a new file on the engine's machine, while it runs")
            .takes::<wire::BackupRequest>()
            .gives::<wire::BackupReply>(200)
            .refuses(&["backup-running", "backup-path", "backup-exists", "backup-unfinished", "backup-elsewhere"]),
        call(GET, "/callbacks/{app}", Open, &[], callbacks::receive)
            .says("A provider asks whether this address is ours; its signature is the proof, and the answer is its plugin's")
            .gives_text(200, TEXT)
            .refuses(PUSH),
        call(POST, "/callbacks/{app}", Open, &[], callbacks::receive)
            .says("What a provider pushes: its signature is the proof. When it is answered with 200, it is on disk")
            .takes_as::<String>("text/xml", Form::One)
            .takes::<serde_json::Map<String, serde_json::Value>>()
            .at_most(PUSH_BYTES_MAX)
            .gives_text(200, TEXT)
            .refuses(PUSH),
        call(GET, "/openapi.json", Open, &[], openapi::openapi)
            .says("This description")
            .gives::<serde_json::Map<String, serde_json::Value>>(200),
        call(GET, "/metrics", Key(Read), &[], metrics::metrics)
            .says("Metrics for Prometheus; with `[api] metrics = \"open\"` without a key")
            .gives_text(200, "text/plain; version=0.0.4; charset=utf-8"),
        call(GET, "/healthz", Open, &["verbose"], health::healthz)
            .says("Whether the engine lives")
            .gives_text(200, TEXT)
            .gives::<wire::Health>(200),
        call(GET, "/readyz", Open, &["verbose"], health::readyz)
            .says("Whether the engine takes work; why not, in a line of text with 503")
            .gives_text(200, TEXT)
            .gives::<wire::Health>(200)
            .gives_text(503, TEXT)
            .gives::<wire::Health>(503),
    ]
}

/// The calls, for requests that carry their [`Caller`].
///
/// One whose path has no parameter is found at once, by its path; all others, and what is no call at all, by the router,
/// which copies and boxes as much for each request as such a call takes itself.
pub(super) struct Routes {
    by_path: HashMap<&'static str, Vec<Arc<Gate>>>,
    router: Router,
}

impl Routes {
    pub(super) fn new(engine: EngineHandle, limits: ApiLimits) -> Routes {
        let (mut by_path, mut router) = (HashMap::<&'static str, Vec<Arc<Gate>>>::new(), Router::new());
        let bearing = Arc::new(Bearing::new(engine, limits));
        for endpoint in endpoints() {
            let path = endpoint.path;
            let filter = MethodFilter::try_from(endpoint.method.clone()).expect("a call has a method of HTTP");
            let gate = Arc::new(Gate::new(endpoint, &bearing));
            if !path.contains('{') {
                by_path.entry(path).or_default().push(Arc::clone(&gate));
            }
            let pass = move |request: Request| {
                let gate = Arc::clone(&gate);
                async move { gate.answer(request).await }
            };
            router = router.route(path, on(filter, pass));
        }
        Routes { by_path, router: router.fallback(missing).method_not_allowed_fallback(other_method) }
    }

    pub(super) async fn answer(&self, request: Request) -> Response {
        let of_path = self.by_path.get(request.uri().path()).map(Vec::as_slice).unwrap_or_default();
        if let Some(gate) = of_path.iter().find(|gate| gate.method == *request.method()) {
            return gate.answer(request).await;
        }
        let Ok(response) = self.router.clone().call(request).await;
        response
    }
}

/// A stranger learns no paths.
async fn missing(caller: Option<Extension<Caller>>, uri: Uri) -> Refused {
    if caller.is_some() { no_route(uri.path()) } else { unauthorised() }
}

/// Nor what may be done at one.
async fn other_method(caller: Option<Extension<Caller>>) -> Refused {
    if caller.is_some() { from_framework(StatusCode::METHOD_NOT_ALLOWED) } else { unauthorised() }
}
