//! Webhooks: signed as the official library checks it, told again after a crash under the same id, and stopped by who is
//! gone. The receiver is a plain server in the test.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::{Value, json};

use crate::harness::{World, message, on_each_store};

on_each_store! {
    the_official_library_takes_what_is_posted_with_each_secret_and_nothing_that_was_changed,
    what_was_not_told_before_a_crash_is_told_after_it_under_the_same_id,
    who_answers_with_anything_else_is_asked_again_under_the_same_id_and_no_redirect_is_followed,
    who_is_gone_is_told_nothing_more_until_an_operator_resumes_it,
    a_webhook_gets_the_recipient_only_if_its_config_says_so,
    what_a_webhook_is_told_names_the_trace_that_the_caller_named,
    a_webhook_that_is_changed_by_a_reload_is_told_by_the_new_config_at_once,
}

/// The library that receivers use, on PyPI.
const LIBRARY: &str = "standardwebhooks==1.0.1";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A post as it came.
#[derive(Debug, Clone)]
struct Post {
    head: String,
    body: String,
}

impl Post {
    fn header(&self, name: &str) -> &str {
        let found = self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        found.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What a receiver answers: a whole head, or nothing at all.
type Answers = Arc<Mutex<Option<&'static str>>>;

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const GONE: &str = "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n";
const MOVED: &str = "HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";

/// A receiver of webhooks.
struct Receiver {
    address: SocketAddr,
    posts: Arc<Mutex<Vec<Post>>>,
    answers: Answers,
}

impl Receiver {
    fn start(answer: Option<&'static str>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Receiver {
            address: listener.local_addr().unwrap(),
            posts: Arc::default(),
            answers: Arc::new(Mutex::new(answer)),
        };
        let (posts, answers) = (Arc::clone(&receiver.posts), Arc::clone(&receiver.answers));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (posts, answers) = (Arc::clone(&posts), Arc::clone(&answers));
                std::thread::spawn(move || take(stream, &posts, &answers));
            }
        });
        receiver
    }

    fn answer(&self, answer: Option<&'static str>) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until there are so many posts, and gives them.
    #[track_caller]
    fn until(&self, world: &World, count: usize) -> Vec<Post> {
        world.wait(&format!("{count} posts came"), || Some(self.posts()).filter(|posts| posts.len() >= count))
    }

    /// The section of config that tells it.
    fn config(&self, name: &str, more: &str) -> String {
        format!(
            "[webhooks.{name}]\nurl = \"http://{}/hook/CANARY-path\"\nsecret = {{ env = \"HOOK_SECRET\" }}\n{more}\n",
            self.address
        )
    }
}

/// Takes the posts of one connection.
fn take(mut stream: TcpStream, posts: &Mutex<Vec<Post>>, answers: &Answers) {
    let mut bytes = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let length: usize = length.unwrap_or(0);
            if body.len() >= length {
                let post = Post { head: head.to_owned(), body: body[..length].to_owned() };
                posts.lock().unwrap_or_else(PoisonError::into_inner).push(post);
                let Some(answer) = *answers.lock().unwrap_or_else(PoisonError::into_inner) else {
                    // It took it and never says so: the connection is kept as long as the other side does.
                    drop(stream.read_to_end(&mut Vec::new()));
                    return;
                };
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
                bytes.clear();
                continue;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// A world that runs with one webhook.
fn world(receiver: &Receiver, more: &str) -> World {
    let world = World::new();
    world.set("HOOK_SECRET", SECRET);
    world.configure_more(&receiver.config("crm", more));
    world.run();
    world
}

#[track_caller]
fn webhook(world: &World, name: &str) -> Value {
    let all = world.get("/v1/webhooks").json();
    all.as_array().unwrap().iter().find(|webhook| webhook["name"] == name).unwrap().clone()
}

/// The Python that has the library, made once and kept.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("webhooks-receiver");
        let python = venv.join("bin/python");
        let has_it = |python: &Path| {
            let mut look = Command::new(python);
            look.args(["-c", "import standardwebhooks"]).stderr(Stdio::null()).status().is_ok_and(|done| done.success())
        };
        if !has_it(&python) {
            must(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
            must(Command::new(&python).args(["-m", "pip", "install", "--quiet", LIBRARY]));
        }
        python
    })
}

