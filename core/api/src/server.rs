//! The server: routes over an engine handle, on the local socket and over TCP.
//!
//! Whoever may open the socket's file may do everything; over TCP every call but the health checks needs the API key,
//! and what touches the machine's files is not offered.

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
mod routes;
mod serve;

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Router};
use caller::Caller;
use serve::{Listener, serve};
use tidings_engine::EngineHandle;
use tidings_engine::config::ApiLimits;
use tidings_model::Scopes;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

pub use openapi::document;
pub use problem::Refused;

/// The routes for callers that need no key: the local socket's.
pub fn router(engine: EngineHandle, limits: ApiLimits) -> Router {
    routes::routes(engine, limits).layer(Extension(Caller::local()))
}

/// The routes for callers that must show the key.
pub fn keyed_router(engine: EngineHandle, key: &str, limits: ApiLimits) -> Router {
    let key: Arc<str> = key.into();
    routes::routes(engine, limits).layer(middleware::from_fn_with_state(key, know_caller))
}

/// Serves on the local socket until told to stop. A socket left by a crash is replaced; the store's lock has shown by
/// then that no other engine is there.
pub async fn serve_socket(
    path: &Path,
    router: Router,
    limits: ApiLimits,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    remove_old_socket(path)?;
    let listener = UnixListener::bind(path)?;
    only_for_owner(path)?;
    serve(Listener::Socket(listener), router, limits, stop).await
}

/// Removes what a crash left, if it is a socket: a slip in config must not cost a file.
fn remove_old_socket(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("`{}` is there and is no socket", path.display())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Serves over TCP until told to stop.
pub async fn serve_tcp(
    listener: TcpListener,
    router: Router,
    limits: ApiLimits,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    serve(Listener::Tcp(listener), router, limits, stop).await
}

fn only_for_owner(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

/// Knows a caller by the key that is shown. A call without a right key goes on without a caller, to what is open to
/// anybody.
async fn know_caller(State(key): State<Arc<str>>, mut request: Request, next: Next) -> Response {
    let shown = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if shown.is_some_and(|shown| same(shown.as_bytes(), key.as_bytes())) {
        let caller = Caller { name: "api.key".into(), scopes: Scopes::ALL, local: false };
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

/// Compares in a time that does not tell how much is right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_only_as_a_whole() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"abc", b"ab") && !same(b"", b"a"));
    }
}
