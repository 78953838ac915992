//! Before a broadcast: whom it would reach now, until when, and why it would not reach the others.
//!
//! Every row is looked at as it would be sent: it is admitted, looked for among the suppressed, and its recipient's
//! permits are asked as the claim would ask them. Nothing is sent, bound or written. A recipient who is there twice is
//! counted twice: to know would need a list of all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tidings_model::forecast::{Forecast, Held, Wanted};
use tidings_model::{AppName, Timestamp, mask};
use tidings_store::{HeldRow, REACH_MANY_MAX};

use super::{Jobs, STEP_WAIT};
use crate::admit::Submission;
use crate::audience::{FeedError, PORTION_ROWS_MAX, Portion};
use crate::config::Broadcast;
use crate::definitions::present;
use crate::reach::{Obstacle, closed};
use crate::refusal::{Class, Refusal};
use crate::writer::look;

/// Tries of an audience that cannot be had, when somebody waits for the answer.
const TRIES_MAX: u32 = 3;

const _: () = assert!(PORTION_ROWS_MAX <= REACH_MANY_MAX, "a portion is one look");

/// Whom a broadcast would reach.
#[derive(Debug, Clone, PartialEq)]
pub struct Preflight {
    /// The instant it is for.
    pub now: Timestamp,
    /// Rows of the audience.
    pub rows: u64,
    /// These are the first rows alone: those behind them were not looked at.
    pub first_only: bool,
    /// Rows whose recipient can be told now.
    pub reachable: u64,
    /// How many of them still can in a day, and in a week, if nobody sends and nothing arrives.
    pub in_a_day: u64,
    /// See `in_a_day`.
    pub in_a_week: u64,
    /// When the first of them no longer can; `None` if all can for ever.
    pub until: Option<Timestamp>,
    /// The others, by why: stable codes (`row-broken`, `suppressed`, `no-permit`, and those of refusals).
    pub unreachable: BTreeMap<&'static str, Unreachable>,
    /// What keeps everybody from being told now: `channel-paused`, `channel-cooling`, `channel-halted`, `channel-parked`.
    pub obstacles: Vec<Obstacle>,
    /// Sources that give permits by themselves: some of those without a permit will get one when they are sent to.
    pub by_itself: Vec<String>,
}

/// Rows whose recipient cannot be told, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// How many.
    pub count: u64,
    /// What is wrong with the first of them, for people.
    pub example: String,
}

impl Preflight {
    /// In a few sentences.
    pub(super) fn told(&self) -> Vec<String> {
        let which = if self.first_only { "the first " } else { "" };
        let mut told = vec![format!("preflight: {} of {which}{} rows can be reached now", self.reachable, self.rows)];
        if let Some(until) = self.until {
            told.push(format!(
                "preflight: {} of them still can in a day, {} in a week; the first until {}",
                self.in_a_day,
                self.in_a_week,
                until.to_rfc3339()
            ));
        }
        for (code, Unreachable { count, example }) in &self.unreachable {
            told.push(format!("preflight: {count} cannot, {code}: {example}"));
        }
        if !self.by_itself.is_empty() {
            told.push(format!("preflight: {} may give some of them a permit by itself", self.by_itself.join(", ")));
        }
        told.extend(self.obstacles.iter().map(|obstacle| format!("preflight: all of them wait: {}", obstacle.detail)));
        told
    }