/// This test never passes by being left out.
fn must(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "the library that checks signatures cannot be installed; it needs python3 with venv and pip (Debian: `apt-get \
         install python3 python3-venv`) and {LIBRARY} from PyPI; {command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether the official library takes the post as signed with that secret.
fn verifies(post: &Post, secret: &str) -> bool {
    const CHECK: &str = "import json, sys, standardwebhooks\n\
        asked = json.load(sys.stdin)\n\
        standardwebhooks.Webhook(asked['secret']).verify(asked['body'], asked['headers'])\n";
    let headers: Value = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .into_iter()
        .map(|name| (name.to_owned(), Value::from(post.header(name))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let asked = json!({"secret": secret, "body": post.body, "headers": headers}).to_string();
    let mut check = Command::new(python());
    check.args(["-c", CHECK]).stdin(Stdio::piped()).stderr(Stdio::null());
    let mut check = check.spawn().unwrap();
    check.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    check.wait().unwrap().success()
}

fn the_official_library_takes_what_is_posted_with_each_secret_and_nothing_that_was_changed() {
    let receiver = Receiver::start(Some(NO_CONTENT));
    let world = World::new();
    world.set("HOOK_SECRET", SECRET);
    world.set("HOOK_OTHER", OTHER);
    let text = receiver.config("crm", "events = [\"message.*\"]");
    let two = "[{ env = \"HOOK_SECRET\" }, { env = \"HOOK_OTHER\" }]";
    world.configure_more(&text.replace("{ env = \"HOOK_SECRET\" }", two));
    world.run();
    let id = world.send("order-paid", "o-alice", "1");
    // Order is not promised: it is accepted, and waits for a permit.
    let posts = receiver.until(&world, 2);
    let post = posts.iter().find(|post| post.json()["type"] == "message.accepted").unwrap().clone();
    assert!(verifies(&post, SECRET) && verifies(&post, OTHER), "{post:?}");
    assert!(!verifies(&Post { body: post.body.replace("queued", "sent"), ..post.clone() }, SECRET));
    assert!(!verifies(&post, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    assert_eq!(post.header("content-type"), "application/json");
    let told = post.json();
    assert_eq!(told["type"], "message.accepted");
    assert_eq!(told["data"], json!({"id": id, "channel": "orders", "template": "order-paid", "state": "queued"}));
    assert!(told["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{told}");
    world.wait("nothing waits any more", || (webhook(&world, "crm")["pending"] == 0).then_some(()));
    for text in [world.log(), world.heard()] {
        assert!(!text.contains("MfKQ9r8G") && !text.contains("CANARY-path"), "{text}");
    }
}

fn what_was_not_told_before_a_crash_is_told_after_it_under_the_same_id() {
    let receiver = Receiver::start(None);
    let world = world(&receiver, "events = [\"message.accepted\"]");
    let id = world.send("order-paid", "o-alice", "1");
    let first = receiver.until(&world, 1)[0].clone();
    world.kill();
    receiver.answer(Some(NO_CONTENT));
    world.run();
    let again = receiver.until(&world, 2)[1].clone();
    assert_eq!(again.header("webhook-id"), first.header("webhook-id"));
    assert_eq!((&again.json()["data"]["id"], &again.body), (&json!(id), &first.body));
    assert!(verifies(&again, SECRET));
    world.wait("it is told once", || (webhook(&world, "crm")["pending"] == 0).then_some(()));
    world.send("order-paid", "o-ben", "2");
    let ids: Vec<Post> = receiver.until(&world, 3);
    assert_ne!(ids[2].header("webhook-id"), first.header("webhook-id"), "another notice has another id");
}

fn who_answers_with_anything_else_is_asked_again_under_the_same_id_and_no_redirect_is_followed() {
    let receiver = Receiver::start(Some(MOVED));
    let world = world(&receiver, "events = [\"channel.paused\"]");
    world.ok(&["channels", "pause", "orders", "--reason", "a look"]);
    receiver.until(&world, 1);
    world.wait("it is failing", || (webhook(&world, "crm")["state"] == "failing").then_some(()));
    let shown = world.get("/v1/overview").json()["webhooks"][0].clone();
    assert!(shown["last_failure"].as_str().unwrap().contains("redirects are not followed"), "{shown}");
    receiver.answer(Some(NO_CONTENT));
    let posts = receiver.until(&world, 2);
    assert_eq!(posts[0].header("webhook-id"), posts[1].header("webhook-id"));
    assert!(posts.iter().all(|post| post.head.starts_with("POST /hook/")), "{posts:?}");
    world.wait("it is well again", || (webhook(&world, "crm")["state"] == "ok").then_some(()));
    assert!(world.get("/v1/overview").json().get("webhooks").is_none());
}

fn who_is_gone_is_told_nothing_more_until_an_operator_resumes_it() {
    let receiver = Receiver::start(Some(GONE));
    let world = world(&receiver, "events = [\"channel.*\"]\nchannels = [\"orders\"]");
    world.ok(&["channels", "pause", "orders"]);
    world.wait("it is disabled", || (webhook(&world, "crm")["state"] == "disabled").then_some(()));
    assert!(world.log().contains("tidings webhooks resume"), "{}", world.log());
    world.ok(&["channels", "resume", "orders"]);
    world.ok(&["channels", "pause", "news"]);
    world.terminate();
    world.run();
    let shown = webhook(&world, "crm");
    assert_eq!((&shown["state"], &shown["pending"]), (&json!("disabled"), &json!(2)), "{shown}");
    assert_eq!(receiver.posts().len(), 1, "nothing more was posted");
    let tried = world.tidings(&["webhooks", "test", "crm"]);
    assert!(tried.code == 1 && tried.out.contains("HTTP 410"), "{tried:?}");
    receiver.answer(Some(NO_CONTENT));
    let tried = world.ok_json(&["webhooks", "test", "crm", "--json"]);
    assert_eq!(tried["taken"], true);
    assert_eq!(receiver.posts().last().unwrap().json()["type"], "webhook.test");
    let resumed = world.ok_json(&["webhooks", "resume", "crm", "--reason", "it is back", "--json"]);
    assert_ne!(resumed["state"], "disabled");
    let posts = receiver.until(&world, 5);
    let kinds: Vec<Value> = posts[3..].iter().map(|post| post.json()["type"].clone()).collect();
    assert!(kinds.contains(&json!("channel.paused")) && kinds.contains(&json!("channel.resumed")), "{kinds:?}");
    let table = world.ok(&["webhooks", "list"]);
    assert!(table.contains("crm") && table.contains("127.0.0.1") && !table.contains("CANARY-path"), "{table}");
    let unknown = world.tidings(&["webhooks", "resume", "cmr"]);
    assert!(unknown.code == 1 && unknown.err.contains("no webhook `cmr`"), "{unknown:?}");
}

fn a_webhook_gets_the_recipient_only_if_its_config_says_so() {
    let receiver = Receiver::start(Some(NO_CONTENT));
    let world = World::new();
    world.set("HOOK_SECRET", SECRET);
    world.configure_more(&receiver.config("full", "events = [\"message.sent\"]\ncontent = \"full\""));
    world.configure_more(&receiver.config("thin", "events = [\"message.sent\"]"));
    world.run();
    world.permit("o-alice");
    world.send("order-paid", "o-alice", "1");
    let posts = receiver.until(&world, 2);
    let with: Vec<bool> = posts.iter().map(|post| post.body.contains("o-alice")).collect();
    assert_eq!(with.iter().filter(|with| **with).count(), 1, "{posts:?}");
}

fn what_a_webhook_is_told_names_the_trace_that_the_caller_named() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let receiver = Receiver::start(Some(NO_CONTENT));
    let world = world(&receiver, "events = [\"message.*\"]");
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers = [("content-type", "application/json"), ("traceparent", traceparent.as_str())];
    let answer = world.http("POST", "/v1/messages", &headers, &message("notice", "o-alice", "1").to_string());
    assert_eq!(answer.status, 202, "{answer:?}");
    let named = |post: &Post| (post.json()["type"].clone(), post.json()["data"]["trace_id"].clone());
    let mut told: Vec<_> = receiver.until(&world, 2).iter().map(named).collect();
    told.sort_by_key(|(kind, _)| kind.to_string());
    assert_eq!(told, [(json!("message.accepted"), json!(TRACE)), (json!("message.sent"), json!(TRACE))]);
    // Who names none is told none: the message's own follows from its id.
    world.send("notice", "o-bob", "1");
    let told: Vec<_> = receiver.until(&world, 4)[2..].iter().map(named).collect();
    assert!(told.iter().all(|(_, trace)| trace.is_null()), "{told:?}");
}

fn a_webhook_that_is_changed_by_a_reload_is_told_by_the_new_config_at_once() {
    let (old, new) = (Receiver::start(Some(NO_CONTENT)), Receiver::start(Some(NO_CONTENT)));
    let world = world(&old, "events = [\"channel.*\"]");
    world.ok(&["channels", "pause", "orders"]);
    old.until(&world, 1);
    let text = world.read("config.toml").replace(&old.address.to_string(), &new.address.to_string());
    world.write("config.toml", text);
    world.ok(&["reload"]);
    world.ok(&["channels", "resume", "orders"]);
    assert_eq!(new.until(&world, 1)[0].json()["type"], "channel.resumed");
    assert_eq!(old.posts().len(), 1);
}

#[test]
fn mistakes_of_a_webhook_in_config_are_told_with_their_places_and_without_secrets() {
    let world = World::new();
    world.set("HOOK_SECRET", "CANARY-secret");
    let receiver = Receiver::start(None);
    world.configure_more(&receiver.config("crm", "events = [\"message.snet\"]\nchannels = [\"oders\"]"));
    let said = world.tidings(&["check"]);
    assert_eq!(said.code, 2, "{said:?}");
    for part in ["did you mean `message.sent`?", "did you mean `orders`?", "is no signing secret"] {
        assert!(said.all().contains(part), "{part}: {said:?}");
    }
    assert!(!said.all().contains("CANARY-secret"), "{said:?}");
}
