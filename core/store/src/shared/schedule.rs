//! Firings: (schedule, nominal time) is unique in the transaction that begins the run. And what operators do to schedules.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::LazyLock;

use tidings_model::limits::PAGE_ROWS_MAX;
use tidings_model::{RunId, RunState, ScheduleName, Timestamp};

use super::reader::Reader;
use super::row::instant;
use super::tick::{Numbered, Step};
use crate::error::StoreError;
use crate::read::Page;
use crate::run::RunRow;
use crate::schedule::{
    BackfillRow, Decided, Fired, Firing, FiringRow, Noted, Said, ScheduleChange, ScheduleRow, Verdict,
};
use crate::sql::{Builder, Dialect, ROWS_MAX, Row, RowsStatement, Statement, both, json, sql};

static FIRED_BEFORE: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("fired_before")));
static INSERT_RUNS: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("insert_runs")));
static INSERT_FIRINGS: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("insert_firings")));
static SAVE_SCHEDULES: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("save_schedules")));

/// The rows cut into lists in which no key stands twice: PostgreSQL writes a row once in a statement.
fn once_each<'r, T, K: Eq + Hash>(rows: &'r [T], key: impl Fn(&'r T) -> K) -> Vec<&'r [T]> {
    let (mut lists, mut begin, mut seen) = (Vec::new(), 0, HashSet::new());
    for (index, row) in rows.iter().enumerate() {
        let key = key(row);
        if seen.contains(&key) || seen.len() == ROWS_MAX {
            lists.push(&rows[begin..index]);
            begin = index;
            seen.clear();
        }
        seen.insert(key);
    }
    lists.extend(Some(&rows[begin..]).filter(|rows| !rows.is_empty()));
    lists
}

const COUNT_RUNS: Statement = Statement::new(
    "SELECT count(*) FROM json_each($2) AS j JOIN run AS r ON r.schedule = $1 AND r.nominal_at = j.value",
    "SELECT count(*) FROM json_array_elements_text($2::json) AS j
     JOIN run AS r ON r.schedule = $1 AND r.nominal_at = j.value::bigint",
);

const FIRE: &str = "fire schedules";

/// A nominal time of a schedule.
type Moment<'a> = (&'a str, i64);

impl Firing {
    fn moment(&self) -> Option<Moment<'_>> {
        self.run.as_ref().map(|(nominal, _)| (self.schedule.as_str(), nominal.0))
    }

    fn is_asked(&self) -> bool {
        let nominal = self.run.as_ref().map(|(nominal, _)| *nominal);
        self.verdicts.iter().any(|decided| Some(decided.at) == nominal && decided.verdict.is_asked())
    }
}

