//! `tidings reachability` and `tidings credentials forecast`: who can be reached, on what, until when.

use tidings_api::client::Client;
use tidings_api::wire::{Forecast, TemplateReach};

use crate::args::{ForecastArgs, ReachabilityArgs};
use crate::connect::Reach;
use crate::{Outcome, output};

pub(crate) async fn reachability(reach: &Reach, args: ReachabilityArgs) -> Outcome {
    let found = reach.client()?.reachability(&args.recipient, args.template.as_deref()).await?;
    if args.json {
        return output::json(&found);
    }
    let rows: Vec<Vec<String>> = found.items.iter().map(row).collect();
    output::table(&["TEMPLATE", "CHANNEL", "SENDS", "UNTIL", "BOUND", "WAITING", "NOW"], &rows)?;
    if found.more {
        eprintln!("this recipient has more permits than were looked at");
    }
    Ok(())
}

fn row(item: &TemplateReach) -> Vec<String> {
    let until = match (&item.until, item.sends) {
        (Some(until), _) => until.clone(),
        (None, Some(0)) => "-".to_owned(),
        (None, _) => "no end".to_owned(),
    };
    let why_not: Vec<&str> = item.obstacles.iter().map(|it| it.detail.as_str()).collect();
    vec![
        item.template.clone(),
        item.channel.clone(),
        item.sends.map_or_else(|| "any".to_owned(), |sends| sends.to_string()),
        until,
        item.bound.len().to_string(),
        item.waiting.to_string(),
        if item.reachable { "yes".to_owned() } else { format!("no: {}", why_not.join("; ")) },
    ]
}

pub(crate) async fn forecast(client: &Client, args: ForecastArgs) -> Outcome {
    let found = client.forecast(args.template.as_deref()).await?;
    if args.json {
        return output::json(&found);
    }
    if let (Some(_), [one]) = (&args.template, found.items.as_slice()) {
        return one_template(one, &found.now);
    }
    let rows: Vec<Vec<String>> = found.items.iter().map(summary).collect();
    output::table(&["TEMPLATE", "CHANNEL", "TODAY", "IN A WEEK", "NO END", "SENDS", "RUNS OUT FIRST"], &rows)
}

fn summary(item: &Forecast) -> Vec<String> {
    let count = |people: u64| if item.needs_permit { people.to_string() } else { "everybody".to_owned() };
    let first = item.days.iter().find(|day| day.people_lost > 0);
    vec![
        item.template.clone(),
        item.channel.clone(),
        count(item.people),
        count(item.people_in_a_week),
        count(item.people_without_end),
        if item.needs_permit { item.sends.to_string() } else { "any".to_owned() },
        output::or_dash(first.map(|day| format!("{} people by {}", day.people_lost, day.until))),
    ]
}

fn one_template(item: &Forecast, now: &str) -> Outcome {
    if !item.needs_permit {
        return output::line(&format!("`{}` needs no permit: everybody can be reached", item.template));
    }
    let Forecast { template, people, sends, people_without_end, .. } = item;
    output::line(&format!(
        "`{template}` reaches {people} people with {sends} sends; {people_without_end} of them without an end"
    ))?;
    if !item.by_itself.is_empty() {
        output::line(&format!("and everybody else by {}, as far as that goes", item.by_itself.join(", ")))?;
    }
    let today = vec![now.to_owned(), people.to_string(), "-".to_owned(), "-".to_owned()];
    let days = item.days.iter().map(|day| {
        vec![day.until.clone(), day.people.to_string(), day.people_lost.to_string(), day.sends_lost.to_string()]
    });
    let rows: Vec<Vec<String>> = std::iter::once(today).chain(days).collect();
    output::table(&["AT", "PEOPLE", "LOST BY THEN", "SENDS LOST"], &rows)
}
