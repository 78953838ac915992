//! Pages of a list with more to say of each row than its columns have: below the list the row under the cursor is told in
//! full, as far as there is room, and on Enter alone.

use std::fmt;

use ratatui::layout::Rect;
use tidings_api::wire;

use super::lines::{self, Line};
use super::{Kind, Page, Reaction};
use crate::acts::{Act, Plan};
use crate::calls::{Answer, Request};
use crate::cursor::Step;
use crate::filter::{self, Filter, sentence};
use crate::keys::{self, Action};
use crate::state::Shared;
use crate::theme::Role;
use crate::view::paint::{Painter, Piece, inset};
use crate::view::table::{self, Column, Rows};
use crate::window::{Row, Window};
use crate::words::{Word, count};

/// From so many rows on there is room for the row under the cursor in full.
const BELOW_ROWS_MIN: u16 = 12;

/// What a list is of.
pub(super) trait Listed: Row + fmt::Debug + Send + Sized + 'static {
    /// Its page.
    const KIND: Kind;
    /// Its columns.
    const COLUMNS: &'static [Column];
    /// What is said where there are no rows.
    const EMPTY: Word;

    /// How a page of it is asked for. The filter is of its kind's grammar.
    fn request(filter: &Filter, cursor: Option<String>) -> Request;

    /// The rows of an answer, if it is one of these.
    fn rows(answer: Answer) -> Option<wire::Page<Self>>;

    /// What stands in its columns.
    fn cells(&self, shared: &Shared) -> Vec<Piece>;

    /// All there is to say of it, in lines of so many columns.
    fn lines(&self, shared: &Shared, columns: usize) -> Vec<Line>;

    /// The page that a key opens over the list, where there is one.
    fn page(&self, _action: Action) -> Option<Box<dyn Page>> {
        None
    }

    /// What a key has done to it.
    fn act(&self, _action: Action) -> Option<Act> {
        None
    }

    /// Why a key does nothing to it, if it does nothing.
    fn refuses(&self, _action: Action, _shared: &Shared) -> Option<String> {
        None
    }

    /// What a key has done that is for no row.
    fn act_on_none(_action: Action) -> Option<Act> {
        None
    }
}

/// The page of such a list.
#[derive(Debug)]
pub(super) struct ListedPage<R> {
    filter: Filter,
    window: Window<R>,
    /// The row that is shown alone, by its id, and the first of its lines that is seen.
    alone: Option<(String, usize)>,
}

impl<R: Listed> ListedPage<R> {
    /// Before anything is known.
    pub(super) fn new() -> ListedPage<R> {
        let filter = Filter::all(R::KIND.grammar().unwrap_or(filter::NOTHING));
        ListedPage { filter, window: Window::new(), alone: None }
    }

    /// Where the list stands, and where the row under the cursor in full, if there is room.
    fn parts(&self, area: Rect) -> (Rect, Option<Rect>) {
        if area.height < BELOW_ROWS_MIN {
            return (area, None);
        }
        // The titles and the rows, but for a third of the page.
        let wanted = u16::try_from(self.window.rows().len()).unwrap_or(u16::MAX).saturating_add(1);
        let height = wanted.min(area.height - area.height / 3);
        let below = Rect { y: area.y + height, height: area.height - height, ..area };
        (Rect { height, ..area }, Some(below))
    }

    fn seen(&self, shared: &Shared) -> usize {
        usize::from(self.parts(shared.content()).0.height.saturating_sub(1))
    }

    /// The row that is shown alone, or else the one under the cursor.
    fn row(&self) -> Option<&R> {
        match &self.alone {
            Some((id, _)) => self.window.rows().into_iter().find(|row| row.id() == id),
            None => self.window.row(),
        }
    }

    fn lines(&self, shared: &Shared) -> Vec<Line> {
        let columns = usize::from(shared.content().width.saturating_sub(2));
        self.row().map(|row| row.lines(shared, columns)).unwrap_or_default()
    }

    fn go(&mut self, step: Step, shared: &Shared) -> bool {
        let last = self.lines(shared).len().saturating_sub(usize::from(shared.content().height));
        let seen = self.seen(shared);
        match &mut self.alone {
            Some((_, top)) => lines::scroll(top, step, last, usize::from(shared.content().height)),
            None => self.window.go(step, seen),
        }
    }
}

impl<R: Listed> Page for ListedPage<R> {
    fn kind(&self) -> Kind {
        R::KIND
    }

    fn wants(&self) -> Option<Request> {
        Some(R::request(&self.filter, self.window.wanted().map(str::to_owned)))
    }

