//! The keys: one table that dispatches them, names them in the footer, and makes the help, the commands and the docs.
//!
//! Lower case looks, upper case changes.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::cursor::Step;
use crate::page::Kind;
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
    /// Type a command.
    Command,
    /// Type a filter.
    Filter,
    /// Show a page.
    Go(Kind),
    /// Show a message; the command says which.
    ShowMessage,
    /// Let the keys move the next list.
    NextList,
    /// Let the keys move the list before.
    PreviousList,
    /// Move the cursor.
    Move(Step),
    /// Look at what is under the cursor.
    Open,
    /// One layer back: help, marks, filter, page.
    Back,
    /// Mark the row, or no longer.
    Mark,
    /// Draw everything again.
    Redraw,
    /// Send again.
    Retry,
    /// Withdraw.
    Cancel,
    /// Stop, or let go on what was stopped.
    Hold,
    /// Pause, or resume what was paused.
    Pause,
    /// Run a schedule now.
    RunNow,
    /// Leave the next time of a schedule out, or no longer.
    Skip,
    /// Run times of a schedule's past, or no longer.
    Backfill,
    /// Show whom a schedule's broadcast would reach.
    Preflight,
    /// Set a webhook going again.
    Resume,
    /// Post a notice to a webhook, to try it.
    TestWebhook,
    /// Fetch a token now.
    RefreshToken,
    /// Add a credential.
    AddCredential,
    /// Send everything again that matches.
    RetryMatching,
    /// Withdraw everything that matches.
    CancelMatching,
    /// Stop everything that matches.
    HoldMatching,
    /// Let everything go on that matches and was stopped.
    ReleaseMatching,
}

impl Action {
    /// Whether holding the key repeats it.
    fn repeats(self) -> bool {
        matches!(self, Action::Move(_))
    }
}

/// A key with its modifiers.
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

