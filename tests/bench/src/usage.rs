//! What this process has used of the machine, as Linux counts it.

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Ticks of a second in `/proc/self/stat`: Linux has shown 100 on every architecture since 2.6.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process has used since it began.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu_seconds: f64,
    /// The most memory that was resident at once.
    pub(crate) rss_mb: f64,
}

impl Usage {
    pub(crate) fn now() -> Result<Usage, Failure> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let status = std::fs::read_to_string("/proc/self/status")?;
        let unreadable = || Failure::new("read the process's own usage in /proc: it has another form than expected");
        Ok(Usage {
            cpu_seconds: cpu_ticks(&stat).ok_or_else(unreadable)? as f64 / TICKS_PER_SECOND,
            rss_mb: peak_kb(&status).ok_or_else(unreadable)? as f64 / 1024.0,
        })
    }
}

/// What all processors of the machine have done since it began, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Machine {
    /// All of it.
    pub(crate) seconds: f64,
    /// Nothing, or waiting for a disk.
    pub(crate) idle_seconds: f64,
}

impl Machine {
    pub(crate) fn now() -> Result<Machine, Failure> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        machine(&stat).ok_or_else(|| Failure::new("read /proc/stat: it has another form than expected"))
    }
}

/// The first line: user, nice, system, idle, iowait, interrupts, soft interrupts, stolen; guests are in user.
fn machine(stat: &str) -> Option<Machine> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<f64> = fields.take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(Machine { seconds: ticks.iter().sum::<f64>() / TICKS_PER_SECOND, idle_seconds: idle / TICKS_PER_SECOND })
}

/// User and system ticks: the 14th and 15th field, counted behind the name, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

pub(crate) fn peak_kb(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_found_behind_a_name_with_spaces_and_brackets() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 2 3 4 120 30 0 0 20 0 3 0 99 1 2";
        assert_eq!(cpu_ticks(stat), Some(150));
        assert_eq!(cpu_ticks("7 (x) S 1"), None);
    }

    #[test]
    fn what_the_machine_did_is_all_of_it_and_guests_count_once() {
        let stat = "cpu  100 20 30 400 50 6 7 8 90 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(machine(stat), Some(Machine { seconds: 6.21, idle_seconds: 4.5 }));
        assert_eq!(machine("cpu0 1 2"), None);
    }

    #[test]
    fn the_peak_is_read_in_kilobytes() {
        assert_eq!(peak_kb("Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t  2048 kB\n"), Some(2048));
        assert_eq!(peak_kb("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        assert!(Usage::now().unwrap().rss_mb > 0.5);
    }
}
