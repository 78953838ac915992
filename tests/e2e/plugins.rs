//! Plugins from files, in the running engine: that they send, and that none of them is a danger to the others.

use std::net::UdpSocket;
use std::time::Duration;

use serde_json::json;

use crate::harness::{World, on_each_store};
use crate::plugin_files;

on_each_store! {
    a_permit_that_a_recipient_has_by_itself_is_minted_once_and_then_the_rest_waits,
    messages_wait_for_a_plugin_that_was_lost_and_go_when_it_is_back,
    a_plugin_that_panics_three_times_is_parked_and_its_messages_wait,
    answers_that_break_the_contract_are_counted_and_each_message_still_ends_once,
}

/// A channel of the transport in C beside the plain config: its app, channel and template.
const SYSLOG: &str = r#"
[plugins.syslog]
path = "libsyslog.so"

[apps.collector]
plugin   = "syslog"
host     = "127.0.0.1"
port     = "PORT"
facility = "local0"

[channels.log]
app       = "collector"
transport = "syslog.line"

[templates.log-line]
channel  = "log"
text     = "order {{ order }} paid"
severity = "warning"
"#;

/// A collector of log lines.
struct Collector {
    socket: UdpSocket,
}

impl Collector {
    fn new() -> Collector {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
        Collector { socket }
    }

    fn config(&self) -> String {
        SYSLOG.replace("PORT", &self.socket.local_addr().unwrap().port().to_string())
    }

    fn line(&self) -> String {
        let mut line = [0; 4096];
        let size = self.socket.recv(&mut line).expect("a line comes");
        String::from_utf8(line[..size].to_vec()).unwrap()
    }
}

fn log_line(to: &str, order: &str) -> serde_json::Value {
    json!({"template": "log-line", "to": to, "data": {"order": order}})
}

fn accepted(world: &World, message: &serde_json::Value) -> String {
    let answer = world.post("/v1/messages", message);
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_transport_in_c_sends_what_was_accepted() {
    let (world, collector) = (World::new(), Collector::new());
    plugin_files::compile(&world, "plugins/syslog-c/syslog.c");
    world.configure_more(&collector.config());
    world.run();
    let id = accepted(&world, &log_line("shop", "订单 7\u{1b}[31m"));
    world.until(&id, "sent");
    let line = collector.line();
    // local0 is 16, warning is 4 (RFC 5424 §6.2.1).
    assert!(line.starts_with("<132>1 "), "{line}");
    assert!(line.contains(" shop - - [tidings@32473 id=\"tidings-"), "{line}");
    assert!(line.ends_with("\"] \u{feff}order 订单 7_[31m paid"), "{line}");
}

/// The contract's promise: what was built for it once goes on. Kept for one target; others would only be emulated.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
#[test]
fn plugins_built_against_the_first_header_still_send() {
    let (world, collector) = (World::new(), Collector::new());
    let folder = plugin_files::root().join("tests/fixtures/first_header/x86_64-linux-gnu");
    plugin_files::place_file(&world, &folder.join("libsyslog.so"));
    let quota = plugin_files::place_file(&world, &folder.join("libtidings_quota.so"));
    let transport = "transport = \"syslog.line\"";
    let channel = collector.config().replace(transport, &format!("{transport}\ncredential = \"quota.sends\""));
    world.configure_more(&format!(
        "{channel}\n[plugins.quota]\npath = {quota:?}\n[apps.limits]\nplugin = \"quota\"\nsends = 1\n"
    ));
    world.run();
    let first = accepted(&world, &log_line("shop", "7"));
    let second = accepted(&world, &log_line("shop", "8"));
    world.until(&first, "sent");
    world.until(&second, "waiting");
    assert!(collector.line().ends_with("order 7 paid"));
}

fn a_permit_that_a_recipient_has_by_itself_is_minted_once_and_then_the_rest_waits() {
    let (world, collector) = (World::new(), Collector::new());
    plugin_files::compile(&world, "plugins/syslog-c/syslog.c");
    let quota = plugin_files::place(&world, "tidings-quota", "tidings_quota");
    let channel = collector
        .config()
        .replace("transport = \"syslog.line\"", "transport = \"syslog.line\"\ncredential = \"quota.sends\"");
    world.configure_more(&format!(
        "{channel}\n[plugins.quota]\npath = {quota:?}\n[apps.limits]\nplugin = \"quota\"\nsends = 2\nperiod = \"month\"\n"
    ));
    world.run();
    let ids: Vec<String> = (0..3).map(|order| accepted(&world, &log_line("ann", &order.to_string()))).collect();
    let other = accepted(&world, &log_line("ben", "9"));
    world.until(&other, "sent");
    world.until(&ids[0], "sent");
    world.until(&ids[1], "sent");
    world.until(&ids[2], "waiting");
    // A new start asks again, and the month is the same.
    world.terminate();
    world.run();
    let waiting = world.until(&ids[2], "waiting");
    assert_eq!(waiting["reason"], "no_credential", "{waiting:#}");
    let ledger = world.ok_json(&["credentials", "list", "--json"]);
    let of_ann = ledger["items"].as_array().unwrap().iter().filter(|row| row["recipient"] == "ann").count();
    assert!(of_ann <= 1, "{ledger:#}");
}

#[test]
fn the_plugins_are_listed_with_their_files_and_states() {
    let (world, collector) = (World::new(), Collector::new());
    plugin_files::compile(&world, "plugins/syslog-c/syslog.c");
    world.configure_more(&collector.config());
    world.configure_more("[plugins.lost]\npath = \"nowhere.so\"\n");
    world.run();
    let plugins = world.get("/v1/plugins").json();
    let of = |name: &str| plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == name).unwrap().clone();
    let syslog = of("syslog");
    assert_eq!((&syslog["state"], &syslog["version"]), (&json!("working"), &json!("1.0.0")), "{syslog:#}");
    assert_eq!(syslog["stages"], json!([{"role": "transport", "name": "syslog.line"}]));
    assert_eq!(syslog["sha256"].as_str().map(str::len), Some(64));
    let lost = of("lost");
    assert_eq!(lost["state"], "absent");
    assert!(lost["reason"].as_str().unwrap().contains("nowhere.so"), "{lost:#}");
    assert_eq!(of("wechat")["state"], "working");
    assert!(of("wechat").get("file").is_none());
}

