//! What only the world can say of a config: whether providers give tokens, whether the store opens and is sound, whether the
//! addresses of webhooks are somewhere. Nothing is sent, kept or changed.

use std::sync::Arc;
use std::time::Duration;

use tidings_store::{Examined, StoreError, examine};

use crate::config::Config;
use crate::probe::{ProbeError, probe};

/// How long the name of a receiver may take to be found.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What kind of thing: `app`, `store` or `webhook`.
    pub what: &'static str,
    /// Which, as config names it.
    pub name: String,
    /// What is well, or what is wrong, for people: never a secret.
    pub found: Result<String, String>,
}

/// Looks at everything at once; a verdict for each app, for the store, for each webhook, in this order.
pub async fn look_online(config: Config) -> Vec<Verdict> {
    let config = Arc::new(config);
    let mut looks = Vec::new();
    for name in config.apps.keys() {
        let (config, name) = (Arc::clone(&config), name.to_string());
        looks.push(tokio::spawn(async move {
            let found = app(&config, &name).await;
            Verdict { what: "app", name, found }
        }));
    }
    let address = config.store.clone();
    looks.push(tokio::spawn(async move {
        let found = store(&address.url()).await;
        Verdict { what: "store", name: address.to_string(), found }
    }));
    for (name, webhook) in &config.webhooks {
        let (name, shown, url) = (name.to_string(), webhook.shown(), webhook.url.clone());
        looks.push(tokio::spawn(async move {
            let found = receiver(&url, &shown).await;
            Verdict { what: "webhook", name, found }
        }));
    }
    let mut verdicts = Vec::with_capacity(looks.len());
    for look in looks {
        verdicts.push(look.await.expect("a look answers"));
    }
    verdicts
}

async fn app(config: &Config, name: &str) -> Result<String, String> {
    match probe(config, name).await {
        Ok(probed) => Ok(format!("a token that lasts {} s, in {} ms", probed.life.as_secs(), probed.took.as_millis())),
        Err(nobody @ ProbeError::Nobody(_)) => Ok(nobody.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

async fn store(url: &str) -> Result<String, String> {
    match examine(url).await {
        Ok(Examined::Absent) => Ok("there is none yet; a start makes it".to_owned()),
        Ok(Examined::Sound { schema, known, bytes }) => {
            let upgrade = if schema < known { format!("; a start brings it to schema {known}") } else { String::new() };
            Ok(format!("sound: schema {schema}, {} kB{upgrade}", bytes.div_ceil(1000)))
        }
        Ok(Examined::Damaged(faults)) => {
            Err(format!("damaged: {}; restore a backup, or salvage it with `sqlite3 FILE .recover`", faults.join("; ")))
        }
        Err(error) => Err(told(&error)),
    }
}

/// An error with its causes.
fn told(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Finds the name of a receiver; nothing is sent there.
async fn receiver(url: &str, shown: &str) -> Result<String, String> {
    let Ok(url) = reqwest::Url::parse(url) else { return Err(format!("`{shown}` is no address")) };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(format!("`{shown}` names no host"));
    };
    // As a URL has an IPv6 address.
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let lookup = tokio::net::lookup_host((host.as_str(), port));
    match tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await {
        Ok(Ok(mut found)) => match found.next() {
            Some(address) => Ok(format!("{shown} is at {}", address.ip())),
            None => Err(format!("`{host}` has no address")),
        },
        Ok(Err(error)) => Err(format!("find `{host}`: {error}")),
        Err(_) => Err(format!("find `{host}`: no answer in {} s", RESOLVE_TIMEOUT.as_secs())),
    }
}
