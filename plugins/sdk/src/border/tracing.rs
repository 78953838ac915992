//! Events of `tracing`, the plugin's and its libraries', as lines of Tidings' log.
//!
//! Spans are not followed: a line has to stand for itself.

use std::fmt::{Debug, Write};

use tidings_abi::v1;
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Dispatch, Event, Interest, Level, Metadata, Subscriber, dispatcher};

use super::{host, panics};

/// Sends events to the host from now on. If the plugin has installed a subscriber of its own, that one stays.
pub(super) fn to_host() {
    if dispatcher::set_global_default(Dispatch::new(Lines)).is_err() {
        host::log(0, v1::LOG_DEBUG, "the plugin has a subscriber of its own: its events do not come here");
    }
}

struct Lines;

impl Subscriber for Lines {
    /// Not once for all: the host's level may change while it runs.
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && host::log_enabled(panics::instance(), level(metadata.level()))
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let Line { mut message, fields } = line;
        message.push_str(&fields);
        host::log(panics::instance(), level(event.metadata().level()), &message);
    }

    fn new_span(&self, _attributes: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

fn level(level: &Level) -> i32 {
    match *level {
        Level::ERROR => v1::LOG_ERROR,
        Level::WARN => v1::LOG_WARN,
        Level::INFO => v1::LOG_INFO,
        Level::DEBUG => v1::LOG_DEBUG,
        Level::TRACE => v1::LOG_TRACE,
    }
}

/// The message, and after it ` name=value` for every other field.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn put(&mut self, field: &Field, value: std::fmt::Arguments<'_>) {
        let written = match field.name() {
            "message" => self.message.write_fmt(value),
            name => write!(self.fields, " {name}={value}"),
        };
        written.expect("a string takes what is written");
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, format_args!("{value}"));
    }
}
