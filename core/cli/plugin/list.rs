//! `tidings plugin list`: as a running engine has them; where none runs, what config names and what is built in. Nothing of
//! a file is run for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;
use tidings_api::client::ClientError;
use tidings_api::wire;
use tidings_host::{PluginFile, inspect};
use tidings_sdk::Description;

use crate::args::JsonArgs;
use crate::connect::Reach;
use crate::{Failure, Outcome, output, run};

/// Characters of a hash in a table.
const HASH_SHOWN: usize = 12;

/// What this command reads of the config. The rest of the file may be wrong, and the list is shown all the same.
#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    plugins: BTreeMap<String, Named>,
}

/// `[plugins.NAME]`
#[derive(Deserialize)]
struct Named {
    path: PathBuf,
    sha256: Option<String>,
}

/// A line of the list.
struct Row {
    name: String,
    version: Option<String>,
    roles: Vec<String>,
    /// `None` where it is built in.
    file: Option<PathBuf>,
    sha256: Option<String>,
    state: String,
    /// Whether a running engine says so.
    runs: bool,
}

pub(super) async fn list(reach: &Reach, args: &JsonArgs) -> Outcome {
    let rows: Vec<Row> = match running(reach).await? {
        Some(plugins) => plugins.into_iter().map(of_engine).collect(),
        None => {
            let named = named(&reach.config)?;
            // A file takes the place of the plugin of its name that is built in.
            let is_replaced = |row: &Row| named.iter().any(|other| other.name == row.name);
            let built_in = run::built_in();
            let built_in: Vec<Row> = built_in.iter().map(built_in_row).filter(|row| !is_replaced(row)).collect();
            built_in.into_iter().chain(named).collect()
        }
    };
    if args.json {
        let rows: Vec<_> = rows
            .into_iter()
            .map(|row| {
                json!({
                    "name": row.name, "version": row.version, "roles": row.roles, "file": row.file,
                    "sha256": row.sha256, "state": row.state, "runs": row.runs,
                })
            })
            .collect();
        return output::json(&rows);
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| {
            vec![
                row.name,
                output::or_dash(row.version),
                if row.roles.is_empty() { "-".to_owned() } else { row.roles.join(", ") },
                output::or_dash(row.file.map(|file| file.display().to_string())),
                output::or_dash(row.sha256.map(|hash| hash[..hash.floor_char_boundary(HASH_SHOWN)].to_owned())),
                row.state,
            ]
        })
        .collect();
    output::table(&["PLUGIN", "VERSION", "ROLES", "FILE", "SHA-256", "STATE"], &rows)
}

/// The plugins of the engine of this config, or of `--url`; `None` where none runs that was not asked for by its URL.
async fn running(reach: &Reach) -> Result<Option<Vec<wire::Plugin>>, Failure> {
    if reach.url.is_some() {
        return Ok(Some(reach.client()?.plugins().await?));
    }
    let Ok(client) = reach.client() else { return Ok(None) };
    match client.plugins().await {
        Ok(plugins) => Ok(Some(plugins)),
        Err(ClientError::Unreachable { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn of_engine(plugin: wire::Plugin) -> Row {
    let wire::Plugin { name, version, state, reason, stages, file, sha256, .. } = plugin;
    Row {
        name,
        version,
        roles: roles(stages.iter().map(|stage| stage.role.as_str())),
        file: file.map(PathBuf::from),
        sha256,
        state: reason.map_or(state.clone(), |reason| format!("{state}: {reason}")),
        runs: true,
    }
}

/// Each role once, in their order.
fn roles<'r>(of_stages: impl Iterator<Item = &'r str>) -> Vec<String> {
    let mut roles: Vec<String> = Vec::new();
    for role in of_stages {
        if !roles.iter().any(|other| other == role) {
            roles.push(role.to_owned());
        }
    }
    roles
}

fn built_in_row(plugin: &tidings_sdk::Plugin) -> Row {
    let description = Description::of(plugin);
    Row {
        name: description.name.to_owned(),
        version: Some(description.version.to_owned()),
        roles: roles(description.stages.iter().map(|stage| stage.role.name())),
        file: None,
        sha256: None,
        state: "built in".to_owned(),
        runs: false,
    }
}

/// Those that config names. Without a config there are none.
fn named(config: &Path) -> Result<Vec<Row>, Failure> {
    let text = match std::fs::read_to_string(config) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::Usage(format!("read `{}`: {error}", config.display()))),
    };
    let file: ConfigFile =
        toml::from_str(&text).map_err(|error| Failure::Usage(format!("`{}`: {error}", config.display())))?;
    let folder = config.parent().unwrap_or(Path::new(""));
    Ok(file.plugins.into_iter().map(|(name, named)| row(name, named, folder)).collect())
}

fn row(name: String, named: Named, folder: &Path) -> Row {
    let Named { path, sha256 } = named;
    let path = folder.join(path);
    match inspect(&PluginFile { path: path.clone(), sha256 }) {
        Ok(inspected) => {
            let state = if inspected.name == name {
                "fit to load".to_owned()
            } else {
                format!("its name is `{}`: write [plugins.{}]", inspected.name, inspected.name)
            };
            Row {
                name,
                version: Some(inspected.version),
                roles: inspected.roles.iter().map(|role| (*role).to_owned()).collect(),
                file: Some(path),
                sha256: Some(inspected.sha256),
                state,
                runs: false,
            }
        }
        Err(refusal) => Row {
            name,
            version: None,
            roles: Vec::new(),
            file: Some(path),
            sha256: None,
            state: refusal.problem().to_owned(),
            runs: false,
        },
    }
}