#[test]
fn a_file_that_is_not_there_parks_its_channels_and_nothing_else() {
    let (world, collector) = (World::new(), Collector::new());
    world.configure_more(&collector.config());
    world.run();
    let channel = world.channel("log");
    assert_eq!(channel["state"], "parked", "{channel:#}");
    assert!(channel["reason"].as_str().unwrap().contains("libsyslog.so"), "{channel:#}");
    let answer = world.post("/v1/messages", &log_line("shop", "7"));
    assert_eq!((answer.status, answer.problem().as_str()), (503, "plugin-absent"), "{answer:?}");
    let wechat = world.send("notice", "o-alice", "1");
    world.until(&wechat, "sent");
}

fn messages_wait_for_a_plugin_that_was_lost_and_go_when_it_is_back() {
    let (world, collector) = (World::new(), Collector::new());
    let library = plugin_files::compile(&world, "plugins/syslog-c/syslog.c");
    world.configure_more(&collector.config());
    world.run();
    assert_eq!(world.tidings(&["channels", "pause", "log"]).code, 0);
    let id = accepted(&world, &log_line("shop", "7"));
    world.terminate();
    std::fs::rename(&library, world.path("elsewhere.so")).unwrap();
    world.run();
    assert_eq!(world.message(&id)["state"], "queued");
    world.terminate();
    std::fs::rename(world.path("elsewhere.so"), &library).unwrap();
    world.run();
    assert_eq!(world.tidings(&["channels", "resume", "log"]).code, 0);
    world.until(&id, "sent");
    assert!(collector.line().ends_with("order 7 paid"));
}

#[test]
fn a_required_plugin_that_cannot_be_loaded_stops_the_start_with_its_place() {
    let world = World::new();
    world.write("libnote.so", "no plugin at all");
    world.configure_more("[plugins.note]\npath = \"libnote.so\"\nrequired = true\n");
    let said = world.tidings(&["run"]);
    assert_eq!(said.code, 2, "{}", said.all());
    assert!(said.err.contains("config.toml:") && said.err.contains("plugins.note: the plugin file"), "{}", said.err);
    let said = world.tidings(&["check"]);
    assert_eq!(said.code, 2, "{}", said.all());
}

#[test]
fn the_settings_of_a_file_are_checked_like_those_of_a_built_in_plugin() {
    let (world, collector) = (World::new(), Collector::new());
    plugin_files::compile(&world, "plugins/syslog-c/syslog.c");
    let facility = ("\"local0\"", "\"local9\"", "apps.collector.facility: `local9` is none of");
    let text = ("text     =", "txt      =", "templates.log-line: unknown key `txt`; did you mean `text`?");
    let severity = ("severity = \"warning\"", "severity = 3", "templates.log-line.severity: expected a string");
    for (from, to, expected) in [facility, text, severity] {
        world.configure(&[]);
        world.configure_more(&collector.config().replace(from, to));
        let said = world.tidings(&["check"]);
        assert_eq!(said.code, 2, "{}", said.all());
        assert!(said.err.contains("config.toml:") && said.err.contains(expected), "{expected}: {}", said.err);
    }
}

