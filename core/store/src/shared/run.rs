//! Runs: what they say of themselves, and their steps, each in one transaction with its messages.

use std::collections::HashMap;
use std::ops::Range;

use tidings_model::limits::{DETAIL_BYTES_MAX, PAGE_ROWS_MAX, RUN_LOG_LINES_MAX};
use tidings_model::{MessageId, RunId, RunState, Timestamp};

use super::reader::{Reader, page};
use super::row::instant;
use super::tick::Step;
use crate::batch::Accepted;
use crate::error::StoreError;
use crate::read::{Page, Span};
use crate::run::{RunFilter, RunLevel, RunLine, RunLogRow, RunNote, RunOwner, RunRow, RunStep, Stepped};
use crate::sql::{Builder, Connection, Row, Statement, both, sql};

const RUN: &str =
    "SELECT id, schedule, nominal_at, job, state, started_at, ended_at, done, total, result, deadline_at, resumed,
    accepted, duplicates, suppressed, refused, preflight, log_lines, step, place FROM run WHERE true";

const WRITE: &str = "write a run";

/// How a run is, until the transaction ends.
const HOLD_RUN: Statement = Statement::new(
    "SELECT state FROM run WHERE id = $1",
    // Not for the key: rows that name the run may be written by others.
    "SELECT state FROM run WHERE id = $1 FOR NO KEY UPDATE",
);

impl Step<'_> {
    /// Writes what runs say of themselves, and tells of each whether it still went on.
    pub(super) async fn save_runs(&mut self, notes: &[RunNote]) -> Result<Vec<bool>, StoreError> {
        let mut written = Vec::with_capacity(notes.len());
        for note in notes {
            let (state, result) = match &note.ended {
                None => (RunState::Running, None),
                Some((state, result)) => (*state, Some(result.as_str())),
            };
            let first: Option<i64> = sql!("note_run")
                .query()
                .bind(note.run.0)
                .bind(note.done.map(number))
                .bind(note.total.map(number))
                .bind(&note.preflight)
                .bind(note.begin.map(|begin| begin.deadline_at.0))
                .bind(note.begin.is_some_and(|begin| begin.resumed))
                .bind(state.code())
                .bind((state != RunState::Running).then_some(self.now.0))
                .bind(result)
                .bind(super::tick::length(note.log.len()))
                .bind_postgres(self.node)
                .bind_postgres(note.begin.is_some())
                .fetch_optional_scalar(self.connection)
                .await
                .map_err(StoreError::during(WRITE))?;
            if let Some(before) = first {
                self.log_run(note.run, before, &note.log).await?;
            }
            written.push(first.is_some());
        }
        Ok(written)
    }

    /// The messages of steps whose run has ended meanwhile: they are not accepted. Beside other engines the run does not end
    /// before this transaction has.
    pub(super) async fn over(&mut self, steps: &[RunStep]) -> Result<Vec<Range<usize>>, StoreError> {
        let mut over = Vec::new();
        let mut steps: Vec<&RunStep> = steps.iter().collect();
        steps.sort_unstable_by_key(|step| step.run.0);
        for step in steps {
            let state: Option<i64> = HOLD_RUN
                .query()
                .bind(step.run.0)
                .fetch_optional_scalar(self.connection)
                .await
                .map_err(StoreError::during(WRITE))?;
            if state != Some(RunState::Running.code()) {
                over.push(step.messages.clone());
            }
        }
        Ok(over)
    }

    /// Writes how far runs are with these steps, and what became of their rows.
    pub(super) async fn step_runs(
        &mut self,
        steps: &[RunStep],
        accepted: &[Accepted],
        over: &[Range<usize>],
    ) -> Result<Vec<Stepped>, StoreError> {
        let mut stepped = Vec::with_capacity(steps.len());
        for step in steps {
            if over.contains(&step.messages) {
                stepped.push(Stepped::Over);
                continue;
            }
            let of = |is: fn(&Accepted) -> bool| {
                number(accepted[step.messages.clone()].iter().filter(|one| is(one)).count() as u64)
            };
            let new = || {
                accepted[step.messages.clone()].iter().filter_map(|one| match one {
                    Accepted::New(id) => Some(id.0),
                    _ => None,
                })
            };
            let taken = of(|one| matches!(one, Accepted::KeyTaken(_)));
            let first: Option<i64> = sql!("step_run")
                .query()
                .bind(step.run.0)
                .bind(step.number)
                .bind(&step.place)
                .bind(number(step.done))
                .bind(step.total.map(number))
                .bind(of(|one| matches!(one, Accepted::New(_))))
                .bind(of(|one| matches!(one, Accepted::Repeat(_))))
                .bind(of(|one| matches!(one, Accepted::Suppressed(_))))
                .bind(number(step.refused).saturating_add(taken))
                .bind(super::tick::length(step.log.len()))
                .bind(new().next())
                .bind(new().next_back())
                .fetch_optional_scalar(self.connection)
                .await
                .map_err(StoreError::during(WRITE))?;
            if let Some(before) = first {
                self.log_run(step.run, before, &step.log).await?;
            }
            stepped.push(if first.is_some() { Stepped::Done } else { Stepped::Before });
        }
        Ok(stepped)
    }

    /// Writes lines of a run's log behind those that are there, up to a bound.
    async fn log_run(&mut self, run: RunId, before: i64, lines: &[RunLine]) -> Result<(), StoreError> {
        for (line, RunLine { level, text }) in (before + 1..=RUN_LOG_LINES_MAX).zip(lines) {
            let text = &text[..text.floor_char_boundary(DETAIL_BYTES_MAX)];
            both("INSERT INTO run_log (run_id, line, at, level, text) VALUES ($1, $2, $3, $4, $5)")
                .bind(run.0)
                .bind(line)
                .bind(self.now.0)
                .bind(*level as i64)
                .bind(text)
                .execute(self.connection)
                .await
                .map_err(StoreError::during("write the log of a run"))?;
        }
        Ok(())
    }
}

