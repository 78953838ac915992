//! What other engines changed of what each keeps in memory.

use std::collections::HashMap;

use tidings_model::{AppName, WebhookName};

use crate::batch::{AppHalt, ChannelId, ChannelState, KeyRow, TokenRow};
use crate::notice::WebhookStanding;

/// All of it, as it is now.
#[derive(Debug, Default)]
pub struct News {
    /// The state of every channel that has one.
    pub channels: HashMap<ChannelId, ChannelState>,
    /// The halted apps.
    pub halts: HashMap<AppName, AppHalt>,
    /// The token of every app that has one.
    pub tokens: HashMap<AppName, TokenRow>,
    /// The keys of callers.
    pub keys: Vec<KeyRow>,
    /// How every webhook stands that has stood somehow.
    pub webhooks: HashMap<WebhookName, WebhookStanding>,
}

/// Whether this engine may fetch the next token of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchRight {
    /// It may, alone; with the newest token there is, which may be newer than what it knows.
    Granted(Option<TokenRow>),
    /// Another engine is at it.
    Taken,
}