/// Where a key means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// On every page.
    Everywhere,
    /// On these.
    On(&'static [Kind]),
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Binding {
    /// What is asked for.
    pub(crate) action: Action,
    /// Its name as a command.
    pub(crate) name: &'static str,
    /// The keys that ask for it, the usual one first. Some things are only commands.
    pub(crate) chords: &'static [Chord],
    /// What it does, in a few words.
    pub(crate) label: Word,
    /// Whether the footer names it.
    pub(crate) hint: bool,
    /// The scope that the engine wants for it, where it changes something there.
    pub(crate) scope: Option<&'static str>,
    /// Where it means something.
    pub(crate) place: Where,
}

/// The scope of everything that an operator changes.
const OPERATE: Option<&str> = Some("operate");
const ON_MESSAGES: Where = Where::On(&[Kind::Messages]);
const ON_SCHEDULES: Where = Where::On(&[Kind::Schedules]);
const ON_WEBHOOKS: Where = Where::On(&[Kind::Webhooks]);
/// Lists that take a filter: those whose kind has a grammar.
const FILTERED: Where = Where::On(&[Kind::Messages, Kind::Runs, Kind::Audit]);
const ON_ANY_MESSAGE: Where = Where::On(&[Kind::Messages, Kind::Message]);
const CANCELLABLE: Where = Where::On(&[Kind::Messages, Kind::Message, Kind::Runs, Kind::Run]);
/// Pages with something behind their rows.
const OPENING: Where = Where::On(&[
    Kind::Overview,
    Kind::Messages,
    Kind::Channels,
    Kind::Credentials,
    Kind::Tokens,
    Kind::Schedules,
    Kind::Runs,
    Kind::Plugins,
    Kind::Audit,
    Kind::Webhooks,
    Kind::Nodes,
]);

const fn looks(action: Action, name: &'static str, chords: &'static [Chord], label: Word, hint: bool) -> Binding {
    Binding { action, name, chords, label, hint, scope: None, place: Where::Everywhere }
}

const fn changes(action: Action, name: &'static str, chords: &'static [Chord], label: Word, place: Where) -> Binding {
    Binding { action, name, chords, label, hint: !chords.is_empty(), scope: OPERATE, place }
}

const fn only(place: Where, binding: Binding) -> Binding {
    Binding { place, ..binding }
}

/// The table, the most wanted first.
pub(crate) const BINDINGS: &[Binding] = &[
    looks(Action::Help, "help", &[letter('?')], Word::KeyHelp, true),
    looks(Action::Quit, "quit", &[letter('q'), control('c')], Word::KeyQuit, true),
    only(OPENING, looks(Action::Open, "open", &[key(KeyCode::Enter)], Word::KeyOpen, true)),
    looks(Action::Back, "back", &[key(KeyCode::Esc), key(KeyCode::Backspace)], Word::KeyBack, true),
    only(FILTERED, looks(Action::Filter, "filter", &[letter('/')], Word::KeyFilter, true)),
    looks(Action::Command, "command", &[letter(':')], Word::KeyCommand, true),
    only(ON_MESSAGES, looks(Action::Mark, "mark", &[letter(' ')], Word::KeyMark, true)),
    changes(Action::Retry, "retry", &[letter('R')], Word::KeyRetry, ON_ANY_MESSAGE),
    changes(Action::Cancel, "cancel", &[letter('C')], Word::KeyCancel, CANCELLABLE),
    changes(Action::Hold, "hold", &[letter('W')], Word::KeyHold, ON_ANY_MESSAGE),
    changes(Action::Pause, "pause", &[letter('P')], Word::KeyPause, Where::On(&[Kind::Channels, Kind::Schedules])),
    changes(Action::RunNow, "run-now", &[letter('T')], Word::KeyRunNow, ON_SCHEDULES),
    changes(Action::Skip, "skip", &[letter('S')], Word::KeySkip, ON_SCHEDULES),
    changes(Action::Backfill, "backfill", &[letter('B')], Word::KeyBackfill, ON_SCHEDULES),
    changes(Action::Preflight, "preflight", &[letter('F')], Word::KeyPreflight, ON_SCHEDULES),
    changes(Action::Resume, "resume", &[letter('P')], Word::KeyResume, ON_WEBHOOKS),
    changes(Action::TestWebhook, "test", &[letter('T')], Word::KeyTestWebhook, ON_WEBHOOKS),
    changes(Action::RefreshToken, "refresh-token", &[letter('R')], Word::KeyRefreshToken, Where::On(&[Kind::Tokens])),
    Binding {
        scope: Some("collect"),
        ..changes(
            Action::AddCredential,
            "add-credential",
            &[letter('A')],
            Word::KeyAddCredential,
            Where::On(&[Kind::Credentials]),
        )
    },
    changes(Action::RetryMatching, "retry-matching", &[letter('Q')], Word::KeyRetryMatching, ON_MESSAGES),
    changes(Action::CancelMatching, "cancel-matching", &[], Word::KeyCancelMatching, ON_MESSAGES),
    changes(Action::HoldMatching, "hold-matching", &[], Word::KeyHoldMatching, ON_MESSAGES),
    changes(Action::ReleaseMatching, "release-matching", &[], Word::KeyReleaseMatching, ON_MESSAGES),
    looks(Action::Refresh, "refresh", &[letter('r'), control('r')], Word::KeyRefresh, true),
    looks(Action::Go(Kind::Overview), "overview", &[letter('1')], Word::PageOverview, false),
    looks(Action::Go(Kind::Messages), "messages", &[letter('2')], Word::PageMessages, false),
    looks(Action::Go(Kind::Channels), "channels", &[letter('3')], Word::PageChannels, false),
    looks(Action::Go(Kind::Credentials), "credentials", &[letter('4')], Word::PageCredentials, false),
    looks(Action::Go(Kind::Tokens), "tokens", &[letter('5')], Word::PageTokens, false),
    looks(Action::Go(Kind::Schedules), "schedules", &[letter('6')], Word::PageSchedules, false),
    looks(Action::Go(Kind::Runs), "runs", &[letter('7')], Word::PageRuns, false),
    looks(Action::Go(Kind::Plugins), "plugins", &[letter('8')], Word::PagePlugins, false),
    looks(Action::Go(Kind::Audit), "audit", &[letter('9')], Word::PageAudit, false),
    looks(Action::Go(Kind::Webhooks), "webhooks", &[letter('0')], Word::PageWebhooks, false),
    looks(Action::Go(Kind::Nodes), "nodes", &[letter('n')], Word::PageNodes, false),
    looks(Action::ShowMessage, "message", &[], Word::KeyShowMessage, false),
    only(
        Where::On(&[Kind::Overview]),
        looks(Action::NextList, "next-list", &[key(KeyCode::Tab)], Word::KeyNextList, true),
    ),
    only(
        Where::On(&[Kind::Overview]),
        looks(Action::PreviousList, "previous-list", &[key(KeyCode::BackTab)], Word::KeyPreviousList, false),
    ),
    looks(Action::Move(Step::Down), "down", &[letter('j'), key(KeyCode::Down)], Word::KeyDown, false),
    looks(Action::Move(Step::Up), "up", &[letter('k'), key(KeyCode::Up)], Word::KeyUp, false),
    looks(Action::Move(Step::PageDown), "page-down", &[key(KeyCode::PageDown), control('d')], Word::KeyPageDown, false),
    looks(Action::Move(Step::PageUp), "page-up", &[key(KeyCode::PageUp), control('u')], Word::KeyPageUp, false),
    looks(Action::Move(Step::First), "first", &[letter('g'), key(KeyCode::Home)], Word::KeyFirst, false),
    looks(Action::Move(Step::Last), "last", &[letter('G'), key(KeyCode::End)], Word::KeyLast, false),
    looks(Action::Redraw, "redraw", &[control('l')], Word::KeyRedraw, false),
];

impl Binding {
    /// Whether it means something on that page.
    pub(crate) fn is_on(&self, kind: Kind) -> bool {
        match self.place {
            Where::Everywhere => true,
            Where::On(kinds) => kinds.contains(&kind),
        }
    }

    /// The usual key, as it is written on keyboards; the command where there is none.
    pub(crate) fn key(&self) -> String {
        self.chords.first().map_or_else(|| format!(":{}", self.name), |chord| name(*chord))
    }
}

/// What a key event asks for on that page, if anything.
pub(crate) fn binding(event: KeyEvent, kind: Kind) -> Option<&'static Binding> {
    if event.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META | KeyModifiers::HYPER) {
        return None;
    }
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    let find = |code| {
        let chord = Chord { code, control };
        BINDINGS.iter().find(|binding| binding.is_on(kind) && binding.chords.contains(&chord))
    };
    let found = match event.code {
        KeyCode::Char(character) => {
            let character = half_width(character);
            // With Caps Lock on, what has no meaning of its own in upper case keeps the one it has in lower case.
            find(KeyCode::Char(character)).or_else(|| {
                let is_bound = BINDINGS.iter().any(|binding| binding.chords.contains(&letter(character)));
                if is_bound { None } else { find(KeyCode::Char(character.to_ascii_lowercase())) }
            })
        }
        code => find(code),
    }?;
    match event.kind {
        KeyEventKind::Press => Some(found),
        KeyEventKind::Repeat if found.action.repeats() => Some(found),
        KeyEventKind::Repeat | KeyEventKind::Release => None,
    }
}

