//! The channels under load, and what is promised in each: the design's table.

use serde_json::Value;

/// A channel of `engine.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    /// form_id.
    Forms,
    /// A service account's template with its dedupe id.
    Service,
    /// The same, from schedules.
    Digest,
    /// A grant with `on_unknown = "stop"`.
    Grants,
    /// A grant with `on_unknown = "retry"`.
    GrantsAgain,
    /// prepay_id with `on_unknown = "retry"`.
    Payments,
}

/// What may become of a message there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    Once,
    AtMostOnce,
    AtLeastOnce,
}

impl Lane {
    pub(crate) const ALL: [Lane; 6] =
        [Lane::Forms, Lane::Service, Lane::Digest, Lane::Grants, Lane::GrantsAgain, Lane::Payments];

    /// The name of its channel, and of its template.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Lane::Forms => "forms",
            Lane::Service => "service",
            Lane::Digest => "digest",
            Lane::Grants => "grants",
            Lane::GrantsAgain => "grants-again",
            Lane::Payments => "payments",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| lane.name() == name)
    }

    /// What WeChat calls its template.
    pub(crate) fn template_id(self) -> String {
        format!("T-{}", self.name())
    }

    pub(crate) fn promise(self) -> Promise {
        match self {
            Lane::Forms | Lane::Service | Lane::Digest => Promise::Once,
            Lane::Grants => Promise::AtMostOnce,
            Lane::GrantsAgain | Lane::Payments => Promise::AtLeastOnce,
        }
    }

    /// Where its credentials are posted.
    pub(crate) fn source(self) -> Option<&'static str> {
        match self {
            Lane::Forms => Some("wechat.form_id"),
            Lane::Payments => Some("wechat.prepay_id"),
            Lane::Grants | Lane::GrantsAgain => Some("wechat.subscription"),
            Lane::Service | Lane::Digest => None,
        }
    }

    /// The order that a delivery names.
    pub(crate) fn order_of(self, data: &Value) -> &str {
        let key = match self {
            Lane::Forms | Lane::Payments => "keyword2",
            _ => "character_string2",
        };
        data[key]["value"].as_str().unwrap_or_default()
    }
}
