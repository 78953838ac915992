//! Whether the engine lives, and whether it takes work.
//!
//! Alive is what a restart would mend: the process answers. Ready is what a balancer, or a human, asks: would a message be
//! taken and sent on now? Anybody may ask, so nothing is told of where things are.

use std::collections::HashMap;

use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tidings_engine::EngineHandle;
use tidings_engine::measure::WriterHealth;

use super::answer::{Answer, json};
use super::query::{Asked, flag};
use crate::wire::{Check, Health};

pub(super) async fn healthz(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    if !verbose(&query)? {
        return Ok("ok\n".into_response());
    }
    let health = Health {
        ok: true,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: engine.started_at().to_rfc3339(),
        checks: Vec::new(),
    };
    Ok(json(StatusCode::OK, &health))
}

/// Ready while messages are taken and claimed: not while the engine stops, nor while its store takes nothing.
pub(super) async fn readyz(Shared(engine): Shared<EngineHandle>, Query(query): Asked) -> Answer<Response> {
    let verbose = verbose(&query)?;
    let checks = checks(&engine).await;
    let trouble = checks.iter().find(|check| !check.ok);
    let status = if trouble.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if verbose {
        let health = Health {
            ok: trouble.is_none(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: engine.started_at().to_rfc3339(),
            checks,
        };
        return Ok(json(status, &health));
    }
    let text = trouble.and_then(|check| check.detail.as_deref()).unwrap_or("ready");
    Ok((status, format!("{text}\n")).into_response())
}

fn verbose(query: &HashMap<String, String>) -> Answer<bool> {
    flag(query, "verbose")
}

async fn checks(engine: &EngineHandle) -> Vec<Check> {
    let check = |name: &str, detail: Option<String>| Check { name: name.to_owned(), ok: detail.is_none(), detail };
    let writer = match engine.measures().writer() {
        WriterHealth::Well => None,
        WriterHealth::Failing(times) => Some(format!("the store has not taken the last {times} transactions")),
        WriterHealth::Stuck(since) => {
            Some(format!("the store has not answered for {} s; look at its disk", since.as_secs()))
        }
    };
    let reader = engine.counts().await.err().map(|_| "the store cannot be read; the log says why".to_owned());
    vec![
        check("engine", engine.is_draining().then(|| "stopping".to_owned())),
        check("disk", engine.store_problem().map(|_| "the disk is full".to_owned())),
        check("clock", engine.clock_problem()),
        check("writer", writer),
        check("reader", reader),
    ]
}
