//! The lists: their titles, their columns, and what stands in them.

use chrono::{DateTime, Utc};
use ratatui::layout::Rect;
use tidings_api::wire::{Change, Channel, Overview, Schedule, Token};

use super::paint::{Painter, Piece, inset, rows};
use super::table::{self, Column, Fit, cell, marked};
use crate::layout;
use crate::state::{List, State};
use crate::theme::{Role, message_role, state_role};
use crate::time;
use crate::words::{Language, Word, channel_state, count, message_state, run_state, token_state};

const CHANNELS: &[Column] = &[
    Column { title: Word::Name, keep: 99, fit: Fit::Cut(12) },
    Column { title: Word::State, keep: 90, fit: Fit::Cut(8) },
    Column { title: Word::Queued, keep: 80, fit: Fit::Number },
    Column { title: Word::Sending, keep: 40, fit: Fit::Number },
    Column { title: Word::Waiting, keep: 50, fit: Fit::Number },
    Column { title: Word::Later, keep: 30, fit: Fit::Number },
    Column { title: Word::Held, keep: 20, fit: Fit::Number },
    Column { title: Word::Sent, keep: 45, fit: Fit::Number },
    Column { title: Word::Failed, keep: 70, fit: Fit::Number },
    Column { title: Word::Unknown, keep: 35, fit: Fit::Number },
    Column { title: Word::Note, keep: 60, fit: Fit::Note(10) },
];

const TOKENS: &[Column] = &[
    Column { title: Word::App, keep: 99, fit: Fit::Cut(12) },
    Column { title: Word::State, keep: 90, fit: Fit::Whole },
    Column { title: Word::Expires, keep: 80, fit: Fit::Whole },
    Column { title: Word::Fetches, keep: 60, fit: Fit::Number },
    Column { title: Word::Problem, keep: 70, fit: Fit::Note(10) },
];

const SCHEDULES: &[Column] = &[
    Column { title: Word::Name, keep: 99, fit: Fit::Cut(12) },
    Column { title: Word::Next, keep: 90, fit: Fit::Whole },
    Column { title: Word::Clock, keep: 60, fit: Fit::Whole },
    Column { title: Word::Zone, keep: 30, fit: Fit::Cut(8) },
    Column { title: Word::LastRun, keep: 80, fit: Fit::Whole },
    Column { title: Word::When, keep: 70, fit: Fit::Whole },
    Column { title: Word::Done, keep: 50, fit: Fit::Number },
    Column { title: Word::Job, keep: 20, fit: Fit::Note(8) },
    Column { title: Word::Result, keep: 40, fit: Fit::Note(8) },
];

/// Titles are never shown; the words say what stands in them.
const MESSAGES: &[Column] = &[
    Column { title: Word::When, keep: 70, fit: Fit::Whole },
    Column { title: Word::Name, keep: 60, fit: Fit::Whole },
    Column { title: Word::Channels, keep: 50, fit: Fit::Cut(8) },
    Column { title: Word::App, keep: 80, fit: Fit::Cut(10) },
    Column { title: Word::State, keep: 99, fit: Fit::Whole },
    Column { title: Word::Note, keep: 65, fit: Fit::Note(8) },
];

/// Draws a list with its title.
pub(crate) fn draw(painter: &mut Painter<'_>, place: Rect, state: &State, list: List) {
    let Some(picture) = &state.picture else { return };
    let overview = &*picture.overview;
    let total = list.len(overview);
    let heads = layout::heads(list);
    let seen = usize::from(place.height.saturating_sub(heads));
    let top = state.scroll[list.index()].min(total.saturating_sub(seen));

    let mut places = rows(place);
    if let Some(place) = places.next() {
        painter.rule(place, &title(list, top, seen, total, state.language), state.focus == list);
    }
    let below = inset(Rect { y: place.y.saturating_add(1), height: place.height.saturating_sub(1), ..place });
    if total == 0 {
        let word = if list == List::Messages { Word::NoMessages } else { Word::None };
        painter.put(below, 0, usize::MAX, &Piece::new(word.text(state.language), Role::Dim));
        return;
    }
    let context = Context { language: state.language, now: state.engine_now() };
    let (columns, cells) = cells(list, overview, &context);
    let titles = (heads > 1).then_some(state.language);
    table::draw(painter, below, columns, titles, &cells, top);
}

fn title(list: List, top: usize, seen: usize, total: usize, language: Language) -> String {
    let word = match list {
        List::Channels => Word::Channels,
        List::Tokens => Word::Tokens,
        List::Schedules => Word::Schedules,
        List::Messages => Word::Messages,
    };
    let amount = if seen >= total {
        total.to_string()
    } else {
        let (first, last) = (top + 1, (top + seen).min(total));
        let part = if first < last { format!("{first}-{last}") } else { last.to_string() };
        Word::Part.with(language, &[&part, &total.to_string()])
    };
    format!("{} ({amount})", word.text(language))
}

/// What a row needs beside its own content.
struct Context {
    language: Language,
    now: Option<DateTime<Utc>>,
}

