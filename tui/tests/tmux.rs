//! A terminal to look at from outside: a private tmux server with one window, in which a shell script runs.

use std::path::PathBuf;
use std::process::Command;

/// The terminal. It ends when it is dropped, with what runs in it.
pub(crate) struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Runs a script in a terminal of that size; the folder is the caller's.
    pub(crate) fn start(folder: PathBuf, script: &str, (columns, rows): (u16, u16)) -> Tmux {
        let file = folder.join("script");
        std::fs::write(&file, script).unwrap();
        let tmux = Tmux { socket: folder.join("tmux.sock") };
        let start = format!("-f /dev/null -u new-session -d -x {columns} -y {rows} sh {}", file.display());
        tmux.tell(&start.split(' ').collect::<Vec<_>>());
        tmux
    }

    /// Tells tmux something, and gives what it says.
    pub(crate) fn tell(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux").arg("-S").arg(&self.socket).args(arguments).env_remove("TMUX").output();
        let output =
            output.expect("this test draws in tmux, and `tmux` does not start: install it (`apt-get install tmux`)");
        assert!(output.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What stands on the screen.
    pub(crate) fn screen(&self) -> String {
        self.tell(&["capture-pane", "-p"])
    }

    /// Presses a key, by the name that tmux has for it.
    pub(crate) fn press(&self, key: &str) {
        self.tell(&["send-keys", key]);
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        self.tell(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output().ok();
    }
}
