//! graphile_worker beside us: a program of its own, in `graphile/`, built where nobody has built it yet.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bare;
use crate::child::{Child, PATIENCE};
use crate::failure::{Failure, check};
use crate::measure::rate;
use crate::server::Provider;
use crate::workload::Kind;

/// The number in the body that the program replaces by each message's own.
const EXAMPLE: u32 = 424_242;
/// How long it may take for each message.
const PATIENCE_PER_MESSAGE: Duration = Duration::from_millis(5);

#[derive(Serialize)]
enum Order {
    Accept { first: u32, count: u32, callers: u32 },
    Send { count: u32 },
}

#[derive(Deserialize)]
pub(crate) struct Told {
    seconds: f64,
    count: u32,
}

impl Told {
    pub(crate) fn per_second(&self) -> f64 {
        rate(self.count.into(), Duration::from_secs_f64(self.seconds))
    }
}

/// Builds the program, beside our own, and says where it is. The first time takes minutes and the network.
pub(crate) fn build() -> Result<PathBuf, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("graphile");
    let ours = std::env::current_exe()?;
    let target = ours.parent().and_then(Path::parent).unwrap_or(Path::new("target")).join("graphile");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()?;
    check(built.success(), || {
        "build graphile_worker's program: cargo failed, and said why above; `--no-graphile` leaves it out".to_owned()
    })?;
    Ok(target.join("release/tidings-bench-graphile"))
}

/// It, at work on a database.
pub(crate) struct Graphile {
    process: Child,
}

impl Graphile {
    pub(crate) fn start(
        program: &Path,
        database: &str,
        provider: &Provider,
        kind: Kind,
        in_flight: u32,
    ) -> Result<Graphile, Failure> {
        let mut command = Command::new(program);
        command.args([database, &bare::url(provider, kind), &kind.body(EXAMPLE).to_string(), &in_flight.to_string()]);
        let mut process = Child::run("graphile_worker", command)?;
        process.answer::<Told>(PATIENCE)?;
        Ok(Graphile { process })
    }

    /// So many callers at once add these.
    pub(crate) fn accept(&mut self, first: u32, count: u32, callers: u32) -> Result<Told, Failure> {
        self.process.ask(&Order::Accept { first, count, callers }, PATIENCE + PATIENCE_PER_MESSAGE * count)
    }

    pub(crate) fn send(&mut self, count: u32) -> Result<Told, Failure> {
        self.process.ask(&Order::Send { count }, PATIENCE + PATIENCE_PER_MESSAGE * count)
    }
}
