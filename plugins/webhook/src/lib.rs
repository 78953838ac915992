//! Any provider that takes a request over HTTP, by config alone.
//!
//! An app says how the provider is spoken to: address, headers, the shape of the body, what its answers mean. A
//! template says what is said: the values that stand in for `{name}` in the app's request. Everything here is pure: a
//! request is made of values, and an answer is read into a value. `README.md` beside it has every setting;
//! `docs/RECIPES.md` has providers. The modules in reading order:
//!
//! | Module | Subject |
//! |---|---|
//! | `settings` | what an app is configured with, and what does not fit together |
//! | `send` | the transport |
//! | `placeholder` | texts with `{name}` in them |
//! | `address`, `header`, `body` | the parts of a request |
//! | `answer` | what an answer says |
//! | `verdict` | what it may mean, in the words of config |
//! | `secret` | what is not kept of it |

mod settings;

mod send;

mod placeholder;

mod address;

mod header;

mod body;

mod answer;

mod verdict;

mod secret;

#[cfg(test)]
mod testing;

use tidings_sdk::Plugin;

/// The plugin `webhook`: transport `http`.
pub fn plugin() -> Plugin {
    Plugin::new("webhook", env!("CARGO_PKG_VERSION"))
        .app_settings(settings::SETTINGS)
        .check_app(settings::check)
        .http_transport("http", send::Http)
}

tidings_sdk::export!(name: "webhook", roles: [http_transport], plugin: plugin());

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_sdk::Description;

    #[test]
    fn the_plugin_describes_itself_so_that_it_is_understood() {
        let description = Description::of(&plugin());
        let read = Description::parse(&description.to_json()).unwrap();
        assert_eq!((read.name, read.stages.len()), ("webhook", 1));
        // A schema has no order: the settings come back in that of the alphabet.
        let mut settings = description.app_settings.to_vec();
        settings.sort_by_key(|setting| setting.name);
        assert_eq!(read.app_settings, settings);
    }
}
