//! What a plugin says of itself before it is asked to do anything: the one text that crosses the border at load.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tidings_model::CredentialKind;

use crate::plugin::Plugin;
use crate::schema::{from_schema, leaked, to_schema};
use crate::settings::{Setting, SettingKind};
use crate::transport::TransportRules;

/// Bytes a description may have.
pub const DESCRIPTION_BYTES_MAX: usize = 256 * 1024;

/// Stages a plugin may have.
const STAGES_MAX: usize = 64;

/// Everything config has to know of a plugin. Texts live as long as the program, as the plugin does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The plugin's name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What an app is configured with.
    pub app_settings: &'static [Setting],
    /// The stages, in the plugin's order.
    pub stages: Vec<StageDescription>,
}

/// One stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageDescription {
    /// Its name inside the plugin.
    pub name: &'static str,
    /// What it does, and what is true of it.
    pub role: Role,
}

/// What a stage does, and what is true of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A token provider.
    TokenProvider {
        /// How far the provider's calendar is ahead of UTC.
        day_offset: Duration,
    },
    /// A credential source.
    CredentialSource(SourceRules),
    /// A renderer.
    Renderer,
    /// A transport whose provider speaks HTTP.
    HttpTransport(TransportRules),
    /// A transport that does its own talking.
    Transport(TransportRules),
    /// A reader of what the provider pushes.
    Callback,
}

/// What is true of a credential source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceRules {
    /// The rules of its permits.
    pub kind: CredentialKind,
    /// Whether recipients have permits by themselves.
    pub mints: bool,
    /// Whether any transport may send with them.
    pub fits_any_transport: bool,
}

impl Role {
    /// Its name in a description, in the note, and in lists.
    pub const fn name(&self) -> &'static str {
        match self {
            Role::TokenProvider { .. } => "token_provider",
            Role::CredentialSource(_) => "credential_source",
            Role::Renderer => "renderer",
            Role::HttpTransport(_) => "http_transport",
            Role::Transport(_) => "transport",
            Role::Callback => "callback",
        }
    }
}

impl Description {
    /// What `plugin` says of itself.
    pub fn of(plugin: &Plugin) -> Description {
        let mut stages = Vec::new();
        let mut offer = |name, role| stages.push(StageDescription { name, role });
        for (name, stage) in &plugin.token_providers {
            offer(*name, Role::TokenProvider { day_offset: stage.day_offset() });
        }
        for (name, stage) in &plugin.credential_sources {
            let rules = SourceRules {
                kind: stage.kind(),
                mints: stage.mints(),
                fits_any_transport: stage.fits_any_transport(),
            };
            offer(*name, Role::CredentialSource(rules));
        }
        for (name, _) in &plugin.renderers {
            offer(*name, Role::Renderer);
        }
        for (name, stage) in &plugin.http_transports {
            offer(*name, Role::HttpTransport(stage.rules()));
        }
        for (name, stage) in &plugin.transports {
            offer(*name, Role::Transport(stage.rules()));
        }
        for (name, _) in &plugin.callbacks {
            offer(*name, Role::Callback);
        }
        let Plugin { name, version, app_settings, .. } = *plugin;
        Description { name, version, app_settings, stages }
    }

    /// As JSON: what the plugin's table has.
    pub fn to_json(&self) -> String {
        let stages: Vec<Value> = self.stages.iter().map(stage_to_json).collect();
        json!({
            "name": self.name, "version": self.version, "settings": to_schema(self.app_settings), "stages": stages,
        })
        .to_string()
    }

