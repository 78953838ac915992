//! From a file into a database.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tidings_model::{Clock, CredentialFate, Event, State, Timestamp};
use tidings_store::{Batch, MovedTable, NewMessage, Progress, StoreError, Sweep, forget_move};

use crate::harness::{BOUND, DAY, FREE, HOUR, Home, NOON, Store, act, key, outcome, permit, prepay};

for_every_file! {
    a_whole_store_moves_and_goes_on,
    a_database_that_has_something_in_it_is_refused,
    a_move_that_was_broken_off_is_begun_again_and_no_engine_opens_what_it_left,
    a_file_that_was_moved_is_neither_opened_nor_copied_nor_moved_again_until_the_move_is_forgotten,
    a_crash_between_the_mark_of_the_file_and_the_end_of_the_move_leaves_neither_to_be_opened_and_the_move_to_be_ended,
}

/// When every move ends.
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        NOON
    }
}

async fn migrate(from: &str, to: &str) -> Result<Vec<MovedTable>, StoreError> {
    tidings_store::migrate(from, to, &Noon, |_| {}).await
}

/// Moves until the first message is copied, and no further.
async fn break_off(from: &str, to: &str) {
    let (from, to) = (from.to_owned(), to.to_owned());
    let task = tokio::spawn(async move {
        let broken_off = |progress: Progress| assert!(progress.table != "message", "broken off");
        tidings_store::migrate(&from, &to, &Noon, broken_off).await
    });
    assert!(task.await.is_err(), "it was broken off");
}

/// What the file says of a move.
async fn mark(home: &Home) -> Option<String> {
    let mut file = SqliteConnectOptions::new().filename(home.file()).connect().await.unwrap();
    let mark = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'moved'").fetch_optional(&mut file).await;
    file.close().await.unwrap();
    mark.unwrap()
}

async fn on_the_server(home: &Home, script: &'static str) {
    sqlx::raw_sql(script).execute(&mut home.connect().await).await.unwrap();
}

/// Messages of every kind of end, permits, keys and what operators did.
async fn fill(store: &mut Store) {
    store.post(vec![permit("ann", "a"), prepay("ann", "p"), permit("ben", "b")]).await;
    for state in [State::Sent, State::Failed, State::Unknown, State::Expired] {
        store.ended(state).await;
    }
    store.pass(HOUR * 3);
    let again = store.ended(State::Failed).await;
    store.commit(Batch { operations: vec![act(Event::Retry, again)], ..Batch::default() }).await;
    let keyed = NewMessage { key: key("k"), ..store.message(BOUND, "ann") };
    let later = NewMessage { send_at: Some(store.now.after(HOUR)), ..store.message(FREE, "cho") };
    store.accept(vec![keyed, later, store.message(BOUND, "nobody")]).await;
    let claimed = store.claim(BOUND, 9).await;
    assert_eq!(claimed.len(), 1);
    store.settle(vec![outcome(&claimed[0], State::Scheduled, CredentialFate::Keep)]).await;
    store.claim_one(FREE).await;
}

async fn a_whole_store_moves_and_goes_on(mut store: Store) {
    fill(&mut store).await;
    let before =
        (store.messages(&Default::default()).await, store.credentials().await, store.writer.instance().to_owned());
    let now = store.now;
    let from = store.home.url();
    let locked = migrate(&from, &Home::postgres().url()).await;
    assert!(matches!(locked, Err(StoreError::Locked { .. })), "an engine has it: {locked:?}");
    let file = store.close().await;
    let home = Home::postgres();
    let mut told = Vec::new();
    let moved = tidings_store::migrate(&from, &home.url(), &Noon, |progress| told.push(progress)).await.unwrap();
    drop(file);
    let of = |name| moved.iter().find(|table| table.table == name).unwrap().rows;
    assert_eq!((of("message"), of("credential"), of("idempotency")), (8, 3, 1));
    let last = told.last().unwrap();
    assert_eq!((last.done, last.total), (last.total, moved.iter().map(|table| table.rows).sum::<u64>() * 2));

    let mut store = Store::new(home).await;
    store.now = now;
    let after =
        (store.messages(&Default::default()).await, store.credentials().await, store.writer.instance().to_owned());
    assert_eq!(after, before);
    store.check().await;
    // What was on its way is settled, what is new gets an id behind all others, and a key stays taken.
    assert_eq!(store.writer.orphans().await.unwrap().len(), 1);
    let last = before.0[0].id;
    assert!(store.accept_one(FREE, "dan").await > last);
    let taken = NewMessage { key: key("k"), ..store.message(BOUND, "ann") };
    let repeat = store.commit(Batch { messages: vec![taken], ..Batch::default() }).await.accepted;
    assert!(matches!(repeat[0], tidings_store::Accepted::Repeat(_)));
    // History that came with it leaves as other history does.
    store.pass(DAY * 30);
    let sweep = Sweep::Ended { after: 0, states: vec![State::Sent], before: store.now };
    assert_eq!(store.commit(Batch { sweeps: vec![sweep], ..Batch::default() }).await.swept[0].removed, 1);
}

async fn a_database_that_has_something_in_it_is_refused(store: Store) {
    let from = store.home.url();
    let file = store.close().await;
    let taken = Store::new(Home::postgres()).await;
    let refused = migrate(&from, &taken.home.url()).await;
    assert!(matches!(refused, Err(StoreError::NotEmpty { .. })), "{refused:?}");
    let nowhere = migrate("sqlite:///nowhere/at/all.db", &taken.home.url()).await;
    assert!(matches!(nowhere, Err(StoreError::File { .. })), "{nowhere:?}");
    let other_way = migrate(&taken.home.url(), &from).await;
    assert!(matches!(other_way, Err(StoreError::Address { .. })), "{other_way:?}");
    drop(file);
}