#[test]
fn a_setting_that_a_file_refuses_is_told_once_with_its_own_line_and_column() {
    let (world, collector) = (World::new(), Collector::new());
    plugin_files::compile(&world, "plugins/syslog-c/syslog.c");
    let config = collector.config().replace("\"127.0.0.1\"", "\"nobody.example\"");
    // Two channels have the plugin look at the same app.
    let again = config.split("\n\n").find(|part| part.starts_with("[channels.")).unwrap();
    let again = again.replacen("[channels.", "[channels.another-", 1);
    world.configure_more(&format!("{config}\n{again}\n"));
    let said = world.tidings(&["check"]);
    assert_eq!(said.code, 2, "{}", said.all());
    let text = world.read("config.toml");
    let (line, found) = text.lines().enumerate().find(|(_, line)| line.contains("nobody.example")).unwrap();
    let column = found.find('"').unwrap() + 1;
    let place = format!("config.toml:{}:{column}: apps.collector.host: is no IP address", line + 1);
    assert_eq!(said.err.matches("is no IP address").count(), 1, "{}", said.err);
    assert!(said.err.contains(&place), "{place}: {}", said.err);
}

/// A channel of the plugin that panics, with what its app says.
fn panics(world: &World, panics_in: &str, channel: &str) {
    let file = plugin_files::place(world, "tidings-fixture-panics", "tidings_fixture_panics");
    world.configure_more(&format!(
        "[plugins.panics]\npath = {file:?}\n[apps.shaky]\nplugin = \"panics\"\npanics_in = \"{panics_in}\"\n\
         base_url = \"{}\"\n[channels.shaky]\napp = \"shaky\"\n{channel}\n\
         [templates.shaky]\nchannel = \"shaky\"\ntext = \"x\"\n",
        world.base_url()
    ));
}

fn shaky(to: &str) -> serde_json::Value {
    json!({"template": "shaky", "to": to})
}

/// The plain channels go on as if nothing were.
fn the_others_go_on(world: &World) {
    let ids: Vec<String> = (0..5).map(|order| world.send("notice", "o-alice", &format!("N-{order}"))).collect();
    for id in &ids {
        world.until(id, "sent");
    }
}

fn a_plugin_that_panics_three_times_is_parked_and_its_messages_wait() {
    let world = World::new();
    panics(&world, "request", "transport = \"panics.http\"\nin_flight = 1");
    world.run();
    for to in ["a", "b"] {
        let id = accepted(&world, &shaky(to));
        let message = world.until(&id, "failed");
        assert!(message["detail"].as_str().unwrap().contains("panic"), "{message:#}");
    }
    let third = accepted(&world, &shaky("c"));
    let channel = world.until_channel("shaky", "parked");
    let reason = channel["reason"].as_str().unwrap();
    assert!(reason.contains("`panics` is parked: it panicked 3 times within 10 minutes"), "{reason}");
    let fourth = accepted(&world, &shaky("d"));
    // The channel says so before the outcome of the third is on disk.
    world.until(&third, "queued");
    assert_eq!(world.message(&fourth)["state"], "queued", "{:#}", world.message(&fourth));
    the_others_go_on(&world);
    let plugins = world.get("/v1/plugins").json();
    let panics = plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == "panics").unwrap();
    assert_eq!((&panics["state"], &panics["counters"]["panics"]), (&json!("parked"), &json!(3)), "{panics:#}");
}

#[test]
fn a_panic_after_the_send_leaves_the_fate_open_and_one_before_it_does_not() {
    for (panics_in, transport, state) in [
        ("request", "panics.http", "failed"),
        ("read", "panics.http", "unknown"),
        ("a thread of its own", "panics.own", "unknown"),
        ("submit", "panics.own", "unknown"),
    ] {
        let world = World::new();
        panics(&world, panics_in, &format!("transport = \"{transport}\""));
        world.run();
        let id = accepted(&world, &shaky("a"));
        let message = world.until(&id, state);
        assert!(message["detail"].as_str().unwrap().len() > 10, "{panics_in}: {message:#}");
        the_others_go_on(&world);
        assert!(world.terminate().success(), "{panics_in}");
    }
}

