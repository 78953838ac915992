//! `tidings plugin`: a new plugin builds and passes, good files pass, bad ones fail the rule that they break.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::World;
use crate::plugin_files;

/// Runs cargo in a project that `plugin new` made, without a network: its crates are those of the workspace.
fn cargo(project: &Path, args: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command.args(args).args(["--offline", "--quiet"]).current_dir(project);
    let done = command.env("CARGO_TARGET_DIR", target()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "cargo {args:?} in {}: {out}\n{err}", project.display());
    assert!(!err.contains("warning"), "cargo {args:?} in {}: {err}", project.display());
}

/// Where new plugins are built: kept between runs, so that only the first one takes its time.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugins")
}

/// The verdicts of a check, by rule: the verdict's name and what was seen. The last line says whether all of it holds.
fn check(world: &World, file: &Path, more: &[&str]) -> (i32, Vec<Value>) {
    let file = file.display().to_string();
    let said = world.tidings(&[&["plugin", "check", &file, "--json"], more].concat());
    let lines = said.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{said:?}")));
    (said.code, lines.collect())
}

#[track_caller]
fn passes(world: &World, file: &Path, more: &[&str]) {
    let (code, lines) = check(world, file, more);
    let broken: Vec<&Value> = lines.iter().filter(|line| !line["again"].is_null()).collect();
    assert!(code == 0 && broken.is_empty(), "{}: {broken:#?}", file.display());
    assert_eq!(lines.last().unwrap()["holds"], true);
}

/// One role with the SDK taken along, and the others with this repository's: it is compiled once for all of those.
#[test]
fn a_new_plugin_builds_and_passes_its_own_test_and_every_rule() {
    let world = World::new();
    let root = plugin_files::root().display().to_string();
    for (role, name, own_sdk) in [
        ("http-transport", "acme", true),
        ("transport", "acme-line", false),
        ("token-provider", "acme-token", false),
        ("credential-source", "acme-consent", false),
        ("renderer", "acme-fill", false),
    ] {
        let sdk = ["--sdk", &root];
        let args = [&["plugin", "new", "--role", role, name][..], if own_sdk { &[] } else { &sdk }].concat();
        let said = world.ok(&args);
        assert!(
            said.contains(&format!("cd {name}")) && said.contains("tidings plugin check target/release/lib"),
            "{said}"
        );
        let project = world.path(name);
        assert_eq!(project.join("sdk").exists(), own_sdk);
        cargo(&project, &["test"]);
        cargo(&project, &["build", "--all-targets"]);
        // Where `cargo build --release` would have put it, as its config says.
        let library = format!("lib{}_plugin.so", name.replace('-', "_"));
        let placed = project.join("target/release").join(&library);
        fs::create_dir_all(placed.parent().unwrap()).unwrap();
        fs::copy(target().join("debug").join(&library), &placed).unwrap();
        passes(&world, &placed, &[]);
        fs::write(project.join(format!("{name}.key")), "secret").unwrap();
        let said = world.ok(&["check", "--config", &project.join("config.toml").display().to_string()]);
        assert!(said.contains("is right"), "{role}: {said}");
    }
}

#[test]
fn nothing_is_written_over_and_no_name_is_taken_that_config_would_refuse() {
    let world = World::new();
    world.write("acme", "mine");
    for (name, part) in
        [("acme", "there already"), ("Acme", "no name for a plugin"), ("a/b", "no name"), ("wechat", "built in")]
    {
        let said = world.tidings(&["plugin", "new", "--role", "renderer", name]);
        assert!(said.code == 2 && said.err.contains(part), "{name}: {said:?}");
    }
    assert_eq!(world.read("acme"), "mine");
    let said = world.tidings(&["plugin", "new", "--role", "renderer", "--sdk", ".", "good"]);
    assert!(said.code == 2 && said.err.contains("expected a checkout of Tidings"), "{said:?}");
    assert!(!world.path("good").exists());
}

