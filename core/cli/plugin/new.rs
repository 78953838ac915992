//! `tidings plugin new`: a folder with a plugin that builds, passes its own test, and can be run.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::embedded;
use crate::args::PluginNewArgs;
use crate::{Failure, Outcome, output, run};

/// Bytes of a plugin's name: what the note has room for.
const NAME_BYTES_MAX: usize = 31;

/// What the plugin is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NewRole {
    /// Sends by HTTP: two pure functions, and Tidings does the talking.
    HttpTransport,
    /// Sends by anything else, on threads of its own.
    Transport,
    /// Says what a permit to send is.
    CredentialSource,
    /// Fetches what authorises an app at its provider; with a transport that shows it.
    TokenProvider,
    /// Fills templates in.
    Renderer,
}

/// The files of a role's project. In them `acme` stands for the name, `Acme` for it as a type, `acme_plugin` for the
/// crate.
struct Template {
    lib: &'static str,
    test: &'static str,
    config: &'static str,
    /// What the crate needs beside the SDK, and what of the SDK.
    dependencies: &'static str,
    /// Someone to talk to.
    stand_in: Option<&'static str>,
}

macro_rules! template {
    ($name:literal, $dependencies:literal, $stand_in:expr) => {
        Template {
            lib: include_str!(concat!("template/", $name, ".rs")),
            test: include_str!(concat!("template/", $name, "_test.rs")),
            config: include_str!(concat!("template/", $name, ".toml")),
            dependencies: $dependencies,
            stand_in: $stand_in,
        }
    };
}

const HTTP_STAND_IN: &str = include_str!("template/stand_in_http.rs");
const LINE_STAND_IN: &str = include_str!("template/stand_in_lines.rs");

impl NewRole {
    fn template(self) -> Template {
        match self {
            NewRole::HttpTransport => template!("http_transport", "serde_json = \"1\"\n", Some(HTTP_STAND_IN)),
            NewRole::Transport => template!(
                "transport",
                "serde_json = \"1\"\ntokio = { version = \"1\", default-features = false, features = [\"net\", \"io-util\"] }\n",
                Some(LINE_STAND_IN)
            ),
            NewRole::CredentialSource => template!("credential_source", "", None),
            NewRole::TokenProvider => template!("token_provider", "serde_json = \"1\"\n", Some(HTTP_STAND_IN)),
            NewRole::Renderer => template!("renderer", "serde_json = \"1\"\n", None),
        }
    }

    /// What of the SDK it needs.
    fn features(self) -> &'static str {
        match self {
            NewRole::Transport => ", features = [\"runtime\"]",
            _ => "",
        }
    }
}

pub(crate) fn new(args: &PluginNewArgs) -> Outcome {
    check_name(&args.name).map_err(Failure::Usage)?;
    let sdk = args.sdk.as_deref().map(checkout).transpose().map_err(Failure::Usage)?;
    let folder = Path::new(&args.name);
    match fs::create_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let name = &args.name;
            return Err(Failure::Usage(format!("`{name}` is there already; nothing is written over: name another")));
        }
        Err(error) => return Err(Failure::Failed(format!("make the folder `{}`: {error}", args.name))),
    }
    for (path, text) in project(args.role, &args.name, sdk.as_deref()) {
        if let Err(error) = write(&folder.join(&path), &text) {
            // Half a project helps nobody, and all that is in the folder is ours.
            drop(fs::remove_dir_all(folder));
            return Err(Failure::Failed(format!("write `{}/{path}`: {error}", args.name)));
        }
    }
    output::line(&format!(
        "made the folder {name}: src/lib.rs is the plugin, README.md says what is what. Now type:

  cd {name}
  cargo test
  cargo build --release
  tidings plugin check {file}",
        name = args.name,
        file = built(&args.name)
    ))
}

