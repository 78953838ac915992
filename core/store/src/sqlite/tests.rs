//! What only the inside of the SQLite store can show: a migration that fails, and how lists are read.

use super::*;
use crate::read::MessageFilter;
use sqlx::Row as _;
use tidings_model::State;

async fn empty() -> SqliteConnection {
    SqliteConnectOptions::new().in_memory(true).connect().await.unwrap()
}

async fn version_and_tables(connection: &mut SqliteConnection) -> (i64, Vec<String>) {
    let version = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.unwrap();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    (version, sqlx::query_scalar(sql).fetch_all(connection).await.unwrap())
}

#[tokio::test]
async fn a_migration_that_fails_leaves_the_file_as_the_one_before_made_it() {
    let mut connection = empty().await;
    let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (x)", "CREATE TABLE c (x)"];
    let failed = migrate(&mut connection, "x", &steps).await.unwrap_err();
    assert!(matches!(failed, StoreError::Database { .. }), "{failed}");
    assert_eq!(version_and_tables(&mut connection).await, (1, vec!["a".to_owned()]));
    // The repaired program goes on from there.
    let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE TABLE c (x)"];
    migrate(&mut connection, "x", &steps).await.unwrap();
    assert_eq!(version_and_tables(&mut connection).await, (3, ["a", "b", "c"].map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn the_indexes_of_dead_letters_hold_the_states_that_may_be_sent_again() {
    let mut connection = empty().await;
    migrate(&mut connection, "x", MIGRATIONS).await.unwrap();
    let dead: Vec<String> = State::ALL
        .into_iter()
        .filter(|state| state.is_dead())
        .map(|state| format!("state = {}", state.code()))
        .collect();
    let predicate = format!("WHERE {}", dead.join(" OR "));
    for name in ["message_dead", "message_dead_reason"] {
        let sql: String = sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE name = ?1")
            .bind(name)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert!(sql.ends_with(&predicate), "{name}: expected `{predicate}` in {sql}");
    }
}

#[tokio::test]
async fn a_list_of_dead_letters_reads_no_others() {
    let mut connection = empty().await;
    migrate(&mut connection, "x", MIGRATIONS).await.unwrap();
    for state in State::ALL.into_iter().filter(|state| state.is_dead()) {
        for (channel, reason) in [(None, None), (None, Some("r")), (Some("c"), None), (Some("c"), Some("r"))] {
            let (channel, reason) = (channel.map(str::to_owned), reason.map(str::to_owned));
            let filter = MessageFilter { state: Some(state), channel, reason, before: Some(9), ..Default::default() };
            let list = reader::select_messages(&filter).into_string();
            let plan: Vec<String> =
                sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {list} ORDER BY m.id DESC LIMIT 50")))
                    .fetch_all(&mut connection)
                    .await
                    .unwrap()
                    .iter()
                    .map(|row| row.get(3))
                    .collect();
            let plan = plan.join("\n");
            assert!(plan.contains("SEARCH m USING INDEX message_dead"), "{filter:?}:\n{plan}");
        }
    }
}
