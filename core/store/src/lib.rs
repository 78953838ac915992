//! The only crate that knows SQL.
//!
//! All changes go through one [`Writer`]: it takes a [`Batch`] of everything that happened and commits it in one
//! transaction, so that acknowledging A, accepting B and claiming C share one sync to disk. On a server messages may come
//! beside it, by an [`Intake`]. Readers have connections of their own and never hold a transaction longer than one answer.
//!
//! The store knows no plugins and no config: channels and templates are names to it, and what follows from an outcome
//! was decided before ([`tidings_model::settle`]).

mod audit;
mod batch;
mod error;
mod hash;
mod news;
mod notice;
mod open;
mod postgres;
mod reach;
mod read;
mod run;
mod schedule;
mod shared;
mod sql;
mod sqlite;

pub use audit::{Acts, AuditEntry, AuditFilter, AuditRow, Record};
pub use batch::{
    Accepted, AppHalt, Batch, Bound, ChannelId, ChannelState, ClaimRequest, Claimed, Committed, CredentialIntake,
    KeyChange, KeyRow, LaneRow, Moved, Needs, NewCredential, NewMessage, Operated, Operation, Orphan, Receipt,
    Received, Settle, SignpostChange, SourceRule, SuppressionChange, Sweep, Swept, TemplateId, TokenRow, Waiting,
    Withdrawal,
};
pub use error::StoreError;
pub use hash::{Fingerprint, fingerprint};
pub use news::{FetchRight, News};
pub use notice::{Backlog, NewNotice, NoticeRow, NoticeSettle, WebhookStanding};
pub use open::{backup, examine, open, open_as};
pub use postgres::{LEASE, Lease, NodeName, Standing, TAKEN_OVER_MAX};
pub use reach::{BoundRow, HeldRow, OfRecipient, SuppressedRow};
pub use read::{
    AttemptRow, BulkCount, BulkFilter, Counts, CredentialFilter, CredentialRow, MessageFilter, MessageRow, MomentRow,
    NodeRow, Page, Planned, ReasonRow, Span, SuppressionFilter, SuppressionRow,
};
pub use run::{RunBegin, RunFilter, RunLevel, RunLine, RunLogRow, RunNote, RunOwner, RunRow, RunStep, Stepped};
pub use schedule::{
    BackfillRow, Decided, Fired, Firing, FiringRow, FiringSpan, Noted, Said, ScheduleChange, ScheduleRow, Verdict,
};
pub use shared::{Arrived, Ids, Intake, MovedTable, Progress, REACH_MANY_MAX, Reader, Writer, migrate};
pub use sqlite::{Examined, forget_move};
