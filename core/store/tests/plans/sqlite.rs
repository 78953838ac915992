//! None of SQLite's plans reads a table from one end to the other, nor sorts what an index holds in order, whatever it knows
//! of the rows.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};

use super::harness::Home;

/// Ten thousand messages, a thousand of them in each state but `delivered`, and as many credentials.
const ROWS: &str = "
    INSERT INTO channel (name) VALUES ('a'), ('b'), ('c');
    INSERT INTO template (name) VALUES ('t');
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
    INSERT INTO message (channel_id, template_id, recipient, state, priority, due_at, created_at, expires_at, claimed_at,
                         first_try_at)
    SELECT i % 3 + 1, 1, 'user' || (i % 4000), CASE i % 10 WHEN 6 THEN 10 ELSE i % 10 END, 0, i, i,
           CASE i % 2 WHEN 0 THEN i END, i, i
    FROM n;
    UPDATE message SET provider_id = 'provider' || id WHERE state IN (5, 7, 8);
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
    INSERT INTO receipt (app, provider_id, delivered, detail, received_at) SELECT 'shop', 'early' || i, 1, '', i FROM n;
    INSERT INTO body (message_id, data) SELECT id, '{}' FROM message;
    INSERT INTO idempotency (key, message_id, body_hash, expires_at) SELECT 'key' || id, id, 0, id FROM message;
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
    INSERT INTO credential (app, source, recipient, value, identity, uses_left, expires_at, bound_to, created_at)
    SELECT 'shop', 'wechat.form_id', 'user' || (i % 4000), 'v', i, i % 4, CASE i % 3 WHEN 0 THEN i END,
           CASE i % 10 WHEN 3 THEN i END, i
    FROM n;
";

/// What a statement may walk from one end to the other: its own argument, the groups it made, and the messages in the
/// middle of an attempt or waiting where all of them are asked for, once at the start.
fn may_be_scanned(table: &str, how: &str) -> bool {
    matches!(table, "j" | "new" | "r" | "s" | "g" | "b" | "p" | "json_each" | "CONSTANT")
        || table.starts_with('(')
        || how.contains("message_sending")
        || how.contains("message_waiting")
        // reach_bound.sql reads its newest end, up to a bound.
        || how.ends_with("USING COVERING INDEX credential_bound")
        // set_back.sql alone asks for all of them: a clock is seldom set back.
        || how.ends_with("USING INDEX message_scheduled")
}

/// These sort what they found, which is no more than a bound says.
const SORTS_A_BOUNDED_LIST: [&str; 3] = ["claim_permits_of_many.sql", "due.sql", "queue_heads.sql"];

async fn plan(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
        .fetch_all(connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql}"))
        .iter()
        .map(|row| row.get(3))
        .collect()
}

async fn check(connection: &mut SqliteConnection, known: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/sqlite");
    let mut count = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the statements are there") {
        let path = entry.expect("a file").path();
        let sql = std::fs::read_to_string(&path).expect("a statement is text");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        count += 1;
        let lines = plan(connection, &sql).await;
        for line in &lines {
            let mut words = line.split(' ');
            let scan = words.next() == Some("SCAN");
            let sort = line.contains("TEMP B-TREE") && !SORTS_A_BOUNDED_LIST.contains(&name.as_str());
            // One app has nearly all credentials: to look by it alone is to read them all.
            let by_app = line.contains("(app=?)");
            if sort || by_app || scan && !may_be_scanned(words.next().unwrap_or_default(), line) {
                wrong.push(format!("{name}, {known}: `{line}` in\n    {}", lines.join("\n    ")));
            }
        }
    }
    let walk = plan(connection, include_str!("../../sql/sqlite/forecast_page.sql")).await;
    let by_index = "SEARCH c USING COVERING INDEX credential_free (recipient>?)";
    assert!(walk.iter().any(|line| line == by_index), "a forecast reads the index alone, {known}: {walk:?}");
    assert!(count > 20, "the statements were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_statement_of_the_writer_reads_a_whole_table() {
    let home = Home::sqlite();
    drop(home.open().await.unwrap());
    let options = SqliteConnectOptions::new().filename(home.file());
    let mut connection = options.connect().await.unwrap();
    check(&mut connection, "empty").await;
    sqlx::raw_sql(ROWS).execute(&mut connection).await.unwrap();
    check(&mut connection, "filled").await;
    sqlx::raw_sql("ANALYZE").execute(&mut connection).await.unwrap();
    // A connection reads what ANALYZE found when it opens.
    let mut connection = options.connect().await.unwrap();
    check(&mut connection, "analysed").await;
}
