//! A year of two hundred schedules in seconds: the real decisions and the real store, with a clock of the test's own. The
//! engine is restarted, the clock steps back and ahead, the machine sleeps, the store is away at the moment of firing, or
//! takes what it seems to refuse; operators act, config changes. At the end every nominal time has one verdict.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use chrono_tz::Tz;
use tidings_model::RunState;
use tidings_model::cron::Cron;
use tidings_store::{Batch, Fired, FiringRow, RunNote, Writer};

use super::acts::ScheduleAct;
use super::*;
use crate::acts::By;
use crate::config::{Job, Missed, Overlap, ScheduleConfig, SchedulePolicy, Task};

const SCHEDULES: usize = 200;
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);
/// What happens beside schedules in a year.
const EVENTS: u64 = 700;

/// The test's own chance: the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        // The step of splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.below(list.len() as u64)).unwrap()].clone()
    }

    fn hours(&mut self, most: u64) -> Duration {
        Duration::from_secs(self.below(most * 3600) + 1)
    }
}

/// Lines that keep to whole hours of their zone, so that a year is some thousand transactions.
fn config(chance: &mut Chance) -> ScheduleConfig {
    let lines =
        ["0 * * * *", "0 */6 * * *", "0 9 * * 1-5", "0 2 * * *", "0 0,12 1,15 * 1", "@every 12h", "0 1,2 * * *"];
    let zones = [Tz::UTC, Tz::America__New_York, Tz::Europe__Berlin, Tz::Asia__Shanghai, Tz::Australia__Lord_Howe];
    // Hourly ones are few: they would be most of all firings.
    let line = if chance.below(100) == 0 { lines[0] } else { chance.of(&lines[1..]) };
    let timezone = chance.of(&zones);
    let missed = chance.of(&[Missed::Once, Missed::Once, Missed::Skip, Missed::All { most: 5 }]);
    let overlap = chance.of(&[Overlap::Skip, Overlap::Skip, Overlap::Queue, Overlap::Allow]);
    let grace = match missed {
        Missed::Skip => Some(Duration::from_secs(60)),
        _ => chance.of(&[None, None, Some(HOUR * 5)]),
    };
    // Jitter spreads transactions over the hour: few have any.
    let jitter = if chance.below(100) == 0 { HOUR / 2 } else { Duration::ZERO };
    ScheduleConfig {
        cron: Cron::parse(line).unwrap(),
        timezone,
        policy: SchedulePolicy { missed, grace, overlap, jitter },
        job: Job { task: Task::PurgeCredentials, deadline: DAY },
        definition: format!("{line} {timezone}"),
    }
}

struct World {
    chance: Chance,
    now: Timestamp,
    file: PathBuf,
    writer: Option<Writer>,
    reader: Reader,
    agenda: Agenda,
    config: BTreeMap<ScheduleName, ScheduleConfig>,
    /// When runs end.
    ends: BTreeSet<(Timestamp, RunId, ScheduleName)>,
    /// Ends that the store has not been told yet.
    notes: Vec<RunNote>,
    in_doubt: bool,
    /// How often the job of a nominal time was begun.
    begun: HashMap<(ScheduleName, Timestamp), u32>,
    /// The lines that each schedule has had, and from when: after that instant.
    lines: BTreeMap<ScheduleName, Vec<(Timestamp, ScheduleConfig)>>,
    told: BTreeMap<&'static str, u64>,
}

impl World {
    async fn write(&mut self, decisions: &Decisions) -> Option<Vec<Fired>> {
        let (away, unseen) = (self.chance.below(60) == 0, self.chance.below(60) == 0);
        if away {
            self.in_doubt = true;
            *self.told.entry("store away").or_default() += 1;
            return None;
        }
        let batch = Batch {
            now: self.now,
            firings: decisions.firings.clone(),
            schedules: decisions.changes.clone(),
            runs: std::mem::take(&mut self.notes),
            ..Batch::default()
        };
        let fired = self.writer.as_mut().unwrap().commit(&batch).await.unwrap().fired;
        if unseen {
            self.in_doubt = true;
            *self.told.entry("landed unseen").or_default() += 1;
            return None;
        }
        Some(fired)
    }

    fn carry_out(&mut self, begun: Vec<Begin>) {
        for Begin { schedule, run, nominal, .. } in begun {
            *self.begun.entry((schedule.clone(), nominal)).or_default() += 1;
            self.goes_on(schedule, run);
        }
    }

    fn goes_on(&mut self, schedule: ScheduleName, run: RunId) {
        let takes = if self.chance.below(20) == 0 { self.chance.hours(30) } else { Duration::from_secs(20) };
        self.ends.insert((self.now.after(takes), run, schedule));
    }

