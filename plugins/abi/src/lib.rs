//! The mirror of `include/tidings_plugin.h`, which is the source of truth: what each thing means stands there.
//!
//! A test compiles the header and compares every size, offset and constant. Names are the header's without their
//! prefix and version: `tidings_delivery_v1` is [`v1::Delivery`].
#![expect(unsafe_code, reason = "values from the other side of the border are pointers")]
#![no_std]

mod read;
pub mod v1;

pub use read::{COUNT_MAX, Grows, Misshapen, STRIDE_MAX, array, empty, sized};
