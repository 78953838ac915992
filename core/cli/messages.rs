//! `tidings messages`: look and act, on one or on many.

use serde_json::Value;
use tidings_api::client::{Client, ClientError};
use tidings_api::wire::{BulkFilter, BulkPlan, BulkReply, BulkRequest, Message, Page};

use crate::args::{MessageArgs, MessagesActArgs, MessagesCommand, MessagesListArgs, MessagesReasonsArgs};
use crate::connect::Reach;
use crate::{Failure, Outcome, output};

pub(crate) async fn messages(reach: &Reach, command: MessagesCommand) -> Outcome {
    let client = reach.client()?;
    match command {
        MessagesCommand::List(args) => list(&client, args).await,
        MessagesCommand::Show(args) => show(&client, &args).await,
        MessagesCommand::Reasons(args) => reasons(&client, args).await,
        MessagesCommand::Retry(args) => act(&client, "retry", args.act, args.rate).await,
        MessagesCommand::Cancel(args) => act(&client, "cancel", args, None).await,
        MessagesCommand::Hold(args) => act(&client, "hold", args, None).await,
        MessagesCommand::Release(args) => act(&client, "release", args, None).await,
    }
}

async fn list(client: &Client, args: MessagesListArgs) -> Outcome {
    let mut query = vec![("limit", args.page.limit.to_string())];
    let filters = [
        ("state", args.state),
        ("reason", args.reason),
        ("channel", args.channel),
        ("template", args.template),
        ("to", args.to),
        ("run", args.run),
        ("newer_than", args.newer_than),
        ("older_than", args.older_than),
    ];
    query.extend(filters.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
    let page = page(client, query, args.page.cursor).await?;
    if args.page.json {
        return output::json(&page);
    }
    let rows: Vec<Vec<String>> = page
        .items
        .into_iter()
        .map(|message| {
            vec![
                message.id,
                message.state,
                output::or_dash(message.reason),
                message.channel,
                message.template,
                message.to,
                message.attempts.to_string(),
                message.created_at,
            ]
        })
        .collect();
    output::table(&["ID", "STATE", "REASON", "CHANNEL", "TEMPLATE", "TO", "ATTEMPTS", "CREATED"], &rows)?;
    output::more(page.next.as_deref());
    Ok(())
}

/// A page that has rows, or the last: one that looked at as many messages as a page may and found none is passed by.
async fn page(
    client: &Client,
    query: Vec<(&str, String)>,
    mut cursor: Option<String>,
) -> Result<Page<Message>, ClientError> {
    loop {
        let mut query = query.clone();
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = client.messages(&query).await?;
        if !page.items.is_empty() || page.next.is_none() {
            return Ok(page);
        }
        cursor = page.next;
    }
}

async fn reasons(client: &Client, args: MessagesReasonsArgs) -> Outcome {
    let mut query = Vec::new();
    query.extend(args.state.map(|state| ("state", state)));
    query.extend(args.channel.map(|channel| ("channel", channel)));
    let reasons = client.reasons(&query).await?;
    if args.json {
        return output::json(&reasons);
    }
    let rows: Vec<Vec<String>> = reasons
        .items
        .into_iter()
        .map(|group| {
            let count = group.count.to_string();
            let (oldest, newest) = (group.oldest_at, group.newest_at);
            vec![group.channel, group.state, group.reason, group.template, count, oldest, newest, group.newest]
        })
        .collect();
    output::table(&["CHANNEL", "STATE", "REASON", "TEMPLATE", "COUNT", "OLDEST", "NEWEST", "LAST"], &rows)?;
    if reasons.more {
        eprintln!("more: there are other groups; ask for one state or channel with --state, --channel");
    }
    Ok(())
}

async fn show(client: &Client, args: &MessageArgs) -> Outcome {
    let message = client.message(&args.id).await?;
    if args.json {
        return output::json(&message);
    }
    for (name, value) in facts(&message) {
        output::line(&format!("{name:<12}{}", output::clean(&value)))?;
    }
    for moment in &message.timeline {
        let detail = moment.detail.as_ref().map(|detail| format!("  {detail}")).unwrap_or_default();
        output::line(&format!("  {}  {}{}", moment.at, output::clean(&moment.what), output::clean(&detail)))?;
    }
    Ok(())
}

fn facts(message: &Message) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("id", message.id.clone()),
        ("state", message.state.clone()),
        ("channel", message.channel.clone()),
        ("template", message.template.clone()),
        ("to", message.to.clone()),
        ("created", message.created_at.clone()),
        ("due", message.due_at.clone()),
        ("attempts", message.attempts.to_string()),
    ];
    let optional = [
        ("reason", message.reason.clone()),
        ("detail", message.detail.clone()),
        ("finished", message.finished_at.clone()),
        ("expires", message.expires_at.clone()),
        ("provider id", message.provider_id.clone()),
        ("run", message.run.clone()),
        ("data", message.data.as_ref().map(ToString::to_string)),
        ("content", message.content.as_ref().map(|content| Value::Object(content.clone()).to_string())),
        ("no content", message.content_problem.clone()),
    ];
    facts.extend(optional.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
    if message.ambiguous {
        facts.push(("ambiguous", "an earlier attempt may have arrived".to_owned()));
    }
    facts
}

