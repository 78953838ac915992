//! A window on a list that is longer than anybody holds: a few pages around the cursor, whatever the list's length.
//!
//! The engine gives pages from the newest row on, each with the cursor of the next. Where a page begins is kept for every
//! page that was seen, so that the window moves both ways; the rows are kept for a few.

use std::collections::BTreeSet;

use crate::cursor::{Cursor, Step};

/// A neighbouring page is asked for when so few rows are left until it.
const NEAR_ROWS: usize = 40;
/// Rows that are kept when the window moves on.
const ROWS_HELD: usize = 400;
/// Pages that are kept whatever they hold: a page may have few rows, or none, and still a next one.
const PAGES_HELD_MAX: usize = 64;
/// Pages asked for in a row without anybody moving the cursor. A filter that few rows pass would go through the whole
/// store otherwise.
const PAGES_AHEAD_MAX: usize = 8;
/// Marks that may be set.
const MARKS_MAX: usize = 1_000;

/// A row of a list.
pub(crate) trait Row {
    /// What names it.
    fn id(&self) -> &str;
}

impl Row for tidings_api::wire::Message {
    fn id(&self) -> &str {
        &self.id
    }
}

/// The window.
#[derive(Debug)]
pub(crate) struct Window<R> {
    /// Pages one after the other.
    pages: Vec<Vec<R>>,
    /// Which page the first of them is.
    first: usize,
    /// How each page that was seen is asked for, and the one after them, if there is one.
    cursors: Vec<Option<String>>,
    cursor: Cursor,
    marks: BTreeSet<String>,
    /// Pages that were asked for since the cursor moved.
    ahead: usize,
}

impl<R: Row> Window<R> {
    /// Before anything is known.
    pub(crate) fn new() -> Window<R> {
        Window {
            pages: Vec::new(),
            first: 0,
            cursors: vec![None],
            cursor: Cursor::default(),
            marks: BTreeSet::new(),
            ahead: 0,
        }
    }

    /// The rows that are held.
    pub(crate) fn rows(&self) -> Vec<&R> {
        self.pages.iter().flatten().collect()
    }

    /// The cursor among them.
    pub(crate) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The row under the cursor.
    pub(crate) fn row(&self) -> Option<&R> {
        self.pages.iter().flatten().nth(self.cursor.row())
    }

    /// The first row of the list, if it is held.
    pub(crate) fn newest(&self) -> Option<&R> {
        self.pages.iter().flatten().next().filter(|_| self.first == 0)
    }

    /// Whether the cursor is on the first row of the list.
    pub(crate) fn is_at_start(&self) -> bool {
        self.first == 0 && self.cursor.row() == 0
    }

    /// Whether anything came yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Whether there are rows behind those that are held.
    pub(crate) fn has_more(&self) -> bool {
        self.first + self.pages.len() < self.cursors.len()
    }

    /// Which rows of the list are seen, as far as that is known: pages before those that are held count as full.
    pub(crate) fn place(&self, page_rows: usize) -> usize {
        self.first * page_rows + self.cursor.row()
    }

    /// The page to ask for: a neighbour that will be needed, or else the one under the cursor again. Gives what to ask it
    /// with.
    pub(crate) fn wanted(&self) -> Option<&str> {
        let held = self.pages.iter().map(Vec::len).sum::<usize>();
        let index = if self.pages.is_empty() {
            self.first
        } else if self.has_more() && held - self.cursor.row() <= NEAR_ROWS && self.ahead < PAGES_AHEAD_MAX {
            self.first + self.pages.len()
        } else if self.first > 0 && self.cursor.row() < NEAR_ROWS {
            self.first - 1
        } else {
            self.page_of_cursor()
        };
        self.cursors.get(index).and_then(Option::as_deref)
    }

    /// Takes a page of a list that cannot be pinned. While the cursor is off its start, what is new at the start would push
    /// rows out of the first page into none that is held: then only what is held already is renewed.
    pub(crate) fn take_unpinned(&mut self, asked: Option<&str>, rows: Vec<R>, next: Option<String>, seen: usize) {
        if asked.is_some() || self.is_at_start() || self.pages.len() < 2 || self.first > 0 {
            return self.take(asked, rows, next, false, seen);
        }
        for row in rows {
            let held = self.pages.iter_mut().flatten().find(|held| held.id() == row.id());
            if let Some(held) = held {
                *held = row;
            }
        }
    }

    fn page_of_cursor(&self) -> usize {
        let mut row = self.cursor.row();
        for (offset, page) in self.pages.iter().enumerate() {
            if row < page.len() {
                return self.first + offset;
            }
            row -= page.len();
        }
        self.first
    }

