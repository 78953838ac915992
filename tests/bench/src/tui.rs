//! `tui`: the screen on a million messages of which thousands change every second. How soon a key is seen, how long a frame
//! takes to make, and what the screen takes while nothing happens.
//!
//! The screen runs in a terminal of its own (`script` makes it), and what is measured is what comes out of that terminal:
//! from the key that is written into it to the end of the frame that has the cursor in its new row.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::Args;
use tidings_api::client::{Address, Client};
use tidings_tui::{Language, Options};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::Common;
use crate::child::PATIENCE;
use crate::failure::{Failure, check};
use crate::folder::Folder;
use crate::measure::{Spread, millis, percentile};
use crate::report::Report;
use crate::standin::{MESSAGES, StandIn};

/// The terminal.
const COLUMNS: u16 = 120;
const ROWS: u16 = 36;
/// Where a frame ends: the terminal is told to show all of it.
const FRAME_END: &[u8] = b"\x1b[?2026l";
/// The cursor's row is drawn in reverse: no frame that a key did not cause has it.
const REVERSED: &[u8] = b"\x1b[7m";
/// Between two keys: that of a key that is held.
const KEY_INTERVAL: Duration = Duration::from_millis(33);
/// How soon a key must be seen at all.
const KEY_SEEN_MAX: Duration = Duration::from_secs(5);
/// Before the idle window: what opening the page cost is over.
const SETTLE: Duration = Duration::from_secs(3);
/// Frames that are made without a terminal.
const FRAMES: u32 = 2_000;

#[derive(Debug, Args)]
pub(crate) struct TuiArgs {
    #[command(flatten)]
    common: Common,
    /// Messages that change in a second.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    per_second: u32,
    /// Keys that are pressed.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    keys: u32,
    /// Seconds without anything.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    idle_seconds: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ScreenArgs {
    /// Where the engine is.
    #[arg(long)]
    url: String,
}

/// The screen itself, in the terminal it is started in.
pub(crate) async fn screen(args: ScreenArgs) -> Result<(), Failure> {
    let client = Client::new(Address::Url(args.url), None).map_err(|error| Failure::new(error.to_string()))?;
    // Wide characters are placed one by one: words of plain ones are found in what comes out.
    let options = Options { language: Language::En, colour: true, light: false };
    tidings_tui::run(client, options).await.map_err(|error| Failure::new(error.to_string()))
}

struct Round {
    keys: Vec<Duration>,
    frames: Vec<Duration>,
    loaded_share: f64,
    idle_share: f64,
    idle_frames: u64,
    idle_calls: u64,
    rss_mb: f64,
}

pub(crate) async fn tui(args: TuiArgs) -> Result<(), Failure> {
    let mut rounds = Vec::new();
    for number in 1..=args.common.rounds {
        let round = round(&args).await?;
        let at = |per_mille| millis(percentile(&round.keys, per_mille));
        eprintln!(
            "round {number}: a key is seen after {:.2} ms (99 of 100), idle {:.3} % of a core",
            at(990),
            round.idle_share * 100.0
        );
        rounds.push(round);
    }
    let over = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let mut report = Report::new("tui");
    for (name, label, per_mille) in
        [("key_p50_ms", "key to flushed frame, half", 500), ("key_p99_ms", "key to flushed frame, 99 of 100", 990)]
    {
        report.number(name, label, "ms", over(&|round| millis(percentile(&round.keys, per_mille))));
    }
    for (name, label, per_mille) in
        [("frame_p50_ms", "view and diff, half", 500), ("frame_p99_ms", "view and diff, 99 of 100", 990)]
    {
        report.number(name, label, "ms", over(&|round| millis(percentile(&round.frames, per_mille))));
    }
    report.number("loaded_percent", "of a core, under load with keys", "%", over(&|round| round.loaded_share * 100.0));
    report.number("idle_percent", "of a core, idle", "%", over(&|round| round.idle_share * 100.0));
    report.number("idle_frames", "frames, idle", "", over(&|round| round.idle_frames as f64));
    report.number("idle_calls", "calls, idle", "", over(&|round| round.idle_calls as f64));
    report.number("rss_mb", "most memory", "MB", over(&|round| round.rss_mb));
    report.condition("messages", MESSAGES);
    report.condition("per_second", args.per_second);
    report.condition("keys", args.keys);
    report.condition("idle_seconds", args.idle_seconds);
    report.tell(args.common.json)
}

