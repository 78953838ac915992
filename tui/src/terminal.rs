//! The terminal: entered as late as possible, and left as it was found whatever happens.
//!
//! Several ways lead out and all end in [`leave`]: the guard is dropped (the end, an error, a signal), nobody waits for
//! the screen any more, its thread panics, the process is about to abort. Only the first of them does anything.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::style::ResetColor;
use crossterm::terminal::{self, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{execute, queue};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::sync::Notify;

use crate::error::TuiError;
use crate::output::{FrameWriter, Output};
use crate::view::paint::Drawn;

/// How long a terminal has to take what gives it back.
const LEAVE_MAX: Duration = Duration::from_millis(500);
/// Panics of other threads that are kept until the screen is gone.
const HELD_BACK_MAX: usize = 16;

/// Around each frame: the terminal shows all of it or nothing.
const FRAME_BEGIN: &[u8] = b"\x1b[?2026h";
const FRAME_END: &[u8] = b"\x1b[?2026l";

/// Whether the terminal is ours to draw on.
static ENTERED: AtomicBool = AtomicBool::new(false);
/// What other threads panicked with meanwhile; printed at once it would run through the picture.
static HELD_BACK: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    /// Whether this thread is the one that draws.
    static DRAWS: Cell<bool> = const { Cell::new(false) };
}

/// The terminal while it is ours. Dropping it gives it back.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<FrameWriter>>,
    output: Output,
    /// The frame that is on the terminal, and the one that is made.
    buffers: [Buffer; 2],
    drawn: Drawn,
}

impl Screen {
    /// Whether there is a terminal to enter.
    pub(crate) fn check() -> Result<(), TuiError> {
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        if dumb || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            Err(TuiError::NoTerminal)
        } else {
            Ok(())
        }
    }

    /// Takes the terminal: every key comes to us, and what stood there comes back afterwards.
    pub(crate) fn enter() -> Result<Screen, TuiError> {
        hook_panics();
        DRAWS.set(true);
        terminal::enable_raw_mode().map_err(TuiError::terminal("take the terminal's keys"))?;
        ENTERED.store(true, Ordering::SeqCst);
        let entered = execute!(io::stdout(), EnterAlternateScreen, Hide, EnableBracketedPaste, EnableMouseCapture)
            .and_then(|()| Output::start(write))
            .and_then(|output| {
                let writer = output.writer(FRAME_BEGIN, FRAME_END);
                Ok((Terminal::new(CrosstermBackend::new(writer))?, output))
            })
            .map_err(TuiError::terminal("prepare the terminal"));
        match entered {
            Ok((terminal, output)) => {
                Ok(Screen { terminal, output, buffers: Default::default(), drawn: Drawn::default() })
            }
            Err(error) => {
                leave();
                Err(error)
            }
        }
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> Result<(u16, u16), TuiError> {
        let size = self.terminal.size().map_err(TuiError::terminal("ask the terminal for its size"))?;
        Ok((size.width, size.height))
    }

    /// Whether the terminal has taken the last frame. Where it has not, [`Screen::free`] tells when.
    pub(crate) fn is_free(&self) -> Result<bool, TuiError> {
        self.output.is_free().map_err(TuiError::terminal("draw on the terminal"))
    }

    /// Told once the terminal has taken a frame that it had not when somebody asked.
    pub(crate) fn free(&self) -> Arc<Notify> {
        self.output.free()
    }

    /// Draws one frame, if the terminal has taken the last. Only what differs from it is written, and nothing at all if
    /// nothing does.
    pub(crate) fn draw(&mut self, view: impl FnOnce(&mut Buffer) -> Drawn) -> Result<(), TuiError> {
        let (columns, rows) = self.size()?;
        let [shown, made] = &mut self.buffers;
        made.resize(Rect::new(0, 0, columns, rows));
        made.reset();
        let drawn = view(made);
        if shown == made && self.drawn.cursor == drawn.cursor {
            self.drawn = drawn;
            return Ok(());
        }
        self.buffers.swap(0, 1);
        self.drawn = drawn;
        let (shown, cursor) = (&self.buffers[0], self.drawn.cursor);
        let written = self.terminal.draw(|frame| {
            // Where the terminal has yet another size by now, the next frame puts it right.
            if frame.area() == shown.area {
                frame.buffer_mut().clone_from(shown);
            }
            if let Some(cursor) = cursor {
                frame.set_cursor_position(cursor);
            }
        });
        written.map(|_| ()).map_err(TuiError::terminal("draw on the terminal"))
    }

    /// What the last frame is beside its cells.
    pub(crate) fn drawn(&self) -> &Drawn {
        &self.drawn
    }

    /// Forgets what is on the terminal, so that the next frame is written in full.
    pub(crate) fn forget(&mut self) -> Result<(), TuiError> {
        self.buffers[0] = Buffer::default();
        let (columns, rows) = self.size()?;
        // Not by `Terminal::clear`: that asks the terminal where its cursor is, and one that never answers would end us.
        self.terminal.resize(Rect::new(0, 0, columns, rows)).map_err(TuiError::terminal("clear the terminal"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Writes a frame. Once the terminal is left nothing reaches it any more.
fn write(bytes: &[u8]) -> io::Result<()> {
    // Locked before it is asked: who leaves meanwhile writes after this frame, not into it.
    let mut stdout = io::stdout().lock();
    if ENTERED.load(Ordering::SeqCst) { stdout.write_all(bytes).and_then(|()| stdout.flush()) } else { Ok(()) }
}

/// Gives the terminal back, once. Each step is tried whether or not the one before it worked, and none for ever: a
/// terminal that takes nothing keeps nobody from leaving.
pub(crate) fn leave() {
    if !ENTERED.swap(false, Ordering::SeqCst) {
        return;
    }
    let (tell, told) = mpsc::channel();
    let restore = move || {
        restore();
        tell.send(()).ok();
    };
    let is_restored = match thread::Builder::new().name("leave".to_owned()).spawn(restore) {
        Ok(_) => told.recv_timeout(LEAVE_MAX).is_ok(),
        Err(_) => {
            self::restore();
            true
        }
    };
    terminal::disable_raw_mode().ok();
    if !is_restored {
        return;
    }
    for text in std::mem::take(&mut *HELD_BACK.lock().unwrap_or_else(PoisonError::into_inner)) {
        writeln!(io::stderr(), "{text}").ok();
    }
}

/// The terminal as it was, but for its keys.
fn restore() {
    let mut stdout = io::stdout();
    queue!(stdout, EndSynchronizedUpdate, DisableMouseCapture, DisableBracketedPaste).ok();
    queue!(stdout, ResetColor, LeaveAlternateScreen, Show).ok();
    stdout.flush().ok();
}

/// From now on a panic is printed on a terminal that can be read.
fn hook_panics() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A panic elsewhere may well be caught (a plugin's is): the screen goes on, and so may the program.
            let ours = DRAWS.get() || cfg!(panic = "abort");
            if ours {
                leave();
            }
            if ENTERED.load(Ordering::SeqCst) { hold_back(info) } else { previous(info) }
        }));
    });
}

fn hold_back(info: &PanicHookInfo<'_>) {
    let mut held_back = HELD_BACK.lock().unwrap_or_else(PoisonError::into_inner);
    if held_back.len() < HELD_BACK_MAX {
        let thread = std::thread::current();
        held_back.push(format!("thread `{}` {info}", thread.name().unwrap_or("unnamed")));
    }
}
