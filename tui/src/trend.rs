//! How fast messages left, over minutes: a row of equal steps, each known or not. A step that nobody saw is a gap, never a
//! zero.
//!
//! While nothing leaves, nothing new can be seen but that the row moves on. That asks for no frame of its own: the row stands
//! still then and catches up with the next frame that something else asks for, which the clock does every minute.

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
    /// The step that is the present one in what is shown.
    shown: i64,
}

impl Trend {
    /// Takes a picture's count. Says whether the row is another one by it, and not only further on.
    pub(crate) fn take(&mut self, at: DateTime<Utc>, left: i64) -> bool {
        self.sample(at, left);
        let present = self.present();
        // The step that ended, or the last one that is shown: what stops to leave is seen as well.
        let is_news = present != self.shown && (self.has_left(present - 1) || self.has_left(self.shown - 1));
        if is_news {
            self.catch_up();
        }
        is_news
    }

    /// A frame is drawn anyway.
    pub(crate) fn catch_up(&mut self) {
        self.shown = self.present();
    }

    /// Whether anything is known to have left in a step.
    fn has_left(&self, step: i64) -> bool {
        let pairs = self.seen.iter().zip(self.seen.iter().skip(1));
        let mut of_step = pairs.filter(|((before, _), (of, _))| (*before + 1, *of) == (step, step));
        of_step.any(|((_, from), (_, to))| to > from)
    }

    fn present(&self) -> i64 {
        self.seen.back().map_or(0, |(step, _)| *step)
    }

    fn sample(&mut self, at: DateTime<Utc>, left: i64) {
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
        let mut steps = vec![None; count];
        for ((before, from), (step, to)) in self.seen.iter().zip(self.seen.iter().skip(1)) {
            let age = usize::try_from(self.shown - step).unwrap_or(usize::MAX);
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
        trend.catch_up();
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
    fn while_nothing_leaves_it_stands_still_and_catches_up_with_the_next_frame() {
        let mut trend = of(&[(0, 100), (5, 110)]);
        trend.catch_up();
        let mut take = |seconds: i64, left| trend.take(DateTime::from_timestamp(seconds, 0).unwrap(), left);
        assert!(take(10, 120), "ten left in the step that ended");
        assert!(!take(12, 120), "the present step is not over");
        assert!(take(15, 120), "ten left in the next one");
        assert!(take(20, 120), "that nothing left any more is seen once");
        for seconds in (21..600).step_by(3) {
            assert!(!take(seconds, 120), "{seconds}");
        }
        assert_eq!(trend.steps(3), [Some(10), Some(10), Some(0)]);
        trend.catch_up();
        assert_eq!(trend.steps(2), [Some(0); 2]);
        let mut take = |seconds: i64, left| trend.take(DateTime::from_timestamp(seconds, 0).unwrap(), left);
        assert!(!take(602, 121), "it has only begun");
        assert!(take(605, 121));
        assert_eq!(trend.steps(2), [Some(0), Some(1)]);
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
