//! `tidings channels`: look, pause, resume.

use tidings_api::wire::Channel;

use crate::args::{ChannelActArgs, ChannelsCommand};
use crate::connect::Reach;
use crate::{Outcome, output};

pub(crate) async fn channels(reach: &Reach, command: ChannelsCommand) -> Outcome {
    let client = reach.client()?;
    let (act, args) = match command {
        ChannelsCommand::List(args) => {
            let channels = client.channels().await?;
            return if args.json { output::json(&channels) } else { table(channels) };
        }
        ChannelsCommand::Pause(args) => ("pause", args),
        ChannelsCommand::Resume(args) => ("resume", args),
    };
    let ChannelActArgs { name, reason, json } = args;
    let channel = client.act_on_channel(&name, act, reason).await?;
    if json { output::json(&channel) } else { table(vec![channel]) }
}

fn table(channels: Vec<Channel>) -> Outcome {
    let rows: Vec<Vec<String>> = channels
        .into_iter()
        .map(|channel| {
            let counts = channel.counts;
            let why = [channel.until.map(|until| format!("until {until}")), channel.reason];
            vec![
                channel.name,
                channel.state,
                counts.queued.to_string(),
                counts.waiting.to_string(),
                format!("{}/{}", counts.sending, channel.in_flight_max),
                counts.scheduled.to_string(),
                counts.sent.to_string(),
                counts.failed.to_string(),
                counts.unknown.to_string(),
                why.into_iter().flatten().collect::<Vec<_>>().join(": "),
            ]
        })
        .collect();
    let head = ["CHANNEL", "STATE", "QUEUED", "WAITING", "SENDING", "SCHEDULED", "SENT", "FAILED", "UNKNOWN", "WHY"];
    output::table(&head, &rows)
}
