//! `tidings demo` without a terminal: the first command of the README.

use serde_json::Value;

use crate::harness::World;

#[test]
fn a_demo_ends_with_one_line_that_says_nothing_was_lost_or_doubled() {
    let world = World::new();
    let said = world.tidings(&["demo", "--headless", "--json", "--messages", "300"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.out.lines().count(), 1, "{said:?}");
    let members = ["accepted", "sent", "failed", "waiting", "unknown", "duplicates", "lost", "seconds"];
    let mut rest = said.out.as_str();
    for member in members {
        // In this order: each name stands behind the one before.
        let at =
            rest.find(&format!("\"{member}\":")).unwrap_or_else(|| panic!("`{member}` is missing in {}", said.out));
        rest = &rest[at + 1..];
    }
    let summary: Value = said.json();
    assert_eq!(summary.as_object().unwrap().len(), members.len(), "{summary}");
    for (member, expected) in [
        ("accepted", 300),
        ("sent", 300),
        ("failed", 0),
        ("waiting", 0),
        ("unknown", 0),
        ("duplicates", 0),
        ("lost", 0),
    ] {
        assert_eq!(summary[member], expected, "{summary}");
    }
    assert!(summary["seconds"].as_f64().unwrap() > 0.0);
    assert!(!world.path("tidings.db").exists(), "a demo leaves nothing where it was started");
}

#[test]
fn a_demo_without_a_terminal_tells_people_how_it_went() {
    let world = World::new();
    let said = world.tidings(&["demo", "--messages", "40"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("sent       40") && said.out.contains("0 doubled, 0 lost"), "{said:?}");
    assert!(said.err.contains("sent 40 of 40"), "{said:?}");
}

#[test]
fn a_demo_works_behind_a_proxy_that_the_environment_names() {
    let world = World::new();
    for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        world.set(name, "http://127.0.0.1:9");
    }
    let said = world.tidings(&["demo", "--headless", "--json", "--messages", "5"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.json()["sent"], 5, "{said:?}");
}

#[test]
fn no_messages_at_all_is_no_demo() {
    let world = World::new();
    assert_eq!(world.tidings(&["demo", "--messages", "0"]).code, 2);
}
