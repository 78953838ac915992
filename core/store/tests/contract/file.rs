//! What is true of a store in a file: one holder, no newer schema, an address it knows.

use sqlx::{ConnectOptions as _, Connection as _};
use tidings_store::StoreError;

use crate::harness::{FREE, Home, Store};

#[tokio::test]
async fn a_second_engine_is_refused_and_told_who_holds_the_file() {
    let home = Home::sqlite();
    let held = home.open().await.unwrap();
    let refused = home.open().await.unwrap_err();
    let StoreError::Locked { path, holder } = &refused else { panic!("expected a lock, found {refused}") };
    assert_eq!(path, &home.file().display().to_string());
    assert_eq!(holder, &format!("process {}", std::process::id()));
    drop(held);
    home.open_when_let_go().await.unwrap();
}

#[tokio::test]
async fn a_refused_engine_leaves_the_holders_name_where_it_is() {
    let home = Home::sqlite();
    let _held = home.open().await.unwrap();
    for _ in 0..3 {
        let refused = home.open().await.unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    }
}

#[tokio::test]
async fn a_holder_that_died_leaves_no_lock() {
    let home = Home::sqlite();
    let lock = home.file().with_extension("db.lock");
    std::fs::write(&lock, "process 1, long dead\n").unwrap();
    let (writer, _reader) = home.open().await.unwrap();
    assert_eq!(std::fs::read_to_string(&lock).unwrap(), format!("process {}\n", std::process::id()));
    writer.close().await.unwrap();
}

#[tokio::test]
async fn only_its_owner_may_read_the_file_or_those_beside_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::sqlite();
    let file = home.file();
    let mut store = Store::new(home).await;
    store.accept_one(FREE, "ann").await;
    for end in ["", "-wal", "-shm"] {
        let path = format!("{}{end}", file.display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{path}");
    }
}

#[tokio::test]
async fn a_file_that_others_could_read_is_closed_to_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut store = Store::new(Home::sqlite()).await;
    let id = store.accept_one(FREE, "ann").await;
    let home = store.close().await;
    let paths = ["", "-wal", "-shm"].map(|end| std::path::PathBuf::from(format!("{}{end}", home.file().display())));
    for (path, mode) in paths.iter().zip([0o604, 0o644, 0o660]) {
        std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let store = Store::new(home).await;
    for path in paths {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
    assert_eq!(store.message_row(id).await.id, id);
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_refused_and_left_alone() {
    let home = Home::sqlite();
    let mut store = Store::new(home).await;
    store.accept_one(FREE, "ann").await;
    let home = store.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(home.file());
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 4711").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let refused = home.open_when_let_go().await.unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 4711, .. }), "{refused}");
    let again = home.open_when_let_go().await.unwrap_err();
    assert!(matches!(again, StoreError::Newer { found: 4711, .. }), "a refusal lets go of the lock: {again}");
}

#[tokio::test]
async fn an_address_of_no_store_is_refused() {
    for url in [
        "",
        "tidings.db",
        "sqlite://",
        "postgres//localhost/tidings",
        "mysql://localhost/tidings",
        "postgres://h:port/x",
        "SQLITE://x",
        "sqlite:x",
    ] {
        let refused = tidings_store::open(url).await.unwrap_err();
        assert!(matches!(refused, StoreError::Address { .. }), "`{url}`: {refused}");
    }
}

#[tokio::test]
async fn a_store_in_memory_is_refused_and_writes_no_file() {
    let before = std::path::Path::new(":memory:.lock").exists();
    let refused = tidings_store::open("sqlite://:memory:").await.unwrap_err();
    assert_eq!(std::path::Path::new(":memory:.lock").exists(), before);
    assert!(matches!(refused, StoreError::Address { .. }), "{refused}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let refused = tidings_store::open("sqlite:///no/such/folder/tidings.db").await.unwrap_err();
    assert!(matches!(&refused, StoreError::File { .. }), "{refused}");
    assert!(refused.to_string().contains("/no/such/folder"), "{refused}");
}

#[tokio::test]
async fn what_was_closed_in_order_opens_with_everything_in_it() {
    let mut store = Store::new(Home::sqlite()).await;
    let id = store.accept_one(FREE, "ann").await;
    let home = store.close().await;
    let store = Store::new(home).await;
    assert_eq!(store.message_row(id).await.id, id);
    store.check().await;
}
