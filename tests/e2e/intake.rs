//! How messages and credentials come in: many in one request, with keys, and with bodies that are late, long or many.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, World, message, on_each_store};

on_each_store! {
    each_line_is_answered_while_the_request_goes_on_and_is_on_disk_then,
    a_bad_line_of_any_kind_never_stops_the_rest,
    a_bulk_that_broke_off_goes_on_by_the_same_key,
    a_bulk_that_is_cut_off_has_taken_what_was_whole,
    a_dry_run_of_many_says_what_each_would_be_and_sends_none,
    a_long_bulk_takes_the_memory_of_a_short_one,
    credentials_come_by_lines_too_and_may_come_again,
    a_key_is_the_same_quoted_and_bare_and_refused_where_nobody_reads_it,
    the_messages_of_a_recipient_are_found_behind_more_of_others_than_a_page_looks_at,
}

/// How long a test waits for bytes. Far more than they take.
const PATIENCE: Duration = Duration::from_secs(25);
/// A body that nobody would send in one piece.
const LONG: usize = 600 * 1024;

/// A request under way: its body is written in chunks, its answer read meanwhile.
struct Call {
    writing: UnixStream,
    reading: BufReader<UnixStream>,
}

impl Call {
    fn begin(world: &World, path: &str) -> Call {
        let mut writing = UnixStream::connect(world.socket()).unwrap();
        writing.set_read_timeout(Some(PATIENCE)).unwrap();
        writing.set_write_timeout(Some(PATIENCE)).unwrap();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: tidings\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n");
        writing.write_all(head.as_bytes()).unwrap();
        let reading = BufReader::new(writing.try_clone().unwrap());
        Call { writing, reading }
    }

    fn chunk(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.writing.write_all(format!("{:x}\r\n", bytes.len()).as_bytes())?;
        self.writing.write_all(bytes)?;
        self.writing.write_all(b"\r\n")
    }

    fn end(&mut self) {
        self.writing.write_all(b"0\r\n\r\n").unwrap();
    }

