//! Values of the contract and values of the traits, the ones from the others.
//!
//! What comes in borrows from the host and lives for one call: the lifetimes of these functions are the caller's to
//! choose, and every caller chooses its own call. What goes out borrows from the plugin's value.

use std::time::Duration;

use serde_json::Value;
use tidings_abi::v1::{self, Bytes, Pair, Text};
use tidings_abi::{COUNT_MAX, Misshapen, array, empty, sized};
use tidings_model::Outcome;

use super::instance::Stop;
use crate::credential::Permit;
use crate::http::{Header, Request, Response};
use crate::token::Fetched;
use crate::transport::{Credential, Violation};

/// The bits of a field's kind that say what it is; the others say how it is filled in.
pub(super) const KIND_MASK: u32 = 0xff;

/// The size of a struct, as a struct says it.
pub(super) const fn size<T>() -> u32 {
    assert!(size_of::<T>() <= u32::MAX as usize);
    #[expect(clippy::cast_possible_truncation, reason = "asserted above; `try_from` is not const")]
    {
        size_of::<T>() as u32
    }
}

// ---- In

/// # Safety
///
/// As for [`Text::read`].
#[inline]
pub(super) unsafe fn text<'a>(text: Text) -> Result<&'a str, Misshapen> {
    // SAFETY: the caller's word.
    unsafe { text.read() }
}

/// # Safety
///
/// `pairs` is NULL or points to `count` pairs, and they and their texts stay as they are for `'a`.
pub(super) unsafe fn pairs<'a>(pairs: *const Pair, count: usize) -> Result<Vec<(&'a str, &'a str)>, Misshapen> {
    if count > COUNT_MAX {
        return Err(Misshapen::Count(count));
    }
    if count > 0 && pairs.is_null() {
        return Err(Misshapen::Null);
    }
    (0..count)
        .map(|index| {
            // SAFETY: inside what the caller says is there. Pairs never grow; they need not be aligned.
            unsafe {
                let pair = pairs.add(index).read_unaligned();
                Ok((text(pair.name)?, text(pair.value)?))
            }
        })
        .collect()
}

/// # Safety
///
/// As for [`sized`], and the body is there for `'a`.
pub(super) unsafe fn response<'a>(response: *const v1::Response) -> Result<Response<'a>, Stop> {
    // SAFETY: the caller's word.
    let (response, body) = unsafe {
        let response = sized(response)?;
        (response, response.body.read()?)
    };
    let status = u16::try_from(response.status)
        .map_err(|_| Stop::Failed(format!("the host sent an answer of status {}", response.status)))?;
    let retry_after = (response.retry_after_ms > 0).then(|| Duration::from_millis(response.retry_after_ms));
    Ok(Response { status, retry_after, body })
}

/// One field, its texts read.
pub(super) struct Field<'a> {
    pub(super) kind: u32,
    pub(super) key: &'a str,
    pub(super) row: &'a str,
    pub(super) value: &'a str,
}

impl Field<'_> {
    /// What it is, without how it is filled in.
    pub(super) fn what(&self) -> u32 {
        self.kind & KIND_MASK
    }

    /// The value of a field that is JSON. The error of serde_json is left out: it may quote what it read.
    pub(super) fn json(&self) -> Result<Value, Stop> {
        serde_json::from_str(self.value)
            .map_err(|_| Stop::Failed(format!("the host sent the field `{}` as JSON, which it is not", self.key)))
    }

    pub(super) fn unknown(&self) -> Stop {
        Stop::Failed(format!("the host sent the field `{}` of the unknown kind {:#x}", self.key, self.kind))
    }
}

/// # Safety
///
/// As for [`array()`], and the texts stay as they are for `'a`.
pub(super) unsafe fn fields<'a>(
    fields: *const v1::Field,
    count: usize,
    stride: usize,
) -> Result<impl Iterator<Item = Result<Field<'a>, Misshapen>>, Misshapen> {
    // SAFETY: the caller's word.
    let fields = unsafe { array(fields, count, stride) }?;
    Ok(fields.map(|field| {
        let field = field?;
        // SAFETY: the caller's word.
        unsafe {
            let (key, row, value) = (text(field.key)?, text(field.row)?, text(field.value)?);
            Ok(Field { kind: field.kind, key, row, value })
        }
    }))
}

/// The credential of a delivery, if one is bound.
///
/// # Safety
///
/// Its texts stay as they are for `'a`.
pub(super) unsafe fn credential<'a>(delivery: &v1::Delivery) -> Result<Option<Credential<'a>>, Misshapen> {
    // SAFETY: the caller's word.
    let (source, value) = unsafe { (text(delivery.credential_source)?, text(delivery.credential)?) };
    Ok((!source.is_empty()).then_some(Credential { source, value }))
}

// ---- Out

/// Where problems go.
pub(super) struct Problems(pub(super) v1::Problems);

impl Problems {
    pub(super) fn put(&self, field: &str, problem: &str) {
        let Some(put) = self.0.put else { return };
        // SAFETY: the host's word: its sink is there for the call this lives in; the texts are there for this one.
        unsafe { put(self.0.context, Text::of(field), Text::of(problem)) };
    }

    /// Puts each, and says that the input is at fault.
    pub(super) fn put_all(&self, violations: &[Violation]) -> Stop {
        violations.iter().for_each(|violation| self.put(&violation.field, &violation.problem));
        Stop::Refused
    }

    /// Refuses if there is anything to refuse.
    pub(super) fn refuse(&self, violations: &[Violation]) -> Result<(), Stop> {
        if violations.is_empty() { Ok(()) } else { Err(self.put_all(violations)) }
    }

