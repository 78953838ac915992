//! A world for one test: a folder with a config, WeChat simulated in this process, and the built program.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tidings_api::client::{Address, Client};
use tidings_api::wire::Counts;
use tidings_cluster::{Database, fresh_database};
use tidings_wechat_sandbox::{Api, Control, DEFAULT_APPID, Delivery, Fault, Options, Sandbox, start};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// How long anything may take before a test gives up. Far more than it takes: the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(25);
/// Of a log that explains a failure.
const TAIL_BYTES: usize = 4000;
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);

/// The config most tests run by; `SANDBOX` is where WeChat listens. One channel for each transport.
const CONFIG: &str = r#"version = 1

[engine]
grace = "5s"

[apps.shop]
plugin  = "wechat"
appid   = "wx0123456789abcdef"
sandbox = "SANDBOX"

[channels.orders]
app        = "shop"
token      = "wechat.access_token"
credential = ["wechat.form_id", "wechat.prepay_id"]
transport  = "wechat.template"
in_flight  = 16
timeout    = "5s"
retry      = { attempts = 12, base = "40ms", cap = "400ms" }

[channels.news]
app        = "shop"
token      = "wechat.access_token"
credential = "wechat.subscription"
transport  = "wechat.subscribe"
retry      = { attempts = 12, base = "40ms", cap = "400ms" }

[channels.alerts]
app        = "shop"
token      = "wechat.access_token"
transport  = "wechat.official_template"
retry      = { attempts = 12, base = "40ms", cap = "400ms" }

[templates.order-paid]
channel     = "orders"
template_id = "AT0001-order-paid"
page        = "pages/order/show?id={{ order.id }}"
emphasis    = "keyword1"
data        = { keyword1 = "{{ title }}", keyword2 = "{{ order.id }}" }
sample      = { title = "已付款", order = { id = "1" } }

[templates.order-shipped]
channel     = "news"
template_id = "SUB0001-order-shipped"
data        = { character_string1 = "{{ order.id }}", thing2 = "{{ title }}" }
sample      = { title = "已发货", order = { id = "1" } }

[templates.notice]
channel     = "alerts"
template_id = "OFF0001-notice"
data        = { thing1 = "{{ title }}", character_string2 = "{{ order.id }}" }
sample      = { title = "注意", order = { id = "1" } }
"#;

/// Where the engine of a test has its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// In a file in the test's folder.
    File,
    /// In a database of its own, on the server that tests share.
    Server,
}

thread_local! {
    /// Where the worlds of this thread, which is this test's, have their stores.
    static STORE: Cell<Store> = const { Cell::new(Store::File) };
}

/// Runs a test whose worlds have their stores there.
pub(crate) fn with_stores_in(store: Store, test: fn()) {
    STORE.set(store);
    test();
}

/// Runs these tests on each kind of store.
macro_rules! on_each_store {
    ($($name:ident,)*) => {
        mod sqlite {
            use crate::harness::{Store, with_stores_in};
            $(
                #[test]
                fn $name() {
                    with_stores_in(Store::File, super::$name);
                }
            )*
        }
        mod postgres {
            use crate::harness::{Store, with_stores_in};
            $(
                #[test]
                fn $name() {
                    with_stores_in(Store::Server, super::$name);
                }
            )*
        }
    };
}
pub(crate) use on_each_store;

/// The password in the address of a store on a server: nobody asks for it there, and it may be shown nowhere.
const STORE_PASSWORD: &str = "CANARY-of-the-store";

/// The variable that has the address.
const STORE_URL: &str = "STORE_URL";

/// What a config says of a store on a server, marked so that it is found again.
const ON_SERVER: &str = "url = { env = \"STORE_URL\" } # the harness's\nlease = \"2s\" # the harness's\n";

/// The channel for mini-program templates, and what is said there.
pub(crate) const ORDERS: &str = "orders";

/// Everything one test has.
pub(crate) struct World {
    folder: PathBuf,
    runtime: Runtime,
    sandbox: Option<Sandbox>,
    engine: Mutex<Option<Child>>,
    database: Option<Database>,
    heard: Mutex<String>,
    variables: Mutex<Vec<(String, String)>>,
    calls: AtomicU32,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The last line of standard output, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let last = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("no JSON at the end ({error}): {self:?}"))
    }

    /// Everything, for looking through.
    pub(crate) fn all(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }
}

