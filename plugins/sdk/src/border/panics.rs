//! Panics stay in the file: each is caught at the border and told to the host, once.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use super::host;

/// Bytes of a panic's text that are told: more than the host shows, because a secret that were cut here it would not find.
const TEXT_BYTES_MAX: usize = 2 * 4096;

/// What this thread does just now.
struct Here {
    /// For which instance it works; 0 for none.
    instance: Cell<u64>,
    /// Its panics that were told.
    told: Cell<u64>,
}

thread_local! {
    // One, because in a file each look at such a thing is a call.
    static HERE: Here = const { Here { instance: Cell::new(0), told: Cell::new(0) } };
}

/// For which instance this thread works just now; 0 for none.
pub(crate) fn instance() -> u64 {
    HERE.with(|here| here.instance.get())
}

impl Here {
    /// Does something for an instance.
    fn inside<R>(&self, instance: u64, work: impl FnOnce() -> R) -> R {
        struct Before<'a>(&'a Cell<u64>, u64);
        impl Drop for Before<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let _before = Before(&self.instance, self.instance.replace(instance));
        work()
    }
}

/// Does something for an instance: what is logged in it, and a panic in it, is told under its number.
#[cfg(any(feature = "runtime", test))]
pub(crate) fn inside<R>(instance: u64, work: impl FnOnce() -> R) -> R {
    HERE.with(|here| here.inside(instance, work))
}

/// Does something for an instance and catches the panic in it: `None`.
///
/// What the panic left half done may be seen by a later call. That is the plugin's own data, and no worse than what a
/// thread sees after another has panicked; three of them park the plugin.
pub(super) fn caught<R>(instance: u64, work: impl FnOnce() -> R) -> Option<R> {
    HERE.with(|here| {
        let told = here.told.get();
        match here.inside(instance, || catch_unwind(AssertUnwindSafe(work))) {
            Ok(result) => Some(result),
            Err(payload) => here.inside(instance, || {
                // `resume_unwind` unwinds without the hook.
                if here.told.get() == told {
                    tell("the plugin unwound without a panic");
                }
                discard(payload);
                None
            }),
        }
    })
}

/// From now on panics are told to the host and not printed. A file has its own `std`, so this is its own hook.
pub(super) fn tell_host() {
    std::panic::set_hook(Box::new(|panic| tell(&text(panic))));
}

fn tell(text: &str) {
    HERE.with(|here| here.told.set(here.told.get() + 1));
    host::panicked(instance(), text);
}

fn text(panic: &PanicHookInfo<'_>) -> String {
    let said = panic.payload_as_str().unwrap_or("a panic that is no text");
    let said = &said[..said.floor_char_boundary(TEXT_BYTES_MAX)];
    match panic.location() {
        Some(place) => format!("{said} ({}:{})", place.file(), place.line()),
        None => said.to_owned(),
    }
}

/// What a panic carries may panic in its turn when it is dropped. Then it is not dropped.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_inside_an_instance_is_told_under_its_number() {
        assert_eq!(instance(), 0);
        let seen = inside(7, || (instance(), inside(8, instance), instance()));
        assert_eq!((seen, instance()), ((7, 8, 7), 0));
        assert_eq!(caught(9, || std::panic::resume_unwind(Box::new(()))), None::<()>);
        assert_eq!(instance(), 0);
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_does_no_harm() {
        struct Twice;
        impl Drop for Twice {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new(()));
            }
        }
        assert_eq!(caught(1, || std::panic::resume_unwind(Box::new(Twice))), None::<()>);
    }
}
