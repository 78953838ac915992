//! Jobs about an app's token.

use std::sync::Arc;
use std::time::Instant;

use tidings_model::AppName;

use super::{Cut, Jobs, Outcome};
use crate::definitions::present;
use crate::token::Keeper;

impl Jobs {
    pub(super) async fn refresh_token(&self, app: &AppName) -> Result<Outcome, Cut> {
        let keeper = self.keeper(app)?;
        keeper.refresh().await.map_err(|trouble| Cut::Failed(trouble.detail().to_owned()))?;
        Ok(Outcome::of(1, "token fetched"))
    }

    /// Asks the app's provider for a token through its keeper: the fetch counts, and the token is kept.
    pub(super) async fn probe(&self, app: &AppName) -> Result<Outcome, Cut> {
        let keeper = self.keeper(app)?;
        let begun = Instant::now();
        keeper.refresh().await.map_err(|trouble| Cut::Failed(trouble.detail().to_owned()))?;
        let (row, took_ms) = (keeper.look().0, begun.elapsed().as_millis());
        let left = row.expires_at.map_or(0, |end| end.since(self.clock.now()).as_secs());
        let today = keeper.fetches_today();
        let of = keeper.fetches_max().map_or_else(String::new, |max| format!(" of {max}"));
        Ok(Outcome::of(
            1,
            format!(
                "the provider answered in {took_ms} ms; the token is good for {left} s; fetches today: {today}{of}"
            ),
        ))
    }

    fn keeper(&self, app: &AppName) -> Result<Arc<Keeper>, Cut> {
        let keeper = present(&self.present).keepers.get(app).cloned();
        keeper.ok_or_else(|| Cut::Failed(format!("no channel of app `{app}` has a token stage")))
    }
}
