//! Rules about the file, its description and its tables.

use object::endian::Endianness;
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSymbol as _};
use std::time::{Duration, Instant};
use tidings_abi::v1;

use super::process::{self, Printed};
use super::rig::{self, Entered, Rig};
use super::{Asked, Found, Progress};
use crate::inspect::{Inspected, PluginFile, inspect};
use crate::loaded::describe;

/// How long a file may take to load.
const LOAD_MAX: Duration = Duration::from_secs(5);

/// After so long nobody waits for it any more.
pub(super) const LOAD_DEADLINE: Duration = Duration::from_secs(6);

/// Symbols that are named in a verdict.
const NAMED_MAX: usize = 5;

/// The file, read and checked as the engine does it.
pub(super) fn inspected(asked: &Asked) -> Result<Inspected, String> {
    let file = PluginFile { path: asked.file.clone(), sha256: None };
    inspect(&file).map_err(|refusal| refusal.problem().to_owned())
}

pub(super) fn note(asked: &Asked, _progress: &mut Progress<'_>) -> Result<Found, String> {
    inspected(asked).map(|_| Found::Well).map_err(|problem| format!("it {problem}"))
}

pub(super) fn loads(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    progress.at("loads it");
    let begun = Instant::now();
    rig::enter(asked)?;
    let took = begun.elapsed();
    if took > LOAD_MAX {
        return Err(format!("it took {} ms; the engine waits 5000", took.as_millis()));
    }
    Ok(Found::Well)
}

pub(super) fn exports(asked: &Asked, _progress: &mut Progress<'_>) -> Result<Found, String> {
    let inspected = inspected(asked).map_err(|problem| format!("it {problem}"))?;
    let elf: ElfFile64<'_, Endianness> = ElfFile64::parse(&*inspected.bytes).map_err(|error| error.to_string())?;
    let entry = v1::ENTRY_SYMBOL.to_string_lossy();
    let symbols = elf.dynamic_symbols().filter(|symbol| symbol.is_definition() && symbol.is_global());
    let (entries, others): (Vec<&str>, Vec<&str>) =
        symbols.filter_map(|symbol| symbol.name().ok()).partition(|name| *name == entry);
    if entries.is_empty() {
        return Err(format!("it exports no {entry}"));
    }
    if others.is_empty() {
        return Ok(Found::Well);
    }
    let named = others[..others.len().min(NAMED_MAX)].join(", ");
    let more = if others.len() > NAMED_MAX { ", …" } else { "" };
    Ok(Found::Doubtful(format!("it exports {} more: {named}{more}; hide them (-fvisibility=hidden)", others.len())))
}

pub(super) fn quiet(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    let (threads, printed) = (process::threads(), Printed::from_now());
    progress.at("loads it");
    rig::enter(asked)?;
    let now = process::settled(process::threads, threads);
    if now > threads {
        return Err(format!("{} threads run since it was loaded: {}", now - threads, process::thread_names()));
    }
    match printed.bytes() {
        0 => Ok(Found::Well),
        bytes => Err(format!("it printed {bytes} bytes while it was loaded; say it with host->log")),
    }
}

pub(super) fn description(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    progress.at("loads it");
    let Entered { inspected, plugin } = rig::enter(asked)?;
    let description = describe(&plugin, &inspected).map_err(|problem| format!("it {problem}"))?;
    for setting in description.app_settings {
        if setting.about.trim().is_empty() {
            return Ok(Found::Doubtful(format!("the setting `{}` has no description", setting.name)));
        }
    }
    Ok(Found::Well)
}

pub(super) fn interfaces(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    progress.at("loads it and asks for its tables");
    Rig::open(asked).map(|_| Found::Well)
}

pub(super) fn unknown_interfaces(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    progress.at("loads it");
    let rig = Rig::open(asked)?;
    let known = [
        v1::ROLE_NAME_TOKEN_PROVIDER,
        v1::ROLE_NAME_CREDENTIAL_SOURCE,
        v1::ROLE_NAME_RENDERER,
        v1::ROLE_NAME_HTTP_TRANSPORT,
        v1::ROLE_NAME_TRANSPORT,
        v1::ROLE_NAME_CALLBACK,
    ];
    let not_its = known.into_iter().filter(|name| rig.stages(name.trim_end_matches("/1")).next().is_none());
    for name in not_its.chain(["", "transport", "transport/2", "transport/1x", "http_transport/0", "nobody/1", "\0"]) {
        progress.at(&format!("asks for the role {name:?}"));
        if !rig.interface(name).is_null() {
            return Err(format!("get_interface({name:?}) gave a table; it gives NULL for what it does not have"));
        }
    }
    Ok(Found::Well)
}
