//! Where the messages of one recipient are found: the same list, with signposts and without.

use tidings_model::signpost::{BLOCK_MESSAGES, Block};
use tidings_model::{CredentialFate, MessageId, State, Timestamp};
use tidings_store::{Batch, MessageFilter, MessageRow, SignpostChange, Sweep};

use crate::harness::{BOUND, FREE, HOUR, SECOND, Store, outcome};

for_every_file! {
    a_block_has_signposts_once_it_is_complete_and_no_sooner,
    the_messages_of_a_recipient_are_the_same_with_signposts_and_without,
    a_page_that_follows_signposts_looks_at_so_many_and_says_where_to_go_on,
    signposts_to_nothing_are_removed_and_the_next_block_is_found_behind_a_gap,
}

/// So many messages in all, to the recipients in turn.
async fn fill(store: &mut Store, count: i64, recipients: &[&str]) -> Vec<MessageId> {
    let count = usize::try_from(count).unwrap();
    let names = recipients.iter().cycle().take(count);
    let channels = [FREE, FREE, BOUND].iter().cycle();
    let messages: Vec<_> = names.zip(channels).map(|(name, channel)| store.message(channel, name)).collect();
    let mut ids = Vec::new();
    for messages in messages.chunks(1000) {
        // Without the check of each commit: it reads all there is.
        let batch = Batch { now: store.now, messages: messages.to_vec(), ..Batch::default() };
        let accepted = store.writer.commit(&batch).await.unwrap().accepted;
        ids.extend(accepted.into_iter().map(crate::harness::new_id));
        store.pass(SECOND);
    }
    store.check().await;
    ids
}

/// Raises what there is to raise, and says for which blocks.
async fn raise(store: &mut Store) -> Vec<Block> {
    let mut raised = Vec::new();
    while let Some(change) = store.reader.next_signpost().await.unwrap() {
        let SignpostChange::Raise { block, .. } = &change else { panic!("a block is to have signposts: {change:?}") };
        raised.push(*block);
        let batch = Batch { now: store.now, signposts: vec![change], ..Batch::default() };
        store.writer.commit(&batch).await.unwrap();
    }
    raised
}

async fn a_block_has_signposts_once_it_is_complete_and_no_sooner(mut store: Store) {
    // Ids begin with 1: the first block has one less.
    fill(&mut store, BLOCK_MESSAGES - 1, &["ann"]).await;
    assert_eq!(store.reader.next_signpost().await.unwrap(), None, "the next message could still be one of the block");
    let id = store.accept_one(FREE, "ann").await;
    assert_eq!(id, Block(1).first());
    assert_eq!(raise(&mut store).await, [Block(0)]);
    // And it is known again after a start.
    let mut store = Store::new(store.close().await).await;
    assert_eq!(raise(&mut store).await, []);
}

fn ids(rows: &[MessageRow]) -> Vec<MessageId> {
    rows.iter().map(|row| row.id).collect()
}

