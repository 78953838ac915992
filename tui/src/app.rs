//! The loop: wait, take in all that happened, draw at most once.
//!
//! It runs on a thread of its own, with a small runtime of its own, so that what an engine in the same process is busy with
//! holds up no key. While the terminal takes its time nothing is drawn and everything else goes on.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use crossterm::event::{Event, EventStream, MouseButton, MouseEvent, MouseEventKind};
use futures_core::Stream;
use tidings_api::client::Client;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, oneshot};

use crate::connection::{self, Arrival, Connection, Deed};
use crate::error::TuiError;
use crate::message::{Effect, Message};
use crate::state::{Look, State};
use crate::terminal::{self, Screen};
use crate::theme;
use crate::update::update;
use crate::view;
use crate::view::paint::Drawn;
use crate::words::Language;

/// How much is taken in before a frame is drawn at the latest.
const MESSAGES_PER_FRAME_MAX: usize = 256;

/// How the screen looks.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Its language.
    pub language: Language,
    /// Whether it uses colours. Nothing is told by colour alone.
    pub colour: bool,
    /// Whether the terminal's background is light.
    pub light: bool,
}

impl Options {
    /// What the environment asks for: the language by the locale, no colours if `NO_COLOR` is set, colours for a light
    /// background if `TIDINGS_THEME` is `light`, or is not set and the terminal says so in `COLORFGBG`.
    pub fn from_environment() -> Options {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let light = match std::env::var("TIDINGS_THEME").as_deref() {
            Ok("light") => true,
            Ok("dark") => false,
            _ => theme::is_light(std::env::var("COLORFGBG").ok().as_deref()),
        };
        Options { language: Language::from_environment(), colour, light }
    }
}

/// Shows the screen until somebody leaves it: by key, by signal (SIGINT, SIGTERM, SIGHUP), or by dropping this future.
/// The terminal is then as it was before. Fails at once where there is no terminal.
pub async fn run(client: Client, options: Options) -> Result<(), TuiError> {
    Screen::check()?;
    let Options { language, colour, light } = options;
    let state = State::new(client.address(), Look { language, colour, light });
    let (connection, calls) = connection::start(client);
    let (stop, stopped) = oneshot::channel();
    let _leaver = Leaver { _stop: stop };
    let (end, ended) = oneshot::channel();
    let screen = thread::Builder::new()
        .name("screen".to_owned())
        .spawn(move || {
            let result = on_own_runtime(state, connection, stopped);
            // Nobody waits where the future was dropped.
            end.send(result).ok();
        })
        .map_err(TuiError::terminal("start the screen's thread"))?;
    let Ok(result) = ended.await else {
        let panic = screen.join().expect_err("the thread tells its result unless it panics");
        std::panic::resume_unwind(panic)
    };
    // The screen held the other end; the task has nobody left to tell and ends.
    if let Err(error) = calls.await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
    result
}

/// Gives the terminal back when nobody waits for the screen any more: at once, as the process may be about to end, and
/// without waiting for the screen's thread, which is told to end.
struct Leaver {
    _stop: oneshot::Sender<()>,
}

impl Drop for Leaver {
    fn drop(&mut self) {
        terminal::leave();
    }
}

fn on_own_runtime(state: State, connection: Connection, stopped: oneshot::Receiver<()>) -> Result<(), TuiError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(TuiError::terminal("start the screen's runtime"))?
        .block_on(show(state, connection, stopped))
}

async fn show(mut state: State, connection: Connection, stopped: oneshot::Receiver<()>) -> Result<(), TuiError> {
    let began = Instant::now();
    // Before the terminal is entered: from here on no signal ends the process with the terminal in our hands.
    let signals = Signals::listen().map_err(TuiError::terminal("listen for signals"))?;
    let mut screen = Screen::enter()?;
    let (columns, rows) = screen.size()?;
    update(&mut state, began.elapsed(), Message::Resize { columns, rows });
    let mut happenings = Happenings::new(began, connection, signals, stopped, screen.free());
    loop {
        happenings.connection.wanted.send_if_modified(|wanted| {
            let wants = state.wants();
            let differs = *wanted != wants;
            *wanted = wants;
            differs
        });
        if state.dirty && screen.is_free()? {
            state.dirty = false;
            screen.draw(|buffer| view::draw(&state, buffer))?;
        }
        happenings.wake_at = wake_at(&state, screen.drawn());
        let mut happening = Some(happenings.next(screen.drawn()).await?);
        for _ in 0..MESSAGES_PER_FRAME_MAX {
            let message = match happening {
                None => break,
                Some(Happening::Leave) => return Ok(()),
                Some(Happening::Nothing) => None,
                Some(Happening::Message(message)) => Some(*message),
            };
            match message.and_then(|message| update(&mut state, began.elapsed(), message)) {
                None => {}
                Some(Effect::Quit) => return Ok(()),
                Some(Effect::Redraw) => screen.forget()?,
                Some(effect) => happenings.connection.carry(effect),
            }
            happening = happenings.next_if_ready(screen.drawn()).await?;
        }
    }
}

