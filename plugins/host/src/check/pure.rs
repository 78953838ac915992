//! Rules about the roles that are pure: the same arguments, the same result, whatever the arguments are.

use std::fmt::Debug;

use serde_json::{Map, Value, json};
use tidings_sdk::{Outcome, Part, Role, StageDescription, TransportRules};

use super::calls::{Said, Size};
use super::rig::{Instance, Rig};
use super::values::{self, Chance, NOWHERE};
use super::{Asked, Found, Progress};

/// Answers that each `read` is given beside one for each status.
const ANSWERS: usize = 500;

/// A day, and the instant that clocks of rules begin at.
const DAY_MS: i64 = 24 * 3600 * 1000;
const NOW_MS: i64 = 1_700_000_000_000;

/// Calls the same thing twice. Values are compared and not shown: they may be secret.
fn twice<T: PartialEq>(what: &str, mut call: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let first = call()?;
    if first != call()? {
        return Err(format!("{what} twice gave two results; it may depend on its arguments alone"));
    }
    Ok(first)
}

/// Tries each stage of a role with an instance of it.
fn each(
    asked: &Asked,
    progress: &mut Progress<'_>,
    role: &str,
    mut test: impl FnMut(&Instance<'_>, &StageDescription, &mut Progress<'_>) -> Result<Found, String>,
) -> Result<Found, String> {
    progress.at("loads it");
    let rig = Rig::open(asked)?;
    let app = values::app(&rig, asked, NOWHERE);
    let mut found = Found::Well;
    for stage in rig.stages(role) {
        let instance = rig.instance(&stage, &app)?;
        match test(&instance, &stage, progress).map_err(|what| format!("stage `{}`: {what}", stage.name))? {
            Found::Well => {}
            Found::Doubtful(what) => found = Found::Doubtful(format!("stage `{}`: {what}", stage.name)),
            Found::Nothing(why) => found = Found::Nothing(format!("stage `{}`: {why}", stage.name)),
        }
    }
    Ok(found)
}

/// What is true of the messages of a transport.
pub(super) fn rules(stage: &StageDescription) -> TransportRules {
    match stage.role {
        Role::HttpTransport(rules) | Role::Transport(rules) => rules,
        _ => TransportRules::default(),
    }
}

pub(super) fn request(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    let mut chance = Chance::new(asked.seed);
    each(asked, progress, "http_transport", |instance, stage, progress| {
        let rules = rules(stage);
        let content = values::content(&rules, asked);
        let mut delivery = values::delivery(asked, stage, &rules, content.clone());
        progress.at("asks for the request of a message");
        let made = twice("`request`", || instance.request(&delivery, Size::Known))?;
        let doubt = match made {
            Ok(_) => Found::Well,
            Err(problem) => {
                Found::Doubtful(format!("it refuses an invented message: {problem}; give one with --values"))
            }
        };
        for (number, content) in values::strange_contents(&content, &mut chance).into_iter().enumerate() {
            progress.at(&format!("asks for the request of strange message {number}: {}", shown(&content)));
            twice("`check`", || instance.check("http_transport", &content))?;
            delivery.content = content;
            drop(twice("`request`", || instance.request(&delivery, Size::Known))?);
        }
        delivery.content = content;
        for recipient in ["", "\0", "a b", "../..", "https://a.example/?x=1#y", "\u{202e}订单", &"x".repeat(512)] {
            progress.at(&format!("asks for the request of a message to {recipient:?}"));
            delivery.recipient = recipient.to_owned();
            drop(twice("`request`", || instance.request(&delivery, Size::Known))?);
        }
        progress.at("asks for the request of a message without token and credential");
        delivery.token.clear();
        delivery.credential = None;
        drop(twice("`request`", || instance.request(&delivery, Size::Known))?);
        Ok(doubt)
    })
}

/// Content of a verdict: nothing in it is secret, and it may be long.
fn shown(content: &Map<String, Value>) -> String {
    let text = Value::Object(content.clone()).to_string();
    text[..text.floor_char_boundary(80)].to_owned()
}

