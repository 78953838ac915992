//! What is looked at before a call: who asks, for what, how fast, how much.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::Method;
use axum::response::{IntoResponse as _, Response};
use tidings_engine::EngineHandle;
use tidings_engine::config::ApiLimits;

use super::endpoint::{Access, Endpoint, Handling};
use crate::server::body::{Memory, take};
use crate::server::caller::Caller;
use crate::server::idempotency;
use crate::server::problem::{Refused, forbidden, key_unread, local_only, unauthorised, unreadable};
use crate::server::rates::Rates;

/// What all calls are measured by.
pub(super) struct Bearing {
    memory: Arc<Memory>,
    rates: Rates,
    engine: EngineHandle,
}

impl Bearing {
    pub(super) fn new(engine: EngineHandle, limits: ApiLimits) -> Bearing {
        let memory = Memory::of(limits.bodies_mib as usize * 1024 * 1024);
        Bearing { memory, rates: Rates::of(limits.rate), engine }
    }
}

/// One call behind what is looked at before it, of its line in the table.
pub(super) struct Gate {
    pub(super) method: Method,
    method_name: &'static str,
    path: &'static str,
    access: Access,
    parameters: &'static [&'static str],
    is_idempotent: bool,
    /// `None` if the body is read while it comes.
    body_bytes_max: Option<usize>,
    handler: Handling,
    bearing: Arc<Bearing>,
}

impl Gate {
    pub(super) fn new(endpoint: Endpoint, bearing: &Arc<Bearing>) -> Gate {
        let is_open = endpoint.path == "/metrics" && bearing.engine.metrics_are_open();
        Gate {
            method_name: endpoint.method_name(),
            body_bytes_max: (!endpoint.is_streamed()).then_some(endpoint.body_bytes_max),
            method: endpoint.method,
            path: endpoint.path,
            access: if is_open { Access::Open } else { endpoint.access },
            parameters: endpoint.parameters,
            is_idempotent: endpoint.is_idempotent,
            handler: endpoint.handler,
            bearing: Arc::clone(bearing),
        }
    }

    /// Answers a request, and counts it.
    pub(super) async fn answer(&self, request: Request) -> Response {
        let begun = Instant::now();
        let response = self.pass(request).await.unwrap_or_else(Refused::into_response);
        let measures = self.bearing.engine.measures();
        measures.answered(self.method_name, self.path, response.status().as_u16(), begun.elapsed());
        response
    }

    /// Lets a request through that its line in the table allows, with its whole body.
    async fn pass(&self, mut request: Request) -> Result<Response, Refused> {
        let caller = request.extensions().get::<Caller>();
        match self.access {
            Access::Open => {}
            Access::Key(scope) => match caller {
                Some(caller) if caller.scopes.contains(scope) => {}
                Some(caller) => return Err(forbidden(&caller.name, scope)),
                None => return Err(unauthorised()),
            },
            Access::AnyKey if caller.is_some() => {}
            Access::AnyKey => return Err(unauthorised()),
            Access::Local => match caller {
                Some(caller) if caller.local => {}
                Some(_) => return Err(local_only()),
                None => return Err(unauthorised()),
            },
        }
        let query = request.uri().query().filter(|_| self.path.starts_with("/v1/")).unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            if !self.parameters.contains(&name) {
                return Err(unknown_parameter(name, self.parameters));
            }
        }
        let Bearing { memory, rates, engine } = &*self.bearing;
        if let Some(caller) = caller.filter(|caller| !caller.local)
            && let Some(too_fast) = rates.take(&caller.name, caller.rate, engine.now())
        {
            return Ok(too_fast);
        }
        if !self.is_idempotent && request.headers().contains_key(idempotency::HEADER) {
            return Err(key_unread());
        }
        let Some(bytes_max) = self.body_bytes_max else { return Ok((self.handler)(request, engine.clone()).await) };
        let _held = take(&mut request, bytes_max, memory).await?;
        Ok((self.handler)(request, engine.clone()).await)
    }
}

fn unknown_parameter(name: &str, known: &[&str]) -> Refused {
    let known =
        if known.is_empty() { "this path takes none".to_owned() } else { format!("known: {}", known.join(", ")) };
    unreadable(format!("unknown parameter `{}`; {known}", name.escape_debug()))
}
