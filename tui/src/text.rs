//! Text from outside made fit for one row of a terminal: cleaned, measured and cut here and nowhere else.
//!
//! What is drawn is a [`Clean`], and a `Clean` comes only from here. So no recipient, reason or address can move the
//! cursor, change a colour, turn the reading direction or take more columns than it was measured to take.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What stands where text was cut. Plain ASCII: the usual three-dot sign takes two columns in some terminals.
const CUT: char = '~';
/// More characters than any terminal has columns; what comes after is cut before it costs anything.
const LENGTH_MAX: usize = 512;
/// Marks that may stand on one character; more of them would run over the neighbouring rows.
const MARKS_MAX: u8 = 3;

/// Text that takes the columns it says, and does nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Clean(String);

impl Clean {
    /// Makes what would act visible instead: a control byte becomes `\x1b`, a direction mark `\u{202e}`.
    pub(crate) fn new<'a>(text: impl Into<Cow<'a, str>>) -> Clean {
        let text = text.into();
        if is_plain(&text) { Clean(text.into_owned()) } else { Clean(escape(&text)) }
    }

    /// The columns it takes.
    pub(crate) fn columns(&self) -> usize {
        width(&self.0)
    }

    #[cfg(test)]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// At most so many columns of it; what is missing is marked at the end.
    pub(crate) fn cut(&self, columns: usize) -> Cow<'_, str> {
        if self.columns() <= columns {
            return Cow::Borrowed(&self.0);
        }
        let Some(room) = columns.checked_sub(1) else { return Cow::Borrowed("") };
        let mut kept = self.0[..fitting(&self.0, room)].to_owned();
        kept.push(CUT);
        Cow::Owned(kept)
    }

    /// At most so many columns of its beginning, without a mark; for a name that is known anyway.
    pub(crate) fn start(&self, columns: usize) -> Cow<'_, str> {
        Cow::Borrowed(&self.0[..fitting(&self.0, columns)])
    }

    /// The rows it makes at so many columns each, broken at spaces where there are some.
    pub(crate) fn wrap(&self, columns: usize) -> Vec<Clean> {
        let mut rows = Vec::new();
        let mut rest = self.0.trim();
        while !rest.is_empty() && columns > 0 {
            let fits = fitting(rest, columns);
            let (end, next) = match rest[..fits].rfind(' ') {
                _ if fits == rest.len() => (fits, fits),
                Some(space) if space > 0 => (space, space + 1),
                // A character wider than the row would never fit: leave rather than turn forever.
                _ if fits == 0 => break,
                _ => (fits, fits),
            };
            rows.push(Clean(rest[..end].to_owned()));
            rest = rest[next..].trim_start();
        }
        rows
    }
}

/// The columns text takes; for text of our own. Text from outside is a [`Clean`] first.
pub(crate) fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(columns_of).sum() }
}

/// Bytes of the longest beginning that takes at most so many columns, with the marks that stand on its last character.
fn fitting(text: &str, columns: usize) -> usize {
    let mut used = 0;
    for (index, character) in text.char_indices() {
        used += columns_of(character);
        if used > columns {
            return index;
        }
    }
    text.len()
}

fn columns_of(character: char) -> usize {
    character.width().unwrap_or(0)
}

fn is_plain(text: &str) -> bool {
    text.len() <= LENGTH_MAX && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

fn escape(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(LENGTH_MAX));
    let mut marks = 0;
    let mut stands = false;
    for (index, character) in text.chars().enumerate() {
        if index == LENGTH_MAX {
            clean.push(CUT);
            break;
        }
        // Half-width sound marks: terminals and libraries disagree about their width, and agree about the wide ones'.
        let character = match character {
            '\u{ff9e}' => '\u{309b}',
            '\u{ff9f}' => '\u{309c}',
            other => other,
        };
        if acts(character) {
            escape_into(&mut clean, character);
            (marks, stands) = (0, true);
        } else if columns_of(character) == 0 {
            // A mark needs something to stand on; at the start of a row it would stand on the row's neighbour.
            marks += 1;
            if !stands {
                escape_into(&mut clean, character);
                (marks, stands) = (0, true);
            } else if marks <= MARKS_MAX {
                clean.push(character);
            }
        } else {
            clean.push(character);
            (marks, stands) = (0, character != ' ');
        }
    }
    // Some pairs of characters are narrower together than apart (Arabic lam-alef). Frames are made character by
    // character, so what is drawn takes the sum; a pair that is wider together must not reach a frame.
    if UnicodeWidthStr::width(clean.as_str()) > width(&clean) { clean.escape_unicode().collect() } else { clean }
}

