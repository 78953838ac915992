//! `callback/1` in front of [`crate::Callback`].

use std::ffi::c_void;
use std::ptr;

use tidings_abi::v1::{self, Bytes, Text};
use tidings_abi::{empty, sized};
use tidings_model::Timestamp;

use super::instance::{Stage, call, mixed_up};
use super::values::{pairs, permit_out, size, text};
use crate::callback::{Push, PushEvent, Reply};

pub(super) static TABLE: v1::Callback =
    v1::Callback { struct_size: size::<v1::Callback>(), reserved: 0, receive: Some(receive) };

unsafe extern "C" fn receive(
    this: *mut c_void,
    push: *const v1::Push,
    events: v1::EventSink,
    reply: v1::ReplySink,
) -> i32 {
    // SAFETY: the host's word, by the header: what it lends is there for the call.
    unsafe {
        call(this, |instance| {
            let Stage::Callback(stage) = instance.stage else { return Err(mixed_up()) };
            let push = sized(push)?;
            let push = Push {
                now: Timestamp(push.now_unix_ms),
                method: text(push.method)?,
                query: text(push.query)?,
                headers: &pairs(push.headers, push.header_count)?,
                body: push.body.read()?,
            };
            let received = stage.receive(&instance.app, &push);
            received.events.iter().for_each(|event| put_event(events, event));
            put_reply(reply, &received.reply);
            Ok(())
        })
    }
}

fn put_event(sink: v1::EventSink, event: &PushEvent) {
    let Some(put) = sink.put else { return };
    let permit = match event {
        PushEvent::Permit { permit, .. } | PushEvent::Refusal { permit, .. } => Some(permit_out(permit)),
        PushEvent::Delivered { .. } | PushEvent::Failed { .. } => None,
    };
    let pointer = permit.as_ref().map_or(ptr::null(), ptr::from_ref);
    let event = match event {
        PushEvent::Permit { source, .. } => {
            v1::Event { event: v1::EVENT_PERMIT, source: Text::of(source), permit: pointer, ..empty() }
        }
        PushEvent::Refusal { source, .. } => {
            v1::Event { event: v1::EVENT_REFUSAL, source: Text::of(source), permit: pointer, ..empty() }
        }
        PushEvent::Delivered { provider_id } => {
            v1::Event { event: v1::EVENT_DELIVERED, provider_id: Text::of(provider_id), ..empty() }
        }
        PushEvent::Failed { provider_id, detail } => v1::Event {
            event: v1::EVENT_FAILED,
            provider_id: Text::of(provider_id),
            detail: Text::of(detail),
            ..empty()
        },
    };
    // SAFETY: the host's word: its sink is there for the call this is made in; texts and permit outlive this one.
    unsafe { put(sink.context, &raw const event) };
}

fn put_reply(sink: v1::ReplySink, reply: &Reply) {
    let Some(put) = sink.put else { return };
    let reply = v1::Reply {
        status: u32::from(reply.status),
        content_type: Text::of(&reply.content_type),
        body: Bytes::of(&reply.body),
        ..empty()
    };
    // SAFETY: as for an event.
    unsafe { put(sink.context, &raw const reply) };
}
