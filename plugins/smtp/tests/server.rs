//! The transport against a real SMTP server, aiosmtpd, which the tests install from PyPI into `target/tmp`.

#![expect(clippy::unwrap_used, reason = "what helps a test may panic as the test may")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tidings_sdk::{App, Carrier, Outcome, OwnedDelivery, Pending, Settings};

/// The server's version.
const AIOSMTPD: &str = "1.4.6";

/// Every answer and every event within this, or the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

const PASSWORD: &str = "CANARY-password";

fn tmp() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// The Python that has the server, made once and kept.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let venv = tmp().join("smtp-server");
        let python = venv.join("bin/python");
        let has_server = |python: &Path| {
            let mut look = Command::new(python);
            look.args(["-c", &format!("import aiosmtpd; assert aiosmtpd.__version__ == '{AIOSMTPD}'")]);
            look.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        if !has_server(&python) {
            must(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
            must(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).arg(format!("aiosmtpd=={AIOSMTPD}")));
        }
        python
    })
}

/// These tests never pass by being left out.
fn must(command: &mut Command) {
    let needed = format!(
        "the SMTP server of this test cannot be installed: it needs python3 with venv and pip (Debian: `apt-get install \
         python3 python3-venv`) and aiosmtpd {AIOSMTPD} from PyPI"
    );
    let output = command.output().unwrap_or_else(|error| panic!("{needed}; {command:?}: {error}"));
    assert!(output.status.success(), "{needed}; {command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The files of a certificate and its key.
type Certificate = (PathBuf, PathBuf);

/// The server's certificate.
fn certificate() -> &'static Certificate {
    static FILES: OnceLock<Certificate> = OnceLock::new();
    FILES.get_or_init(|| self_signed("server"))
}

/// A certificate for `localhost` that nobody has signed but itself.
fn self_signed(name: &str) -> Certificate {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |part: &str| tmp().join(format!("smtp-{}-{name}-{part}.pem", std::process::id()));
    let files = (file("certificate"), file("key"));
    std::fs::write(&files.0, made.cert.pem()).unwrap();
    std::fs::write(&files.1, made.signing_key.serialize_pem()).unwrap();
    files
}

/// The server, for as long as this is there.
struct Server {
    process: Child,
    /// Its end is the server's end, if the tests are killed.
    stdin: Option<ChildStdin>,
    events: Receiver<Value>,
    /// What it complains of.
    log: PathBuf,
    security: &'static str,
    port: u64,
}

impl Server {
    fn start(security: &'static str, more: &[&str]) -> Server {
        let mut command = Command::new(python());
        command
            .args(["-W", "ignore"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server.py"))
            .arg(security)
            .args(more);
        if security != "none" {
            let (certificate, key) = certificate();
            command.arg("--certificate").arg(certificate).arg("--key").arg(key);
        }
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = tmp().join(format!("smtp-{}-server-{number}.log", std::process::id()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut process = command.spawn().unwrap();
        let (sender, events) = channel();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // Ends with the server's output.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Ok(event) = serde_json::from_str(&line) else { continue };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let stdin = process.stdin.take();
        let mut server = Server { process, stdin, events, log, security, port: 0 };
        server.port = server.event("port")["port"].as_u64().unwrap();
        server
    }

    /// The next event of that kind; those before it are passed over.
    fn event(&self, kind: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).unwrap_or_else(|_| {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                panic!("the server never told of `{kind}`; its log: {log}")
            });
            if event["event"] == kind || event.get(kind).is_some() {
                return event;
            }
        }
    }

    /// Ends the server, and counts what it told that nobody has looked at.
    fn end(mut self, kind: &str) -> usize {
        drop(self.stdin.take());
        let end = Instant::now() + PATIENCE;
        let mut count = 0;
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) => count += usize::from(event["event"] == kind),
                Err(RecvTimeoutError::Disconnected) => return count,
                Err(RecvTimeoutError::Timeout) => panic!("the server does not end"),
            }
        }
    }

    fn settings(&self) -> Map<String, Value> {
        let tls = if self.security == "inject" { "starttls" } else { self.security };
        let mut settings = json!({
            "host": "localhost", "port": self.port, "tls": tls, "from": "Shop <news@example.com>", "connections": 1,
        });
        if self.security != "none" {
            settings["ca_file"] = certificate().0.to_str().unwrap().into();
        }
        object(settings)
    }

    fn app(&self) -> Mailer {
        Mailer::open(self.settings())
    }

    fn app_with(&self, more: Value) -> Mailer {
        let mut settings = self.settings();
        settings.extend(object(more));
        settings.retain(|_, value| !value.is_null());
        Mailer::open(settings)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
        drop(std::fs::remove_file(&self.log));
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// The transport, opened for an app.
struct Mailer {
    carrier: Box<dyn Carrier>,
    submitted: u64,
}

impl Mailer {
    fn open(settings: Map<String, Value>) -> Mailer {
        let app = App { name: "shop".into(), settings: Settings::new(settings) };
        let plugin = tidings_smtp::plugin();
        assert_eq!((plugin.check_app)(&app), []);
        let carrier = plugin.transports[0].1.open(&app).unwrap_or_else(|problems| panic!("{problems:?}"));
        Mailer { carrier, submitted: 0 }
    }

    fn send(&mut self, recipient: &str) -> Outcome {
        self.send_within(recipient, PATIENCE)
    }

    fn send_within(&mut self, recipient: &str, timeout: Duration) -> Outcome {
        let (sender, answers) = channel();
        self.submit(recipient, timeout, sender);
        answers.recv_timeout(PATIENCE).expect("an answer in time")
    }

    fn submit(&mut self, recipient: &str, timeout: Duration, answers: Sender<Outcome>) {
        let delivery = OwnedDelivery {
            recipient: format!("{recipient}@example.org"),
            content: object(json!({"subject": "您的订单已付款", "text": "Hello,\n.\nthe line above is a dot.\n"})),
            dedupe_id: format!("tidings-1-{recipient}"),
            timeout,
            ..OwnedDelivery::default()
        };
        let answer = Box::new(move |outcome| answers.send(outcome).unwrap_or_default());
        self.submitted += 1;
        self.carrier.submit(Pending::new(self.submitted, delivery, answer)).expect("there is room");
    }
}

fn accepted(recipient: &str) -> Outcome {
    Outcome::Accepted { provider_id: Some(format!("<tidings-1-{recipient}@example.com>")) }
}

#[track_caller]
fn check(outcome: &Outcome, name: &str, part: &str) {
    assert_eq!(outcome.name(), name, "{outcome:?}");
    assert!(outcome.detail().contains(part), "{outcome:?}");
    assert!(!outcome.detail().contains(PASSWORD), "{outcome:?}");
}

/// The mail arrived as it was meant, dot and all.
#[track_caller]
fn check_mail(mail: &Value, recipient: &str) {
    assert_eq!(mail["sender"], "news@example.com");
    assert_eq!(mail["recipient"], format!("{recipient}@example.org"));
    let content = mail["content"].as_str().unwrap();
    let (head, body) = content.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Message-ID: <tidings-1-{recipient}@example.com>")), "{head}");
    assert!(head.contains("Subject: =?utf-8?b?5oKo55qE6K6i5Y2V5bey5LuY5qy+?="), "{head}");
    assert!(body.starts_with("Hello,\r\n.\r\nthe line above is a dot.\r\n"), "{body:?}");
}

#[test]
fn a_mail_arrives_in_the_clear_on_this_machine() {
    let server = Server::start("none", &[]);
    assert_eq!(server.app().send("ann"), accepted("ann"));
    let mail = server.event("mail");
    check_mail(&mail, "ann");
    assert_eq!(mail["encrypted"], false);
}

#[test]
fn a_mail_arrives_by_starttls_after_a_login() {
    let server = Server::start("starttls", &["--login", "shop:CANARY-password"]);
    let outcome = server.app_with(json!({"username": "shop", "password": PASSWORD})).send("ann");
    assert_eq!(outcome, accepted("ann"));
    let mail = server.event("mail");
    check_mail(&mail, "ann");
    assert_eq!((&mail["encrypted"], &mail["login"]), (&json!(true), &json!("shop")));
}

#[test]
fn a_mail_arrives_by_tls_from_the_first_byte() {
    let server = Server::start("tls", &[]);
    assert_eq!(server.app().send("ann"), accepted("ann"));
    let mail = server.event("mail");
    check_mail(&mail, "ann");
    assert_eq!(mail["encrypted"], true);
}

#[test]
fn a_wrong_password_stops_the_app() {
    let server = Server::start("starttls", &["--login", "shop:right"]);
    let outcome = server.app_with(json!({"username": "shop", "password": PASSWORD})).send("ann");
    check(&outcome, "halt", "535");
}

#[test]
fn a_login_that_is_missing_stops_the_app() {
    let server = Server::start("starttls", &["--login", "shop:right"]);
    check(&server.app().send("ann"), "halt", "530");
}

#[test]
fn a_login_that_the_server_does_not_know_stops_the_app() {
    let server = Server::start("tls", &[]);
    let outcome = server.app_with(json!({"username": "shop", "password": PASSWORD})).send("ann");
    check(&outcome, "halt", "no login");
}

#[test]
fn a_certificate_of_nobody_known_is_not_trusted() {
    for security in ["starttls", "tls"] {
        let server = Server::start(security, &[]);
        check(&server.app_with(json!({"ca_file": null})).send("ann"), "retry", "certificate");
        let (other, _) = self_signed("other");
        check(&server.app_with(json!({"ca_file": other})).send("ann"), "retry", "certificate");
    }
}

#[test]
fn a_certificate_for_another_name_is_not_trusted() {
    for security in ["starttls", "tls"] {
        let server = Server::start(security, &[]);
        check(&server.app_with(json!({"host": "127.0.0.1"})).send("ann"), "retry", "certificate");
    }
}

#[test]
fn nothing_is_sent_in_the_clear_to_a_server_without_starttls() {
    let server = Server::start("none", &[]);
    check(&server.app_with(json!({"tls": "starttls"})).send("ann"), "halt", "STARTTLS");
    assert_eq!(server.end("mail"), 0);
}

#[test]
fn an_answer_smuggled_in_before_the_encryption_is_not_believed() {
    let server = Server::start("inject", &[]);
    check(&server.app().send("ann"), "retry", "the connection failed");
    assert_eq!(server.end("encrypted"), 0);
}

#[test]
fn each_refusal_has_its_outcome_and_the_next_mail_goes_on_on_the_same_connection() {
    let server = Server::start("none", &[]);
    let mut app = server.app();
    for (recipient, name, part) in [
        ("gone", "recipient_gone", "550 5.1.1"),
        ("relay", "rejected", "554 5.7.1 Relay"),
        ("later", "retry", "450 4.2.0"),
        ("spam", "rejected", "554 5.7.1 Message"),
        ("full", "throttled", "452 4.3.1"),
    ] {
        check(&app.send(recipient), name, part);
        assert_eq!(app.send("ann"), accepted("ann"));
    }
    assert_eq!(server.end("hello"), 1);
}

#[test]
fn an_address_beyond_ascii_goes_to_a_server_that_takes_it_and_to_no_other() {
    let server = Server::start("none", &[]);
    let mut app = server.app();
    assert_eq!(app.send("安").name(), "accepted");
    assert_eq!(server.event("mail")["recipient"], "安@example.org");
    let server = Server::start("none", &["--ascii"]);
    let mut app = server.app();
    check(&app.send("安"), "rejected", "beyond ASCII");
    assert_eq!(app.send("ann"), accepted("ann"));
}

#[test]
fn a_server_that_dies_after_the_mail_leaves_it_unknown() {
    let server = Server::start("tls", &[]);
    let mut app = server.app();
    check(&app.send("dies"), "unknown", "its answer did not come");
    check_mail(&server.event("mail"), "dies");
    assert_eq!(app.send("ann"), accepted("ann"));
}

#[test]
fn a_server_that_stalls_after_the_mail_leaves_it_unknown() {
    let server = Server::start("none", &[]);
    let mut app = server.app();
    check(&app.send_within("stalls", Duration::from_millis(1500)), "unknown", "time for this message was over");
    assert_eq!(app.send("ann"), accepted("ann"));
}

#[test]
fn a_server_that_hangs_up_or_falls_silent_before_the_mail_is_tried_again() {
    let server = Server::start("none", &[]);
    let mut app = server.app();
    check(&app.send("hangs-up"), "retry", "naming the recipient failed");
    check(&app.send_within("mute", Duration::from_millis(1500)), "retry", "naming the recipient failed");
    assert_eq!(app.send("ann"), accepted("ann"));
    assert_eq!(server.end("mail"), 1);
}

#[test]
fn a_server_that_finds_us_too_fast_makes_the_channel_wait() {
    let server = Server::start("none", &[]);
    let mut app = server.app();
    check(&app.send("fast"), "throttled", "421 4.7.0");
    assert_eq!(app.send("ann"), accepted("ann"));
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_opened_again() {
    let server = Server::start("none", &[]);
    let mut app = server.app();
    assert_eq!(app.send("closes"), accepted("closes"));
    server.event("closed");
    assert_eq!(app.send("ann"), accepted("ann"));
    server.event("hello");
    check_mail(&server.event("mail"), "ann");
}

#[test]
fn a_server_that_is_not_there_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let settings = json!({"host": "127.0.0.1", "port": port, "tls": "none", "from": "news@example.com"});
    check(&Mailer::open(object(settings)).send("ann"), "retry", "refused");
}

#[test]
fn a_name_that_is_none_is_tried_again() {
    let settings = json!({"host": "smtp.invalid", "tls": "starttls", "from": "news@example.com"});
    check(&Mailer::open(object(settings)).send("ann"), "retry", "smtp.invalid");
}

#[test]
fn many_mails_share_the_connections_there_are() {
    let server = Server::start("starttls", &[]);
    let mut app = server.app_with(json!({"connections": 3}));
    let (sender, answers) = channel();
    for _ in 0..100 {
        app.submit("ann", PATIENCE, sender.clone());
    }
    for _ in 0..100 {
        assert_eq!(answers.recv_timeout(PATIENCE), Ok(accepted("ann")));
    }
    // Each connection says hello twice: before the encryption, and inside.
    assert!(server.end("hello") <= 2 * 3);
}

#[test]
fn a_mail_that_finds_no_connection_free_waits_with_its_channel() {
    let server = Server::start("none", &[]);
    let mut app = server.app();
    let (sender, stalled) = channel();
    app.submit("mute", PATIENCE, sender);
    server.event("mute");
    check(&app.send_within("ann", Duration::from_millis(500)), "throttled", "`connections`");
    drop(app);
    assert_eq!(stalled.recv_timeout(PATIENCE).map(|outcome| outcome.name()), Ok("unknown"));
}

#[test]
fn a_file_that_holds_no_certificate_is_told_before_anything_is_sent() {
    let open = |path: &Path| {
        let settings = json!({"host": "localhost", "tls": "tls", "from": "a@b.c", "ca_file": path});
        let app = App { name: "shop".into(), settings: Settings::new(object(settings)) };
        tidings_smtp::plugin().transports[0].1.open(&app).err().expect("a refusal").remove(0)
    };
    assert_eq!(open(Path::new("/nowhere/ca.pem")).field, "ca_file");
    assert!(open(&certificate().1).problem.contains("no certificate"));
}
