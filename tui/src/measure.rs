//! How long frames take to make, for whoever measures them: no terminal, no engine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tidings_api::wire::{self, Overview};

use crate::calls::Answer;
use crate::message::Message;
use crate::state::{Look, State};
use crate::update::update;
use crate::view;
use crate::words::Language;

/// Makes so many frames of a page of messages, with the cursor moving and a new picture before every fourth of them, and
/// says how long each took: what is drawn and how it differs from the frame before.
pub fn frames(overview: &Overview, page: &wire::Page<wire::Message>, size: (u16, u16), count: u32) -> Vec<Duration> {
    let look = Look { language: Language::Zh, colour: true, light: false };
    let mut state = State::new("http://127.0.0.1:7380", look);
    let mut now = Duration::ZERO;
    let (columns, rows) = size;
    let area = Rect::new(0, 0, columns, rows);
    let mut take = |state: &mut State, message| {
        now += Duration::from_millis(16);
        update(state, now, message);
    };
    let answered = |state: &State, answer: Answer, came_at: Duration| {
        let request = match &answer {
            Answer::Overview(_) => Some(crate::calls::Request::Overview),
            _ => state.wants(),
        };
        request.map(|request| Message::Answered { request, result: Ok(answer), came_at })
    };
    let key = |code| Message::Key(KeyEvent::new(code, KeyModifiers::NONE));
    take(&mut state, Message::Resize { columns, rows });
    let picture = Arc::new(overview.clone());
    let mut buffers = [Buffer::empty(area), Buffer::empty(area)];
    let mut took = Vec::new();
    for number in 0..count {
        if number % 4 == 0
            && let Some(message) =
                answered(&state, Answer::Overview(Arc::clone(&picture)), Duration::from_millis(16 * u64::from(number)))
        {
            take(&mut state, message);
        }
        if number == 0 {
            take(&mut state, key(KeyCode::Char('2')));
            if let Some(message) = answered(&state, Answer::Messages(page.clone()), Duration::ZERO) {
                take(&mut state, message);
            }
        }
        // To and fro, so that the list moves under the cursor as well.
        let code = if number / 60 % 2 == 0 { KeyCode::Down } else { KeyCode::Up };
        take(&mut state, key(code));
        let [shown, made] = &mut buffers;
        let begun = Instant::now();
        made.reset();
        view::draw(&state, made);
        let changed = shown.diff(made).len();
        took.push(begun.elapsed());
        debug_assert!(number == 0 || changed > 0);
        buffers.swap(0, 1);
    }
    took
}
