//! What recipients take back of what they gave.

use super::tick::Step;
use crate::batch::Withdrawal;
use crate::error::StoreError;
use crate::sql::{json, sql};

impl Step<'_> {
    pub(super) async fn withdraw(&mut self, withdrawals: &[Withdrawal]) -> Result<(), StoreError> {
        if withdrawals.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = withdrawals
            .iter()
            .map(|it| {
                let (recipient, app, source) = (it.recipient.as_str(), it.app.as_str(), it.source.as_str());
                (recipient, app, source, &it.scope, &it.identity, it.given_until.0)
            })
            .collect();
        self.execute(sql!("withdraw"), json(&rows)).await.map_err(StoreError::during("withdraw credentials"))
    }
}
