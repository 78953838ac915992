//! Messages: which match a filter, and what is done to them.

use chrono::TimeDelta;
use ratatui::layout::Rect;
use tidings_api::wire::Message;

use super::message::MessagePage;
use super::{Kind, Page, Reaction};
use crate::acts::{Act, Deed, Plan};
use crate::calls::{Answer, PAGE_ROWS, Request};
use crate::cursor::Step;
use crate::filter::{self, Filter, sentence};
use crate::keys::{self, Action};
use crate::state::Shared;
use crate::theme::{Role, message_role};
use crate::time;
use crate::view::paint::{Painter, Piece, inset};
use crate::view::table::{self, Column, Fit, Rows, cell, marked};
use crate::window::Window;
use crate::words::{Language, Word, count, message_state};

/// Rows above the first: the titles.
const HEADS: u16 = 1;

const COLUMNS: &[Column] = &[
    Column { title: Word::Mark, keep: 100, fit: Fit::Note(1) },
    Column { title: Word::Age, keep: 60, fit: Fit::Whole },
    Column { title: Word::Id, keep: 95, fit: Fit::Whole },
    Column { title: Word::State, keep: 99, fit: Fit::Whole },
    Column { title: Word::Channel, keep: 50, fit: Fit::Cut(8) },
    Column { title: Word::Recipient, keep: 80, fit: Fit::Cut(10) },
    Column { title: Word::Template, keep: 40, fit: Fit::Cut(8) },
    Column { title: Word::Tries, keep: 30, fit: Fit::Number },
    Column { title: Word::Due, keep: 45, fit: Fit::Whole },
    Column { title: Word::Reason, keep: 70, fit: Fit::Note(12) },
];

/// The page.
#[derive(Debug)]
pub(crate) struct MessagesPage {
    filter: Filter,
    /// Only those accepted before this: what is looked at does not move while one looks at it.
    pin: Option<String>,
    window: Window<Message>,
}

impl MessagesPage {
    /// Of all messages.
    pub(crate) fn new() -> MessagesPage {
        MessagesPage { filter: Filter::default(), pin: None, window: Window::new() }
    }

    fn seen(shared: &Shared) -> usize {
        usize::from(shared.content().height.saturating_sub(HEADS))
    }

    /// Off the first row the list is pinned where it is; on it, it follows.
    fn pin_or_follow(&mut self) {
        if self.window.is_at_start() {
            self.pin = None;
        } else if self.pin.is_none() {
            let newest = self.window.newest().and_then(|message| time::parse(&message.created_at));
            // Before the instant after it, so that it is among them.
            let after = newest.and_then(|newest| newest.checked_add_signed(TimeDelta::milliseconds(1)));
            self.pin = after.map(|after| after.to_rfc3339());
        }
    }

    /// The messages that an act is for: those that are marked, or else the one under the cursor.
    fn subjects(&self) -> Vec<String> {
        if self.window.marks().is_empty() {
            return self.window.row().map(|message| message.id.clone()).into_iter().collect();
        }
        self.window.marks().iter().cloned().collect()
    }

    fn ask_matching(&self, deed: Deed) -> Reaction {
        Reaction::Ask(Act::Matching { deed, filter: self.filter.clone() }, None)
    }

    fn cells(&self, message: &Message, shared: &Shared) -> Vec<Piece> {
        let language = shared.language();
        let age = shared.since(&message.created_at);
        // What is due already is due: for how long moves every second and says nothing that its age does not.
        let due = shared.ahead(Some(&message.due_at)).unwrap_or_default();
        let mark = if self.window.marks().contains(&message.id) { "*" } else { "" };
        vec![
            cell(mark),
            cell(age.unwrap_or_default()),
            marked(&*message.id, Role::Dim),
            marked(message_state(&message.state, language), message_role(&message.state)),
            cell(&*message.channel),
            cell(&*message.to),
            cell(&*message.template),
            marked(count(message.attempts), if message.attempts == 0 { Role::Dim } else { Role::Plain }),
            cell(due),
            marked(message.reason.as_deref().unwrap_or_default(), message_role(&message.state)),
        ]
    }
}

impl Page for MessagesPage {
    fn kind(&self) -> Kind {
        Kind::Messages
    }

    fn wants(&self) -> Option<Request> {
        let cursor = self.window.wanted().map(str::to_owned);
        Some(Request::Messages { filter: self.filter.clone(), pin: self.pin.clone(), cursor })
    }

    fn take(&mut self, request: &Request, answer: Answer, shared: &Shared) {
        let (Request::Messages { filter, pin, cursor }, Answer::Messages(page)) = (request, answer) else { return };
        if (filter, pin) == (&self.filter, &self.pin) {
            let seen = MessagesPage::seen(shared);
            self.window.take(cursor.as_deref(), page.items, page.next, pin.is_some(), seen);
        }
    }

    fn settle(&mut self, shared: &Shared) {
        self.window.settle(MessagesPage::seen(shared));
    }

