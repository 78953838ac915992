//! The template message of service accounts (§4): `POST /cgi-bin/message/template/send`.
//!
//! It needs no credential: the recipient follows the account. It is the one call with a dedupe id.

use std::time::Duration;

use serde_json::{Map, Value};
use tidings_sdk::{
    App, Delivery, HttpTransport, Outcome, Request, Response, Setting, SettingKind, TransportRules, Violation,
};

use crate::codes::Call;
use crate::message::{Body, post, read, text};
use crate::values;

/// How long WeChat drops a second message with the same `client_msg_id` to the same openid (§4).
const DEDUPE_WINDOW: Duration = Duration::from_secs(10 * 60);

const SETTINGS: &[Setting] = &[
    Setting::text("template_id", "the template's id, from the template messages of the service account's console")
        .required(),
    Setting::of("data", SettingKind::TemplateTable, "the template's keys: `thing1`, `amount2`, …").required(),
    Setting::template("url", "the web page that a tap opens, or opens where the mini-program cannot"),
    Setting::text("miniprogram_appid", "the mini-program that a tap opens; it must be bound to the service account"),
    Setting::of("miniprogram_page", SettingKind::PageTemplate, "the page of that mini-program; its front page without"),
];

/// The transport of a service account's template messages.
pub(crate) struct OfficialTemplate;

impl HttpTransport for OfficialTemplate {
    fn rules(&self) -> TransportRules {
        TransportRules {
            template_settings: SETTINGS,
            scope_key: Some("template_id"),
            credentials: &[],
            dedupe_window: Some(DEDUPE_WINDOW),
        }
    }

    fn check(&self, _app: &App, content: &Map<String, Value>) -> Vec<Violation> {
        let mut violations = values::check_official(content);
        if text(content, "miniprogram_appid").is_empty() && !text(content, "miniprogram_page").is_empty() {
            let problem = "needs `miniprogram_appid` beside it, or no mini-program opens".into();
            violations.push(Violation { field: "miniprogram_page".into(), problem });
        }
        violations
    }

    fn request(&self, delivery: &Delivery<'_>) -> Result<Request, String> {
        let content = delivery.content;
        let mut body = Body::new();
        body.put("client_msg_id", delivery.dedupe_id);
        body.put_data(content);
        // An empty object is not the same as none (§4), and a page alone opens nothing.
        let appid = text(content, "miniprogram_appid");
        if !appid.is_empty() {
            body.put_object("miniprogram", |miniprogram| {
                miniprogram.put("appid", appid);
                miniprogram.put("pagepath", text(content, "miniprogram_page"));
            });
        }
        body.put("template_id", text(content, "template_id"));
        body.put("touser", delivery.recipient);
        body.put("url", text(content, "url"));
        post(delivery, "/cgi-bin/message/template/send", body)
    }

    fn read(&self, _app: &App, response: &Response<'_>) -> Outcome {
        read(Call::OfficialTemplate, response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{app, body, delivery, http_transport, object};
    use serde_json::json;
    use tidings_sdk::Method;

    fn official_template() -> Box<dyn HttpTransport> {
        http_transport("official_template")
    }

    fn sent(content: Value) -> String {
        let (app, content) = (app(json!({})), object(content));
        body(&official_template().request(&delivery(&app, &content, None)).unwrap()).to_owned()
    }

    #[test]
    fn the_request_is_what_wechat_documents_in_raw_utf_8() {
        let content = json!({
            "template_id": "TEMPLATE",
            "url": "https://shop.example/orders/7?a=b",
            "miniprogram_appid": "wx-mini",
            "miniprogram_page": "pages/order/show?id=7",
            "data": {"amount2": "￥12.50", "thing1": "已发货"},
        });
        assert_eq!(
            sent(content),
            concat!(
                r#"{"client_msg_id":"01JA-dedupe","data":{"amount2":{"value":"￥12.50"},"thing1":{"value":"已发货"}},"#,
                r#""miniprogram":{"appid":"wx-mini","pagepath":"pages/order/show?id=7"},"template_id":"TEMPLATE","#,
                r#""touser":"o-ann","url":"https://shop.example/orders/7?a=b"}"#
            )
        );
    }

    #[test]
    fn the_request_goes_to_the_service_accounts_call() {
        let (app, content) = (app(json!({"base_url": "https://sh.api.weixin.qq.com"})), Map::new());
        let request = official_template().request(&delivery(&app, &content, None)).unwrap();
        assert_eq!(request.method, Method::Post);
        assert_eq!(
            request.url,
            "https://sh.api.weixin.qq.com/cgi-bin/message/template/send?access_token=CANARY-access-token"
        );
    }

    #[test]
    fn an_unused_target_is_left_out() {
        let bare =
            r#"{"client_msg_id":"01JA-dedupe","data":{"thing1":{"value":"x"}},"template_id":"T","touser":"o-ann"}"#;
        let content = json!({"template_id": "T", "data": {"thing1": "x"}});
        assert_eq!(sent(content), bare);
        let empty = json!({
            "template_id": "T", "data": {"thing1": "x"}, "url": "", "miniprogram_appid": "", "miniprogram_page": ""
        });
        assert_eq!(sent(empty), bare);
    }

    #[test]
    fn a_mini_program_may_open_at_its_front_page() {
        let content = json!({"template_id": "T", "data": {}, "miniprogram_appid": "wx-mini"});
        assert!(sent(content).contains(r#""miniprogram":{"appid":"wx-mini"},"#));
    }

    #[test]
    fn a_page_without_its_mini_program_is_a_violation() {
        let violations = official_template().check(&app(json!({})), &object(json!({"miniprogram_page": "pages/a"})));
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].field, "miniprogram_page");
    }

    #[test]
    fn every_try_of_a_message_has_the_same_dedupe_id_for_ten_minutes() {
        assert_eq!(official_template().rules().dedupe_window, Some(Duration::from_secs(600)));
        assert_eq!(official_template().rules().credentials, [""; 0]);
    }

    #[test]
    fn the_answer_is_read_with_its_message_id() {
        let answer = br#"{"errcode":0,"errmsg":"ok","msgid":3557254367693750277}"#;
        let accepted = Outcome::Accepted { provider_id: Some("3557254367693750277".into()) };
        assert_eq!(official_template().read(&app(json!({})), &Response::new(200, answer)), accepted);
    }

    #[test]
    fn a_refusal_for_want_of_permission_is_final_without_a_credential() {
        let answer = br#"{"errcode":43101,"errmsg":"user refuse to accept the msg"}"#;
        assert_eq!(official_template().read(&app(json!({})), &Response::new(200, answer)).name(), "rejected");
    }
}
