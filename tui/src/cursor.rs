//! The cursor of a list: on a row by its id, so that it stays there when rows come and go above it.

/// Where to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// One row down.
    Down,
    /// One row up.
    Up,
    /// As many rows down as are seen.
    PageDown,
    /// As many rows up as are seen.
    PageUp,
    /// To the first row.
    First,
    /// To the last row.
    Last,
}

/// The cursor, and the first row that is seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    id: Option<String>,
    row: usize,
    top: usize,
}

impl Cursor {
    /// The row it is on.
    pub(crate) fn row(&self) -> usize {
        self.row
    }

    /// The first row that is seen.
    pub(crate) fn top(&self) -> usize {
        self.top
    }

    /// The id it is on.
    #[cfg(test)]
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Goes on by rows that may have changed, of which so many are seen. On the first row it stays at the top, and what is
    /// new comes in under it; elsewhere it stays with its row, in its place on the screen.
    pub(crate) fn follow(&mut self, ids: &[&str], seen: usize) {
        let found = self.id.as_deref().and_then(|id| ids.iter().position(|other| *other == id));
        if let Some(found) = found.filter(|_| self.row > 0) {
            // Moved along with its row.
            self.top = (self.top + found).saturating_sub(self.row);
            self.row = found;
        }
        self.settle(ids, seen);
    }

    /// Moves. Says whether it moved.
    pub(crate) fn go(&mut self, step: Step, ids: &[&str], seen: usize) -> bool {
        let before = (self.row, self.top);
        let page = seen.max(1);
        self.row = match step {
            Step::Down => self.row.saturating_add(1),
            Step::Up => self.row.saturating_sub(1),
            Step::PageDown => self.row.saturating_add(page),
            Step::PageUp => self.row.saturating_sub(page),
            Step::First => 0,
            Step::Last => usize::MAX,
        };
        self.settle(ids, seen);
        before != (self.row, self.top)
    }

    /// Moves to a row. Says whether it moved.
    pub(crate) fn go_to(&mut self, row: usize, ids: &[&str], seen: usize) -> bool {
        let before = (self.row, self.top);
        self.row = row;
        self.settle(ids, seen);
        before != (self.row, self.top)
    }

    fn settle(&mut self, ids: &[&str], seen: usize) {
        self.row = self.row.min(ids.len().saturating_sub(1));
        self.id = ids.get(self.row).map(|id| (*id).to_owned());
        let seen = seen.max(1);
        self.top = self.top.min(self.row).max((self.row + 1).saturating_sub(seen)).min(ids.len().saturating_sub(seen));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: usize = 3;

    fn at(row: usize, ids: &[&str]) -> Cursor {
        let mut cursor = Cursor::default();
        cursor.go_to(row, ids, SEEN);
        cursor
    }

    #[test]
    fn it_stays_on_its_row_when_others_come_and_go() {
        let mut cursor = at(2, &["a", "b", "c", "d", "e"]);
        assert_eq!((cursor.id(), cursor.top()), (Some("c"), 0));
        cursor.follow(&["x", "y", "a", "b", "c", "d", "e"], SEEN);
        assert_eq!((cursor.id(), cursor.row(), cursor.top()), (Some("c"), 4, 2), "and where it was on the screen");
        cursor.follow(&["c", "d", "e"], SEEN);
        assert_eq!((cursor.id(), cursor.row(), cursor.top()), (Some("c"), 0, 0));
    }

    #[test]
    fn on_the_first_row_it_follows_what_is_newest() {
        let mut cursor = at(0, &["a", "b"]);
        cursor.follow(&["x", "a", "b"], SEEN);
        assert_eq!((cursor.id(), cursor.row()), (Some("x"), 0));
    }

    #[test]
    fn a_row_that_is_gone_leaves_it_on_the_one_in_its_place() {
        let mut cursor = at(1, &["a", "b", "c"]);
        cursor.follow(&["a", "c"], SEEN);
        assert_eq!(cursor.id(), Some("c"));
        cursor.follow(&["a"], SEEN);
        assert_eq!(cursor.id(), Some("a"));
        cursor.follow(&[], SEEN);
        assert_eq!((cursor.id(), cursor.row(), cursor.top()), (None, 0, 0));
    }

    #[test]
    fn it_is_always_on_a_row_that_is_seen() {
        let ids: Vec<String> = (0..20).map(|id| id.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut cursor = at(0, &ids);
        let steps = [Step::Down, Step::PageDown, Step::Last, Step::Up, Step::PageUp, Step::First, Step::Down];
        for step in steps.into_iter().cycle().take(100) {
            for seen in [0, 1, 3, 50] {
                cursor.go(step, &ids, seen);
                assert!(cursor.row() < ids.len());
                assert!((cursor.top()..cursor.top() + seen.max(1)).contains(&cursor.row()));
                assert_eq!(cursor.id(), Some(ids[cursor.row()]));
            }
        }
    }
}
