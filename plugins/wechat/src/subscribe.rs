//! The subscription message of mini-programs (§3): `POST /cgi-bin/message/subscribe/send`.
//!
//! WeChat counts the grants of a user for a template; nothing of them is sent. A long-term template needs no grant per
//! message, so a channel for one may go without a credential stage. There is no dedupe id.

use serde_json::{Map, Value};
use tidings_sdk::{
    App, Delivery, HttpTransport, Outcome, Request, Response, Setting, SettingKind, TransportRules, Violation,
};

use crate::codes::Call;
use crate::credentials::SUBSCRIPTION;
use crate::message::{Body, post, read, text};
use crate::values;

const FORMAL: &str = "formal";
const ZH_CN: &str = "zh_CN";

const SETTINGS: &[Setting] = &[
    Setting::text("template_id", "the template's id, from the subscription messages of the mini-program's console")
        .required(),
    Setting::of("data", SettingKind::TemplateTable, "the template's keys, all of them: `thing1`, `amount2`, …")
        .required(),
    Setting::of("page", SettingKind::PageTemplate, "the page that a tap opens; without it a tap does nothing"),
    Setting::of(
        "state",
        SettingKind::Choice(&["developer", "trial", FORMAL]),
        "which build of the mini-program a tap opens",
    )
    .default(FORMAL),
    Setting::of(
        "lang",
        SettingKind::Choice(&[ZH_CN, "en_US", "zh_HK", "zh_TW"]),
        "the language of the card's own words",
    )
    .default(ZH_CN),
];

/// The transport of subscription messages.
pub(crate) struct Subscribe;

impl HttpTransport for Subscribe {
    fn rules(&self) -> TransportRules {
        TransportRules {
            template_settings: SETTINGS,
            scope_key: Some("template_id"),
            credentials: &[SUBSCRIPTION],
            dedupe_window: None,
        }
    }

    fn check(&self, _app: &App, content: &Map<String, Value>) -> Vec<Violation> {
        values::check_subscription(content)
    }

    fn request(&self, delivery: &Delivery<'_>) -> Result<Request, String> {
        let content = delivery.content;
        let or = |key, default| match text(content, key) {
            "" => default,
            given => given,
        };
        let mut body = Body::new();
        body.put_data(content);
        body.put("lang", or("lang", ZH_CN));
        body.put("miniprogram_state", or("state", FORMAL));
        body.put("page", text(content, "page"));
        body.put("template_id", text(content, "template_id"));
        body.put("touser", delivery.recipient);
        post(delivery, "/cgi-bin/message/subscribe/send", body)
    }

    fn read(&self, _app: &App, response: &Response<'_>) -> Outcome {
        read(Call::Subscribe, response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{app, body, delivery, http_transport, object};
    use serde_json::json;
    use tidings_sdk::{Credential, Method};

    fn subscribe() -> Box<dyn HttpTransport> {
        http_transport("subscribe")
    }

    #[test]
    fn the_request_is_what_wechat_documents_in_raw_utf_8() {
        let content = object(json!({
            "template_id": "TEMPLATE",
            "page": "pages/order/show?id=7&from=%E8%8C%B6",
            "data": {"amount2": "￥12.50", "thing1": "订单 “7” 已发货 😀"},
            "state": "trial",
            "lang": "en_US",
        }));
        let app = app(json!({}));
        let request = subscribe().request(&delivery(&app, &content, None)).unwrap();
        assert_eq!(request.method, Method::Post);
        assert_eq!(
            request.url,
            "https://api.weixin.qq.com/cgi-bin/message/subscribe/send?access_token=CANARY-access-token"
        );
        assert_eq!(
            body(&request),
            concat!(
                r#"{"data":{"amount2":{"value":"￥12.50"},"thing1":{"value":"订单 “7” 已发货 😀"}},"#,
                r#""lang":"en_US","miniprogram_state":"trial","page":"pages/order/show?id=7&from=%E8%8C%B6","#,
                r#""template_id":"TEMPLATE","touser":"o-ann"}"#
            )
        );
    }

    #[test]
    fn what_is_not_given_is_left_out_or_has_its_default() {
        let content = object(json!({"template_id": "T", "data": {"thing1": "x"}}));
        let app = app(json!({}));
        let request = subscribe().request(&delivery(&app, &content, None)).unwrap();
        assert_eq!(
            body(&request),
            concat!(
                r#"{"data":{"thing1":{"value":"x"}},"lang":"zh_CN","miniprogram_state":"formal","#,
                r#""template_id":"T","touser":"o-ann"}"#
            )
        );
    }

    #[test]
    fn a_grant_is_counted_by_wechat_and_not_sent() {
        let content = object(json!({"template_id": "T", "data": {"thing1": "x"}}));
        let app = app(json!({}));
        let grant = Credential { source: "subscription", value: "" };
        let with = subscribe().request(&delivery(&app, &content, Some(grant))).unwrap();
        assert_eq!(with, subscribe().request(&delivery(&app, &content, None)).unwrap());
    }

    #[test]
    fn values_that_break_a_rule_are_named_each() {
        let content = object(json!({"data": {"phrase3": "sent", "thing1": "ok", "thing2": ""}}));
        let fields: Vec<String> =
            subscribe().check(&app(json!({})), &content).into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["data.phrase3", "data.thing2"]);
    }

    #[test]
    fn a_message_id_is_kept_where_wechat_gives_one() {
        let accepted = |provider_id: Option<&str>| Outcome::Accepted { provider_id: provider_id.map(str::to_owned) };
        let read = |body: &str| subscribe().read(&app(json!({})), &Response::new(200, body.as_bytes()));
        assert_eq!(
            read(r#"{"errcode":0,"errmsg":"ok","msgid":1975255432156323841}"#),
            accepted(Some("1975255432156323841"))
        );
        assert_eq!(read(r#"{"errcode":0,"errmsg":"ok"}"#), accepted(None));
    }

    #[test]
    fn a_user_without_a_grant_is_a_bad_credential() {
        let answer = br#"{"errcode":43101,"errmsg":"user refuse to accept the msg rid: 5f-1"}"#;
        assert_eq!(subscribe().read(&app(json!({})), &Response::new(200, answer)).name(), "credential_invalid");
    }

    #[test]
    fn there_is_no_window_in_which_a_second_copy_is_dropped() {
        assert_eq!(subscribe().rules().dedupe_window, None);
    }
}
