//! Every schedule and when something is to be decided of it: the state of the scheduler, without its effects.
//!
//! Whoever drives it asks for what is due ([`Agenda::decide`]), writes that in one transaction, and tells it what came of
//! that ([`Agenda::settle`]). Until it is told, nothing has changed: a store that is away costs nothing but time.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;
use tidings_model::cron::Cron;
use tidings_model::{RunId, ScheduleName, Timestamp};
use tidings_store::{AuditEntry, Decided, Fired, Firing, RunOwner, RunRow, ScheduleChange, ScheduleRow, Verdict};

use super::plan::{Plan, Situation, left_behind};
use crate::config::{Overlap, ScheduleConfig};

/// A schedule at work.
struct Standing {
    config: ScheduleConfig,
    cursor: Timestamp,
    next: Option<Timestamp>,
    paused: bool,
    skips: u32,
    runs: BTreeSet<RunId>,
    /// And those that other engines carry out.
    elsewhere: BTreeSet<RunId>,
    /// The runs among them that an operator asked for.
    by_hand: BTreeSet<RunId>,
    free_at: Timestamp,
    backfill: Option<Backfill>,
    /// Its place in the agenda; `None` while there is nothing to decide before a run ends.
    wake: Option<Timestamp>,
}

/// Nominal times of the past that are run after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backfill {
    /// The last that was passed.
    pub(crate) at: Timestamp,
    /// Up to this one, and with it.
    pub(crate) until: Timestamp,
}

/// What is to be written in one transaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Decisions {
    pub(crate) firings: Vec<Firing>,
    pub(crate) changes: Vec<(ScheduleName, ScheduleChange)>,
    /// Who makes the changes.
    pub(crate) entry: Option<AuditEntry>,
}

/// A run that is to be carried out now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begin {
    pub(crate) schedule: ScheduleName,
    pub(crate) run: RunId,
    pub(crate) nominal: Timestamp,
    /// How late it is, if its schedule fired it.
    pub(crate) late: Option<std::time::Duration>,
}

/// Every schedule.
#[derive(Default)]
pub(crate) struct Agenda {
    schedules: BTreeMap<ScheduleName, Standing>,
    /// When something is to be decided, the soonest first.
    wakes: BTreeSet<(Timestamp, ScheduleName)>,
    /// Schedules that config does not have and another engine's may: they are not removed.
    left: BTreeSet<ScheduleName>,
}

impl Decisions {
    pub(crate) fn is_empty(&self) -> bool {
        self.firings.is_empty() && self.changes.is_empty() && self.entry.is_none()
    }
}

impl Standing {
    /// Whether one of its runs is under way, here or in another engine.
    fn is_running(&self) -> bool {
        !(self.runs.is_empty() && self.elsewhere.is_empty())
    }

    fn situation<'a>(&'a self, name: &'a ScheduleName) -> Situation<'a> {
        Situation {
            name,
            config: &self.config,
            cursor: self.cursor,
            next: self.next,
            paused: self.paused,
            skips: self.skips,
            running: self.is_running(),
            running_by_hand: !self.by_hand.is_empty(),
            free_at: self.free_at,
        }
    }

    fn firing(&self, name: &ScheduleName, plan: Plan) -> Firing {
        Firing {
            schedule: name.clone(),
            definition: self.config.definition.clone(),
            span: plan.span,
            verdicts: plan.verdicts,
            run: plan.run.map(|at| (at, self.config.job.describe())),
            cursor_at: plan.cursor,
            next_at: self.situation(name).after(plan.cursor),
            skipped: plan.skipped,
            backfill_at: None,
        }
    }

    /// The same cursor, and nothing decided.
    fn note(&self, name: &ScheduleName) -> Firing {
        let plan = Plan { span: None, verdicts: Vec::new(), run: None, cursor: self.cursor, skipped: 0 };
        self.firing(name, plan)
    }

    /// The next step of a backfill, and whether it is the last.
    fn backfill(&self, name: &ScheduleName, now: Timestamp) -> Option<(Firing, bool)> {
        let backfill = self.backfill.filter(|_| !self.paused && !self.is_running())?;
        let in_time = |at: &Timestamp| *at <= backfill.until;
        let situation = self.situation(name);
        let Some(at) = situation.after(backfill.at).filter(in_time) else {
            return Some((self.note(name), true));
        };
        let is_last = situation.after(at).filter(in_time).is_none();
        let decided = Decided { at, verdict: Verdict::Backfilled, late: now.since(at) };
        Some((self.asked(name, decided, Some(at)), is_last))
    }

