//! What a style means. State is always a word as well: a colour only repeats it, and without colours nothing is lost.

use ratatui::style::{Color, Modifier, Style};

/// What something on the screen is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// Content.
    #[default]
    Plain,
    /// Frames, column titles, what is there for completeness.
    Dim,
    /// As it should be.
    Good,
    /// Wants a look.
    Warn,
    /// Wants a person.
    Bad,
    /// The title of a list.
    Title,
    /// The title of the list that the keys move.
    Focus,
}

/// The style of each role, in the terminal's own sixteen colours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Theme {
    /// Whether colours may be used at all.
    pub(crate) colour: bool,
    /// Whether the background is light: yellow and cyan on white are read by nobody.
    pub(crate) light: bool,
}

impl Theme {
    /// The style of a role.
    pub(crate) fn style(self, role: Role) -> Style {
        let on = |dark, light| Some(if self.light { light } else { dark });
        let (colour, modifier) = match role {
            Role::Plain => (None, Modifier::empty()),
            Role::Dim => (None, Modifier::DIM),
            Role::Good => (on(Color::Green, Color::Green), Modifier::empty()),
            Role::Warn => (on(Color::Yellow, Color::Magenta), Modifier::empty()),
            Role::Bad => (on(Color::Red, Color::Red), Modifier::BOLD),
            Role::Title => (on(Color::Cyan, Color::Blue), Modifier::BOLD),
            Role::Focus => (on(Color::Cyan, Color::Blue), Modifier::BOLD.union(Modifier::REVERSED)),
        };
        let style = Style::new().add_modifier(modifier);
        match colour {
            Some(colour) if self.colour => style.fg(colour),
            _ => style,
        }
    }
}

/// How a message's state is to be taken.
pub(crate) fn message_role(state: &str) -> Role {
    match state {
        "sent" | "delivered" => Role::Good,
        "failed" => Role::Bad,
        "waiting" | "held" | "unknown" | "expired" => Role::Warn,
        _ => Role::Plain,
    }
}

/// How the outcome of an attempt is to be taken.
pub(crate) fn outcome_role(outcome: &str) -> Role {
    match outcome {
        "accepted" => Role::Good,
        "unknown" => Role::Bad,
        _ => Role::Warn,
    }
}

/// How the state of a channel, a token, a schedule, a run, a plugin or a webhook is to be taken.
pub(crate) fn state_role(state: &str) -> Role {
    match state {
        "open" | "valid" | "done" | "working" | "active" | "ok" => Role::Good,
        "halted" | "parked" | "exhausted" | "failed" | "absent" | "disabled" => Role::Bad,
        "paused" | "cooling" | "expired" | "waiting" | "none" | "interrupted" | "cancelled" | "ahead" | "removed"
        | "failing" => Role::Warn,
        _ => Role::Plain,
    }
}

/// Whether the terminal says that its background is light, by the variable `COLORFGBG` that several set: `0;15`.
pub(crate) fn is_light(colorfgbg: Option<&str>) -> bool {
    let background = colorfgbg.and_then(|value| value.rsplit(';').next()).and_then(|number| number.parse::<u8>().ok());
    matches!(background, Some(7 | 9..=15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_background_is_light_if_the_terminal_says_so() {
        for (value, light) in
            [("0;15", true), ("0;default;7", true), ("15;0", false), ("15;default", false), ("", false)]
        {
            assert_eq!(is_light(Some(value)), light, "{value}");
        }
        assert!(!is_light(None));
    }
}
