//! `tidings backup`: while the engine runs, when none does, and what it never does.

use std::process::Command;

use serde_json::json;

use crate::api::over_tcp;
use crate::harness::{Store, World, http_tcp, with_stores_in};

#[test]
fn a_backup_of_a_running_engine_is_a_store_another_engine_goes_on_with() {
    let world = World::running();
    let sent = world.send("notice", "o-alice", "1");
    world.until(&sent, "sent");
    let waiting = world.send("order-paid", "o-bob", "2");
    world.until(&waiting, "waiting");
    let out = world.ok(&["backup", "copy.db"]);
    assert!(out.contains("copy.db: ") && out.contains(" bytes in ") && out.contains("by the running engine"), "{out}");
    let entry = world.ok_json(&["audit", "list", "--json"])["items"][0].clone();
    assert_eq!((&entry["who"], &entry["act"]), (&json!("local (tester)"), &json!("backup.make")), "{entry}");
    assert_eq!(entry["subject"].as_str().unwrap(), world.path("copy.db").to_str().unwrap());
    let later = world.send("notice", "o-alice", "3");
    world.until(&later, "sent");
    world.terminate();

    // The file moves in where the store was, as after the loss of a disk.
    for end in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(world.path(&format!("tidings.db{end}"))));
    }
    std::fs::rename(world.path("copy.db"), world.path("tidings.db")).unwrap();
    world.run();
    assert_eq!(world.message(&sent)["state"], "sent");
    world.permit("o-bob");
    world.until(&waiting, "sent");
    assert_eq!(world.get(&format!("/v1/messages/{later}")).status, 404, "what came after the copy is not in it");
}

#[test]
fn a_file_that_is_there_stays_and_the_engine_goes_on() {
    let world = World::running();
    world.write("precious", "mine");
    let said = world.tidings(&["backup", "precious"]);
    assert!(said.code == 1 && said.err.contains("precious") && said.err.contains("another name"), "{said:?}");
    assert_eq!(world.read("precious"), "mine");
    let said = world.tidings(&["backup", "tidings.db"]);
    assert!(said.code == 1 && said.err.contains("none is written over"), "{said:?}");
    let said = world.tidings(&["backup", "no/such/folder/copy.db"]);
    assert!(said.code == 1 && said.err.contains("no/such/folder"), "{said:?}");
    assert_eq!(world.post("/v1/backup", &json!({"path": "precious"})).problem(), "backup-exists");
    assert_eq!(world.post("/v1/backup", &json!({"file": "x"})).problem(), "unreadable");
    let id = world.send("notice", "o-alice", "1");
    world.until(&id, "sent");
}

#[test]
fn a_store_that_no_engine_has_is_copied_too() {
    let world = World::running();
    let id = world.send("notice", "o-alice", "1");
    world.until(&id, "sent");
    // What a crash leaves is in the log beside the file.
    world.kill();
    let made = world.ok_json(&["backup", "copy.db", "--json"]);
    let bytes = std::fs::metadata(world.path("copy.db")).unwrap().len();
    assert_eq!((made["bytes"].as_u64(), made["took_ms"].is_u64()), (Some(bytes), true), "{made}");
    world.configure_more("[store]\nurl = \"sqlite://copy.db\"");
    let again = world.tidings(&["backup", "second.db"]);
    assert!(again.code == 0 && again.out.contains("no engine runs"), "{again:?}");
    world.configure(&[]);
    let none = World::new();
    let said = none.tidings(&["backup", "copy.db"]);
    assert!(said.code == 1 && said.err.contains("tidings.db"), "{said:?}");
    assert!(!none.path("tidings.db").exists() && !none.path("copy.db").exists());
}

#[test]
fn a_store_on_a_server_is_copied_there_and_that_is_said() {
    with_stores_in(Store::Server, || {
        let world = World::running();
        let said = world.tidings(&["backup", "copy.db"]);
        assert!(said.code == 1 && said.err.contains("pg_dump"), "{said:?}");
        assert_eq!(world.post("/v1/backup", &json!({"path": "copy.db"})).problem(), "backup-elsewhere");
        world.terminate();
        let said = world.tidings(&["backup", "copy.db"]);
        assert!(said.code == 1 && said.err.contains("pg_dump"), "{said:?}");
        assert!(!world.path("copy.db").exists());
        world.configure_more("[schedules.nightly]\ncron = \"@daily\"\njob = { backup = \"copies\" }\n");
        let said = world.tidings(&["check"]);
        assert!(said.code == 2 && said.err.contains("schedules.nightly.job.backup: ") && said.err.contains("pg_dump"));
    });
}

#[test]
fn a_disk_that_is_too_small_keeps_no_half_file() {
    let world = World::running();
    let id = world.send("notice", "o-alice", "1");
    world.until(&id, "sent");
    world.terminate();
    // No file of this process may have more than 40 KiB: enough to begin with.
    let out = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 80; exec \"$0\" backup copy.db", env!("CARGO_BIN_EXE_tidings")])
        .current_dir(world.path("."))
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && err.contains("copy the store"), "{out:?}");
    assert!(!world.path("copy.db").exists() && !world.path("copy.db.part").exists());
    world.ok(&["backup", "copy.db"]);
}

#[test]
fn over_tcp_no_file_is_made_even_with_the_key() {
    let (world, address, key) = over_tcp();
    let right = format!("Bearer {key}");
    let body = json!({"path": "copy.db"}).to_string();
    let answer = http_tcp(address, "POST", "/v1/backup", &[("authorization", &right)], &body);
    assert_eq!((answer.status, answer.problem().as_str()), (403, "local-only"));
    let answer = http_tcp(address, "POST", "/v1/backup", &[], &body);
    assert_eq!(answer.status, 401, "{answer:?}");
    let said = world.tidings(&["--url", &format!("http://{address}"), "backup", "copy.db"]);
    assert!(said.code == 2 && said.err.contains("local socket"), "{said:?}");
    assert!(!world.path("copy.db").exists());
}