    fn take(&mut self, request: &Request, answer: Answer, shared: &Shared) {
        let wanted = self.window.wanted().map(str::to_owned);
        if *request != R::request(&self.filter, wanted.clone()) {
            return;
        }
        if let Some(page) = R::rows(answer) {
            let seen = self.seen(shared);
            self.window.take_unpinned(wanted.as_deref(), page.items, page.next, seen);
            self.settle(shared);
        }
    }

    fn settle(&mut self, shared: &Shared) {
        let seen = self.seen(shared);
        self.window.settle(seen);
        if self.alone.is_some() && self.row().is_none() {
            self.alone = None;
        }
        let last = self.lines(shared).len().saturating_sub(usize::from(shared.content().height));
        if let Some((_, top)) = &mut self.alone {
            *top = (*top).min(last);
        }
    }

    fn act(&mut self, action: Action, shared: &Shared) -> Reaction {
        match action {
            Action::Move(step) => Reaction::changed(self.go(step, shared)),
            Action::Back => Reaction::changed(self.alone.take().is_some()),
            action => {
                if let Some(page) = self.row().and_then(|row| row.page(action)) {
                    return Reaction::Open(page);
                }
                if action == Action::Open {
                    let id = self.row().map(|row| row.id().to_owned()).filter(|_| self.alone.is_none());
                    let opens = id.is_some();
                    self.alone = id.map(|id| (id, 0)).or(self.alone.take());
                    return Reaction::changed(opens);
                }
                let act = R::act_on_none(action).or_else(|| self.row().and_then(|row| row.act(action)));
                act.map_or(Reaction::Nothing, |act| {
                    let plan = (!act.needs_plan()).then(|| Plan::of(1));
                    Reaction::Ask(act, plan)
                })
            }
        }
    }

    fn refuses(&self, action: Action, shared: &Shared) -> Option<String> {
        let is_of_a_row =
            action == Action::Open || (keys::of(action).scope.is_some() && R::act_on_none(action).is_none());
        match self.row() {
            None if is_of_a_row => Some(Word::RefusedNone.text(shared.language()).to_owned()),
            None => None,
            Some(row) => row.refuses(action, shared),
        }
    }

    fn click(&mut self, _list: usize, row: usize, shared: &Shared) -> Reaction {
        let seen = self.seen(shared);
        Reaction::changed(self.window.go_to(row, seen))
    }

    fn filter(&self) -> Option<String> {
        R::KIND.grammar().map(|_| self.filter.text())
    }

    fn set_filter(&mut self, text: &str, shared: &Shared) -> Result<(), String> {
        // Where there is none, a text for one is for another page.
        let Some(grammar) = R::KIND.grammar() else { return Ok(()) };
        self.filter = Filter::of(grammar, text).map_err(|error| sentence(&error, shared.language()))?;
        (self.window, self.alone) = (Window::new(), None);
        Ok(())
    }

    fn status(&self, shared: &Shared) -> Vec<Piece> {
        if let Some((id, _)) = &self.alone {
            return vec![Piece::new(id.as_str(), Role::Plain)];
        }
        let mut pieces = Vec::new();
        if !self.filter.is_empty() {
            pieces.push(Piece::new(self.filter.text(), Role::Warn));
        }
        if self.window.is_empty() {
            return pieces;
        }
        let known = count(i64::try_from(self.window.rows().len()).unwrap_or(i64::MAX));
        let word = if self.window.has_more() { Word::SoManyAndMore } else { Word::SoMany };
        pieces.push(Piece::new(word.with(shared.language(), &[&known]), Role::Dim));
        pieces
    }

    fn draw(&self, painter: &mut Painter<'_>, area: Rect, shared: &Shared) {
        if let Some((_, top)) = &self.alone {
            return lines::draw(painter, area, &self.lines(shared), *top);
        }
        let language = shared.language();
        let rows = self.window.rows();
        if rows.is_empty() {
            let word = match (self.window.is_empty(), self.filter.is_empty()) {
                (true, _) => Word::Loading,
                (false, true) => R::EMPTY,
                (false, false) => Word::NothingMatches,
            };
            painter.put(inset(area), 0, usize::MAX, &Piece::new(word.text(language), Role::Dim));
            return;
        }
        let (list, below) = self.parts(area);
        let cursor = self.window.cursor();
        let seen = rows.into_iter().skip(cursor.top()).take(usize::from(list.height));
        let cells: Vec<Vec<Piece>> = seen.map(|row| row.cells(shared)).collect();
        let drawn = Rows { cells: &cells, top: cursor.top(), cursor: Some(cursor.row()), list: 0 };
        table::draw(painter, list, R::COLUMNS, Some(language), &drawn);
        if let Some(below) = below {
            lines::draw(painter, below, &self.lines(shared), 0);
        }
    }
}
