//! Everyone with a usable credential for a template, in the order of recipients.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;
use tidings_model::{Clock, TemplateName};
use tidings_store::Reader;

use super::Row;
use super::feed::{FeedError, Place, Portion};
use crate::definitions::{Present, present};
use crate::refusal::{Class, Refusal};

/// Before a page is asked for again that the store did not give.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// See [`super::Feed::of_everyone`].
pub(crate) struct Everyone {
    reader: Reader,
    present: Present,
    clock: Arc<dyn Clock>,
    template: TemplateName,
    after: Option<String>,
}

impl Everyone {
    pub(super) fn new(
        reader: Reader,
        present: Present,
        clock: Arc<dyn Clock>,
        template: TemplateName,
        after: Option<String>,
    ) -> Everyone {
        Everyone { reader, present, clock, template, after }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Portion>, FeedError> {
        let definitions = present(&self.present);
        let config = &definitions.config;
        let unusable = |detail: String| FeedError::Unusable(detail);
        let template = config.templates.get(&self.template);
        let template = template.ok_or_else(|| unusable(format!("there is no template `{}`", self.template)))?;
        let channel = &config.channels[&template.channel];
        if channel.credentials.is_empty() {
            let reason = "everyone with a credential is nobody: the channel needs none; name a file";
            return Err(unusable(reason.to_owned()));
        }
        let sources: Vec<(String, Duration)> =
            channel.credentials.iter().map(|stage| (stage.name.to_string(), stage.margin)).collect();
        let (now, after) = (self.clock.now(), self.after.as_deref());
        let page = self.reader.recipients_with_credential(&channel.app, &sources, &template.scope, now, after).await;
        let page = match page.map_err(Refusal::from) {
            Ok(page) => page,
            // The store may have interrupted it: the same page is asked for again.
            Err(refusal) if refusal.class == Class::Unavailable => {
                return Err(FeedError::Later { wait: STORE_WAIT, detail: refusal.detail });
            }
            Err(refusal) => return Err(unusable(refusal.detail)),
        };
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.clone());
        let place = Place::Everyone(last.clone());
        let row = |to: String| (super::feed::mark_of(&to), Ok(Row { to, data: Map::new() }));
        Ok(Some(Portion { rows: page.into_iter().map(row).collect(), place }))
    }
}
