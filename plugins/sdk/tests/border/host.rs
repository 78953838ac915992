//! A host that writes down what it is told, instance by instance, and the sinks it lends.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidings_abi::v1::{self, Entry, Text};
use tidings_abi::{array, empty, sized};

/// What an instance told its host.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Operation, outcome and provider's id, in order.
    pub(crate) completed: Vec<(u64, i32, String)>,
    pub(crate) writable: u32,
    pub(crate) panicked: Vec<String>,
    pub(crate) logged: Vec<(i32, String)>,
}

static TOLD: Mutex<BTreeMap<u64, Told>> = Mutex::new(BTreeMap::new());

fn told() -> MutexGuard<'static, BTreeMap<u64, Told>> {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an instance told since it was last asked.
pub(crate) fn take_told(instance: u64) -> Told {
    told().remove(&instance).unwrap_or_default()
}

unsafe extern "C" fn log_enabled(_instance: u64, level: i32) -> i32 {
    i32::from(level <= v1::LOG_INFO)
}

unsafe extern "C" fn log(instance: u64, level: i32, message: Text) {
    let line = string(message);
    told().entry(instance).or_default().logged.push((level, line));
}

unsafe extern "C" fn complete(instance: u64, outcomes: *const v1::Outcome, count: usize, stride: usize) {
    // SAFETY: the plugin's word.
    for outcome in unsafe { array(outcomes, count, stride) }.unwrap() {
        let outcome = outcome.unwrap();
        let line = (outcome.operation, outcome.outcome, string(outcome.provider_id));
        told().entry(instance).or_default().completed.push(line);
    }
}

unsafe extern "C" fn writable(instance: u64) {
    told().entry(instance).or_default().writable += 1;
}

unsafe extern "C" fn panicked(instance: u64, message: Text) {
    let line = string(message);
    if instance == 0 {
        // No instance: a test has failed, and the plugin has its hook in this program.
        eprintln!("{line}");
    }
    told().entry(instance).or_default().panicked.push(line);
}

unsafe extern "C" fn get_interface(_name: Text) -> *const c_void {
    ptr::null()
}

pub(crate) fn table() -> v1::Host {
    v1::Host {
        minor: v1::ABI_MINOR,
        log_enabled: Some(log_enabled),
        log: Some(log),
        complete: Some(complete),
        writable: Some(writable),
        panicked: Some(panicked),
        get_interface: Some(get_interface),
        ..empty()
    }
}

unsafe extern "C" {
    pub(crate) fn tidings_plugin_entry_v1(host: *const v1::Host, plugin: *mut *const v1::Plugin) -> i32;
}

/// The plugin's table.
pub(crate) fn plugin() -> v1::Plugin {
    let enter: Entry = tidings_plugin_entry_v1;
    let mut plugin = ptr::null();
    let host = table();
    // SAFETY: a whole table, whose functions stay.
    unsafe {
        assert_eq!(enter(&raw const host, &raw mut plugin), v1::OK);
        sized(plugin).unwrap()
    }
}

/// The functions of a role.
pub(crate) fn interface<T: tidings_abi::Grows>(role: &str) -> T {
    // SAFETY: the contract says that the name of a role gives the struct of that role.
    unsafe { sized(plugin().get_interface.unwrap()(Text::of(role)).cast::<T>()) }.unwrap()
}

/// An instance of the probe; destroyed when it is dropped.
pub(crate) struct Instance {
    pub(crate) id: u64,
    pub(crate) this: *mut c_void,
}

