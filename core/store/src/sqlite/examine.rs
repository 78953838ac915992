//! A look at a store before a start: whether it opens, whether this program knows its schema, whether the file is sound.
//! It only reads, beside a running engine too, and takes no lock.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::{MIGRATIONS, Mark, file_of};
use crate::error::StoreError;

/// What SQLite answers of a page that is none: SQLITE_CORRUPT (sqlite.org/rescode.html).
const CORRUPT: &str = "11";

/// What a look at a store found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Examined {
    /// There is no file; a start makes one.
    Absent,
    /// It opens and is sound.
    Sound {
        /// Its schema.
        schema: i64,
        /// That of this program: a start brings the file there.
        known: i64,
        /// Its size without its log.
        bytes: u64,
    },
    /// It opens, and pages of it are not what they should be. SQLite's own words.
    Damaged(Vec<String>),
}

/// Looks at the store of an address, page by page: it takes as long as reading the file.
///
/// # Errors
///
/// It does not open, is a newer program's, or went into a database.
pub(crate) async fn examine(url: &str) -> Result<Examined, StoreError> {
    let path = file_of(url)?;
    let shown = path.display().to_string();
    let bytes = match std::fs::metadata(&path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Examined::Absent),
        Err(source) => return Err(StoreError::File { action: "open store", path: shown, source }),
    };
    let options = SqliteConnectOptions::new().filename(&path).read_only(true);
    let unusable = |source| StoreError::Unusable { path: shown.clone(), source };
    let mut connection: SqliteConnection = options.connect().await.map_err(unusable)?;
    let schema = sqlx::query_scalar("SELECT user_version FROM pragma_user_version").fetch_one(&mut connection).await;
    let schema: i64 = match schema {
        Ok(schema) => schema,
        Err(error) => return damage(&error).map(Examined::Damaged).ok_or_else(|| unusable(error)),
    };
    let known = i64::try_from(MIGRATIONS.len()).expect("there are few migrations");
    if schema > known {
        return Err(StoreError::Newer { path: shown, found: schema, known });
    }
    // Five faults are told at most.
    let faults: Vec<String> = match sqlx::query_scalar("PRAGMA quick_check(5)").fetch_all(&mut connection).await {
        Ok(faults) => faults,
        Err(error) => {
            let during = StoreError::during("read the store through");
            return damage(&error).map(Examined::Damaged).ok_or_else(|| during(error));
        }
    };
    let mark = Mark::read(&mut connection).await.map_err(StoreError::during("look whether the store was moved"))?;
    connection.close().await.map_err(StoreError::during("close store"))?;
    if let Some(mark) = mark {
        return Err(mark.refusal(&shown));
    }
    Ok(match faults.as_slice() {
        [fine] if fine == "ok" => Examined::Sound { schema, known, bytes },
        _ => Examined::Damaged(faults),
    })
}

/// What SQLite says of a page that is none, if that is what it says.
fn damage(error: &sqlx::Error) -> Option<Vec<String>> {
    let error = error.as_database_error()?;
    (error.code()? == CORRUPT).then(|| vec![error.message().to_owned()])
}
