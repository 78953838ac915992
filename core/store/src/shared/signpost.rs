//! Signposts: the lists by which the messages of one recipient are found, written behind the writer's back and read by
//! lists of messages. `tidings_model::signpost` says what stands in them.
//!
//! A block gets its lists once it is complete, in the order of blocks: whatever is newer than the last of them is walked.

use std::sync::LazyLock;

use tidings_model::MessageId;
use tidings_model::limits::{LIST_WALK_MAX, SIGNPOSTS_READ_MAX, SWEEP_ROWS_MAX};
use tidings_model::signpost::{Block, PARTS, Sign, find, marks};

use super::reader::{Reader, message_row};
use super::select::{Choice, named};
use super::tick::Step;
use crate::batch::SignpostChange;
use crate::error::StoreError;
use crate::hash::fingerprint;
use crate::read::{MessageRow, Span};
use crate::sql::{Connection, Dialect, RowsStatement, both, json, sql};

static INSERT_SIGNPOSTS: LazyLock<RowsStatement> =
    LazyLock::new(|| RowsStatement::one_after_the_other(&[sql!(sqlite "insert_signposts").text(Dialect::Sqlite)]));

/// The lists of each part stand behind those of the one before.
const PART: i64 = 1 << 40;
/// Lists that are read at once: a MiB of them.
const LISTS_AT_ONCE: i64 = 512;
/// Messages that are fetched at once.
const FETCHED_AT_ONCE: usize = 256;

/// The place of a list.
fn place(part: usize, block: Block) -> i64 {
    i64::try_from(part).expect("there are few parts") * PART + block.0
}

fn sign(recipient: &str) -> Sign {
    Sign::of(fingerprint(recipient.as_bytes()))
}

impl Step<'_> {
    pub(super) async fn save_signposts(&mut self, changes: &[SignpostChange]) -> Result<(), StoreError> {
        let during = || StoreError::during("write signposts");
        for change in changes {
            match change {
                SignpostChange::Raise { block, lists } => {
                    let mut query = INSERT_SIGNPOSTS.query(lists.len());
                    for (part, marks) in lists.iter().enumerate() {
                        query = query.bind(place(part, *block)).bind(marks);
                    }
                    self.run(query).await.map_err(during())?;
                }
                SignpostChange::Remove { blocks } => {
                    let ids: Vec<i64> =
                        blocks.iter().flat_map(|block| (0..PARTS).map(|part| place(part, *block))).collect();
                    let sql = sql!(sqlite "delete_signposts");
                    self.execute(sql, json(&ids)).await.map_err(during())?;
                }
            }
        }
        Ok(())
    }
}

impl Reader {
    /// The lists of the oldest block that is complete and has none.
    pub async fn next_signpost(&self) -> Result<Option<SignpostChange>, StoreError> {
        let during = || StoreError::during("look for a block without signposts");
        let mut look = self.look().await?;
        if look.dialect() == Dialect::Postgres {
            return Ok(None);
        }
        let behind = last(&mut look).await?.map_or(0, |block| block.last().0);
        let oldest: Option<i64> = both("SELECT min(id) FROM message WHERE id > $1")
            .bind(behind)
            .fetch_scalar(&mut look)
            .await
            .map_err(during())?;
        let newest: Option<i64> = both("SELECT max(id) FROM message").fetch_scalar(&mut look).await.map_err(during())?;
        let (Some(oldest), Some(newest)) = (oldest, newest) else { return Ok(None) };
        let block = Block::of(MessageId(oldest));
        // Ids are given out in order: once there is a later one, nothing comes into the block any more.
        if newest <= block.last().0 {
            return Ok(None);
        }
        let query = sql!(sqlite "block_recipients").query();
        let query = query.bind(block.first().0).bind(block.last().0);
        let rows: Vec<(i64, String)> = query.fetch_json(&mut look, "read a block").await?;
        let signs = rows.iter().map(|(id, recipient)| (MessageId(*id), sign(recipient)));
        Ok(Some(SignpostChange::Raise { block, lists: Box::new(marks(block, signs)) }))
    }

