//! The accept loop, and the life of a sandbox. It is ours, over hyper, because three faults need the connection itself.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tower_service::Service;

use crate::control::Control;
use crate::limits::{ACCEPT_PAUSE_MS, CONNECTIONS_MAX, STOP_WAIT_MS};
use crate::options::Options;
use crate::push;
use crate::reply::Cut;
use crate::routes::{self, Shared};

/// A running sandbox. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    control: Control,
    // Dropping the sender is the signal to stop.
    stop: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

/// Serves on a listener, within the current runtime, until the sandbox is stopped or dropped.
pub async fn start(listener: TcpListener, options: Options) -> Sandbox {
    let address = listener.local_addr().expect("a bound listener has an address");
    let (shared, jobs) = Shared::new(options);
    let shared = Arc::new(shared);
    let control = Control::new(Arc::clone(&shared));
    let (stop, stopped) = watch::channel(());
    // It ends with the sandbox; a push that is lost then is one that nobody heard.
    drop(tokio::spawn(push::run(Arc::clone(&shared.pushes), jobs, stopped.clone())));
    let router = routes::router(shared, control.clone());
    let accepting = tokio::spawn(accept(listener, router, control.clone(), stopped));
    Sandbox { address, control, stop, accepting }
}

impl Sandbox {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client is configured with: scheme and address, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The control plane, in process.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Stops accepting, lets calls under way finish for a moment, and closes what is left.
    pub async fn stop(self) {
        drop(self.stop);
        // A panic in the loop has been reported by the runtime; there is nothing more to stop.
        self.accepting.await.unwrap_or_default();
    }
}

async fn accept(listener: TcpListener, router: Router, control: Control, mut stopped: watch::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) if control.admits_connection() => {
                    connections.spawn(serve(stream, router.clone(), stopped.clone()));
                }
                Ok((refused, _)) => drop(refused),
                // Out of file descriptors, most likely: the next accept would fail just as fast.
                Err(_) => tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await,
            },
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    // Past the deadline, dropping the set closes what is left; a sandbox has nothing to lose.
    tokio::time::timeout(Duration::from_millis(STOP_WAIT_MS), finished).await.unwrap_or_default();
}

async fn serve(stream: TcpStream, router: Router, mut stopped: watch::Receiver<()>) {
    // Replies are small and awaited: never hold one back for the next. A socket that refuses is merely slower.
    stream.set_nodelay(true).unwrap_or_default();
    let service = service_fn(move |request| answer(router.clone(), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // How a connection ends is the client's affair, or a fault's.
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stopped.changed() => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        connection.await.unwrap_or_default();
    }
}

/// An error makes hyper close the connection without a byte of reply, which is what a cut response asks for.
async fn answer(mut router: Router, request: Request<Incoming>) -> Result<Response<Body>, Closed> {
    let answered: Result<Response<Body>, Infallible> = router.call(request).await;
    let Ok(response) = answered;
    if response.extensions().get::<Cut>().is_some() { Err(Closed) } else { Ok(response) }
}

/// The connection is closed on purpose.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("connection closed by a fault")
    }
}

impl Error for Closed {}
