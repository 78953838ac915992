//! `tidings migrate`: a whole store from a file into PostgreSQL, or the file's mark of that forgotten.

use serde::Serialize;
use tidings_engine::SystemClock;

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

/// What `--forget-move --json` says.
#[derive(Serialize)]
struct Forgotten {
    /// Where the file said it had gone; null if it had no mark.
    to: Option<String>,
    /// And when.
    at: Option<String>,
}

pub(crate) async fn migrate(args: MigrateArgs) -> Outcome {
    // Without an address the parser has seen to it that the mark is to be forgotten.
    let Some(to) = &args.to else { return forget_move(&args).await };
    let mut bar = Bar::new(0);
    let moved = tidings_store::migrate(&args.from, to, &SystemClock, |progress| {
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
        "moved {rows} rows, and each table read back the same; put the database's address into [store] url. The file is \
         marked as moved, and no engine opens it any more"
    ))
}

async fn forget_move(args: &MigrateArgs) -> Outcome {
    let mark = tidings_store::forget_move(&args.from).await?;
    if args.json {
        let (to, at) = mark.map(|(to, at)| (to, at.to_rfc3339())).unzip();
        return output::json(&Forgotten { to, at });
    }
    output::line(&match mark {
        Some((to, at)) => format!(
            "engines may open {} again; it was moved to {to} at {at}: what was done there since is not in the file, and what \
             waited then is sent again. Start no engine on that database",
            args.from
        ),
        None => format!("{} has no mark of a move; engines may open it", args.from),
    })
}