/// Every status once, and then garbage.
fn answers(chance: &mut Chance, mut read: impl FnMut(u16, u64, &[u8]) -> Result<(), String>) -> Result<(), String> {
    let told = |status: u16, body: &[u8], what: String| {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        format!("an answer {status} with {} bytes ({shown:?}): {what}", body.len())
    };
    for status in 100..=599 {
        read(status, 0, b"{}").map_err(|what| told(status, b"{}", what))?;
    }
    const STATUSES: &[u16] = &[200, 200, 200, 201, 204, 301, 400, 401, 403, 404, 408, 410, 429, 500, 502, 503, 504];
    for _ in 0..ANSWERS {
        let status = STATUSES[chance.under(STATUSES.len())];
        let after = [0, 1, 30_000, u64::MAX][chance.under(4)];
        let body = chance.body();
        read(status, after, &body).map_err(|what| told(status, &body, what))?;
    }
    Ok(())
}

pub(super) fn read(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    each(asked, progress, "http_transport", |instance, _, progress| {
        progress.at("reads answers");
        let mut accepted = 0;
        answers(&mut Chance::new(asked.seed), |status, after, body| {
            let outcome = twice("`read`", || instance.read(status, after, body, Size::Known))?;
            accepted += usize::from(status >= 400 && matches!(outcome, Outcome::Accepted { .. }));
            Ok(())
        })?;
        Ok(match accepted {
            0 => Found::Well,
            count => Found::Doubtful(format!("it takes {count} answers with a status from 400 for an acceptance")),
        })
    })
}

pub(super) fn token_request(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    each(asked, progress, "token_provider", |instance, _, progress| {
        progress.at("asks for the request for a token");
        let made = twice("`request`", || instance.token_request())?;
        twice("`fetches_per_day`", || Ok(instance.fetches_per_day()))?;
        Ok(match made {
            Ok(_) => Found::Well,
            Err(problem) => Found::Doubtful(format!("it refuses with invented settings: {problem}")),
        })
    })
}

pub(super) fn token_read(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    each(asked, progress, "token_provider", |instance, _, progress| {
        progress.at("reads answers");
        answers(&mut Chance::new(asked.seed), |status, after, body| {
            twice("`read`", || instance.token_read(status, after, body, Size::Known)).map(drop)
        })?;
        Ok(Found::Well)
    })
}

/// Names that fields of a posted credential have in the wild.
const FIELD_NAMES: &[&str] = &[
    "recipient",
    "openid",
    "openId",
    "id",
    "form_id",
    "prepay_id",
    "template_id",
    "uses",
    "made_at",
    "expires_at",
    "unknown",
];

pub(super) fn admit(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    each(asked, progress, "credential_source", |instance, _, progress| {
        let mut chance = Chance::new(asked.seed);
        let mut try_fields = |fields: &[(&str, &str)]| -> Result<bool, String> {
            progress.at(&format!("posts {fields:?}"));
            let admitted = twice("`admit`", || instance.admit(fields, NOW_MS))?;
            match admitted {
                Ok(permit) if permit.recipient.is_empty() => {
                    Err(format!("`admit` made a permit of {fields:?} that belongs to nobody"))
                }
                Ok(_) => Ok(true),
                Err(_) => Ok(false),
            }
        };
        let given: Vec<(&str, &str)> = asked
            .given
            .credential
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
            .collect();
        if !given.is_empty() && !try_fields(&given)? {
            return Ok(Found::Doubtful("it refuses the credential that --values gives".to_owned()));
        }
        try_fields(&[])?;
        try_fields(&[("", "")])?;
        let long = "x".repeat(10_000);
        let texts =
            ["", " ", "1", "-1", "ann", "\0", "2026-01-02T03:04:05Z", "99999999999999999999", "订单\u{202e}", &long];
        for _ in 0..ANSWERS {
            let count = chance.under(5);
            let fields: Vec<(&str, &str)> = (0..count)
                .map(|_| (FIELD_NAMES[chance.under(FIELD_NAMES.len())], texts[chance.under(texts.len())]))
                .collect();
            try_fields(&fields)?;
        }
        Ok(Found::Well)
    })
}

