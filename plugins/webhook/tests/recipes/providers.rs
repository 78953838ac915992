//! How the providers of the recipes answer, as they document it. A message says which of their moods it wants: one that
//! has `too fast` in it meets the limit, and so on. Keys and recipients are the constants here.

use serde_json::{Value, json};

use super::stand_in::{Answer, Received};

/// Keys that the stand-ins know.
pub(crate) const NTFY_TOKEN: &str = "tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2";
pub(crate) const SLACK_WEBHOOK: &str = "T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX";
pub(crate) const TELEGRAM_TOKEN: &str = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11";
pub(crate) const WECOM_KEY: &str = "693axxx6-7aoc-4bc4-97a0-0ec2sifa5aaa";
pub(crate) const DINGTALK_TOKEN: &str = "566cc69da782ec33e42541b6f08e551ebefbb2db9f0c1e7a9ee5b3b1f2e8a1b2";
pub(crate) const FEISHU_HOOK: &str = "5b2f1d6e-0000-4000-8000-8f1f2e3d4c5b";

/// <https://docs.ntfy.sh/publish/#publish-as-json>, and the codes of its server.
pub(crate) fn ntfy(request: &Received) -> Answer {
    let refuse = |status: u16, code: u32, error: &str| {
        Answer::new(status, json!({"code": code, "http": status, "error": error, "link": "https://ntfy.sh/docs"}))
    };
    if (request.method.as_str(), request.path.as_str()) != ("POST", "/") {
        return refuse(404, 40401, "page not found");
    }
    if request.header("authorization") != format!("Bearer {NTFY_TOKEN}") {
        return refuse(401, 40101, "unauthorized");
    }
    let Some(message) = request.json() else { return refuse(400, 40024, "invalid request: request body must be JSON") };
    let topic = message["topic"].as_str().unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if topic.is_empty() || topic.len() > 64 || !topic.chars().all(fits) {
        return refuse(400, 40009, "invalid request: topic invalid");
    }
    match message["message"].as_str().unwrap_or_default() {
        _ if topic == "reserved" => refuse(403, 40301, "forbidden"),
        text if text.contains("too fast") => refuse(429, 42901, "limit reached: too many requests"),
        text if text.contains("too many today") => refuse(429, 42908, "limit reached: daily message quota reached"),
        text => Answer::new(200, json!({"id": "sPs71M8A2T", "event": "message", "topic": topic, "message": text})),
    }
}

/// <https://api.slack.com/messaging/webhooks>, and the changelog of 2016-05-17.
pub(crate) fn slack(request: &Received) -> Answer {
    let Some(hook) = request.path.strip_prefix("/services/") else { return Answer::new(404, "no_service") };
    if hook != SLACK_WEBHOOK {
        return Answer::new(403, "invalid_token");
    }
    let Some(message) = request.json() else { return Answer::new(400, "invalid_payload") };
    match message["text"].as_str().unwrap_or_default() {
        "" => Answer::new(400, "no_text"),
        text if text.contains("too fast") => Answer::new(429, "rate_limited").header("Retry-After", 30),
        text if text.contains("archived") => Answer::new(410, "channel_is_archived"),
        text if text.contains("trouble") => Answer::new(500, "rollup_error"),
        _ => Answer::new(200, "ok"),
    }
}

/// <https://core.telegram.org/bots/api#making-requests> and `#sendmessage`.
pub(crate) fn telegram(request: &Received) -> Answer {
    let refuse = |status: u16, description: &str, parameters: Value| {
        let mut body = json!({"ok": false, "error_code": status, "description": description});
        if !parameters.is_null() {
            body["parameters"] = parameters;
        }
        Answer::new(status, body)
    };
    let Some((token, call)) = request.path.strip_prefix("/bot").and_then(|rest| rest.split_once('/')) else {
        return refuse(404, "Not Found", Value::Null);
    };
    let is_token = token.split_once(':').is_some_and(|(id, _)| id.parse::<u64>().is_ok());
    if !is_token {
        return refuse(404, "Not Found", Value::Null);
    }
    if token != TELEGRAM_TOKEN {
        return refuse(401, "Unauthorized", Value::Null);
    }
    if call != "sendMessage" {
        return refuse(404, "Not Found", Value::Null);
    }
    let message = request.json().unwrap_or_default();
    let text = message["text"].as_str().unwrap_or_default();
    match message["chat_id"].as_str().unwrap_or_default() {
        _ if text.is_empty() => refuse(400, "Bad Request: message text is empty", Value::Null),
        _ if text.contains("too fast") => refuse(429, "Too Many Requests: retry after 14", json!({"retry_after": 14})),
        "404" => refuse(400, "Bad Request: chat not found", Value::Null),
        "403" => refuse(403, "Forbidden: bot was blocked by the user", Value::Null),
        chat => {
            Answer::new(200, json!({"ok": true, "result": {"message_id": 365, "chat": {"id": chat}, "text": text}}))
        }
    }
}

