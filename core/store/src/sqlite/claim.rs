//! Claiming: what may go now, in the order of the queue, with the credential each needs bound in the same transaction.

use std::cmp::Reverse;
use std::collections::HashMap;

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use tidings_model::credential::{Need, Permit, bind};
use tidings_model::{CredentialId, MessageId, State, Timestamp};

use super::tally::Tally;
use super::tick::{Step, json};
use crate::batch::{Bound, ChannelId, ClaimRequest, Claimed, Committed, Needs, TemplateId};
use crate::error::StoreError;

/// A message at the head of the queue, with the credential it kept.
struct Head {
    id: i64,
    template: TemplateId,
    recipient: String,
    kept: Option<Bound>,
}

/// A free permit.
struct Free {
    recipient: String,
    scope: Option<String>,
    bound: Bound,
}

impl Step<'_> {
    pub(super) async fn claim(
        &mut self,
        tally: &Tally,
        request: &ClaimRequest,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        let allowed = request.rate.map_or(u32::MAX, |(rate, arrival)| rate.allowed(arrival, self.now));
        let limit = request.limit.min(allowed);
        if limit == 0 || self.queued(tally, request.channel) <= 0 {
            return Ok(());
        }
        let before = committed.claimed.len();
        match &request.needs {
            None => self.claim_free(request.channel, limit, committed).await?,
            Some(needs) => self.claim_bound(request.channel, needs, limit, committed).await?,
        }
        let count = u32::try_from(committed.claimed.len() - before).expect("a claim is bounded");
        if let (Some((rate, arrival)), 1..) = (request.rate, count) {
            let arrival = rate.after(arrival, count, self.now);
            sqlx::query("UPDATE channel SET arrival_us = ?2 WHERE id = ?1")
                .bind(request.channel.0)
                .bind(arrival.0)
                .execute(&mut *self.connection)
                .await
                .map_err(StoreError::during("write a channel's rate"))?;
            committed.arrivals.push((request.channel, arrival));
        }
        Ok(())
    }

    async fn claim_free(
        &mut self,
        channel: ChannelId,
        limit: u32,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        let rows = sqlx::query(include_str!("../../sql/sqlite/claim.sql"))
            .bind(channel.0)
            .bind(self.now.0)
            .bind(limit)
            .fetch_all(&mut *self.connection)
            .await
            .map_err(StoreError::during("claim messages"))?;
        for row in in_order(rows) {
            self.moves.go(channel, State::Queued, State::Sending);
            committed.claimed.push(claimed(&row, channel, None)?);
        }
        Ok(())
    }

    async fn claim_bound(
        &mut self,
        channel: ChannelId,
        needs: &Needs,
        limit: u32,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        let during = || StoreError::during("claim messages with credentials");
        let mut head = self.head(channel, limit).await?;
        if head.is_empty() {
            return Ok(());
        }
        let full = head.len() == usize::try_from(limit).unwrap_or(usize::MAX);
        let mut ready: HashMap<i64, Bound> = HashMap::new();
        let mut bindings: Vec<(i64, i64)> = Vec::new();
        for message in &mut head {
            if let Some(kept) = message.kept.take() {
                bindings.push((kept.credential.0, message.id));
                ready.insert(message.id, kept);
            }
        }
        let seekers: Vec<&Head> = head.iter().filter(|message| !ready.contains_key(&message.id)).collect();
        let free = self.free_permits(needs, &seekers).await?;
        let chosen = choose(&seekers, &free, needs);
        let mut waiting = Vec::new();
        for (message, choice) in seekers.iter().zip(chosen) {
            match choice {
                Some(index) => {
                    let bound = free[index].bound.clone();
                    bindings.push((bound.credential.0, message.id));
                    ready.insert(message.id, bound);
                }
                None => {
                    waiting.push(message.id);
                    committed.waiting.push((MessageId(message.id), channel, message.recipient.clone()));
                }
            }
        }
        if !bindings.is_empty() {
            let written = sqlx::query(include_str!("../../sql/sqlite/claim_bind.sql"))
                .bind(json(&bindings))
                .execute(&mut *self.connection)
                .await
                .map_err(during())?
                .rows_affected();
            assert_eq!(written, bindings.len() as u64, "every credential chosen in this transaction is still free");
            let ids: Vec<i64> = ready.keys().copied().collect();
            let rows = sqlx::query(include_str!("../../sql/sqlite/claim_bound.sql"))
                .bind(json(&ids))
                .bind(self.now.0)
                .fetch_all(&mut *self.connection)
                .await
                .map_err(during())?;
            for row in in_order(rows) {
                self.moves.go(channel, State::Queued, State::Sending);
                let bound = ready.remove(&row.get::<i64, _>(0));
                committed.claimed.push(claimed(&row, channel, bound)?);
            }
        }
        if !waiting.is_empty() {
            self.execute(include_str!("../../sql/sqlite/claim_wait.sql"), &json(&waiting)).await.map_err(during())?;
            for _ in &waiting {
                self.moves.go(channel, State::Queued, State::Waiting);
            }
            // Behind those who now wait there may be others who need not.
            committed.more |= full;
        }
        Ok(())
    }

    async fn head(&mut self, channel: ChannelId, limit: u32) -> Result<Vec<Head>, StoreError> {
        let rows = sqlx::query(include_str!("../../sql/sqlite/claim_head.sql"))
            .bind(channel.0)
            .bind(self.now.0)
            .bind(limit)
            .fetch_all(&mut *self.connection)
            .await
            .map_err(StoreError::during("look at the head of a queue"))?;
        let kept = |row: &SqliteRow| {
            row.get::<Option<i64>, _>(3).map(|id| Bound {
                credential: CredentialId(id),
                source: row.get(4),
                value: row.get(5),
                expires_at: row.get::<Option<i64>, _>(6).map(Timestamp),
                taken_at: Timestamp(row.get(7)),
            })
        };
        Ok(rows
            .iter()
            .map(|row| Head {
                id: row.get(0),
                template: TemplateId(row.get(1)),
                recipient: row.get(2),
                kept: kept(row),
            })
            .collect())
    }

    async fn free_permits(&mut self, needs: &Needs, seekers: &[&Head]) -> Result<Vec<Free>, StoreError> {
        let mut per_recipient: HashMap<&str, i64> = HashMap::new();
        for message in seekers {
            *per_recipient.entry(&message.recipient).or_default() += 1;
        }
        let Some(most) = per_recipient.values().max().copied() else {
            return Ok(Vec::new());
        };
        let recipients: Vec<&str> = per_recipient.into_keys().collect();
        // By name, so that a source that is named twice does not offer a credential twice.
        let sources: HashMap<&str, i64> =
            needs.sources.iter().map(|rule| (rule.source.as_str(), self.now.after(rule.margin).0)).collect();
        let rows = sqlx::query(include_str!("../../sql/sqlite/claim_permits.sql"))
            .bind(needs.app.as_str())
            .bind(json(&recipients))
            .bind(json(&sources.into_iter().collect::<Vec<_>>()))
            .bind(most)
            .fetch_all(&mut *self.connection)
            .await
            .map_err(StoreError::during("look for credentials"))?;
        Ok(rows
            .iter()
            .map(|row| Free {
                recipient: row.get(1),
                scope: row.get(3),
                bound: Bound {
                    credential: CredentialId(row.get(0)),
                    source: row.get(2),
                    value: row.get(4),
                    expires_at: row.get::<Option<i64>, _>(5).map(Timestamp),
                    taken_at: Timestamp(row.get(6)),
                },
            })
            .collect())
    }
}