/// How far somebody came who was told to do something to many.
fn told(act: &str) -> &'static str {
    match act {
        "retry" => "have their times",
        "cancel" => "are withdrawn",
        "hold" => "are stopped",
        _ => "go on",
    }
}

/// On some by their ids, or on all of a filter.
async fn act(client: &Client, act: &str, args: MessagesActArgs, rate: Option<String>) -> Outcome {
    let MessagesActArgs { ids, state, channel, template, to, reason, run, newer_than, older_than, yes, note, json } =
        args;
    if !ids.is_empty() {
        return act_on_each(client, act, &ids, note.as_deref(), json).await;
    }
    if act == "retry" && state.is_none() {
        let text = "name the state with --state, as in --state failed: messages that are unknown may have arrived";
        return Err(Failure::Usage(text.to_owned()));
    }
    let filter = BulkFilter { state, channel, template, to, reason, run, newer_than, older_than };
    let mut request = BulkRequest { filter, rate, note, plan: false, cursor: None };
    let plan = client.plan_for_many(act, &request).await?;
    if !yes {
        return if json { output::json(&plan) } else { tell_plan(&request.filter, &plan) };
    }
    // Those of the plan and no others: what fails again meanwhile is not sent a third time.
    request.cursor = plan.next;
    let mut sum = BulkReply::default();
    while request.cursor.is_some() {
        let reply = client.act_on_many(act, &request).await.inspect_err(|_| {
            eprintln!("{} {}; the same command goes on with the others", sum.moved, told(act));
        })?;
        sum.moved += reply.moved;
        sum.passed_over += reply.passed_over;
        sum.left = reply.left;
        sum.last_due_at = reply.last_due_at.or(sum.last_due_at);
        eprintln!("{} of {} {}", sum.moved, plan.count, told(act));
        request.cursor = reply.next;
    }
    if json {
        return output::json(&sum);
    }
    let others = match sum.passed_over {
        0 => String::new(),
        n => format!("; {n} had been moved by somebody else"),
    };
    match plan.rate {
        Some(rate) => {
            let last = sum.last_due_at.map(|at| format!("; the last goes at {at}")).unwrap_or_default();
            output::line(&format!("{} messages are sent again at {rate}{last}{others}", sum.moved))
        }
        None => output::line(&format!("{} messages {}{others}", sum.moved, told(act))),
    }
}

fn tell_plan(filter: &BulkFilter, plan: &BulkPlan) -> Outcome {
    let of = |name: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!(", {name} {}", output::clean(value))).unwrap_or_default()
    };
    let which = [
        of("channel", &filter.channel),
        of("reason", &filter.reason),
        of("template", &filter.template),
        of("to", &filter.to),
        of("run", &filter.run),
        of("newer than", &filter.newer_than),
        of("older than", &filter.older_than),
    ];
    let state = filter.state.as_deref().map_or_else(|| "of any state that allows it".to_owned(), output::clean);
    output::line(&format!("{} messages: {state}{}", plan.count, which.concat()))?;
    if plan.groups.len() > 1 {
        for group in &plan.groups {
            output::line(&format!("  {} {} {}", group.count, group.state, output::clean(&group.channel)))?;
        }
    }
    for message in &plan.sample {
        let why = message.detail.as_deref().or(message.reason.as_deref()).unwrap_or("-");
        output::line(&format!("  {}  {}  {}", message.id, output::clean(&message.to), output::clean(why)))?;
    }
    if let (Some(rate), Some(takes_s)) = (&plan.rate, plan.takes_s) {
        output::line(&format!("at {rate} the last of them goes after {}", span(takes_s)))?;
    } else {
        output::line(&plan.effect)?;
    }
    if plan.may_arrive_twice {
        output::line("some of them may have arrived already: whoever got one may get it twice")?;
    }
    eprintln!("nothing was changed; the same command with --yes does it");
    Ok(())
}

/// A while in the unit that fits it.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Each on its own: one that is refused does not keep the others from it.
async fn act_on_each(client: &Client, act: &str, ids: &[String], note: Option<&str>, json: bool) -> Outcome {
    let mut refused = 0;
    for id in ids {
        match client.act(id, act, note.map(str::to_owned)).await {
            Ok(reply) if json => output::json(&reply)?,
            Ok(reply) => output::line(&format!("{} {}", reply.id, reply.state))?,
            Err(error) => {
                refused += 1;
                eprintln!("{id}: {error}");
            }
        }
    }
    match refused {
        0 => Ok(()),
        n => Err(Failure::Failed(format!("{n} of {} refused", ids.len()))),
    }
}
