//! What can be seen of this process from outside the plugin: threads, files, memory, what was printed.

use std::collections::BTreeMap;
use std::ffi::{OsString, c_int, c_void};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::record;

/// How long a thread that has ended may still be listed.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

/// Between two looks at the lists of the kernel.
const LOOK: Duration = Duration::from_millis(5);

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).map_or(0, |entries| entries.count())
}

/// Threads of this process.
pub(super) fn threads() -> usize {
    entries("/proc/self/task")
}

/// Open files of this process.
pub(super) fn open_files() -> usize {
    entries("/proc/self/fd")
}

/// Bytes of memory that are resident.
pub(super) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// The names of the threads, for a verdict.
pub(super) fn thread_names() -> String {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect::<Vec<_>>().join(", ")
}

/// Waits until what is counted is no more than `most`; gives what it was at last.
pub(super) fn settled(count: impl Fn() -> usize, most: usize) -> usize {
    let end = Instant::now() + SETTLED_WITHIN;
    loop {
        let now = count();
        if now <= most || Instant::now() > end {
            return now;
        }
        // Nothing tells when the kernel has forgotten a thread; a call of the plugin's meanwhile is no reason to stop.
        record::wait_until(LOOK, |_| false);
    }
}

/// What a plugin must leave as it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Surroundings {
    folder: Option<PathBuf>,
    variables: BTreeMap<OsString, OsString>,
    /// The lines of /proc/self/status about the umask and signals.
    status: BTreeMap<String, String>,
}

impl Surroundings {
    pub(super) fn now() -> Surroundings {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let lines = status.lines().filter_map(|line| line.split_once(':'));
        let status = lines
            .filter(|(name, _)| ["Umask", "SigBlk", "SigIgn", "SigCgt"].contains(name))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Surroundings { folder: std::env::current_dir().ok(), variables: std::env::vars_os().collect(), status }
    }

    /// What is different now.
    pub(super) fn differences(&self, now: &Surroundings) -> Vec<String> {
        let mut told = Vec::new();
        if self.folder != now.folder {
            told.push("it changed the working folder".to_owned());
        }
        for name in self.variables.keys().chain(now.variables.keys()) {
            if self.variables.get(name) != now.variables.get(name) {
                told.push(format!("it changed the variable {}", name.to_string_lossy()));
            }
        }
        for (name, before) in &self.status {
            let after = now.status.get(name).map_or("", String::as_str);
            let what = match name.as_str() {
                "Umask" => "the umask",
                "SigBlk" => "the blocked signals of the thread that calls it",
                "SigIgn" => "the ignored signals",
                _ => "the signal handlers",
            };
            if before != after {
                told.push(format!("it changed {what} from {before} to {after}"));
            }
        }
        told.dedup();
        told
    }
}

/// What is printed from now on, on standard output and standard error.
///
/// Both have to be files, as those of a rule's process are; of a terminal nobody can say what was printed there.
pub(super) struct Printed {
    before: Option<u64>,
}

impl Printed {
    pub(super) fn from_now() -> Printed {
        Printed { before: size() }
    }

    /// Bytes that were printed meanwhile; none where it cannot be known.
    pub(super) fn bytes(&self) -> u64 {
        self.before.map_or(0, |before| size().unwrap_or(before).saturating_sub(before))
    }
}

unsafe extern "C" {
    fn fflush(stream: *mut c_void) -> c_int;
}

fn size() -> Option<u64> {
    // SAFETY: NULL means every stream of the C library. What a plugin in C has printed may still be in its buffer.
    let _ = unsafe { fflush(std::ptr::null_mut()) };
    let file = |fd: &str| fs::metadata(fd).ok().filter(fs::Metadata::is_file);
    let (out, err) = (file("/proc/self/fd/1")?, file("/proc/self/fd/2")?);
    let is_one = (out.dev(), out.ino()) == (err.dev(), err.ino());
    Some(if is_one { out.len() } else { out.len() + err.len() })
}
