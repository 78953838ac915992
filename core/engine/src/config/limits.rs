//! `[api.limits]`: what our API bears from its callers.

use std::time::Duration;

use super::read::Section;

/// What the API bears from its callers. Each listener (the local socket, the TCP port) counts for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiLimits {
    /// Connections at once. The default has room for a thousand readers of events and as many callers; each costs some
    /// 20 KiB while it is served.
    pub connections: usize,
    /// How long a connection may stay without a call.
    pub idle: Duration,
    /// How long the head of a request may take, from its first byte (of the first request: from the connection's
    /// begin, with the TLS handshake).
    pub head: Duration,
    /// How long we wait for each 16 KiB of a body, or its end.
    pub body: Duration,
    /// How long we wait for a caller to take each 16 KiB of our answer, or its end.
    pub answer: Duration,
    /// MiB of bodies that are in memory at once.
    pub bodies_mib: u32,
}

impl Default for ApiLimits {
    fn default() -> ApiLimits {
        ApiLimits {
            connections: 2048,
            idle: Duration::from_secs(75),
            head: Duration::from_secs(10),
            body: Duration::from_secs(20),
            answer: Duration::from_secs(30),
            bodies_mib: 64,
        }
    }
}

/// The longest wait that makes sense for a caller.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Reads the section; what it does not say has its default.
pub(super) fn read(api: &Section<'_>) -> ApiLimits {
    let defaults = ApiLimits::default();
    let Some(section) = api.section("limits") else { return defaults };
    let wait = |key, default| {
        let read = section.parsed(key, |value| {
            let wait = super::read::duration(&super::read::text(value)?)?;
            if wait.is_zero() || wait > WAIT_MAX { Err("expected 1ms to 1h".to_owned()) } else { Ok(wait) }
        });
        read.unwrap_or(default)
    };
    let limits = ApiLimits {
        connections: section.number("connections", 1..=65_536).map_or(defaults.connections, |number| number as usize),
        idle: wait("idle", defaults.idle),
        head: wait("head", defaults.head),
        body: wait("body", defaults.body),
        answer: wait("answer", defaults.answer),
        bodies_mib: section.number("bodies_mib", 8..=65_536).unwrap_or(defaults.bodies_mib),
    };
    section.finish();
    limits
}