    /// A run that an operator asked for.
    pub(super) fn asked(&self, name: &ScheduleName, decided: Decided, backfill_at: Option<Timestamp>) -> Firing {
        let run = Some((decided.at, self.config.job.describe()));
        Firing { verdicts: vec![decided], run, backfill_at, ..self.note(name) }
    }

    /// When something is to be decided of it.
    fn wake_at(&self, name: &ScheduleName) -> Option<Timestamp> {
        if self.backfill.is_some() && !self.paused && !self.is_running() {
            return Some(Timestamp(i64::MIN));
        }
        self.situation(name).wake_at()
    }
}

impl Agenda {
    /// Goes by what config defines now: `stored` is what the store knows of schedules. What is to be written of it is
    /// in force when it is written; the runs under way go on. Unless it `lets_go` of what config does not have, such
    /// schedules stay as they are.
    pub(crate) fn define<'c>(
        before: &Agenda,
        stored: &[ScheduleRow],
        config: impl IntoIterator<Item = (&'c ScheduleName, &'c ScheduleConfig)>,
        now: Timestamp,
        lets_go: bool,
    ) -> (Agenda, Decisions) {
        let mut agenda = Agenda::default();
        let mut decisions = Decisions::default();
        let rows: BTreeMap<&str, &ScheduleRow> = stored.iter().map(|row| (row.name.as_str(), row)).collect();
        for (name, config) in config {
            let row = rows.get(name.as_str()).copied();
            let (standing, firings) = stand(name, config, row, before.schedules.get(name), now);
            decisions.firings.extend(firings);
            agenda.schedules.insert(name.clone(), standing);
            agenda.rewake(name);
        }
        for row in stored.iter().filter(|row| row.removed_at.is_none()) {
            let Ok(name) = ScheduleName::new(row.name.as_str()) else { continue };
            if agenda.schedules.contains_key(&name) {
                continue;
            }
            if !lets_go {
                agenda.left.insert(name);
                continue;
            }
            decisions.firings.push(left(&name, row, now));
            decisions.changes.push((name, ScheduleChange::Remove { at: now }));
        }
        (agenda, decisions)
    }

    /// The schedules that config does not have and that were not removed.
    pub(crate) fn left(&self) -> &BTreeSet<ScheduleName> {
        &self.left
    }

    /// What is due, of at most so many schedules.
    pub(crate) fn decide(&mut self, now: Timestamp, most: usize) -> Decisions {
        let mut decisions = Decisions::default();
        let mut waiting = Vec::new();
        for (wake, name) in &self.wakes {
            if *wake > now || decisions.firings.len() >= most {
                break;
            }
            let standing = &self.schedules[name];
            if let Some(plan) = standing.situation(name).plan(now) {
                decisions.firings.push(standing.firing(name, plan));
            } else if let Some((firing, is_last)) = standing.backfill(name, now) {
                decisions.firings.push(firing);
                if is_last {
                    decisions.changes.push((name.clone(), ScheduleChange::EndBackfill));
                }
            } else {
                waiting.push(name.clone());
            }
        }
        // It is due, and waits for a run: that run's end finds it again.
        for name in waiting {
            self.sleep(&name);
        }
        decisions
    }

    /// When the next of them is due.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        self.wakes.first().map(|(wake, _)| *wake)
    }

    /// What was decided is on disk: says which runs begin. `fired` answers each firing, in order.
    pub(crate) fn settle(&mut self, decisions: &Decisions, fired: &[Fired]) -> Vec<Begin> {
        let mut begun = Vec::new();
        for (firing, fired) in decisions.firings.iter().zip(fired) {
            let Some(standing) = self.schedules.get_mut(&firing.schedule) else { continue };
            if firing.cursor_at > standing.cursor {
                standing.cursor = firing.cursor_at;
                standing.next = firing.next_at;
            }
            standing.skips = standing.skips.saturating_sub(firing.skipped);
            if let (Some(backfill), Some(at)) = (&mut standing.backfill, firing.backfill_at) {
                backfill.at = backfill.at.max(at);
            }
            let (Fired::Run(run) | Fired::Before(Some(run)), Some((nominal, _))) = (fired, &firing.run) else {
                continue;
            };
            // One that goes on already is known.
            if !standing.runs.insert(*run) {
                continue;
            }
            let decided = firing.verdicts.iter().find(|decided| decided.at == *nominal);
            let late = decided.filter(|decided| decided.verdict == Verdict::Fired).map(|decided| decided.late);
            if late.is_none() {
                standing.by_hand.insert(*run);
            }
            begun.push(Begin { schedule: firing.schedule.clone(), run: *run, nominal: *nominal, late });
        }
        for (name, change) in &decisions.changes {
            let Some(standing) = self.schedules.get_mut(name) else { continue };
            match change {
                ScheduleChange::Pause { .. } => standing.paused = true,
                ScheduleChange::Resume => standing.paused = false,
                ScheduleChange::Skip { count, .. } => standing.skips = *count,
                ScheduleChange::Backfill { after, until, .. } => {
                    standing.backfill = Some(Backfill { at: *after, until: *until });
                }
                ScheduleChange::EndBackfill => standing.backfill = None,
                ScheduleChange::Remove { .. } => {}
            }
        }
        let moved = decisions.firings.iter().map(|firing| &firing.schedule);
        for name in moved.chain(decisions.changes.iter().map(|(name, _)| name)) {
            self.rewake(name);
        }
        begun
    }

    /// A transaction failed, and nobody can say whether it landed: what the store has counts. Says which runs it has begun
    /// that nobody carries out.
    pub(crate) fn adopt(&mut self, stored: &[ScheduleRow], unfinished: &[RunRow]) -> Vec<Begin> {
        for row in stored {
            let Some((name, standing)) = self.schedules.get_key_value(row.name.as_str()) else { continue };
            let name = name.clone();
            let next = standing.situation(&name).after(row.cursor_at);
            let standing = self.schedules.get_mut(&name).expect("it was found");
            if row.cursor_at > standing.cursor {
                (standing.cursor, standing.next) = (row.cursor_at, next);
            }
            standing.paused = row.paused.is_some();
            standing.skips = row.skips;
            standing.backfill = row.backfill.as_ref().map(|row| Backfill { at: row.at, until: row.until });
            self.rewake(&name);
        }
        for (name, standing) in &mut self.schedules {
            let others =
                unfinished.iter().filter(|row| row.owner == RunOwner::Another && row.schedule == name.as_str());
            standing.elsewhere = others.map(|row| row.id).collect();
        }
        let mut begun = Vec::new();
        for row in unfinished.iter().filter(|row| row.owner == RunOwner::This) {
            let Some((name, standing)) = self.schedules.get_key_value(row.schedule.as_str()) else { continue };
            if standing.runs.contains(&row.id) {
                continue;
            }
            let name = name.clone();
            self.resume(&name, row.id);
            begun.push(Begin { schedule: name, run: row.id, nominal: row.nominal_at, late: None });
        }
        begun
    }

    /// The runs of this engine among these whose schedule config has no more. Another's config may have it.
    pub(crate) fn removed<'r>(&self, unfinished: &'r [RunRow]) -> impl Iterator<Item = &'r RunRow> {
        let ours = unfinished.iter().filter(|row| row.owner == RunOwner::This);
        ours.filter(|row| !self.schedules.contains_key(row.schedule.as_str()))
    }

    /// Whether this engine carries a run out.
    pub(crate) fn carries(&self, run: RunId) -> bool {
        self.schedules.values().any(|standing| standing.runs.contains(&run))
    }

    /// A run goes on that began before this start, or in an engine that is gone.
    pub(crate) fn resume(&mut self, name: &ScheduleName, run: RunId) {
        if let Some(standing) = self.schedules.get_mut(name) {
            standing.runs.insert(run);
            self.rewake(name);
        }
    }

    /// A run has ended.
    pub(crate) fn ended(&mut self, name: &ScheduleName, run: RunId, now: Timestamp) {
        let Some(standing) = self.schedules.get_mut(name) else { return };
        standing.by_hand.remove(&run);
        if standing.runs.remove(&run) && standing.runs.is_empty() {
            standing.free_at = now;
        }
        self.rewake(name);
    }

    /// The definition of a schedule.
    pub(crate) fn config(&self, name: &ScheduleName) -> Option<&ScheduleConfig> {
        self.schedules.get(name).map(|standing| &standing.config)
    }

    pub(super) fn look(&self, name: &str) -> Option<(&ScheduleName, Look<'_>)> {
        let (name, standing) = self.schedules.get_key_value(name)?;
        Some((name, Look { name, standing }))
    }

    fn rewake(&mut self, name: &ScheduleName) {
        self.sleep(name);
        let Some(standing) = self.schedules.get_mut(name) else { return };
        standing.wake = standing.wake_at(name);
        if let Some(wake) = standing.wake {
            self.wakes.insert((wake, name.clone()));
        }
    }

    fn sleep(&mut self, name: &ScheduleName) {
        if let Some(wake) = self.schedules.get_mut(name).and_then(|standing| standing.wake.take()) {
            self.wakes.remove(&(wake, name.clone()));
        }
    }
}

