//! The pages: what each of them is, and what all have in common.
//!
//! A page keeps its own state: rows, cursor, marks. It says what it wants fetched, takes what came, takes what a key asks
//! for, and draws itself. It calls nobody. docs/ARCHITECTURE.md says how a page is added.

mod audit;
mod channels;
mod credentials;
mod lines;
mod listed;
mod message;
mod messages;
mod nodes;
mod overview;
mod plugins;
mod preflight;
mod run;
mod runs;
mod schedules;
mod tokens;
mod webhooks;

use std::fmt;

use listed::ListedPage;
use ratatui::layout::Rect;
use tidings_api::wire::{AuditEntry, Forecast, Plugin, Run, Schedule, Token, Webhook};

use crate::acts::{Act, Plan};
use crate::calls::{Answer, Request};
use crate::filter::{self, Grammar};
use crate::keys::Action;
use crate::state::Shared;
use crate::view::paint::{Painter, Piece};
use crate::words::Word;

/// What a page is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What an operator looks at first.
    Overview,
    /// Messages.
    Messages,
    /// Channels.
    Channels,
    /// Credentials, by whom they reach.
    Credentials,
    /// Tokens.
    Tokens,
    /// Schedules.
    Schedules,
    /// Runs of schedules.
    Runs,
    /// Plugins.
    Plugins,
    /// The record of changes.
    Audit,
    /// Webhooks.
    Webhooks,
    /// The engines that share the store. It lies over the page it was opened from: most have one.
    Nodes,
    /// One message. It lies over the page it was opened from.
    Message,
    /// One run, likewise.
    Run,
    /// Whom a schedule's broadcast would reach, likewise.
    Preflight,
}

impl Kind {
    /// Those that stand in the row of pages, in its order.
    pub(crate) const TOPS: &[Kind] = &[
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
    ];
    /// All of them.
    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = Kind> {
        Kind::TOPS.iter().copied().chain([Kind::Message, Kind::Run, Kind::Preflight, Kind::Nodes])
    }

    /// What it is called.
    pub(crate) fn title(self) -> Word {
        match self {
            Kind::Overview => Word::PageOverview,
            Kind::Messages => Word::PageMessages,
            Kind::Channels => Word::PageChannels,
            Kind::Credentials => Word::PageCredentials,
            Kind::Tokens => Word::PageTokens,
            Kind::Schedules => Word::PageSchedules,
            Kind::Runs => Word::PageRuns,
            Kind::Plugins => Word::PagePlugins,
            Kind::Audit => Word::PageAudit,
            Kind::Message => Word::PageMessage,
            Kind::Run => Word::PageRun,
            Kind::Webhooks => Word::PageWebhooks,
            Kind::Nodes => Word::PageNodes,
            Kind::Preflight => Word::PagePreflight,
        }
    }

    /// What may stand in its filter, where it takes one.
    pub(crate) fn grammar(self) -> Option<&'static Grammar> {
        match self {
            Kind::Messages => Some(filter::MESSAGES),
            Kind::Runs => Some(filter::RUNS),
            Kind::Audit => Some(filter::AUDIT),
            _ => None,
        }
    }
}

/// The pages in the row of pages, in its order.
pub(crate) fn tops() -> Vec<Box<dyn Page>> {
    vec![
        Box::new(overview::OverviewPage::default()),
        Box::new(messages::MessagesPage::new()),
        Box::new(channels::ChannelsPage::default()),
        Box::new(ListedPage::<Forecast>::new()),
        Box::new(ListedPage::<Token>::new()),
        Box::new(ListedPage::<Schedule>::new()),
        Box::new(ListedPage::<Run>::new()),
        Box::new(ListedPage::<Plugin>::new()),
        Box::new(ListedPage::<AuditEntry>::new()),
        Box::new(ListedPage::<Webhook>::new()),
    ]
}

/// The page of one message.
pub(crate) fn of_message(id: String) -> Box<dyn Page> {
    Box::new(message::MessagePage::new(id))
}

/// The page of that kind, where it stands in no row of pages and is of nothing in particular.
pub(crate) fn over(kind: Kind) -> Option<Box<dyn Page>> {
    (kind == Kind::Nodes).then(|| -> Box<dyn Page> { Box::new(ListedPage::<nodes::NodeRow>::new()) })
}

/// A page.
pub(crate) trait Page: fmt::Debug + Send {
    /// What it is of.
    fn kind(&self) -> Kind;

    /// What it wants asked now, again and again. Another question than before is asked at once.
    fn wants(&self) -> Option<Request> {
        None
    }

    /// Takes the answer to what it asked, or had asked before: it knows by the question.
    fn take(&mut self, _request: &Request, _answer: Answer, _shared: &Shared) {}

    /// What it shows of [`Shared`] may have changed, and so may the size.
    fn settle(&mut self, _shared: &Shared) {}

    /// Does what a key asks for. It is one of those that mean something on this page, and not refused.
    fn act(&mut self, action: Action, shared: &Shared) -> Reaction;

    /// Why that cannot be done now, if it cannot.
    fn refuses(&self, _action: Action, _shared: &Shared) -> Option<String> {
        None
    }

    /// A row of a list was clicked: the list by the number under which it was drawn, and the row from its first.
    fn click(&mut self, _list: usize, _row: usize, _shared: &Shared) -> Reaction {
        Reaction::Nothing
    }

    /// The filter as it is written, where there can be one.
    fn filter(&self) -> Option<String> {
        None
    }

    /// Takes another filter; says why not, if it is none.
    fn set_filter(&mut self, _text: &str, _shared: &Shared) -> Result<(), String> {
        Ok(())
    }

    /// What stands on the line over it.
    fn status(&self, _shared: &Shared) -> Vec<Piece> {
        Vec::new()
    }

    /// Draws it.
    fn draw(&self, painter: &mut Painter<'_>, area: Rect, shared: &Shared);
}

/// What follows from what a page did.
#[derive(Debug)]
pub(crate) enum Reaction {
    /// Nothing.
    Nothing,
    /// It looks different, or wants something else.
    Changed,
    /// Another page, with a filter if there is one.
    Go(Kind, Option<String>),
    /// A page over this one.
    Open(Box<dyn Page>),
    /// Somebody wants this done. Without a plan the engine is asked for one.
    Ask(Act, Option<Plan>),
}

impl Reaction {
    /// Of something that may have changed.
    pub(crate) fn changed(changed: bool) -> Reaction {
        if changed { Reaction::Changed } else { Reaction::Nothing }
    }
}
