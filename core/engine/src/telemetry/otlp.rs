//! The body of an export: `ExportTraceServiceRequest` in OTLP's own JSON (OTLP 1.x, "JSON Protobuf Encoding"): names in
//! lower camel case, ids in hexadecimal, 64-bit numbers as text, enumerations as numbers.

use serde_json::{Value, json};

use super::{Attribute, Span, SpanKind};

/// `Status.code` of what failed.
const STATUS_ERROR: u8 = 2;

/// The spans of one batch. `instance` tells this engine from others of its kind.
pub(super) fn request(instance: &str, spans: &[Span]) -> String {
    let spans: Vec<Value> = spans.iter().map(span).collect();
    json!({
        "resourceSpans": [{
            "resource": { "attributes": [
                attribute("service.name", &"tidings".into()),
                attribute("service.version", &env!("CARGO_PKG_VERSION").into()),
                attribute("service.instance.id", &instance.into()),
            ] },
            "scopeSpans": [{
                "scope": { "name": "tidings", "version": env!("CARGO_PKG_VERSION") },
                "spans": spans,
            }],
        }],
    })
    .to_string()
}

fn span(span: &Span) -> Value {
    let mut object = json!({
        "traceId": span.trace.to_string(),
        "spanId": span.id.to_string(),
        "name": span.name,
        "kind": match span.kind {
            SpanKind::Server => 2,
            SpanKind::Client => 3,
        },
        "startTimeUnixNano": nanoseconds(span.started_at.0),
        "endTimeUnixNano": nanoseconds(span.ended_at.0.max(span.started_at.0)),
        "attributes": span.attributes.iter().map(|(name, value)| attribute(name, value)).collect::<Vec<_>>(),
    });
    let members = object.as_object_mut().expect("a span is an object");
    if let Some(parent) = span.parent {
        members.insert("parentSpanId".to_owned(), parent.to_string().into());
    }
    if let Some(error) = span.error {
        members.insert("status".to_owned(), json!({ "code": STATUS_ERROR, "message": error }));
    }
    object
}

fn attribute(name: &str, value: &Attribute) -> Value {
    let value = match value {
        Attribute::Text(text) => json!({ "stringValue": text }),
        Attribute::Number(number) => json!({ "intValue": number.to_string() }),
    };
    json!({ "key": name, "value": value })
}

fn nanoseconds(milliseconds: i64) -> String {
    (i128::from(milliseconds.max(0)) * 1_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use tidings_model::Timestamp;
    use tidings_model::trace::{SpanId, TraceId};

    use super::*;

    #[test]
    fn a_batch_is_written_as_the_protocol_has_it() {
        let one = Span {
            trace: TraceId::from_numbers(1, 0xab),
            id: SpanId::from_number(2),
            parent: Some(SpanId::from_number(3)),
            name: "attempt",
            kind: SpanKind::Client,
            started_at: Timestamp(1_700_000_000_123),
            ended_at: Timestamp(1_700_000_000_125),
            attributes: vec![("tidings.channel", "orders".into()), ("tidings.attempt", Attribute::Number(2))],
            error: Some("throttled"),
        };
        let body: Value = serde_json::from_str(&request("0a1b", std::slice::from_ref(&one))).unwrap();
        assert_eq!(
            body["resourceSpans"][0]["scopeSpans"][0]["spans"][0],
            json!({
                "traceId": "000000000000000100000000000000ab",
                "spanId": "0000000000000002",
                "parentSpanId": "0000000000000003",
                "name": "attempt",
                "kind": 3,
                "startTimeUnixNano": "1700000000123000000",
                "endTimeUnixNano": "1700000000125000000",
                "attributes": [
                    { "key": "tidings.channel", "value": { "stringValue": "orders" } },
                    { "key": "tidings.attempt", "value": { "intValue": "2" } },
                ],
                "status": { "code": 2, "message": "throttled" },
            })
        );
        let well: Value = serde_json::from_str(&request("0a1b", &[Span { error: None, parent: None, ..one }])).unwrap();
        let span = &well["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert!(span.get("status").is_none() && span.get("parentSpanId").is_none(), "{span}");
        assert_eq!(well["resourceSpans"][0]["resource"]["attributes"][0]["value"]["stringValue"], "tidings");
    }
}
