//! What WeChat pushes to us: grants given and withdrawn (§3), receipts (§3, §4), by the protocol of §5.
//!
//! Nothing is believed before it is proved: the signature of the query is checked before the body is looked at, and where
//! the app has a `callback_key`, the signature of the content and the appid inside it are checked, too. What is wrong is
//! answered with a status and a sentence, and has no event. The modules in reading order:
//!
//! | Module | Subject |
//! |---|---|
//! | `settings` | what the app says about callbacks, and what can be wrong with that |
//! | `query` | the parameters of a push |
//! | `signature` | who may have signed |
//! | `cipher` | the encrypted content |
//! | `document` | XML and JSON as one kind of tree |
//! | `events` | what the tree says |

mod settings;

mod query;

mod signature;

mod cipher;

mod document;

mod events;

use std::time::Duration;

use tidings_sdk::{App, Callback, Push, PushEvent, Received, Reply, Timestamp};

use document::Document;
use query::Query;
use settings::Mode;
pub(crate) use settings::{CALLBACK_KEY, CALLBACK_MODE, CALLBACK_TOKEN, MODES, SECURE, check};

/// The name of this stage.
pub(crate) const PUSH: &str = "push";

/// Bytes of a push. The largest that count name a user and a few templates; an encrypted one is three times as long.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How far the time that was signed may be from ours. WeChat gives up after three tries of five seconds each; the rest is
/// for clocks that differ. Within it a copy of a push is taken again, and recognised by what it says.
const TIMESTAMP_AGE_MAX: Duration = Duration::from_secs(300);

/// What a push is acknowledged with (§5).
const ACKNOWLEDGED: &str = "success";

/// The pushes of one mini-program or service account.
pub(crate) struct Pushes;

impl Callback for Pushes {
    fn receive(&self, app: &App, push: &Push<'_>) -> Received {
        let (status, answer, events) = match read(app, push) {
            Ok((answer, events)) => (200, answer, events),
            Err(Refused { status, why }) => (status, why, Vec::new()),
        };
        let content_type = "text/plain; charset=utf-8".to_owned();
        Received { events, reply: Reply { status, content_type, body: answer.into_bytes() } }
    }
}

/// A push that is not taken: the status of its answer, and why.
#[derive(Debug)]
struct Refused {
    status: u16,
    why: String,
}

impl Refused {
    /// Not what §5 says a push is.
    fn malformed(why: impl Into<String>) -> Refused {
        Refused { status: 400, why: why.into() }
    }

    /// Not proved to be from WeChat.
    fn unproved(why: impl Into<String>) -> Refused {
        Refused { status: 401, why: why.into() }
    }
}

/// The answer to a push and what it tells.
fn read(app: &App, push: &Push<'_>) -> Result<(String, Vec<PushEvent>), Refused> {
    let Some(token) = settings::token(app) else {
        let why = format!("app `{}` takes no callbacks: it has no `{CALLBACK_TOKEN}`", app.name);
        return Err(Refused { status: 404, why });
    };
    let query = Query::parse(push.query)?;
    if !matches!(push.method, "GET" | "POST") {
        return Err(Refused { status: 405, why: format!("WeChat pushes by GET and POST, this is {}", push.method) });
    }
    if push.body.len() > BODY_BYTES_MAX {
        let why = format!("the push has {} bytes; at most {BODY_BYTES_MAX} are read", push.body.len());
        return Err(Refused { status: 413, why });
    }
    prove(token, &query, push.now)?;
    if push.method == "GET" {
        // Verbatim in every mode: mini-programs and service accounts send it in the clear.
        return Ok((query.required("echostr")?.to_owned(), Vec::new()));
    }
    let document = content(app, token, &query, Document::parse(push.body)?)?;
    Ok((ACKNOWLEDGED.to_owned(), events::read(&document)?))
}

/// The signature of the query, over the token and a time that is not long ago.
fn prove(token: &str, query: &Query, now: Timestamp) -> Result<(), Refused> {
    let (timestamp, nonce) = (query.required("timestamp")?, query.required("nonce")?);
    if !signature::is_of(query.required("signature")?, &mut [token, timestamp, nonce]) {
        return Err(Refused::unproved(format!("`signature` is not made with the app's `{CALLBACK_TOKEN}`")));
    }
    let signed_at = timestamp.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1000));
    let age = signed_at.map(|at| at.abs_diff(now.0));
    match age {
        Some(age) if u128::from(age) <= TIMESTAMP_AGE_MAX.as_millis() => Ok(()),
        _ => Err(Refused::unproved(format!(
            "`timestamp` is more than {} seconds from this machine's time",
            TIMESTAMP_AGE_MAX.as_secs()
        ))),
    }
}

/// The part of a push that counts: what is encrypted, wherever the app has the key to it.
fn content(app: &App, token: &str, query: &Query, pushed: Document) -> Result<Document, Refused> {
    let encrypted = pushed.text("Encrypt");
    match (encrypted, settings::mode(app)?) {
        (Some(encrypted), Mode::Secure(key) | Mode::Compatible(key)) => {
            let (timestamp, nonce) = (query.required("timestamp")?, query.required("nonce")?);
            let signature = query.required("msg_signature")?;
            if !signature::is_of(signature, &mut [token, timestamp, nonce, &encrypted]) {
                let why = format!("`msg_signature` is not made with the app's `{CALLBACK_TOKEN}` over this content");
                return Err(Refused::unproved(why));
            }
            let message = key.decrypt(&encrypted, app.settings.text("appid")).map_err(Refused::malformed)?;
            Document::parse(&message)
        }
        (None, Mode::Secure(_)) => Err(Refused::malformed(format!(
            "the push is not encrypted, and the app has a `{CALLBACK_KEY}`: choose the secure mode in WeChat's console, \
             or set `{CALLBACK_MODE}`"
        ))),
        // In its compatible mode WeChat sends both.
        (Some(_), Mode::Plain) if pushed.text("MsgType").is_none() => {
            Err(Refused::malformed(format!("the push is encrypted, and the app has no `{CALLBACK_KEY}`")))
        }
        (_, Mode::Plain) | (None, Mode::Compatible(_)) => Ok(pushed),
    }
}
