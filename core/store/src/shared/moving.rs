//! From a file into a database: a whole store, table by table, in slices.
//!
//! Until the last table is there and was read back, the database says of itself that it is incomplete, and no engine opens
//! it: a move that was broken off is begun again from its beginning. The file is only read, and locked as by an engine; at
//! the end it gets a mark, after which no engine opens it any more, and only then is the database complete
//! (`sqlite/moved.rs` says what a crash in between leaves).

use std::collections::HashSet;
use std::sync::LazyLock;

use tidings_model::{Clock, State};

use super::writer::Writer;
use crate::error::StoreError;
use crate::hash::Fingerprint;
use crate::postgres::{HISTORIES, begin_move, histories_day};
use crate::sql::{Builder, Connection, Dialect, Row, RowsStatement, Statement, both};
use crate::sqlite::{self, Mark};

/// Rows of one slice.
const SLICE_ROWS: usize = 1000;

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The table that is being copied, or read back.
    pub table: &'static str,
    /// Rows of all tables that are done. Each counts twice: when it is copied, and when it is read back.
    pub done: u64,
    /// Rows of all tables, twice.
    pub total: u64,
}

/// What was moved of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovedTable {
    /// The table.
    pub table: &'static str,
    /// Its rows, which are as many in the database.
    pub rows: u64,
    /// The sum of the fingerprints of its rows, with all their values, which is the same in the database.
    pub sum: u64,
}

/// A column: its name, and whether it is a text.
type Column = (&'static str, bool);

/// A table of both stores, its key first.
struct Table {
    name: &'static str,
    /// What SQLite reads it from.
    sqlite: &'static str,
    /// How many of its columns are its key.
    key: usize,
    columns: Vec<Column>,
    insert: RowsStatement,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cell {
    Integer(Option<i64>),
    Text(Option<String>),
}

const MESSAGES: &str = "message";

/// Whether a column is a text stands behind its name: `name:t`. What is not there: signposts, which a database has no need
/// of, and `meta`, of which the store's name is moved.
static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| {
    vec![
        table("channel", 1, "id name:t paused_at pause_note:t closed_until closed_reason:t arrival_us"),
        table("template", 1, "id name:t"),
        table("app", 1, "name:t fingerprint:t halted_at halt_reason:t"),
        table("token", 1, "app:t account:t value:t generation fetched_at expires_at day fetches"),
        from(
            "message AS m LEFT JOIN body AS b ON b.message_id = m.id",
            table(
                MESSAGES,
                1,
                "id state finished_at channel_id template_id recipient:t priority due_at generation attempts rescues \
                 ambiguous claimed_at first_try_at expires_at created_at reason:t detail:t provider_id:t run_id data:t \
                 trace:t",
            ),
        ),
        table("attempt", 2, "message_id generation started_at ended_at outcome:t detail:t"),
        table("acted", 2, "message_id audit_id"),
        table("moment", 2, "message_id what:t at detail:t"),
        table("idempotency", 1, "key:t message_id body_hash expires_at"),
        table(
            "credential",
            1,
            "id app:t source:t recipient:t scope:t value:t identity:t uses_left expires_at bound_to created_at made_at",
        ),
        table(
            "schedule",
            1,
            "name:t definition:t cursor_at next_at paused_at pause_note:t paused_by:t skips skip_by:t skip_note:t \
             backfill_until backfill_at backfill_by:t backfill_note:t removed_at",
        ),
        table(
            "run",
            1,
            "id schedule:t nominal_at job:t state started_at ended_at done total result:t step place:t accepted \
             duplicates suppressed refused first_message last_message preflight:t deadline_at resumed log_lines",
        ),
        table("run_log", 2, "run_id line at level text:t"),
        table("firing", 2, "schedule:t nominal_at verdict:t decided_at run_id late_ms"),
        table("firing_span", 2, "schedule:t last_at definition:t first_at count verdict:t decided_at"),
        from(
            "(SELECT 0 AS node_id, channel_id, state, count FROM tally)",
            table("tally", 3, "node_id channel_id state count"),
        ),
        table("receipt", 2, "app:t provider_id:t delivered detail:t received_at"),
        table("audit", 1, "id at who:t act:t subject:t why:t detail:t count"),
        table("api_key", 1, "name:t hash:t scopes:t created_at created_by:t expires_at revoked_at"),
        table("suppression", 2, "app:t recipient:t reason:t who:t created_at expires_at"),
        table("notice", 1, "id webhook:t event:t happened_at data:t attempts due_at detail:t"),
        table("webhook", 1, "name:t failing_since disabled_at disabled_reason:t given_up dropped"),
    ]
});

/// The tables whose ids a sequence gives out, and the sequence.
const SEQUENCES: [(&str, &str); 7] = [
    ("message", "message_id"),
    ("credential", "credential_id"),
    ("audit", "audit_id"),
    ("run", "run_id_seq"),
    ("notice", "notice_id_seq"),
    ("channel", "channel_id_seq"),
    ("template", "template_id_seq"),
];

fn table(name: &'static str, key: usize, columns: &'static str) -> Table {
    let column = |column: &'static str| match column.strip_suffix(":t") {
        Some(name) => (name, true),
        None => (column, false),
    };
    let columns: Vec<Column> = columns.split_ascii_whitespace().map(column).collect();
    let arrays = columns
        .iter()
        .enumerate()
        .map(|(index, (_, is_text))| format!("${}::{}[]", index + 1, if *is_text { "text" } else { "bigint" }));
    let insert = format!(
        "INSERT INTO {name} ({}) SELECT * FROM unnest({})",
        names(&columns),
        arrays.collect::<Vec<String>>().join(", ")
    );
    // Once, for as long as the program runs.
    let insert = RowsStatement::of_postgres(insert.leak());
    Table { name, sqlite: name, key, columns, insert }
}

