//! Plugins in C, compiled for one test, and what is said to them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tidings_host::{
    FileHttpTransport, FileTransport, Inspected, Limits, Loaded, PluginFile, Refusal, inspect, load_with,
};
use tidings_sdk::{App, OwnedDelivery, Settings};

/// Long enough for a busy machine, and never waited for.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A folder of one test, gone with it. Nobody else may write in it: the host asks for that.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tidings-host-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        set_mode(&path, 0o700);
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The plugin of that name, compiled into this folder.
    pub(crate) fn compile(&self, name: &str) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let file = self.0.join(format!("{name}.so"));
        let compiled = Command::new("cc")
            .args(["-std=gnu99", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-pthread", "-I"])
            .arg(root.join("plugins/abi/include"))
            .arg("-o")
            .arg(&file)
            .arg(root.join("tests/fixtures/plugins").join(format!("{name}.c")))
            .output()
            .expect("the tests of the host need a C compiler, `cc`");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        set_mode(&file, 0o755);
        file
    }

    /// A file with these bytes.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let file = self.0.join(name);
        std::fs::write(&file, bytes).unwrap();
        set_mode(&file, 0o755);
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn inspected(path: &Path) -> Result<Inspected, Refusal> {
    inspect(&PluginFile { path: path.to_owned(), sha256: None })
}

/// Loads the plugin of that name.
pub(crate) fn load(name: &str) -> Result<Arc<Loaded>, Refusal> {
    load_within(name, Limits::default())
}

pub(crate) fn load_within(name: &str, limits: Limits) -> Result<Arc<Loaded>, Refusal> {
    let folder = Folder::new();
    load_with(inspected(&folder.compile(name)).unwrap(), limits)
}

/// An app with these settings.
pub(crate) fn app(name: &str, settings: Value) -> Arc<App> {
    Arc::new(App { name: name.to_owned(), settings: Settings::new(map(settings)) })
}

pub(crate) fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("no object: {other}"),
    }
}

/// The stage `send` of a plugin.
pub(crate) fn sender(loaded: &Arc<Loaded>) -> FileHttpTransport {
    loaded.open_http_transport("send", &app("shop", json!({}))).unwrap()
}

/// The stage `carry` of a plugin.
pub(crate) fn carrier(loaded: &Arc<Loaded>) -> FileTransport {
    loaded.open_transport("carry", &app("shop", json!({}))).unwrap()
}

pub(crate) fn delivery(recipient: &str) -> OwnedDelivery {
    OwnedDelivery {
        token: "CANARY-token".into(),
        credential: Some(("form_id".into(), "CANARY-credential".into())),
        recipient: recipient.into(),
        content: map(json!({"page": "p", "data": {"a": "1"}})),
        dedupe_id: "01JA".into(),
        timeout: LONG,
    }
}

pub(crate) fn delivery_within(recipient: &str, timeout: Duration) -> OwnedDelivery {
    OwnedDelivery { timeout, ..delivery(recipient) }
}

/// Another plugin beside the bad one still answers.
pub(crate) async fn the_neighbour_answers() {
    static NEIGHBOUR: OnceLock<FileHttpTransport> = OnceLock::new();
    let neighbour = NEIGHBOUR.get_or_init(|| sender(&load("good_pure").unwrap()));
    let request = neighbour.request(delivery_within("ann", Duration::from_secs(20))).await.unwrap();
    assert!(request.url.starts_with("https://api.example/ann?"));
}

/// Waits for a condition, with a bound.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONG, "{what}: not within {LONG:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Everything that is logged in this process, from the first call on.
pub(crate) fn logged() -> String {
    static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    static STARTED: Once = Once::new();
    struct Writer;
    impl std::io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            LOG.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    STARTED.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Writer).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    String::from_utf8_lossy(&LOG.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}
