//! Rows in columns that fit: by rule, the least wanted column goes first and no number is ever cut.

use ratatui::layout::Rect;

use super::paint::{Hit, Painter, Piece, rows};
use crate::text::{Clean, width};
use crate::theme::Role;
use crate::words::{Language, Word};

/// Columns between two columns.
const GAP: usize = 2;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Its title.
    pub(crate) title: Word,
    /// How long it stays when there is not room for all: the highest stays longest.
    pub(crate) keep: u8,
    /// How it may be narrowed.
    pub(crate) fit: Fit,
}

/// How a column may be narrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Never: half a number is a wrong number. Stands at the right.
    Number,
    /// Never.
    Whole,
    /// Down to so many columns; what is missing is marked.
    Cut(usize),
    /// The same, and left out altogether where no row has anything in it.
    Note(usize),
}

/// Which columns are shown, and how wide.
type Widths = Vec<Option<usize>>;

/// Rows of a list, from the first that is seen on.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    /// The cells of those that are seen at least; what is beyond the area is left out.
    pub(crate) cells: &'a [Vec<Piece>],
    /// Which row of the list is the first of them.
    pub(crate) top: usize,
    /// The row under the cursor, from the list's first, if the keys move this list.
    pub(crate) cursor: Option<usize>,
    /// The number of the list on its page, for the mouse.
    pub(crate) list: usize,
}

/// Draws rows under their titles, or without them.
pub(crate) fn draw(
    painter: &mut Painter<'_>,
    area: Rect,
    columns: &[Column],
    titles: Option<Language>,
    list: &Rows<'_>,
) {
    let inner = super::paint::inset(area);
    let widths = fit(columns, titles, list.cells, usize::from(inner.width));
    let mut places = rows(inner);
    if let Some(language) = titles
        && let Some(place) = places.next()
    {
        let titles: Vec<Piece> =
            columns.iter().map(|column| Piece::new(column.title.text(language), Role::Dim)).collect();
        row(painter, place, columns, &widths, &titles);
    }
    for ((place, cells), index) in places.zip(list.cells).zip(list.top..) {
        row(painter, place, columns, &widths, cells);
        let whole = Rect { x: area.x, width: area.width, ..place };
        painter.hit(whole, Hit::Row { list: list.list, row: index });
        if list.cursor == Some(index) {
            painter.put(whole, 0, 1, &Piece::new(">", Role::Plain));
            painter.select(whole);
        }
    }
}

fn row(painter: &mut Painter<'_>, place: Rect, columns: &[Column], widths: &Widths, cells: &[Piece]) {
    let mut left = 0;
    for ((column, shown), cell) in columns.iter().zip(widths).zip(cells) {
        let Some(wide) = *shown else { continue };
        let indent = if column.fit == Fit::Number { wide.saturating_sub(cell.columns()) } else { 0 };
        painter.put(place, left + indent, wide - indent.min(wide), cell);
        left += wide + GAP;
    }
}

fn fit(columns: &[Column], titles: Option<Language>, cells: &[Vec<Piece>], room: usize) -> Widths {
    let wanted: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let content = cells.iter().filter_map(|row| row.get(index)).map(Piece::columns).max().unwrap_or(0);
            match titles {
                _ if content == 0 && matches!(column.fit, Fit::Note(_)) => 0,
                Some(language) => content.max(width(column.title.text(language))),
                None => content,
            }
        })
        .collect();
    let least = |index: usize| match columns[index].fit {
        Fit::Number | Fit::Whole => wanted[index],
        Fit::Cut(least) | Fit::Note(least) => wanted[index].min(least),
    };
    let total = |shown: &[usize], wide: &dyn Fn(usize) -> usize| {
        shown.iter().map(|index| wide(*index)).sum::<usize>() + GAP * shown.len().saturating_sub(1)
    };

    let mut shown: Vec<usize> = (0..columns.len()).filter(|index| wanted[*index] > 0).collect();
    while shown.len() > 1 && total(&shown, &least) > room {
        let least_wanted = shown.iter().copied().min_by_key(|index| columns[*index].keep);
        shown.retain(|index| Some(*index) != least_wanted);
    }

    let mut widths: Widths = vec![None; columns.len()];
    let mut spare = room.saturating_sub(total(&shown, &least));
    for index in &shown {
        widths[*index] = Some(least(*index).min(room));
    }
    // What is left goes to those that were narrowed: those that lack least first, so that most columns are whole.
    shown.sort_by_key(|index| wanted[*index] - least(*index));
    for index in shown {
        if let Some(wide) = &mut widths[index] {
            let more = wanted[index].saturating_sub(*wide).min(spare);
            *wide += more;
            spare -= more;
        }
    }
    widths
}

/// A cell that is text from outside or of our own.
pub(crate) fn cell<'a>(text: impl Into<std::borrow::Cow<'a, str>>) -> Piece {
    Piece::new(text, Role::Plain)
}

/// A cell that says something by its role as well.
pub(crate) fn marked<'a>(text: impl Into<std::borrow::Cow<'a, str>>, role: Role) -> Piece {
    Piece { text: Clean::new(text), role }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column { title: Word::Name, keep: 9, fit: Fit::Cut(4) },
        Column { title: Word::Sent, keep: 5, fit: Fit::Number },
        Column { title: Word::Failed, keep: 7, fit: Fit::Number },
        Column { title: Word::Note, keep: 3, fit: Fit::Note(6) },
    ];

    fn widths(cells: [&str; 4], room: usize) -> Widths {
        fit(COLUMNS, Some(Language::En), &[cells.map(cell).to_vec()], room)
    }

    #[test]
    fn with_room_everything_is_whole() {
        let cells = ["order-updates", "2,114,870", "37", "resting"];
        assert_eq!(widths(cells, 80), [Some(13), Some(9), Some(6), Some(7)]);
    }

    #[test]
    fn the_least_wanted_column_goes_first_and_numbers_are_never_cut() {
        let cells = ["order-updates", "2,114,870", "37", "resting"];
        assert_eq!(widths(cells, 31), [Some(4), Some(9), Some(6), Some(6)], "narrowed");
        assert_eq!(widths(cells, 30), [Some(11), Some(9), Some(6), None], "the note goes, the name grows");
        assert_eq!(widths(cells, 20), [Some(12), None, Some(6), None]);
        assert_eq!(widths(cells, 3), [Some(3), None, None, None]);
        assert_eq!(widths(cells, 0), [Some(0), None, None, None]);
    }

    #[test]
    fn a_note_that_no_row_has_takes_no_room() {
        assert_eq!(widths(["a", "1", "2", ""], 80)[3], None);
    }
}
