//! The SDK's sources, inside the program: whoever starts a plugin needs nothing but Rust and a registry of crates.
//!
//! A tidy test compares this list with the folders.

use super::manifest::{Take, standalone};

/// Files under their paths in our repository.
macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../../", $path)))),+]
    };
}

/// What is taken along as it stands.
const SOURCES: &[(&str, &str)] = files![
    "plugins/abi/include/tidings_plugin.h",
    "plugins/abi/src/lib.rs",
    "plugins/abi/src/read.rs",
    "plugins/abi/src/v1.rs",
    "plugins/sdk/src/border.rs",
    "plugins/sdk/src/border/callback.rs",
    "plugins/sdk/src/border/content.rs",
    "plugins/sdk/src/border/credential_source.rs",
    "plugins/sdk/src/border/entry.rs",
    "plugins/sdk/src/border/host.rs",
    "plugins/sdk/src/border/http_transport.rs",
    "plugins/sdk/src/border/instance.rs",
    "plugins/sdk/src/border/note.rs",
    "plugins/sdk/src/border/panics.rs",
    "plugins/sdk/src/border/renderer.rs",
    "plugins/sdk/src/border/token_provider.rs",
    "plugins/sdk/src/border/tracing.rs",
    "plugins/sdk/src/border/transport.rs",
    "plugins/sdk/src/border/values.rs",
    "plugins/sdk/src/callback.rs",
    "plugins/sdk/src/credential.rs",
    "plugins/sdk/src/description.rs",
    "plugins/sdk/src/http.rs",
    "plugins/sdk/src/lib.rs",
    "plugins/sdk/src/log.rs",
    "plugins/sdk/src/plugin.rs",
    "plugins/sdk/src/prelude.rs",
    "plugins/sdk/src/provider.rs",
    "plugins/sdk/src/record.rs",
    "plugins/sdk/src/render.rs",
    "plugins/sdk/src/runtime.rs",
    "plugins/sdk/src/schema.rs",
    "plugins/sdk/src/settings.rs",
    "plugins/sdk/src/testing.rs",
    "plugins/sdk/src/token.rs",
    "plugins/sdk/src/transport.rs",
    "core/model/src/credential.rs",
    "core/model/src/outcome.rs",
    "core/model/src/spelling.rs",
    "core/model/src/time.rs",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];

/// The part of the vocabulary that the SDK shares. The rest of the crate is for who keeps messages, not for who sends
/// one.
const MODEL: &str = "//! The words that Tidings and its plugins share.

pub mod credential;
pub mod outcome;
pub mod spelling;
pub mod time;

pub use credential::CredentialKind;
pub use outcome::Outcome;
pub use time::Timestamp;
";

/// Every file of the SDK under its path.
pub(super) fn files() -> impl Iterator<Item = (&'static str, String)> {
    const ROOT: &str = include_str!("../../../Cargo.toml");
    let manifests = [
        ("plugins/abi/Cargo.toml", include_str!("../../../plugins/abi/Cargo.toml"), Take::Whole),
        ("plugins/sdk/Cargo.toml", include_str!("../../../plugins/sdk/Cargo.toml"), Take::Whole),
        ("core/model/Cargo.toml", include_str!("../../../core/model/Cargo.toml"), Take::Bare),
    ];
    let manifests = manifests.into_iter().map(|(path, text, take)| (path, standalone(text, ROOT, take)));
    let sources = SOURCES.iter().map(|(path, text)| (*path, (*text).to_owned()));
    manifests.chain(sources).chain([("core/model/src/lib.rs", MODEL.to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_need_no_workspace() {
        for (path, text) in files().filter(|(path, _)| path.ends_with("Cargo.toml")) {
            let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{path}: {error}\n{text}"));
            assert!(!text.contains("workspace") && table.contains_key("package"), "{path}: {text}");
        }
    }
}
