//! Watching it: metrics that promtool takes, health that tells what is wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::json;

use crate::harness::{World, http_tcp, on_each_store};

on_each_store! {
    promtool_finds_nothing_to_complain_of,
    what_waits_in_a_paused_channel_grows_older_in_the_metrics_and_is_gone_when_it_is_sent,
    stock_and_people_are_in_the_metrics_by_source_and_template,
    whoever_asks_for_open_metrics_gets_them,
    metrics_want_a_key_over_tcp_unless_config_opens_them,
    health_tells_what_was_looked_at,
    webhooks_and_readers_are_in_the_metrics_and_the_judge_is_content,
}

/// Prometheus' own judge of metrics.
fn promtool() -> &'static Path {
    static PROMTOOL: LazyLock<PathBuf> = LazyLock::new(found_promtool);
    &PROMTOOL
}

/// From the path, or out of Debian's package, unpacked into `target/` once.
fn found_promtool() -> PathBuf {
    let in_path = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).map(|folder| folder.join("promtool")).find(|file| file.exists()));
    if let Some(found) = in_path {
        return found;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/promtool");
    let program = folder.join("usr/bin/promtool");
    if program.exists() {
        return program;
    }
    std::fs::create_dir_all(&folder).unwrap();
    let script = "set -e; apt-get download -q prometheus >&2; for f in prometheus_*.deb; do \
                  dpkg-deb --fsys-tarfile $f | tar -x ./usr/bin/promtool; done; rm prometheus_*.deb";
    let status = Command::new("sh").args(["-c", script]).current_dir(&folder).status().unwrap();
    assert!(status.success() && program.exists(), "promtool is not there: install Debian's package `prometheus`");
    program
}

/// What promtool has against a page: nothing, if it is good.
fn judged(page: &str) -> String {
    use std::io::Write as _;
    let mut command = Command::new(promtool());
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    if said.status.success() { text } else { format!("{text} ({})", said.status) }
}

fn metrics(world: &World) -> String {
    let answer = world.get("/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// The value of one series, by its name and labels as they are written.
#[track_caller]
fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{page}")).parse().unwrap()
}

fn promtool_finds_nothing_to_complain_of() {
    let world = World::running();
    world.permit("o-alice");
    let sent = world.send("order-paid", "o-alice", "1");
    world.until(&sent, "sent");
    let waits = world.send("order-paid", "o-bob", "2");
    world.until(&waits, "waiting");
    world.faults(json!([{"kind": "errcode", "errcode": 47001, "api": "official_template"}]));
    let failed = world.send("notice", "o-carol", "3");
    world.until(&failed, "failed");
    world.get("/v1/no-such-path");
    // The first scrape has the ledger walked through; a later one tells what was found.
    let page = world.wait("the ledger is in the metrics", || {
        Some(metrics(&world)).filter(|page| page.contains("tidings_credentials_free"))
    });
    assert_eq!(judged(&page), "");
    // A judge that finds nothing in anything is none.
    assert_ne!(judged(&page.replace("# HELP tidings_in_flight ", "# ")), "");

    assert!(value(&page, "tidings_store_answers") > 0.0);
    assert!(value(&page, "tidings_messages{channel=\"orders\",state=\"sent\"}") >= 1.0);
    assert!(value(&page, "tidings_messages{channel=\"orders\",state=\"waiting\"}") >= 1.0);
    assert!(value(&page, "tidings_messages_accepted_total{channel=\"orders\"}") >= 2.0);
    assert!(value(&page, "tidings_attempts_total{channel=\"orders\",outcome=\"accepted\"}") >= 1.0);
    let moved = "tidings_messages_settled_total{channel=\"alerts\",state=\"failed\",reason=\"rejected\"}";
    assert!(value(&page, moved) >= 1.0);
    assert!(value(&page, "tidings_commit_duration_seconds_count") >= 3.0);
    assert!(value(&page, "tidings_token_fetches_today{app=\"shop\"}") >= 1.0);
    assert!(value(&page, "tidings_token_age_seconds{app=\"shop\"}") < 60.0);
    assert!(value(&page, "tidings_channel_state{channel=\"orders\",state=\"open\"}") > 0.0);
    assert!(value(&page, "tidings_plugin_working{plugin=\"wechat\"}") > 0.0);
    assert!(value(&page, "process_resident_memory_bytes") > 1_000_000.0);
    let route = "{method=\"POST\",route=\"/v1/messages\",status=\"202\"}";
    assert!(value(&page, &format!("tidings_http_requests_total{route}")) >= 3.0);
    for who in ["o-alice", "o-bob", "o-carol", &sent] {
        assert!(!page.contains(who), "{who} is in the metrics");
    }
}

#[test]
fn the_alerts_of_the_docs_are_rules_and_name_metrics_that_are_there() {
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPERATIONS.md")).unwrap();
    let (_, alerts) = docs.split_once("Alerts worth having:\n\n```yaml\n").unwrap();
    let (alerts, _) = alerts.split_once("```").unwrap();
    let world = World::new();
    world.configure_more("[schedules.nightly]\ncron = \"@daily\"\njob = \"purge_credentials\"\n");
    let rules: String = alerts.lines().map(|line| format!("      {line}\n")).collect();
    world.write("rules.yml", format!("groups:\n  - name: tidings\n    rules:\n{rules}"));
    let said = Command::new(promtool()).args(["check", "rules"]).arg(world.path("rules.yml")).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));

    world.run();
    let page = world.wait("the ledger is in the metrics", || {
        Some(metrics(&world)).filter(|page| page.contains("tidings_credentials_ending"))
    });
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names = alerts
        .split(|c| !is_part(c))
        .filter(|word| word.starts_with("tidings_"))
        .map(|name| name.strip_suffix("_bucket").unwrap_or(name));
    for name in names {
        assert!(page.contains(&format!("# TYPE {name} ")), "no {name} in\n{page}");
    }
}

