//! What `--help` names: a list that changes only on purpose.

use crate::harness::World;

/// The names under `Commands:` of a help text.
fn commands(help: &str) -> Vec<String> {
    let (_, list) = help.split_once("Commands:\n").unwrap_or_else(|| panic!("no commands in {help}"));
    list.lines()
        .take_while(|line| !line.is_empty())
        // A command stands two columns in; what stands further in is the rest of a wrapped line.
        .filter(|line| !line[2..].starts_with(' '))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect()
}

#[test]
fn help_names_every_command() {
    let world = World::new();
    let expected = [
        (
            "",
            "demo run check send credentials reachability messages channels tokens keys openapi schedules runs suppressions audit events webhooks nodes plugin reload backup migrate tui sandbox help",
        ),
        ("credentials", "add list forecast help"),
        ("messages", "list show reasons retry cancel hold release help"),
        ("suppressions", "list add remove help"),
        ("audit", "list help"),
        ("channels", "list pause resume help"),
        ("tokens", "list refresh help"),
        ("schedules", "list next show run pause resume skip backfill help"),
        ("runs", "list show cancel preflight help"),
        ("webhooks", "list resume test help"),
        ("plugin", "new list check help"),
    ];
    for (command, names) in expected {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        assert_eq!(commands(&world.ok(&args)).join(" "), names, "`tidings {command} --help`");
    }
}

#[test]
fn every_command_has_help_of_its_own() {
    let world = World::new();
    for (command, parts) in [
        ("demo", &["--messages", "--headless", "--json"][..]),
        ("run", &["--tui", "--config"]),
        ("check", &["--json"]),
        ("send", &["--to", "--data", "--file", "--at", "--key", "--dry-run", "--json"]),
        ("credentials add", &["SOURCE", "--file", "--app"]),
        ("credentials list", &["--source", "--usable"]),
        ("credentials forecast", &["[TEMPLATE]", "--json"]),
        ("reachability", &["<RECIPIENT>", "--template"]),
        ("messages list", &["--state", "--reason", "--channel", "--template", "--to", "--cursor", "waiting"]),
        ("messages show", &["ID", "--json"]),
        ("messages reasons", &["--state", "--channel", "--json", "unknown"]),
        ("messages retry", &["--state", "--channel", "--reason", "--template", "--rate", "50/s", "--yes", "--note"]),
        ("messages cancel", &["--note"]),
        ("channels pause", &["--reason"]),
        ("channels resume", &["NAME"]),
        ("tokens refresh", &["APP"]),
        ("schedules list", &["--json"]),
        ("runs list", &["--schedule"]),
        ("events", &["--follow", "--type", "--channel", "--full", "--after", "--json"]),
        ("webhooks resume", &["NAME", "--reason", "--json"]),
        ("webhooks test", &["NAME", "--json"]),
        ("nodes", &["--json"]),
        ("plugin new", &["--role", "http-transport", "credential-source", "--sdk"]),
        ("plugin list", &["--json"]),
        ("plugin check", &["FILE", "--only", "--values", "--seed", "--in-process", "--json", "file.note"]),
        ("backup", &["FILE", "--json"]),
        ("migrate", &["--from", "--to", "--forget-move", "--json", "sqlite://FILE", "empty"]),
        ("tui", &["--url"]),
        ("sandbox", &["--listen", "--faults", "127.0.0.1:7390"]),
    ] {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let help = world.ok(&args);
        for part in parts {
            assert!(help.contains(part), "`{part}` is not in `tidings {command} --help`: {help}");
        }
    }
}

#[test]
fn a_slip_of_the_finger_is_told_the_right_name_and_ends_with_two() {
    let world = World::new();
    for (args, right) in
        [(&["chekc"][..], "check"), (&["send", "x", "--too", "y"], "--to"), (&["messages", "lsit"], "list")]
    {
        let said = world.tidings(args);
        assert!(said.code == 2 && said.err.contains(right), "{args:?}: {said:?}");
    }
    assert_eq!(world.tidings(&["send", "notice"]).code, 2, "neither --to nor --file");
    assert!(world.ok(&["--version"]).starts_with("tidings "));
}
