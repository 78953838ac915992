//! `transport/1` in front of [`Transport`] and its [`Carrier`].

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidings_abi::{COUNT_MAX, array, v1};
use tidings_model::Outcome;

use super::content::Content;
use super::instance::{Instance, Stage, Stop, call, mixed_up};
use super::values::{Problems, credential, size, text};
use super::{host, panics};
use crate::settings::App;
use crate::transport::{Carrier, OwnedDelivery, Pending, Transport};

pub(super) static TABLE: v1::Transport = v1::Transport {
    struct_size: size::<v1::Transport>(),
    reserved: 0,
    check: Some(check),
    submit: Some(submit),
    cancel: Some(cancel),
};

/// A carrier, and what is known of its answers.
pub(super) struct Submitter {
    stage: &'static dyn Transport,
    carrier: Box<dyn Carrier>,
    answers: Arc<Answers>,
}

/// Shared with every message on its way.
#[derive(Default)]
struct Answers {
    given: AtomicU64,
    /// Whether something was given back to the host since it was last told to offer again.
    owed: AtomicBool,
}

impl Submitter {
    pub(super) fn new(stage: &'static dyn Transport, carrier: Box<dyn Carrier>) -> Submitter {
        Submitter { stage, carrier, answers: Arc::default() }
    }

    /// Offers one message to the carrier: whether it was taken, and whether more may be offered.
    fn submit(&mut self, instance: u64, operation: u64, delivery: OwnedDelivery) -> (bool, bool) {
        let before = self.answers.given.load(Ordering::SeqCst);
        let answers = Arc::clone(&self.answers);
        let answer = Box::new(move |outcome| answers.give(instance, operation, &outcome));
        let pending = Pending::new(operation, delivery, answer);
        let taken = match panics::caught(instance, || self.carrier.submit(pending)) {
            Some(Ok(())) => return (true, true),
            Some(Err(given_back)) => {
                given_back.defuse();
                false
            }
            // The carrier had it, so it is answered: by its end, if nowhere else. The host hears of the panic before it
            // offers the next.
            None => true,
        };
        self.answers.owe(instance, before);
        (taken, false)
    }
}

impl Answers {
    fn give(&self, instance: u64, operation: u64, outcome: &Outcome) {
        host::complete(instance, operation, outcome);
        self.given.fetch_add(1, Ordering::SeqCst);
        self.tell_if_owed(instance);
    }

    /// Something was given back: an answer after this tells the host to offer again. One that came since `before` may
    /// have been the last, and did not know.
    fn owe(&self, instance: u64, before: u64) {
        self.owed.store(true, Ordering::SeqCst);
        if self.given.load(Ordering::SeqCst) != before {
            self.tell_if_owed(instance);
        }
    }

    fn tell_if_owed(&self, instance: u64) {
        if self.owed.swap(false, Ordering::SeqCst) {
            host::writable(instance);
        }
    }
}

fn submitter(instance: &mut Instance) -> Result<(u64, &App, &mut Submitter), Stop> {
    match &mut instance.stage {
        Stage::Transport(submitter) => Ok((instance.id, &instance.app, submitter)),
        _ => Err(mixed_up()),
    }
}

unsafe extern "C" fn check(
    this: *mut c_void,
    fields: *const v1::Field,
    field_count: usize,
    field_stride: usize,
    problems: v1::Problems,
) -> i32 {
    // SAFETY: the host's word, by the header: what it lends is there for the call.
    unsafe {
        call(this, |instance| {
            let (_, app, submitter) = submitter(instance)?;
            let content = Content::owned(fields, field_count, field_stride)?;
            Problems(problems).refuse(&submitter.stage.check(app, &content))
        })
    }
}

unsafe extern "C" fn submit(this: *mut c_void, deliveries: *const v1::Delivery, count: usize, stride: usize) -> usize {
    let mut taken = 0;
    // SAFETY: the host's word, by the header: what it lends is there for the call.
    let status = unsafe {
        call(this, |instance| {
            let (id, _, submitter) = submitter(instance)?;
            for delivery in array(deliveries, count.min(COUNT_MAX), stride)? {
                let delivery = delivery?;
                let (is_taken, may_go_on) = match owned(&delivery) {
                    Ok(owned) => submitter.submit(id, delivery.operation, owned),
                    Err(why) => {
                        let Stop::Failed(reason) = why else { unreachable!("reading refuses nothing") };
                        host::complete(id, delivery.operation, &Outcome::Rejected { reason });
                        (true, true)
                    }
                };
                taken += usize::from(is_taken);
                if !may_go_on {
                    break;
                }
            }
            Ok(())
        })
    };
    // What went wrong is in the log; what was taken before it stays taken.
    let _ = status;
    taken
}

unsafe extern "C" fn cancel(this: *mut c_void, operations: *const u64, count: usize) {
    // SAFETY: the host's word, by the header: so many numbers are there for the call. They need not be aligned.
    let status = unsafe {
        call(this, |instance| {
            let (_, _, submitter) = submitter(instance)?;
            if operations.is_null() {
                return Ok(());
            }
            let operations: Vec<u64> =
                (0..count.min(COUNT_MAX)).map(|index| operations.add(index).read_unaligned()).collect();
            submitter.carrier.cancel(&operations);
            Ok(())
        })
    };
    // What went wrong is in the log, and there is nobody to tell here.
    let _ = status;
}

/// # Safety
///
/// What the delivery borrows is there for the call.
unsafe fn owned(delivery: &v1::Delivery) -> Result<OwnedDelivery, Stop> {
    // SAFETY: the caller's word.
    unsafe {
        Ok(OwnedDelivery {
            token: text(delivery.token)?.to_owned(),
            credential: credential(delivery)?.map(|it| (it.source.to_owned(), it.value.to_owned())),
            recipient: text(delivery.recipient)?.to_owned(),
            content: Content::owned(delivery.fields, delivery.field_count, delivery.field_stride)?,
            dedupe_id: text(delivery.dedupe_id)?.to_owned(),
            timeout: Duration::from_millis(u64::from(delivery.timeout_ms)),
        })
    }
}
