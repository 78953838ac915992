//! What an engine says while the server of its store is away: little, and everything that matters.

use serde_json::Value;
use tidings_cluster::{Cluster, DURABLE, Stop, ask, fresh_database};

use crate::harness::{World, message};

/// Calls while the server is away.
const CALLS: usize = 60;

/// The lines of the engine's log that call somebody.
fn alarms(world: &World) -> Vec<String> {
    let log = world.log();
    log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).map(str::to_owned).collect()
}

fn number_before(text: &str, words: &str) -> usize {
    let (before, _) = text.split_once(words).unwrap_or_else(|| panic!("no `{words}` in {text}"));
    before.rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("no number before `{words}` in {text}"))
}

#[test]
fn an_outage_is_one_line_when_it_begins_and_one_when_it_is_over_however_many_calls_are_refused() {
    let server = Cluster::private(&std::env::temp_dir(), &DURABLE).unwrap();
    let url = server.create_database("tidings").unwrap();
    let world = World::new();
    world.configure_more(&format!(
        "[store]\nurl = \"{url}\"\nlease = \"2s\"\n[api]\nsocket = \"tidings.db.sock\"\n\
         [schedules.keep-token]\ncron = \"@every 1s\"\njob = {{ refresh_token = \"shop\" }}\n"
    ));
    world.run();
    let first = world.send("notice", "o-alice", "first");
    world.until(&first, "sent");
    let before = alarms(&world).len();

    server.stop(Stop::Immediate).unwrap();
    for call in 0..CALLS {
        let refused = world.post("/v1/messages", &message("notice", "o-alice", &format!("refused-{call}")));
        assert_eq!((refused.status, refused.problem().as_str()), (503, "store"), "{refused:?}");
    }
    // What watches over it is told so, and everything that needs no store.
    let page = world.get("/metrics");
    assert_eq!(page.status, 200, "{page:?}");
    for told in ["tidings_store_answers 0\n", "tidings_commits_failed_total ", "process_start_time_seconds "] {
        assert!(page.body.contains(told), "no `{told}` in {}", page.body);
    }
    for asked in ["tidings_messages{", "tidings_queue_oldest_age_seconds", "tidings_nodes", "tidings_schedule_next"] {
        assert!(!page.body.contains(asked), "nobody can say `{asked}` now: {}", page.body);
    }
    // Whoever looks by himself, once a second or more often, has seen it too.
    world.wait("the lease is not renewed", || world.log().contains("renew this node's lease").then_some(()));
    server.start().unwrap();
    let back = world.wait("the engine says that it is over", || {
        alarms(&world).into_iter().find(|line| line.contains("the store serves again"))
    });
    assert!(number_before(&back, " calls were refused meanwhile") >= CALLS, "{back}");
    let next = world.send("notice", "o-alice", "next");
    world.until(&next, "sent");
    assert!(world.get("/metrics").body.contains("tidings_store_answers 1\n"));

    let said = &alarms(&world)[before..];
    let count = |part: &str| said.iter().filter(|line| line.contains(part)).count();
    assert_eq!((count("ERROR"), count("the store serves again")), (1, 1), "{said:#?}");
    let begins = said.iter().find(|line| line.contains("ERROR")).unwrap();
    assert!(begins.contains("until it does calls are refused, outcomes are kept"), "{begins}");
    // The lease, and what an engine says that has lost it, or a connection.
    assert!(said.len() <= 8, "{said:#?}");
    assert_eq!(world.deliveries().len(), 2, "what was refused was not sent");
    assert!(world.terminate().success());
    drop(world);
    drop(server);
}

/// The server's answer is its own; what it answers to is a trigger, because nobody fills a disk for a test.
#[test]
fn a_server_whose_disk_is_full_has_messages_refused_as_a_full_disk_does_and_goes_on_when_there_is_room() {
    let database = fresh_database();
    let world = World::new();
    world.configure_more(&format!("[store]\nurl = \"{}\"\n[api]\nsocket = \"tidings.db.sock\"\n", database.url()));
    world.run();
    let first = world.send("notice", "o-alice", "first");
    world.until(&first, "sent");

    let fill = "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER fill BEFORE INSERT ON message_hot FOR EACH STATEMENT EXECUTE FUNCTION fill()";
    ask(database.url(), fill).unwrap();
    for _ in 0..3 {
        let refused = world.post("/v1/messages", &message("notice", "o-alice", "refused"));
        assert_eq!((refused.status, refused.problem().as_str()), (507, "store-full"), "{refused:?}");
    }
    ask(database.url(), "DROP TRIGGER fill ON message_hot").unwrap();
    world.wait("it goes on by itself", || {
        (world.post("/v1/messages", &message("notice", "o-alice", "next")).status == 202).then_some(())
    });
    world.wait("it is sent", || (world.arrived("next") == 1).then_some(()));
    assert_eq!(world.arrived("refused"), 0);
    assert!(world.terminate().success());
}