    /// What the scheduler's task does between two sleeps.
    async fn step(&mut self) {
        loop {
            if std::mem::take(&mut self.in_doubt) {
                let (stored, unfinished) =
                    (self.reader.schedules().await.unwrap(), self.reader.unfinished_runs().await.unwrap());
                // The end of a run may be on its way to the store.
                let over: BTreeSet<RunId> = self.notes.iter().map(|note| note.run).collect();
                let unfinished: Vec<RunRow> = unfinished.into_iter().filter(|run| !over.contains(&run.id)).collect();
                let begun = self.agenda.adopt(&stored, &unfinished);
                self.carry_out(begun);
            }
            let decisions = self.agenda.decide(self.now, FIRINGS_PER_STEP_MAX);
            if decisions.is_empty() {
                return;
            }
            match self.write(&decisions).await {
                Some(fired) => {
                    let begun = self.agenda.settle(&decisions, &fired);
                    self.carry_out(begun);
                }
                None => self.now = self.now.after(Duration::from_secs(1)),
            }
        }
    }

    /// Sleeps until something is due, or to that instant.
    fn sleep(&mut self, until: Timestamp) {
        let end = self.ends.first().map(|(at, ..)| *at);
        let next = [self.agenda.next_wake(), end].into_iter().flatten().min().unwrap_or(until).min(until);
        self.now = self.now.max(next);
        while let Some((at, run, schedule)) = self.ends.first().cloned().filter(|(at, ..)| *at <= self.now) {
            self.ends.remove(&(at, run, schedule.clone()));
            self.notes.push(RunNote::end(run, schedule.as_str(), RunState::Done, ""));
            self.agenda.ended(&schedule, run, self.now);
        }
    }

    async fn happens(&mut self) {
        let by = By::new("ann", None).unwrap();
        let names: Vec<ScheduleName> = self.config.keys().cloned().collect();
        let name = self.chance.of(&names);
        let what = self.chance.below(12);
        let kind = [
            "restart",
            "clock back",
            "clock ahead",
            "asleep",
            "change",
            "pause",
            "resume",
            "skip",
            "run",
            "backfill",
            "resume",
            "resume",
        ];
        *self.told.entry(kind[usize::try_from(what).unwrap()]).or_default() += 1;
        let act = match what {
            0 => return self.restart().await,
            1 => {
                self.now = self.now.before(self.chance.hours(3));
                return;
            }
            2 => {
                self.now = self.now.after(self.chance.hours(5));
                return;
            }
            3 => {
                let most = if self.chance.below(10) == 0 { 24 * 20 } else { 30 };
                self.now = self.now.after(self.chance.hours(most));
                return;
            }
            4 => return self.change(&name).await,
            5 => ScheduleAct::Pause,
            7 => ScheduleAct::Skip { count: u32::try_from(self.chance.below(4)).unwrap() },
            8 => ScheduleAct::Run,
            9 => ScheduleAct::Backfill { from: self.now.before(self.chance.hours(24 * 5)), to: self.now },
            _ => ScheduleAct::Resume,
        };
        let Ok(decisions) = self.agenda.act(name.as_str(), act, &by, self.now) else { return };
        if let Some(fired) = self.write(&decisions).await {
            let begun = self.agenda.settle(&decisions, &fired);
            self.carry_out(begun);
        }
    }

    /// Config has another line for a schedule. The engine may be down meanwhile.
    async fn change(&mut self, name: &ScheduleName) {
        let mut other = config(&mut self.chance);
        other.policy.jitter = Duration::ZERO;
        let before = &self.config[name];
        if other.definition == before.definition {
            other = ScheduleConfig {
                cron: before.cron.clone(),
                timezone: before.timezone,
                definition: before.definition.clone(),
                ..other
            };
        } else {
            let cursor = self.reader.schedule(name.as_str()).await.unwrap().unwrap().cursor_at;
            self.lines.get_mut(name).unwrap().push((cursor.max(self.now), other.clone()));
        }
        self.config.insert(name.clone(), other);
        self.define(false).await;
    }

    async fn define(&mut self, from_the_start: bool) {
        let stored = self.reader.schedules().await.unwrap();
        let before = if from_the_start { Agenda::default() } else { std::mem::take(&mut self.agenda) };
        let (agenda, decisions) = Agenda::define(&before, &stored, &self.config, self.now, true);
        self.agenda = agenda;
        let Decisions { firings, changes, .. } = decisions;
        self.writer
            .as_mut()
            .unwrap()
            .commit(&Batch { now: self.now, firings, schedules: changes, ..Batch::default() })
            .await
            .unwrap();
    }

    async fn restart(&mut self) {
        let url = format!("sqlite://{}", self.file.display());
        // The lock of the file goes with the writer.
        self.writer.take().unwrap().close().await.unwrap();
        // Down for a while.
        self.now = self.now.after(self.chance.hours(4));
        let (writer, reader) = tidings_store::open(&url).await.unwrap();
        (self.writer, self.reader) = (Some(writer), reader);
        self.ends.clear();
        self.notes.clear();
        self.in_doubt = false;
        self.define(true).await;
        for run in self.reader.unfinished_runs().await.unwrap() {
            let name = ScheduleName::new(run.schedule.as_str()).unwrap();
            self.agenda.resume(&name, run.id);
            self.goes_on(name, run.id);
        }
    }
}

async fn verdicts(reader: &Reader, name: &ScheduleName) -> Vec<FiringRow> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let page = reader.firings(name.as_str(), cursor, 250).await.unwrap();
        rows.extend(page.rows);
        cursor = page.next;
        if cursor.is_none() {
            return rows;
        }
    }
}

