//! Loading a plugin file into this process, after another has shown that it survives it.
//!
//! A file runs its initialisers when it is loaded. One that crashes there would take the engine with it, and one that hangs
//! there keeps the dynamic loader's lock for ever: nothing else could be loaded, and not even an orderly end made. So a
//! child process goes first.

use std::sync::Arc;

use tidings_engine::Registry;
use tidings_engine::config::World;
use tidings_host::check::{Asked, Given};
use tidings_host::{Loaded, PluginFile, Refusal, inspect, load};

use super::check::rule_of;
use super::trial::{Tried, in_own_process};

/// The rule that loads a file and asks what it is.
const LOADS: &str = "file.loads";

/// The process's own environment and files, and plugins by way of a trial.
pub(crate) fn world() -> World<'static> {
    World { load_plugin: &load_tried, ..World::process() }
}

/// The same, but nothing is made: for a check.
pub(crate) fn world_looking_on() -> World<'static> {
    World { load_plugin: &load_tried, ..World::looking_on() }
}

/// The plugin of that file if it is loaded already. A file that took the place of a loaded one is refused before any of
/// it runs: what is loaded is never unloaded.
pub(crate) fn loaded_or(
    loaded: &Registry,
    file: &PluginFile,
    load: &dyn Fn(&PluginFile) -> Result<Arc<Loaded>, Refusal>,
) -> Result<Arc<Loaded>, Refusal> {
    let inspected = inspect(file)?;
    if let Some(plugin) = loaded.loaded(&inspected.sha256) {
        return Ok(plugin);
    }
    if loaded.is_file(&inspected.name) {
        return Err(Refusal::new(&file.path, "is another file than the one that is loaded".to_owned()));
    }
    load(file)
}

fn load_tried(file: &PluginFile) -> Result<Arc<Loaded>, Refusal> {
    let inspected = inspect(file)?;
    let refuse = |problem: String| Err(Refusal::new(&file.path, problem));
    let asked = Asked { file: file.path.clone(), seed: 0, given: Given::default() };
    let Ok(rule) = rule_of(LOADS) else { return refuse(format!("cannot be tried: there is no rule `{LOADS}`")) };
    match in_own_process(rule, &asked, None) {
        // What it has to say of a file that can be loaded, loading it says better.
        Ok(Tried::Verdict(_)) => load(inspected),
        Ok(Tried::Crashed(how)) => refuse(format!("crashed when it was loaded for a trial: {how}")),
        Ok(Tried::Hung(how)) => refuse(format!("did not come back when it was loaded for a trial: {how}")),
        Err(error) => refuse(format!("cannot be tried in a process of its own: {error}")),
    }
}