    /// As it is kept with the run, and shown.
    pub fn to_json(&self) -> String {
        let unreachable = self
            .unreachable
            .iter()
            .map(|(code, why)| json!({ "code": code, "count": why.count, "example": why.example }));
        let instant = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339);
        let obstacles = self.obstacles.iter().map(|it| {
            let mut obstacle =
                Map::from_iter([("code".to_owned(), json!(it.code)), ("detail".to_owned(), json!(it.detail))]);
            obstacle.extend(instant(it.until).map(|until| ("until".to_owned(), json!(until))));
            Value::Object(obstacle)
        });
        json!({
            "now": self.now.to_rfc3339(),
            "rows": self.rows,
            "first_only": self.first_only,
            "reachable": self.reachable,
            "in_a_day": self.in_a_day,
            "in_a_week": self.in_a_week,
            "until": instant(self.until),
            "unreachable": unreachable.collect::<Vec<_>>(),
            "obstacles": obstacles.collect::<Vec<_>>(),
            "by_itself": self.by_itself,
        })
        .to_string()
    }
}

/// A look at an audience under way.
struct Look<'a> {
    what: &'a Broadcast,
    app: AppName,
    /// `None` where nobody needs a permit.
    wanted: Option<Wanted>,
    forecast: Forecast,
    found: Preflight,
}

