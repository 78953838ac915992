//! `tidings keys`: make, look, revoke.

use tidings_api::wire::{Key, KeyRequest};

use crate::args::{KeyAddArgs, KeysCommand};
use crate::connect::Reach;
use crate::{Outcome, output};

pub(crate) async fn keys(reach: &Reach, command: KeysCommand) -> Outcome {
    let client = reach.client()?;
    match command {
        KeysCommand::Add(args) => {
            let made = client.add_key(&request(&args)).await?;
            if args.json {
                return output::json(&made);
            }
            // The key alone is data: `KEY=$(tidings keys add …)` takes it, and people read the rest beside it.
            let until = made.made.expires_at.map_or(String::new(), |end| format!(", until {end}"));
            eprintln!(
                "made `{}` for {}{until}; it is shown this once, and sent as `Authorization: Bearer KEY`:",
                made.made.name,
                made.made.scopes.join(",")
            );
            output::line(&made.key)
        }
        KeysCommand::List(args) => {
            let keys = client.keys().await?;
            if args.json { output::json(&keys) } else { table(keys) }
        }
        KeysCommand::Revoke(args) => {
            let key = client.revoke_key(&args.name, args.reason).await?;
            if args.json { output::json(&key) } else { table(vec![key]) }
        }
    }
}

fn request(args: &KeyAddArgs) -> KeyRequest {
    // `90d` is from now on; the engine's clock says when that is.
    let instant = |text: &String| if text.contains(['T', '+']) { text.clone() } else { format!("+{text}") };
    KeyRequest {
        name: args.name.clone(),
        scopes: args.scope.iter().map(ToString::to_string).collect(),
        expires_at: args.expires.as_ref().map(instant),
    }
}

fn table(keys: Vec<Key>) -> Outcome {
    let rows: Vec<Vec<String>> = keys
        .into_iter()
        .map(|key| {
            vec![
                key.name,
                key.scopes.join(","),
                output::or_dash(key.created_at),
                if key.in_config { "config".to_owned() } else { output::or_dash(key.created_by) },
                output::or_dash(key.expires_at),
                output::or_dash(key.revoked_at),
                output::or_dash(key.used_at),
            ]
        })
        .collect();
    output::table(&["NAME", "SCOPES", "MADE", "BY", "EXPIRES", "REVOKED", "USED SINCE START"], &rows)
}
