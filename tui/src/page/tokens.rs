//! Tokens: how each stands, its age, how many of the day's fetches are left; fetching one.

use tidings_api::wire::{self, Token};

use super::Kind;
use super::lines::{self, Line};
use super::listed::Listed;
use crate::acts::Act;
use crate::calls::{Answer, Request};
use crate::filter::Filter;
use crate::keys::Action;
use crate::state::Shared;
use crate::theme::{Role, state_role};
use crate::time;
use crate::view::paint::Piece;
use crate::view::table::{Column, Fit, cell, marked};
use crate::window::Row;
use crate::words::{Word, count, token_state};

impl Row for Token {
    fn id(&self) -> &str {
        &self.app
    }
}

/// Fetches of the day, of how many.
fn fetches(token: &Token) -> String {
    let so_far = count(i64::from(token.fetches_today));
    token.fetches_max.map_or_else(|| so_far.clone(), |most| format!("{so_far}/{}", count(i64::from(most))))
}

/// How long ago it was fetched.
fn age(token: &Token, shared: &Shared) -> Option<String> {
    shared.since(token.fetched_at.as_deref()?)
}

impl Listed for Token {
    const KIND: Kind = Kind::Tokens;
    const COLUMNS: &'static [Column] = &[
        Column { title: Word::App, keep: 99, fit: Fit::Cut(10) },
        Column { title: Word::State, keep: 95, fit: Fit::Whole },
        Column { title: Word::Age, keep: 70, fit: Fit::Whole },
        Column { title: Word::Ends, keep: 80, fit: Fit::Whole },
        Column { title: Word::Fetches, keep: 60, fit: Fit::Number },
        Column { title: Word::Problem, keep: 50, fit: Fit::Note(10) },
    ];
    const EMPTY: Word = Word::NoTokens;

    fn request(_filter: &Filter, _cursor: Option<String>) -> Request {
        Request::Tokens
    }

    fn rows(answer: Answer) -> Option<wire::Page<Token>> {
        let Answer::Tokens(items) = answer else { return None };
        Some(wire::Page { items, next: None })
    }

    fn cells(&self, shared: &Shared) -> Vec<Piece> {
        let used_up = self.fetches_max.is_some_and(|most| u64::from(self.fetches_today) * 10 >= u64::from(most) * 9);
        vec![
            cell(&*self.app),
            marked(token_state(&self.state, shared.language()), state_role(&self.state)),
            cell(age(self, shared).unwrap_or_default()),
            cell(shared.relative(self.expires_at.as_deref())),
            marked(fetches(self), if used_up { Role::Warn } else { Role::Plain }),
            marked(self.problem.as_deref().unwrap_or_default(), state_role(&self.state)),
        ]
    }

    fn lines(&self, shared: &Shared, columns: usize) -> Vec<Line> {
        let language = shared.language();
        let when = |instant: &Option<String>| {
            let at = instant.as_deref().and_then(time::parse)?;
            Some(format!("{} UTC ({})", time::day_and_clock(at, "UTC"), shared.relative(instant.as_deref())))
        };
        let mut lines = vec![Line::Rule(self.app.clone())];
        lines.extend(lines::facts(
            [
                (Word::FactState, Some(token_state(&self.state, language).to_owned())),
                (Word::FactFetched, when(&self.fetched_at)),
                (Word::FactEnds, when(&self.expires_at)),
                (Word::FactFetches, Some(fetches(self))),
            ],
            language,
            columns,
        ));
        let problem = self.problem.as_deref().into_iter();
        lines.extend(problem.flat_map(|text| lines::wrapped(text, state_role(&self.state), columns)));
        lines
    }

    fn act(&self, action: Action) -> Option<Act> {
        (action == Action::RefreshToken).then(|| Act::Token { app: self.app.clone() })
    }
}
