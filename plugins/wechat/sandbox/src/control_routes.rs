//! The control plane over HTTP, under `/sandbox/`: JSON in, JSON out, 400 with a sentence for what makes no sense.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::callback::Callback;
use crate::control::{Control, ControlError};
use crate::faults::Fault;
use crate::limits::{CONTROL_BODY_BYTES_MAX, LOG_PAGE_DEFAULT, LOG_PAGE_MAX};
use crate::token::TokenDeath;
use crate::users::UserState;

pub(crate) fn router(control: Control) -> Router {
    Router::new()
        .route("/sandbox", get(async || HELP))
        .route("/sandbox/", get(async || HELP))
        .route("/sandbox/form_ids", post(form_ids))
        .route("/sandbox/prepay_ids", post(prepay_ids))
        .route("/sandbox/grants", post(grants))
        .route("/sandbox/users", post(users))
        .route("/sandbox/answers", post(answers))
        .route("/sandbox/callback", post(check_callback).put(set_callback).delete(clear_callback))
        .route("/sandbox/pushes", get(async |State(control): State<Control>| written(&control.pushes())))
        .route("/sandbox/log", get(log))
        .route("/sandbox/counts", get(async |State(control): State<Control>| written(&control.counts())))
        .route("/sandbox/clock", post(clock))
        .route("/sandbox/faults", get(list_faults).put(set_faults).delete(clear_faults))
        .route("/sandbox/tokens/expire", post(expire_tokens))
        .with_state(control)
}

const HELP: &str = "\
WeChat's message-sending server, simulated.

Provider:
  GET  /cgi-bin/token?grant_type=client_credential&appid=A&secret=S
  POST /cgi-bin/stable_token                  {grant_type, appid, secret, force_refresh?}
  POST /cgi-bin/message/wxopen/template/send  mini-program template message (form_id or prepay_id)
  POST /cgi-bin/message/subscribe/send        mini-program subscription message (grant)
  POST /cgi-bin/message/template/send         service-account template message (client_msg_id)

Control (appid is optional everywhere; the first app is meant):
  POST   /sandbox/form_ids       {openid, count?, appid?}               -> {form_ids}
  POST   /sandbox/prepay_ids     {openid, count?, appid?}               -> {prepay_ids}
  POST   /sandbox/grants         {openid, template_id, count?, appid?}  -> {grants}
  POST   /sandbox/users          {openid, state, appid?}   following | unfollowed | blocked | refusing | foreign
  POST   /sandbox/answers        {openid, template_id, answer, appid?}  accept | reject | withdraw; it is pushed
  PUT    /sandbox/callback       {url, token, key?, format?, copies?}   where events are pushed; format xml | json
  POST   /sandbox/callback       DELETE /sandbox/callback               POST checks the address as WeChat's console does
  GET    /sandbox/pushes                                                -> the last pushes and their answers
  GET    /sandbox/log?after=SEQ&limit=N                                 -> {deliveries, next, dropped}
  GET    /sandbox/counts                                                -> calls by endpoint and errcode
  POST   /sandbox/clock          {advance_seconds}                      -> {now}
  PUT    /sandbox/faults         [rules]                                -> {faults, struck}
  GET    /sandbox/faults         DELETE /sandbox/faults
  POST   /sandbox/tokens/expire  {errcode?, appid?}       40001 (default) or 42001
";

/// A control call that made no sense: 400 and a sentence.
struct Refused(String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, self.0).into_response()
    }
}

impl From<ControlError> for Refused {
    fn from(error: ControlError) -> Self {
        Self(error.to_string())
    }
}

type Answer = Result<Response, Refused>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mint {
    openid: String,
    #[serde(default = "one")]
    count: u64,
    appid: Option<String>,
}

fn one() -> u64 {
    1
}

async fn form_ids(State(control): State<Control>, request: Request) -> Answer {
    let mint: Mint = read(request).await?;
    let form_ids = control.mint_form_ids(&app(&control, mint.appid), &mint.openid, mint.count)?;
    Ok(written(&json!({ "form_ids": form_ids })))
}

