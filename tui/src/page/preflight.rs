//! Whom a schedule's broadcast would reach now. It is asked for once: the engine walks the whole audience for it.

use ratatui::layout::Rect;
use tidings_api::wire::Preflight;

use super::lines::{self, Line};
use super::run::preflight_lines;
use super::{Kind, Page, Reaction};
use crate::calls::{Answer, Request};
use crate::keys::Action;
use crate::state::Shared;
use crate::theme::Role;
use crate::view::paint::{Painter, Piece, inset};
use crate::words::Word;

/// The page.
#[derive(Debug)]
pub(super) struct PreflightPage {
    schedule: String,
    preflight: Option<Box<Preflight>>,
    /// The first line that is seen.
    top: usize,
}

impl PreflightPage {
    /// Of the schedule with that name.
    pub(super) fn new(schedule: String) -> PreflightPage {
        PreflightPage { schedule, preflight: None, top: 0 }
    }

    fn request(&self) -> Request {
        Request::Preflight { schedule: self.schedule.clone() }
    }

    fn lines(&self, shared: &Shared) -> Vec<Line> {
        let columns = usize::from(shared.content().width.saturating_sub(2));
        self.preflight.as_ref().map(|preflight| preflight_lines(preflight, shared, columns)).unwrap_or_default()
    }

    fn last(&self, shared: &Shared) -> usize {
        self.lines(shared).len().saturating_sub(usize::from(shared.content().height))
    }
}

impl Page for PreflightPage {
    fn kind(&self) -> Kind {
        Kind::Preflight
    }

    fn wants(&self) -> Option<Request> {
        self.preflight.is_none().then(|| self.request())
    }

    fn take(&mut self, request: &Request, answer: Answer, _shared: &Shared) {
        if *request == self.request()
            && let Answer::Preflight(preflight) = answer
        {
            self.preflight = Some(preflight);
        }
    }

    fn settle(&mut self, shared: &Shared) {
        self.top = self.top.min(self.last(shared));
    }

    fn act(&mut self, action: Action, shared: &Shared) -> Reaction {
        let Action::Move(step) = action else { return Reaction::Nothing };
        let last = self.last(shared);
        Reaction::changed(lines::scroll(&mut self.top, step, last, usize::from(shared.content().height)))
    }

    fn status(&self, _shared: &Shared) -> Vec<Piece> {
        vec![Piece::new(self.schedule.as_str(), Role::Plain)]
    }

    fn draw(&self, painter: &mut Painter<'_>, area: Rect, shared: &Shared) {
        if self.preflight.is_none() {
            let text = Word::WalksAudience.text(shared.language());
            painter.put(inset(area), 0, usize::MAX, &Piece::new(text, Role::Dim));
        }
        lines::draw(painter, area, &self.lines(shared), self.top);
    }
}