impl Connection {
    /// Has done what the screen asks of the engine.
    fn carry(&self, effect: Effect) {
        match effect {
            Effect::Refresh => {
                self.refresh.send_replace(());
            }
            Effect::Plan { dialog, act } => {
                self.plan.send_replace(Some((dialog, act)));
            }
            Effect::CarryOut { dialog, act, reason, place } => {
                // There is room: the state begins no more of them than the queue takes.
                self.deeds.try_send(Deed { dialog, act, reason, place }).ok();
            }
            Effect::Quit | Effect::Redraw => {}
        }
    }
}

/// When something is to be shown though nothing happens: what the frame says of the time is over, or silence makes the picture
/// stale. An idle screen sleeps until then.
pub(crate) fn wake_at(state: &State, drawn: &Drawn) -> Option<Duration> {
    // A frame that waits for the terminal is drawn as soon as that is free, whatever the time.
    let until = drawn.until.filter(|_| !state.dirty);
    until.into_iter().chain(state.stale_at()).min()
}

/// What the loop is woken by.
enum Happening {
    Message(Box<Message>),
    /// An event that says nothing to us.
    Nothing,
    Leave,
}

/// All that can wake the loop.
struct Happenings {
    began: Instant,
    connection: Connection,
    signals: Signals,
    stopped: oneshot::Receiver<()>,
    events: EventStream,
    /// The terminal took a frame that was waited for.
    free: Arc<Notify>,
    /// When something is to be shown though nothing happened.
    wake_at: Option<Duration>,
}

impl Happenings {
    fn new(
        began: Instant,
        connection: Connection,
        signals: Signals,
        stopped: oneshot::Receiver<()>,
        free: Arc<Notify>,
    ) -> Happenings {
        Happenings { began, connection, signals, stopped, events: EventStream::new(), free, wake_at: None }
    }

    /// Waits for the next thing to happen; `drawn` is what the mouse may find. May be dropped at any time without losing
    /// anything.
    async fn next(&mut self, drawn: &Drawn) -> Result<Happening, TuiError> {
        let Happenings { began, connection, signals, stopped, events, free, wake_at } = self;
        let began = *began;
        let sleep = async {
            match *wake_at {
                Some(at) => tokio::time::sleep_until((began + at).into()).await,
                None => std::future::pending().await,
            }
        };
        let happening = tokio::select! {
            // To leave comes first, and keys before news: no flood of anything makes the screen deaf.
            biased;
            () = signals.any() => Happening::Leave,
            _ = stopped => Happening::Leave,
            event = next_event(events) => match event {
                Some(event) => of_event(event.map_err(TuiError::terminal("read the terminal's keys"))?, drawn),
                None => Happening::Leave,
            },
            () = free.notified() => Happening::Nothing,
            arrival = connection.arrivals.recv() => match arrival {
                Some(arrival) => Happening::Message(Box::new(of_arrival(arrival, began))),
                // The task that calls is gone; `run` tells why.
                None => Happening::Leave,
            },
            () = sleep => {
                // Once: the next frame says when again.
                *wake_at = None;
                Happening::Message(Box::new(Message::Tick))
            }
        };
        Ok(happening)
    }

    /// What has happened already, if anything.
    async fn next_if_ready(&mut self, drawn: &Drawn) -> Result<Option<Happening>, TuiError> {
        let mut next = pin!(self.next(drawn));
        poll_fn(|context| match next.as_mut().poll(context) {
            Poll::Ready(happening) => Poll::Ready(happening.map(Some)),
            Poll::Pending => Poll::Ready(Ok(None)),
        })
        .await
    }
}

async fn next_event(events: &mut EventStream) -> Option<io::Result<Event>> {
    poll_fn(|context| Pin::new(&mut *events).poll_next(context)).await
}

fn of_event(event: Event, drawn: &Drawn) -> Happening {
    match event {
        Event::Key(event) => Happening::Message(Box::new(Message::Key(event))),
        Event::Paste(text) => Happening::Message(Box::new(Message::Paste(text))),
        Event::Resize(columns, rows) => Happening::Message(Box::new(Message::Resize { columns, rows })),
        Event::Mouse(MouseEvent { kind, column, row, .. }) => match kind {
            MouseEventKind::Down(MouseButton::Left) => drawn
                .hit(column, row)
                .map_or(Happening::Nothing, |hit| Happening::Message(Box::new(Message::Click(hit)))),
            MouseEventKind::ScrollDown => Happening::Message(Box::new(Message::Wheel { down: true })),
            MouseEventKind::ScrollUp => Happening::Message(Box::new(Message::Wheel { down: false })),
            _ => Happening::Nothing,
        },
        Event::FocusGained | Event::FocusLost => Happening::Nothing,
    }
}

fn of_arrival(arrival: Arrival, began: Instant) -> Message {
    match arrival {
        // When it came, not when there was time to look at it: its age is its age.
        Arrival::Answer(request, result, came_at) => {
            Message::Answered { request, result, came_at: came_at.saturating_duration_since(began) }
        }
        Arrival::Plan(dialog, result) => Message::Planned { dialog, result },
        Arrival::Step(dialog, result) => Message::Advanced { dialog, result },
    }
}

/// The signals that ask us to leave.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
