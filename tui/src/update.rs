//! What a message changes: a function of the state and the message. It reads no clock and does nothing else.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tidings_api::wire::{Counts, Node, Overview};

use crate::acts::{Act, Plan};
use crate::calls::{Answer, Request, Trouble};
use crate::completion::{self, Known};
use crate::connection::DEEDS_MAX;
use crate::cursor::Step;
use crate::dialog::{Dialog, Reply, Stage};
use crate::filter;
use crate::input::Input;
use crate::keys::{self, Action, Binding};
use crate::message::{Effect, Message};
use crate::page::{self, Kind, Page, Reaction};
use crate::state::{DETAILS_MAX, Link, Note, Overlay, Picture, Prompt, Shown, State};
use crate::view::{help, paint::Hit};
use crate::words::Word;

/// Rows that the wheel moves.
const WHEEL_ROWS: usize = 3;
/// By how much a picture's clock may be off from where the one before it should be by now: calls do not all take as long.
const CLOCK_JITTER_MAX: TimeDelta = TimeDelta::milliseconds(500);

/// Takes a message in; `now` is the time since the screen began.
pub(crate) fn update(state: &mut State, now: Duration, message: Message) -> Option<Effect> {
    state.shared.now = now;
    match message {
        Message::Key(event) => return press(state, event),
        Message::Paste(text) => paste(state, &text),
        Message::Click(hit) => return click(state, hit),
        Message::Wheel { down } if matches!(state.overlay, Overlay::None | Overlay::Help(_)) => {
            let step = if down { Step::Down } else { Step::Up };
            let effects: Vec<Effect> = (0..WHEEL_ROWS).filter_map(|_| act(state, Action::Move(step))).collect();
            debug_assert!(effects.is_empty(), "moving asks for nothing");
        }
        Message::Wheel { .. } => {}
        Message::Resize { columns, rows } => {
            state.shared.size = (columns, rows);
            state.dirty = true;
            settle(state);
        }
        Message::Answered { request, result, came_at } => answered(state, &request, result, came_at),
        Message::Planned { dialog, result } => {
            if let Some(open) = dialog_mut(state, dialog) {
                open.planned(result, now);
                state.dirty = true;
            }
        }
        Message::Advanced { dialog, result } => {
            let is_over = result.as_ref().map_or(true, |step| step.next.is_none());
            if is_over {
                state.under_way = state.under_way.saturating_sub(1);
            }
            match dialog_mut(state, dialog) {
                Some(open) => open.advanced(result),
                None if is_over => {
                    let good = result.is_ok();
                    let word = if good { Word::ActEnded } else { Word::ActBroke };
                    state.note = Some(Note { text: word.text(state.shared.language()).to_owned(), good });
                }
                None => {}
            }
            state.dirty = true;
        }
        // Ages and clocks move; whether anything that is seen does, the loop finds out.
        Message::Tick => {
            state.dirty |= state.shared.picture.is_some();
            state.shared.trend.catch_up();
        }
    }
    None
}

fn dialog_mut(state: &mut State, number: u64) -> Option<&mut Dialog> {
    match &mut state.overlay {
        Overlay::Dialog(dialog) if dialog.number == number => Some(dialog),
        _ => None,
    }
}

fn press(state: &mut State, event: KeyEvent) -> Option<Effect> {
    let is_control_c = event.code == KeyCode::Char('c') && event.modifiers.contains(KeyModifiers::CONTROL);
    if event.kind != KeyEventKind::Release {
        state.dirty |= state.note.take().is_some();
    }
    match &mut state.overlay {
        Overlay::Dialog(_) => press_in_dialog(state, event),
        Overlay::Prompt(_) if is_control_c => Some(Effect::Quit),
        Overlay::Prompt(_) => press_in_prompt(state, event),
        Overlay::None | Overlay::Help(_) => {
            let binding = keys::binding(event, state.shown().page.kind())?;
            if is_control_c {
                return Some(Effect::Quit);
            }
            run(state, binding)
        }
    }
}

/// Does what a row of the table says, unless something is against it.
fn run(state: &mut State, binding: &'static Binding) -> Option<Effect> {
    if let Some(reason) = refusal(state, binding) {
        state.note = Some(Note { text: reason, good: false });
        state.dirty = true;
        return None;
    }
    act(state, binding.action)
}

