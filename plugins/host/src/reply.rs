//! Where a caller waits for the plugin's thread, in a runtime or outside one. Whoever answers first is heard; what comes
//! when nobody waits any more is dropped.

use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::trouble::{Fault, Trouble};

/// One answer on its way.
pub(crate) struct Reply<T> {
    state: Mutex<State<T>>,
    answered: Condvar,
}

enum State<T> {
    Waiting(Option<Waker>),
    Answered(Result<T, Fault>),
    /// The caller has it, or has left.
    Over,
}

/// A reply whatever its type: what the queue and the watchdog know of it.
pub(crate) trait Waiting: Send + Sync {
    /// Tells the caller that there will be no answer.
    fn fail(&self, trouble: Trouble);
    /// Whether nobody waits any more.
    fn is_over(&self) -> bool;
}

impl<T> Reply<T> {
    pub(crate) fn new() -> Arc<Reply<T>> {
        Arc::new(Reply { state: Mutex::new(State::Waiting(None)), answered: Condvar::new() })
    }

    /// Answers; false if the caller has an answer already, or has left.
    pub(crate) fn answer(&self, answer: Result<T, Fault>) -> bool {
        let mut state = lock(&self.state);
        let State::Waiting(waker) = &mut *state else { return false };
        let waker = waker.take();
        *state = State::Answered(answer);
        drop(state);
        match waker {
            Some(waker) => waker.wake(),
            None => self.answered.notify_one(),
        }
        true
    }

    /// The answer, if it comes within `wait`. After it nobody waits any more.
    pub(crate) fn wait_blocking(&self, wait: Duration) -> Option<Result<T, Fault>> {
        let until = Instant::now().checked_add(wait);
        let mut state = lock(&self.state);
        while let State::Waiting(_) = *state {
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            state = self.answered.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        match std::mem::replace(&mut *state, State::Over) {
            State::Answered(answer) => Some(answer),
            State::Waiting(_) | State::Over => None,
        }
    }

    /// The answer, if it comes within `wait`. After it, or when the future is dropped, nobody waits any more.
    pub(crate) async fn wait(&self, wait: Duration) -> Option<Result<T, Fault>> {
        let leaving = Leaving(self);
        let answer = poll_fn(|context| {
            let mut state = lock(&leaving.0.state);
            match &mut *state {
                State::Waiting(waker) => {
                    if waker.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
                        *waker = Some(context.waker().clone());
                    }
                    Poll::Pending
                }
                State::Answered(_) | State::Over => match std::mem::replace(&mut *state, State::Over) {
                    State::Answered(answer) => Poll::Ready(Some(answer)),
                    State::Waiting(_) | State::Over => Poll::Ready(None),
                },
            }
        });
        tokio::time::timeout(wait, answer).await.ok().flatten()
    }
}

/// Ends the waiting when the caller's future ends, however it ends.
struct Leaving<'a, T>(&'a Reply<T>);

impl<T> Drop for Leaving<'_, T> {
    fn drop(&mut self) {
        let left = std::mem::replace(&mut *lock(&self.0.state), State::Over);
        drop(left);
    }
}

impl<T: Send> Waiting for Reply<T> {
    fn fail(&self, trouble: Trouble) {
        self.answer(Err(Fault::Trouble(trouble)));
    }

    fn is_over(&self) -> bool {
        matches!(*lock(&self.state), State::Over)
    }
}

/// A lock whose holder panicked is as good as any: what it guards is changed in single steps.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn the_first_answer_is_heard_and_the_second_is_not() {
        let reply = Reply::new();
        assert!(reply.answer(Ok(1)));
        assert!(!reply.answer(Ok(2)));
        assert!(matches!(reply.wait_blocking(LONG), Some(Ok(1))));
        assert!(!reply.answer(Ok(3)));
    }

    #[test]
    fn who_has_left_is_not_answered() {
        let reply: Arc<Reply<u8>> = Reply::new();
        assert!(reply.wait_blocking(SOON).is_none());
        assert!(reply.is_over());
        assert!(!reply.answer(Ok(1)));
    }

    #[tokio::test]
    async fn a_waiting_task_is_woken_by_another_thread() {
        let reply = Reply::new();
        let other = Arc::clone(&reply);
        let (waits, waiting) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            assert!(waiting.recv().is_err());
            other.answer(Ok(7))
        });
        drop(waits);
        assert!(matches!(reply.wait(LONG).await, Some(Ok(7))));
        assert!(thread.join().unwrap());
    }

    #[tokio::test]
    async fn a_dropped_future_has_left() {
        let reply: Arc<Reply<u8>> = Reply::new();
        assert!(reply.wait(SOON).await.is_none());
        assert!(reply.is_over());
        let reply: Arc<Reply<u8>> = Reply::new();
        drop(tokio::time::timeout(SOON, reply.wait(LONG)).await);
        assert!(reply.is_over());
    }
}