async fn the_messages_of_a_recipient_are_the_same_with_signposts_and_without(mut store: Store) {
    let names: Vec<String> = (0..997).map(|number| format!("openid-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let start = store.now;
    let accepted = fill(&mut store, 2 * BLOCK_MESSAGES + 500, &names).await;
    let claimed = store.claim(FREE, 300).await;
    let settles = claimed.iter().map(|one| outcome(one, State::Sent, CredentialFate::Spend)).collect();
    store.settle(settles).await;
    let middle = Timestamp(i64::midpoint(start.0, store.now.0));
    let filters = |name: &str| {
        let of = MessageFilter { recipient: Some(name.to_owned()), ..MessageFilter::default() };
        [
            of.clone(),
            MessageFilter { state: Some(State::Sent), ..of.clone() },
            MessageFilter { state: Some(State::Queued), ..of.clone() },
            MessageFilter { channel: Some(BOUND.to_owned()), ..of.clone() },
            MessageFilter { template: Some("shipped".to_owned()), ..of.clone() },
            MessageFilter { newer_than: Some(middle), ..of.clone() },
            MessageFilter { older_than: Some(middle), ..of.clone() },
            MessageFilter { before: Some(Block(1).first().0 + 1), ..of.clone() },
            MessageFilter { before: Some(Block(1).first().0), ..of },
        ]
    };
    let people = ["openid-0", "openid-1", "openid-500", "openid-996", "nobody"];
    let mut without = Vec::new();
    for name in people {
        for filter in filters(name) {
            without.push(ids(&store.messages(&filter).await));
        }
    }
    let every = accepted.iter().step_by(names.len()).rev().copied().collect::<Vec<_>>();
    assert_eq!(without[0], every, "the first of them was told every so often");
    assert_eq!(raise(&mut store).await, [Block(0), Block(1)]);
    let mut expected = without.into_iter();
    for name in people {
        for filter in filters(name) {
            let expected = expected.next().unwrap();
            assert_eq!(ids(&store.messages(&filter).await), expected, "{filter:?}");
            let (mut seen, mut paged) = (Vec::new(), MessageFilter { limit: 3, ..filter.clone() });
            loop {
                let page = store.reader.messages(&paged).await.unwrap();
                assert!(page.rows.len() <= 3);
                seen.extend(ids(&page.rows));
                let Some(next) = page.next else { break };
                paged.before = Some(next);
            }
            assert_eq!(seen, expected, "pages of 3 of {filter:?}");
        }
    }
}

async fn a_page_that_follows_signposts_looks_at_so_many_and_says_where_to_go_on(mut store: Store) {
    fill(&mut store, 3 * BLOCK_MESSAGES, &["ann"]).await;
    assert_eq!(raise(&mut store).await.len(), 3);
    let first = MessageFilter {
        channel: Some("none".to_owned()),
        recipient: Some("ann".to_owned()),
        limit: 9,
        ..MessageFilter::default()
    };
    let page = store.reader.messages(&first).await.unwrap();
    assert!(page.rows.is_empty() && page.next.is_some(), "twenty thousand were looked at, and none is it: {page:?}");
    let page = store.reader.messages(&MessageFilter { before: page.next, ..first }).await.unwrap();
    assert!(page.rows.is_empty() && page.next.is_none(), "{page:?}");
}

async fn signposts_to_nothing_are_removed_and_the_next_block_is_found_behind_a_gap(mut store: Store) {
    let accepted = fill(&mut store, 2 * BLOCK_MESSAGES + 10, &["ann", "ben"]).await;
    assert_eq!(raise(&mut store).await, [Block(0), Block(1)]);
    assert_eq!(store.reader.stale_signposts(None).await.unwrap(), (vec![], None));
    // All of the first block but one, and all of the second, have ended and leave.
    let operations = accepted[1..]
        .iter()
        .filter(|id| Block::of(**id) < Block(2))
        .map(|id| crate::harness::act(tidings_model::Event::Cancel, *id))
        .collect();
    let batch = Batch { now: store.now, operations, ..Batch::default() };
    store.writer.commit(&batch).await.unwrap();
    store.pass(HOUR);
    let mut next = Some(Sweep::Messages { after: 0, done_before: store.now, failed_before: store.now });
    while let Some(sweep) = next {
        let batch = Batch { now: store.now, sweeps: vec![sweep], ..Batch::default() };
        next = store.writer.commit(&batch).await.unwrap().swept.remove(0).next;
    }
    let (stale, next) = store.reader.stale_signposts(None).await.unwrap();
    assert_eq!((&stale[..], next), (&[Block(1)][..], None));
    let batch = Batch { now: store.now, signposts: vec![SignpostChange::Remove { blocks: stale }], ..Batch::default() };
    store.writer.commit(&batch).await.unwrap();
    assert_eq!(store.reader.stale_signposts(None).await.unwrap(), (vec![], None));
    // What comes then stands behind the gap, and is found as before.
    fill(&mut store, BLOCK_MESSAGES, &["ann", "ben"]).await;
    assert_eq!(raise(&mut store).await, [Block(2)]);
    let of = MessageFilter { recipient: Some("ann".to_owned()), ..MessageFilter::default() };
    let seen = store.messages(&of).await;
    let all = store.messages(&MessageFilter::default()).await;
    let expected: Vec<MessageId> = all.iter().filter(|row| row.recipient == "ann").map(|row| row.id).collect();
    assert_eq!((ids(&seen), seen.last().map(|row| row.id)), (expected, Some(accepted[0])));
}
