//! The one table from a step and its answer to an outcome (RFC 5321 §4.2, enhanced codes of RFC 3463).
//!
//! What a code means depends on the step it answers: 550 speaks of the sender after MAIL and of the recipient after
//! RCPT. Before the mail itself was sent, nothing can have arrived; after it, only an answer says whether it did.

use tidings_sdk::Outcome;

/// Characters of the server's words that are kept.
const WORDS_MAX: usize = 400;

/// The dialogue's steps, each with one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Name, connection, encryption, greeting.
    Connect,
    /// The login.
    Login,
    /// MAIL: whom it is from.
    Sender,
    /// RCPT: whom it is to.
    Recipient,
    /// DATA: the mail is announced.
    Announcement,
    /// The mail itself, up to the dot that ends it.
    Content,
}

/// Why a step was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server said no.
    Reply(Reply),
    /// There was no answer, or none that can be read: refused, closed, timed out, not SMTP.
    Lost(String),
    /// It was not even asked: it does not offer what is needed.
    NotOffered(String),
}

/// An answer of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    /// Its words, an enhanced code in front where the server gives one.
    pub(crate) words: String,
}

impl Fault {
    /// Whether the server has closed the connection, or is about to, without a word on this very mail.
    pub(crate) fn ends_connection(&self) -> bool {
        match self {
            Fault::Reply(reply) => reply.code == SERVICE_CLOSING,
            Fault::Lost(_) => true,
            Fault::NotOffered(_) => false,
        }
    }
}

/// The server closes the connection.
const SERVICE_CLOSING: u16 = 421;

/// Codes that ask for a login, or refuse it.
const LOGIN_REFUSED: &[u16] = &[530, 534, 535, 538];
/// The same, as enhanced codes.
const LOGIN_REFUSED_ENHANCED: &[(u16, u16)] = &[(7, 8), (7, 9), (7, 11)];

/// Enhanced codes that speak of the sender's address.
const SENDER_REFUSED: &[(u16, u16)] = &[(1, 7), (1, 8)];

/// Enhanced codes that say that there is no such mailbox any more, or never was.
const MAILBOX_GONE: &[(u16, u16)] = &[(1, 0), (1, 1), (1, 2), (1, 6), (1, 10), (2, 1)];

/// Codes that may say the same, where no enhanced code says it better.
const MAILBOX_CODES: &[u16] = &[550, 551, 553];

/// What servers without enhanced codes say of a mailbox that is not there. A code alone is not enough: 550 is used for
/// policy too, and a recipient is not given up for a server's mood.
const MAILBOX_WORDS: &[&str] = &[
    "user unknown",
    "unknown user",
    "unknown recipient",
    "recipient unknown",
    "unknown mailbox",
    "mailbox unknown",
    "unknown address",
    "no such",
    "not exist",
    "doesn't exist",
    "not found",
    "no mailbox",
    "mailbox unavailable",
    "invalid recipient",
    "invalid mailbox",
    "user not local",
];

/// Enhanced codes that speak of a busy server, and not of this mail.
const BUSY: &[(u16, u16)] = &[(3, 1), (3, 2), (4, 5), (7, 28)];

/// What servers say who find us too fast, whatever code they choose for it.
const BUSY_WORDS: &[&str] = &[
    "too many connections",
    "too many messages",
    "too many mails",
    "too much mail",
    "too fast",
    "rate limit",
    "frequency limit",
    "throttl",
];

/// What a fault of a step comes to.
pub(crate) fn outcome(step: Step, fault: &Fault) -> Outcome {
    match fault {
        Fault::Reply(reply) => answered(step, reply),
        Fault::Lost(seen) if step == Step::Content => {
            Outcome::Unknown { detail: format!("the mail was sent and its answer did not come: {}", shown(seen)) }
        }
        Fault::Lost(seen) => Outcome::Retry { after: None, detail: format!("{} failed: {}", step.name(), shown(seen)) },
        Fault::NotOffered(what) if step == Step::Connect || step == Step::Login => {
            Outcome::Halt { reason: what.clone() }
        }
        Fault::NotOffered(what) => Outcome::Rejected { reason: what.clone() },
    }
}

