//! An app's settings as one value, and what is wrong with them.

use std::fmt;
use std::net::IpAddr;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::extension::ClientId;
use tidings_sdk::{App, Violation};

/// Encrypted after a word in the clear; the server has to offer it.
pub(crate) const STARTTLS: &str = "starttls";
/// Encrypted from the first byte.
const TLS: &str = "tls";
/// Not encrypted.
const NONE: &str = "none";
/// The words of the setting `tls`.
pub(crate) const TLS_WORDS: &[&str] = &[STARTTLS, TLS, NONE];

/// Connections one app may have to its server.
pub(crate) const CONNECTIONS_MAX: u64 = 64;

/// Characters of a name that this machine gives itself.
const HELLO_CHARS_MAX: usize = 255;

/// How a connection is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    Starttls,
    Tls,
    /// For a server on this machine only.
    None,
}

/// An account at a mail server.
pub(crate) struct Account {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: Security,
    pub(crate) login: Option<Credentials>,
    pub(crate) from: Mailbox,
    pub(crate) reply_to: Option<Mailbox>,
    pub(crate) hello: ClientId,
    pub(crate) connections: usize,
    pub(crate) ca_file: Option<String>,
}

impl Account {
    /// The account of these settings, or everything that is wrong with them.
    pub(crate) fn read(app: &App) -> Result<Account, Vec<Violation>> {
        let settings = &app.settings;
        let given = |name: &str| Some(settings.text(name)).filter(|text| !text.is_empty());
        let mut problems = Vec::new();

        let host = settings.text("host");
        if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@')) {
            problems.push(Violation::new("host", "is no name of a server, such as smtp.example.com"));
        }
        let (security, usual_port) = match settings.text("tls") {
            TLS => (Security::Tls, 465),
            NONE => (Security::None, 25),
            _ => (Security::Starttls, 587),
        };
        if security == Security::None && !is_this_machine(host) {
            let problem = "is `none`, which sends mail and password in the clear: that is for 127.0.0.1, ::1 and \
                           localhost only; another server needs `starttls` or `tls`";
            problems.push(Violation::new("tls", problem));
        }
        let port = match settings.number("port") {
            None => usual_port,
            Some(number) => u16::try_from(number).unwrap_or_else(|_| {
                problems.push(Violation::new("port", "is no port from 1 to 65535"));
                usual_port
            }),
        };
        let login = match (given("username"), given("password")) {
            (Some(username), Some(password)) => Some(Credentials::new(username.to_owned(), password.to_owned())),
            (None, None) => None,
            (Some(_), None) => {
                problems.push(Violation::new("password", "is missing; `username` is there"));
                None
            }
            (None, Some(_)) => {
                problems.push(Violation::new("username", "is missing; `password` is there"));
                None
            }
        };
        let mut mailbox = |name: &str| {
            let read = mailbox(given(name)?);
            read.map_err(|problem| problems.push(Violation::new(name, problem))).ok()
        };
        let (from, reply_to) = (mailbox("from"), mailbox("reply_to"));
        if given("from").is_none() {
            problems.push(Violation::new("from", "is missing"));
        }
        let hello = match given("hello_name") {
            None => ClientId::default(),
            Some(name) => {
                let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
                if name.len() > HELLO_CHARS_MAX || !name.chars().all(fits) {
                    problems.push(Violation::new("hello_name", "is no name of a machine, such as app1.example.com"));
                }
                ClientId::Domain(name.to_owned())
            }
        };
        let connections = settings.number("connections").unwrap_or(1).clamp(1, CONNECTIONS_MAX);
        let connections = usize::try_from(connections).unwrap_or(1);

        match from {
            Some(from) if problems.is_empty() => Ok(Account {
                host: host.to_owned(),
                port,
                security,
                login,
                from,
                reply_to,
                hello,
                connections,
                ca_file: given("ca_file").map(str::to_owned),
            }),
            _ => Err(problems),
        }
    }
}

/// Whether what goes there stays on this machine.
fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    let expected = || "is no address such as news@example.com or Shop <news@example.com>".to_owned();
    if text.chars().any(char::is_control) {
        return Err(expected());
    }
    let mailbox: Mailbox = text.parse().map_err(|_| expected())?;
    if !AsRef::<str>::as_ref(&mailbox.email).is_ascii() {
        // Not every server on the way takes others, and the mail's own id is made of it.
        return Err("has an address with characters beyond ASCII; write its domain in the form xn--…".to_owned());
    }
    Ok(mailbox)
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{PASSWORD, app};

    fn read(settings: Value) -> Result<Account, Vec<Violation>> {
        Account::read(&app(settings))
    }

    #[track_caller]
    fn check_refusal(settings: Value, field: &str, part: &str) {
        let problems = read(settings).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].field, field);
        assert!(problems[0].problem.contains(part), "{}", problems[0].problem);
    }

    #[test]
    fn the_port_is_the_usual_one_unless_it_is_given() {
        let port = |settings: Value| read(settings).unwrap().port;
        assert_eq!(port(json!({})), 587);
        assert_eq!(port(json!({"tls": "tls"})), 465);
        assert_eq!(port(json!({"tls": "none", "host": "127.0.0.1"})), 25);
        assert_eq!(port(json!({"tls": "tls", "port": 2525})), 2525);
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1"] {
            assert_eq!(read(json!({"tls": "none", "host": host})).unwrap().security, Security::None, "{host}");
        }
        for host in ["smtp.example.com", "localhost.example.com", "10.0.0.1", "0.0.0.0", "127.0.0.1.example.com"] {
            check_refusal(json!({"tls": "none", "host": host}), "tls", "in the clear");
        }
    }

    #[test]
    fn username_and_password_come_together() {
        check_refusal(json!({"password": null}), "password", "missing");
        check_refusal(json!({"username": null}), "username", "missing");
        assert!(read(json!({"username": null, "password": null})).unwrap().login.is_none());
    }

    #[test]
    fn what_is_no_address_is_told_with_its_setting() {
        for text in ["", "news", "news@", "a@example.com, b@example.com", "News <a@example.com>\r\nBcc: x@y.z"] {
            let problems = read(json!({"from": text})).unwrap_err();
            assert_eq!(problems[0].field, "from", "{text:?}");
        }
        check_refusal(json!({"reply_to": "nobody"}), "reply_to", "no address");
        check_refusal(json!({"from": "a@例子.测试"}), "from", "xn--");
    }

    #[test]
    fn a_host_and_a_name_that_are_none_are_told_together() {
        let problems = read(json!({"host": "smtp://x", "hello_name": "my machine"})).unwrap_err();
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["host", "hello_name"]);
    }

    #[test]
    fn an_account_never_shows_its_password() {
        let shown = format!("{:?} {:?}", read(json!({})).unwrap(), read(json!({"host": "", "from": "x"})).unwrap_err());
        assert!(!shown.contains(PASSWORD), "{shown}");
    }
}
