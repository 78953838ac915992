//! The channels as they run: who may claim, how much, and why not.
//!
//! Held by the writer and looked at by everybody else. What may not be sent is not claimed: there is no
//! claim-and-give-back, and a closed channel costs nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tidings_model::limits::TICK_CLAIMS_MAX;
use tidings_model::{AppName, ChannelName, LaneEffect, Timestamp};
use tidings_store::{AppHalt, ChannelId, ChannelState, ClaimRequest, LaneRow, Needs, Settle, SourceRule, TemplateId};

use crate::config::{ChannelConfig, Config};
use crate::definitions::Definitions;

/// One channel at work.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) id: ChannelId,
    pub(crate) name: ChannelName,
    pub(crate) config: Arc<ChannelConfig>,
    pub(crate) state: ChannelState,
    pub(crate) in_flight: u32,
    /// Config no longer has it.
    pub(crate) gone: bool,
    needs: Option<Needs>,
}

/// Whether a channel claims, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneState {
    /// It claims.
    Open,
    /// An operator paused it.
    Paused {
        /// Who and why.
        note: String,
    },
    /// The provider wants no more before `until`.
    Cooling {
        /// When it goes on.
        until: Timestamp,
        /// What the provider said.
        reason: String,
    },
    /// Its app stopped until an operator acts.
    Halted {
        /// Why.
        reason: String,
    },
    /// A plugin of one of its stages is not there, or may not go on.
    Parked {
        /// Which, and why.
        reason: String,
    },
}

/// All channels at work.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    pub(crate) lanes: BTreeMap<ChannelId, Lane>,
    pub(crate) halts: HashMap<AppName, AppHalt>,
    /// Outcomes that met the fence since the start.
    pub(crate) late_outcomes: u64,
    /// The disk is full: since then only what is on its way is written, and nothing is claimed.
    pub(crate) store_problem: Option<String>,
    /// This engine's clock is off: nothing is decided by it.
    pub(crate) clock_problem: Option<String>,
    /// Nothing is claimed any more: the engine is stopping.
    pub(crate) draining: bool,
}

impl Lanes {
    /// The lanes of config, with what the store knows of them.
    pub(crate) fn new(
        definitions: &Definitions,
        states: &HashMap<ChannelId, ChannelState>,
        halts: HashMap<AppName, AppHalt>,
    ) -> Lanes {
        let mut lanes = Lanes { halts, ..Lanes::default() };
        lanes.redefine(definitions, states);
        lanes
    }

    /// Goes on by other definitions. A channel that was there keeps its state and its places; a new one begins with what
    /// the store knows of it; one that is gone claims no more, and stays as long as something of it is on its way.
    pub(crate) fn redefine(&mut self, definitions: &Definitions, states: &HashMap<ChannelId, ChannelState>) {
        let config = &definitions.config;
        self.lanes.retain(|id, lane| {
            lane.gone = !definitions.channels.contains_key(id);
            !lane.gone || lane.in_flight > 0
        });
        for (id, (name, channel)) in &definitions.channels {
            let needs = needs(channel, definitions.scopes_of(name));
            let lane = self.lanes.entry(*id).or_insert_with(|| Lane {
                id: *id,
                name: name.clone(),
                config: Arc::clone(channel),
                state: states.get(id).cloned().unwrap_or_default(),
                in_flight: 0,
                gone: false,
                needs: None,
            });
            (lane.config, lane.needs) = (Arc::clone(channel), needs);
        }
        self.keep_halts_of(config);
    }

    /// Whether that channel claims now.
    pub(crate) fn state(&self, lane: &Lane, now: Timestamp) -> LaneState {
        if let Some(halt) = self.halts.get(&lane.config.app)
            && let Some((_, reason)) = &halt.halted
        {
            return LaneState::Halted { reason: reason.clone() };
        }
        if let Some((_, note)) = &lane.state.paused {
            return LaneState::Paused { note: note.clone() };
        }
        if let Some(reason) = lane.config.trouble() {
            return LaneState::Parked { reason };
        }
        match &lane.state.closed {
            Some((until, reason)) if now < *until => LaneState::Cooling { until: *until, reason: reason.clone() },
            _ => LaneState::Open,
        }
    }

    /// Which channels have room now. `queued` says how many messages of a channel are due.
    pub(crate) fn claims(&self, now: Timestamp, queued: impl Fn(ChannelId) -> i64) -> Vec<ClaimRequest> {
        if self.draining || self.store_problem.is_some() || self.clock_problem.is_some() {
            return Vec::new();
        }
        self.lanes
            .values()
            .filter(|lane| !lane.gone && queued(lane.id) > 0 && self.state(lane, now) == LaneState::Open)
            .filter_map(|lane| lane.request(now))
            .collect()
    }

    /// When a channel that cannot claim now, and has messages that are due, can claim again by itself.
    pub(crate) fn next_opening(&self, now: Timestamp, queued: impl Fn(ChannelId) -> i64) -> Option<Timestamp> {
        if self.draining || self.store_problem.is_some() || self.clock_problem.is_some() {
            return None;
        }
        self.lanes
            .values()
            .filter(|lane| !lane.gone && queued(lane.id) > 0)
            .filter_map(|lane| match self.state(lane, now) {
                LaneState::Open => {
                    lane.config.rate.map(|rate| rate.next(lane.state.arrival, now)).filter(|at| *at > now)
                }
                LaneState::Cooling { until, .. } => Some(until),
                LaneState::Paused { .. } | LaneState::Halted { .. } | LaneState::Parked { .. } => None,
            })
            .min()
    }

