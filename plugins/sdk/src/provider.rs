//! A provider that speaks HTTP, in its shortest form: one struct of settings, one of the template, one function.

use std::marker::PhantomData;
use std::time::Duration;

use serde_json::{Map, Value};
use tidings_model::Outcome;

use crate::http::{Request, Response};
use crate::plugin::Plugin;
use crate::record::Record;
use crate::settings::App;
use crate::transport::{Delivery, HttpTransport, TransportRules, Violation};

/// A provider whose settings are this struct. Give it to a plugin with [`Plugin::provider`].
pub trait Provider: Record + 'static {
    /// What a template has.
    type Template: Record;

    /// What is true of every message; the template's settings are filled in.
    fn rules() -> TransportRules {
        TransportRules::default()
    }

    /// What is wrong with a rendered template, by the provider's own rules.
    fn check(&self, template: &Self::Template) -> Vec<Violation> {
        let _ = template;
        Vec::new()
    }

    /// The request for a message.
    ///
    /// # Errors
    ///
    /// There can be none, and why, for people and without secrets.
    fn request(&self, delivery: &Delivery<'_>, template: Self::Template) -> Result<Request, String>;

    /// What the answer says: by its status alone, where the provider has nothing to add.
    fn read(&self, response: &Response<'_>) -> Outcome {
        outcome_of(response)
    }
}

impl Plugin {
    /// Offers a [`Provider`]: its settings are an app's, and it is a transport of that name.
    pub fn provider<P: Provider>(self, name: &'static str) -> Plugin {
        self.app_settings(P::SETTINGS).http_transport(name, Provided::<P>(PhantomData))
    }
}

/// The stage in front of a provider. A function pointer is `Send` and `Sync`, whatever `P` is.
struct Provided<P>(PhantomData<fn() -> P>);

impl<P: Provider> HttpTransport for Provided<P> {
    fn rules(&self) -> TransportRules {
        TransportRules { template_settings: P::Template::SETTINGS, ..P::rules() }
    }

    fn check(&self, app: &App, content: &Map<String, Value>) -> Vec<Violation> {
        app.settings.read::<P>().check(&P::Template::read(content))
    }

    fn request(&self, delivery: &Delivery<'_>) -> Result<Request, String> {
        delivery.app.settings.read::<P>().request(delivery, P::Template::read(delivery.content))
    }

    fn read(&self, app: &App, response: &Response<'_>) -> Outcome {
        app.settings.read::<P>().read(response)
    }
}

/// What an answer says by its status alone (RFC 9110 §15), on the safe side: what may have arrived is
/// [`Outcome::Unknown`], and only an answer that can mean nothing else is a refusal.
///
/// | Status | Outcome | Because |
/// |---|---|---|
/// | 2xx | accepted | |
/// | 401 | token rejected | the engine fetches another token where the channel has a provider of tokens |
/// | 404, 410 | recipient gone | an address of the recipient's own is the usual one; override it where the URL is fixed |
/// | 408, 5xx | unknown | the one in front may have lost the answer of the one behind |
/// | 425 | retry | it says that it did nothing |
/// | 429, and 503 with a time to come back | throttled | it says that it did nothing, and why |
/// | 501, 505 | rejected | it cannot do such a thing at all |
/// | 3xx, other 4xx | rejected | |
///
/// The detail has the status and nothing of the body, which may repeat what was sent.
pub fn outcome_of(response: &Response<'_>) -> Outcome {
    let detail = format!("HTTP {}", response.status);
    let retry_after = response.retry_after.filter(|after| *after > Duration::ZERO);
    match response.status {
        200..=299 => Outcome::Accepted { provider_id: None },
        401 => Outcome::TokenRejected { detail },
        404 | 410 => Outcome::RecipientGone { detail },
        425 => Outcome::Retry { after: retry_after, detail },
        429 => Outcome::Throttled { retry_after, detail },
        503 if retry_after.is_some() => Outcome::Throttled { retry_after, detail },
        501 | 505 => Outcome::Rejected { reason: detail },
        300..=399 => Outcome::Rejected { reason: format!("{detail}: the provider has moved, and nobody follows") },
        408 => Outcome::Unknown { detail },
        400..=499 => Outcome::Rejected { reason: detail },
        _ => Outcome::Unknown { detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_read_on_the_safe_side() {
        let name = |status, retry_after| outcome_of(&Response { status, retry_after, body: b"" }).name();
        for (statuses, expected) in [
            (&[200, 202, 299][..], "accepted"),
            (&[401], "token_rejected"),
            (&[404, 410], "recipient_gone"),
            (&[429], "throttled"),
            (&[425], "retry"),
            (&[301, 400, 403, 409, 422, 451, 501, 505], "rejected"),
            (&[100, 408, 500, 502, 503, 504, 520, 999], "unknown"),
        ] {
            for status in statuses {
                assert_eq!(name(*status, None), expected, "{status}");
            }
        }
        assert_eq!(name(503, Some(Duration::from_secs(1))), "throttled");
        assert_eq!(name(503, Some(Duration::ZERO)), "unknown");
        assert_eq!(name(500, Some(Duration::from_secs(1))), "unknown");
    }

    #[test]
    fn a_detail_repeats_nothing_of_the_body() {
        for status in 100..600 {
            assert!(!format!("{:?}", outcome_of(&Response::new(status, b"CANARY"))).contains("CANARY"));
        }
    }
}