fn answered(step: Step, reply: &Reply) -> Outcome {
    let code = reply.code;
    let enhanced = reply.enhanced();
    let is = |table: &[(u16, u16)]| enhanced.is_some_and(|code| table.contains(&code));
    let words = reply.words.to_lowercase();
    let says = |table: &[&str]| table.iter().any(|part| words.contains(part));
    let told = |meaning: &str| format!("{meaning}: {code} {}", shown(&reply.words));
    let transient = (400..500).contains(&code);
    let permanent = (500..600).contains(&code);

    if !transient && !permanent {
        // Neither yes nor no. After the mail itself that leaves it open.
        let detail = told("the server's answer has no meaning here");
        return match step {
            Step::Content => Outcome::Unknown { detail },
            _ => Outcome::Retry { after: None, detail },
        };
    }
    if LOGIN_REFUSED.contains(&code) || permanent && (is(LOGIN_REFUSED_ENHANCED) || step == Step::Login) {
        return Outcome::Halt { reason: told("the server refuses the login; check `username`, `password` and `tls`") };
    }
    if permanent && enhanced == Some((4, 5)) {
        // Large providers answer so when the day's mails are used up. As a 4xx it is congestion.
        return Outcome::QuotaExhausted { until: None, detail: told("the account's quota of mails is used up") };
    }
    let busy = code == SERVICE_CLOSING || transient && is(BUSY) || says(BUSY_WORDS);
    if busy {
        return Outcome::Throttled { retry_after: None, detail: told("the server is busy, or finds us too fast") };
    }
    if transient {
        return Outcome::Retry { after: None, detail: told("the server cannot take it now") };
    }
    match step {
        Step::Connect => Outcome::Halt { reason: told("the server does not talk to us") },
        Step::Sender if matches!(code, 552) || enhanced == Some((3, 4)) => {
            Outcome::Rejected { reason: told("the server finds the mail too large") }
        }
        // Of this mail it knows nothing but the sender, who is the same in the next one.
        Step::Sender => Outcome::Halt { reason: told("the server refuses the sender; check `from`") },
        Step::Recipient if is(SENDER_REFUSED) => {
            Outcome::Halt { reason: told("the server refuses the sender; check `from`") }
        }
        Step::Recipient | Step::Content if is(MAILBOX_GONE) => {
            Outcome::RecipientGone { detail: told("there is no such mailbox") }
        }
        Step::Recipient if enhanced.is_none() && MAILBOX_CODES.contains(&code) && says(MAILBOX_WORDS) => {
            Outcome::RecipientGone { detail: told("there is no such mailbox") }
        }
        Step::Recipient => Outcome::Rejected { reason: told("the server refuses the recipient") },
        _ => Outcome::Rejected { reason: told("the server refuses the mail") },
    }
}

impl Step {
    /// For people.
    fn name(self) -> &'static str {
        match self {
            Step::Connect => "the connection",
            Step::Login => "the login",
            Step::Sender => "naming the sender",
            Step::Recipient => "naming the recipient",
            Step::Announcement => "announcing the mail",
            Step::Content => "sending the mail",
        }
    }
}

impl Reply {
    /// Subject and detail of the enhanced code, where there is one of the same class as the code (RFC 2034).
    fn enhanced(&self) -> Option<(u16, u16)> {
        let word = self.words.split_whitespace().next()?;
        let mut parts = word.split('.');
        let mut number = || {
            let digits = parts.next().filter(|part| (1..=3).contains(&part.len()))?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u16>().ok())?
        };
        let (class, subject, detail) = (number()?, number()?, number()?);
        (parts.next().is_none() && class == self.code / 100).then_some((subject, detail))
    }
}

