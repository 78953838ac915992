//! The functions of each role, called once each, with what they were given as it crosses.

use serde_json::{Map, Value};
use tidings_abi::empty;
use tidings_abi::v1::{self, Bytes, Pair, Text};
use tidings_sdk::{Fetched, Outcome, OwnedDelivery, Part, Permit, PushEvent, Reply, Request};

use super::record::{EVENT, FETCHED, FIELD, OUTCOME, PERMIT, PROBLEMS, REPLY, REQUEST};
use super::rig::{Grown, Instance, ask, call, one, sentence};
use crate::calls::Parcel;
use crate::fields::Fields;

/// Whether structs cross as large as they are known, or larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Known,
    Grown,
}

impl Size {
    fn of<T: tidings_abi::Grows>(self, value: T) -> Grown<T> {
        match self {
            Size::Known => Grown::new(value),
            Size::Grown => Grown::larger(value),
        }
    }
}

/// A result, or why there is none, in words.
pub(super) type Said<T> = Result<T, String>;

/// A table that is there: the role was seen in the description, and its table was taken.
const IS_THERE: &str = "the rule is only tried on plugins of that role";

/// What a push gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) events: Vec<PushEvent>,
    pub(super) reply: Reply,
}

/// What a minting gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Minted {
    pub(super) permit: Option<Permit>,
    pub(super) next_unix_ms: i64,
}

fn response(status: u16, retry_after_ms: u64, body: &[u8]) -> v1::Response {
    v1::Response { status: status.into(), retry_after_ms, body: Bytes::of(body), ..empty() }
}

