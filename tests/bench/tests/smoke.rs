//! Every scenario in small, through the built program: it comes to its end, measures something, and says so in JSON.

use std::process::Command;

use serde_json::Value;

/// Runs a scenario and reads its last line.
fn run(arguments: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_tidings-bench"))
        .args(arguments.split(' '))
        .args(["--json", "--rounds", "1"])
        .output()
        .expect("the program starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{arguments}`: {told}");
    let out = String::from_utf8(output.stdout).expect("text");
    let last = out.lines().last().expect("a line");
    let report: Value = serde_json::from_str(last).expect("the last line is JSON");
    assert_eq!(report["scenario"], arguments.split(' ').next().expect("a scenario"));
    report
}

#[track_caller]
fn check_positive(report: &Value, names: &[&str]) {
    for name in names {
        assert!(report[name].as_f64().is_some_and(|value| value > 0.0), "`{name}` of {report}");
    }
}

#[test]
fn pipeline() {
    let report = run("pipeline --messages 300 --in-flight 32");
    check_positive(&report, &["per_second", "bare_per_second", "ratio_to_bare", "accept_per_second", "rss_mb"]);
    assert_eq!(report["messages"], 300);
}

#[test]
fn pipeline_without_credentials() {
    let report = run("pipeline --messages 300 --in-flight 32 --no-credentials");
    check_positive(&report, &["per_second", "ratio_to_bare"]);
    assert_eq!(report["credentials"], false);
}

#[test]
fn pipeline_on_postgresql() {
    let report = run("pipeline --store postgres --messages 300 --in-flight 32 --done 600 --no-graphile");
    check_positive(&report, &["per_second", "ratio_to_bare", "ratio_to_least", "accept_ratio_to_least", "rss_mb"]);
    check_positive(&report, &["two_ratio", "done_ratio"]);
    assert_eq!(report["store"], "postgres");
}

#[test]
fn queue() {
    let report = run("queue --messages 700");
    check_positive(&report, &["per_second", "bare_per_second", "ratio_to_bare", "accept_per_second"]);
    assert_eq!(report["cases"].as_array().map(Vec::len), Some(6));
}

#[test]
fn intake() {
    let report = run("intake --messages 200 --clients 8 --half-open 20 --crowd 50");
    check_positive(&report, &["per_second", "ratio_to_bare", "p50_ms", "p99_ms", "rss_mb"]);
    check_positive(&report, &["bulk_per_second", "bulk_ratio_to_raw", "crowd_p99_times", "hostile_after_mb"]);
}

#[test]
fn accepts_by_turns_with_another_build() {
    let other = env!("CARGO_BIN_EXE_tidings-bench");
    let report = run(&format!("accepts --messages 200 --clients 8 --against {other}"));
    check_positive(&report, &["per_second", "other_per_second", "p99_ms", "other_p99_ms", "rate_ratio"]);
}

#[test]
fn latency() {
    let report = run("latency --messages 200 --per-second 400");
    check_positive(&report, &["per_second", "p50_ms", "p99_ms", "bare_p50_ms"]);
}

#[test]
fn neighbours() {
    let report = run("neighbours --messages 100 --per-second 400 --beside-per-second 100");
    check_positive(&report, &["alone_p50_ms", "good_p99_ms", "hangs_p99_ratio", "panics_p99_ratio"]);
    check_positive(&report, &["floods_p50_ratio", "lies_p99_ratio"]);
}

#[test]
fn backlog() {
    let report = run("backlog --messages 200 --queued 9000 --done 2000 --orphans 50");
    check_positive(&report, &["per_second", "bare_per_second", "ratio_to_bare", "rss_mb", "recovered_ms"]);
}

#[test]
fn a_queue_that_would_run_dry_is_refused_before_anything_is_measured() {
    let output = Command::new(env!("CARGO_BIN_EXE_tidings-bench"))
        .args(["backlog", "--queued", "100"])
        .output()
        .expect("the program starts");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("`--queued` is 100"));
}

#[test]
fn tui() {
    let report = run("tui --keys 20 --idle-seconds 2");
    check_positive(&report, &["key_p50_ms", "key_p99_ms", "frame_p99_ms", "loaded_percent", "rss_mb"]);
    assert_eq!(report["messages"], 1_000_000);
}
