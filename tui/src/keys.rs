//! The keys: one table that dispatches them, names them in the footer, and makes the help.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::words::Word;

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Show or hide the keys.
    Help,
    /// Leave.
    Quit,
    /// Ask the engine now.
    Refresh,
    /// Let the keys move the next list.
    NextList,
    /// Let the keys move the list before.
    PreviousList,
    /// One row down.
    Down,
    /// One row up.
    Up,
    /// A page down.
    PageDown,
    /// A page up.
    PageUp,
    /// To the first row.
    First,
    /// To the last row.
    Last,
    /// Hide the keys.
    Close,
    /// Draw everything again.
    Redraw,
}

impl Action {
    /// Whether holding the key repeats it.
    fn repeats(self) -> bool {
        matches!(self, Action::Down | Action::Up | Action::PageDown | Action::PageUp)
    }
}

/// A key with its modifiers. Letters are in lower case: with Caps Lock on, nothing moves into another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chord {
    code: KeyCode,
    control: bool,
}

const fn key(code: KeyCode) -> Chord {
    Chord { code, control: false }
}

const fn letter(character: char) -> Chord {
    key(KeyCode::Char(character))
}

const fn control(character: char) -> Chord {
    Chord { code: KeyCode::Char(character), control: true }
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Binding {
    /// What is asked for.
    pub(crate) action: Action,
    /// The keys that ask for it, the usual one first.
    pub(crate) chords: &'static [Chord],
    /// What it does, in a few words.
    pub(crate) label: Word,
    /// Whether the footer names it.
    pub(crate) hint: bool,
}

/// The table, the most wanted first.
pub(crate) const BINDINGS: &[Binding] = &[
    Binding { action: Action::Help, chords: &[letter('?')], label: Word::KeyHelp, hint: true },
    Binding { action: Action::Quit, chords: &[letter('q'), control('c')], label: Word::KeyQuit, hint: true },
    Binding { action: Action::Refresh, chords: &[letter('r')], label: Word::KeyRefresh, hint: true },
    Binding { action: Action::NextList, chords: &[key(KeyCode::Tab)], label: Word::KeyNextList, hint: true },
    Binding { action: Action::Down, chords: &[letter('j'), key(KeyCode::Down)], label: Word::KeyDown, hint: true },
    Binding { action: Action::Up, chords: &[letter('k'), key(KeyCode::Up)], label: Word::KeyUp, hint: true },
    Binding {
        action: Action::PreviousList,
        chords: &[key(KeyCode::BackTab)],
        label: Word::KeyPreviousList,
        hint: false,
    },
    Binding {
        action: Action::PageDown,
        chords: &[key(KeyCode::PageDown), control('d')],
        label: Word::KeyPageDown,
        hint: false,
    },
    Binding {
        action: Action::PageUp,
        chords: &[key(KeyCode::PageUp), control('u')],
        label: Word::KeyPageUp,
        hint: false,
    },
    Binding { action: Action::First, chords: &[key(KeyCode::Home)], label: Word::KeyFirst, hint: false },
    Binding { action: Action::Last, chords: &[key(KeyCode::End)], label: Word::KeyLast, hint: false },
    Binding { action: Action::Close, chords: &[key(KeyCode::Esc)], label: Word::KeyClose, hint: false },
    Binding { action: Action::Redraw, chords: &[control('l')], label: Word::KeyRedraw, hint: false },
];

/// What a key event asks for, if anything.
pub(crate) fn action(event: KeyEvent) -> Option<Action> {
    let chord = Chord {
        code: match event.code {
            KeyCode::Char(character) => KeyCode::Char(half_width(character).to_ascii_lowercase()),
            code => code,
        },
        control: event.modifiers.contains(KeyModifiers::CONTROL),
    };
    if event.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META | KeyModifiers::HYPER) {
        return None;
    }
    let action = BINDINGS.iter().find(|binding| binding.chords.contains(&chord))?.action;
    match event.kind {
        KeyEventKind::Press => Some(action),
        KeyEventKind::Repeat if action.repeats() => Some(action),
        KeyEventKind::Repeat | KeyEventKind::Release => None,
    }
}

/// The usual key for an action, as it is written on keyboards.
pub(crate) fn name_of(action: Action) -> String {
    let binding = BINDINGS.iter().find(|binding| binding.action == action).expect("every action has a row");
    name(binding.chords[0])
}

/// A chord as it is written on keyboards.
pub(crate) fn name(chord: Chord) -> String {
    let name = match chord.code {
        KeyCode::Char(character) if chord.control => character.to_ascii_uppercase().to_string(),
        KeyCode::BackTab => "Shift-Tab".to_owned(),
        KeyCode::PageDown => "PgDn".to_owned(),
        KeyCode::PageUp => "PgUp".to_owned(),
        code => code.to_string(),
    };
    if chord.control { format!("Ctrl-{name}") } else { name }
}

/// A Chinese input method that is on gives full-width forms; they ask for the same.
fn half_width(character: char) -> char {
    match character {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character),
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers) -> Option<Action> {
        action(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn no_chord_is_bound_twice_and_every_one_is_found() {
        let chords: Vec<Chord> = BINDINGS.iter().flat_map(|binding| binding.chords.iter().copied()).collect();
        for (index, chord) in chords.iter().enumerate() {
            assert!(!chords[..index].contains(chord), "{} is bound twice", name(*chord));
        }
        for binding in BINDINGS {
            for chord in binding.chords {
                let modifiers = if chord.control { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
                assert_eq!(press(chord.code, modifiers), Some(binding.action));
            }
        }
    }

    #[test]
    fn input_methods_and_caps_lock_change_no_meaning() {
        assert_eq!(press(KeyCode::Char('？'), KeyModifiers::NONE), Some(Action::Help));
        assert_eq!(press(KeyCode::Char('ｑ'), KeyModifiers::NONE), Some(Action::Quit));
        assert_eq!(press(KeyCode::Char('J'), KeyModifiers::SHIFT), Some(Action::Down));
        assert_eq!(press(KeyCode::Char('q'), KeyModifiers::ALT), None);
        assert_eq!(press(KeyCode::Char('中'), KeyModifiers::NONE), None);
    }

    #[test]
    fn only_movement_repeats_and_a_release_is_nothing() {
        let event = |code, kind| action(KeyEvent::new_with_kind(code, KeyModifiers::NONE, kind));
        assert_eq!(event(KeyCode::Char('j'), KeyEventKind::Repeat), Some(Action::Down));
        assert_eq!(event(KeyCode::Char('r'), KeyEventKind::Repeat), None);
        assert_eq!(event(KeyCode::Char('q'), KeyEventKind::Release), None);
    }
}