async fn round(args: &TuiArgs) -> Result<Round, Failure> {
    let folder = Folder::make(args.common.dir.as_deref())?;
    let engine = StandIn::start().await?;
    let (overview, page) = engine.sample();
    let mut frames = tidings_tui::measure::frames(&overview, &page, (COLUMNS, ROWS), FRAMES);
    frames.sort();

    let mut terminal = Terminal::start(folder.path(), &engine.url).await?;
    terminal.until(b"LIVE").await?;
    // The overview of an engine in which nothing happens.
    tokio::time::sleep(SETTLE).await;
    terminal.drain().await?;
    let (before, asked) = (terminal.cpu()?, engine.asked());
    let window = Duration::from_secs(args.idle_seconds.into());
    let idle_frames = terminal.frames_within(window).await?;
    let idle_share = (terminal.cpu()? - before).as_secs_f64() / window.as_secs_f64();
    let idle_calls = engine.asked() - asked;

    engine.change(args.per_second);
    terminal.drain().await?;
    terminal.press(b"2").await?;
    // What the messages are, where the overview says nothing.
    terminal.until(b"newest").await?;
    tokio::time::sleep(SETTLE).await;

    let (begun, before) = (Instant::now(), terminal.cpu()?);
    let mut keys = Vec::new();
    for number in 0..args.keys {
        tokio::time::sleep(KEY_INTERVAL).await;
        terminal.drain().await?;
        // Far down and back again, over many pages of the list.
        let key: &[u8] = if number / 300 % 2 == 0 { b"j" } else { b"k" };
        let pressed = Instant::now();
        terminal.press(key).await?;
        terminal.until_frame_with(REVERSED).await?;
        keys.push(pressed.elapsed());
    }
    keys.sort();
    let loaded_share = (terminal.cpu()? - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    let rss_mb = terminal.peak_mb()?;
    terminal.press(b"q").await?;
    let ended = timeout(PATIENCE, terminal.process.wait()).await;
    check(matches!(ended, Ok(Ok(status)) if status.success()), || "the screen did not leave by its key".to_owned())?;
    Ok(Round { keys, frames, loaded_share, idle_share, idle_frames, idle_calls, rss_mb })
}

/// A terminal with the screen in it, and what came out of it that was not looked at yet.
struct Terminal {
    process: Child,
    keys: ChildStdin,
    out: ChildStdout,
    bytes: Vec<u8>,
    pid: u32,
}

impl Terminal {
    async fn start(folder: &Path, url: &str) -> Result<Terminal, Failure> {
        let pid_file = folder.join("pid");
        let program = std::env::current_exe()?;
        let shell = format!(
            "stty rows {ROWS} cols {COLUMNS}; echo $$ > '{}'; exec '{}' screen --url {url}",
            pid_file.display(),
            program.display(),
        );
        let mut process = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &shell, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::new(format!("start `script` of util-linux, which makes a terminal: {error}")))?;
        let missing = || Failure::new("a child has its pipes");
        let keys = process.stdin.take().ok_or_else(missing)?;
        let out = process.stdout.take().ok_or_else(missing)?;
        let mut terminal = Terminal { process, keys, out, bytes: Vec::new(), pid: 0 };
        terminal.until(FRAME_END).await?;
        let pid = std::fs::read_to_string(&pid_file)?;
        terminal.pid = pid.trim().parse().map_err(|_| Failure::new(format!("`{pid}` is no process")))?;
        Ok(terminal)
    }

    async fn press(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.keys.write_all(key).await?;
        Ok(self.keys.flush().await?)
    }

    async fn read(&mut self) -> Result<usize, Failure> {
        let count = self.out.read_buf(&mut self.bytes).await?;
        let said = || format!("the screen ended: {}", String::from_utf8_lossy(&self.bytes));
        check(count > 0, said)?;
        Ok(count)
    }

    /// Waits until that came, and forgets all that came before it.
    async fn until(&mut self, wanted: &[u8]) -> Result<(), Failure> {
        let begun = Instant::now();
        let end = loop {
            if let Some(found) = find(&self.bytes, wanted) {
                break found + wanted.len();
            }
            check(begun.elapsed() < PATIENCE, || {
                format!("`{}` never came", String::from_utf8_lossy(wanted).escape_debug())
            })?;
            if let Ok(read) = timeout(PATIENCE, self.read()).await {
                read?;
            }
        };
        self.bytes.drain(..end);
        Ok(())
    }

    /// Waits for the end of a frame that has that in it.
    async fn until_frame_with(&mut self, wanted: &[u8]) -> Result<(), Failure> {
        loop {
            while let Some(end) = find(&self.bytes, FRAME_END) {
                let frame: Vec<u8> = self.bytes.drain(..end + FRAME_END.len()).collect();
                if find(&frame, wanted).is_some() {
                    return Ok(());
                }
            }
            let read = timeout(KEY_SEEN_MAX, self.read()).await;
            read.map_err(|_| Failure::new(format!("a key was not seen within {} s", KEY_SEEN_MAX.as_secs())))??;
        }
    }

    /// Forgets what came so far.
    async fn drain(&mut self) -> Result<(), Failure> {
        while let Ok(read) = timeout(Duration::ZERO, self.read()).await {
            read?;
        }
        self.bytes.clear();
        Ok(())
    }

    /// Frames that come in the course of a time.
    async fn frames_within(&mut self, window: Duration) -> Result<u64, Failure> {
        let end = Instant::now() + window;
        let mut frames = 0;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if let Ok(read) = timeout(left, self.read()).await {
                read?;
            }
            while let Some(end) = find(&self.bytes, FRAME_END) {
                self.bytes.drain(..end + FRAME_END.len());
                frames += 1;
            }
        }
        Ok(frames)
    }

    /// Time that all its threads had on a core, to the nanosecond.
    fn cpu(&self) -> Result<Duration, Failure> {
        let mut total = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            let first = text.split_whitespace().next().and_then(|text| text.parse::<u64>().ok());
            total += first.ok_or_else(|| Failure::new(format!("read a thread's time in `schedstat`: `{text}`")))?;
        }
        Ok(Duration::from_nanos(total))
    }

    /// The most memory that was resident at once.
    fn peak_mb(&self) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let kb = crate::usage::peak_kb(&status);
        Ok(kb.ok_or_else(|| Failure::new("read the screen's memory in /proc: it has another form than expected"))?
            as f64
            / 1024.0)
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_found_where_it_begins() {
        assert_eq!(find(b"ab\x1b[?2026lc", FRAME_END), Some(2));
        assert_eq!(find(b"ab", FRAME_END), None);
    }
}
