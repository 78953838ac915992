//! Plugin files for tests: built from the workspace's own crates and from C, and placed where an engine takes them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::World;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds a crate of the workspace as a plugin file and places it in the world's folder. `library` is its file's name.
pub(crate) fn place(world: &World, package: &str, library: &str) -> PathBuf {
    let built =
        cargo().args(["build", "--quiet", "--locked", "--package", package]).current_dir(root()).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    // Beside the program under test: both come from the same build.
    let folder = Path::new(env!("CARGO_BIN_EXE_tidings")).parent().unwrap();
    place_file(world, &folder.join(format!("lib{library}.so")))
}

/// The cargo that runs the tests, as somebody at a prompt would call it: what it has told this process of the tests'
/// own package would have every crate with a build script built anew.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    const TOLD: [&str; 6] = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_TMPDIR",
    ];
    let told = |name: &str| TOLD.iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars().filter(|(name, _)| told(name)) {
        cargo.env_remove(name);
    }
    cargo
}

/// Compiles a plugin in C and places it in the world's folder.
pub(crate) fn compile(world: &World, source: &str) -> PathBuf {
    let source = root().join(source);
    let library = world.path(&format!("lib{}.so", source.file_stem().unwrap().display()));
    let compiled = Command::new("cc")
        .args(["-std=gnu99", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread", "-I"])
        .arg(root().join("plugins/abi/include"))
        .arg(&source)
        .arg("-o")
        .arg(&library)
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    protect(&library);
    library
}

/// Copies a file that is there into the world's folder.
pub(crate) fn place_file(world: &World, from: &Path) -> PathBuf {
    let library = world.path(&from.file_name().unwrap().to_string_lossy());
    fs::copy(from, &library).unwrap_or_else(|error| panic!("copy {}: {error}", from.display()));
    protect(&library);
    library
}

/// As an engine wants it: nobody but its owner may write it.
fn protect(library: &Path) {
    fs::set_permissions(library, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(library.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
}
