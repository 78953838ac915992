//! The one table from WeChat's error codes to outcomes (§7), and the words that go with them.
//!
//! Nothing else in this plugin looks at a number. What a code leads to in the engine is decided by
//! `tidings_model::settle`; here it is only given its outcome.

use std::net::IpAddr;
use std::time::Duration;

use tidings_sdk::Outcome;

/// Which call was answered: 40001 means the secret at one and the token at the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// `/cgi-bin/stable_token` and `/cgi-bin/token`.
    Token,
    /// `/cgi-bin/message/subscribe/send`.
    Subscribe,
    /// `/cgi-bin/message/template/send`.
    OfficialTemplate,
    /// `/cgi-bin/message/wxopen/template/send`.
    Template,
}

impl Call {
    /// Whether there is a credential to blame.
    fn has_credential(self) -> bool {
        matches!(self, Call::Subscribe | Call::Template)
    }
}

/// What the answer `errcode` to `call` means. `errcode` is not 0.
pub(crate) fn classify(call: Call, errcode: i64, errmsg: &str) -> Outcome {
    let row = TABLE.iter().find(|row| row.covers(call, errcode));
    let action = row.map_or(Action::GiveUp, |row| row.action);
    let detail = describe(errcode, row.map_or("a code nobody here knows", |row| row.meaning), errmsg, action);
    match action {
        Action::NewToken => Outcome::TokenRejected { detail },
        Action::Retry => Outcome::Retry { after: None, detail },
        Action::RetryAfter(wait) => Outcome::Retry { after: Some(wait), detail },
        Action::Throttle(wait) => Outcome::Throttled { retry_after: Some(wait), detail },
        // Without a credential, "take another" would go round for ever.
        Action::Spent | Action::Invalid if !call.has_credential() => Outcome::Rejected { reason: detail },
        Action::Spent => Outcome::CredentialSpent { detail },
        Action::Invalid => Outcome::CredentialInvalid { detail },
        Action::GiveUp => Outcome::Rejected { reason: detail },
        Action::GiveUpRecipient => Outcome::RecipientGone { detail },
        Action::StopTemplate => Outcome::TemplateBroken { detail },
        Action::StopApp(_) => Outcome::Halt { reason: detail },
        Action::Quota => Outcome::QuotaExhausted { until: None, detail },
        Action::Duplicate => Outcome::Duplicate { detail },
    }
}

/// What a sender does; the letters are those of §7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// R: the token is refreshed, and the send tried once more.
    NewToken,
    /// B: back off and try again.
    Retry,
    /// B, and not before this has passed.
    RetryAfter(Duration),
    /// B, for the whole channel.
    Throttle(Duration),
    /// C: the credential was used up.
    Spent,
    /// C: the credential is no good.
    Invalid,
    /// G: this message cannot be sent.
    GiveUp,
    /// U: nor can any other to this recipient.
    GiveUpRecipient,
    /// T: no message of this template, until somebody mends it.
    StopTemplate,
    /// S: no message of this app until an operator did this. `{ip}` is the address WeChat saw.
    StopApp(&'static str),
    /// Q: nothing until the quota is new.
    Quota,
    /// D: WeChat has this message already.
    Duplicate,
}

/// One line of the table: what the codes from `first` to `last` mean.
#[derive(Debug)]
struct Row {
    first: i64,
    last: i64,
    at: At,
    action: Action,
    meaning: &'static str,
    /// Where the specification says so.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by people, and by the test that wants it given"))]
    section: &'static str,
}

/// At which calls a line holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Anywhere,
    Token,
    Send,
}

impl Row {
    fn covers(&self, call: Call, errcode: i64) -> bool {
        let holds = match self.at {
            At::Anywhere => true,
            At::Token => call == Call::Token,
            At::Send => call != Call::Token,
        };
        holds && (self.first..=self.last).contains(&errcode)
    }
}

const fn one(code: i64, action: Action, meaning: &'static str, section: &'static str) -> Row {
    range(code, code, action, meaning, section)
}

const fn range(first: i64, last: i64, action: Action, meaning: &'static str, section: &'static str) -> Row {
    Row { first, last, at: At::Anywhere, action, meaning, section }
}

const fn at(at: At, row: Row) -> Row {
    Row { at, ..row }
}

