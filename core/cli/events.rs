//! `tidings events`: what happens, read along.

use std::time::Duration;

use serde_json::{Value, json};
use tidings_api::client::{Client, ClientError, Told};
use tidings_api::wire::{Event, Gap};

use crate::args::EventsArgs;
use crate::connect::Reach;
use crate::{Outcome, output};

/// Between two looks whether an engine that went away is back.
const COME_BACK: Duration = Duration::from_secs(1);

pub(crate) async fn events(reach: &Reach, args: EventsArgs) -> Outcome {
    let client = reach.client()?;
    let lists = [("types", args.types.join(",")), ("channel", args.channel.join(","))];
    let mut query: Vec<(&str, String)> = lists.into_iter().filter(|(_, list)| !list.is_empty()).collect();
    query.push(("full", args.full.to_string()));
    query.push(("follow", args.follow.to_string()));
    let mut place = args.after.clone();
    // What is typed wrongly is told at once; an engine that goes away later may come back.
    let mut told = read(&client, &query, &mut place, args.json).await;
    while may_come_back(&told) && args.follow && place.is_some() {
        tokio::time::sleep(COME_BACK).await;
        told = read(&client, &query, &mut place, args.json).await;
    }
    match told {
        Ok(()) => {}
        Err(Ended::Client(error)) => return Err(error.into()),
        Err(Ended::Output(failure)) => return Err(failure),
    }
    if let (false, Some(place)) = (args.json, place) {
        eprintln!("later: --after {place}");
    }
    Ok(())
}

/// Why reading ended before the stream did.
enum Ended {
    Client(ClientError),
    Output(crate::Failure),
}

/// The engine stopped, or is away; what it refuses it will refuse again.
fn may_come_back(told: &Result<(), Ended>) -> bool {
    matches!(told, Ok(()) | Err(Ended::Client(ClientError::Unreachable { .. })))
}

/// Reads one stream to its end.
async fn read(
    client: &Client,
    query: &[(&str, String)],
    place: &mut Option<String>,
    for_scripts: bool,
) -> Result<(), Ended> {
    let mut stream = client.events(query, place.as_deref()).await.map_err(Ended::Client)?;
    loop {
        let told = stream.next().await;
        *place = stream.place().map(str::to_owned);
        let shown = match told.map_err(Ended::Client)? {
            Some(Told::Happened(event)) if for_scripts => output::json(&event),
            Some(Told::Happened(event)) => output::line(&line(&event)),
            Some(Told::Gap(gap)) if for_scripts => output::json(&json!({"type": "gap", "data": gap})),
            Some(Told::Gap(gap)) => {
                eprintln!("{}", missed(&gap));
                Ok(())
            }
            None => return Ok(()),
        };
        shown.map_err(Ended::Output)?;
    }
}

/// When, what, and what is known of it in a line.
fn line(event: &Event) -> String {
    let mut text = format!("{}  {:<17}", event.timestamp, event.kind);
    for (name, value) in &event.data {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        text.push_str(&format!(" {name}={}", output::clean(&value)));
    }
    text
}

fn missed(gap: &Gap) -> String {
    let many = gap.missed.map_or("an unknown number of".to_owned(), |missed| missed.to_string());
    let why = match gap.reason.as_str() {
        "restarted" => "the engine was started anew",
        "too_slow" => "they were read slower than they happened",
        _ => "they had left before they were asked for",
    };
    format!("missed: {many} events, because {why}; the lists say where everything stands")
}
