//! The screen in a real terminal, which is tmux: what is drawn, and that the terminal is given back whatever happens.
//!
//! Each test starts this very test program again inside a private tmux server, as the child that has the screen.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ratatui::buffer::Buffer;
use ratatui::style::Style;
use tidings_api::client::{Address, Client};

use crate::terminal::Screen;
use crate::tmux::Tmux;
use crate::view::paint::Drawn;
use crate::{Language, Options, run};

const DEADLINE: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// A terminal that took nothing for so long takes nothing.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// What starts this program as the child: the one test that is the child where the variable says which part it has.
const CHILD: &str = "terminal_tests::without_a_terminal_it_says_what_to_use_instead --exact --nocapture";
const PART: &str = "TIDINGS_TUI_TEST";

/// The child's part.
#[expect(clippy::exit, reason = "one part is a process that ends while the screen is shown")]
async fn child(part: &str) {
    // What the program does before it makes a client.
    rustls::crypto::ring::default_provider().install_default().unwrap();
    match part.split_once(' ').unwrap_or((part, "")) {
        ("run", url) => {
            let client = Client::new(Address::Url(url.to_owned()), None).unwrap();
            run(client, Options { language: Language::Zh, colour: true, light: false }).await.unwrap();
        }
        ("drop", url) => {
            let client = Client::new(Address::Url(url.to_owned()), None).unwrap();
            let screen = run(client, Options { language: Language::Zh, colour: true, light: false });
            assert!(tokio::time::timeout(Duration::from_secs(2), screen).await.is_err());
            // At once: the screen's thread has no time to put anything right.
            std::process::exit(0);
        }
        ("panic", _) => {
            let mut screen = Screen::enter().unwrap();
            screen.draw(|_| panic!("the view broke")).unwrap();
        }
        ("panic-elsewhere", _) => {
            let mut screen = Screen::enter().unwrap();
            std::thread::spawn(|| panic!("a plugin broke")).join().unwrap_err();
            screen
                .draw(|buffer| {
                    buffer.set_string(0, 0, "still drawing", Style::new());
                    Drawn::default()
                })
                .unwrap();
            crossterm::event::read().unwrap();
        }
        ("stalled", file) => {
            let mut screen = Screen::enter().unwrap();
            let (mut frame, mut taken_at) = (0, Instant::now());
            while taken_at.elapsed() < STALLED_AFTER {
                if screen.is_free().unwrap() {
                    taken_at = Instant::now();
                    frame += 1;
                    screen.draw(|buffer| full_of(buffer, frame)).unwrap();
                }
                std::thread::yield_now();
            }
            let asked = Instant::now();
            drop(screen);
            std::fs::write(file, asked.elapsed().as_millis().to_string()).unwrap();
        }
        other => panic!("no such part: {other:?}"),
    }
}

/// A frame in which every cell differs from the one before.
fn full_of(buffer: &mut Buffer, frame: u32) -> Drawn {
    let digit = (frame % 10).to_string();
    for row in 0..buffer.area.height {
        buffer.set_string(0, row, digit.repeat(usize::from(buffer.area.width)), Style::new());
    }
    Drawn::default()
}

/// A terminal in which the child runs between two lines of a shell script.
struct Terminal {
    tmux: Tmux,
    folder: PathBuf,
}

