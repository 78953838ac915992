//! `http_transport/1` in front of [`HttpTransport`].

use std::ffi::c_void;

use tidings_abi::{sized, v1};

use super::content::Content;
use super::instance::{Instance, Stage, Stop, call, mixed_up};
use super::values::{Problems, credential, put_outcome, put_request, response, size, text};
use crate::settings::App;
use crate::transport::{Delivery, HttpTransport};

pub(super) static TABLE: v1::HttpTransport = v1::HttpTransport {
    struct_size: size::<v1::HttpTransport>(),
    reserved: 0,
    check: Some(check),
    request: Some(request),
    read: Some(read),
};

fn parts(instance: &mut Instance) -> Result<(&App, &dyn HttpTransport, &mut Content), Stop> {
    match instance.stage {
        Stage::HttpTransport(stage) => Ok((&instance.app, stage, &mut instance.content)),
        _ => Err(mixed_up()),
    }
}

unsafe extern "C" fn check(
    this: *mut c_void,
    fields: *const v1::Field,
    field_count: usize,
    field_stride: usize,
    problems: v1::Problems,
) -> i32 {
    // SAFETY: the host's word, by the header: what it lends is there for the call.
    unsafe {
        call(this, |instance| {
            let (app, stage, content) = parts(instance)?;
            Problems(problems).refuse(&stage.check(app, content.of(fields, field_count, field_stride)?))
        })
    }
}

unsafe extern "C" fn request(
    this: *mut c_void,
    delivery: *const v1::Delivery,
    sink: v1::RequestSink,
    problems: v1::Problems,
) -> i32 {
    // SAFETY: the host's word, by the header: what it lends is there for the call.
    unsafe {
        call(this, |instance| {
            let (app, stage, content) = parts(instance)?;
            let delivery = sized(delivery)?;
            let delivery = Delivery {
                app,
                token: text(delivery.token)?,
                credential: credential(&delivery)?,
                recipient: text(delivery.recipient)?,
                content: content.of(delivery.fields, delivery.field_count, delivery.field_stride)?,
                dedupe_id: text(delivery.dedupe_id)?,
            };
            let request = stage.request(&delivery).map_err(|reason| Problems(problems).refuse_for(&reason))?;
            put_request(sink, &request);
            Ok(())
        })
    }
}

unsafe extern "C" fn read(this: *mut c_void, answer: *const v1::Response, sink: v1::OutcomeSink) -> i32 {
    // SAFETY: the host's word, by the header: what it lends is there for the call.
    unsafe {
        call(this, |instance| {
            let (app, stage, _) = parts(instance)?;
            put_outcome(sink, &stage.read(app, &response(answer)?));
            Ok(())
        })
    }
}
