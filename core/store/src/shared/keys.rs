//! Keys of callers: a handful of rows, read once at start and kept in memory by the engine.

use tidings_model::{KeyName, Scopes, Timestamp};

use super::row::instant;
use super::tick::Step;
use crate::batch::{KeyChange, KeyRow};
use crate::error::StoreError;
use crate::sql::{Connection, both, sql};

pub(super) async fn read(connection: &mut Connection) -> Result<Vec<KeyRow>, StoreError> {
    let sql = "SELECT name, hash, scopes, created_at, created_by, expires_at, revoked_at FROM api_key ORDER BY name";
    let rows = both(sql).fetch_all(connection).await.map_err(StoreError::during("read the keys"))?;
    rows.iter()
        .map(|row| {
            let name = KeyName::new(row.get::<String>(0)).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            let words: String = row.get(2);
            let scopes = Scopes::from_words(words.split(',').filter(|word| !word.is_empty())).map_err(|word| {
                StoreError::Corrupt(format!("the key `{name}` has the scope `{word}`, which is none"))
            })?;
            Ok(KeyRow {
                name,
                hash: row.get(1),
                scopes,
                created_at: Timestamp(row.get(3)),
                created_by: row.get(4),
                expires_at: instant(row, 5),
                revoked_at: instant(row, 6),
            })
        })
        .collect()
}

impl Step<'_> {
    pub(super) async fn save_keys(&mut self, changes: &[KeyChange]) -> Result<(), StoreError> {
        for change in changes {
            let query = match change {
                KeyChange::Made(row) => sql!("save_key")
                    .query()
                    .bind(row.name.as_str())
                    .bind(&row.hash)
                    .bind(row.scopes.to_string())
                    .bind(row.created_at.0)
                    .bind(&row.created_by)
                    .bind(row.expires_at.map(|at| at.0)),
                KeyChange::Revoked { name, at } => {
                    both("UPDATE api_key SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL")
                        .bind(name.as_str())
                        .bind(at.0)
                }
            };
            self.run(query).await.map_err(StoreError::during("write a key"))?;
        }
        Ok(())
    }
}
