//! Crossing the border: one call into a plugin, and the sinks it puts its results into.
//!
//! What a plugin is given as a sink's `context` is a number and no address. A sink that is kept and used after its call,
//! or on another thread, finds no call with that number, and nothing happens but a count.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr;

use tidings_abi::v1::{self, Text};
use tidings_abi::{Misshapen, sized};
use tidings_sdk::{Fetched, Outcome, Permit, PushEvent, Reply, Request, Violation};

use crate::fields::Filled;
use crate::limits::{DETAIL_BYTES_MAX, EVENTS_MAX, NAME_BYTES_MAX, PROBLEMS_MAX, RENDERED_BYTES_MAX};
use crate::lines::for_people;
use crate::read;
use crate::reply::lock;
use crate::resident::{Inside, Resident, count};
use crate::trouble::{Fault, Trouble};

/// What a plugin has put into the sinks of one call.
#[derive(Default)]
pub(crate) struct Put {
    pub(crate) problems: Vec<Violation>,
    pub(crate) request: Option<Request>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) fetched: Option<Fetched>,
    pub(crate) permit: Option<Permit>,
    pub(crate) filled: Vec<Filled>,
    filled_bytes: usize,
    pub(crate) events: Vec<PushEvent>,
    pub(crate) reply: Option<Reply>,
    /// The first thing that broke the contract.
    misshapen: Option<String>,
}

/// A call that is inside the plugin on this thread. It stands on the stack of whoever makes it, and so does what it puts.
struct Call {
    resident: &'static Resident,
    number: u64,
    panicked: Cell<bool>,
    put: RefCell<Put>,
}

/// A call that is about nothing secret.
pub(crate) const NO_SECRETS: [&str; 2] = [""; 2];

thread_local! {
    /// The call that this thread makes; NULL for none.
    static CALL: Cell<*const Call> = const { Cell::new(ptr::null()) };
}

/// What came back from a call.
pub(crate) struct Crossed<R> {
    pub(crate) returned: R,
    pub(crate) panicked: bool,
}

/// Ends a call, however it ends: what stood for it on the stack is not there any more.
struct Ending(&'static Resident);

impl Drop for Ending {
    fn drop(&mut self) {
        CALL.set(ptr::null());
        *lock(&self.0.inside) = None;
    }
}

impl Resident {
    /// Makes one call into the plugin that has no sinks.
    pub(crate) fn cross<R>(&'static self, function: &'static str, call: impl FnOnce() -> R) -> Crossed<R> {
        self.cross_with(function, NO_SECRETS, |_| call(), |returned, panicked, _| Crossed { returned, panicked })
    }

    /// Makes one call into the plugin, and looks at what it did and has put. `call` gets the context for its sinks.
    /// `secrets` are what no line of the plugin's shows meanwhile.
    fn cross_with<R, T>(
        &'static self,
        function: &'static str,
        secrets: [&str; 2],
        call: impl FnOnce(*mut c_void) -> R,
        look: impl FnOnce(R, bool, &mut Put) -> T,
    ) -> T {
        let mut calls = lock(&self.border);
        *calls = calls.wrapping_add(1);
        let number = self.numbered(*calls);
        let mut now = Call { resident: self, number, panicked: Cell::new(false), put: RefCell::default() };
        *lock(&self.inside) = Some(Inside { function, number, secrets: secrets.map(Text::of) });
        CALL.set(&raw const now);
        let ending = Ending(self);
        let returned = call(ptr::without_provenance_mut(usize::try_from(number).unwrap_or(0)));
        drop(ending);
        drop(calls);
        look(returned, now.panicked.get(), now.put.get_mut())
    }

    /// Makes one call that returns a code, reads the code, and takes the answer of what was put.
    pub(crate) fn ask<T>(
        &'static self,
        function: &'static str,
        secrets: [&str; 2],
        call: impl FnOnce(*mut c_void) -> i32,
        answer: impl FnOnce(&mut Put) -> T,
    ) -> Result<T, Fault> {
        self.cross_with(function, secrets, call, |returned, panicked, put| {
            if !put.problems.is_empty() || returned != v1::OK || put.misshapen.is_some() {
                self.fault(function, secrets, returned, panicked, put)?;
            }
            Ok(answer(put))
        })
    }

    /// What is at fault with a call, if anything is.
    #[cold]
    fn fault(
        &self,
        function: &'static str,
        secrets: [&str; 2],
        returned: i32,
        panicked: bool,
        put: &mut Put,
    ) -> Result<(), Fault> {
        let plugin = self.name;
        for violation in &mut put.problems {
            // It goes to whoever wrote the config or sent the message: not with what the plugin was trusted with.
            violation.problem = self.shown_without(violation.problem.as_bytes(), &secrets);
        }
        match returned {
            v1::OK => match put.misshapen.take() {
                None => Ok(()),
                // It was counted when it was put.
                Some(what) => Err(Fault::Trouble(Trouble::Misshapen { plugin, function, what })),
            },
            v1::REFUSED if put.problems.is_empty() => {
                let problem = format!("plugin `{plugin}` refused it in `{function}`, and did not say why");
                Err(Fault::Refused(vec![Violation::new("", problem)]))
            }
            v1::REFUSED => Err(Fault::Refused(std::mem::take(&mut put.problems))),
            v1::FAILED => Err(Fault::Trouble(Trouble::Failed { plugin, function })),
            v1::PANICKED => {
                // One event is one panic: usually host->panicked has told of it.
                if !panicked {
                    self.panicked(None);
                }
                Err(Fault::Trouble(Trouble::Panicked { plugin, function }))
            }
            code => Err(Fault::Trouble(self.misshapen(function, format!("returned {code}, which means nothing")))),
        }
    }

    /// What must have been put, or the sentence that it was not.
    pub(crate) fn answered<T>(&self, function: &'static str, value: Option<T>) -> Result<T, Fault> {
        value.ok_or_else(|| Fault::Trouble(self.misshapen(function, "returned TIDINGS_OK and answered nothing")))
    }
}

/// Looks at the call that this thread makes, if it makes one.
fn with_call<R>(look: impl FnOnce(Option<&Call>) -> R) -> R {
    // SAFETY: it is NULL, or it points to the stack of `cross`, which is still below us on this thread and has set it to
    // NULL before it ends.
    look(unsafe { CALL.get().as_ref() })
}

/// The plugin that is called on this thread now.
pub(crate) fn called_now() -> Option<&'static Resident> {
    with_call(|call| call.map(|call| call.resident))
}

