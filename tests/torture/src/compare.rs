//! The comparison: what was acknowledged, what the store says, and what the sandbox's log says. Pure, so that its own
//! tests can take something away and see it miss.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tidings_api::wire::Run;

use crate::instant::{rfc3339, seconds};
use crate::lane::{Lane, Promise};
use crate::ledger::Inner;
use crate::report::{Report, Tally};

/// The schedule with `missed = "all"` and `overlap = "queue"`, once a second.
const CATCHES_UP: &str = "every-one";

/// A message as the store has it.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) lane: Lane,
    pub(crate) to: String,
    pub(crate) state: String,
    pub(crate) reason: String,
    pub(crate) run: Option<String>,
}

/// A delivery as the sandbox has it.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) lane: Lane,
    pub(crate) order: String,
    /// The message, where its dedupe id names it.
    pub(crate) message: Option<String>,
    pub(crate) credential: Option<String>,
}

/// Everything that is compared. The ledger was read first, then the store, then the log: what is acknowledged is stored
/// by then, and what is called sent has arrived by then.
pub(crate) struct Seen<'a> {
    pub(crate) ledger: &'a Inner,
    pub(crate) stored: &'a [Stored],
    pub(crate) credentials: &'a HashSet<String>,
    pub(crate) runs: &'a [Run],
    pub(crate) arrivals: &'a [Arrival],
    /// Rows of the schedules' audience.
    pub(crate) audience: usize,
    /// Everything has come to rest: what has not ended never will.
    pub(crate) at_rest: bool,
    /// The clock was moved: a window may have ended too early, and a schedule may have been told to miss.
    pub(crate) clock_moved: bool,
}

/// Writes the counts into the report, in place of those of an earlier comparison.
pub(crate) fn compare(seen: &Seen<'_>, report: &mut Report) {
    (report.lost, report.doubled, report.doubled_where_once) = (0, 0, 0);
    (report.accepted, report.arrived) = (0, u64::try_from(seen.arrivals.len()).unwrap_or(u64::MAX));
    report.channels = Lane::ALL.iter().map(|lane| (lane.name(), Tally::default())).collect();
    let mut comparison = Comparison {
        seen,
        report,
        by_order: HashMap::new(),
        by_message: HashMap::new(),
        stored: seen.stored.iter().map(|stored| (stored.id.as_str(), stored)).collect(),
    };
    comparison.arrivals();
    comparison.entries();
    comparison.digests();
    comparison.runs();
    comparison.gaps();
    comparison.credentials();
}

struct Comparison<'a> {
    seen: &'a Seen<'a>,
    report: &'a mut Report,
    by_order: HashMap<&'a str, u64>,
    by_message: HashMap<&'a str, u64>,
    stored: HashMap<&'a str, &'a Stored>,
}

