//! Nothing that authorises anything is ever shown: not in the log at its loudest, not by a command, not by the API.

use serde_json::json;
use tidings_api::wire;
use tidings_wechat_sandbox::{Api, App, AppKind, DEFAULT_APPID, Options, TokenDeath};

use crate::api::tcp_address;
use crate::harness::{World, http_tcp, on_each_store};

on_each_store! {
    no_secret_token_or_credential_is_shown_anywhere,
    whom_a_provider_names_when_it_closes_a_channel_is_masked_in_the_log_and_on_the_screen,
}

const SECRET: &str = "CANARY-appsecret-5f0c9a7be21d4c";
const CALLBACK_TOKEN: &str = "CanaryCallbackToken7";
const CALLBACK_KEY: &str = "CanaryKeyefghijklmnopqrstuvwxyz0123456789Ab";
const PARTNER: &str = "tidings_canary-partner-key-0123456789abcdef";
const HOOK: &str = "Q2FuYXJ5SG9va1NlY3JldDAxMjM0NTY3ODlhYmNkZWY=";

fn no_secret_token_or_credential_is_shown_anywhere() {
    let apps = vec![App { appid: DEFAULT_APPID.into(), secret: SECRET.into(), kind: AppKind::Both }];
    let world = World::with(Options { apps, ..Options::default() });
    world.configure(&[(
        "sandbox = \"SANDBOX\"",
        "base_url = \"SANDBOX\"\nsecret = { env = \"CANARY_SECRET\" }\n\
         callback_token = { env = \"CANARY_CALLBACK_TOKEN\" }\ncallback_key = { env = \"CANARY_CALLBACK_KEY\" }",
    )]);
    world.configure_more("[api]\nlisten = \"127.0.0.1:0\"\nkey = { file = \"tidings.key\", create = true }\n");
    world.configure_more(
        "[api.keys.partner]\nkey = { env = \"CANARY_PARTNER\" }\nscopes = [\"read\"]\n\
         [webhooks.crm]\nurl = \"http://127.0.0.1:1/CANARY-path\"\nsecret = { env = \"CANARY_HOOK\" }\nevents = [\"*\"]\n",
    );
    world.set("CANARY_SECRET", SECRET);
    world.set("CANARY_CALLBACK_TOKEN", CALLBACK_TOKEN);
    world.set("CANARY_CALLBACK_KEY", CALLBACK_KEY);
    world.set("CANARY_PARTNER", PARTNER);
    world.set("CANARY_HOOK", &format!("whsec_{HOOK}"));
    world.set("TIDINGS_LOG", "trace");
    world.run();
    world.ok(&["tokens", "refresh", "shop"]);
    // The token as WeChat gives it to whoever knows the secret.
    let token = token(&world);
    let mut canaries = vec![SECRET.to_owned(), token.clone(), world.read("tidings.key").trim().to_owned()];
    canaries.extend([CALLBACK_TOKEN, CALLBACK_KEY, PARTNER, HOOK].map(str::to_owned));
    // A key is shown by the one command that makes it, and by nothing else: what that said is not looked through.
    let wanted =
        wire::KeyRequest { name: "billing".to_owned(), scopes: vec!["send".to_owned()], ..wire::KeyRequest::default() };
    canaries.push(world.wait_on(world.client().add_key(&wanted)).unwrap().key);
    // Pushes that prove nothing, keys that are nearly right, and what is said of them.
    let address = tcp_address(&world);
    for query in
        ["", "?signature=0&timestamp=1&nonce=2&echostr=x", "?msg_signature=0&timestamp=1&nonce=2&encrypt_type=aes"]
    {
        for (method, body) in [("GET", ""), ("POST", "<xml><Encrypt>AAAA</Encrypt></xml>")] {
            world.hear(&http_tcp(address, method, &format!("/callbacks/shop{query}"), &[], body).body);
        }
    }
    for key in [PARTNER, &PARTNER[1..]] {
        let bearer = format!("Bearer {key}");
        for path in ["/v1/hello", "/v1/keys", "/metrics", "/v1/messages?to=x"] {
            let answer = http_tcp(address, "GET", path, &[("authorization", &bearer)], "");
            world.hear(&answer.body);
        }
    }

    // Messages whose answers repeat what they were sent, of every kind of trouble.
    let posted = "CANARY-form-id-1b9d";
    world.post_form("wechat.form_id", &format!("form_id={posted}&openId=o-alice"));
    world.post_form("wechat.form_id", &format!("form_id={posted}&openId=o-alice"));
    world.post_form("wechat.form_id", &format!("form_id={posted}&openId=o-alice&extra=1"));
    world.post_form("wechat.form_id", &format!("formid={posted}-wrong&openId=o-alice"));
    canaries.push(posted.to_owned());
    for (round, (kind, code, state)) in
        [("errcode", 47001, "failed"), ("errcode", 40037, "held"), ("status", 500, ""), ("errcode", -1, "")]
            .into_iter()
            .enumerate()
    {
        // WeChat repeats what it was sent: the token and this message's own form_id.
        let (user, form_id) = (format!("o-round-{round}"), format!("CANARY-form-id-round-{round}"));
        world.post_form("wechat.form_id", &format!("form_id={form_id}&openId={user}"));
        let text = if kind == "status" { "body" } else { "errmsg" };
        let number = if kind == "status" { "status" } else { "errcode" };
        let echo = format!("no: access_token={token} form {form_id} to {user}");
        world.faults(json!([{"kind": kind, "api": "template", number: code, text: echo}]));
        canaries.push(form_id);
        let id = world.send("order-paid", &user, "1");
        world.wait(&format!("{kind} {code} has struck"), || {
            let message = world.message(&id);
            let struck = message["tries"].as_array().is_some_and(|tries| !tries.is_empty());
            (struck && (state.is_empty() || message["state"] == state)).then_some(())
        });
        drop(world.tidings(&["messages", "show", &id]));
        // A message on its way cannot be cancelled; one that is tried again would meet the next round's echo, and repeat a
        // form_id that was never its own.
        world.wait("it is tried no more", || {
            drop(world.tidings(&["messages", "cancel", &id]));
            let state = world.message(&id)["state"].clone();
            ["cancelled", "failed"].iter().any(|end| state == *end).then_some(())
        });
    }
    world.control().clear_faults();
    let minted = world.permit("o-bob");
    canaries.push(minted);
    let sent = world.send("order-paid", "o-bob", "2");
    world.until(&sent, "sent");
    world.control().expire_tokens(DEFAULT_APPID, TokenDeath::NotLatest).unwrap();
    world.faults(
        json!([{"kind": "errcode", "errcode": 40125, "errmsg": format!("bad {SECRET}"), "api": "stable_token"}]),
    );
    let halted = world.send("notice", "o-bob", "3");
    world.until_channel("alerts", "halted");
    drop(world.message(&halted));

    for args in [
        &["messages", "list"][..],
        &["messages", "list", "--json"],
        &["messages", "show", &sent],
        &["credentials", "list"],
        &["credentials", "list", "--json"],
        &["credentials", "add", "wechat.form_id", &format!("form_id={posted}"), "openId=o-alice"],
        &["credentials", "add", "wechat.form_id", &format!("form_idd={posted}"), "openId=o-alice"],
        &["channels", "list"],
        &["tokens", "list"],
        &["tokens", "list", "--json"],
        &["tokens", "refresh", "shop"],
        &["schedules", "list"],
        &["runs", "list"],
        &["check"],
        &["check", "--json"],
        &["keys", "list"],
        &["keys", "list", "--json"],
        &["keys", "revoke", "billing"],
        &["webhooks", "list", "--json"],
        &["nodes", "--json"],
        &["audit", "list", "--json"],
        &["reload", "--dry-run", "--json"],
    ] {
        drop(world.tidings(args));
    }
    for path in [
        "/v1/overview",
        "/v1/channels",
        "/v1/tokens",
        "/v1/credentials",
        "/v1/messages",
        "/v1/reachability/o-alice",
        "/v1/credentials/forecast",
        "/readyz?verbose",
    ] {
        drop(world.get(path));
    }
    let metrics = world.get("/metrics").body;
    world.terminate();
    assert!(world.calls(Api::Template) >= 4);
    let (log, heard) = (world.log(), world.heard());
    assert!(log.contains("token fetched"), "the log is there: {log}");
    for who in ["o-alice", "o-bob", "o-round-0", "o-round-3"] {
        for (place, text) in [("the log", &log), ("the metrics", &metrics)] {
            let line = text.lines().find(|line| line.contains(who));
            assert!(line.is_none(), "{who} is named by {place}: {}", line.unwrap_or_default());
        }
    }
    for (index, canary) in canaries.iter().enumerate() {
        for (place, text) in [("the log", &log), ("a command or the API", &heard), ("the metrics", &metrics)] {
            let line = text.lines().find(|line| line.contains(canary.as_str()));
            assert!(line.is_none(), "secret {index} is shown by {place}: {}", line.unwrap_or_default());
        }
    }
}

