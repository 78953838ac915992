//! Webhooks: which are told what happens, what waits for them, and why they take none; setting them going again, and a try.

use tidings_api::wire::{self, Webhook};

use super::Kind;
use super::lines::{self, Line, wrapped};
use super::listed::Listed;
use crate::acts::Act;
use crate::calls::{Answer, Request};
use crate::filter::Filter;
use crate::keys::Action;
use crate::state::Shared;
use crate::theme::{Role, state_role};
use crate::view::paint::Piece;
use crate::view::table::{Column, Fit, cell, marked};
use crate::window::Row;
use crate::words::{Word, count, webhook_state};

impl Row for Webhook {
    fn id(&self) -> &str {
        &self.name
    }
}

fn number(number: u64) -> String {
    count(i64::try_from(number).unwrap_or(i64::MAX))
}

impl Listed for Webhook {
    const KIND: Kind = Kind::Webhooks;
    const COLUMNS: &'static [Column] = &[
        Column { title: Word::Name, keep: 99, fit: Fit::Cut(10) },
        Column { title: Word::State, keep: 95, fit: Fit::Whole },
        Column { title: Word::Pending, keep: 90, fit: Fit::Number },
        Column { title: Word::Told, keep: 70, fit: Fit::Number },
        Column { title: Word::Lost, keep: 75, fit: Fit::Number },
        Column { title: Word::When, keep: 50, fit: Fit::Whole },
        Column { title: Word::Url, keep: 60, fit: Fit::Cut(12) },
        Column { title: Word::Problem, keep: 80, fit: Fit::Note(10) },
    ];
    const EMPTY: Word = Word::NoWebhooks;

    fn request(_filter: &Filter, _cursor: Option<String>) -> Request {
        Request::Webhooks
    }

    fn rows(answer: Answer) -> Option<wire::Page<Webhook>> {
        let Answer::Webhooks(items) = answer else { return None };
        Some(wire::Page { items, next: None })
    }

    fn cells(&self, shared: &Shared) -> Vec<Piece> {
        let counted = |many: u64, role| marked(number(many), if many == 0 { Role::Dim } else { role });
        let since = self.disabled_at.as_deref().or(self.failing_since.as_deref());
        vec![
            cell(&*self.name),
            marked(webhook_state(&self.state, shared.language()), state_role(&self.state)),
            counted(self.pending, Role::Warn),
            counted(self.told, Role::Plain),
            counted(self.dropped.saturating_add(self.given_up), Role::Bad),
            cell(shared.relative(since)),
            cell(&*self.url),
            cell(self.reason.as_deref().or(self.last_failure.as_deref()).unwrap_or_default()),
        ]
    }

    fn lines(&self, shared: &Shared, columns: usize) -> Vec<Line> {
        let language = shared.language();
        let listed = |names: &[String]| match names {
            [] => Word::All.text(language).to_owned(),
            names => names.join(" "),
        };
        let when = |instant: &Option<String>| instant.as_deref().map(|instant| shared.relative(Some(instant)));
        let lost = |many: u64| (many > 0).then(|| number(many));
        let mut lines = vec![Line::Rule(self.name.clone())];
        lines.extend(lines::facts(
            [
                (Word::FactUrl, Some(self.url.clone())),
                (Word::FactEvents, Some(listed(&self.events))),
                (Word::FactChannels, Some(listed(&self.channels))),
                (Word::FactContentOf, Some(self.content.clone())),
                (Word::FactPending, Some(number(self.pending))),
                (Word::FactTold, Some(number(self.told))),
                (Word::FactDropped, lost(self.dropped)),
                (Word::FactGivenUp, lost(self.given_up)),
                (Word::FactFailingSince, when(&self.failing_since)),
                (Word::FactDisabledSince, when(&self.disabled_at)),
            ],
            language,
            columns,
        ));
        for (text, role) in [(&self.reason, Role::Bad), (&self.last_failure, Role::Warn)] {
            lines.extend(text.iter().flat_map(|text| wrapped(text, role, columns)));
        }
        lines
    }

    fn act(&self, action: Action) -> Option<Act> {
        match action {
            Action::Resume => Some(Act::Webhook { test: false, name: self.name.clone() }),
            Action::TestWebhook => Some(Act::Webhook { test: true, name: self.name.clone() }),
            _ => None,
        }
    }

    fn refuses(&self, action: Action, shared: &Shared) -> Option<String> {
        let state = webhook_state(&self.state, shared.language());
        // One that fails is tried again by itself, ever more seldom: resumed, it is tried now.
        (action == Action::Resume && self.state == "ok")
            .then(|| Word::RefusedState.with(shared.language(), &[&self.name, state]))
    }
}
