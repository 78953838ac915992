//! A progress bar on standard error, if that is a terminal.

use std::io::IsTerminal as _;

/// See the file.
pub(crate) struct Bar {
    pub(crate) total: u64,
    pub(crate) shown: bool,
}

impl Bar {
    const WIDTH: u64 = 30;

    pub(crate) fn new(total: u64) -> Bar {
        Bar { total, shown: std::io::stderr().is_terminal() }
    }

    pub(crate) fn show(&self, done: u64) {
        if self.shown && self.total > 0 {
            eprint!("\r{}", Bar::text(done, self.total));
        }
    }

    pub(crate) fn clear(&self) {
        if self.shown {
            eprint!("\r\u{1b}[K");
        }
    }

    pub(crate) fn finish(&mut self) {
        self.show(self.total);
        if self.shown {
            eprintln!();
        }
    }

    /// The bar as text; `total` is above zero.
    pub(crate) fn text(done: u64, total: u64) -> String {
        let filled = usize::try_from(done.min(total).saturating_mul(Bar::WIDTH) / total).unwrap_or(0);
        let rest = usize::try_from(Bar::WIDTH).unwrap_or(0) - filled;
        format!("[{}{}] {done} of {total}", "#".repeat(filled), ".".repeat(rest))
    }
}
