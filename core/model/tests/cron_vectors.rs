//! Firings around changes of clocks, against croniter: `vectors/cron.json`, made by `vectors/cron.py`.
//!
//! Each row is an expression, a zone, an instant, and croniter's next firing after it. Where vixie-cron fires at another
//! time a fifth column has that time, from a clock that the script walks by the minute, and a sixth has why:
//!
//! | Why | croniter | vixie-cron, and ours |
//! |---|---|---|
//! | a wildcard near a gap | fires `0 */2` at the first instant after the gap | waits for the next time that clocks show |
//! | a plain time near a fold | fires in both passes | fires in the first alone |
//! | a day of month that starts with a star | `*/2` and a weekday: either is enough | both must hold |

use chrono_tz::Tz;
use tidings_model::Timestamp;
use tidings_model::cron::Cron;

const VECTORS: &str = include_str!("vectors/cron.json");

const CLASSES: [(&str, usize); 3] =
    [("a day of month that starts with a star", 38), ("a plain time near a fold", 20), ("a wildcard near a gap", 13)];

/// The strings of each row.
fn rows() -> Vec<Vec<&'static str>> {
    let rows = VECTORS.lines().filter(|line| line.starts_with("[\""));
    rows.map(|line| line.split('"').skip(1).step_by(2).collect()).collect()
}

fn instant(text: &str) -> i64 {
    Timestamp::from_rfc3339(text).expect("the data is RFC 3339").0
}

#[test]
fn the_next_firing_is_croniters_or_where_that_differs_vixie_crons() {
    let rows = rows();
    assert!(rows.len() >= 400, "{} vectors", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let [expression, zone, after, theirs, rest @ ..] = &row[..] else { panic!("a short row: {row:?}") };
        let expected = rest.first().unwrap_or(theirs);
        let cron = Cron::parse(expression).expect("the data is crontab(5)");
        let zone: Tz = zone.parse().expect("the data has IANA names");
        let found = cron.next_after(zone, instant(after)).map(Timestamp);
        if found != Some(Timestamp(instant(expected))) {
            wrong.push(format!("{row:?}: found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn every_difference_to_croniter_is_of_a_class_that_is_explained_here() {
    let rows = rows();
    let differ = rows.iter().filter(|row| row.len() > 4);
    for (class, count) in CLASSES {
        assert_eq!(rows.iter().filter(|row| row.get(5) == Some(&class)).count(), count, "{class}");
    }
    assert_eq!(differ.count(), CLASSES.iter().map(|(_, count)| count).sum::<usize>());
}
