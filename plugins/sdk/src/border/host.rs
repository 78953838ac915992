//! The host's table, as functions.

use std::borrow::Cow;
use std::sync::OnceLock;

use tidings_abi::sized;
use tidings_abi::v1::{self, Text};
use tidings_model::Outcome;

use super::values;

/// Bytes of a line that are told. The host shows 4096, and looks at twice as many: a secret that were cut here it would not
/// find. One more says that there was more.
const LINE_BYTES_MAX: usize = 2 * 4096 + 1;

/// The functions that a plugin calls. Every host has all of them.
#[derive(Clone, Copy)]
struct Host {
    log_enabled: unsafe extern "C" fn(u64, i32) -> i32,
    log: unsafe extern "C" fn(u64, i32, Text),
    complete: unsafe extern "C" fn(u64, *const v1::Outcome, usize, usize),
    writable: unsafe extern "C" fn(u64),
    panicked: unsafe extern "C" fn(u64, Text),
}

/// The host of this file; none where the plugin is linked in.
static HOST: OnceLock<Host> = OnceLock::new();

/// Takes the host's table in, and says whether it is whole. A second one is not looked at: tables stay as they are.
///
/// # Safety
///
/// As for [`sized`].
pub(super) unsafe fn take(table: *const v1::Host) -> bool {
    // SAFETY: the caller's word.
    let Ok(table) = (unsafe { sized(table) }) else { return false };
    let v1::Host {
        log_enabled: Some(log_enabled),
        log: Some(log),
        complete: Some(complete),
        writable: Some(writable),
        panicked: Some(panicked),
        ..
    } = table
    else {
        return false;
    };
    HOST.get_or_init(|| Host { log_enabled, log, complete, writable, panicked });
    true
}

/// Whether anybody reads lines of this level.
pub(crate) fn log_enabled(instance: u64, level: i32) -> bool {
    // SAFETY: [any], and two numbers.
    HOST.get().is_some_and(|host| unsafe { (host.log_enabled)(instance, level) } != 0)
}

/// One line to the log.
pub(crate) fn log(instance: u64, level: i32, message: &str) {
    let Some(host) = HOST.get() else { return };
    let message = &message[..message.floor_char_boundary(LINE_BYTES_MAX)];
    let line: Cow<'_, str> = match message.contains(['\n', '\r']) {
        true => message.replace(['\n', '\r'], " ").into(),
        false => message.into(),
    };
    // SAFETY: [any]; the text is there for the call.
    unsafe { (host.log)(instance, level, Text::of(&line)) };
}

/// What came of a delivery.
pub(super) fn complete(instance: u64, operation: u64, outcome: &Outcome) {
    let Some(host) = HOST.get() else { return };
    let outcome = v1::Outcome { operation, ..values::outcome_out(outcome) };
    // SAFETY: [any]; one struct of the size it says, whose texts are there for the call.
    unsafe { (host.complete)(instance, &raw const outcome, 1, size_of::<v1::Outcome>()) };
}

/// `submit` may take more.
pub(super) fn writable(instance: u64) {
    let Some(host) = HOST.get() else { return };
    // SAFETY: [any], and a number.
    unsafe { (host.writable)(instance) };
}

/// The plugin broke down.
pub(super) fn panicked(instance: u64, message: &str) {
    let Some(host) = HOST.get() else { return };
    // SAFETY: [any]; the text is there for the call.
    unsafe { (host.panicked)(instance, Text::of(message)) };
}

#[cfg(test)]
mod tests {
    use tidings_abi::empty;

    use super::*;

    #[test]
    fn a_host_that_lacks_a_function_is_refused() {
        let table: v1::Host = empty();
        // SAFETY: a whole struct of ours, and NULL.
        assert!(unsafe { !take(&raw const table) && !take(std::ptr::null()) });
    }
}
