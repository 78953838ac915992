//! Channels: how each stands, what stopped in the one under the cursor, pausing and resuming.

use ratatui::layout::Rect;
use tidings_api::wire::{Channel, Reason};

use super::overview::channels;
use super::{Kind, Page, Reaction};
use crate::acts::{Act, Plan};
use crate::calls::{Answer, Request};
use crate::cursor::Cursor;
use crate::filter::Filter;
use crate::keys::Action;
use crate::state::Shared;
use crate::text::Clean;
use crate::theme::{Role, message_role, state_role};
use crate::view::paint::{Painter, Piece, inset, rows};
use crate::view::table::{self, Column, Fit, Rows, cell, marked};
use crate::words::{Word, count, message_state};

/// From so many rows on there is room for what stopped in the channel under the cursor.
const REASONS_ROWS_MIN: u16 = 12;

const COLUMNS: &[Column] = &[
    Column { title: Word::Name, keep: 99, fit: Fit::Cut(12) },
    Column { title: Word::State, keep: 90, fit: Fit::Cut(8) },
    Column { title: Word::Queued, keep: 80, fit: Fit::Number },
    Column { title: Word::Sending, keep: 40, fit: Fit::Number },
    Column { title: Word::Waiting, keep: 50, fit: Fit::Number },
    Column { title: Word::Later, keep: 30, fit: Fit::Number },
    Column { title: Word::Held, keep: 20, fit: Fit::Number },
    Column { title: Word::Out, keep: 55, fit: Fit::Number },
    Column { title: Word::Failed, keep: 70, fit: Fit::Number },
    Column { title: Word::Unknown, keep: 35, fit: Fit::Number },
    Column { title: Word::Rate, keep: 25, fit: Fit::Whole },
    Column { title: Word::App, keep: 22, fit: Fit::Cut(6) },
    Column { title: Word::Note, keep: 60, fit: Fit::Note(10) },
];

const REASONS: &[Column] = &[
    Column { title: Word::Number, keep: 90, fit: Fit::Number },
    Column { title: Word::State, keep: 80, fit: Fit::Whole },
    Column { title: Word::Reason, keep: 99, fit: Fit::Cut(10) },
    Column { title: Word::Template, keep: 50, fit: Fit::Cut(8) },
    Column { title: Word::When, keep: 60, fit: Fit::Whole },
    Column { title: Word::Id, keep: 40, fit: Fit::Whole },
];

/// The page.
#[derive(Debug, Default)]
pub(crate) struct ChannelsPage {
    cursor: Cursor,
    /// What stopped in the channel of that name.
    reasons: Option<(String, Vec<Reason>)>,
    /// The channel under the cursor, as of the last picture.
    name: Option<String>,
}

impl ChannelsPage {
    /// Where the list stands, and where what stopped, if there is room.
    fn parts(shared: &Shared, area: Rect) -> (Rect, Option<Rect>) {
        if area.height < REASONS_ROWS_MIN {
            return (area, None);
        }
        let listed = shared.picture.as_ref().map_or(0, |picture| picture.overview.channels.len());
        // The titles and the rows, but for a third of the page.
        let wanted = u16::try_from(listed).unwrap_or(u16::MAX).saturating_add(1);
        let height = wanted.min(area.height - area.height / 3);
        let below = Rect { y: area.y + height, height: area.height - height, ..area };
        (Rect { height, ..area }, Some(below))
    }

    fn seen(shared: &Shared) -> usize {
        usize::from(ChannelsPage::parts(shared, shared.content()).0.height.saturating_sub(1))
    }

    /// The channel under the cursor.
    fn channel<'a>(&self, shared: &'a Shared) -> Option<&'a Channel> {
        let overview = &shared.picture.as_ref()?.overview;
        channels(overview).get(self.cursor.row()).copied()
    }

    fn move_by(&mut self, shared: &Shared, go: impl FnOnce(&mut Cursor, &[&str], usize) -> bool) -> Reaction {
        let Some(picture) = &shared.picture else { return Reaction::Nothing };
        let ids: Vec<&str> = channels(&picture.overview).iter().map(|channel| channel.name.as_str()).collect();
        let moved = go(&mut self.cursor, &ids, ChannelsPage::seen(shared));
        self.name = self.channel(shared).map(|channel| channel.name.clone());
        Reaction::changed(moved)
    }
}

impl Page for ChannelsPage {
    fn kind(&self) -> Kind {
        Kind::Channels
    }

    fn wants(&self) -> Option<Request> {
        self.name.clone().map(|channel| Request::Reasons { channel })
    }

    fn take(&mut self, request: &Request, answer: Answer, _shared: &Shared) {
        if let (Request::Reasons { channel }, Answer::Reasons(reasons)) = (request, answer) {
            self.reasons = Some((channel.clone(), reasons));
        }
    }

    fn settle(&mut self, shared: &Shared) {
        self.move_by(shared, |cursor, ids, seen| {
            cursor.follow(ids, seen);
            true
        });
    }

    fn act(&mut self, action: Action, shared: &Shared) -> Reaction {
        match action {
            Action::Move(step) => self.move_by(shared, |cursor, ids, seen| cursor.go(step, ids, seen)),
            Action::Open => match self.channel(shared) {
                Some(channel) => Reaction::Go(Kind::Messages, Some(Filter::of_channel(&channel.name).text())),
                None => Reaction::Nothing,
            },
            Action::Pause => match self.channel(shared) {
                Some(channel) => {
                    let act = Act::Channel { pause: channel.state != "paused", name: channel.name.clone() };
                    Reaction::Ask(act, Some(Plan::of(1)))
                }
                None => Reaction::Nothing,
            },
            _ => Reaction::Nothing,
        }
    }

