//! Why a file is not taken.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a plugin file is not taken: a sentence that says what was found, what was expected, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    path: PathBuf,
    problem: String,
}

impl Refusal {
    /// A file, and what is wrong with it: the sentence without its subject.
    pub fn new(path: &Path, problem: impl Into<String>) -> Refusal {
        Refusal { path: path.to_owned(), problem: problem.into() }
    }

    /// The file, as config names it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The sentence without its subject: "is empty".
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plugin file `{}` {}", self.path.display(), self.problem)
    }
}

impl std::error::Error for Refusal {}