/// An HTTP answer, read by hand.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("the body is no JSON ({error}): {self:?}"))
    }

    /// A header of the answer, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The last part of a problem's type; checks that the answer is a problem at all.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{self:?}");
        problem["type"].as_str().unwrap().strip_prefix("urn:tidings:problem:").unwrap().to_owned()
    }
}

impl World {
    /// A world whose engine has not started yet, for tests that change the config first.
    pub(crate) fn new() -> World {
        World::with(Options::default())
    }

    /// The same, with WeChat as the options say.
    pub(crate) fn with(options: Options) -> World {
        static WORLDS: AtomicU32 = AtomicU32::new(0);
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        // Short, because the path of a socket may have 107 bytes.
        let folder = std::env::temp_dir().join(format!("tidings-e2e-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sandbox = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            start(listener, options).await
        });
        let world = World {
            folder,
            runtime,
            sandbox: Some(sandbox),
            engine: Mutex::default(),
            database: (STORE.get() == Store::Server).then(fresh_database),
            heard: Mutex::default(),
            variables: Mutex::default(),
            calls: AtomicU32::new(0),
        };
        if let Some(database) = &world.database {
            world.set(STORE_URL, &with_password(database.url()));
        }
        world.configure(&[]);
        world
    }

    /// A world whose engine runs by the plain config.
    pub(crate) fn running() -> World {
        let world = World::new();
        world.run();
        world
    }

