//! Short forms of the torture runs, against the program that this test run built. The long ones:
//! `cargo run --release -p tidings-torture -- --help`.

use tidings_torture::{Options, Report, Scenario, run};

fn run_short(scenario: Scenario, rounds: u32) -> Report {
    run_short_by(20, scenario, rounds)
}

fn run_short_by(seed: u64, scenario: Scenario, rounds: u32) -> Report {
    let binary = Some(env!("CARGO_BIN_EXE_tidings").into());
    let options = Options { rounds, seed, binary, keep: false };
    run(scenario, &options).unwrap_or_else(|trouble| panic!("{}", trouble.0))
}

#[track_caller]
fn assert_good(report: &Report) {
    assert!(report.is_good(), "{}", report.text());
    assert!(report.accepted > 50 && report.arrived > 50, "there was hardly any load: {}", report.text());
}

#[test]
fn six_kills_under_load_lose_nothing_and_double_nothing_where_once_is_promised() {
    let report = run_short(Scenario::Kill, 6);
    assert_good(&report);
    assert!(report.recovery_ms_p99.is_some());
}

#[test]
fn three_power_cuts_under_load_lose_nothing_that_was_acknowledged() {
    assert_good(&run_short(Scenario::Power { deaf: false }, 3));
}

#[test]
fn a_power_cut_after_syncs_that_did_nothing_is_caught() {
    let report = run_short(Scenario::Power { deaf: true }, 3);
    assert!(report.lost + report.corrupt > 0, "{}", report.text());
}

#[test]
fn a_clock_that_steps_forth_and_back_loses_nothing_and_fires_nothing_twice() {
    assert_good(&run_short(Scenario::Clock, 3));
}

#[test]
fn a_full_disk_loses_no_outcome_and_sending_goes_on_when_there_is_room() {
    assert_good(&run_short(Scenario::DiskFull, 1));
}

#[test]
fn three_engines_on_one_database_lose_nothing_whatever_befalls_them() {
    // By this seed five are killed, and everything else befalls them once.
    let report = run_short_by(23, Scenario::Nodes { nodes: 3 }, 8);
    assert_good(&report);
    for blow in ["killed", "paused past the lease", "connections terminated", "database restarted"] {
        assert!(report.figures[blow] > 0.0, "never {blow}: {}", report.text());
    }
    assert!(report.recovery_ms_p99.is_some(), "none was killed in the middle of an attempt: {}", report.text());
}
