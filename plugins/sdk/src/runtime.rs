//! Transports written as async functions: one tokio runtime for all of a file, off the engine's, with few threads.
//!
//! A message on its way is a task: it costs memory, no thread. What is left of a carrier when it is dropped is aborted
//! and answered; with the last carrier the runtime ends, and no thread of it is left.

use std::any::Any;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value};
use tidings_model::Outcome;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;

use crate::border::panics;
use crate::log;
use crate::settings::App;
use crate::transport::{Carrier, OwnedDelivery, Pending, Transport, TransportRules, Violation};

/// Threads that run the tasks of a file. Sending is waiting: more would wait no better.
const WORKERS: usize = 2;

/// Threads that may block for the tasks of a file, as a lookup of a host's name does.
const BLOCKING_MAX: usize = 32;

/// How long the end of a carrier waits for its tasks, and the end of the runtime for its threads. The host gives a call
/// 30 seconds.
const STOP_MAX: Duration = Duration::from_secs(10);

/// A transport written as an async function. Give it to a plugin as [`Asynchronous`].
pub trait AsyncTransport: Send + Sync + 'static {
    /// What carries an app's messages: connections, clients.
    type Session: Send + Sync + 'static;

    /// Messages of one app on their way at once. What is above it is given back until one is answered.
    const IN_FLIGHT_MAX: usize = 10_000;

    /// What is true of every message.
    fn rules(&self) -> TransportRules;

    /// What is wrong with rendered content, before it is sent: the provider's own rules.
    fn check(&self, app: &App, content: &Map<String, Value>) -> Vec<Violation> {
        let _ = (app, content);
        Vec::new()
    }

    /// Makes what carries the messages of an app: cheap, and without a network, but inside the runtime, so that clients
    /// which want one find it.
    ///
    /// # Errors
    ///
    /// The settings do not fit together.
    fn open(&self, app: &App) -> Result<Self::Session, Vec<Violation>>;

    /// Sends one message. It is dropped where it stands when its time is over, when nobody waits for it any more, and
    /// when the app ends; the message may have arrived then. Never block here: the threads are few.
    fn send(session: Arc<Self::Session>, delivery: OwnedDelivery) -> impl Future<Output = Outcome> + Send;
}

/// Makes a transport of an [`AsyncTransport`]: `Plugin::new(…).transport("mail", Asynchronous(Smtp))`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asynchronous<T>(pub T);

impl<T: AsyncTransport> Transport for Asynchronous<T> {
    fn rules(&self) -> TransportRules {
        self.0.rules()
    }

    fn check(&self, app: &App, content: &Map<String, Value>) -> Vec<Violation> {
        self.0.check(app, content)
    }

    fn open(&self, app: &App) -> Result<Box<dyn Carrier>, Vec<Violation>> {
        let runtime = SharedRuntime::of_file()
            .map_err(|error| vec![Violation::new("", format!("the plugin cannot start its threads: {error}"))])?;
        let session = {
            let _inside = runtime.handle().enter();
            Arc::new(self.0.open(app)?)
        };
        Ok(Box::new(AsyncCarrier::<T> { session: Some(session), flights: Arc::default(), runtime }))
    }
}

/// Carries the messages of one app as tasks.
struct AsyncCarrier<T: AsyncTransport> {
    /// There until the carrier is dropped.
    session: Option<Arc<T::Session>>,
    flights: Arc<Flights>,
    /// Last, so that it outlives the session.
    runtime: Arc<SharedRuntime>,
}

impl<T: AsyncTransport> Carrier for AsyncCarrier<T> {
    fn submit(&mut self, pending: Pending) -> Result<(), Box<Pending>> {
        let Some(seat) = Seat::take(&self.flights, T::IN_FLIGHT_MAX) else { return Err(Box::new(pending)) };
        let session = Arc::clone(self.session.as_ref().expect("a carrier in use has its session"));
        let id = pending.id();
        let task = carry::<T>(Flight { seat, pending }, session);
        Flights::start(&self.flights, id, Box::pin(task), self.runtime.handle());
        Ok(())
    }

    fn cancel(&mut self, ids: &[u64]) {
        let tasks = self.flights.lock();
        let tasks: Vec<AbortHandle> = ids.iter().filter_map(|id| Some(tasks.by_id.get(id)?.1.clone())).collect();
        tasks.iter().for_each(AbortHandle::abort);
    }
}

