//! What is known of a file before any of it runs.

use std::os::unix::fs::symlink;

use tidings_host::{PluginFile, inspect};

use crate::fixture::{Folder, inspected, set_mode};

/// What is said of the file.
fn problem(path: &std::path::Path) -> String {
    let refusal = inspected(path).unwrap_err();
    assert!(refusal.to_string().contains(&path.display().to_string()), "{refusal}");
    refusal.problem().to_owned()
}

#[test]
fn a_good_file_is_known_before_it_runs() {
    let folder = Folder::new();
    let inspected = inspected(&folder.compile("good_pure")).unwrap();
    assert_eq!((inspected.name.as_str(), inspected.version.as_str()), ("good-pure", "1.0.0"));
    assert_eq!((inspected.minor, inspected.minor_needed), (0, 0));
    assert!(inspected.target.starts_with(std::env::consts::ARCH));
    let roles = ["token_provider", "credential_source", "renderer", "http_transport", "callback"];
    assert_eq!(inspected.roles, roles);
    assert_eq!(inspected.sha256.len(), 64);
    assert!(format!("{inspected:?}").len() < 1000, "the bytes do not stand in Debug");
}

#[test]
fn what_is_no_plugin_is_refused_in_a_sentence() {
    let folder = Folder::new();
    assert_eq!(problem(&folder.path().join("absent.so")), "is not there");
    assert_eq!(problem(folder.path()), "is not a regular file");
    assert!(problem(&folder.file("empty.so", b"")).starts_with("is empty"));
    assert!(problem(&folder.file("text.so", b"hello")).starts_with("is no shared object"));
    assert!(problem(&folder.compile("no_note")).starts_with("has no Tidings note: is it a plugin?"));
}

#[test]
fn a_pipe_is_refused_and_nobody_waits_for_it() {
    let folder = Folder::new();
    let pipe = folder.path().join("pipe.so");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(problem(&pipe), "is not a regular file");
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused_and_nothing_is_read_past_it() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.compile("good_pure")).unwrap();
    for size in (0..whole.len()).step_by(61).chain([4, 5, 16, 19, 20, 63, 64, whole.len() - 1]) {
        let said = problem(&folder.file("cut.so", &whole[..size]));
        let is_told = ["is empty", "is no shared object", "is cut short"].iter().any(|part| said.contains(part));
        assert!(is_told, "{size} of {}: {said}", whole.len());
    }
}

#[test]
fn a_file_whose_segments_are_not_there_is_refused_before_it_is_mapped() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(folder.compile("good_pure")).unwrap();
    // ELF-64: the table of segments is where byte 32 says; 56 bytes each, the type first, the size in the file at 32.
    let table = usize::from(bytes[32]);
    let load = (0..8).map(|place| table + 56 * place).find(|place| bytes[*place] == 1).unwrap();
    for size in [bytes.len() as u64 + 1, u64::MAX] {
        bytes[load + 32..load + 40].copy_from_slice(&size.to_le_bytes());
        let said = problem(&folder.file("cut.so", &bytes));
        assert_eq!(said, format!("is cut short: it has {} bytes and needs more; copy it again", bytes.len()));
    }
}

#[test]
fn a_file_for_another_machine_says_which() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.compile("good_pure")).unwrap();
    let ours = std::env::consts::ARCH;
    let change = |place: usize, value: u8| {
        let mut changed = whole.clone();
        changed[place] = value;
        problem(&folder.file("changed.so", &changed))
    };
    let other = if ours == "aarch64" { (62, "x86_64") } else { (183, "aarch64") };
    assert_eq!(change(18, other.0), format!("is built for {}; this engine is {ours}", other.1));
    assert_eq!(change(18, 3), format!("is built for x86 (32 bit); this engine is {ours}"));
    assert_eq!(change(4, 1), "is a 32-bit, little-endian file; this engine is 64-bit, little-endian");
    assert!(change(16, 2).contains("is no shared object but a program"));
}

