//! Queues that grow, and that leave much behind: what a transaction reads does not grow with them.

use sqlx::PgConnection;
use tidings_model::{CredentialFate, State};
use tidings_store::{Batch, Committed, Settle};

use crate::harness::{FREE, Store, outcome};
use crate::nodes::{commit, run};

for_every_server! {
    what_was_planned_on_a_short_queue_does_not_walk_a_long_one,
    what_is_gone_does_not_hold_up_claims_while_somebody_reads_what_was_there,
}

/// Messages that wait in the end. A quarter of them leave until it is seen what is read, at most: the server counts once a second.
const MANY: usize = 20_000;

/// Entries of indexes that an outcome and a claim of one message may look at, with their share of the looks from the front.
const LOOKS_MAX: i64 = 2_000;

/// An engine that began on an empty store had its first claims and outcomes planned for that, and read the whole queue at each
/// of them from then on, until the server had counted it.
async fn what_was_planned_on_a_short_queue_does_not_walk_a_long_one(mut store: Store) {
    let mut third = store.home.connect().await;
    run(&mut third, "ALTER TABLE message_hot SET (autovacuum_enabled = off)").await;
    accept(&mut store, 200).await;
    run(&mut third, "ANALYZE").await;
    let mut settled = Vec::new();
    for _ in 0..8 {
        settled = turn(&mut store, settled).await;
    }
    accept(&mut store, MANY).await;

    reads_little(&mut store, &mut third, settled).await;
}

/// What was claimed stays in the queue's index as long as somebody reads what was there before it went: each claim stepped over
/// all of it, 26 ms for 300,000, and a backup takes hours.
async fn what_is_gone_does_not_hold_up_claims_while_somebody_reads_what_was_there(mut store: Store) {
    let mut third = store.home.connect().await;
    run(&mut third, "ALTER TABLE message_hot SET (autovacuum_enabled = off)").await;
    accept(&mut store, MANY).await;
    let mut backup = store.home.connect().await;
    run(&mut backup, "BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    run(&mut backup, "SELECT count(*) FROM meta").await;
    let mut settled = Vec::new();
    while store.writer.count(store.channel(FREE), State::Queued) > i64::try_from(MANY / 2).unwrap() {
        let claims = vec![store.room(FREE, 500)];
        let committed = commit(&mut store, Batch { settles: settled, claims, ..Batch::default() }).await;
        settled = sent(&committed);
    }
    reads_little(&mut store, &mut third, settled).await;
}

/// Claims and settles one after the other, until that reads little or a quarter of what there was has left.
async fn reads_little(store: &mut Store, third: &mut PgConnection, mut settled: Vec<Settle>) {
    let mut read = reads(third).await;
    let (mut turns, mut since) = (0, 0);
    while turns < MANY / 4 {
        settled = turn(store, settled).await;
        turns += 1;
        let now = reads(third).await;
        if now == read {
            continue;
        }
        // The first of these may have been counted before.
        let each = (now - read) / i64::try_from(turns - since).unwrap();
        if turns - since > 8 && each < LOOKS_MAX {
            return;
        }
        (since, read) = (turns, now);
    }
    panic!("a transaction for one message reads the queue, {turns} of them did");
}

async fn accept(store: &mut Store, count: usize) {
    for from in (0..count).step_by(500) {
        let messages =
            (from..count.min(from + 500)).map(|i| store.message(FREE, &format!("user{i}"))).collect::<Vec<_>>();
        commit(store, Batch { messages, ..Batch::default() }).await;
    }
}

/// The outcome of what was claimed before, and the next claim.
async fn turn(store: &mut Store, settles: Vec<Settle>) -> Vec<Settle> {
    let claims = vec![store.room(FREE, 1)];
    let committed = commit(store, Batch { settles, claims, ..Batch::default() }).await;
    sent(&committed)
}

fn sent(committed: &Committed) -> Vec<Settle> {
    committed.claimed.iter().map(|claimed| outcome(claimed, State::Sent, CredentialFate::Spend)).collect()
}

/// Entries of the queue's indexes that were looked at so far, as far as the server has counted.
async fn reads(third: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'message_hot'")
        .fetch_one(third)
        .await
        .unwrap()
}