impl Step<'_> {
    /// Writes firings, a few statements for all of them, and answers for each.
    pub(super) async fn fire(&mut self, firings: &[Firing]) -> Result<Vec<Fired>, StoreError> {
        if self.connection.dialect() == Dialect::Postgres && !firings.is_empty() {
            let lock = sql!(postgres "fire_lock").query();
            lock.fetch_all(self.connection).await.map_err(StoreError::during(FIRE))?;
        }
        let before = self.fired_before(firings).await?;
        let fired = self.begin_runs(firings, &before).await?;
        self.leave_spans(firings, &fired).await?;
        self.write_verdicts(firings, &fired).await?;
        for firing in firings {
            let Some(span) = firing.span else { continue };
            let query = both(
                "INSERT INTO firing_span (schedule, first_at, last_at, count, verdict, decided_at, definition)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            );
            let query = query.bind(firing.schedule.as_str()).bind(span.first.0).bind(span.last.0);
            let query = query.bind(i64::try_from(span.count).unwrap_or(i64::MAX)).bind(span.verdict.as_str());
            self.run(query.bind(self.now.0).bind(&firing.definition)).await.map_err(StoreError::during(FIRE))?;
        }
        for firings in once_each(firings, |firing| firing.schedule.as_str()) {
            let mut query = SAVE_SCHEDULES.query(firings.len());
            for firing in firings {
                query = query
                    .bind(firing.schedule.as_str())
                    .bind(&firing.definition)
                    .bind(firing.cursor_at.0)
                    .bind(firing.next_at.map(|at| at.0))
                    .bind(firing.skipped)
                    .bind(firing.backfill_at.map(|at| at.0));
            }
            self.run(query).await.map_err(StoreError::during(FIRE))?;
        }
        Ok(fired)
    }

    /// The moments that have had their verdict, or their run, and the run if it goes on.
    async fn fired_before<'f>(
        &mut self,
        firings: &'f [Firing],
    ) -> Result<HashMap<Moment<'f>, Option<RunId>>, StoreError> {
        let wanted: Vec<(Moment<'f>, bool)> =
            firings.iter().filter_map(|firing| Some((firing.moment()?, firing.is_asked()))).collect();
        let mut before: HashMap<(String, i64), Option<RunId>> = HashMap::new();
        for moments in wanted.chunks(ROWS_MAX) {
            let mut query = FIRED_BEFORE.query(moments.len());
            for ((schedule, nominal), asked) in moments {
                query = query.bind(*schedule).bind(*nominal).bind(*asked);
            }
            let rows: Vec<(String, i64, Option<i64>)> = query.fetch_json(self.connection, FIRE).await?;
            before.extend(rows.into_iter().map(|(schedule, nominal, run)| ((schedule, nominal), run.map(RunId))));
        }
        if before.is_empty() {
            return Ok(HashMap::new());
        }
        let found = |(schedule, nominal): &Moment<'f>| before.get(&((*schedule).to_owned(), *nominal)).copied();
        Ok(wanted.iter().filter_map(|(moment, _)| Some((*moment, found(moment)?))).collect())
    }

    async fn begin_runs(
        &mut self,
        firings: &[Firing],
        before: &HashMap<Moment<'_>, Option<RunId>>,
    ) -> Result<Vec<Fired>, StoreError> {
        let mut fired = Vec::with_capacity(firings.len());
        let mut begun: HashSet<Moment<'_>> = HashSet::new();
        let mut runs: Vec<(i64, Moment<'_>, &str)> = Vec::new();
        let most = firings.iter().filter(|firing| firing.run.is_some()).count();
        let mut ids = self.new_ids(Numbered::Run, most).await?.into_iter();
        for firing in firings {
            fired.push(match (firing.moment(), &firing.run) {
                (Some(moment), Some((_, job))) => {
                    if let Some(run) = before.get(&moment) {
                        Fired::Before(*run)
                    } else if begun.insert(moment) {
                        let id = ids.next().expect("there is one for each");
                        runs.push((id, moment, job));
                        Fired::Run(RunId(id))
                    } else {
                        Fired::Before(None)
                    }
                }
                _ => Fired::Nothing,
            });
        }
        for runs in runs.chunks(ROWS_MAX) {
            let mut query = INSERT_RUNS.query(runs.len());
            for (id, (schedule, nominal), job) in runs {
                query = query.bind(*id).bind(*schedule).bind(*nominal).bind(*job).bind(self.now.0);
            }
            let begun = self.run(query.bind_postgres(self.node)).await.map_err(StoreError::during(FIRE))?;
            if begun != runs.len() as u64 {
                return Err(StoreError::Contended);
            }
        }
        Ok(fired)
    }

    /// A time of a long outage that is run after all has its own row, and leaves the row that stood for it.
    async fn leave_spans(&mut self, firings: &[Firing], fired: &[Fired]) -> Result<(), StoreError> {
        for (firing, fired) in firings.iter().zip(fired) {
            let (Fired::Run(_), Some((schedule, nominal))) = (fired, firing.moment()) else { continue };
            if !firing.verdicts.iter().any(|decided| decided.verdict == Verdict::Backfilled) {
                continue;
            }
            let query = both(
                "UPDATE firing_span SET count = count - 1
                 WHERE schedule = $1 AND last_at >= $2 AND first_at <= $2 AND definition = $3
                   AND NOT EXISTS (SELECT 1 FROM firing WHERE schedule = $1 AND nominal_at = $2)",
            );
            let left = self
                .run(query.bind(schedule).bind(nominal).bind(&firing.definition))
                .await
                .map_err(StoreError::during(FIRE))?;
            if left > 0 {
                let query = both("DELETE FROM firing_span WHERE schedule = $1 AND count <= 0");
                self.run(query.bind(schedule)).await.map_err(StoreError::during(FIRE))?;
            }
        }
        Ok(())
    }

    async fn write_verdicts(&mut self, firings: &[Firing], fired: &[Fired]) -> Result<(), StoreError> {
        let mut rows: Vec<(&str, &Decided, Option<i64>)> = Vec::new();
        for (firing, fired) in firings.iter().zip(fired) {
            for decided in &firing.verdicts {
                let is_run = firing.run.as_ref().is_some_and(|(nominal, _)| *nominal == decided.at);
                let run = match fired {
                    Fired::Run(run) if is_run => Some(run.0),
                    // What was asked for and ran before keeps the verdict of its time.
                    Fired::Before(_) if is_run && decided.verdict.is_asked() => continue,
                    _ => None,
                };
                rows.push((firing.schedule.as_str(), decided, run));
            }
        }
        for rows in once_each(&rows, |(schedule, decided, _)| (*schedule, decided.at)) {
            let mut query = INSERT_FIRINGS.query(rows.len());
            for (schedule, decided, run) in rows {
                query = query
                    .bind(*schedule)
                    .bind(decided.at.0)
                    .bind(decided.verdict.as_str())
                    .bind(self.now.0)
                    .bind(i64::try_from(decided.late.as_millis()).unwrap_or(i64::MAX))
                    .bind(*run)
                    .bind(decided.verdict.is_asked());
            }
            self.run(query).await.map_err(StoreError::during(FIRE))?;
        }
        Ok(())
    }

    pub(super) async fn change_schedules(
        &mut self,
        changes: &[(ScheduleName, ScheduleChange)],
    ) -> Result<(), StoreError> {
        for (schedule, change) in changes {
            let name = schedule.as_str();
            let query = match change {
                ScheduleChange::Pause { at, by, note } => {
                    both("UPDATE schedule SET paused_at = $2, paused_by = $3, pause_note = $4 WHERE name = $1")
                        .bind(name)
                        .bind(at.0)
                        .bind(by)
                        .bind(note)
                }
                ScheduleChange::Resume => {
                    both("UPDATE schedule SET paused_at = NULL, paused_by = NULL, pause_note = NULL WHERE name = $1")
                        .bind(name)
                }
                ScheduleChange::Skip { count, by, note } => {
                    both("UPDATE schedule SET skips = $2, skip_by = $3, skip_note = $4 WHERE name = $1")
                        .bind(name)
                        .bind(*count)
                        .bind(by)
                        .bind(note)
                }
                ScheduleChange::Backfill { after, until, by, note } => both(
                    "UPDATE schedule SET backfill_at = $2, backfill_until = $3, backfill_by = $4, backfill_note = $5
                     WHERE name = $1",
                )
                .bind(name)
                .bind(after.0)
                .bind(until.0)
                .bind(by)
                .bind(note),
                ScheduleChange::EndBackfill => both(
                    "UPDATE schedule
                     SET backfill_at = NULL, backfill_until = NULL, backfill_by = NULL, backfill_note = NULL
                     WHERE name = $1",
                )
                .bind(name),
                ScheduleChange::Remove { at } => {
                    both("UPDATE schedule SET removed_at = $2, next_at = NULL WHERE name = $1").bind(name).bind(at.0)
                }
            };
            self.run(query).await.map_err(StoreError::during("change a schedule"))?;
        }
        Ok(())
    }
}