#[test]
fn a_note_that_this_engine_cannot_work_with_says_why() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.compile("good_pure")).unwrap();
    let owner = b"Tidings\0";
    let note = whole.windows(8).position(|bytes| bytes == owner).unwrap() - 12;
    let change = |place: usize, value: &[u8]| {
        let mut changed = whole.clone();
        changed[note + place..note + place + value.len()].copy_from_slice(value);
        problem(&folder.file("changed.so", &changed))
    };
    let word = |place: usize, value: u32| change(place, &value.to_le_bytes());
    assert!(word(0, 9).contains("something else in it"));
    assert!(word(4, u32::MAX).contains("says it has 4294967295 bytes, and has 132"));
    assert!(word(4, 4).contains("too short"));
    assert!(word(20, 2).starts_with("speaks major 2 of the contract; this engine speaks 1"));
    assert!(word(28, 3).starts_with("needs minor 3 of the contract"));
    assert!(word(32, 2).starts_with("was built with panic=abort"));
    assert!(word(32, 2).contains("set panic = \"unwind\""));
    assert!(change(40, &[0xff; 32]).contains("whose name is no text"));
    let target = format!("{}-linux-musl", std::env::consts::ARCH);
    if cfg!(target_env = "gnu") {
        assert!(change(104, target.as_bytes()).starts_with(&format!("is built for {target}; this engine is ")));
    }
}

#[test]
fn a_file_that_others_can_write_is_refused_with_what_to_run() {
    let folder = Folder::new();
    let file = folder.compile("good_pure");
    set_mode(&file, 0o775);
    assert!(problem(&file).contains(&format!("by its group: chmod go-w '{}'", file.display())));
    set_mode(&file, 0o757);
    assert!(problem(&file).contains("everybody"));
    set_mode(&file, 0o755);
    set_mode(folder.path(), 0o777);
    assert!(problem(&file).contains(&format!("chmod go-w '{}'", folder.path().display())));
    set_mode(folder.path(), 0o1777);
    assert!(inspected(&file).is_ok(), "in a sticky folder of ours nobody else replaces a file of ours");
    set_mode(folder.path(), 0o700);
    assert!(inspected(&file).is_ok());
}

#[test]
fn a_link_is_as_good_as_the_folders_it_stands_and_ends_in() {
    let folder = Folder::new();
    let other = Folder::new();
    let file = folder.compile("good_pure");
    let link = other.path().join("link.so");
    symlink(&file, &link).unwrap();
    assert!(inspected(&link).is_ok());
    set_mode(folder.path(), 0o777);
    assert!(problem(&link).contains(&folder.path().display().to_string()));
    set_mode(folder.path(), 0o700);
    set_mode(other.path(), 0o777);
    assert!(problem(&link).contains(&other.path().display().to_string()));
    set_mode(other.path(), 0o700);
}

#[test]
fn a_file_of_another_owner_is_refused() {
    let folder = Folder::new();
    let file = folder.compile("good_pure");
    // Only root gives files away; elsewhere the rule is tested as a function of values.
    if std::os::unix::fs::chown(&file, Some(12345), None).is_ok() {
        assert!(problem(&file).contains("belongs to user 12345"));
    }
}

#[test]
fn a_pin_that_differs_is_told_with_both() {
    let folder = Folder::new();
    let path = folder.compile("good_pure");
    let sha256 = inspected(&path).unwrap().sha256;
    assert!(inspect(&PluginFile { path: path.clone(), sha256: Some(sha256.to_uppercase()) }).is_ok());
    let pin = "0".repeat(64);
    let refusal = inspect(&PluginFile { path, sha256: Some(pin.clone()) }).unwrap_err();
    assert!(refusal.problem().contains(&pin) && refusal.problem().contains(&sha256), "{refusal}");
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let folder = Folder::new();
    let path = folder.file("large.so", b"\x7fELF");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(tidings_host::limits::FILE_BYTES_MAX + 1).unwrap();
    assert!(problem(&path).contains("more than 256 MiB"));
}
