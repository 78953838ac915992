//! Rows as PostgreSQL's `COPY … FROM STDIN (FORMAT binary)` takes them: one after the other, as a stream (its documentation,
//! COPY, "Binary Format").
//!
//! Where many rows go into one table it takes less of the server than a list of columns does, because several rows are written
//! at once, and the server writes the first of them while the last are still put down here.

use super::value::without_nul;

/// What every stream begins with: its name, no flags, no extension.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with: a row of -1 columns.
const END: [u8; 2] = (-1_i16).to_be_bytes();
/// The length of a value that is NULL.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// Bytes after which what was put down is sent: as many as a socket takes in one go, or two.
pub(super) const PORTION: usize = 64 << 10;

/// A portion of the stream that is put down.
#[derive(Debug)]
pub(crate) struct CopyRows {
    bytes: Vec<u8>,
}

impl CopyRows {
    pub(super) fn begin() -> CopyRows {
        let mut bytes = Vec::with_capacity(PORTION + PORTION / 4);
        bytes.extend_from_slice(HEAD);
        CopyRows { bytes }
    }

    pub(super) fn end(&mut self) {
        self.bytes.extend_from_slice(&END);
    }

    pub(super) fn is_portion(&self) -> bool {
        self.bytes.len() >= PORTION
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn sent(&mut self) {
        self.bytes.clear();
    }

    /// The next row, which has so many columns: their values follow, each of the type that its column has.
    pub(crate) fn row(&mut self, columns: i16) -> &mut CopyRows {
        self.bytes.extend_from_slice(&columns.to_be_bytes());
        self
    }

    /// A `bigint`.
    pub(crate) fn bigint(&mut self, value: impl Into<Option<i64>>) -> &mut CopyRows {
        self.value(value.into().map(i64::to_be_bytes))
    }

    /// A `smallint`.
    pub(crate) fn smallint(&mut self, value: i16) -> &mut CopyRows {
        self.value(Some(value.to_be_bytes()))
    }

    /// A `text`.
    pub(crate) fn text<'a>(&mut self, value: impl Into<Option<&'a str>>) -> &mut CopyRows {
        match value.into() {
            Some(text) if text.contains('\0') => self.value(Some(without_nul(text.into()).as_bytes())),
            text => self.value(text),
        }
    }

    fn value(&mut self, value: Option<impl AsRef<[u8]>>) -> &mut CopyRows {
        match value.as_ref().map(AsRef::as_ref) {
            None => self.bytes.extend_from_slice(&NULL),
            Some(bytes) => {
                let length = i32::try_from(bytes.len()).expect("a value is bounded");
                self.bytes.extend_from_slice(&length.to_be_bytes());
                self.bytes.extend_from_slice(bytes);
            }
        }
        self
    }
}