fn from(sqlite: &'static str, table: Table) -> Table {
    Table { sqlite, ..table }
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.0).collect::<Vec<&str>>().join(", ")
}

/// Moves the store at `sqlite://FILE`, which no engine has open, into the empty database at `postgres://…`, and reads back
/// what is there: the rows of each table and the sum of their fingerprints are the same in both, or it is an error.
/// `progress` is told of each slice. The file stays as it is but for the mark that it was moved, and no engine opens it any
/// more ([`crate::forget_move`] takes the mark away).
///
/// # Errors
///
/// [`StoreError::Locked`] if an engine has the file, [`StoreError::Moved`] if it was moved already,
/// [`StoreError::NotEmpty`] if the database has anything in it but what a broken-off move left, [`StoreError::Differs`] if
/// what was read back is something else.
pub async fn migrate(
    from: &str,
    to: &str,
    clock: &dyn Clock,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Vec<MovedTable>, StoreError> {
    if !from.starts_with("sqlite://") {
        return Err(StoreError::Address { url: crate::postgres::without_password(from) });
    }
    let path = sqlite::file_of(from)?.display().to_string();
    let (mut writer, mark) = sqlite::open_to_move(from).await?;
    let Some(mut goal) = begin_move(to, mark.as_ref()).await? else {
        return Err(mark.expect("a file without a mark is moved or refused").refusal(&path));
    };
    let moved = copy(&mut writer, &mut goal.connection, &mut progress).await?;
    goal.analyze().await?;
    // In this order: whatever happens between the two, both are refused, and never do both open.
    let mark = Mark { to: goal.shown.clone(), at: clock.now(), by: goal.by.clone() };
    mark.write(writer.connection.sqlite()).await?;
    goal.end_move().await?;
    writer.close().await?;
    Ok(moved)
}

async fn copy(
    writer: &mut Writer,
    target: &mut Connection,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<Vec<MovedTable>, StoreError> {
    let source = &mut writer.connection;
    let mut totals = Vec::with_capacity(TABLES.len());
    for table in TABLES.iter() {
        let count = Builder::new(&format!("SELECT count(*) FROM {}", table.sqlite)).build();
        let count: i64 = count.fetch_scalar(source).await.map_err(StoreError::during("count the rows of a table"))?;
        totals.push(u64::try_from(count).unwrap_or_default());
    }
    let mut at = Progress { table: "", done: 0, total: totals.iter().sum::<u64>() * 2 };
    let mut days = HashSet::new();
    let mut moved = Vec::with_capacity(TABLES.len());
    for table in TABLES.iter() {
        at.table = table.name;
        let mut sum = Sum::default();
        let mut last = None;
        loop {
            let rows = slice(source, table, last.as_deref()).await?;
            let Some(end) = rows.last() else { break };
            last = Some(end[..table.key].to_vec());
            rows.iter().for_each(|row| sum.add(row));
            if table.name == MESSAGES {
                make_days(target, &rows, &mut days).await?;
            }
            insert(target, table, &rows).await?;
            at.done += rows.len() as u64;
            progress(at);
        }
        moved.push(MovedTable { table: table.name, rows: sum.rows, sum: sum.sum });
    }
    name_identities(target).await?;
    behind(source, target).await?;
    let instance = writer.instance().to_owned();
    both("INSERT INTO meta (key, value) VALUES ('instance', $1)")
        .bind(instance)
        .execute(target)
        .await
        .map_err(StoreError::during("write the store's name"))?;
    for (table, moved) in TABLES.iter().zip(&moved) {
        at.table = table.name;
        let mut sum = Sum::default();
        let mut last = None;
        loop {
            let rows = slice(target, table, last.as_deref()).await?;
            let Some(end) = rows.last() else { break };
            last = Some(end[..table.key].to_vec());
            rows.iter().for_each(|row| sum.add(row));
            at.done += rows.len() as u64;
            progress(at);
        }
        if (sum.rows, sum.sum) != (moved.rows, moved.sum) {
            return Err(StoreError::Differs { table: table.name, found: sum.rows, expected: moved.rows });
        }
    }
    Ok(moved)
}

/// The rows behind that key, in the order of keys.
async fn slice(
    connection: &mut Connection,
    table: &Table,
    behind: Option<&[Cell]>,
) -> Result<Vec<Vec<Cell>>, StoreError> {
    let place = match connection.dialect() {
        Dialect::Sqlite => table.sqlite,
        Dialect::Postgres => table.name,
    };
    let key = names(&table.columns[..table.key]);
    let mut query = Builder::new(&format!("SELECT {} FROM {place}", names(&table.columns)));
    if let Some(behind) = behind {
        query.push(format_args!(" WHERE ({key}) > ("));
        for (index, cell) in behind.iter().enumerate() {
            if index > 0 {
                query.push(", ");
            }
            match cell {
                Cell::Integer(value) => query.push_bind(*value),
                Cell::Text(value) => query.push_bind(value.clone()),
            };
        }
        query.push(")");
    }
    query.push(format_args!(" ORDER BY {key} LIMIT {SLICE_ROWS}"));
    let rows = query.build().fetch_all(connection).await.map_err(StoreError::during("read a slice of a table"))?;
    Ok(rows.iter().map(|row| cells(row, &table.columns)).collect())
}

fn cells(row: &Row, columns: &[Column]) -> Vec<Cell> {
    let cell = |(index, (_, is_text)): (usize, &Column)| match is_text {
        true => Cell::Text(row.get(index)),
        false => Cell::Integer(row.get(index)),
    };
    columns.iter().enumerate().map(cell).collect()
}

async fn insert(target: &mut Connection, table: &'static Table, rows: &[Vec<Cell>]) -> Result<(), StoreError> {
    let mut query = table.insert.query(rows.len());
    for cell in rows.iter().flatten() {
        query = match cell {
            Cell::Integer(value) => query.bind(*value),
            Cell::Text(value) => query.bind(value),
        };
    }
    query.execute(target).await.map(drop).map_err(StoreError::during("write a slice of a table"))
}

/// Sees to it that the days on which these messages ended have their tables.
async fn make_days(
    target: &mut Connection,
    rows: &[Vec<Cell>],
    made: &mut HashSet<(&'static str, i64)>,
) -> Result<(), StoreError> {
    for row in rows {
        let [_, Cell::Integer(Some(state)), Cell::Integer(Some(finished_at)), ..] = row.as_slice() else { continue };
        let history = match State::from_code(*state) {
            Some(State::Failed | State::Unknown) => HISTORIES[1],
            Some(state) if state.is_terminal() => HISTORIES[0],
            _ => continue,
        };
        if let Some(begin) = histories_day(*finished_at)
            && made.insert((history, begin))
        {
            both("SELECT tidings_day($1, $2)")
                .bind(history)
                .bind(begin)
                .execute(target)
                .await
                .map_err(StoreError::during("make the table of a day"))?;
        }
    }
    Ok(())
}

/// Which permits were ever brought stands in a table of its own there: it follows from the permits, and is not in the file.
async fn name_identities(target: &mut Connection) -> Result<(), StoreError> {
    let sql = "INSERT INTO credential_identity (identity, source, app, credential_id)
               SELECT identity, source, app, id FROM credential WHERE identity IS NOT NULL";
    let query = Statement::of_postgres(sql).query();
    query.execute(target).await.map(drop).map_err(StoreError::during("write which permits were brought"))
}

const LAST: Statement = Statement::of_sqlite("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = $1), 0)");

/// Has the sequences go on behind the highest ids that were ever given out.
async fn behind(source: &mut Connection, target: &mut Connection) -> Result<(), StoreError> {
    let during = || StoreError::during("set the ids behind those that were given out");
    for (table, sequence) in SEQUENCES {
        let given: i64 = LAST.query().bind(table).fetch_scalar(source).await.map_err(during())?;
        let highest = Builder::new(&format!("SELECT coalesce(max(id), 0) FROM {table}")).build();
        let highest: i64 = highest.fetch_scalar(target).await.map_err(during())?;
        let last = given.max(highest);
        let set = both("SELECT setval($1::regclass, $2, $3::bigint <> 0)");
        set.bind(sequence).bind(last.max(1)).bind(last > 0).execute(target).await.map_err(during())?;
    }
    Ok(())
}

/// Rows and the sum of their fingerprints: the same in whatever order they come.
#[derive(Debug, Default)]
struct Sum {
    rows: u64,
    sum: u64,
}

impl Sum {
    fn add(&mut self, row: &[Cell]) {
        let mut fingerprint = Fingerprint::default();
        for cell in row {
            // Where one ends and the next begins makes a difference, and so does what is missing.
            match cell {
                Cell::Integer(Some(value)) => {
                    fingerprint.add(b"i");
                    fingerprint.add(&value.to_le_bytes());
                }
                Cell::Text(Some(value)) => {
                    fingerprint.add(b"t");
                    fingerprint.add(&value.len().to_le_bytes());
                    fingerprint.add(value.as_bytes());
                }
                Cell::Integer(None) | Cell::Text(None) => fingerprint.add(b"n"),
            }
        }
        self.rows += 1;
        self.sum = self.sum.wrapping_add(u64::from_ne_bytes(fingerprint.finish().to_ne_bytes()));
    }
}
