//! The table of calls, readable as a list of what the API does and who may, and the layers around all of them.

mod answer;
mod backup;
mod bulk;
mod channels;
mod credentials;
mod health;
mod messages;
mod overview;
mod plugins;
mod query;
mod schedules;
mod tokens;

use axum::extract::{DefaultBodyLimit, Request};
use axum::handler::Handler;
use axum::http::{StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Extension, Router};
use tidings_engine::EngineHandle;
use tidings_model::Scope;
use tidings_model::limits::REQUEST_BYTES_MAX;

use super::caller::Caller;
use super::problem::{Refused, forbidden, from_framework, local_only, no_route, unauthorised, unreadable};

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Anybody, without a key.
    Open,
    /// A key with this scope.
    Key(Scope),
    /// Whoever may open the local socket: the call touches the machine's files, and a key over TCP is not enough.
    Local,
}

/// One call: how it is asked for, who may, and what answers.
struct Endpoint {
    path: &'static str,
    access: Access,
    /// The query parameters it reads. One that nobody reads is a mistake, not a silence: `?dry_run` at a path without
    /// one would send.
    parameters: &'static [&'static str],
    handler: MethodRouter<EngineHandle>,
}

fn call<H, T>(
    method: MethodFilter,
    path: &'static str,
    access: Access,
    parameters: &'static [&'static str],
    handler: H,
) -> Endpoint
where
    H: Handler<T, EngineHandle>,
    T: 'static,
{
    Endpoint { path, access, parameters, handler: on(method, handler) }
}

/// Everything the API does.
fn endpoints() -> Vec<Endpoint> {
    use Access::{Key, Local, Open};
    use Scope::{Collect, Operate, Read, Send};
    const GET: MethodFilter = MethodFilter::GET;
    const POST: MethodFilter = MethodFilter::POST;
    const LIST: &[&str] = &["state", "reason", "channel", "template", "to", "limit", "cursor"];
    const LEDGER: &[&str] = &["source", "recipient", "usable", "limit", "cursor"];
    vec![
        call(GET, "/v1/overview", Key(Read), &[], overview::overview),
        call(GET, "/v1/messages", Key(Read), LIST, messages::list_messages),
        call(POST, "/v1/messages", Key(Send), &["dry_run"], messages::send_message),
        call(POST, "/v1/messages/bulk", Key(Send), &[], bulk::send_bulk),
        call(GET, "/v1/messages/reasons", Key(Read), &["state", "channel"], messages::list_reasons),
        call(POST, "/v1/messages/retry", Key(Operate), &[], messages::retry_many),
        call(GET, "/v1/messages/{id}", Key(Read), &[], messages::show_message),
        call(POST, "/v1/messages/{id}/cancel", Key(Operate), &[], messages::cancel_message),
        call(POST, "/v1/messages/{id}/retry", Key(Operate), &[], messages::retry_message),
        call(POST, "/v1/messages/{id}/hold", Key(Operate), &[], messages::hold_message),
        call(POST, "/v1/messages/{id}/release", Key(Operate), &[], messages::release_message),
        call(GET, "/v1/credentials", Key(Read), LEDGER, credentials::list_credentials),
        call(POST, "/v1/credentials/{source}", Key(Collect), &["app"], credentials::add_credentials),
        call(GET, "/v1/channels", Key(Read), &[], channels::list_channels),
        call(POST, "/v1/channels/{name}/pause", Key(Operate), &[], channels::pause_channel),
        call(POST, "/v1/channels/{name}/resume", Key(Operate), &[], channels::resume_channel),
        call(GET, "/v1/plugins", Key(Read), &[], plugins::list_plugins),
        call(GET, "/v1/tokens", Key(Read), &[], tokens::list_tokens),
        call(POST, "/v1/tokens/{app}/refresh", Key(Operate), &[], tokens::refresh_token),
        call(GET, "/v1/schedules", Key(Read), &[], schedules::list_schedules),
        call(GET, "/v1/runs", Key(Read), &["schedule", "limit", "cursor"], schedules::list_runs),
        call(POST, "/v1/backup", Local, &[], backup::backup),
        call(GET, "/healthz", Open, &[], health::healthz),
        call(GET, "/readyz", Open, &[], health::readyz),
    ]
}

/// The calls, for requests that carry their [`Caller`].
pub(super) fn routes(engine: EngineHandle) -> Router {
    let mut router = Router::new();
    for Endpoint { path, access, parameters, handler } in endpoints() {
        let check = move |request: Request, next: Next| pass(access, parameters, request, next);
        router = router.route(path, handler.route_layer(middleware::from_fn(check)));
    }
    router
        .fallback(missing)
        .method_not_allowed_fallback(other_method)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .layer(middleware::map_response(in_our_form))
        .with_state(engine)
}

/// Lets a request through that its line in the table allows.
async fn pass(
    access: Access,
    parameters: &'static [&'static str],
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let caller = request.extensions().get::<Caller>();
    match access {
        Access::Open => {}
        Access::Key(scope) => match caller {
            Some(caller) if caller.scopes.contains(scope) => {}
            Some(caller) => return Err(forbidden(&caller.name, scope)),
            None => return Err(unauthorised()),
        },
        Access::Local => match caller {
            Some(caller) if caller.local => {}
            Some(_) => return Err(local_only()),
            None => return Err(unauthorised()),
        },
    }
    let is_v1 = request.uri().path().starts_with("/v1/");
    for pair in request.uri().query().filter(|_| is_v1).unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default();
        if !parameters.contains(&name) {
            return Err(unknown_parameter(name, parameters));
        }
    }
    Ok(next.run(request).await)
}

fn unknown_parameter(name: &str, known: &[&str]) -> Refused {
    let known =
        if known.is_empty() { "this path takes none".to_owned() } else { format!("known: {}", known.join(", ")) };
    unreadable(format!("unknown parameter `{}`; {known}", name.escape_debug()))
}

/// Every error is a problem, whoever found it: the framework's own refusals too.
async fn in_our_form(response: Response) -> Response {
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

/// A stranger learns no paths.
async fn missing(caller: Option<Extension<Caller>>, uri: Uri) -> Refused {
    if caller.is_some() { no_route(uri.path()) } else { unauthorised() }
}

/// Nor what may be done at one.
async fn other_method(caller: Option<Extension<Caller>>) -> Refused {
    if caller.is_some() { from_framework(StatusCode::METHOD_NOT_ALLOWED) } else { unauthorised() }
}