    /// Refuses the whole for one reason.
    pub(super) fn refuse_for(&self, reason: &str) -> Stop {
        self.put("", reason);
        Stop::Refused
    }
}

/// Headers that need no list of their own.
const HEADERS_FEW: usize = 4;

/// Puts a request into the host's sink.
pub(super) fn put_request(sink: v1::RequestSink, request: &Request) {
    let Some(put) = sink.put else { return };
    let pair = |(name, value): &Header| Pair { name: Text::of(name), value: Text::of(value) };
    // Most requests have one header or two: no list is made for them.
    let (mut few, many): ([Pair; HEADERS_FEW], Vec<Pair>);
    let headers = if request.headers.len() <= HEADERS_FEW {
        few = [Pair { name: Text::EMPTY, value: Text::EMPTY }; HEADERS_FEW];
        few.iter_mut().zip(&request.headers).for_each(|(slot, header)| *slot = pair(header));
        &few[..request.headers.len()]
    } else {
        many = request.headers.iter().map(pair).collect();
        &many[..]
    };
    let request = v1::Request {
        method: Text::of(request.method.as_str()),
        url: Text::of(&request.url),
        headers: headers.as_ptr(),
        header_count: headers.len(),
        body: Bytes::of(&request.body),
        ..empty()
    };
    // SAFETY: the host's word: its sink is there for the call this is made in; all that is lent outlives this one.
    unsafe { put(sink.context, &raw const request) };
}

/// Puts an outcome into the host's sink.
pub(super) fn put_outcome(sink: v1::OutcomeSink, outcome: &Outcome) {
    let Some(put) = sink.put else { return };
    let outcome = outcome_out(outcome);
    // SAFETY: as for a request.
    unsafe { put(sink.context, &raw const outcome) };
}

/// Puts what a token provider read into the host's sink.
pub(super) fn put_fetched(sink: v1::FetchedSink, fetched: &Fetched) {
    let Some(put) = sink.put else { return };
    let fetched = match fetched {
        Fetched::Token { value, life } => {
            v1::Fetched { fetched: v1::FETCH_TOKEN, token: Text::of(value), life_ms: millis(*life), ..empty() }
        }
        Fetched::Retry { after, detail } => v1::Fetched {
            fetched: v1::FETCH_RETRY,
            retry_after_ms: said_millis(*after),
            detail: Text::of(detail),
            ..empty()
        },
        Fetched::QuotaExhausted { detail } => {
            v1::Fetched { fetched: v1::FETCH_QUOTA_EXHAUSTED, detail: Text::of(detail), ..empty() }
        }
        Fetched::Halt { reason } => v1::Fetched { fetched: v1::FETCH_HALT, detail: Text::of(reason), ..empty() },
    };
    // SAFETY: as for a request.
    unsafe { put(sink.context, &raw const fetched) };
}

/// Puts a permit into the host's sink.
pub(super) fn put_permit(sink: v1::PermitSink, permit: &Permit) {
    let Some(put) = sink.put else { return };
    let permit = permit_out(permit);
    // SAFETY: as for a request.
    unsafe { put(sink.context, &raw const permit) };
}

/// The permit as the contract has it: its texts are those of `permit`.
pub(super) fn permit_out(permit: &Permit) -> v1::Permit {
    v1::Permit {
        uses: permit.uses.unwrap_or(0),
        made_at_unix_ms: permit.made_at.map_or(0, |at| at.0),
        expires_at_unix_ms: permit.expires_at.map_or(0, |at| at.0),
        recipient: Text::of(&permit.recipient),
        scope: permit.scope.as_deref().map_or(Text::EMPTY, Text::of),
        value: Text::of(&permit.value),
        identity: permit.identity.as_deref().map_or(Text::EMPTY, Text::of),
        ..empty()
    }
}

/// The outcome as the contract has it: its texts are those of `outcome`.
pub(super) fn outcome_out(outcome: &Outcome) -> v1::Outcome {
    let mut out = v1::Outcome { detail: Text::of(outcome.detail()), ..empty() };
    out.outcome = match outcome {
        Outcome::Unknown { .. } => v1::UNKNOWN,
        Outcome::Accepted { provider_id } => {
            out.provider_id = provider_id.as_deref().map_or(Text::EMPTY, Text::of);
            v1::ACCEPTED
        }
        Outcome::Duplicate { .. } => v1::DUPLICATE,
        Outcome::Rejected { .. } => v1::REJECTED,
        Outcome::CredentialSpent { .. } => v1::CREDENTIAL_SPENT,
        Outcome::CredentialInvalid { .. } => v1::CREDENTIAL_INVALID,
        Outcome::RecipientGone { .. } => v1::RECIPIENT_GONE,
        Outcome::TokenRejected { .. } => v1::TOKEN_REJECTED,
        Outcome::Throttled { retry_after, .. } => {
            out.retry_after_ms = said_millis(*retry_after);
            v1::THROTTLED
        }
        Outcome::QuotaExhausted { until, .. } => {
            out.until_unix_ms = until.map_or(0, |until| until.0);
            v1::QUOTA_EXHAUSTED
        }
        Outcome::Retry { after, .. } => {
            out.retry_after_ms = said_millis(*after);
            v1::RETRY
        }
        Outcome::TemplateBroken { .. } => v1::TEMPLATE_BROKEN,
        Outcome::Halt { .. } => v1::HALT,
    };
    out
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Zero means "not said", so what was said is at least one.
fn said_millis(duration: Option<Duration>) -> u64 {
    duration.map_or(0, |duration| millis(duration).max(1))
}
