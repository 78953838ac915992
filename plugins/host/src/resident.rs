//! A plugin in memory, where it stays for ever: its state, its counters, and what is known of its thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock};
use std::time::{Duration, Instant};

use tidings_abi::v1::Text;
use tidings_sdk::{Outcome, OwnedDelivery};

use crate::limits::{
    BUSY_WAIT, DETAIL_BYTES_MAX, INSTANCES_MAX, LOG_REST, Limits, PANICS_MAX, PANICS_WITHIN, PLUGINS_MAX,
};
use crate::lines::{LineBudget, for_people, shown};
use crate::operations::{Open, Operations};
use crate::panics::PanicWindow;
use crate::queue::{NotQueued, Queue, Work};
use crate::reply::{Waiting, lock};
use crate::trouble::{Trouble, spoken};

/// Whether a plugin is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginState {
    /// It is.
    Working,
    /// It is not, until the engine is started again.
    Parked {
        /// Why, for people.
        reason: String,
    },
}

/// What a plugin did that it should not have, and what it has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Panics.
    pub panics: u64,
    /// Answers that nobody waited for any more.
    pub late: u64,
    /// Answers to what was answered before.
    pub doubled: u64,
    /// Answers to what was never asked, or not of this instance.
    pub foreign: u64,
    /// Values that broke the contract.
    pub misshapen: u64,
    /// Lines it logged.
    pub log_lines: u64,
    /// Lines it would have logged, were they not too many.
    pub log_lines_left_out: u64,
    /// Deliveries that wait for an answer now.
    pub in_flight: u64,
}

/// The counters as they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) panics: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) doubled: AtomicU64,
    pub(crate) foreign: AtomicU64,
    pub(crate) misshapen: AtomicU64,
    pub(crate) log_lines: AtomicU64,
    pub(crate) log_lines_left_out: AtomicU64,
}

/// Counts one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A plugin in memory. It is leaked: the plugin may speak from any thread for as long as the process lives.
pub(crate) struct Resident {
    number: u64,
    pub(crate) name: &'static str,
    pub(crate) limits: Limits,
    pub(crate) queue: Queue,
    pub(crate) operations: Mutex<Operations>,
    pub(crate) counted: Counted,
    /// Held while a call is inside the plugin: there is one at a time, whoever makes it. How many there have been.
    pub(crate) border: Mutex<u64>,
    /// The call that is inside the plugin.
    pub(crate) inside: Mutex<Option<Inside>>,
    /// Who waits for the work that the thread does.
    caller: Mutex<Option<Arc<dyn Waiting>>>,
    state: Mutex<PluginState>,
    is_parked: AtomicBool,
    panics: Mutex<PanicWindow>,
    lines: Mutex<LineBudget>,
    instances: Mutex<BTreeMap<u64, Arc<Instance>>>,
    next_instance: AtomicU64,
}

/// A call that is inside the plugin. It is taken away, under its lock, before what it borrows is gone.
pub(crate) struct Inside {
    pub(crate) function: &'static str,
    pub(crate) number: u64,
    /// What no line shows: texts of whoever makes the call.
    pub(crate) secrets: [Text; 2],
}

// SAFETY: the texts are read under the lock that it stands behind, and they are there as long as it is.
unsafe impl Send for Inside {}

/// The call that the watchdog saw inside when it last looked, and when it first saw it: the clock is read by the watchdog
/// and not by each call.
type Seen = Option<(u64, Instant)>;

/// What is known of an instance without calling it.
pub(crate) struct Instance {
    pub(crate) id: u64,
    pub(crate) app: String,
    pub(crate) secrets: Vec<String>,
    /// Whether deliveries wait that it did not take.
    pub(crate) holds_back: AtomicBool,
    /// Whether it has answered one, or said that it takes more, since they were offered.
    pub(crate) is_writable: AtomicBool,
}