    /// Applies what a settlement says of its channel; what changed is to be written.
    pub(crate) fn apply(
        &mut self,
        channel: ChannelId,
        effect: &LaneEffect,
        config: &Config,
        now: Timestamp,
    ) -> Applied {
        let Some(lane) = self.lanes.get_mut(&channel) else { return Applied::Nothing };
        match effect {
            LaneEffect::Cool { until, reason } => lane.close(*until, reason),
            LaneEffect::Exhausted { until, reason } => {
                let offset = lane.config.token.as_ref().map(|provider| provider.day_offset()).unwrap_or_default();
                lane.close(until.unwrap_or_else(|| now.next_midnight(offset)), reason)
            }
            LaneEffect::Halt { reason } => {
                let app = lane.config.app.clone();
                if self.halts.contains_key(&app) {
                    return Applied::Nothing;
                }
                tracing::error!(app = %app, "app halted: {reason}");
                let fingerprint = config.apps.get(&app).map(|app| app.fingerprint.clone()).unwrap_or_default();
                let halt = AppHalt { app: app.clone(), fingerprint, halted: Some((now, reason.clone())) };
                self.halts.insert(app, halt.clone());
                Applied::App(halt)
            }
        }
    }

    /// The clock was set back: a channel cools as long as it was to. What is on disk of it is put right when it changes
    /// next, and at a start it is no later than it would have been.
    pub(crate) fn set_back(&mut self, by: Duration) {
        for lane in self.lanes.values_mut() {
            if let Some((until, _)) = &mut lane.state.closed {
                *until = until.before(by);
            }
        }
    }

    /// Takes what another engine changed of channels and apps. What this one has not written yet counts.
    pub(crate) fn adopt(
        &mut self,
        states: &HashMap<ChannelId, ChannelState>,
        halts: HashMap<AppName, AppHalt>,
        config: &Config,
    ) {
        for (id, lane) in &mut self.lanes {
            if let Some(state) = states.get(id) {
                lane.state = state.clone();
            }
        }
        self.halts = halts;
        self.keep_halts_of(config);
    }

    /// A halt is for the settings it happened with: other settings are an operator's act.
    fn keep_halts_of(&mut self, config: &Config) {
        self.halts.retain(|name, halt| config.apps.get(name).is_some_and(|app| app.fingerprint == halt.fingerprint));
    }

    /// Frees the places of attempts that ended. What was taken over from another engine had none here.
    pub(crate) fn free_places(&mut self, settles: &[Settle]) {
        for settle in settles.iter().filter(|settle| !settle.rescued) {
            if let Some(lane) = self.lanes.get_mut(&settle.channel) {
                lane.in_flight = lane.in_flight.saturating_sub(1);
            }
        }
    }

    /// Takes them again: the store did not write how they ended.
    pub(crate) fn take_places(&mut self, settles: &[Settle]) {
        for settle in settles.iter().filter(|settle| !settle.rescued) {
            if let Some(lane) = self.lanes.get_mut(&settle.channel) {
                lane.in_flight += 1;
            }
        }
    }

    /// Messages on their way, over all channels.
    pub(crate) fn in_flight(&self) -> u32 {
        self.lanes.values().map(|lane| lane.in_flight).sum()
    }
}

/// What an effect changed.
#[derive(Debug)]
pub(crate) enum Applied {
    Nothing,
    Lane(LaneRow),
    App(AppHalt),
}

impl Lane {
    fn request(&self, now: Timestamp) -> Option<ClaimRequest> {
        let limit = self.config.in_flight.saturating_sub(self.in_flight).min(TICK_CLAIMS_MAX);
        let rate = self.config.rate.map(|rate| (rate, self.state.arrival));
        if limit == 0 || rate.is_some_and(|(rate, arrival)| rate.allowed(arrival, now) == 0) {
            return None;
        }
        let in_flight_max = Some(self.config.in_flight);
        Some(ClaimRequest { channel: self.id, limit, in_flight_max, rate, needs: self.needs.clone() })
    }

    /// Closes until then, if that is later than before.
    fn close(&mut self, until: Timestamp, reason: &str) -> Applied {
        if self.state.closed.as_ref().is_some_and(|(before, _)| *before >= until) {
            return Applied::Nothing;
        }
        tracing::warn!(channel = %self.name, until = %until, "channel waits: {reason}");
        self.state.closed = Some((until, reason.to_owned()));
        Applied::Lane(LaneRow { channel: self.id, state: self.state.clone() })
    }
}

fn needs(channel: &ChannelConfig, scopes: Vec<(TemplateId, String)>) -> Option<Needs> {
    if channel.credentials.is_empty() {
        return None;
    }
    let sources = channel
        .credentials
        .iter()
        .map(|stage| SourceRule { source: stage.name.clone(), margin: stage.margin })
        .collect();
    Some(Needs { app: channel.app.clone(), sources, scopes })
}
