//! Claiming: what may go now, in the order of the queue, with the credential each needs bound in the same transaction.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Instant;

use tidings_model::credential::{Need, Permit, bind, usable_if_ends_after};
use tidings_model::rate::{Arrival, Rate};
use tidings_model::{AppName, CredentialId, Event, MessageId, State, Timestamp};

use super::floor::{FrontLook, Place};
use super::suppression::{SUPPRESSED, note};
use super::tally::Tally;
use super::tick::{Manner, Step, length};
use crate::batch::{Bound, ChannelId, ClaimRequest, Claimed, Committed, LaneRow, Moved, Needs, TemplateId, Waiting};
use crate::error::StoreError;
use crate::sql::{Dialect, ROWS_MAX, RowsStatement, Statement, both, json, sql};

static CLAIM_BIND: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::one_after_the_other(&[include_str!("../../sql/sqlite/claim_bind.sql")]));
/// PostgreSQL's binds as it claims.
static CLAIM_WHOLE: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::of_postgres(include_str!("../../sql/postgres/claim.sql")));

/// Permits of all recipients of one claim that are fetched without ranking them: two each, for the largest claim.
const FEW_PERMITS_MAX: usize = 1024;

const LOOK: &str = "look for credentials";

/// A message at the head of the queue, with the credential it kept, as it is before the claim; of a turn as it is after it.
pub(super) struct Head {
    pub(super) claimed: Claimed,
    /// Whether it waited for a credential before.
    waited: bool,
}

/// A row of `claim_head.sql`, of `claim_next.sql` and of a turn: an array in the order of these fields.
#[derive(serde::Deserialize)]
pub(super) struct HeadRow {
    pub(super) id: i64,
    generation: i64,
    template: i64,
    recipient: String,
    attempts: u32,
    rescues: u32,
    ambiguous: i64,
    first_try_at: Option<i64>,
    expires_at: Option<i64>,
    created_at: i64,
    data: Option<String>,
    credential: Option<i64>,
    source: Option<String>,
    value: Option<String>,
    credential_expires_at: Option<i64>,
    taken_at: Option<i64>,
    trace: Option<String>,
    waited: Option<i64>,
    // Where it stands, on a server.
    #[serde(default)]
    pub(super) priority: i64,
    #[serde(default)]
    pub(super) due_at: i64,
}

impl HeadRow {
    pub(super) fn into_head(self, channel: ChannelId) -> Result<Head, StoreError> {
        let credential = match (self.credential, self.source, self.value, self.taken_at) {
            (Some(id), Some(source), Some(value), Some(taken_at)) => Some(Bound {
                credential: CredentialId(id),
                source,
                value,
                expires_at: self.credential_expires_at.map(Timestamp),
                taken_at: Timestamp(taken_at),
            }),
            _ => None,
        };
        Ok(Head {
            waited: self.waited == Some(1),
            claimed: Claimed {
                message: MessageId(self.id),
                generation: self.generation,
                channel,
                template: TemplateId(self.template),
                recipient: self.recipient,
                data: self.data.ok_or_else(|| StoreError::Corrupt(format!("message {} has no body", self.id)))?,
                attempts: self.attempts,
                rescues: self.rescues,
                ambiguous: self.ambiguous != 0,
                first_try_at: Timestamp(self.first_try_at.unwrap_or_default()),
                expires_at: self.expires_at.map(Timestamp),
                created_at: Timestamp(self.created_at),
                credential,
                trace: self.trace,
            },
        })
    }
}

/// A row of `claim_permits.sql`: an array in the order of these fields.
#[derive(serde::Deserialize)]
struct PermitRow {
    id: i64,
    recipient: String,
    source: String,
    scope: Option<String>,
    value: String,
    expires_at: Option<i64>,
    taken_at: i64,
    /// False if another engine is about to bind it, or to drop it, and nobody knows yet whether it will be. Where nothing
    /// is locked nothing is said of it.
    #[serde(default = "is_free")]
    is_free: bool,
}

fn is_free() -> bool {
    true
}

impl PermitRow {
    fn into_free(self) -> Free {
        Free {
            recipient: self.recipient,
            scope: self.scope,
            is_free: self.is_free,
            bound: Bound {
                credential: CredentialId(self.id),
                source: self.source,
                value: self.value,
                expires_at: self.expires_at.map(Timestamp),
                taken_at: Timestamp(self.taken_at),
            },
        }
    }
}

/// The channels that a transaction has locked: when the rate of each lets the next one go, and how many of it are on their
/// way, over all engines.
pub(super) type HeldLanes = HashMap<ChannelId, (Arrival, i64)>;