/// <https://developer.work.weixin.qq.com/document/path/91770>.
pub(crate) fn wecom(request: &Received) -> Answer {
    let say = |code: i64, words: &str| Answer::new(200, json!({"errcode": code, "errmsg": words}));
    if (request.method.as_str(), request.path.as_str()) != ("POST", "/cgi-bin/webhook/send") {
        return Answer::new(404, "");
    }
    if request.parameter("key") != WECOM_KEY {
        let key = request.parameter("key");
        return say(
            93000,
            &format!(
                "invalid webhook url, hint: [{key}], more info at https://open.work.weixin.qq.com/devtool/query?e=93000"
            ),
        );
    }
    let message = request.json().unwrap_or_default();
    if message["msgtype"] != "text" {
        return say(40008, "invalid message type");
    }
    match message["text"]["content"].as_str().unwrap_or_default() {
        "" => say(44004, "text content is empty"),
        text if text.len() > 2048 => say(40058, "text.content exceed max length 2048"),
        text if text.contains("too fast") => say(45009, "api freq out of limit"),
        text if text.contains("trouble") => say(-1, "system busy"),
        text if text.contains("gateway") => Answer::new(502, "<html>bad gateway</html>"),
        _ => say(0, "ok"),
    }
}

/// <https://open.dingtalk.com/document/robots/custom-robot-access>; the robot's keyword is `Tidings`.
pub(crate) fn dingtalk(request: &Received) -> Answer {
    let say = |code: i64, words: &str| Answer::new(200, json!({"errcode": code, "errmsg": words}));
    if request.path != "/robot/send" {
        return Answer::new(404, "");
    }
    if request.method != "POST" {
        return say(43002, "需要POST请求");
    }
    if request.parameter("access_token") != DINGTALK_TOKEN {
        return say(300005, "token is not exist");
    }
    let Some(message) = request.json() else { return say(43004, "无效的HTTP HEADER Content-Type") };
    if message["msgtype"] != "text" {
        return say(400105, "unsupported msgtype");
    }
    match message["text"]["content"].as_str().unwrap_or_default() {
        text if !text.contains("Tidings") => say(310000, "keywords not in content"),
        text if text.contains("too fast") => say(130101, "send too fast, exceed 20 times per minute"),
        text if text.contains("stopped") => say(400102, "bot is stopped"),
        text if text.contains("trouble") => say(-1, "系统繁忙"),
        _ => say(0, "ok"),
    }
}

/// <https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot>; the bot's keyword is `Tidings`.
pub(crate) fn feishu(request: &Received) -> Answer {
    let say = |code: i64, words: &str| Answer::new(200, json!({"code": code, "msg": words, "data": {}}));
    let hook = request.path.strip_prefix("/open-apis/bot/v2/hook/").unwrap_or_default();
    if hook != FEISHU_HOOK {
        return say(19001, "param invalid: incoming webhook access token invalid");
    }
    let Some(message) = request.json().filter(|_| request.body.len() <= 20 * 1024) else {
        return say(9499, "Bad Request");
    };
    if message["msg_type"] != "text" {
        return say(9499, "Bad Request");
    }
    match message["content"]["text"].as_str().unwrap_or_default() {
        text if !text.contains("Tidings") => say(19024, "Key Words Not Found"),
        text if text.contains("too fast") => {
            say(11232, "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]")
        }
        text if text.contains("too many") => {
            Answer::new(400, json!({"code": 99991400, "msg": "request trigger frequency limit"}))
        }
        _ => Answer::new(
            200,
            json!({"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"}),
        ),
    }
}
