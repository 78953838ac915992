//! The engine: pipeline, scheduler, token keeper, limits, config, lifecycle.
//!
//! A message's way through: [`EngineHandle::submit`] admits it, the writer task commits it and claims it, the pipeline
//! carries one attempt (token, render, request, HTTP, read), the writer settles it. Everything between two commits is
//! in memory and may be lost to a crash at any line; everything that matters was written before.

pub mod audience;
pub mod config;
pub mod events;
pub mod keys;
pub mod measure;
pub mod refusal;
pub mod registry;
pub mod render;
pub mod stages;
pub mod webhooks;

mod acts;
mod admit;
mod agreement;
mod backup;
mod bulk;
mod clock;
mod dead;
mod definitions;
mod engine;
mod handle;
mod http;
mod jobs;
mod lanes;
mod mint;
mod nodes;
mod online;
mod outage;
mod pipeline;
mod preview;
mod probe;
mod reach;
mod receive;
mod reload;
mod retention;
mod scheduler;
mod signposts;
mod stock;
mod suppression;
mod telemetry;
mod token;
pub mod trace;
mod writer;

pub use acts::By;
pub use admit::Submission;
pub use backup::Backup;
pub use bulk::{BulkAct, BulkDone, BulkKind, BulkPlan, RETRY_RATE};
pub use clock::SystemClock;
pub use config::{Config, Problem};

pub use engine::{Engine, EngineError, Left};
pub use handle::{ChannelView, EngineHandle, Submitted, TokenView};
pub use jobs::{Preflight, Unreachable};
pub use keys::{KeyHolder, KeyView, NewKey};
pub use lanes::LaneState;
pub use nodes::{LeaseView, NodeView};
pub use online::{Verdict, look_online};
pub use probe::{ProbeError, Probed, probe};
pub use reach::{Forecasts, Obstacle, PermitView, Reachability, Stock, TemplateForecast, TemplateReach};
pub use receive::Pushed;
pub use refusal::{Class, Refusal};
pub use registry::{PluginFileView, PluginView, Registry};
pub use reload::{ConfigOrigin, Look, Reloaded, SettingChange};
pub use retention::Keep;
pub use scheduler::{BackfillPlan, NextTime, ScheduleDetail, ScheduleState, ScheduleView};
pub use suppression::{NewSuppression, Suppressing};
pub use telemetry::Exported;
