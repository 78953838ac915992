//! Reading the ledger for people who want to know whom they can reach: bounded statements, and the index alone where
//! everybody is looked at.

use tidings_model::{AppName, CredentialId, MessageId, SourceName, State, Timestamp};

use super::reader::Reader;
use crate::batch::TemplateId;
use crate::error::StoreError;
use crate::reach::{BoundRow, HeldRow, OfRecipient, SuppressedRow};
use crate::sql::{Statement, json, sql};

/// Permits of one recipient that are listed.
const PERMITS_MAX: usize = 1000;
/// Bound permits that are looked through for those of one recipient.
const BOUND_MAX: i64 = 8192;
/// Waiting messages of one recipient that are counted.
const WAITING_MAX: i64 = 1000;
/// Permits in one step of a walk through the ledger. Of a recipient who has more the first so many are seen.
const WALK_ROWS_MAX: usize = 4000;

/// Recipients of one look at an audience.
pub const REACH_MANY_MAX: usize = 500;
/// Permits of each of them that are looked at, all in all.
const PERMITS_OF_MANY_MAX: usize = 100;

/// A row of `reach_free.sql` and `forecast_page.sql`.
type FreeRow = (String, String, String, Option<String>, u32, Option<i64>);

fn held((recipient, app, source, scope, uses, end): FreeRow) -> HeldRow {
    HeldRow { recipient, app, source, scope, uses, expires_at: end.map(Timestamp) }
}

impl Reader {
    /// What decides whether this recipient can be reached through channels of these apps.
    pub async fn of_recipient(
        &self,
        recipient: &str,
        apps: &[AppName],
        now: Timestamp,
    ) -> Result<OfRecipient, StoreError> {
        const ACTION: &str = "look what a recipient holds";
        let mut connection = self.connection().await?;
        let query = |sql: Statement| sql.query().bind(recipient.to_owned());

        let most = super::tick::length(PERMITS_MAX + 1);
        let free = query(sql!("reach_free")).bind(most);
        let mut free: Vec<FreeRow> = free.fetch_json(&mut connection, ACTION).await?;
        let more = free.len() > PERMITS_MAX;
        free.truncate(PERMITS_MAX);

        let bound = query(sql!("reach_bound")).bind(BOUND_MAX);
        let bound: Vec<(i64, String, i64, i64, i64)> = bound.fetch_json(&mut connection, ACTION).await?;
        let bound = bound.into_iter().map(|(credential, source, message, template, state)| {
            let state = State::from_code(state).ok_or_else(|| StoreError::Corrupt(format!("{state} is no state")))?;
            let (credential, message) = (CredentialId(credential), MessageId(message));
            Ok(BoundRow { credential, source, message, template: TemplateId(template), state })
        });
        let bound = bound.collect::<Result<_, StoreError>>()?;

        let waiting = query(sql!("reach_waiting")).bind(WAITING_MAX);
        let waiting: Vec<i64> = waiting.fetch_json(&mut connection, ACTION).await?;
        let mut by_template = std::collections::BTreeMap::<i64, u64>::new();
        for template in waiting {
            *by_template.entry(template).or_default() += 1;
        }

        let apps: Vec<&str> = apps.iter().map(AppName::as_str).collect();
        let suppressed = sql!("reach_suppressed").query();
        let suppressed = suppressed.bind(json(&apps)).bind(recipient.to_owned()).bind(now.0);
        let suppressed: Vec<(String, String, Option<i64>)> = suppressed.fetch_json(&mut connection, ACTION).await?;

        Ok(OfRecipient {
            free: free.into_iter().map(held).collect(),
            more,
            bound,
            waiting: by_template.into_iter().map(|(template, count)| (TemplateId(template), count)).collect(),
            suppressed: suppressed
                .into_iter()
                .map(|(app, reason, until)| SuppressedRow { app, reason, until: until.map(Timestamp) })
                .collect(),
        })
    }

    /// A step of a walk through the free permits of everybody who may be told something, in the order of their
    /// recipients and apps: those of whole recipients after that one, and the recipient to go on after. `None` at the end.
    pub async fn walk_free(&self, after: &str, now: Timestamp) -> Result<(Vec<HeldRow>, Option<String>), StoreError> {
        const ACTION: &str = "walk through the ledger";
        let mut connection = self.connection().await?;
        let query = sql!("forecast_page").query();
        let query = query.bind(after.to_owned()).bind(now.0).bind(super::tick::length(WALK_ROWS_MAX));
        let rows: Vec<FreeRow> = query.fetch_json(&mut connection, ACTION).await?;
        let mut rows: Vec<HeldRow> = rows.into_iter().map(held).collect();
        if rows.len() < WALK_ROWS_MAX {
            return Ok((rows, None));
        }
        let last = rows.last().expect("a full page has a last row").recipient.clone();
        let whole = rows.partition_point(|row| row.recipient != last);
        if whole == 0 {
            // One recipient fills the page: more of their permits would say nothing more.
            return Ok((rows, Some(last)));
        }
        rows.truncate(whole);
        let next = rows[whole - 1].recipient.clone();
        Ok((rows, Some(next)))
    }

    /// What some recipients hold for one app, in their order, and which of them it tells nothing: a step of a look at an
    /// audience.
    ///
    /// # Panics
    ///
    /// On more than [`REACH_MANY_MAX`] recipients.
    pub async fn of_recipients(
        &self,
        recipients: &[&str],
        app: &AppName,
        now: Timestamp,
    ) -> Result<(Vec<HeldRow>, Vec<String>), StoreError> {
        const ACTION: &str = "look what an audience holds";
        assert!(recipients.len() <= REACH_MANY_MAX, "a step is bounded");
        let mut connection = self.connection().await?;
        let names = json(&recipients);
        let free = sql!("reach_of_many").query();
        let most = super::tick::length(REACH_MANY_MAX * PERMITS_OF_MANY_MAX);
        let free = free.bind(names.clone()).bind(app.as_str().to_owned()).bind(most);
        let free: Vec<FreeRow> = free.fetch_json(&mut connection, ACTION).await?;
        let suppressed = sql!("suppressed_of_many").query();
        let suppressed = suppressed.bind(names).bind(app.as_str().to_owned()).bind(now.0);
        let suppressed: Vec<String> = suppressed.fetch_json(&mut connection, ACTION).await?;
        Ok((free.into_iter().map(held).collect(), suppressed))
    }

    /// Whether the ledger has, or had, that very permit.
    pub async fn is_known(&self, app: &AppName, source: &SourceName, identity: &str) -> Result<bool, StoreError> {
        const ACTION: &str = "look for a permit";
        let mut connection = self.connection().await?;
        let query = sql!("find_identities").query();
        let query = query.bind(app.as_str().to_owned()).bind(source.as_str().to_owned()).bind(json(&[identity]));
        let known: Vec<String> = query.fetch_json(&mut connection, ACTION).await?;
        Ok(!known.is_empty())
    }
}
