//! What an app is configured with, and what does not fit together.

use tidings_sdk::{App, Setting, SettingKind, Violation};

use crate::placeholder::{Pattern, SECRET, check_braces};
use crate::verdict::{Verdict, check_status};
use crate::{address, body, header};

/// What an app is configured with.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting::of("method", SettingKind::Choice(&["GET", "POST", "PUT", "PATCH", "DELETE"]), "how the request is made")
        .default("POST"),
    Setting::of(
        "url",
        SettingKind::Url,
        "where it goes; `{secret}`, `{recipient}` and values of the template stand in path and query",
    )
    .required()
    .example("https://hook.example/send"),
    Setting::of(SECRET, SettingKind::Secret, "what authorises the app: a key, a token, the secret part of an address"),
    Setting::text("username", "with it the secret is a password, and both go along as `Authorization: Basic`"),
    Setting::of("headers", SettingKind::TextTable, "headers by name, with `{name}` in them"),
    Setting::text("json", "the body: JSON with `{name}` in its strings, whose values are escaped"),
    Setting::of("form", SettingKind::TextTable, "the body: fields of a form by name, with `{name}` in them"),
    Setting::text("body", "the body: a text with `{name}` in it, sent as it is, with nothing escaped"),
    Setting::text("code_field", "where a JSON answer has its code: `errcode`, `error.code`"),
    Setting::of(
        "codes",
        SettingKind::TextTable,
        "what a code means, as an outcome: `0 = \"accepted\"`; all others are refusals then",
    ),
    Setting::of(
        "statuses",
        SettingKind::TextTable,
        "what a status means, as an outcome: `403 = \"recipient_gone\"`, `5xx = \"retry\"`",
    ),
    Setting::text("id_field", "where a JSON answer has the id of the message"),
    Setting::text("detail_field", "where a JSON answer says in words what is wrong"),
    Setting::text("retry_after_field", "where a JSON answer says how many seconds to wait"),
];

/// What is wrong with settings that are each right.
pub(crate) fn check(app: &App) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut tell = |field: &str, problem: String| violations.push(Violation::new(field, problem));
    let settings = &app.settings;

    if let Err(problem) = address::check(settings.text("url")) {
        tell("url", problem);
    }
    for (name, value) in settings.table("headers") {
        if let Err(problem) = header::check(name, value) {
            tell(&format!("headers.{name}"), problem);
        }
        let mut others = settings.table("headers").filter(|(other, _)| *other < name);
        if others.any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            tell(&format!("headers.{name}"), "is there twice; upper and lower case are the same".to_owned());
        }
    }
    let bodies: Vec<&str> = ["json", "form", "body"].into_iter().filter(|name| has(app, name)).collect();
    if let [first, second, ..] = bodies[..] {
        tell(second, format!("stands beside `{first}`; one of `json`, `form` and `body` is sent"));
    }
    if let (Some(first), "GET") = (bodies.first(), settings.text("method")) {
        tell(first, "is sent with no GET; write `method = \"POST\"`, or put the values into `url`".to_owned());
    }
    if has(app, "json")
        && let Err(problem) = body::read(settings.text("json"))
    {
        tell("json", problem);
    }
    let fields = settings.table("form").map(|(name, text)| (format!("form.{name}"), text));
    for (field, text) in fields.chain([("body".to_owned(), settings.text("body"))]) {
        if let Err(problem) = check_braces(text) {
            tell(&field, problem);
        }
    }
    check_secret(app, &mut tell);
    check_answer(app, &mut tell);
    violations
}

/// A secret that is not sent, or that is asked for and not there, is found at the first message otherwise.
fn check_secret(app: &App, tell: &mut impl FnMut(&str, String)) {
    let settings = &app.settings;
    let (secret, username) = (settings.text(SECRET), settings.text("username"));
    let tables = ["headers", "form"].into_iter().flat_map(|name| settings.table(name).map(|(_, text)| text));
    let texts = ["url", "json", "body"].into_iter().map(|name| settings.text(name)).chain(tables);
    let asks = texts.into_iter().any(|text| Pattern::of(text).names().any(|name| name == SECRET));
    if secret.is_empty() && (asks || !username.is_empty()) {
        let asker = if asks { "`{secret}`" } else { "`username`" };
        tell(SECRET, format!("is missing, and {asker} needs it"));
    }
    // A template may have a `json` of its own, but no app leaves its authorisation to every template.
    if !secret.is_empty() && !asks && username.is_empty() {
        tell(
            SECRET,
            "is sent nowhere; write `{secret}` where it belongs: in `url`, in `headers`, or in the body".to_owned(),
        );
    }
    if ["https://", "http://"].iter().any(|scheme| secret.starts_with(scheme)) {
        tell(SECRET, "is a whole address; the part that stands for `{secret}` in `url` is enough".to_owned());
    }
    if username.contains(':') {
        tell("username", "has a colon, after which the password would begin".to_owned());
    }
    if !username.is_empty() && header::has(app, header::AUTHORIZATION) {
        tell("username", "stands beside a header `Authorization`; one of them is sent".to_owned());
    }
}