#[tokio::test]
async fn in_a_year_of_trouble_every_nominal_time_has_one_verdict_and_none_fires_twice() {
    let folder = std::env::temp_dir().join(format!("tidings-year-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("tidings.db");
    let (writer, reader) = tidings_store::open(&format!("sqlite://{}", file.display())).await.unwrap();
    let mut chance = Chance(7);
    let begin = Timestamp::from_rfc3339("2026-01-01T00:30:00Z").unwrap();
    let config: BTreeMap<ScheduleName, ScheduleConfig> =
        (0..SCHEDULES).map(|number| (ScheduleName::new(format!("s{number}")).unwrap(), config(&mut chance))).collect();
    let lines = config.iter().map(|(name, config)| (name.clone(), vec![(begin, config.clone())])).collect();
    let mut world = World {
        chance,
        now: begin,
        file,
        writer: Some(writer),
        reader,
        agenda: Agenda::default(),
        config,
        ends: BTreeSet::new(),
        notes: Vec::new(),
        in_doubt: false,
        begun: HashMap::new(),
        lines,
        told: BTreeMap::new(),
    };
    world.define(true).await;
    let end = begin.after(DAY * 365);
    let between = DAY * 365 / u32::try_from(EVENTS).unwrap();
    let mut event_at = begin.after(between);
    while world.now < end {
        world.step().await;
        world.sleep(event_at.min(end));
        if world.now >= event_at {
            world.happens().await;
            event_at = event_at.max(world.now).after(between);
        }
    }
    // Whatever waits has its turn.
    let by = By::new("ann", None).unwrap();
    for name in world.config.keys().cloned().collect::<Vec<_>>() {
        let decisions = world.agenda.act(name.as_str(), ScheduleAct::Resume, &by, world.now).unwrap();
        while world.write(&decisions).await.is_none() {}
        world.in_doubt = true;
    }
    let (year_over, drained) = (world.now, world.now.after(DAY * 3));
    while world.now < drained {
        world.step().await;
        world.sleep(drained);
    }
    world.step().await;

    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for (name, lines) in &world.lines {
        let rows = verdicts(&world.reader, name).await;
        // What is behind it waits for a run, or for its time.
        let end = world.reader.schedule(name.as_str()).await.unwrap().unwrap().cursor_at;
        let next = world.config[name].cron.next_after(world.config[name].timezone, end.0).map(Timestamp);
        assert!(next.is_none_or(|next| next > year_over), "{name} stands still since {end}");
        let mut expected = BTreeSet::new();
        for (place, (from, config)) in lines.iter().enumerate() {
            let until = lines.get(place + 1).map_or(end, |(from, _)| *from);
            let times = std::iter::successors(config.cron.next_after(config.timezone, from.0), |at| {
                config.cron.next_after(config.timezone, *at)
            });
            // A line that was none yet when the next one came has no times.
            expected.extend(times.take_while(|at| *at <= until.0));
        }
        let mut alone = BTreeSet::new();
        let mut spans = Vec::new();
        for row in rows {
            *kinds.entry(row.verdict.clone()).or_default() += u64::try_from(row.count).unwrap();
            match row.verdict.as_str() {
                "by_hand" => {}
                // Of another line than it had then, or before it had any: an operator asked.
                "backfilled" if !expected.contains(&row.nominal_at.0) => {}
                _ if row.count == 1 && row.first_at == row.nominal_at => {
                    assert!(alone.insert(row.nominal_at.0), "{name}: {} has two rows", row.nominal_at);
                    assert!(expected.contains(&row.nominal_at.0), "{name}: {} is no time of it", row.nominal_at);
                }
                _ => spans.push(row),
            }
        }
        let mut left: BTreeSet<i64> = expected.difference(&alone).copied().collect();
        for span in &spans {
            let within: Vec<i64> = left.range(span.first_at.0..=span.nominal_at.0).copied().collect();
            assert_eq!(within.len(), usize::try_from(span.count).unwrap(), "{name}: {span:?}");
            left.retain(|at| !within.contains(at));
        }
        let left: Vec<String> = left.into_iter().map(|at| Timestamp(at).to_string()).collect();
        assert_eq!(left, Vec::<String>::new(), "{name} ({}) has times without a verdict", lines[0].1.definition);
    }
    assert!(world.begun.values().all(|times| *times == 1), "a job was begun twice");
    for kind in ["fired", "coalesced", "missed", "skipped_overlap", "skipped", "paused", "backfilled", "by_hand"] {
        assert!(kinds.contains_key(kind), "no time was {kind}: {kinds:?}");
    }
    for kind in ["restart", "clock back", "clock ahead", "asleep", "change", "store away", "landed unseen"] {
        assert!(world.told.get(kind).is_some_and(|count| *count > 10), "{kind} was too seldom: {:?}", world.told);
    }
    assert!(kinds.values().sum::<u64>() > 50_000, "{kinds:?}");
    drop(world);
    std::fs::remove_dir_all(folder).unwrap();
}
