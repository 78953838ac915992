//! What stands beside the messages: tokens, the state of channels, halts of apps. A few rows each.

use super::tick::{Step, apart};
use crate::batch::{AppHalt, LaneRow, TokenRow};
use crate::error::StoreError;
use crate::sql::{Dialect, Statement, both, sql};

/// Beside other engines an older token never takes the place of a newer one.
const SAVE_TOKEN: Statement = Statement::new(
    "INSERT OR REPLACE INTO token (app, value, generation, fetched_at, expires_at, day, fetches, account)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    sql!(postgres "save_token").text(Dialect::Postgres),
);

impl Step<'_> {
    pub(super) async fn save_tokens(&mut self, tokens: &[TokenRow]) -> Result<(), StoreError> {
        for token in tokens {
            SAVE_TOKEN
                .query()
                .bind(token.app.as_str())
                .bind(&token.value)
                .bind(token.generation)
                .bind(token.fetched_at.map(|at| at.0))
                .bind(token.expires_at.map(|at| at.0))
                .bind(token.day)
                .bind(token.fetches)
                .bind(&token.account)
                .execute(self.connection)
                .await
                .map_err(StoreError::during("write a token"))?;
        }
        Ok(())
    }

    pub(super) async fn save_lanes(&mut self, lanes: &[LaneRow]) -> Result<(), StoreError> {
        for lane in lanes {
            let (paused_at, note) = apart(lane.state.paused.as_ref());
            let (until, reason) = apart(lane.state.closed.as_ref());
            both("UPDATE channel SET paused_at = $2, pause_note = $3, closed_until = $4, closed_reason = $5 WHERE id = $1")
                .bind(lane.channel.0)
                .bind(paused_at)
                .bind(note)
                .bind(until)
                .bind(reason)
                .execute(self.connection)
                .await
                .map_err(StoreError::during("write a channel's state"))?;
        }
        Ok(())
    }

    pub(super) async fn save_apps(&mut self, apps: &[AppHalt]) -> Result<(), StoreError> {
        for app in apps {
            let (halted_at, reason) = apart(app.halted.as_ref());
            both(
                "INSERT INTO app (name, fingerprint, halted_at, halt_reason) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (name) DO UPDATE SET fingerprint = excluded.fingerprint,
                     halted_at = excluded.halted_at, halt_reason = excluded.halt_reason",
            )
            .bind(app.app.as_str())
            .bind(&app.fingerprint)
            .bind(halted_at)
            .bind(reason)
            .execute(self.connection)
            .await
            .map_err(StoreError::during("write an app's state"))?;
        }
        Ok(())
    }
}