async fn prepay_ids(State(control): State<Control>, request: Request) -> Answer {
    let mint: Mint = read(request).await?;
    let prepay_ids = control.mint_prepay_ids(&app(&control, mint.appid), &mint.openid, mint.count)?;
    Ok(written(&json!({ "prepay_ids": prepay_ids })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grants {
    openid: String,
    template_id: String,
    #[serde(default = "one")]
    count: u64,
    appid: Option<String>,
}

async fn grants(State(control): State<Control>, request: Request) -> Answer {
    let grants: Grants = read(request).await?;
    let appid = app(&control, grants.appid);
    let left = control.grant(&appid, &grants.openid, &grants.template_id, grants.count)?;
    Ok(written(&json!({ "grants": left })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    openid: String,
    state: UserState,
    appid: Option<String>,
}

async fn users(State(control): State<Control>, request: Request) -> Answer {
    let user: User = read(request).await?;
    control.set_user(&app(&control, user.appid), &user.openid, user.state)?;
    Ok(written(&json!({ "openid": user.openid, "state": user.state })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    openid: String,
    template_id: String,
    answer: Kind,
    appid: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Accept,
    Reject,
    Withdraw,
}

async fn answers(State(control): State<Control>, request: Request) -> Answer {
    let Answered { openid, template_id, answer, appid } = read(request).await?;
    let appid = app(&control, appid);
    match answer {
        Kind::Accept => control.answer(&appid, &openid, &template_id, true)?,
        Kind::Reject => control.answer(&appid, &openid, &template_id, false)?,
        Kind::Withdraw => control.withdraw(&appid, &openid, &template_id)?,
    }
    Ok(written(&json!({ "answered": true })))
}

async fn set_callback(State(control): State<Control>, request: Request) -> Answer {
    let callback: Callback = read(request).await?;
    control.set_callback(Some(callback))?;
    Ok(written(&json!({ "callback": true })))
}

async fn clear_callback(State(control): State<Control>) -> Answer {
    control.set_callback(None)?;
    Ok(written(&json!({ "callback": false })))
}

async fn check_callback(State(control): State<Control>) -> Answer {
    control.check_callback(&control.default_appid())?;
    Ok(written(&json!({ "checked": true })))
}

async fn log(State(control): State<Control>, request: Request) -> Answer {
    let (mut after, mut limit) = (0, LOG_PAGE_DEFAULT);
    for pair in request.uri().query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("after", value)) => after = number("after", value)?,
            Some(("limit", value)) => {
                limit = usize::try_from(number("limit", value)?).unwrap_or(usize::MAX);
            }
            _ => return Err(Refused(format!("`{pair}` is not a parameter of the log, expected `after` or `limit`"))),
        }
    }
    if !(1..=LOG_PAGE_MAX).contains(&limit) {
        return Err(Refused(format!("`limit` is {limit}, expected 1 to {LOG_PAGE_MAX}")));
    }
    Ok(written(&control.log_since(after, limit)))
}

fn number(name: &str, text: &str) -> Result<u64, Refused> {
    text.parse().map_err(|_| Refused(format!("`{name}` is `{text}`, expected a whole number from 0")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    advance_seconds: i64,
}

async fn clock(State(control): State<Control>, request: Request) -> Answer {
    let step: Step = read(request).await?;
    let now_ms = control.advance_clock(step.advance_seconds)?;
    Ok(written(&json!({ "now": now_ms })))
}

async fn set_faults(State(control): State<Control>, request: Request) -> Answer {
    let faults: Vec<Fault> = read(request).await?;
    if faults.iter().any(Fault::locks_out) {
        let sentence = "`refuse` on every connection would refuse the one that takes it back too; give it `times`";
        return Err(Refused(sentence.to_owned()));
    }
    control.set_faults(faults)?;
    Ok(written(&control.faults()))
}

async fn list_faults(State(control): State<Control>) -> Response {
    written(&control.faults())
}

async fn clear_faults(State(control): State<Control>) -> Response {
    control.clear_faults();
    written(&control.faults())
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expire {
    #[serde(default)]
    errcode: TokenDeath,
    appid: Option<String>,
}

async fn expire_tokens(State(control): State<Control>, request: Request) -> Answer {
    let expire: Expire = read_or_default(request).await?;
    control.expire_tokens(&app(&control, expire.appid), expire.errcode)?;
    Ok(written(&json!({ "expired": true })))
}

fn app(control: &Control, named: Option<String>) -> String {
    named.unwrap_or_else(|| control.default_appid())
}

async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Refused> {
    parse(&body(request.into_body()).await?)
}

async fn read_or_default<T: DeserializeOwned + Default>(request: Request) -> Result<T, Refused> {
    let bytes = body(request.into_body()).await?;
    if bytes.is_empty() { Ok(T::default()) } else { parse(&bytes) }
}

async fn body(body: Body) -> Result<axum::body::Bytes, Refused> {
    to_bytes(body, CONTROL_BODY_BYTES_MAX)
        .await
        .map_err(|_| Refused(format!("the body is longer than {CONTROL_BODY_BYTES_MAX} bytes, or broke off")))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(bytes).map_err(|error| Refused(format!("the body was not understood: {error}")))
}

fn written<T: Serialize>(value: &T) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
