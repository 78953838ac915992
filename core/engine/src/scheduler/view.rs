//! Schedules for people: how they stand, when they fire next, what became of their last times.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use tidings_model::cron::Cron;
use tidings_model::limits::NEXT_TIMES_MAX;
use tidings_model::{RunId, ScheduleName, Timestamp};
use tidings_store::{FiringRow, ScheduleRow};

use super::acts::{ScheduleAct, check_backfill, schedule_unknown};
use super::plan::Situation;
use crate::acts::By;
use crate::config::ScheduleConfig;
use crate::handle::EngineHandle;
use crate::refusal::Refusal;

/// Schedules that a list tells the history of; where there are more, each is asked for by its name.
const DETAILED_MAX: usize = 200;
/// Verdicts in a history.
const HISTORY_MAX: u32 = 24;
/// Nominal times that a plan shows of each end of a backfill.
const SAMPLE_MAX: usize = 3;

/// How a schedule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleState {
    /// It fires.
    Active,
    /// An operator has paused it.
    Paused,
    /// Its times up to some time ahead have their verdicts: the clock was set back. It fires from then on.
    Ahead,
    /// Config has it no more.
    Removed,
}

impl ScheduleState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ScheduleState::Active => "active",
            ScheduleState::Paused => "paused",
            ScheduleState::Ahead => "ahead",
            ScheduleState::Removed => "removed",
        }
    }
}

/// A schedule, for people.
#[derive(Debug, Clone)]
pub struct ScheduleView {
    /// Its name.
    pub name: String,
    /// Its definition; `None` if config has it no more.
    pub config: Option<ScheduleConfig>,
    /// How it stands.
    pub state: ScheduleState,
    /// The next nominal time.
    pub next_at: Option<Timestamp>,
    /// What the store knows of it; `None` before it was first seen.
    pub row: Option<ScheduleRow>,
    /// More, where that was asked for.
    pub detail: ScheduleDetail,
}

/// More of a schedule.
#[derive(Debug, Clone, Default)]
pub struct ScheduleDetail {
    /// The next nominal times.
    pub next: Vec<NextTime>,
    /// The last verdicts, newest first.
    pub history: Vec<FiringRow>,
}

/// A nominal time to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextTime {
    /// The nominal time.
    pub at: Timestamp,
    /// When it fires: after its jitter.
    pub fires_at: Timestamp,
    /// An operator has it left out.
    pub skipped: bool,
}

/// What a backfill would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillPlan {
    /// Nominal times in the range.
    pub times: u64,
    /// How many of them have run, and do not run again.
    pub ran: u64,
    /// The first and the last of them, in order: a few where there are many.
    pub sample: Vec<Timestamp>,
}

impl ScheduleView {
    fn new(name: &str, config: Option<&ScheduleConfig>, row: Option<ScheduleRow>, now: Timestamp) -> ScheduleView {
        let cursor = row.as_ref().map_or(now, |row| row.cursor_at);
        let state = match (config, &row) {
            (None, _) => ScheduleState::Removed,
            (_, Some(row)) if row.paused.is_some() => ScheduleState::Paused,
            _ if cursor > now => ScheduleState::Ahead,
            _ => ScheduleState::Active,
        };
        let next_at = config.and_then(|config| config.cron.next_after(config.timezone, cursor.max(now).0));
        ScheduleView {
            name: name.to_owned(),
            config: config.cloned(),
            state,
            next_at: next_at.map(Timestamp),
            row,
            detail: ScheduleDetail::default(),
        }
    }

    /// Its cron line and zone; those it had, if config has it no more.
    pub fn line(&self) -> Option<(Cron, Tz)> {
        match (&self.config, &self.row) {
            (Some(config), _) => Some((config.cron.clone(), config.timezone)),
            (None, row) => super::agenda::line(&row.as_ref()?.definition),
        }
    }

    /// The next nominal times, so many.
    fn next(&self, count: u32) -> Vec<NextTime> {
        let (Some(config), Ok(name)) = (&self.config, ScheduleName::new(self.name.as_str())) else { return Vec::new() };
        let situation = Situation::only_of(&name, config);
        let skips = usize::try_from(self.row.as_ref().map_or(0, |row| row.skips)).unwrap_or(usize::MAX);
        let times = std::iter::successors(self.next_at, |at| situation.after(*at)).take(count as usize);
        let told =
            |(place, at): (usize, Timestamp)| NextTime { at, fires_at: situation.due_at(at), skipped: place < skips };
        times.enumerate().map(told).collect()
    }
}