fn what_waits_in_a_paused_channel_grows_older_in_the_metrics_and_is_gone_when_it_is_sent() {
    let world = World::running();
    world.ok(&["channels", "pause", "alerts"]);
    let id = world.send("notice", "o-alice", "1");
    let age = "tidings_queue_oldest_age_seconds{channel=\"alerts\"}";
    world.wait("the queue grows older", || (value(&metrics(&world), age) > 0.05).then_some(()));
    let page = metrics(&world);
    assert!(value(&page, "tidings_channel_state{channel=\"alerts\",state=\"paused\"}") > 0.0);
    assert!(value(&page, "tidings_messages{channel=\"alerts\",state=\"queued\"}") > 0.0);
    world.ok(&["channels", "resume", "alerts"]);
    world.until(&id, "sent");
    assert!(value(&metrics(&world), age).abs() < f64::EPSILON);
}

fn stock_and_people_are_in_the_metrics_by_source_and_template() {
    let world = World::running();
    world.permit("o-alice");
    world.permit("o-alice");
    world.permit("o-bob");
    let page = world.wait("the ledger is in the metrics", || {
        Some(metrics(&world)).filter(|page| page.contains("tidings_credentials_free"))
    });
    let of = |name: &str, label: &str| value(&page, &format!("{name}{{{label}}}"));
    assert!((of("tidings_credentials_free", "app=\"shop\",source=\"wechat.form_id\"") - 3.0).abs() < f64::EPSILON);
    assert!((of("tidings_people_reachable", "template=\"order-paid\"") - 2.0).abs() < f64::EPSILON);
    let ending = "app=\"shop\",source=\"wechat.form_id\"";
    assert!((of("tidings_credentials_ending_in_a_week", ending) - 3.0).abs() < f64::EPSILON);
    assert!(of("tidings_credentials_ending_in_a_day", ending).abs() < f64::EPSILON);
}

fn whoever_asks_for_open_metrics_gets_them() {
    let world = World::running();
    let answer = world.http("GET", "/metrics", &[("accept", "application/openmetrics-text; version=1.0.0")], "");
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(answer.body.ends_with("# EOF\n"), "{answer:?}");
    assert!(answer.body.contains("# TYPE tidings_commits_failed counter\ntidings_commits_failed_total 0\n"));
    let plain = world.get("/metrics");
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!plain.body.contains("# EOF"));
}

fn metrics_want_a_key_over_tcp_unless_config_opens_them() {
    for (setting, without_key) in [("", 401), ("metrics = \"open\"\n", 200)] {
        let world = World::new();
        let key = "key = { file = \"tidings.key\", create = true }\n";
        world.configure_more(&format!("[api]\nlisten = \"127.0.0.1:0\"\n{key}{setting}"));
        world.run();
        let address = world.wait("the port is told", || {
            let log = world.log();
            log.lines().find_map(|line| line.split_once("and http://")?.1.trim().parse().ok())
        });
        assert_eq!(http_tcp(address, "GET", "/metrics", &[], "").status, without_key);
        let bearer = format!("Bearer {}", world.read("tidings.key").trim());
        let with_key = http_tcp(address, "GET", "/metrics", &[("authorization", &bearer)], "");
        assert_eq!(with_key.status, 200, "{with_key:?}");
        assert_eq!(http_tcp(address, "GET", "/v1/overview", &[], "").status, 401);
        assert_eq!(http_tcp(address, "GET", "/readyz", &[], "").status, 200);
    }
}

fn health_tells_what_was_looked_at() {
    let world = World::running();
    assert_eq!(world.get("/healthz").body, "ok\n");
    assert_eq!(world.get("/readyz").body, "ready\n");
    let ready = world.get("/readyz?verbose").json();
    assert_eq!(ready["ok"], true, "{ready}");
    let names: Vec<&str> =
        ready["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["engine", "disk", "clock", "writer", "reader"]);
    assert_eq!(world.get("/healthz?verbose").json()["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(world.get("/readyz?verbose=maybe").status, 400);
}

fn webhooks_and_readers_are_in_the_metrics_and_the_judge_is_content() {
    let world = World::new();
    // Nobody listens there.
    let hook = "url = \"http://127.0.0.1:1/hook\"\nsecret = { env = \"HOOK_SECRET\" }\nevents = [\"message.*\"]\n";
    world.configure_more(&format!("[webhooks.crm]\n{hook}"));
    world.set("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    world.run();
    assert!(value(&metrics(&world), "tidings_webhook_oldest_age_seconds{webhook=\"crm\"}").abs() < f64::EPSILON);
    world.send("order-paid", "o-alice", "1");
    let _reading = world.wait_on(world.client().events(&[], None)).unwrap();
    let page = world.wait("a post has failed", || {
        Some(metrics(&world)).filter(|page| page.contains("tidings_webhook_last_failure_timestamp_seconds{"))
    });
    assert_eq!(judged(&page), "");
    assert!(value(&page, "tidings_webhook_pending{webhook=\"crm\"}") >= 1.0);
    assert!(value(&page, "tidings_webhook_oldest_age_seconds{webhook=\"crm\"}") > 0.0);
    assert!(value(&page, "tidings_webhook_disabled{webhook=\"crm\"}").abs() < f64::EPSILON);
    assert!(value(&page, "tidings_webhook_notices_told_total{webhook=\"crm\"}").abs() < f64::EPSILON);
    assert!(value(&page, "tidings_event_readers") >= 1.0);
    assert!(!page.contains("127.0.0.1:1"), "an address may have a secret in it");
}