impl<T: AsyncTransport> Drop for AsyncCarrier<T> {
    fn drop(&mut self) {
        self.flights.stop();
        // A client may want the runtime to take leave of its connections.
        let _inside = self.runtime.handle().enter();
        drop(self.session.take());
    }
}

/// A message on its way. The seat is given up before the answer: who hears the answer may offer the next at once.
struct Flight {
    seat: Seat,
    pending: Pending,
}

async fn carry<T: AsyncTransport>(mut flight: Flight, session: Arc<T::Session>) {
    let delivery = std::mem::take(&mut flight.pending.delivery);
    let timeout = delivery.timeout;
    let sent = caught(async move { T::send(session, delivery).await });
    let sent = match timeout {
        Duration::ZERO => Some(sent.await),
        timeout => tokio::time::timeout(timeout, sent).await.ok(),
    };
    let unknown = |detail: &str| Outcome::Unknown { detail: detail.to_owned() };
    let outcome = match sent {
        Some(Ok(outcome)) => outcome,
        Some(Err(_)) => unknown("the plugin panicked while it sent the message"),
        None => unknown("the plugin had no answer in time"),
    };
    let Flight { seat, pending } = flight;
    drop(seat);
    pending.answer(outcome);
}

/// The future's end, or what it panicked with. The panic itself is reported by the hook.
async fn caught<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = Box::pin(future);
    // A future that has panicked is dropped and never polled again, so nobody sees what it left half done.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// The tasks of one carrier.
#[derive(Default)]
struct Flights {
    taken: AtomicUsize,
    tasks: Mutex<Tasks>,
    changed: Condvar,
}

#[derive(Default)]
struct Tasks {
    /// Tasks that are not dropped yet.
    alive: usize,
    /// Tasks that were ever started.
    started: u64,
    /// By the host's id: which of the started it is, and how to abort it.
    by_id: HashMap<u64, (u64, AbortHandle)>,
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(this: &Arc<Flights>, id: u64, future: Pin<Box<dyn Future<Output = ()> + Send>>, runtime: &Handle) {
        // Locked before the task may end: its end takes it out of the table.
        let mut tasks = this.lock();
        tasks.alive += 1;
        tasks.started += 1;
        let number = tasks.started;
        let end = End { flights: Arc::clone(this), id, number };
        let task = runtime.spawn(Task { future: Some(future), instance: panics::instance(), _end: end });
        // An id that is given twice: nobody can mean the first any more, and `stop` would not find it.
        let doubled = tasks.by_id.insert(id, (number, task.abort_handle()));
        drop(tasks);
        if let Some((_, first)) = doubled {
            first.abort();
        }
    }

