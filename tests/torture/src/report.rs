//! What a run says at its end: a table for people, an object for scripts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

/// Findings that are told; all are counted.
const FINDINGS_MAX: usize = 40;

/// The outcome of a run. The order of the members is that of the JSON.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// `kill`, `power`, `disk-full` or `clock`.
    pub scenario: &'static str,
    /// Kills, cuts, fillings or steps.
    pub rounds: u32,
    /// Accepted and gone; or said to be sent and never arrived; or not ended although nothing was missing.
    pub lost: u64,
    /// Copies beyond the first, in all channels.
    pub doubled: u64,
    /// Those in channels that promise once, or at most once.
    pub doubled_where_once: u64,
    /// Stores that SQLite calls corrupt, that the engine does not open, or whose counts do not match their rows.
    pub corrupt: u64,
    /// From the start of the process after a kill until it answers with everything settled that the kill left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_ms_p50: Option<f64>,
    /// The slowest one in a hundred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_ms_p99: Option<f64>,
    /// What a scenario promises beyond that and did not keep, as `disk-full`: outcomes that were not written.
    pub broken_promises: u64,
    /// Messages whose acceptance was answered.
    pub accepted: u64,
    /// Deliveries in the sandbox's log.
    pub arrived: u64,
    /// What the run was made from.
    pub seed: u64,
    /// Channel by channel.
    pub channels: BTreeMap<&'static str, Tally>,
    /// Figures of one scenario alone.
    pub figures: BTreeMap<&'static str, f64>,
    /// The first things that were wrong, in sentences.
    pub findings: Vec<String>,
}

/// One channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Accepted.
    pub accepted: u64,
    /// Ended as sent.
    pub sent: u64,
    /// Ended as unknown: what the channel's promise allows, if it is not lost.
    pub unknown: u64,
    /// Withdrawn by the load's own operator.
    pub cancelled: u64,
    /// See [`Report::lost`].
    pub lost: u64,
    /// Copies beyond the first.
    pub doubled: u64,
}

impl Report {
    /// Whether nothing was wrong.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.doubled_where_once == 0 && self.corrupt == 0 && self.broken_promises == 0
    }

    pub(crate) fn find(&mut self, finding: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding.into());
        }
    }

    /// Something the scenario promises and that was not so.
    pub(crate) fn broken(&mut self, finding: impl Into<String>) {
        self.broken_promises += 1;
        self.find(finding);
    }

    pub(crate) fn corrupted(&mut self, finding: impl Into<String>) {
        self.corrupt += 1;
        self.find(finding);
    }

    pub(crate) fn recovered(&mut self, mut times: Vec<Duration>) {
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).checked_sub(1)?;
            Some((times[rank].as_secs_f64() * 10_000.0).round() / 10.0)
        };
        (self.recovery_ms_p50, self.recovery_ms_p99) = (at(50), at(99));
    }

    /// One line of JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a report is JSON")
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |words: std::fmt::Arguments<'_>| writeln!(text, "{words}").expect("a string takes everything");
        line(format_args!("{}: {} rounds, seed {}", self.scenario, self.rounds, self.seed));
        line(format_args!(
            "{:<13}{:>9}{:>9}{:>9}{:>11}{:>6}{:>9}",
            "channel", "accepted", "sent", "unknown", "cancelled", "lost", "doubled"
        ));
        for (name, tally) in &self.channels {
            line(format_args!(
                "{name:<13}{:>9}{:>9}{:>9}{:>11}{:>6}{:>9}",
                tally.accepted, tally.sent, tally.unknown, tally.cancelled, tally.lost, tally.doubled
            ));
        }
        if let (Some(p50), Some(p99)) = (self.recovery_ms_p50, self.recovery_ms_p99) {
            line(format_args!("recovery: p50 {p50} ms, p99 {p99} ms"));
        }
        for (name, value) in &self.figures {
            line(format_args!("{name}: {value}"));
        }
        for finding in &self.findings {
            line(format_args!("! {finding}"));
        }
        line(format_args!(
            "{} accepted, {} arrived: {} lost, {} doubled, {} of them where once is promised, {} corrupt, {} promises broken",
            self.accepted,
            self.arrived,
            self.lost,
            self.doubled,
            self.doubled_where_once,
            self.corrupt,
            self.broken_promises
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_good_only_if_nothing_is_lost_doubled_corrupt_or_broken() {
        assert!(Report { doubled: 9, ..Report::default() }.is_good(), "at least once is a promise too");
        assert!(!Report { lost: 1, ..Report::default() }.is_good());
        assert!(!Report { doubled_where_once: 1, ..Report::default() }.is_good());
        let mut report = Report::default();
        report.corrupted("the file");
        assert!(!report.is_good());
        let mut report = Report::default();
        report.broken("the promise");
        assert!(!report.is_good() && report.text().contains("! the promise"));
    }

    #[test]
    fn the_slowest_of_few_is_the_99th() {
        let mut report = Report::default();
        report.recovered([3, 1, 2].map(Duration::from_millis).to_vec());
        assert_eq!((report.recovery_ms_p50, report.recovery_ms_p99), (Some(2.0), Some(3.0)));
        report.recovered(Vec::new());
        assert_eq!(report.recovery_ms_p50, None);
    }
}
