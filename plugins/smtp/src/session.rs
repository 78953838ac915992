//! Connections to the server, and one mail on its way.
//!
//! The dialogue is taken step by step, because the step decides what a fault means. A connection serves one mail at a
//! time and is kept for the next one; one that breaks off in the middle is dropped with its task.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail as MailCommand, Rcpt, Rset};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use tidings_sdk::{Outcome, OwnedDelivery, Violation};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use crate::account::{Account, Security};
use crate::answer::{self, Fault, Reply, Step};
use crate::lines::LineByLine;
use crate::mail::Mail;

/// How long a mail may take where the host does not say.
const PATIENCE_DEFAULT: Duration = Duration::from_secs(60);
/// The answer comes by so much before the host's patience ends: it says more than silence.
const MARGIN_MAX: Duration = Duration::from_millis(500);
/// A connection that was not used for so long is not used again: servers close them after some minutes.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Addresses of a server's name that are tried.
const ADDRESSES_MAX: usize = 4;

/// In this order; a server that has neither cannot be logged in to.
const MECHANISMS: &[Mechanism] = &[Mechanism::Plain, Mechanism::Login];

/// What carries the mails of one app.
pub(crate) struct Session {
    account: Account,
    tls: Option<TlsParameters>,
    /// One for each connection that there may be.
    seats: Semaphore,
    /// Connections that wait for a mail, the last used at the end.
    idle: Mutex<Vec<Connection>>,
}

/// A connection between two mails.
struct Connection {
    smtp: AsyncSmtpConnection,
    /// The last mail was refused on the way, and the server still knows of it.
    is_soiled: bool,
    used_at: Instant,
}

/// A step that was not taken.
struct Failed {
    step: Step,
    fault: Fault,
}

impl Session {
    /// A session without a connection yet.
    pub(crate) fn open(account: Account) -> Result<Session, Violation> {
        let tls = match account.security {
            Security::None => None,
            Security::Starttls | Security::Tls => Some(tls(&account)?),
        };
        let seats = Semaphore::new(account.connections);
        Ok(Session { account, tls, seats, idle: Mutex::default() })
    }

    /// Sends one mail, and says what came of it.
    pub(crate) async fn send(&self, delivery: &OwnedDelivery) -> Outcome {
        let mail = match Mail::build(&self.account, delivery, SystemTime::now()) {
            Ok(mail) => mail,
            Err(reason) => return Outcome::Rejected { reason },
        };
        let patience = patience(delivery.timeout);
        let deadline = Instant::now() + patience;
        let Ok(Ok(_seat)) = timeout_at(deadline, self.seats.acquire()).await else {
            let detail = format!(
                "all {} connections to the server were busy for {patience:?}; raise `connections` or lower the \
                 channel's `in_flight`",
                self.account.connections
            );
            return Outcome::Throttled { retry_after: None, detail };
        };
        match self.converse(&mail, deadline).await {
            Ok(()) => Outcome::Accepted { provider_id: Some(mail.id) },
            Err(Failed { step, fault }) => answer::outcome(step, &fault),
        }
    }

    async fn converse(&self, mail: &Mail, deadline: Instant) -> Result<(), Failed> {
        let mut connection = self.begin(mail, deadline).await?;
        let told = connection.tell(mail, deadline).await;
        match &told {
            Ok(()) => self.keep(connection, false),
            Err(failed) if !failed.fault.ends_connection() => self.keep(connection, true),
            Err(_) => {}
        }
        told
    }

