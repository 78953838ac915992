//! `[apps.NAME]`: accounts at providers, checked against what their plugin says of its settings.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tidings_model::AppName;
use tidings_sdk::{App, NUMBER_MAX, Setting, SettingKind, Settings, Violation};
use tidings_store::fingerprint;
use toml::Spanned;
use toml::de::DeValue;

use super::read::{Found, Section, duration, no_such, one_of, text, texts};
use super::{AppConfig, CallbackStage, Names, Reading, SecretUse};

/// How long before its end a token is renewed when config does not say; never more than half its life.
const TOKEN_MARGIN: Duration = Duration::from_secs(300);

/// The secret that `tidings sandbox` knows: an app with `sandbox = "URL"` need give none that is required.
const SANDBOX_SECRET: &str = "sandbox-secret";

impl Reading<'_> {
    pub(super) fn apps(&self, root: &Section<'_>, notes: &mut Vec<String>) -> Names<AppName, AppConfig> {
        let mut names = Names::new();
        for (name, span, section) in root.named("apps") {
            names.seen.push(name.to_owned());
            let app = self.app(name, &section, notes);
            match (AppName::new(name), app) {
                (Ok(name), Some(app)) => {
                    names.known.insert(name, app);
                }
                (Err(error), _) => section.report(&span, section.path(), error.to_string()),
                (Ok(_), None) => {}
            }
            section.finish();
        }
        names
    }

    fn app(&self, name: &str, section: &Section<'_>, notes: &mut Vec<String>) -> Option<AppConfig> {
        let plugins = self.registry.plugin_names();
        let plugin = section.parsed("plugin", |value| {
            let plugin = text(value)?;
            if plugins.contains(&plugin.as_str()) {
                return Ok(plugin);
            }
            Err(no_such("plugin", &plugin, &plugins))
        });
        let margin = section.duration("token_margin").unwrap_or(TOKEN_MARGIN);
        let sandbox = section.parsed("sandbox", |value| text(value).and_then(|url| checked_url(&url)));
        let Some(plugin) = plugin else {
            if section.find("plugin").is_none() {
                section.missing("plugin", &format!("one of: {}", plugins.join(", ")));
            }
            // Without the plugin nobody knows the other keys: none of them is a mistake of its own.
            drop(section.entries());
            return None;
        };
        if let Some(reason) = self.registry.absent(&plugin) {
            // Nobody knows the keys of a plugin that could not be loaded.
            drop(section.entries());
            return Some(AppConfig::without_settings(name, plugin, reason));
        }
        let settings = self.registry.app_settings(&plugin);
        if let Some(found) = section.find("sandbox")
            && !settings.iter().any(|setting| setting.name == "base_url")
        {
            // Nothing would send there: the messages would go out to the world.
            let message = format!("plugin `{plugin}` has no sandbox: it has no setting `base_url` to point there");
            section.report(&found.span, &found.path, message);
            drop(section.entries());
            return None;
        }
        // One that is there and wrong is one mistake: the secret it stands for is not asked for as well.
        let stands_in = sandbox.as_deref().or(section.find("sandbox").map(|_| ""));
        let values = self.settings(section, settings, stands_in)?;
        if let Some(url) = &sandbox {
            notes.push(format!("app `{name}` sends to the sandbox at {url}; remove `sandbox` to go live"));
        }
        let is_secret =
            |name: &str| settings.iter().any(|setting| setting.name == name && setting.kind == SettingKind::Secret);
        let hash =
            |values: Map<String, Value>| format!("{:016x}", fingerprint(Value::Object(values).to_string().as_bytes()));
        let (secret, open): (Map<_, _>, Map<_, _>) = values.clone().into_iter().partition(|(name, _)| is_secret(name));
        let secrets = secret.values().filter_map(Value::as_str).map(str::to_owned).collect();
        let (fingerprint, account) = (hash(values.clone()), hash(open));
        let app = Arc::new(App { name: name.to_owned(), settings: Settings::new(values) });
        let mut violations = self.registry.check_app(&plugin, &app);
        let callback = self.registry.callback(&plugin, &app).unwrap_or_else(|told| {
            violations.extend(told);
            None
        });
        violations.iter().for_each(|Violation { field, problem }| section.report_at(field, problem));
        if !violations.is_empty() {
            return None;
        }
        Some(AppConfig { plugin, app, fingerprint, account, secrets, token_margin: margin, callback })
    }

    /// The values of a plugin's settings. `None` if one of them is missing or wrong.
    fn settings(
        &self,
        section: &Section<'_>,
        settings: &'static [Setting],
        sandbox: Option<&str>,
    ) -> Option<Map<String, Value>> {
        let (mut values, mut whole) = (Map::new(), true);
        for setting in settings {
            let found = section.find(setting.name);
            let value = match (&found, sandbox) {
                (_, Some(url)) if setting.name == "base_url" => Some(Value::from(url)),
                // What the sandbox knows stands for what an app cannot do without. The others, a callback's token say, are
                // agreed with the sandbox as with the provider.
                (found, Some(_)) if setting.kind == SettingKind::Secret && setting.required => {
                    if let Some(found) = found {
                        whole &= self.secret(section, found, SecretUse::Unread).is_some();
                    }
                    Some(SANDBOX_SECRET.into())
                }
                (Some(found), _) => {
                    let value = self.setting(section, setting, found);
                    whole &= value.is_some();
                    value
                }
                (None, _) => default_value(setting),
            };
            match value {
                Some(value) => {
                    values.insert(setting.name.to_owned(), value);
                }
                None if setting.required && found.is_none() => {
                    section.missing(setting.name, setting.about);
                    whole = false;
                }
                None => {}
            }
        }
        whole.then_some(values)
    }

    fn setting<'c>(&self, section: &Section<'c>, setting: &Setting, found: &Found<'c>) -> Option<Value> {
        if setting.kind == SettingKind::Secret {
            return self.secret(section, found, SecretUse::Theirs).map(|secret| secret.reveal().into());
        }
        match plain_setting(setting.kind, found.value) {
            Ok(value) => Some(value),
            Err(message) => {
                section.report(&found.span, &found.path, message);
                None
            }
        }
    }
}

