//! Schedules as the wire shows them.

use tidings_engine::config::{Missed, SchedulePolicy};
use tidings_engine::{NextTime, ScheduleView};
use tidings_model::cron::{Cron, Language};
use tidings_store::FiringRow;

use super::{instant, run};
use crate::wire;

pub(in crate::server) fn schedule(view: ScheduleView) -> wire::Schedule {
    let (cron, timezone) = view.line().unzip();
    let words = |language| cron.as_ref().map_or(String::new(), |cron: &Cron| cron.words(language));
    let row = view.row;
    let (paused, skip, backfill, removed_at, last_run) = match row {
        None => Default::default(),
        Some(row) => (
            row.paused.map(|noted| wire::Paused { at: noted.at.to_rfc3339(), by: noted.said.by, why: noted.said.note }),
            row.skip.map(|said| (row.skips, wire::Said { by: said.by, why: said.note })),
            row.backfill.map(|row| wire::Backfill {
                at: row.at.to_rfc3339(),
                until: row.until.to_rfc3339(),
                by: row.said.by,
                why: row.said.note,
            }),
            instant(row.removed_at),
            row.last_run.map(run),
        ),
    };
    let (skips, skip) = skip.unzip();
    wire::Schedule {
        name: view.name,
        words: wire::Words { en: words(Language::English), zh: words(Language::Chinese) },
        cron: cron.as_ref().map_or(String::new(), |cron| cron.as_str().to_owned()),
        timezone: timezone.map_or(String::new(), |zone| zone.name().to_owned()),
        job: view.config.as_ref().map_or(String::new(), |config| config.job.describe()),
        state: view.state.as_str().to_owned(),
        policy: view.config.map(|config| policy(&config.policy)).unwrap_or_default(),
        next_at: instant(view.next_at),
        next: view.detail.next.into_iter().map(next_time).collect(),
        paused,
        skips: skips.unwrap_or(0),
        skip,
        backfill,
        removed_at,
        last_run,
        history: view.detail.history.into_iter().map(firing).collect(),
    }
}

fn policy(policy: &SchedulePolicy) -> wire::SchedulePolicy {
    let missed_max = match policy.missed {
        Missed::All { most } => Some(most),
        Missed::Once | Missed::Skip => None,
    };
    wire::SchedulePolicy {
        missed: policy.missed.as_str().to_owned(),
        missed_max,
        grace_s: policy.grace.map(|grace| grace.as_secs()),
        overlap: policy.overlap.as_str().to_owned(),
        jitter_ms: u64::try_from(policy.jitter.as_millis()).unwrap_or(u64::MAX),
    }
}

fn next_time(next: NextTime) -> wire::NextTime {
    wire::NextTime { at: next.at.to_rfc3339(), fires_at: next.fires_at.to_rfc3339(), skipped: next.skipped }
}

pub(in crate::server) fn firing(row: FiringRow) -> wire::Firing {
    wire::Firing {
        nominal_at: row.nominal_at.to_rfc3339(),
        first_at: (row.count > 1).then(|| row.first_at.to_rfc3339()),
        count: row.count,
        verdict: row.verdict,
        decided_at: row.decided_at.to_rfc3339(),
        late_ms: row.late_ms,
        run: row.run.map(|run| run.to_string()),
    }
}