pub(super) fn mint(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    each(asked, progress, "credential_source", |instance, stage, progress| {
        let Role::CredentialSource(rules) = stage.role else { return Ok(Found::Well) };
        if !rules.mints {
            return Ok(Found::Nothing("it does not mint".to_owned()));
        }
        let mut some = false;
        for recipient in ["ann", "", "订单", &"x".repeat(512)] {
            for day in [0, 1, 31, 365, 10_000] {
                let now = NOW_MS + day * DAY_MS;
                progress.at(&format!("mints for {recipient:?} at {now}"));
                let Some(minted) = twice("`mint`", || instance.mint(recipient, "", now))? else {
                    return Err("its description says that it mints, and its table has no function `mint`".to_owned());
                };
                if minted.next_unix_ms != 0 && minted.next_unix_ms <= now {
                    return Err(format!("`mint` at {now} says to ask again at {}, which is past", minted.next_unix_ms));
                }
                let Some(permit) = minted.permit else { continue };
                some = true;
                if permit.identity.is_none() {
                    return Err("`mint` put a permit without an identity: it would be taken anew each time".to_owned());
                }
                if permit.recipient != recipient {
                    return Err(format!("`mint` for {recipient:?} put a permit of {:?}", permit.recipient));
                }
                if permit.expires_at.is_some_and(|end| end.0 <= now) {
                    return Err(format!("`mint` at {now} put a permit that had expired"));
                }
            }
        }
        Ok(if some { Found::Well } else { Found::Doubtful("it minted nothing for anybody".to_owned()) })
    })
}

pub(super) fn render(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    each(asked, progress, "renderer", |instance, _, progress| {
        let data = json!({"name": "Ann", "order": {"id": 7, "total": "¥18.50"}, "list": [1, 2], "": null});
        let part = |key: &str, part: Part| (key.to_owned(), part);
        let text = |text: &str| Part::Text(text.to_owned());
        let table = |text: &str| Part::Table(vec![("a".to_owned(), text.to_owned()), ("b".to_owned(), "b".to_owned())]);
        progress.at("renders strings with nothing to fill in");
        let plain = [
            part("fixed", Part::Fixed(json!("as it stands {{ name }}"))),
            part("number", Part::Fixed(json!(7))),
            part("list", Part::Fixed(json!(["a", 1]))),
            part("text", text("Hello")),
            part("page", Part::Page("pages/show?id=1".to_owned())),
            part("rows", table("Hello")),
        ];
        let rendered = twice("`render`", || instance.render(&plain, &data))?;
        let rendered = rendered.map_err(|problem| format!("it refuses strings with nothing to fill in: {problem}"))?;
        let expected = json!({"fixed": "as it stands {{ name }}", "number": 7, "list": ["a", 1], "text": "Hello"});
        for (key, value) in expected.as_object().into_iter().flatten() {
            if rendered.get(key) != Some(value) {
                return Err(format!("`render` changed `{key}`, which has nothing to fill in"));
            }
        }
        for strange in [
            "{{ name }}",
            "{name}",
            "{{",
            "}}",
            "{",
            "%s",
            "\0",
            "{{ a.b.c.d }}",
            "{% for x in y %}",
            "订单{{",
            &"{{".repeat(5000),
        ] {
            progress.at(&format!("renders {:?}", &strange[..strange.floor_char_boundary(40)]));
            for part in [part("k", text(strange)), part("k", Part::Page(strange.to_owned())), part("k", table(strange))]
            {
                let rendered: Said<_> = twice("`render`", || instance.render(std::slice::from_ref(&part), &data))?;
                drop(rendered);
            }
        }
        Ok(Found::Well)
    })
}

pub(super) fn receive(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    each(asked, progress, "callback", |instance, _, progress| {
        progress.at("receives pushes");
        let mut chance = Chance::new(asked.seed);
        let queries = ["", "a=1&b=2", "echostr=7&signature=x&timestamp=1&nonce=2", "%", "=&=&&", "a=%zz"];
        for _ in 0..ANSWERS {
            let method = ["GET", "POST", "PUT"][chance.under(3)];
            let query = queries[chance.under(queries.len())];
            let body = match chance.under(4) {
                0 => b"<xml><Event><![CDATA[".to_vec(),
                _ => chance.body(),
            };
            twice("`receive`", || instance.receive(method, query, &body, Size::Known))
                .map_err(|what| format!("a {method} with {} bytes: {what}", body.len()))?;
        }
        Ok(Found::Well)
    })
}

/// Two results, told apart only by size.
pub(super) fn same<T: PartialEq + Debug>(what: &str, known: &T, grown: &T) -> Result<(), String> {
    if known == grown {
        return Ok(());
    }
    Err(format!("{what} depends on how large the struct is that it is given; walk and read it by its struct_size"))
}
