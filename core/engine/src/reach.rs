//! Who can be reached: one recipient by template, and everybody in a forecast of the ledger.
//!
//! What may be sent is what the claim would bind ([`tidings_model::forecast`]); here is only added what config and the
//! channels' present states say, and what a source that mints would give.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tidings_model::forecast::{Forecast, Held, Wanted};
use tidings_model::{AppName, ChannelName, MessageId, Recipient, SourceName, State, TemplateName, Timestamp};
use tidings_store::{HeldRow, OfRecipient};

use crate::admit::Admission;
use crate::config::{ChannelConfig, Config, no_such};
use crate::definitions::Definitions;
use crate::handle::EngineHandle;
use crate::lanes::LaneState;
use crate::refusal::Refusal;

/// How old a forecast may be that is answered with: a walk through a small ledger takes a few milliseconds.
const FRESH: Duration = Duration::from_secs(2);
/// And through a large one, as many times as long as the walk took: it has a twentieth of a reader's time at most.
const FRESH_PER_WALK: u32 = 20;
/// How old a forecast may be that somebody reads who did not ask for it: a monitoring scrape.
const STALE: Duration = Duration::from_secs(60);
/// Permits of one recipient that are shown for one template.
const SHOWN_MAX: usize = 20;

/// How one recipient can be reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Reachability {
    /// The instant it is for.
    pub now: Timestamp,
    /// By template.
    pub templates: Vec<TemplateReach>,
    /// Whether the recipient has more permits than were looked at.
    pub more: bool,
}

/// How one recipient can be reached with one template.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateReach {
    /// The template.
    pub template: TemplateName,
    /// Its channel.
    pub channel: ChannelName,
    /// The channel's app.
    pub app: AppName,
    /// How many messages the free permits carry; `None` where none is needed.
    pub sends: Option<u64>,
    /// When the last of them can no longer be bound; `None` for ever.
    pub until: Option<Timestamp>,
    /// The permits, the soonest to end first; at most `SHOWN_MAX`.
    pub permits: Vec<PermitView>,
    /// Messages on their way that hold a permit of this recipient.
    pub bound: Vec<MessageId>,
    /// Messages of the template that wait for one.
    pub waiting: u64,
    /// Why a message would not go out now; empty if it would.
    pub obstacles: Vec<Obstacle>,
    /// When a source that gives permits by itself has another.
    pub next_at: Option<Timestamp>,
}

/// A free permit that fits a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermitView {
    /// Its source.
    pub source: String,
    /// Whether it is for this template alone.
    pub scoped: bool,
    /// Messages it carries.
    pub uses: u32,
    /// When it can no longer be bound.
    pub until: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Whether the recipient has it by itself: it enters the ledger when a message needs it.
    pub by_itself: bool,
}

/// Why a message would not go out now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Stable: `no-permit`, `suppressed`, `channel-paused`, `channel-cooling`, `channel-halted`, `channel-parked`,
    /// `source-absent`.
    pub code: &'static str,
    /// Why, for people.
    pub detail: String,
    /// When it is over by itself, where that is known.
    pub until: Option<Timestamp>,
}

/// The forecast of one template.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateForecast {
    /// The template.
    pub template: TemplateName,
    /// Its channel.
    pub channel: ChannelName,
    /// The channel's app.
    pub app: AppName,
    /// The channel's sources.
    pub sources: Vec<SourceName>,
    /// Those that give everybody permits by themselves, beyond what the ledger has.
    pub by_itself: Vec<SourceName>,
    /// What the ledger has; `None` where no permit is needed, and everybody can be reached.
    pub ledger: Option<Forecast>,
}

/// Free permits of one source of an app, whatever they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stock {
    /// Permits.
    pub permits: u64,
    /// Messages they carry.
    pub uses: u64,
    /// Permits that end within a day.
    pub ending_in_a_day: u64,
    /// And within a week.
    pub ending_in_a_week: u64,
}

/// A walk through the ledger, and what was found.
#[derive(Debug, Clone)]
pub struct Forecasts {
    /// The instant it is for.
    pub now: Timestamp,
    /// By template.
    pub templates: Vec<TemplateForecast>,
    /// What is free at all, by app and source.
    pub stock: BTreeMap<(String, String), Stock>,
    /// How long the walk took.
    pub took: Duration,
    made: Instant,
    /// What it was made by: others make another.
    by: Weak<Definitions>,
}

