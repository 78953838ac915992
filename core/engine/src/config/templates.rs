//! `[templates.NAME]`: what is said, compiled and tried.

use serde_json::Value;
use tidings_model::{ChannelName, TemplateName};
use tidings_sdk::{Part, Setting, SettingKind, Violation};

use super::apps::{default_value, plain_setting};
use super::read::{Found, Section, json, text};
use super::{ChannelConfig, Names, Reading, TemplateConfig};
use crate::render::{Body, FillError, Rendering};
use crate::stages::{StageError, TransportStage};

impl Reading<'_> {
    pub(super) fn templates(
        &self,
        root: &Section<'_>,
        channels: &Names<ChannelName, ChannelConfig>,
        notes: &mut Vec<String>,
    ) -> Names<TemplateName, TemplateConfig> {
        let mut names = Names::new();
        for (name, span, section) in root.named("templates") {
            names.seen.push(name.to_owned());
            let template = template(&section, channels, notes);
            if let Some(template) = &template
                && template.sample.is_none()
                && !template.body.variables().is_empty()
            {
                notes.push(format!("template `{name}` has no `sample`; it was tried with the names of its variables"));
            }
            match (TemplateName::new(name), template) {
                (Ok(name), Some(template)) => {
                    names.known.insert(name, template);
                }
                (Err(error), _) => section.report(&span, section.path(), error.to_string()),
                (Ok(_), None) => {}
            }
            section.finish();
        }
        names
    }
}

fn template(
    section: &Section<'_>,
    channels: &Names<ChannelName, ChannelConfig>,
    notes: &mut Vec<String>,
) -> Option<TemplateConfig> {
    let channel = section.parsed("channel", |value| {
        let channel = text(value)?;
        channels.refers("channel", &channel)?;
        ChannelName::new(channel).map_err(|error| error.to_string())
    });
    if section.find("channel").is_none() {
        section.missing("channel", "the name of a channel");
    }
    let sample = section.find("sample").map(|found| json(found.value));
    let Some(config) = channel.as_ref().and_then(|channel| channels.known.get(channel)) else {
        // Without the channel nobody knows the other keys: none of them is a mistake of its own.
        drop(section.entries());
        return None;
    };
    let transport = &config.transport;
    let trouble = transport.trouble().or_else(|| config.renderer.as_ref()?.trouble());
    if let Some(reason) = trouble {
        // Nobody knows the keys of a transport that is not there.
        drop(section.entries());
        return Some(TemplateConfig { channel: channel?, body: Body::Absent(reason), scope: String::new(), sample });
    }
    let parts = parts(section, transport.rules().template_settings)?;
    let body = match &config.renderer {
        Some(renderer) => Body::ByPlugin { parts, renderer: renderer.clone() },
        None => match Rendering::compile(parts) {
            Ok(rendering) => Body::Strings(Box::new(rendering)),
            Err(errors) => {
                for error in errors {
                    let found = place(section, &error.field);
                    section.report(&found.span, &found.path, error.problem);
                }
                return None;
            }
        },
    };
    attempt(section, &body, sample.as_ref(), transport, notes)?;
    let fixed = body.fixed();
    let scope = transport.rules().scope_key.and_then(|key| fixed.get(key)?.as_str()).unwrap_or_default().to_owned();
    Some(TemplateConfig { channel: channel?, body, scope, sample })
}

/// Renders the template as a message would, with the sample or with placeholders. The rules of the provider are asked
/// only with a sample: a placeholder is no phone number.
fn attempt(
    section: &Section<'_>,
    body: &Body,
    sample: Option<&Value>,
    transport: &TransportStage,
    notes: &mut Vec<String>,
) -> Option<()> {
    let placeholders;
    let data = match sample {
        Some(sample) => sample,
        None => {
            let Some(made) = body.placeholders() else { return Some(()) };
            placeholders = made;
            &placeholders
        }
    };
    match body.render_now(data) {
        Ok(content) => {
            let checked = if sample.is_some() { transport.check_now(&content) } else { Ok(Vec::new()) };
            let violations = match checked {
                Ok(violations) => violations,
                Err(StageError::Refused(problem)) => vec![Violation::new("", problem)],
                // The plugin's fault and not the template's: it is asked again before each send.
                Err(trouble) => {
                    notes.push(format!("{} was not checked: {trouble}", section.path()));
                    Vec::new()
                }
            };
            for violation in &violations {
                let found = place(section, &violation.field);
                section.report(&found.span, &found.path, format!("with the sample: {}", violation.problem));
            }
            violations.is_empty().then_some(())
        }
        Err(FillError::Trouble(trouble)) => {
            notes.push(format!("{} was not tried: {trouble}", section.path()));
            Some(())
        }
        Err(FillError::Render(error)) => {
            let found = place(section, &error.field);
            let with = if sample.is_some() { "with the sample: " } else { "" };
            section.report(&found.span, &found.path, format!("{with}{}", error.problem));
            None
        }
    }
}

fn parts(section: &Section<'_>, settings: &'static [Setting]) -> Option<Vec<(String, Part)>> {
    let (mut parts, mut whole) = (Vec::new(), true);
    for setting in settings {
        let Some(found) = section.find(setting.name) else {
            if setting.required {
                section.missing(setting.name, setting.about);
                whole = false;
            } else if let Some(default) = default_value(setting) {
                parts.push((setting.name.to_owned(), Part::Fixed(default)));
            }
            continue;
        };
        match part(section, setting.kind, &found) {
            Some(part) => parts.push((setting.name.to_owned(), part)),
            None => whole = false,
        }
    }
    whole.then_some(parts)
}

fn part<'c>(section: &Section<'c>, kind: SettingKind, found: &Found<'c>) -> Option<Part> {
    let read = match kind {
        SettingKind::Template => text(found.value).map(Part::Text),
        SettingKind::PageTemplate => text(found.value).map(Part::Page),
        SettingKind::TemplateTable => {
            let (mut rows, mut whole) = (Vec::new(), true);
            for (key, value) in section.as_section(found)?.entries() {
                match text(value.value) {
                    Ok(text) => rows.push((key.to_owned(), text)),
                    Err(message) => {
                        section.report(&value.span, &value.path, message);
                        whole = false;
                    }
                }
            }
            return whole.then_some(Part::Table(rows));
        }
        kind => plain_setting(kind, found.value).map(Part::Fixed),
    };
    match read {
        Ok(part) => Some(part),
        Err(message) => {
            section.report(&found.span, &found.path, message);
            None
        }
    }
}

/// Where the string `data.keyword1` stands in the file.
fn place<'a>(section: &Section<'a>, field: &str) -> Found<'a> {
    let mut steps = field.splitn(2, '.');
    let key = steps.next().unwrap_or_default();
    let entries = section.entries();
    let whole = entries.into_iter().find(|(name, _)| *name == key).map(|(_, found)| found);
    let Some(found) = whole else {
        let empty: &'static toml::de::DeValue<'static> = &toml::de::DeValue::Boolean(false);
        return Found { value: empty, span: section.span().clone(), path: section.path().to_owned() };
    };
    let inner = steps.next().and_then(|name| {
        let table = section.as_section(&found)?;
        table.entries().into_iter().find(|(key, _)| *key == name).map(|(_, found)| found)
    });
    inner.unwrap_or(found)
}
