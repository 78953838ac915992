//! One empty database, for one test.

use crate::cluster::unique;
use crate::programs::statement;
use crate::{ClusterError, shared, url};

/// A database of one's own. Dropped, it is gone, whoever is still connected to it.
#[derive(Debug)]
pub struct Database {
    name: String,
    server: String,
    url: String,
}

/// An empty database on the server that tests share. It takes some tens of milliseconds, and a second or two where the
/// server must be started first.
///
/// # Panics
///
/// If there is no server: the text says what was tried and what to install.
#[must_use]
pub fn fresh_database() -> Database {
    let made = shared::server().and_then(|server| Database::on(&server));
    made.unwrap_or_else(|error| panic!("{}", error.whole()))
}

impl Database {
    /// An empty database on the server with this address, which is that of any database on it.
    ///
    /// # Errors
    ///
    /// If the server does not answer, or its user may not create databases.
    pub fn on(server: &str) -> Result<Self, ClusterError> {
        let name = format!("tidings_test_{}", unique().replace('-', "_"));
        let url = url::with_database(server, &name)?;
        // Of template0, to which nobody is ever connected: template1 cannot be copied while somebody is.
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'");
        statement("make a database", server, &create)?;
        Ok(Self { name, server: server.to_owned(), url })
    }

    /// Its address, for sqlx and psql.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server that is gone has no database left to drop, and a test that failed has said why already.
        drop(statement("drop a database", &self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name)));
    }
}
