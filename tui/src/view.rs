//! State made visible: one frame of it. Nothing here changes the state, reads a clock or touches the terminal.

mod dialog;
mod footer;
mod header;
pub(crate) mod help;
pub(crate) mod paint;
mod status;
pub(crate) mod table;
pub(crate) mod trouble;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::layout;
use crate::state::{Overlay, State};
use crate::theme::Theme;
use paint::{Drawn, Painter};

/// Draws the state.
pub(crate) fn draw(state: &State, buffer: &mut Buffer) -> Drawn {
    let area = buffer.area;
    state.shared.holds.begin();
    let drawn = put(state, buffer, area);
    Drawn { until: state.shared.holds.until(), ..drawn }
}

fn put(state: &State, buffer: &mut Buffer, area: Rect) -> Drawn {
    let look = state.shared.look;
    let mut painter = Painter::new(buffer, Theme { colour: look.colour, light: look.light });
    let Some(frame) = layout::frame(area) else {
        trouble::too_small(&mut painter, area, &state.shared);
        return painter.finish();
    };
    header::draw(&mut painter, frame.header, &state.shared);
    if let Some(tabs) = frame.tabs {
        header::tabs(&mut painter, tabs, state);
    }
    status::draw(&mut painter, frame.status, state);
    match &state.overlay {
        Overlay::Help(top) => help::draw(&mut painter, frame.content, state, *top),
        _ if state.shared.picture.is_none() => {
            trouble::instead_of_a_picture(&mut painter, frame.content, &state.shared);
        }
        _ => state.shown().page.draw(&mut painter, frame.content, &state.shared),
    }
    if let Overlay::Dialog(open) = &state.overlay {
        dialog::draw(&mut painter, frame.content, open, &state.shared);
    }
    footer::draw(&mut painter, frame.footer, state);
    painter.finish()
}
