//! The one who calls the engine: a task of its own, so that nothing on the screen ever waits for the network.
//!
//! It calls, tells, sleeps, and calls again; so no call is ever doubled. What it tells is a slot, not a queue: a slow
//! screen finds the latest picture and nothing before it. It ends when nobody holds the slot any more.

use std::sync::Arc;
use std::time::Duration;

use tidings_api::client::{Client, ClientError};
use tidings_api::wire::Overview;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::message::Trouble;

/// Between the end of a good call and the next.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long an answer may take. The client itself would wait longer than an operator does.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(5);
/// After the first call that came to nothing; doubled after each further one.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(250);
/// At most so long.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

/// What a call brought.
pub(crate) type Answer = Result<Arc<Overview>, Trouble>;

/// Where pictures come from.
pub(crate) trait Source: Send + 'static {
    /// Asks for one.
    fn overview(&self) -> impl Future<Output = Answer> + Send;
}

impl Source for Client {
    async fn overview(&self) -> Answer {
        match Client::overview(self).await {
            Ok(overview) => Ok(Arc::new(overview)),
            Err(ClientError::Unreachable { .. }) => Err(Trouble::Unreachable),
            Err(ClientError::Refused(problem)) => Err(Trouble::Refused(problem.detail)),
            Err(ClientError::Foreign { found, .. }) => Err(Trouble::Foreign(found)),
        }
    }
}

/// The screen's end of the connection. When it is dropped, the task ends.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The last answer; `None` before the first.
    pub(crate) answers: watch::Receiver<Option<Answer>>,
    /// Notified, it calls at once, or right after the call that is under way.
    pub(crate) refresh: Arc<Notify>,
}

/// Starts to call.
pub(crate) fn start(source: impl Source) -> (Connection, JoinHandle<()>) {
    let (tell, answers) = watch::channel(None);
    let refresh = Arc::new(Notify::new());
    let task = tokio::spawn(call(source, tell, Arc::clone(&refresh)));
    (Connection { answers, refresh }, task)
}

async fn call(source: impl Source, tell: watch::Sender<Option<Answer>>, refresh: Arc<Notify>) {
    let mut failures = 0;
    loop {
        let answer = tokio::select! {
            answer = tokio::time::timeout(ANSWER_MAX, source.overview()) => answer.unwrap_or(Err(Trouble::Slow)),
            () = tell.closed() => return,
        };
        failures = if answer.is_ok() { 0 } else { failures + 1 };
        if tell.send(Some(answer)).is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(delay(failures)) => {}
            () = refresh.notified() => {}
            () = tell.closed() => return,
        }
    }
}

/// How long to wait after so many calls in a row that came to nothing.
fn delay(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => POLL_INTERVAL,
        Some(doublings) => RETRY_DELAY_MIN.saturating_mul(2_u32.saturating_pow(doublings)).min(RETRY_DELAY_MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::Instant;

    use super::*;

    #[derive(Clone, Default)]
    struct Fake {
        calls: Arc<AtomicU32>,
        under_way: Arc<AtomicU32>,
        under_way_max: Arc<AtomicU32>,
        takes: Duration,
        fails: bool,
    }

    impl Source for Fake {
        async fn overview(&self) -> Answer {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.under_way_max.fetch_max(under_way, Ordering::SeqCst);
            tokio::time::sleep(self.takes).await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            if self.fails { Err(Trouble::Unreachable) } else { Ok(Arc::default()) }
        }
    }

    #[test]
    fn delays_grow_to_five_seconds_and_stay_there() {
        let delays: Vec<u128> = (0..8).map(|failures| delay(failures).as_millis()).collect();
        assert_eq!(delays, [500, 250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        assert_eq!(delay(u32::MAX), RETRY_DELAY_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_answers_is_asked_every_half_second() {
        let fake = Fake::default();
        let (connection, task) = start(fake.clone());
        tokio::time::sleep(Duration::from_millis(10_250)).await;
        assert_eq!(fake.calls.load(Ordering::SeqCst), 21);
        assert!(connection.answers.borrow().as_ref().is_some_and(Result::is_ok));
        drop(connection);
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_under_way_is_not_doubled_by_impatience() {
        let fake = Fake { takes: Duration::from_secs(1), ..Fake::default() };
        let (connection, _task) = start(fake.clone());
        for _ in 0..100 {
            connection.refresh.notify_one();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(fake.under_way_max.load(Ordering::SeqCst), 1);
        assert!(fake.calls.load(Ordering::SeqCst) <= 11);
    }

    #[tokio::test(start_paused = true)]
    async fn an_absent_engine_is_asked_ever_more_seldom_but_at_once_on_demand() {
        let fake = Fake { fails: true, ..Fake::default() };
        let (mut connection, _task) = start(fake.clone());
        tokio::time::sleep(Duration::from_secs(60)).await;
        let calls = fake.calls.load(Ordering::SeqCst);
        assert!((14..=18).contains(&calls), "{calls} calls");
        connection.answers.mark_unchanged();
        let asked = Instant::now();
        connection.refresh.notify_one();
        connection.answers.changed().await.unwrap();
        assert!(asked.elapsed() < Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_hangs_is_told_of_in_time() {
        let fake = Fake { takes: Duration::from_secs(3_600), ..Fake::default() };
        let (mut connection, task) = start(fake);
        connection.answers.changed().await.unwrap();
        assert!(matches!(*connection.answers.borrow(), Some(Err(Trouble::Slow))));
        drop(connection);
        task.await.unwrap();
    }
}