    /// Aborts every task and waits until the last is gone, for what it holds with it.
    fn stop(&self) {
        let tasks: Vec<AbortHandle> = self.lock().by_id.values().map(|(_, task)| task.clone()).collect();
        tasks.iter().for_each(AbortHandle::abort);
        let waited = self.changed.wait_timeout_while(self.lock(), STOP_MAX, |tasks| tasks.alive > 0);
        let (tasks, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if tasks.alive > 0 {
            let alive = tasks.alive;
            log::error(format_args!(
                "{alive} messages did not let go of their threads within {STOP_MAX:?}: `send` must not block"
            ));
        }
    }
}

/// One of the places on the way.
struct Seat(Arc<Flights>);

impl Seat {
    fn take(flights: &Arc<Flights>, most: usize) -> Option<Seat> {
        let taken = flights.taken.fetch_add(1, Ordering::AcqRel);
        let seat = Seat(Arc::clone(flights));
        (taken < most).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A future and the mark of its end, which is dropped after it.
struct Task {
    /// There until it is dropped.
    future: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// For whom it works: what it logs is logged there.
    instance: u64,
    _end: End,
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        panics::inside(self.instance, || match &mut self.future {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Ready(()),
        })
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        panics::inside(self.instance, || drop(self.future.take()));
    }
}

struct End {
    flights: Arc<Flights>,
    id: u64,
    number: u64,
}

impl Drop for End {
    fn drop(&mut self) {
        let mut tasks = self.flights.lock();
        tasks.alive -= 1;
        if tasks.by_id.get(&self.id).is_some_and(|(number, _)| *number == self.number) {
            tasks.by_id.remove(&self.id);
        }
        self.flights.changed.notify_all();
    }
}

/// The runtime of the file, as long as somebody has it.
struct SharedRuntime(Option<Runtime>);

static OF_FILE: Mutex<Weak<SharedRuntime>> = Mutex::new(Weak::new());

/// What the threads are called after: the name of the plugin in this file.
pub(crate) static NAME_OF_FILE: OnceLock<&'static str> = OnceLock::new();

impl SharedRuntime {
    fn of_file() -> std::io::Result<Arc<SharedRuntime>> {
        let mut of_file = OF_FILE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = of_file.upgrade() {
            return Ok(runtime);
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(BLOCKING_MAX)
            .thread_name(NAME_OF_FILE.get().map_or_else(|| "plugin".to_owned(), |name| format!("plugin {name}")))
            .enable_all()
            .build()?;
        let runtime = Arc::new(SharedRuntime(Some(runtime)));
        *of_file = Arc::downgrade(&runtime);
        Ok(runtime)
    }

    fn handle(&self) -> &Handle {
        self.0.as_ref().expect("a runtime in use is there").handle()
    }
}

impl Drop for SharedRuntime {
    fn drop(&mut self) {
        let Some(runtime) = self.0.take() else { return };
        // On a thread of its own: linked into the engine this may be dropped inside the engine's runtime, and tokio
        // does not let one runtime wait for another's end.
        let stop = thread::spawn(move || runtime.shutdown_timeout(STOP_MAX));
        // A panic in there was reported by the hook, and there is nothing left to stop.
        stop.join().unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Instant;

    use tokio::sync::Semaphore;

    use super::*;

    /// Every answer within this, or the test fails.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Tests share the one runtime of this file, and some of them look at its threads.
    static ALONE: Mutex<()> = Mutex::new(());

    fn alone() -> MutexGuard<'static, ()> {
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what the gate lets through; does as the recipient says.
    struct Gate(Arc<Semaphore>);

    struct Open(Arc<Semaphore>);

    impl Drop for Open {
        fn drop(&mut self) {
            assert!(Handle::try_current().is_ok(), "a session ends inside the runtime");
        }
    }

    impl AsyncTransport for Gate {
        type Session = Open;

        fn rules(&self) -> TransportRules {
            TransportRules::default()
        }

        fn open(&self, app: &App) -> Result<Open, Vec<Violation>> {
            assert!(Handle::try_current().is_ok(), "a session is opened inside the runtime");
            if app.name == "wrong" {
                return Err(vec![Violation::new("endpoint", "is wrong")]);
            }
            Ok(Open(Arc::clone(&self.0)))
        }

        async fn send(session: Arc<Open>, delivery: OwnedDelivery) -> Outcome {
            assert_ne!(delivery.recipient, "panics");
            session.0.acquire().await.unwrap().forget();
            Outcome::Accepted { provider_id: Some(delivery.recipient) }
        }
    }

    fn app(name: &str) -> App {
        App { name: name.into(), settings: crate::Settings::default() }
    }

    fn carrier() -> (Arc<Semaphore>, Box<dyn Carrier>) {
        let gate = Arc::new(Semaphore::new(0));
        (Arc::clone(&gate), Asynchronous(Gate(gate)).open(&app("shop")).unwrap())
    }

    fn pending(id: u64, recipient: &str, answers: &Sender<(u64, Outcome)>) -> Pending {
        let answers = answers.clone();
        let delivery = OwnedDelivery { recipient: recipient.into(), timeout: PATIENCE, ..OwnedDelivery::default() };
        Pending::new(id, delivery, Box::new(move |outcome| drop(answers.send((id, outcome)))))
    }

    fn next(answers: &Receiver<(u64, Outcome)>) -> (u64, Outcome) {
        answers.recv_timeout(PATIENCE).expect("an answer in time")
    }

    /// The threads of the runtime, by their name.
    fn threads() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.trim() == "plugin")
            .count()
    }

    /// A thread that was joined has done its last, and the kernel lists it for a moment more.
    fn no_thread_is_left() -> bool {
        let deadline = Instant::now() + PATIENCE;
        while threads() > 0 && Instant::now() < deadline {
            thread::yield_now();
        }
        threads() == 0
    }

    #[test]
    fn ten_thousand_are_on_their_way_without_a_thread_each() {
        let _alone = alone();
        let (gate, mut carrier) = carrier();
        let (sender, answers) = channel();
        for id in 0..10_000 {
            carrier.submit(pending(id, "ann", &sender)).unwrap();
        }
        assert!((1..=WORKERS).contains(&threads()), "{}", threads());
        let given_back = carrier.submit(pending(10_000, "ann", &sender)).unwrap_err();
        gate.add_permits(1);
        assert_eq!(next(&answers).1.name(), "accepted");
        carrier.submit(*given_back).expect("an answer makes room");
        gate.add_permits(10_000);
        assert!((0..10_000).all(|_| next(&answers).1.name() == "accepted"));
    }

