//! One message: where it stands, why it is not sending, what happened to it, what it says.

mod why;

use ratatui::layout::Rect;
use tidings_api::wire::{self, Reachability};

use super::lines::{self, Line, Side, aligned, json, wrapped};
use super::messages::{deed, refusal};
use super::{Kind, Page, Reaction};
use crate::acts::{Act, Plan};
use crate::calls::{Answer, Request};
use crate::cursor::Step;
use crate::keys::Action;
use crate::state::Shared;
use crate::text::Clean;
use crate::theme::{Role, message_role, outcome_role};
use crate::time;
use crate::view::paint::{Painter, Piece, inset};
use crate::words::{Language, Word, count, message_state};

/// The page.
#[derive(Debug)]
pub(crate) struct MessagePage {
    id: String,
    message: Option<wire::Message>,
    /// How its recipient can be reached, while it is still to be sent.
    reach: Option<Reachability>,
    /// The first line that is seen.
    top: usize,
}

impl MessagePage {
    /// Of the message with that id.
    pub(crate) fn new(id: String) -> MessagePage {
        MessagePage { id, message: None, reach: None, top: 0 }
    }

    fn lines(&self, shared: &Shared) -> Vec<Line> {
        let Some(message) = &self.message else { return Vec::new() };
        let columns = usize::from(shared.content().width.saturating_sub(2));
        let mut lines = Vec::new();
        // What one came to see stands where it is seen on a small screen too.
        let why = why::why(message, self.reach.as_ref(), shared);
        if !why.is_empty() {
            lines.push(Line::Rule(Word::PartWhy.text(shared.language()).to_owned()));
            for (text, role) in why {
                lines.extend(wrapped(&text, role, columns));
            }
            lines.push(Line::Rule(Word::PartFacts.text(shared.language()).to_owned()));
        }
        lines.extend(facts(message, shared, columns));
        lines.push(Line::Rule(Word::PartTimeline.text(shared.language()).to_owned()));
        lines.extend(timeline(message, shared.language()));
        if message.content.is_some() || message.content_problem.is_some() {
            lines.push(Line::Rule(Word::PartContent.text(shared.language()).to_owned()));
            for (name, value) in message.content.iter().flatten() {
                lines.extend(member(name, value, columns));
            }
            lines.extend(message.content_problem.iter().flat_map(|problem| wrapped(problem, Role::Bad, columns)));
        }
        if let Some(data) = &message.data {
            lines.push(Line::Rule(Word::PartData.text(shared.language()).to_owned()));
            lines.extend(json(data, columns));
        }
        lines
    }

    fn seen(shared: &Shared) -> usize {
        usize::from(shared.content().height)
    }

    fn scroll(&mut self, step: Step, shared: &Shared) -> bool {
        let seen = MessagePage::seen(shared);
        let last = self.lines(shared).len().saturating_sub(seen);
        lines::scroll(&mut self.top, step, last, seen)
    }
}

impl Page for MessagePage {
    fn kind(&self) -> Kind {
        Kind::Message
    }

    fn wants(&self) -> Option<Request> {
        Some(Request::Message { id: self.id.clone() })
    }

    fn take(&mut self, request: &Request, answer: Answer, shared: &Shared) {
        if *request == (Request::Message { id: self.id.clone() })
            && let Answer::Message(message, reach) = answer
        {
            (self.message, self.reach) = (Some(*message), reach.map(|reach| *reach));
            self.settle(shared);
        }
    }

    fn settle(&mut self, shared: &Shared) {
        self.top = self.top.min(self.lines(shared).len().saturating_sub(MessagePage::seen(shared)));
    }

    fn act(&mut self, action: Action, shared: &Shared) -> Reaction {
        if let Action::Move(step) = action {
            return Reaction::changed(self.scroll(step, shared));
        }
        match self.message.as_ref().and_then(|message| deed(action, &message.state)) {
            Some(deed) => Reaction::Ask(Act::Messages { deed, ids: vec![self.id.clone()] }, Some(Plan::of(1))),
            None => Reaction::Nothing,
        }
    }

    fn refuses(&self, action: Action, shared: &Shared) -> Option<String> {
        refusal(action, self.message.as_ref(), shared.language())
    }

    fn status(&self, shared: &Shared) -> Vec<Piece> {
        let mut pieces = vec![Piece::new(self.id.as_str(), Role::Plain)];
        if let Some(message) = &self.message {
            let state = message_state(&message.state, shared.language());
            pieces.push(Piece::new(state, message_role(&message.state)));
            pieces.extend(message.reason.as_ref().map(|reason| Piece::new(reason.as_str(), Role::Plain)));
        }
        pieces
    }

