//! The trace that a request belongs to, as its caller says (W3C Trace Context).

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use tidings_engine::trace::within;
use tidings_model::trace::TraceContext;

const TRACEPARENT: &str = "traceparent";

/// As the draft of Trace Context Level 2 has it: what the request was part of, here.
const TRACERESPONSE: &str = "traceresponse";

/// Answers a request as part of the trace that it names. One that names none, or not as it should, belongs to none, and
/// costs a look.
pub(super) async fn traced(request: Request, next: Next) -> Response {
    let named = request.headers().get(TRACEPARENT).and_then(|value| TraceContext::read(value.to_str().ok()?));
    let Some(context) = named else { return next.run(request).await };
    let mut response = within(context, next.run(request)).await;
    if let Ok(value) = HeaderValue::from_str(&context.to_string()) {
        response.headers_mut().insert(TRACERESPONSE, value);
    }
    response
}
