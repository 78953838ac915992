//! The engine as a process: started, asked whether it is there, killed.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tidings_api::client::Client;

use crate::trouble::{Outcome, Trouble};

/// How long a start or a stop may take: far more than it does, the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);
/// Of the log that explains a failure.
const TAIL_BYTES: usize = 1500;

/// A running engine. It ends with its value.
pub(crate) struct Engine {
    child: Child,
    spawned: Instant,
    log: std::path::PathBuf,
}

impl Engine {
    /// Starts `tidings run` on a config of that folder, with these variables besides.
    pub(crate) fn spawn(binary: &Path, folder: &Path, config: &str, variables: &[(&str, String)]) -> Outcome<Engine> {
        let log = folder.join("engine.log");
        let mut command = Command::new(binary);
        command.current_dir(folder).arg("run").arg("-c").arg(folder.join(config));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("TIDINGS_") || name.to_lowercase().ends_with("_proxy") {
                command.env_remove(name);
            }
        }
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(OpenOptions::new().create(true).append(true).open(&log)?);
        let spawned = Instant::now();
        let child = command.spawn().map_err(|error| Trouble::new(format!("start `{}`: {error}", binary.display())))?;
        Ok(Engine { child, spawned, log })
    }

    /// Waits until it answers, which it does once it has settled what was on its way before, and says how long that took.
    pub(crate) async fn ready(&mut self, client: &Client) -> Outcome<Duration> {
        while client.overview().await.is_err() {
            if let Some(status) = self.ended()? {
                return Err(Trouble::new(format!("the engine ended instead of starting ({status}): {}", self.tail())));
            }
            if self.spawned.elapsed() > PATIENCE {
                return Err(Trouble::new(format!("the engine does not answer: {}", self.tail())));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(self.spawned.elapsed())
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> Outcome {
        if let Some(status) = self.ended()? {
            return Err(Trouble::new(format!("the engine ended before it was killed ({status}): {}", self.tail())));
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops it where it stands, and has it go on: `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) -> Outcome {
        let told = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status()?;
        if told.success() { Ok(()) } else { Err(Trouble::new(format!("SIG{name} reached nobody: {}", self.tail()))) }
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(mut self) -> Outcome {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        let begun = Instant::now();
        loop {
            match self.ended()? {
                Some(status) if status.success() && told.success() => return Ok(()),
                Some(status) => {
                    return Err(Trouble::new(format!("the engine stopped badly ({status}): {}", self.tail())));
                }
                None if begun.elapsed() > PATIENCE => return Err(Trouble::new("the engine does not stop")),
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Processor time it has used.
    pub(crate) fn busy(&self) -> Outcome<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // utime and stime, the 14th and 15th; the 2nd may have spaces, in brackets. A tick is 10 ms (USER_HZ).
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(TAIL_BYTES)..]).into_owned()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended long ago.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