/// Why a key does nothing now, if it does nothing.
pub(crate) fn refusal(state: &State, binding: &Binding) -> Option<String> {
    let language = state.shared.language();
    if let Some(scope) = binding.scope {
        if state.shared.link() != Link::Live {
            return Some(Word::RefusedStale.text(language).to_owned());
        }
        match &state.shared.hello {
            None => return Some(Word::RefusedUnknown.text(language).to_owned()),
            Some(hello) if !hello.scopes.iter().any(|other| other == scope) => {
                return Some(Word::RefusedScope.with(language, &[&hello.caller, scope]));
            }
            Some(_) => {}
        }
    }
    state.shown().page.refuses(binding.action, &state.shared)
}

fn act(state: &mut State, action: Action) -> Option<Effect> {
    match (action, &mut state.overlay) {
        (Action::Quit, _) if state.under_way > 0 => {
            let text = Word::QuitWhileActing.text(state.shared.language()).to_owned();
            state.note = Some(Note { text, good: false });
            state.dirty = true;
        }
        (Action::Quit, _) => return Some(Effect::Quit),
        (Action::Refresh, _) => return Some(Effect::Refresh),
        (Action::Redraw, _) => {
            state.dirty = true;
            return Some(Effect::Redraw);
        }
        (Action::Help | Action::Back, Overlay::Help(_)) => {
            state.overlay = Overlay::None;
            state.dirty = true;
        }
        (Action::Help, _) => {
            state.overlay = Overlay::Help(0);
            state.dirty = true;
        }
        (Action::Move(step), Overlay::Help(top)) => {
            let top = *top;
            let (rows, seen) = (help::rows(state), help::rows_seen(&state.shared));
            let moved = match step {
                Step::Down => top + 1,
                Step::Up => top.saturating_sub(1),
                Step::PageDown => top + seen.max(1),
                Step::PageUp => top.saturating_sub(seen.max(1)),
                Step::First => 0,
                Step::Last => rows,
            }
            .min(rows.saturating_sub(seen));
            state.dirty |= moved != top;
            state.overlay = Overlay::Help(moved);
        }
        (Action::Command, _) => prompt(state, true, ""),
        (Action::Filter, _) => {
            if let Some(filter) = state.shown().page.filter() {
                // A blank, so that typing goes on behind it.
                let filter = if filter.is_empty() { filter } else { format!("{filter} ") };
                prompt(state, false, &filter);
            }
        }
        (Action::Go(kind), _) => {
            state.overlay = Overlay::None;
            go(state, kind, None);
        }
        (Action::Back, _) => back(state),
        (action, _) => {
            state.overlay = Overlay::None;
            let State { shared, tops, details, current, .. } = state;
            let shown = details.last_mut().unwrap_or(&mut tops[*current]);
            let reaction = shown.page.act(action, shared);
            return react(state, reaction);
        }
    }
    None
}

fn react(state: &mut State, reaction: Reaction) -> Option<Effect> {
    match reaction {
        Reaction::Nothing => {}
        Reaction::Changed => state.dirty = true,
        Reaction::Go(kind, filter) => go(state, kind, filter.as_deref()),
        Reaction::Open(page) => open(state, page),
        Reaction::Ask(act, plan) => return ask(state, act, plan),
    }
    None
}

fn ask(state: &mut State, act: Act, plan: Option<Plan>) -> Option<Effect> {
    state.dialogs += 1;
    let number = state.dialogs;
    debug_assert_eq!(act.needs_plan(), plan.is_none());
    let dialog = Dialog::new(number, act, plan, state.shared.now);
    let effect = (dialog.stage == Stage::Planning).then(|| Effect::Plan { dialog: number, act: dialog.act.clone() });
    state.overlay = Overlay::Dialog(Box::new(dialog));
    state.dirty = true;
    effect
}