/// The row with that name.
pub(crate) fn named(name: &str) -> Option<&'static Binding> {
    BINDINGS.iter().find(|binding| binding.name == name)
}

/// The row of an action.
pub(crate) fn of(action: Action) -> &'static Binding {
    BINDINGS.iter().find(|binding| binding.action == action).expect("every action has a row")
}

/// A chord as it is written on keyboards.
pub(crate) fn name(chord: Chord) -> String {
    let name = match chord.code {
        KeyCode::Char(' ') => "Space".to_owned(),
        KeyCode::Char(character) if chord.control => character.to_ascii_uppercase().to_string(),
        KeyCode::BackTab => "Shift-Tab".to_owned(),
        KeyCode::PageDown => "PgDn".to_owned(),
        KeyCode::PageUp => "PgUp".to_owned(),
        code => code.to_string(),
    };
    if chord.control { format!("Ctrl-{name}") } else { name }
}

/// A Chinese input method that is on gives full-width forms; they ask for the same.
pub(crate) fn half_width(character: char) -> char {
    match character {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character),
        '\u{3000}' => ' ',
        '\u{3001}' => '/',
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers, kind: Kind) -> Option<Action> {
        binding(KeyEvent::new(code, modifiers), kind).map(|binding| binding.action)
    }

    #[test]
    fn no_chord_is_bound_twice_on_a_page_and_every_one_is_found() {
        for kind in Kind::all() {
            let bindings: Vec<&Binding> = BINDINGS.iter().filter(|binding| binding.is_on(kind)).collect();
            let chords: Vec<Chord> = bindings.iter().flat_map(|binding| binding.chords.iter().copied()).collect();
            for (index, chord) in chords.iter().enumerate() {
                assert!(!chords[..index].contains(chord), "{} is bound twice on {kind:?}", name(*chord));
            }
            for binding in bindings {
                for chord in binding.chords {
                    let modifiers = if chord.control { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
                    assert_eq!(press(chord.code, modifiers, kind), Some(binding.action));
                }
            }
        }
    }

    #[test]
    fn names_are_unique_and_every_page_has_a_key() {
        for (index, binding) in BINDINGS.iter().enumerate() {
            assert!(BINDINGS[..index].iter().all(|other| other.name != binding.name), "{}", binding.name);
        }
        for kind in Kind::TOPS {
            assert!(!of(Action::Go(*kind)).chords.is_empty(), "{kind:?}");
        }
    }

    #[test]
    fn what_takes_a_filter_has_the_key_for_it() {
        for kind in Kind::all() {
            assert_eq!(of(Action::Filter).is_on(kind), kind.grammar().is_some(), "{kind:?}");
        }
    }

    #[test]
    fn lower_case_looks_and_upper_case_changes() {
        for binding in BINDINGS {
            for chord in binding.chords {
                if let KeyCode::Char(character) = chord.code
                    && character.is_ascii_alphabetic()
                    && !chord.control
                    // To the end: upper case by old custom, and never a change.
                    && character != 'G'
                {
                    assert_eq!(binding.scope.is_some(), character.is_ascii_uppercase(), "{}", binding.name);
                }
                assert!(
                    !matches!(chord.code, KeyCode::Char('H' | 'J' | 'K' | 'L')),
                    "Caps Lock makes it of a movement"
                );
            }
        }
    }

    #[test]
    fn input_methods_and_caps_lock_change_no_meaning() {
        let press = |character, modifiers| press(KeyCode::Char(character), modifiers, Kind::Messages);
        assert_eq!(press('？', KeyModifiers::NONE), Some(Action::Help));
        assert_eq!(press('：', KeyModifiers::NONE), Some(Action::Command));
        assert_eq!(press('、', KeyModifiers::NONE), Some(Action::Filter));
        assert_eq!(press('ｑ', KeyModifiers::NONE), Some(Action::Quit));
        assert_eq!(press('J', KeyModifiers::SHIFT), Some(Action::Move(Step::Down)));
        assert_eq!(press('q', KeyModifiers::ALT), None);
        assert_eq!(press('中', KeyModifiers::NONE), None);
        assert_eq!(press('R', KeyModifiers::SHIFT), Some(Action::Retry));
        let elsewhere = binding(KeyEvent::new(KeyCode::Char('R'), KeyModifiers::SHIFT), Kind::Overview);
        assert!(elsewhere.is_none(), "a change that means nothing here does not become a look");
    }

    #[test]
    fn only_movement_repeats_and_a_release_is_nothing() {
        let event = |code, kind| {
            let event = KeyEvent::new_with_kind(code, KeyModifiers::NONE, kind);
            binding(event, Kind::Overview).map(|binding| binding.action)
        };
        assert_eq!(event(KeyCode::Char('j'), KeyEventKind::Repeat), Some(Action::Move(Step::Down)));
        assert_eq!(event(KeyCode::Char('r'), KeyEventKind::Repeat), None);
        assert_eq!(event(KeyCode::Char('q'), KeyEventKind::Release), None);
    }
}
