//! Those who call the engine: a task of their own, so that nothing on the screen ever waits for the network.
//!
//! Each of them calls, tells, waits, and calls again; so no call is ever doubled. One asks for the overview every second:
//! that is the pulse by which the screen knows whether the engine is there. One asks what the page wants: at once when that
//! is something else, soon when the engine says that something happened, and every few seconds whatever happens. What they
//! tell waits in a short queue; with a terminal that takes nothing, they stop to call. They end when nobody takes it any more.

use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::acts::{Act, Place, Plan, Step};
use crate::calls::{Answer, Request, Source, Trouble};

/// How long a step of an act may take: it moves many messages, and whoever began it waits for it.
const STEP_MAX: Duration = Duration::from_secs(30);
/// After the first call that came to nothing; doubled after each further one.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(250);
/// At most so long.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);
/// Between two askings for the sake of something that happened, however much does.
const CHANGE_INTERVAL: Duration = Duration::from_millis(500);
/// Answers that wait to be taken.
const ANSWERS_MAX: usize = 8;
/// Acts that wait for the one under way.
pub(crate) const DEEDS_MAX: usize = 4;

/// Something that came from the engine.
#[derive(Debug, Clone)]
pub(crate) enum Arrival {
    /// The answer to a question, and when it came.
    Answer(Request, Result<Answer, Trouble>, Instant),
    /// What an act would do, for the dialog with that number.
    Plan(u64, Result<Plan, Trouble>),
    /// What came of a step of an act, for the dialog with that number.
    Step(u64, Result<Step, Trouble>),
}

/// An act to carry out.
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    /// For which dialog.
    pub(crate) dialog: u64,
    /// What.
    pub(crate) act: Act,
    /// Why.
    pub(crate) reason: Option<String>,
    /// From where on.
    pub(crate) place: Place,
}

/// The screen's end of the connection. When it is dropped, the task ends.
#[derive(Debug)]
pub(crate) struct Connection {
    /// What came.
    pub(crate) arrivals: mpsc::Receiver<Arrival>,
    /// What the page wants asked.
    pub(crate) wanted: watch::Sender<Option<Request>>,
    /// The plan that is wanted.
    pub(crate) plan: watch::Sender<Option<(u64, Act)>>,
    /// Acts to carry out, one after the other.
    pub(crate) deeds: mpsc::Sender<Deed>,
    /// Turned, everybody calls at once, or right after the call that is under way.
    pub(crate) refresh: watch::Sender<()>,
}

/// Starts to call.
pub(crate) fn start(source: impl Source) -> (Connection, JoinHandle<()>) {
    let (tell, arrivals) = mpsc::channel(ANSWERS_MAX);
    let (wanted, wants) = watch::channel(None);
    let (plan, plans) = watch::channel(None);
    let (deeds, doing) = mpsc::channel(DEEDS_MAX);
    let (refresh, refreshed) = watch::channel(());
    let callers = Callers { source, tell, changed: Notify::new() };
    let task = tokio::spawn(async move {
        tokio::select! {
            () = callers.pulse(Request::Overview, refreshed.clone()) => {}
            () = callers.pulse(Request::Hello, refreshed.clone()) => {}
            () = callers.page(wants, refreshed) => {}
            () = callers.listen() => {}
            () = callers.plan(plans) => {}
            () = callers.act(doing) => {}
            () = callers.tell.closed() => {}
        }
    });
    (Connection { arrivals, wanted, plan, deeds, refresh }, task)
}

struct Callers<S> {
    source: S,
    tell: mpsc::Sender<Arrival>,
    /// Something happened in the engine.
    changed: Notify,
}

