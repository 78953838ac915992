//! `tidings credentials`: the ledger.

use std::io::BufRead as _;
use std::path::Path;

use serde_json::{Map, Value};
use tidings_api::client::Client;
use tidings_api::wire::CredentialsReply;

use crate::args::{CredentialsAddArgs, CredentialsCommand, CredentialsListArgs};
use crate::connect::Reach;
use crate::{Failure, Outcome, output, reach};

/// Credentials in one request.
const ROWS_PER_REQUEST: usize = 500;

pub(crate) async fn credentials(reach: &Reach, command: CredentialsCommand) -> Outcome {
    let client = reach.client()?;
    match command {
        CredentialsCommand::Add(args) => add(&client, &args).await,
        CredentialsCommand::List(args) => list(&client, args).await,
        CredentialsCommand::Forecast(args) => reach::forecast(&client, args).await,
    }
}

async fn add(client: &Client, args: &CredentialsAddArgs) -> Outcome {
    let items = match &args.file {
        Some(file) => read(file)?,
        None => vec![fields(&args.fields)?],
    };
    let (mut accepted, mut refused) = (0, 0);
    for (index, chunk) in items.chunks(ROWS_PER_REQUEST).enumerate() {
        let reply = client.add_credentials(&args.source, args.app.as_deref(), chunk).await?;
        tell(&reply, index * ROWS_PER_REQUEST, args)?;
        accepted += reply.accepted;
        refused += reply.refused;
    }
    if !args.json {
        output::line(&format!("{accepted} accepted, {refused} refused"))?;
    }
    if accepted == 0 && refused > 0 {
        return Err(Failure::Failed("no credential was taken".to_owned()));
    }
    Ok(())
}

fn tell(reply: &CredentialsReply, before: usize, args: &CredentialsAddArgs) -> Outcome {
    for (index, item) in reply.items.iter().enumerate() {
        if args.json {
            output::json(item)?;
        } else if let Some(reason) = &item.refused {
            eprintln!("{}: {}", before + index + 1, output::clean(reason));
        }
    }
    Ok(())
}

fn fields(pairs: &[String]) -> Result<Value, Failure> {
    let mut object = Map::new();
    for pair in pairs {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| Failure::Usage("write fields as in `form_id=… openId=…`".to_owned()))?;
        object.insert(name.to_owned(), value.into());
    }
    Ok(Value::Object(object))
}

fn read(path: &Path) -> Result<Vec<Value>, Failure> {
    let file =
        std::fs::File::open(path).map_err(|error| Failure::Failed(format!("read `{}`: {error}", path.display())))?;
    let mut items = Vec::new();
    for (number, line) in (1_u64..).zip(std::io::BufReader::new(file).lines()) {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let item = serde_json::from_str(&line)
            .map_err(|error| Failure::Usage(format!("{}:{number}: no JSON object: {error}", path.display())))?;
        items.push(item);
    }
    Ok(items)
}

async fn list(client: &Client, args: CredentialsListArgs) -> Outcome {
    let mut query = vec![("limit", args.page.limit.to_string()), ("usable", args.usable.to_string())];
    query.extend(args.source.map(|source| ("source", source)));
    query.extend(args.recipient.map(|recipient| ("recipient", recipient)));
    query.extend(args.page.cursor.map(|cursor| ("cursor", cursor)));
    let page = client.credentials(&query).await?;
    if args.page.json {
        return output::json(&page);
    }
    let rows: Vec<Vec<String>> = page
        .items
        .into_iter()
        .map(|item| {
            vec![
                item.id,
                item.source,
                item.recipient,
                item.scope.unwrap_or_else(|| "any".to_owned()),
                item.uses_left.to_string(),
                item.expires_at.unwrap_or_else(|| "never".to_owned()),
                output::or_dash(item.bound_to),
            ]
        })
        .collect();
    output::table(&["ID", "SOURCE", "RECIPIENT", "SCOPE", "USES", "EXPIRES", "BOUND TO"], &rows)?;
    output::more(page.next.as_deref());
    Ok(())
}
