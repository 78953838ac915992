//! Traces: which request a message belongs to, as W3C Trace Context has it (Recommendation of 23 November 2021).
//!
//! A caller that traces names the trace in `traceparent`, and it is kept with the message. For everybody else the trace
//! follows from the store and the message's number: it is the same whoever asks and whenever, and nothing is stored.

use std::fmt;

use crate::hash::hash;
use crate::id::MessageId;

/// The number of a trace: 32 hexadecimal digits, never all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// The number of one span of a trace: 16 hexadecimal digits, never all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// What a caller says of the trace that its request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The caller's own span.
    pub parent: SpanId,
    /// Whether the caller records it.
    pub sampled: bool,
}

impl TraceId {
    /// The trace of a message that nobody named one for. `store` tells this store from another.
    pub fn of_message(store: &str, message: MessageId) -> TraceId {
        TraceId::from_numbers(
            hash(&[b"trace one", store.as_bytes(), &message.0.to_be_bytes()]),
            hash(&[b"trace two", store.as_bytes(), &message.0.to_be_bytes()]),
        )
    }

    /// Of two random numbers.
    pub fn from_numbers(one: u64, two: u64) -> TraceId {
        // All zero is no trace; one of two to the 128 gets its neighbour's.
        let number = ((u128::from(one) << 64) | u128::from(two)).max(1);
        TraceId(number.to_be_bytes())
    }
}

impl SpanId {
    /// The span of a message's intake, under which its attempts stand.
    pub fn of_intake(store: &str, message: MessageId) -> SpanId {
        SpanId::from_number(hash(&[b"intake", store.as_bytes(), &message.0.to_be_bytes()]))
    }

    /// The span of one attempt.
    pub fn of_attempt(store: &str, message: MessageId, generation: i64) -> SpanId {
        let (message, generation) = (message.0.to_be_bytes(), generation.to_be_bytes());
        SpanId::from_number(hash(&[b"attempt", store.as_bytes(), &message, &generation]))
    }

    /// Of a random number.
    pub fn from_number(number: u64) -> SpanId {
        SpanId(number.max(1).to_be_bytes())
    }
}

impl TraceContext {
    /// Reads the header `traceparent`; `None` if it is not one, and then the request belongs to no trace (§3.2.2.3).
    pub fn read(header: &str) -> Option<TraceContext> {
        let mut parts = header.split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let [version] = bytes::<1>(version)?;
        // A later version may have more behind; this one has not.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace, parent, [flags]) = (bytes::<16>(trace)?, bytes::<8>(parent)?, bytes::<1>(flags)?);
        let valid = trace != [0; 16] && parent != [0; 8];
        valid.then_some(TraceContext { trace: TraceId(trace), parent: SpanId(parent), sampled: flags & 1 == 1 })
    }
}

/// As the header is written.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.parent, u8::from(self.sampled))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// So many bytes in lower case hexadecimal, as the header wants them.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_recommendation_is_read_and_written() {
        let context = TraceContext::read(HEADER).unwrap();
        assert_eq!(context.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.parent.to_string(), "00f067aa0ba902b7");
        assert!(context.sampled);
        assert_eq!(context.to_string(), HEADER);
        assert!(!TraceContext::read(&HEADER.replace("-01", "-00")).unwrap().sampled);
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::read(wrong), None, "{wrong}");
        }
        assert!(TraceContext::read("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
    }

    #[test]
    fn a_message_has_one_trace_for_ever_and_no_other_has_it() {
        let trace = |store, id| TraceId::of_message(store, MessageId(id)).to_string();
        assert_eq!(trace("0a1b2c3d4e5f", 42), trace("0a1b2c3d4e5f", 42));
        // Written down: it must not change with a build.
        assert_eq!(trace("0a1b2c3d4e5f", 42), "f5a22efe900299d6757044df2919e0b2");
        let mut seen = std::collections::BTreeSet::new();
        for store in ["a", "b"] {
            seen.extend((0..1000).map(|id| trace(store, id)));
        }
        assert_eq!(seen.len(), 2000);
        let spans = [SpanId::of_intake("a", MessageId(1)), SpanId::of_attempt("a", MessageId(1), 1)];
        assert_ne!(spans[0], spans[1]);
        assert_ne!(spans[1], SpanId::of_attempt("a", MessageId(1), 2));
    }
}