    /// Reads what a plugin's table has.
    ///
    /// # Errors
    ///
    /// What is missing or wrong, with its place.
    pub fn parse(text: &str) -> Result<Description, String> {
        if text.len() > DESCRIPTION_BYTES_MAX {
            return Err(format!("is {} bytes; at most {DESCRIPTION_BYTES_MAX} are read", text.len()));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
        let object = value.as_object().ok_or("is no object")?;
        let name = named(word(object, "name")?, "")?;
        let version = leaked(word(object, "version")?);
        let schema = object.get("settings").cloned().unwrap_or_else(|| json!({}));
        let app_settings = from_schema(&schema).map_err(|error| format!("`settings`: {error}"))?;
        let stages = object.get("stages").and_then(Value::as_array).ok_or("has no list `stages`")?;
        if stages.is_empty() || stages.len() > STAGES_MAX {
            return Err(format!("has {} stages; it needs one, and at most {STAGES_MAX} are read", stages.len()));
        }
        let stages: Vec<StageDescription> = stages.iter().map(stage_from_json).collect::<Result<_, _>>()?;
        let description = Description { name, version, app_settings, stages };
        description.agrees()?;
        Ok(description)
    }

    /// What no stage can see by itself.
    fn agrees(&self) -> Result<(), String> {
        let is_filled =
            |kind| matches!(kind, SettingKind::Template | SettingKind::PageTemplate | SettingKind::TemplateTable);
        if let Some(setting) = self.app_settings.iter().find(|setting| is_filled(setting.kind)) {
            return Err(format!("`settings`: `{}` is to be filled in, and an app's setting never is", setting.name));
        }
        for (place, stage) in self.stages.iter().enumerate() {
            let is_same = |other: &&StageDescription| {
                let both_send = |role| matches!(role, Role::HttpTransport(_) | Role::Transport(_));
                let same_role =
                    other.role.name() == stage.role.name() || both_send(other.role) && both_send(stage.role);
                other.name == stage.name && same_role
            };
            if self.stages[..place].iter().any(|other| is_same(&other)) {
                return Err(format!("has two stages `{}` of one role", stage.name));
            }
            let (Role::HttpTransport(rules) | Role::Transport(rules)) = stage.role else { continue };
            if let Some(setting) = rules.template_settings.iter().find(|it| it.kind == SettingKind::Secret) {
                let name = setting.name;
                return Err(format!(
                    "stage `{}`: `{name}` of its template is secret; only an app has secrets",
                    stage.name
                ));
            }
            let is_source = |name: &str| {
                let sources = self.stages.iter().filter(|other| matches!(other.role, Role::CredentialSource(_)));
                sources.into_iter().any(|source| source.name == name)
            };
            if let Some(unknown) = rules.credentials.iter().find(|name| !is_source(name)) {
                return Err(format!("stage `{}` takes credentials of `{unknown}`, which is no stage", stage.name));
            }
            if let Some(key) = rules.scope_key
                && !rules.template_settings.iter().any(|setting| setting.name == key)
            {
                return Err(format!("stage `{}` has the scope `{key}`, which is no template setting", stage.name));
            }
        }
        Ok(())
    }
}

/// A plugin's or a stage's name: what stands in config before and after the dot. `more` is what a stage's may have, too.
fn named(name: &str, more: &str) -> Result<&'static str, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || more.contains(c);
    if name.is_empty() || name.len() > 31 || !name.chars().all(fits) {
        return Err(format!("the name {name:?} is not of a-z, 0-9 and -{more}, at most 31"));
    }
    Ok(leaked(name))
}

fn stage_to_json(stage: &StageDescription) -> Value {
    let mut value = match stage.role {
        Role::TokenProvider { day_offset } => json!({"day_offset_s": day_offset.as_secs()}),
        Role::CredentialSource(SourceRules { kind, mints, fits_any_transport }) => json!({
            "life_ms": kind.life.map(millis), "uses": kind.uses, "proves_use": kind.proves_use,
            "counted_by_provider": kind.counted_by_provider, "ripens_in_ms": millis(kind.ripens_in),
            "scoped": kind.scoped, "mints": mints, "fits_any_transport": fits_any_transport,
        }),
        Role::Renderer | Role::Callback => json!({}),
        Role::HttpTransport(rules) | Role::Transport(rules) => json!({
            "template": to_schema(rules.template_settings), "scope": rules.scope_key,
            "credentials": rules.credentials, "dedupe_window_ms": rules.dedupe_window.map(millis),
        }),
    };
    value["role"] = stage.role.name().into();
    value["name"] = stage.name.into();
    value
}

fn stage_from_json(value: &Value) -> Result<StageDescription, String> {
    let object = value.as_object().ok_or("a stage is no object")?;
    let name = named(word(object, "name")?, "_")?;
    let place = |error: String| format!("stage `{name}`: {error}");
    let role = word(object, "role")?;
    let known: &[&str] = match role {
        "token_provider" => &["day_offset_s"],
        "credential_source" => &[
            "life_ms",
            "uses",
            "proves_use",
            "counted_by_provider",
            "ripens_in_ms",
            "scoped",
            "mints",
            "fits_any_transport",
        ],
        "http_transport" | "transport" => &["template", "scope", "credentials", "dedupe_window_ms"],
        _ => &[],
    };
    if let Some(key) =
        object.keys().find(|key| !known.contains(&key.as_str()) && !matches!(key.as_str(), "name" | "role"))
    {
        return Err(place(format!("unknown key `{key}`")));
    }
    let number = |key: &str| match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| place(format!("`{key}` is no whole number from 0"))),
    };
    let flag = |key: &str| match object.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| place(format!("`{key}` is neither true nor false"))),
    };
    let duration = |key: &str| Ok::<_, String>(number(key)?.map(Duration::from_millis));
    let role = match role {
        "token_provider" => {
            Role::TokenProvider { day_offset: Duration::from_secs(number("day_offset_s")?.unwrap_or(0)) }
        }
        "credential_source" => Role::CredentialSource(SourceRules {
            kind: CredentialKind {
                life: duration("life_ms")?,
                uses: u32::try_from(number("uses")?.unwrap_or(1)).unwrap_or(u32::MAX).max(1),
                proves_use: flag("proves_use")?,
                counted_by_provider: flag("counted_by_provider")?,
                ripens_in: duration("ripens_in_ms")?.unwrap_or_default(),
                scoped: flag("scoped")?,
            },
            mints: flag("mints")?,
            fits_any_transport: flag("fits_any_transport")?,
        }),
        "renderer" => Role::Renderer,
        "http_transport" => Role::HttpTransport(rules(object, duration("dedupe_window_ms")?).map_err(place)?),
        "transport" => Role::Transport(rules(object, duration("dedupe_window_ms")?).map_err(place)?),
        "callback" => Role::Callback,
        other => return Err(place(format!("there is no role `{other}`"))),
    };
    Ok(StageDescription { name, role })
}

