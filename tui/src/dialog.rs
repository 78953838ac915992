//! An act that somebody asks about: what it would do, what they have to say, whether they mean it, what came of it.
//!
//! Nothing that comes from the engine meanwhile changes what the dialog is for. What confirms is a fresh key, never Enter:
//! a key that was held when the question came, or that is pressed before it could be read, confirms nothing.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::acts::{Act, Plan, Progress, Secret, Step};
use crate::calls::Trouble;
use crate::input::Input;
use crate::keys::half_width;
use crate::words::Word;

/// How long the question stands before a key can answer it.
const ARMED_AFTER: Duration = Duration::from_millis(300);
/// Between two presses of one key that are two. A terminal that does not tell repeats apart sends them as presses.
const REPEAT_GAP: Duration = Duration::from_millis(150);

/// The dialog.
#[derive(Debug)]
pub(crate) struct Dialog {
    /// Its number.
    pub(crate) number: u64,
    /// What it is about.
    pub(crate) act: Act,
    /// What it would do; `None` until the engine said so.
    pub(crate) plan: Option<Plan>,
    /// What somebody has to say first.
    pub(crate) fields: Vec<Field>,
    /// How far it got.
    pub(crate) stage: Stage,
    /// The last key and when it came.
    last_key: Option<(KeyCode, Duration)>,
}

/// How far a dialog got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The engine is asked what it would do.
    Planning,
    /// A field is filled.
    Filling(usize),
    /// The question stands, since then.
    Asking(Duration),
    /// It is carried out.
    Doing(Progress),
    /// It came to its end.
    Done(Progress),
    /// It came to nothing.
    Refused(Trouble, Progress),
}

/// Something to say first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// What.
    pub(crate) label: Word,
    /// What was said.
    pub(crate) input: Input,
    /// What has to be said.
    pub(crate) rule: Rule,
    /// Whether it was said wrong.
    pub(crate) wrong: bool,
}

/// What has to stand in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// This number.
    Count(u64),
    /// Something.
    Needed,
    /// Anything, or nothing.
    Free,
    /// The names and values of a credential; what is typed is not shown.
    Secret,
}

impl Rule {
    fn takes(self, text: &str) -> bool {
        match self {
            Rule::Count(count) => text.replace([',', '，'], "").parse() == Ok(count),
            Rule::Needed => !text.is_empty(),
            Rule::Free => true,
            Rule::Secret => Secret::is_pairs(text),
        }
    }
}

/// What a key in a dialog comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Nothing.
    Nothing,
    /// It looks different.
    Changed,
    /// The dialog is over.
    Close,
    /// All that the engine has to know was said: ask it what the act would do.
    Plan,
    /// Carry it out.
    CarryOut,
}

impl Dialog {
    /// Asks about an act.
    pub(crate) fn new(number: u64, act: Act, plan: Option<Plan>, now: Duration) -> Dialog {
        let fields: Vec<Field> = act.fields().iter().map(|(label, rule)| field(*label, *rule)).collect();
        let mut dialog = Dialog { number, act, plan: None, fields, stage: Stage::Planning, last_key: None };
        match plan {
            Some(plan) => dialog.planned(Ok(plan), now),
            None if !dialog.fields.is_empty() => dialog.fill_from_the_start(now),
            None => {}
        }
        dialog
    }

    /// Takes what the act would do.
    pub(crate) fn planned(&mut self, result: Result<Plan, Trouble>, now: Duration) {
        if self.stage != Stage::Planning {
            return;
        }
        let plan = match result {
            Ok(plan) => plan,
            Err(trouble) => {
                self.stage = Stage::Refused(trouble, Progress::default());
                return;
            }
        };
        // Those of the act were filled for the plan, or are filled now.
        let first = if self.act.needs_plan() { self.fields.len() } else { 0 };
        if plan.count > 1 {
            self.fields.push(field(Word::FieldCount, Rule::Count(plan.count)));
        }
        let reason = if plan.count > 1 || self.act.needs_reason() { Rule::Needed } else { Rule::Free };
        if self.act.takes_reason() {
            self.fields.push(field(Word::FieldReason, reason));
        }
        // With nothing to do there is nothing to ask.
        self.stage = match plan.count {
            0 => Stage::Done(Progress::default()),
            _ if first < self.fields.len() => Stage::Filling(first),
            _ => Stage::Asking(now),
        };
        self.plan = Some(plan);
        self.last_key = self.last_key.or(Some((KeyCode::Null, now)));
    }

