//! What the API bears from its callers: those that hold connections, send slowly, or do not read what they asked for.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::api::{TCP, tcp_address};
use crate::harness::{World, message};

/// How long a test waits for a connection to be closed. Far more than it takes.
const PATIENCE: Duration = Duration::from_secs(25);

/// A world with limits of its own.
fn limited(limits: &str) -> World {
    let world = World::new();
    world.configure_more(&format!("[api.limits]\n{limits}"));
    world.run();
    world
}

fn connect(world: &World) -> UnixStream {
    let stream = UnixStream::connect(world.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A connection on which this was sent.
fn saying(world: &World, text: &str) -> UnixStream {
    let mut stream = connect(world);
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// What comes until the connection is closed.
#[track_caller]
fn until_closed(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        ended => drop(ended.expect("the connection is closed")),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer with a length, on a connection that stays.
fn answer(stream: &mut UnixStream) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with("\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    text + &String::from_utf8(body).unwrap()
}

const ASK: &str = "GET /healthz HTTP/1.1\r\nhost: tidings\r\n\r\n";

#[test]
fn a_head_that_drips_is_cut_off_and_others_are_answered_meanwhile() {
    let world = limited("head = \"400ms\"\nidle = \"60s\"");
    let mut dripping: Vec<UnixStream> = (0..50).map(|_| saying(&world, "GET /healthz HTTP/1.1\r\nhost: tid")).collect();
    let begun = Instant::now();
    let last = dripping.pop().unwrap();
    let mut writing = last.try_clone().unwrap();
    // A byte now and then is no progress.
    let cut = world.wait("the one that drips is cut off", || {
        assert_eq!(world.get("/healthz").status, 200);
        writing.write_all(b"i").is_err().then(|| begun.elapsed())
    });
    assert!(cut >= Duration::from_millis(400), "it was cut off after {cut:?}");
    for mut stream in dripping {
        assert_eq!(until_closed(&mut stream), "");
    }
}

#[test]
fn a_connection_that_asks_nothing_more_is_closed_and_one_that_asks_stays() {
    let world = limited("head = \"60s\"\nidle = \"500ms\"");
    let (mut quiet, mut asking) = (saying(&world, ASK), saying(&world, ASK));
    assert!(answer(&mut quiet).starts_with("HTTP/1.1 200 "));
    let begun = Instant::now();
    quiet.set_nonblocking(true).unwrap();
    let closed = world.wait("the quiet one is closed", || {
        answer(&mut asking);
        asking.write_all(ASK.as_bytes()).unwrap();
        let ended = quiet.read(&mut [0]);
        (!matches!(&ended, Err(error) if error.kind() == ErrorKind::WouldBlock)).then(|| begun.elapsed())
    });
    assert!(closed >= Duration::from_millis(400), "it was closed after {closed:?}");
    assert!(answer(&mut asking).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_flood_of_connections_that_ask_nothing_takes_no_place_from_one_that_asks() {
    let world = limited("connections = 8");
    let mut kept = saying(&world, ASK);
    answer(&mut kept);
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(connect(&world));
        flood.push(saying(&world, "GET /he"));
        assert_eq!(world.get("/healthz").status, 200);
    }
    // Those that asked nothing went first: the one that had asked is still there.
    kept.write_all(ASK.as_bytes()).unwrap();
    assert!(answer(&mut kept).starts_with("HTTP/1.1 200 "));
    for mut stream in flood.drain(..180) {
        assert_eq!(until_closed(&mut stream), "");
    }
    let log = world.log();
    assert_eq!(log.matches("every place for a connection is taken").count(), 1, "{log}");
}

#[test]
fn who_comes_when_all_are_being_served_is_told_so_and_gets_a_place_later() {
    let world = limited("connections = 3");
    let body = message("notice", "o-alice", "1").to_string();
    let length = body.len();
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: tidings\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    );
    let mut served: Vec<UnixStream> = (0..3).map(|_| saying(&world, &head)).collect();
    for stream in &mut served {
        // It has its place, and waits for nothing but the body.
        let mut told = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut told).unwrap();
    }
    let refused = world.get("/healthz");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!((refused.problem().as_str(), refused.header("retry-after")), ("busy", Some("1")));
    // Those that have their places are none the worse for it.
    for stream in &mut served {
        stream.write_all(body.as_bytes()).unwrap();
        let answered = answer(stream);
        assert!(answered.starts_with("HTTP/1.1 202 "), "{answered}");
    }
    drop(served);
    world.wait("a place is free", || (world.get("/healthz").status == 200).then_some(()));
}

#[test]
fn a_caller_that_does_not_read_its_answers_is_cut_off() {
    let world = limited("answer = \"400ms\"");
    let mut deaf = connect(&world);
    let asked = "GET /v1/overview HTTP/1.1\r\nhost: tidings\r\n\r\n".repeat(64);
    // Once the answers fill what lies between, nothing more is taken from it, and then it is closed.
    let ended = world.wait("it is cut off", || deaf.write_all(asked.as_bytes()).err());
    assert!(matches!(ended.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{ended}");
    assert_eq!(world.get("/healthz").status, 200);
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let world = World::running();
    let mut stream =
        saying(&world, &format!("GET /healthz HTTP/1.1\r\nhost: tidings\r\nx: {}\r\n\r\n", "x".repeat(20_000)));
    let answered = until_closed(&mut stream);
    assert!(answered.starts_with("HTTP/1.1 431 "), "{answered}");
}

#[test]
fn a_call_under_way_at_a_stop_is_answered_and_its_connection_closed() {
    let world = World::running();
    let mut idle = saying(&world, ASK);
    answer(&mut idle);
    let mut head = saying(&world, "GET /healthz HTTP/1.1\r\nhost: ti");
    world.signal("-TERM");
    assert_eq!(until_closed(&mut idle), "");
    // It is cut off, or gets its answer, but does not hold the end up.
    drop(head.write_all(b"dings\r\n\r\n"));
    assert!(world.ended().success());
}

#[test]
fn an_answer_during_a_stop_says_that_it_is_the_last() {
    let world = World::running();
    let mut idle = saying(&world, ASK);
    answer(&mut idle);
    let head =
        "POST /v1/messages?dry_run=true HTTP/1.1\r\nhost: tidings\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    let mut asking = saying(&world, head);
    let mut go_on = [0; 25];
    asking.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    world.signal("-TERM");
    // Once the idle one is closed the stop has come to connections.
    assert_eq!(until_closed(&mut idle), "");
    drop(asking.write_all(b"{}"));
    let told = until_closed(&mut asking);
    // Or it was cut off, which is what a stop does to those who take longer.
    assert!(told.is_empty() || told.contains("connection: close\r\n"), "{told}");
    assert!(world.ended().success());
}

#[test]
fn an_address_has_its_own_places_and_the_local_socket_is_not_counted() {
    let world = World::new();
    world.configure_more(&format!("{TCP}[api.limits]\nper_address = 2\n"));
    world.run();
    let address = tcp_address(&world);
    let connect = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    // Two ask, and are answered: they are known to be inside.
    let mut kept = [connect(), connect()];
    for stream in &mut kept {
        stream.write_all(ASK.as_bytes()).unwrap();
        assert!(status_of(stream).starts_with("HTTP/1.1 200"));
    }
    // A third gets the place of the one that has asked nothing for longest.
    let mut third = connect();
    third.write_all(ASK.as_bytes()).unwrap();
    assert!(status_of(&mut third).starts_with("HTTP/1.1 200"));
    let mut rest = Vec::new();
    kept[0].read_to_end(&mut rest).unwrap();
    // While both are being served, a fourth is told no.
    let key = world.read("tidings.key");
    let follow = format!("GET /v1/events HTTP/1.1\r\nhost: tidings\r\nauthorization: Bearer {}\r\n\r\n", key.trim());
    for stream in [&mut kept[1], &mut third] {
        stream.write_all(follow.as_bytes()).unwrap();
        assert!(status_of(stream).starts_with("HTTP/1.1 200"));
    }
    let mut fourth = connect();
    let mut refused = String::new();
    fourth.write_all(ASK.as_bytes()).unwrap();
    fourth.read_to_string(&mut refused).unwrap();
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("per_address"), "{refused}");
    for _ in 0..5 {
        assert_eq!(world.get("/healthz").status, 200);
    }
    // Who goes leaves room.
    drop(third);
    world.wait("there is room again", || {
        let mut fifth = connect();
        fifth.write_all(ASK.as_bytes()).unwrap();
        status_of(&mut fifth).starts_with("HTTP/1.1 200").then_some(())
    });
}

/// The first line of an answer; the rest of what came is passed over.
fn status_of(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..count]).lines().next().unwrap_or_default().to_owned()
}