impl Comparison<'_> {
    fn lost(&mut self, lane: Lane, finding: String) {
        self.report.lost += 1;
        self.tally(lane).lost += 1;
        self.report.find(format!("lost: {finding}"));
    }

    fn doubled(&mut self, lane: Lane, copies: u64, finding: &str) {
        self.report.doubled += copies;
        self.tally(lane).doubled += copies;
        if lane.promise() != Promise::AtLeastOnce {
            self.report.doubled_where_once += copies;
            self.report.find(format!("doubled: {finding}"));
        }
    }

    fn tally(&mut self, lane: Lane) -> &mut Tally {
        self.report.channels.entry(lane.name()).or_default()
    }

    fn arrivals(&mut self) {
        let mut carried: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for arrival in self.seen.arrivals {
            match (&arrival.message, arrival.lane) {
                (Some(message), Lane::Digest) => *self.by_message.entry(message).or_default() += 1,
                _ => *self.by_order.entry(&arrival.order).or_default() += 1,
            }
            if let (Lane::Forms, Some(credential)) = (arrival.lane, &arrival.credential) {
                carried.entry(credential).or_default().insert(&arrival.order);
            }
        }
        for (credential, orders) in carried.into_iter().filter(|(_, orders)| orders.len() > 1) {
            self.doubled(Lane::Forms, 1, &format!("the form_id {credential} carried {orders:?}"));
        }
    }

    fn entries(&mut self) {
        let mut ids: HashSet<&str> = HashSet::new();
        for entry in &self.seen.ledger.entries {
            let arrived = self.by_order.get(entry.order.as_str()).copied().unwrap_or(0);
            if arrived > 1 {
                self.doubled(entry.lane, arrived - 1, &format!("{} arrived {arrived} times", entry.order));
            }
            let Some(id) = &entry.id else { continue };
            self.report.accepted += 1;
            self.tally(entry.lane).accepted += 1;
            let what = format!("{} ({id}, {})", entry.order, entry.lane.name());
            match self.stored.get(id.as_str()).copied() {
                _ if !ids.insert(id) => self.lost(entry.lane, format!("{what} has the id of another")),
                None => self.lost(entry.lane, format!("{what} was acknowledged and is not in the store")),
                Some(stored) if stored.to != entry.to || stored.lane != entry.lane => {
                    self.lost(entry.lane, format!("{what} was acknowledged, and the store has another by that id"));
                }
                Some(stored) => self.ended(entry.lane, stored, arrived, entry.cancelled, &what),
            }
        }
        for contradiction in self.seen.ledger.contradictions.clone() {
            self.doubled(Lane::Service, 1, &contradiction);
        }
        if !self.seen.at_rest {
            return;
        }
        // By now every request has its answer: what no answer named was accepted a second time.
        for stored in self.seen.stored.iter().filter(|stored| stored.run.is_none()) {
            if !ids.contains(stored.id.as_str()) {
                self.doubled(stored.lane, 1, &format!("{} is in the store and nobody was told of it", stored.id));
            }
        }
        let unanswered = self.seen.ledger.entries.iter().filter(|entry| entry.id.is_none()).count();
        if unanswered > 0 {
            self.report.broken(format!("{unanswered} requests were never answered"));
        }
    }

    /// Where a message stands against what arrived.
    fn ended(&mut self, lane: Lane, stored: &Stored, arrived: u64, cancelled: bool, what: &str) {
        let Stored { state, reason, .. } = stored;
        match state.as_str() {
            "sent" | "delivered" => {
                self.tally(lane).sent += 1;
                if arrived == 0 {
                    self.lost(lane, format!("{what} is called {state} ({reason}) and did not arrive"));
                }
            }
            _ if !self.seen.at_rest => {}
            "unknown" => {
                self.tally(lane).unknown += 1;
                let excused = match lane.promise() {
                    Promise::AtMostOnce => true,
                    // Its window is measured by a clock that was moved.
                    Promise::Once => self.seen.clock_moved && lane != Lane::Forms,
                    // The credential it was bound to is gone, and nobody can say with which message.
                    Promise::AtLeastOnce => matches!(reason.as_str(), "credential_spent" | "credential_invalid"),
                };
                if arrived == 0 && !excused {
                    self.lost(lane, format!("{what} ended unknown ({reason}) and did not arrive"));
                }
            }
            "cancelled" if cancelled => self.tally(lane).cancelled += 1,
            _ => self.lost(lane, format!("{what} is {state} ({reason}) at the end, and nothing was missing")),
        }
    }

    /// What the schedules sent.
    fn digests(&mut self) {
        for stored in self.seen.stored.iter().filter(|stored| stored.run.is_some()) {
            let arrived = self.by_message.get(stored.id.as_str()).copied().unwrap_or(0);
            self.report.accepted += 1;
            self.tally(stored.lane).accepted += 1;
            let what = format!("{} of {}", stored.id, stored.run.as_deref().unwrap_or_default());
            if arrived > 1 {
                self.doubled(stored.lane, arrived - 1, &format!("{what} arrived {arrived} times"));
            }
            self.ended(stored.lane, stored, arrived, false, &what);
        }
    }

    fn runs(&mut self) {
        let mut told: HashMap<&str, Vec<&str>> = HashMap::new();
        for stored in self.seen.stored {
            if let Some(run) = &stored.run {
                told.entry(run).or_default().push(&stored.to);
            }
        }
        let mut nominal: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        for run in self.seen.runs {
            if let Some(other) = nominal.insert((&run.schedule, &run.nominal_at), &run.id) {
                let finding = format!("{} fired for {} twice: {other} and {}", run.schedule, run.nominal_at, run.id);
                self.doubled(Lane::Digest, 1, &finding);
            }
            if !run.job.contains("send") {
                continue;
            }
            let told = told.remove(run.id.as_str()).unwrap_or_default();
            let distinct: HashSet<&str> = told.iter().copied().collect();
            if told.len() > distinct.len() {
                let copies = u64::try_from(told.len() - distinct.len()).unwrap_or(u64::MAX);
                self.doubled(Lane::Digest, copies, &format!("{} accepted a row of its audience twice", run.id));
            }
            if !self.seen.at_rest {
                continue;
            }
            // A clock that jumped by more than a day ends a run that was under way, with a reason.
            let excused = self.seen.clock_moved && run.state == "failed";
            if (run.state != "done" || distinct.len() != self.seen.audience) && !excused {
                let (found, expected) = (distinct.len(), self.seen.audience);
                let text = format!(
                    "{} of {} is {} and told {found} of {expected}: {}",
                    run.id,
                    run.schedule,
                    run.state,
                    run.result.as_deref().unwrap_or_default()
                );
                self.lost(Lane::Digest, text);
            }
        }
        if self.seen.at_rest {
            for run in told.into_keys().map(str::to_owned).collect::<Vec<_>>() {
                self.lost(Lane::Digest, format!("messages are of {run}, which is not there"));
            }
        }
    }

    /// The schedule that catches everything up has a run for every second between its first and its last.
    fn gaps(&mut self) {
        if !self.seen.at_rest || self.seen.clock_moved {
            return;
        }
        let all = self.seen.runs.iter().filter(|run| run.schedule == CATCHES_UP);
        let fired: BTreeSet<u64> = all.filter_map(|run| seconds(&run.nominal_at)).collect();
        let (Some(first), Some(last)) = (fired.first(), fired.last()) else { return };
        let missing: Vec<u64> = (*first..*last).filter(|second| !fired.contains(second)).collect();
        for second in missing {
            self.lost(Lane::Digest, format!("{CATCHES_UP} did not fire for {}", rfc3339(second * 1000)));
        }
    }

    fn credentials(&mut self) {
        let missing = self.seen.ledger.credentials.difference(self.seen.credentials).count();
        if missing > 0 {
            self.report.lost += u64::try_from(missing).unwrap_or(u64::MAX);
            self.report.find(format!("lost: {missing} credentials were acknowledged and are not in the ledger"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Entry;

    struct Case {
        ledger: Inner,
        stored: Vec<Stored>,
        arrivals: Vec<Arrival>,
        runs: Vec<Run>,
        at_rest: bool,
    }

    fn case(messages: &[(Lane, &str, usize)]) -> Case {
        let mut case = Case {
            ledger: Inner::default(),
            stored: Vec::new(),
            arrivals: Vec::new(),
            runs: Vec::new(),
            at_rest: true,
        };
        for (number, (lane, state, arrived)) in messages.iter().enumerate() {
            let (order, id) = (format!("order-{number}"), format!("msg_{number}"));
            case.ledger.entries.push(Entry {
                lane: *lane,
                order: order.clone(),
                to: "o-1".to_owned(),
                id: Some(id.clone()),
                cancelled: false,
            });
            case.stored.push(stored(&id, *lane, state, None));
            for _ in 0..*arrived {
                case.arrivals.push(Arrival { lane: *lane, order: order.clone(), message: None, credential: None });
            }
        }
        case
    }

    fn stored(id: &str, lane: Lane, state: &str, run: Option<&str>) -> Stored {
        let (to, reason) = ("o-1".to_owned(), String::new());
        Stored { id: id.to_owned(), lane, to, state: state.to_owned(), reason, run: run.map(str::to_owned) }
    }

    fn run(id: &str, nominal_at: &str) -> Run {
        let (schedule, job, state) = ("every-one".to_owned(), "send digest".to_owned(), "done".to_owned());
        Run { id: id.to_owned(), schedule, job, state, nominal_at: nominal_at.to_owned(), ..Run::default() }
    }

    impl Case {
        /// Lost, doubled, doubled where once is promised.
        fn counts(&self) -> (u64, u64, u64) {
            let mut report = Report::default();
            let seen = Seen {
                ledger: &self.ledger,
                stored: &self.stored,
                credentials: &HashSet::new(),
                runs: &self.runs,
                arrivals: &self.arrivals,
                audience: 1,
                at_rest: self.at_rest,
                clock_moved: false,
            };
            compare(&seen, &mut report);
            (report.lost, report.doubled, report.doubled_where_once)
        }
    }

    #[test]
    fn what_is_as_promised_is_good() {
        let good = [
            (Lane::Forms, "sent", 1),
            (Lane::Service, "sent", 1),
            (Lane::Grants, "unknown", 0),
            (Lane::Grants, "unknown", 1),
            (Lane::GrantsAgain, "sent", 1),
        ];
        assert_eq!(case(&good).counts(), (0, 0, 0));
    }

    #[test]
    fn a_log_entry_that_is_missing_is_seen() {
        let mut case = case(&[(Lane::Forms, "sent", 1), (Lane::Service, "sent", 1)]);
        case.arrivals.pop();
        assert_eq!(case.counts(), (1, 0, 0));
    }

    #[test]
    fn a_second_copy_counts_where_once_is_promised_and_elsewhere_apart() {
        assert_eq!(case(&[(Lane::Forms, "sent", 2)]).counts(), (0, 1, 1));
        assert_eq!(case(&[(Lane::Grants, "unknown", 2)]).counts(), (0, 1, 1));
        assert_eq!(case(&[(Lane::Payments, "sent", 3)]).counts(), (0, 2, 0));
    }

    #[test]
    fn what_was_acknowledged_and_is_gone_is_lost() {
        let mut missing = case(&[(Lane::Forms, "sent", 1), (Lane::Forms, "sent", 1)]);
        missing.stored.pop();
        assert_eq!(missing.counts().0, 1);
        let mut another = case(&[(Lane::Forms, "sent", 1)]);
        another.stored[0].to = "o-2".to_owned();
        assert_eq!(another.counts().0, 1);
    }

    #[test]
    fn what_does_not_end_is_lost_and_only_at_rest() {
        for state in ["sending", "queued", "waiting", "scheduled", "held", "failed", "expired", "cancelled"] {
            let mut case = case(&[(Lane::Forms, state, 0)]);
            assert_eq!(case.counts(), (1, 0, 0), "{state}");
            case.at_rest = false;
            assert_eq!(case.counts(), (0, 0, 0), "{state}");
        }
        assert_eq!(case(&[(Lane::Forms, "unknown", 0)]).counts(), (1, 0, 0));
    }

    #[test]
    fn a_message_that_nobody_was_told_of_is_a_second_copy_of_one() {
        let mut case = case(&[(Lane::Forms, "sent", 1)]);
        case.stored.push(stored("msg_9", Lane::Forms, "cancelled", None));
        assert_eq!(case.counts(), (0, 1, 1));
        let mut case = self::case(&[(Lane::Forms, "sent", 1)]);
        case.ledger.contradictions.push("the key order-0 was accepted twice".to_owned());
        assert_eq!(case.counts(), (0, 1, 1));
    }

    #[test]
    fn one_credential_for_two_messages_is_seen() {
        let mut case = case(&[(Lane::Forms, "sent", 1), (Lane::Forms, "sent", 1)]);
        for arrival in &mut case.arrivals {
            arrival.credential = Some("form-1".to_owned());
        }
        assert_eq!(case.counts(), (0, 1, 1));
    }

    #[test]
    fn a_schedule_fires_once_for_a_time_and_tells_everybody_once() {
        let mut case = case(&[]);
        case.runs = vec![run("run_1", "2026-01-01T00:00:01Z"), run("run_2", "2026-01-01T00:00:02Z")];
        case.stored =
            ["1", "2"].map(|n| stored(&format!("msg_{n}"), Lane::Digest, "sent", Some(&format!("run_{n}")))).into();
        case.arrivals = ["msg_1", "msg_2"]
            .map(|id| Arrival {
                lane: Lane::Digest,
                order: String::new(),
                message: Some(id.to_owned()),
                credential: None,
            })
            .into();
        assert_eq!(case.counts(), (0, 0, 0));
        let again = case.arrivals[0].clone();
        case.arrivals.push(again);
        assert_eq!(case.counts(), (0, 1, 1));
        case.arrivals.pop();
        case.runs[1].nominal_at = "2026-01-01T00:00:03Z".to_owned();
        assert_eq!(case.counts(), (1, 0, 0), "a second without a run");
        case.runs[1].nominal_at = "2026-01-01T00:00:02Z".to_owned();
        case.stored.push(stored("msg_3", Lane::Digest, "unknown", Some("run_2")));
        assert_eq!(case.counts().2, 1, "the same row twice");
        case.stored.truncate(1);
        assert_eq!(case.counts().0, 1, "a row that nobody was told");
        case.stored.clear();
        case.runs[1].nominal_at = case.runs[0].nominal_at.clone();
        assert_eq!(case.counts().2, 1, "the same time twice");
    }

    #[test]
    fn a_credential_that_was_acknowledged_and_is_gone_is_lost() {
        let mut case = case(&[]);
        case.ledger.credentials.insert("crd_1".to_owned());
        assert_eq!(case.counts().0, 1);
    }
}
