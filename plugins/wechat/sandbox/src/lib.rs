//! WeChat's message-sending server, simulated, for tests, demos and benchmarks.
//!
//! It promises what the facts sheet of this project (`wechat.md` of the shared reference, cited below as `wechat.md §n`) says about the
//! token endpoints and the three sending endpoints, and nothing it does not say: where the sheet marks a behaviour as
//! unknown, a switch in [`Unknowns`] chooses, and its default is the one that trusts the server least.
//!
//! Decisions are functions of state, request and time (`token`, `send`, `permits`, `values`, `faults`); `server` and
//! `routes` are the thin place where sockets are touched.

mod callback;
mod clock;
mod codes;
mod control;
mod control_routes;
mod faults;
mod limits;
mod log;
mod options;
mod permits;
mod push;
mod random;
mod reply;
mod routes;
mod send;
mod server;
mod token;
mod users;
mod values;
mod world;

pub use callback::{Callback, PushEvent, PushFormat};
pub use control::{Control, ControlError};
pub use faults::{Fault, FaultFile, FaultKind, FaultReport, When};
pub use log::{Api, ApiCounts, Counts, Delivery, LogPage, ReplyFate};
pub use options::{
    App, AppKind, ContentType, DEFAULT_APPID, DEFAULT_SECRET, DuplicateReply, EscapeCode, Options, Quotas, Template,
    TemplateApi, Unknowns, WrongSecretCode,
};
pub use push::Pushed;
pub use server::{Sandbox, start};
pub use token::TokenDeath;
pub use users::UserState;
pub use values::CharacterUnit;
