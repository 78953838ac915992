//! The lists: their titles, their columns, and what stands in them.

use ratatui::layout::Rect;
use tidings_api::wire::{Change, Channel, Overview, Schedule};

use super::needs::{Need, needs};
use super::parts::{self, List};
use crate::cursor::Cursor;
use crate::state::Shared;
use crate::theme::{Role, message_role, state_role};
use crate::time;
use crate::view::paint::{Painter, Piece, inset, rows};
use crate::view::table::{self, Column, Fit, Rows, cell, marked};
use crate::words::{Language, Word, channel_state, count, message_state, run_state};

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

const NEEDS: &[Column] = &[
    Column { title: Word::Name, keep: 90, fit: Fit::Note(8) },
    Column { title: Word::Problem, keep: 99, fit: Fit::Cut(12) },
    Column { title: Word::Note, keep: 50, fit: Fit::Note(8) },
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

/// What names the rows of a list, in the order in which they are shown.
pub(crate) fn ids(list: List, overview: &Overview) -> Vec<String> {
    match list {
        List::Needs => needs(overview).iter().map(|need| format!("{:?} {}", need.word, need.subject)).collect(),
        List::Channels => channels(overview).iter().map(|channel| channel.name.clone()).collect(),
        List::Schedules => schedules(overview).iter().map(|schedule| schedule.name.clone()).collect(),
        List::Messages => {
            overview.recent.iter().map(|change| format!("{} {} {}", change.id, change.state, change.at)).collect()
        }
    }
}

/// Channels as they are shown: what wants a person comes first; among equals the engine's order stays.
pub(crate) fn channels(overview: &Overview) -> Vec<&Channel> {
    let mut channels: Vec<&Channel> = overview.channels.iter().collect();
    channels.sort_by_key(|channel| urgency(&channel.state));
    channels
}

/// Schedules as they are shown: those that failed, then by when they fire; what fires never comes last.
fn schedules(overview: &Overview) -> Vec<&Schedule> {
    let mut schedules: Vec<&Schedule> = overview.schedules.iter().collect();
    schedules.sort_by_cached_key(|schedule| schedule_order(schedule));
    schedules
}

/// Where a schedule stands among others.
pub(crate) fn schedule_order(schedule: &Schedule) -> (bool, bool, Option<String>) {
    let failed = schedule.last_run.as_ref().is_some_and(|run| run.state == "failed");
    // RFC 3339 in UTC sorts as text.
    (!failed, schedule.next_at.is_none(), schedule.next_at.clone())
}

/// Draws a list with its title.
pub(crate) fn draw(
    painter: &mut Painter<'_>,
    place: Rect,
    shared: &Shared,
    list: List,
    cursor: &Cursor,
    has_focus: bool,
) {
    let Some(picture) = &shared.picture else { return };
    let overview = &*picture.overview;
    let language = shared.language();
    let total = list.len(overview);
    let heads = parts::heads(list);
    let seen = usize::from(place.height.saturating_sub(heads));
    let top = cursor.top();

    if let Some(place) = rows(place).next() {
        painter.rule(place, &title(list, top, seen, total, language), has_focus);
    }
    let below = Rect { y: place.y.saturating_add(1), height: place.height.saturating_sub(1), ..place };
    if total == 0 {
        if list != List::Needs {
            let word = if list == List::Messages { Word::NoMessages } else { Word::None };
            painter.put(inset(below), 0, usize::MAX, &Piece::new(word.text(language), Role::Dim));
        }
        return;
    }
    let mut cells = cells(list, overview, shared);
    let cells = if top < cells.len() { cells.split_off(top) } else { Vec::new() };
    let titles = (heads > 1).then_some(language);
    let columns = match list {
        List::Needs => NEEDS,
        List::Channels => CHANNELS,
        List::Schedules => SCHEDULES,
        List::Messages => MESSAGES,
    };
    let list = Rows { cells: &cells, top, cursor: has_focus.then(|| cursor.row()), list: list.index() };
    table::draw(painter, below, columns, titles, &list);
}

fn title(list: List, top: usize, seen: usize, total: usize, language: Language) -> String {
    let word = match list {
        List::Needs if total == 0 => return Word::NothingNeeded.text(language).to_owned(),
        List::Needs => Word::Needs,
        List::Channels => Word::Channels,
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

fn cells(list: List, overview: &Overview, shared: &Shared) -> Vec<Vec<Piece>> {
    match list {
        List::Needs => needs(overview).iter().map(|row| need(row, shared.language())).collect(),
        List::Channels => channels(overview).into_iter().map(|row| channel(row, shared)).collect(),
        List::Schedules => schedules(overview).into_iter().map(|row| schedule(row, shared)).collect(),
        List::Messages => overview.recent.iter().map(|row| change(row, shared)).collect(),
    }
}

fn need(need: &Need, language: Language) -> Vec<Piece> {
    vec![cell(&*need.subject), marked(need.word.with(language, &[&need.value]), need.role), cell(&*need.detail)]
}

/// How much a state wants a person: the lowest most.
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

/// How a channel stands, and until when where it ends by itself.
pub(crate) fn channel_state_text(channel: &Channel, shared: &Shared) -> String {
    let state = channel_state(&channel.state, shared.language());
    // Until the next picture says that it opened, a time that has come says nothing.
    match shared.ahead(channel.until.as_deref()) {
        Some(until) => format!("{state} {until}"),
        None => state.to_owned(),
    }
}

fn channel(channel: &Channel, shared: &Shared) -> Vec<Piece> {
    let counts = channel.counts;
    vec![
        cell(&*channel.name),
        marked(channel_state_text(channel, shared), state_role(&channel.state)),
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

fn schedule(schedule: &Schedule, shared: &Shared) -> Vec<Piece> {
    let next = schedule.next_at.as_ref().and_then(|next| time::parse(next));
    let mut row = vec![
        cell(&*schedule.name),
        cell(shared.relative(schedule.next_at.as_deref())),
        cell(next.map(|next| time::day_and_clock(next, &schedule.timezone)).unwrap_or_default()),
        marked(&*schedule.timezone, Role::Dim),
    ];
    let Some(run) = &schedule.last_run else {
        let never = marked(Word::RunNever.text(shared.language()), Role::Dim);
        row.extend([never, Piece::default(), Piece::default(), marked(&*schedule.job, Role::Dim), Piece::default()]);
        return row;
    };
    let done = match run.total {
        Some(total) => format!("{}/{}", count(run.done), count(total)),
        None => count(run.done),
    };
    row.extend([
        marked(run_state(&run.state, shared.language()), state_role(&run.state)),
        cell(shared.relative(Some(run.ended_at.as_ref().unwrap_or(&run.started_at)))),
        cell(done),
        marked(&*schedule.job, Role::Dim),
        cell(run.result.as_deref().unwrap_or_default()),
    ]);
    row
}

fn change(change: &Change, shared: &Shared) -> Vec<Piece> {
    vec![
        cell(time::parse(&change.at).map(time::clock).unwrap_or_default()),
        marked(&*change.id, Role::Dim),
        cell(&*change.channel),
        cell(&*change.to),
        marked(message_state(&change.state, shared.language()), message_role(&change.state)),
        cell(change.reason.as_deref().unwrap_or_default()),
    ]
}
