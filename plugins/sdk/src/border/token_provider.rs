//! `token_provider/1` in front of [`TokenProvider`].

use std::ffi::c_void;

use tidings_abi::v1;

use super::instance::{Instance, Stage, Stop, call, mixed_up};
use super::values::{Problems, put_fetched, put_request, response, size};
use crate::settings::App;
use crate::token::TokenProvider;

pub(super) static TABLE: v1::TokenProvider = v1::TokenProvider {
    struct_size: size::<v1::TokenProvider>(),
    reserved: 0,
    request: Some(request),
    read: Some(read),
    fetches_per_day: Some(fetches_per_day),
};

fn parts(instance: &Instance) -> Result<(&App, &dyn TokenProvider), Stop> {
    match instance.stage {
        Stage::TokenProvider(stage) => Ok((&instance.app, stage)),
        _ => Err(mixed_up()),
    }
}

unsafe extern "C" fn request(this: *mut c_void, sink: v1::RequestSink, problems: v1::Problems) -> i32 {
    // SAFETY: the host's word, by the header.
    unsafe {
        call(this, |instance| {
            let (app, stage) = parts(instance)?;
            let request = stage.request(app).map_err(|reason| Problems(problems).refuse_for(&reason))?;
            put_request(sink, &request);
            Ok(())
        })
    }
}

unsafe extern "C" fn read(this: *mut c_void, answer: *const v1::Response, sink: v1::FetchedSink) -> i32 {
    // SAFETY: the host's word, by the header: what it lends is there for the call.
    unsafe {
        call(this, |instance| {
            let (app, stage) = parts(instance)?;
            put_fetched(sink, &stage.read(app, &response(answer)?));
            Ok(())
        })
    }
}

unsafe extern "C" fn fetches_per_day(this: *mut c_void) -> u64 {
    let mut fetches = 0;
    // SAFETY: the host's word, by the header.
    let status = unsafe {
        call(this, |instance| {
            let (app, stage) = parts(instance)?;
            fetches = stage.fetches_per_day(app).map_or(0, u64::from);
            Ok(())
        })
    };
    if status == v1::OK { fetches } else { 0 }
}