#[test]
fn the_plugins_of_the_repository_hold_every_rule() {
    let world = World::new();
    for (package, library) in [
        ("tidings-wechat-file", "tidings_wechat"),
        ("tidings-quota", "tidings_quota"),
        ("tidings-webhook", "tidings_webhook"),
        ("tidings-smtp", "tidings_smtp"),
    ] {
        passes(&world, &plugin_files::place(&world, package, library), &[]);
    }
    passes(&world, &plugin_files::compile(&world, "plugins/syslog-c/syslog.c"), &[]);
    passes(&world, &plugin_files::compile(&world, "tests/fixtures/plugins/good_transport.c"), &[]);
}

/// A fixture, what its recipient is told to have it do, and what is found.
struct Bad {
    fixture: &'static str,
    recipient: &'static str,
    rule: &'static str,
    verdict: &'static str,
    seen: &'static str,
}

const fn bad(
    fixture: &'static str,
    recipient: &'static str,
    rule: &'static str,
    verdict: &'static str,
    seen: &'static str,
) -> Bad {
    Bad { fixture, recipient, rule, verdict, seen }
}

const BAD: &[Bad] = &[
    bad("no_note", "", "file.note", "fail", "no Tidings note"),
    bad("panics_at_load", "", "file.loads", "fail", "TIDINGS_PANICKED"),
    bad("sleeps_at_load", "", "file.loads", "hung", "it was busy with: loads it"),
    bad("takes_a_prefix", "", "file.quiet", "fail", "threads run since it was loaded"),
    bad("lying_name", "", "description.valid", "fail", "its note says the name"),
    bad("no_request", "", "interfaces.complete", "fail", "no function `request`"),
    bad("outlives", "", "instances.end", "fail", "left 100 threads"),
    bad("outlives", "", "transport.destroy", "fail", "called the host after `destroy`"),
    bad("misbehaves", "counts", "http_transport.request", "fail", "gave two results"),
    bad("misbehaves", "twice", "http_transport.request", "fail", "put 2 answers"),
    bad("misbehaves", "nothing", "http_transport.request", "fail", "put nothing"),
    bad("misbehaves", "crashes", "http_transport.request", "crashed", "SIGSEGV"),
    bad("misbehaves", "aborts", "http_transport.request", "crashed", "there is nothing left to do"),
    bad("misbehaves", "prints", "hygiene.process", "fail", "it printed 1000 bytes"),
    bad("misbehaves", "moves", "hygiene.process", "fail", "the working folder"),
    bad("misbehaves", "says", "secrets.kept", "fail", "`token` stands in a log line"),
    bad("broken_transport", "twice", "transport.once", "fail", "2 times"),
    bad("broken_transport", "foreign", "transport.once", "fail", "which it was never given"),
    bad("broken_transport", "too many", "transport.prefix", "fail", "took 71 of 64"),
    bad("broken_transport", "never", "transport.cancel", "fail", "never answered"),
    bad("broken_transport", "slow", "transport.quick", "warn", "`submit` took "),
    bad("broken_transport", "small", "transport.once", "fail", "a struct of 8 bytes"),
];

#[test]
fn a_bad_plugin_fails_the_rule_that_it_breaks() {
    let world = World::new();
    for Bad { fixture, recipient, rule, verdict, seen } in BAD {
        let file = plugin_files::compile(&world, &format!("tests/fixtures/plugins/{fixture}.c"));
        world.write("values.toml", format!("recipient = {recipient:?}\n"));
        let (code, lines) = check(&world, &file, &["--only", rule, "--values", "values.toml"]);
        let found = &lines[0];
        assert_eq!(found["verdict"], *verdict, "{fixture} {recipient}: {found:#}");
        assert!(found["what"].as_str().unwrap().contains(seen), "{fixture} {recipient}: {found:#}");
        assert_eq!(code, i32::from(*verdict != "warn"), "{fixture} {recipient}");
        if code == 1 {
            let again = found["again"].as_str().unwrap();
            assert!(again.contains(&format!("--only {rule} --in-process")), "{again}");
        }
    }
}

