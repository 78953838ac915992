//! The shim of `shim.c`: compiled into the run's folder, put before the engine, told what to do while the engine runs.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::trouble::{Outcome, Trouble};

/// Where the two numbers of the control file stand.
const SHIFT_AT: u64 = 0;
const QUOTA_AT: u64 = 8;

/// How much longer a sync takes where a cut is to fall into one: 3 ms, a good disk of the ordinary sort.
const SYNC_US: u32 = 3000;

/// The compiled shim and its control file.
#[derive(Debug)]
pub(crate) struct Shim {
    library: PathBuf,
    control_path: PathBuf,
    control: File,
    watched: PathBuf,
}

impl Shim {
    /// Compiles it into `folder`, for the files below `watched`.
    pub(crate) fn build(folder: &Path, watched: &Path) -> Outcome<Shim> {
        let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
        std::fs::write(&source, include_str!("../shim.c"))?;
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
        let said = compile.output().map_err(|error| Trouble::new(format!("`cc` is needed for this: {error}")))?;
        if !said.status.success() {
            return Err(Trouble::new(format!("compile the shim: {}", String::from_utf8_lossy(&said.stderr))));
        }
        let control_path = folder.join("control");
        let control = OpenOptions::new().create(true).truncate(true).write(true).open(&control_path)?;
        control.write_all_at(&[0; 16], 0)?;
        Ok(Shim { library, control_path, control, watched: watched.to_path_buf() })
    }

    /// The variables an engine under the shim is started with.
    pub(crate) fn variables(&self, journal: Option<&Path>, deaf: bool) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.display().to_string();
        let mut variables = vec![
            ("LD_PRELOAD", text(&self.library)),
            ("TORTURE_DIR", text(&self.watched)),
            ("TORTURE_CONTROL", text(&self.control_path)),
        ];
        if let Some(journal) = journal {
            variables.extend([("TORTURE_JOURNAL", text(journal)), ("TORTURE_SYNC_US", SYNC_US.to_string())]);
        }
        if deaf {
            variables.push(("TORTURE_DEAF", "1".to_owned()));
        }
        variables
    }

    /// Shifts the engine's wall clock against ours.
    pub(crate) fn shift_clock(&self, ms: i64) -> Outcome {
        Ok(self.control.write_all_at(&ms.to_le_bytes(), SHIFT_AT)?)
    }

    /// Bounds the folder, in bytes; 0 for no bound.
    pub(crate) fn set_quota(&self, bytes: u64) -> Outcome {
        Ok(self.control.write_all_at(&bytes.to_le_bytes(), QUOTA_AT)?)
    }
}