/// A free permit, or one that may be.
struct Free {
    recipient: String,
    scope: Option<String>,
    is_free: bool,
    bound: Bound,
}

impl Step<'_> {
    /// `app` is whose recipients may be suppressed; `None` while nobody is.
    pub(super) async fn claim(
        &mut self,
        tally: &Tally,
        request: &ClaimRequest,
        lanes: &HeldLanes,
        app: Option<&AppName>,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        if !self.may_claim(tally, request) {
            return Ok(());
        }
        let (limit, rate) = self.room(request, lanes);
        if limit == 0 {
            return Ok(());
        }
        let before = committed.claimed.len();
        let head = self.head(tally, request.channel, limit).await?;
        let full = head.len() == usize::try_from(limit).unwrap_or(usize::MAX);
        let head = match app {
            Some(app) => self.told(app, head, full, committed).await?,
            None => head,
        };
        self.claim_head(request.channel, request.needs.as_ref(), head, full, committed).await?;
        let count = u32::try_from(committed.claimed.len() - before).expect("a claim is bounded");
        if let (Some((rate, arrival)), 1..) = (rate, count) {
            let arrival = rate.after(arrival, count, self.now);
            both("UPDATE channel SET arrival_us = $2 WHERE id = $1")
                .bind(request.channel.0)
                .bind(arrival.0)
                .execute(self.connection)
                .await
                .map_err(StoreError::during("write a channel's rate"))?;
            committed.arrivals.push((request.channel, arrival));
        }
        Ok(())
    }

    fn may_claim(&self, tally: &Tally, request: &ClaimRequest) -> bool {
        request.limit > 0 && self.queued(tally, request.channel) > 0
    }

    /// Beside other engines has the channels that are written and those that claim to itself until the transaction ends:
    /// their rates and bounds hold for all engines together. All at once, before any of them claims.
    pub(super) async fn hold_lanes(
        &mut self,
        tally: &Tally,
        written: &[LaneRow],
        claims: &[ClaimRequest],
    ) -> Result<HeldLanes, StoreError> {
        let is_bound = |request: &&ClaimRequest| request.rate.is_some() || request.in_flight_max.is_some();
        let claim = claims.iter().filter(|request| self.may_claim(tally, request)).filter(is_bound);
        let channels: Vec<i64> =
            written.iter().map(|row| row.channel.0).chain(claim.map(|request| request.channel.0)).collect();
        if channels.is_empty() || self.connection.dialect() == Dialect::Sqlite {
            return Ok(HeldLanes::new());
        }
        let lock = sql!(postgres "lane_lock").query().bind(json(&channels));
        let held: Vec<(i64, i64, i64)> = lock.fetch_json(self.connection, "lock channels").await?;
        Ok(held
            .into_iter()
            .map(|(channel, arrival, sending)| (ChannelId(channel), (Arrival(arrival), sending)))
            .collect())
    }

    /// How many may be claimed, and the channel's rate as it is now.
    fn room(&self, request: &ClaimRequest, lanes: &HeldLanes) -> (u32, Option<(Rate, Arrival)>) {
        let (mut limit, mut rate) = (request.limit, request.rate);
        if let Some((arrival, sending)) = lanes.get(&request.channel) {
            rate = rate.map(|(rate, _)| (rate, *arrival));
            if let Some(most) = request.in_flight_max {
                // Those that this transaction settled are not in the counts yet.
                let settled = self.moves.change(request.channel, State::Sending);
                let room = i64::from(most) - (sending + settled);
                limit = limit.min(u32::try_from(room.max(0)).unwrap_or(u32::MAX));
            }
        }
        let allowed = rate.map_or(u32::MAX, |(rate, arrival)| rate.allowed(arrival, self.now));
        (limit.min(allowed), rate)
    }

    /// Those whose recipients may be told something; the others are cancelled.
    async fn told(
        &mut self,
        app: &AppName,
        head: Vec<Head>,
        full: bool,
        committed: &mut Committed,
    ) -> Result<Vec<Head>, StoreError> {
        let of = |head: &Head| (app.to_string(), head.claimed.recipient.clone());
        let suppressed = self.told_nothing(head.iter().map(of).collect()).await?;
        if suppressed.is_empty() {
            return Ok(head);
        }
        let (mut told, mut away) = (Vec::with_capacity(head.len()), Vec::new());
        for head in head {
            match suppressed.get(&of(&head)) {
                None => told.push(head),
                Some(until) => away.push(Moved {
                    message: head.claimed.message,
                    channel: head.claimed.channel,
                    template: head.claimed.template,
                    recipient: head.claimed.recipient,
                    event: Event::Cancel,
                    to: State::Cancelled,
                    reason: Some(SUPPRESSED),
                    detail: note(*until),
                }),
            }
        }
        self.turn_away(&away).await?;
        committed.moved.append(&mut away);
        // Behind them there may be others.
        committed.more |= full;
        Ok(told)
    }

    async fn claim_head(
        &mut self,
        channel: ChannelId,
        needs: Option<&Needs>,
        mut head: Vec<Head>,
        full: bool,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        if head.is_empty() {
            return Ok(());
        }
        let mut waiting = Vec::new();
        if let Some(needs) = needs {
            let seekers: Vec<&Head> = head.iter().filter(|head| head.claimed.credential.is_none()).collect();
            let free = self.free_permits(needs, &seekers).await?;
            let wants: Vec<(MessageId, &str, TemplateId)> = seekers
                .iter()
                .map(|head| (head.claimed.message, head.claimed.recipient.as_str(), head.claimed.template))
                .collect();
            let mut chosen = choose(&wants, &free, needs).into_iter();
            // What it kept, or else what was chosen for it: without either it waits.
            head.retain_mut(|head| {
                if head.claimed.credential.is_none() {
                    let choice = chosen.next().expect("each seeker was answered");
                    head.claimed.credential = choice.map(|index| free[index].bound.clone());
                }
                let is_bound = head.claimed.credential.is_some();
                if !is_bound {
                    waiting.push(Waiting {
                        message: head.claimed.message,
                        channel,
                        template: head.claimed.template,
                        recipient: head.claimed.recipient.clone(),
                    });
                }
                is_bound
            });
            let waited: Vec<&Claimed> = head.iter().filter(|head| head.waited).map(|head| &head.claimed).collect();
            if !waited.is_empty() {
                self.go_on(&waited).await?;
            }
        }
        self.take(&mut head, channel).await?;
        committed.claimed.extend(head.into_iter().map(|head| head.claimed));
        if let Some(needs) = needs.filter(|_| !waiting.is_empty()) {
            waiting = self.none_came_meanwhile(channel, needs, waiting).await?;
        }
        if !waiting.is_empty() {
            let ids: Vec<i64> = waiting.iter().map(|row| row.message.0).collect();
            self.execute(sql!("claim_wait"), json(&ids)).await.map_err(during())?;
            self.begin_to_wait(&ids).await?;
            self.moves.go_many(channel, State::Queued, State::Waiting, length(ids.len()));
            committed.waiting.append(&mut waiting);
            // Behind those who now wait there may be others who need not.
            committed.more |= full;
        }
        Ok(())
    }

    /// Those of whom it is sure that no permit is there. Beside other engines one may have come since it was looked for, or
    /// another engine may be about to give one back: it looks once more, with these recipients' parts of the ledger to
    /// itself. Whose part another engine has, and for whom there may be one, stays queued.
    async fn none_came_meanwhile(
        &mut self,
        channel: ChannelId,
        needs: &Needs,
        mut waiting: Vec<Waiting>,
    ) -> Result<Vec<Waiting>, StoreError> {
        if self.connection.dialect() == Dialect::Sqlite {
            return Ok(waiting);
        }
        let recipients: HashSet<&str> = waiting.iter().map(|row| row.recipient.as_str()).collect();
        // Never waited for: whoever has one may want a channel that is locked here.
        let lock = sql!(postgres "ledger_try").query().bind(json(&recipients));
        let ours: HashSet<String> = lock.fetch_json(self.connection, "lock a part of the ledger").await?;
        let before = waiting.len();
        waiting.retain(|row| ours.contains(&row.recipient));
        let recipients: Vec<&str> = ours.iter().map(String::as_str).collect();
        // What is bound by this transaction already is in no answer.
        let permits = self.permits_of(needs, &recipients, 1).await?;
        let wants: Vec<(MessageId, &str, TemplateId)> =
            waiting.iter().map(|row| (row.message, row.recipient.as_str(), row.template)).collect();
        let mut chosen = choose(&wants, &permits, needs).into_iter();
        waiting.retain(|_| chosen.next().expect("each was answered").is_none());
        if waiting.len() < before {
            // Some stay where they are.
            self.floors.forget(channel);
        }
        Ok(waiting)
    }

    /// Raises the fence of each, in the store and in what is handed out, and binds to each the credential it goes with.
    async fn take(&mut self, head: &mut [Head], channel: ChannelId) -> Result<(), StoreError> {
        if head.is_empty() {
            return Ok(());
        }
        match self.connection.dialect() {
            Dialect::Sqlite => self.take_apart(head).await?,
            Dialect::Postgres => self.take_whole(head).await?,
        }
        self.moves.go_many(channel, State::Queued, State::Sending, length(head.len()));
        for head in head {
            head.claimed.generation += 1;
            if !head.claimed.ambiguous {
                head.claimed.first_try_at = self.now;
            }
        }
        Ok(())
    }

    /// The credentials and then the messages. What a transaction alone saw is as it saw it.
    async fn take_apart(&mut self, head: &[Head]) -> Result<(), StoreError> {
        let bound: Vec<(i64, i64)> = head.iter().filter_map(binding).collect();
        for rows in bound.chunks(ROWS_MAX) {
            let query = CLAIM_BIND.query(rows.len());
            let query = rows.iter().fold(query, |query, (credential, message)| query.bind(*credential).bind(*message));
            let written = self.run(query).await.map_err(during())?;
            assert_eq!(written, rows.len() as u64, "every credential chosen in this transaction is still free");
        }
        let ids: Vec<i64> = head.iter().map(|head| head.claimed.message.0).collect();
        let written =
            self.run(sql!(sqlite "claim").query().bind(json(&ids)).bind(self.now.0)).await.map_err(during())?;
        assert_eq!(written, ids.len() as u64, "every message at the head of this transaction is still queued");
        Ok(())
    }

    /// Both in one round trip. What was chosen may be another engine's by now: then the transaction begins again.
    async fn take_whole(&mut self, head: &[Head]) -> Result<(), StoreError> {
        let rows: Vec<(Option<i64>, i64)> =
            head.iter().map(|head| (binding(head).map(|pair| pair.0), head.claimed.message.0)).collect();
        for rows in rows.chunks(ROWS_MAX) {
            let query = CLAIM_WHOLE.query(rows.len());
            let query = rows.iter().fold(query, |query, (credential, message)| query.bind(*message).bind(*credential));
            let query = query.bind_postgres(self.now.0).bind_postgres(self.node).bind_postgres(self.claim);
            let told = query.fetch_one(self.connection).await.map_err(during())?;
            let bound = rows.iter().filter(|(credential, _)| credential.is_some()).count();
            if (told.get::<i64>(0), told.get::<i64>(1)) != (length(rows.len()), length(bound)) {
                return Err(StoreError::Contended);
            }
        }
        Ok(())
    }

    async fn head(&mut self, tally: &Tally, channel: ChannelId, limit: u32) -> Result<Vec<Head>, StoreError> {
        let rows = match self.connection.dialect() {
            Dialect::Sqlite => self.front(channel, limit).await?,
            Dialect::Postgres => self.head_behind_floor(tally, channel, limit).await?,
        };
        rows.into_iter().map(|row| row.into_head(channel)).collect()
    }

    /// What stands behind what was claimed before, or at the front where that is not known or something seems to be missing.
    async fn head_behind_floor(
        &mut self,
        tally: &Tally,
        channel: ChannelId,
        limit: u32,
    ) -> Result<Vec<HeadRow>, StoreError> {
        // As far as is known: others may have queued more.
        let wanted = self.queued(tally, channel).min(limit.into());
        let rows = match self.behind_floor(channel, limit, wanted).await? {
            Some(rows) if length(rows.len()) >= wanted || !self.may_begin_at_front(channel) => rows,
            // Those that were found are locked by this transaction, and found again.
            _ => self.front_noted(channel, limit).await?,
        };
        for row in &rows {
            self.floors.raise(channel, row.priority, (row.due_at, row.id));
        }
        Ok(rows)
    }

    /// Priority by priority, until there are as many as are wanted: in a short queue the first has them all.
    async fn behind_floor(
        &mut self,
        channel: ChannelId,
        limit: u32,
        wanted: i64,
    ) -> Result<Option<Vec<HeadRow>>, StoreError> {
        let Some(known) = self.floors.of(channel, Instant::now()) else { return Ok(None) };
        let mut rows = Vec::new();
        for (priority, place) in known {
            let found = length(rows.len());
            if found >= wanted {
                break;
            }
            rows.extend(self.next(channel, i64::from(limit) - found, priority, place).await?);
        }
        Ok(Some(rows))
    }

    fn may_begin_at_front(&self, channel: ChannelId) -> bool {
        self.floors.may_begin_at_front(channel, Instant::now())
    }

    async fn front_noted(&mut self, channel: ChannelId, limit: u32) -> Result<Vec<HeadRow>, StoreError> {
        let begun = Instant::now();
        let rows = self.front(channel, limit).await?;
        let last = rows.last().map(|row| (row.priority, (row.due_at, row.id)));
        let full_to = last.filter(|_| length(rows.len()) == i64::from(limit));
        self.floors.began_at_front(channel, FrontLook { begun, ended: Instant::now(), full_to });
        Ok(rows)
    }

    async fn front(&mut self, channel: ChannelId, limit: u32) -> Result<Vec<HeadRow>, StoreError> {
        let query = sql!("claim_head").query().bind(channel.0).bind(self.now.0).bind(limit);
        query.fetch_json(self.connection, "look at the head of a queue").await
    }

    async fn next(
        &mut self,
        channel: ChannelId,
        room: i64,
        priority: i64,
        (due_at, id): Place,
    ) -> Result<Vec<HeadRow>, StoreError> {
        let query = sql!(postgres "claim_next").query().bind(channel.0).bind(self.now.0).bind(room);
        let query = query.bind(priority).bind(due_at).bind(id);
        query.fetch_json(self.connection, "look at what follows in a queue").await
    }

    async fn free_permits(&mut self, needs: &Needs, seekers: &[&Head]) -> Result<Vec<Free>, StoreError> {
        let mut per_recipient: HashMap<&str, i64> = HashMap::new();
        for head in seekers {
            *per_recipient.entry(&head.claimed.recipient).or_default() += 1;
        }
        let Some(most) = per_recipient.values().max().copied() else {
            return Ok(Vec::new());
        };
        let recipients: Vec<&str> = per_recipient.into_keys().collect();
        let mut permits = self.permits_of(needs, &recipients, most).await?;
        permits.retain(|permit| permit.is_free);
        Ok(permits)
    }

    /// The free permits of these recipients: all, or of each kind so many. Beside other engines those that may be free are
    /// among them.
    async fn permits_of(&mut self, needs: &Needs, recipients: &[&str], most: i64) -> Result<Vec<Free>, StoreError> {
        // By name, so that a source that is named twice does not offer a credential twice.
        let ends_after = |margin| usable_if_ends_after(margin, self.now).0;
        let sources: HashMap<&str, i64> =
            needs.sources.iter().map(|rule| (rule.source.as_str(), ends_after(rule.margin))).collect();
        let (recipients, sources) = (json(&recipients), json(&sources));
        let query = |sql: Statement| {
            sql.query().bind(needs.app.as_str().to_owned()).bind(recipients.clone()).bind(sources.clone())
        };
        // Nearly everybody has a few, and then there is nothing to rank.
        let mut few: Option<Vec<PermitRow>> = None;
        if self.manner == Manner::Counts || self.connection.dialect() == Dialect::Sqlite {
            let all = query(sql!("claim_permits")).bind(length(FEW_PERMITS_MAX));
            few =
                Some(all.fetch_json(self.connection, LOOK).await?).filter(|rows: &Vec<_>| rows.len() < FEW_PERMITS_MAX);
        }
        let mut rows = match few {
            Some(rows) => rows,
            None => query(sql!("claim_permits_of_many")).bind(most).fetch_json(self.connection, LOOK).await?,
        };
        // Oldest first, so that those that end together are used in the order they came.
        rows.sort_unstable_by_key(|row| row.id);
        Ok(rows.into_iter().map(PermitRow::into_free).collect())
    }
}

fn during() -> impl FnOnce(sqlx::Error) -> StoreError {
    StoreError::during("claim messages")
}

/// The credential that goes with it, and the message.
fn binding(head: &Head) -> Option<(i64, i64)> {
    head.claimed.credential.as_ref().map(|bound| (bound.credential.0, head.claimed.message.0))
}

/// Which free permit each message of a recipient and a template gets, by its place in `free`.
fn choose(seekers: &[(MessageId, &str, TemplateId)], free: &[Free], needs: &Needs) -> Vec<Option<usize>> {
    let scopes: HashMap<TemplateId, &str> = needs.scopes.iter().map(|(id, scope)| (*id, scope.as_str())).collect();
    let wants: Vec<Need<'_, MessageId>> = seekers
        .iter()
        .map(|(message, recipient, template)| Need {
            message: *message,
            recipient,
            scope: scopes.get(template).copied().unwrap_or_default(),
        })
        .collect();
    let permits: Vec<Permit<'_, usize>> = free
        .iter()
        .enumerate()
        .map(|(index, free)| Permit {
            credential: index,
            recipient: &free.recipient,
            scope: free.scope.as_deref(),
            expires_at: free.bound.expires_at,
        })
        .collect();
    bind(&wants, &permits)
}