/// Words of others as they may be shown: one line, and not too many of them.
fn shown(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STEPS: [Step; 6] =
        [Step::Connect, Step::Login, Step::Sender, Step::Recipient, Step::Announcement, Step::Content];

    fn read(step: Step, line: &str) -> Outcome {
        let (code, words) = line.split_once(' ').unwrap();
        outcome(step, &Fault::Reply(Reply { code: code.parse().unwrap(), words: words.to_owned() }))
    }

    fn lost(step: Step) -> Outcome {
        outcome(step, &Fault::Lost("connection reset".into()))
    }

    #[test]
    fn what_servers_say_has_one_meaning_at_each_step() {
        for (step, line, expected) in [
            // Greetings.
            (Step::Connect, "421 Too many connections from your IP", "throttled"),
            (Step::Connect, "421 4.3.2 Service shutting down", "throttled"),
            (Step::Connect, "554 No SMTP service here", "halt"),
            (Step::Connect, "550 Connection frequency limited", "throttled"),
            (Step::Connect, "450 4.7.1 Client host rejected: try again", "retry"),
            // Logins.
            (Step::Login, "535 5.7.8 Username and Password not accepted", "halt"),
            (Step::Login, "535 Login Fail. Password is incorrect, login frequency limited, or system is busy", "halt"),
            (Step::Login, "534 5.7.9 Please log in via your web browser", "halt"),
            (Step::Login, "504 Unrecognized authentication type", "halt"),
            (Step::Login, "454 4.7.0 Temporary authentication failure", "retry"),
            (Step::Login, "421 4.7.0 Too many login attempts", "throttled"),
            // Senders.
            (Step::Sender, "530 5.7.0 Must issue a STARTTLS command first", "halt"),
            (Step::Sender, "530 5.5.1 Authentication Required", "halt"),
            (Step::Sender, "550 5.7.60 Client does not have permissions to send as this sender", "halt"),
            (Step::Sender, "553 sender address must match the login", "halt"),
            (Step::Sender, "501 Mail from address must be same as authorization user", "halt"),
            (Step::Sender, "552 5.3.4 Message size exceeds fixed limit", "rejected"),
            (Step::Sender, "452 4.3.1 Insufficient system storage", "throttled"),
            (Step::Sender, "451 4.4.5 System congestion", "throttled"),
            (Step::Sender, "550 5.4.5 Daily sending quota exceeded", "quota_exhausted"),
            // Recipients.
            (
                Step::Recipient,
                "550 5.1.1 <ann@example.org>: Recipient address rejected: User unknown",
                "recipient_gone",
            ),
            (Step::Recipient, "550 5.2.1 The email account that you tried to reach is disabled", "recipient_gone"),
            (Step::Recipient, "556 5.1.10 Recipient address has null MX", "recipient_gone"),
            (Step::Recipient, "550 No such user here", "recipient_gone"),
            (Step::Recipient, "550 Requested action not taken: mailbox unavailable", "recipient_gone"),
            (Step::Recipient, "551 User not local; please try <a@b>", "recipient_gone"),
            (Step::Recipient, "550 relaying denied", "rejected"),
            (Step::Recipient, "550 5.7.1 User unknown to our policy", "rejected"),
            (Step::Recipient, "554 5.7.1 Relay access denied", "rejected"),
            (Step::Recipient, "552 5.2.2 Mailbox full", "rejected"),
            (Step::Recipient, "501 5.1.3 Bad recipient address syntax", "rejected"),
            (Step::Recipient, "553 5.1.8 Sender address rejected: Domain not found", "halt"),
            (Step::Recipient, "530 5.7.0 Authentication required", "halt"),
            (Step::Recipient, "450 4.2.0 Greylisted, try again in 5 minutes", "retry"),
            (Step::Recipient, "451 4.7.1 Greylisting in action", "retry"),
            (Step::Recipient, "452 4.2.2 Mailbox full", "retry"),
            (Step::Recipient, "450 4.7.1 Error: too much mail from 192.0.2.1", "throttled"),
            (Step::Recipient, "421 4.7.28 Unusual rate of mail", "throttled"),
            // The announcement.
            (Step::Announcement, "554 5.5.1 No valid recipients", "rejected"),
            (Step::Announcement, "451 4.3.0 Queue file write error", "retry"),
            (Step::Announcement, "250 Ok", "retry"),
            // The mail.
            (Step::Content, "554 5.7.1 Spam message rejected", "rejected"),
            (Step::Content, "554 5.4.14 Too many hops", "rejected"),
            (Step::Content, "552 5.2.3 Message exceeds maximum size", "rejected"),
            (Step::Content, "550 5.1.1 User doesn't exist", "recipient_gone"),
            (Step::Content, "550 User not found", "rejected"),
            (Step::Content, "451 4.3.0 Try again later", "retry"),
            (Step::Content, "421 4.4.2 Shutting down", "throttled"),
            (Step::Content, "550 5.4.5 Daily user sending limit exceeded", "quota_exhausted"),
            (Step::Content, "354 Go ahead", "unknown"),
        ] {
            assert_eq!(read(step, line).name(), expected, "{step:?}: {line}");
        }
    }

    #[test]
    fn a_lost_connection_is_another_try_until_the_mail_itself_was_sent() {
        for step in STEPS {
            let expected = if step == Step::Content { "unknown" } else { "retry" };
            assert_eq!(lost(step).name(), expected, "{step:?}");
        }
    }

    #[test]
    fn a_server_without_what_is_needed_stops_the_app_or_one_mail() {
        let not_offered = |step| outcome(step, &Fault::NotOffered("no STARTTLS".into())).name();
        assert_eq!(not_offered(Step::Connect), "halt");
        assert_eq!(not_offered(Step::Login), "halt");
        assert_eq!(not_offered(Step::Sender), "rejected");
    }

    #[test]
    fn the_answer_stands_in_the_detail_as_one_short_line() {
        let outcome = read(Step::Recipient, &format!("550 5.1.1 no\r\nsuch {}", "x".repeat(2000)));
        assert!(outcome.detail().starts_with("there is no such mailbox: 550 5.1.1 no  such xxx"), "{outcome:?}");
        assert!(outcome.detail().len() < WORDS_MAX + 50);
    }

    #[test]
    fn an_enhanced_code_is_read_where_there_is_one() {
        let enhanced = |code, words: &str| Reply { code, words: words.into() }.enhanced();
        assert_eq!(enhanced(550, "5.1.1 no such user"), Some((1, 1)));
        assert_eq!(enhanced(550, "5.1.10"), Some((1, 10)));
        for words in ["", "no such user", "4.1.1 another class", "5.1", "5.1.1.1 more", "5.1234.1", "5.+1.1", "5..1"] {
            assert_eq!(enhanced(550, words), None, "{words}");
        }
    }

    #[test]
    fn a_connection_is_not_used_again_after_its_end() {
        let reply = |code| Fault::Reply(Reply { code, words: String::new() }).ends_connection();
        assert!(reply(421) && !reply(450) && !reply(550));
        assert!(Fault::Lost(String::new()).ends_connection());
    }

    proptest! {
        #[test]
        fn no_answer_before_the_mail_leaves_it_open_and_none_accepts(code in 200..600_u16, words in ".{0,60}") {
            for step in STEPS {
                let name = outcome(step, &Fault::Reply(Reply { code, words: words.clone() })).name();
                prop_assert_ne!(name, "accepted");
                if step != Step::Content || code >= 400 {
                    prop_assert_ne!(name, "unknown");
                }
            }
        }
    }
}