/// The stretch of a run's messages, among which others may be; an empty one if it has none.
pub(super) async fn stretch(look: &mut Connection, run: RunId) -> Result<Span, StoreError> {
    let found = both("SELECT first_message, last_message FROM run WHERE id = $1")
        .bind(run.0)
        .fetch_optional(look)
        .await
        .map_err(StoreError::during("find the messages of a run"))?;
    Ok(match found.map(|row| (row.get::<Option<i64>>(0), row.get::<Option<i64>>(1))) {
        Some((Some(first), Some(last))) => Span { after: MessageId(first - 1), until: MessageId(last) },
        _ => Span { after: MessageId(0), until: MessageId(0) },
    })
}

/// The unfinished runs whose node is there.
const HELD: &str = "SELECT r.id, r.node_id FROM run AS r JOIN node AS n ON n.id = r.node_id
    WHERE r.state = 0 AND n.lease_until > tidings_now()";

impl Reader {
    /// Runs of one schedule or of all, newest first.
    pub async fn runs(
        &self,
        schedule: Option<&str>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<RunRow>, StoreError> {
        let schedule = schedule.map(str::to_owned);
        self.runs_where(&RunFilter { schedule, before, limit, ..RunFilter::default() }).await
    }

    /// Runs, newest first.
    pub async fn runs_where(&self, filter: &RunFilter) -> Result<Page<RunRow>, StoreError> {
        let mut query = Builder::new(RUN);
        if let Some(schedule) = &filter.schedule {
            query.push(" AND schedule = ").push_bind(schedule);
        }
        if let Some(state) = filter.state {
            query.push(" AND state = ").push_bind(state.code());
        }
        if let Some(before) = filter.before {
            query.push(" AND id < ").push_bind(before);
        }
        let rows = self.newest(query, "id", filter.limit).await?;
        let rows: Vec<RunRow> = rows.iter().map(run_row).collect::<Result<_, _>>()?;
        let last = rows.last().map(|row| row.id.0);
        Ok(page(rows, filter.limit, last))
    }

    /// One run.
    pub async fn run(&self, id: RunId) -> Result<Option<RunRow>, StoreError> {
        let mut query = Builder::new(RUN);
        query.push(" AND id = ").push_bind(id.0);
        let row = query
            .build()
            .fetch_optional(&mut self.connection().await?)
            .await
            .map_err(StoreError::during("read a run"))?;
        row.as_ref().map(run_row).transpose()
    }

    /// The last run of each schedule, or of one.
    pub(super) async fn last_runs(&self, schedule: Option<&str>) -> Result<HashMap<String, RunRow>, StoreError> {
        let mut query = Builder::new(RUN);
        query.push(" AND id IN (SELECT (SELECT max(r.id) FROM run AS r WHERE r.schedule = s.name) FROM schedule AS s");
        if let Some(schedule) = schedule {
            query.push(" WHERE s.name = ").push_bind(schedule);
        }
        query.push(")");
        let rows = query
            .build()
            .fetch_all(&mut self.connection().await?)
            .await
            .map_err(StoreError::during("read the last runs"))?;
        rows.iter().map(|row| run_row(row).map(|run| (run.schedule.clone(), run))).collect()
    }

    /// The runs that did not end: after a start, what a crash interrupted.
    pub async fn unfinished_runs(&self) -> Result<Vec<RunRow>, StoreError> {
        let mut query = Builder::new(RUN);
        query.push(" AND state = ").push_bind(RunState::Running.code()).push(" ORDER BY id");
        let during = || StoreError::during("read unfinished runs");
        let mut look = self.look().await?;
        let rows = query.build().fetch_all(&mut look).await.map_err(during())?;
        let mut runs = rows.iter().map(run_row).collect::<Result<Vec<RunRow>, _>>()?;
        if let Some(node) = self.lease.node().filter(|_| !runs.is_empty()) {
            let held = both(HELD).fetch_all(&mut look).await.map_err(during())?;
            let held: HashMap<i64, i64> = held.iter().map(|row| (row.get(0), row.get(1))).collect();
            for run in &mut runs {
                run.owner = match held.get(&run.id.0) {
                    Some(owner) if *owner == node => RunOwner::This,
                    Some(_) => RunOwner::Another,
                    None => RunOwner::Gone,
                };
            }
        }
        Ok(runs)
    }

    /// Lines of a run's log behind that one, in order.
    pub async fn run_log(&self, run: RunId, after: i64, limit: u32) -> Result<Page<RunLogRow>, StoreError> {
        let rows =
            both("SELECT line, at, level, text FROM run_log WHERE run_id = $1 AND line > $2 ORDER BY line LIMIT $3")
                .bind(run.0)
                .bind(after)
                .bind(limit.min(PAGE_ROWS_MAX))
                .fetch_all(&mut self.connection().await?)
                .await
                .map_err(StoreError::during("read the log of a run"))?;
        let level = |code: i64| if code == RunLevel::Info as i64 { RunLevel::Info } else { RunLevel::Warn };
        let rows: Vec<RunLogRow> = rows
            .iter()
            .map(|row| RunLogRow {
                line: row.get(0),
                at: Timestamp(row.get(1)),
                level: level(row.get(2)),
                text: row.get(3),
            })
            .collect();
        let last = rows.last().map(|row| row.line);
        Ok(page(rows, limit, last))
    }
}

fn run_row(row: &Row) -> Result<RunRow, StoreError> {
    let code: i64 = row.get(4);
    Ok(RunRow {
        id: RunId(row.get(0)),
        schedule: row.get(1),
        nominal_at: Timestamp(row.get(2)),
        job: row.get(3),
        state: RunState::from_code(code).ok_or_else(|| StoreError::Corrupt(format!("{code} is no state of a run")))?,
        started_at: Timestamp(row.get(5)),
        ended_at: instant(row, 6),
        done: row.get(7),
        total: row.get(8),
        result: row.get(9),
        deadline_at: instant(row, 10),
        resumed: row.get(11),
        owner: RunOwner::This,
        accepted: row.get(12),
        duplicates: row.get(13),
        suppressed: row.get(14),
        refused: row.get(15),
        preflight: row.get(16),
        log_lines: row.get(17),
        step: row.get(18),
        place: row.get(19),
    })
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
