//! Telling others: what a webhook of config wants to know is posted to it, signed as Standard Webhooks 1.0 has it.
//!
//! A notice enters the store in the transaction of the change it tells of, and only where a webhook wants it: a crash loses
//! none, and without webhooks nothing is written. A courier for each webhook posts what is due; order is not promised. The
//! same id goes with every try, so that a receiver may tell a second copy.

mod couriers;
mod desk;
mod sign;
mod verdict;

use std::fmt;

use tidings_model::WebhookName;
use tidings_store::NewNotice;

pub use couriers::Tested;
pub(crate) use couriers::{Couriers, Mail};
pub(crate) use desk::Desk;
pub use desk::WebhookView;
pub use sign::SigningKey;

use crate::config::Config;
use crate::events::{Content, EventFilter, Happened, What};

/// Who of ours is told what.
#[derive(Clone)]
pub struct WebhookConfig {
    /// Where it is posted. A secret may stand in it: it is told and shown without its path.
    pub url: String,
    /// What it is signed with: each signs, so that a receiver may change from one to the next.
    pub secrets: Vec<SigningKey>,
    /// What is told.
    pub wants: EventFilter,
    /// How much.
    pub content: Content,
    /// Changes with the secrets.
    pub(crate) fingerprint: i64,
}

impl WebhookConfig {
    /// Whether what is written elsewhere differs: the secrets, and the address where it stands with them.
    pub(crate) fn differs(&self, other: &WebhookConfig) -> bool {
        self.fingerprint != other.fingerprint || self.url != other.url
    }

    /// The address without its path and what may stand before its `@`: a secret may be in either.
    pub fn shown(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{host}")
    }
}

impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookConfig").field("url", &self.shown()).field("wants", &self.wants).finish_non_exhaustive()
    }
}

/// What the webhooks of that config are to be told of what happened. A webhook is not told of its own trouble.
pub(crate) fn notices(config: &Config, happened: &[Happened]) -> Vec<NewNotice> {
    let mut notices = Vec::new();
    for (name, webhook) in &config.webhooks {
        let wanted = happened.iter().filter(|one| webhook.wants.wants(one) && !is_of(one, name));
        notices.extend(wanted.map(|one| NewNotice {
            webhook: name.clone(),
            event: one.kind.as_str(),
            data: one.data(webhook.content),
        }));
    }
    notices
}

fn is_of(happened: &Happened, name: &WebhookName) -> bool {
    matches!(&happened.what, What::Webhook { webhook, .. } if &**webhook == name.as_str())
}