/// Every file of a project under its path.
fn project(role: NewRole, name: &str, sdk: Option<&Path>) -> Vec<(String, String)> {
    let Template { lib, test, config, dependencies, stand_in } = role.template();
    let sdk_path = sdk.map_or_else(|| "sdk".to_owned(), |sdk| sdk.display().to_string());
    let manifest = named(include_str!("template/Cargo.toml"), name)
        .replace("SDK_PATH", &sdk_path)
        .replace("SDK_FEATURES", role.features())
        .replace("DEPENDENCIES\n", dependencies);
    let readme = named(include_str!("template/README.md"), name).replace("FILE", &built(name));
    let readme = match stand_in {
        Some(_) => readme,
        // Without a stand-in of its own it talks to the simulated WeChat.
        None => readme.replace("cargo run --example stand-in", "tidings sandbox"),
    };
    let mut files = vec![
        ("Cargo.toml".to_owned(), manifest),
        ("src/lib.rs".to_owned(), named(lib, name)),
        ("tests/plugin.rs".to_owned(), named(test, name)),
        ("config.toml".to_owned(), named(config, name)),
        ("README.md".to_owned(), readme),
        (".gitignore".to_owned(), include_str!("template/gitignore").to_owned()),
    ];
    files.extend(stand_in.map(|text| ("examples/stand-in.rs".to_owned(), text.to_owned())));
    if sdk.is_none() {
        files.extend(embedded::files().map(|(path, text)| (format!("sdk/{path}"), text)));
    }
    files
}

/// A file of a template with the name in the places of `acme`.
fn named(text: &str, name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    let type_name: String = name.split('-').map(capital).collect();
    // By way of characters that no file has: the name itself may be `acme-2`.
    let marked = text.replace("acme_plugin", "\u{1}").replace("Acme", "\u{2}").replace("acme", "\u{3}");
    marked.replace('\u{1}', &crate_name(name)).replace('\u{2}', &type_name).replace('\u{3}', name)
}

fn crate_name(name: &str) -> String {
    format!("{}_plugin", name.replace('-', "_"))
}

/// Where cargo puts the plugin.
fn built(name: &str) -> String {
    format!("target/release/lib{}.so", crate_name(name))
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= NAME_BYTES_MAX
        && name.chars().all(fits)
        && !name.ends_with('-')
        && !name.contains("--");
    if !is_name {
        return Err(format!(
            "`{}` is no name for a plugin; expected a letter, then a-z, 0-9 and single -, at most {NAME_BYTES_MAX}: \
             it is the first half of every stage name in config, as in `acme.send`",
            output::clean(name)
        ));
    }
    if run::registry().plugin_names().contains(&name) {
        return Err(format!("a plugin `{name}` is built in; name yours otherwise"));
    }
    Ok(())
}

/// A checkout of Tidings, by its full path: the project need not stand where the command was typed.
fn checkout(path: &Path) -> Result<PathBuf, String> {
    let full = path.canonicalize().map_err(|error| format!("`--sdk {}`: {error}", path.display()))?;
    if !full.join("plugins/sdk/Cargo.toml").is_file() {
        return Err(format!(
            "`--sdk {}`: there is no plugins/sdk/Cargo.toml in it; expected a checkout of Tidings. Without --sdk the \
             SDK is taken along from this program",
            path.display()
        ));
    }
    Ok(full)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_config_or_cargo_would_refuse_are_refused() {
        for name in ["acme", "a", "acme-2", "a2-b", &"a".repeat(31)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "Acme", "a_b", "2a", "-a", "a-", "a--b", "a/b", "..", "ä", "a b", &"a".repeat(32)] {
            assert!(check_name(name).unwrap_err().contains("no name for a plugin"), "{name}");
        }
        assert!(check_name("wechat").unwrap_err().contains("built in"));
    }

    #[test]
    fn every_role_is_written_under_the_name_that_was_given() {
        for role in NewRole::value_variants() {
            let files = project(*role, "my-mail-2", None);
            let text = |path: &str| &files.iter().find(|(file, _)| file == path).unwrap().1;
            assert!(text("src/lib.rs").contains("\"my-mail-2\""), "{role:?}");
            assert!(text("tests/plugin.rs").contains("my_mail_2_plugin::"), "{role:?}");
            assert!(text("config.toml").contains("target/release/libmy_mail_2_plugin.so"), "{role:?}");
            for (path, text) in files.iter().filter(|(path, _)| !path.starts_with("sdk/")) {
                let left =
                    ["acme", "Acme", "SDK_", "DEPENDENCIES", "FILE"].into_iter().find(|word| text.contains(word));
                assert_eq!(left, None, "{role:?}: {path}: {text}");
            }
        }
    }
}