impl Terminal {
    fn start(name: &str, act: &str) -> Terminal {
        let folder = std::env::temp_dir().join(format!("tidings-tui-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let script = format!(
            "export RUST_BACKTRACE=0 {PART}='{act}'\n\
             before=$(stty -g)\n\
             sh -c \"echo \\$\\$ > '{folder}/pid'; exec '{program}' {CHILD}\"\n\
             echo \"left with $?\"\n\
             [ \"$before\" = \"$(stty -g)\" ] && echo 'keys as before'\n\
             exec cat\n",
            program = std::env::current_exe().unwrap().display(),
            folder = folder.display(),
        );
        Terminal { tmux: Tmux::start(folder.clone(), &script, (90, 24)), folder }
    }

    fn screen(&self) -> String {
        self.tmux.screen()
    }

    async fn wait(&self, what: &str, met: impl Fn(&str) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !met(&self.screen()) {
            assert!(Instant::now() < end, "no {what} in time:\n{}", self.screen());
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn shows(&self, text: &str) {
        self.wait(text, |screen| screen.contains(text)).await;
    }

    fn press(&self, key: &str) {
        self.tmux.press(key);
    }

    fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.join("pid")).unwrap();
        assert!(Command::new("kill").args(["-s", signal, pid.trim()]).status().unwrap().success());
    }

    /// The child is gone and the terminal is as it was: no alternate screen, the cursor visible, keys as before.
    async fn is_given_back(&self) {
        self.shows("keys as before").await;
        let modes = self.tmux.tell(&["display-message", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}"]);
        assert_eq!(modes.trim(), "0 1 0");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// An address where nobody answers.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A very small engine: it answers everything with the same overview.
fn engine() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap_or(0) == 1 {
                request.push(byte[0]);
            }
            let counts = r#"{"scheduled":0,"queued":0,"waiting":0,"sending":0,"held":0,"sent":7,"delivered":0,"failed":0,"unknown":0,"expired":0,"cancelled":0}"#;
            let change =
                r#"{"at":"2026-03-01T12:00:00Z","id":"msg_7","channel":"订单","to":"\u001b[2Jx\u202e","state":"sent"}"#;
            let body = format!(
                r#"{{"version":"0.1.0","now":"2026-03-01T12:00:00Z","started_at":"2026-03-01T00:00:00Z","draining":false,"states":{counts},"channels":[],"schedules":[],"tokens":[],"recent":[{change}]}}"#
            );
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            connection.write_all((head + &body).as_bytes()).ok();
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn it_shows_a_first_frame_without_an_engine_and_leaves_by_key() {
    let terminal = Terminal::start("nowhere", &format!("run {}", nowhere()));
    terminal.shows("尚无引擎").await;
    terminal.press("q");
    terminal.is_given_back().await;
    terminal.shows("left with 0").await;
}

#[tokio::test]
async fn it_shows_the_engine_follows_the_size_and_leaves_by_control_c() {
    let terminal = Terminal::start("engine", &format!("run {}", engine()));
    terminal.shows("实时").await;
    terminal.shows(r"msg_7  订单  \x1b[2Jx\u{202e}  已发送").await;
    terminal.tmux.resize(30, 5);
    terminal.shows("30x5").await;
    terminal.tmux.resize(60, 16);
    terminal.shows("msg_7").await;
    terminal.press("?");
    terminal.shows("立即刷新").await;
    terminal.press("C-c");
    terminal.is_given_back().await;
}

#[tokio::test]
async fn signals_give_the_terminal_back() {
    for signal in ["TERM", "INT", "HUP"] {
        let terminal = Terminal::start(signal, &format!("run {}", nowhere()));
        terminal.shows("尚无引擎").await;
        terminal.signal(signal);
        terminal.is_given_back().await;
        terminal.shows("left with 0").await;
    }
}

#[tokio::test]
async fn a_screen_that_nobody_waits_for_any_more_is_gone_at_once() {
    let terminal = Terminal::start("drop", &format!("drop {}", nowhere()));
    terminal.shows("尚无引擎").await;
    terminal.is_given_back().await;
    terminal.shows("left with 0").await;
}

#[tokio::test]
async fn a_panic_of_the_screen_is_printed_on_a_terminal_that_was_given_back() {
    let terminal = Terminal::start("panic", "panic");
    terminal.is_given_back().await;
    terminal.shows("the view broke").await;
}

#[tokio::test]
async fn a_panic_elsewhere_waits_until_the_screen_is_gone() {
    let terminal = Terminal::start("elsewhere", "panic-elsewhere");
    terminal.shows("still drawing").await;
    assert!(!terminal.screen().contains("a plugin broke"));
    terminal.press("q");
    terminal.is_given_back().await;
    terminal.shows("a plugin broke").await;
}

#[tokio::test]
async fn a_terminal_that_takes_nothing_keeps_nobody_from_leaving() {
    let file = std::env::temp_dir().join(format!("tidings-tui-{}-left", std::process::id()));
    let terminal = Terminal::start("stalled", &format!("stalled {}", file.display()));
    terminal.wait("frame", |screen| screen.contains("0000") || screen.contains("5555")).await;
    let server = terminal.tmux.tell(&["display-message", "-p", "#{pid}"]);
    let signal = |signal| Command::new("kill").args(["-s", signal, server.trim()]).status().unwrap();
    signal("STOP");
    let end = Instant::now() + DEADLINE;
    while !file.exists() && Instant::now() < end {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    signal("CONT");
    let took_ms = std::fs::read_to_string(&file);
    std::fs::remove_file(&file).ok();
    let took_ms: u64 = took_ms.expect("it left while nothing was taken").parse().unwrap();
    assert!(took_ms < 2_000, "{took_ms} ms");
    terminal.is_given_back().await;
}

#[test]
fn control_l_draws_afresh_on_a_terminal_that_answers_no_question() {
    let program = std::env::current_exe().unwrap();
    // A terminal of which nobody reads the questions that are asked of it.
    let command = format!("stty rows 24 cols 90; exec '{}' {CHILD}", program.display());
    let mut script = Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &command, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm-256color")
        .env(PART, format!("run {}", nowhere()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`script` of util-linux makes a terminal");
    let (mut keys, mut out) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = out.read(&mut bytes) {
            tell.send(bytes[..count].to_vec()).unwrap();
        }
    });
    let mut seen = String::new();
    let mut times = |wanted: usize| {
        let end = Instant::now() + DEADLINE;
        while seen.matches("Tidings").count() < wanted {
            let left = end.saturating_duration_since(Instant::now());
            let bytes = told.recv_timeout(left).unwrap_or_else(|_| panic!("not drawn {wanted} times: {seen:?}"));
            seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        seen.clone()
    };
    times(1);
    keys.write_all(b"\x0c").unwrap();
    let seen = times(2);
    assert!(!seen.contains("\x1b[6n"), "it asks for the cursor: {seen:?}");
    keys.write_all(b"q").unwrap();
    assert!(script.wait().unwrap().success());
}

#[tokio::test]
async fn without_a_terminal_it_says_what_to_use_instead() {
    if let Ok(part) = std::env::var(PART) {
        return child(&part).await;
    }
    // Under tests, standard output may or may not be a terminal: a child with neither makes it sure.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(CHILD.split(' '))
        .env(PART, format!("run {}", nowhere()))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("NoTerminal"));
    assert!(crate::TuiError::NoTerminal.to_string().contains("`tidings channels list`"));
}
