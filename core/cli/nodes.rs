//! `tidings nodes`: the engines that share the store.

use tidings_api::wire::Node;

use crate::args::JsonArgs;
use crate::connect::Reach;
use crate::{Outcome, output};

pub(crate) async fn nodes(reach: &Reach, args: JsonArgs) -> Outcome {
    let nodes = reach.client()?.nodes().await?;
    if args.json { output::json(&nodes) } else { table(nodes) }
}

fn table(nodes: Vec<Node>) -> Outcome {
    let rows: Vec<Vec<String>> = nodes
        .into_iter()
        .map(|node| {
            let seconds = |ms: u64| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
            let notes = [
                node.is_self.then(|| "answers".to_owned()),
                node.leads.then(|| "leads".to_owned()),
                node.config_differs.then(|| "its config differs".to_owned()),
                node.clock_ahead_ms.and_then(clock),
            ];
            vec![
                output::or_dash(node.id.map(|id| id.to_string())),
                state(&node).to_owned(),
                output::or_dash(node.lease.map(|lease| seconds(lease.age_ms))),
                output::or_dash(node.lease.map(|lease| seconds(lease.ends_in_ms))),
                node.in_flight.to_string(),
                output::or_dash(node.sent_per_s.map(|rate| rate.to_string())),
                node.version,
                node.started_at,
                output::or_dash(node.address),
                output::or_dash(Some(node.config).filter(|config| !config.is_empty())),
                node.name,
                notes.into_iter().flatten().collect::<Vec<String>>().join(", "),
            ]
        })
        .collect();
    let head = [
        "NODE",
        "STATE",
        "LEASE AGE",
        "ENDS IN",
        "SENDING",
        "SENT/S",
        "VERSION",
        "STARTED",
        "ADDRESS",
        "CONFIG",
        "NAME",
        "NOTES",
    ];
    output::table(&head, &rows)
}

/// A clock that is not the database's. What is less may be the way to the database.
fn clock(ahead_ms: i64) -> Option<String> {
    const TOLD_FROM_MS: u64 = 1_000;
    let off = ahead_ms.unsigned_abs();
    let side = if ahead_ms < 0 { "behind" } else { "ahead of" };
    (off > TOLD_FROM_MS).then(|| format!("its clock is {}.{} s {side} the database's", off / 1000, off % 1000 / 100))
}

/// One word for how it is.
fn state(node: &Node) -> &'static str {
    match (node.gone, node.draining) {
        (true, _) => "gone",
        (false, true) => "draining",
        (false, false) => "up",
    }
}
