//! Servers and databases as tests have them: there when asked for, gone afterwards.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tidings_cluster::{Cluster, DURABLE, Database, NAMED_BY, Stop, fresh_database};

/// What psql answers to a statement on a database.
fn ask(url: &str, statement: &str) -> Result<String, String> {
    let answered = Command::new("psql").args(["-X", "-q", "-A", "-t", "-c", statement, url]).output();
    let answered = answered.expect("psql can be run");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    if answered.status.success() { Ok(text(answered.stdout)) } else { Err(text(answered.stderr)) }
}

/// The names of databases on a server that begin like those of tests.
fn databases(url: &str) -> Vec<String> {
    let names = ask(url, "SELECT datname FROM pg_database WHERE datname LIKE 'tidings_test_%'").expect("it answers");
    names.lines().map(str::to_owned).collect()
}

/// A folder that is not there yet and not there any more.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("tidings-cluster-{name}-{}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The program, for a workspace whose target folder is this one.
fn program(target: &Path, word: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings-cluster"));
    command.arg(word).env("CARGO_TARGET_DIR", target).env_remove(NAMED_BY);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What the program prints.
fn said(command: &mut Command) -> String {
    let ended = command.output().expect("the program can be run");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).expect("it prints text").trim().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "the pause between two looks, with a deadline")]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} within 60 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_fresh_database_is_there_empty_and_gone_when_it_is_dropped() {
    let database = fresh_database();
    let (url, name) = (database.url().to_owned(), database.name().to_owned());
    assert_eq!(ask(&url, "SELECT current_database()"), Ok(name.clone()));
    assert_eq!(ask(&url, "SELECT count(*) FROM pg_stat_user_tables"), Ok("0".to_owned()));
    drop(database);
    let refused = ask(&url, "SELECT 1").expect_err("it is gone");
    assert!(refused.contains("does not exist"), "{refused}");
}

#[test]
fn a_database_that_somebody_is_connected_to_is_dropped_all_the_same() {
    let database = fresh_database();
    let mut sleeper = Command::new("psql");
    sleeper.args(["-X", "-q", "-c", "SELECT pg_sleep(60)", database.url()]).stderr(Stdio::null());
    let mut sleeper = sleeper.spawn().expect("psql can be run");
    let connected = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)' \
                     AND datname = current_database()";
    wait_until("connected", || ask(database.url(), connected) == Ok("1".to_owned()));
    let url = database.url().to_owned();
    drop(database);
    let refused = ask(&url, "SELECT 1").expect_err("it is gone");
    assert!(refused.contains("does not exist"), "{refused}");
    assert!(!sleeper.wait().expect("it ends").success());
}

#[test]
fn two_processes_at_once_find_the_same_server_and_stop_ends_it() {
    let target = Folder::new("target");
    let starts: Vec<_> = (0..2).map(|_| program(&target.0, "start").spawn().expect("the program can be run")).collect();
    let urls: Vec<String> = starts
        .into_iter()
        .map(|start| {
            let ended = start.wait_with_output().expect("it ends");
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
            String::from_utf8(ended.stdout).expect("it prints text").trim().to_owned()
        })
        .collect();
    assert_eq!(urls[0], urls[1]);
    assert_eq!(said(&mut program(&target.0, "url")), urls[0]);
    assert_eq!(ask(&urls[0], "SHOW fsync"), Ok("off".to_owned()));
    let folder = PathBuf::from(urls[0].split("host=").nth(1).expect("a socket's folder"));
    assert!(folder.exists());
    assert_eq!(said(&mut program(&target.0, "stop")), "stopped");
    assert!(!folder.exists());
    assert_eq!(said(&mut program(&target.0, "stop")), "none runs");
}

#[test]
fn a_shared_server_that_was_killed_is_made_anew() {
    let target = Folder::new("killed");
    let first = said(&mut program(&target.0, "start"));
    let folder = PathBuf::from(first.split("host=").nth(1).expect("a socket's folder"));
    let postmaster = std::fs::read_to_string(folder.join("data/postmaster.pid")).expect("it runs");
    let postmaster = postmaster.lines().next().expect("its first line is its process").to_owned();
    assert!(Command::new("kill").args(["-KILL", &postmaster]).status().expect("kill can be run").success());
    wait_until("killed", || ask(&first, "SELECT 1").is_err());
    let second = said(&mut program(&target.0, "start"));
    assert_eq!(ask(&second, "SELECT 1"), Ok("1".to_owned()));
    assert_ne!(first, second);
    assert!(!folder.exists(), "the killed one's folder is removed");
    assert_eq!(said(&mut program(&target.0, "stop")), "stopped");
}

#[test]
fn a_server_that_is_named_is_used_and_none_is_started() {
    let named = Cluster::private(&std::env::temp_dir(), &DURABLE).expect("a server starts");
    let url = named.url("postgres");
    let target = Folder::new("named");
    assert_eq!(said(program(&target.0, "url").env(NAMED_BY, &url)), url);
    assert!(!target.0.exists());
    let database = Database::on(&url).expect("a database can be made");
    assert_eq!(databases(&url), [database.name()]);
    drop(database);
    assert_eq!(databases(&url), [""; 0]);
}

