//! Proof of a plugin file: rules that say what Tidings relies on, each tried by itself.
//!
//! A rule loads the file anew and calls it directly, on one thread, through a host's table that writes everything down:
//! nothing stands between the rule and what the plugin does. So a rule may crash, hang, or break its process, and is run
//! in one of its own: `tidings plugin check` does that, and turns the end of such a process into a verdict.

mod calls;
mod file;
mod hygiene;
mod process;
mod pure;
mod record;
mod rig;
mod secrets;
mod settings;
mod structs;
mod transport;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

/// How long a rule may take, where it does not say otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

/// One thing that Tidings relies on.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// What it is called: `transport.once`.
    pub name: &'static str,
    /// What must be so, in one sentence.
    pub about: &'static str,
    /// After so long it hangs.
    pub deadline: Duration,
    /// The role that it is about; every plugin if `None`.
    role: Option<&'static str>,
    test: fn(&Asked, &mut Progress<'_>) -> Result<Found, String>,
}

/// What is tried, and with what.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The plugin file.
    pub file: PathBuf,
    /// What chance begins with: the same seed, the same calls.
    pub seed: u64,
    /// Values to use instead of invented ones.
    pub given: Given,
}

/// Values that fit the plugin better than invented ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// Settings of an app, secrets among them; durations in milliseconds.
    pub app: Map<String, Value>,
    /// Values of a template, rendered.
    pub template: Map<String, Value>,
    /// The fields of a posted credential.
    pub credential: Map<String, Value>,
    /// Who is told.
    pub recipient: Option<String>,
}

/// What came of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Ok,
    /// It holds as far as it must, and somebody should have a look.
    Warn(String),
    /// It does not hold: what was seen.
    Fail(String),
    /// It does not concern this plugin, or could not be tried: why.
    Skip(String),
}

/// What a rule finds that does not fail.
enum Found {
    Well,
    Doubtful(String),
    Nothing(String),
}

/// Where a rule says what it is about to do: the last word of one that crashes.
struct Progress<'p>(&'p mut dyn FnMut(&str));

impl Progress<'_> {
    fn at(&mut self, what: &str) {
        (self.0)(what);
    }
}

/// A rule for a plugin of any role.
const fn any(
    name: &'static str,
    about: &'static str,
    test: fn(&Asked, &mut Progress<'_>) -> Result<Found, String>,
) -> Rule {
    Rule { name, about, deadline: DEADLINE, role: None, test }
}

/// A rule for plugins with a stage of that role.
const fn of(
    role: &'static str,
    name: &'static str,
    about: &'static str,
    test: fn(&Asked, &mut Progress<'_>) -> Result<Found, String>,
) -> Rule {
    Rule { name, about, deadline: DEADLINE, role: Some(role), test }
}

/// A rule for plugins with a stage of the role `transport`: they need time to send.
const fn sends(
    name: &'static str,
    about: &'static str,
    test: fn(&Asked, &mut Progress<'_>) -> Result<Found, String>,
) -> Rule {
    Rule { deadline: transport::DEADLINE, ..of("transport", name, about, test) }
}

const HTTP: &str = "http_transport";

/// Every rule, in the order in which they are tried. docs/PLUGINS.md has this table, and a test compares the two.
pub static RULES: &[Rule] = &[
    any("file.note", "its note is there, and fits this engine and this machine", file::note),
    Rule { deadline: file::LOAD_DEADLINE, ..any("file.loads", "it loads within 5 s", file::loads) },
    any("file.exports", "it exports the entry and nothing else", file::exports),
    any("file.quiet", "loading it starts no thread and prints nothing", file::quiet),
    any("description.valid", "its description can be read, and says what the note says", file::description),
    any("interfaces.complete", "every role it names has its table with the required functions", file::interfaces),
    any("interfaces.unknown", "a role that it does not have, or nobody has, gives NULL", file::unknown_interfaces),
    any("settings.examples", "settings made of its defaults and examples are accepted", settings::examples),
    any("settings.missing", "a required setting that is missing is no reason to break down", settings::missing),
    any("settings.garbage", "settings that are no settings are refused, not crashed on", settings::garbage),
    any("instances.end", "a hundred instances leave no thread, no open file, and little memory", settings::instances),
    any("structs.grown", "structs larger than it knows are read as far as it knows them", structs::grown),
    of(HTTP, "http_transport.request", "the same message makes the same request, whatever is in it", pure::request),
    of(HTTP, "http_transport.read", "every answer is read, garbage too, the same way twice", pure::read),
    of("token_provider", "token_provider.request", "the request for a token is the same twice", pure::token_request),
    of(
        "token_provider",
        "token_provider.read",
        "every answer is read, garbage too, the same way twice",
        pure::token_read,
    ),
    of("credential_source", "credential_source.admit", "what is posted is taken or refused, twice alike", pure::admit),
    of("credential_source", "credential_source.mint", "a minted permit says which one it is, twice alike", pure::mint),
    of("renderer", "renderer.render", "every field comes back, in order, twice alike", pure::render),
    of("callback", "callback.receive", "every push is answered once, garbage too, twice alike", pure::receive),
    sends("transport.once", "10,000 deliveries of 8 instances are each answered exactly once", transport::once),
    sends("transport.prefix", "what submit did not take is not answered, and is taken later", transport::prefix),
    sends("transport.edges", "no delivery, a full batch, and time that is over are all taken", transport::edges),
    sends("transport.cancel", "what is cancelled is answered once; unknown numbers are ignored", transport::cancel),
    sends("transport.quick", "submit returns within 10 ms", transport::quick),
    sends(
        "transport.destroy",
        "with 1,000 on their way destroy answers them and returns within 5 s; then no thread, no call",
        transport::destroy,
    ),
    any("secrets.kept", "secrets, tokens and credentials are in no log line, problem or detail", secrets::kept),
    any(
        "hygiene.process",
        "it prints nothing and changes no folder, umask, variable or signal handler",
        hygiene::process,
    ),
    any("hygiene.log", "its log lines are few and short", hygiene::log),
];

impl Rule {
    /// Whether no later rule can be tried where this one does not hold.
    pub fn is_ground(&self) -> bool {
        ["file.note", "file.loads", "description.valid", "interfaces.complete", "settings.examples"]
            .contains(&self.name)
    }

    /// Tries the rule in this process, which may not survive it. `progress` hears what is about to be done.
    pub fn run(&self, asked: &Asked, progress: &mut dyn FnMut(&str)) -> Verdict {
        let mut progress = Progress(progress);
        progress.at("reads the file");
        if let Some(role) = self.role {
            let has_role = file::inspected(asked).map(|inspected| inspected.roles.contains(&role));
            match has_role {
                Ok(true) => {}
                Ok(false) => return Verdict::Skip(format!("it is no {role}")),
                Err(problem) => return Verdict::Skip(format!("the file cannot be read: it {problem}")),
            }
        }
        match (self.test)(asked, &mut progress) {
            Ok(Found::Well) => Verdict::Ok,
            Ok(Found::Doubtful(what)) => Verdict::Warn(what),
            Ok(Found::Nothing(why)) => Verdict::Skip(why),
            Err(what) => Verdict::Fail(what),
        }
    }
}
