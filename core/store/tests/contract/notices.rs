//! What webhooks are to be told: with the change or not at all, once, and bounded.

use std::time::Duration;

use tidings_model::limits::NOTICES_MAX;
use tidings_model::{NoticeId, WebhookName};
use tidings_store::{Batch, Committed, NewNotice, NoticeRow, NoticeSettle, WebhookStanding};

use crate::harness::{FREE, HOUR, NOON, Store};

for_every_store! {
    a_notice_enters_with_the_change_it_tells_of_and_outlives_a_crash,
    a_notice_that_was_told_is_gone_and_one_that_was_not_waits,
    a_webhook_that_is_resumed_has_everything_due_as_if_it_had_never_been_tried,
    when_too_many_wait_the_oldest_leave_and_are_counted,
    how_a_webhook_stands_outlives_a_crash,
    an_id_is_never_used_twice,
    what_waits_for_a_webhook_that_is_gone_is_forgotten,
}

fn crm() -> WebhookName {
    WebhookName::new("crm").unwrap()
}

fn notice(webhook: &str, data: &str) -> NewNotice {
    NewNotice { webhook: WebhookName::new(webhook).unwrap(), event: "message.accepted", data: data.to_owned() }
}

async fn tell(store: &mut Store, notices: Vec<NewNotice>) -> Committed {
    let batch = Batch { now: store.now, ..Batch::default() };
    store.writer.commit_and_tell(&batch, |_| notices.clone()).await.unwrap()
}

async fn settle(store: &mut Store, settle: NoticeSettle) -> Committed {
    store.commit(Batch { notices: vec![settle], ..Batch::default() }).await
}

fn told(ids: &[NoticeId]) -> NoticeSettle {
    NoticeSettle { webhook: crm(), done: ids.to_vec(), again: Vec::new(), standing: WebhookStanding::default() }
}

async fn waiting(store: &Store) -> Vec<NoticeRow> {
    store.reader.notices(&crm(), 1000).await.unwrap()
}

async fn a_notice_enters_with_the_change_it_tells_of_and_outlives_a_crash(mut store: Store) {
    let batch = Batch { now: store.now, messages: vec![store.message(FREE, "ann")], ..Batch::default() };
    let mut seen = 0;
    let committed = store.writer.commit_and_tell(&batch, |committed| {
        seen = committed.accepted.len();
        vec![notice("crm", r#"{"id":"msg_1"}"#), notice("other", "{}")]
    });
    let backlogs = committed.await.unwrap().backlogs;
    assert_eq!((seen, backlogs.len(), backlogs[&crm()].new, backlogs[&crm()].pending), (1, 2, 1, 1));
    let store = store.crash().await;
    let rows = waiting(&store).await;
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((row.event.as_str(), row.data.as_str()), ("message.accepted", r#"{"id":"msg_1"}"#));
    assert_eq!((row.attempts, row.due_at, row.happened_at), (0, NOON, NOON));
    assert_eq!(store.writer.pending()[&crm()], 1);
}

async fn a_notice_that_was_told_is_gone_and_one_that_was_not_waits(mut store: Store) {
    tell(&mut store, (0..3).map(|_| notice("crm", "{}")).collect()).await;
    let ids: Vec<NoticeId> = waiting(&store).await.iter().map(|row| row.id).collect();
    let later = NOON.after(HOUR);
    let again = vec![(ids[1], 4, later, "HTTP 500".to_owned())];
    let backlog = settle(&mut store, NoticeSettle { again, ..told(&ids[..1]) }).await.backlogs[&crm()];
    assert_eq!((backlog.pending, backlog.new), (2, 0));
    let rows = waiting(&store).await;
    let stand: Vec<_> = rows.iter().map(|row| (row.id, row.attempts, row.due_at)).collect();
    assert_eq!(stand, [(ids[2], 0, NOON), (ids[1], 4, later)], "soonest due first");
    let backlog = settle(&mut store, told(&ids[..1])).await.backlogs[&crm()];
    assert_eq!(backlog.pending, 2, "told twice counts once");
}

async fn a_webhook_that_is_resumed_has_everything_due_as_if_it_had_never_been_tried(mut store: Store) {
    tell(&mut store, vec![notice("crm", "{}"), notice("crm", "{}")]).await;
    let ids: Vec<NoticeId> = waiting(&store).await.iter().map(|row| row.id).collect();
    let again = vec![(ids[0], 10, NOON, String::new()), (ids[1], 3, NOON.after(HOUR), String::new())];
    let standing = WebhookStanding { disabled: Some((NOON, "gone".to_owned())), ..WebhookStanding::default() };
    settle(&mut store, NoticeSettle { again, standing, ..told(&[]) }).await;
    store.commit(Batch { resumed: vec![crm()], ..Batch::default() }).await;
    let stand: Vec<_> = waiting(&store).await.iter().map(|row| (row.attempts, row.due_at)).collect();
    assert_eq!(stand, [(0, NOON), (0, NOON)]);
    assert_eq!(store.writer.webhooks().await.unwrap()[&crm()].disabled, None);
}

async fn when_too_many_wait_the_oldest_leave_and_are_counted(mut store: Store) {
    let many = usize::try_from(NOTICES_MAX).unwrap();
    tell(&mut store, vec![notice("crm", "{}"); many]).await;
    let first = waiting(&store).await[0].id;
    let backlog = tell(&mut store, vec![notice("crm", "{}"); 3]).await.backlogs[&crm()];
    assert_eq!((backlog.pending, backlog.dropped), (NOTICES_MAX, 3));
    assert_eq!(waiting(&store).await[0].id, NoticeId(first.0 + 3));
    assert_eq!(store.writer.webhooks().await.unwrap()[&crm()].dropped, 3);
}

async fn how_a_webhook_stands_outlives_a_crash(mut store: Store) {
    let standing = WebhookStanding {
        failing_since: Some(NOON),
        disabled: Some((NOON.after(Duration::from_secs(1)), "gone".to_owned())),
        given_up: 7,
        dropped: 0,
    };
    settle(&mut store, NoticeSettle { standing: standing.clone(), ..told(&[]) }).await;
    let mut store = store.crash().await;
    assert_eq!(store.writer.webhooks().await.unwrap()[&crm()], standing);
}

async fn an_id_is_never_used_twice(mut store: Store) {
    tell(&mut store, vec![notice("crm", "{}")]).await;
    let first = waiting(&store).await[0].id;
    settle(&mut store, told(&[first])).await;
    let mut store = store.crash().await;
    tell(&mut store, vec![notice("crm", "{}")]).await;
    assert!(waiting(&store).await[0].id.0 > first.0);
}

async fn what_waits_for_a_webhook_that_is_gone_is_forgotten(mut store: Store) {
    tell(&mut store, vec![notice("crm", "{}"), notice("other", "{}")]).await;
    assert_eq!(store.writer.forget_notices(&crm()).await.unwrap(), 1);
    assert!(waiting(&store).await.is_empty() && !store.writer.pending().contains_key(&crm()));
    assert_eq!(store.writer.pending()[&WebhookName::new("other").unwrap()], 1);
}