/// Walks through the ledger when somebody asks and the last walk is too long ago; one at a time.
#[derive(Debug, Default)]
pub(crate) struct Forecaster {
    walking: tokio::sync::Mutex<()>,
    last: Mutex<Option<Arc<Forecasts>>>,
}

impl Forecaster {
    fn last(&self) -> Option<Arc<Forecasts>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fresh(&self, by: &Arc<Definitions>) -> Option<Arc<Forecasts>> {
        let is_fresh = |last: &Forecasts| last.made.elapsed() < FRESH.max(last.took * FRESH_PER_WALK);
        self.last().filter(|last| is_fresh(last) && last.by.ptr_eq(&Arc::downgrade(by)))
    }
}

impl EngineHandle {
    /// How this recipient can be reached now, with each template or with one.
    pub async fn reachability(&self, recipient: &str, template: Option<&str>) -> Result<Reachability, Refusal> {
        let recipient =
            Recipient::new(recipient).map_err(|error| Refusal::invalid("recipient-invalid", error.to_string()))?;
        let definitions = self.definitions();
        let config = &definitions.config;
        if let Some(name) = template {
            known_template(config, name)?;
        }
        let now = self.shared.clock.now();
        let apps: Vec<AppName> = config.apps.keys().cloned().collect();
        let of = self.shared.reader.of_recipient(recipient.as_str(), &apps, now).await?;
        let states: BTreeMap<ChannelName, LaneState> =
            self.channels().into_iter().map(|view| (view.name, view.state)).collect();
        let mut templates = Vec::new();
        for (name, defined) in config.templates.iter().filter(|(name, _)| template.is_none_or(|it| it == name.as_str()))
        {
            let Some(channel) = config.channels.get(&defined.channel) else { continue };
            let mut reach = self.of_template(&definitions, name, channel, recipient.as_str(), &of, now).await?;
            if let Some(state) = states.get(&defined.channel) {
                reach.obstacles.extend(closed(&defined.channel, state));
            }
            templates.push(reach);
        }
        Ok(Reachability { now, templates, more: of.more })
    }

    async fn of_template(
        &self,
        definitions: &Definitions,
        name: &TemplateName,
        channel: &ChannelConfig,
        recipient: &str,
        of: &OfRecipient,
        now: Timestamp,
    ) -> Result<TemplateReach, Refusal> {
        let Shape { channel: channel_name, scope } = shape(&definitions.config, name);
        let number = definitions.admission.templates.get(name);
        let mut reach = TemplateReach {
            template: name.clone(),
            channel: channel_name,
            app: channel.app.clone(),
            sends: None,
            until: None,
            permits: Vec::new(),
            bound: Vec::new(),
            waiting: of.waiting.iter().find(|(id, _)| Some(id) == number).map_or(0, |(_, count)| *count),
            obstacles: Vec::new(),
            next_at: None,
        };
        if let Some(row) = of.suppressed.iter().find(|row| row.app == channel.app.as_str()) {
            let detail = format!("the app `{}` tells this recipient nothing: {}", row.app, row.reason);
            reach.obstacles.push(Obstacle { code: "suppressed", detail, until: row.until });
        }
        if channel.credentials.is_empty() {
            return Ok(reach);
        }
        let wanted = wanted(channel, scope.clone());
        let rows: Vec<&HeldRow> = of.free.iter().filter(|row| row.app == channel.app.as_str()).collect();
        let mut permits: Vec<PermitView> = rows
            .iter()
            .filter_map(|row| {
                let until = wanted.until(&held(row), now)?;
                let (source, expires_at) = (row.source.clone(), row.expires_at);
                Some(PermitView {
                    source,
                    scoped: row.scope.is_some(),
                    uses: row.uses,
                    until,
                    expires_at,
                    by_itself: false,
                })
            })
            .collect();
        self.minted(channel, recipient, &scope, now, &mut permits, &mut reach).await?;
        permits.sort_by_key(|permit| permit.until.unwrap_or(Timestamp(i64::MAX)));
        reach.sends = Some(permits.iter().map(|permit| u64::from(permit.uses)).sum());
        reach.until = permits.last().and_then(|last| last.until);
        if permits.is_empty() {
            let sources: Vec<&str> = channel.credentials.iter().map(|stage| stage.name.as_str()).collect();
            let detail = format!("no permit of {} is free and far enough from its end", sources.join(" or "));
            reach.obstacles.push(Obstacle { code: "no-permit", detail, until: None });
        }
        permits.truncate(SHOWN_MAX);
        reach.permits = permits;
        let ours = |source: &str| channel.credentials.iter().any(|stage| stage.name.as_str() == source);
        reach.bound = of
            .bound
            .iter()
            .filter(|row| ours(&row.source) && Some(&row.template) == number && row.state != State::Waiting)
            .map(|row| row.message)
            .collect();
        Ok(reach)
    }

