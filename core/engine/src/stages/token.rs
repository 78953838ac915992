//! The token provider of a channel.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidings_host::{FileTokenProvider, Loaded};
use tidings_sdk::{App, Fetched, Request, Response, TokenProvider};

use super::{CALL_WAIT, StageError, guarded, parked};

/// The token provider of a channel.
#[derive(Clone)]
pub struct TokenStage {
    app: Arc<App>,
    day_offset: Duration,
    fetches_per_day: Option<u32>,
    way: TokenWay,
}

/// Where a token provider is.
#[derive(Clone)]
enum TokenWay {
    Linked(Arc<dyn TokenProvider>),
    File(Arc<Loaded>, FileTokenProvider),
    Absent(Arc<str>),
}

impl TokenStage {
    pub(crate) fn linked(app: Arc<App>, stage: Arc<dyn TokenProvider>) -> TokenStage {
        let (day_offset, fetches_per_day) = (stage.day_offset(), stage.fetches_per_day(&app));
        TokenStage { app, day_offset, fetches_per_day, way: TokenWay::Linked(stage) }
    }

    pub(crate) fn file(
        app: Arc<App>,
        day_offset: Duration,
        plugin: Arc<Loaded>,
        stage: FileTokenProvider,
    ) -> Result<TokenStage, StageError> {
        let fetches_per_day = stage.fetches_per_day_blocking(CALL_WAIT)?;
        Ok(TokenStage { app, day_offset, fetches_per_day, way: TokenWay::File(plugin, stage) })
    }

    pub(crate) fn absent(app: Arc<App>, reason: Arc<str>) -> TokenStage {
        TokenStage { app, day_offset: Duration::ZERO, fetches_per_day: None, way: TokenWay::Absent(reason) }
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// How far the provider's calendar is ahead of UTC.
    pub(crate) fn day_offset(&self) -> Duration {
        self.day_offset
    }

    pub(crate) fn fetches_per_day(&self) -> Option<u32> {
        self.fetches_per_day
    }

    /// Why it cannot work now, if it cannot.
    pub(crate) fn trouble(&self) -> Option<String> {
        match &self.way {
            TokenWay::Linked(_) => None,
            TokenWay::File(plugin, _) => parked(plugin),
            TokenWay::Absent(reason) => Some(reason.to_string()),
        }
    }

    /// The request for a token, or what came of trying to make one.
    pub(crate) async fn request(&self) -> Result<Request, Fetched> {
        let made = match &self.way {
            TokenWay::Linked(stage) => {
                guarded(|| stage.request(&self.app)).and_then(|request| request.map_err(StageError::Refused))
            }
            TokenWay::File(_, stage) => stage.request(CALL_WAIT).await.map_err(StageError::from),
            TokenWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        };
        made.map_err(|error| match error {
            StageError::Refused(reason) => Fetched::Halt { reason },
            other => Fetched::retry(other.to_string()),
        })
    }

    /// What the answer says.
    pub(crate) async fn read(&self, status: u16, retry_after: Option<Duration>, body: Vec<u8>) -> Fetched {
        let read = match &self.way {
            TokenWay::Linked(stage) => {
                guarded(|| stage.read(&self.app, &Response { status, retry_after, body: &body }))
            }
            TokenWay::File(_, stage) => {
                stage.read(status, retry_after, body, CALL_WAIT).await.map_err(StageError::from)
            }
            TokenWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        };
        read.unwrap_or_else(|error| Fetched::retry(error.to_string()))
    }
}

impl fmt::Debug for TokenStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenStage").field(&self.app.name).finish()
    }
}