/// Notes that the plugin told of a panic; false if it is the one that the call on this thread told of before.
pub(crate) fn is_new_panic(resident: &'static Resident) -> bool {
    with_call(|call| match call {
        Some(call) if ptr::eq(call.resident, resident) => !call.panicked.replace(true),
        _ => true,
    })
}

/// Has `put` change what the call of that number has put; counts a number that is no call's of this thread.
fn with_put(context: *mut c_void, put: impl FnOnce(&mut Put) -> Result<(), String>) {
    let number = context.addr() as u64;
    with_call(|call| match call.filter(|call| call.number == number) {
        Some(call) => {
            // Nobody else has it: no sink calls the plugin.
            let Ok(mut now) = call.put.try_borrow_mut() else { return };
            if let Err(what) = put(&mut now) {
                count(&call.resident.counted.misshapen);
                now.misshapen.get_or_insert(what);
            }
        }
        None => {
            if let Some(resident) = Resident::of(number) {
                count(&resident.counted.misshapen);
            }
        }
    });
}

/// Puts what may be put once. The first counts.
fn put_once<T>(context: *mut c_void, into: impl FnOnce(&mut Put) -> &mut Option<T>, value: Result<T, String>) {
    let number = context.addr() as u64;
    with_put(context, |put| {
        let slot = into(put);
        if slot.is_none() {
            *slot = Some(value?);
        } else if let Some(resident) = Resident::of(number) {
            // An answer is there, and stands: the second is counted and ignored.
            count(&resident.counted.misshapen);
        }
        Ok(())
    });
}

/// The sink for problems.
pub(crate) fn problems(context: *mut c_void) -> v1::Problems {
    v1::Problems { context, put: Some(put_problem) }
}

/// The sink for a request.
pub(crate) fn request_sink(context: *mut c_void) -> v1::RequestSink {
    v1::RequestSink { context, put: Some(put_request) }
}

/// The sink for an outcome.
pub(crate) fn outcome_sink(context: *mut c_void) -> v1::OutcomeSink {
    v1::OutcomeSink { context, put: Some(put_outcome) }
}

/// The sink for a token.
pub(crate) fn fetched_sink(context: *mut c_void) -> v1::FetchedSink {
    v1::FetchedSink { context, put: Some(put_fetched) }
}

/// The sink for a permit.
pub(crate) fn permit_sink(context: *mut c_void) -> v1::PermitSink {
    v1::PermitSink { context, put: Some(put_permit) }
}