static RESIDENTS: [OnceLock<&'static Resident>; PLUGINS_MAX] = [const { OnceLock::new() }; PLUGINS_MAX];
static RESIDENT_COUNT: AtomicUsize = AtomicUsize::new(0);

/// An instance's number, and a call's, says whose it is: the plugin's number stands above these bits.
const NUMBER_SHIFT: u32 = 40;

impl Resident {
    /// Gives a plugin its place; `None` if there were too many in the life of this process.
    pub(crate) fn settle(name: &'static str, limits: Limits) -> Option<&'static Resident> {
        let place = RESIDENT_COUNT.fetch_add(1, Ordering::Relaxed);
        let cell = RESIDENTS.get(place)?;
        let resident: &'static Resident = Box::leak(Box::new(Resident {
            number: place as u64 + 1,
            name,
            limits,
            queue: Queue::new(limits.calls_waiting_max),
            operations: Mutex::new(Operations::new(limits.operations_max)),
            counted: Counted::default(),
            border: Mutex::new(0),
            inside: Mutex::new(None),
            caller: Mutex::new(None),
            state: Mutex::new(PluginState::Working),
            is_parked: AtomicBool::new(false),
            panics: Mutex::default(),
            lines: Mutex::new(LineBudget::new()),
            instances: Mutex::default(),
            next_instance: AtomicU64::new(1),
        }));
        let is_alone = cell.set(resident).is_ok();
        debug_assert!(is_alone, "each place is taken by one call");
        watch();
        Some(resident)
    }

    /// Whose number that is.
    pub(crate) fn of(number: u64) -> Option<&'static Resident> {
        let place = usize::try_from((number >> NUMBER_SHIFT).checked_sub(1)?).ok()?;
        RESIDENTS.get(place)?.get().copied()
    }

    /// A number of this plugin's.
    pub(crate) fn numbered(&self, number: u64) -> u64 {
        self.number << NUMBER_SHIFT | number & ((1 << NUMBER_SHIFT) - 1)
    }

    /// A place for an instance; `None` if there are too many.
    pub(crate) fn new_instance(&self, app: String, secrets: Vec<String>) -> Option<Arc<Instance>> {
        let mut instances = lock(&self.instances);
        if instances.len() >= INSTANCES_MAX {
            return None;
        }
        let id = self.numbered(self.next_instance.fetch_add(1, Ordering::Relaxed));
        let (holds_back, is_writable) = (AtomicBool::new(false), AtomicBool::new(false));
        let instance = Arc::new(Instance { id, app, secrets, holds_back, is_writable });
        instances.insert(id, Arc::clone(&instance));
        Some(instance)
    }

    pub(crate) fn instance(&self, id: u64) -> Option<Arc<Instance>> {
        lock(&self.instances).get(&id).cloned()
    }

    pub(crate) fn forget_instance(&self, id: u64) {
        lock(&self.instances).remove(&id);
    }

    pub(crate) fn state(&self) -> PluginState {
        lock(&self.state).clone()
    }

    pub(crate) fn is_parked(&self) -> bool {
        self.is_parked.load(Ordering::Acquire)
    }

    /// What a caller is told while the plugin is parked.
    pub(crate) fn parked(&self) -> Trouble {
        let reason = match self.state() {
            PluginState::Parked { reason } => reason,
            PluginState::Working => "it has ended".to_owned(),
        };
        Trouble::Parked { plugin: self.name, reason }
    }

    pub(crate) fn misshapen(&self, function: &'static str, what: impl Into<String>) -> Trouble {
        count(&self.counted.misshapen);
        Trouble::Misshapen { plugin: self.name, function, what: what.into() }
    }

    pub(crate) fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            panics: read(&self.counted.panics),
            late: read(&self.counted.late),
            doubled: read(&self.counted.doubled),
            foreign: read(&self.counted.foreign),
            misshapen: read(&self.counted.misshapen),
            log_lines: read(&self.counted.log_lines),
            log_lines_left_out: read(&self.counted.log_lines_left_out),
            in_flight: lock(&self.operations).in_flight() as u64,
        }
    }

    /// Queues work for the plugin's thread.
    pub(crate) fn queue(&self, work: Work) -> Result<(), Trouble> {
        self.queue.push(work).map_err(|refused| match refused {
            NotQueued::Full(waiting) => Trouble::Full { plugin: self.name, waiting },
            NotQueued::Closed => self.parked(),
        })
    }

    /// Does a call's work, so that its caller can be told if it never ends.
    pub(crate) fn serve(&self, waiting: Arc<dyn Waiting>, run: impl FnOnce()) {
        *lock(&self.caller) = Some(Arc::clone(&waiting));
        // Parked just now: whoever parked it may have looked before the caller stood there.
        if self.is_parked() {
            waiting.fail(self.parked());
            return;
        }
        run();
        lock(&self.caller).take();
    }

    /// The instance may take more: what it did not take is offered again.
    pub(crate) fn room(&self, instance: u64) {
        let Some(instance) = self.instance(instance) else { return };
        instance.is_writable.store(true, Ordering::SeqCst);
        if instance.holds_back.load(Ordering::SeqCst) {
            self.queue.resume();
        }
    }

    /// Calls the plugin no more, and tells everybody who waits for it.
    pub(crate) fn park(&self, reason: String) {
        {
            let mut state = lock(&self.state);
            if matches!(*state, PluginState::Parked { .. }) {
                return;
            }
            *state = PluginState::Parked { reason };
        }
        self.is_parked.store(true, Ordering::Release);
        let trouble = self.parked();
        tracing::error!(plugin = self.name, "{trouble}; start the engine again to have it called again");
        for work in self.queue.close_now() {
            if let Work::Call { waiting, .. } = work {
                waiting.fail(trouble.clone());
            }
        }
        let caller = lock(&self.caller).take();
        if let Some(caller) = caller {
            caller.fail(trouble.clone());
        }
        let open = lock(&self.operations).give_up_all();
        for Open { reply, handed_over, .. } in open {
            reply.answer(Ok(unanswered(handed_over, trouble.to_string())));
        }
    }

    /// Notes a panic. `message` is the plugin's, if it said one.
    pub(crate) fn panicked(&self, message: Option<&[u8]>) {
        count(&self.counted.panics);
        if self.is_parked() {
            return;
        }
        let message = match message {
            // Cut when the secrets are out of it.
            Some(message) => for_people(self.shown(message).as_bytes(), DETAIL_BYTES_MAX),
            None => "no message".to_owned(),
        };
        if self.may_log() {
            tracing::error!(plugin = self.name, "plugin `{}` panicked: {message}", self.name);
        }
        if lock(&self.panics).panicked(since_start()) {
            let within = PANICS_WITHIN.as_secs() / 60;
            self.park(format!("it panicked {PANICS_MAX} times within {within} minutes, the last time: {message}"));
        }
    }

    /// Whether one more line may be logged; one that may not is counted, and many of them have the caller rest.
    pub(crate) fn may_log(&self) -> bool {
        let now = since_start();
        let (left_out, may, must_rest) = {
            let mut lines = lock(&self.lines);
            let (left_out, may) = (lines.left_out(now), lines.may_log(now));
            (left_out, may, !may && lines.must_rest())
        };
        if must_rest {
            rest();
        }
        self.tell_left_out(left_out);
        count(if may { &self.counted.log_lines } else { &self.counted.log_lines_left_out });
        may
    }

    fn tell_left_out(&self, left_out: Option<u64>) {
        if let Some(lines) = left_out {
            tracing::warn!(plugin = self.name, "{lines} lines of plugin `{}` were left out", self.name);
        }
    }

    /// A text of the plugin's, cleaned, without any secret it has been given and may still have.
    pub(crate) fn shown(&self, text: &[u8]) -> String {
        let lent = self.lent();
        self.shown_without(text, &lent.each_ref().map(String::as_str))
    }

    /// The same, when the call is over: without what it was given, too.
    pub(crate) fn shown_without(&self, text: &[u8], lent: &[&str; 2]) -> String {
        let instances: Vec<Arc<Instance>> = lock(&self.instances).values().cloned().collect();
        let deliveries: Vec<Arc<OwnedDelivery>> = lock(&self.operations).deliveries().cloned().collect();
        let settings = instances.iter().flat_map(|instance| &instance.secrets).map(String::as_str);
        let sent = deliveries.iter().flat_map(|delivery| {
            let credential = delivery.credential.as_ref().map(|(_, value)| value.as_str());
            [Some(delivery.token.as_str()), credential].into_iter().flatten()
        });
        // Each once: a token is every delivery's.
        let mut secrets: Vec<&str> = settings.chain(sent).chain(lent.iter().copied()).collect();
        secrets.sort_unstable();
        secrets.dedup();
        shown(text, &secrets)
    }

    /// The secrets of the call that is inside now.
    fn lent(&self) -> [String; 2] {
        let inside = lock(&self.inside);
        let secrets = inside.as_ref().map_or([Text::EMPTY; 2], |inside| inside.secrets);
        // SAFETY: texts of ours, which whoever makes the call keeps until this lock is free again.
        secrets.map(|secret| unsafe { secret.read() }.unwrap_or_default().to_owned())
    }

    /// Parks it if the call inside has not come back.
    fn look_after(&self, seen: &mut Seen) {
        let inside = lock(&self.inside).as_ref().map(|inside| (inside.number, inside.function));
        match inside {
            None => *seen = None,
            Some((number, function)) => match *seen {
                Some((before, since)) if before == number => {
                    if since.elapsed() > self.limits.stuck_after {
                        let within = spoken(self.limits.stuck_after);
                        self.park(format!("a call of `{function}` did not come back within {within}"));
                    }
                }
                _ => *seen = Some((number, Instant::now())),
            },
        }
        let left_out = lock(&self.lines).left_out(since_start());
        self.tell_left_out(left_out);
    }
}

