//! Bytes on their way to the terminal, written by a thread of their own: a terminal that takes nothing (a slow line, a
//! stopped multiplexer) holds up that thread and nobody else. No frame is made before the one before it is written, so no
//! more than one waits, and what comes after a pause is the newest.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::Notify;

/// The end of whoever draws. When it is dropped the thread ends, after what it is writing.
#[derive(Debug)]
pub(crate) struct Output {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    more: Condvar,
    free: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    is_writing: bool,
    /// Somebody found it busy and wants to be told when it no longer is.
    is_wanted: bool,
    is_over: bool,
    failed: Option<io::Error>,
}

impl Output {
    /// Starts the thread. What it is given it writes with that, all or nothing.
    pub(crate) fn start(write: impl Fn(&[u8]) -> io::Result<()> + Send + 'static) -> io::Result<Output> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        // Nobody waits for its end: a terminal that takes nothing may hold it for ever.
        thread::Builder::new().name("terminal".to_owned()).spawn(move || of_thread.run(write))?;
        Ok(Output { shared })
    }

    /// Whether everything was written. Where it was not, [`Output::free`] tells when. Fails with what the terminal said.
    pub(crate) fn is_free(&self) -> io::Result<bool> {
        let mut pending = self.shared.lock();
        if let Some(error) = pending.failed.take() {
            return Err(error);
        }
        let is_free = pending.bytes.is_empty() && !pending.is_writing;
        pending.is_wanted = !is_free;
        Ok(is_free)
    }

    /// Told once everything was written, after somebody found that it was not.
    pub(crate) fn free(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.free)
    }

    /// A writer whose flushes are handed to the thread.
    pub(crate) fn writer(&self, begin: &'static [u8], end: &'static [u8]) -> FrameWriter {
        FrameWriter { shared: Arc::clone(&self.shared), begin, end, bytes: begin.to_vec() }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.more.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, write: impl Fn(&[u8]) -> io::Result<()>) {
        loop {
            let mut pending = self.lock();
            while pending.bytes.is_empty() && !pending.is_over {
                pending = self.more.wait(pending).unwrap_or_else(PoisonError::into_inner);
            }
            if pending.is_over {
                return;
            }
            let bytes = std::mem::take(&mut pending.bytes);
            pending.is_writing = true;
            drop(pending);
            let written = write(&bytes);
            let mut pending = self.lock();
            pending.is_writing = false;
            pending.failed = written.err();
            if std::mem::take(&mut pending.is_wanted) || pending.failed.is_some() {
                self.free.notify_one();
            }
        }
    }
}

/// Gathers a frame and hands it over in one piece.
pub(crate) struct FrameWriter {
    shared: Arc<Shared>,
    begin: &'static [u8],
    end: &'static [u8],
    bytes: Vec<u8>,
}

impl Write for FrameWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.bytes.len() > self.begin.len() {
            self.bytes.extend_from_slice(self.end);
            self.shared.lock().bytes.extend_from_slice(&self.bytes);
            self.shared.more.notify_one();
            self.bytes.truncate(self.begin.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn wait_until_free(output: &Output) {
        let end = Instant::now() + DEADLINE;
        while !output.is_free().unwrap() {
            assert!(Instant::now() < end, "never free");
            thread::yield_now();
        }
    }

    #[test]
    fn a_frame_is_written_in_one_piece_and_the_next_waits_for_it() {
        let (tell, told) = mpsc::channel::<Vec<u8>>();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let output = Output::start(move |bytes| {
            tell.send(bytes.to_vec()).unwrap();
            may_go_on.recv_timeout(DEADLINE).map_err(io::Error::other)
        })
        .unwrap();
        assert!(output.is_free().unwrap());
        let mut writer = output.writer(b"<", b">");
        writer.write_all(b"one ").unwrap();
        writer.write_all(b"frame").unwrap();
        writer.flush().unwrap();
        assert_eq!(told.recv_timeout(DEADLINE).unwrap(), b"<one frame>");
        assert!(!output.is_free().unwrap(), "the terminal has not taken it yet");
        go_on.send(()).unwrap();
        wait_until_free(&output);
        writer.flush().unwrap();
        assert!(output.is_free().unwrap(), "nothing is no frame");
    }

    #[tokio::test]
    async fn who_found_it_busy_is_told_when_it_is_free() {
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let output = Output::start(move |_| may_go_on.recv_timeout(DEADLINE).map_err(io::Error::other)).unwrap();
        let mut writer = output.writer(b"", b"");
        writer.write_all(b"x").unwrap();
        writer.flush().unwrap();
        assert!(!output.is_free().unwrap());
        go_on.send(()).unwrap();
        tokio::time::timeout(DEADLINE, output.free().notified()).await.unwrap();
        assert!(output.is_free().unwrap());
    }

    #[test]
    fn what_the_terminal_says_no_to_is_told_once() {
        let output = Output::start(|_| Err(io::Error::other("gone"))).unwrap();
        let mut writer = output.writer(b"", b"");
        writer.write_all(b"x").unwrap();
        writer.flush().unwrap();
        let end = Instant::now() + DEADLINE;
        while output.is_free().is_ok() {
            assert!(Instant::now() < end, "no error");
            thread::yield_now();
        }
        assert!(output.is_free().unwrap());
    }
}
