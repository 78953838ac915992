//! What a message changes: a function of the state and the message. It reads no clock and does nothing else.

use std::sync::Arc;
use std::time::Duration;

use tidings_api::wire::Overview;

use crate::keys::{self, Action};
use crate::layout;
use crate::message::{Effect, Message, Trouble};
use crate::state::{List, Picture, State};

/// Takes a message in; `now` is the time since the screen began.
pub(crate) fn update(state: &mut State, now: Duration, message: Message) -> Option<Effect> {
    state.now = now;
    match message {
        Message::Key(event) => return keys::action(event).and_then(|action| act(state, action)),
        Message::Resize { columns, rows } => {
            state.size = (columns, rows);
            state.dirty = true;
            settle_scroll(state);
        }
        Message::Answered(Ok(overview)) => picture(state, overview),
        Message::Answered(Err(trouble)) => lost(state, trouble),
        // Only a picture has ages and a clock.
        Message::Tick => state.dirty |= state.picture.is_some(),
    }
    None
}

fn act(state: &mut State, action: Action) -> Option<Effect> {
    match action {
        Action::Quit => return Some(Effect::Quit),
        Action::Refresh => return Some(Effect::Refresh),
        Action::Redraw => {
            state.dirty = true;
            return Some(Effect::Redraw);
        }
        Action::Help => {
            state.help = if state.help.is_some() { None } else { Some(0) };
            state.dirty = true;
        }
        Action::Close => {
            state.dirty |= state.help.is_some();
            state.help = None;
        }
        Action::NextList => focus(state, 1),
        Action::PreviousList => focus(state, List::ALL.len() - 1),
        Action::Down => scroll(state, |top, _| top.saturating_add(1)),
        Action::Up => scroll(state, |top, _| top.saturating_sub(1)),
        Action::PageDown => scroll(state, usize::saturating_add),
        Action::PageUp => scroll(state, usize::saturating_sub),
        Action::First => scroll(state, |_, _| 0),
        Action::Last => scroll(state, |_, _| usize::MAX),
    }
    None
}

/// The next list by so many steps that is on the screen.
fn focus(state: &mut State, step: usize) {
    if state.help.is_some() {
        return;
    }
    let mut index = state.focus.index();
    for _ in List::ALL {
        index = (index + step) % List::ALL.len();
        if layout::rows_seen(state, List::ALL[index]).is_some() {
            state.dirty |= state.focus != List::ALL[index];
            state.focus = List::ALL[index];
            return;
        }
    }
}

/// Moves what the keys move; the function gets the first row shown and how many are seen.
fn scroll(state: &mut State, change: impl FnOnce(usize, usize) -> usize) {
    let before = (state.help, state.scroll);
    if let Some(top) = state.help {
        let seen = usize::from(state.size.1.saturating_sub(layout::HELP_FRAME));
        state.help = Some(change(top, seen.max(1)).min(keys::BINDINGS.len().saturating_sub(seen)));
    } else {
        let seen = layout::rows_seen(state, state.focus).unwrap_or(0);
        let top = &mut state.scroll[state.focus.index()];
        *top = change(*top, seen.max(1));
        settle_scroll(state);
    }
    state.dirty |= before != (state.help, state.scroll);
}

/// No list is scrolled past its end, and the keys move a list that is on the screen.
fn settle_scroll(state: &mut State) {
    let Some(overview) = state.picture.as_ref().map(|picture| Arc::clone(&picture.overview)) else { return };
    for list in List::ALL {
        let seen = layout::rows_seen(state, list).unwrap_or(0);
        let top = &mut state.scroll[list.index()];
        *top = (*top).min(list.len(&overview).saturating_sub(seen));
    }
    if let Some(top) = &mut state.help {
        let seen = usize::from(state.size.1.saturating_sub(layout::HELP_FRAME));
        *top = (*top).min(keys::BINDINGS.len().saturating_sub(seen));
    }
    if layout::rows_seen(state, state.focus).is_none() {
        state.focus = List::Messages;
    }
}

fn picture(state: &mut State, overview: Arc<Overview>) {
    let before = state.picture.take();
    let link_before = state.trouble.take();
    let pace_before = state.pace.tenths_per_second();

    let new = Picture::new(overview, state.now);
    if before.as_ref().is_some_and(|before| before.overview.started_at != new.overview.started_at) {
        state.pace.restart();
    }
    if let Some(at) = new.engine_at {
        // A receipt moves a message from `sent` to `delivered`; it left once.
        state.pace.take(at, new.overview.states.sent.saturating_add(new.overview.states.delivered));
    }
    if let Some(before) = &before {
        follow_messages(state, &before.overview, &new.overview);
    }
    // The clock alone is not news: it moves by the second, with the tick.
    let same = before.is_some_and(|before| same_but_for_the_clock(&before, &new));
    state.dirty |= !same || link_before.is_some() || pace_before != state.pace.tenths_per_second();
    state.picture = Some(new);
    settle_scroll(state);
}

