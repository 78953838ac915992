//! An act that is asked about, over the page: what it would do, what has to be said first, the question, what came of it.

use ratatui::layout::Rect;

use super::paint::{Painter, Piece, inset, rows};
use super::status::visible;
use super::trouble;
use crate::acts::{Plan, Progress};
use crate::dialog::{Dialog, Field, Rule, Stage};
use crate::state::Shared;
use crate::text::Clean;
use crate::theme::Role;
use crate::time;
use crate::words::{Language, Word, count, message_state};

/// Columns of it at most.
const COLUMNS_MAX: u16 = 84;
/// Groups and samples that are shown at most, each.
const LINES_MAX: usize = 5;

/// A line of it, and what goes first where there is not room for all: the highest.
struct Line {
    content: Content,
    rank: u8,
}

enum Content {
    Text(Piece),
    Field(usize),
}

/// What has to stand.
const RANK_STANDS: u8 = 0;

/// Draws it over the page. Where there is not room for all, the sample goes first and the question never.
pub(crate) fn draw(painter: &mut Painter<'_>, area: Rect, dialog: &Dialog, shared: &Shared) {
    let language = shared.language();
    let columns = area.width.min(COLUMNS_MAX);
    let mut lines = lines(dialog, shared, usize::from(columns.saturating_sub(2)));
    let room = usize::from(area.height.saturating_sub(2));
    while lines.len() > room
        && let Some(highest) = lines.iter().map(|line| line.rank).max().filter(|rank| *rank > RANK_STANDS)
    {
        let last = lines.iter().rposition(|line| line.rank == highest);
        lines.remove(last.expect("there is one of the highest rank"));
    }
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let place =
        Rect { x: area.x + (area.width - columns) / 2, y: area.y + (area.height - height) / 3, width: columns, height };
    painter.clear(place);
    let mut places = rows(place);
    if let Some(place) = places.next() {
        let (title, subject) = (dialog.act.title().text(language), dialog.act.subject());
        let title = if subject.is_empty() { title.to_owned() } else { format!("{title}: {subject}") };
        painter.rule(place, &title, true);
    }
    for (line, place) in lines.iter().zip(&mut places) {
        let place = inset(place);
        match &line.content {
            Content::Text(piece) => {
                painter.put(place, 0, usize::MAX, piece);
            }
            Content::Field(index) => field(painter, place, dialog, *index, language),
        }
    }
    if let Some(place) = places.next() {
        painter.put(place, 0, usize::MAX, &Piece::new("-".repeat(usize::from(place.width)), Role::Dim));
    }
}

fn lines(dialog: &Dialog, shared: &Shared, columns: usize) -> Vec<Line> {
    let language = shared.language();
    let mut lines = match &dialog.plan {
        Some(plan) => plan_lines(dialog, plan, language, columns),
        None => Vec::new(),
    };
    let mut say = |text: &str, role: Role, rank: u8| lines.extend(wrapped(text, role, rank, columns));
    match &dialog.stage {
        Stage::Planning => say(Word::Planning.text(language), Role::Dim, RANK_STANDS),
        Stage::Filling(_) => lines.extend(fields(dialog)),
        Stage::Asking(_) => {
            lines.extend(fields(dialog));
            let question = Word::Question.with(language, &[&dialog.act.key().to_string()]);
            lines.extend(wrapped(&question, Role::Focus, RANK_STANDS, columns));
        }
        Stage::Doing(progress) => {
            say(&progress_text(progress, language), Role::Plain, RANK_STANDS);
            say(Word::Doing.text(language), Role::Dim, 1);
        }
        Stage::Done(progress) => {
            if dialog.plan.as_ref().is_some_and(|plan| plan.count > 0) {
                let role = if progress.refused == 0 { Role::Good } else { Role::Warn };
                say(&progress_text(progress, language), role, RANK_STANDS);
            }
            for refusal in &progress.refusals {
                say(refusal, Role::Bad, 1);
            }
            say(Word::AnyKeyCloses.text(language), Role::Dim, 1);
        }
        Stage::Refused(trouble, progress) => {
            if *progress != Progress::default() {
                say(&progress_text(progress, language), Role::Warn, RANK_STANDS);
            }
            say(&trouble::sentence(trouble, &shared.address, language), Role::Bad, RANK_STANDS);
            say(Word::AnyKeyCloses.text(language), Role::Dim, 1);
        }
    }
    lines
}

