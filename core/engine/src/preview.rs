//! What a message says: what its template makes of its data, as it would go out now.

use serde_json::{Map, Value};
use tidings_model::secret;
use tidings_store::MessageRow;

use crate::config::no_such;
use crate::handle::EngineHandle;
use crate::render::Body;
use crate::stages::StageError;

impl EngineHandle {
    /// The values that the message's template has for its transport, by config as it is now, without any secret that
    /// config may have put among them; or why there are none. Nothing is sent, and no token or permit is needed.
    pub async fn preview(&self, message: &MessageRow) -> Result<Map<String, Value>, String> {
        let config = &self.definitions().config;
        let template = config.templates.iter().find(|(name, _)| name.as_str() == message.template);
        let Some((_, template)) = template else {
            let known: Vec<&str> = config.templates.keys().map(|name| name.as_str()).collect();
            return Err(no_such("template", &message.template, &known));
        };
        // Whoever looks may look every few seconds, and a plugin that panics too often is parked: a look does nothing.
        if let Body::ByPlugin { .. } = template.body {
            return Err("a plugin renders it, and is asked for sends alone".to_owned());
        }
        let data = message.data.as_deref().unwrap_or("{}");
        let data: Value = serde_json::from_str(data).map_err(|error| format!("its data is no JSON: {error}"))?;
        let content = template.body.render(&data).await.map_err(|error| match error {
            StageError::Absent(detail)
            | StageError::Late(detail)
            | StageError::Refused(detail)
            | StageError::Panicked(detail)
            | StageError::Broken(detail) => detail,
        })?;
        let secrets = config.channels.get(&template.channel).map_or(&[][..], |channel| &channel.secrets);
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        Ok(content.into_iter().map(|(name, value)| (name, without(value, &secrets))).collect())
    }
}

/// A value without these secrets in any of its texts.
fn without(value: Value, secrets: &[&str]) -> Value {
    match value {
        Value::String(text) => Value::String(secret::without(text, secrets.iter().copied())),
        Value::Array(items) => items.into_iter().map(|item| without(item, secrets)).collect(),
        Value::Object(members) => members.into_iter().map(|(name, member)| (name, without(member, secrets))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_secret_is_left_however_deep_it_stands() {
        let value = json!({"a": "key CANARY-1!", "b": ["CANARY-1", 7, {"c": "xCANARY-1"}], "d": null});
        let clean = json!({"a": "key …!", "b": ["…", 7, {"c": "x…"}], "d": null});
        assert_eq!(without(value, &["CANARY-1"]), clean);
    }
}
