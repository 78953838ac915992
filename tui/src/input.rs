//! A line of text that somebody types.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Characters a line has at most; what is pasted beyond them is dropped.
const LENGTH_MAX: usize = 512;

/// The text and the place in it where the next character goes. It may be a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Input {
    characters: Vec<char>,
    place: usize,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("length", &self.characters.len()).finish_non_exhaustive()
    }
}

impl Input {
    /// A line with this in it.
    pub(crate) fn of(text: &str) -> Input {
        let mut input = Input::default();
        input.paste(text);
        input
    }

    /// The text.
    pub(crate) fn text(&self) -> String {
        self.characters.iter().collect()
    }

    /// The text without blanks around it.
    pub(crate) fn trimmed(&self) -> String {
        self.text().trim().to_owned()
    }

    /// What stands before the place.
    pub(crate) fn before(&self) -> String {
        self.characters[..self.place].iter().collect()
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.characters.is_empty()
    }

    /// Puts text in. Line breaks and other control characters are blanks.
    pub(crate) fn paste(&mut self, text: &str) {
        for character in text.chars().take(LENGTH_MAX) {
            self.insert(if character.is_control() { ' ' } else { character });
        }
    }

    fn insert(&mut self, character: char) {
        if self.characters.len() < LENGTH_MAX {
            self.characters.insert(self.place, character);
            self.place += 1;
        }
    }

    /// Takes a key. Says whether it was one for a line of text.
    pub(crate) fn take(&mut self, event: KeyEvent) -> bool {
        let control = event.modifiers.contains(KeyModifiers::CONTROL);
        let length = self.characters.len();
        match event.code {
            KeyCode::Char('u') if control => {
                self.characters.drain(..self.place);
                self.place = 0;
            }
            KeyCode::Char('w') if control => self.erase_word(),
            KeyCode::Char('a') if control => self.place = 0,
            KeyCode::Char('e') if control => self.place = length,
            KeyCode::Char(_) if control || event.modifiers.contains(KeyModifiers::ALT) => return false,
            KeyCode::Char(character) => self.insert(character),
            KeyCode::Backspace if self.place > 0 => {
                self.place -= 1;
                self.characters.remove(self.place);
            }
            KeyCode::Delete if self.place < length => {
                self.characters.remove(self.place);
            }
            KeyCode::Backspace | KeyCode::Delete => {}
            KeyCode::Left => self.place = self.place.saturating_sub(1),
            KeyCode::Right => self.place = (self.place + 1).min(length),
            KeyCode::Home => self.place = 0,
            KeyCode::End => self.place = length,
            _ => return false,
        }
        true
    }

    fn erase_word(&mut self) {
        let blank = |input: &Input| input.characters[input.place - 1] == ' ';
        while self.place > 0 && blank(self) {
            self.place -= 1;
            self.characters.remove(self.place);
        }
        while self.place > 0 && !blank(self) {
            self.place -= 1;
            self.characters.remove(self.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[(KeyCode, KeyModifiers)]) -> Input {
        let mut input = Input::of("state:failed 通道");
        for (code, modifiers) in keys {
            input.take(KeyEvent::new(*code, *modifiers));
        }
        input
    }

    #[test]
    fn it_is_edited_by_characters_whatever_their_width() {
        const NONE: KeyModifiers = KeyModifiers::NONE;
        const CONTROL: KeyModifiers = KeyModifiers::CONTROL;
        let cases: &[(&[(KeyCode, KeyModifiers)], &str)] = &[
            (&[(KeyCode::Backspace, NONE)], "state:failed 通"),
            (&[(KeyCode::Left, NONE), (KeyCode::Char('x'), NONE)], "state:failed 通x道"),
            (&[(KeyCode::Home, NONE), (KeyCode::Delete, NONE)], "tate:failed 通道"),
            (&[(KeyCode::Char('w'), CONTROL)], "state:failed "),
            (&[(KeyCode::Char('w'), CONTROL), (KeyCode::Char('w'), CONTROL)], ""),
            (&[(KeyCode::Char('u'), CONTROL)], ""),
            (&[(KeyCode::Home, NONE), (KeyCode::Backspace, NONE), (KeyCode::Left, NONE)], "state:failed 通道"),
        ];
        for (keys, text) in cases {
            assert_eq!(typed(keys).text(), *text, "{keys:?}");
        }
    }

    #[test]
    fn a_paste_is_bounded_and_has_no_line_breaks() {
        let mut input = Input::default();
        input.paste("a\r\nb\u{1b}c");
        assert_eq!(input.text(), "a  b c");
        input.paste(&"x".repeat(1_000_000));
        assert_eq!(input.text().chars().count(), LENGTH_MAX);
    }
}
