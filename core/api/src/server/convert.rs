//! The engine's values as the wire shows them.

use tidings_engine::events::{Content, Happened, What};
use tidings_engine::webhooks::WebhookView;
use tidings_engine::{
    Backup, BulkDone, BulkPlan, ChannelView, KeyView, LaneState, NodeView, PluginFileView, PluginView, Preflight,
    Reloaded, SettingChange, Submission, Submitted, TokenView,
};
use tidings_model::rate::Rate;
use tidings_model::{Scopes, State, Timestamp};
use tidings_store::{AttemptRow, CredentialRow, MessageRow, Page, ReasonRow, RunLogRow, RunRow};

use crate::wire;

mod schedules;

pub(super) use schedules::{firing, schedule};

fn instant(at: Option<Timestamp>) -> Option<String> {
    at.map(Timestamp::to_rfc3339)
}

pub(super) fn submission(request: wire::SendRequest) -> Submission {
    Submission {
        template: request.template,
        to: request.to,
        data: request.data,
        send_at: request.send_at,
        expires_at: request.expires_at,
        priority: request.priority.unwrap_or(0),
        key: request.key,
        run: None,
    }
}

pub(super) fn submitted(submitted: Submitted) -> wire::SendReply {
    wire::SendReply {
        id: submitted.message.map(|id| id.to_string()).unwrap_or_default(),
        state: submitted.state.map_or_else(|| "gone".to_owned(), |state| state.to_string()),
        replayed: submitted.replayed,
        trace_id: submitted.trace.map(|trace| trace.to_string()),
    }
}

pub(super) fn reloaded(reloaded: Reloaded) -> wire::ReloadReply {
    let change = |SettingChange { setting, before, after }| wire::SettingChange { setting, before, after };
    let changes = reloaded.changes.into_iter().map(change).collect();
    wire::ReloadReply { applied: reloaded.applied, changes, notes: reloaded.notes }
}

pub(super) fn message(row: MessageRow, attempts: Vec<AttemptRow>) -> wire::Message {
    wire::Message {
        id: row.id.to_string(),
        channel: row.channel,
        template: row.template,
        to: row.recipient,
        state: row.state.to_string(),
        priority: row.priority,
        due_at: row.due_at.to_rfc3339(),
        attempts: row.attempts,
        ambiguous: row.ambiguous,
        created_at: row.created_at.to_rfc3339(),
        expires_at: instant(row.expires_at),
        finished_at: instant(row.finished_at),
        reason: row.reason,
        detail: row.detail,
        provider_id: row.provider_id,
        run: row.run.map(|run| run.to_string()),
        trace_id: None,
        data: row.data.and_then(|data| serde_json::from_str(&data).ok()),
        content: None,
        content_problem: None,
        timeline: Vec::new(),
        acts: Vec::new(),
        tries: attempts
            .into_iter()
            .map(|attempt| wire::Attempt {
                started_at: attempt.started_at.to_rfc3339(),
                ended_at: attempt.ended_at.to_rfc3339(),
                outcome: attempt.outcome,
                detail: attempt.detail,
            })
            .collect(),
    }
}

pub(super) fn reason(row: ReasonRow) -> wire::Reason {
    wire::Reason {
        channel: row.channel,
        template: row.template,
        state: row.state.to_string(),
        reason: row.reason.unwrap_or_default(),
        count: row.count,
        oldest_at: row.oldest_at.to_rfc3339(),
        newest_at: row.newest_at.to_rfc3339(),
        newest: row.newest.to_string(),
    }
}

pub(super) fn bulk_plan(plan: BulkPlan) -> wire::BulkPlan {
    let group =
        |(state, channel, count): (State, String, u64)| wire::BulkGroup { state: state.to_string(), channel, count };
    wire::BulkPlan {
        count: plan.count,
        effect: plan.effect,
        groups: plan.groups.into_iter().map(group).collect(),
        sample: plan.sample.into_iter().map(|row| message(row, Vec::new())).collect(),
        rate: plan.pace.map(|(of, _)| rate(of)),
        takes_s: plan.pace.map(|(_, takes)| takes.as_secs()),
        may_arrive_twice: plan.may_arrive_twice,
        next: plan.next,
    }
}

pub(super) fn bulk_done(done: BulkDone) -> wire::BulkReply {
    wire::BulkReply {
        moved: done.moved,
        passed_over: done.passed_over,
        left: done.left,
        last_due_at: instant(done.last_due_at),
        next: done.next,
    }
}

