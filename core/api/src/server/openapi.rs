//! The API described as OpenAPI 3.1 has it: made from the table of calls, the wire types and the catalogue of problems.
//!
//! The schemas are derived from the wire types (by `schemars`, whose dialect is that of OpenAPI 3.1), so that their
//! comments are the descriptions and what serde reads is what is described.

use std::collections::BTreeMap;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::catalogue::{Kind, find};
use super::routes::{Access, Content, Endpoint, Form, endpoints, parameter};
use crate::wire;

const PROBLEM: &str = "application/problem+json";

/// What every call may meet.
const ANY: &[&str] = &["unreadable"];
/// What one with a body may meet.
const BODY: &[&str] = &["too-large", "late", "busy"];
/// What one that reads the store may meet.
const READS: &[&str] = &["store"];
/// What one that changes it may meet.
const WRITES: &[&str] = &["store", "store-full", "busy", "stopping"];

/// The document, as JSON for people too.
pub fn document() -> String {
    serde_json::to_string_pretty(&describe()).expect("a description is JSON")
}

fn describe() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let problem = generator.subschema_for::<wire::Problem>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for endpoint in endpoints() {
        let operation = operation(&endpoint, &problem.clone().to_value(), &mut generator);
        let method = endpoint.method.as_str().to_lowercase();
        paths.entry(endpoint.path).or_default().insert(method, operation);
    }
    let mut schemas = Value::Object(generator.take_definitions(true));
    say_which_are_instants(&mut schemas);
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Tidings",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Send messages, bring credentials, look, operate. Instants are RFC 3339 in UTC; errors are \
                            RFC 9457 problems; lists page by cursor. docs/API.md tells it in order.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags(&paths),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "key": {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key. Its scopes say what it is for; over the local socket none is needed.",
            } },
        },
    })
}

fn operation(endpoint: &Endpoint, problem: &Value, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": operation_id(endpoint),
        "summary": endpoint.summary,
        "tags": [tag(endpoint.path)],
        "responses": responses(endpoint, problem, generator),
        "security": match endpoint.access {
            Access::Open => json!([]),
            // OpenAPI 3.1 takes roles for schemes of every type.
            Access::Key(scope) => json!([{ "key": [scope.as_str()] }]),
            Access::AnyKey | Access::Local => json!([{ "key": [] }]),
        },
    });
    let members = operation.as_object_mut().expect("an operation is an object");
    match endpoint.access {
        Access::Key(scope) => {
            members.insert("description".into(), format!("Needs the scope `{scope}`.").into());
            members.insert("x-scope".into(), scope.as_str().into());
        }
        Access::Local => {
            members.insert("description".into(), "Over the local socket alone.".into());
        }
        Access::AnyKey => {
            members.insert("description".into(), "Needs a key, whatever it is for.".into());
        }
        Access::Open => {}
    }
    let parameters = parameters(endpoint);
    if !parameters.is_empty() {
        members.insert("parameters".into(), parameters.into());
    }
    if !endpoint.takes.is_empty() {
        let content: Map<String, Value> =
            endpoint.takes.iter().map(|content| (content.media.to_owned(), body(content, generator))).collect();
        let body = json!({
            "required": !endpoint.body_is_optional,
            "description": if endpoint.is_streamed() {
                "lines without end, each of bounded length".to_owned()
            } else {
                format!("at most {} bytes", endpoint.body_bytes_max)
            },
            "content": content,
        });
        members.insert("requestBody".into(), body);
    }
    operation
}

/// `POST /v1/messages/{id}/retry` is `post_messages_id_retry`.
fn operation_id(endpoint: &Endpoint) -> String {
    let path = endpoint.path.trim_start_matches("/v1").replace(['{', '}'], "").replace(['/', '.'], "_");
    format!("{}{path}", endpoint.method.as_str().to_lowercase())
}

/// The first part of the path: what it is about.
fn tag(path: &str) -> &str {
    match path.strip_prefix("/v1/") {
        Some(path) => path.split('/').next().unwrap_or(path),
        None => "engine",
    }
}

fn tags(paths: &BTreeMap<&str, Map<String, Value>>) -> Value {
    let mut names: Vec<&str> = paths.keys().map(|path| tag(path)).collect();
    names.dedup();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| json!({ "name": name })).collect()
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let one = |name: &str, place: &str| {
        let mut schema = parameter(name).unwrap_or_else(|| json!({ "type": "string" }));
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        json!({
            "name": name,
            "in": place,
            "required": place == "path",
            "description": description,
            "schema": schema,
        })
    };
    let mut all: Vec<Value> = path_parameters(endpoint.path).map(|name| one(name, "path")).collect();
    all.extend(endpoint.parameters.iter().map(|name| one(name, "query")));
    if endpoint.is_idempotent {
        all.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "description": "the key under which the same request may come twice and is carried out once",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
        }));
    }
    all
}

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn body(content: &Content, generator: &mut SchemaGenerator) -> Value {
    let value = content.schema.map(|schema| schema(generator).to_value());
    match (content.form, value) {
        (Form::One, Some(schema)) => json!({ "schema": schema }),
        (Form::One, None) => json!({ "schema": { "type": "string" } }),
        // OpenAPI 3.1 has no word for a stream: its values are described beside it.
        (Form::Many, value) => json!({
            "schema": { "type": "string", "description": "a stream: one value after the other, as `x-item-schema` has it" },
            "x-item-schema": value.unwrap_or_else(|| json!({})),
        }),
    }
}

