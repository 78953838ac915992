//! State made visible: one frame of it. Nothing here changes the state, reads a clock or touches the terminal.

mod credentials;
mod footer;
mod header;
mod help;
mod lists;
mod paint;
pub(crate) mod states;
mod table;
mod trouble;

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::layout::{self, Part};
use crate::state::State;
use crate::theme::Theme;
use paint::Painter;

/// Draws the state.
pub(crate) fn draw(state: &State, frame: &mut Frame<'_>) {
    let area = frame.area();
    let theme = Theme { colour: state.colour };
    let painter = &mut Painter::new(frame.buffer_mut(), theme);
    let parts = layout::plan(state, area);
    if parts.is_empty() {
        trouble::too_small(painter, area, state);
        return;
    }
    let between = Rect { y: area.y + 1, height: area.height.saturating_sub(2), ..area };
    if let Some(top) = state.help {
        help::draw(painter, between, state.language, top);
    } else if state.picture.is_none() {
        trouble::instead_of_a_picture(painter, between, state);
    }
    for (part, place) in parts {
        match part {
            Part::Header => header::draw(painter, place, state),
            Part::Footer => footer::draw(painter, place, state),
            _ if state.help.is_some() => {}
            Part::Trouble => trouble::draw(painter, place, state),
            Part::States => states::draw(painter, place, state),
            Part::Credentials => credentials::draw(painter, place, state),
            Part::List(list) => lists::draw(painter, place, state, list),
        }
    }
}