/// How long a recipient is left alone after "too frequent": WeChat does not publish it, §7 says minutes.
const TOO_FREQUENT: Duration = Duration::from_secs(5 * 60);
/// How long the minute limit can last.
const MINUTE: Duration = Duration::from_secs(60);

const CHECK_ACCOUNT: &str = "check `appid`, `secret` and `base_url` of the app";
const LIST_IP: &str = "add {ip} to the IP whitelist in WeChat's console, then resume the app";
const ASK_ADMIN: &str = "ask the account's administrator to confirm the request on the phone, then resume the app";
const SEE_NOTICE: &str = "read the notice in WeChat's console, settle it there, then resume the app";
const GET_PERMISSION: &str = "get the permission in WeChat's console, or use the transport of this kind of account";
const RETIRED: &str = "WeChat has retired this call for good; move its channels to `wechat.subscribe`";

use Action::{
    Duplicate, GiveUp, GiveUpRecipient, Invalid, NewToken, Quota, Retry, RetryAfter, Spent, StopApp, StopTemplate,
    Throttle,
};

#[rustfmt::skip]
const TABLE: &[Row] = &[
    one(-1, Retry, "WeChat is busy", "§7"),

    // The token.
    at(At::Token, one(40001, StopApp("correct `secret` of the app: it is wrong, or of another appid"), "the secret is refused", "§1.3")),
    at(At::Send, one(40001, NewToken, "the token is invalid or not the latest", "§1.4")),
    one(40014, NewToken, "the token is malformed or of another account", "§1.4"),
    one(42001, NewToken, "the token has expired", "§1.4"),
    one(48012, NewToken, "the token is invalid", "§1.4"),
    one(41001, GiveUp, "the request had no token: an error of ours", "§1.4"),
    one(45063, StopApp("use the transport of this kind of account"), "the token is of the wrong kind of account", "§1.4"),

    // The account.
    one(40002, StopApp(CHECK_ACCOUNT), "the grant type is refused", "§1.3"),
    one(41002, StopApp(CHECK_ACCOUNT), "the appid is missing", "§1.3"),
    one(41004, StopApp(CHECK_ACCOUNT), "the secret is missing", "§1.3"),
    one(40013, StopApp("correct `appid` of the app"), "the appid is wrong", "§1.3"),
    one(40125, StopApp("correct `secret` of the app"), "the secret is wrong", "§1.3"),
    one(40243, StopApp("unfreeze the AppSecret in WeChat's console, which takes about ten minutes, then resume the app"), "the secret is frozen", "§1.3"),
    one(40164, StopApp(LIST_IP), "the calling IP is not in the whitelist", "§1.3"),
    one(61004, StopApp(LIST_IP), "the calling IP is not in the whitelist", "§1.3"),
    one(45035, StopApp(LIST_IP), "the calling IP is not in the whitelist", "§1.3"),
    range(89501, 89502, StopApp(ASK_ADMIN), "the administrator has yet to confirm", "§1.3"),
    one(89503, StopApp(ASK_ADMIN), "the administrator has yet to confirm the calling IP", "§1.3"),
    range(89504, 89505, StopApp(ASK_ADMIN), "the administrator has yet to confirm", "§1.3"),
    one(89506, StopApp("talk to the administrator, wait 24 hours, then resume the app"), "the administrator refused the calling IP", "§1.3"),
    one(89507, StopApp("talk to the administrator, wait an hour, then resume the app"), "the administrator refused the calling IP", "§1.3"),

    // The recipient.
    one(40003, GiveUpRecipient, "the openid is wrong, of another app, or no follower's", "§7"),
    one(43004, GiveUpRecipient, "the recipient does not follow the account", "§4"),
    one(50005, GiveUpRecipient, "the recipient does not follow the account", "§4"),
    one(43006, GiveUpRecipient, "the recipient blocks the account", "§4"),
    one(43019, GiveUpRecipient, "the recipient is on the account's blacklist", "§4"),
    one(48002, GiveUpRecipient, "the recipient refuses messages", "§4"),

    // The credential.
    one(41028, Invalid, "the form_id or prepay_id is wrong, expired, or another user's", "§2"),
    one(41029, Spent, "the form_id or prepay_id was used up", "§2"),
    one(41031, Invalid, "the form_id is blocked", "§2"),
    one(43101, Invalid, "the user gave no permission, withdrew it, or has none left", "§3"),

    // The template.
    one(40036, StopTemplate, "the template_id has a wrong length", "§4"),
    one(40037, StopTemplate, "the template_id is wrong", "§7"),
    one(43116, StopTemplate, "the template is banned", "§4"),
    one(48011, StopTemplate, "the template is disabled", "§4"),
    one(43102, StopTemplate, "the template is of another kind than the call", "§7"),
    one(43105, StopTemplate, "the template is of another kind than the call", "§7"),
    // Page and mini-program stand in the template's config, so they are mended there; `url` mostly comes with the data.
    one(41030, StopTemplate, "the page is not in the released mini-program", "§3"),
    one(40165, StopTemplate, "the mini-program page is wrong", "§4"),
    one(40166, StopTemplate, "the mini-program appid is wrong or not bound to the account", "§4"),

    // The message.
    one(47003, GiveUp, "a value breaks WeChat's rule for its key", "§3"),
    one(40033, GiveUp, "the request has characters WeChat refuses: an error of ours", "§7"),
    one(40035, GiveUp, "the request has wrong parameters: an error of ours", "§7"),
    one(40038, GiveUp, "the request has a wrong form: an error of ours", "§7"),
    one(44002, GiveUp, "the request was empty: an error of ours", "§7"),
    range(47001, 47002, GiveUp, "the request is no JSON that WeChat reads: an error of ours", "§7"),
    range(43001, 43003, GiveUp, "the request went by the wrong method or scheme: an error of ours", "§7"),
    one(45002, GiveUp, "the message is too large", "§7"),
    range(45012, 45014, GiveUp, "the message is larger than its template allows", "§4"),
    one(45168, GiveUp, "a value has a word on WeChat's blacklist", "§3"),
    one(40249, GiveUp, "the message was blocked for its content", "§4"),
    one(40039, GiveUp, "the url is wrong", "§4"),
    one(40066, GiveUp, "the url is blocked", "§4"),
    one(50001, GiveUp, "the user has not authorised the call", "§7"),
    one(50002, GiveUp, "the account is limited after a violation, or the user is frozen or deleted", "§7"),
    range(45026, 45027, GiveUp, "a limit of template management, not of sending", "§4"),
    one(43100, GiveUp, "a limit of template management, not of sending", "§4"),
    one(43107, GiveUp, "perhaps a ban: not confirmed for this call", "§3"),
    one(85107, GiveUp, "listed by WeChat without a meaning", "§3"),

    // Pace and quota.
    one(43108, Retry, "another send to the same user was under way", "§3"),
    one(43117, RetryAfter(TOO_FREQUENT), "too frequent to this user", "§4"),
    one(40241, Duplicate, "the same message came within 60 seconds", "§4"),
    one(45011, Throttle(MINUTE), "the minute's limit is reached", "§6"),
    one(45009, Quota, "the day's quota is used up", "§6"),
    one(45029, Quota, "a quota is used up", "§2"),
    one(45040, Quota, "the month's quota is used up", "§6"),
    one(45104, Quota, "the domain's quota is used up", "§6"),

    // Permission and punishment.
    one(48001, StopApp(GET_PERMISSION), "the account has no permission for this call", "§4"),
    one(48008, StopApp(GET_PERMISSION), "the account may not send this type of message", "§4"),
    one(43104, StopApp(GET_PERMISSION), "the account has no permission for this call", "§7"),
    one(61007, StopApp(GET_PERMISSION), "the account has no permission for this call", "§7"),
    one(41032, StopApp(SEE_NOTICE), "sending by form_id is barred as a punishment", "§2"),
    one(41034, StopApp(SEE_NOTICE), "sending by form_id is barred as a punishment", "§2"),
    one(41035, StopApp(SEE_NOTICE), "sending by prepay_id is barred as a punishment", "§2"),
    one(43106, StopApp(SEE_NOTICE), "the account may not add templates, as a punishment", "§3"),
    one(45102, StopApp(SEE_NOTICE), "the account is blocked", "§7"),
    one(45501, StopApp(SEE_NOTICE), "the account is blocked", "§7"),
    range(48003, 48004, StopApp(SEE_NOTICE), "an agreement is not accepted, or the call is banned", "§7"),
    one(48009, StopApp(SEE_NOTICE), "the account is blocked or its permission expired", "§7"),
    one(50004, StopApp(SEE_NOTICE), "the account is barred from using a token, as a punishment", "§1.3"),
    one(200011, StopApp(SEE_NOTICE), "the account is blocked or its permission expired", "§7"),
    one(45103, StopApp(RETIRED), "the call is no longer supported", "§2"),
    one(45109, StopApp(RETIRED), "the call was withdrawn", "§2"),
];

