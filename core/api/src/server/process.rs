//! What the operating system says of this process: read from `/proc` when somebody asks.

use std::fs;

/// Ticks a second of the times in `/proc` (proc(5)): the kernel's own rate is not shown there, and every Linux that this
/// runs on says 100.
const TICKS_PER_SECOND: f64 = 100.0;

/// What is known of this process; what could not be read is left out.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Process {
    /// Seconds of processor time, its own and the kernel's for it.
    pub(super) cpu_seconds: Option<f64>,
    /// Bytes of memory that are resident, and that are mapped.
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    /// Files that are open, and how many may be.
    pub(super) open_files: Option<u64>,
    pub(super) open_files_max: Option<u64>,
    pub(super) threads: Option<u64>,
}

impl Process {
    pub(super) fn look() -> Process {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let status = read("status");
        Process {
            cpu_seconds: cpu_seconds(&read("stat")),
            resident_bytes: kilobytes(&status, "VmRSS:"),
            virtual_bytes: kilobytes(&status, "VmSize:"),
            open_files: fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64),
            open_files_max: open_files_max(&read("limits")),
            threads: field(&status, "Threads:").and_then(|text| text.parse().ok()),
        }
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    field(status, name)?.strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// The name of the program stands in parentheses and may have anything in it: what counts stands behind the last one.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn open_files_max(limits: &str) -> Option<u64> {
    field(limits, "Max open files")?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says_is_read() {
        let status = "Name:\ttidings\nVmSize:\t  123456 kB\nVmRSS:\t   789 kB\nThreads:\t5\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(789 * 1024));
        assert_eq!(field(status, "Threads:"), Some("5"));
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 5 0 1000 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(
            open_files_max("Max open files            1024                 4096                 files\n"),
            Some(1024)
        );
    }

    #[test]
    fn this_process_has_memory_files_and_a_past() {
        let process = Process::look();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{process:?}");
        assert!(process.open_files.is_some_and(|files| files > 2) && process.cpu_seconds.is_some(), "{process:?}");
        assert!(process.open_files_max.is_some() && process.threads.is_some(), "{process:?}");
    }
}