impl Jobs {
    /// Looks through the audience.
    pub(super) async fn preflight_of(&self, what: &Broadcast) -> Result<Preflight, Refusal> {
        let mut look = self.begin_look(what)?;
        let refused = |detail: String| Refusal::new(Class::Conflict, "audience-unusable", detail);
        let mut feed = match self.feed(what, None) {
            Ok(feed) => feed,
            Err(FeedError::Unusable(detail) | FeedError::Changed(detail) | FeedError::Later { detail, .. }) => {
                return Err(refused(detail));
            }
        };
        let mut tries = 0;
        loop {
            match feed.next().await {
                Ok(Some(portion)) => {
                    tries = 0;
                    self.look_at(&mut look, portion).await?;
                }
                Ok(None) => return Ok(look.end()),
                Err(FeedError::Unusable(detail) | FeedError::Changed(detail)) => return Err(refused(detail)),
                Err(FeedError::Later { wait, detail }) => {
                    tries += 1;
                    if tries == TRIES_MAX {
                        return Err(Refusal::new(Class::Unavailable, "audience-away", detail));
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Looks at the first portion alone, where the rest cannot be had twice.
    pub(super) async fn preflight_of_first(&self, what: &Broadcast, first: Portion) -> Result<Preflight, Refusal> {
        let mut look = self.begin_look(what)?;
        look.found.first_only = true;
        self.look_at(&mut look, first).await?;
        Ok(look.end())
    }

    fn begin_look<'a>(&self, what: &'a Broadcast) -> Result<Look<'a>, Refusal> {
        let definitions = present(&self.present);
        let config = &definitions.config;
        let template = config.templates.get(&what.template).ok_or_else(|| {
            Refusal::not_found("template-unknown", format!("there is no template `{}`", what.template))
        })?;
        let channel = &config.channels[&template.channel];
        let now = self.clock.now();
        let lanes = look(&self.lanes);
        let lane = lanes.lanes.values().find(|lane| !lane.gone && lane.name == template.channel);
        let obstacles = lane.and_then(|lane| closed(&template.channel, &lanes.state(lane, now)));
        let minting = channel.credentials.iter().filter(|stage| stage.source.rules().mints);
        let sources = channel.credentials.iter().map(|stage| (stage.name.to_string(), stage.margin));
        Ok(Look {
            what,
            app: channel.app.clone(),
            wanted: (!channel.credentials.is_empty())
                .then(|| Wanted { sources: sources.collect(), scope: template.scope.clone() }),
            forecast: Forecast::new(now),
            found: Preflight {
                now,
                rows: 0,
                first_only: false,
                reachable: 0,
                in_a_day: 0,
                in_a_week: 0,
                until: None,
                unreachable: BTreeMap::new(),
                obstacles: obstacles.into_iter().collect(),
                by_itself: minting.map(|stage| stage.name.to_string()).collect(),
            },
        })
    }

    async fn look_at(&self, look: &mut Look<'_>, portion: Portion) -> Result<(), Refusal> {
        let definitions = present(&self.present);
        let now = look.found.now;
        look.found.rows += portion.rows.len() as u64;
        let mut recipients = Vec::with_capacity(portion.rows.len());
        for (_, row) in portion.rows {
            let row = match row {
                Ok(row) => row,
                Err(problem) => {
                    look.unreachable("row-broken", problem);
                    continue;
                }
            };
            let mut data = look.what.data.clone();
            data.extend(row.data);
            let (template, to) = (look.what.template.to_string(), row.to.clone());
            let submission = Submission { template, to, data, ..Submission::default() };
            match definitions.admission.message(submission, now).await {
                Ok(_) => recipients.push(row.to),
                Err(refusal) => {
                    let problem = mask::without(&refusal.detail, &row.to);
                    look.unreachable(refusal.code, format!("{}: {problem}", mask::masked(&row.to)));
                }
            }
        }
        let names: Vec<&str> = recipients.iter().map(String::as_str).collect();
        let (held, suppressed) = loop {
            match self.reader.of_recipients(&names, &look.app, now).await.map_err(Refusal::from) {
                Ok(found) => break found,
                // The store may have interrupted it.
                Err(refusal) if refusal.class == Class::Unavailable => tokio::time::sleep(STEP_WAIT).await,
                Err(refusal) => return Err(refusal),
            }
        };
        look.count(&recipients, &held, &suppressed);
        Ok(())
    }
}

impl Look<'_> {
    fn unreachable(&mut self, code: &'static str, example: String) {
        let why = self.found.unreachable.entry(code).or_insert(Unreachable { count: 0, example });
        why.count += 1;
    }

    fn count(&mut self, recipients: &[String], held: &[HeldRow], suppressed: &[String]) {
        let mut by_recipient: BTreeMap<&str, Vec<Held<'_>>> = BTreeMap::new();
        for row in held {
            let permits = by_recipient.entry(&row.recipient).or_default();
            permits.push(Held {
                source: &row.source,
                scope: row.scope.as_deref(),
                uses: row.uses,
                expires_at: row.expires_at,
            });
        }
        for recipient in recipients {
            if suppressed.contains(recipient) {
                self.unreachable("suppressed", format!("app `{}` tells {} nothing", self.app, mask::masked(recipient)));
                continue;
            }
            let Some(wanted) = &self.wanted else {
                self.found.reachable += 1;
                continue;
            };
            let permits = by_recipient.get(recipient.as_str()).map(Vec::as_slice).unwrap_or_default();
            let Some(reach) = wanted.reach(permits, self.found.now) else {
                let sources: Vec<&str> = wanted.sources.iter().map(|(source, _)| source.as_str()).collect();
                let masked = mask::masked(recipient);
                let example =
                    format!("{masked} has no free permit of {} that is far enough from its end", sources.join(" or "));
                self.unreachable("no-permit", example);
                continue;
            };
            self.found.reachable += 1;
            self.found.until = [self.found.until, reach.until].into_iter().flatten().min();
            self.forecast.count(wanted, permits);
        }
    }

    fn end(self) -> Preflight {
        let Look { wanted, forecast, mut found, .. } = self;
        let after = |days| if wanted.is_some() { forecast.people_after(days) } else { found.reachable };
        (found.in_a_day, found.in_a_week) = (after(1), after(7));
        found
    }
}

/// A look through an audience may take as long as reading it does, and somebody waits for it.
pub(super) const LOOK_MAX: Duration = Duration::from_secs(600);

impl Jobs {
    /// The same for somebody who waits, within a time.
    pub(crate) async fn preflight(&self, what: &Broadcast) -> Result<Preflight, Refusal> {
        let looked = tokio::time::timeout(LOOK_MAX, self.preflight_of(what)).await;
        looked.unwrap_or_else(|_| {
            let detail = format!("the audience was not looked through in {} s", LOOK_MAX.as_secs());
            Err(Refusal::new(Class::Unavailable, "audience-away", detail))
        })
    }
}
