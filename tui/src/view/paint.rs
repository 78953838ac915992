//! Putting clean text on the frame: the only place that writes cells.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::text::{Clean, width};
use crate::theme::{Role, Theme};

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
}

impl<'a> Painter<'a> {
    /// A painter of this frame.
    pub(crate) fn new(buffer: &'a mut Buffer, theme: Theme) -> Painter<'a> {
        Painter { buffer, theme }
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
