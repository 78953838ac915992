//! WeChat's own tests once more, over the border: the same modules, compiled for their tests alone, whose stages are those
//! of the plugin file.

#![allow(dead_code, reason = "what the stages are made of is in the file; here it is there for the tests beside it")]

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use tidings_host::{Loaded, PluginFile, direct, inspect, load};
use tidings_sdk::{Description, Plugin};

#[path = "../../src/token.rs"]
mod token;

#[path = "../../src/credentials.rs"]
mod credentials;

#[path = "../../src/subscribe.rs"]
mod subscribe;

#[path = "../../src/official_template.rs"]
mod official_template;

#[path = "../../src/template.rs"]
mod template;

#[path = "../../src/message.rs"]
mod message;

#[path = "../../src/values.rs"]
mod values;

#[path = "../../src/codes.rs"]
mod codes;

#[path = "../../src/testing.rs"]
mod testing;

/// The plugin of the file, which the modules take for their own.
fn plugin() -> Plugin {
    direct(loaded())
}

/// The file, built from this source and loaded once.
fn loaded() -> &'static Arc<Loaded> {
    static LOADED: OnceLock<Arc<Loaded>> = OnceLock::new();
    LOADED.get_or_init(build)
}

fn build() -> Arc<Loaded> {
    let mut cargo = Command::new(env!("CARGO"));
    // What it has told this process of this package would have every crate with a build script built anew.
    let told =
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_", "CARGO_TARGET_TMP"];
    for (name, _) in std::env::vars().filter(|(name, _)| told.iter().any(|told| name.starts_with(told))) {
        cargo.env_remove(name);
    }
    let built = cargo
        .args(["build", "--quiet", "--locked", "--package", env!("CARGO_PKG_NAME")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs where it runs tests");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    // Beside the tests' own folder: both come from the same build.
    let program = std::env::current_exe().expect("a test has a path");
    let folder = program.ancestors().nth(2).expect("it is two folders deep at least");
    // The host takes no file from a folder that others may write in.
    let place = std::env::temp_dir().join(format!("tidings-wechat-file-{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&place).expect("the folder is this process's own");
    let file = place.join("libtidings_wechat.so");
    fs::copy(folder.join("libtidings_wechat.so"), &file).expect("the file was built");
    let loaded = read(&file);
    fs::remove_dir_all(&place).expect("it was made above");
    loaded
}

fn read(path: &Path) -> Arc<Loaded> {
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("it is ours");
    let inspected = inspect(&PluginFile { path: path.to_owned(), sha256: None });
    inspected.and_then(load).expect("the file is a plugin")
}

#[test]
fn the_file_says_of_itself_what_the_plugin_says_that_is_linked_in() {
    let linked = Description::of(&tidings_wechat::plugin());
    assert_eq!(Ok(loaded().description()), Description::parse(&linked.to_json()).as_ref());
}