const SCHEDULES: &str = "SELECT name, definition, cursor_at, next_at, paused_at, paused_by, pause_note, skips, skip_by,
    skip_note, backfill_at, backfill_until, backfill_by, backfill_note, removed_at FROM schedule";

/// Verdicts of one time each, and those that stand for many; where they meet in an instant, the single one is the newer.
const FIRINGS: &str = "SELECT * FROM (
    SELECT f.nominal_at AS at, 1 AS single, f.nominal_at, 1, f.verdict, f.decided_at, f.late_ms, f.run_id, r.state
    FROM firing AS f LEFT JOIN run AS r ON r.id = f.run_id
    WHERE f.schedule = $1 AND f.nominal_at <= ($2 - 2) / 2 ORDER BY f.nominal_at DESC LIMIT $3
) AS times
UNION ALL
SELECT * FROM (
    SELECT g.last_at, 0, g.first_at, g.count, g.verdict, g.decided_at, CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS integer)
    FROM firing_span AS g
    WHERE g.schedule = $1 AND g.last_at <= ($2 - 1) / 2 ORDER BY g.last_at DESC LIMIT $3
) AS spans
ORDER BY at DESC, single DESC LIMIT $3";

impl Reader {
    /// Every schedule that ever moved, with its last run, by name.
    pub async fn schedules(&self) -> Result<Vec<ScheduleRow>, StoreError> {
        let mut query = Builder::new(SCHEDULES);
        query.push(" ORDER BY name");
        let rows = query
            .build()
            .fetch_all(&mut self.connection().await?)
            .await
            .map_err(StoreError::during("read the schedules"))?;
        let mut last = self.last_runs(None).await?;
        let row = |row: &Row| schedule_row(row, last.remove(row.text(0)));
        Ok(rows.iter().map(row).collect())
    }