/// What a delivery came to that the plugin never answered.
pub(crate) fn unanswered(handed_over: bool, detail: String) -> Outcome {
    // What was never handed over is no attempt of the message's: its channel waits a little.
    if handed_over { Outcome::Unknown { detail } } else { Outcome::Throttled { retry_after: Some(BUSY_WAIT), detail } }
}

/// How long this process has had plugins.
fn since_start() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// How often the watchdog looks at most and at least.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// Starts the watchdog, once: a thread that is inside no plugin and so can never be stuck in one.
fn watch() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let watchdog = std::thread::Builder::new().name("plugin watchdog".to_owned()).spawn(|| {
            let mut seen: [Seen; PLUGINS_MAX] = [None; PLUGINS_MAX];
            loop {
                let residents = || RESIDENTS.iter().map_while(|cell| cell.get());
                residents().zip(&mut seen).for_each(|(resident, seen)| resident.look_after(seen));
                let soonest = residents().map(|resident| resident.limits.stuck_after / 8).min().unwrap_or_default();
                std::thread::park_timeout(soonest.clamp(LOOK_EVERY.0, LOOK_EVERY.1));
            }
        });
        if let Err(error) = watchdog {
            tracing::error!("no thread watches over the plugins, so one that is stuck stays so: {error}");
        }
    });
}

/// Has the thread of whoever floods the log wait.
#[expect(clippy::disallowed_methods, reason = "the wait is the point: there is no condition that would end it")]
fn rest() {
    std::thread::sleep(LOG_REST);
}
