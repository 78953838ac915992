//! A host's table that writes everything down, and the sinks of the call that is being made.
//!
//! One of each for the process: a rule has a process, and the file in it, to itself. Everything is behind one lock, so a
//! plugin may call from any thread, in its time or out of it.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidings_abi::v1::{self, Text};
use tidings_abi::{Grows, array, empty, sized};
use tidings_sdk::{Fetched, Outcome, Permit, PushEvent, Reply, Request};

use crate::fields::Filled;
use crate::limits::{DETAIL_BYTES_MAX, LINE_BYTES_MAX};
use crate::read;

/// Lines, panics and faults that are kept; more are counted.
const KEPT_MAX: usize = 10_000;

/// Everything that the plugin has said to the host.
#[derive(Default)]
pub(super) struct Record {
    /// Calls of any kind.
    pub(super) calls: u64,
    pub(super) lines: Vec<String>,
    pub(super) line_count: usize,
    /// Bytes of the longest line.
    pub(super) longest_line: usize,
    pub(super) panics: Vec<String>,
    /// What broke the contract.
    pub(super) faults: Vec<String>,
    /// By instance and operation.
    pub(super) answers: HashMap<(u64, u64), Answers>,
    /// Times that `writable` was said.
    pub(super) writable: u64,
    /// What was put in the call that is being made, or was made last.
    pub(super) put: Put,
}

/// The answers to one delivery.
pub(super) struct Answers {
    pub(super) count: u32,
    /// The first.
    pub(super) outcome: Outcome,
}

/// What a call has put into its sinks. What could not be read is a fault, and counts all the same.
#[derive(Default)]
pub(super) struct Put {
    pub(super) problems: Vec<(String, String)>,
    pub(super) requests: Vec<Option<Request>>,
    pub(super) outcomes: Vec<Option<Outcome>>,
    pub(super) fetched: Vec<Option<Fetched>>,
    pub(super) permits: Vec<Option<Permit>>,
    pub(super) fields: Vec<Filled>,
    pub(super) events: Vec<PushEvent>,
    pub(super) replies: Vec<Option<Reply>>,
}