    /// The first line of the answer, which comes before the body has ended.
    #[track_caller]
    fn status(&mut self) -> String {
        let mut line = String::new();
        self.reading.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next line of the answer that is JSON: heads and sizes of chunks are passed over.
    #[track_caller]
    fn answer(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.reading.read_line(&mut line).unwrap() > 0, "the answer is over");
            if line.starts_with('{') {
                return serde_json::from_str(&line).unwrap();
            }
        }
    }

    /// Whether an answer has begun, or comes at once.
    fn is_answered(&mut self) -> bool {
        self.writing.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let is_answered = self.reading.fill_buf().is_ok();
        self.writing.set_read_timeout(Some(PATIENCE)).unwrap();
        is_answered
    }

    /// Everything until the connection ends.
    fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        drop(self.reading.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn lines(numbers: std::ops::RangeInclusive<u32>) -> String {
    numbers.map(|number| format!("{}\n", message("notice", "o-alice", &number.to_string()))).collect()
}

#[track_caller]
fn replies(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")), "{answer:?}");
    answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn id(reply: &Value) -> &str {
    reply["accepted"]["id"].as_str().unwrap_or_else(|| panic!("not accepted: {reply}"))
}

fn each_line_is_answered_while_the_request_goes_on_and_is_on_disk_then() {
    let world = World::running();
    let mut call = Call::begin(&world, "/v1/messages/bulk");
    for number in 1..=3 {
        call.chunk(lines(number..=number).as_bytes()).unwrap();
        let reply = call.answer();
        assert_eq!(reply["line"], number);
        world.message(id(&reply));
    }
    call.end();
    assert!(call.rest().ends_with("0\r\n\r\n"));
    world.until_sent(3);
}

fn a_bad_line_of_any_kind_never_stops_the_rest() {
    let world = World::running();
    let mut call = Call::begin(&world, "/v1/messages/bulk");
    let mut wrong = b"{\"template\":\"notice\",\"to\":\"\xff\"}\n".to_vec();
    wrong.extend_from_slice(format!("{}\n", "x".repeat(LONG)).as_bytes());
    wrong.extend_from_slice(b"[]\n\n{\"template\":\"notcie\",\"to\":\"a\"}\n");
    let body = [lines(1..=1).into_bytes(), wrong, lines(2..=2).trim_end().as_bytes().to_vec()].concat();
    // Pieces end anywhere.
    for piece in body.chunks(5000) {
        call.chunk(piece).unwrap();
    }
    call.end();
    let told: Vec<(u64, String)> = (0..6)
        .map(|_| {
            let reply = call.answer();
            let kind = reply["problem"]["type"].as_str().unwrap_or("urn:tidings:problem:none");
            (reply["line"].as_u64().unwrap(), kind.rsplit(':').next().unwrap().to_owned())
        })
        .collect();
    let expected =
        [(1, "none"), (2, "unreadable"), (3, "too-large"), (4, "unreadable"), (6, "template-unknown"), (7, "none")];
    assert_eq!(told, expected.map(|(line, kind)| (line, kind.to_owned())));
    world.until_sent(2);
}

fn a_bulk_that_broke_off_goes_on_by_the_same_key() {
    let world = World::running();
    let post = |body: &str| replies(&world.http("POST", "/v1/messages/bulk", &[("idempotency-key", "\"b-1\"")], body));
    let first = post(&lines(1..=40));
    let whole = post(&lines(1..=100));
    assert_eq!(whole.len(), 100);
    for (line, reply) in whole.iter().enumerate() {
        assert_eq!(reply["accepted"]["replayed"].as_bool().unwrap_or(false), line < 40, "{reply}");
        assert!(line >= 40 || id(reply) == id(&first[line]), "{reply}");
    }
    // Another request under the same key is told so, line by line.
    let other = post(&message("notice", "o-bob", "1").to_string());
    assert_eq!(other[0]["problem"]["type"], "urn:tidings:problem:key-taken");
    // A key that leaves no room for the numbers of lines is refused before anything is read.
    let long = world.http("POST", "/v1/messages/bulk", &[("idempotency-key", &"k".repeat(250))], &lines(1..=1));
    assert_eq!((long.status, long.problem().as_str()), (422, "key-invalid"));
    world.until_sent(100);
}

fn a_bulk_that_is_cut_off_has_taken_what_was_whole() {
    let world = World::running();
    let mut call = Call::begin(&world, "/v1/messages/bulk");
    let half = lines(3..=3);
    call.chunk(format!("{}{}", lines(1..=2), &half[..30]).as_bytes()).unwrap();
    assert_eq!((call.answer()["line"].as_u64(), call.answer()["line"].as_u64()), (Some(1), Some(2)));
    drop(call);
    let counts = world.until_sent(2);
    assert_eq!(counts.queued + counts.sending + counts.failed, 0, "{counts:?}");
}

fn a_dry_run_of_many_says_what_each_would_be_and_sends_none() {
    let world = World::running();
    let body = format!("{}{{\n", lines(1..=2));
    let told = replies(&world.http("POST", "/v1/messages/bulk?dry_run=true", &[], &body));
    assert_eq!((told[0]["accepted"]["id"].as_str(), told[0]["accepted"]["state"].as_str()), (Some(""), Some("queued")));
    assert_eq!((told.len(), told[2]["problem"]["status"].as_u64()), (3, Some(400)));
    assert_eq!(world.get("/v1/messages").json()["items"], json!([]), "a dry run sent something");
}

#[test]
fn who_does_not_take_its_answers_is_not_read_on() {
    let world = World::new();
    world.configure_more("[api.limits]\nanswer = \"500ms\"\n");
    world.run();
    let mut call = Call::begin(&world, "/v1/messages/bulk?dry_run=true");
    let block = "x\n".repeat(8000);
    let mut written = 0_u64;
    let ended = world.wait("it is cut off", || match call.chunk(block.as_bytes()) {
        Ok(()) => {
            written += 8000;
            None
        }
        Err(error) => Some(error),
    });
    assert!(matches!(ended.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{ended}");
    // The answers to these would be some hundred times as many bytes as lie in sockets and batches.
    assert!(written < 400_000, "{written} lines were read from one who takes no answer");
    assert_eq!(world.get("/healthz").status, 200);
}

fn a_long_bulk_takes_the_memory_of_a_short_one() {
    let world = World::running();
    let line = {
        let mut line = message("notice", "o-alice", "1");
        line["data"]["unused"] = "x".repeat(8000).into();
        format!("{line}\n")
    };
    let block = line.repeat(100);
    let run = |blocks: u32| {
        let mut call = Call::begin(&world, "/v1/messages/bulk?dry_run=true");
        let mut reading = BufReader::new(call.writing.try_clone().unwrap());
        let answers = std::thread::spawn(move || {
            let mut count = 0;
            let mut text = String::new();
            while reading.read_line(&mut text).unwrap() > 0 {
                count += u32::from(text.contains("\"queued\""));
                text.clear();
            }
            count
        });
        for _ in 0..blocks {
            call.chunk(block.as_bytes()).unwrap();
        }
        call.end();
        assert_eq!(answers.join().unwrap(), blocks * 100);
        most_memory_kib(world.pid())
    };
    let (short, long) = (run(20), run(80));
    // 64 MB more went through it.
    assert!(long - short < 16 * 1024, "{short} KiB became {long} KiB");
}

/// The most memory that a process ever had.
fn most_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn credentials_come_by_lines_too_and_may_come_again() {
    let world = World::running();
    let ids: Vec<String> = (0..3).map(|_| world.mint("o-alice")).collect();
    let body: String =
        ids.iter().map(|id| format!("{}\n", json!({"form_id": id, "openId": "o-alice"}))).collect::<String>()
            + "{\"openId\":\"o-alice\"}\nnonsense\n";
    let post = || replies(&world.http("POST", "/v1/credentials/wechat.form_id/bulk", &[], &body));
    let first = post();
    assert!(first[..3].iter().all(|reply| reply["id"].is_string()), "{first:?}");
    assert_eq!(first[3]["problem"]["type"], "urn:tidings:problem:credential-refused");
    assert_eq!((first[4]["line"].as_u64(), first[4]["problem"]["status"].as_u64()), (Some(5), Some(400)));
    let again = post();
    assert!(again[..3].iter().all(|reply| reply["repeated"] == true && reply["id"].is_null()), "{again:?}");
    let unknown = world.http("POST", "/v1/credentials/wechat.fromid/bulk", &[], &body);
    assert_eq!((unknown.status, unknown.problem().as_str()), (404, "source-unknown"));
}

fn a_key_is_the_same_quoted_and_bare_and_refused_where_nobody_reads_it() {
    let world = World::running();
    let post =
        |key: &str, body: &Value| world.http("POST", "/v1/messages", &[("idempotency-key", key)], &body.to_string());
    let order = message("notice", "o-alice", "1");
    let first = post("\"k-1\"", &order);
    let again = post("k-1", &order);
    assert_eq!((first.status, again.status, again.header("idempotency-replayed")), (202, 202, Some("true")));
    assert_eq!(first.json()["id"], again.json()["id"]);
    let other = post("k-1", &message("notice", "o-alice", "2"));
    assert_eq!((other.status, other.problem().as_str()), (422, "key-taken"));
    for wrong in ["\"k", "", &"k".repeat(256)] {
        let refused = post(wrong, &order);
        assert_eq!((refused.status, refused.problem().as_str()), (422, "key-invalid"), "{wrong}");
    }
    let mut with_member = order.clone();
    with_member["key"] = "k-2".into();
    let both = post("k-1", &with_member);
    assert_eq!((both.status, both.problem().as_str()), (422, "key-invalid"));
    for (method, path) in [("GET", "/v1/overview"), ("POST", "/v1/channels/alerts/pause")] {
        let unread = world.http(method, path, &[("idempotency-key", "k-3")], "");
        assert_eq!((unread.status, unread.problem().as_str()), (400, "key-unread"), "{method} {path}");
    }
    assert_eq!(world.channel("alerts")["state"], "open");
}

#[test]
fn a_body_that_stops_coming_is_told_so() {
    let world = World::new();
    world.configure_more("[api.limits]\nbody = \"400ms\"\n");
    world.run();
    let mut call = Call::begin(&world, "/v1/messages");
    call.chunk(b"{").unwrap();
    let answered = call.rest();
    assert!(answered.starts_with("HTTP/1.1 408 ") && answered.contains("problem:late"), "{answered}");
    // A bulk says it in a line, after those that came.
    let mut call = Call::begin(&world, "/v1/messages/bulk");
    call.chunk(format!("{}{{", lines(1..=1)).as_bytes()).unwrap();
    assert!(call.answer()["accepted"].is_object());
    assert_eq!(call.answer()["problem"]["type"], "urn:tidings:problem:late");
    assert!(call.rest().ends_with("0\r\n\r\n"));
}

#[test]
fn a_body_is_refused_by_its_length_or_when_it_becomes_too_long() {
    let world = World::running();
    let declared = world.http("POST", "/v1/messages", &[], &"x".repeat(LONG));
    assert_eq!((declared.status, declared.problem().as_str()), (413, "too-large"));
    let mut call = Call::begin(&world, "/v1/messages");
    for _ in 0..LONG / 5000 {
        // It may be refused before all of it is there.
        drop(call.chunk(&[b'x'; 5000]));
    }
    let answered = call.rest();
    assert!(answered.starts_with("HTTP/1.1 413 "), "{answered}");
}

#[test]
fn large_bodies_wait_for_room_in_memory_and_small_calls_do_not() {
    let world = World::new();
    world.configure_more("[api.limits]\nbodies_mib = 8\n");
    world.run();
    let mut large: Vec<Call> = (0..3).map(|_| Call::begin(&world, "/v1/credentials/wechat.form_id")).collect();
    for call in &mut large {
        for _ in 0..70 {
            // Whoever is refused is not read on.
            drop(call.chunk(&[b' '; 60_000]));
        }
    }
    assert_eq!(world.post("/v1/messages", &message("notice", "o-alice", "1")).status, 202);
    // It need not be the last: what was written first may be read last, on a machine with much else to do.
    let refused = world.wait("one has no room", || large.iter_mut().position(Call::is_answered));
    is_told_to_come_again(&large.remove(refused).rest());
    // Those that have their room end as they would have. Who asked for more while the other gave its room back has none.
    let ends = large.into_iter().map(|mut call| {
        if !call.is_answered() {
            call.chunk(b"[]").unwrap();
            call.end();
        }
        call.rest()
    });
    let (taken, refused): (Vec<String>, Vec<String>) = ends.partition(|answered| answered.starts_with("HTTP/1.1 200 "));
    assert!(!taken.is_empty(), "{refused:?}");
    refused.iter().for_each(|answered| is_told_to_come_again(answered));
}

#[track_caller]
fn is_told_to_come_again(answered: &str) {
    assert!(answered.starts_with("HTTP/1.1 503 ") && answered.contains("retry-after"), "{answered}");
    assert!(answered.contains("problem:busy"), "{answered}");
}

fn the_messages_of_a_recipient_are_found_behind_more_of_others_than_a_page_looks_at() {
    let world = World::running();
    world.ok(&["channels", "pause", "alerts"]);
    let id = world.send("notice", "o-alice", "1");
    // A page looks at twenty thousand. `sent` is asked for by no index: nobody but the recipient leads there.
    let others: Vec<(String, String)> = (0..21_000).map(|order| ("o-ben".to_owned(), order.to_string())).collect();
    world.send_many("notice", &others);
    let page = world.wait("alice is on the first page", || {
        let page = world.get("/v1/messages?to=o-alice&limit=5").json();
        (page["items"] != json!([])).then_some(page)
    });
    assert_eq!((page["items"][0]["id"].as_str(), page["items"].as_array().map(Vec::len)), (Some(id.as_str()), Some(1)));
    assert_eq!(page["next"], Value::Null, "everything was looked at: {page:#}");
    assert_eq!(world.get("/v1/messages?to=o-cho&limit=5").json()["items"], json!([]));
}

#[test]
fn so_many_bulks_are_read_at_once_and_the_next_is_told_to_come_again() {
    let world = World::running();
    let mut calls: Vec<Call> = (0..16).map(|_| Call::begin(&world, "/v1/messages/bulk?dry_run=true")).collect();
    // One that asks meanwhile would have a place for a moment, and one of these none.
    for call in &mut calls {
        assert_eq!(call.status(), "HTTP/1.1 200 OK");
    }
    let ask = || world.http("POST", "/v1/messages/bulk?dry_run=true", &[], &lines(1..=1));
    let refused = ask();
    assert_eq!((refused.status, refused.problem().as_str()), (503, "busy"), "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    calls[0].end();
    world.wait("a place is free again", || (ask().status == 200).then_some(()));
}
