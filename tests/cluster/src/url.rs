//! Addresses of databases, as text: what sqlx and psql both read.

use std::net::SocketAddr;
use std::path::Path;

use crate::ClusterError;

/// The address of a database behind a socket in a folder. The host beside it is never asked.
pub(crate) fn behind_socket(folder: &Path, port: u16, database: &str) -> String {
    format!("postgres://postgres@localhost:{port}/{database}?host={}", escape(&folder.to_string_lossy()))
}

/// The address of a database at a port of this machine.
pub(crate) fn at_port(address: SocketAddr, database: &str) -> String {
    format!("postgres://postgres@{address}/{database}")
}

/// The same server, user and options, another database.
pub(crate) fn with_database(url: &str, database: &str) -> Result<String, ClusterError> {
    let (scheme, rest) = url.split_once("://").ok_or(ClusterError::NoUrl { found: "no `://` in it" })?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err(ClusterError::NoUrl { found: "another scheme than `postgres`" });
    }
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let (authority, _) = place.split_once('/').unwrap_or((place, ""));
    // `dbname` among the options would have the last word.
    let options: Vec<&str> = query.unwrap_or_default().split('&').filter(|option| !option.is_empty()).collect();
    if options.iter().any(|option| option.starts_with("dbname=")) {
        return Err(ClusterError::NoUrl { found: "the database among the options, instead of after the host" });
    }
    let options = if options.is_empty() { String::new() } else { format!("?{}", options.join("&")) };
    Ok(format!("{scheme}://{authority}/{database}{options}"))
}

/// A value inside the options of an address (RFC 3986 §2.1); a slash may stand there as it is.
fn escape(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    value.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_keeps_server_user_and_options() {
        for (named, expected) in [
            ("postgres://me@db.example/postgres", "postgres://me@db.example/fresh"),
            ("postgresql://me:pw@[::1]:5433/a?sslmode=require", "postgresql://me:pw@[::1]:5433/fresh?sslmode=require"),
            ("postgres://me@db.example", "postgres://me@db.example/fresh"),
            ("postgres:///a?host=/run/postgresql&user=me", "postgres:///fresh?host=/run/postgresql&user=me"),
            ("postgres://%2Frun%2Fpostgresql/a", "postgres://%2Frun%2Fpostgresql/fresh"),
            ("postgres://h?", "postgres://h/fresh"),
        ] {
            assert_eq!(with_database(named, "fresh").expect("it is an address"), expected);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_saying_what_it_was() {
        for named in ["", "db.example/secret", "mysql://me:secret@h/a", "postgres://me:secret@h/a?dbname=b"] {
            let refused = with_database(named, "fresh").expect_err("it is none").to_string();
            assert!(refused.starts_with("read `TIDINGS_TEST_POSTGRES`: expected postgres://"), "{refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn a_folder_with_other_signs_stays_one_value() {
        let url = behind_socket(Path::new("/tmp/a b&c=ü"), 5432, "d");
        assert_eq!(url, "postgres://postgres@localhost:5432/d?host=/tmp/a%20b%26c%3D%C3%BC");
    }
}