fn check_answer(app: &App, tell: &mut impl FnMut(&str, String)) {
    let settings = &app.settings;
    match (has(app, "code_field"), has(app, "codes")) {
        (true, false) => tell("code_field", "needs `codes`, which say what a code means".to_owned()),
        (false, true) => tell("codes", "needs `code_field`, which says where the answer has its code".to_owned()),
        _ => {}
    }
    for (code, text) in settings.table("codes") {
        if let Err(problem) = Verdict::parse(text) {
            tell(&format!("codes.{code}"), problem);
        }
    }
    for (status, text) in settings.table("statuses") {
        if let Err(problem) = check_status(status).and_then(|()| Verdict::parse(text).map(drop)) {
            tell(&format!("statuses.{status}"), problem);
        }
    }
}

fn has(app: &App, name: &str) -> bool {
    !app.settings.text(name).is_empty() || app.settings.table(name).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::app;
    use serde_json::{Value, json};

    fn told(settings: Value) -> Vec<String> {
        check(&app(settings)).into_iter().map(|it| format!("{}: {}", it.field, it.problem)).collect()
    }

    /// One violation, of this field, with these words.
    #[track_caller]
    fn check_one(settings: Value, field: &str, part: &str) {
        let told = told(settings.clone());
        let [violation] = &told[..] else { panic!("{settings}: {told:?}") };
        assert!(violation.starts_with(&format!("{field}: ")) && violation.contains(part), "{violation}");
        assert!(!violation.contains("CANARY"), "{violation}");
    }

    #[test]
    fn an_app_needs_its_url_and_nothing_else() {
        let required: Vec<_> = SETTINGS.iter().filter(|setting| setting.required).map(|it| it.name).collect();
        assert_eq!(required, ["url"]);
        assert_eq!(told(json!({"secret": null})), [""; 0]);
    }

    #[test]
    fn only_the_secret_is_a_secret() {
        let secrets: Vec<_> =
            SETTINGS.iter().filter(|setting| setting.kind == SettingKind::Secret).map(|it| it.name).collect();
        assert_eq!(secrets, ["secret"]);
    }

    #[test]
    fn one_body_is_sent_and_none_with_a_get() {
        let url = "https://a.example/{secret}";
        check_one(json!({"url": url, "json": "{}", "body": "x"}), "body", "beside `json`");
        check_one(json!({"url": url, "form": {"a": "b"}, "body": "x"}), "body", "beside `form`");
        check_one(json!({"url": url, "form": {"a": "b"}, "method": "GET"}), "form", "no GET");
        assert_eq!(told(json!({"url": url, "method": "GET"})), [""; 0]);
    }

    #[test]
    fn a_secret_is_given_and_sent_or_neither() {
        let bearer = json!({"Authorization": "Bearer {secret}"});
        check_one(json!({"secret": null, "headers": bearer}), "secret", "`{secret}` needs it");
        check_one(json!({"secret": null, "username": "bot"}), "secret", "`username` needs it");
        check_one(json!({}), "secret", "is sent nowhere");
        for sent in [
            json!({"headers": bearer}),
            json!({"username": "bot"}),
            json!({"url": "https://a.example/?key={secret}"}),
            json!({"json": r#"{"key": "{secret}"}"#}),
            json!({"form": {"key": "{secret}"}}),
            json!({"body": "{secret}"}),
        ] {
            assert_eq!(told(sent), [""; 0]);
        }
        let whole = json!({"url": "https://a.example/{secret}", "secret": "https://a.example/CANARY"});
        check_one(whole, "secret", "a whole address");
    }

    #[test]
    fn a_user_fits_beside_no_other_authorisation() {
        check_one(json!({"username": "a:b"}), "username", "colon");
        check_one(json!({"username": "a", "headers": {"AUTHORIZATION": "x"}}), "username", "beside a header");
    }

    #[test]
    fn what_could_never_be_sent_is_found_before_the_first_message() {
        let sent = |more: Value| {
            let mut settings = json!({"username": "bot"});
            settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            settings
        };
        check_one(sent(json!({"url": "https://{recipient}/"})), "url", "in its host");
        check_one(sent(json!({"headers": {"Host": "x"}})), "headers.Host", "by the engine");
        check_one(sent(json!({"headers": {"X-A": "1", "x-a": "2"}})), "headers.x-a", "twice");
        check_one(sent(json!({"json": "{"})), "json", "is no JSON");
        check_one(sent(json!({"json": r#"{"a": "{{ b }}"}"#})), "json", "under `values`");
        check_one(sent(json!({"form": {"a": "{{ b }}"}})), "form.a", "under `values`");
        check_one(sent(json!({"body": "{{ b }}"})), "body", "under `values`");
    }

    #[test]
    fn what_could_never_be_read_is_found_before_the_first_answer() {
        let sent = |more: Value| {
            let mut settings = json!({"username": "bot"});
            settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            settings
        };
        check_one(sent(json!({"code_field": "errcode"})), "code_field", "needs `codes`");
        check_one(sent(json!({"codes": {"0": "accepted"}})), "codes", "needs `code_field`");
        check_one(sent(json!({"code_field": "c", "codes": {"0": "acepted"}})), "codes.0", "did you mean `accepted`?");
        check_one(sent(json!({"statuses": {"5x": "retry"}})), "statuses.5x", "is no status");
        check_one(sent(json!({"statuses": {"5xx": "halt 1m"}})), "statuses.5xx", "only `throttled` and `retry`");
    }
}
