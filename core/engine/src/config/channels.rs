//! `[channels.NAME]`: pipelines, stage by stage.

use std::sync::Arc;
use std::time::Duration;

use tidings_model::limits::{ATTEMPTS_DEFAULT, IN_FLIGHT_DEFAULT};
use tidings_model::rate::Rate;
use tidings_model::retry::Backoff;
use tidings_model::{AppName, ChannelName, OnUnknown, Policy, SourceName};

use tidings_sdk::{App, Settings, Violation};

use super::read::{Found, Section, duration, text};
use super::{AppConfig, ChannelConfig, CredentialStage, Names, Reading};
use crate::registry::{Kind, Offer};
use crate::stages::{RendererStage, TransportStage};

/// Messages that permits can be wanted for at most.
const CREDENTIAL_LOW_MAX: u32 = 1_000_000_000;

/// How close to its end a credential is still bound, when config does not say: a day, so that a message can be tried
/// again with it.
const CREDENTIAL_MARGIN: Duration = Duration::from_secs(86_400);

/// How long one request may take when config does not say.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The shortest.
const TIMEOUT_MIN: Duration = Duration::from_secs(2);

/// Messages a channel may have on their way at once.
const IN_FLIGHT_MAX: u32 = 4096;

impl Reading<'_> {
    pub(super) fn channels(
        &self,
        root: &Section<'_>,
        apps: &Names<AppName, AppConfig>,
    ) -> Names<ChannelName, ChannelConfig> {
        let mut names = Names::new();
        for (name, span, section) in root.named("channels") {
            names.seen.push(name.to_owned());
            let channel = self.channel(root, &section, apps);
            match (ChannelName::new(name), channel) {
                (Ok(name), Some(channel)) => {
                    names.known.insert(name, channel);
                }
                (Err(error), _) => section.report(&span, section.path(), error.to_string()),
                (Ok(_), None) => {}
            }
            section.finish();
        }
        names
    }

    fn channel(
        &self,
        root: &Section<'_>,
        section: &Section<'_>,
        apps: &Names<AppName, AppConfig>,
    ) -> Option<ChannelConfig> {
        let app = section.parsed("app", |value| {
            let app = text(value)?;
            apps.refers("app", &app)?;
            AppName::new(app).map_err(|error| error.to_string())
        });
        let account = app.as_ref().and_then(|app| apps.known.get(app));
        let token = section.parsed("token", |value| {
            let name = text(value)?;
            let offer = self.registry.find(Kind::TokenProvider, &name)?;
            let Some(account) = account else { return Ok(None) };
            opened(root, &account.app, offer.token_provider(&account.app))
        });
        let transport = section.parsed("transport", |value| {
            let name = text(value)?;
            let offer = self.registry.find(Kind::Transport, &name)?;
            let Some(account) = account else { return Ok(None) };
            if offer.plugin() != account.plugin {
                return Err(format!("`{name}` cannot send through an app of plugin `{}`", account.plugin));
            }
            opened(root, &account.app, offer.transport(&account.app))
        });
        let margin = section.duration("credential_margin").unwrap_or(CREDENTIAL_MARGIN);
        let credentials = self.credentials(root, section, margin, account, apps);
        if let (Some(credentials), Some(Some(transport))) = (&credentials, &transport)
            && transport.trouble().is_none()
        {
            check_credentials(section, credentials, transport);
        }
        let credential_low = section.number("credential_low", 1..=CREDENTIAL_LOW_MAX);
        if credential_low.is_some() && section.find("credential").is_none() {
            section.report_at("credential_low", "this channel needs no permits; there are none to count");
        }
        let renderer = section.parsed("renderer", |value| self.renderer(root, &text(value)?, account, apps));
        let rate = section.parsed("rate", |value| text(value).and_then(|text| rate(&text)));
        let in_flight = section.number("in_flight", 1..=IN_FLIGHT_MAX).unwrap_or(IN_FLIGHT_DEFAULT);
        let timeout = section.parsed("timeout", |value| {
            let timeout = duration(&text(value)?)?;
            // Under it a slow connection could not be told from a lost answer.
            if timeout < TIMEOUT_MIN {
                Err(format!("a request needs at least {} s", TIMEOUT_MIN.as_secs()))
            } else {
                Ok(timeout)
            }
        });
        let timeout = timeout.unwrap_or(TIMEOUT);
        let expires_after = section.duration("expires_after");
        let policy = policy(section);
        for key in ["app", "transport"] {
            if section.find(key).is_none() {
                section.missing(key, "its name");
            }
        }
        let credentials = credentials?;
        Some(ChannelConfig {
            app: app?,
            token: token.flatten(),
            credentials,
            credential_low,
            renderer: renderer.flatten(),
            transport: transport??,
            rate,
            in_flight,
            timeout,
            expires_after,
            policy,
            secrets: apps.known.values().flat_map(|app| app.secrets.iter().cloned()).collect(),
        })
    }

    /// The renderer stage: `template` is the engine's own.
    fn renderer(
        &self,
        root: &Section<'_>,
        name: &str,
        account: Option<&AppConfig>,
        apps: &Names<AppName, AppConfig>,
    ) -> Result<Option<RendererStage>, String> {
        if name == "template" {
            return Ok(None);
        }
        let offer = self.registry.find(Kind::Renderer, name)?;
        let Some(owner) = self.owner(&offer, account, apps)? else { return Ok(None) };
        opened(root, &owner, offer.renderer(&owner))
    }

    /// The credential stage: a name, or a list of them. `None` if one of them is wrong.
    fn credentials(
        &self,
        root: &Section<'_>,
        section: &Section<'_>,
        margin: Duration,
        account: Option<&AppConfig>,
        apps: &Names<AppName, AppConfig>,
    ) -> Option<Vec<CredentialStage>> {
        let Some(found) = section.find("credential") else { return Some(Vec::new()) };
        let items: Vec<Found<'_>> = match found.value.as_array() {
            Some(items) => items
                .iter()
                .map(|item| Found { value: item.get_ref(), span: item.span(), path: found.path.clone() })
                .collect(),
            None => vec![found],
        };
        let mut stages = Some(Vec::new());
        for item in items {
            let stage = text(item.value).and_then(|name| {
                let offer = self.registry.find(Kind::CredentialSource, &name)?;
                let Some(owner) = self.owner(&offer, account, apps)? else { return Ok(None) };
                let Some(source) = opened(root, &owner, offer.credential_source(&owner))? else { return Ok(None) };
                let name = SourceName::new(name.as_str()).map_err(|error| error.to_string())?;
                // What is minted anew each day is good until midnight, and there is another after it.
                let margin = if source.rules().mints { Duration::ZERO } else { margin };
                Ok(Some(CredentialStage { name, source, margin }))
            });
            match (stage, &mut stages) {
                (Ok(Some(stage)), Some(stages)) => stages.push(stage),
                // The app is a mistake of its own.
                (Ok(None), _) => stages = None,
                (Ok(_), None) => {}
                (Err(message), _) => {
                    section.report(&item.span, &item.path, message);
                    stages = None;
                }
            }
        }
        stages
    }

    /// The app whose settings a source reads: the channel's, or the only one of the source's own plugin.
    fn owner(
        &self,
        offer: &Offer<'_>,
        account: Option<&AppConfig>,
        apps: &Names<AppName, AppConfig>,
    ) -> Result<Option<Arc<App>>, String> {
        let plugin = offer.plugin();
        let Some(account) = account else { return Ok(None) };
        if account.plugin == plugin {
            return Ok(Some(Arc::clone(&account.app)));
        }
        let mut owners = apps.known.values().filter(|app| app.plugin == plugin);
        match (owners.next(), owners.next()) {
            (Some(app), None) => Ok(Some(Arc::clone(&app.app))),
            (None, _) if !offer.needs_settings() => {
                Ok(Some(Arc::new(App { name: plugin.to_owned(), settings: Settings::default() })))
            }
            (None, _) => Err(format!("its plugin has no app; add one with `plugin = \"{plugin}\"` for its settings")),
            (Some(_), Some(_)) => Err(format!("there are several apps of plugin `{plugin}`; it needs one")),
        }
    }
}

