//! Requests counted by the line of the table that answers them.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tidings_engine::measure::Measures;

/// A method's name, for as long as the program runs.
pub(super) fn name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// Counts a request and how long it took, until its answer begins.
pub(super) async fn count(
    measures: Arc<Measures>,
    method: &'static str,
    route: &'static str,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let response = next.run(request).await;
    measures.answered(method, route, response.status().as_u16(), begun.elapsed());
    response
}