/// Which free permit each seeker gets, by its place in `free`.
fn choose(seekers: &[&Head], free: &[Free], needs: &Needs) -> Vec<Option<usize>> {
    let scopes: HashMap<TemplateId, &str> = needs.scopes.iter().map(|(id, scope)| (*id, scope.as_str())).collect();
    let wants: Vec<Need<'_, i64>> = seekers
        .iter()
        .map(|message| Need {
            message: message.id,
            recipient: &message.recipient,
            scope: scopes.get(&message.template).copied().unwrap_or_default(),
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

/// RETURNING gives rows in the order of the writes; these are in the order of the queue.
fn in_order(mut rows: Vec<SqliteRow>) -> Vec<SqliteRow> {
    rows.sort_by_cached_key(|row| (Reverse(row.get::<i64, _>(11)), row.get::<i64, _>(12), row.get::<i64, _>(0)));
    rows
}

fn claimed(row: &SqliteRow, channel: ChannelId, credential: Option<Bound>) -> Result<Claimed, StoreError> {
    let id: i64 = row.get(0);
    let data: Option<String> = row.get(10);
    let count = |index: usize| u32::try_from(row.get::<i64, _>(index)).unwrap_or(u32::MAX);
    Ok(Claimed {
        message: MessageId(id),
        generation: row.get(1),
        channel,
        template: TemplateId(row.get(2)),
        recipient: row.get(3),
        data: data.ok_or_else(|| StoreError::Corrupt(format!("message {id} has no body")))?,
        attempts: count(4),
        rescues: count(5),
        ambiguous: row.get(6),
        first_try_at: Timestamp(row.get(7)),
        expires_at: row.get::<Option<i64>, _>(8).map(Timestamp),
        created_at: Timestamp(row.get(9)),
        credential,
    })
}
