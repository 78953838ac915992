//! A process of our own: told in JSON lines on its standard input, answering in JSON lines on its standard output. It
//! ends when its input does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// How long a child may take to begin, and to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Answers that wait to be read: there is one at a time.
const ANSWERS_MAX: usize = 4;

pub(crate) struct Child {
    name: &'static str,
    process: std::process::Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Child {
    /// This program again, with these arguments.
    pub(crate) fn spawn(name: &'static str, arguments: &[String]) -> Result<Child, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(name).args(arguments);
        Child::run(name, command)
    }

    /// Another program, which speaks as ours do.
    pub(crate) fn run(name: &'static str, mut command: Command) -> Result<Child, Failure> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::new(format!("start `{name}`: {error}")))?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().ok_or_else(|| Failure::new("a child has a standard output"))?;
        let (sender, answers) = sync_channel(ANSWERS_MAX);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Child { name, process, stdin, answers })
    }

    /// Tells it something and waits for the answer. It blocks: while a child works, this process has nothing to do.
    pub(crate) fn ask<T: DeserializeOwned>(
        &mut self,
        question: &impl Serialize,
        patience: Duration,
    ) -> Result<T, Failure> {
        let line = serde_json::to_string(question)?;
        let name = self.name;
        let stdin = self.stdin.as_mut().ok_or_else(|| Failure::new(format!("`{name}` has no standard input")))?;
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).map_err(|_| self.gone())?;
        self.answer(patience)
    }

    /// Waits for what it says next.
    pub(crate) fn answer<T: DeserializeOwned>(&mut self, patience: Duration) -> Result<T, Failure> {
        match self.answers.recv_timeout(patience) {
            Ok(line) => serde_json::from_str(&line)
                .map_err(|error| Failure::new(format!("`{}` answered `{line}`: {error}", self.name))),
            Err(RecvTimeoutError::Timeout) => {
                Err(Failure::new(format!("`{}` did not answer within {} s", self.name, patience.as_secs())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.gone()),
        }
    }

    fn gone(&self) -> Failure {
        Failure::new(format!("`{}` ended before its time; what it said of it stands above", self.name))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Its output ends when it does: a clean stop is worth a wait, and what hangs is killed.
        while self.answers.recv_timeout(PATIENCE).is_ok() {}
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
