//! The TCP port with TLS, and how many calls a key may make. The authority and what it signed stand in tests/e2e/tls,
//! made once for these tests and trusted by nobody else.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::harness::{World, http_tcp};

const CA: &str = include_str!("tls/ca.pem");
const CERTS: [(&str, &str); 2] = [
    (include_str!("tls/server-1.pem"), include_str!("tls/server-1.key.pem")),
    (include_str!("tls/server-2.pem"), include_str!("tls/server-2.key.pem")),
];

const API: &str = r#"
[api]
listen = "127.0.0.1:0"
key    = { file = "tidings.key", create = true }
"#;

const TLS: &str = "tls    = { cert = \"api.pem\", key = { file = \"api.key.pem\" } }\n";

/// Lays one of the certificates where config has it.
fn lay(world: &World, number: usize) {
    world.write("api.pem", CERTS[number].0);
    world.write("api.key.pem", CERTS[number].1);
}

/// Where the API listens, by its log.
fn address(world: &World, scheme: &str) -> SocketAddr {
    let log = world.wait("the log names the port", || Some(world.log()).filter(|log| log.contains("tidings runs")));
    let (_, rest) = log.rsplit_once(&format!(" and {scheme}://")).unwrap_or_else(|| panic!("no {scheme}: {log}"));
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

fn with_tls() -> (World, String) {
    let world = World::new();
    lay(&world, 0);
    world.write("ca.pem", CA);
    world.configure_more(&format!("{API}{TLS}"));
    world.run();
    let url = format!("https://{}", address(&world, "https"));
    world.set("TIDINGS_API_KEY", world.read("tidings.key").trim());
    (world, url)
}

#[test]
fn who_trusts_the_authority_talks_over_tls_and_who_does_not_does_not() {
    let (world, url) = with_tls();
    world.ok(&[
        "send",
        "notice",
        "--to",
        "o-alice",
        "--data",
        "title=x",
        "--data",
        "order.id=1",
        "--url",
        &url,
        "--ca",
        "ca.pem",
    ]);
    world.until_sent(1);
    let stranger = world.tidings(&["messages", "list", "--url", &url]);
    assert_ne!(stranger.code, 0, "{stranger:?}");
    let wrong = world.tidings(&["messages", "list", "--url", &url, "--ca", "config.toml"]);
    assert!(wrong.code != 0 && wrong.err.contains("config.toml"), "{wrong:?}");
}

#[test]
fn who_speaks_no_tls_gets_nothing_and_holds_nobody_up() {
    let (world, url) = with_tls();
    let address: SocketAddr = url.trim_start_matches("https://").parse().unwrap();
    let mut plain = TcpStream::connect(address).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: tidings\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    drop(plain.read_to_end(&mut bytes));
    assert!(!String::from_utf8_lossy(&bytes).contains("200"), "{bytes:?}");
    let _silent = TcpStream::connect(address).unwrap();
    world.ok(&["messages", "list", "--url", &url, "--ca", "ca.pem"]);
}

#[test]
fn a_renewed_certificate_is_in_force_without_a_restart_and_a_broken_one_is_not() {
    let (world, url) = with_tls();
    world.write("api.pem", "nonsense");
    world.wait("it is noticed", || {
        // The one that there was is still in force.
        world.ok(&["messages", "list", "--url", &url, "--ca", "ca.pem"]);
        world.log().contains("the certificate that there was is kept").then_some(())
    });
    lay(&world, 1);
    world.wait("the new one is in force", || {
        world.ok(&["messages", "list", "--url", &url, "--ca", "ca.pem"]);
        world.log().contains("the certificate of the API has changed").then_some(())
    });
}

#[test]
fn files_that_make_no_tls_are_named_at_the_start() {
    for (spoil, said) in [
        (("api.pem", "nonsense"), "api.pem"),
        (("api.key.pem", CERTS[1].1), "api.key.pem"),
        (("api.key.pem", ""), "api.key.pem"),
    ] {
        let world = World::new();
        lay(&world, 0);
        world.write(spoil.0, spoil.1);
        world.configure_more(&format!("{API}{TLS}"));
        let refused = world.tidings(&["run"]);
        assert!(refused.code != 0 && refused.err.contains(said), "{refused:?}");
        assert!(!refused.all().contains("PRIVATE KEY"), "{refused:?}");
    }
    let world = World::new();
    world.configure_more(&format!("{API}tls = {{ cert = \"api.pem\", key = \"api.key.pem\" }}\n"));
    let refused = world.tidings(&["check"]);
    assert!(refused.code != 0 && refused.err.contains("key = { file = "), "{refused:?}");
}

#[test]
fn a_key_that_calls_too_often_is_told_when_to_come_again_and_the_socket_is_not_counted() {
    let world = World::new();
    world.configure_more(&format!("{API}\n[api.limits]\nrate = \"2/60s\"\n"));
    world.run();
    let address = address(&world, "http");
    let bearer = format!("Bearer {}", world.read("tidings.key").trim());
    let call = || http_tcp(address, "GET", "/v1/channels", &[("authorization", &bearer)], "");
    assert_eq!(call().status, 200);
    let told = call();
    assert_eq!((told.status, told.problem().as_str()), (429, "rate"), "{told:?}");
    let seconds: u32 = told.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=31).contains(&seconds), "{told:?}");
    assert_eq!(told.json()["retryable"], json!(true));
    assert_eq!(told.header("ratelimit-policy"), Some("\"key\";q=2;w=60"));
    // A stranger, a health check and the local socket have nothing to do with it.
    assert_eq!(http_tcp(address, "GET", "/v1/channels", &[], "").status, 401);
    for _ in 0..5 {
        assert_eq!(http_tcp(address, "GET", "/healthz", &[], "").status, 200);
        assert_eq!(world.get("/v1/channels").status, 200);
    }
}