    fn act(&mut self, action: Action, shared: &Shared) -> Reaction {
        let seen = MessagesPage::seen(shared);
        match action {
            Action::Move(step) => {
                let moved = self.window.go(step, seen);
                self.pin_or_follow();
                Reaction::changed(moved)
            }
            Action::Mark => {
                let marked = self.window.toggle_mark();
                let moved = self.window.go(Step::Down, seen);
                self.pin_or_follow();
                Reaction::changed(marked || moved)
            }
            Action::Back => Reaction::changed(self.window.clear_marks()),
            Action::RetryMatching => self.ask_matching(Deed::Retry),
            Action::CancelMatching => self.ask_matching(Deed::Cancel),
            Action::HoldMatching => self.ask_matching(Deed::Hold),
            Action::ReleaseMatching => self.ask_matching(Deed::Release),
            Action::Open => match self.window.row() {
                Some(message) => Reaction::Open(Box::new(MessagePage::new(message.id.clone()))),
                None => Reaction::Nothing,
            },
            _ => match self.window.row().and_then(|message| deed(action, &message.state)) {
                Some(deed) => {
                    let ids = self.subjects();
                    let plan = Plan::of(ids.len());
                    Reaction::Ask(Act::Messages { deed, ids }, Some(plan))
                }
                None => Reaction::Nothing,
            },
        }
    }

    fn refuses(&self, action: Action, shared: &Shared) -> Option<String> {
        let language = shared.language();
        match action {
            Action::CancelMatching | Action::HoldMatching | Action::ReleaseMatching if self.filter.is_empty() => {
                Some(Word::RefusedNoFilter.text(language).to_owned())
            }
            Action::RetryMatching if !self.filter.get("state").is_some_and(|state| Deed::Retry.fits(state)) => {
                Some(Word::RefusedNoState.text(language).to_owned())
            }
            // Of many, those that it does not fit say so one by one.
            _ if !self.window.marks().is_empty() => None,
            _ => refusal(action, self.window.row(), language),
        }
    }

    fn click(&mut self, _list: usize, row: usize, shared: &Shared) -> Reaction {
        let moved = self.window.go_to(row, MessagesPage::seen(shared));
        self.pin_or_follow();
        Reaction::changed(moved)
    }

    fn filter(&self) -> Option<String> {
        Some(self.filter.text())
    }

    fn set_filter(&mut self, text: &str, shared: &Shared) -> Result<(), String> {
        self.filter = Filter::of(filter::MESSAGES, text).map_err(|error| sentence(&error, shared.language()))?;
        self.pin = None;
        self.window = Window::new();
        Ok(())
    }

    fn status(&self, shared: &Shared) -> Vec<Piece> {
        let language = shared.language();
        let mut pieces = Vec::new();
        if self.filter.is_empty() {
            pieces.push(Piece::new(Word::AllMessages.text(language), Role::Dim));
        } else {
            pieces.push(Piece::new(self.filter.text(), Role::Warn));
        }
        let marks = self.window.marks().len();
        if marks > 0 {
            pieces.push(Piece::new(Word::Marked.with(language, &[&marks.to_string()]), Role::Focus));
        }
        if self.pin.is_some() {
            let key = keys::of(Action::Move(Step::First)).key();
            pieces.push(Piece::new(Word::Pinned.with(language, &[&key]), Role::Dim));
        }
        pieces
    }

    fn draw(&self, painter: &mut Painter<'_>, area: Rect, shared: &Shared) {
        let language = shared.language();
        let rows = self.window.rows();
        if rows.is_empty() {
            let text = match (self.window.is_empty(), self.window.has_more()) {
                (true, _) => Word::Loading.text(language).to_owned(),
                (false, true) => Word::LookedThrough.with(language, &[&keys::of(Action::Move(Step::Down)).key()]),
                (false, false) if self.filter.is_empty() => Word::NoMessages.text(language).to_owned(),
                (false, false) => Word::NothingMatches.text(language).to_owned(),
            };
            painter.put(inset(area), 0, usize::MAX, &Piece::new(text, Role::Dim));
            return;
        }
        let cursor = self.window.cursor();
        let cells: Vec<Vec<Piece>> = rows
            .into_iter()
            .skip(cursor.top())
            .take(MessagesPage::seen(shared))
            .map(|message| self.cells(message, shared))
            .collect();
        let list = Rows { cells: &cells, top: cursor.top(), cursor: Some(cursor.row()), list: 0 };
        table::draw(painter, area, COLUMNS, Some(language), &list);
        debug_assert!(self.window.place(PAGE_ROWS as usize) >= cursor.row());
    }
}

/// What a key does to a message in that state. Hold and release share one: which it is follows from the state.
pub(crate) fn deed(action: Action, state: &str) -> Option<Deed> {
    match action {
        Action::Retry => Some(Deed::Retry),
        Action::Cancel => Some(Deed::Cancel),
        Action::Hold if state == "held" => Some(Deed::Release),
        Action::Hold => Some(Deed::Hold),
        _ => None,
    }
}

/// Why a key does nothing to a message, if it does nothing.
pub(crate) fn refusal(action: Action, message: Option<&Message>, language: Language) -> Option<String> {
    let deed_now = deed(action, message.map_or("", |message| &message.state))?;
    let Some(message) = message else { return Some(Word::RefusedNone.text(language).to_owned()) };
    let state = message_state(&message.state, language);
    (!deed_now.fits(&message.state)).then(|| Word::RefusedState.with(language, &[&message.id, &state]))
}