/// A look at one schedule, for an act on it.
pub(super) struct Look<'a> {
    name: &'a ScheduleName,
    standing: &'a Standing,
}

impl Look<'_> {
    pub(super) fn config(&self) -> &ScheduleConfig {
        &self.standing.config
    }

    pub(super) fn cursor(&self) -> Timestamp {
        self.standing.cursor
    }

    /// The run that is under way, if one is.
    pub(super) fn running(&self) -> Option<RunId> {
        self.standing.runs.last().copied()
    }

    /// Whether a run may begin while another is under way.
    pub(super) fn may_overlap(&self) -> bool {
        self.standing.config.policy.overlap == Overlap::Allow
    }

    pub(super) fn backfill(&self) -> Option<Backfill> {
        self.standing.backfill
    }

    /// What passed while it was paused and is not decided yet.
    pub(super) fn passed(&self, now: Timestamp) -> Option<Firing> {
        if !self.standing.paused {
            return None;
        }
        let plan = self.standing.situation(self.name).plan(now)?;
        Some(self.standing.firing(self.name, plan))
    }

    pub(super) fn run_at(&self, at: Timestamp) -> Firing {
        let decided = Decided { at, verdict: Verdict::ByHand, late: std::time::Duration::ZERO };
        self.standing.asked(self.name, decided, None)
    }
}