#[test]
fn a_name_that_is_no_address_is_refused_and_what_it_says_is_not_told() {
    let target = Folder::new("unnamed");
    let ended = program(&target.0, "url").env(NAMED_BY, "secret@host").output().expect("the program can be run");
    assert_eq!(ended.status.code(), Some(1));
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(
        told,
        "error: read `TIDINGS_TEST_POSTGRES`: expected postgres://user@host/database, found no `://` in it\n"
    );
}

#[test]
fn a_private_server_keeps_what_was_committed_over_every_stop_and_leaves_nothing() {
    let cluster = Cluster::private(&std::env::temp_dir(), &[&DURABLE[..], &[("max_connections", "20")]].concat());
    let cluster = cluster.expect("a server starts");
    let url = cluster.create_database("tidings").expect("a database can be made");
    for (setting, expected) in [("fsync", "on"), ("synchronous_commit", "on"), ("max_connections", "20")] {
        assert_eq!(ask(&url, &format!("SHOW {setting}")), Ok(expected.to_owned()), "{setting}");
    }
    ask(&url, "CREATE TABLE kept (n int)").expect("a table can be made");
    for (how, kept) in [(Stop::Fast, "1"), (Stop::Immediate, "2")] {
        ask(&url, "INSERT INTO kept VALUES (1)").expect("a row can be added");
        cluster.restart(how).expect("it starts again");
        assert_eq!(ask(&url, "SELECT count(*) FROM kept"), Ok(kept.to_owned()), "{how:?}");
    }
    cluster.stop(Stop::Fast).expect("it stops");
    assert!(ask(&url, "SELECT 1").is_err());
    cluster.start().expect("it starts");
    let folder = cluster.folder().to_owned();
    drop(cluster);
    assert!(ask(&url, "SELECT 1").is_err());
    assert!(!folder.exists());
}

#[test]
fn a_private_server_ends_with_the_process_that_has_it() {
    const HOLDS: &str = "TIDINGS_TEST_HOLDS";
    if std::env::var_os(HOLDS).is_some() {
        let held = Cluster::private(&std::env::temp_dir(), &DURABLE).expect("a server starts");
        let note = std::env::var(HOLDS).expect("it names a file");
        std::fs::write(&note, held.folder().to_string_lossy().as_bytes()).expect("a file can be written");
        // Until the process is killed; its input never ends before.
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("it can be read");
    }
    let notes = Folder::new("holds");
    std::fs::create_dir(&notes.0).expect("a folder can be made");
    let note = notes.0.join("folder");
    let mut holder = Command::new(std::env::current_exe().expect("this program is a file"));
    holder.args(["--exact", "a_private_server_ends_with_the_process_that_has_it"]).env(HOLDS, &note);
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("this program can be run");
    let folder = || std::fs::read_to_string(&note).ok().filter(|folder| !folder.is_empty()).map(PathBuf::from);
    wait_until("started", || folder().is_some());
    let folder = folder().expect("it is written down");
    assert!(folder.join("data/postmaster.pid").exists());
    holder.kill().expect("it can be killed");
    holder.wait().expect("it ends");
    wait_until("removed", || !folder.exists());
}

#[test]
fn a_start_that_fails_says_what_the_log_says_and_leaves_nothing() {
    let parent = Folder::new("parent");
    std::fs::create_dir(&parent.0).expect("a folder can be made");
    let refused = Cluster::private(&parent.0, &[("max_connections", "many")]).expect_err("it cannot start").to_string();
    assert!(refused.starts_with("start PostgreSQL: "), "{refused}");
    assert!(refused.contains("invalid value for parameter \"max_connections\": \"many\""), "{refused}");
    assert_eq!(std::fs::read_dir(&parent.0).expect("it is there").count(), 0);
}

#[test]
fn a_folder_that_the_server_may_not_enter_is_refused_and_left_as_it_was() {
    let parent = Folder::new("closed");
    std::fs::DirBuilder::new().mode(0o700).create(&parent.0).expect("a folder can be made");
    match Cluster::private(&parent.0, &DURABLE) {
        // Whoever is not root runs it as themselves, and may enter.
        Ok(cluster) => assert_eq!(ask(&cluster.url("postgres"), "SELECT 1"), Ok("1".to_owned())),
        Err(refused) => {
            assert!(refused.to_string().contains("user `postgres`, as whom root runs it, may not go there"))
        }
    }
    assert_eq!(std::fs::read_dir(&parent.0).expect("it is there").count(), 0);
}

#[test]
fn a_folder_whose_socket_would_have_no_address_is_refused() {
    let parent = std::env::temp_dir().join("long".repeat(30));
    let refused = Cluster::private(&parent, &DURABLE).expect_err("it cannot be").to_string();
    assert!(refused.contains("at most 107 can be; choose a shorter folder"), "{refused}");
}
