//! The kinds of things that happen, and their words: stable, for filters and for receivers.

use std::fmt;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A message was taken.
    MessageAccepted,
    /// It is due, and has no usable credential yet.
    MessageWaiting,
    /// An attempt did not end it: it is tried again.
    MessageDeferred,
    /// The provider accepted it.
    MessageSent,
    /// A receipt came: it arrived.
    MessageDelivered,
    /// It was not sent, or a receipt says that it did not arrive.
    MessageFailed,
    /// It may have arrived, and nobody can say.
    MessageUnknown,
    /// An operator or a policy holds it.
    MessageHeld,
    /// Its time ran out.
    MessageExpired,
    /// It was withdrawn.
    MessageCancelled,
    /// An operator sends it again.
    MessageRetried,
    /// It was held, and goes on.
    MessageReleased,
    /// An operator stopped a channel.
    ChannelPaused,
    /// An operator let it go on.
    ChannelResumed,
    /// The provider wants no more for a while.
    ChannelClosed,
    /// That while is over.
    ChannelOpened,
    /// An app stopped until an operator acts.
    AppHalted,
    /// An operator set it going.
    AppResumed,
    /// An app has a new token.
    TokenRefreshed,
    /// A schedule's job began.
    RunBegun,
    /// It goes on: told once a second at most.
    RunProgress,
    /// It ended.
    RunEnded,
    /// Nominal times passed without a run.
    ScheduleMissed,
    /// A plugin may not go on.
    PluginParked,
    /// A webhook is told nothing more until an operator acts.
    WebhookDisabled,
    /// It is told again.
    WebhookResumed,
    /// An app's token could not be fetched.
    TokenFailed,
    /// Permits came into the ledger.
    CredentialAdded,
    /// Permits with uses left came to their end and were removed.
    CredentialExpired,
    /// The free permits of a channel are fewer than config wants.
    CredentialLow,
    /// The engine goes on by another config.
    ConfigReloaded,
    /// Another config was read, and is not gone on by.
    ConfigRefused,
    /// An operator stopped a schedule.
    SchedulePaused,
    /// An operator let it go on.
    ScheduleResumed,
}

impl EventKind {
    /// All of them, in the order they are told.
    pub const ALL: [EventKind; 34] = [
        EventKind::MessageAccepted,
        EventKind::MessageWaiting,
        EventKind::MessageDeferred,
        EventKind::MessageSent,
        EventKind::MessageDelivered,
        EventKind::MessageFailed,
        EventKind::MessageUnknown,
        EventKind::MessageHeld,
        EventKind::MessageExpired,
        EventKind::MessageCancelled,
        EventKind::MessageRetried,
        EventKind::MessageReleased,
        EventKind::ChannelPaused,
        EventKind::ChannelResumed,
        EventKind::ChannelClosed,
        EventKind::ChannelOpened,
        EventKind::AppHalted,
        EventKind::AppResumed,
        EventKind::TokenRefreshed,
        EventKind::RunBegun,
        EventKind::RunProgress,
        EventKind::RunEnded,
        EventKind::ScheduleMissed,
        EventKind::PluginParked,
        EventKind::WebhookDisabled,
        EventKind::WebhookResumed,
        EventKind::TokenFailed,
        EventKind::CredentialAdded,
        EventKind::CredentialExpired,
        EventKind::CredentialLow,
        EventKind::ConfigReloaded,
        EventKind::ConfigRefused,
        EventKind::SchedulePaused,
        EventKind::ScheduleResumed,
    ];

    /// Its word, as in `message.sent`.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::MessageAccepted => "message.accepted",
            EventKind::MessageWaiting => "message.waiting",
            EventKind::MessageDeferred => "message.deferred",
            EventKind::MessageSent => "message.sent",
            EventKind::MessageDelivered => "message.delivered",
            EventKind::MessageFailed => "message.failed",
            EventKind::MessageUnknown => "message.unknown",
            EventKind::MessageHeld => "message.held",
            EventKind::MessageExpired => "message.expired",
            EventKind::MessageCancelled => "message.cancelled",
            EventKind::MessageRetried => "message.retried",
            EventKind::MessageReleased => "message.released",
            EventKind::ChannelPaused => "channel.paused",
            EventKind::ChannelResumed => "channel.resumed",
            EventKind::ChannelClosed => "channel.closed",
            EventKind::ChannelOpened => "channel.opened",
            EventKind::AppHalted => "app.halted",
            EventKind::AppResumed => "app.resumed",
            EventKind::TokenRefreshed => "token.refreshed",
            EventKind::RunBegun => "run.begun",
            EventKind::RunProgress => "run.progress",
            EventKind::RunEnded => "run.ended",
            EventKind::ScheduleMissed => "schedule.missed",
            EventKind::PluginParked => "plugin.parked",
            EventKind::WebhookDisabled => "webhook.disabled",
            EventKind::WebhookResumed => "webhook.resumed",
            EventKind::TokenFailed => "token.failed",
            EventKind::CredentialAdded => "credential.added",
            EventKind::CredentialExpired => "credential.expired",
            EventKind::CredentialLow => "credential.low",
            EventKind::ConfigReloaded => "config.reloaded",
            EventKind::ConfigRefused => "config.refused",
            EventKind::SchedulePaused => "schedule.paused",
            EventKind::ScheduleResumed => "schedule.resumed",
        }
    }

    /// Its place in a set of kinds.
    pub(super) fn bit(self) -> u64 {
        1 << (self as u32)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
