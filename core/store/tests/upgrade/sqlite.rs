//! `../schemas/` has a store of each earlier schema as text, with rows in every table, made by a program of that time.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use super::harness::{self, Home};

/// The earlier schemas, oldest first, by their number.
fn schemas() -> Vec<(i64, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas");
    let mut schemas: Vec<(i64, PathBuf)> = std::fs::read_dir(folder)
        .expect("the schemas are there")
        .map(|entry| {
            let path = entry.expect("a file").path();
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("a schema has a number");
            (number, path)
        })
        .collect();
    schemas.sort();
    schemas
}

async fn connect(home: &Home) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(home.file()).create_if_missing(true);
    options.connect().await.expect("the file opens")
}

async fn version(connection: &mut SqliteConnection) -> i64 {
    sqlx::query_scalar("PRAGMA user_version").fetch_one(connection).await.expect("a file has a version")
}

/// A file as a program with that schema left it.
async fn earlier(home: &Home, number: i64, path: &Path) {
    let text = std::fs::read_to_string(path).expect("a schema is text");
    let mut connection = connect(home).await;
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.expect("the schema is SQL");
    let mark = AssertSqlSafe(format!("PRAGMA user_version = {number}"));
    sqlx::raw_sql(mark).execute(&mut connection).await.expect("the version is set");
    connection.close().await.expect("the file closes");
}

/// What there is, without comments and as if written on one line.
async fn schema(connection: &mut SqliteConnection) -> Vec<String> {
    let rows = sqlx::query("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name")
        .fetch_all(connection)
        .await
        .expect("the schema is read");
    let plain = |row: &SqliteRow| {
        let sql: String = row.get(3);
        let lines: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
        let words: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
        // A dump writes names in quotes.
        let sql = words.join(" ").replace('"', "");
        format!("{} {} {}: {sql}", row.get::<String, _>(0), row.get::<String, _>(1), row.get::<String, _>(2))
    };
    rows.iter().map(plain).collect()
}

/// Every row of every table, each as one line of text, by the columns of the earlier schema.
async fn rows(connection: &mut SqliteConnection, columns: &[(String, Vec<String>)]) -> Vec<(String, Vec<String>)> {
    let mut tables = Vec::new();
    for (table, columns) in columns {
        let quoted: Vec<String> = columns.iter().map(|column| format!("quote({column})")).collect();
        let sql = AssertSqlSafe(format!("SELECT {} AS row FROM {table} ORDER BY row", quoted.join(" || ',' || ")));
        let found = sqlx::query_scalar(sql).fetch_all(&mut *connection).await.expect("a table is read");
        tables.push((table.clone(), found));
    }
    tables
}

async fn columns(connection: &mut SqliteConnection) -> Vec<(String, Vec<String>)> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut *connection).await.expect("tables are listed");
    let mut found = Vec::new();
    for table in tables {
        let columns = sqlx::query_scalar("SELECT name FROM pragma_table_info(?1) ORDER BY cid")
            .bind(&table)
            .fetch_all(&mut *connection)
            .await
            .expect("columns are listed");
        found.push((table, columns));
    }
    found
}

#[tokio::test]
async fn every_earlier_schema_is_there_to_be_upgraded() {
    let home = Home::sqlite();
    drop(home.open().await.unwrap());
    let numbers: Vec<i64> = schemas().into_iter().map(|(number, _)| number).collect();
    let earlier: Vec<i64> = (1..version(&mut connect(&home).await).await).collect();
    assert_eq!(numbers, earlier, "a migration comes with the schema it starts from");
}

#[tokio::test]
async fn an_earlier_store_becomes_the_present_one_with_everything_in_it() {
    let fresh = Home::sqlite();
    drop(fresh.open().await.unwrap());
    let mut fresh = connect(&fresh).await;
    for (number, path) in schemas() {
        let home = Home::sqlite();
        earlier(&home, number, &path).await;
        let mut connection = connect(&home).await;
        let columns = columns(&mut connection).await;
        let before = rows(&mut connection, &columns).await;
        for (table, rows) in &before {
            assert!(!rows.is_empty(), "schema {number} shows nothing of `{table}`");
        }
        connection.close().await.unwrap();

        let (writer, reader) = home.open().await.unwrap();
        writer.close().await.unwrap();
        drop(reader);

        let mut connection = connect(&home).await;
        assert_eq!(version(&mut connection).await, version(&mut fresh).await, "from schema {number}");
        assert_eq!(rows(&mut connection, &columns).await, before, "from schema {number}");
        assert_eq!(schema(&mut connection).await, schema(&mut fresh).await, "from schema {number}");
        let sound: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
        assert_eq!(sound, "ok", "from schema {number}");
    }
}

#[tokio::test]
async fn an_upgraded_store_goes_on_where_it_was() {
    for (number, path) in schemas() {
        let home = Home::sqlite();
        earlier(&home, number, &path).await;
        let mut store = harness::Store::new(home).await;
        let last: Vec<_> = store.messages(&tidings_store::MessageFilter::default()).await;
        let id = store.accept_one(harness::SISTER, "new").await;
        assert!(last.iter().all(|row| row.id < id), "from schema {number}: an id is given once");
    }
}
