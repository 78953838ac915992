//! A look at a store without opening it for work.

use std::io::{Seek as _, SeekFrom, Write as _};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tidings_store::{Examined, StoreError, examine};

use crate::harness::{FREE, Home, Store};

async fn run(home: &Home, sql: &'static str) {
    let mut connection = SqliteConnectOptions::new().filename(home.file()).connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_store_is_looked_at_beside_an_engine_and_nothing_of_it_changes() {
    let home = Home::sqlite();
    assert_eq!(examine(&home.url()).await.unwrap(), Examined::Absent);
    assert!(!home.file().exists(), "a look makes no file");
    let mut store = Store::new(home).await;
    store.accept_one(FREE, "ann").await;
    let found = examine(&store.home.url()).await.unwrap();
    assert!(matches!(found, Examined::Sound { schema, known, bytes } if schema == known && bytes > 0), "{found:?}");
    store.accept_one(FREE, "ann").await;
}

#[tokio::test]
async fn a_store_whose_pages_were_overwritten_is_damaged() {
    let mut store = Store::new(Home::sqlite()).await;
    let messages = (0..500).map(|_| store.message(FREE, "ann")).collect();
    store.accept(messages).await;
    let home = store.close().await;
    run(&home, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    let mut file = std::fs::OpenOptions::new().write(true).open(home.file()).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    assert!(pages > 10, "the store is in its file, and not in the log: {pages} pages");
    for page in (2..pages).step_by(2) {
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(&[0xa5; 4096]).unwrap();
    }
    drop(file);
    let found = examine(&home.url()).await.unwrap();
    assert!(matches!(&found, Examined::Damaged(faults) if !faults.is_empty()), "{found:?}");
}

#[tokio::test]
async fn what_is_no_store_or_a_newer_one_is_refused() {
    let home = Home::sqlite();
    std::fs::write(home.file(), "no store, however long it is: ".repeat(400)).unwrap();
    assert!(matches!(examine(&home.url()).await, Err(StoreError::Unusable { .. })));
    assert!(matches!(examine("mysql://x").await, Err(StoreError::Address { .. })));
    let home = Store::new(Home::sqlite()).await.close().await;
    run(&home, "PRAGMA user_version = 99").await;
    assert!(matches!(examine(&home.url()).await, Err(StoreError::Newer { found: 99, .. })));
}
