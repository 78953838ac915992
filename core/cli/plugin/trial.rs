//! One rule in a process of its own: the plugin may crash or hang there, and that is a verdict, too.
//!
//! The child's standard input is a socket on which it says what it is about to do, and at last the verdict. What it and
//! the plugin print goes to a file without a name, and is shown when the child crashes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tidings_host::check::{Asked, Rule, Verdict};

use super::check::{rule_of, values};
use crate::args::PluginCheckRuleArgs;
use crate::{Failure, Outcome};

/// How long a process may take to end after its verdict.
const END_MAX: Duration = Duration::from_secs(5);

/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(2);

/// Bytes of what was printed that explain a crash.
const TAIL_BYTES: u64 = 600;

/// Bytes of one word of the child: a plugin must not fill our memory through it.
const WORD_BYTES_MAX: u64 = 64 * 1024;

/// What came of a rule in its process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tried {
    /// It came to a verdict.
    Verdict(Verdict),
    /// The process ended before: how, and in the middle of what.
    Crashed(String),
    /// It did not end in time: in the middle of what.
    Hung(String),
}

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    At(String),
    Ok,
    Warn(String),
    Fail(String),
    Skip(String),
}

impl From<Verdict> for Word {
    fn from(verdict: Verdict) -> Word {
        match verdict {
            Verdict::Ok => Word::Ok,
            Verdict::Warn(what) => Word::Warn(what),
            Verdict::Fail(what) => Word::Fail(what),
            Verdict::Skip(why) => Word::Skip(why),
        }
    }
}

/// Tries a rule in a process of its own.
pub(super) fn in_own_process(rule: &Rule, asked: &Asked, values: Option<&PathBuf>) -> io::Result<Tried> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut printed = nameless()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["plugin", "check-rule", rule.name]).arg(&asked.file).args(["--seed", &asked.seed.to_string()]);
    if let Some(values) = values {
        command.arg("--values").arg(values);
    }
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(printed.try_clone()?).stderr(printed.try_clone()?);
    let child = Reaped(command.spawn()?);
    // The command holds the child's end of the socket, whose closing tells that the child is gone.
    drop(command);
    let tried = hear(ours, child, rule.deadline)?;
    Ok(match tried {
        Tried::Crashed(what) => Tried::Crashed(what + &tail(&mut printed)?),
        other => other,
    })
}

/// Hears the child out.
fn hear(socket: UnixStream, mut child: Reaped, deadline: Duration) -> io::Result<Tried> {
    let end = Instant::now() + deadline;
    let mut at = "start".to_owned();
    let mut verdict = None;
    let mut socket = BufReader::new(socket);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Tried::Hung(format!("no verdict within {} s; it was busy with: {at}", deadline.as_secs())));
        }
        socket.get_ref().set_read_timeout(Some(left))?;
        let mut line = String::new();
        match socket.by_ref().take(WORD_BYTES_MAX).read_line(&mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            // A child that dies with something unread resets the socket.
            Err(_) => break,
        }
        match serde_json::from_str(&line) {
            Ok(Word::At(what)) => at = what,
            Ok(Word::Ok) => verdict = Some(Verdict::Ok),
            Ok(Word::Warn(what)) => verdict = Some(Verdict::Warn(what)),
            Ok(Word::Fail(what)) => verdict = Some(Verdict::Fail(what)),
            Ok(Word::Skip(why)) => verdict = Some(Verdict::Skip(why)),
            // Somebody else writes on its standard input.
            Err(_) => at = "something that broke its standard input".to_owned(),
        }
    }
    let Some(status) = child.ended(END_MAX)? else {
        return Ok(Tried::Hung(format!("its process does not end; it was busy with: {at}")));
    };
    Ok(match (verdict, status.success()) {
        (Some(verdict), true) => Tried::Verdict(verdict),
        (Some(_), false) => Tried::Crashed(format!("{} after the verdict, when the process ended", told(status))),
        (None, _) => Tried::Crashed(format!("{}; it was busy with: {at}", told(status))),
    })
}

fn told(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(4), _) => "SIGILL (an impossible instruction)".to_owned(),
        (Some(6), _) => "SIGABRT (it gave up)".to_owned(),
        (Some(7), _) => "SIGBUS (memory that is not there)".to_owned(),
        (Some(8), _) => "SIGFPE (a division by zero)".to_owned(),
        (Some(11), _) => "SIGSEGV (memory that is not its own, or no stack left)".to_owned(),
        (Some(number), _) => format!("signal {number}"),
        (None, code) => format!("the process ended with {}", code.unwrap_or_default()),
    }
}

/// A file that nobody else sees.
fn nameless() -> io::Result<File> {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("tidings-check-{}-{number}", std::process::id()));
    let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// The end of what was printed, as the end of a sentence.
fn tail(printed: &mut File) -> io::Result<String> {
    let size = printed.metadata()?.len();
    printed.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    printed.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).trim().replace('\n', "\n    ");
    Ok(if text.is_empty() { text } else { format!("; it printed:\n    {text}") })
}

/// A child that ends with this value.
struct Reaped(Child);

impl Reaped {
    /// How it ended, if it did in time.
    fn ended(&mut self, most: Duration) -> io::Result<Option<ExitStatus>> {
        let end = Instant::now() + most;
        loop {
            let status = self.0.try_wait()?;
            if status.is_some() || Instant::now() > end {
                return Ok(status);
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "between two looks; nothing else tells that a child has ended"
            )]
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        // One that has ended already is as good.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The child's side: tries the rule and says what came of it.
pub(super) fn in_child(args: &PluginCheckRuleArgs) -> Outcome {
    let rule = rule_of(&args.rule)?;
    let asked = Asked { file: args.file.clone(), seed: args.seed, given: values(args.values.as_deref())? };
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Whoever does not listen any more kills us next.
    let say = |word: &Word| -> io::Result<()> {
        (&socket).write_all(format!("{}\n", serde_json::to_string(word)?).as_bytes())
    };
    let verdict = rule.run(&asked, &mut |what| drop(say(&Word::At(what.to_owned()))));
    say(&verdict.into()).map_err(Failure::from)
}
