//! `[plugins.NAME]`: plugins in files, loaded before anything that may use them is read.
//!
//! A file that cannot be loaded stops the start only if it is `required`. Otherwise its channels wait, and say why. A file
//! may take the place of a plugin that is built in: a newer one, say, without a new engine.

use std::sync::Arc;

use tidings_host::{Loaded, PluginFile};
use tidings_sdk::{Description, Role, Setting};

use super::Reading;
use super::read::{Section, text};
use crate::registry::Registry;

/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// Keys of an app that are the engine's own.
const APP_KEYS: [&str; 3] = ["plugin", "token_margin", "sandbox"];

/// Keys of a template that are the engine's own.
const TEMPLATE_KEYS: [&str; 2] = ["channel", "sample"];

impl Reading<'_> {
    /// The plugins there are: those that are built in, and those that config names.
    pub(super) fn plugins(&self, root: &Section<'_>, notes: &mut Vec<String>) -> Registry {
        let mut registry = self.registry.clone();
        for (name, span, section) in root.named("plugins") {
            if self.registry.plugin_names().contains(&name) {
                notes
                    .push(format!("plugin `{name}` comes from a file and takes the place of the one that is built in"));
            }
            let required = section.flag("required");
            match self.plugin(name, &section) {
                Some(Ok(plugin)) => registry.add_file(plugin),
                Some(Err(reason)) => {
                    if required {
                        let place = section.find("path").map_or_else(|| span.clone(), |found| found.span);
                        section.report(&place, section.path(), reason.clone());
                    } else {
                        notes.push(format!("plugin `{name}` is not there: {reason}"));
                    }
                    registry.add_absent(name, &format!("plugin `{name}` is not there: {reason}"));
                }
                // A mistake that was reported: what refers to the plugin is none of its own.
                None => registry.add_absent(name, "its section in config is wrong"),
            }
            section.finish();
        }
        registry
    }

    /// The plugin of a section, or why it cannot be loaded. `None` if the section is wrong.
    fn plugin(&self, name: &str, section: &Section<'_>) -> Option<Result<Arc<Loaded>, String>> {
        let path = section.text("path");
        let sha256 = section.parsed("sha256", |value| {
            let digits = text(value)?;
            let fits = digits.len() == SHA256_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            if fits { Ok(digits) } else { Err(format!("expected the {SHA256_DIGITS} hexadecimal digits of a SHA-256")) }
        });
        if section.find("path").is_none() {
            section.missing("path", "the plugin's file");
        }
        if section.find("sha256").is_some() && sha256.is_none() {
            return None;
        }
        let file = PluginFile { path: self.folder.join(path?), sha256 };
        Some((self.world.load_plugin)(&file).map_err(|refusal| refusal.to_string()).and_then(|plugin| {
            let description = plugin.description();
            if description.name != name {
                return Err(format!(
                    "the file is plugin `{found}`; name it `[plugins.{found}]`",
                    found = description.name
                ));
            }
            reserved(description).map_or(Ok(plugin), Err)
        }))
    }
}

/// A setting under a key that is the engine's own could never be given.
fn reserved(description: &Description) -> Option<String> {
    let clash = |settings: &[Setting], keys: &[&str]| {
        settings.iter().find(|setting| keys.contains(&setting.name)).map(|setting| setting.name)
    };
    let of_app = clash(description.app_settings, &APP_KEYS);
    let of_template = description.stages.iter().find_map(|stage| match stage.role {
        Role::HttpTransport(rules) | Role::Transport(rules) => clash(rules.template_settings, &TEMPLATE_KEYS),
        _ => None,
    });
    of_app.or(of_template).map(|key| format!("it has a setting `{key}`, which is a key of the engine's own"))
}
