//! `tidings tui`: the screen, on this engine or another.

use tidings_api::client::Client;
use tidings_tui::{Language, Options};

use crate::Outcome;
use crate::connect::Reach;

pub(crate) async fn screen(reach: &Reach) -> Outcome {
    show(reach.client()?).await
}

/// Shows the screen until somebody leaves it.
pub(crate) async fn show(client: Client) -> Outcome {
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tidings_tui::run(client, Options { language: Language::from_environment(), colour }).await?;
    Ok(())
}