fn same_but_for_the_clock(before: &Picture, new: &Picture) -> bool {
    let (before, new) = (&before.overview, &new.overview);
    (&before.version, &before.started_at, before.draining, &before.states)
        == (&new.version, &new.started_at, new.draining, &new.states)
        && before.channels == new.channels
        && before.schedules == new.schedules
        && before.tokens == new.tokens
        && before.recent == new.recent
}

/// Who looks back in the messages keeps looking at the same ones while new ones come in above.
fn follow_messages(state: &mut State, before: &Overview, new: &Overview) {
    let top = &mut state.scroll[List::Messages.index()];
    if *top == 0 {
        return;
    }
    let Some(seen) = before.recent.get(*top) else { return };
    // One that fell off the end takes the view along to the oldest there is.
    *top = new.recent.iter().position(|change| change == seen).unwrap_or(new.recent.len());
}

fn lost(state: &mut State, trouble: Trouble) {
    let trouble = Some(trouble);
    state.dirty |= state.trouble != trouble;
    state.trouble = trouble;
    settle_scroll(state);
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    use tidings_api::wire::{Change, Channel, Counts};

    use super::*;
    use crate::state::Link;
    use crate::time;
    use crate::words::Language;

    fn overview(now: &str, sent: i64, newest: i64) -> Arc<Overview> {
        Arc::new(Overview {
            now: now.to_owned(),
            started_at: "2026-03-01T00:00:00Z".to_owned(),
            states: Counts { sent, ..Counts::default() },
            channels: vec![Channel::default(); 2],
            recent: (0..40)
                .map(|age| Change {
                    id: format!("msg_{}", newest - age),
                    state: "sent".to_owned(),
                    ..Change::default()
                })
                .collect(),
            ..Overview::default()
        })
    }

    struct Screen {
        state: State,
        now: Duration,
    }

    impl Screen {
        fn new() -> Screen {
            let mut screen = Screen { state: State::new("here", Language::En, true), now: Duration::ZERO };
            screen.take(Message::Resize { columns: 80, rows: 24 });
            screen
        }

        fn with_picture() -> Screen {
            let mut screen = Screen::new();
            screen.take(Message::Answered(Ok(overview("2026-03-01T12:00:00Z", 100, 1_000))));
            screen.state.dirty = false;
            screen
        }

        fn take(&mut self, message: Message) -> Option<Effect> {
            update(&mut self.state, self.now, message)
        }

        fn press(&mut self, code: KeyCode) -> Option<Effect> {
            self.take(Message::Key(KeyEvent::new(code, KeyModifiers::NONE)))
        }

        fn drawn(&mut self) -> bool {
            std::mem::take(&mut self.state.dirty)
        }

        fn top_message(&self) -> String {
            let top = self.state.scroll[List::Messages.index()];
            self.state.picture.as_ref().unwrap().overview.recent[top].id.clone()
        }
    }

    #[test]
    fn the_first_frame_is_drawn_before_anything_is_known() {
        assert!(State::new("here", Language::En, true).dirty);
    }

    #[test]
    fn q_and_control_c_leave_from_everywhere() {
        let mut screen = Screen::new();
        let control_c = Message::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert_eq!(screen.press(KeyCode::Char('q')), Some(Effect::Quit));
        screen.press(KeyCode::Char('?'));
        assert_eq!(screen.press(KeyCode::Char('q')), Some(Effect::Quit));
        assert_eq!(screen.take(control_c), Some(Effect::Quit));
    }

    #[test]
    fn r_asks_the_engine_and_changes_nothing_by_itself() {
        let mut screen = Screen::with_picture();
        assert_eq!(screen.press(KeyCode::Char('r')), Some(Effect::Refresh));
        assert!(!screen.drawn());
    }

    #[test]
    fn nothing_is_drawn_for_a_picture_that_differs_in_its_clock_only() {
        let mut screen = Screen::with_picture();
        screen.now = Duration::from_millis(500);
        screen.take(Message::Answered(Ok(overview("2026-03-01T12:00:00.5Z", 100, 1_000))));
        // The second picture makes the pace known: that is news once.
        assert!(screen.drawn());
        screen.now = Duration::from_millis(1_000);
        screen.take(Message::Answered(Ok(overview("2026-03-01T12:00:01Z", 100, 1_000))));
        assert!(!screen.drawn());
        screen.take(Message::Tick);
        assert!(screen.drawn(), "ages and the clock move by the second");
    }

    #[test]
    fn without_a_picture_a_second_changes_nothing() {
        let mut screen = Screen::new();
        screen.drawn();
        screen.take(Message::Tick);
        assert!(!screen.drawn());
        screen.take(Message::Answered(Err(Trouble::Unreachable)));
        assert!(screen.drawn());
        screen.take(Message::Answered(Err(Trouble::Unreachable)));
        assert!(!screen.drawn(), "the same trouble is not news");
    }

    #[test]
    fn the_picture_stays_and_ages_when_the_engine_goes() {
        let mut screen = Screen::with_picture();
        assert_eq!(screen.state.link(), Link::Live);
        screen.now = Duration::from_secs(2);
        screen.take(Message::Tick);
        assert_eq!(screen.state.link(), Link::Live);
        screen.now = Duration::from_millis(2_100);
        screen.take(Message::Tick);
        assert_eq!(screen.state.link(), Link::Stale(Duration::from_millis(2_100)), "silence alone makes it stale");
        screen.take(Message::Answered(Err(Trouble::Unreachable)));
        screen.now = Duration::from_secs(9);
        screen.take(Message::Tick);
        assert_eq!(screen.state.link(), Link::Stale(Duration::from_secs(9)));
        assert_eq!(screen.state.engine_now(), time::parse("2026-03-01T12:00:09Z"), "the engine's clock goes on");
        assert!(screen.state.picture.is_some());
        screen.take(Message::Answered(Ok(overview("2026-03-01T12:00:20Z", 100, 1_000))));
        assert_eq!(screen.state.link(), Link::Live);
    }

    #[test]
    fn an_engine_that_never_answered_is_no_engine_yet() {
        let mut screen = Screen::new();
        assert_eq!(screen.state.link(), Link::Connecting);
        screen.take(Message::Answered(Err(Trouble::Slow)));
        assert_eq!(screen.state.link(), Link::NoEngine);
    }

    #[test]
    fn throughput_is_the_difference_of_pictures_and_starts_anew_with_the_engine() {
        let mut screen = Screen::with_picture();
        screen.take(Message::Answered(Ok(overview("2026-03-01T12:00:00.5Z", 192, 1_000))));
        assert_eq!(screen.state.pace.tenths_per_second(), Some(1_840));
        let mut again = Overview::clone(&overview("2026-03-01T12:00:01Z", 193, 1_000));
        again.started_at = "2026-03-01T12:00:00Z".to_owned();
        screen.take(Message::Answered(Ok(Arc::new(again))));
        assert_eq!(screen.state.pace.tenths_per_second(), None);
    }

    #[test]
    fn scrolling_stops_at_both_ends() {
        let mut screen = Screen::with_picture();
        screen.press(KeyCode::Up);
        assert!(!screen.drawn());
        screen.press(KeyCode::End);
        assert!(screen.drawn());
        let last = screen.state.scroll;
        screen.press(KeyCode::Char('j'));
        assert_eq!(screen.state.scroll, last);
        assert!(!screen.drawn());
        screen.press(KeyCode::Char('k'));
        assert_eq!(screen.state.scroll[List::Messages.index()], last[List::Messages.index()] - 1);
    }

    #[test]
    fn who_looks_back_keeps_looking_at_the_same_messages() {
        let mut screen = Screen::with_picture();
        for _ in 0..5 {
            screen.press(KeyCode::Down);
        }
        assert_eq!(screen.top_message(), "msg_995");
        screen.take(Message::Answered(Ok(overview("2026-03-01T12:00:01Z", 100, 1_007))));
        assert_eq!(screen.top_message(), "msg_995");
        screen.take(Message::Answered(Ok(overview("2026-03-01T12:00:02Z", 100, 9_000))));
        let seen = layout::rows_seen(&screen.state, List::Messages).unwrap();
        assert_eq!(screen.state.scroll[List::Messages.index()], 40 - seen, "it fell off: the oldest there is");
        screen.press(KeyCode::Home);
        screen.take(Message::Answered(Ok(overview("2026-03-01T12:00:03Z", 100, 9_001))));
        assert_eq!(screen.top_message(), "msg_9001", "at the top, the newest is followed");
    }

    #[test]
    fn focus_goes_round_the_lists_that_are_on_the_screen() {
        let mut screen = Screen::with_picture();
        let mut seen = Vec::new();
        for _ in 0..4 {
            screen.press(KeyCode::Tab);
            seen.push(screen.state.focus);
        }
        assert_eq!(seen, List::ALL);
        screen.press(KeyCode::BackTab);
        assert_eq!(screen.state.focus, List::Schedules);
        screen.take(Message::Resize { columns: 40, rows: 10 });
        assert_eq!(screen.state.focus, List::Messages, "a list that left the screen gives the focus back");
        screen.press(KeyCode::Tab);
        assert_eq!(screen.state.focus, List::Channels);
        screen.press(KeyCode::Tab);
        assert_eq!(screen.state.focus, List::Messages);
    }

    #[test]
    fn help_opens_closes_and_takes_the_movement() {
        let mut screen = Screen::with_picture();
        screen.take(Message::Resize { columns: 80, rows: 10 });
        screen.press(KeyCode::Char('?'));
        screen.press(KeyCode::End);
        assert!(screen.state.help.is_some_and(|top| top > 0));
        assert_eq!(screen.state.scroll, [0; 4]);
        screen.take(Message::Resize { columns: 80, rows: 40 });
        assert_eq!(screen.state.help, Some(0));
        screen.press(KeyCode::Esc);
        assert_eq!(screen.state.help, None);
        screen.drawn();
        screen.press(KeyCode::Esc);
        assert!(!screen.drawn());
    }
}