impl<S: Source> Callers<S> {
    /// Asks one question for ever.
    async fn pulse(&self, request: Request, mut refresh: watch::Receiver<()>) {
        let mut failures = 0;
        loop {
            let result = self.ask(&request).await;
            failures = if result.is_ok() { 0 } else { failures + 1 };
            if self.tell(request.clone(), result).await.is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(delay(request.period(), failures)) => {}
                refreshed = refresh.changed() => if refreshed.is_err() { return },
            }
        }
    }

    /// Asks what the page wants.
    async fn page(&self, mut wants: watch::Receiver<Option<Request>>, mut refresh: watch::Receiver<()>) {
        let mut failures = 0;
        loop {
            let Some(request) = wants.borrow_and_update().clone() else {
                if wants.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let began = tokio::time::Instant::now();
            let result = tokio::select! {
                result = self.ask(&request) => result,
                // What nobody wants any more is not waited for.
                changed = wants.changed() => if changed.is_ok() { continue } else { return },
            };
            failures = if result.is_ok() { 0 } else { failures + 1 };
            if self.tell(request.clone(), result).await.is_err() {
                return;
            }
            let something_happened = async {
                self.changed.notified().await;
                tokio::time::sleep_until(began + CHANGE_INTERVAL).await;
            };
            tokio::select! {
                changed = wants.changed() => match changed {
                    Ok(()) => failures = 0,
                    Err(_) => return,
                },
                refreshed = refresh.changed() => if refreshed.is_err() { return },
                () = something_happened, if failures == 0 => {}
                () = tokio::time::sleep(delay(request.period(), failures)) => {}
            }
        }
    }

    /// Waits for something to happen in the engine and says so, a few times a second at most. It reads one event of a
    /// stream and lets go of it: what happened is asked for, and thousands of events a second are read by nobody.
    async fn listen(&self) {
        let mut failures = 0;
        loop {
            // Between two streams something may have happened as well.
            match self.source.listen(|| self.changed.notify_one()).await {
                Ok(()) => failures = 0,
                Err(_) => failures += 1,
            }
            self.changed.notify_one();
            tokio::time::sleep(delay(CHANGE_INTERVAL, failures)).await;
        }
    }

    /// Asks for the plan that is wanted last.
    async fn plan(&self, mut plans: watch::Receiver<Option<(u64, Act)>>) {
        while plans.changed().await.is_ok() {
            loop {
                let Some((dialog, act)) = plans.borrow_and_update().clone() else { break };
                let result = tokio::select! {
                    result = tokio::time::timeout(STEP_MAX, self.source.plan(&act)) => result,
                    changed = plans.changed() => if changed.is_ok() { continue } else { return },
                };
                if self.tell.send(Arrival::Plan(dialog, result.unwrap_or(Err(Trouble::Slow)))).await.is_err() {
                    return;
                }
                break;
            }
        }
    }

    /// Carries acts out, one after the other, each to its end.
    async fn act(&self, mut deeds: mpsc::Receiver<Deed>) {
        while let Some(Deed { dialog, act, reason, mut place }) = deeds.recv().await {
            loop {
                let step = self.source.carry_out(&act, reason.as_deref(), &place);
                let result = tokio::time::timeout(STEP_MAX, step).await.unwrap_or(Err(Trouble::Slow));
                let next = result.as_ref().ok().and_then(|step| step.next.clone());
                if self.tell.send(Arrival::Step(dialog, result)).await.is_err() {
                    return;
                }
                // What was done is seen at once.
                self.changed.notify_one();
                match next {
                    Some(next) => place = next,
                    None => break,
                }
            }
        }
    }

    async fn ask(&self, request: &Request) -> Result<Answer, Trouble> {
        tokio::time::timeout(request.answer_max(), self.source.ask(request)).await.unwrap_or(Err(Trouble::Slow))
    }

    async fn tell(&self, request: Request, result: Result<Answer, Trouble>) -> Result<(), mpsc::error::SendError<()>> {
        let arrival = Arrival::Answer(request, result, Instant::now());
        self.tell.send(arrival).await.map_err(|_| mpsc::error::SendError(()))
    }
}

