//! The renderer of a channel, where it is not the engine's own.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use tidings_host::{FileRenderer, Loaded, RenderTrouble};
use tidings_sdk::{Part, Violation};

use super::{CALL_WAIT, StageError, parked};
use crate::render::{FillError, RenderError};

/// A renderer that is a plugin.
#[derive(Clone)]
pub struct RendererStage {
    way: RendererWay,
}

/// Where a renderer is.
#[derive(Clone)]
enum RendererWay {
    File(Arc<Loaded>, FileRenderer),
    Absent(Arc<str>),
}

impl RendererStage {
    pub(crate) fn file(plugin: Arc<Loaded>, stage: FileRenderer) -> RendererStage {
        RendererStage { way: RendererWay::File(plugin, stage) }
    }

    pub(crate) fn absent(reason: Arc<str>) -> RendererStage {
        RendererStage { way: RendererWay::Absent(reason) }
    }

    /// Why it cannot work now, if it cannot.
    pub(crate) fn trouble(&self) -> Option<String> {
        match &self.way {
            RendererWay::File(plugin, _) => parked(plugin),
            RendererWay::Absent(reason) => Some(reason.to_string()),
        }
    }

    /// The parts, filled in.
    pub(crate) async fn render(
        &self,
        parts: &[(String, Part)],
        data: &Value,
    ) -> Result<Map<String, Value>, StageError> {
        match &self.way {
            RendererWay::File(_, stage) => stage.render(parts, data, CALL_WAIT).await.map_err(told),
            RendererWay::Absent(reason) => Err(StageError::Absent(reason.to_string())),
        }
    }

    /// The same for config, which is read outside a runtime.
    pub(crate) fn render_now(&self, parts: &[(String, Part)], data: &Value) -> Result<Map<String, Value>, FillError> {
        match &self.way {
            RendererWay::File(_, stage) => stage.render_blocking(parts, data, CALL_WAIT).map_err(|error| match error {
                RenderTrouble::Violation(Violation { field, problem }) => {
                    FillError::Render(RenderError { field, problem })
                }
                RenderTrouble::Trouble(trouble) => FillError::Trouble(trouble.to_string()),
            }),
            RendererWay::Absent(reason) => Err(FillError::Trouble(reason.to_string())),
        }
    }
}

fn told(trouble: RenderTrouble) -> StageError {
    match trouble {
        RenderTrouble::Violation(Violation { field, problem }) => StageError::Refused(format!("`{field}`: {problem}")),
        RenderTrouble::Trouble(trouble) => trouble.into(),
    }
}

impl fmt::Debug for RendererStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RendererStage")
    }
}
