//! What recipients take back of what they gave.

use super::tick::{Step, json};
use crate::batch::Withdrawal;
use crate::error::StoreError;
use crate::sql::sql;

impl Step<'_> {
    pub(super) async fn withdraw(&mut self, withdrawals: &[Withdrawal]) -> Result<(), StoreError> {
        if withdrawals.is_empty() {
            return Ok(());
        }
        let row = |it: &Withdrawal| {
            let (recipient, app, source) = (it.recipient.as_str(), it.app.as_str(), it.source.as_str());
            json(&(recipient, app, source, &it.scope, &it.identity, it.given_until.0))
        };
        let rows: Vec<String> = withdrawals.iter().map(row).collect();
        self.execute(sql!("withdraw"), &format!("[{}]", rows.join(",")))
            .await
            .map_err(StoreError::during("withdraw credentials"))
    }
}
