//! A plugin file, loaded for a rule, and its instances. Every call is made here, on the thread of the rule.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};
use tidings_abi::v1::{self, Pair, Text};
use tidings_abi::{empty, sized};
use tidings_sdk::{Description, Role, SettingKind, StageDescription};

use super::record::{self, PROBLEMS, Put};
use super::{Asked, file};
use crate::image;
use crate::inspect::Inspected;
use crate::loaded::describe;
use crate::tables::Tables;

/// A loaded plugin.
pub(super) struct Rig {
    pub(super) description: Description,
    pub(super) tables: Tables,
    pub(super) get_interface: unsafe extern "C" fn(Text) -> *const c_void,
}

/// What the entry gave.
pub(super) struct Entered {
    pub(super) inspected: Inspected,
    pub(super) plugin: v1::Plugin,
}

/// Loads the file and calls its entry.
pub(super) fn enter(asked: &Asked) -> Result<Entered, String> {
    let inspected = file::inspected(asked).map_err(|problem| format!("it {problem}"))?;
    let entry = image::load(&inspected.name, &inspected.bytes).map_err(|problem| format!("it {problem}"))?;
    let mut plugin: *const v1::Plugin = std::ptr::null();
    // SAFETY: the entry of a file whose note says that it is of this contract; the table stays for ever, and `plugin` is
    // written before it returns or not at all.
    let code = unsafe { entry(record::table(), &raw mut plugin) };
    if code != v1::OK {
        return Err(format!("its entry returned {}{}", code_name(code), last_words()));
    }
    // SAFETY: what the entry gave; the contract says that the table stays valid for ever.
    let plugin = unsafe { sized(plugin) }.map_err(|error| format!("its entry gave a table that is {error}"))?;
    Ok(Entered { inspected, plugin })
}

impl Rig {
    pub(super) fn open(asked: &Asked) -> Result<Rig, String> {
        let Entered { inspected, plugin } = enter(asked)?;
        let description = describe(&plugin, &inspected).map_err(|problem| format!("it {problem}"))?;
        // SAFETY: `plugin` is what the entry gave, and this is the only thread that calls it.
        let tables = unsafe { Tables::of(&plugin, &description) }.map_err(|problem| format!("it {problem}"))?;
        let get_interface = plugin.get_interface.ok_or("it has no function `get_interface`")?;
        Ok(Rig { description, tables, get_interface })
    }

    /// The stages of a role.
    pub(super) fn stages(&self, role: &str) -> impl Iterator<Item = StageDescription> {
        self.description.stages.iter().filter(move |stage| stage.role.name() == role).copied()
    }

    /// Whether it does its own talking, and settings should lead it nowhere.
    pub(super) fn talks(&self) -> bool {
        self.description.stages.iter().any(|stage| matches!(stage.role, Role::Transport(_)))
    }

    /// Asks for an instance with these settings, secrets among them, as JSON `settings` instead where that is given.
    pub(super) fn make(&self, stage: &StageDescription, app: &Map<String, Value>, settings: Option<&str>) -> Made<'_> {
        let is_secret = |name: &str| {
            let settings = self.description.app_settings;
            settings.iter().any(|setting| setting.name == name && setting.kind == SettingKind::Secret)
        };
        let (secret, open): (Map<_, _>, Map<_, _>) =
            app.clone().into_iter().partition(|(name, value)| is_secret(name) && value.is_string());
        let pair = |(name, value): (&String, &Value)| -> (String, String) {
            (name.clone(), value.as_str().unwrap_or_default().to_owned())
        };
        let secrets: Vec<(String, String)> = secret.iter().map(pair).collect();
        let open = settings.map_or_else(|| Value::Object(open).to_string(), str::to_owned);
        let pairs: Vec<Pair> =
            secrets.iter().map(|(name, value)| Pair { name: Text::of(name), value: Text::of(value) }).collect();
        let role = format!("{}/1", stage.role.name());
        let stage = Grown::new(v1::Stage {
            role: Text::of(&role),
            stage: Text::of(stage.name),
            app: Text::of("check"),
            settings: Text::of(&open),
            secrets: pairs.as_ptr(),
            secret_count: pairs.len(),
            ..empty()
        });
        static INSTANCES: AtomicU64 = AtomicU64::new(1);
        let id = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let mut itself = std::ptr::null_mut();
        let (code, put) = call(|| {
            // SAFETY: the function of the plugin's table; everything `stage` points to outlives the call, and `itself` is
            // a place for a pointer.
            unsafe { (self.tables.create)(id, stage.pointer(), &raw mut itself, PROBLEMS) }
        });
        match code {
            v1::OK => Made::Instance(Instance { rig: self, id, itself }),
            v1::REFUSED => Made::Refused(put.problems),
            code => Made::Broken(format!("`create` returned {}{}", code_name(code), last_words())),
        }
    }

    /// An instance with these settings, which are good.
    pub(super) fn instance(&self, stage: &StageDescription, app: &Map<String, Value>) -> Result<Instance<'_>, String> {
        match self.make(stage, app, None) {
            Made::Instance(instance) => Ok(instance),
            Made::Refused(problems) => Err(format!(
                "`create` of the stage `{}` refused the settings that were made of defaults and examples: {}; give others \
                 with --values",
                stage.name,
                sentence(&problems)
            )),
            Made::Broken(what) => Err(format!("stage `{}`: {what}", stage.name)),
        }
    }

    /// The interface of that name.
    pub(super) fn interface(&self, name: &str) -> *const c_void {
        // SAFETY: the function of the plugin's table; the text is borrowed for the call.
        unsafe { (self.get_interface)(Text::of(name)) }
    }
}

