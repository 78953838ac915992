//! How fast messages left, over minutes: a row of equal steps, each known or not. A step that nobody saw is a gap, never a
//! zero.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

/// The length of a step.
pub(crate) const STEP_MS: i64 = 5_000;
/// Steps that are kept: more than a wide terminal has columns.
const STEPS_MAX: usize = 300;

/// The steps, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Trend {
    /// The number of each step that was seen, and how many messages had left at its end.
    seen: VecDeque<(i64, i64)>,
}

impl Trend {
    /// Takes a picture's count.
    pub(crate) fn take(&mut self, at: DateTime<Utc>, left: i64) {
        let step = at.timestamp_millis().div_euclid(STEP_MS);
        match self.seen.back_mut() {
            // The clock went back, or old messages were purged: the difference would say nothing.
            Some((last, known)) if step < *last || left < *known => self.seen.clear(),
            Some((last, known)) if *last == step => {
                *known = left;
                return;
            }
            _ => {}
        }
        self.seen.push_back((step, left));
        if self.seen.len() > STEPS_MAX {
            self.seen.pop_front();
        }
    }

    /// Forgets all: another engine, or the same one started again.
    pub(crate) fn restart(&mut self) {
        self.seen.clear();
    }

    /// Messages that left in each of the last so many steps that are over, the newest last.
    pub(crate) fn steps(&self, count: usize) -> Vec<Option<i64>> {
        let Some(&(present, _)) = self.seen.back() else { return vec![None; count] };
        let mut steps = vec![None; count];
        for ((before, from), (step, to)) in self.seen.iter().zip(self.seen.iter().skip(1)) {
            let age = usize::try_from(present - step).unwrap_or(usize::MAX);
            // The present step is not over; of one whose beginning nobody saw, nothing is known.
            if age >= 1 && age <= count && step - before == 1 {
                steps[count - age] = to.checked_sub(*from);
            }
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: &[(i64, i64)]) -> Trend {
        let mut trend = Trend::default();
        for (seconds, left) in samples {
            trend.take(DateTime::from_timestamp(*seconds, 0).unwrap(), *left);
        }
        trend
    }

    #[test]
    fn a_step_is_what_left_in_it_and_the_present_one_is_not_over() {
        let trend = of(&[(0, 100), (4, 110), (6, 120), (9, 150), (10, 150), (14, 155), (15, 200)]);
        assert_eq!(trend.steps(4), [None, None, Some(40), Some(5)]);
        assert_eq!(trend.steps(1), [Some(5)]);
        assert_eq!(trend.steps(0), []);
    }

    #[test]
    fn what_nobody_saw_is_a_gap() {
        let trend = of(&[(0, 0), (5, 10), (60, 500), (65, 510), (70, 520)]);
        let steps = trend.steps(14);
        assert_eq!((steps[1], steps[13]), (Some(10), Some(10)));
        assert!(steps[2..13].iter().all(Option::is_none));
    }

    #[test]
    fn it_begins_anew_after_a_purge_or_a_clock_that_went_back_and_is_bounded() {
        assert_eq!(of(&[(0, 100), (5, 10), (10, 20), (15, 20)]).steps(3), [None, None, Some(10)]);
        assert_eq!(of(&[(50, 1), (0, 2), (5, 3), (10, 3)]).steps(2), [None, Some(1)]);
        let long: Vec<(i64, i64)> = (0..10_000).map(|step| (step * 5, step)).collect();
        assert_eq!(of(&long).seen.len(), STEPS_MAX);
    }
}