/// The sink for rendered fields.
pub(crate) fn field_sink(context: *mut c_void) -> v1::FieldSink {
    v1::FieldSink { context, put: Some(put_field) }
}

/// The sink for events.
pub(crate) fn event_sink(context: *mut c_void) -> v1::EventSink {
    v1::EventSink { context, put: Some(put_event) }
}

/// The sink for the answer to a push.
pub(crate) fn reply_sink(context: *mut c_void) -> v1::ReplySink {
    v1::ReplySink { context, put: Some(put_reply) }
}

/// # Safety
///
/// The texts are readable, as the contract says of every argument.
unsafe extern "C" fn put_problem(context: *mut c_void, field: Text, problem: Text) {
    // SAFETY: the caller's word; only as much is read as is kept.
    let texts = unsafe { field.bytes(NAME_BYTES_MAX).and_then(|field| Ok((field, problem.bytes(DETAIL_BYTES_MAX)?))) };
    with_put(context, |put| {
        let (field, problem) = texts.map_err(|error| format!("put a problem with {error}"))?;
        if put.problems.len() < PROBLEMS_MAX {
            let field = for_people(field, NAME_BYTES_MAX);
            put.problems.push(Violation { field, problem: for_people(problem, DETAIL_BYTES_MAX) });
        }
        Ok(())
    });
}

fn shape(what: &'static str) -> impl FnOnce(Misshapen) -> String {
    move |error| format!("put {what} with {error}")
}

/// # Safety
///
/// The struct and what it points to are readable, as the contract says of every argument.
unsafe extern "C" fn put_request(context: *mut c_void, request: *const v1::Request) {
    // SAFETY: the caller's word.
    let read = unsafe { sized(request).map_err(shape("a request")).and_then(|request| read::request(&request)) };
    put_once(context, |put| &mut put.request, read);
}

/// # Safety
///
/// As for [`put_request`].
unsafe extern "C" fn put_outcome(context: *mut c_void, outcome: *const v1::Outcome) {
    // SAFETY: the caller's word.
    let read = unsafe { sized(outcome).map_err(shape("an outcome")).and_then(|outcome| read::outcome(&outcome)) };
    put_once(context, |put| &mut put.outcome, read);
}

/// # Safety
///
/// As for [`put_request`].
unsafe extern "C" fn put_fetched(context: *mut c_void, fetched: *const v1::Fetched) {
    // SAFETY: the caller's word.
    let read = unsafe { sized(fetched).map_err(shape("a token")).and_then(|fetched| read::fetched(&fetched)) };
    put_once(context, |put| &mut put.fetched, read);
}

/// # Safety
///
/// As for [`put_request`].
unsafe extern "C" fn put_permit(context: *mut c_void, permit: *const v1::Permit) {
    // SAFETY: the caller's word.
    let read = unsafe { sized(permit).map_err(shape("a permit")).and_then(|permit| read::permit(&permit)) };
    put_once(context, |put| &mut put.permit, read);
}

/// # Safety
///
/// As for [`put_request`].
unsafe extern "C" fn put_reply(context: *mut c_void, reply: *const v1::Reply) {
    // SAFETY: the caller's word.
    let read = unsafe { sized(reply).map_err(shape("a reply")).and_then(|reply| read::reply(&reply)) };
    put_once(context, |put| &mut put.reply, read);
}

/// # Safety
///
/// As for [`put_request`].
unsafe extern "C" fn put_event(context: *mut c_void, event: *const v1::Event) {
    // SAFETY: the caller's word.
    let read = unsafe { sized(event).map_err(shape("an event")).and_then(|event| read::event(&event)) };
    with_put(context, |put| {
        let event = read?;
        if put.events.len() >= EVENTS_MAX {
            return Err(format!("put more than {EVENTS_MAX} events"));
        }
        put.events.extend(event);
        Ok(())
    });
}

/// # Safety
///
/// As for [`put_request`].
unsafe extern "C" fn put_field(context: *mut c_void, field: *const v1::Field) {
    // SAFETY: the caller's word.
    let read = unsafe { sized(field).map_err(shape("a field")).and_then(|field| read::field(&field)) };
    with_put(context, |put| {
        let filled = read?;
        put.filled_bytes += filled.key.len() + filled.row.len() + filled.value.len() + size_of::<Filled>();
        if put.filled_bytes > RENDERED_BYTES_MAX {
            return Err(format!("put fields of more than {} KiB", RENDERED_BYTES_MAX / 1024));
        }
        put.filled.push(filled);
        Ok(())
    });
}
