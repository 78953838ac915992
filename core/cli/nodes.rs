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
                node.is_self.then_some("answers"),
                node.leads.then_some("leads"),
                node.config_differs.then_some("its config differs"),
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
                notes.into_iter().flatten().collect::<Vec<_>>().join(", "),
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

/// One word for how it is.
fn state(node: &Node) -> &'static str {
    match (node.gone, node.draining) {
        (true, _) => "gone",
        (false, true) => "draining",
        (false, false) => "up",
    }
}