/// Shows a page of the row of pages, or one that lies over them.
fn go(state: &mut State, kind: Kind, filter: Option<&str>) {
    if let Some(page) = page::over(kind) {
        if state.shown().page.kind() != kind {
            open(state, page);
        }
        return;
    }
    let Some(index) = state.tops.iter().position(|shown| shown.page.kind() == kind) else { return };
    state.details.clear();
    state.current = index;
    state.dirty = true;
    settle(state);
    if let Some(filter) = filter {
        set_filter(state, filter);
    }
}

/// Lays a page over the one that is shown.
fn open(state: &mut State, page: Box<dyn Page>) {
    if state.details.len() == DETAILS_MAX {
        state.details.remove(0);
    }
    state.details.push(Shown::new(page));
    state.dirty = true;
}

/// Takes another filter; where it is none, says why and leaves it.
fn set_filter(state: &mut State, text: &str) -> bool {
    let State { shared, tops, details, current, .. } = state;
    let shown = details.last_mut().unwrap_or(&mut tops[*current]);
    match shown.page.set_filter(text, shared) {
        Ok(()) => {
            (shown.came_at, shown.trouble) = (None, None);
            true
        }
        Err(problem) => {
            match &mut state.overlay {
                Overlay::Prompt(prompt) => prompt.problem = Some(problem),
                _ => state.note = Some(Note { text: problem, good: false }),
            }
            false
        }
    }
}

/// One layer back: what the page has to give up, the filter, the page itself.
fn back(state: &mut State) {
    let State { shared, tops, details, current, .. } = state;
    let shown = details.last_mut().unwrap_or(&mut tops[*current]);
    if let Reaction::Changed = shown.page.act(Action::Back, shared) {
        state.dirty = true;
    } else if state.details.pop().is_some() {
        state.dirty = true;
        settle(state);
    } else if state.shown().page.filter().is_some_and(|filter| !filter.is_empty()) {
        set_filter(state, "");
        state.dirty = true;
    }
}

fn prompt(state: &mut State, is_command: bool, text: &str) {
    state.overlay =
        Overlay::Prompt(Prompt { is_command, input: Input::of(text), problem: None, candidates: Vec::new() });
    state.dirty = true;
}

fn press_in_prompt(state: &mut State, event: KeyEvent) -> Option<Effect> {
    let kind = state.shown().page.kind();
    let State { overlay: Overlay::Prompt(prompt), shared, .. } = state else { return None };
    if event.kind == KeyEventKind::Release {
        return None;
    }
    match event.code {
        KeyCode::Tab => {
            let overview = shared.picture.as_ref().map(|picture| &picture.overview);
            let channels = overview.map_or(&[][..], |overview| &overview.channels);
            let channels: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
            let schedules = overview.map_or(&[][..], |overview| &overview.schedules);
            let schedules: Vec<&str> = schedules.iter().map(|schedule| schedule.name.as_str()).collect();
            let known = Known { channels: &channels, schedules: &schedules };
            let text = prompt.input.text();
            let completion = if prompt.is_command {
                completion::of_command(&text, kind, known)
            } else {
                completion::of_filter(&text, kind.grammar().unwrap_or(filter::NOTHING), known)
            };
            prompt.input = Input::of(&completion.text);
            prompt.candidates = completion.candidates;
            prompt.problem = None;
            state.dirty = true;
        }
        KeyCode::Esc => {
            state.overlay = Overlay::None;
            state.dirty = true;
        }
        KeyCode::Backspace if prompt.input.is_empty() => {
            state.overlay = Overlay::None;
            state.dirty = true;
        }
        KeyCode::Enter => {
            let text = prompt.input.trimmed();
            state.dirty = true;
            if prompt.is_command {
                return command(state, &text);
            }
            if set_filter(state, &text) {
                state.overlay = Overlay::None;
            }
        }
        _ => {
            if prompt.input.take(event) {
                prompt.problem = None;
                prompt.candidates.clear();
                state.dirty = true;
            }
        }
    }
    None
}