    /// Takes a page that was asked for with that. Where the list is not pinned and the cursor is at its start, the first
    /// page takes the place of all.
    pub(crate) fn take(&mut self, asked: Option<&str>, rows: Vec<R>, next: Option<String>, pinned: bool, seen: usize) {
        let Some(index) = self.cursors.iter().position(|cursor| cursor.as_deref() == asked) else { return };
        let end = self.first + self.pages.len();
        if self.pages.is_empty() || (index == 0 && !pinned) {
            (self.first, self.pages) = (index, vec![rows]);
            self.go_on_with(index, next);
        } else if index == end {
            self.ahead += 1;
            self.pages.push(rows);
            self.go_on_with(index, next);
        } else if index + 1 == self.first {
            self.first = index;
            self.pages.insert(0, rows);
        } else if (self.first..end).contains(&index) {
            self.replace(index - self.first, rows);
            if index + 1 == end {
                self.go_on_with(index, next);
            }
        }
        self.drop_far_pages();
        self.settle(seen);
    }

    /// What comes after a page, which is the last that is held.
    fn go_on_with(&mut self, index: usize, next: Option<String>) {
        self.cursors.truncate(index + 1);
        self.cursors.extend(next.map(Some));
    }

    /// A page once more. Where rows of it left, it reaches into the page behind it, which has them already.
    fn replace(&mut self, offset: usize, mut rows: Vec<R>) {
        if let Some(behind) = self.pages.get(offset + 1) {
            let known: BTreeSet<&str> = behind.iter().map(Row::id).collect();
            let end = rows.iter().position(|row| known.contains(row.id())).unwrap_or(rows.len());
            rows.truncate(end);
        }
        self.pages[offset] = rows;
    }

    fn drop_far_pages(&mut self) {
        let held = |pages: &[Vec<R>]| pages.iter().map(Vec::len).sum::<usize>();
        let offset = self.page_of_cursor() - self.first;
        while self.pages.len() > 1 {
            // The cursor's own page stays, and so do those near it.
            let from_front = offset > self.pages.len() / 2;
            let far = if from_front { self.pages.first() } else { self.pages.last() };
            let far_rows = far.map_or(0, Vec::len);
            let enough = held(&self.pages) - far_rows >= ROWS_HELD;
            if !enough && self.pages.len() <= PAGES_HELD_MAX {
                return;
            }
            if from_front {
                self.pages.remove(0);
                self.first += 1;
            } else {
                self.pages.pop();
            }
            if self.page_of_cursor() - self.first >= self.pages.len() {
                return;
            }
        }
    }

    /// Moves the cursor. Says whether it moved.
    pub(crate) fn go(&mut self, step: Step, seen: usize) -> bool {
        self.ahead = 0;
        if step == Step::First && self.first > 0 {
            // The start is asked for anew.
            self.restart();
            return true;
        }
        let mut cursor = std::mem::take(&mut self.cursor);
        let moved = cursor.go(step, &self.ids(), seen);
        self.cursor = cursor;
        moved
    }

    /// Moves the cursor to a row that is held.
    pub(crate) fn go_to(&mut self, row: usize, seen: usize) -> bool {
        self.ahead = 0;
        let mut cursor = std::mem::take(&mut self.cursor);
        let moved = cursor.go_to(row, &self.ids(), seen);
        self.cursor = cursor;
        moved
    }

    /// Goes on with rows that are seen in another number.
    pub(crate) fn settle(&mut self, seen: usize) {
        let mut cursor = std::mem::take(&mut self.cursor);
        cursor.follow(&self.ids(), seen);
        self.cursor = cursor;
    }

    /// Forgets all rows; marks stay.
    pub(crate) fn restart(&mut self) {
        let marks = std::mem::take(&mut self.marks);
        *self = Window { marks, ..Window::new() };
    }

    fn ids(&self) -> Vec<&str> {
        self.pages.iter().flatten().map(Row::id).collect()
    }

    /// Marks the row under the cursor, or no longer. Says whether anything changed.
    pub(crate) fn toggle_mark(&mut self) -> bool {
        let Some(id) = self.row().map(|row| row.id().to_owned()) else { return false };
        if self.marks.remove(&id) {
            return true;
        }
        self.marks.len() < MARKS_MAX && self.marks.insert(id)
    }

    /// The ids that are marked.
    pub(crate) fn marks(&self) -> &BTreeSet<String> {
        &self.marks
    }