impl EngineHandle {
    /// The schedules of config by name, and those that it had: how they stand and when they fire next.
    pub async fn schedules(&self) -> Result<Vec<ScheduleView>, Refusal> {
        let now = self.now();
        let mut stored: BTreeMap<String, ScheduleRow> =
            self.reader().schedules().await?.into_iter().map(|row| (row.name.clone(), row)).collect();
        let config = self.definitions();
        let mut views: Vec<ScheduleView> = config
            .config
            .schedules
            .iter()
            .map(|(name, config)| ScheduleView::new(name.as_str(), Some(config), stored.remove(name.as_str()), now))
            .collect();
        views.extend(stored.into_iter().map(|(name, row)| ScheduleView::new(&name, None, Some(row), now)));
        views.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(views)
    }

    /// The same with their next times and their history, if they are not too many.
    pub async fn schedules_in_detail(&self, next: u32) -> Result<Vec<ScheduleView>, Refusal> {
        let mut views = self.schedules().await?;
        if views.len() > DETAILED_MAX {
            return Ok(views);
        }
        for view in &mut views {
            self.detail(view, next).await?;
        }
        Ok(views)
    }

    /// One of them, with so many next times and its history.
    pub async fn schedule(&self, name: &str, next: u32) -> Result<ScheduleView, Refusal> {
        let row = self.reader().schedule(name).await?;
        let definitions = self.definitions();
        let config = definitions.config.schedules.get(name);
        if config.is_none() && row.is_none() {
            return Err(schedule_unknown(name));
        }
        let mut view = ScheduleView::new(name, config, row, self.now());
        self.detail(&mut view, next).await?;
        Ok(view)
    }

    async fn detail(&self, view: &mut ScheduleView, next: u32) -> Result<(), Refusal> {
        let history = self.reader().firings(&view.name, None, HISTORY_MAX).await?.rows;
        view.detail = ScheduleDetail { next: view.next(next.min(NEXT_TIMES_MAX)), history };
        Ok(())
    }

    /// Has a schedule run no more until it is resumed. What runs goes on.
    pub async fn pause_schedule(&self, name: &str, by: &By) -> Result<(), Refusal> {
        self.act_on_schedule(name, ScheduleAct::Pause, by).await.map(drop)
    }

    /// Lets a schedule go on, from now: what passed meanwhile does not run.
    pub async fn resume_schedule(&self, name: &str, by: &By) -> Result<(), Refusal> {
        self.act_on_schedule(name, ScheduleAct::Resume, by).await.map(drop)
    }

    /// Has the next times of a schedule left out: so many, whatever was said before.
    pub async fn skip_schedule(&self, name: &str, count: u32, by: &By) -> Result<(), Refusal> {
        self.act_on_schedule(name, ScheduleAct::Skip { count }, by).await.map(drop)
    }

    /// Has a schedule run now, paused or not.
    pub async fn run_schedule(&self, name: &str, by: &By) -> Result<RunId, Refusal> {
        let run = self.act_on_schedule(name, ScheduleAct::Run, by).await?;
        // The clock stood still between two of them.
        run.ok_or_else(Refusal::busy)
    }

    /// What a backfill of these times would do.
    pub async fn plan_backfill(&self, name: &str, from: Timestamp, to: Timestamp) -> Result<BackfillPlan, Refusal> {
        let definitions = self.definitions();
        let config = definitions.config.schedules.get(name).ok_or_else(|| schedule_unknown(name))?;
        let row = self.reader().schedule(name).await?;
        let until = to.min(row.map_or(self.now(), |row| row.cursor_at));
        let after = Timestamp(from.0.saturating_sub(1));
        let times = config.cron.count(config.timezone, after.0, until.0);
        check_backfill(times, from, to)?;
        let all = config.cron.last(config.timezone, after.0, until.0, usize::try_from(times).unwrap_or(usize::MAX));
        let mut sample: Vec<Timestamp> = all.into_iter().map(Timestamp).collect();
        let ran = self.reader().count_runs_of(name, &sample).await?;
        if sample.len() > 2 * SAMPLE_MAX {
            sample.drain(SAMPLE_MAX..sample.len() - SAMPLE_MAX);
        }
        Ok(BackfillPlan { times, ran, sample })
    }

    /// Has the times of the past run that did not, one after the other.
    pub async fn backfill_schedule(&self, name: &str, from: Timestamp, to: Timestamp, by: &By) -> Result<(), Refusal> {
        self.act_on_schedule(name, ScheduleAct::Backfill { from, to }, by).await.map(drop)
    }

    /// Has no more of them run.
    pub async fn end_backfill(&self, name: &str, by: &By) -> Result<(), Refusal> {
        self.act_on_schedule(name, ScheduleAct::EndBackfill, by).await.map(drop)
    }

    async fn act_on_schedule(&self, name: &str, act: ScheduleAct, by: &By) -> Result<Option<RunId>, Refusal> {
        self.shared.schedule_desk.act(name, act, by).await
    }
}
