//! Nodes: the engines that share the store, how sure of each one may be, what it does, and whose config differs.

use tidings_api::wire::{self, Node};

use super::Kind;
use super::lines::{self, Line, wrapped};
use super::listed::Listed;
use crate::calls::{Answer, Request};
use crate::filter::Filter;
use crate::state::Shared;
use crate::theme::Role;
use crate::view::paint::Piece;
use crate::view::table::{Column, Fit, cell, marked};
use crate::window::Row;
use crate::words::{Language, Word, count, node_state};

/// A node, and what it is known by in the list: engines may bear the same name.
#[derive(Debug)]
pub(super) struct NodeRow {
    id: String,
    node: Node,
}

impl Row for NodeRow {
    fn id(&self) -> &str {
        &self.id
    }
}

fn named(node: Node) -> NodeRow {
    let id = node.id.map_or_else(|| node.name.clone(), |id| format!("{} {id}", node.name));
    NodeRow { id, node }
}

/// A length of time, to the tenth of a second: a lease is a few of them.
fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}

impl NodeRow {
    fn state(&self, language: Language) -> Piece {
        let (state, role) = match (self.node.gone, self.node.draining) {
            (true, true) => ("gone", Role::Dim),
            (true, false) => ("gone", Role::Bad),
            (false, true) => ("draining", Role::Warn),
            (false, false) => ("up", Role::Good),
        };
        marked(node_state(state, language), role)
    }

    fn config(&self, language: Language) -> Piece {
        let node = &self.node;
        match (node.config_differs, node.gone || node.config.is_empty()) {
            (true, _) => marked(Word::ConfigDiffers.text(language), Role::Bad),
            (false, true) => cell(""),
            (false, false) => marked(Word::ConfigSame.text(language), Role::Dim),
        }
    }
}

impl Listed for NodeRow {
    const KIND: Kind = Kind::Nodes;
    const COLUMNS: &'static [Column] = &[
        Column { title: Word::Name, keep: 99, fit: Fit::Cut(8) },
        Column { title: Word::State, keep: 95, fit: Fit::Whole },
        Column { title: Word::LeaseAge, keep: 90, fit: Fit::Number },
        Column { title: Word::Sending, keep: 70, fit: Fit::Number },
        Column { title: Word::SentPerS, keep: 75, fit: Fit::Number },
        Column { title: Word::Config, keep: 85, fit: Fit::Whole },
        Column { title: Word::Version, keep: 60, fit: Fit::Whole },
        Column { title: Word::Url, keep: 50, fit: Fit::Note(12) },
    ];
    const EMPTY: Word = Word::NoNodes;

    fn request(_filter: &Filter, _cursor: Option<String>) -> Request {
        Request::Nodes
    }

    fn rows(answer: Answer) -> Option<wire::Page<NodeRow>> {
        let Answer::Nodes(nodes) = answer else { return None };
        Some(wire::Page { items: nodes.into_iter().map(named).collect(), next: None })
    }

    fn cells(&self, shared: &Shared) -> Vec<Piece> {
        let (node, language) = (&self.node, shared.language());
        vec![
            cell(&*node.name),
            self.state(language),
            cell(node.lease.map(|lease| seconds(lease.age_ms)).unwrap_or_default()),
            cell(count(node.in_flight.into())),
            cell(node.sent_per_s.map(|rate| count(rate.into())).unwrap_or_default()),
            self.config(language),
            cell(&*node.version),
            cell(node.address.as_deref().unwrap_or_default()),
        ]
    }

    fn lines(&self, shared: &Shared, columns: usize) -> Vec<Line> {
        let (node, language) = (&self.node, shared.language());
        let ago = |ms: u64| Word::Ago.with(language, &[&seconds(ms)]);
        let ahead = |ms: u64| Word::In.with(language, &[&seconds(ms)]);
        let lease = node.lease.filter(|_| !node.gone);
        let mut lines = vec![Line::Rule(node.name.clone())];
        lines.extend(lines::facts(
            [
                (Word::FactNode, node.id.map(|id| id.to_string())),
                (Word::FactVersion, Some(node.version.clone())),
                (Word::FactAddress, node.address.clone()),
                (Word::FactStarted, Some(shared.relative(Some(&node.started_at)))),
                (Word::FactLeaseAge, node.lease.map(|lease| ago(lease.age_ms))),
                (Word::FactLeaseEnds, lease.map(|lease| ahead(lease.ends_in_ms))),
                (Word::FactSending, Some(count(node.in_flight.into()))),
                (Word::FactSentPerS, node.sent_per_s.map(|rate| count(rate.into()))),
                (Word::FactConfig, Some(node.config.clone()).filter(|config| !config.is_empty())),
            ],
            language,
            columns,
        ));
        for (is_so, word, role) in [
            (node.config_differs, Word::NodeConfigDiffers, Role::Bad),
            (node.is_self, Word::NodeAnswers, Role::Plain),
            (node.leads, Word::NodeLeads, Role::Plain),
        ] {
            if is_so {
                lines.extend(wrapped(word.text(language), role, columns));
            }
        }
        lines
    }
}
