//! `tidings suppressions`: who is told nothing.

use tidings_api::wire::{Suppression, SuppressionRequest};

use crate::args::SuppressionsCommand;
use crate::connect::Reach;
use crate::{Outcome, output};

pub(crate) async fn suppressions(reach: &Reach, command: SuppressionsCommand) -> Outcome {
    let client = reach.client()?;
    match command {
        SuppressionsCommand::List(args) => {
            let mut query = vec![("limit", args.page.limit.to_string())];
            let filters = [("app", args.app), ("recipient", args.recipient), ("cursor", args.page.cursor)];
            query.extend(filters.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
            let page = client.suppressions(&query).await?;
            if args.page.json {
                return output::json(&page);
            }
            table(page.items)?;
            output::more(page.next.as_deref());
            Ok(())
        }
        SuppressionsCommand::Add(args) => {
            let (app, recipient) = (args.app, args.recipient);
            let request = SuppressionRequest { app, recipient, reason: args.reason, expires_at: args.expires };
            let reply = client.suppress(&request).await?;
            if args.json {
                return output::json(&reply);
            }
            let count = reply.cancelled;
            table(vec![reply.suppression])?;
            output::line(&format!("{count} messages that were not on their way yet are withdrawn"))
        }
        SuppressionsCommand::Remove(args) => {
            let row = client.unsuppress(&args.app, &args.recipient, args.reason).await?;
            if args.json { output::json(&row) } else { table(vec![row]) }
        }
    }
}

fn table(rows: Vec<Suppression>) -> Outcome {
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| vec![row.app, row.recipient, row.created_at, output::or_dash(row.expires_at), row.who, row.reason])
        .collect();
    output::table(&["APP", "RECIPIENT", "SINCE", "UNTIL", "WHO", "REASON"], &rows)
}