/// Characters of a detail. The words of the table are short; it is WeChat's text that is cut.
const DETAIL_CHARS_MAX: usize = 300;

/// `meaning (errcode: errmsg); what to do [rid …]`. Two answers that differ in the rid alone differ in the bracket alone.
fn describe(errcode: i64, meaning: &str, errmsg: &str, action: Action) -> String {
    let (text, rid) = split_tail(errmsg);
    let rid = rid.map(|rid| format!(" [rid {rid}]")).unwrap_or_default();
    let remedy = match action {
        Action::StopApp(remedy) => format!("; {}", remedy.replace("{ip}", &seen_ip(text))),
        _ => String::new(),
    };
    let text = clean(text);
    let fixed = format!("{meaning} ({errcode}: ){remedy}{rid}").chars().count();
    match cut(&text, DETAIL_CHARS_MAX.saturating_sub(fixed)) {
        text if text.is_empty() => format!("{meaning} ({errcode}){remedy}{rid}"),
        text => format!("{meaning} ({errcode}: {text}){remedy}{rid}"),
    }
}

/// Parts the words of an errmsg from its end, which is another at every call: `rid: x-y` or, older, `hint: [x]` (§0).
fn split_tail(errmsg: &str) -> (&str, Option<String>) {
    let tag = |tag: &str| {
        let is_word = |at: &usize| !errmsg[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        errmsg.rmatch_indices(tag).map(|(at, _)| at).find(is_word)
    };
    let ends = [tag("rid:"), tag("hint:"), tag("hints:")];
    let end = ends.into_iter().flatten().min().unwrap_or(errmsg.len());
    let rid = tag("rid:").map(|at| {
        let rid = errmsg[at + "rid:".len()..].trim_start().chars();
        rid.take_while(|c| is_token_char(*c)).collect::<String>()
    });
    let text = errmsg[..end].trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ';'));
    (text, rid.filter(|rid| !rid.is_empty() && rid.len() < TOKEN_CHARS_MIN))
}