    /// One of them.
    pub async fn schedule(&self, name: &str) -> Result<Option<ScheduleRow>, StoreError> {
        let mut query = Builder::new(SCHEDULES);
        query.push(" WHERE name = ").push_bind(name);
        let row = query
            .build()
            .fetch_optional(&mut self.connection().await?)
            .await
            .map_err(StoreError::during("read a schedule"))?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(schedule_row(&row, self.last_runs(Some(name)).await?.remove(name))))
    }

    /// The verdicts of a schedule, newest first, behind a cursor.
    pub async fn firings(
        &self,
        schedule: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<FiringRow>, StoreError> {
        let limit = limit.min(PAGE_ROWS_MAX);
        let rows = both(FIRINGS)
            .bind(schedule)
            .bind(before.unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(&mut self.connection().await?)
            .await
            .map_err(StoreError::during("read the verdicts"))?;
        let last = rows.last().map(|row| row.get::<i64>(0) * 2 + row.get::<i64>(1));
        let is_full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let rows = rows.iter().map(|row| firing_row(schedule, row)).collect();
        Ok(Page { rows, next: last.filter(|_| is_full) })
    }

    /// How many of these nominal times have a run.
    pub async fn count_runs_of(&self, schedule: &str, nominal: &[Timestamp]) -> Result<u64, StoreError> {
        let nominal: Vec<i64> = nominal.iter().map(|at| at.0).collect();
        let count: i64 = COUNT_RUNS
            .query()
            .bind(schedule)
            .bind(json(&nominal))
            .fetch_scalar(&mut self.connection().await?)
            .await
            .map_err(StoreError::during("count the runs of a schedule"))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

fn firing_row(schedule: &str, row: &Row) -> FiringRow {
    let is_failed = row.get::<Option<i64>>(8) == Some(RunState::Failed.code());
    FiringRow {
        schedule: schedule.to_owned(),
        nominal_at: Timestamp(row.get(0)),
        first_at: Timestamp(row.get(2)),
        count: row.get(3),
        verdict: if is_failed { "failed".to_owned() } else { row.get(4) },
        decided_at: Timestamp(row.get(5)),
        late_ms: row.get(6),
        run: row.get::<Option<i64>>(7).map(RunId),
    }
}

fn schedule_row(row: &Row, last_run: Option<RunRow>) -> ScheduleRow {
    let text = |index: usize| row.get::<Option<String>>(index).unwrap_or_default();
    let said = |index: usize| Said { by: text(index), note: text(index + 1) };
    let skips = u32::try_from(row.get::<i64>(7)).unwrap_or(0);
    let backfill = instant(row, 10).zip(instant(row, 11));
    ScheduleRow {
        name: row.get(0),
        definition: row.get(1),
        cursor_at: Timestamp(row.get(2)),
        next_at: instant(row, 3),
        paused: instant(row, 4).map(|at| Noted { at, said: said(5) }),
        skips,
        skip: (skips > 0).then(|| said(8)),
        backfill: backfill.map(|(at, until)| BackfillRow { at, until, said: said(12) }),
        removed_at: instant(row, 14),
        last_run,
    }
}
