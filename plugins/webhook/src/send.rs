//! The transport: a request from an app, a template and a message.

use serde_json::{Map, Value};
use tidings_sdk::{
    App, Delivery, HttpTransport, Method, Outcome, Request, Response, Setting, SettingKind, TransportRules, Violation,
};

use crate::body::Shape;
use crate::placeholder::{Fillings, OWN, Pattern, is_name};
use crate::{address, answer, header};

const SETTINGS: &[Setting] = &[
    Setting::of("values", SettingKind::TemplateTable, "what stands in for `{name}` in the app's request, by name"),
    Setting::text("json", "a body in place of the app's `json`: JSON with `{name}` in its strings"),
];

/// Stands for what a check cannot know.
const SOMEBODY: &str = "recipient";

/// The transport of a provider that takes a request over HTTP.
pub(crate) struct Http;

impl HttpTransport for Http {
    fn rules(&self) -> TransportRules {
        TransportRules { template_settings: SETTINGS, ..TransportRules::default() }
    }

    fn check(&self, app: &App, content: &Map<String, Value>) -> Vec<Violation> {
        let mut violations = unused(app, content);
        let fillings = Fillings::new(app, SOMEBODY, SOMEBODY, content);
        violations.extend(request(app, content, &fillings).err().map(|fault| fault.violation(content)));
        violations
    }

    fn request(&self, delivery: &Delivery<'_>) -> Result<Request, String> {
        let made = request(delivery.app, delivery.content, &Fillings::of(delivery));
        made.map_err(|fault| fault.sentence(delivery.content))
    }

    fn read(&self, app: &App, response: &Response<'_>) -> Outcome {
        answer::read(app, response)
    }
}

/// A setting that makes no request.
struct Fault {
    setting: String,
    problem: String,
}

impl Fault {
    fn new(setting: impl Into<String>, problem: String) -> Fault {
        Fault { setting: setting.into(), problem }
    }

    /// Whose setting it is, and what is wrong with it.
    fn sentence(&self, content: &Map<String, Value>) -> String {
        let owner = if content.contains_key(&self.setting) { "template" } else { "app" };
        format!("`{}` of the {owner} {}", self.setting, self.problem)
    }

    /// At its place, if that is in the template: of the app's settings a template has no place.
    fn violation(&self, content: &Map<String, Value>) -> Violation {
        let field = if content.contains_key(&self.setting) { self.setting.as_str() } else { "" };
        Violation::new(field, self.sentence(content))
    }
}

fn request(app: &App, content: &Map<String, Value>, fillings: &Fillings<'_>) -> Result<Request, Fault> {
    let shape = Shape::of(app, content).map_err(|(setting, problem)| Fault::new(setting, problem))?;
    let method = app.settings.text("method");
    Ok(Request {
        method: Method::of(method).ok_or_else(|| Fault::new("method", format!("is `{method}`, which is no method")))?,
        url: address::fill(app.settings.text("url"), fillings).map_err(|problem| Fault::new("url", problem))?,
        headers: header::fill(app, shape.content_type(), fillings)
            .map_err(|violation| Fault::new(violation.field, violation.problem))?,
        body: shape.fill(fillings).map_err(|problem| Fault::new(shape.setting(), problem))?,
    })
}

/// Values that nothing asks for: misspelt, or forgotten in the app.
fn unused(app: &App, content: &Map<String, Value>) -> Vec<Violation> {
    // A body that cannot be read is one mistake; what it would ask for, nobody knows.
    let Ok(shape) = Shape::of(app, content) else { return Vec::new() };
    let mut names = shape.names();
    let texts = app.settings.table("headers").map(|(_, text)| text).chain([app.settings.text("url")]);
    for text in texts {
        names.extend(Pattern::of(text).names().map(str::to_owned));
    }
    let fillings = Fillings::new(app, "", "", content);
    let given = fillings.given();
    given.filter_map(|name| Some(Violation::new(format!("values.{name}"), problem(name, &names)?))).collect()
}