/// What came of `create`.
pub(super) enum Made<'r> {
    Instance(Instance<'r>),
    Refused(Vec<(String, String)>),
    Broken(String),
}

/// An instance; ended when it is dropped.
pub(super) struct Instance<'r> {
    pub(super) rig: &'r Rig,
    pub(super) id: u64,
    pub(super) itself: *mut c_void,
}

impl Drop for Instance<'_> {
    fn drop(&mut self) {
        // SAFETY: the function of the plugin's table with what its `create` gave, for the last time.
        call(|| unsafe { (self.rig.tables.destroy)(self.itself) });
    }
}

/// Makes a call and takes what it put.
pub(super) fn call<R>(call: impl FnOnce() -> R) -> (R, Put) {
    record::with(|record| record.put = Put::default());
    let returned = call();
    (returned, record::with(|record| std::mem::take(&mut record.put)))
}

/// Makes a call that returns a code: what it put, and whether it refused.
pub(super) fn ask(function: &str, ask: impl FnOnce() -> i32) -> Result<Answer, String> {
    let before = record::with(|record| (record.panics.len(), record.faults.len()));
    let (code, put) = call(ask);
    let fault = record::with(|record| record.faults.get(before.1).cloned());
    if let Some(fault) = fault {
        return Err(format!("in `{function}` {fault}"));
    }
    if record::with(|record| record.panics.len()) > before.0 && code != v1::PANICKED {
        return Err(format!("`{function}` panicked and returned {}{}", code_name(code), last_words()));
    }
    match code {
        v1::OK => Ok(Answer { put, is_refused: false }),
        v1::REFUSED if put.problems.is_empty() => Err(format!("`{function}` refused and put no problem: say why")),
        v1::REFUSED => Ok(Answer { put, is_refused: true }),
        code => Err(format!("`{function}` returned {}{}", code_name(code), last_words())),
    }
}

/// What a call gave.
pub(super) struct Answer {
    pub(super) put: Put,
    pub(super) is_refused: bool,
}

/// The one value that must have been put.
pub(super) fn one<T>(function: &str, put: Vec<Option<T>>) -> Result<T, String> {
    let count = put.len();
    match (count, put.into_iter().next().flatten()) {
        (1, Some(value)) => Ok(value),
        (0, _) => Err(format!("`{function}` returned TIDINGS_OK and put nothing")),
        (count, _) => Err(format!("`{function}` put {count} answers to one question")),
    }
}

pub(super) fn sentence(problems: &[(String, String)]) -> String {
    let told = problems.iter().map(|(field, problem)| format!("{field} {problem}").trim().to_owned());
    record::short(&told.collect::<Vec<_>>().join("; ")).to_owned()
}

fn code_name(code: i32) -> String {
    match code {
        v1::OK => "TIDINGS_OK".to_owned(),
        v1::REFUSED => "TIDINGS_REFUSED".to_owned(),
        v1::FAILED => "TIDINGS_FAILED".to_owned(),
        v1::PANICKED => "TIDINGS_PANICKED".to_owned(),
        code => format!("{code}, which means nothing"),
    }
}

/// What the plugin said last: why it broke down.
fn last_words() -> String {
    let last = record::with(|record| record.panics.last().or(record.lines.last()).cloned());
    last.map(|line| format!(": {}", record::short(&line))).unwrap_or_default()
}

/// A struct as a later minor will have it: the known part, and more behind it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Grown<T> {
    known: T,
    unknown: [u64; 4],
}

impl<T: tidings_abi::Grows> Grown<T> {
    /// As large as it is known. `known` says its size itself.
    pub(super) fn new(known: T) -> Grown<T> {
        Grown { known, unknown: [u64::MAX; 4] }
    }

    /// With all of it said to be there.
    pub(super) fn larger(known: T) -> Grown<T> {
        let mut grown = Grown::new(known);
        let size = u32::try_from(size_of::<Grown<T>>()).unwrap_or(u32::MAX);
        // SAFETY: `Grows` says that the first field is the `u32` size.
        unsafe { (&raw mut grown.known).cast::<u32>().write(size) };
        grown
    }

    pub(super) fn pointer(&self) -> *const T {
        (&raw const *self).cast()
    }
}
