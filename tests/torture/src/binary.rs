//! Which program is tortured: the one that was named, or the `tidings` beside this one, built first where cargo runs us.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::trouble::{Outcome, Trouble};

/// The program.
pub(crate) fn find(named: Option<&Path>) -> Outcome<PathBuf> {
    if let Some(named) = named {
        return named
            .canonicalize()
            .map_err(|error| Trouble::new(format!("the binary `{}`: {error}", named.display())));
    }
    let own = std::env::current_exe()?;
    let folder = own.parent().ok_or_else(|| Trouble::new("this program lies in no folder"))?;
    // `cargo run` says so to what it runs.
    if let (Some(cargo), Some(manifest)) = (std::env::var_os("CARGO"), std::env::var_os("CARGO_MANIFEST_DIR")) {
        let mut build = Command::new(cargo);
        build.current_dir(manifest).args(["build", "--quiet", "--package", "tidings", "--bin", "tidings"]);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        eprintln!("building the binary");
        if !build.status()?.success() {
            return Err(Trouble::new("the binary was not built; name one with `--binary PATH`"));
        }
    }
    let found = folder.join("tidings");
    if found.exists() {
        return Ok(found);
    }
    Err(Trouble::new(format!(
        "there is no `{}`; build it with `cargo build --release --bin tidings`, or name one with `--binary PATH`",
        found.display()
    )))
}
