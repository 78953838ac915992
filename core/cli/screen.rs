//! `tidings tui`: the screen, on this engine or another.

use tidings_api::client::Client;
use tidings_tui::Options;

use crate::Outcome;
use crate::connect::Reach;

pub(crate) async fn screen(reach: &Reach) -> Outcome {
    show(reach.client()?).await
}

/// Shows the screen until somebody leaves it.
pub(crate) async fn show(client: Client) -> Outcome {
    tidings_tui::run(client, Options::from_environment()).await?;
    Ok(())
}