/// How long to wait after so many calls in a row that came to nothing.
fn delay(period: Duration, failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => period,
        Some(doublings) => RETRY_DELAY_MIN.saturating_mul(2_u32.saturating_pow(doublings)).min(RETRY_DELAY_MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::filter::Filter;

    #[derive(Default)]
    struct Engine {
        asked: Mutex<Vec<Request>>,
        under_way: AtomicU32,
        under_way_max: AtomicU32,
        fails: AtomicBool,
        happens: Notify,
        takes: Duration,
    }

    impl Engine {
        fn count(&self, of: impl Fn(&Request) -> bool) -> usize {
            self.asked.lock().unwrap().iter().filter(|request| of(request)).count()
        }

        fn messages(&self) -> usize {
            self.count(|request| matches!(request, Request::Messages { .. }))
        }

        fn overviews(&self) -> usize {
            self.count(|request| *request == Request::Overview)
        }
    }

    impl Source for Arc<Engine> {
        async fn ask(&self, request: &Request) -> Result<Answer, Trouble> {
            self.asked.lock().unwrap().push(request.clone());
            let counted = *request == Request::Overview;
            if counted {
                let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                self.under_way_max.fetch_max(under_way, Ordering::SeqCst);
            }
            tokio::time::sleep(self.takes).await;
            if counted {
                self.under_way.fetch_sub(1, Ordering::SeqCst);
            }
            if self.fails.load(Ordering::SeqCst) {
                return Err(Trouble::Unreachable);
            }
            Ok(Answer::Overview(Arc::default()))
        }

        async fn listen(&self, listening: impl FnOnce() + Send) -> Result<(), Trouble> {
            listening();
            self.happens.notified().await;
            Ok(())
        }

        async fn plan(&self, _act: &Act) -> Result<Plan, Trouble> {
            Err(Trouble::Slow)
        }

        async fn carry_out(&self, _act: &Act, _reason: Option<&str>, place: &Place) -> Result<Step, Trouble> {
            let next = (place.index() < 2).then(|| Place::Index(place.index() + 1));
            Ok(Step { moved: 1, next, ..Step::default() })
        }
    }

    fn messages(channel: &str) -> Option<Request> {
        Some(Request::Messages { filter: Filter::of_channel(channel), pin: None, cursor: None })
    }

    /// Takes everything in for so long.
    async fn pass(connection: &mut Connection, ms: u64) -> Vec<Arrival> {
        let end = tokio::time::Instant::now() + Duration::from_millis(ms);
        let mut arrivals = Vec::new();
        while let Ok(Some(arrival)) = tokio::time::timeout_at(end, connection.arrivals.recv()).await {
            arrivals.push(arrival);
        }
        arrivals
    }

    #[test]
    fn delays_grow_to_five_seconds_and_stay_there() {
        let second = Duration::from_secs(1);
        let delays: Vec<u128> = (0..8).map(|failures| delay(second, failures).as_millis()).collect();
        assert_eq!(delays, [1_000, 250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        assert_eq!(delay(second, u32::MAX), RETRY_DELAY_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pulse_is_every_second_and_a_call_under_way_is_not_doubled_by_impatience() {
        let engine = Arc::new(Engine::default());
        let (mut connection, task) = start(Arc::clone(&engine));
        pass(&mut connection, 10_250).await;
        assert_eq!(engine.overviews(), 11);
        drop(connection);
        task.await.unwrap();

        let engine = Arc::new(Engine { takes: Duration::from_secs(1), ..Engine::default() });
        let (mut connection, _task) = start(Arc::clone(&engine));
        for _ in 0..100 {
            connection.refresh.send_replace(());
            pass(&mut connection, 100).await;
        }
        assert_eq!(engine.under_way_max.load(Ordering::SeqCst), 1);
        assert!(engine.overviews() <= 11, "{}", engine.overviews());
    }

    #[tokio::test(start_paused = true)]
    async fn an_absent_engine_is_asked_ever_more_seldom_but_at_once_on_demand() {
        let engine = Arc::new(Engine::default());
        engine.fails.store(true, Ordering::SeqCst);
        let (mut connection, _task) = start(Arc::clone(&engine));
        pass(&mut connection, 60_000).await;
        let calls = engine.overviews();
        assert!((14..=18).contains(&calls), "{calls} calls");
        connection.refresh.send_replace(());
        pass(&mut connection, 10).await;
        assert_eq!(engine.overviews(), calls + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_hangs_is_told_of_in_time() {
        let engine = Arc::new(Engine { takes: Duration::from_secs(3_600), ..Engine::default() });
        let (mut connection, task) = start(engine);
        let arrivals = pass(&mut connection, 5_100).await;
        assert!(matches!(arrivals[..], [Arrival::Answer(_, Err(Trouble::Slow), _), ..]), "{arrivals:?}");
        drop(connection);
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_asked_for_at_once_then_seldom_then_soon_when_something_happens() {
        let engine = Arc::new(Engine::default());
        let (mut connection, _task) = start(Arc::clone(&engine));
        pass(&mut connection, 1_000).await;
        assert_eq!(engine.messages(), 0, "no page wants anything");
        connection.wanted.send_replace(messages("a"));
        pass(&mut connection, 10).await;
        assert_eq!(engine.messages(), 1);
        pass(&mut connection, 4_000).await;
        let quiet = engine.messages();
        assert!(quiet <= 2, "{quiet}: nothing happens");
        engine.happens.notify_one();
        pass(&mut connection, 600).await;
        assert!(engine.messages() > quiet);
        connection.wanted.send_replace(messages("b"));
        pass(&mut connection, 10).await;
        assert_eq!(engine.asked.lock().unwrap().last(), messages("b").as_ref());
    }

    #[tokio::test(start_paused = true)]
    async fn however_much_happens_a_page_is_asked_for_twice_a_second() {
        let engine = Arc::new(Engine::default());
        let (mut connection, _task) = start(Arc::clone(&engine));
        connection.wanted.send_replace(messages("a"));
        for _ in 0..1_000 {
            engine.happens.notify_one();
            pass(&mut connection, 10).await;
        }
        let asked = engine.messages();
        assert!((15..=22).contains(&asked), "{asked} in ten seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_calls_for_a_screen_that_takes_nothing() {
        let engine = Arc::new(Engine::default());
        let (connection, task) = start(Arc::clone(&engine));
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert!(engine.overviews() <= ANSWERS_MAX + 2, "{}", engine.overviews());
        drop(connection);
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_act_is_carried_out_step_by_step_to_its_end() {
        let engine = Arc::new(Engine::default());
        let (mut connection, _task) = start(engine);
        let act = Act::Channel { pause: true, name: "a".to_owned() };
        let deed = Deed { dialog: 7, act: act.clone(), reason: None, place: Place::default() };
        connection.deeds.try_send(deed).unwrap();
        connection.plan.send_replace(Some((8, act)));
        let arrivals = pass(&mut connection, 100).await;
        let steps = arrivals.iter().filter(|arrival| matches!(arrival, Arrival::Step(7, Ok(_)))).count();
        assert_eq!(steps, 3);
        assert!(arrivals.iter().any(|arrival| matches!(arrival, Arrival::Plan(8, Err(Trouble::Slow)))));
    }
}