    /// A connection on which the server took the sender. One that the server has closed meanwhile is no fault of the
    /// mail's: nothing was said on it, so the next one is taken, and at last a new one.
    async fn begin(&self, mail: &Mail, deadline: Instant) -> Result<Connection, Failed> {
        while let Some(mut connection) = self.take() {
            let began = match connection.is_soiled {
                true => connection.forget(deadline).await,
                false => Ok(()),
            };
            let Ok(()) = began else { continue };
            match connection.name_sender(mail, deadline).await {
                Ok(()) => return Ok(connection),
                Err(failed) if failed.fault.ends_connection() => {}
                Err(failed) => {
                    self.keep(connection, true);
                    return Err(failed);
                }
            }
        }
        // Boxed: it is large, and needed once for many mails.
        let mut connection = Box::pin(self.connect(deadline)).await?;
        match connection.name_sender(mail, deadline).await {
            Ok(()) => Ok(connection),
            Err(failed) => {
                if !failed.fault.ends_connection() {
                    self.keep(connection, true);
                }
                Err(failed)
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle();
        idle.retain(|connection| connection.used_at.elapsed() < IDLE_MAX);
        idle.pop()
    }

    fn keep(&self, connection: Connection, is_soiled: bool) {
        self.idle().push(Connection { is_soiled, used_at: Instant::now(), ..connection });
    }

    /// A new connection, encrypted and logged in.
    async fn connect(&self, deadline: Instant) -> Result<Connection, Failed> {
        let mut smtp = within(Step::Connect, deadline, self.greet(deadline)).await?;
        if self.account.security == Security::Starttls {
            if !smtp.can_starttls() {
                let what = "the server offers no STARTTLS, and nothing is sent in the clear; if it speaks TLS from the \
                            first byte, set `tls = \"tls\"`";
                return Err(Failed { step: Step::Connect, fault: Fault::NotOffered(what.to_owned()) });
            }
            let tls = self.tls.clone().expect("made in open for every security but none");
            step(Step::Connect, deadline, smtp.starttls(tls, &self.account.hello)).await?;
        }
        if let Some(login) = &self.account.login {
            let offered = smtp.server_info().get_auth_mechanism(MECHANISMS);
            let Some(mechanism) = offered else {
                let what = "the server offers no login with PLAIN or LOGIN; leave `username` and `password` out if it \
                            needs none";
                return Err(Failed { step: Step::Login, fault: Fault::NotOffered(what.to_owned()) });
            };
            step(Step::Login, deadline, smtp.auth(&[mechanism], login)).await?;
        }
        Ok(Connection { smtp, is_soiled: false, used_at: Instant::now() })
    }

    /// From the server's name to its greeting.
    async fn greet(&self, deadline: Instant) -> Result<AsyncSmtpConnection, Fault> {
        let Account { host, port, hello, security, .. } = &self.account;
        let lost = |error: io::Error| Fault::Lost(format!("{host}:{port}: {error}"));
        let addresses: Vec<SocketAddr> =
            lookup_host((host.as_str(), *port)).await.map_err(lost)?.take(ADDRESSES_MAX).collect();
        // An address that swallows everything leaves time for the next one.
        let share =
            deadline.saturating_duration_since(Instant::now()) / u32::try_from(addresses.len() + 1).unwrap_or(1);
        let greeted = match security {
            Security::Tls => {
                let tls = self.tls.clone();
                AsyncSmtpConnection::connect_tokio1(&*addresses, Some(share), hello, tls, None).await
            }
            Security::Starttls | Security::None => {
                let stream = LineByLine::new(dial(&addresses, share).await.map_err(lost)?);
                AsyncSmtpConnection::connect_with_transport(Box::new(stream), hello).await
            }
        };
        greeted.map_err(fault)
    }
}

impl Connection {
    async fn forget(&mut self, deadline: Instant) -> Result<(), Failed> {
        step(Step::Sender, deadline, self.smtp.command(Rset)).await.map(drop)
    }

    async fn name_sender(&mut self, mail: &Mail, deadline: Instant) -> Result<(), Failed> {
        let mut parameters = Vec::new();
        if mail.needs_utf8() {
            if !self.smtp.server_info().supports_feature(Extension::SmtpUtfEight) {
                let what = "the recipient's address has characters beyond ASCII, which the server does not take";
                return Err(Failed { step: Step::Sender, fault: Fault::NotOffered(what.to_owned()) });
            }
            parameters.push(MailParameter::SmtpUtfEight);
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let command = MailCommand::new(Some(mail.from.clone()), parameters);
        step(Step::Sender, deadline, self.smtp.command(command)).await.map(drop)
    }

    /// Everything after the sender.
    async fn tell(&mut self, mail: &Mail, deadline: Instant) -> Result<(), Failed> {
        let command = Rcpt::new(mail.to.clone(), Vec::new());
        step(Step::Recipient, deadline, self.smtp.command(command)).await?;
        let announced = step(Step::Announcement, deadline, self.smtp.command(Data)).await?;
        if !announced.has_code(GO_AHEAD) {
            return Err(Failed { step: Step::Announcement, fault: Fault::Reply(reply(&announced)) });
        }
        // In one write: in two, the dot would wait for the server's acknowledgement of what is before it.
        let told = step(Step::Content, deadline, self.smtp.command(mail.to_wire())).await?;
        if u16::from(told.code()) >= 300 {
            return Err(Failed { step: Step::Content, fault: Fault::Reply(reply(&told)) });
        }
        Ok(())
    }
}

/// The answer to DATA: the mail may follow.
const GO_AHEAD: u16 = 354;

/// One step, or what kept it from being taken.
async fn step<T>(step: Step, deadline: Instant, action: impl Future<Output = Result<T, Error>>) -> Result<T, Failed> {
    within(step, deadline, async { action.await.map_err(fault) }).await
}

async fn within<T>(step: Step, deadline: Instant, action: impl Future<Output = Result<T, Fault>>) -> Result<T, Failed> {
    match timeout_at(deadline, action).await {
        Ok(taken) => taken.map_err(|fault| Failed { step, fault }),
        Err(_) => Err(Failed { step, fault: Fault::Lost("the time for this message was over".to_owned()) }),
    }
}

fn fault(error: Error) -> Fault {
    let words = || std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    match error.status() {
        Some(code) => Fault::Reply(Reply { code: code.into(), words: words() }),
        None => Fault::Lost(error.to_string()),
    }
}

fn reply(response: &Response) -> Reply {
    Reply { code: response.code().into(), words: response.message().collect::<Vec<_>>().join(" ") }
}

/// The first of these addresses that takes a connection.
async fn dial(addresses: &[SocketAddr], share: Duration) -> io::Result<TcpStream> {
    let mut seen = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => seen = error,
            Err(_) => seen = io::Error::new(io::ErrorKind::TimedOut, "no answer to the connection"),
        }
    }
    Err(seen)
}

/// Whom to trust.
fn tls(account: &Account) -> Result<TlsParameters, Violation> {
    let mut builder = TlsParametersBuilder::new(account.host.clone());
    if let Some(path) = &account.ca_file {
        let problem = |problem: String| Violation::new("ca_file", problem);
        let pem = std::fs::read(path).map_err(|error| problem(format!("cannot be read: {error}")))?;
        let certificate = Certificate::from_pem(&pem).map_err(|_| problem("has a certificate that is none".into()))?;
        if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
            return Err(problem("has no certificate; PEM is expected".into()));
        }
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| Violation::new("tls", format!("cannot be set up: {error}")))
}

/// How long a mail may take, so that its answer is heard.
fn patience(timeout: Duration) -> Duration {
    match timeout {
        Duration::ZERO => PATIENCE_DEFAULT,
        timeout => timeout - (timeout / 10).min(MARGIN_MAX),
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("account", &self.account).finish_non_exhaustive()
    }
}
