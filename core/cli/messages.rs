//! `tidings messages`: look and act, on one or on many.

use tidings_api::client::Client;
use tidings_api::wire::{Message, RetryFilter, RetryPlan, RetryReply, RetryRequest};

use crate::args::{
    MessageArgs, MessagesActArgs, MessagesCommand, MessagesListArgs, MessagesReasonsArgs, MessagesRetryArgs,
};
use crate::connect::Reach;
use crate::{Failure, Outcome, output};

pub(crate) async fn messages(reach: &Reach, command: MessagesCommand) -> Outcome {
    let client = reach.client()?;
    match command {
        MessagesCommand::List(args) => list(&client, args).await,
        MessagesCommand::Show(args) => show(&client, &args).await,
        MessagesCommand::Reasons(args) => reasons(&client, args).await,
        MessagesCommand::Retry(args) => retry(&client, args).await,
        MessagesCommand::Cancel(args) => act(&client, "cancel", &args).await,
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
    ];
    query.extend(filters.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
    query.extend(args.page.cursor.map(|cursor| ("cursor", cursor)));
    let page = client.messages(&query).await?;
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
    for attempt in &message.tries {
        let detail = output::clean(&attempt.detail);
        output::line(&format!("  {}  {}  {detail}", attempt.started_at, attempt.outcome))?;
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
    ];
    facts.extend(optional.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
    if message.ambiguous {
        facts.push(("ambiguous", "an earlier attempt may have arrived".to_owned()));
    }
    facts
}

async fn retry(client: &Client, args: MessagesRetryArgs) -> Outcome {
    let MessagesRetryArgs { ids, state, channel, reason, template, rate, yes, note, json } = args;
    let Some(state) = state else {
        return act(client, "retry", &MessagesActArgs { ids, note, json }).await;
    };
    let filter = RetryFilter { state, channel, reason, template };
    let mut request = RetryRequest { filter, rate, note, plan: false, cursor: None };
    let plan = client.plan_retry(&request).await?;
    if !yes {
        return if json { output::json(&plan) } else { tell_plan(&request.filter, &plan) };
    }
    // Those of the plan and no others: what fails again meanwhile is not sent a third time.
    request.cursor = plan.next;
    let mut sum = RetryReply { moved: 0, passed_over: 0, left: 0, last_due_at: None, next: None };
    while request.cursor.is_some() {
        let reply = client.retry_many(&request).await.inspect_err(|_| {
            eprintln!("{} have their times; the same command goes on with the others", sum.moved);
        })?;
        sum.moved += reply.moved;
        sum.passed_over += reply.passed_over;
        sum.left = reply.left;
        sum.last_due_at = reply.last_due_at.or(sum.last_due_at);
        eprintln!("{} of {} have their times", sum.moved, plan.count);
        request.cursor = reply.next;
    }
    if json {
        return output::json(&sum);
    }
    let last = sum.last_due_at.map(|at| format!("; the last goes at {at}")).unwrap_or_default();
    let others = match sum.passed_over {
        0 => String::new(),
        n => format!("; {n} had been moved by somebody else"),
    };
    output::line(&format!("{} messages are sent again at {}{last}{others}", sum.moved, plan.rate))
}

fn tell_plan(filter: &RetryFilter, plan: &RetryPlan) -> Outcome {
    let of = |name: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!(", {name} {}", output::clean(value))).unwrap_or_default()
    };
    let which = [of("channel", &filter.channel), of("reason", &filter.reason), of("template", &filter.template)];
    let (count, rate) = (plan.count, &plan.rate);
    output::line(&format!("{count} messages: {}{}", output::clean(&filter.state), which.concat()))?;
    for message in &plan.sample {
        let why = message.detail.as_deref().or(message.reason.as_deref()).unwrap_or("-");
        output::line(&format!("  {}  {}  {}", message.id, output::clean(&message.to), output::clean(why)))?;
    }
    output::line(&format!("at {rate} the last of them goes after {}", span(plan.takes_s)))?;
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
async fn act(client: &Client, act: &str, args: &MessagesActArgs) -> Outcome {
    let mut refused = 0;
    for id in &args.ids {
        match client.act(id, act, args.note.clone()).await {
            Ok(reply) if args.json => output::json(&reply)?,
            Ok(reply) => output::line(&format!("{} {}", reply.id, reply.state))?,
            Err(error) => {
                refused += 1;
                eprintln!("{id}: {error}");
            }
        }
    }
    match refused {
        0 => Ok(()),
        n => Err(Failure::Failed(format!("{n} of {} refused", args.ids.len()))),
    }
}