impl Context {
    /// Where an instant lies from the engine's now; empty if there is none.
    fn relative(&self, instant: Option<&String>) -> String {
        let instant = instant.and_then(|instant| time::parse(instant));
        instant.zip(self.now).map(|(instant, now)| time::relative(instant, now, self.language)).unwrap_or_default()
    }
}

fn cells(list: List, overview: &Overview, context: &Context) -> (&'static [Column], Vec<Vec<Piece>>) {
    match list {
        List::Channels => {
            let mut channels: Vec<&Channel> = overview.channels.iter().collect();
            channels.sort_by_key(|channel| urgency(&channel.state));
            (CHANNELS, channels.into_iter().map(|row| channel(row, context)).collect())
        }
        List::Tokens => {
            let mut tokens: Vec<&Token> = overview.tokens.iter().collect();
            tokens.sort_by_key(|token| urgency(&token.state));
            (TOKENS, tokens.into_iter().map(|row| token(row, context)).collect())
        }
        List::Schedules => {
            let mut schedules: Vec<&Schedule> = overview.schedules.iter().collect();
            // RFC 3339 in UTC sorts as text; what fires never comes last.
            schedules.sort_by_key(|schedule| {
                let failed = schedule.last_run.as_ref().is_some_and(|run| run.state == "failed");
                (!failed, schedule.next_at.is_none(), schedule.next_at.clone())
            });
            (SCHEDULES, schedules.into_iter().map(|row| schedule(row, context)).collect())
        }
        List::Messages => (MESSAGES, overview.recent.iter().map(|row| change(row, context)).collect()),
    }
}

/// What wants a person comes first; among equals the engine's order stays.
fn urgency(state: &str) -> u8 {
    match state_role(state) {
        Role::Bad => 0,
        Role::Warn => 1,
        _ => 2,
    }
}

fn number(number: i64, role: Role) -> Piece {
    marked(count(number), if number == 0 { Role::Dim } else { role })
}

fn channel(channel: &Channel, context: &Context) -> Vec<Piece> {
    let counts = channel.counts;
    let mut state = channel_state(&channel.state, context.language).to_owned();
    // Until the next picture says that it opened, a time that has come says nothing.
    if let Some(until) = channel.until.as_deref().and_then(time::parse)
        && let Some(now) = context.now.filter(|now| *now < until)
    {
        state = format!("{state} {}", time::relative(until, now, context.language));
    }
    vec![
        cell(&*channel.name),
        marked(state, state_role(&channel.state)),
        number(counts.queued, Role::Plain),
        marked(
            format!("{}/{}", count(counts.sending), channel.in_flight_max),
            if counts.sending == 0 { Role::Dim } else { Role::Plain },
        ),
        number(counts.waiting, Role::Warn),
        number(counts.scheduled, Role::Plain),
        number(counts.held, Role::Warn),
        number(counts.sent.saturating_add(counts.delivered), Role::Plain),
        number(counts.failed, Role::Bad),
        number(counts.unknown, Role::Warn),
        marked(channel.reason.as_deref().unwrap_or_default(), state_role(&channel.state)),
    ]
}

fn token(token: &Token, context: &Context) -> Vec<Piece> {
    let fetches = i64::from(token.fetches_today);
    let fetches = match token.fetches_max {
        Some(max) => Word::Of.with(context.language, &[&count(fetches), &count(i64::from(max))]),
        None => count(fetches),
    };
    vec![
        cell(&*token.app),
        marked(token_state(&token.state, context.language), state_role(&token.state)),
        cell(context.relative(token.expires_at.as_ref())),
        cell(fetches),
        marked(token.problem.as_deref().unwrap_or_default(), Role::Bad),
    ]
}

fn schedule(schedule: &Schedule, context: &Context) -> Vec<Piece> {
    let next = schedule.next_at.as_ref().and_then(|next| time::parse(next));
    let mut row = vec![
        cell(&*schedule.name),
        cell(context.relative(schedule.next_at.as_ref())),
        cell(next.map(|next| time::day_and_clock(next, &schedule.timezone)).unwrap_or_default()),
        marked(&*schedule.timezone, Role::Dim),
    ];
    let Some(run) = &schedule.last_run else {
        let never = marked(Word::RunNever.text(context.language), Role::Dim);
        row.extend([never, Piece::default(), Piece::default(), marked(&*schedule.job, Role::Dim), Piece::default()]);
        return row;
    };
    let done = match run.total {
        Some(total) => format!("{}/{}", count(run.done), count(total)),
        None => count(run.done),
    };
    row.extend([
        marked(run_state(&run.state, context.language), state_role(&run.state)),
        cell(context.relative(Some(run.ended_at.as_ref().unwrap_or(&run.started_at)))),
        cell(done),
        marked(&*schedule.job, Role::Dim),
        cell(run.result.as_deref().unwrap_or_default()),
    ]);
    row
}

fn change(change: &Change, context: &Context) -> Vec<Piece> {
    vec![
        cell(time::parse(&change.at).map(time::clock).unwrap_or_default()),
        marked(&*change.id, Role::Dim),
        cell(&*change.channel),
        cell(&*change.to),
        marked(message_state(&change.state, context.language), message_role(&change.state)),
        cell(change.reason.as_deref().unwrap_or_default()),
    ]
}
