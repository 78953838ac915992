//! One call as its line in the table has it: how it is asked for, who may, what it takes and what it answers.
//!
//! The router is made from these lines, and so is the description that callers read: neither can say what the other
//! does not.

use std::pin::Pin;
use std::sync::Arc;

use axum::extract::Request;
use axum::handler::Handler;
use axum::http::Method;
use axum::response::Response;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use tidings_engine::EngineHandle;
use tidings_model::Scope;

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Access {
    /// Anybody, without a key.
    Open,
    /// Any key, whatever it is for.
    AnyKey,
    /// A key with this scope.
    Key(Scope),
    /// Whoever may open the local socket: the call touches the machine's files, and a key over TCP is not enough.
    Local,
}

/// One call.
pub(in crate::server) struct Endpoint {
    pub(in crate::server) method: Method,
    pub(in crate::server) path: &'static str,
    pub(in crate::server) access: Access,
    /// The query parameters it reads. One that nobody reads is a mistake, not a silence: `?dry_run` at a path without
    /// one would send.
    pub(in crate::server) parameters: &'static [&'static str],
    /// What it does, in a line.
    pub(in crate::server) summary: &'static str,
    /// Whether the header `Idempotency-Key` is read.
    pub(in crate::server) is_idempotent: bool,
    /// Bytes that its body may have, if it is read as a whole.
    pub(in crate::server) body_bytes_max: usize,
    /// Whether it may come without a body.
    pub(in crate::server) body_is_optional: bool,
    /// What its body may be.
    pub(in crate::server) takes: Vec<Content>,
    /// What it answers when it does what was asked.
    pub(in crate::server) gives: Vec<(u16, Content)>,
    /// The problems that are its own; those that any such call may meet are not named.
    pub(in crate::server) refuses: Vec<&'static str>,
    pub(in crate::server) handler: Handling,
}

/// What makes the answer to a request.
pub(in crate::server) type Handling = Arc<dyn Fn(Request, EngineHandle) -> Answering + Send + Sync>;

/// An answer that is being made.
pub(in crate::server) type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// What a body is.
#[derive(Clone, Copy)]
pub(in crate::server) struct Content {
    pub(in crate::server) media: &'static str,
    pub(in crate::server) form: Form,
    /// One value of it; none where it is text for people or for another standard to describe.
    pub(in crate::server) schema: Option<fn(&mut SchemaGenerator) -> Schema>,
}

/// How values stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Form {
    /// The body is the value.
    One,
    /// A value in each line, or in each event: it is read while it comes.
    Many,
}

pub(super) const JSON: &str = "application/json";
pub(super) const NDJSON: &str = "application/x-ndjson";
pub(super) const EVENT_STREAM: &str = "text/event-stream";
pub(super) const FORM: &str = "application/x-www-form-urlencoded";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// Bytes of a body, for a call that does not say: an act and its note.
const BODY_BYTES_DEFAULT: usize = 64 * 1024;

/// A call, to be described by what follows: [`Endpoint::says`] and [`Endpoint::gives`] at least.
pub(super) fn call<H, T>(
    method: Method,
    path: &'static str,
    access: Access,
    parameters: &'static [&'static str],
    handler: H,
) -> Endpoint
where
    H: Handler<T, EngineHandle, Future = Answering> + Sync,
    T: 'static,
{
    Endpoint {
        method,
        path,
        access,
        parameters,
        summary: "",
        is_idempotent: false,
        body_bytes_max: BODY_BYTES_DEFAULT,
        body_is_optional: false,
        takes: Vec::new(),
        gives: Vec::new(),
        refuses: Vec::new(),
        handler: Arc::new(move |request, engine| handler.clone().call(request, engine)),
    }
}

impl Endpoint {
    /// What it does, in a line.
    pub(super) fn says(mut self, summary: &'static str) -> Endpoint {
        self.summary = summary;
        self
    }

    /// Its method, by which it is counted.
    pub(super) fn method_name(&self) -> &'static str {
        match self.method.as_str() {
            "GET" => "GET",
            "POST" => "POST",
            "PUT" => "PUT",
            "PATCH" => "PATCH",
            "DELETE" => "DELETE",
            _ => "other",
        }
    }

    /// A JSON body.
    pub(super) fn takes<T: JsonSchema>(self) -> Endpoint {
        self.takes_as::<T>(JSON, Form::One)
    }

    /// A JSON body, or none.
    pub(super) fn may_take<T: JsonSchema>(self) -> Endpoint {
        self.takes::<T>().or_nothing()
    }

    /// It may come without a body: one of no lines, say, asks for nothing and is given that.
    pub(super) fn or_nothing(mut self) -> Endpoint {
        self.body_is_optional = true;
        self
    }

    /// A body of another media type. Said once more, the caller has the choice.
    pub(super) fn takes_as<T: JsonSchema>(mut self, media: &'static str, form: Form) -> Endpoint {
        self.takes.push(Content { media, form, schema: Some(SchemaGenerator::subschema_for::<T>) });
        self
    }

    /// A JSON answer.
    pub(super) fn gives<T: JsonSchema>(self, status: u16) -> Endpoint {
        self.gives_as::<T>(status, JSON, Form::One)
    }

    /// An answer of values of another media type.
    pub(super) fn gives_as<T: JsonSchema>(mut self, status: u16, media: &'static str, form: Form) -> Endpoint {
        self.gives.push((status, Content { media, form, schema: Some(SchemaGenerator::subschema_for::<T>) }));
        self
    }

    /// An answer that is text.
    pub(super) fn gives_text(mut self, status: u16, media: &'static str) -> Endpoint {
        self.gives.push((status, Content { media, form: Form::One, schema: None }));
        self
    }

    /// A body of at most so many bytes.
    pub(super) fn at_most(mut self, bytes: usize) -> Endpoint {
        self.body_bytes_max = bytes;
        self
    }

    /// Whether its body is read while it comes, and never as a whole.
    pub(in crate::server) fn is_streamed(&self) -> bool {
        self.takes.iter().any(|content| content.form == Form::Many)
    }

    /// Reads the header `Idempotency-Key`.
    pub(super) fn idempotent(mut self) -> Endpoint {
        self.is_idempotent = true;
        self
    }

    /// The problems that are its own, by their codes.
    pub(super) fn refuses(mut self, codes: &[&'static str]) -> Endpoint {
        self.refuses.extend(codes);
        self
    }
}