    /// Takes all marks away. Says whether there were any.
    pub(crate) fn clear_marks(&mut self) -> bool {
        !std::mem::take(&mut self.marks).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: usize = 10;
    const PAGE: usize = 100;

    #[derive(Debug)]
    struct Numbered(String);

    impl Row for Numbered {
        fn id(&self) -> &str {
            &self.0
        }
    }

    /// A list of so many rows, the newest first, in which some do not pass the filter.
    struct List {
        newest: usize,
        passes: fn(usize) -> bool,
    }

    impl List {
        /// Answers as the engine does.
        fn page(&self, cursor: Option<&str>) -> (Vec<Numbered>, Option<String>) {
            let from = cursor.map_or(self.newest, |cursor| cursor.parse::<usize>().unwrap() - 1);
            let end = from.saturating_sub(PAGE);
            let rows = (end + 1..=from).rev().filter(|id| (self.passes)(*id)).map(|id| Numbered(id.to_string()));
            (rows.collect(), (end > 0).then(|| (end + 1).to_string()))
        }

        /// Gives the window all that it wants.
        fn feed(&self, window: &mut Window<Numbered>) -> usize {
            for calls in 0..50 {
                let wanted = window.wanted().map(str::to_owned);
                let before: Vec<String> = window.ids().into_iter().map(str::to_owned).collect();
                let pages = window.pages.len();
                let (rows, next) = self.page(wanted.as_deref());
                window.take(wanted.as_deref(), rows, next, !window.is_at_start(), SEEN);
                if window.ids() == before && window.pages.len() == pages {
                    return calls;
                }
            }
            panic!("the window is never content");
        }
    }

    fn all(_: usize) -> bool {
        true
    }

    #[test]
    fn it_moves_through_a_long_list_both_ways_and_holds_a_few_pages() {
        let list = List { newest: 5_000, passes: all };
        let mut window = Window::new();
        list.feed(&mut window);
        for down in 1..4_990 {
            window.go(Step::Down, SEEN);
            list.feed(&mut window);
            assert_eq!(window.cursor.id(), Some((5_000 - down).to_string().as_str()));
            assert!(window.ids().len() <= ROWS_HELD + PAGE, "{} rows", window.ids().len());
            assert_eq!(window.place(PAGE), down);
        }
        for up in 1..4_990 {
            window.go(Step::Up, SEEN);
            list.feed(&mut window);
            assert_eq!(window.cursor.id(), Some((11 + up).to_string().as_str()));
            assert!(window.ids().len() <= ROWS_HELD + PAGE);
        }
        assert!(window.is_at_start());
    }

    #[test]
    fn rows_that_leave_make_no_double_of_those_behind_them() {
        let mut list = List { newest: 1_000, passes: all };
        let mut window = Window::new();
        list.feed(&mut window);
        window.go_to(50, SEEN);
        list.feed(&mut window);
        list.passes = |id| id % 3 != 0;
        let (rows, _) = list.page(None);
        window.take(None, rows, Some("901".to_owned()), true, SEEN);
        let mut ids = window.ids();
        ids.dedup();
        assert_eq!(ids.len(), window.ids().len());
        assert!(window.ids().windows(2).all(|pair| pair[0].parse::<u32>().unwrap() > pair[1].parse::<u32>().unwrap()));
    }

    #[test]
    fn at_the_start_it_follows_and_elsewhere_it_stays() {
        let mut list = List { newest: 1_000, passes: all };
        let mut window = Window::new();
        list.feed(&mut window);
        list.newest = 2_000;
        list.feed(&mut window);
        assert_eq!(window.cursor.id(), Some("2000"));
        assert!(window.marks().is_empty() && window.newest().is_some());
    }

    #[test]
    fn a_filter_that_nothing_passes_is_not_pursued_to_the_end() {
        let list = List { newest: 1_000_000, passes: |_| false };
        let mut window = Window::new();
        assert!(list.feed(&mut window) <= PAGES_AHEAD_MAX + 2);
        assert!(window.has_more());
        window.go(Step::Down, SEEN);
        assert!(list.feed(&mut window) >= PAGES_AHEAD_MAX, "who moves on has more looked through");
    }

    #[test]
    fn marks_stay_with_their_ids_and_are_bounded() {
        let list = List { newest: 3_000, passes: all };
        let mut window = Window::new();
        list.feed(&mut window);
        for _ in 0..1_500 {
            window.toggle_mark();
            window.go(Step::Down, SEEN);
            list.feed(&mut window);
        }
        assert_eq!(window.marks().len(), MARKS_MAX);
        assert!(window.marks().contains("3000"));
        window.restart();
        assert_eq!(window.marks().len(), MARKS_MAX);
        assert!(window.clear_marks());
        assert!(!window.clear_marks());
    }
}