#[test]
fn a_panic_in_any_other_call_costs_its_own_channel_only() {
    for (panics_in, channel) in [
        ("token request", "transport = \"panics.http\"\ntoken = \"panics.token\""),
        ("token read", "transport = \"panics.http\"\ntoken = \"panics.token\""),
        ("mint", "transport = \"panics.http\"\ncredential = \"panics.permits\""),
        ("drop", "transport = \"panics.own\""),
    ] {
        let world = World::new();
        panics(&world, panics_in, channel);
        world.run();
        let answer = world.post("/v1/messages", &shaky("a"));
        assert_eq!(answer.status, 202, "{panics_in}: {answer:?}");
        the_others_go_on(&world);
        assert!(world.terminate().success(), "{panics_in}");
    }
    for (panics_in, channel) in [
        ("open", "transport = \"panics.own\""),
        ("render", "transport = \"panics.http\"\nrenderer = \"panics.fill\""),
        ("check", "transport = \"panics.http\""),
    ] {
        let world = World::new();
        panics(&world, panics_in, channel);
        let sample = "text = \"x\"\nsample = { any = 1 }";
        let config = world.read("config.toml").replace("text = \"x\"", sample);
        world.write("config.toml", config);
        let said = world.tidings(&["check"]);
        assert_eq!(said.code, 0, "{panics_in}: {}", said.all());
        assert!(said.err.contains("note: ") && said.err.contains("panic"), "{panics_in}: {}", said.err);
    }
}

/// A channel of the transport in C that breaks the contract in the way that the recipient names.
fn broken(world: &World, timeout: &str) {
    plugin_files::compile(world, "tests/fixtures/plugins/broken_transport.c");
    world.configure_more(&format!(
        "[plugins.broken-transport]\npath = \"libbroken_transport.so\"\n[apps.broken]\nplugin = \"broken-transport\"\n\
         [channels.broken]\napp = \"broken\"\ntransport = \"broken-transport.carry\"\ntimeout = \"{timeout}\"\n\
         [templates.broken]\nchannel = \"broken\"\n"
    ));
}

#[test]
fn a_transport_that_never_comes_back_costs_its_own_channel_only() {
    let world = World::new();
    broken(&world, "600s");
    world.run();
    let stuck = accepted(&world, &json!({"template": "broken", "to": "stuck"}));
    world.until(&stuck, "sending");
    the_others_go_on(&world);
    assert_eq!(world.message(&stuck)["state"], "sending", "what stands still is still there");
    // Its own grace is 5 s; nothing waits for a thread that does not come back.
    assert!(world.terminate().success());
    world.run();
    let message = world.until(&stuck, "unknown");
    assert_eq!(message["reason"], "unknown", "{message:#}");
}

fn answers_that_break_the_contract_are_counted_and_each_message_still_ends_once() {
    let world = World::new();
    broken(&world, "2s");
    world.run();
    for (to, state) in [
        ("now", "sent"),
        ("twice", "sent"),
        ("foreign", "sent"),
        ("small", "sent"),
        ("too many", "sent"),
        ("never", "unknown"),
        ("the kept one, too", "sent"),
    ] {
        let id = accepted(&world, &json!({"template": "broken", "to": to}));
        world.until(&id, state);
    }
    let plugins = world.get("/v1/plugins").json();
    let broken = plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == "broken-transport").unwrap();
    for counter in ["doubled", "foreign", "misshapen", "late"] {
        assert!(broken["counters"][counter].as_u64().unwrap() > 0, "{counter}: {broken:#}");
    }
    assert_eq!(broken["state"], "working", "{broken:#}");
    the_others_go_on(&world);
}

#[test]
fn what_a_plugin_logs_has_no_secret_and_no_escape_in_it() {
    let world = World::new();
    plugin_files::compile(&world, "tests/fixtures/plugins/talks.c");
    world.set("TALKS_KEY", "CANARY-of-the-app");
    world.configure_more(
        "[plugins.talks]\npath = \"libtalks.so\"\n[apps.talks]\nplugin = \"talks\"\nkey = { env = \"TALKS_KEY\" }\n\
         [channels.talks]\napp = \"talks\"\ntransport = \"talks.send\"\n[templates.talks]\nchannel = \"talks\"\n",
    );
    world.run();
    for to in ["secrets", "escapes", "million"] {
        accepted(&world, &json!({"template": "talks", "to": to}));
    }
    world.wait("the lines are in the log", || world.log().contains("left out").then_some(()));
    let log = world.log();
    assert!(log.contains("key … token"), "{log}");
    assert!(!log.contains("CANARY"), "{log}");
    assert!(!log.contains('\u{1b}') || !log.contains("before\u{1b}"), "{log}");
    assert!(log.matches("one of a million").count() < 1000);
    the_others_go_on(&world);
}

