//! What waits for a plugin's thread: bounded, in order, and without a wake-up for a thread that is awake.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::limits::SUBMIT_BATCH_MAX;
use crate::reply::{Waiting, lock};
use crate::transport::{Carrying, Offered};

/// Something to do on the plugin's thread.
pub(crate) enum Work {
    /// A call that somebody waits for.
    Call { waiting: Arc<dyn Waiting>, run: Box<dyn FnOnce() + Send> },
    /// A delivery to submit.
    Deliver(Offered),
    /// A delivery that nobody waits for any more.
    Cancel { carrying: Arc<Carrying>, operation: u64 },
    /// An instance that nobody uses any more.
    Destroy(Box<dyn FnOnce() + Send>),
}

/// What the thread does next.
pub(crate) enum Next {
    Work(Work),
    /// Deliveries to one instance.
    Deliveries(Vec<Offered>),
    /// Instances may take what they did not take before.
    Resume,
    /// There will be no more.
    Stop,
}

/// Why something was not queued.
pub(crate) enum NotQueued {
    Full(usize),
    Closed,
}

pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    most: usize,
}

#[derive(Default)]
struct State {
    work: VecDeque<Work>,
    resume: bool,
    closed: bool,
    sleeping: bool,
}

impl Queue {
    pub(crate) fn new(most: usize) -> Queue {
        Queue { state: Mutex::default(), filled: Condvar::new(), most }
    }

    /// Queues work; refused, and dropped, if there is too much of it or there will be no more.
    pub(crate) fn push(&self, work: Work) -> Result<(), NotQueued> {
        // The end of an instance is as bounded as instances are, and must not be lost.
        let is_bounded = !matches!(work, Work::Destroy(_));
        let mut state = lock(&self.state);
        if state.closed {
            return Err(NotQueued::Closed);
        }
        if is_bounded && state.work.len() >= self.most {
            return Err(NotQueued::Full(state.work.len()));
        }
        state.work.push_back(work);
        self.wake(state);
        Ok(())
    }

    /// Has the thread offer again what was not taken.
    pub(crate) fn resume(&self) {
        let mut state = lock(&self.state);
        if !state.resume {
            state.resume = true;
            self.wake(state);
        }
    }

    /// A wake-up is a system call: only a thread that sleeps needs it.
    fn wake(&self, mut state: std::sync::MutexGuard<'_, State>) {
        let sleeps = std::mem::take(&mut state.sleeping);
        drop(state);
        if sleeps {
            self.filled.notify_one();
        }
    }

    /// What to do next; waits for it. After `most` without anything, to offer again is what there is to do.
    pub(crate) fn next(&self, most: Option<Duration>) -> Next {
        let mut state = lock(&self.state);
        loop {
            // A stream of calls must not keep what was not taken waiting.
            if std::mem::take(&mut state.resume) {
                return Next::Resume;
            }
            match state.work.pop_front() {
                Some(Work::Deliver(first)) => return Next::Deliveries(state.deliveries(first)),
                Some(work) => return Next::Work(work),
                None if state.closed => return Next::Stop,
                None => {
                    state.sleeping = true;
                    let Some(most) = most else {
                        state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                        continue;
                    };
                    let (waited, timeout) =
                        self.filled.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner);
                    state = waited;
                    state.resume |= timeout.timed_out();
                }
            }
        }
    }

    /// Takes no more. What is queued is still done.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        self.wake(state);
    }

    /// Takes no more, and gives back what is queued.
    pub(crate) fn close_now(&self) -> VecDeque<Work> {
        let mut state = lock(&self.state);
        state.closed = true;
        let work = std::mem::take(&mut state.work);
        self.wake(state);
        work
    }
}

impl State {
    /// The delivery and those right behind it to the same instance: one batch.
    fn deliveries(&mut self, first: Offered) -> Vec<Offered> {
        let mut deliveries = vec![first];
        while deliveries.len() < SUBMIT_BATCH_MAX {
            let is_next = |work: &Work| matches!(work, Work::Deliver(next) if next.is_beside(&deliveries[0]));
            if !self.work.front().is_some_and(is_next) {
                break;
            }
            match self.work.pop_front() {
                Some(Work::Deliver(next)) => deliveries.push(next),
                _ => break,
            }
        }
        deliveries
    }
}
