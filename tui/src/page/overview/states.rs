//! Messages by state, and how fast they leave.

use ratatui::layout::Rect;
use tidings_api::wire::Counts;

use crate::state::Shared;
use crate::theme::{Role, message_role};
use crate::view::paint::{Painter, Piece, rows};
use crate::words::{Word, count, message_state};

/// Columns between two counts.
const GAP: usize = 2;
/// A state without messages goes before any that has some.
const IDLE: u8 = 100;

/// A state with its count, as one unbreakable item.
struct Item {
    word: Piece,
    number: Piece,
    /// How fast messages come to it, where that is known.
    pace: Option<Piece>,
    /// What stays when there is not room for all: the lowest longest.
    rank: u8,
}

impl Item {
    fn columns(&self) -> usize {
        let pace = self.pace.as_ref().map_or(0, |pace| 1 + pace.columns());
        self.word.columns() + 1 + self.number.columns() + pace
    }
}

/// How many rows it takes to tell all.
pub(crate) fn rows_wanted(shared: &Shared, width: u16) -> u16 {
    let [ahead, ended] = groups(shared);
    let room = usize::from(width).saturating_sub(1);
    let rows = in_groups(&ahead, &ended, room).unwrap_or_else(|| flow(ahead.iter().chain(&ended), room)).len();
    u16::try_from(rows).unwrap_or(u16::MAX)
}

/// Draws them: what is still to come and what has ended in a row each, where that fits; else in one flow; and where not
/// even that fits, those that matter most.
pub(crate) fn draw(painter: &mut Painter<'_>, place: Rect, shared: &Shared) {
    let [ahead, ended] = groups(shared);
    let room = usize::from(place.width).saturating_sub(1);
    let fits = |lines: &Vec<Vec<&Item>>| lines.len() <= usize::from(place.height);
    let lines = in_groups(&ahead, &ended, room).filter(fits).unwrap_or_else(|| {
        let mut kept: Vec<&Item> = ahead.iter().chain(&ended).collect();
        while kept.len() > 1 && !fits(&flow(kept.iter().copied(), room)) {
            let last = kept.iter().map(|item| item.rank).max();
            kept.retain(|item| Some(item.rank) != last);
        }
        flow(kept, room)
    });
    for (place, line) in rows(place).zip(lines) {
        let mut left = 1;
        for item in line {
            for piece in [&item.word, &item.number].into_iter().chain(&item.pace) {
                left += painter.put(place, left, usize::MAX, piece) + 1;
            }
            left += GAP - 1;
        }
    }
}

/// Each group in one line; `None` if they do not fit so.
fn in_groups<'a>(ahead: &'a [Item], ended: &'a [Item], room: usize) -> Option<Vec<Vec<&'a Item>>> {
    let lines = [flow(ahead, room), flow(ended, room)].concat();
    (lines.len() == 2).then_some(lines)
}

/// Items in lines, as many to a line as fit.
fn flow<'a>(items: impl IntoIterator<Item = &'a Item>, room: usize) -> Vec<Vec<&'a Item>> {
    let mut lines: Vec<Vec<&Item>> = Vec::new();
    let mut taken = 0;
    for item in items {
        let columns = item.columns();
        match lines.last_mut() {
            Some(line) if taken + GAP + columns <= room => {
                line.push(item);
                taken += GAP + columns;
            }
            _ => {
                lines.push(vec![item]);
                taken = columns;
            }
        }
    }
    lines
}

/// States with something still to come, and states that are final.
fn groups(shared: &Shared) -> [Vec<Item>; 2] {
    let counts = shared.picture.as_ref().map_or_else(Counts::default, |picture| picture.overview.states);
    let item = |name: &str, number: i64, rank: u8| {
        let role = if number == 0 { Role::Dim } else { message_role(name) };
        Item {
            word: Piece::new(message_state(name, shared.language()), role),
            number: Piece::new(count(number), role),
            pace: None,
            rank: if number == 0 { rank + IDLE } else { rank },
        }
    };
    let ahead = vec![
        item("queued", counts.queued, 0),
        item("sending", counts.sending, 3),
        item("waiting", counts.waiting, 4),
        item("scheduled", counts.scheduled, 7),
        item("held", counts.held, 6),
    ];
    let ended = vec![
        Item { pace: Some(pace(shared)), rank: 1, ..item("sent", counts.sent, 1) },
        item("failed", counts.failed, 2),
        item("unknown", counts.unknown, 5),
        item("delivered", counts.delivered, 8),
        item("expired", counts.expired, 9),
        item("cancelled", counts.cancelled, 10),
    ];
    [ahead, ended]
}

fn pace(shared: &Shared) -> Piece {
    let rate = match shared.pace.tenths_per_second() {
        Some(tenths) => format!("{}.{}", count(tenths / 10), tenths % 10),
        None => "-".to_owned(),
    };
    Piece::new(format!("({})", Word::PerSecond.with(shared.language(), &[&rate])), Role::Plain)
}