/// A stage as the plugin opened it, or none: the app's settings that it refused are reported where they stand, whichever
/// channel it was opened for. The error is for an app that stands nowhere.
fn opened<T>(root: &Section<'_>, app: &App, stage: Result<T, Vec<Violation>>) -> Result<Option<T>, String> {
    let problems = match stage {
        Ok(stage) => return Ok(Some(stage)),
        Err(problems) => problems,
    };
    let apps = root.named("apps");
    let Some((_, _, section)) = apps.iter().find(|(name, ..)| *name == app.name) else {
        return Err(told(app, &problems));
    };
    problems.iter().for_each(|Violation { field, problem }| section.report_at(field, problem));
    Ok(None)
}

/// What a plugin says of settings that do not fit together, as one sentence.
fn told(app: &App, problems: &[Violation]) -> String {
    let problems: Vec<String> = problems
        .iter()
        .map(|Violation { field, problem }| match field.as_str() {
            "" => problem.clone(),
            field => format!("`{field}` {problem}"),
        })
        .collect();
    format!("app `{}`: {}", app.name, problems.join("; "))
}

/// A transport says which credentials it can carry; a channel that gives it others, or none, would never send.
fn check_credentials(section: &Section<'_>, given: &[CredentialStage], transport: &TransportStage) {
    let name = transport.name();
    let plugin = name.split('.').next().unwrap_or_default();
    let carried: Vec<String> = transport.rules().credentials.iter().map(|stage| format!("{plugin}.{stage}")).collect();
    let span = section.find("credential").map_or_else(|| section.span().clone(), |found| found.span);
    let path = format!("{}.credential", section.path());
    for stage in given {
        if !stage.source.rules().fits_any_transport && !carried.iter().any(|carried| carried == stage.name.as_str()) {
            let takes = if carried.is_empty() { "none".to_owned() } else { carried.join(", ") };
            section.report(&span, &path, format!("`{name}` cannot send with `{}`; it takes {takes}", stage.name));
        }
    }
    if given.is_empty() && !carried.is_empty() {
        section.report(&span, &path, format!("`{name}` needs a credential: any of {}", carried.join(", ")));
    }
}

