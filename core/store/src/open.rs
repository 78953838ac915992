//! Where a store lives, by its address: in a file of its own, or in a database that several engines share.

use std::path::Path;

use crate::error::StoreError;
use crate::postgres::{self, NodeName};
use crate::shared::{Reader, Writer};
use crate::sqlite::{self, Examined};

/// Opens the store at `sqlite://FILE` or `postgres://…`, making or upgrading it if need be.
///
/// # Errors
///
/// [`StoreError::Locked`] if another engine has the file, [`StoreError::Moved`] if it went into a database,
/// [`StoreError::Incomplete`] if a move into the database did not end, [`StoreError::Newer`] if a newer program wrote it,
/// [`StoreError::Unsafe`] if the database does not do what safety needs, [`StoreError::Unreachable`] if its server does not
/// answer.
pub async fn open(url: &str) -> Result<(Writer, Reader), StoreError> {
    open_as(url, NodeName::default()).await
}

/// The same, as a node of that name, where several engines share a store.
///
/// # Errors
///
/// Those of [`open`].
pub async fn open_as(url: &str, node: NodeName) -> Result<(Writer, Reader), StoreError> {
    if postgres::is_address(url) { postgres::open(url, node).await } else { sqlite::open(url).await }
}

/// Copies the store of an address that no engine has open, without changing it.
///
/// # Errors
///
/// As [`Reader::backup`]; [`StoreError::Locked`] if an engine has it, [`StoreError::Moved`] if it went into a database.
pub async fn backup(url: &str, target: &Path) -> Result<u64, StoreError> {
    if postgres::is_address(url) { Err(StoreError::NotInAFile) } else { sqlite::backup(url, target).await }
}

/// Looks at the store of an address: a file page by page, which takes as long as reading it.
///
/// # Errors
///
/// It does not open, is a newer program's, went into a database ([`StoreError::Moved`]) or is one into which a move did not
/// end ([`StoreError::Incomplete`]).
pub async fn examine(url: &str) -> Result<Examined, StoreError> {
    if postgres::is_address(url) { postgres::examine(url).await } else { sqlite::examine(url).await }
}
