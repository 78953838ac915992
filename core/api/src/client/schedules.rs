//! Schedules.

use super::{Client, ClientError, encode, with_query};
use crate::wire::{ActRequest, BackfillReply, BackfillRequest, Firing, Page, RunReply, Schedule, SkipRequest};

impl Client {
    /// The schedules, with so many next times each.
    pub async fn schedules(&self, next: u32) -> Result<Vec<Schedule>, ClientError> {
        self.get(&format!("/v1/schedules?next={next}")).await
    }

    /// One of them, with so many next times and its last verdicts.
    pub async fn schedule(&self, name: &str, next: u32) -> Result<Schedule, ClientError> {
        self.get(&format!("/v1/schedules/{}?next={next}", encode(name))).await
    }

    /// A page of its verdicts, newest first. The query is that of `GET /v1/schedules/{name}/firings`: `limit`, `cursor`.
    pub async fn firings(&self, name: &str, query: &[(&str, String)]) -> Result<Page<Firing>, ClientError> {
        self.get(&with_query(&format!("/v1/schedules/{}/firings", encode(name)), query)).await
    }

    /// `pause`, `resume` or `backfill/stop`.
    pub async fn act_on_schedule(
        &self,
        name: &str,
        act: &str,
        reason: Option<String>,
    ) -> Result<Schedule, ClientError> {
        self.post(&format!("/v1/schedules/{}/{act}", encode(name)), &ActRequest { reason }).await
    }

    /// Has its next times left out.
    pub async fn skip_schedule(&self, name: &str, request: &SkipRequest) -> Result<Schedule, ClientError> {
        self.post(&format!("/v1/schedules/{}/skip", encode(name)), request).await
    }

    /// Has it run now.
    pub async fn run_schedule(&self, name: &str, reason: Option<String>) -> Result<RunReply, ClientError> {
        self.post(&format!("/v1/schedules/{}/run", encode(name)), &ActRequest { reason }).await
    }

    /// Has its times of the past run that did not, or says which those are.
    pub async fn backfill_schedule(&self, name: &str, request: &BackfillRequest) -> Result<BackfillReply, ClientError> {
        self.post(&format!("/v1/schedules/{}/backfill", encode(name)), request).await
    }
}
