//! Receipts: what providers tell of messages after they took them.
//!
//! One may come before the outcome of its message is written: the push and the answer to the send are on two ways. It is
//! kept, and applied in the transaction that writes the outcome. So a receipt of a message that nobody knows waits a
//! while: it may also be of somebody else's, who sends with the same account. Those that wait stand in memory, too: an
//! outcome is looked up there, and costs no statement.

use std::collections::{HashMap, VecDeque};
use std::sync::LazyLock;

use tidings_model::limits::{RECEIPT_LIFE, RECEIPTS_WAITING_MAX};
use tidings_model::state::next;
use tidings_model::{AppName, Event, MessageId, State, Timestamp};

use super::tick::Step;
use crate::batch::{ChannelId, Moved, Receipt, Received, Settle, TemplateId};
use crate::error::StoreError;
use crate::sql::{Connection, ROWS_MAX, RowsStatement, both, json, sql};

static KEEP_RECEIPTS: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("keep_receipts")));
static DROP_RECEIPTS: LazyLock<RowsStatement> = LazyLock::new(|| RowsStatement::new(sql!("drop_receipts")));

/// The reason of a message whose receipt says that it did not arrive.
const BOUNCED: &str = "bounced";

/// A row of `receive.sql`: message, state before and after, reason, detail.
type MoveRow = (i64, i64, i64, Option<&'static str>, Option<String>);

/// Whose message, and what its provider calls it.
type Key = (AppName, String);

/// Receipts that wait for the outcome of their message, as they stand on disk.
#[derive(Debug, Default)]
pub(super) struct Early {
    receipts: HashMap<Key, Receipt>,
    /// The oldest first. One that met its message stays here until it would be too old.
    order: VecDeque<(Timestamp, Key)>,
}

/// What one transaction changes of them.
#[derive(Debug, Default)]
pub(super) struct EarlyChanges {
    kept: Vec<Receipt>,
    dropped: Vec<Key>,
    /// How many of the order's first are gone.
    passed: usize,
}

impl Early {
    pub(super) async fn load(connection: &mut Connection) -> Result<Early, StoreError> {
        let rows = both("SELECT app, provider_id, delivered, detail, received_at FROM receipt ORDER BY received_at")
            .fetch_all(connection)
            .await
            .map_err(StoreError::during("read the receipts that wait"))?;
        let mut early = Early::default();
        for row in rows {
            let app = AppName::new(row.get::<String>(0))
                .map_err(|error| StoreError::Corrupt(format!("the app of a receipt: {error}")))?;
            early.add(Receipt {
                app,
                provider_id: row.get(1),
                delivered: row.get(2),
                detail: row.get(3),
                received_at: Timestamp(row.get(4)),
            });
        }
        Ok(early)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.receipts.is_empty()
    }

    fn add(&mut self, receipt: Receipt) {
        let key = (receipt.app.clone(), receipt.provider_id.clone());
        self.order.push_back((receipt.received_at, key.clone()));
        self.receipts.insert(key, receipt);
    }

    /// Takes what was committed.
    pub(super) fn apply(&mut self, changes: EarlyChanges) {
        self.order.drain(..changes.passed);
        for key in changes.dropped {
            self.receipts.remove(&key);
        }
        changes.kept.into_iter().for_each(|receipt| self.add(receipt));
    }

    /// Those whose message has an outcome now.
    fn of<'a>(&'a self, settled: &[&Settle], apps: &HashMap<ChannelId, AppName>) -> Vec<&'a Receipt> {
        if self.receipts.is_empty() {
            return Vec::new();
        }
        let find = |settle: &&Settle| {
            let provider_id = settle.settlement.provider_id.clone()?;
            self.receipts.get(&(apps.get(&settle.channel)?.clone(), provider_id))
        };
        settled.iter().filter_map(find).collect()
    }

    /// The oldest that leave so that `new` more may wait: how many of the order, and which of them still wait. None waits
    /// longer than its life, and all together are bounded.
    fn leaving(&self, new: usize, now: Timestamp) -> (usize, Vec<Key>) {
        let room = RECEIPTS_WAITING_MAX.saturating_sub(new);
        let (mut passed, mut leave) = (0, Vec::new());
        for (received_at, key) in &self.order {
            let is_old = received_at.after(RECEIPT_LIFE) <= now;
            if !is_old && self.order.len() - passed <= room {
                break;
            }
            passed += 1;
            // One of the same name may have come again since: that one is younger.
            if self.receipts.get(key).is_some_and(|receipt| receipt.received_at == *received_at) {
                leave.push(key.clone());
            }
        }
        (passed, leave)
    }
}