fn escape_into(clean: &mut String, character: char) {
    let written = match character {
        '\t' => write!(clean, "\\t"),
        '\n' => write!(clean, "\\n"),
        '\r' => write!(clean, "\\r"),
        _ if u32::from(character) <= 0xff => write!(clean, "\\x{:02x}", u32::from(character)),
        _ => write!(clean, "\\u{{{:x}}}", u32::from(character)),
    };
    written.expect("a string takes all that is written");
}

/// Whether a terminal would do something with it rather than show it, or show it in a width nobody agrees about.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{20e3}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1f3fb}'..='\u{1f3ff}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    const CORPUS: &[&str] = &[
        "",
        "plain",
        "订单更新 42",
        "ｆｕｌｌ",
        "한글",
        "ｶﾞｷﾞ",
        "e\u{301}a\u{308}",
        "\u{301}first",
        "z\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}",
        "\u{1b}[2J\u{1b}]0;gone\u{7}",
        "a\tb\r\nc\u{0}\u{7f}\u{9b}31m",
        "safe\u{202e}gpj.exe",
        "\u{2066}x\u{2069}\u{200f}\u{feff}",
        "👍🏽 👨‍👩‍👧 🇨🇳 ⚠️ 1️⃣ ✅",
        "لا إله",
        "नमस्ते क्ष",
        "ไทยก่ำ",
        "\u{3164}\u{115f}\u{e0041}",
        "“…—·→×”",
    ];

    #[test]
    fn cleaned_text_takes_the_columns_it_is_drawn_in() {
        for text in CORPUS {
            let clean = Clean::new(*text);
            let mut buffer = Buffer::empty(Rect::new(0, 0, 300, 1));
            let (end, _) = buffer.set_stringn(0, 0, clean.as_str(), 300, Style::new());
            assert_eq!(usize::from(end), clean.columns(), "{text:?} became {clean:?}");
        }
    }

    #[test]
    fn nothing_that_acts_is_left() {
        for text in CORPUS {
            let clean = Clean::new(*text);
            assert!(!clean.as_str().chars().any(acts), "{text:?} became {clean:?}");
            assert_eq!(Clean::new(clean.as_str()), clean, "cleaning twice changes nothing");
        }
        assert_eq!(Clean::new("\u{1b}[31m\u{202e}x").as_str(), "\\x1b[31m\\u{202e}x");
    }

    #[test]
    fn cut_text_fits_and_says_that_it_was_cut() {
        for text in CORPUS {
            let clean = Clean::new(*text);
            for columns in 0..40 {
                let cut = clean.cut(columns);
                assert!(width(&cut) <= columns, "{text:?} at {columns}: {cut:?}");
                assert!(cut == clean.as_str() || columns == 0 || cut.ends_with(CUT), "{text:?} at {columns}: {cut:?}");
            }
        }
        assert_eq!(Clean::new("订单更新").cut(4), "订~");
    }

    #[test]
    fn wrapped_rows_fit_and_lose_no_word() {
        for text in CORPUS.iter().chain(&["no engine answers at the socket; start one with `tidings run`"]) {
            let clean = Clean::new(*text);
            for columns in 2..40 {
                let rows = clean.wrap(columns);
                assert!(rows.iter().all(|row| row.columns() <= columns), "{text:?} at {columns}: {rows:?}");
                let words = |text: &str| text.split(' ').collect::<String>();
                let joined: String = rows.iter().map(|row| words(row.as_str())).collect();
                assert_eq!(joined, words(clean.as_str()), "{text:?} at {columns}");
            }
        }
        assert!(Clean::new("订单").wrap(1).is_empty());
    }

    #[test]
    fn endless_text_costs_no_more_than_a_row() {
        let clean = Clean::new("文".repeat(100_000));
        assert!(clean.as_str().chars().count() <= LENGTH_MAX + 1);
        let clean = Clean::new("x".repeat(100_000));
        assert!(clean.as_str().chars().count() <= LENGTH_MAX + 1);
    }
}