fn token(world: &World) -> String {
    let address = world.base_url().trim_start_matches("http://").parse().unwrap();
    let body = json!({"grant_type": "client_credential", "appid": DEFAULT_APPID, "secret": SECRET}).to_string();
    let answer = http_tcp(address, "POST", "/cgi-bin/stable_token", &[("content-type", "application/json")], &body);
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

fn whom_a_provider_names_when_it_closes_a_channel_is_masked_in_the_log_and_on_the_screen() {
    let world = World::running();
    world.permit("o-dave-of-the-quota");
    let told = "no more for o-dave-of-the-quota today";
    world.faults(json!([{"kind": "errcode", "errcode": 45009, "errmsg": told, "api": "template"}]));
    let id = world.send("order-paid", "o-dave-of-the-quota", "1");
    let channel = world.until_channel("orders", "cooling");
    assert!(channel.to_string().contains("o-…ta"), "{channel}");
    world.ok(&["messages", "cancel", &id]);
    world.terminate();
    assert!(world.log().contains("channel waits: ") && world.log().contains("o-…ta"), "{}", world.log());
    assert!(!world.log().contains("o-dave-of-the-quota"), "{}", world.log());
}

#[test]
fn the_store_and_its_companions_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::running();
    world.permit("o-alice");
    for name in ["tidings.db", "tidings.db-wal"] {
        let mode = std::fs::metadata(world.path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "`{name}` holds tokens and credentials, and has mode {mode:o}");
    }
}

#[test]
fn a_store_that_others_could_read_is_closed_to_them_and_the_log_says_so() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::running();
    world.terminate();
    assert!(!world.log().contains("open to others"), "{}", world.log());
    let store = world.path("tidings.db");
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o644)).unwrap();
    world.run();
    assert_eq!(std::fs::metadata(&store).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(world.log().contains("tidings.db` was open to others (644); its rights are 600 now"), "{}", world.log());
}