fn rules(object: &Map<String, Value>, dedupe_window: Option<Duration>) -> Result<TransportRules, String> {
    let schema = object.get("template").cloned().unwrap_or_else(|| json!({}));
    let template_settings = from_schema(&schema).map_err(|error| format!("`template`: {error}"))?;
    let scope_key = match object.get("scope") {
        None | Some(Value::Null) => None,
        Some(scope) => Some(leaked(scope.as_str().ok_or("`scope` is no name")?)),
    };
    let credentials: Vec<&'static str> = match object.get("credentials") {
        None => Vec::new(),
        Some(names) => names
            .as_array()
            .and_then(|names| names.iter().map(|name| name.as_str().map(leaked)).collect())
            .ok_or("`credentials` is no list of names")?,
    };
    Ok(TransportRules { template_settings, scope_key, credentials: credentials.leak(), dedupe_window })
}

fn word<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    object.get(key).and_then(Value::as_str).ok_or_else(|| format!("has no `{key}`"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        const SETTINGS: &[Setting] = &[Setting::of("key", SettingKind::Secret, "a key").required()];
        const TEMPLATE: &[Setting] = &[Setting::template("text", "what is said").required()];
        let kind = CredentialKind {
            life: Some(Duration::from_secs(7)),
            uses: 3,
            proves_use: true,
            counted_by_provider: true,
            ripens_in: Duration::from_millis(5),
            scoped: true,
        };
        let rules = TransportRules {
            template_settings: TEMPLATE,
            scope_key: Some("text"),
            credentials: &["stub"],
            dedupe_window: Some(Duration::from_secs(600)),
        };
        let source = SourceRules { kind, mints: true, fits_any_transport: true };
        let roles = [
            Role::TokenProvider { day_offset: Duration::from_secs(28_800) },
            Role::CredentialSource(source),
            Role::Renderer,
            Role::HttpTransport(rules),
            Role::Transport(TransportRules::default()),
            Role::Callback,
        ];
        let names = ["token", "stub", "fill", "http", "mail", "push"];
        let stages = names.into_iter().zip(roles).map(|(name, role)| StageDescription { name, role }).collect();
        Description { name: "acme", version: "1.2.3", app_settings: SETTINGS, stages }
    }

    #[test]
    fn a_description_comes_back_as_it_was() {
        assert_eq!(Description::parse(&description().to_json()), Ok(description()));
    }

    #[test]
    fn a_description_of_the_bare_minimum_is_enough() {
        let text = r#"{"name": "log", "version": "1", "stages": [{"role": "transport", "name": "line"}]}"#;
        assert_eq!(Description::parse(text).unwrap().stages[0].role, Role::Transport(TransportRules::default()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let stage = |text: &str| format!(r#"{{"name": "a", "version": "1", "stages": [{text}]}}"#);
        for (text, part) in [
            ("x".to_owned(), "is no JSON"),
            ("[]".to_owned(), "is no object"),
            ("{}".to_owned(), "has no `name`"),
            (r#"{"name": "A b", "version": "1", "stages": []}"#.to_owned(), "a-z"),
            (r#"{"name": "a_b", "version": "1", "stages": []}"#.to_owned(), "a-z, 0-9 and -, at most"),
            (stage(r#"{"role": "transport", "name": "x y"}"#), "a-z, 0-9 and -_, at most"),
            (stage(""), "has 0 stages"),
            (stage(r#"{"role": "sender", "name": "x"}"#), "no role `sender`"),
            (stage(r#"{"role": "transport", "name": "x", "templat": {}}"#), "stage `x`: unknown key `templat`"),
            (stage(r#"{"role": "transport", "name": "x", "credentials": ["y"]}"#), "`y`, which is no stage"),
            (stage(r#"{"role": "transport", "name": "x", "scope": "id"}"#), "the scope `id`"),
            (stage(r#"{"role": "transport", "name": "x"}, {"role": "http_transport", "name": "x"}"#), "two stages `x`"),
            (" ".repeat(DESCRIPTION_BYTES_MAX + 1), "at most"),
        ] {
            let error = Description::parse(&text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
