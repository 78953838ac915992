//! Putting clean text on the frame: the only place that writes cells.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};

use crate::keys::Action;
use crate::text::{Clean, width};
use crate::theme::{Role, Theme};

/// What the mouse finds somewhere on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hit {
    /// What a key does as well.
    Action(Action),
    /// A row of a list.
    Row {
        /// The list, by the number under which its page draws it.
        list: usize,
        /// The row, from the list's first.
        row: usize,
    },
}

/// What a frame is beside its cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// What the mouse finds where; what was drawn last lies on top.
    pub(crate) hits: Vec<(Rect, Hit)>,
    /// Where text is typed.
    pub(crate) cursor: Option<Position>,
    /// From when on it may have to say something else though nothing came, as of the screen's beginning.
    pub(crate) until: Option<Duration>,
}

impl Drawn {
    /// What the mouse finds there.
    pub(crate) fn hit(&self, column: u16, row: u16) -> Option<Hit> {
        let position = Position::new(column, row);
        self.hits.iter().rev().find(|(area, _)| area.contains(position)).map(|(_, hit)| *hit)
    }
}

/// Text and what it is for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Piece {
    /// The text.
    pub(crate) text: Clean,
    /// What it is for.
    pub(crate) role: Role,
}

impl Piece {
    /// A piece of whatever text.
    pub(crate) fn new<'a>(text: impl Into<std::borrow::Cow<'a, str>>, role: Role) -> Piece {
        Piece { text: Clean::new(text), role }
    }

    /// The columns it takes.
    pub(crate) fn columns(&self) -> usize {
        self.text.columns()
    }
}

/// Writes on a frame.
pub(crate) struct Painter<'a> {
    buffer: &'a mut Buffer,
    theme: Theme,
    drawn: Drawn,
}

impl<'a> Painter<'a> {
    /// A painter of this frame.
    pub(crate) fn new(buffer: &'a mut Buffer, theme: Theme) -> Painter<'a> {
        Painter { buffer, theme, drawn: Drawn::default() }
    }

    /// What the frame is beside its cells.
    pub(crate) fn finish(self) -> Drawn {
        self.drawn
    }

    /// The mouse finds that there.
    pub(crate) fn hit(&mut self, area: Rect, hit: Hit) {
        self.drawn.hits.push((area, hit));
    }

    /// Text is typed there.
    pub(crate) fn cursor(&mut self, row: Rect, left: usize) {
        let column = u16::try_from(left).unwrap_or(u16::MAX).min(row.width.saturating_sub(1));
        self.drawn.cursor = Some(Position::new(row.x.saturating_add(column), row.y));
    }

    /// The cursor's row: it stands out without colours too.
    pub(crate) fn select(&mut self, row: Rect) {
        self.buffer.set_style(row.intersection(self.buffer.area), Style::new().add_modifier(Modifier::REVERSED));
    }

    /// An area with nothing in it.
    pub(crate) fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                self.buffer[(x, y)].reset();
            }
        }
    }

    /// Puts pieces one after the other, so many columns apart, as many as fit. Says where they end.
    pub(crate) fn put_all(&mut self, row: Rect, mut left: usize, gap: usize, pieces: &[Piece]) -> usize {
        for piece in pieces {
            let taken = self.put(row, left, usize::MAX, piece);
            if taken < piece.columns() {
                return left + taken;
            }
            left += taken + gap;
        }
        left
    }

    /// Puts a piece into a row of an area, so many columns from its left, cut to at most so many columns. Says how many
    /// it took.
    pub(crate) fn put(&mut self, row: Rect, left: usize, columns_max: usize, piece: &Piece) -> usize {
        let area = row.intersection(self.buffer.area);
        let room = usize::from(area.width).saturating_sub(left).min(columns_max);
        let cut = piece.text.cut(room);
        let taken = width(&cut);
        let Some(x) = u16::try_from(left).ok().and_then(|left| area.x.checked_add(left)) else { return 0 };
        if area.height > 0 && taken > 0 {
            self.buffer.set_stringn(x, area.y, cut, room, self.theme.style(piece.role));
        }
        taken
    }

    /// Puts a piece so that it ends at the right end of the row.
    pub(crate) fn put_at_end(&mut self, row: Rect, piece: &Piece) {
        let left = usize::from(row.width).saturating_sub(piece.columns());
        self.put(row, left, usize::MAX, piece);
    }

    /// A rule over a part, with its title in it. The one that the keys move is told by its sign as well.
    pub(crate) fn rule(&mut self, row: Rect, title: &str, focused: bool) {
        let (sign, role) = if focused { (">> ", Role::Focus) } else { ("-- ", Role::Title) };
        let mut left = self.put(row, 0, usize::MAX, &Piece::new(sign, Role::Dim));
        left += self.put(row, left, usize::MAX, &Piece::new(title, role));
        let rest = usize::from(row.width).saturating_sub(left + 1);
        self.put(row, left + 1, rest, &Piece::new("-".repeat(rest), Role::Dim));
    }
}

/// The rows of an area, from the top.
pub(crate) fn rows(area: Rect) -> impl Iterator<Item = Rect> {
    (area.top()..area.bottom()).map(move |y| Rect { y, height: 1, ..area })
}

/// An area without its first column and its last: content stands in from the titles.
pub(crate) fn inset(area: Rect) -> Rect {
    Rect { x: area.x.saturating_add(1).min(area.right()), width: area.width.saturating_sub(2), ..area }
}