    /// What the recipient has by itself and the ledger does not have yet.
    async fn minted(
        &self,
        channel: &ChannelConfig,
        recipient: &str,
        scope: &str,
        now: Timestamp,
        permits: &mut Vec<PermitView>,
        reach: &mut TemplateReach,
    ) -> Result<(), Refusal> {
        for stage in channel.credentials.iter().filter(|stage| stage.source.rules().mints) {
            let minted = match stage.source.mint(recipient, scope, now).await {
                Ok(minted) => minted,
                Err(error) => {
                    let detail = format!("`{}` does not say what this recipient has: {error}", stage.name);
                    reach.obstacles.push(Obstacle { code: "source-absent", detail, until: None });
                    continue;
                }
            };
            reach.next_at = [reach.next_at, minted.next_at].into_iter().flatten().min();
            let Some(permit) = minted.permit else { continue };
            let Ok(new) = Admission::permit(stage, &channel.app, permit, now) else { continue };
            let Some(identity) = &new.identity else { continue };
            if self.shared.reader.is_known(&new.app, &new.source, identity).await? {
                continue;
            }
            let wanted =
                Wanted { sources: vec![(stage.name.as_str().to_owned(), stage.margin)], scope: scope.to_owned() };
            let held = Held {
                source: stage.name.as_str(),
                scope: new.scope.as_deref(),
                uses: new.uses,
                expires_at: new.expires_at,
            };
            if let Some(until) = wanted.until(&held, now) {
                permits.push(PermitView {
                    source: stage.name.to_string(),
                    scoped: new.scope.is_some(),
                    uses: new.uses,
                    until,
                    expires_at: new.expires_at,
                    by_itself: true,
                });
            }
        }
        Ok(())
    }

    /// How many people can be reached with each template, today and on each day ahead, and what is in stock. As old as
    /// `made` says: a walk through a large ledger is not made for everybody who asks.
    pub async fn forecasts(&self) -> Result<Arc<Forecasts>, Refusal> {
        let forecaster = &self.shared.forecaster;
        let definitions = self.definitions();
        if let Some(fresh) = forecaster.fresh(&definitions) {
            return Ok(fresh);
        }
        let _one_at_a_time = forecaster.walking.lock().await;
        // Whoever held it may have walked.
        if let Some(fresh) = forecaster.fresh(&definitions) {
            return Ok(fresh);
        }
        let made = Arc::new(self.walk(&definitions).await?);
        *forecaster.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&made));
        Ok(made)
    }

    /// The forecast of one template.
    pub async fn forecast(&self, template: &str) -> Result<(Arc<Forecasts>, usize), Refusal> {
        known_template(&self.definitions().config, template)?;
        let forecasts = self.forecasts().await?;
        let place = forecasts.templates.iter().position(|it| it.template.as_str() == template);
        place.map(|place| (forecasts, place)).ok_or_else(|| {
            // Config was reloaded since the walk.
            Refusal::new(
                crate::refusal::Class::Unavailable,
                "busy",
                "the forecast is being made; ask again in a few seconds",
            )
        })
    }

    /// The last forecast, however old, for whoever must not wait. One that is old is made anew behind its back.
    pub fn last_forecasts(&self) -> Option<Arc<Forecasts>> {
        let forecaster = &self.shared.forecaster;
        let last = forecaster.last();
        let is_old = last.as_ref().is_none_or(|last| last.made.elapsed() > STALE.max(last.took * FRESH_PER_WALK));
        if is_old && forecaster.walking.try_lock().is_ok() {
            let handle = self.clone();
            // It ends by itself: each of its steps is one bounded statement.
            drop(tokio::spawn(async move {
                if let Err(refusal) = handle.forecasts().await {
                    tracing::debug!("make a forecast: {refusal}");
                }
            }));
        }
        last
    }

    async fn walk(&self, definitions: &Arc<Definitions>) -> Result<Forecasts, Refusal> {
        let (begun, now) = (Instant::now(), self.shared.clock.now());
        let mut made = Walk::new(&definitions.config, now);
        let mut after = String::new();
        loop {
            let (rows, next) = self.shared.reader.walk_free(&after, now).await?;
            for person in rows.chunk_by(|one, other| one.recipient == other.recipient && one.app == other.app) {
                made.count(person);
            }
            let Some(next) = next else { break };
            after = next;
            tokio::task::yield_now().await;
        }
        Ok(made.done(begun, Arc::downgrade(definitions)))
    }
}