fn wrapped(text: &str, role: Role, rank: u8, columns: usize) -> impl Iterator<Item = Line> {
    let rows = Clean::new(text).wrap(columns).into_iter();
    rows.map(move |text| Line { content: Content::Text(Piece { text, role }), rank })
}

fn fields(dialog: &Dialog) -> impl Iterator<Item = Line> {
    (0..dialog.fields.len()).map(|index| Line { content: Content::Field(index), rank: RANK_STANDS })
}

fn plan_lines(dialog: &Dialog, plan: &Plan, language: Language, columns: usize) -> Vec<Line> {
    let number = |number: u64| count(i64::try_from(number).unwrap_or(i64::MAX));
    let mut lines = Vec::new();
    let mut say = |text: &str, role: Role, rank: u8| lines.extend(wrapped(text, role, rank, columns));
    match &plan.times {
        Some(times) => {
            let values = [times.count, times.ran, plan.count].map(number);
            let text = Word::PlanTimes.with(language, &[&values[0], &values[1], &values[2]]);
            say(&text, Role::Title, RANK_STANDS);
        }
        None if dialog.act.needs_plan() => {
            say(&Word::PlanCount.with(language, &[&number(plan.count)]), Role::Title, RANK_STANDS);
        }
        None => {}
    }
    if plan.may_arrive_twice {
        say(Word::PlanTwice.text(language), Role::Bad, RANK_STANDS);
    }
    let effect = plan.effect.as_deref().unwrap_or(dialog.act.effect().text(language));
    if plan.count > 0 {
        say(effect, Role::Plain, 2);
    }
    if let Some((rate, seconds)) = &plan.pace {
        let span = time::span(i64::try_from(*seconds).unwrap_or(i64::MAX));
        say(&Word::PlanPace.with(language, &[rate, &span]), Role::Plain, 3);
    }
    let mut row = |text: String, role: Role, rank: u8| {
        lines.push(Line { content: Content::Text(Piece::new(text, role)), rank });
    };
    for (many, state, channel) in plan.groups.iter().take(LINES_MAX) {
        row(format!("  {}  {}  {channel}", number(*many), message_state(state, language)), Role::Plain, 4);
    }
    for (id, to, template) in plan.sample.iter().take(LINES_MAX) {
        row(format!("  {id}  {template}  {to}"), Role::Dim, 5);
    }
    for instant in plan.times.iter().flat_map(|times| &times.sample) {
        row(format!("  {instant}"), Role::Dim, 5);
    }
    lines
}

fn progress_text(progress: &Progress, language: Language) -> String {
    let number = |number: u64| count(i64::try_from(number).unwrap_or(i64::MAX));
    let mut parts = vec![Word::ResultMoved.with(language, &[&number(progress.moved)])];
    for (word, value) in [
        (Word::ResultLeft, progress.left),
        (Word::ResultPassedOver, progress.passed_over),
        (Word::ResultRefused, progress.refused),
    ] {
        if value > 0 {
            parts.push(word.with(language, &[&number(value)]));
        }
    }
    parts.join("  ")
}

fn field(painter: &mut Painter<'_>, place: Rect, dialog: &Dialog, index: usize, language: Language) {
    let Field { label, input, rule, wrong } = &dialog.fields[index];
    let label = match rule {
        Rule::Count(number) => label.with(language, &[&count(i64::try_from(*number).unwrap_or(i64::MAX))]),
        Rule::Needed | Rule::Secret => label.text(language).to_owned(),
        Rule::Free => format!("{} {}", label.text(language), Word::Optional.text(language)),
    };
    let has_focus = dialog.stage == Stage::Filling(index);
    let role = match (wrong, has_focus) {
        (true, _) => Role::Bad,
        (false, true) => Role::Title,
        (false, false) => Role::Dim,
    };
    let left = painter.put(place, 0, usize::MAX, &Piece::new(format!("{label}:"), role)) + 1;
    let room = usize::from(place.width).saturating_sub(left + 1);
    // Of a secret one sees that it was typed, and how much of it.
    let shown = |text: String| if *rule == Rule::Secret { "*".repeat(text.chars().count()) } else { text };
    let (text, column) = visible(&shown(input.before()), &shown(input.text()), room);
    let end = left + painter.put(place, left, room, &Piece { text, role: Role::Plain });
    if has_focus {
        painter.cursor(place, left + column);
        if *wrong {
            painter.put(place, end + 2, usize::MAX, &Piece::new(Word::FieldWrong.text(language), Role::Bad));
        }
    }
}
