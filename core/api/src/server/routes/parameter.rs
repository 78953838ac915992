//! What a parameter means: a name means the same wherever it stands, in a path or in a query.

use serde_json::{Value, json};
use tidings_model::limits::{NEXT_TIMES_MAX, PAGE_ROWS_MAX};
use tidings_model::{RunState, State};

/// A parameter as a JSON schema, with what it means; `None` for a name that is not in the list.
pub(in crate::server) fn parameter(name: &str) -> Option<Value> {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let schema = match name {
        "id" => {
            json!({ "type": "string", "description": "the message's id", "pattern": "^(msg_)?[1-9][0-9]{0,17}$" })
        }
        "run" => {
            json!({ "type": "string", "description": "the run's id", "pattern": "^(run_)?[1-9][0-9]{0,17}$" })
        }
        "run_state" => {
            let words: Vec<&str> = RunState::ALL.into_iter().map(RunState::as_str).collect();
            json!({ "type": "string", "description": "standing there", "enum": words })
        }
        "name" => text("its name"),
        "source" => text("a credential source, as in `wechat.form_id`"),
        "app" => text("an app's name; needed where several take the same source"),
        "state" => {
            let words: Vec<&str> = State::ALL.into_iter().map(State::as_str).collect();
            json!({ "type": "string", "description": "in this state", "enum": words })
        }
        "reason" => text("there for this reason, as `GET /v1/messages/reasons` has it; needs `state` beside it"),
        "channel" => text("of this channel"),
        "template" => text("of this template"),
        "to" => text("for this recipient"),
        "newer_than" => text("accepted at this time or later: RFC 3339, or how long ago, as in `2h`"),
        "older_than" => text("accepted before this time: RFC 3339, or how long ago, as in `2h`"),
        "recipient" => text("of this recipient"),
        "usable" => json!({ "type": "boolean", "description": "only those that could be used" }),
        "schedule" => text("of this schedule"),
        "next" => {
            json!({ "type": "integer", "description": "so many next times", "minimum": 0, "maximum": NEXT_TIMES_MAX })
        }
        "verbose" => json!({ "type": "boolean", "description": "with what was looked at, as JSON" }),
        "types" => text("only these types, with commas between them, as in `message.failed,channel.*`"),
        "full" => json!({ "type": "boolean", "description": "with the recipient and the provider's words: personal" }),
        "follow" => {
            json!({ "type": "boolean", "description": "false: tell what is there, from the oldest, and end" })
        }
        "dry_run" => json!({ "type": "boolean", "description": "check everything, accept nothing" }),
        "why" => text("why, for the record"),
        "who" => text("by this one: a key's name, or `local`"),
        "act" => text("of this act, as in `message.cancel`, or of all on a thing, as in `message`"),
        "subject" => text("on this subject: a message, a channel, an app"),
        "since" => text("not before: RFC 3339, or how long ago, as in `2h`"),
        "limit" => {
            json!({ "type": "integer", "description": "at most so many rows", "minimum": 1, "maximum": PAGE_ROWS_MAX })
        }
        "cursor" => {
            json!({ "type": "string", "description": "go on from there: `next` of the page before", "minLength": 1 })
        }
        _ => return None,
    };
    Some(schema)
}
