//! Why a message is not sending: a function of it, its channel and how its recipient can be reached.

use tidings_api::wire::{Message, Reachability};

use crate::state::Shared;
use crate::theme::Role;
use crate::words::{Word, channel_state, count};

/// Sentences, the most telling first. Empty where it is on its way, or arrived.
pub(crate) fn why(message: &Message, reach: Option<&Reachability>, shared: &Shared) -> Vec<(String, Role)> {
    let language = shared.language();
    let mut reasons = Vec::new();
    let mut say = |word: Word, values: &[&str], role| reasons.push((word.with(language, values), role));
    match message.state.as_str() {
        "scheduled" => say(Word::WhyScheduled, &[&shared.relative(Some(&message.due_at))], Role::Plain),
        "held" => say(Word::WhyHeld, &[message.reason.as_deref().unwrap_or("-")], Role::Warn),
        "waiting" => say(Word::WhyWaiting, &[], Role::Warn),
        "queued" => {}
        "failed" | "unknown" | "expired" | "cancelled" => {
            say(Word::WhyOver, &[], Role::Dim);
            return reasons;
        }
        _ => return reasons,
    }
    let channels = shared.picture.as_ref().map_or(&[][..], |picture| &picture.overview.channels);
    match channels.iter().find(|channel| channel.name == message.channel) {
        None => say(Word::WhyNoChannel, &[&message.channel], Role::Bad),
        Some(channel) if channel.state != "open" => {
            let detail = channel.reason.as_deref().unwrap_or("-");
            say(Word::WhyChannel, &[&channel.name, channel_state(&channel.state, language), detail], Role::Bad);
            if let Some(until) = shared.ahead(channel.until.as_deref()) {
                say(Word::WhyUntil, &[&until], Role::Plain);
            }
        }
        Some(channel) if message.state == "queued" => {
            let (sending, room) = (count(channel.counts.sending), channel.in_flight_max.to_string());
            if channel.counts.sending >= i64::from(channel.in_flight_max) {
                say(Word::WhyFull, &[&sending, &room], Role::Warn);
            }
            let others = count((channel.counts.queued - 1).max(0));
            say(Word::WhyQueued, &[&others, channel.rate.as_deref().unwrap_or("-")], Role::Plain);
        }
        Some(_) => {}
    }
    // What the channel says stands above; the rest is about the recipient.
    let items = reach.map_or(&[][..], |reach| &reach.items);
    let Some(item) = items.iter().find(|item| item.template == message.template) else { return reasons };
    for obstacle in item.obstacles.iter().filter(|obstacle| !obstacle.code.starts_with("channel-")) {
        let until = obstacle.until.as_deref().map(|until| format!(" ({})", shared.relative(Some(until))));
        reasons.push((format!("{}{}", obstacle.detail, until.unwrap_or_default()), Role::Warn));
    }
    if let Some(next) = item.next_at.as_deref() {
        reasons.push((Word::WhyNextPermit.with(language, &[&shared.relative(Some(next))]), Role::Plain));
    }
    reasons
}
