//! The server: routes over an engine handle, on the local socket and over TCP.
//!
//! Whoever may open the socket's file may do everything; over TCP every call but the health checks needs an API key
//! with the call's scope, and what touches the machine's files is not offered.

mod acting;
mod body;
mod caller;
mod catalogue;
mod connection;
mod convert;
mod exposition;
mod idempotency;
mod intake;
mod openapi;
mod problem;
mod process;
mod rates;
mod routes;
mod serve;
mod socket;
mod timeline;
mod tls;

use std::io;
use std::path::Path;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Router};
use caller::Caller;
use serve::{Listener, serve};
use tidings_engine::EngineHandle;
use tidings_engine::config::ApiLimits;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use openapi::document;
pub use problem::Refused;
pub use tls::{Tls, TlsError};

/// The routes for callers that need no key: the local socket's.
pub fn router(engine: EngineHandle, limits: ApiLimits) -> Router {
    routes::routes(engine, limits).layer(Extension(Caller::local()))
}

/// The routes for callers that must show a key.
pub fn keyed_router(engine: EngineHandle, limits: ApiLimits) -> Router {
    routes::routes(engine.clone(), limits).layer(middleware::from_fn_with_state(engine, know_caller))
}

/// Serves on the local socket until told to stop. A socket left by a crash is replaced; the store's lock has shown by
/// then that no other engine is there.
pub async fn serve_socket(
    path: &Path,
    router: Router,
    limits: ApiLimits,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    serve(Listener::Socket(socket::bind(path)?), router, limits, stop).await
}

/// Serves over TCP until told to stop, with TLS if there is one.
pub async fn serve_tcp(
    listener: TcpListener,
    router: Router,
    limits: ApiLimits,
    tls: Option<Tls>,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    serve(Listener::Tcp(listener, tls), router, limits, stop).await
}

/// Knows a caller by the key that is shown. A call without a right key goes on without a caller, to what is open to
/// anybody.
async fn know_caller(State(engine): State<EngineHandle>, mut request: Request, next: Next) -> Response {
    let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok()).and_then(bearer);
    if let Some(holder) = shown.and_then(|key| engine.key_holder(key)) {
        request.extensions_mut().insert(Caller::keyed(holder));
    }
    next.run(request).await
}

/// The key after `Bearer`, however that is written (RFC 9110 §11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}
