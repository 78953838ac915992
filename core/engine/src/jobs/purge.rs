//! Jobs that remove what is old.

use tidings_store::Sweep;

use super::{Cut, Jobs};

impl Jobs {
    pub(super) async fn purge_credentials(&self) -> Result<(u64, String), Cut> {
        let (mut unused, mut removed) = (0_u64, 0_u64);
        let mut slice = Some(Sweep::Credentials { after: 0 });
        while let Some(sweep) = slice {
            let swept = self.writer.sweep(sweep).await?;
            unused += u64::from(swept.unused);
            removed += u64::from(swept.removed);
            slice = swept.next;
        }
        Ok((removed, format!("{unused} unused and {} used credentials removed", removed - unused)))
    }
}
