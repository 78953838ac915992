//! HTTP: the server over an engine handle, the client, and the wire types both share.
//!
//! Two features, so that the screen links no engine: `server` and `client`.

pub mod wire;

#[cfg(feature = "client")]
pub mod client;

#[cfg(feature = "server")]
pub mod server;