    fn refuses(&self, action: Action, shared: &Shared) -> Option<String> {
        let is_nothing = matches!(action, Action::Pause | Action::Open) && self.channel(shared).is_none();
        is_nothing.then(|| Word::RefusedNone.text(shared.language()).to_owned())
    }

    fn click(&mut self, _list: usize, row: usize, shared: &Shared) -> Reaction {
        self.move_by(shared, |cursor, ids, seen| cursor.go_to(row, ids, seen))
    }

    fn draw(&self, painter: &mut Painter<'_>, area: Rect, shared: &Shared) {
        let Some(picture) = &shared.picture else { return };
        let language = shared.language();
        let (list, below) = ChannelsPage::parts(shared, area);
        let channels = channels(&picture.overview);
        if channels.is_empty() {
            painter.put(inset(area), 0, usize::MAX, &Piece::new(Word::None.text(language), Role::Dim));
            return;
        }
        let top = self.cursor.top();
        let cells: Vec<Vec<Piece>> = channels.iter().skip(top).map(|row| cells(row, shared)).collect();
        let rows_of_list = Rows { cells: &cells, top, cursor: Some(self.cursor.row()), list: 0 };
        table::draw(painter, list, COLUMNS, Some(language), &rows_of_list);
        if let (Some(below), Some(channel)) = (below, channels.get(self.cursor.row())) {
            self.draw_channel(painter, below, channel, shared);
        }
    }
}

impl ChannelsPage {
    /// The channel under the cursor: what it is made of, and what stopped in it.
    fn draw_channel(&self, painter: &mut Painter<'_>, area: Rect, channel: &Channel, shared: &Shared) {
        let language = shared.language();
        let mut places = rows(area);
        if let Some(place) = places.next() {
            painter.rule(place, &Word::Stopped.with(language, &[&channel.name]), false);
        }
        if let Some(place) = places.next() {
            let facts = [
                Piece::new(Word::App.text(language), Role::Dim),
                Piece::new(&*channel.app, Role::Plain),
                Piece::new(Word::Transport.text(language), Role::Dim),
                Piece::new(&*channel.transport, Role::Plain),
                Piece::new(Word::Rate.text(language), Role::Dim),
                Piece::new(channel.rate.as_deref().unwrap_or("-"), Role::Plain),
            ];
            painter.put_all(inset(place), 0, 2, &facts);
        }
        for text in channel
            .reason
            .iter()
            .flat_map(|text| Clean::new(text.as_str()).wrap(usize::from(area.width.saturating_sub(2))))
        {
            if let Some(place) = places.next() {
                painter.put(inset(place), 0, usize::MAX, &Piece { text, role: state_role(&channel.state) });
            }
        }
        let known = self.reasons.as_ref().filter(|(name, _)| *name == channel.name);
        let Some(place) = places.next() else { return };
        let below = Rect { y: place.y, height: area.bottom() - place.y, ..area };
        let word = match known {
            None => Word::Loading,
            Some((_, reasons)) if reasons.is_empty() => Word::NothingStopped,
            Some((_, reasons)) => {
                let cells: Vec<Vec<Piece>> = reasons.iter().map(|row| reason_cells(row, shared)).collect();
                let list = Rows { cells: &cells, top: 0, cursor: None, list: usize::MAX };
                table::draw(painter, below, REASONS, Some(language), &list);
                return;
            }
        };
        painter.put(inset(below), 0, usize::MAX, &Piece::new(word.text(language), Role::Dim));
    }
}

fn cells(channel: &Channel, shared: &Shared) -> Vec<Piece> {
    let counts = channel.counts;
    let pace = shared.paces.get(&channel.name).and_then(|pace| pace.tenths_per_second());
    let number = |number: i64, role| marked(count(number), if number == 0 { Role::Dim } else { role });
    let sending = format!("{}/{}", count(counts.sending), channel.in_flight_max);
    vec![
        cell(&*channel.name),
        marked(super::overview::channel_state_text(channel, shared), state_role(&channel.state)),
        number(counts.queued, Role::Plain),
        marked(sending, if counts.sending == 0 { Role::Dim } else { Role::Plain }),
        number(counts.waiting, Role::Warn),
        number(counts.scheduled, Role::Plain),
        number(counts.held, Role::Warn),
        cell(pace.map_or_else(|| "-".to_owned(), |tenths| format!("{}.{}", count(tenths / 10), tenths % 10))),
        number(counts.failed, Role::Bad),
        number(counts.unknown, Role::Warn),
        cell(channel.rate.as_deref().unwrap_or("-")),
        cell(&*channel.app),
        marked(channel.reason.as_deref().unwrap_or_default(), state_role(&channel.state)),
    ]
}

fn reason_cells(reason: &Reason, shared: &Shared) -> Vec<Piece> {
    vec![
        cell(count(reason.count)),
        marked(message_state(&reason.state, shared.language()), message_role(&reason.state)),
        cell(&*reason.reason),
        cell(&*reason.template),
        cell(shared.relative(Some(&reason.newest_at))),
        marked(&*reason.newest, Role::Dim),
    ]
}