fn responses(endpoint: &Endpoint, problem: &Value, generator: &mut SchemaGenerator) -> Value {
    let mut responses: BTreeMap<String, Value> = BTreeMap::new();
    for (status, content) in &endpoint.gives {
        let about = if *status < 300 { "done" } else { "not now" };
        let body = body(content, generator);
        let response = responses.entry(status.to_string()).or_insert_with(|| json!({ "description": about }));
        response["content"][content.media] = body;
    }
    let mut kinds = problems(endpoint);
    kinds.sort_by_key(|kind| (kind.status, kind.code));
    for same in kinds.chunk_by(|a, b| a.status == b.status) {
        let types: Vec<String> = same.iter().map(|kind| wire::Problem::kind_of(kind.code)).collect();
        let about: Vec<String> = same.iter().map(|kind| format!("`{}`: {}", kind.code, kind.title)).collect();
        let status = same[0].status.to_string();
        let response = responses.entry(status).or_insert_with(|| json!({ "description": about.join("; ") }));
        response["content"][PROBLEM] = json!({
            "schema": { "allOf": [problem, { "properties": { "type": { "enum": types } } }] },
        });
        if same[0].is_retryable() {
            response["headers"]["Retry-After"] =
                json!({ "description": "seconds to wait", "schema": { "type": "integer" } });
        }
    }
    json!(responses)
}

/// Every problem that a call may answer.
fn problems(endpoint: &Endpoint) -> Vec<&'static Kind> {
    let mut codes: Vec<&str> = endpoint.refuses.clone();
    codes.extend(ANY);
    if endpoint.path.starts_with("/v1/") {
        codes.extend(if endpoint.method == "GET" { READS } else { WRITES });
    }
    if !endpoint.takes.is_empty() {
        codes.extend(BODY);
    }
    if !endpoint.is_idempotent {
        codes.push("key-unread");
    }
    match endpoint.access {
        Access::Open => {}
        Access::AnyKey => codes.extend(["unauthorised", "rate"]),
        Access::Key(_) => codes.extend(["unauthorised", "scope", "rate"]),
        Access::Local => codes.extend(["unauthorised", "local-only"]),
    }
    codes.sort_unstable();
    codes.dedup();
    codes.into_iter().filter_map(find).collect()
}

/// By the design's words an instant is called `…_at`, `at`, `now` or `until`: each is RFC 3339.
fn say_which_are_instants(schemas: &mut Value) {
    match schemas {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get_mut("properties") {
                for (name, schema) in properties.iter_mut() {
                    let is_instant = name.ends_with("_at") || matches!(name.as_str(), "at" | "now" | "until");
                    if let (true, Value::Object(schema)) = (is_instant, schema) {
                        schema.insert("format".into(), "date-time".into());
                    }
                }
            }
            members.values_mut().for_each(say_which_are_instants);
        }
        Value::Array(items) => items.iter_mut().for_each(say_which_are_instants),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::CATALOGUE;
    use super::*;

    #[test]
    fn every_call_says_what_it_does_and_what_it_answers() {
        for endpoint in endpoints() {
            let call = format!("{} {}", endpoint.method, endpoint.path);
            assert!(!endpoint.summary.is_empty(), "{call} has no summary; add `.says(…)` to its line");
            assert!(!endpoint.gives.is_empty(), "{call} answers nothing; add `.gives::<…>(200)` to its line");
            for name in path_parameters(endpoint.path).chain(endpoint.parameters.iter().copied()) {
                assert!(parameter(name).is_some(), "{call}: describe `{name}` in routes/parameter.rs");
            }
            for code in &endpoint.refuses {
                assert!(find(code).is_some(), "{call}: `{code}` is not in the catalogue");
            }
        }
    }

    #[test]
    fn each_call_has_a_name_of_its_own() {
        let mut names: Vec<String> = endpoints().iter().map(operation_id).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn the_catalogue_has_each_code_once_and_by_status() {
        assert!(CATALOGUE.is_sorted_by_key(|kind| kind.status));
        for (at, kind) in CATALOGUE.iter().enumerate() {
            assert!(CATALOGUE[..at].iter().all(|other| other.code != kind.code), "{}", kind.code);
        }
    }
}