    fn draw(&self, painter: &mut Painter<'_>, area: Rect, shared: &Shared) {
        if self.message.is_none() {
            let text = Word::Loading.text(shared.language());
            painter.put(inset(area), 0, usize::MAX, &Piece::new(text, Role::Dim));
        }
        lines::draw(painter, area, &self.lines(shared), self.top);
    }
}

/// What it is: who, what, when.
fn facts(message: &wire::Message, shared: &Shared, columns: usize) -> Vec<Line> {
    let language = shared.language();
    let when = |instant: Option<&String>| {
        let at = instant.and_then(|instant| time::parse(instant))?;
        Some(format!("{} ({})", time::day_and_clock(at, "UTC"), shared.relative(instant.map(String::as_str))))
    };
    let number = |number: i64| (number != 0).then(|| count(number));
    let facts = [
        (Word::FactTo, Some(message.to.clone())),
        (Word::FactChannel, Some(message.channel.clone())),
        (Word::FactTemplate, Some(message.template.clone())),
        (Word::FactCreated, when(Some(&message.created_at))),
        (Word::FactDue, when(Some(&message.due_at)).filter(|_| message.finished_at.is_none())),
        (Word::FactExpires, when(message.expires_at.as_ref())),
        (Word::FactEnded, when(message.finished_at.as_ref())),
        (Word::FactTries, Some(count(message.attempts))),
        (Word::FactPriority, number(message.priority)),
        (Word::FactProviderId, message.provider_id.clone()),
        (Word::FactRun, message.run.clone()),
        (Word::FactTrace, message.trace_id.clone()),
    ];
    let mut lines = lines::facts(facts, language, columns);
    for (text, role) in [
        (message.detail.as_deref(), message_role(&message.state)),
        (message.ambiguous.then(|| Word::FactAmbiguous.text(language)), Role::Warn),
    ] {
        lines.extend(text.into_iter().flat_map(|text| wrapped(text, role, columns)));
    }
    lines
}

/// What happened to it, in order, each by how long after it was accepted.
fn timeline(message: &wire::Message, language: Language) -> Vec<Line> {
    let accepted = time::parse(&message.created_at);
    let mut tries = 0;
    let rows: Vec<Vec<Piece>> = message
        .timeline
        .iter()
        .map(|moment| {
            let at = time::parse(&moment.at).zip(accepted);
            let after = at.map(|(at, accepted)| format!("+{}", seconds((at - accepted).num_milliseconds())));
            let detail = moment.detail.as_deref().unwrap_or_default();
            let (word, role) = match moment.what.as_str() {
                "attempt" => {
                    tries += 1;
                    // Its outcome is the first word of what is said about it.
                    let outcome = detail.split(' ').next().unwrap_or_default();
                    (Word::TimelineTry.with(language, &[&tries.to_string()]), outcome_role(outcome))
                }
                what if what.contains('.') => (what.to_owned(), Role::Warn),
                "accepted" => (Word::TimelineAccepted.text(language).to_owned(), Role::Plain),
                "bound" => (Word::TimelineBound.text(language).to_owned(), Role::Plain),
                "bounced" => (Word::TimelineBounced.text(language).to_owned(), Role::Bad),
                state => (message_state(state, language).into_owned(), message_role(state)),
            };
            let time = Piece::new(after.unwrap_or_default(), Role::Dim);
            vec![time, Piece::new(word, role), Piece::new(detail, Role::Plain)]
        })
        .collect();
    aligned(rows, &[Side::Right, Side::Left, Side::Left])
}

/// A length of time in seconds, to the millisecond while that says something.
fn seconds(ms: i64) -> String {
    if ms.abs() < 60_000 { format!("{}.{:03}s", ms / 1_000, ms.rem_euclid(1_000)) } else { time::span(ms / 1_000) }
}

/// A member of what it says: texts as they are, everything else as JSON.
fn member(name: &str, value: &impl std::fmt::Display, columns: usize) -> Vec<Line> {
    let text = value.to_string();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&text);
    let name = Piece::new(name, Role::Dim);
    let room = columns.saturating_sub(name.columns() + 1).max(columns / 2);
    let rows = Clean::new(text).wrap(room);
    let mut lines = vec![Line::Text(vec![name.clone()])];
    for (index, text) in rows.into_iter().enumerate() {
        let text = Piece { text, role: Role::Plain };
        if index == 0 {
            lines[0] = Line::Text(vec![name.clone(), text]);
        } else {
            lines.push(Line::Text(vec![Piece::new(" ".repeat(name.columns().min(columns / 2)), Role::Plain), text]));
        }
    }
    lines
}
