//! `tidings migrate`: a whole store from a file into PostgreSQL.

use serde::Serialize;

use crate::args::MigrateArgs;
use crate::bar::Bar;
use crate::{Outcome, output};

/// What `--json` says when it is done.
#[derive(Serialize)]
struct Report {
    /// Rows of all tables.
    rows: u64,
    tables: Vec<Table>,
}

#[derive(Serialize)]
struct Table {
    table: &'static str,
    rows: u64,
    /// The sum of the fingerprints of its rows, in hexadecimal: the same in the file and in the database.
    sum: String,
}

pub(crate) async fn migrate(args: MigrateArgs) -> Outcome {
    let mut bar = Bar::new(0);
    let moved = tidings_store::migrate(&args.from, &args.to, |progress| {
        bar.total = progress.total;
        bar.show(progress.done);
    })
    .await;
    bar.clear();
    let moved = moved?;
    let rows = moved.iter().map(|table| table.rows).sum();
    if args.json {
        let tables =
            moved.iter().map(|it| Table { table: it.table, rows: it.rows, sum: format!("{:016x}", it.sum) }).collect();
        return output::json(&Report { rows, tables });
    }
    let lines: Vec<Vec<String>> =
        moved.iter().map(|it| vec![it.table.to_owned(), it.rows.to_string(), format!("{:016x}", it.sum)]).collect();
    output::table(&["TABLE", "ROWS", "SUM"], &lines)?;
    output::line(&format!(
        "moved {rows} rows, and each table read back the same; put the database's address into [store] url, and start \
         no engine on the file again"
    ))
}