/// A mail server of a few words: it takes everything and keeps what it took.
fn mail_server() -> (u16, std::sync::mpsc::Receiver<String>) {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mails, taken) = std::sync::mpsc::channel();
    // It ends with the test's process.
    drop(std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (Ok(mut connection), mails) = (connection, mails.clone()) else { return };
            drop(std::thread::spawn(move || {
                let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
                connection.write_all(b"220 mail.example ESMTP\r\n").unwrap();
                while let Some(Ok(line)) = lines.next() {
                    let answer = match line.get(..4).unwrap_or_default() {
                        "EHLO" => "250-mail.example\r\n250 8BITMIME\r\n",
                        "DATA" => {
                            connection.write_all(b"354 go on\r\n").unwrap();
                            let mail: Vec<String> =
                                lines.by_ref().map_while(Result::ok).take_while(|line| line != ".").collect();
                            drop(mails.send(mail.join("\n")));
                            "250 2.0.0 taken\r\n"
                        }
                        _ => "250 2.0.0 well\r\n",
                    };
                    if connection.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            }));
        }
    }));
    (port, taken)
}

#[test]
fn mail_goes_out_from_a_plugin_with_a_runtime_of_its_own() {
    let (world, (port, mails)) = (World::new(), mail_server());
    let file = plugin_files::place(&world, "tidings-smtp", "tidings_smtp");
    world.configure_more(&format!(
        "[plugins.smtp]\npath = {file:?}\n[apps.post]\nplugin = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\n\
         tls = \"none\"\nfrom = \"shop@example.com\"\n[channels.mail]\napp = \"post\"\ntransport = \"smtp.mail\"\n\
         [templates.receipt]\nchannel = \"mail\"\nsubject = \"Order {{{{ order }}}}\"\ntext = \"Thank you.\"\n"
    ));
    world.run();
    let ids: Vec<String> = (0..20)
        .map(|order| {
            let to = format!("ann{order}@example.com");
            accepted(&world, &json!({"template": "receipt", "to": to, "data": {"order": order}}))
        })
        .collect();
    for id in &ids {
        let message = world.until(id, "sent");
        assert!(message["provider_id"].as_str().is_some_and(|id| id.contains("@example.com")), "{message:#}");
    }
    let mut subjects: Vec<String> = mails
        .try_iter()
        .map(|mail| mail.lines().find(|line| line.starts_with("Subject: ")).unwrap().to_owned())
        .collect();
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 20, "{subjects:?}");
    let refused = accepted(&world, &json!({"template": "receipt", "to": "nobody", "data": {"order": 1}}));
    let message = world.until(&refused, "failed");
    assert_eq!(message["reason"], "rejected", "{message:#}");
    assert!(world.terminate().success());
}

#[test]
fn a_file_that_hangs_or_crashes_when_it_is_loaded_is_refused_and_the_next_is_loaded() {
    let (world, collector) = (World::new(), Collector::new());
    plugin_files::compile(&world, "plugins/syslog-c/syslog.c");
    for name in ["hangs", "crashes"] {
        let body = if name == "hangs" { "for (;;) pause();" } else { "abort();" };
        world.write(
            &format!("{name}.c"),
            format!(
                "#include <stdlib.h>\n#include <unistd.h>\n#include \"tidings_plugin.h\"\n\
                 TIDINGS_PLUGIN_NOTE(\"{name}\", \"1.0.0\", TIDINGS_ROLE_TRANSPORT);\n\
                 __attribute__((constructor)) static void begin(void) {{ {body} }}\n\
                 TIDINGS_EXPORT int32_t tidings_plugin_entry_v1(const tidings_host_v1 *host, const tidings_plugin_v1 **plugin) \
                 {{ (void)host; (void)plugin; return TIDINGS_FAILED; }}\n"
            ),
        );
        let source = world.path(&format!("{name}.c"));
        let file = plugin_files::compile(&world, source.to_str().unwrap());
        world.configure_more(&format!("[plugins.{name}]\npath = {file:?}\n"));
    }
    world.configure_more(&collector.config());
    world.run();
    let id = accepted(&world, &log_line("shop", "7"));
    world.until(&id, "sent");
    let plugins = world.get("/v1/plugins").json();
    for (name, part) in [("hangs", "did not come back when it was loaded"), ("crashes", "crashed when it was loaded")] {
        let plugin = plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == name).unwrap();
        assert!(plugin["reason"].as_str().unwrap().contains(part), "{plugin:#}");
    }
    assert!(world.terminate().success());
}
