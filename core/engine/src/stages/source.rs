//! A credential source of a channel.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidings_host::{FileCredentialSource, Loaded};
use tidings_model::{CredentialKind, Timestamp};
use tidings_sdk::{App, CredentialSource, Intake, Minted, Permit, SourceRules};

use super::{CALL_WAIT, StageError, guarded, parked};

/// What is taken for true of a source whose plugin is not there: that nothing can be proved of its permits. Nothing is
/// bound or sent before the plugin is there.
pub(crate) const ABSENT_SOURCE: SourceRules = SourceRules {
    kind: CredentialKind {
        life: None,
        uses: 1,
        proves_use: false,
        counted_by_provider: false,
        ripens_in: Duration::ZERO,
        scoped: false,
    },
    mints: false,
    fits_any_transport: true,
};

/// A credential source of a channel.
#[derive(Clone)]
pub struct SourceStage {
    rules: SourceRules,
    app: Arc<App>,
    way: SourceWay,
}

/// Where a credential source is.
#[derive(Clone)]
pub(crate) enum SourceWay {
    Linked(Arc<dyn CredentialSource>),
    File(Arc<Loaded>, FileCredentialSource),
    Absent(Arc<str>),
}

impl SourceStage {
    pub(crate) fn new(rules: SourceRules, app: Arc<App>, way: SourceWay) -> SourceStage {
        SourceStage { rules, app, way }
    }

    pub(crate) fn kind(&self) -> CredentialKind {
        self.rules.kind
    }

    pub(crate) fn rules(&self) -> &SourceRules {
        &self.rules
    }

    /// Why it cannot work now, if it cannot.
    pub(crate) fn trouble(&self) -> Option<String> {
        match &self.way {
            SourceWay::Linked(_) => None,
            SourceWay::File(plugin, _) => parked(plugin),
            SourceWay::Absent(reason) => Some(reason.to_string()),
        }
    }

    /// The permit that was posted, or why it is none.
    pub(crate) async fn admit(&self, intake: &Intake, now: Timestamp) -> Result<Permit, StageError> {
        match &self.way {
            SourceWay::Linked(stage) => guarded(|| stage.admit(&self.app, intake, now))?.map_err(StageError::Refused),
            SourceWay::File(_, stage) => Ok(stage.admit(intake, now, CALL_WAIT).await?),
            SourceWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        }
    }

    /// The permit that a recipient has by itself now.
    pub(crate) async fn mint(&self, recipient: &str, scope: &str, now: Timestamp) -> Result<Minted, StageError> {
        match &self.way {
            SourceWay::Linked(stage) => guarded(|| stage.mint(&self.app, recipient, scope, now)),
            SourceWay::File(_, stage) => Ok(stage.mint(recipient, scope, now, CALL_WAIT).await?),
            SourceWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        }
    }
}

impl fmt::Debug for SourceStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceStage").field(&self.app.name).finish()
    }
}