#[test]
fn what_cannot_be_tried_is_skipped_and_a_crash_is_not_the_end_of_the_check() {
    let world = World::new();
    let lying = plugin_files::compile(&world, "tests/fixtures/plugins/lying_name.c");
    let said = world.tidings(&["plugin", "check", &lying.display().to_string()]);
    assert!(said.code == 1 && said.err.contains("a rule does not hold"), "{said:?}");
    assert!(said.out.contains("fail    description.valid") && said.out.contains("skip    hygiene.log"), "{said:?}");
    let crashing = plugin_files::compile(&world, "tests/fixtures/plugins/misbehaves.c");
    world.write("values.toml", "recipient = \"crashes\"\n");
    let (code, lines) = check(&world, &crashing, &["--values", "values.toml"]);
    let verdicts = |name: &str| lines.iter().filter(|line| line["verdict"] == name).count();
    assert!(code == 1 && verdicts("crashed") > 1 && verdicts("ok") > 5, "{lines:#?}");
    assert_eq!(lines.last().unwrap()["holds"], false);
}

#[test]
fn what_was_typed_wrongly_is_told_before_anything_is_tried() {
    let world = World::new();
    let file = plugin_files::compile(&world, "plugins/syslog-c/syslog.c").display().to_string();
    world.write("wrong.toml", "recipent = \"ann\"\n");
    for (args, part) in [
        (&["nowhere.so"][..], "No such file"),
        (&[&file, "--only", "transport.onze"], "did you mean `transport.once`?"),
        (&[&file, "--values", "wrong.toml"], "recipent"),
    ] {
        let said = world.tidings(&[&["plugin", "check"], args].concat());
        assert!(said.code == 2 && said.err.contains(part), "{args:?}: {said:?}");
    }
    assert!(world.ok(&["plugin", "check", "--help"]).contains("transport.destroy"), "the help names the rules");
}

#[test]
fn a_rule_is_tried_in_this_process_for_a_debugger() {
    let world = World::new();
    let file = plugin_files::compile(&world, "plugins/syslog-c/syslog.c").display().to_string();
    let said = world.tidings(&["plugin", "check", &file, "--only", "file.loads", "--in-process"]);
    assert!(said.code == 0 && said.out.contains("ok      file.loads"), "{said:?}");
}

#[test]
fn the_list_has_files_and_what_is_built_in_before_and_while_an_engine_runs() {
    let world = World::new();
    let file = plugin_files::compile(&world, "plugins/syslog-c/syslog.c");
    world.configure_more("[plugins.syslog]\npath = \"libsyslog.so\"\n[plugins.gone]\npath = \"libgone.so\"\n");
    let row = |list: &Value, name: &str| {
        list.as_array().unwrap().iter().find(|row| row["name"] == name).cloned().unwrap_or_else(|| panic!("{list:#}"))
    };
    let before = world.ok_json(&["plugin", "list", "--json"]);
    let syslog = row(&before, "syslog");
    assert_eq!((&syslog["state"], &syslog["runs"]), (&Value::from("fit to load"), &Value::from(false)));
    assert_eq!(syslog["roles"], serde_json::json!(["transport"]));
    assert_eq!(syslog["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(row(&before, "wechat")["state"], "built in");
    assert!(row(&before, "gone")["state"].as_str().unwrap().contains("not there"), "{before:#}");
    let table = world.ok(&["plugin", "list"]);
    assert!(table.contains(&file.file_name().unwrap().to_string_lossy().into_owned()), "{table}");
    assert!(!table.contains(syslog["sha256"].as_str().unwrap()), "a table has a short hash: {table}");
    world.run();
    let running = world.ok_json(&["plugin", "list", "--json"]);
    let syslog = row(&running, "syslog");
    assert_eq!((&syslog["state"], &syslog["runs"]), (&Value::from("working"), &Value::from(true)));
    assert!(row(&running, "gone")["state"].as_str().unwrap().starts_with("absent: "), "{running:#}");
}
