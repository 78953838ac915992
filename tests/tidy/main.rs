//! Rules of the repository, as ordinary tests: what a document says must be so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tidings_model::state::TABLE;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_moves_in_the_document_are_the_moves_of_the_table() {
    let document = read("docs/ARCHITECTURE.md");
    let rows = document.lines().skip_while(|line| !line.starts_with("| From | On | To |")).skip(2);
    let mut printed = BTreeSet::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        for from in cells[0].split(", ") {
            printed.insert(format!("{from} on {} to {}", cells[1], cells[2]));
        }
    }
    let table: BTreeSet<String> =
        TABLE.iter().map(|(from, on, to)| format!("{from} on {} to {to}", on.as_str())).collect();
    assert_eq!(printed, table);
}

/// The members of the workspace, bottom-up.
fn members() -> Vec<String> {
    let lines = read("Cargo.toml");
    let lines = lines.lines().skip_while(|line| !line.starts_with("members = [")).skip(1);
    lines
        .take_while(|line| !line.starts_with(']'))
        .map(|line| line.trim().trim_matches(['"', ',']).to_owned())
        .collect()
}

#[test]
fn a_member_depends_only_on_members_above_it() {
    let members = members();
    let names: Vec<String> = members
        .iter()
        .map(|member| {
            let text = read(&format!("{member}/Cargo.toml"));
            let name = text.lines().find(|line| line.starts_with("name = ")).expect("a member has a name");
            name.trim_start_matches("name = ").trim_matches('"').to_owned()
        })
        .collect();
    assert!(names.len() > 5);
    for (place, member) in members.iter().enumerate() {
        let text = read(&format!("{member}/Cargo.toml"));
        let needed = text.split("[dependencies]").nth(1).unwrap_or_default();
        let needed = needed.split("[dev-dependencies]").next().unwrap_or_default();
        for below in &names[place..] {
            let depends = needed.lines().any(|line| line.starts_with(&format!("{below} ")));
            assert!(!depends, "{member} depends on {below}, which stands below it");
        }
    }
}

#[test]
fn only_the_store_knows_sql_and_only_the_binary_knows_everybody() {
    for (crate_name, allowed) in [
        ("sqlx", vec!["core/store", "tests/bench", "tests/torture"]),
        ("axum", vec!["core/api", "plugins/wechat/sandbox", "tests/bench"]),
        ("ratatui", vec!["tui"]),
        ("minijinja", vec!["core/engine"]),
        ("tidings-wechat-sandbox", vec!["tests/torture"]),
        ("libloading", vec!["plugins/host"]),
        ("object", vec!["plugins/host"]),
        ("lettre", vec!["plugins/smtp"]),
        ("tidings-abi", vec!["plugins/sdk", "plugins/host"]),
        ("tidings-host", vec!["core/engine", "tests/bench"]),
    ] {
        for member in members() {
            let text = read(&format!("{member}/Cargo.toml"));
            let uses = text.lines().any(|line| line.starts_with(&format!("{crate_name} =")));
            assert!(!uses || allowed.contains(&&*member), "{member} uses {crate_name}");
        }
    }
}

#[test]
fn the_paths_that_documents_name_are_there() {
    for document in [
        "README.md",
        "docs/ARCHITECTURE.md",
        "docs/RECIPES.md",
        "plugins/quota/README.md",
        "plugins/smtp/README.md",
        "plugins/syslog-c/README.md",
        "plugins/webhook/README.md",
        "plugins/wechat/README.md",
        "plugins/wechat/sandbox/README.md",
    ] {
        let text = read(document);
        let folder = root().join(document).parent().map(Path::to_path_buf).expect("a document stands in a folder");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            assert!(folder.join(path).exists(), "{document} names `{path}`");
        }
        for path in text.split('`').skip(1).step_by(2).filter(|code| code.starts_with("core/") && code.ends_with(".rs"))
        {
            assert!(root().join(path).exists(), "{document} names `{path}`");
        }
    }
}

#[test]
fn only_the_border_of_plugins_may_be_unsafe() {
    for member in members() {
        let text = read(&format!("{member}/Cargo.toml"));
        let forbids = text.contains("[lints]\nworkspace = true");
        let is_border = ["plugins/abi", "plugins/sdk", "plugins/host"].contains(&&*member);
        assert_eq!(forbids, !is_border, "{member}: the lints of the workspace forbid unsafe code");
    }
}
