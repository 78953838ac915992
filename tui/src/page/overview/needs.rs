//! What needs a person: a function of the overview, the most urgent first.

use tidings_api::wire::Overview;

use crate::filter::Filter;
use crate::page::Kind;
use crate::theme::Role;
use crate::words::{Word, count};

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    /// How much.
    pub(crate) role: Role,
    /// What it is about: a channel, an app, a schedule.
    pub(crate) subject: String,
    /// What is wrong, with one hole at most.
    pub(crate) word: Word,
    /// What goes into the hole.
    pub(crate) value: String,
    /// What was said about it.
    pub(crate) detail: String,
    /// Where there is more of it.
    pub(crate) page: Kind,
    /// The messages it concerns, where it concerns messages.
    pub(crate) filter: Option<Filter>,
}

/// All of it.
pub(crate) fn needs(overview: &Overview) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut add = |role, subject: &str, word, value: String, detail: Option<&String>, page| {
        let detail = detail.cloned().unwrap_or_default();
        needs.push(Need { role, subject: subject.to_owned(), word, value, detail, page, filter: None });
    };
    if let Some(problem) = &overview.store_problem {
        add(Role::Bad, "", Word::NeedStore, String::new(), Some(problem), Kind::Overview);
    }
    for channel in &overview.channels {
        let (role, word, page) = match channel.state.as_str() {
            "halted" => (Role::Bad, Word::NeedHalted, Kind::Channels),
            "parked" => (Role::Bad, Word::NeedParked, Kind::Plugins),
            "paused" => (Role::Warn, Word::NeedPaused, Kind::Channels),
            _ => continue,
        };
        add(role, &channel.name, word, String::new(), channel.reason.as_ref(), page);
    }
    for token in &overview.tokens {
        if token.state != "valid"
            && let Some(problem) = &token.problem
        {
            add(Role::Bad, &token.app, Word::NeedToken, String::new(), Some(problem), Kind::Tokens);
        }
    }
    for webhook in &overview.webhooks {
        let word = if webhook.state == "disabled" { Word::NeedWebhookDisabled } else { Word::NeedWebhook };
        let role = if webhook.state == "disabled" { Role::Bad } else { Role::Warn };
        let detail = webhook.reason.as_ref().or(webhook.last_failure.as_ref());
        add(role, &webhook.name, word, webhook.pending.to_string(), detail, Kind::Webhooks);
    }
    for node in &overview.nodes {
        let is_back = || overview.nodes.iter().any(|other| other.name == node.name && !other.gone);
        // One that left by itself is no need, and neither is one that came again.
        if node.gone && !node.draining && !is_back() {
            add(Role::Bad, &node.name, Word::NeedNodeGone, String::new(), None, Kind::Nodes);
        } else if node.config_differs {
            add(Role::Warn, &node.name, Word::NeedNodeDiffers, String::new(), None, Kind::Nodes);
        }
    }
    for schedule in &overview.schedules {
        if let Some(run) = schedule.last_run.as_ref().filter(|run| run.state == "failed") {
            add(Role::Bad, &schedule.name, Word::NeedRun, String::new(), run.result.as_ref(), Kind::Runs);
        }
    }
    if overview.late_outcomes > 0 {
        add(Role::Warn, "", Word::NeedLate, overview.late_outcomes.to_string(), None, Kind::Overview);
    }
    for channel in &overview.channels {
        let counts = channel.counts;
        for (number, state, word) in [
            (counts.unknown, "unknown", Word::NeedUnknown),
            (counts.held, "held", Word::NeedHeld),
            (counts.waiting, "waiting", Word::NeedWaiting),
        ] {
            if number > 0 {
                needs.push(Need {
                    role: Role::Warn,
                    subject: channel.name.clone(),
                    word,
                    value: count(number),
                    detail: String::new(),
                    page: Kind::Messages,
                    filter: Some(Filter::of_channel(&channel.name).with("state", state)),
                });
            }
        }
    }
    // The order among equals stays: the store first, and what concerns many before what concerns some.
    needs.sort_by_key(|need| need.role != Role::Bad);
    needs
}

#[cfg(test)]
mod tests {
    use tidings_api::wire::{Channel, Counts, Node, Run, Schedule, Token};

    use super::*;

    #[test]
    fn an_engine_that_is_well_needs_nobody() {
        let channel = Channel { state: "open".to_owned(), ..Channel::default() };
        let cooling = Channel { state: "cooling".to_owned(), ..Channel::default() };
        let overview = Overview { channels: vec![channel, cooling], ..Overview::default() };
        assert_eq!(needs(&overview), []);
    }

    #[test]
    fn a_node_needs_somebody_that_is_gone_for_good_without_leaving_or_goes_by_another_config() {
        let node = |name: &str, gone: bool, draining: bool, config_differs: bool| Node {
            name: name.to_owned(),
            gone,
            draining,
            config_differs,
            ..Node::default()
        };
        let nodes = vec![
            node("here", false, false, false),
            node("left", true, true, false),
            node("came again", true, false, false),
            node("came again", false, false, false),
            node("other config", false, false, true),
            node("crashed", true, false, false),
        ];
        let found = needs(&Overview { nodes, ..Overview::default() });
        let found: Vec<(&str, Word, Kind)> =
            found.iter().map(|need| (need.subject.as_str(), need.word, need.page)).collect();
        let crashed = ("crashed", Word::NeedNodeGone, Kind::Nodes);
        assert_eq!(found, [crashed, ("other config", Word::NeedNodeDiffers, Kind::Nodes)]);
    }

    #[test]
    fn what_stops_work_comes_before_what_waits_and_the_store_before_all() {
        let overview = Overview {
            store_problem: Some("the disk is full".to_owned()),
            late_outcomes: 3,
            channels: vec![
                Channel {
                    name: "a".to_owned(),
                    state: "paused".to_owned(),
                    counts: Counts { waiting: 1_500, ..Counts::default() },
                    ..Channel::default()
                },
                Channel { name: "b".to_owned(), state: "halted".to_owned(), ..Channel::default() },
            ],
            tokens: vec![Token { app: "shop".to_owned(), problem: Some("40164".to_owned()), ..Token::default() }],
            schedules: vec![Schedule {
                name: "digest".to_owned(),
                last_run: Some(Run { state: "failed".to_owned(), ..Run::default() }),
                ..Schedule::default()
            }],
            ..Overview::default()
        };
        let found: Vec<Word> = needs(&overview).iter().map(|need| need.word).collect();
        assert_eq!(
            found,
            [
                Word::NeedStore,
                Word::NeedHalted,
                Word::NeedToken,
                Word::NeedRun,
                Word::NeedPaused,
                Word::NeedLate,
                Word::NeedWaiting
            ]
        );
        let waiting = needs(&overview).into_iter().find(|need| need.word == Word::NeedWaiting).unwrap();
        let filter = waiting.filter.unwrap().text();
        assert_eq!(
            (waiting.value.as_str(), waiting.page, filter.as_str()),
            ("1,500", Kind::Messages, "state:waiting channel:a")
        );
    }
}
