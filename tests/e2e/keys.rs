//! Keys of callers: who may do what, from the moment a key is made to the moment it is revoked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{TCP, over_tcp, tcp_address};
use crate::harness::{Answer, World, http_tcp, message, on_each_store};

on_each_store! {
    each_call_is_for_the_keys_with_its_scope_and_for_no_other,
    a_key_works_until_it_is_revoked_and_across_a_restart,
    a_key_gives_no_more_than_it_has_and_not_for_longer,
    config_names_keys_with_their_scopes_too_and_a_reload_changes_them,
    a_key_of_config_has_a_rate_of_its_own_and_a_reload_changes_it,
}

const SCOPES: [&str; 4] = ["send", "collect", "read", "operate"];

/// Makes a key; what is known of it, and it.
fn add(world: &World, name: &str, more: &[&str]) -> (Value, String) {
    let made = world.ok_json(&[&["keys", "add", name], more, &["--json"]].concat());
    let key = made["key"].as_str().unwrap().to_owned();
    (made, key)
}

fn with_key(address: SocketAddr, key: &str, method: &str, path: &str, body: &str) -> Answer {
    http_tcp(address, method, path, &[("authorization", &format!("Bearer {key}"))], body)
}

/// The status of a call, read from the first line of its answer: that of a stream has no end.
fn status(address: SocketAddr, key: Option<&str>, method: &str, path: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let key = key.map_or(String::new(), |key| format!("authorization: Bearer {key}\r\n"));
    let kind = "content-type: application/json\r\ncontent-length: 2\r\n";
    let head = format!("{method} {path} HTTP/1.1\r\nhost: tidings\r\nconnection: close\r\n{key}{kind}\r\n{{}}");
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = String::new();
    BufReader::new(stream).read_line(&mut first).unwrap();
    first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{path}: {first:?}"))
}

fn each_call_is_for_the_keys_with_its_scope_and_for_no_other() {
    let (world, address, all) = over_tcp();
    let keys: Vec<(&str, String)> =
        SCOPES.into_iter().map(|scope| (scope, add(&world, scope, &["--scope", scope]).1)).collect();
    // The table of calls, as the engine itself describes it.
    let document = http_tcp(address, "GET", "/openapi.json", &[], "").json();
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let (method, real) = (method.to_uppercase(), path.replace("{id}", "msg_1"));
            let real: String = real.replace(['{', '}'], "");
            let ask = |key: Option<&str>| status(address, key, &method, &real);
            let call = format!("{method} {path}");
            let is_open = operation["security"] == json!([]);
            assert_eq!(ask(None) == 401, !is_open, "{call} without a key");
            let Some(scope) = operation["x-scope"].as_str() else {
                // For anybody, for any key, or for the local socket alone.
                let is_local = operation["description"].as_str().is_some_and(|about| about.contains("local socket"));
                assert!(is_open || (ask(Some(&all)) == 403) == is_local, "{call}");
                continue;
            };
            for (had, key) in &keys {
                let status = ask(Some(key));
                assert_eq!(status == 403, scope != *had, "{call} needs `{scope}`, was asked with `{had}`: {status}");
                assert_ne!(status, 401, "{call} with `{had}`");
                tried += 1;
            }
        }
    }
    assert!(tried >= 80, "{tried} calls were tried");
    let refused = with_key(address, &keys[0].1, "GET", "/v1/messages", "");
    assert_eq!(refused.problem(), "scope");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("`send`") && detail.contains("`read`"), "{detail}");
}