    fn fill_from_the_start(&mut self, now: Duration) {
        self.stage = Stage::Filling(0);
        self.last_key = Some((KeyCode::Null, now));
    }

    /// A field of the act is another one by now: what the engine said is no longer about it.
    fn unplan(&mut self, index: usize) {
        let of_act = self.act.fields().len();
        if self.act.needs_plan() && index < of_act && self.plan.take().is_some() {
            self.fields.truncate(of_act);
        }
    }

    /// Takes how far it got.
    pub(crate) fn advanced(&mut self, result: Result<Step, Trouble>) {
        let Stage::Doing(progress) = &mut self.stage else { return };
        let mut progress = std::mem::take(progress);
        self.stage = match result {
            Ok(step) => {
                progress.take(&step);
                if step.next.is_some() { Stage::Doing(progress) } else { Stage::Done(progress) }
            }
            Err(trouble) => Stage::Refused(trouble, progress),
        };
    }

    /// Why, in the words of whoever does it.
    pub(crate) fn reason(&self) -> Option<String> {
        let field = self.fields.iter().find(|field| field.label == Word::FieldReason)?;
        Some(field.input.trimmed()).filter(|reason| !reason.is_empty())
    }

    /// The act, with all that was said of it.
    pub(crate) fn filled(&self) -> Act {
        let said: Vec<(Word, String)> = self.fields.iter().map(|field| (field.label, field.input.trimmed())).collect();
        self.act.filled(&said)
    }

    /// Text was pasted.
    pub(crate) fn paste(&mut self, text: &str) -> Reply {
        let Stage::Filling(index) = self.stage else { return Reply::Nothing };
        self.fields[index].input.paste(text);
        self.fields[index].wrong = false;
        self.unplan(index);
        Reply::Changed
    }

    /// A key was pressed.
    pub(crate) fn press(&mut self, event: KeyEvent, now: Duration) -> Reply {
        if event.kind == KeyEventKind::Release {
            return Reply::Nothing;
        }
        let again = self.last_key.replace((event.code, now)).filter(|(code, _)| *code == event.code);
        let is_held =
            event.kind == KeyEventKind::Repeat || again.is_some_and(|(_, at)| now.saturating_sub(at) < REPEAT_GAP);
        let control_c = event.code == KeyCode::Char('c') && event.modifiers.contains(KeyModifiers::CONTROL);
        if event.code == KeyCode::Esc || control_c {
            return Reply::Close;
        }
        match self.stage {
            Stage::Filling(index) => self.fill(index, event, now),
            Stage::Asking(since) => {
                let confirms = match event.code {
                    KeyCode::Char(character) => half_width(character) == self.act.key(),
                    _ => false,
                };
                if confirms && !is_held && now.saturating_sub(since) >= ARMED_AFTER {
                    self.stage = Stage::Doing(Progress::default());
                    Reply::CarryOut
                } else if matches!(event.code, KeyCode::BackTab | KeyCode::Up) {
                    self.stage = Stage::Filling(self.fields.len().saturating_sub(1));
                    Reply::Changed
                } else {
                    Reply::Nothing
                }
            }
            Stage::Planning | Stage::Doing(_) => Reply::Nothing,
            // There is nothing to decide any more.
            Stage::Done(_) | Stage::Refused(..) if is_held => Reply::Nothing,
            Stage::Done(_) | Stage::Refused(..) => Reply::Close,
        }
    }

