//! Keeps signposts to the messages of recipients: raises those of each block that is complete, and removes those that lead
//! to nothing. It stands behind the writer: a reader makes the lists, and the writer takes those of one block at a time.

use std::time::{Duration, Instant};

use tidings_model::signpost::Block;
use tidings_store::{Reader, SignpostChange};
use tokio::sync::watch;

use crate::refusal::Refusal;
use crate::writer::WriterHandle;

/// Between two looks for a block that is complete: at twenty thousand messages a second, two come to be so.
const LOOK: Duration = Duration::from_secs(1);
/// After one that took a while, so many times as long is left to others: a long past that has none yet, after an upgrade,
/// takes a tenth of a core.
const REST: u32 = 9;
/// Looks for complete blocks between two slices of those that may lead to nothing.
const LOOKS_PER_SLICE: u32 = 60;

pub(crate) struct Surveyor {
    pub(crate) reader: Reader,
    pub(crate) writer: WriterHandle,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Surveyor {
    /// Until the engine stops. What is not done then is found again at the next start.
    pub(crate) async fn run(mut self) {
        let (mut looks, mut after) = (0, None);
        while !*self.stop.borrow() {
            let begun = Instant::now();
            let wait = match self.raise().await {
                Ok(true) => begun.elapsed() * REST,
                Ok(false) => LOOK,
                Err(refusal) => {
                    // Lists only take longer without; whatever is wrong is told by those who need the store.
                    tracing::debug!("{refusal}");
                    LOOK
                }
            };
            looks += 1;
            if looks % LOOKS_PER_SLICE == 0 {
                after = self.remove(after).await.unwrap_or_else(|refusal| {
                    tracing::debug!("{refusal}");
                    None
                });
            }
            // Whoever could say "stop" and is gone has said it.
            if matches!(tokio::time::timeout(wait, self.stop.changed()).await, Ok(Err(_))) {
                return;
            }
        }
    }

    /// Raises the signposts of one block, if one is complete.
    async fn raise(&self) -> Result<bool, Refusal> {
        let Some(change) = self.reader.next_signpost().await? else { return Ok(false) };
        self.writer.signpost(change).await?;
        Ok(true)
    }

    /// Removes those of a slice that lead to nothing, and says where the next slice begins.
    async fn remove(&self, after: Option<Block>) -> Result<Option<Block>, Refusal> {
        let (blocks, next) = self.reader.stale_signposts(after).await?;
        if !blocks.is_empty() {
            self.writer.signpost(SignpostChange::Remove { blocks }).await?;
        }
        Ok(next)
    }
}
