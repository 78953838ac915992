//! The reader of what an app's provider pushes.

use std::fmt;
use std::sync::Arc;

use tidings_host::{FileCallback, OwnedPush};
use tidings_sdk::{App, Callback, Push, Received};

use super::{CALL_WAIT, StageError, guarded};

/// The reader of what an app's provider pushes.
#[derive(Clone)]
pub struct CallbackStage {
    app: Arc<App>,
    way: CallbackWay,
}

/// Where it is.
#[derive(Clone)]
enum CallbackWay {
    Linked(Arc<dyn Callback>),
    File(FileCallback),
    Absent(Arc<str>),
}

impl CallbackStage {
    pub(crate) fn linked(app: Arc<App>, stage: Arc<dyn Callback>) -> CallbackStage {
        CallbackStage { app, way: CallbackWay::Linked(stage) }
    }

    pub(crate) fn file(app: Arc<App>, stage: FileCallback) -> CallbackStage {
        CallbackStage { app, way: CallbackWay::File(stage) }
    }

    pub(crate) fn absent(app: Arc<App>, reason: Arc<str>) -> CallbackStage {
        CallbackStage { app, way: CallbackWay::Absent(reason) }
    }

    /// What the push says, and the answer it gets.
    pub(crate) async fn receive(&self, push: OwnedPush) -> Result<Received, StageError> {
        match &self.way {
            CallbackWay::Linked(stage) => {
                let OwnedPush { now, method, query, headers, body } = &push;
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                guarded(|| stage.receive(&self.app, &Push { now: *now, method, query, headers: &headers, body }))
            }
            CallbackWay::File(stage) => Ok(stage.receive(push, CALL_WAIT).await?),
            CallbackWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        }
    }
}

impl fmt::Debug for CallbackStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CallbackStage").field(&self.app.name).finish()
    }
}