/// A walk under way: what is known before the first step, and what was counted.
struct Walk {
    now: Timestamp,
    templates: Vec<TemplateForecast>,
    /// What each asks of a permit, in the same order.
    wanted: Vec<Wanted>,
    stock: BTreeMap<(String, String), Stock>,
}

impl Walk {
    fn new(config: &Config, now: Timestamp) -> Walk {
        let (mut templates, mut wants) = (Vec::new(), Vec::new());
        let taken = config.channels.values().flat_map(|channel| {
            channel.credentials.iter().map(|stage| (channel.app.to_string(), stage.name.to_string()))
        });
        let stock = taken.map(|source| (source, Stock::default())).collect();
        for (name, template) in &config.templates {
            let Some(channel) = config.channels.get(&template.channel) else { continue };
            let sources = || channel.credentials.iter();
            let minting = sources().filter(|stage| stage.source.rules().mints);
            templates.push(TemplateForecast {
                template: name.clone(),
                channel: template.channel.clone(),
                app: channel.app.clone(),
                sources: sources().map(|stage| stage.name.clone()).collect(),
                by_itself: minting.map(|stage| stage.name.clone()).collect(),
                ledger: (!channel.credentials.is_empty()).then(|| Forecast::new(now)),
            });
            wants.push(wanted(channel, template.scope.clone()));
        }
        Walk { now, templates, wanted: wants, stock }
    }

    /// Counts all free permits of one recipient of one app.
    fn count(&mut self, person: &[HeldRow]) {
        let app = &person[0].app;
        let holding: Vec<Held<'_>> = person.iter().map(held).collect();
        for (template, wanted) in self.templates.iter_mut().zip(&self.wanted) {
            if let Some(forecast) = template.ledger.as_mut().filter(|_| template.app.as_str() == app) {
                forecast.count(wanted, &holding);
            }
        }
        for row in person {
            // What no channel takes any more is no stock.
            let Some(stock) = self.stock.get_mut(&(app.clone(), row.source.clone())) else { continue };
            let left = row.expires_at.map(|end| end.since(self.now));
            if left == Some(Duration::ZERO) {
                continue;
            }
            stock.permits += 1;
            stock.uses += u64::from(row.uses);
            stock.ending_in_a_day += u64::from(left.is_some_and(|left| left <= DAY));
            stock.ending_in_a_week += u64::from(left.is_some_and(|left| left <= DAY * 7));
        }
    }

    fn done(self, begun: Instant, by: Weak<Definitions>) -> Forecasts {
        let made = Instant::now();
        let Walk { now, templates, stock, .. } = self;
        Forecasts { now, templates, stock, took: made - begun, made, by }
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

struct Shape {
    channel: ChannelName,
    scope: String,
}

fn shape(config: &Config, name: &TemplateName) -> Shape {
    let template = &config.templates[name];
    Shape { channel: template.channel.clone(), scope: template.scope.clone() }
}

fn wanted(channel: &ChannelConfig, scope: String) -> Wanted {
    let sources = channel.credentials.iter().map(|stage| (stage.name.to_string(), stage.margin)).collect();
    Wanted { sources, scope }
}

fn held(row: &HeldRow) -> Held<'_> {
    Held { source: &row.source, scope: row.scope.as_deref(), uses: row.uses, expires_at: row.expires_at }
}

fn known_template(config: &Config, name: &str) -> Result<(), Refusal> {
    if config.templates.contains_key(name) {
        return Ok(());
    }
    let known: Vec<&str> = config.templates.keys().map(TemplateName::as_str).collect();
    let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    Err(Refusal::not_found("template-unknown", no_such("template", &shown, &known)))
}

pub(crate) fn closed(channel: &ChannelName, state: &LaneState) -> Option<Obstacle> {
    let (code, detail, until) = match state {
        LaneState::Open => return None,
        LaneState::Paused { note } => ("channel-paused", format!("channel `{channel}` is paused: {note}"), None),
        LaneState::Cooling { until, reason } => {
            ("channel-cooling", format!("channel `{channel}` waits: {reason}"), Some(*until))
        }
        LaneState::Halted { reason } => ("channel-halted", format!("channel `{channel}` is halted: {reason}"), None),
        LaneState::Parked { reason } => ("channel-parked", format!("channel `{channel}` is parked: {reason}"), None),
    };
    Some(Obstacle { code, detail, until })
}