fn policy(section: &Section<'_>) -> Policy {
    let mut backoff = Backoff::default();
    let mut attempts_max = ATTEMPTS_DEFAULT;
    if let Some(retry) = section.section("retry") {
        attempts_max = retry.number("attempts", 1..=100).unwrap_or(attempts_max);
        backoff.base = retry.duration("base").unwrap_or(backoff.base);
        backoff.cap = retry.duration("cap").unwrap_or(backoff.cap);
        if backoff.base.is_zero() || backoff.base > backoff.cap {
            retry.report(retry.span(), retry.path(), "`base` must be over zero and not over `cap`");
        }
        retry.finish();
    }
    let on_unknown = match section.choice("on_unknown", &["stop", "retry"]) {
        Some("retry") => OnUnknown::Retry,
        _ => OnUnknown::Stop,
    };
    Policy { attempts_max, backoff, on_unknown }
}

/// Reads `100/s`, `60/m`, `1000/h`, `100000/d`, `10/5s`.
pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || format!("`{text}` is no rate; write it as in `100/s`, `600/m`, `1000/h`, `100000/d`, `10/5s`");
    let (count, period) = text.split_once('/').ok_or_else(wrong)?;
    let count: u32 = count.trim().parse().map_err(|_| wrong())?;
    let period = period.trim();
    let period =
        if period.starts_with(|c: char| c.is_ascii_digit()) { period.to_owned() } else { format!("1{period}") };
    let period = duration(&period).map_err(|_| wrong())?;
    if count == 0 || period.is_zero() {
        return Err(wrong());
    }
    Ok(Rate { count, period })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_nonsense_is_not() {
        assert_eq!(rate("100/s"), Ok(Rate { count: 100, period: Duration::from_secs(1) }));
        assert_eq!(rate("10/5s"), Ok(Rate { count: 10, period: Duration::from_secs(5) }));
        for wrong in ["", "100", "0/s", "-1/s", "1/0s", "x/s", "1/x"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
