//! What the host offers to plugins. Every function may be called from any thread at any time, and by a plugin that is
//! mistaken: none blocks for long, calls back, or panics.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tidings_abi::v1::{self, Text};
use tidings_abi::{array, empty};

use crate::border::{called_now, is_new_panic};
use crate::lines::LINE_BYTES_READ;
use crate::operations::Answered;
use crate::read;
use crate::reply::lock;
use crate::resident::{Resident, count};

/// The table. It stays valid for ever.
pub(crate) fn table() -> *const v1::Host {
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

/// Where lines of plugins go: the target of their events.
const TARGET: &str = "tidings::plugin";

/// Whose instance it is; where there is none yet, the plugin that is called on this thread.
fn resident_of(instance: u64) -> Option<&'static Resident> {
    if instance == 0 { called_now() } else { Resident::of(instance) }
}

/// # Safety
///
/// None is needed: it takes numbers.
unsafe extern "C" fn log_enabled(_instance: u64, level: i32) -> i32 {
    i32::from(contained(|| match level {
        ..=v1::LOG_ERROR => tracing::enabled!(target: TARGET, tracing::Level::ERROR),
        v1::LOG_WARN => tracing::enabled!(target: TARGET, tracing::Level::WARN),
        v1::LOG_INFO => tracing::enabled!(target: TARGET, tracing::Level::INFO),
        v1::LOG_DEBUG => tracing::enabled!(target: TARGET, tracing::Level::DEBUG),
        _ => tracing::enabled!(target: TARGET, tracing::Level::TRACE),
    }))
}

/// A panic of ours must not cross into the plugin: on a thread that is ending, say, whose locals are gone.
fn contained<T: Default>(call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_default()
}

/// # Safety
///
/// The text is readable, as the contract says of every argument.
unsafe extern "C" fn log(instance: u64, level: i32, message: Text) {
    contained(|| {
        let Some(resident) = resident_of(instance) else { return };
        // SAFETY: numbers alone.
        if unsafe { log_enabled(instance, level) } == 0 || !resident.may_log() {
            return;
        }
        // SAFETY: the caller's word; no more is looked at than may be shown, and one byte to know that there is more.
        let Ok(message) = (unsafe { message.bytes(LINE_BYTES_READ + 1) }) else {
            count(&resident.counted.misshapen);
            return;
        };
        let (plugin, line) = (resident.name, resident.shown(message));
        let app = resident.instance(instance).map(|instance| instance.app.clone());
        let app = app.as_deref();
        match level {
            ..=v1::LOG_ERROR => tracing::error!(target: TARGET, plugin, app, "{line}"),
            v1::LOG_WARN => tracing::warn!(target: TARGET, plugin, app, "{line}"),
            v1::LOG_INFO => tracing::info!(target: TARGET, plugin, app, "{line}"),
            v1::LOG_DEBUG => tracing::debug!(target: TARGET, plugin, app, "{line}"),
            _ => tracing::trace!(target: TARGET, plugin, app, "{line}"),
        }
    });
}

/// # Safety
///
/// The outcomes are readable, `stride` bytes apart, as the contract says of every array.
unsafe extern "C" fn complete(instance: u64, outcomes: *const v1::Outcome, outcome_count: usize, stride: usize) {
    contained(|| {
        let Some(resident) = Resident::of(instance) else { return };
        // SAFETY: the caller's word.
        let Ok(outcomes) = (unsafe { array(outcomes, outcome_count, stride) }) else {
            count(&resident.counted.misshapen);
            return;
        };
        for outcome in outcomes {
            match outcome {
                // SAFETY: the caller's word for the array is for what its elements point to.
                Ok(outcome) => unsafe { complete_one(resident, instance, &outcome) },
                Err(_) => count(&resident.counted.misshapen),
            }
        }
        resident.room(instance);
    });
}

/// # Safety
///
/// What the outcome points to is readable.
unsafe fn complete_one(resident: &Resident, instance: u64, outcome: &v1::Outcome) {
    let answered = lock(&resident.operations).answer(instance, outcome.operation);
    let open = match answered {
        Answered::Open(open) => open,
        Answered::Late => return count(&resident.counted.late),
        Answered::Doubled => return count(&resident.counted.doubled),
        Answered::Foreign => return count(&resident.counted.foreign),
    };
    // SAFETY: the caller's word.
    let outcome = unsafe { read::outcome(outcome) }.unwrap_or_else(|what| {
        count(&resident.counted.misshapen);
        let detail = format!("plugin `{}` broke the contract in `complete`: it {what}", resident.name);
        tidings_sdk::Outcome::Unknown { detail }
    });
    if !open.reply.answer(Ok(outcome)) {
        count(&resident.counted.late);
    }
}

/// # Safety
///
/// None is needed: it takes a number.
unsafe extern "C" fn writable(instance: u64) {
    contained(|| {
        // What a plugin says inside `submit` about what it takes, it says by what it returns. Heard here, it could have the
        // same deliveries offered for ever.
        let Some(resident) = Resident::of(instance) else { return };
        if !called_now().is_some_and(|called| std::ptr::eq(called, resident)) {
            resident.room(instance);
        }
    });
}

/// # Safety
///
/// The text is readable, as the contract says of every argument.
unsafe extern "C" fn panicked(instance: u64, message: Text) {
    contained(|| {
        let Some(resident) = resident_of(instance) else { return };
        if is_new_panic(resident) {
            // SAFETY: the caller's word; no more is looked at than of a line.
            let message = unsafe { message.bytes(LINE_BYTES_READ + 1) };
            resident.panicked(message.ok());
        }
    });
}

/// # Safety
///
/// None is needed: the name is not looked at, for minor 0 has no interfaces.
unsafe extern "C" fn get_interface(_name: Text) -> *const c_void {
    std::ptr::null()
}