impl Instance {
    /// An instance of an app of that name, with the secret `CANARY`.
    pub(crate) fn of(role: &str, stage: &str, app: &str) -> Instance {
        let (status, problems, instance) = create(role, stage, app, r#"{"mood": "calm"}"#);
        assert_eq!((status, problems), (v1::OK, Vec::new()));
        instance
    }

    pub(crate) fn told(&self) -> Told {
        take_told(self.id)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: it is of `create`, or NULL, and this is the last call.
        unsafe { plugin().destroy.unwrap()(self.this) };
    }
}

pub(crate) fn create(role: &str, stage: &str, app: &str, settings: &str) -> (i32, Vec<(String, String)>, Instance) {
    static IDS: AtomicU64 = AtomicU64::new(1);
    let id = IDS.fetch_add(1, Ordering::Relaxed);
    let secrets = [v1::Pair { name: Text::of("key"), value: Text::of("CANARY") }];
    let stage = v1::Stage {
        role: Text::of(role),
        stage: Text::of(stage),
        app: Text::of(app),
        settings: Text::of(settings),
        secrets: secrets.as_ptr(),
        secret_count: secrets.len(),
        ..empty()
    };
    let mut this = ptr::null_mut();
    let mut problems = Problems::default();
    // SAFETY: everything lives until after the call.
    let status = unsafe { plugin().create.unwrap()(id, &raw const stage, &raw mut this, problems.sink()) };
    (status, problems.0, Instance { id, this })
}

pub(crate) fn string(text: Text) -> String {
    // SAFETY: the plugin's word.
    unsafe { text.read() }.unwrap().to_owned()
}

/// The problems that were put: fields and sentences.
#[derive(Debug, Default)]
pub(crate) struct Problems(pub(crate) Vec<(String, String)>);

impl Problems {
    pub(crate) fn sink(&mut self) -> v1::Problems {
        unsafe extern "C" fn put(context: *mut c_void, field: Text, problem: Text) {
            // SAFETY: the context of `sink`, which is lent for the call.
            unsafe { &mut *context.cast::<Problems>() }.0.push((string(field), string(problem)));
        }
        v1::Problems { context: ptr::from_mut(self).cast(), put: Some(put) }
    }
}

/// What was put into a sink, as text.
#[derive(Debug, Default)]
pub(crate) struct Lines(pub(crate) Vec<String>);

macro_rules! sinks {
    ($($name:ident: $sink:ident of $value:ident => $show:expr;)*) => {
        impl Lines {
            $(pub(crate) fn $name(&mut self) -> v1::$sink {
                unsafe extern "C" fn put(context: *mut c_void, value: *const v1::$value) {
                    let show: fn(v1::$value) -> String = $show;
                    // SAFETY: the plugin's word, and the context of this sink, which is lent for the call.
                    unsafe { (*context.cast::<Lines>()).0.push(show(sized(value).unwrap())) };
                }
                v1::$sink { context: ptr::from_mut(self).cast(), put: Some(put) }
            })*
        }
    };
}

sinks! {
    request: RequestSink of Request => |it| {
        // SAFETY: the plugin's word.
        let (body, headers) = unsafe {
            let headers: Vec<String> = (0..it.header_count)
                .map(|index| it.headers.add(index).read())
                .map(|pair| format!("{}: {}", string(pair.name), string(pair.value)))
                .collect();
            (String::from_utf8_lossy(it.body.read().unwrap()).into_owned(), headers)
        };
        format!("{} {} {headers:?} {body}", string(it.method), string(it.url))
    };
    outcome: OutcomeSink of Outcome => |it| format!(
        "{} {} {} {:?} {:?}",
        it.outcome, it.retry_after_ms, it.until_unix_ms, string(it.provider_id), string(it.detail)
    );
    fetched: FetchedSink of Fetched => |it| format!(
        "{} {} {} {:?} {:?}", it.fetched, it.life_ms, it.retry_after_ms, string(it.token), string(it.detail)
    );
    permit: PermitSink of Permit => show_permit;
    field: FieldSink of Field => |it| format!(
        "{:#x} {:?} {:?} {:?}", it.kind, string(it.key), string(it.row), string(it.value)
    );
    event: EventSink of Event => |it| {
        // SAFETY: the plugin's word: NULL or a permit.
        let permit = unsafe { sized(it.permit) }.map(show_permit).unwrap_or_default();
        format!("{} {:?} {:?} {:?} {permit}", it.event, string(it.source), string(it.provider_id), string(it.detail))
    };
    reply: ReplySink of Reply => |it| {
        // SAFETY: the plugin's word.
        let body = unsafe { it.body.read() }.unwrap();
        format!("{} {} {}", it.status, string(it.content_type), String::from_utf8_lossy(body))
    };
}

fn show_permit(it: v1::Permit) -> String {
    format!(
        "{} {} {} {:?} {:?} {:?} {:?}",
        it.uses,
        it.made_at_unix_ms,
        it.expires_at_unix_ms,
        string(it.recipient),
        string(it.scope),
        string(it.value),
        string(it.identity)
    )
}

/// Elements of a host that is newer: each has grown, and the first stands at an odd address.
pub(crate) struct Grown {
    bytes: Vec<u8>,
    pub(crate) stride: usize,
}

impl Grown {
    /// Bytes by which the newer struct is larger, none of them zero.
    const MORE: usize = 13;

    pub(crate) fn of<T: tidings_abi::Grows>(values: &[T]) -> Grown {
        let stride = size_of::<T>() + Grown::MORE;
        let mut bytes = vec![0xee; 1 + stride * values.len() + align_of::<T>()];
        for (index, value) in values.iter().enumerate() {
            let start = Grown::start(&bytes) + index * stride;
            // SAFETY: inside `bytes`, by its length; plain bytes are copied, and then the size is said anew.
            unsafe {
                let place = bytes.as_mut_ptr().add(start);
                ptr::copy_nonoverlapping(ptr::from_ref(value).cast::<u8>(), place, size_of::<T>());
                place.cast::<u32>().write_unaligned(u32::try_from(stride).unwrap());
            }
        }
        Grown { bytes, stride }
    }

    /// The first odd address.
    fn start(bytes: &[u8]) -> usize {
        1 - bytes.as_ptr().addr() % 2
    }

    pub(crate) fn pointer<T>(&self) -> *const T {
        // SAFETY: inside `bytes`.
        unsafe { self.bytes.as_ptr().add(Grown::start(&self.bytes)).cast() }
    }
}
