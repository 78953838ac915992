//! The errcodes the sandbox answers with, and their texts. What they mean to a sender is not decided here.

use std::borrow::Cow;

/// A refusal on its way to the caller; the reply adds the `rid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) errcode: i64,
    pub(crate) errmsg: Cow<'static, str>,
}

const fn code(errcode: i64, errmsg: &'static str) -> Refusal {
    Refusal { errcode, errmsg: Cow::Borrowed(errmsg) }
}

// wechat.md §1.3: the token endpoints.
pub(crate) const WRONG_SECRET: Refusal = code(40001, "invalid credential, appsecret is wrong");
pub(crate) const WRONG_GRANT_TYPE: Refusal = code(40002, "invalid grant_type");
pub(crate) const WRONG_APPID: Refusal = code(40013, "invalid appid");
pub(crate) const INVALID_APPSECRET: Refusal = code(40125, "invalid appsecret");
pub(crate) const APPID_MISSING: Refusal = code(41002, "appid missing");
pub(crate) const APPSECRET_MISSING: Refusal = code(41004, "appsecret missing");

// wechat.md §1.4: tokens at the send endpoints.
pub(crate) const TOKEN_NOT_LATEST: Refusal = code(40001, "invalid credential, access_token is invalid or not latest");
pub(crate) const TOKEN_MALFORMED: Refusal = code(40014, "invalid access_token");
pub(crate) const TOKEN_MISSING: Refusal = code(41001, "access_token missing");
pub(crate) const TOKEN_EXPIRED: Refusal = code(42001, "access_token expired");
pub(crate) const TOKEN_NOT_MINI_PROGRAM: Refusal = code(45063, "access_token is not of a mini program");
pub(crate) const API_UNAUTHORISED: Refusal = code(48001, "api unauthorized");

// wechat.md §6: quotas.
pub(crate) const DAILY_QUOTA: Refusal = code(45009, "reach max api daily quota limit");
pub(crate) const MINUTE_QUOTA: Refusal = code(45011, "api minute-quota reach limit, must slower, retry next minute");

// wechat.md §0, §7: bodies and methods.
pub(crate) const ESCAPED_CHARACTERS: Refusal =
    code(40033, "invalid charset. please check your request, if include \\uxxxx will create fail!");
pub(crate) const ESCAPED_CHARACTERS_47002: Refusal = code(47002, "data format error, do not use \\uxxxx");
pub(crate) const REQUIRE_GET: Refusal = code(43001, "require GET method");
pub(crate) const REQUIRE_POST: Refusal = code(43002, "require POST method");
pub(crate) const EMPTY_BODY: Refusal = code(44002, "empty post data");
pub(crate) const BODY_TOO_LARGE: Refusal = code(45002, "content size out of limit");
pub(crate) const NOT_JSON: Refusal = code(47001, "data format error");

// wechat.md §2-§4: sending.
pub(crate) const WRONG_OPENID: Refusal = code(40003, "invalid openid");
pub(crate) const WRONG_TEMPLATE: Refusal = code(40037, "invalid template_id");
pub(crate) const WRONG_URL: Refusal = code(40039, "invalid url size");
pub(crate) const WRONG_PAGEPATH: Refusal = code(40165, "invalid weapp pagepath");
pub(crate) const WRONG_MINI_PROGRAM: Refusal = code(40166, "invalid weapp appid");
pub(crate) const DUPLICATE: Refusal = code(40241, "duplicate message");
pub(crate) const WRONG_FORM_ID: Refusal = code(41028, "invalid form id");
pub(crate) const FORM_ID_USED: Refusal = code(41029, "form id used count reach limit");
pub(crate) const WRONG_PAGE: Refusal = code(41030, "invalid page");
pub(crate) const NOT_FOLLOWING: Refusal = code(43004, "require subscribe");
pub(crate) const BLOCKED: Refusal = code(43019, "require remove blacklist");
pub(crate) const NO_GRANT: Refusal = code(43101, "user refuse to accept the msg");
pub(crate) const RETIRED_45103: Refusal = code(45103, "this api is no longer supported");
pub(crate) const RETIRED_45109: Refusal = code(45109, "this api has been withdrawn");

/// `wechat.md §3`: 47003 names the field; the text spells "emtpy" so, and so do we.
pub(crate) fn value_refused(key: &str, is_empty: bool) -> Refusal {
    let what = if is_empty { "is emtpy" } else { "invalid" };
    Refusal { errcode: 47003, errmsg: Cow::Owned(format!("argument invalid! data.{key}.value {what}")) }
}

/// `wechat.md §3`: keys must match the template exactly.
pub(crate) fn keys_refused() -> Refusal {
    Refusal { errcode: 47003, errmsg: Cow::Borrowed("argument invalid! data keys do not match the template") }
}