fn a_key_works_until_it_is_revoked_and_across_a_restart() {
    let (world, address, _) = over_tcp();
    let (made, key) = add(&world, "partner", &["--scope", "send,read", "--expires", "90d"]);
    assert_eq!(made["name"], "partner");
    assert!(made["created_by"].as_str().unwrap().starts_with("local"), "{made}");
    assert_eq!(made["scopes"], json!(["send", "read"]));
    let hello = with_key(address, &key, "GET", "/v1/hello", "").json();
    assert!(hello["features"].as_array().unwrap().contains(&json!("timeline")), "{hello:#}");
    assert_eq!((hello["caller"].as_str(), &hello["scopes"]), (Some("partner"), &json!(["send", "read"])));
    assert_eq!(hello["expires_at"], made["expires_at"]);
    let sent = message("notice", "o-alice", "1").to_string();
    assert_eq!(with_key(address, &key, "POST", "/v1/messages", &sent).status, 202);
    let listed = world.ok_json(&["keys", "list", "--json"]);
    let one = listed.as_array().unwrap().iter().find(|one| one["name"] == "partner").unwrap();
    assert!(one["used_at"].is_string() && one.get("key").is_none(), "{one}");

    let before = address;
    world.terminate();
    world.run();
    let address = world.wait("the engine listens again", || {
        let address = tcp_address(&world);
        (TcpStream::connect(address).is_ok() && address != before).then_some(address)
    });
    assert_eq!(with_key(address, &key, "GET", "/v1/messages", "").status, 200);
    let again = world.tidings(&["keys", "add", "partner", "--scope", "send"]);
    assert!(again.all().contains("revoke it first"), "{}", again.all());
    assert!(world.ok(&["keys", "revoke", "partner", "--reason", "it leaked"]).contains("partner"));
    assert_eq!(with_key(address, &key, "GET", "/v1/messages", "").status, 401, "it is none from that moment");
    assert_eq!(with_key(address, &key, "GET", "/v1/hello", "").status, 401);
    let record = world.get("/v1/audit?subject=partner").json();
    let entries: Vec<(&Value, &Value)> =
        record["items"].as_array().unwrap().iter().map(|entry| (&entry["act"], &entry["why"])).collect();
    assert_eq!(entries, [(&json!("key.revoke"), &json!("it leaked")), (&json!("key.add"), &Value::Null)]);
    // The name may have a new key, and the old one stays none.
    let (_, fresh) = add(&world, "partner", &["--scope", "read"]);
    assert_eq!(with_key(address, &fresh, "GET", "/v1/messages", "").status, 200);
    assert_eq!(with_key(address, &key, "GET", "/v1/messages", "").status, 401);
}

fn a_key_gives_no_more_than_it_has_and_not_for_longer() {
    let (world, address, _) = over_tcp();
    let (_, key) = add(&world, "deputy", &["--scope", "operate,read", "--expires", "2d"]);
    let (_, mighty) = add(&world, "mighty", &["--scope", "send,operate"]);
    let ask = |body: Value| with_key(address, &key, "POST", "/v1/keys", &body.to_string());
    let wider = ask(json!({"name": "a", "scopes": ["read", "send"]}));
    assert_eq!((wider.status, wider.problem().as_str()), (403, "key-exceeds"));
    let longer = ask(json!({"name": "a", "scopes": ["read"], "expires_at": "+3d"}));
    assert_eq!((longer.status, longer.problem().as_str()), (403, "key-exceeds"));
    let within = ask(json!({"name": "a", "scopes": ["read"], "expires_at": "+1d"}));
    assert_eq!(within.status, 201);
    assert_eq!(within.json()["created_by"], "deputy");
    // Without an end of its own it ends with the key that made it.
    let unsaid = ask(json!({"name": "b", "scopes": ["read"]})).json();
    let hello = with_key(address, &key, "GET", "/v1/hello", "").json();
    assert_eq!(unsaid["expires_at"], hello["expires_at"]);
    let revoke = with_key(address, &key, "POST", "/v1/keys/mighty/revoke", "");
    assert_eq!((revoke.status, revoke.problem().as_str()), (403, "key-exceeds"));
    assert_eq!(with_key(address, &mighty, "GET", "/v1/keys", "").status, 200);
    for (body, code) in [
        (json!({"name": "a", "scopes": ["read"]}), "key-exists"),
        (json!({"name": "local", "scopes": ["read"]}), "key-exists"),
        (json!({"name": "api.key", "scopes": ["read"]}), "key-in-config"),
        (json!({"name": "a b", "scopes": ["read"]}), "key-name-invalid"),
        (json!({"name": "c", "scopes": []}), "scope-unknown"),
        (json!({"name": "c", "scopes": ["admin"]}), "scope-unknown"),
        (json!({"name": "c", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}), "expired"),
        (json!({"name": "c", "scopes": ["read"], "expires_at": "soon"}), "time-invalid"),
    ] {
        assert_eq!(ask(body.clone()).problem(), code, "{body}");
    }
    let unknown = world.tidings(&["keys", "revoke", "nobody"]);
    assert!(unknown.all().contains("there is no key `nobody`"), "{}", unknown.all());
    let config = world.tidings(&["keys", "revoke", "api.key"]);
    assert!(config.all().contains("take it out there and reload"), "{}", config.all());
}