/// Connections of their own take messages in beside the writer. They can be refused while it has its own.
#[test]
fn an_engine_that_is_given_no_connection_more_takes_messages_in_all_the_same() {
    let server = Cluster::private(&std::env::temp_dir(), &DURABLE).unwrap();
    let url = server.create_database("tidings").unwrap();
    let of_all = |change: &str| ask(&url, change).unwrap();
    of_all("CREATE ROLE few LOGIN");
    of_all("ALTER DATABASE tidings OWNER TO few");
    let (_, place) = url.split_once('@').unwrap();
    let world = World::new();
    world.configure_more(&format!("[store]\nurl = \"postgres://few@{place}\"\n[api]\nsocket = \"tidings.db.sock\"\n"));
    world.run();
    let post = |order: &str| world.post("/v1/messages", &message("notice", "o-alice", order)).status;
    let beside = "FROM pg_stat_activity WHERE usename = 'few' AND query ~ 'INSERT INTO message_hot|tidings_accept'
        AND query NOT LIKE 'BEGIN%'";
    let intakes = || of_all(&format!("SELECT count(*) {beside}"));
    assert_eq!(post("first"), 202);
    assert_eq!(intakes(), "1", "it came beside the writer");

    of_all("ALTER ROLE few CONNECTION LIMIT 0");
    of_all(&format!("SELECT pg_terminate_backend(pid) {beside}"));
    // What was asked of a connection that ended within the last second is refused: nobody can say whether it was heard.
    let orders = ["second", "third", "fourth", "fifth", "sixth"];
    let refused: Vec<&str> = orders.into_iter().filter(|order| post(order) != 202).collect();
    assert!(refused.len() <= 1, "{refused:?}");
    assert_eq!(world.get("/readyz").status, 200, "whoever sends is sent here");
    assert_eq!(intakes(), "0", "there is the writer alone");

    of_all("ALTER ROLE few CONNECTION LIMIT -1");
    world.wait("it comes beside the writer again", || {
        assert_eq!(post("more"), 202);
        (intakes() != "0").then_some(())
    });
    for order in orders.into_iter().filter(|order| !refused.contains(order)) {
        world.wait("each is sent", || (world.arrived(order) == 1).then_some(()));
    }
    assert!(world.terminate().success());
    drop(world);
    drop(server);
}

/// What was written beside the writer is answered, though whoever wrote it lost its way before it could say whose a key is.
#[test]
fn whose_a_key_is_the_writer_says_when_an_intake_cannot() {
    let database = fresh_database();
    let world = World::new();
    world.configure_more(&format!("[store]\nurl = \"{}\"\n[api]\nsocket = \"tidings.db.sock\"\n", database.url()));
    world.run();
    let post = |orders: &[&str]| -> Vec<Value> {
        let body: String = orders.iter().map(|order| format!("{}\n", message("notice", "o-alice", order))).collect();
        let answer = world.http("POST", "/v1/messages/bulk", &[("idempotency-key", "\"b-1\"")], &body);
        answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let first = post(&["one"]);
    // A session that counted for an intake finds none of our tables from then on.
    ask(
        database.url(),
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM set_config('search_path', 'nowhere', false); RETURN NULL; END $$;
         CREATE TRIGGER lose AFTER INSERT OR UPDATE ON tally FOR EACH ROW WHEN (NEW.node_id < 0) EXECUTE FUNCTION lose()",
    )
    .unwrap();
    let both = post(&["one", "two"]);
    assert_eq!(both[0]["accepted"]["id"], first[0]["accepted"]["id"], "{both:?}");
    let replayed = |line: &Value| line["accepted"]["replayed"].as_bool().unwrap_or(false);
    assert_eq!([replayed(&both[0]), replayed(&both[1])], [true, false], "{both:?}");
    ask(database.url(), "DROP TRIGGER lose ON tally").unwrap();
    for order in ["one", "two"] {
        world.wait("it is sent", || (world.arrived(order) == 1).then_some(()));
    }
    assert!(world.terminate().success());
}
