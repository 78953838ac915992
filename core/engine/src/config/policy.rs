//! What a schedule does about times that are late, and about runs that overlap.

use std::time::Duration;

use tidings_model::limits::{CATCH_UP_DEFAULT, CATCH_UP_MAX};

use super::read::{Section, duration, one_of, text};

/// What to do about nominal times that passed while nobody was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// Run once for all of them.
    Once,
    /// Run for none.
    Skip,
    /// Run for each of the last, up to so many.
    All {
        /// How many.
        most: u32,
    },
}

impl Missed {
    /// The word for it in config.
    pub fn as_str(self) -> &'static str {
        match self {
            Missed::Once => "once",
            Missed::Skip => "skip",
            Missed::All { .. } => "all",
        }
    }
}

/// What to do while the last run is still under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// Leave this one out.
    Skip,
    /// Run it afterwards.
    Queue,
    /// Run both.
    Allow,
}

impl Overlap {
    /// The word for it in config.
    pub fn as_str(self) -> &'static str {
        match self {
            Overlap::Skip => "skip",
            Overlap::Queue => "queue",
            Overlap::Allow => "allow",
        }
    }
}

/// When a schedule runs beside its cron line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulePolicy {
    /// What to do about times that passed while nobody was there.
    pub missed: Missed,
    /// How late a time may be to run at all; `None` for however late.
    pub grace: Option<Duration>,
    /// What to do while the last run is still under way.
    pub overlap: Overlap,
    /// Each time fires at some instant less than this after it, always the same one, and before the next time.
    pub jitter: Duration,
}

/// How late a time may be that `missed = "skip"` still runs, where config does not say: a start, a slow disk.
const GRACE_OF_SKIP: Duration = Duration::from_secs(60);
/// The shortest grace: below it a busy moment would be an outage.
const GRACE_MIN: Duration = Duration::from_secs(1);
/// The longest grace and the longest jitter.
const GRACE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
const JITTER_MAX: Duration = Duration::from_secs(24 * 3600);

pub(super) fn policy(section: &Section<'_>) -> SchedulePolicy {
    let missed = missed(section).unwrap_or(Missed::Once);
    let overlap = match section.choice("overlap", &["skip", "queue", "allow"]) {
        Some("queue") => Overlap::Queue,
        Some("allow") => Overlap::Allow,
        _ => Overlap::Skip,
    };
    let grace = bounded(section, "grace", GRACE_MIN, GRACE_MAX, "`1s` to `366d`");
    let jitter = bounded(section, "jitter", Duration::ZERO, JITTER_MAX, "at most `24h`");
    SchedulePolicy {
        missed,
        grace: grace.or((missed == Missed::Skip).then_some(GRACE_OF_SKIP)),
        overlap,
        jitter: jitter.unwrap_or_default(),
    }
}

fn missed(section: &Section<'_>) -> Option<Missed> {
    const WORDS: [&str; 3] = ["once", "skip", "all"];
    let found = section.find("missed")?;
    if found.value.as_table().is_some() {
        let table = section.as_section(&found)?;
        let most = table.number("all", 1..=CATCH_UP_MAX);
        if most.is_none() && table.find("all").is_none() {
            table.missing("all", "how many are run after all at most, as in `{ all = 500 }`");
        }
        table.finish();
        return most.map(|most| Missed::All { most });
    }
    let word = section.parsed("missed", |value| {
        let word = text(value)?;
        if WORDS.contains(&word.as_str()) { Ok(word) } else { Err(one_of(&word, &WORDS)) }
    })?;
    Some(match word.as_str() {
        "skip" => Missed::Skip,
        "all" => Missed::All { most: CATCH_UP_DEFAULT },
        _ => Missed::Once,
    })
}

fn bounded<'a>(
    section: &Section<'a>,
    key: &'a str,
    least: Duration,
    most: Duration,
    expected: &str,
) -> Option<Duration> {
    section.parsed(key, |value| {
        let found = text(value)?;
        let length = duration(&found)?;
        if (least..=most).contains(&length) { Ok(length) } else { Err(format!("`{found}` is not {expected}")) }
    })
}
