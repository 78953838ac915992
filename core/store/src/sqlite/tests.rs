//! What only the inside of the SQLite store can show: a migration that fails, and how lists are read.

use super::*;
use crate::read::{Planned, Span};
use crate::shared::select;
use crate::sql::Builder;
use sqlx::Row as _;
use tidings_model::{MessageId, RunId, State, Timestamp};

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

/// Every statement that lists, finds or counts messages, for every filter there can be.
fn choices() -> Vec<(String, select::Way, bool, String)> {
    use select::Way::{ById, Recent, Whole};
    let span = Span { after: MessageId(3), until: MessageId(9) };
    let planned = Planned { at: Timestamp(1), now: Timestamp(2) };
    let mut statements = Vec::new();
    for state in std::iter::once(None).chain(State::ALL.map(Some)) {
        for bits in 0..32_u8 {
            let some = |bit: u8| (bits & bit != 0).then_some("x");
            let choice = select::Choice {
                state,
                channel: some(1),
                template: some(2),
                recipient: some(4),
                reason: some(8),
                run: (bits & 16 != 0).then_some(RunId(7)),
                span,
            };
            let mut ways = vec![Recent];
            ways.extend(state.and_then(select::index));
            for way in ways {
                let name = format!("{state:?} {bits:05b} {way:?}");
                let mut add = |what: &str, sorts: bool, query: Builder<'_>| {
                    statements.push((format!("{what} of {name}"), way, sorts, query.sqlite_text().to_owned()));
                };
                // What is read as a whole is few, and sorted.
                let whole = matches!(way, Whole(_));
                add("a page", whole, select::page(&choice, way, 50));
                if way == Recent {
                    add("what signposts name", false, select::named(&choice, &[7, 5]));
                }
                if !whole {
                    add("the end", false, select::end(&choice, way));
                }
                if matches!(way, ById(_) | Whole(_)) {
                    add("the next", whole, select::next(&choice, way, planned, 50));
                    add("a count", true, select::count(&choice, way));
                    add("doubt", false, select::ambiguous(&choice, way));
                    add("the counts", false, select::tally(&choice));
                }
            }
        }
    }
    statements
}

#[tokio::test]
async fn no_choice_among_messages_reads_the_whole_table() {
    let mut connection = empty().await;
    migrate(&mut connection, "x", MIGRATIONS).await.unwrap();
    for (name, way, sorts, sql) in choices() {
        let plan: Vec<String> = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
            .fetch_all(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}: {sql}"))
            .iter()
            .map(|row| row.get(3))
            .collect();
        let told = plan.join("\n    ");
        for line in &plan {
            let scans_messages = line.starts_with("SCAN m") && !line.starts_with("SCAN m USING");
            assert!(!scans_messages, "{name} reads all messages:\n    {told}");
            assert!(sorts || !line.contains("TEMP B-TREE"), "{name} sorts:\n    {told}");
        }
        let expected = match way {
            _ if name.starts_with("the counts") => "SCAN c".to_owned(),
            _ if name.starts_with("what signposts") => "SEARCH m USING INTEGER PRIMARY KEY (rowid=?)".to_owned(),
            select::Way::Recent => "SEARCH m USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)".to_owned(),
            select::Way::ById(index) | select::Way::Whole(index) => format!("INDEX {index}"),
        };
        let found = plan.iter().any(|line| line.contains(&expected)) || name.starts_with("the counts");
        assert!(found, "{name}: no `{expected}` in\n    {told}");
        if way == select::Way::ById("message_dead") && !name.starts_with("the counts") {
            assert!(told.contains("(state=? AND id>? AND id<?)"), "{name}:\n    {told}");
        }
    }
}