impl Instance<'_> {
    /// The problems of rendered content; none where nobody looks at it.
    pub(super) fn check(&self, role: &str, content: &Map<String, Value>) -> Result<Vec<(String, String)>, String> {
        let tables = &self.rig.tables;
        let function = match role {
            "http_transport" => tables.http_transport.and_then(|table| table.check),
            _ => tables.transport.and_then(|table| table.check),
        };
        let Some(function) = function else { return Ok(Vec::new()) };
        let fields = Fields::of_content(content);
        let (array, count, stride) = fields.array();
        // SAFETY: the function of the plugin's table, with what its `create` gave; `fields` outlives the call.
        ask("check", || unsafe { function(self.itself, array, count, stride, PROBLEMS) })
            .map(|answer| answer.put.problems)
    }

    /// The request of an HTTP transport.
    pub(super) fn request(&self, delivery: &OwnedDelivery, size: Size) -> Result<Said<Request>, String> {
        let function = self.rig.tables.http_transport.and_then(|table| table.request).expect(IS_THERE);
        let fields = Fields::of_content(&delivery.content);
        let delivery = size.of(Parcel::of(delivery).crossing(0, &fields));
        // SAFETY: the function of the plugin's table, with what its `create` gave; all it borrows outlives the call.
        let answer = ask("request", || unsafe { function(self.itself, delivery.pointer(), REQUEST, PROBLEMS) })?;
        if answer.is_refused {
            return Ok(Err(sentence(&answer.put.problems)));
        }
        one("request", answer.put.requests).map(Ok)
    }

    /// What an HTTP transport reads from an answer.
    pub(super) fn read(&self, status: u16, after_ms: u64, body: &[u8], size: Size) -> Result<Outcome, String> {
        let function = self.rig.tables.http_transport.and_then(|table| table.read).expect(IS_THERE);
        let response = size.of(response(status, after_ms, body));
        // SAFETY: as in `request`.
        let answer = ask("read", || unsafe { function(self.itself, response.pointer(), OUTCOME) })?;
        one("read", answer.put.outcomes)
    }

    /// The request for a token.
    pub(super) fn token_request(&self) -> Result<Said<Request>, String> {
        let function = self.rig.tables.token_provider.and_then(|table| table.request).expect(IS_THERE);
        // SAFETY: the function of the plugin's table, with what its `create` gave.
        let answer = ask("request", || unsafe { function(self.itself, REQUEST, PROBLEMS) })?;
        if answer.is_refused {
            return Ok(Err(sentence(&answer.put.problems)));
        }
        one("request", answer.put.requests).map(Ok)
    }

    /// What a token provider reads from an answer.
    pub(super) fn token_read(&self, status: u16, after_ms: u64, body: &[u8], size: Size) -> Result<Fetched, String> {
        let function = self.rig.tables.token_provider.and_then(|table| table.read).expect(IS_THERE);
        let response = size.of(response(status, after_ms, body));
        // SAFETY: as in `request`.
        let answer = ask("read", || unsafe { function(self.itself, response.pointer(), FETCHED) })?;
        one("read", answer.put.fetched)
    }

    /// How many fetches a day are allowed.
    pub(super) fn fetches_per_day(&self) -> u64 {
        let function = self.rig.tables.token_provider.and_then(|table| table.fetches_per_day);
        // SAFETY: the function of the plugin's table, with what its `create` gave.
        function.map_or(0, |function| call(|| unsafe { function(self.itself) }).0)
    }

    /// What a credential source makes of a post.
    pub(super) fn admit(&self, fields: &[(&str, &str)], now_unix_ms: i64) -> Result<Said<Permit>, String> {
        let function = self.rig.tables.credential_source.and_then(|table| table.admit).expect(IS_THERE);
        let pairs: Vec<Pair> =
            fields.iter().map(|(name, value)| Pair { name: Text::of(name), value: Text::of(value) }).collect();
        let answer = ask("admit", || {
            // SAFETY: as in `request`; the pairs outlive the call.
            unsafe { function(self.itself, pairs.as_ptr(), pairs.len(), now_unix_ms, PERMIT, PROBLEMS) }
        })?;
        if answer.is_refused {
            return Ok(Err(sentence(&answer.put.problems)));
        }
        one("admit", answer.put.permits).map(Ok)
    }

    /// What a recipient has by itself; `None` where the source does not mint.
    pub(super) fn mint(&self, recipient: &str, scope: &str, now_unix_ms: i64) -> Result<Option<Minted>, String> {
        let Some(function) = self.rig.tables.credential_source.and_then(|table| table.mint) else { return Ok(None) };
        let mut next_unix_ms = 0;
        let (recipient, scope) = (Text::of(recipient), Text::of(scope));
        let answer = ask("mint", || {
            // SAFETY: as in `request`; `next_unix_ms` is a place for a number.
            unsafe { function(self.itself, recipient, scope, now_unix_ms, PERMIT, &raw mut next_unix_ms) }
        })?;
        let permit = match answer.put.permits.len() {
            0 => None,
            _ => Some(one("mint", answer.put.permits)?),
        };
        Ok(Some(Minted { permit, next_unix_ms }))
    }

    /// A template, filled in.
    pub(super) fn render(&self, parts: &[(String, Part)], data: &Value) -> Result<Said<Map<String, Value>>, String> {
        let function = self.rig.tables.renderer.and_then(|table| table.render).expect(IS_THERE);
        let fields = Fields::of_parts(parts);
        let (array, count, stride) = fields.array();
        let data = data.to_string();
        let answer = ask("render", || {
            // SAFETY: as in `request`; `fields` and `data` outlive the call.
            unsafe { function(self.itself, array, count, stride, Text::of(&data), FIELD, PROBLEMS) }
        })?;
        if answer.is_refused {
            return Ok(Err(sentence(&answer.put.problems)));
        }
        fields.rendered(answer.put.fields).map(Ok).map_err(|what| format!("`render` {what}"))
    }

    /// What a push says.
    pub(super) fn receive(&self, method: &str, query: &str, body: &[u8], size: Size) -> Result<Received, String> {
        let function = self.rig.tables.callback.and_then(|table| table.receive).expect(IS_THERE);
        let headers = [Pair { name: Text::of("content-type"), value: Text::of("application/json") }];
        let push = size.of(v1::Push {
            now_unix_ms: 1_700_000_000_000,
            method: Text::of(method),
            query: Text::of(query),
            headers: headers.as_ptr(),
            header_count: headers.len(),
            body: Bytes::of(body),
            ..empty()
        });
        // SAFETY: as in `request`; `push` and what it borrows outlive the call.
        let answer = ask("receive", || unsafe { function(self.itself, push.pointer(), EVENT, REPLY) })?;
        Ok(Received { events: answer.put.events, reply: one("receive", answer.put.replies)? })
    }

    /// Offers deliveries; says how many were taken.
    pub(super) fn submit(&self, deliveries: &[Grown<v1::Delivery>]) -> Result<usize, String> {
        let function = self.rig.tables.transport.and_then(|table| table.submit).expect(IS_THERE);
        let pointer = deliveries.as_ptr().cast();
        // SAFETY: the function of the plugin's table, with what its `create` gave; the array has that stride, and it and
        // what it borrows outlive the call.
        let taken =
            call(|| unsafe { function(self.itself, pointer, deliveries.len(), size_of::<Grown<v1::Delivery>>()) });
        match taken.0 {
            taken if taken <= deliveries.len() => Ok(taken),
            taken => Err(format!("`submit` says that it took {taken} of {} deliveries", deliveries.len())),
        }
    }

    /// Says that nobody waits for these any more; false where nobody listens.
    pub(super) fn cancel(&self, operations: &[u64]) -> bool {
        let Some(function) = self.rig.tables.transport.and_then(|table| table.cancel) else { return false };
        // SAFETY: as in `submit`.
        call(|| unsafe { function(self.itself, operations.as_ptr(), operations.len()) });
        true
    }
}
