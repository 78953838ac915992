//! The manifest of a crate of ours, fit to stand outside of our workspace.

/// How a crate is taken along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// With its features and optional dependencies.
    Whole,
    /// Without them.
    Bare,
}

/// The manifest `member` with everything that it inherits from `root`, and without what only we need: lints, tests,
/// comments. The member stands two folders under the root, here as there.
///
/// # Panics
///
/// It inherits what the root does not have. Both are part of this program.
pub(super) fn standalone(member: &str, root: &str, take: Take) -> String {
    let mut section = "";
    let mut lines = Vec::new();
    for line in member.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        }
        let is_ours = section.starts_with("lints") || section == "dev-dependencies";
        let is_option = take == Take::Bare && (section == "features" || line.contains("optional = true"));
        if is_ours || is_option || line.starts_with("publish") {
            continue;
        }
        lines.push(match line.split_once(['.', ' ']) {
            Some((key, "workspace = true")) => format!("{key} = {}", value(root, "workspace.package", key)),
            Some((name, rest)) if rest.starts_with("= { workspace = true") => {
                let own = rest.trim_start_matches("= { workspace = true").trim_end_matches(" }");
                format!("{name} = {{ {}{own} }}", inherited(root, name))
            }
            _ => line.to_owned(),
        });
    }
    let mut text = lines.join("\n");
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    text.trim_end().to_owned() + "\n"
}

/// What a dependency is by the workspace, without the braces.
fn inherited(root: &str, name: &str) -> String {
    let value = value(root, "workspace.dependencies", name);
    if value.starts_with('"') {
        return format!("version = {value}");
    }
    value.trim_matches(['{', '}', ' ']).replace("path = \"", "path = \"../../")
}

fn value<'r>(root: &'r str, section: &str, key: &str) -> &'r str {
    let section = format!("[{section}]");
    root.lines()
        .skip_while(|line| *line != section)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))
        .unwrap_or_else(|| panic!("`{section}` has no `{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = r#"[workspace.package]
version = "0.1.0"

[workspace.dependencies]
serde_json = "1"
tidings-abi = { path = "plugins/abi" }
tokio = { version = "1", features = ["rt"] }

[workspace.lints.rust]
"#;
    const MEMBER: &str = r#"[package]
name = "tidings-sdk"
version.workspace = true
publish.workspace = true

# Lints.
[lints.rust]
unsafe_code = "deny"

[features]
runtime = ["dep:tokio"]

[dependencies]
serde_json = { workspace = true }
tidings-abi = { workspace = true }
tokio = { workspace = true, optional = true }

[dev-dependencies]
proptest = { workspace = true }
"#;

    #[test]
    fn what_is_inherited_is_filled_in_and_what_is_only_ours_is_left_out() {
        let whole = r#"[package]
name = "tidings-sdk"
version = "0.1.0"

[features]
runtime = ["dep:tokio"]

[dependencies]
serde_json = { version = "1" }
tidings-abi = { path = "../../plugins/abi" }
tokio = { version = "1", features = ["rt"], optional = true }
"#;
        assert_eq!(standalone(MEMBER, ROOT, Take::Whole), whole);
    }

    #[test]
    fn a_bare_crate_has_no_options() {
        let bare = standalone(MEMBER, ROOT, Take::Bare);
        assert!(!bare.contains("tokio") && !bare.contains("features") && bare.contains("serde_json"), "{bare}");
    }
}