/// A command: the name of a row of the table, and of a page perhaps its filter.
fn command(state: &mut State, text: &str) -> Option<Effect> {
    let (name, rest) = text.split_once(char::is_whitespace).map_or((text, ""), |(name, rest)| (name, rest.trim()));
    if name.is_empty() {
        state.overlay = Overlay::None;
        return None;
    }
    let language = state.shared.language();
    let kind = state.shown().page.kind();
    let by_title = || {
        let titled = Kind::TOPS.iter().find(|kind| kind.title().text(language).eq_ignore_ascii_case(name))?;
        Some(keys::of(Action::Go(*titled)))
    };
    // A few letters are enough where they can mean only one thing.
    let by_beginning = || {
        let mut beginning =
            keys::BINDINGS.iter().filter(|binding| binding.is_on(kind) && binding.name.starts_with(name));
        beginning.next().filter(|_| beginning.next().is_none())
    };
    let found = keys::named(name).filter(|binding| binding.is_on(kind)).or_else(by_title).or_else(by_beginning);
    let Some(binding) = found else {
        if let Overlay::Prompt(prompt) = &mut state.overlay {
            prompt.problem = Some(Word::UnknownCommand.with(language, &[name]));
        }
        return None;
    };
    state.overlay = Overlay::None;
    match binding.action {
        Action::Go(kind) if !rest.is_empty() => {
            go(state, kind, Some(rest));
            None
        }
        Action::ShowMessage => {
            let id = if rest.starts_with("msg_") { rest.to_owned() } else { format!("msg_{rest}") };
            open(state, page::of_message(id));
            None
        }
        Action::Filter if !rest.is_empty() => {
            set_filter(state, rest);
            None
        }
        _ => run(state, binding),
    }
}

fn press_in_dialog(state: &mut State, event: KeyEvent) -> Option<Effect> {
    let (language, link, now) = (state.shared.language(), state.shared.link(), state.shared.now);
    let Overlay::Dialog(dialog) = &mut state.overlay else { return None };
    let before = dialog.stage.clone();
    match dialog.press(event, now) {
        Reply::Nothing => None,
        Reply::Changed => {
            state.dirty = true;
            None
        }
        Reply::Plan => {
            state.dirty = true;
            Some(Effect::Plan { dialog: dialog.number, act: dialog.filled() })
        }
        Reply::Close => {
            if let Stage::Doing(_) = dialog.stage {
                let text = Word::ActGoesOn.text(language).to_owned();
                state.note = Some(Note { text, good: true });
            }
            state.overlay = Overlay::None;
            state.dirty = true;
            None
        }
        // What was planned may no longer be what it was; and no more acts are begun than wait for one another.
        Reply::CarryOut if link != Link::Live || state.under_way >= DEEDS_MAX => {
            dialog.stage = before;
            let word = if link == Link::Live { Word::RefusedBusy } else { Word::RefusedStale };
            state.note = Some(Note { text: word.text(language).to_owned(), good: false });
            state.dirty = true;
            None
        }
        Reply::CarryOut => {
            let place = dialog.plan.as_ref().map(|plan| plan.place.clone()).unwrap_or_default();
            let effect =
                Effect::CarryOut { dialog: dialog.number, act: dialog.filled(), reason: dialog.reason(), place };
            state.under_way += 1;
            state.dirty = true;
            Some(effect)
        }
    }
}

fn paste(state: &mut State, text: &str) {
    match &mut state.overlay {
        Overlay::Prompt(prompt) => {
            prompt.input.paste(text);
            prompt.problem = None;
            state.dirty = true;
        }
        Overlay::Dialog(dialog) => state.dirty |= dialog.paste(text) == Reply::Changed,
        // Pasted text is no sequence of commands.
        Overlay::None | Overlay::Help(_) => {}
    }
}

fn click(state: &mut State, hit: Hit) -> Option<Effect> {
    match (&state.overlay, hit) {
        (Overlay::Dialog(_), _) => None,
        (_, Hit::Action(action)) => run(state, keys::of(action)),
        (Overlay::None, Hit::Row { list, row }) => {
            let State { shared, tops, details, current, .. } = state;
            let shown = details.last_mut().unwrap_or(&mut tops[*current]);
            let reaction = shown.page.click(list, row, shared);
            react(state, reaction)
        }
        _ => None,
    }
}

/// Every page that is shown may have to be another by now.
fn settle(state: &mut State) {
    let State { shared, tops, details, current, .. } = state;
    let shown = details.last_mut().unwrap_or(&mut tops[*current]);
    shown.page.settle(shared);
    if let Overlay::Help(top) = state.overlay {
        let rows = help::rows(state).saturating_sub(help::rows_seen(&state.shared));
        state.overlay = Overlay::Help(top.min(rows));
    }
}