    fn fill(&mut self, index: usize, event: KeyEvent, now: Duration) -> Reply {
        match event.code {
            KeyCode::Enter | KeyCode::Tab | KeyCode::Down => {
                let field = &mut self.fields[index];
                field.wrong = !field.rule.takes(&field.input.trimmed());
                if field.wrong {
                    return Reply::Changed;
                }
                let next = index + 1;
                self.stage = match next < self.fields.len() {
                    true => Stage::Filling(next),
                    false if self.plan.is_none() => Stage::Planning,
                    false => Stage::Asking(now),
                };
                if self.stage == Stage::Planning { Reply::Plan } else { Reply::Changed }
            }
            KeyCode::BackTab | KeyCode::Up => {
                self.stage = Stage::Filling(index.saturating_sub(1));
                Reply::Changed
            }
            _ => {
                let field = &mut self.fields[index];
                field.wrong = false;
                if !field.input.take(event) {
                    return Reply::Nothing;
                }
                self.unplan(index);
                Reply::Changed
            }
        }
    }
}

fn field(label: Word, rule: Rule) -> Field {
    Field { label, input: Input::default(), rule, wrong: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acts::Deed;
    use crate::filter::Filter;

    fn one() -> Dialog {
        let act = Act::Messages { deed: Deed::Retry, ids: vec!["msg_7".to_owned()] };
        Dialog::new(1, act, Some(Plan::of(1)), Duration::ZERO)
    }

    fn many() -> Dialog {
        let act = Act::Matching { deed: Deed::Retry, filter: Filter::parse("failed").unwrap() };
        let mut dialog = Dialog::new(1, act, None, Duration::ZERO);
        assert_eq!(dialog.stage, Stage::Planning);
        dialog.planned(Ok(Plan { count: 1_204, ..Plan::default() }), Duration::ZERO);
        dialog
    }

    fn press(dialog: &mut Dialog, ms: u64, code: KeyCode) -> Reply {
        dialog.press(KeyEvent::new(code, KeyModifiers::NONE), Duration::from_millis(ms))
    }

    fn typed(dialog: &mut Dialog, text: &str) {
        for character in text.chars() {
            press(dialog, 0, KeyCode::Char(character));
        }
        press(dialog, 0, KeyCode::Enter);
    }

    #[test]
    fn one_message_takes_a_free_reason_and_a_fresh_key() {
        let mut dialog = one();
        assert_eq!(press(&mut dialog, 0, KeyCode::Enter), Reply::Changed);
        assert_eq!(press(&mut dialog, 1_000, KeyCode::Char('R')), Reply::CarryOut);
        assert_eq!(dialog.reason(), None);
    }

    #[test]
    fn enter_never_confirms_however_often() {
        let mut dialog = one();
        for ms in (0..10_000).step_by(500) {
            assert_ne!(press(&mut dialog, ms, KeyCode::Enter), Reply::CarryOut);
        }
        for code in [KeyCode::Char('y'), KeyCode::Char('r'), KeyCode::Char(' '), KeyCode::Tab] {
            assert_ne!(press(&mut dialog, 20_000, code), Reply::CarryOut, "{code}");
        }
    }

    #[test]
    fn a_key_that_is_held_or_came_too_early_confirms_nothing() {
        let mut dialog = one();
        // Held from the list on: it is written into the reason, where it can be seen.
        for ms in 0..50 {
            assert_eq!(press(&mut dialog, ms * 30, KeyCode::Char('R')), Reply::Changed);
        }
        press(&mut dialog, 2_000, KeyCode::Enter);
        assert_eq!(press(&mut dialog, 2_299, KeyCode::Char('R')), Reply::Nothing, "before it could be read");
        for ms in (2_330..4_000).step_by(100) {
            assert_eq!(press(&mut dialog, ms, KeyCode::Char('R')), Reply::Nothing, "a repeat sent as a press");
        }
        let mut repeat = KeyEvent::new(KeyCode::Char('R'), KeyModifiers::NONE);
        repeat.kind = KeyEventKind::Repeat;
        assert_eq!(dialog.press(repeat, Duration::from_secs(10)), Reply::Nothing);
        assert_eq!(press(&mut dialog, 20_000, KeyCode::Char('R')), Reply::CarryOut);
    }

    #[test]
    fn many_take_their_count_and_a_reason() {
        let mut dialog = many();
        typed(&mut dialog, "1203");
        assert_eq!((&dialog.stage, dialog.fields[0].wrong), (&Stage::Filling(0), true));
        press(&mut dialog, 0, KeyCode::Backspace);
        typed(&mut dialog, "4");
        assert_eq!(dialog.stage, Stage::Filling(1));
        typed(&mut dialog, "  ");
        assert_eq!(dialog.stage, Stage::Filling(1), "blanks are no reason");
        typed(&mut dialog, "provider was down");
        assert_eq!(press(&mut dialog, 1_000, KeyCode::Char('Q')), Reply::CarryOut);
        assert_eq!(dialog.reason().as_deref(), Some("provider was down"));
    }

    #[test]
    fn a_backfill_says_from_when_then_what_that_is_and_is_planned_anew_when_that_changes() {
        let mut dialog = Dialog::new(1, Act::backfill("digest"), None, Duration::ZERO);
        typed(&mut dialog, "");
        assert_eq!(dialog.stage, Stage::Filling(0), "from when has to be said");
        typed(&mut dialog, "2h");
        assert_eq!(dialog.stage, Stage::Filling(1));
        assert_eq!(press(&mut dialog, 0, KeyCode::Enter), Reply::Plan);
        let asked = Act::Backfill { name: "digest".to_owned(), from: "2h".to_owned(), to: String::new() };
        assert_eq!((&dialog.stage, dialog.filled()), (&Stage::Planning, asked));
        let plan = Plan { count: 7, ..Plan::default() };
        dialog.planned(Ok(plan.clone()), Duration::ZERO);
        assert_eq!((&dialog.stage, dialog.fields.len()), (&Stage::Filling(2), 4), "its count and a reason");
        // Back to the first field, and another word in it.
        for _ in 0..2 {
            press(&mut dialog, 0, KeyCode::BackTab);
        }
        press(&mut dialog, 0, KeyCode::Char('h'));
        assert_eq!((&dialog.plan, dialog.fields.len()), (&None, 2), "what was planned is no longer asked about");
        press(&mut dialog, 0, KeyCode::Enter);
        assert_eq!(press(&mut dialog, 0, KeyCode::Enter), Reply::Plan);
        dialog.planned(Ok(plan), Duration::ZERO);
        typed(&mut dialog, "7");
        typed(&mut dialog, "the audience was empty");
        assert_eq!(press(&mut dialog, 1_000, KeyCode::Char('B')), Reply::CarryOut);
    }

    #[test]
    fn escape_leaves_at_every_stage() {
        for presses in 0..4 {
            let mut dialog = many();
            for _ in 0..presses {
                typed(&mut dialog, "1204");
            }
            assert_eq!(press(&mut dialog, 9_000, KeyCode::Esc), Reply::Close);
        }
        let act = Act::Matching { deed: Deed::Retry, filter: Filter::default() };
        assert_eq!(press(&mut Dialog::new(1, act, None, Duration::ZERO), 0, KeyCode::Esc), Reply::Close);
    }

    #[test]
    fn a_plan_for_nothing_asks_nothing() {
        let act = Act::Matching { deed: Deed::Cancel, filter: Filter::default() };
        let mut dialog = Dialog::new(1, act, None, Duration::ZERO);
        dialog.planned(Ok(Plan::default()), Duration::ZERO);
        assert_eq!(dialog.stage, Stage::Done(Progress::default()));
        assert_eq!(press(&mut dialog, 900, KeyCode::Char('C')), Reply::Close);
    }

    #[test]
    fn what_came_of_it_adds_up_and_a_trouble_keeps_what_was_done() {
        let mut dialog = one();
        press(&mut dialog, 0, KeyCode::Enter);
        press(&mut dialog, 1_000, KeyCode::Char('R'));
        let more = Some(crate::acts::Place::Index(1));
        dialog.advanced(Ok(Step { moved: 10, left: 5, next: more.clone(), ..Step::default() }));
        dialog.advanced(Ok(Step { passed_over: 1, refused: Some("no".to_owned()), next: more, ..Step::default() }));
        let Stage::Doing(progress) = dialog.stage.clone() else { panic!("{:?}", dialog.stage) };
        assert_eq!((progress.moved, progress.passed_over, progress.refused), (10, 1, 1));
        dialog.advanced(Err(Trouble::Slow));
        assert_eq!(dialog.stage, Stage::Refused(Trouble::Slow, progress));
    }
}
