//! Recipients who are told nothing: they asked for it, or nobody is there. It is decided where a message is accepted, in
//! the same transaction; what was accepted before and is not on its way yet is withdrawn. What is on its way and comes
//! back, to be tried again, is cancelled where it is claimed.

use tidings_model::limits::PAGE_ROWS_MAX;
use tidings_model::state::sources;
use tidings_model::{AppName, Event, MessageId, Recipient, Timestamp};
use tidings_store::{MessageFilter, MessageRow, NewMessage, Operated, Operation, SuppressionChange, SuppressionRow};

use crate::acts::By;
use crate::admit::instant;
use crate::config::no_such;
use crate::handle::EngineHandle;
use crate::refusal::{Class, Refusal};
use crate::writer::Deed;

/// The word for why a message was withdrawn.
const REASON: &str = "suppressed";

/// Who is to be told nothing.
#[derive(Debug, Clone)]
pub struct NewSuppression {
    /// The app.
    pub app: String,
    /// Who.
    pub recipient: String,
    /// Until when, RFC 3339 or `+30d` from now; `None` for good.
    pub expires_at: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressing {
    /// As it stands in the list.
    pub row: SuppressionRow,
    /// Messages that were not on their way yet, and are withdrawn.
    pub cancelled: u64,
}

/// What a caller is told who sends to somebody that is suppressed.
pub(crate) fn suppressed(until: Option<Timestamp>) -> Refusal {
    let until = until.map_or_else(|| "for good".to_owned(), |at| format!("until {at}"));
    let detail = format!("the recipient is suppressed {until}: nothing is sent; `GET /v1/suppressions` says why");
    Refusal::invalid("recipient-suppressed", detail)
}

impl EngineHandle {
    /// Has a recipient of an app told nothing from now on, and withdraws what is not on its way yet. What is on its way
    /// goes on. The reason is that of the act, and stands in the list.
    pub async fn suppress(&self, new: NewSuppression, by: &By) -> Result<Suppressing, Refusal> {
        let (app, recipient) = self.names(&new.app, &new.recipient)?;
        let expires_at = instant("expires_at", new.expires_at.as_deref(), self.now())?;
        if expires_at.is_some_and(|end| end <= self.now()) {
            return Err(Refusal::invalid("expired", "`expires_at` is over: that would suppress nobody"));
        }
        let change = SuppressionChange::Add {
            app: app.clone(),
            recipient: recipient.clone(),
            reason: by.note(REASON),
            who: by.who().to_owned(),
            expires_at,
        };
        let entry = by.entry("suppression.add", format!("{app}/{recipient}"));
        self.shared.writer.suppress(change, entry).await?;
        let cancelled = self.withdraw_all(&app, &recipient, by).await?;
        let row = self.reader().suppression(&app, &recipient, self.now()).await?.ok_or_else(unknown)?;
        Ok(Suppressing { row, cancelled })
    }

    /// Has a recipient told again.
    pub async fn unsuppress(&self, app: &str, recipient: &str, by: &By) -> Result<SuppressionRow, Refusal> {
        let (app, recipient) = self.names(app, recipient)?;
        let row = self.reader().suppression(&app, &recipient, self.now()).await?.ok_or_else(unknown)?;
        let entry = by.entry("suppression.remove", format!("{app}/{recipient}"));
        self.shared.writer.suppress(SuppressionChange::Remove { app, recipient }, entry).await?;
        Ok(row)
    }

    pub(crate) async fn suppression_of(&self, message: &NewMessage) -> Result<Option<SuppressionRow>, Refusal> {
        let definitions = self.definitions();
        let channel = definitions.admission.channels.iter().find(|(_, id)| **id == message.channel);
        let Some(config) = channel.and_then(|(name, _)| definitions.config.channels.get(name)) else { return Ok(None) };
        Ok(self.reader().suppression(&config.app, &message.recipient, self.now()).await?)
    }

    /// Whether a message may be sent again: an operator is told now rather than by a message that is cancelled at once.
    pub(crate) async fn may_be_told(&self, message: MessageId) -> Result<(), Refusal> {
        let Some((row, _)) = self.reader().message(message).await? else { return Ok(()) };
        let definitions = self.definitions();
        let channel = definitions.config.channels.iter().find(|(name, _)| name.as_str() == row.channel);
        let (Some((_, channel)), Ok(recipient)) = (channel, Recipient::new(&row.recipient)) else { return Ok(()) };
        match self.reader().suppression(&channel.app, &recipient, self.now()).await? {
            Some(found) => Err(suppressed(found.expires_at)),
            None => Ok(()),
        }
    }

    fn names(&self, app: &str, recipient: &str) -> Result<(AppName, Recipient), Refusal> {
        let definitions = self.definitions();
        let known: Vec<&str> = definitions.config.apps.keys().map(AppName::as_str).collect();
        let name = definitions.config.apps.keys().find(|name| name.as_str() == app).ok_or_else(|| {
            Refusal::not_found("app-unknown", no_such("app", &app.escape_debug().to_string(), &known))
        })?;
        let recipient =
            Recipient::new(recipient).map_err(|error| Refusal::invalid("recipient-invalid", error.to_string()))?;
        Ok((name.clone(), recipient))
    }

    /// Withdraws what the app has for that recipient and is not on its way yet. It is found as the recipient's list is: each
    /// page looks at a bounded number of rows, however many messages of others wait; on a server also at what the queue's
    /// index says of them. What a page misses because it moved meanwhile is cancelled where it is claimed.
    async fn withdraw_all(&self, app: &AppName, recipient: &Recipient, by: &By) -> Result<u64, Refusal> {
        let definitions = self.definitions();
        let channels = || definitions.config.channels.iter().filter(|(_, channel)| channel.app == *app);
        let is_ours = |row: &MessageRow| channels().any(|(name, _)| name.as_str() == row.channel);
        let (mut cancelled, mut before, mut onto) = (0, None, None);
        loop {
            let filter = MessageFilter {
                recipient: Some(recipient.to_string()),
                before,
                limit: PAGE_ROWS_MAX,
                ..MessageFilter::default()
            };
            let page = self.reader().messages(&filter).await?;
            let waits = |row: &&MessageRow| sources(Event::Cancel).any(|from| from == row.state) && is_ours(row);
            let operations: Vec<Operation> = page
                .rows
                .iter()
                .filter(waits)
                .map(|row| Operation {
                    message: row.id,
                    event: Event::Cancel,
                    from: Some(row.state),
                    due_at: None,
                    reason: Some(REASON),
                    note: by.note(REASON),
                })
                .collect();
            if !operations.is_empty() {
                let entry = by.entry("message.cancel", format!("{app}/{recipient}"));
                let done = self.shared.writer.operate(Deed { operations, entry: Some(entry), onto }).await?;
                onto = done.recorded.or(onto);
                let moved = done.operated.iter().filter(|operated| matches!(operated, Operated::Moved(_))).count();
                cancelled += u64::try_from(moved).expect("a page is small");
            }
            let Some(next) = page.next else { return Ok(cancelled) };
            before = Some(next);
        }
    }
}

fn unknown() -> Refusal {
    Refusal::new(Class::NotFound, "suppression-unknown", "this recipient of the app is not suppressed")
}