async fn a_move_that_was_broken_off_is_begun_again_and_no_engine_opens_what_it_left(mut store: Store) {
    fill(&mut store).await;
    let messages = (0..2500).map(|_| store.message(FREE, "ann")).collect();
    store.accept(messages).await;
    let from = store.home.url();
    let file = store.close().await;
    let home = Home::postgres();
    let url = home.url();
    break_off(&from, &url).await;
    assert_eq!(mark(&file).await, None, "the file is a store still");
    let refused = home.open().await;
    assert!(matches!(refused, Err(StoreError::Incomplete { .. })), "it is no store yet");
    let looked = tidings_store::examine(&url).await;
    assert!(matches!(looked, Err(StoreError::Incomplete { .. })), "{looked:?}");
    // The file goes on meanwhile, and the move takes what it is when it is begun again.
    let mut store = Store::new(file).await;
    store.accept_one(FREE, "ann").await;
    let file = store.close().await;
    let moved = migrate(&from, &url).await.unwrap();
    assert_eq!(moved.iter().find(|table| table.table == "message").unwrap().rows, 2509);
    Store::new(home).await.check().await;
    drop(file);
}

async fn a_file_that_was_moved_is_neither_opened_nor_copied_nor_moved_again_until_the_move_is_forgotten(
    mut store: Store,
) {
    fill(&mut store).await;
    let before = store.messages(&Default::default()).await;
    let from = store.home.url();
    let file = store.close().await;
    assert_eq!(forget_move(&from).await.unwrap(), None, "there is none yet");
    let (home, other) = (Home::postgres(), Home::postgres());
    let with_password = home.url().replacen("postgres@", "postgres:s3cret@", 1);
    assert_ne!(with_password, home.url(), "it has a password now");
    migrate(&from, &with_password).await.unwrap();

    let url = home.url();
    let name = url.split('?').next().unwrap().rsplit_once('/').unwrap().1.to_owned();
    let copy = file.file().with_extension("copy");
    // Another database would be a second store with the same messages, whether a move into it was begun once or not.
    let mut another = Store::new(Home::sqlite()).await;
    another.accept_one(FREE, "ann").await;
    let another = another.close().await;
    break_off(&another.url(), &other.url()).await;
    for refused in [
        file.open().await.map(drop),
        tidings_store::backup(&from, &copy).await.map(drop),
        tidings_store::examine(&from).await.map(drop),
        migrate(&from, &home.url()).await.map(drop),
        migrate(&from, &other.url()).await.map(drop),
        migrate(&from, &Home::postgres().url()).await.map(drop),
    ] {
        let Err(moved) = refused else { panic!("it was moved") };
        let told = moved.to_string();
        let StoreError::Moved { path, to, at } = moved else { panic!("it was moved: {told}") };
        assert_eq!((path, at), (file.file().display().to_string(), NOON));
        assert!(to.starts_with("postgres://") && to.ends_with(&name), "{to}");
        for part in [to.as_str(), "2023-11-14T22:13:20", "--forget-move", "sent again"] {
            assert!(told.contains(part), "`{part}` is not in {told}");
        }
        assert!(!told.contains("s3cret"), "{told}");
    }
    assert!(!copy.exists());
    assert!(!mark(&file).await.unwrap().contains("s3cret"));

    let (to, at) = forget_move(&from).await.unwrap().expect("it had a mark");
    assert!(to.starts_with("postgres://") && at == NOON, "{to}");
    assert_eq!(forget_move(&from).await.unwrap(), None);
    let store = Store::new(file).await;
    assert_eq!(store.messages(&Default::default()).await, before);
    store.check().await;
    let held = forget_move(&store.home.url()).await;
    assert!(matches!(held, Err(StoreError::Locked { .. })), "an engine has it: {held:?}");
    drop(another);
}

async fn a_crash_between_the_mark_of_the_file_and_the_end_of_the_move_leaves_neither_to_be_opened_and_the_move_to_be_ended(
    mut store: Store,
) {
    fill(&mut store).await;
    let before = store.messages(&Default::default()).await;
    let from = store.home.url();
    let file = store.close().await;
    let home = Home::postgres();
    break_off(&from, &home.url()).await;
    // The last word that the database hears is lost.
    let deaf = "CREATE FUNCTION deaf() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'deaf'; END $$;
        CREATE TRIGGER deaf BEFORE DELETE ON meta FOR EACH ROW WHEN (OLD.key = 'moving') EXECUTE FUNCTION deaf()";
    on_the_server(&home, deaf).await;
    for round in 0..2 {
        let cut_off = migrate(&from, &home.url()).await;
        assert!(matches!(cut_off, Err(StoreError::Database { .. })), "round {round}: {cut_off:?}");
        let opened = (file.open().await.map(drop), home.open().await.map(drop));
        let both_refuse = matches!(opened, (Err(StoreError::Moved { .. }), Err(StoreError::Incomplete { .. })));
        assert!(both_refuse, "round {round}: {opened:?}");
    }
    // No other move ends it, and after another has begun here it is this file's no more.
    let stays = mark(&file).await;
    on_the_server(&home, "DROP TRIGGER deaf ON meta").await;
    let elsewhere = migrate(&from, &Home::postgres().url()).await;
    assert!(matches!(elsewhere, Err(StoreError::Moved { .. })), "{elsewhere:?}");
    assert_eq!(mark(&file).await, stays);
    migrate(&from, &home.url()).await.unwrap();
    assert!(matches!(file.open().await, Err(StoreError::Moved { .. })));
    let store = Store::new(home).await;
    assert_eq!(store.messages(&Default::default()).await, before);
    store.check().await;
}