    /// Of the next blocks after that one, those whose messages have left; and where to go on, `None` at the end.
    pub async fn stale_signposts(&self, after: Option<Block>) -> Result<(Vec<Block>, Option<Block>), StoreError> {
        let mut connection = self.connection().await?;
        if connection.dialect() == Dialect::Postgres {
            return Ok((Vec::new(), None));
        }
        let rows = sql!(sqlite "blocks_left")
            .query()
            .bind(after.map_or(-1, |block| block.0))
            .bind(PART)
            .bind(SWEEP_ROWS_MAX)
            .fetch_all(&mut connection)
            .await
            .map_err(StoreError::during("look for signposts to nothing"))?;
        let full = u32::try_from(rows.len()).is_ok_and(|count| count == SWEEP_ROWS_MAX);
        let next = rows.last().filter(|_| full).map(|row| Block(row.get(0)));
        let stale = rows.iter().filter(|row| !row.get::<bool>(1)).map(|row| Block(row.get(0)));
        Ok((stale.collect(), next))
    }
}

/// The newest block that has lists. PostgreSQL has an index instead: there the tables of a day are small enough for one.
pub(super) async fn last(look: &mut Connection) -> Result<Option<Block>, StoreError> {
    if look.dialect() == Dialect::Postgres {
        return Ok(None);
    }
    let last: Option<i64> = sql!(sqlite "last_signpost")
        .query()
        .bind(PART - 1)
        .fetch_scalar(look)
        .await
        .map_err(StoreError::during("look for the last signpost"))?;
    Ok(last.map(Block))
}

/// What signposts led to.
pub(super) struct Found {
    /// Newest first.
    pub(super) rows: Vec<MessageRow>,
    /// What is older than this was not looked at; `None` if everything was.
    pub(super) end: Option<i64>,
}

/// The messages of a choice by recipient in the blocks of its span that have lists, newest first, at most so many. Reads
/// [`SIGNPOSTS_READ_MAX`] lists and [`LIST_WALK_MAX`] messages at most.
pub(super) async fn follow(
    look: &mut Connection,
    choice: &Choice<'_>,
    recipient: &str,
    limit: usize,
) -> Result<Found, StoreError> {
    let sign = sign(recipient);
    let Span { after, until } = choice.span;
    let (oldest, mut newest) = (Block::of(MessageId(after.0 + 1)), Block::of(until));
    let (mut rows, mut read, mut fetched) = (Vec::new(), 0, 0);
    loop {
        let lists = sql!(sqlite "signposts")
            .query()
            .bind(place(sign.part(), oldest))
            .bind(place(sign.part(), newest))
            .bind(LISTS_AT_ONCE)
            .fetch_all(look)
            .await
            .map_err(StoreError::during("read signposts"))?;
        let mut ids: Vec<i64> = Vec::new();
        for list in &lists {
            newest = Block(list.get::<i64>(0) % PART);
            let marks: Vec<u8> = list.get(1);
            let found = find(newest, &marks, sign)
                .ok_or_else(|| StoreError::Corrupt(format!("the signpost of block {} is cut", newest.0)))?;
            ids.extend(found.rev().filter(|id| after < *id && *id <= until).map(|id| id.0));
        }
        for ids in ids.chunks(FETCHED_AT_ONCE) {
            let found = named(choice, ids).build().fetch_all(look).await;
            for row in found.map_err(StoreError::during("fetch what signposts name"))? {
                rows.push(message_row(&row)?);
                if rows.len() == limit {
                    return Ok(Found { end: rows.last().map(|row| row.id.0), rows });
                }
            }
            fetched += ids.len();
            if i64::try_from(fetched).unwrap_or(i64::MAX) >= LIST_WALK_MAX {
                return Ok(Found { rows, end: ids.last().copied() });
            }
        }
        read += i64::try_from(lists.len()).unwrap_or(i64::MAX);
        if i64::try_from(lists.len()).unwrap_or(i64::MAX) < LISTS_AT_ONCE {
            return Ok(Found { rows, end: None });
        }
        if read >= SIGNPOSTS_READ_MAX {
            return Ok(Found { rows, end: Some(newest.first().0) });
        }
        newest = Block(newest.0 - 1);
    }
}