    #[test]
    fn the_end_of_a_carrier_answers_all_of_its_own_and_the_last_leaves_no_thread() {
        let _alone = alone();
        let ((_gate, mut carrier), (other_gate, mut other)) = (carrier(), carrier());
        let (sender, answers) = channel();
        let (other_sender, other_answers) = channel();
        for id in 0..100 {
            carrier.submit(pending(id, "ann", &sender)).unwrap();
            other.submit(pending(id, "ann", &other_sender)).unwrap();
        }
        drop(sender);
        drop(carrier);
        // No waiting: everything was answered when the drop returned.
        assert!(answers.try_iter().map(|(_, outcome)| outcome.name()).eq(["unknown"; 100]));
        other_gate.add_permits(100);
        assert!((0..100).all(|_| next(&other_answers).1.name() == "accepted"));
        drop(other);
        assert!(no_thread_is_left());
    }

    #[test]
    fn a_panic_is_answered_and_the_next_message_goes_on() {
        let _alone = alone();
        let (gate, mut carrier) = carrier();
        gate.add_permits(1);
        let (sender, answers) = channel();
        carrier.submit(pending(1, "panics", &sender)).unwrap();
        let (id, outcome) = next(&answers);
        assert_eq!((id, outcome.name()), (1, "unknown"));
        assert!(outcome.detail().contains("panicked"), "{outcome:?}");
        carrier.submit(pending(2, "ann", &sender)).unwrap();
        assert_eq!(next(&answers), (2, Outcome::Accepted { provider_id: Some("ann".into()) }));
    }

    #[test]
    fn what_nobody_waits_for_is_aborted_and_answered() {
        let _alone = alone();
        let (gate, mut carrier) = carrier();
        let (sender, answers) = channel();
        carrier.submit(pending(1, "ann", &sender)).unwrap();
        carrier.submit(pending(2, "ben", &sender)).unwrap();
        carrier.cancel(&[1, 77]);
        let (id, outcome) = next(&answers);
        assert_eq!((id, outcome.name()), (1, "unknown"));
        gate.add_permits(1);
        assert_eq!(next(&answers).0, 2);
    }

    #[test]
    fn an_id_that_is_given_twice_ends_the_first_and_hides_neither() {
        let _alone = alone();
        let ((_gate, mut carrier), (_other_gate, other)) = (carrier(), carrier());
        let (sender, answers) = channel();
        carrier.submit(pending(1, "ann", &sender)).unwrap();
        carrier.submit(pending(1, "ben", &sender)).unwrap();
        assert_eq!(next(&answers).1.name(), "unknown");
        drop(carrier);
        // With the other alive it is not the end of the runtime that has answered.
        assert_eq!(answers.try_recv().map(|(_, outcome)| outcome.name()), Ok("unknown"));
        drop(other);
    }

    #[test]
    fn a_message_whose_time_is_over_is_given_up() {
        let _alone = alone();
        let (_gate, mut carrier) = carrier();
        let (sender, answers) = channel();
        let mut late = pending(1, "ann", &sender);
        late.delivery.timeout = Duration::from_millis(1);
        carrier.submit(late).unwrap();
        assert!(next(&answers).1.detail().contains("in time"));
    }

    #[test]
    fn a_transport_of_tasks_is_tested_like_any_other() {
        let _alone = alone();
        let gate = Arc::new(Semaphore::new(1));
        let plugin = crate::Plugin::new("gate", "1").transport("send", Asynchronous(Gate(gate)));
        let harness = crate::testing::Harness::new(plugin, &serde_json::json!({})).unwrap();
        let outcome = harness.deliver("send", "ann", &serde_json::json!({})).unwrap();
        assert_eq!(outcome, Outcome::Accepted { provider_id: Some("ann".into()) });
    }

    #[test]
    fn settings_that_do_not_fit_are_told_and_no_thread_stays() {
        let _alone = alone();
        let opened = Asynchronous(Gate(Arc::new(Semaphore::new(0)))).open(&app("wrong"));
        assert_eq!(opened.err(), Some(vec![Violation::new("endpoint", "is wrong")]));
        assert!(no_thread_is_left());
    }
}
