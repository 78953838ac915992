//! Where the parts of the screen stand, by rule: a function of the size.

use ratatui::layout::Rect;

/// The smallest terminal with a screen; below it there is one line that says so.
pub(crate) const SIZE_MIN: (u16, u16) = (40, 10);
/// From so many rows on, the pages have a row of their own.
const TABS_ROWS_MIN: u16 = 16;

/// The parts around the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// How fresh the picture is, and of which engine.
    pub(crate) header: Rect,
    /// The pages there are.
    pub(crate) tabs: Option<Rect>,
    /// What is typed, what is wrong, what was done, what the page is of. High up, so that the window of an input method
    /// has room under it.
    pub(crate) status: Rect,
    /// The page.
    pub(crate) content: Rect,
    /// What the keys do.
    pub(crate) footer: Rect,
}

/// The parts of a terminal; `None` where it is too small.
pub(crate) fn frame(area: Rect) -> Option<Frame> {
    if area.width < SIZE_MIN.0 || area.height < SIZE_MIN.1 {
        return None;
    }
    let row = |y| Rect { y: area.y + y, height: 1, ..area };
    let has_tabs = area.height >= TABS_ROWS_MIN;
    let status = if has_tabs { 2 } else { 1 };
    Some(Frame {
        header: row(0),
        tabs: has_tabs.then(|| row(1)),
        status: row(status),
        content: Rect { y: area.y + status + 1, height: area.height - status - 2, ..area },
        footer: row(area.height - 1),
    })
}

/// Where the page is drawn; nowhere if the terminal is too small.
pub(crate) fn content(area: Rect) -> Rect {
    frame(area).map_or(Rect::ZERO, |frame| frame.content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fill_the_terminal_without_overlap_at_every_size() {
        for height in 0..60 {
            for width in [0, 39, 40, 80, 120] {
                let Some(frame) = frame(Rect::new(0, 0, width, height)) else {
                    assert!(width < SIZE_MIN.0 || height < SIZE_MIN.1);
                    continue;
                };
                let parts =
                    [Some(frame.header), frame.tabs, Some(frame.status), Some(frame.content), Some(frame.footer)];
                let mut bottom = 0;
                for part in parts.into_iter().flatten() {
                    assert_eq!((part.top(), part.width), (bottom, width), "{width}x{height}");
                    assert!(part.height > 0);
                    bottom = part.bottom();
                }
                assert_eq!(bottom, height);
            }
        }
    }
}
