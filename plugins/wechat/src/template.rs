//! The template message of mini-programs (§2): `POST /cgi-bin/message/wxopen/template/send`.
//!
//! WeChat announced its end on 2019-10-12 and switched it off, app by app, from 2020-01-10 on; subscription messages
//! replaced it. It stays for apps that still have it and for servers that speak the same protocol. A retired call
//! answers 45103 or 45109, which stops the app and says what to use instead.

use serde_json::{Map, Value};
use tidings_sdk::{
    App, Delivery, HttpTransport, Outcome, Request, Response, Setting, SettingKind, TransportRules, Violation,
};

use crate::codes::Call;
use crate::credentials::{FORM_ID, PREPAY_ID};
use crate::message::{Body, data, post, read, text};
use crate::values;

const SETTINGS: &[Setting] = &[
    Setting::text("template_id", "the template's id, from the mini-program's console").required(),
    Setting::of("data", SettingKind::TemplateTable, "the template's keys: `keyword1`, `keyword2`, …"),
    Setting::of("page", SettingKind::PageTemplate, "the page that a tap opens; without it a tap does nothing"),
    Setting::text("emphasis", "the key whose value is written large: `keyword1`"),
];

/// The transport of a mini-program's template messages.
pub(crate) struct Template;

impl HttpTransport for Template {
    fn rules(&self) -> TransportRules {
        TransportRules {
            template_settings: SETTINGS,
            scope_key: Some("template_id"),
            credentials: &[FORM_ID, PREPAY_ID],
            dedupe_window: None,
        }
    }

    fn check(&self, _app: &App, content: &Map<String, Value>) -> Vec<Violation> {
        let mut violations = values::check_sendable(content);
        let emphasis = emphasis(content);
        if !emphasis.is_empty() && !data(content).any(|(key, _)| key == emphasis) {
            let keys: Vec<&str> = data(content).map(|(key, _)| key).collect();
            let problem = format!("names `{emphasis}`, which is no key of `data` ({})", keys.join(", "));
            violations.push(Violation { field: "emphasis".into(), problem });
        }
        violations
    }

    fn request(&self, delivery: &Delivery<'_>) -> Result<Request, String> {
        let credential = delivery.credential.filter(|it| !it.value.is_empty());
        let Some(credential) = credential else {
            return Err("the message has no form_id and no prepay_id; give the channel a credential stage".into());
        };
        let content = delivery.content;
        let mut body = Body::new();
        if data(content).next().is_some() {
            body.put_data(content);
        }
        let emphasis = emphasis(content);
        if !emphasis.is_empty() {
            body.put("emphasis_keyword", &format!("{emphasis}.DATA"));
        }
        // Both kinds travel under the one name.
        body.put("form_id", credential.value);
        body.put("page", text(content, "page"));
        body.put("template_id", text(content, "template_id"));
        body.put("touser", delivery.recipient);
        post(delivery, "/cgi-bin/message/wxopen/template/send", body)
    }

    fn read(&self, _app: &App, response: &Response<'_>) -> Outcome {
        read(Call::Template, response)
    }
}

/// The key to emphasise; WeChat's own spelling `keyword1.DATA` is understood.
fn emphasis(content: &Map<String, Value>) -> &str {
    let given = text(content, "emphasis");
    given.strip_suffix(".DATA").unwrap_or(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{app, body, delivery, http_transport, object};
    use serde_json::json;
    use tidings_sdk::{Credential, Method};

    fn template() -> Box<dyn HttpTransport> {
        http_transport("template")
    }

    const FORM: Credential<'_> = Credential { source: "form_id", value: "CANARY-form" };

    fn sent(content: Value, credential: Credential<'_>) -> String {
        let (app, content) = (app(json!({})), object(content));
        body(&template().request(&delivery(&app, &content, Some(credential))).unwrap()).to_owned()
    }

    #[test]
    fn the_request_is_what_wechat_documented_in_raw_utf_8() {
        let content = json!({
            "template_id": "TEMPLATE",
            "page": "pages/order/show?id=7",
            "data": {"keyword1": "已发货", "keyword2": "￥12.50"},
            "emphasis": "keyword1",
        });
        assert_eq!(
            sent(content, FORM),
            concat!(
                r#"{"data":{"keyword1":{"value":"已发货"},"keyword2":{"value":"￥12.50"}},"#,
                r#""emphasis_keyword":"keyword1.DATA","form_id":"CANARY-form","page":"pages/order/show?id=7","#,
                r#""template_id":"TEMPLATE","touser":"o-ann"}"#
            )
        );
    }

    #[test]
    fn the_request_goes_to_the_mini_programs_call() {
        let (app, content) = (app(json!({})), Map::new());
        let request = template().request(&delivery(&app, &content, Some(FORM))).unwrap();
        assert_eq!(request.method, Method::Post);
        assert_eq!(
            request.url,
            "https://api.weixin.qq.com/cgi-bin/message/wxopen/template/send?access_token=CANARY-access-token"
        );
    }

    #[test]
    fn a_prepay_id_travels_as_a_form_id() {
        let prepay = Credential { source: "prepay_id", value: "wx2016" };
        let expected = r#"{"form_id":"wx2016","template_id":"T","touser":"o-ann"}"#;
        assert_eq!(sent(json!({"template_id": "T"}), prepay), expected);
    }

    #[test]
    fn the_emphasis_may_be_written_as_wechat_writes_it() {
        let content = json!({"data": {"keyword1": "x"}, "emphasis": "keyword1.DATA"});
        assert!(sent(content.clone(), FORM).contains(r#""emphasis_keyword":"keyword1.DATA""#));
        assert_eq!(template().check(&app(json!({})), &object(content)), []);
    }

    #[test]
    fn an_emphasis_that_is_no_key_is_a_violation() {
        let violations =
            template().check(&app(json!({})), &object(json!({"data": {"keyword1": "x"}, "emphasis": "keyword9"})));
        let problem = "names `keyword9`, which is no key of `data` (keyword1)".to_owned();
        assert_eq!(violations, [Violation { field: "emphasis".into(), problem }]);
    }

    #[test]
    fn a_message_without_its_credential_cannot_be_sent() {
        let (app, content) = (app(json!({})), Map::new());
        for credential in [None, Some(Credential { source: "form_id", value: "" })] {
            let refusal = template().request(&delivery(&app, &content, credential)).unwrap_err();
            assert!(refusal.contains("form_id") && refusal.contains("prepay_id"), "{refusal}");
        }
    }

    #[test]
    fn a_send_shows_no_credential() {
        let (app, content) = (app(json!({})), Map::new());
        let delivery = delivery(&app, &content, Some(FORM));
        let request = template().request(&delivery).unwrap();
        assert!(!format!("{delivery:?} {request:?}").contains("CANARY"));
    }

    #[test]
    fn a_used_form_id_is_told_from_a_bad_one() {
        let read = |code: i32| {
            let answer = format!(r#"{{"errcode":{code},"errmsg":"no"}}"#);
            template().read(&app(json!({})), &Response::new(200, answer.as_bytes())).name()
        };
        assert_eq!(read(41029), "credential_spent");
        assert_eq!(read(41028), "credential_invalid");
    }

    #[test]
    fn a_retired_call_stops_the_app_and_names_its_successor() {
        let outcome =
            template().read(&app(json!({})), &Response::new(200, br#"{"errcode":45109,"errmsg":"api withdrawn"}"#));
        assert_eq!(outcome.name(), "halt");
        assert!(outcome.detail().contains("`wechat.subscribe`"), "{}", outcome.detail());
    }
}
