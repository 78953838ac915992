//! A copy of a store: consistent while it is written to, whole or not there, and for its owner alone.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tidings_store::{Batch, MessageFilter, StoreError};

use crate::harness::{FREE, Home, Store};

/// Where a backup goes: the file of a home that has none yet.
fn goal() -> (Home, PathBuf) {
    let home = Home::sqlite();
    let file = home.file();
    (home, file)
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn part(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.part", path.display()))
}

#[tokio::test]
async fn a_backup_under_load_is_a_store_as_it_was_at_one_instant() {
    let mut store = Store::new(Home::sqlite()).await;
    let data = format!("{{\"title\":\"{}\"}}", "x".repeat(4000));
    let pair = |store: &Store| {
        [FREE, FREE].map(|name| tidings_store::NewMessage { data: data.clone(), ..store.message(name, "ann") }).to_vec()
    };
    for _ in 0..20 {
        let many = (0..50).flat_map(|_| pair(&store)).collect();
        store.writer.commit(&Batch { now: store.now, messages: many, ..Batch::default() }).await.unwrap();
    }
    let (home, target) = goal();
    let reader = store.reader.clone();
    let backup = tokio::spawn(async move { reader.backup(&target).await });
    let mut accepted = 2000;
    while !backup.is_finished() {
        let batch = Batch { now: store.now, messages: pair(&store), ..Batch::default() };
        store.writer.commit(&batch).await.unwrap();
        accepted += 2;
    }
    let bytes = backup.await.unwrap().unwrap();
    assert_eq!(std::fs::metadata(home.file()).unwrap().len(), bytes);

    let mut connection = SqliteConnectOptions::new().filename(home.file()).connect().await.unwrap();
    let sound: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
    assert_eq!(sound, "ok");
    drop(connection);
    // The counts on disk are those of the rows, and what was accepted together is there together.
    let mut copy = Store::new(home).await;
    copy.check().await;
    let rows = copy.messages(&MessageFilter::default()).await;
    let ids: Vec<i64> = rows.iter().rev().map(|row| row.id.0).collect();
    let last = i64::try_from(ids.len()).unwrap();
    assert_eq!(ids, (1..=last).collect::<Vec<_>>(), "what came first is there without a gap");
    assert!(last % 2 == 0 && (2000..=accepted).contains(&last), "{last} of {accepted}");
    assert_eq!(copy.accept_one(FREE, "ann").await.0, last + 1, "it goes on from there");
}

#[tokio::test]
async fn a_backup_is_for_its_owner_alone_and_leaves_nothing_beside_it() {
    let mut store = Store::new(Home::sqlite()).await;
    store.accept_one(FREE, "ann").await;
    let (_home, target) = goal();
    store.reader.backup(&target).await.unwrap();
    assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!is_there(&part(&target)));
}

#[tokio::test]
async fn a_file_that_is_there_is_never_written_over() {
    let store = Store::new(Home::sqlite()).await;
    let (_home, target) = goal();
    std::fs::write(&target, "precious").unwrap();
    let refused = store.reader.backup(&target).await.unwrap_err();
    assert!(matches!(refused, StoreError::Exists { .. }), "{refused}");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    std::fs::remove_file(&target).unwrap();
    // Nor one that another backup may be writing.
    std::fs::write(part(&target), "half").unwrap();
    let refused = store.reader.backup(&target).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unfinished { .. }), "{refused}");
    assert_eq!(std::fs::read_to_string(part(&target)).unwrap(), "half");
    assert!(!is_there(&target));
}

#[tokio::test]
async fn a_folder_that_takes_no_file_is_named() {
    let store = Store::new(Home::sqlite()).await;
    let refused = store.reader.backup(Path::new("/no/such/folder/copy.db")).await.unwrap_err();
    assert!(matches!(refused, StoreError::File { .. }) && refused.to_string().contains("/no/such/folder"), "{refused}");
}

#[tokio::test]
async fn a_copy_that_breaks_off_leaves_no_file() {
    // A file without a log, and nobody else has it open.
    let home = Home::sqlite();
    let options = SqliteConnectOptions::new().filename(home.file()).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    let rows = "CREATE TABLE t (x); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
                INSERT INTO t SELECT hex(randomblob(500)) FROM n";
    sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    // Its second half is unreadable.
    let mut bytes = std::fs::read(home.file()).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0xa5);
    std::fs::write(home.file(), bytes).unwrap();
    let (_home, target) = goal();
    let broken = tidings_store::backup(&home.url(), &target).await.unwrap_err();
    assert!(matches!(broken, StoreError::Database { .. }), "{broken}");
    assert!(!is_there(&target) && !is_there(&part(&target)));
}

#[tokio::test]
async fn a_store_that_no_engine_has_is_copied_and_one_that_an_engine_has_is_not() {
    let mut store = Store::new(Home::sqlite()).await;
    let id = store.accept_one(FREE, "ann").await;
    let (copy, target) = goal();
    let source = {
        let Store { writer, reader, home, .. } = store;
        let refused = tidings_store::backup(&home.url(), &target).await.unwrap_err();
        assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
        // As a crash leaves it: what was committed last is in the log alone.
        drop((writer, reader));
        home
    };
    tidings_store::backup(&source.url(), &target).await.unwrap();
    let copy = Store::new(copy).await;
    assert_eq!(copy.message_row(id).await.id, id);
    copy.check().await;
}

#[tokio::test]
async fn a_backup_of_no_store_makes_none() {
    let (home, target) = (Home::sqlite(), goal());
    let refused = tidings_store::backup(&home.url(), &target.1).await.unwrap_err();
    assert!(matches!(refused, StoreError::File { .. }), "{refused}");
    let lock = home.file().with_extension("db.lock");
    assert!(!is_there(&home.file()) && !is_there(&lock) && !is_there(&target.1));
}
