//! A queue that grows while an engine is there: what a transaction reads does not grow with it.

use sqlx::PgConnection;
use tidings_model::{CredentialFate, State};
use tidings_store::{Batch, Settle};

use crate::harness::{FREE, Store, outcome};
use crate::nodes::{commit, run};

for_every_server! {
    what_was_planned_on_a_short_queue_does_not_walk_a_long_one,
}

/// Messages that wait in the end. Half of them leave at most until new plans are there: old ones hold for a second.
const MANY: usize = 20_000;
/// Entries of indexes that an outcome and a claim of one message may look at.
const LOOKS_MAX: i64 = 200;
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

    let mut read = reads(&mut third).await;
    let (mut turns, mut since) = (0, 0);
    while turns < MANY / 2 {
        settled = turn(&mut store, settled).await;
        turns += 1;
        let now = reads(&mut third).await;
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
    panic!("a transaction for one message reads the queue, with {} in it", MANY - turns);
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
    committed.claimed.iter().map(|claimed| outcome(claimed, State::Sent, CredentialFate::Spend)).collect()
}

/// Entries of the queue's indexes that were looked at so far, as far as the server has counted.
async fn reads(third: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'message_hot'")
        .fetch_one(third)
        .await
        .unwrap()
}
