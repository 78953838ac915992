//! The border from the host's side: a plugin of every role, exported into this program, called as a host calls it.
#![expect(unsafe_code, reason = "this is the other side of the border: pointers")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod calls;
mod host;
mod plugin;
mod roles;
mod submits;

use plugin::plugin;

tidings_sdk::export!(
    name: "probe",
    roles: [token_provider, credential_source, renderer, http_transport, transport, callback],
    // By its bare name, as most authors have it: the macro once had a function `plugin` of its own, which called itself.
    plugin: plugin(),
);
