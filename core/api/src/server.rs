//! The server: routes over an engine handle, on the local socket and over TCP.
//!
//! Whoever may open the socket's file may do everything; over TCP every call but the health checks needs an API key
//! with the call's scope, and what touches the machine's files is not offered.

mod acting;
mod body;
mod caller;
mod calls;
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

use serve::{Listener, serve};
use tidings_engine::config::ApiLimits;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use calls::Calls;
pub use openapi::document;
pub use problem::Refused;
pub use socket::{LocalSocket, SocketError};
pub use tls::{Tls, TlsError};

/// Serves on the local socket until told to stop, and takes its file away then.
pub async fn serve_socket(socket: LocalSocket, calls: Calls, limits: ApiLimits, stop: watch::Receiver<bool>) {
    let (listener, place) = socket.split();
    serve(Listener::Socket(listener), calls, limits, stop).await;
    drop(place);
}

/// Serves over TCP until told to stop, with TLS if there is one.
pub async fn serve_tcp(
    listener: TcpListener,
    calls: Calls,
    limits: ApiLimits,
    tls: Option<Tls>,
    stop: watch::Receiver<bool>,
) {
    serve(Listener::Tcp(listener, tls), calls, limits, stop).await;
}