fn answered(state: &mut State, request: &Request, result: Result<Answer, Trouble>, came_at: Duration) {
    match (request, result) {
        (Request::Overview, Ok(Answer::Overview(overview))) => picture(state, overview, came_at),
        (Request::Overview, Err(trouble)) => {
            let trouble = Some(trouble);
            state.dirty |= state.shared.trouble != trouble;
            state.shared.trouble = trouble;
        }
        (Request::Hello, Ok(Answer::Hello(hello))) => {
            let hello = Some(hello);
            state.dirty |=
                state.shared.hello.as_ref().map(|known| &known.scopes) != hello.as_ref().map(|new| &new.scopes);
            state.shared.hello = hello;
        }
        // The pulse tells what is wrong.
        (Request::Hello, Err(_)) => {}
        (_, result) => {
            if state.wants().as_ref() != Some(request) {
                return;
            }
            let State { shared, tops, details, current, .. } = state;
            let shown = details.last_mut().unwrap_or(&mut tops[*current]);
            match result {
                Ok(answer) => {
                    (shown.came_at, shown.trouble) = (Some(came_at), None);
                    shown.page.take(request, answer, shared);
                }
                Err(trouble) => shown.trouble = Some(trouble),
            }
            state.dirty = true;
        }
    }
}

fn picture(state: &mut State, overview: Arc<Overview>, came_at: Duration) {
    let shared = &mut state.shared;
    let (link, expected_at) = (shared.link(), shared.engine_now());
    let before = shared.picture.take();
    let new = Picture::new(overview, came_at);
    // A clock that goes as it did tells nothing: the frame knows until when it holds.
    let is_on_time = expected_at
        .zip(new.engine_at)
        .is_some_and(|(expected, found)| found.signed_duration_since(expected).abs() <= CLOCK_JITTER_MAX);
    let mut is_news = before.as_ref().is_none_or(|before| !is_same_but_for_its_clock(&before.overview, &new.overview));
    is_news |= !is_on_time;
    if before.as_ref().is_some_and(|before| before.overview.started_at != new.overview.started_at) {
        shared.pace.restart();
        shared.trend.restart();
        shared.paces.clear();
    }
    if let Some(at) = new.engine_at {
        // A receipt moves a message from `sent` to `delivered`; it left once.
        let left = |counts: &Counts| counts.sent.saturating_add(counts.delivered);
        is_news |= shared.pace.take(at, left(&new.overview.states));
        is_news |= shared.trend.take(at, left(&new.overview.states));
        let mut before = std::mem::take(&mut shared.paces);
        for channel in &new.overview.channels {
            let mut pace = before.remove(&channel.name).unwrap_or_default();
            is_news |= pace.take(at, left(&channel.counts));
            shared.paces.insert(channel.name.clone(), pace);
        }
    }
    shared.trouble = None;
    shared.picture = Some(new);
    if is_news || shared.link() != link {
        shared.trend.catch_up();
        state.dirty = true;
        settle(state);
    }
}

/// What a picture shows of a node: its lease grows older all the time, and its load is another each second.
fn said_of(node: &Node) -> (Option<i64>, bool, bool, bool) {
    (node.id, node.draining, node.gone, node.config_differs)
}

/// Whether two pictures differ in nothing but when they were taken.
fn is_same_but_for_its_clock(one: &Overview, other: &Overview) -> bool {
    let Overview {
        version,
        now: _,
        started_at,
        draining,
        states,
        late_outcomes,
        store_problem,
        channels,
        schedules,
        tokens,
        webhooks,
        nodes,
        recent,
    } = one;
    (version, started_at, draining, states, late_outcomes, store_problem)
        == (
            &other.version,
            &other.started_at,
            &other.draining,
            &other.states,
            &other.late_outcomes,
            &other.store_problem,
        )
        && (channels, schedules, tokens, webhooks, recent)
            == (&other.channels, &other.schedules, &other.tokens, &other.webhooks, &other.recent)
        && nodes.iter().map(said_of).eq(other.nodes.iter().map(said_of))
}