pub(super) fn credential(row: CredentialRow) -> wire::Credential {
    wire::Credential {
        id: row.id.to_string(),
        app: row.app,
        source: row.source,
        recipient: row.recipient,
        scope: row.scope,
        uses_left: row.uses_left,
        expires_at: instant(row.expires_at),
        bound_to: row.bound_to.map(|id| id.to_string()),
        created_at: row.created_at.to_rfc3339(),
    }
}

pub(super) fn run(row: RunRow) -> wire::Run {
    wire::Run {
        id: row.id.to_string(),
        schedule: row.schedule,
        nominal_at: row.nominal_at.to_rfc3339(),
        job: row.job,
        state: row.state.to_string(),
        started_at: row.started_at.to_rfc3339(),
        ended_at: instant(row.ended_at),
        deadline_at: instant(row.deadline_at),
        resumed: row.resumed,
        done: row.done,
        total: row.total,
        accepted: row.accepted,
        duplicates: row.duplicates,
        suppressed: row.suppressed,
        refused: row.refused,
        result: row.result,
    }
}

pub(super) fn run_detail(row: RunRow, log: Page<RunLogRow>) -> wire::RunDetail {
    let line = |line: RunLogRow| wire::RunLine {
        line: line.line,
        at: line.at.to_rfc3339(),
        level: line.level.as_str().to_owned(),
        text: line.text,
    };
    wire::RunDetail {
        preflight: row.preflight.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        log: log.rows.into_iter().map(line).collect(),
        log_lines: row.log_lines,
        next: log.next.map(|next| next.to_string()),
        run: run(row),
    }
}

pub(super) fn preflight(found: Preflight) -> wire::Preflight {
    wire::Preflight {
        now: found.now.to_rfc3339(),
        rows: found.rows,
        first_only: found.first_only,
        reachable: found.reachable,
        in_a_day: found.in_a_day,
        in_a_week: found.in_a_week,
        until: instant(found.until),
        unreachable: found
            .unreachable
            .into_iter()
            .map(|(code, why)| wire::Unreachable { code: code.to_owned(), count: why.count, example: why.example })
            .collect(),
        obstacles: found
            .obstacles
            .into_iter()
            .map(|it| wire::Obstacle { code: it.code.to_owned(), detail: it.detail, until: instant(it.until) })
            .collect(),
        by_itself: found.by_itself,
    }
}

pub(super) fn channel(view: ChannelView, counts: wire::Counts) -> wire::Channel {
    let (state, reason, until) = match view.state {
        LaneState::Open => ("open", None, None),
        LaneState::Paused { note } => ("paused", Some(note), None),
        LaneState::Cooling { until, reason } => ("cooling", Some(reason), Some(until)),
        LaneState::Halted { reason } => ("halted", Some(reason), None),
        LaneState::Parked { reason } => ("parked", Some(reason), None),
    };
    wire::Channel {
        name: view.name.to_string(),
        app: view.config.app.to_string(),
        transport: view.config.transport.name().to_owned(),
        state: state.to_owned(),
        reason,
        until: instant(until),
        counts,
        in_flight_max: view.config.in_flight,
        rate: view.config.rate.map(rate),
    }
}

fn rate(rate: Rate) -> String {
    match rate.period.as_secs() {
        1 => format!("{}/s", rate.count),
        60 => format!("{}/m", rate.count),
        3600 => format!("{}/h", rate.count),
        86_400 => format!("{}/d", rate.count),
        _ => format!("{}/{}ms", rate.count, rate.period.as_millis()),
    }
}

pub(super) fn backup(made: Backup) -> wire::BackupReply {
    wire::BackupReply {
        path: made.path.display().to_string(),
        bytes: made.bytes,
        took_ms: u64::try_from(made.took.as_millis()).unwrap_or(u64::MAX),
    }
}

pub(super) fn scopes(scopes: Scopes) -> Vec<String> {
    scopes.iter().map(|scope| scope.to_string()).collect()
}

pub(super) fn key(view: KeyView) -> wire::Key {
    let (created_at, created_by) = view.created.unzip();
    wire::Key {
        name: view.name,
        scopes: scopes(view.scopes),
        in_config: created_at.is_none(),
        created_at: instant(created_at),
        created_by,
        expires_at: instant(view.expires_at),
        revoked_at: instant(view.revoked_at),
        used_at: instant(view.used_at),
    }
}

