//! An app's online check: its provider is asked for a token, once.

use std::time::{Duration, Instant};

use tidings_model::{AppName, secret};
use tidings_sdk::Fetched;

use crate::config::Config;
use crate::http::{Exchange, Http};
use crate::stages::TokenStage;

/// How long the provider may take.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// What an app's provider answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probed {
    /// How long a token lasts that it gives now.
    pub life: Duration,
    /// How long it took to answer.
    pub took: Duration,
}

/// Why an app cannot be said to work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// There is no such app.
    #[error("there is no app `{0}`")]
    Unknown(String),
    /// No channel of the app has a token stage: nobody is there to be asked.
    #[error("no channel of app `{0}` has a token stage, so there is nobody to ask")]
    Nobody(AppName),
    /// The provider refuses the app: its settings are wrong, or an operator has to act there.
    #[error("{0}")]
    Refused(String),
    /// It could not be asked now, or wants to be asked later.
    #[error("{0}")]
    Unreachable(String),
}

/// Asks an app's provider for a token, without a store and an engine: the token is not kept, and the day's budget is not
/// counted. Where the provider gives each asker a new token that ends the one before (WeChat with `token_endpoint =
/// "token"`), a running engine meets that once and fetches another; its own job `probe` keeps what it is given instead.
///
/// # Errors
///
/// Why the app cannot be said to work, without its secrets.
pub async fn probe(config: &Config, app: &str) -> Result<Probed, ProbeError> {
    let (name, defined) = config.apps.get_key_value(app).ok_or_else(|| ProbeError::Unknown(app.to_owned()))?;
    let stage =
        config.channels.values().filter(|channel| channel.app == *name).find_map(|channel| channel.token.as_ref());
    let stage = stage.ok_or_else(|| ProbeError::Nobody(name.clone()))?;
    let http = Http::new().map_err(|error| ProbeError::Unreachable(format!("make the HTTP client: {error}")))?;
    let begun = Instant::now();
    let clean = |text: String| secret::without(text, defined.secrets.iter().map(String::as_str));
    match ask(stage, &http).await {
        Fetched::Token { life, .. } => Ok(Probed { life, took: begun.elapsed() }),
        Fetched::Retry { detail, .. } | Fetched::QuotaExhausted { detail } => {
            Err(ProbeError::Unreachable(clean(detail)))
        }
        Fetched::Halt { reason } => Err(ProbeError::Refused(clean(reason))),
    }
}

/// One request for a token.
pub(crate) async fn ask(stage: &TokenStage, http: &Http) -> Fetched {
    let request = match stage.request().await {
        Ok(request) => request,
        Err(fetched) => return fetched,
    };
    match http.send(request, PROBE_TIMEOUT).await {
        Exchange::Answered { status, retry_after, body } => stage.read(status, retry_after, body).await,
        Exchange::NotSent(detail) | Exchange::Lost(detail) => {
            let base = stage.app().settings.text("base_url");
            Fetched::retry(format!("{base} cannot be reached: {detail}"))
        }
    }
}