static RECORD: Mutex<Option<Record>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, Option<Record>> {
    RECORD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at the record, or takes from it.
pub(super) fn with<R>(look: impl FnOnce(&mut Record) -> R) -> R {
    look(lock().get_or_insert_default())
}

/// Waits until the record is so; false if it never was.
pub(super) fn wait_until(most: Duration, mut is_so: impl FnMut(&Record) -> bool) -> bool {
    let end = Instant::now() + most;
    let mut record = lock();
    loop {
        if is_so(record.get_or_insert_default()) {
            return true;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        record = CHANGED.wait_timeout(record, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// A call of the plugin's.
fn called(write: impl FnOnce(&mut Record)) {
    let mut record = lock();
    let record = record.get_or_insert_default();
    record.calls += 1;
    write(record);
    CHANGED.notify_all();
}

impl Record {
    pub(super) fn fault(&mut self, what: String) {
        if self.faults.len() < KEPT_MAX {
            self.faults.push(what);
        }
    }

    /// What was read, or nothing and a fault.
    fn read<T>(&mut self, value: Result<T, String>) -> Option<T> {
        value.map_err(|what| self.fault(format!("it {what}"))).ok()
    }
}

/// The table that is given to the plugin. It stays valid for ever.
pub(super) fn table() -> *const v1::Host {
    static TABLE: std::sync::OnceLock<v1::Host> = std::sync::OnceLock::new();
    TABLE.get_or_init(|| v1::Host {
        minor: v1::ABI_MINOR,
        log_enabled: Some(log_enabled),
        log: Some(log),
        complete: Some(complete),
        writable: Some(writable),
        panicked: Some(panicked),
        get_interface: Some(get_interface),
        ..empty()
    })
}

/// A text for people, whole enough to find a secret in it.
///
/// # Safety
///
/// The text is readable, as the contract says of every argument.
unsafe fn told(text: Text) -> String {
    // SAFETY: the caller's word.
    match unsafe { text.bytes(4 * LINE_BYTES_MAX) } {
        Ok(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Err(error) => format!("({error})"),
    }
}

/// # Safety
///
/// None is needed: it takes numbers.
unsafe extern "C" fn log_enabled(_instance: u64, _level: i32) -> i32 {
    1
}

/// # Safety
///
/// The text is readable, as the contract says of every argument.
unsafe extern "C" fn log(_instance: u64, level: i32, message: Text) {
    // SAFETY: the caller's word.
    let line = unsafe { told(message) };
    called(|record| {
        record.line_count += 1;
        record.longest_line = record.longest_line.max(message.size);
        if !(v1::LOG_ERROR..=v1::LOG_TRACE).contains(&level) {
            record.fault(format!("it logged at the level {level}, which is none"));
        }
        if record.lines.len() < KEPT_MAX {
            record.lines.push(line);
        }
    });
}

/// # Safety
///
/// The array is readable, as the contract says of every argument.
unsafe extern "C" fn complete(instance: u64, outcomes: *const v1::Outcome, count: usize, stride: usize) {
    // SAFETY: the caller's word.
    let read = unsafe { array(outcomes, count, stride) };
    let read: Result<Vec<_>, String> = read.map_err(|error| format!("completed {error}")).and_then(|outcomes| {
        let one = |outcome: Result<v1::Outcome, _>| {
            let outcome = outcome.map_err(|error| format!("completed {error}"))?;
            // SAFETY: the caller's word.
            Ok((outcome.operation, outcome.outcome, unsafe { read::outcome(&outcome) }?))
        };
        outcomes.map(one).collect()
    });
    called(|record| {
        for (operation, code, outcome) in record.read(read).unwrap_or_default() {
            is_known(record, code);
            let answers = record.answers.entry((instance, operation));
            answers.or_insert(Answers { count: 0, outcome }).count += 1;
        }
    });
}

fn is_known(record: &mut Record, code: i32) {
    if !(v1::UNKNOWN..=v1::HALT).contains(&code) {
        record.fault(format!("it gave the outcome {code}, which means nothing"));
    }
}

/// # Safety
///
/// None is needed: it takes a number.
unsafe extern "C" fn writable(_instance: u64) {
    called(|record| record.writable += 1);
}

/// # Safety
///
/// The text is readable, as the contract says of every argument.
unsafe extern "C" fn panicked(_instance: u64, message: Text) {
    // SAFETY: the caller's word.
    let message = unsafe { told(message) };
    called(|record| {
        if record.panics.len() < KEPT_MAX {
            record.panics.push(message);
        }
    });
}

/// # Safety
///
/// None is needed: there is no such interface, whatever its name.
unsafe extern "C" fn get_interface(_name: Text) -> *const c_void {
    called(|_| {});
    std::ptr::null()
}

/// # Safety
///
/// `pointer` and what it points to are readable, as the contract says of every argument; `read` reads no more.
unsafe fn shaped<T: Grows, R>(
    pointer: *const T,
    what: &str,
    read: unsafe fn(&T) -> Result<R, String>,
) -> Result<R, String> {
    // SAFETY: the caller's word, for both.
    unsafe { sized(pointer).map_err(|error| format!("put {what} that is {error}")).and_then(|value| read(&value)) }
}

/// # Safety
///
/// As for [`log`].
unsafe extern "C" fn put_problem(_context: *mut c_void, field: Text, problem: Text) {
    // SAFETY: the caller's word.
    let put = unsafe { (told(field), told(problem)) };
    called(|record| record.put.problems.push(put));
}

/// # Safety
///
/// As for [`shaped`].
unsafe extern "C" fn put_request(_context: *mut c_void, request: *const v1::Request) {
    // SAFETY: the caller's word.
    let read = unsafe { shaped(request, "a request", read::request) };
    called(|record| {
        let read = record.read(read);
        record.put.requests.push(read);
    });
}

/// # Safety
///
/// As for [`shaped`].
unsafe extern "C" fn put_outcome(_context: *mut c_void, outcome: *const v1::Outcome) {
    // SAFETY: the caller's word.
    let code = unsafe { sized(outcome) }.map_or(v1::UNKNOWN, |outcome| outcome.outcome);
    // SAFETY: the caller's word.
    let read = unsafe { shaped(outcome, "an outcome", read::outcome) };
    called(|record| {
        is_known(record, code);
        let read = record.read(read);
        record.put.outcomes.push(read);
    });
}

/// # Safety
///
/// As for [`shaped`].
unsafe extern "C" fn put_fetched(_context: *mut c_void, fetched: *const v1::Fetched) {
    // SAFETY: the caller's word.
    let read = unsafe { shaped(fetched, "a token", read::fetched) };
    called(|record| {
        let read = record.read(read);
        record.put.fetched.push(read);
    });
}

/// # Safety
///
/// As for [`shaped`].
unsafe extern "C" fn put_permit(_context: *mut c_void, permit: *const v1::Permit) {
    // SAFETY: the caller's word.
    let read = unsafe { shaped(permit, "a permit", read::permit) };
    called(|record| {
        let read = record.read(read);
        record.put.permits.push(read);
    });
}

/// # Safety
///
/// As for [`shaped`].
unsafe extern "C" fn put_field(_context: *mut c_void, field: *const v1::Field) {
    // SAFETY: the caller's word.
    let read = unsafe { shaped(field, "a field", read::field) };
    called(|record| {
        let read = record.read(read);
        record.put.fields.extend(read);
    });
}

/// # Safety
///
/// As for [`shaped`].
unsafe extern "C" fn put_event(_context: *mut c_void, event: *const v1::Event) {
    // SAFETY: the caller's word.
    let read = unsafe { shaped(event, "an event", read::event) };
    called(|record| {
        let read = record.read(read);
        record.put.events.extend(read.flatten());
    });
}

/// # Safety
///
/// As for [`shaped`].
unsafe extern "C" fn put_reply(_context: *mut c_void, reply: *const v1::Reply) {
    // SAFETY: the caller's word.
    let read = unsafe { shaped(reply, "a reply", read::reply) };
    called(|record| {
        let read = record.read(read);
        record.put.replies.push(read);
    });
}

/// The sinks need no context: there is one record.
const CONTEXT: *mut c_void = std::ptr::null_mut();

pub(super) const PROBLEMS: v1::Problems = v1::Problems { context: CONTEXT, put: Some(put_problem) };
pub(super) const REQUEST: v1::RequestSink = v1::RequestSink { context: CONTEXT, put: Some(put_request) };
pub(super) const OUTCOME: v1::OutcomeSink = v1::OutcomeSink { context: CONTEXT, put: Some(put_outcome) };
pub(super) const FETCHED: v1::FetchedSink = v1::FetchedSink { context: CONTEXT, put: Some(put_fetched) };
pub(super) const PERMIT: v1::PermitSink = v1::PermitSink { context: CONTEXT, put: Some(put_permit) };
pub(super) const FIELD: v1::FieldSink = v1::FieldSink { context: CONTEXT, put: Some(put_field) };
pub(super) const EVENT: v1::EventSink = v1::EventSink { context: CONTEXT, put: Some(put_event) };
pub(super) const REPLY: v1::ReplySink = v1::ReplySink { context: CONTEXT, put: Some(put_reply) };

/// A text of a verdict: long ones are cut.
pub(super) fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(DETAIL_BYTES_MAX / 4)]
}
