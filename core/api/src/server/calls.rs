//! Every call of the API, as the callers of one door have it: what is done around each of them, whatever it is.
//!
//! These are plain steps around the routes and not layers of a router: a layer costs each call a copy of the service behind
//! it and a boxed future, and five of them cost a call as much as all that it asks for.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tidings_engine::EngineHandle;
use tidings_engine::config::ApiLimits;
use tidings_engine::trace::within;
use tidings_model::trace::TraceContext;

use super::caller::Caller;
use super::problem::from_framework;
use super::routes::Routes;

/// As W3C Trace Context has it: what the request is part of, at its caller.
const TRACEPARENT: &str = "traceparent";

/// As the draft of Trace Context Level 2 has it: what the request was part of, here.
const TRACERESPONSE: &str = "traceresponse";

/// The calls for those who come in by one door. Cheap to clone.
#[derive(Clone)]
pub struct Calls {
    shared: Arc<Shared>,
}

struct Shared {
    routes: Routes,
    door: Door,
}

/// How callers are known.
enum Door {
    /// Whoever may open the socket's file is this one.
    Local(Caller),
    /// By the key that is shown.
    Keyed(EngineHandle),
}

impl Calls {
    /// For callers that need no key: the local socket's.
    pub fn local(engine: EngineHandle, limits: ApiLimits) -> Calls {
        Calls::by(Door::Local(Caller::local()), Routes::new(engine, limits))
    }

    /// For callers that must show a key.
    pub fn keyed(engine: EngineHandle, limits: ApiLimits) -> Calls {
        Calls::by(Door::Keyed(engine.clone()), Routes::new(engine, limits))
    }

    fn by(door: Door, routes: Routes) -> Calls {
        Calls { shared: Arc::new(Shared { routes, door }) }
    }

    /// Answers a request: as part of the trace that it names, if it names one.
    pub(super) async fn answer(self, mut request: Request<Body>) -> Response {
        if let Some(caller) = self.shared.door.caller(request.headers()) {
            request.extensions_mut().insert(caller);
        }
        let named = request.headers().get(TRACEPARENT).and_then(|value| TraceContext::read(value.to_str().ok()?));
        let Some(context) = named else { return self.routed(request).await };
        let mut response = within(context, self.routed(request)).await;
        if let Ok(value) = HeaderValue::from_str(&context.to_string()) {
            response.headers_mut().insert(TRACERESPONSE, value);
        }
        response
    }

    async fn routed(&self, request: Request<Body>) -> Response {
        in_our_form(self.shared.routes.answer(request).await)
    }
}

impl Door {
    /// Who calls. One without a right key is nobody, for whom some calls are open.
    fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        match self {
            Door::Local(caller) => Some(caller.clone()),
            Door::Keyed(engine) => {
                let key = headers.get(header::AUTHORIZATION)?.to_str().ok().and_then(bearer)?;
                engine.key_holder(key).map(Caller::keyed)
            }
        }
    }
}

/// The key after `Bearer`, however that is written (RFC 9110 §11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}

/// Every error is a problem, whoever found it: the framework's own refusals too.
fn in_our_form(response: Response) -> Response {
    let status = response.status();
    let ours = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    let plain = status == StatusCode::SERVICE_UNAVAILABLE;
    if ours || plain || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut problem = from_framework(status).into_response();
    if let Some(allow) = allow {
        problem.headers_mut().insert(header::ALLOW, allow);
    }
    problem
}
