//! Keys of callers: what was made is there at the next start, and so is that one was revoked.

use tidings_model::{KeyName, Scope, Scopes};
use tidings_store::{Batch, KeyChange, KeyRow};

use crate::harness::{DAY, NOON, SECOND, Store};

for_every_store! {
    keys_are_there_at_the_next_start_with_all_that_is_known_of_them,
    a_name_may_have_a_new_key_and_never_two,
}

fn row(name: &str, hash: &str) -> KeyRow {
    KeyRow {
        name: KeyName::new(name).unwrap(),
        hash: hash.to_owned(),
        scopes: [Scope::Send, Scope::Read].into_iter().collect(),
        created_at: NOON,
        created_by: "local".to_owned(),
        expires_at: Some(NOON.after(DAY)),
        revoked_at: None,
    }
}

async fn commit(store: &mut Store, keys: Vec<KeyChange>) {
    store.commit(Batch { keys, ..Batch::default() }).await;
}

async fn keys_are_there_at_the_next_start_with_all_that_is_known_of_them(mut store: Store) {
    assert_eq!(store.writer.keys().await.unwrap(), []);
    let (one, two) = (row("one", "aa"), KeyRow { scopes: Scopes::ALL, expires_at: None, ..row("two", "bb") });
    commit(&mut store, vec![KeyChange::Made(one.clone()), KeyChange::Made(two.clone())]).await;
    let at = NOON.after(SECOND);
    commit(&mut store, vec![KeyChange::Revoked { name: two.name.clone(), at }]).await;
    // Again, later: since when it is none does not move.
    commit(&mut store, vec![KeyChange::Revoked { name: two.name.clone(), at: NOON.after(DAY) }]).await;
    let mut store = store.crash().await;
    let rows = store.writer.keys().await.unwrap();
    assert_eq!(rows, [one.clone(), KeyRow { revoked_at: Some(at), ..two }]);
    assert!(one.is_usable(NOON) && !one.is_usable(NOON.after(DAY)) && !rows[1].is_usable(NOON));
}

async fn a_name_may_have_a_new_key_and_never_two(mut store: Store) {
    let old = row("one", "aa");
    let name = old.name.clone();
    commit(&mut store, vec![KeyChange::Made(old), KeyChange::Revoked { name, at: NOON }]).await;
    let new = KeyRow { scopes: Scopes::ALL, created_by: "two".to_owned(), expires_at: None, ..row("one", "cc") };
    commit(&mut store, vec![KeyChange::Made(new.clone())]).await;
    assert_eq!(store.crash().await.writer.keys().await.unwrap(), [new]);
}