impl AppConfig {
    /// An app whose plugin could not be loaded.
    fn without_settings(name: &str, plugin: String, reason: Arc<str>) -> AppConfig {
        let app = Arc::new(App { name: name.to_owned(), settings: Settings::default() });
        let (fingerprint, account) = (String::new(), String::new());
        // Whether it would take what its provider pushes, nobody knows: the provider is to push again.
        let callback = Some(CallbackStage::absent(Arc::clone(&app), reason));
        AppConfig { plugin, app, fingerprint, account, secrets: Vec::new(), token_margin: TOKEN_MARGIN, callback }
    }
}

/// The value of a setting that is neither secret nor filled in.
pub(super) fn plain_setting(kind: SettingKind, value: &DeValue<'_>) -> Result<Value, String> {
    match kind {
        SettingKind::Choice(words) => {
            let word = text(value)?;
            if words.contains(&word.as_str()) { Ok(word.into()) } else { Err(one_of(&word, words)) }
        }
        SettingKind::Url => text(value).and_then(|url| checked_url(&url)).map(Value::from),
        SettingKind::Number { min, max } => value
            .as_integer()
            .and_then(|digits| u64::from_str_radix(digits.as_str(), digits.radix()).ok())
            .filter(|number| (min..=max).contains(number))
            .map(Value::from)
            .ok_or_else(|| match (min, max) {
                (0, NUMBER_MAX) => "expected a whole number".to_owned(),
                _ => format!("expected a whole number from {min} to {max}"),
            }),
        SettingKind::Boolean => value.as_bool().map(Value::from).ok_or_else(|| "expected true or false".to_owned()),
        SettingKind::Duration => text(value).and_then(|text| milliseconds(&text)),
        SettingKind::TextList => texts(value).map(Value::from),
        SettingKind::TextTable => {
            let table = value.as_table().ok_or_else(|| "expected a table of strings".to_owned())?;
            let row = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                let value = text(value.get_ref()).map_err(|error| format!("`{key}`: {error}"))?;
                Ok((key.to_string(), Value::from(value)))
            };
            table.iter().map(row).collect::<Result<Map<_, _>, String>>().map(Value::Object)
        }
        _ => match text(value)? {
            empty if empty.is_empty() => Err("is empty".to_owned()),
            text => Ok(text.into()),
        },
    }
}

/// The default of a setting, as its value: it is text in the plugin's description, whatever its kind.
pub(super) fn default_value(setting: &Setting) -> Option<Value> {
    let text = setting.default?;
    Some(match setting.kind {
        SettingKind::Number { .. } => text.parse::<u64>().map_or(Value::Null, Value::from),
        SettingKind::Boolean => Value::from(text == "true"),
        SettingKind::Duration => milliseconds(text).unwrap_or(Value::Null),
        _ => Value::from(text),
    })
}

fn milliseconds(text: &str) -> Result<Value, String> {
    duration(text).map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into())
}

pub(super) fn checked_url(url: &str) -> Result<String, String> {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    if host.is_empty() || host.starts_with('/') || host.contains(char::is_whitespace) {
        return Err(format!("`{}` is no address; write it as in `https://api.example.com`", without_password(url)));
    }
    Ok(url.to_owned())
}

/// An address without what stands before its `@`.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}…{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}
