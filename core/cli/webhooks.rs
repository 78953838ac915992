//! `tidings webhooks`: look, try, go on.

use tidings_api::wire::Webhook;

use crate::args::WebhooksCommand;
use crate::connect::Reach;
use crate::{Failure, Outcome, output};

pub(crate) async fn webhooks(reach: &Reach, command: WebhooksCommand) -> Outcome {
    let client = reach.client()?;
    match command {
        WebhooksCommand::List(args) => {
            let webhooks = client.webhooks().await?;
            if args.json { output::json(&webhooks) } else { table(webhooks) }
        }
        WebhooksCommand::Resume(args) => {
            let webhook = client.resume_webhook(&args.name, args.reason).await?;
            if args.json { output::json(&webhook) } else { table(vec![webhook]) }
        }
        WebhooksCommand::Test(args) => {
            let test = client.test_webhook(&args.name).await?;
            if args.json {
                output::json(&test)?;
            } else {
                output::line(&output::clean(&format!("{} after {} ms", test.answer, test.took_ms)))?;
            }
            // A script must not take a no for a yes.
            if test.taken { Ok(()) } else { Err(Failure::Failed("the receiver did not take it".to_owned())) }
        }
    }
}

fn table(webhooks: Vec<Webhook>) -> Outcome {
    let rows: Vec<Vec<String>> = webhooks
        .into_iter()
        .map(|webhook| {
            let why = webhook.reason.or(webhook.last_failure);
            vec![
                webhook.name,
                webhook.state,
                webhook.pending.to_string(),
                webhook.told.to_string(),
                (webhook.dropped + webhook.given_up).to_string(),
                webhook.url,
                why.unwrap_or_default(),
            ]
        })
        .collect();
    output::table(&["WEBHOOK", "STATE", "PENDING", "TOLD", "LOST", "RECEIVER", "WHY"], &rows)
}
