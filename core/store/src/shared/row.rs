//! What the writer reads once, at start: states that engines keep in memory.

use std::collections::HashMap;

use tidings_model::rate::Arrival;
use tidings_model::{AppName, MessageId, Timestamp};

use crate::batch::{AppHalt, ChannelId, ChannelState, Orphan, TemplateId, TokenRow};
use crate::error::{StoreError, TRIES_MAX};
use crate::sql::{Connection, Row, both, json, sql};

/// A nullable instant.
pub(super) fn instant(row: &Row, index: usize) -> Option<Timestamp> {
    row.get::<Option<i64>>(index).map(Timestamp)
}

/// A nullable instant with the text beside it.
pub(super) fn noted(row: &Row, index: usize) -> Option<(Timestamp, String)> {
    instant(row, index).map(|at| (at, row.get::<Option<String>>(index + 1).unwrap_or_default()))
}

fn count(row: &Row, index: usize) -> u32 {
    u32::try_from(row.get::<i64>(index)).unwrap_or(u32::MAX)
}

fn app(row: &Row) -> Result<AppName, StoreError> {
    AppName::new(row.get::<String>(0)).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// Those that a crash left. Where several engines share the store: so many of those that nodes left that are gone, taken
/// by this node under that number, and those that it took under one of the other numbers and heard no answer; where
/// channels are named, of those alone.
pub(super) async fn orphans(
    connection: &mut Connection,
    node: i64,
    most: u32,
    taking: i64,
    unheard: &[i64],
    channels: Option<&[ChannelId]>,
) -> Result<Vec<Orphan>, StoreError> {
    let channels = channels.map(|ids| ids.iter().map(|id| id.0).collect::<Vec<_>>());
    let mut tries = 1;
    let rows = loop {
        let query = sql!("orphans")
            .query()
            .bind_postgres(node)
            .bind_postgres(most)
            .bind_postgres(taking)
            .bind_postgres(json(&unheard))
            .bind_postgres(json(&channels));
        match query.fetch_all(connection).await.map_err(StoreError::during("look for what a crash left")) {
            Ok(rows) => break rows,
            // Another engine took some of them just then: nothing was taken, and no connection is broken.
            Err(error) if error.is_contention() && tries < TRIES_MAX => tries += 1,
            Err(error) => return Err(error),
        }
    };
    Ok(rows
        .iter()
        .map(|row| Orphan {
            message: MessageId(row.get(0)),
            generation: row.get(1),
            channel: ChannelId(row.get(2)),
            template: TemplateId(row.get(3)),
            recipient: row.get(13),
            attempts: count(row, 4),
            rescues: count(row, 5),
            ambiguous: row.get(6),
            claimed_at: Timestamp(row.get(7)),
            first_try_at: Timestamp(row.get(8)),
            expires_at: instant(row, 9),
            credential: row.get::<Option<String>>(10).map(|source| (source, instant(row, 11), Timestamp(row.get(12)))),
        })
        .collect())
}

pub(super) async fn channel_states(
    connection: &mut Connection,
) -> Result<HashMap<ChannelId, ChannelState>, StoreError> {
    let rows = both("SELECT id, paused_at, pause_note, closed_until, closed_reason, arrival_us FROM channel")
        .fetch_all(connection)
        .await
        .map_err(StoreError::during("read the channels"))?;
    Ok(rows
        .iter()
        .map(|row| {
            let state = ChannelState { paused: noted(row, 1), closed: noted(row, 3), arrival: Arrival(row.get(5)) };
            (ChannelId(row.get(0)), state)
        })
        .collect())
}

pub(super) async fn tokens(connection: &mut Connection) -> Result<HashMap<AppName, TokenRow>, StoreError> {
    let rows = both("SELECT app, value, generation, fetched_at, expires_at, day, fetches, account FROM token")
        .fetch_all(connection)
        .await
        .map_err(StoreError::during("read the tokens"))?;
    rows.iter()
        .map(|row| {
            let app = app(row)?;
            let token = TokenRow {
                app: app.clone(),
                account: row.get(7),
                value: row.get(1),
                generation: row.get(2),
                fetched_at: instant(row, 3),
                expires_at: instant(row, 4),
                day: row.get(5),
                fetches: count(row, 6),
            };
            Ok((app, token))
        })
        .collect()
}

/// A token as `token_fetch.sql` answers with it; `None` before the first.
pub(super) fn fetched_token(app: &AppName, row: &Row) -> Option<TokenRow> {
    let generation: i64 = row.get(1);
    (generation > 0 || row.get::<i64>(5) > 0).then(|| TokenRow {
        app: app.clone(),
        account: row.get(6),
        value: row.get(0),
        generation,
        fetched_at: instant(row, 2),
        expires_at: instant(row, 3),
        day: row.get(4),
        fetches: count(row, 5),
    })
}

pub(super) async fn halts(connection: &mut Connection) -> Result<HashMap<AppName, AppHalt>, StoreError> {
    let rows = both("SELECT name, fingerprint, halted_at, halt_reason FROM app WHERE halted_at IS NOT NULL")
        .fetch_all(connection)
        .await
        .map_err(StoreError::during("read the apps"))?;
    rows.iter()
        .map(|row| {
            let app = app(row)?;
            let fingerprint = row.get::<Option<String>>(1).unwrap_or_default();
            Ok((app.clone(), AppHalt { app, fingerprint, halted: noted(row, 2) }))
        })
        .collect()
}
