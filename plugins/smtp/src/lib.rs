//! Mail through an SMTP server: one transport, `mail`, that does its own talking.
//!
//! What the mail says and what an answer means are pure; `session` alone has sockets. It never sends twice and never
//! waits before another try: retries, rates and quotas are the engine's. The modules in reading order:
//!
//! | Module | Subject |
//! |---|---|
//! | `account` | an app's settings as one value, and what is wrong with them |
//! | `mail` | a delivery as the bytes of a mail |
//! | `session` | connections to the server, and one mail on its way |
//! | `lines` | a connection that is read line by line, so that nothing is smuggled into the encrypted part |
//! | `answer` | the one table from a step and its answer to an outcome |

mod account;

mod mail;

mod session;

mod lines;

mod answer;

#[cfg(test)]
mod testing;

use std::sync::Arc;

use serde_json::{Map, Value};
use tidings_sdk::{
    App, AsyncTransport, Asynchronous, Outcome, OwnedDelivery, Plugin, Setting, SettingKind, TransportRules, Violation,
};

use crate::account::Account;
use crate::session::Session;

const APP_SETTINGS: &[Setting] = &[
    Setting::text("host", "the SMTP server's name, as its certificate has it").required().example("smtp.example.com"),
    Setting::of(
        "port",
        SettingKind::Number { min: 1, max: 65_535 },
        "its port; 587 with `starttls`, 465 with `tls` and 25 with `none` if it is not given",
    ),
    Setting::of(
        "tls",
        SettingKind::Choice(account::TLS_WORDS),
        "`starttls` and `tls` send nothing that is not encrypted; `none` is for a server on this machine only",
    )
    .default(account::STARTTLS),
    Setting::text("username", "who logs in; nobody does if it is not given"),
    Setting::of("password", SettingKind::Secret, "the password that belongs to the username"),
    Setting::text("from", "whom the mail is from: an address, or a name with the address in angle brackets")
        .required()
        .example("Shop <news@example.com>"),
    Setting::text("reply_to", "whom an answer goes to, where that is not `from`"),
    Setting::text("hello_name", "what this machine calls itself to the server; [127.0.0.1] if it is not given"),
    Setting::of(
        "connections",
        SettingKind::Number { min: 1, max: account::CONNECTIONS_MAX },
        "connections to the server at once",
    )
    .default("8"),
    Setting::text(
        "ca_file",
        "a PEM file with the certificates to trust instead of those of the system, for a server with a private one",
    ),
];

const TEMPLATE_SETTINGS: &[Setting] = &[
    Setting::template("subject", "the subject: one line").required().example("Your order has been paid"),
    Setting::template("text", "the mail as plain text").required().example("Thank you."),
    Setting::template("html", "the same as HTML; mail programs choose one of the two"),
    Setting::of(
        "headers",
        SettingKind::TemplateTable,
        "more headers, such as List-Unsubscribe; those that say whom it is from and to cannot be set here",
    ),
];

/// The plugin `smtp`: transport `mail`.
pub fn plugin() -> Plugin {
    Plugin::new("smtp", env!("CARGO_PKG_VERSION"))
        .app_settings(APP_SETTINGS)
        .check_app(|app| Account::read(app).err().unwrap_or_default())
        .transport("mail", Asynchronous(Smtp))
}

/// The transport `mail`.
struct Smtp;

impl AsyncTransport for Smtp {
    type Session = Session;

    /// Few, for each of them waits for one of the app's connections, and its time runs.
    const IN_FLIGHT_MAX: usize = 256;

    fn rules(&self) -> TransportRules {
        TransportRules { template_settings: TEMPLATE_SETTINGS, ..TransportRules::default() }
    }

    fn check(&self, _app: &App, content: &Map<String, Value>) -> Vec<Violation> {
        mail::check(content)
    }

    fn open(&self, app: &App) -> Result<Session, Vec<Violation>> {
        Session::open(Account::read(app)?).map_err(|violation| vec![violation])
    }

    async fn send(session: Arc<Session>, delivery: OwnedDelivery) -> Outcome {
        session.send(&delivery).await
    }
}

tidings_sdk::export!(name: "smtp", roles: [transport], plugin: plugin());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_offers_one_transport() {
        let names: Vec<_> = plugin().transports.iter().map(|(name, _)| *name).collect();
        assert_eq!((plugin().name, names), ("smtp", vec!["mail"]));
    }

    #[test]
    fn an_app_needs_a_host_and_a_sender_and_a_template_its_words() {
        let required = |settings: &[Setting]| -> Vec<&str> {
            settings.iter().filter(|setting| setting.required).map(|setting| setting.name).collect()
        };
        assert_eq!(required(APP_SETTINGS), ["host", "from"]);
        assert_eq!(required(TEMPLATE_SETTINGS), ["subject", "text"]);
    }

    #[test]
    fn only_the_password_is_a_secret() {
        let secrets: Vec<_> =
            APP_SETTINGS.iter().filter(|setting| setting.kind == SettingKind::Secret).map(|it| it.name).collect();
        assert_eq!(secrets, ["password"]);
    }
}
