//! What a plugin may say: texts cleaned for people, lines counted, secrets left out.

use std::time::Duration;

use tidings_model::secret::{LEFT_OUT, SECRET_BYTES_MIN, without};

use crate::limits::{LINE_BYTES_MAX, LOG_LINES_BURST, LOG_LINES_PER_REST, LOG_LINES_PER_SECOND};

/// Bytes of a line that are looked at: what follows the bound matters only to see the whole of a secret that begins
/// before it.
pub(crate) const LINE_BYTES_READ: usize = 2 * LINE_BYTES_MAX;

/// A text for people of at most `most` bytes: control characters, and with them escapes, become spaces; what is no UTF-8
/// becomes U+FFFD.
pub(crate) fn for_people(bytes: &[u8], most: usize) -> String {
    let bytes = &bytes[..bytes.len().min(most)];
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.extend(chunk.valid().chars().map(|c| if is_control(c) { ' ' } else { c }));
        // A character that the bound cut in two is not the plugin's fault.
        let is_begun = std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
        let was_cut = is_begun && bytes.len() == most;
        if !chunk.invalid().is_empty() && !was_cut {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    cut(&mut text, most);
    text
}

/// What moves the cursor, rings a bell, begins an escape, or turns the reading direction of what follows.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Cuts to at most `most` bytes, between characters.
fn cut(text: &mut String, most: usize) {
    text.truncate(text.floor_char_boundary(most));
}

/// A line of a plugin's log as it may be shown.
pub(crate) fn shown(bytes: &[u8], secrets: &[&str]) -> String {
    let is_whole = bytes.len() <= LINE_BYTES_READ;
    let bytes = &bytes[..bytes.len().min(LINE_BYTES_READ)];
    let mut text = without(String::from_utf8_lossy(bytes).into_owned(), secrets.iter().copied());
    if !is_whole {
        secrets.iter().for_each(|secret| leave_out_begun(&mut text, secret));
    }
    for_people(text.as_bytes(), LINE_BYTES_MAX)
}

/// Leaves out the beginning of a secret at the end of a text that was cut there.
fn leave_out_begun(text: &mut String, secret: &str) {
    let begun = (SECRET_BYTES_MIN..secret.len()).rev().filter_map(|size| secret.get(..size));
    if let Some(begun) =
        begun.into_iter().find(|begun| text.trim_end_matches(char::REPLACEMENT_CHARACTER).ends_with(begun))
    {
        let end = text.trim_end_matches(char::REPLACEMENT_CHARACTER).len();
        text.truncate(end - begun.len());
        text.push_str(LEFT_OUT);
    }
}

/// How many lines may be logged: a bucket of [`LOG_LINES_BURST`] that [`LOG_LINES_PER_SECOND`] fill again.
#[derive(Debug)]
pub(crate) struct LineBudget {
    /// In thousandths of a line.
    left: u64,
    at: Duration,
    left_out: u64,
}

impl LineBudget {
    pub(crate) fn new() -> LineBudget {
        LineBudget { left: u64::from(LOG_LINES_BURST) * 1000, at: Duration::ZERO, left_out: 0 }
    }

    /// Whether a line may be logged now. One that may not is counted.
    pub(crate) fn may_log(&mut self, now: Duration) -> bool {
        self.fill(now);
        match self.left.checked_sub(1000) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.left_out += 1;
                false
            }
        }
    }

    /// Whether whoever logged the line that was left out just now rests before it goes on.
    pub(crate) fn must_rest(&self) -> bool {
        self.left_out > 0 && self.left_out.is_multiple_of(LOG_LINES_PER_REST)
    }

    /// How many lines were left out and not yet told; told now, if there is room again.
    pub(crate) fn left_out(&mut self, now: Duration) -> Option<u64> {
        self.fill(now);
        if self.left_out == 0 || self.left < 1000 {
            return None;
        }
        self.left -= 1000;
        Some(std::mem::take(&mut self.left_out))
    }

    fn fill(&mut self, now: Duration) {
        let passed = u64::try_from(now.saturating_sub(self.at).as_millis()).unwrap_or(u64::MAX);
        if passed > 0 {
            self.at = now;
            let filled = passed.saturating_mul(u64::from(LOG_LINES_PER_SECOND));
            self.left = self.left.saturating_add(filled).min(u64::from(LOG_LINES_BURST) * 1000);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_for_people_is_cut_between_characters_and_moves_no_cursor() {
        assert_eq!(for_people(b"\x1b[31mred\r\n\x07\xff!", 100), " [31mred   \u{fffd}!");
        assert_eq!(for_people("订单".as_bytes(), 4), "订");
        assert_eq!(for_people("订单".as_bytes(), 6), "订单");
        assert_eq!(for_people("a\u{202e}b".as_bytes(), 100), "a b");
        assert_eq!(for_people(&[0xff; 3000], 1024).len(), 1023);
    }

    #[test]
    fn secrets_are_left_out_of_a_line() {
        let secrets = ["CANARY-1", "abc", "wort"];
        assert_eq!(shown("a CANARY-1 b CANARY-1, abc, Antwort".as_bytes(), &secrets), "a … b …, abc, Ant…");
    }

    #[test]
    fn a_secret_at_the_end_of_a_long_line_is_left_out_too() {
        for place in (LINE_BYTES_MAX - 10..LINE_BYTES_MAX + 2).chain(LINE_BYTES_READ - 10..LINE_BYTES_READ + 2) {
            let mut line = vec![b'x'; place];
            line.extend(b"CANARY-1");
            line.resize(3 * LINE_BYTES_MAX, b'y');
            let line = shown(&line, &["CANARY-1"]);
            assert!(!line.contains("CANA") && line.len() <= LINE_BYTES_MAX, "{place}");
        }
        // Many secrets make the line so short that its cut end is seen.
        let mut line = "CANARY-1".repeat(LINE_BYTES_READ / 8 - 1).into_bytes();
        line.extend(b"12CANARY-1CANARY-1");
        let line = shown(&line, &["CANARY-1"]);
        assert!(!line.contains("CANA"), "{}", &line[line.len() - 20..]);
    }

    #[test]
    fn whoever_floods_the_log_rests_again_and_again() {
        let mut budget = LineBudget::new();
        let second = Duration::from_secs(1);
        let flood = u64::from(LOG_LINES_BURST) + 10 * LOG_LINES_PER_REST;
        let rests = (0..flood).filter(|_| !budget.may_log(second) && budget.must_rest()).count();
        assert_eq!(rests, 10);
    }

    #[test]
    fn lines_are_counted_and_what_is_left_out_is_told_when_there_is_room() {
        let mut budget = LineBudget::new();
        let second = Duration::from_secs(1);
        let logged = (0..1000).filter(|_| budget.may_log(second)).count();
        assert_eq!(logged, 200);
        assert_eq!(budget.left_out(second), None);
        assert_eq!(budget.left_out(2 * second), Some(800));
        assert_eq!(budget.left_out(2 * second), None);
        assert_eq!((0..1000).filter(|_| budget.may_log(2 * second)).count(), 99);
    }
}
