//! `credential_source/1` in front of [`CredentialSource`].

use std::ffi::c_void;

use tidings_abi::v1::{self, Pair, Text};
use tidings_model::Timestamp;

use super::instance::{Instance, Stage, Stop, call, mixed_up};
use super::values::{Problems, pairs, put_permit, size, text};
use crate::credential::{CredentialSource, Intake};
use crate::settings::App;

pub(super) static TABLE: v1::CredentialSource = v1::CredentialSource {
    struct_size: size::<v1::CredentialSource>(),
    reserved: 0,
    admit: Some(admit),
    mint: Some(mint),
};

fn parts(instance: &Instance) -> Result<(&App, &dyn CredentialSource), Stop> {
    match instance.stage {
        Stage::CredentialSource(stage) => Ok((&instance.app, stage)),
        _ => Err(mixed_up()),
    }
}

unsafe extern "C" fn admit(
    this: *mut c_void,
    fields: *const Pair,
    field_count: usize,
    now_unix_ms: i64,
    sink: v1::PermitSink,
    problems: v1::Problems,
) -> i32 {
    // SAFETY: the host's word, by the header: what it lends is there for the call.
    unsafe {
        call(this, |instance| {
            let (app, stage) = parts(instance)?;
            let fields = pairs(fields, field_count)?;
            let intake = Intake::new(fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
            let permit = stage
                .admit(app, &intake, Timestamp(now_unix_ms))
                .map_err(|reason| Problems(problems).refuse_for(&reason))?;
            put_permit(sink, &permit);
            Ok(())
        })
    }
}

unsafe extern "C" fn mint(
    this: *mut c_void,
    recipient: Text,
    scope: Text,
    now_unix_ms: i64,
    sink: v1::PermitSink,
    next_unix_ms: *mut i64,
) -> i32 {
    // SAFETY: the host's word, by the header: what it lends is there for the call.
    unsafe {
        call(this, |instance| {
            let (app, stage) = parts(instance)?;
            let minted = stage.mint(app, text(recipient)?, text(scope)?, Timestamp(now_unix_ms));
            if let Some(permit) = &minted.permit {
                put_permit(sink, permit);
            }
            if !next_unix_ms.is_null() {
                next_unix_ms.write_unaligned(minted.next_at.map_or(0, |at| at.0));
            }
            Ok(())
        })
    }
}