/// A message that a receipt may be of.
struct Found {
    message: MessageId,
    channel: ChannelId,
    state: State,
    recipient: String,
    template: TemplateId,
}

impl Step<'_> {
    /// Applies receipts to messages whose outcome is known, those of this transaction among them, and keeps the others.
    pub(super) async fn receive(
        &mut self,
        receipts: &[Receipt],
        settled: &[&Settle],
        found_met: &[Receipt],
        early: &Early,
        apps: &HashMap<ChannelId, AppName>,
    ) -> Result<(Vec<Received>, Vec<Moved>, EarlyChanges), StoreError> {
        let mut met = early.of(settled, apps);
        met.extend(found_met);
        let mut changes = EarlyChanges::default();
        let (mut answers, mut moves) = (Vec::with_capacity(receipts.len()), Vec::new());
        if !met.is_empty() || !receipts.is_empty() {
            let mut found = self.find_received(met.iter().copied().chain(receipts)).await?;
            let mut rows = Vec::new();
            // What waited came first.
            for receipt in met {
                // One of those that were looked for may be of somebody else's message of that name.
                if self.move_by(receipt, &mut found, apps, &mut rows, &mut moves) != Received::Unknown {
                    changes.dropped.push(key(receipt));
                }
            }
            for receipt in receipts {
                let received = self.move_by(receipt, &mut found, apps, &mut rows, &mut moves);
                // Of two that come before the outcome the first counts, as of two that come after it.
                let is_kept = early.receipts.contains_key(&key(receipt))
                    || changes.kept.iter().any(|kept| key(kept) == key(receipt));
                answers.push(match received {
                    Received::Unknown if is_kept => Received::Repeated,
                    received => received,
                });
                if received == Received::Unknown && !is_kept {
                    changes.kept.push(receipt.clone());
                }
            }
            self.write_moves(&rows).await?;
        }
        let (passed, leave) = early.leaving(changes.kept.len(), self.now);
        if !leave.is_empty() {
            tracing::info!(count = leave.len(), "receipts were of no message of ours, and are forgotten");
        }
        changes.passed = passed;
        changes.dropped.extend(leave);
        self.write_early(&changes).await?;
        Ok((answers, moves, changes))
    }

    /// Receipts that wait although the outcome of their message is written: beside other engines the one and the other may
    /// come at once.
    pub(super) async fn receipts_met(&mut self) -> Result<Vec<Receipt>, StoreError> {
        let action = "look for receipts that met their messages";
        // One that waits longer is of no message of ours: further apart they did not cross.
        let apart = i64::try_from(RECEIPT_LIFE.as_millis()).unwrap_or(i64::MAX);
        let query = sql!(postgres "receipts_met").query().bind(super::tick::length(ROWS_MAX)).bind(apart);
        let rows: Vec<(String, String, i64, String, i64)> = query.fetch_json(self.connection, action).await?;
        rows.into_iter()
            .map(|(app, provider_id, delivered, detail, received_at)| {
                let app =
                    AppName::new(app).map_err(|error| StoreError::Corrupt(format!("the app of a receipt: {error}")))?;
                let received_at = Timestamp(received_at);
                Ok(Receipt { app, provider_id, delivered: delivered != 0, detail, received_at })
            })
            .collect()
    }

    /// The messages that these may be of, by what their provider calls them.
    async fn find_received<'r>(
        &mut self,
        receipts: impl Iterator<Item = &'r Receipt>,
    ) -> Result<HashMap<String, Vec<Found>>, StoreError> {
        let mut names: Vec<&str> = receipts.map(|receipt| receipt.provider_id.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let query = sql!("find_received").query().bind(json(&names));
        let rows: Vec<(String, i64, i64, i64, String, i64)> =
            query.fetch_json(self.connection, "look for the messages of receipts").await?;
        let mut found: HashMap<String, Vec<Found>> = HashMap::new();
        for (provider_id, id, channel, state, recipient, template) in rows {
            let state =
                State::from_code(state).ok_or_else(|| StoreError::Corrupt(format!("state {state} of message {id}")))?;
            let (message, channel, template) = (MessageId(id), ChannelId(channel), TemplateId(template));
            let one = Found { message, channel, state, recipient, template };
            found.entry(provider_id).or_default().push(one);
        }
        Ok(found)
    }

    /// Moves what the receipt is of, by the table of moves.
    fn move_by(
        &mut self,
        receipt: &Receipt,
        found: &mut HashMap<String, Vec<Found>>,
        apps: &HashMap<ChannelId, AppName>,
        rows: &mut Vec<MoveRow>,
        moves: &mut Vec<Moved>,
    ) -> Received {
        let event = if receipt.delivered { Event::Deliver } else { Event::Bounce };
        let mut received = Received::Unknown;
        for one in found.get_mut(&receipt.provider_id).into_iter().flatten() {
            if apps.get(&one.channel) != Some(&receipt.app) {
                continue;
            }
            let Ok(to) = next(one.state, event) else {
                if received == Received::Unknown {
                    received = Received::Repeated;
                }
                continue;
            };
            let reason = (!receipt.delivered).then_some(BOUNCED);
            let detail = reason.map(|_| receipt.detail.clone());
            rows.push((one.message.0, one.state.code(), to.code(), reason, detail));
            self.moves.go(one.channel, one.state, to);
            one.state = to;
            moves.push(Moved {
                message: one.message,
                channel: one.channel,
                template: one.template,
                recipient: one.recipient.clone(),
                event,
                to,
                reason,
                detail: reason.map(|_| receipt.detail.clone()).unwrap_or_default(),
            });
            received = Received::Moved;
        }
        received
    }

    async fn write_moves(&mut self, rows: &[MoveRow]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let told = json(&rows);
        self.keep_when_sent(told.clone()).await?;
        let query = sql!("receive").query().bind(told).bind(self.now.0);
        let written = self.run(query).await.map_err(StoreError::during("write what receipts say"))?;
        assert_eq!(written, rows.len() as u64, "a message moved between two statements of one transaction");
        Ok(())
    }

    async fn write_early(&mut self, changes: &EarlyChanges) -> Result<(), StoreError> {
        let during = || StoreError::during("keep receipts");
        for rows in changes.dropped.chunks(ROWS_MAX) {
            let mut query = DROP_RECEIPTS.query(rows.len());
            for (app, provider_id) in rows {
                query = query.bind(app.as_str()).bind(provider_id);
            }
            self.run(query).await.map_err(during())?;
        }
        for rows in changes.kept.chunks(ROWS_MAX) {
            let mut query = KEEP_RECEIPTS.query(rows.len());
            for receipt in rows {
                query = query
                    .bind(receipt.app.as_str())
                    .bind(&receipt.provider_id)
                    .bind(receipt.delivered)
                    .bind(&receipt.detail)
                    .bind(receipt.received_at.0);
            }
            self.run(query).await.map_err(during())?;
        }
        Ok(())
    }
}

fn key(receipt: &Receipt) -> Key {
    (receipt.app.clone(), receipt.provider_id.clone())
}