/// A schedule of config with what the store and the agenda before know of it, and what is to be written of it.
fn stand(
    name: &ScheduleName,
    config: &ScheduleConfig,
    row: Option<&ScheduleRow>,
    before: Option<&Standing>,
    now: Timestamp,
) -> (Standing, Vec<Firing>) {
    let same_line = row.is_some_and(|row| is_line(&row.definition, &config.definition));
    // A new schedule, one whose line changed, or one that comes back begins now: it does not run for times it did not have.
    let cursor = match row {
        Some(row) if same_line && row.removed_at.is_none() => row.cursor_at,
        Some(row) => row.cursor_at.max(now),
        None => now,
    };
    let next = config.cron.next_after(config.timezone, cursor.0).map(Timestamp);
    let standing = Standing {
        config: config.clone(),
        cursor,
        next,
        paused: row.is_some_and(|row| row.paused.is_some()),
        skips: row.map_or(0, |row| row.skips),
        runs: before.map(|before| before.runs.clone()).unwrap_or_default(),
        elsewhere: before.map(|before| before.elsewhere.clone()).unwrap_or_default(),
        by_hand: before.map(|before| before.by_hand.clone()).unwrap_or_default(),
        free_at: before.map_or(Timestamp(i64::MIN), |before| before.free_at),
        backfill: row.and_then(|row| row.backfill.as_ref()).map(|row| Backfill { at: row.at, until: row.until }),
        wake: None,
    };
    let is_noted = row.is_some_and(|row| {
        row.definition == config.definition
            && row.next_at == next
            && row.cursor_at == cursor
            && row.removed_at.is_none()
    });
    let mut firings = Vec::new();
    if let Some(row) = row.filter(|row| !same_line && row.removed_at.is_none()) {
        firings.push(left(name, row, now));
    }
    if !is_noted {
        firings.push(standing.note(name));
    }
    (standing, firings)
}

/// What became of the times of a line that config no longer has, up to now.
fn left(name: &ScheduleName, row: &ScheduleRow, now: Timestamp) -> Firing {
    let verdict = if row.paused.is_some() { Verdict::Paused } else { Verdict::Missed };
    let (span, verdicts) = match line(&row.definition) {
        Some((cron, zone)) => left_behind((&cron, zone), verdict, row.cursor_at, now),
        None => (None, Vec::new()),
    };
    Firing {
        schedule: name.clone(),
        definition: row.definition.clone(),
        span,
        verdicts,
        run: None,
        cursor_at: now.max(row.cursor_at),
        next_at: None,
        skipped: 0,
        backfill_at: None,
    }
}

/// Whether the stored definition is of that line. Earlier programs wrote the job behind it.
fn is_line(stored: &str, line: &str) -> bool {
    stored.strip_prefix(line).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The cron line and the zone that a definition begins with.
pub(super) fn line(definition: &str) -> Option<(Cron, Tz)> {
    let words: Vec<&str> = definition.split_whitespace().collect();
    (1..words.len().min(8)).find_map(|at| {
        let zone = words[at].parse::<Tz>().ok()?;
        Some((Cron::parse(&words[..at].join(" ")).ok()?, zone))
    })
}
