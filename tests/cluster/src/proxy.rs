//! A way to a server over TCP that can fall silent: nothing passes any more, and nothing is closed, as when a machine loses
//! its power or a firewall forgets a connection. Both ends go on sending into nowhere.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::cluster::SOCKET;
use crate::{Cluster, ClusterError, url};

/// What is passed on at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// How a server says that a transaction is on disk (postgresql.org/docs/current/protocol-message-formats.html, CommandComplete).
const COMMITTED: &[u8] = b"COMMIT\0";

/// The way. Dropped, every connection on it is closed.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    ways: Arc<Mutex<Ways>>,
}

#[derive(Debug, Default)]
struct Ways {
    /// Connections that come are taken, and nothing passes.
    shut: bool,
    /// The next answer to a commit is the last that any of these says.
    loses_a_commit: bool,
    open: Vec<Arc<Way>>,
    ended: bool,
}

/// A connection.
#[derive(Debug)]
struct Way {
    /// Nothing passes to the server.
    deaf: AtomicBool,
    /// Nothing passes from the server.
    mute: AtomicBool,
    /// What is still said to the server before it is silent.
    left: AtomicUsize,
    client: TcpStream,
    server: End,
}

impl Way {
    /// Whether what is said to the server passes now.
    fn passes(&self) -> bool {
        let count = |left: usize| (left != usize::MAX).then(|| left.saturating_sub(1));
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) == Ok(0) {
            self.deaf.store(true, Ordering::SeqCst);
            self.mute.store(true, Ordering::SeqCst);
        }
        !self.deaf.load(Ordering::SeqCst)
    }
}

/// A server's end of a connection: at its socket, or where it speaks TLS.
#[derive(Debug)]
enum End {
    Socket(UnixStream),
    Tls(TcpStream),
}

impl End {
    fn connect(socket: &Path, tls: Option<SocketAddr>) -> io::Result<Self> {
        match tls {
            Some(address) => TcpStream::connect(address).map(End::Tls),
            None => UnixStream::connect(socket).map(End::Socket),
        }
    }

    /// One that is closed already is as good.
    fn close(&self) {
        drop(match self {
            End::Socket(stream) => stream.shutdown(Shutdown::Both),
            End::Tls(stream) => stream.shutdown(Shutdown::Both),
        });
    }
}

impl Read for &End {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            End::Socket(stream) => (&mut &*stream).read(bytes),
            End::Tls(stream) => (&mut &*stream).read(bytes),
        }
    }
}

impl Write for &End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            End::Socket(stream) => (&mut &*stream).write(bytes),
            End::Tls(stream) => (&mut &*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Proxy {
    /// A way to a server; it is open.
    ///
    /// # Errors
    ///
    /// The system has no port left.
    pub fn before(cluster: &Cluster) -> Result<Self, ClusterError> {
        Self::at(Ipv4Addr::LOCALHOST, cluster)
    }

    /// The same, which begins at an address of this machine.
    ///
    /// # Errors
    ///
    /// The system has no port left, or no such address.
    pub fn at(address: Ipv4Addr, cluster: &Cluster) -> Result<Self, ClusterError> {
        let socket = cluster.folder().join(SOCKET);
        let listener = TcpListener::bind((address, 0));
        let listener = listener.map_err(ClusterError::file("take a port of this machine for the way to", &socket))?;
        let address = listener.local_addr().map_err(ClusterError::file("ask for the port of the way to", &socket))?;
        let ways = Arc::<Mutex<Ways>>::default();
        let (shared, tls) = (Arc::clone(&ways), cluster.tls());
        thread::spawn(move || take(&listener, &socket, tls, &shared));
        Ok(Self { address, ways })
    }

    /// The address of a database behind it, straight to this port.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        url::at_port(self.address, database)
    }

    /// Has everything that is connected, and everything that comes, hear nothing any more.
    pub fn shut(&self) {
        let mut ways = self.look();
        ways.shut = true;
        for way in &ways.open {
            way.deaf.store(true, Ordering::SeqCst);
            way.mute.store(true, Ordering::SeqCst);
        }
    }

    /// Has each that is connected fall silent by itself when so much was said to its server: what is sent at once
    /// counts as one. What comes passes.
    pub fn shut_each_after(&self, said: usize) {
        for way in &self.look().open {
            way.left.store(said, Ordering::SeqCst);
        }
    }

    /// Has what comes from now on pass. What has fallen silent stays so.
    pub fn open(&self) {
        self.look().shut = false;
    }

    /// Has the next answer to a commit lost, and all that the server says behind it on the same connection.
    pub fn lose_a_commit(&self) {
        self.look().loses_a_commit = true;
    }

    /// Whether it is lost.
    #[must_use]
    pub fn has_lost_a_commit(&self) -> bool {
        !self.look().loses_a_commit
    }

    /// Closes every connection to those that asked, and none to the server: it learns of it when it next speaks to them.
    pub fn cut(&self) {
        for way in &self.look().open {
            way.deaf.store(true, Ordering::SeqCst);
            way.mute.store(true, Ordering::SeqCst);
            // One that is closed already is as good.
            drop(way.client.shutdown(Shutdown::Both));
        }
    }

    fn look(&self) -> MutexGuard<'_, Ways> {
        look(&self.ways)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut ways = self.look();
        ways.ended = true;
        for way in ways.open.drain(..) {
            drop(way.client.shutdown(Shutdown::Both));
            way.server.close();
        }
        drop(ways);
        // Whoever waits for the next to come sees that nobody does.
        drop(TcpStream::connect(self.address));
    }
}

fn look(ways: &Mutex<Ways>) -> MutexGuard<'_, Ways> {
    ways.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes those that come, until the proxy is dropped.
fn take(listener: &TcpListener, socket: &Path, tls: Option<SocketAddr>, ways: &Arc<Mutex<Ways>>) {
    for client in listener.incoming() {
        let mut at = look(ways);
        if at.ended {
            return;
        }
        // Where the server is gone, those that come are closed.
        let (Ok(client), Ok(server)) = (client, End::connect(socket, tls)) else { continue };
        let silent = || AtomicBool::new(at.shut);
        let way = Arc::new(Way { deaf: silent(), mute: silent(), left: AtomicUsize::new(usize::MAX), client, server });
        at.open.push(Arc::clone(&way));
        drop(at);
        let (asks, answers, shared) = (Arc::clone(&way), way, Arc::clone(ways));
        thread::spawn(move || {
            pass(&asks.client, &asks.server, |_| asks.passes());
            // A silent way closes nothing.
            if !asks.deaf.load(Ordering::SeqCst) {
                asks.server.close();
            }
        });
        thread::spawn(move || {
            pass(&answers.server, &answers.client, |bytes| {
                let mut ways = look(&shared);
                if ways.loses_a_commit && bytes.windows(COMMITTED.len()).any(|part| part == COMMITTED) {
                    ways.loses_a_commit = false;
                    answers.mute.store(true, Ordering::SeqCst);
                }
                !answers.mute.load(Ordering::SeqCst)
            });
            if !answers.mute.load(Ordering::SeqCst) {
                drop(answers.client.shutdown(Shutdown::Both));
            }
        });
    }
}

/// Passes on what comes, as far as it passes, until one of both is closed.
fn pass(mut from: impl Read, mut to: impl Write, passes: impl Fn(&[u8]) -> bool) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(length) = from.read(&mut chunk) {
        let bytes = &chunk[..length];
        if length == 0 || passes(bytes) && to.write_all(bytes).is_err() {
            return;
        }
    }
}
