//! TLS to the server of a store, with a certificate that an authority signed whom nobody else trusts (tests/e2e/tls).

use std::net::Ipv4Addr;

use tidings_cluster::{Cluster, Proxy, ask};

use crate::harness::{Said, World};

const CA: &str = include_str!("tls/ca.pem");
/// An authority that signed nothing.
const STRANGER: &str = include_str!("tls/stranger.pem");
const CERT: &str = include_str!("tls/server-1.pem");
const KEY: &str = include_str!("tls/server-1.key.pem");

/// A server that speaks TLS, and the way to it; its certificate is for 127.0.0.1 and `localhost`.
fn server() -> (Cluster, Proxy) {
    let cluster =
        Cluster::with_tls(&std::env::temp_dir(), CERT, KEY).unwrap_or_else(|error| panic!("{}", error.whole()));
    cluster.create_database("tidings").unwrap();
    let proxy = Proxy::before(&cluster).unwrap_or_else(|error| panic!("{}", error.whole()));
    (cluster, proxy)
}

/// A world whose engine reaches its store by that address.
fn world(url: &str) -> World {
    let world = World::new();
    world.write("ca.pem", CA);
    world.write("stranger.pem", STRANGER);
    world.configure_more(&format!("[store]\nurl = \"{url}\"\n[api]\nsocket = \"tidings.db.sock\"\n"));
    world
}

/// What an engine says that goes by that address.
#[track_caller]
fn refused(url: &str) -> Said {
    let said = world(url).tidings(&["run"]);
    assert_eq!(said.code, 1, "{said:?}");
    said
}

#[test]
fn an_engine_trusts_the_server_whose_certificate_the_named_authority_signed_and_no_other() {
    let (cluster, proxy) = server();
    let url = proxy.url("tidings");
    let world = world(&format!("{url}?sslmode=verify-full&sslrootcert=ca.pem"));
    world.run();
    let id = world.send("notice", "o-alice", "1");
    world.until(&id, "sent");
    let ours = "SELECT count(*), bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                WHERE application_name LIKE 'tidings %'";
    let found = ask(&cluster.url("tidings"), ours).unwrap();
    assert!(found.ends_with("|t") && !found.starts_with("0|"), "each of its connections is encrypted: {found}");
    assert!(world.terminate().success());

    for untrusted in ["sslmode=verify-full&sslrootcert=stranger.pem", "sslmode=verify-full", "sslmode=verify-ca"] {
        let said = refused(&format!("{url}?{untrusted}"));
        assert!(said.err.contains("UnknownIssuer") && said.err.contains("`sslrootcert` the file"), "{said:?}");
    }
    // Another name than the certificate's.
    let other = Proxy::at(Ipv4Addr::new(127, 0, 0, 2), &cluster).unwrap_or_else(|error| panic!("{}", error.whole()));
    let said = refused(&format!("{}?sslmode=verify-full&sslrootcert=ca.pem", other.url("tidings")));
    assert!(
        said.err.contains("not valid for name \"127.0.0.2\"") && said.err.contains("as its certificate does"),
        "{said:?}"
    );
    // No such file.
    let said = refused(&format!("{url}?sslmode=verify-full&sslrootcert=missing.pem"));
    assert!(said.err.contains("No such file") && said.err.contains("`sslrootcert` the file"), "{said:?}");
}

#[test]
fn what_checks_nobody_connects_to_anybody_and_says_so_in_the_docs() {
    let (_cluster, proxy) = server();
    let world = world(&format!("{}?sslmode=require&sslrootcert=stranger.pem", proxy.url("tidings")));
    world.run();
    let id = world.send("notice", "o-alice", "1");
    world.until(&id, "sent");
    let docs = include_str!("../../docs/OPERATIONS.md");
    assert!(docs.contains("| `sslmode=require` | encrypts and checks nobody, with `sslrootcert` too"), "they say so");
    assert!(world.terminate().success());
}

#[test]
fn a_server_without_tls_is_refused_where_the_address_wants_it() {
    let cluster = Cluster::private(&std::env::temp_dir(), &[]).unwrap_or_else(|error| panic!("{}", error.whole()));
    cluster.create_database("tidings").unwrap();
    let proxy = Proxy::before(&cluster).unwrap_or_else(|error| panic!("{}", error.whole()));
    let said = refused(&format!("{}?sslmode=require", proxy.url("tidings")));
    assert!(said.err.contains("server does not support TLS"), "{said:?}");
}
