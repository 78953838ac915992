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
        ("tidings-host", vec!["core/engine", "plugins/wechat/file", "tests/bench"]),
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
        "docs/PLUGINS.md",
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
fn a_new_plugin_takes_the_whole_sdk_along() {
    let list = read("core/cli/plugin/embedded.rs");
    for folder in ["plugins/abi/src", "plugins/abi/include", "plugins/sdk/src"] {
        for file in files(&root().join(folder)) {
            let path = file.strip_prefix(root()).expect("it is under the root").display().to_string();
            assert!(list.contains(&format!("\"{path}\"")), "core/cli/plugin/embedded.rs does not list `{path}`");
        }
    }
}

#[test]
fn the_rules_of_check_in_the_document_are_those_that_are_tried() {
    let document = read("docs/PLUGINS.md");
    let rows = document.lines().skip_while(|line| !line.starts_with("| Rule | What must be so |")).skip(2);
    let printed: Vec<String> = rows.take_while(|line| line.starts_with('|')).map(str::to_owned).collect();
    let rules = tidings_host::check::RULES.iter();
    let tried: Vec<String> = rules.map(|rule| format!("| `{}` | {} |", rule.name, rule.about)).collect();
    assert_eq!(printed, tried);
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

/// Every file under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a folder can be read").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
