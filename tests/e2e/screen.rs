//! The screen in a real terminal, on a real engine: keys in, screen out, and what somebody does there reaches WeChat.

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{World, on_each_store};
use crate::tmux::Tmux;

on_each_store! {
    a_message_that_is_released_on_the_screen_reaches_wechat,
    a_channel_is_paused_and_a_schedule_run_from_the_screen,
}

const SIZE: (u16, u16) = (110, 32);
/// After so long without news the screen says that it is stale.
const STALE_WITHIN: Duration = Duration::from_millis(2_500);
/// After how long a key is pressed again: a question takes none that come too early, or too fast after one another.
const PRESS_AGAIN: Duration = Duration::from_millis(500);

/// The screen of a world's engine.
struct Screen<'a> {
    world: &'a World,
    tmux: Tmux,
}

impl Screen<'_> {
    fn of(world: &World) -> Screen<'_> {
        let script = format!(
            "cd '{}'\nunset NO_COLOR\nexport LC_ALL=C.UTF-8\n'{}' tui\necho \"left with $?\"\nexec cat\n",
            world.path("").display(),
            env!("CARGO_BIN_EXE_tidings"),
        );
        let screen = Screen { world, tmux: Tmux::start(world.path(""), &script, SIZE) };
        screen.shows("LIVE");
        screen
    }

    fn text(&self) -> String {
        self.tmux.screen()
    }

    #[track_caller]
    fn until(&self, what: &str, met: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.world.wait(what, || {
                last = self.text();
                met(&last).then_some(())
            });
        }));
        assert!(found.is_ok(), "no {what} on the screen:\n{last}");
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        self.until(text, |screen| screen.contains(text));
    }

    /// Presses keys one after the other. Escape is none of them: with a key right behind it, it is Alt.
    fn press(&self, keys: &[&str]) {
        for key in keys {
            self.tmux.press(key);
        }
    }

    /// Presses a key until it is taken.
    #[track_caller]
    fn press_until(&self, key: &str, text: &str) {
        let pressed = Cell::new(None::<Instant>);
        self.until(text, |screen| {
            if screen.contains(text) {
                return true;
            }
            if pressed.get().is_none_or(|at| at.elapsed() > PRESS_AGAIN) {
                self.tmux.press(key);
                pressed.set(Some(Instant::now()));
            }
            false
        });
    }
}

fn a_message_that_is_released_on_the_screen_reaches_wechat() {
    let world = World::running();
    world.ok(&["channels", "pause", "alerts"]);
    let id = world.send("notice", "o-alice", "1");
    world.ok(&["messages", "hold", &id]);
    world.ok(&["channels", "resume", "alerts"]);
    assert_eq!(world.arrived("1"), 0);
    let screen = Screen::of(&world);
    screen.press(&["2"]);
    screen.shows(&id);
    screen.shows("held");
    screen.press_until("W", "Release");
    screen.press(&["Enter"]);
    screen.shows("Press W to do it");
    screen.press_until("W", "done: 1");
    world.until(&id, "sent");
    assert_eq!(world.arrived("1"), 1);
    screen.press(&["Enter", "9"]);
    screen.shows("message.release");
    screen.press(&["q"]);
    screen.shows("left with 0");
}

fn a_channel_is_paused_and_a_schedule_run_from_the_screen() {
    let world = World::new();
    world.configure_more("[schedules.keep-token]\ncron = \"0 4 1 1 *\"\njob = { refresh_token = \"shop\" }\n");
    world.run();
    let screen = Screen::of(&world);
    screen.press(&["3"]);
    screen.shows(">alerts");
    screen.press(&["P"]);
    screen.shows("Pause: alerts");
    screen.press(&["w", "h", "y", "Enter"]);
    screen.shows("Press P to do it");
    screen.press_until("P", "done: 1");
    world.until_channel("alerts", "paused");
    screen.press(&["Enter", "6"]);
    screen.shows("keep-token");
    screen.press(&["T", "Enter"]);
    screen.shows("Press T to do it");
    screen.press_until("T", "done: 1");
    world.wait("it has run", || {
        let runs = world.get("/v1/runs").json();
        (runs["items"][0]["state"] == json!("done")).then_some(())
    });
    screen.press(&["Enter", "7"]);
    screen.shows("token fetched");
    screen.press(&["Enter"]);
    screen.shows("Its log (");
    screen.press(&["Escape"]);
    screen.until("list again", |screen| !screen.contains("Its log ("));
    screen.press(&["/", "f", "a", "i", "l", "e", "d", "Enter"]);
    screen.shows("nothing matches");
    screen.press(&["9", "/", "s", "c", "h", "e", "d", "u", "l", "e", "Enter"]);
    screen.shows("act:schedule");
    screen.shows("schedule.run");
}

#[test]
fn an_engine_that_stands_still_is_stale_in_time_and_live_again_when_it_goes_on() {
    let world = World::running();
    let screen = Screen::of(&world);
    world.signal("-STOP");
    let stopped = Instant::now();
    screen.shows("STALE");
    let took = stopped.elapsed();
    // Keys are taken all the while.
    screen.press(&["?"]);
    screen.shows("draw afresh");
    screen.press(&["?", "3", "P"]);
    screen.shows("not now: the engine does not answer");
    world.signal("-CONT");
    screen.shows("LIVE");
    assert!(took <= STALE_WITHIN, "stale after {took:?}");
}

#[test]
fn a_storm_of_sizes_leaves_a_whole_screen_in_the_last_of_them() {
    let world = World::running();
    let screen = Screen::of(&world);
    screen.press(&["3"]);
    screen.shows("orders");
    for step in 0..120_u16 {
        screen.tmux.resize(20 + step * 37 % 140, 3 + step * 11 % 50);
    }
    screen.tmux.resize(80, 24);
    screen.until("whole screen", |text| {
        let lines: Vec<&str> = text.lines().collect();
        lines.len() == 24
            && lines[0].contains("LIVE")
            && lines[1].contains("3 Channels")
            && lines[4].contains("alerts")
            && lines[23].contains("? help")
    });
    screen.press(&["q"]);
    screen.shows("left with 0");
}