/// The first IP address in the words, as people write it.
fn seen_ip(errmsg: &str) -> String {
    let words = errmsg.split(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':')));
    let address = words.filter_map(|word| word.trim_end_matches(['.', ':']).parse::<IpAddr>().ok()).next();
    address.map_or_else(|| "the address of this machine".to_owned(), |ip| ip.to_canonical().to_string())
}

/// A provider's text, fit for people: one line, nothing that moves a terminal, nothing that looks like a token.
pub(crate) fn clean(text: &str) -> String {
    let visible: String = text.chars().filter_map(visible).collect();
    let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&redact(&line), DETAIL_CHARS_MAX)
}

/// Control characters part words; those that only change the direction or the look of a text are left out.
fn visible(c: char) -> Option<char> {
    match c {
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => None,
        c if c.is_control() => Some(' '),
        c => Some(c),
    }
}

/// The shortest run of characters that is taken for a token: theirs have more than a hundred, template ids 43.
const TOKEN_CHARS_MIN: usize = 64;

/// Puts `…` for what stands after `access_token=` or `secret=`, and for whatever is as long as a token.
fn redact(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    let mut named = false;
    while !rest.is_empty() {
        let (word, tail) = rest.split_at(rest.find(|c| !is_token_char(c)).unwrap_or(rest.len()));
        kept.push_str(if !word.is_empty() && (named || word.len() >= TOKEN_CHARS_MIN) { "…" } else { word });
        let (gap, tail) = tail.split_at(tail.find(is_token_char).unwrap_or(tail.len()));
        kept.push_str(gap);
        let is_secret = ["token", "secret"].iter().any(|name| word.to_ascii_lowercase().ends_with(name));
        named = is_secret && matches!(gap.replace(['"', ' '], "").as_str(), "=" | ":");
        rest = tail;
    }
    kept
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(1)).chain((chars_max > 0).then_some('…')).collect()
}

// The path stands here because the tests of the plugin file compile this module from elsewhere.
#[cfg(test)]
#[path = "codes/tests.rs"]
mod tests;