pub(super) fn token(view: TokenView) -> wire::Token {
    wire::Token {
        app: view.app.to_string(),
        state: view.state.to_owned(),
        fetched_at: instant(view.fetched_at),
        expires_at: instant(view.expires_at),
        fetches_today: view.fetches_today,
        fetches_max: view.fetches_max,
        problem: view.problem,
    }
}

pub(super) fn plugin(view: PluginView) -> wire::Plugin {
    let state = match (&view.trouble, &view.version) {
        (None, _) => "working",
        (Some(_), Some(_)) => "parked",
        (Some(_), None) => "absent",
    };
    let stage = |(role, name): (&'static str, String)| wire::PluginStage { role: role.to_owned(), name };
    let (file, sha256, counters) = match view.file {
        None => (None, None, None),
        Some(PluginFileView { path, sha256, counters }) => {
            let counters = wire::PluginCounters {
                panics: counters.panics,
                late: counters.late,
                doubled: counters.doubled,
                foreign: counters.foreign,
                misshapen: counters.misshapen,
                log_lines: counters.log_lines,
                log_lines_left_out: counters.log_lines_left_out,
                in_flight: counters.in_flight,
            };
            (Some(path.display().to_string()), Some(sha256), Some(counters))
        }
    };
    wire::Plugin {
        name: view.name,
        version: view.version.map(str::to_owned),
        state: state.to_owned(),
        reason: view.trouble,
        stages: view.stages.into_iter().map(stage).collect(),
        file,
        sha256,
        counters,
    }
}

pub(super) fn change(happened: Happened) -> Option<wire::Change> {
    let What::Message(change) = happened.what else { return None };
    Some(wire::Change {
        at: happened.at.to_rfc3339(),
        id: change.message.to_string(),
        channel: change.channel.to_string(),
        to: change.recipient,
        state: change.state.to_string(),
        reason: change.reason.map(str::to_owned),
    })
}

pub(super) fn webhook(view: WebhookView) -> wire::Webhook {
    let WebhookView { name, config, standing, pending, told, last_failure } = view;
    let state = match (&standing.disabled, standing.failing_since) {
        (Some(_), _) => "disabled",
        (None, Some(_)) => "failing",
        (None, None) => "ok",
    };
    let content = match config.content {
        Content::Thin => "thin",
        Content::Full => "full",
    };
    let (disabled_at, reason) = standing.disabled.unzip();
    wire::Webhook {
        name: name.to_string(),
        url: config.shown(),
        events: config.wants.kinds().map(|kind| kind.to_string()).collect(),
        channels: config.wants.channels().to_vec(),
        content: content.to_owned(),
        state: state.to_owned(),
        failing_since: instant(standing.failing_since),
        disabled_at: instant(disabled_at),
        reason,
        last_failure: last_failure.map(|(_, found)| found),
        pending,
        told,
        dropped: standing.dropped,
        given_up: standing.given_up,
    }
}

pub(super) fn node(view: NodeView) -> wire::Node {
    let lease = view.lease;
    wire::Node {
        id: lease.map(|lease| lease.id),
        name: view.name,
        version: view.version,
        address: view.address,
        started_at: view.started_at.to_rfc3339(),
        lease: lease.map(|lease| wire::Lease { age_ms: lease.age_ms, ends_in_ms: lease.ends_in_ms }),
        in_flight: view.in_flight,
        sent_per_s: lease.map(|lease| lease.sent_per_s),
        draining: view.draining,
        gone: lease.is_some_and(|lease| lease.is_over),
        config: view.config,
        config_differs: view.config_differs,
        is_self: view.is_self,
        leads: view.leads,
        clock_ahead_ms: view.clock_ahead_ms,
    }
}

/// The counts of one channel, or of all of them.
pub(super) fn counts(counts: &tidings_store::Counts, channel: Option<&str>) -> wire::Counts {
    let sum = |state: State| {
        counts
            .messages
            .iter()
            .filter(|(name, of, _)| *of == state && channel.is_none_or(|channel| channel == name))
            .map(|(_, _, count)| count)
            .sum()
    };
    wire::Counts {
        scheduled: sum(State::Scheduled),
        queued: sum(State::Queued),
        waiting: sum(State::Waiting),
        sending: sum(State::Sending),
        held: sum(State::Held),
        sent: sum(State::Sent),
        delivered: sum(State::Delivered),
        failed: sum(State::Failed),
        unknown: sum(State::Unknown),
        expired: sum(State::Expired),
        cancelled: sum(State::Cancelled),
    }
}
