//! The record of changes: who did what to what, and why.

use tidings_api::wire::{self, AuditEntry};

use super::Kind;
use super::lines::{self, Line};
use super::listed::Listed;
use crate::calls::{Answer, Request};
use crate::filter::Filter;
use crate::state::Shared;
use crate::theme::Role;
use crate::time;
use crate::view::paint::Piece;
use crate::view::table::{Column, Fit, cell, marked};
use crate::window::Row;
use crate::words::{Word, count};

impl Row for AuditEntry {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Listed for AuditEntry {
    const KIND: Kind = Kind::Audit;
    const COLUMNS: &'static [Column] = &[
        Column { title: Word::When, keep: 90, fit: Fit::Whole },
        Column { title: Word::Who, keep: 80, fit: Fit::Cut(8) },
        Column { title: Word::Act, keep: 99, fit: Fit::Whole },
        Column { title: Word::Subject, keep: 95, fit: Fit::Cut(10) },
        Column { title: Word::Number, keep: 50, fit: Fit::Number },
        Column { title: Word::Reason, keep: 70, fit: Fit::Note(10) },
    ];
    const EMPTY: Word = Word::NoChanges;

    fn request(filter: &Filter, cursor: Option<String>) -> Request {
        Request::Audit { filter: filter.clone(), cursor }
    }

    fn rows(answer: Answer) -> Option<wire::Page<AuditEntry>> {
        if let Answer::Audit(page) = answer { Some(page) } else { None }
    }

    fn cells(&self, shared: &Shared) -> Vec<Piece> {
        vec![
            marked(shared.relative(Some(&self.at)), Role::Dim),
            cell(&*self.who),
            cell(&*self.act),
            cell(&*self.subject),
            cell(self.count.map(count).unwrap_or_default()),
            cell(self.why.as_deref().unwrap_or_default()),
        ]
    }

    fn lines(&self, shared: &Shared, columns: usize) -> Vec<Line> {
        let mut lines = vec![Line::Rule(format!("{}  {}", self.id, self.act))];
        let at = time::parse(&self.at).map(|at| format!("{} UTC", time::day_and_clock(at, "UTC")));
        lines.extend(lines::facts(
            [
                (Word::FactAt, at),
                (Word::FactWho, Some(self.who.clone())),
                (Word::FactSubject, Some(self.subject.clone())),
                (Word::FactCount, self.count.map(count)),
            ],
            shared.language(),
            columns,
        ));
        for (text, role) in [(&self.why, Role::Title), (&self.detail, Role::Plain)] {
            lines.extend(text.iter().flat_map(|text| lines::wrapped(text, role, columns)));
        }
        lines
    }
}