fn problem(name: &str, names: &[String]) -> Option<String> {
    if OWN.contains(&name) {
        return Some(format!("`{{{name}}}` comes with the message or the app; a template cannot give it"));
    }
    if !is_name(name) {
        return Some(
            "is no name for a placeholder; it begins with a letter, and goes on with letters, digits, - and _".into(),
        );
    }
    if names.iter().any(|used| used == name) {
        return None;
    }
    let mut free: Vec<String> =
        names.iter().filter(|used| !OWN.contains(&used.as_str())).map(|used| format!("`{{{used}}}`")).collect();
    free.sort();
    free.dedup();
    let there = if free.is_empty() { "nothing of a template".to_owned() } else { free.join(", ") };
    Some(format!("nothing asks for it; the request has {there}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{app, body, delivery, object};
    use serde_json::json;

    fn told(settings: Value, content: Value) -> Vec<String> {
        let violations = Http.check(&app(settings), &object(content));
        violations.into_iter().map(|it| format!("{}: {}", it.field, it.problem)).collect()
    }

    #[test]
    fn a_request_is_what_app_template_and_message_say() {
        let app = app(json!({
            "method": "PUT", "url": "https://hook.example/t/{recipient}?key={secret}", "secret": "a/b",
            "headers": {"Idempotency-Key": "{dedupe_id}"}, "json": r#"{"title": "{title}", "urgent": false}"#,
        }));
        let content = object(json!({"values": {"title": "Paid"}}));
        let request = Http.request(&delivery(&app, &content)).unwrap();
        assert_eq!(request.method, Method::Put);
        assert_eq!(request.url, "https://hook.example/t/ann?key=a%2Fb");
        assert_eq!(request.headers[0], ("content-type".into(), "application/json; charset=utf-8".into()));
        assert_eq!(request.headers[1], ("Idempotency-Key".into(), "tidings-1-7".into()));
        assert_eq!(body(&request), r#"{"title":"Paid","urgent":false}"#);
        assert_eq!(Http.check(&app, &content), []);
    }

    #[test]
    fn the_same_message_makes_the_same_request() {
        let app = app(json!({"json": r#"{"b": "{text}", "a": ["{text}"]}"#}));
        let content = object(json!({"values": {"text": "x"}}));
        assert_eq!(Http.request(&delivery(&app, &content)), Http.request(&delivery(&app, &content)));
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_told_by_its_name() {
        let json = r#"{"title": "{title}", "text": "{text}", "to": "{recipient}"}"#;
        assert_eq!(
            told(json!({"json": json}), json!({"values": {"titel": "x", "text": "y"}})),
            [
                "values.titel: nothing asks for it; the request has `{text}`, `{title}`",
                ": `json` of the app has `{title}`, which is none of `values` of the template (`text`, `titel`); did you mean `{titel}`?",
            ]
        );
        assert_eq!(
            told(
                json!({"url": "https://a.example/{secret}"}),
                json!({"values": {"secret": "x", "a b": "y", "c": "z"}})
            ),
            [
                "values.a b: is no name for a placeholder; it begins with a letter, and goes on with letters, digits, - and _",
                "values.c: nothing asks for it; the request has nothing of a template",
                "values.secret: `{secret}` comes with the message or the app; a template cannot give it",
            ]
        );
    }

    #[test]
    fn a_body_that_cannot_be_read_is_one_mistake_at_its_place() {
        let (values, wrong) = (json!({"text": "x"}), r#"{"text": "{{ text }}"}"#);
        let told_of = |settings: Value, content: Value| {
            let told = told(settings, content);
            assert_eq!(told.len(), 1, "{told:?}");
            told[0].clone()
        };
        let of_app = told_of(json!({"json": wrong}), json!({"values": values}));
        assert!(of_app.starts_with(": `json` of the app has `{{ … }}`"), "{of_app}");
        let of_template = told_of(json!({}), json!({"json": wrong, "values": values}));
        assert!(of_template.starts_with("json: `json` of the template has `{{ … }}`"), "{of_template}");
    }

    #[test]
    fn a_value_may_stand_in_the_address_or_a_header() {
        let settings = json!({"url": "https://a.example/?t={a}", "headers": {"X-B": "{b}"}, "method": "GET"});
        assert_eq!(told(settings, json!({"values": {"a": "x", "b": "y"}})), [""; 0]);
    }

    #[test]
    fn a_refusal_names_its_setting_and_shows_no_value() {
        let app = app(json!({"json": r#"{"n": "{n:number}"}"#}));
        let content = object(json!({"values": {"n": "CANARY"}}));
        let refusal = Http.request(&delivery(&app, &content)).unwrap_err();
        assert_eq!(refusal, "`json` of the app has `{n:number}`, which stands for something that is no number");
    }

    #[test]
    fn a_request_shows_neither_secret_nor_body() {
        let app = app(json!({"url": "https://a.example/?k={secret}", "body": "{text} {secret}"}));
        let content = object(json!({"values": {"text": "CANARY"}}));
        let request = Http.request(&delivery(&app, &content)).unwrap();
        assert!(!format!("{request:?} {app:?}").contains("CANARY"));
    }
}
