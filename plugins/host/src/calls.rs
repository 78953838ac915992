//! The functions of each role as functions of ours: values in, values out, one crossing each.
//!
//! They run on the plugin's thread; `direct` runs them where it stands.

use std::time::Duration;

use serde_json::{Map, Value};
use tidings_abi::empty;
use tidings_abi::v1::{self, Bytes, Field, Pair, Problems, Text};
use tidings_sdk::{
    Fetched, Intake, Minted, Outcome, OwnedDelivery, Part, Permit, Push, Received, Request, Response, Timestamp,
    Violation,
};

use crate::border::{self, NO_SECRETS};
use crate::fields::Fields;
use crate::opened::{Itself, Opened};
use crate::resident::Resident;
use crate::trouble::Fault;

/// One message as it crosses.
#[derive(Clone, Copy)]
pub(crate) struct Parcel<'a> {
    pub(crate) token: &'a str,
    pub(crate) credential: Option<(&'a str, &'a str)>,
    pub(crate) recipient: &'a str,
    pub(crate) dedupe_id: &'a str,
    pub(crate) timeout: Duration,
}

impl<'a> Parcel<'a> {
    pub(crate) fn of(delivery: &'a OwnedDelivery) -> Parcel<'a> {
        Parcel {
            token: &delivery.token,
            credential: delivery.credential.as_ref().map(|(source, value)| (source.as_str(), value.as_str())),
            recipient: &delivery.recipient,
            dedupe_id: &delivery.dedupe_id,
            timeout: delivery.timeout,
        }
    }

    /// What no line of a log shows.
    fn secrets(&self) -> [&'a str; 2] {
        [self.token, self.credential.unwrap_or_default().1]
    }

    /// As the plugin reads it. It borrows the parcel's texts and the fields.
    pub(crate) fn crossing(&self, operation: u64, fields: &Fields<'_>) -> v1::Delivery {
        let (source, value) = self.credential.unwrap_or_default();
        let (fields, field_count, field_stride) = fields.array();
        v1::Delivery {
            timeout_ms: u32::try_from(self.timeout.as_millis()).unwrap_or(u32::MAX).max(1),
            operation,
            recipient: Text::of(self.recipient),
            token: Text::of(self.token),
            credential_source: Text::of(source),
            credential: Text::of(value),
            dedupe_id: Text::of(self.dedupe_id),
            fields,
            field_count,
            field_stride,
            ..empty()
        }
    }
}

type Check = unsafe extern "C" fn(*mut std::ffi::c_void, *const Field, usize, usize, Problems) -> i32;

fn check(
    resident: &'static Resident,
    itself: Itself,
    check: Option<Check>,
    content: &Map<String, Value>,
) -> Result<Vec<Violation>, Fault> {
    let Some(check) = check else { return Ok(Vec::new()) };
    let fields = Fields::of_content(content);
    let (array, count, stride) = fields.array();
    let call = |context| {
        // SAFETY: the function of the plugin's table, with what its `create` gave; `fields` outlives the call.
        unsafe { check(itself.pointer(), array, count, stride, border::problems(context)) }
    };
    match resident.ask("check", NO_SECRETS, call, |put| std::mem::take(&mut put.problems)) {
        Ok(problems) => Ok(problems),
        Err(Fault::Refused(problems)) => Ok(problems),
        Err(fault) => Err(fault),
    }
}

fn response(response: &Response<'_>) -> v1::Response {
    let millis = response.retry_after.map_or(0, |after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    v1::Response {
        status: u32::from(response.status),
        retry_after_ms: millis,
        body: Bytes::of(response.body),
        ..empty()
    }
}

fn pairs<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Pair> {
    fields.map(|(name, value)| Pair { name: Text::of(name), value: Text::of(value) }).collect()
}

/// A required function: it was seen to be there when the table was taken.
const IS_THERE: &str = "a table without its required functions was refused at load";

impl Opened<v1::HttpTransport> {
    pub(crate) fn check(&self, content: &Map<String, Value>) -> Result<Vec<Violation>, Fault> {
        check(self.resident(), self.itself, self.table.check, content)
    }

    pub(crate) fn request(&self, parcel: Parcel<'_>, content: &Map<String, Value>) -> Result<Request, Fault> {
        let function = self.table.request.expect(IS_THERE);
        let fields = Fields::of_content(content);
        let delivery = parcel.crossing(0, &fields);
        let call = |context| {
            // SAFETY: the function of the plugin's table, with what its `create` gave; `delivery` and what it borrows
            // outlive the call.
            unsafe {
                let (request, problems) = (border::request_sink(context), border::problems(context));
                function(self.itself.pointer(), &raw const delivery, request, problems)
            }
        };
        let request = self.resident().ask("request", parcel.secrets(), call, |put| put.request.take())?;
        self.resident().answered("request", request)
    }

    pub(crate) fn read(&self, answer: &Response<'_>) -> Result<Outcome, Fault> {
        let function = self.table.read.expect(IS_THERE);
        let response = response(answer);
        let call = |context| {
            // SAFETY: as in `request`.
            unsafe { function(self.itself.pointer(), &raw const response, border::outcome_sink(context)) }
        };
        let outcome = self.resident().ask("read", NO_SECRETS, call, |put| put.outcome.take())?;
        self.resident().answered("read", outcome)
    }
}

impl Opened<v1::Transport> {
    pub(crate) fn check(&self, content: &Map<String, Value>) -> Result<Vec<Violation>, Fault> {
        check(self.resident(), self.itself, self.table.check, content)
    }

    /// Offers deliveries; says how many were taken, and whether the plugin panicked over them.
    pub(crate) fn submit(&self, deliveries: &[v1::Delivery]) -> (usize, bool) {
        let function = self.table.submit.expect(IS_THERE);
        let crossed = self.resident().cross("submit", || {
            // SAFETY: the function of the plugin's table, with what its `create` gave; the array and what it borrows
            // outlive the call.
            unsafe { function(self.itself.pointer(), deliveries.as_ptr(), deliveries.len(), size_of::<v1::Delivery>()) }
        });
        if crossed.returned > deliveries.len() {
            let what = format!("took {} of {} deliveries", crossed.returned, deliveries.len());
            tracing::warn!("{}", self.resident().misshapen("submit", what));
        }
        (crossed.returned.min(deliveries.len()), crossed.panicked)
    }

    /// Says that nobody waits for this one any more.
    pub(crate) fn cancel(&self, operation: u64) {
        let Some(function) = self.table.cancel else { return };
        self.resident().cross("cancel", || {
            // SAFETY: as in `submit`.
            unsafe { function(self.itself.pointer(), &raw const operation, 1) }
        });
    }
}

impl Opened<v1::TokenProvider> {
    pub(crate) fn request(&self) -> Result<Request, Fault> {
        let function = self.table.request.expect(IS_THERE);
        let call = |context| {
            // SAFETY: the function of the plugin's table, with what its `create` gave.
            unsafe { function(self.itself.pointer(), border::request_sink(context), border::problems(context)) }
        };
        let request = self.resident().ask("request", NO_SECRETS, call, |put| put.request.take())?;
        self.resident().answered("request", request)
    }

    pub(crate) fn read(&self, answer: &Response<'_>) -> Result<Fetched, Fault> {
        let function = self.table.read.expect(IS_THERE);
        let response = response(answer);
        let call = |context| {
            // SAFETY: as in `request`; `response` and what it borrows outlive the call.
            unsafe { function(self.itself.pointer(), &raw const response, border::fetched_sink(context)) }
        };
        let fetched = self.resident().ask("read", NO_SECRETS, call, |put| put.fetched.take())?;
        self.resident().answered("read", fetched)
    }

    pub(crate) fn fetches_per_day(&self) -> Option<u32> {
        let function = self.table.fetches_per_day?;
        let crossed = self.resident().cross("fetches_per_day", || {
            // SAFETY: as in `request`.
            unsafe { function(self.itself.pointer()) }
        });
        Some(crossed.returned).filter(|fetches| *fetches > 0).map(|fetches| u32::try_from(fetches).unwrap_or(u32::MAX))
    }
}

impl Opened<v1::CredentialSource> {
    pub(crate) fn admit(&self, intake: &Intake, now: Timestamp) -> Result<Permit, Fault> {
        let function = self.table.admit.expect(IS_THERE);
        let fields = pairs(intake.fields());
        let call = |context| {
            // SAFETY: the function of the plugin's table, with what its `create` gave; `fields` outlives the call.
            unsafe {
                let (permit, problems) = (border::permit_sink(context), border::problems(context));
                function(self.itself.pointer(), fields.as_ptr(), fields.len(), now.0, permit, problems)
            }
        };
        let permit = self.resident().ask("admit", NO_SECRETS, call, |put| put.permit.take())?;
        self.resident().answered("admit", permit)
    }

    pub(crate) fn mint(&self, recipient: &str, scope: &str, now: Timestamp) -> Result<Minted, Fault> {
        let Some(function) = self.table.mint else { return Ok(Minted::default()) };
        let mut next = 0;
        let call = |context| {
            let (recipient, scope) = (Text::of(recipient), Text::of(scope));
            // SAFETY: as in `admit`; `next` is a place for a number.
            unsafe {
                let permit = border::permit_sink(context);
                function(self.itself.pointer(), recipient, scope, now.0, permit, &raw mut next)
            }
        };
        let permit = self.resident().ask("mint", NO_SECRETS, call, |put| put.permit.take())?;
        Ok(Minted { permit, next_at: (next != 0).then_some(Timestamp(next)) })
    }
}

impl Opened<v1::Renderer> {
    pub(crate) fn render(&self, parts: &[(String, Part)], data: &Value) -> Result<Map<String, Value>, Fault> {
        let function = self.table.render.expect(IS_THERE);
        let fields = Fields::of_parts(parts);
        let (array, count, stride) = fields.array();
        let data = data.to_string();
        let call = |context| {
            // SAFETY: the function of the plugin's table, with what its `create` gave; `fields` and `data` outlive the
            // call.
            unsafe {
                let (rendered, problems) = (border::field_sink(context), border::problems(context));
                function(self.itself.pointer(), array, count, stride, Text::of(&data), rendered, problems)
            }
        };
        let filled = self.resident().ask("render", NO_SECRETS, call, |put| std::mem::take(&mut put.filled))?;
        fields.rendered(filled).map_err(|what| Fault::Trouble(self.resident().misshapen("render", what)))
    }
}

impl Opened<v1::Callback> {
    pub(crate) fn receive(&self, push: &Push<'_>) -> Result<Received, Fault> {
        let function = self.table.receive.expect(IS_THERE);
        let headers = pairs(push.headers.iter().copied());
        let crossing = v1::Push {
            now_unix_ms: push.now.0,
            method: Text::of(push.method),
            query: Text::of(push.query),
            headers: headers.as_ptr(),
            header_count: headers.len(),
            body: Bytes::of(push.body),
            ..empty()
        };
        let call = |context| {
            // SAFETY: the function of the plugin's table, with what its `create` gave; `crossing` and what it borrows
            // outlive the call.
            unsafe {
                let (events, reply) = (border::event_sink(context), border::reply_sink(context));
                function(self.itself.pointer(), &raw const crossing, events, reply)
            }
        };
        let (reply, events) = self
            .resident()
            .ask("receive", NO_SECRETS, call, |put| (put.reply.take(), std::mem::take(&mut put.events)))?;
        Ok(Received { events, reply: self.resident().answered("receive", reply)? })
    }
}