fn config_names_keys_with_their_scopes_too_and_a_reload_changes_them() {
    let world = World::new();
    let first = "a key that somebody chose";
    world.write("partner.key", first);
    world.configure_more(
        "[api]\nlisten = \"127.0.0.1:0\"\n[api.keys.partner]\nkey = { file = \"partner.key\" }\nscopes = [\"send\"]\n",
    );
    world.run();
    let address = tcp_address(&world);
    let sent = message("notice", "o-alice", "1").to_string();
    let send = |key: &str| with_key(address, key, "POST", "/v1/messages", &sent).status;
    assert_eq!(send(first), 202);
    assert_eq!(with_key(address, first, "GET", "/v1/messages", "").status, 403);
    assert_eq!(send(&first[..first.len() - 1]), 401);
    assert!(world.ok(&["keys", "list"]).contains("config"));
    // Another key under the same name, another scope, and then none.
    let second = "another key that somebody chose";
    world.write("partner.key", second);
    assert_eq!((send(first), send(second)), (202, 401), "nothing changes before the reload");
    world.ok(&["reload"]);
    assert_eq!((send(first), send(second)), (401, 202));
    let config = world.read("config.toml");
    world.write("config.toml", config.replace("[\"send\"]", "[\"read\"]"));
    world.ok(&["reload"]);
    assert_eq!((send(second), with_key(address, second, "GET", "/v1/messages", "").status), (403, 200));
    let (without, _) = config.split_once("[api.keys.partner]").unwrap();
    world.write("config.toml", without);
    world.ok(&["reload"]);
    assert_eq!(send(second), 401);
}

#[test]
fn a_key_is_shown_once_and_stands_nowhere() {
    let world = World::new();
    world.configure_more("[api]\nlisten = \"127.0.0.1:0\"\nkey = { file = \"tidings.key\", create = true }\n");
    world.set("TIDINGS_LOG", "trace");
    world.run();
    let address = tcp_address(&world);
    let said = world.tidings(&["keys", "add", "partner", "--scope", "send,operate"]);
    let key = said.out.trim().to_owned();
    assert!(key.starts_with("tidings_") && key.len() > 50, "the key alone is what is printed: {:?}", said.out);
    assert!(said.err.contains("shown this once") && !said.err.contains(&key), "{}", said.err);
    let own = world.read("tidings.key").trim().to_owned();
    let mut told = String::new();
    for path in ["/v1/keys", "/v1/messages", "/v1/hello", "/v1/nothing"] {
        told.push_str(&with_key(address, &key, "GET", path, "").body);
    }
    told.push_str(&with_key(address, &key, "POST", "/v1/keys", &format!("{{\"name\": \"{key}\"")).body);
    told.push_str(&world.tidings(&["keys", "list"]).all());
    told.push_str(&world.tidings(&["keys", "list", "--json"]).all());
    // One that was cut short is known before anybody is asked.
    world.set("TIDINGS_API_KEY", &key[..key.len() - 1]);
    let damaged = world.tidings(&["keys", "list", "--url", &format!("http://{address}")]);
    assert!(damaged.all().contains("cut short or mistyped"), "{}", damaged.all());
    told.push_str(&damaged.all());
    world.terminate();
    let stored: Vec<u8> = ["tidings.db", "tidings.db-wal"]
        .into_iter()
        .filter_map(|name| std::fs::read(world.path(name)).ok())
        .flatten()
        .collect();
    assert!(stored.windows(7).any(|window| window == b"partner"), "the store was looked at");
    for (whose, key) in [("partner's", &key), ("our own", &own)] {
        // Half of it would be too much, too.
        let part = &key[..key.len() / 2];
        assert!(!world.log().contains(part), "{whose} key is in the log");
        assert!(!told.contains(part), "{whose} key is told: {told}");
        assert!(!stored.windows(part.len()).any(|window| window == part.as_bytes()), "{whose} key is in the store");
    }
}

fn a_key_of_config_has_a_rate_of_its_own_and_a_reload_changes_it() {
    let world = World::new();
    world.set("PARTNER_KEY", "tidings_partner-key-of-many-letters-0123456789");
    let partner = "[api.keys.partner]\nkey = { env = \"PARTNER_KEY\" }\nscopes = [\"read\"]\nrate = \"1/60s\"\n";
    world.configure_more(&format!("{TCP}{partner}"));
    world.run();
    let (address, own) = (tcp_address(&world), world.read("tidings.key").trim().to_owned());
    let ask = |key: &str| with_key(address, key, "GET", "/v1/hello", "");
    let key = "tidings_partner-key-of-many-letters-0123456789";
    assert_eq!(ask(key).status, 200);
    let refused = ask(key);
    assert_eq!((refused.status, refused.problem().as_str()), (429, "rate"), "{refused:?}");
    assert!(refused.body.contains("[api.keys.partner] rate") && refused.header("retry-after").is_some(), "{refused:?}");
    for _ in 0..5 {
        assert_eq!(ask(&own).status, 200, "others have none");
    }
    let config = world.read("config.toml").replace("rate = \"1/60s\"", "rate = \"1000/ms\"");
    world.write("config.toml", config);
    world.ok(&["reload"]);
    for _ in 0..5 {
        assert_eq!(ask(key).status, 200);
    }
}
