//! The rule about secrets.

use std::time::Duration;

use serde_json::Value;
use tidings_sdk::{Fetched, Outcome, SettingKind, StageDescription};

use super::calls::Size;
use super::record;
use super::rig::{Instance, Made, Rig};
use super::transport::Course;
use super::values::{self, NOWHERE, canary};
use super::{Asked, Found, Progress, pure};

/// Bytes that a secret has at least to be looked for.
const LOOKED_FOR_MIN: usize = 4;

/// How long a transport may take to answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Why the rule ends before its time.
enum Stop {
    /// A secret was seen.
    Seen(String),
    /// A call went wrong, which is for other rules to tell.
    Broken(String),
}

impl From<String> for Stop {
    fn from(what: String) -> Stop {
        Stop::Broken(what)
    }
}

/// What must not be seen, and what has been.
struct Watch {
    /// Name and value.
    secrets: Vec<(String, String)>,
    doubts: Vec<String>,
}

impl Watch {
    /// Fails if a secret is in `text`.
    fn look(&self, text: &str, place: &str) -> Result<(), Stop> {
        match self.secrets.iter().find(|(_, secret)| text.contains(secret.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                Err(Stop::Seen(format!("the secret `{name}` stands in {place}; it is for the provider alone")))
            }
        }
    }

    /// The same, where the provider has said the secret itself first.
    fn doubt(&mut self, text: &str, place: &str) {
        if let Err(Stop::Seen(what)) = self.look(text, place) {
            self.doubts.push(format!("{what}: the provider's answer had it, and was quoted"));
        }
    }

    /// Looks at what was logged and panicked.
    fn look_at_log(&self) -> Result<(), Stop> {
        record::with(|record| {
            record.lines.iter().try_for_each(|line| self.look(line, "a log line"))?;
            record.panics.iter().try_for_each(|line| self.look(line, "a panic's message"))
        })
    }
}

pub(super) fn kept(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    progress.at("loads it");
    let rig = Rig::open(asked)?;
    match watched(asked, &rig, progress) {
        Ok(doubts) => Ok(doubts.into_iter().next().map_or(Found::Well, Found::Doubtful)),
        Err(Stop::Seen(what)) => Err(what),
        Err(Stop::Broken(what)) => Ok(Found::Nothing(format!("it cannot be used: {what}"))),
    }
}

/// Uses every stage; gives the doubts.
fn watched(asked: &Asked, rig: &Rig, progress: &mut Progress<'_>) -> Result<Vec<String>, Stop> {
    let mut app = values::app(rig, asked, NOWHERE);
    let secret_settings = rig.description.app_settings.iter().filter(|setting| setting.kind == SettingKind::Secret);
    for setting in secret_settings.clone() {
        // Those that may be left out are given too, if the plugin takes them so.
        let mut more = app.clone();
        more.entry(setting.name).or_insert_with(|| canary(setting.name).into());
        let is_taken = |stage| matches!(rig.make(stage, &more, None), Made::Instance(_));
        if rig.description.stages.iter().all(is_taken) {
            app = more;
        }
    }
    let named = |name: &str| app.get(name).and_then(Value::as_str).map(|value| (name.to_owned(), value.to_owned()));
    let mut secrets: Vec<(String, String)> = secret_settings.filter_map(|setting| named(setting.name)).collect();
    secrets.extend(["token", "credential"].map(|name| (name.to_owned(), canary(name))));
    secrets.retain(|(_, secret)| secret.len() >= LOOKED_FOR_MIN);
    let mut watch = Watch { secrets, doubts: Vec::new() };
    for stage in &rig.description.stages {
        progress.at(&format!("makes instances of `{}` with wrong settings", stage.name));
        for setting in rig.description.app_settings {
            let mut wrong = app.clone();
            wrong.insert(
                setting.name.to_owned(),
                if setting.kind == SettingKind::Secret { "".into() } else { canary("token").into() },
            );
            if let Made::Refused(problems) = rig.make(stage, &wrong, None) {
                // The wrong value itself stands in for a secret that was put into another setting.
                let problems = problems.iter().filter(|_| setting.kind == SettingKind::Secret);
                problems.into_iter().try_for_each(|(_, problem)| watch.look(problem, "a problem of `create`"))?;
            }
        }
        let instance = rig.instance(stage, &app)?;
        progress.at(&format!("uses `{}`", stage.name));
        used(asked, &instance, stage, &mut watch)?;
    }
    watch.look_at_log()?;
    Ok(watch.doubts)
}

fn used(asked: &Asked, instance: &Instance<'_>, stage: &StageDescription, watch: &mut Watch) -> Result<(), Stop> {
    let rules = pure::rules(stage);
    let content = values::content(&rules, asked);
    let delivery = values::delivery(asked, stage, &rules, content);
    let told: String = watch.secrets.iter().map(|(_, secret)| secret.as_str()).collect::<Vec<_>>().join(" ");
    let echo = |key: &str| format!("{{\"errcode\": 40001, \"{key}\": \"invalid: {told}\", \"error\": \"{told}\"}}");
    let plain = "{\"errcode\": 40001, \"errmsg\": \"invalid\", \"error\": \"invalid\"}".to_owned();
    match stage.role.name() {
        "http_transport" => {
            let mut bare = delivery.clone();
            bare.content.clear();
            for delivery in [&delivery, &bare] {
                if let Err(problem) = instance.request(delivery, Size::Known)? {
                    watch.look(&problem, "a problem of `request`")?;
                }
            }
            for status in [200, 400, 401, 403, 500] {
                let outcome = instance.read(status, 0, plain.as_bytes(), Size::Known)?;
                watch.look(outcome.detail(), "a detail of `read`")?;
                for body in [echo("errmsg"), echo("message"), told.clone()] {
                    let outcome = instance.read(status, 0, body.as_bytes(), Size::Known)?;
                    watch.doubt(outcome.detail(), "a detail of `read`");
                }
            }
        }
        "token_provider" => {
            if let Err(problem) = instance.token_request()? {
                watch.look(&problem, "a problem of `request`")?;
            }
            for status in [200, 400, 401, 500] {
                for (body, is_echo) in [(plain.clone(), false), (echo("errmsg"), true), (echo("access_token"), true)] {
                    let detail = match instance.token_read(status, 0, body.as_bytes(), Size::Known)? {
                        Fetched::Token { .. } => continue,
                        Fetched::Retry { detail, .. } | Fetched::QuotaExhausted { detail } => detail,
                        Fetched::Halt { reason } => reason,
                    };
                    if is_echo {
                        watch.doubt(&detail, "a detail of `read`");
                    } else {
                        watch.look(&detail, "a detail of `read`")?;
                    }
                }
            }
        }
        "credential_source" => {
            let secret = canary("credential");
            for name in ["form_id", "prepay_id", "id", "value", "recipient", "unknown"] {
                if let Err(problem) = instance.admit(&[(name, &secret), ("recipient", "a\u{0}b")], 0)? {
                    watch.look(&problem, "a problem of `admit`")?;
                }
            }
        }
        "transport" => {
            let mut course = Course::new(instance, delivery);
            course.offer_all(20, ANSWERED_WITHIN)?;
            course.wait_answered(ANSWERED_WITHIN);
            record::with(|record| {
                let details = record.answers.values().map(|answers| Outcome::detail(&answers.outcome));
                details.into_iter().try_for_each(|detail| watch.look(detail, "a detail of an answer"))
            })?;
        }
        _ => {}
    }
    Ok(())
}
