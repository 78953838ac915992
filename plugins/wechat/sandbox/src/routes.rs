//! The provider's endpoints: reads a call off the wire, has it decided under the lock, and writes the reply.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, Request, Response};
use axum::routing::{MethodFilter, on};
use serde::Deserialize;

use crate::callback::PushEvent;
use crate::clock::Clock;
use crate::codes::{self, Refusal};
use crate::control::Control;
use crate::control_routes;
use crate::limits::PROVIDER_BODY_BYTES_MAX;
use crate::log::Api;
use crate::options::{ContentType, Options};
use crate::push::{Jobs, Pushes};
use crate::reply::{self, Reply};
use crate::send::{self, Rules};
use crate::world::{Call, TokenCall, World};

/// What every call shares. Only the world changes, and only under its lock, which is never held across an await.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    pub(crate) rules: Rules,
    pub(crate) pushes: Arc<Pushes>,
    content_type: ContentType,
    world: Mutex<World>,
}

impl Shared {
    pub(crate) fn new(mut options: Options) -> (Self, Jobs) {
        let clock = Clock::default();
        let rules = Rules {
            unknowns: options.unknowns,
            templates: std::mem::take(&mut options.templates),
            pages: std::mem::take(&mut options.pages),
        };
        let (pushes, jobs) = Pushes::new(options.callback.take());
        let (seed, content_type) = (options.seed, options.content_type);
        let world = Mutex::new(World::new(options, clock.now_ms()));
        (Self { clock, seed, rules, pushes: Arc::new(pushes), content_type, world }, jobs)
    }

    /// Pushes an event of an app to whoever is configured to hear it.
    pub(crate) fn push(&self, event: PushEvent, appid: &str) {
        let random = {
            let mut world = self.world();
            [world.random.next(), world.random.next(), world.random.next()]
        };
        self.pushes.push(event, appid, self.clock.now_ms(), random);
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        // A panic under the lock is a bug that a test will see; the others go on with what there is.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All routes, those of the provider and those under `/sandbox/`.
pub(crate) fn router(shared: Arc<Shared>, control: Control) -> Router {
    Router::new()
        .route("/cgi-bin/token", endpoint(Api::Token))
        .route("/cgi-bin/stable_token", endpoint(Api::StableToken))
        .route("/cgi-bin/message/wxopen/template/send", endpoint(Api::Template))
        .route("/cgi-bin/message/subscribe/send", endpoint(Api::Subscribe))
        .route("/cgi-bin/message/template/send", endpoint(Api::OfficialTemplate))
        .with_state(shared)
        .merge(control_routes::router(control))
}

/// `wechat.md §7`: 43001 and 43002 for the wrong method.
fn endpoint(api: Api) -> axum::routing::MethodRouter<Arc<Shared>> {
    let (method, wrong_method) = match api {
        Api::Token => (MethodFilter::GET, codes::REQUIRE_GET),
        _ => (MethodFilter::POST, codes::REQUIRE_POST),
    };
    on(method, move |State(shared): State<Arc<Shared>>, request: Request<Body>| async move {
        provide(&shared, api, request).await
    })
    .fallback(move |State(shared): State<Arc<Shared>>| async move {
        let now_ms = shared.clock.now_ms();
        let reply = Reply::Refused { refusal: wrong_method, rid: shared.world().random.rid(now_ms) };
        reply::render(Some(&reply), None, shared.content_type)
    })
}

async fn provide(shared: &Shared, api: Api, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = match read_body(&head.headers, body).await {
        Read::Whole(body) => Ok(body),
        Read::TooLarge => Err(codes::BODY_TOO_LARGE),
        Read::Broken => return reply::cut(),
    };
    let query = head.uri.query().unwrap_or_default();
    let call = read_call(api, query, body, &shared.rules);
    let (plan, decided, happened) = {
        let mut world = shared.world();
        // Time is read under the lock, so that the log's times rise with its numbers.
        let now_ms = shared.clock.now_ms();
        let (plan, decided) = world.answer(api, call, now_ms);
        (plan, decided, world.happened.take())
    };
    // At once: a push may overtake the answer to the send it is about, and does so when that is late.
    if let Some((event, appid)) = happened.filter(|_| shared.pushes.callback().is_some()) {
        shared.push(event, &appid);
    }
    if plan.latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(plan.latency_ms)).await;
    }
    reply::render(decided.as_ref(), plan.kind.as_deref(), shared.content_type)
}

enum Read {
    Whole(Bytes),
    TooLarge,
    /// The client went away within it: as if it had never called.
    Broken,
}

async fn read_body(headers: &HeaderMap, body: Body) -> Read {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > PROVIDER_BODY_BYTES_MAX) {
        return Read::TooLarge;
    }
    match to_bytes(body, PROVIDER_BODY_BYTES_MAX).await {
        Ok(bytes) => Read::Whole(bytes),
        Err(_) if announced.is_none() => Read::TooLarge,
        Err(_) => Read::Broken,
    }
}

fn read_call(api: Api, query: &str, body: Result<Bytes, Refusal>, rules: &Rules) -> Call {
    match api {
        Api::Token => Call::Token(TokenCall {
            grant_type: parameter(query, "grant_type").map(Cow::into_owned),
            appid: parameter(query, "appid").map(Cow::into_owned),
            secret: parameter(query, "secret").map(Cow::into_owned),
            force_refresh: false,
            fault: body.err(),
        }),
        Api::StableToken => Call::Token(
            body.and_then(|body| read_stable(&body))
                .unwrap_or_else(|fault| TokenCall { fault: Some(fault), ..TokenCall::default() }),
        ),
        _ => Call::Send {
            token: parameter(query, "access_token").map(Cow::into_owned),
            message: body.and_then(|body| send::read(api, &body, rules)),
        },
    }
}

fn read_stable(body: &[u8]) -> Result<TokenCall, Refusal> {
    #[derive(Deserialize)]
    struct StableBody {
        grant_type: Option<String>,
        appid: Option<String>,
        secret: Option<String>,
        #[serde(default)]
        force_refresh: bool,
    }
    if body.is_empty() {
        return Err(codes::EMPTY_BODY);
    }
    let body: StableBody = serde_json::from_slice(body).map_err(|_| codes::NOT_JSON)?;
    Ok(TokenCall {
        grant_type: body.grant_type,
        appid: body.appid,
        secret: body.secret,
        force_refresh: body.force_refresh,
        fault: None,
    })
}

/// One parameter of a query string, decoded only if it needs to be.
fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    if !value.contains(['%', '+']) {
        return Some(Cow::Borrowed(value));
    }
    let mut bytes = value.bytes();
    let mut decoded = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            plain => plain,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_parameter_is_found_by_its_whole_name_and_decoded() {
        let query = "my_appid=no&appid=wx1&secret=a%2Bb+c&empty=&broken=%4";
        assert_eq!(parameter(query, "appid").as_deref(), Some("wx1"));
        assert_eq!(parameter(query, "secret").as_deref(), Some("a+b c"));
        assert_eq!(parameter(query, "empty").as_deref(), Some(""));
        assert_eq!(parameter(query, "broken"), None);
        assert_eq!(parameter(query, "absent"), None);
    }
}