    /// Writes the config with some of its text changed. Each change must hit.
    #[track_caller]
    pub(crate) fn configure(&self, changes: &[(&str, &str)]) {
        let mut text = CONFIG.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "the config has no `{from}`");
            text = text.replace(from, to);
        }
        self.write("config.toml", text.replace("SANDBOX", &self.base_url()));
    }

    /// Adds to the config as it stands.
    pub(crate) fn configure_more(&self, text: &str) {
        let before = self.read("config.toml");
        self.write("config.toml", format!("{before}\n{text}"));
    }

    /// Sets a variable for every command from now on.
    pub(crate) fn set(&self, name: &str, value: &str) {
        lock(&self.variables).push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut bytes = text.as_ref().to_vec();
        if name == "config.toml" && self.database.is_some() {
            bytes = on_server(&String::from_utf8(bytes).unwrap()).into_bytes();
        }
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    // ---- WeChat ----

    pub(crate) fn base_url(&self) -> String {
        self.sandbox.as_ref().unwrap().base_url()
    }

    pub(crate) fn control(&self) -> &Control {
        self.sandbox.as_ref().unwrap().control()
    }

    /// Another simulated WeChat at an address of choice, in this world's runtime.
    pub(crate) fn another_sandbox(&self, address: SocketAddr, options: Options) -> Sandbox {
        self.runtime.block_on(async {
            let listener = TcpListener::bind(address).await.unwrap();
            start(listener, options).await
        })
    }

    /// Sets fault rules, written as in a fault file.
    #[track_caller]
    pub(crate) fn faults(&self, rules: Value) {
        let rules: Vec<Fault> = serde_json::from_value(rules).unwrap();
        self.control().set_faults(rules).unwrap();
    }

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.control().deliveries(0)
    }

    /// How many messages arrived for an order.
    pub(crate) fn arrived(&self, order: &str) -> usize {
        self.deliveries().iter().filter(|delivery| order_of(delivery) == order).count()
    }

    /// Calls of an endpoint so far.
    pub(crate) fn calls(&self, api: Api) -> u64 {
        self.control().counts().apis.get(&api).map_or(0, |counts| counts.calls)
    }

    pub(crate) fn mint(&self, openid: &str) -> String {
        self.control().mint_form_ids(DEFAULT_APPID, openid, 1).unwrap().remove(0)
    }

    // ---- the engine ----

    /// Starts `tidings run` and waits until it answers.
    #[track_caller]
    pub(crate) fn run(&self) {
        self.run_with(&[]);
    }

    /// The same with more on its command line.
    #[track_caller]
    pub(crate) fn run_with(&self, args: &[&str]) {
        let log = OpenOptions::new().create(true).append(true).open(self.path("engine.log")).unwrap();
        let mut command = self.command();
        command.arg("run").args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().unwrap();
        let before = lock(&self.engine).replace(child);
        assert!(before.is_none(), "an engine of this world runs already");
        self.wait("the engine answers", || {
            let ended = lock(&self.engine).as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "the engine ended instead: {ended:?}\n{}", self.log());
            // It is there before the engine is, and whoever connects waits.
            UnixStream::connect(self.socket()).is_ok_and(answers).then_some(())
        });
    }

    /// Asks the engine to stop and waits for its end.
    #[track_caller]
    pub(crate) fn terminate(&self) -> ExitStatus {
        self.signal("-TERM");
        self.ended()
    }

    /// Sends the engine a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: &str) {
        let pid = lock(&self.engine).as_ref().expect("an engine runs").id();
        assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
    }

    /// Waits for the end of the engine.
    #[track_caller]
    pub(crate) fn ended(&self) -> ExitStatus {
        let status =
            self.wait("the engine ends", || lock(&self.engine).as_mut().and_then(|child| child.try_wait().unwrap()));
        lock(&self.engine).take();
        status
    }

    /// Ends the engine as a power cut would.
    #[track_caller]
    pub(crate) fn kill(&self) {
        let mut child = lock(&self.engine).take().expect("an engine runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        lock(&self.engine).as_ref().expect("an engine runs").id()
    }

    /// What the engines of this world wrote on standard error.
    pub(crate) fn log(&self) -> String {
        fs::read(self.path("engine.log")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Whether its store is in a database.
    pub(crate) fn is_on_a_server(&self) -> bool {
        self.database.is_some()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path(if self.is_on_a_server() { "tidings.sock" } else { "tidings.db.sock" })
    }

    // ---- commands ----

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.current_dir(&self.folder);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("TIDINGS_") || name.to_lowercase().ends_with("_proxy") {
                command.env_remove(name);
            }
        }
        // Who sits at the terminal is the same wherever the tests run.
        command.env_remove("SUDO_USER").env("USER", "tester");
        for (name, value) in lock(&self.variables).iter() {
            command.env(name, value);
        }
        command
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn tidings(&self, args: &[&str]) -> Said {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (self.path(&format!("call-{number}.out")), self.path(&format!("call-{number}.err")));
        let mut command = self.command();
        command.args(args).stdin(Stdio::null());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let mut child = Reaped(command.spawn().unwrap());
        let status =
            wait_for(&format!("`tidings {}` ends", args.join(" ")), String::new, || child.0.try_wait().unwrap());
        let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        let said = Said { code: status.code().unwrap_or(-1), out: text(&out), err: text(&err) };
        self.hear(&said.all());
        assert!(!said.err.contains("panicked at"), "`tidings {}` panicked: {}", args.join(" "), said.err);
        said
    }

    /// Runs a command that must work, and gives its standard output.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let said = self.tidings(args);
        assert_eq!(said.code, 0, "`tidings {}`: {said:?}", args.join(" "));
        said.out
    }

    /// Runs a command that must work, and gives the last line of its standard output.
    #[track_caller]
    pub(crate) fn ok_json(&self, args: &[&str]) -> Value {
        let said = self.tidings(args);
        assert_eq!(said.code, 0, "`tidings {}`: {said:?}", args.join(" "));
        said.json()
    }

    /// Starts a command that goes on by itself, as `tidings sandbox` does; it ends with what is given back.
    pub(crate) fn spawn(&self, args: &[&str], err: &str) -> Reaped {
        let mut command = self.command();
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(self.path(err)).unwrap());
        Reaped(command.spawn().unwrap())
    }

    /// The same, for one whose standard output is read while it goes on.
    pub(crate) fn spawn_into(&self, args: &[&str], out: &Path) -> Reaped {
        let mut command = self.command();
        command.args(args).stdin(Stdio::null()).stdout(File::create(out).unwrap()).stderr(Stdio::null());
        Reaped(command.spawn().unwrap())
    }

    // ---- HTTP ----

    /// A call over the local socket, as curl would make it.
    #[track_caller]
    pub(crate) fn http(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let answer = talk(stream, method, path, headers, body);
        self.hear(&format!("{}\n{}", answer.head, answer.body));
        answer
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.http("GET", path, &[], "")
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.http("POST", path, &[("content-type", "application/json")], &body.to_string())
    }

    /// A form post as a mini-program sends it.
    #[track_caller]
    pub(crate) fn post_form(&self, source: &str, form: &str) -> Answer {
        let path = format!("/v1/credentials/{source}");
        self.http("POST", &path, &[("content-type", "application/x-www-form-urlencoded")], form)
    }

    /// The API's own client, over the socket.
    pub(crate) fn client(&self) -> Client {
        // Another test may have chosen the same one before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let _in_runtime = self.runtime.enter();
        Client::new(Address::Socket(self.socket()), None).unwrap()
    }

    /// Waits for a call of the client.
    pub(crate) fn wait_on<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }

    // ---- what most tests do ----

    /// A user submits a form: WeChat makes a form_id, the mini-program posts it.
    #[track_caller]
    pub(crate) fn permit(&self, openid: &str) -> String {
        let form_id = self.mint(openid);
        let answer = self.post_form("wechat.form_id", &format!("form_id={form_id}&openId={openid}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        form_id
    }

    /// Permits for many users.
    #[track_caller]
    pub(crate) fn permits(&self, openids: &[String]) {
        let items: Vec<Value> =
            openids.iter().map(|openid| json!({"form_id": self.mint(openid), "openId": openid})).collect();
        for chunk in items.chunks(1000) {
            let answer = self.post("/v1/credentials/wechat.form_id", &json!(chunk));
            assert_eq!(answer.json()["accepted"], chunk.len(), "{answer:?}");
        }
    }

    /// Sends a template to a user about an order, and gives the message's id.
    #[track_caller]
    pub(crate) fn send(&self, template: &str, to: &str, order: &str) -> String {
        let answer = self.post("/v1/messages", &message(template, to, order));
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Sends the same template about many orders, each to its user.
    #[track_caller]
    pub(crate) fn send_many(&self, template: &str, orders: &[(String, String)]) {
        for chunk in orders.chunks(1000) {
            let lines: Vec<String> = chunk.iter().map(|(to, order)| message(template, to, order).to_string()).collect();
            let answer = self.http("POST", "/v1/messages/bulk", &[], &lines.join("\n"));
            assert_eq!(answer.body.matches("\"accepted\"").count(), chunk.len(), "{answer:?}");
        }
    }

    /// Sends 600 messages, a permit to each, and waits until some of them have arrived: the others are on their way.
    #[track_caller]
    pub(crate) fn send_until_some_arrive(&self) -> Vec<(String, String)> {
        let users = users(600);
        let orders = orders(&users);
        self.permits(&users);
        self.send_many("order-paid", &orders);
        self.wait("it sends", || (self.deliveries().len() >= 60).then_some(()));
        orders
    }

    /// A message with its attempts.
    #[track_caller]
    pub(crate) fn message(&self, id: &str) -> Value {
        let answer = self.get(&format!("/v1/messages/{id}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Waits until a message is in a state, and gives it.
    #[track_caller]
    pub(crate) fn until(&self, id: &str, state: &str) -> Value {
        let mut last = Value::Null;
        wait_for(
            &format!("{id} is {state}"),
            || self.log(),
            || {
                last = self.message(id);
                let ended = ["sent", "failed", "unknown", "expired", "cancelled", "held"];
                let now = last["state"].as_str().unwrap();
                assert!(now == state || !ended.contains(&now), "{id} should become {state}: {last:#}");
                (now == state).then(|| last.clone())
            },
        )
    }

    /// Messages by state, over all channels.
    #[track_caller]
    pub(crate) fn counts(&self) -> Counts {
        let answer = self.get("/v1/overview");
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_value(answer.json()["states"].clone()).unwrap()
    }

    /// Waits until so many messages are sent.
    #[track_caller]
    pub(crate) fn until_sent(&self, count: i64) -> Counts {
        wait_for(
            &format!("{count} messages are sent"),
            || format!("{:?}\n{}", self.counts(), self.log()),
            || Some(self.counts()).filter(|counts| counts.sent == count),
        )
    }

    /// A channel as the API shows it.
    #[track_caller]
    pub(crate) fn channel(&self, name: &str) -> Value {
        let channels = self.get("/v1/channels").json();
        channels.as_array().unwrap().iter().find(|channel| channel["name"] == name).unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn until_channel(&self, name: &str, state: &str) -> Value {
        self.wait(&format!("channel {name} is {state}"), || {
            Some(self.channel(name)).filter(|channel| channel["state"] == state)
        })
    }

    /// The token of an app as the API shows it.
    #[track_caller]
    pub(crate) fn token(&self, app: &str) -> Value {
        let tokens = self.get("/v1/tokens").json();
        tokens.as_array().unwrap().iter().find(|token| token["app"] == app).unwrap().clone()
    }

    /// Waits for a condition.
    #[track_caller]
    pub(crate) fn wait<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        wait_for(what, || self.log(), look)
    }

    /// Everything commands and the API have said in this world.
    pub(crate) fn heard(&self) -> String {
        lock(&self.heard).clone()
    }

    /// Adds to what was heard.
    pub(crate) fn hear(&self, text: &str) {
        let mut heard = lock(&self.heard);
        heard.push_str(text);
        heard.push('\n');
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(child) = lock(&self.engine).take() {
            drop(Reaped(child));
        }
        let log = self.log();
        drop(self.sandbox.take());
        drop(fs::remove_dir_all(&self.folder));
        if !std::thread::panicking() {
            assert!(!log.contains("panicked at"), "the engine panicked: {log}");
            let shown = [log, self.heard()].into_iter().find(|text| text.contains(STORE_PASSWORD));
            assert!(shown.is_none(), "the password of the store was shown: {shown:?}");
        }
    }
}

/// A process that ends with this value.
pub(crate) struct Reaped(pub(crate) Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // One that has ended already is as good.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A config whose store is on the server, unless it names another.
fn on_server(config: &str) -> String {
    const SECTION: &str = "[store]\n";
    let config = config.replace(&format!("\n{SECTION}{ON_SERVER}"), "").replace(ON_SERVER, "");
    match config.split_once(SECTION) {
        Some((before, after)) if !after.starts_with("url") => format!("{before}{SECTION}{ON_SERVER}{after}"),
        Some(_) => config,
        None => format!("{config}\n{SECTION}{ON_SERVER}"),
    }
}

/// The address with a password, if it has a user and no password yet.
pub(crate) fn with_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    match authority.split_once('@') {
        Some((user, host)) if !user.contains(':') => format!("{scheme}://{user}:{STORE_PASSWORD}@{host}/{path}"),
        _ => url.to_owned(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[track_caller]
fn wait_for<T>(what: &str, why: impl Fn() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        if begun.elapsed() > DEADLINE {
            let why = why();
            let tail = why.ceil_char_boundary(why.len().saturating_sub(TAIL_BYTES));
            panic!("waited {} s in vain: {what}\n{}", DEADLINE.as_secs(), &why[tail..]);
        }
        #[expect(clippy::disallowed_methods, reason = "between two looks at the condition, never instead of one")]
        std::thread::sleep(LOOK);
    }
}

/// A call over TCP.
#[track_caller]
pub(crate) fn http_tcp(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    talk(stream, method, path, headers, body)
}

/// Whether somebody who lives is there to answer.
fn answers(mut stream: UnixStream) -> bool {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: tidings\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}

/// One request and its answer on a connection of their own.
#[track_caller]
fn talk(
    mut stream: impl std::io::Read + std::io::Write,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: tidings\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses a body need not read all of it.
    drop(stream.write_all(body.as_bytes()));
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer to {path}: {text}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    let mut answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = unchunked(&answer.body);
    }
    answer
}

/// A body without its chunks' sizes (RFC 9112 §7.1). What is cut off stays cut off.
fn unchunked(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 || rest.len() < size {
            break;
        }
        body.push_str(&rest[..size]);
        text = rest[size..].trim_start_matches("\r\n");
    }
    body
}

/// What is posted to send a template about an order.
pub(crate) fn message(template: &str, to: &str, order: &str) -> Value {
    json!({"template": template, "to": to, "data": {"title": "已付款", "order": {"id": order}}})
}

/// The order a delivery is about, by the key each template has it under.
pub(crate) fn order_of(delivery: &Delivery) -> &str {
    ["keyword2", "character_string1", "character_string2"]
        .into_iter()
        .find_map(|key| delivery.data[key]["value"].as_str())
        .unwrap_or_default()
}

/// How often each order of these arrived, but for those that arrived once.
pub(crate) fn not_once(worlds: &[&World], orders: &[(String, String)]) -> Vec<(String, usize)> {
    let mut arrived: BTreeMap<String, usize> = orders.iter().map(|(_, order)| (order.clone(), 0)).collect();
    for delivery in worlds.iter().flat_map(|world| world.deliveries()) {
        *arrived.entry(order_of(&delivery).to_owned()).or_default() += 1;
    }
    arrived.into_iter().filter(|(_, times)| *times != 1).collect()
}

/// Seconds since 1970, so many ago.
pub(crate) fn seconds_ago(seconds: u64) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - seconds
}

/// Users by number, and an order for each.
pub(crate) fn users(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("o-user-{number:04}")).collect()
}

pub(crate) fn orders(users: &[String]) -> Vec<(String, String)> {
    users.iter().enumerate().map(|(index, user)| (user.clone(), format!("order-{index:04}"))).collect()
}
