//! How fast messages left, over minutes: one column for each step.

use ratatui::layout::Rect;

use crate::state::Shared;
use crate::theme::Role;
use crate::trend::STEP_MS;
use crate::view::paint::{Painter, Piece, inset, rows};
use crate::words::{Word, count};

/// From nothing to the peak. Plain signs: blocks take two columns in some terminals.
const RAMP: &[u8; 9] = b".:-=+*#%@";

/// Draws it under its title, the newest at the right.
pub(crate) fn draw(painter: &mut Painter<'_>, place: Rect, shared: &Shared) {
    let mut places = rows(place);
    let (Some(title), Some(graph)) = (places.next(), places.next()) else { return };
    let graph = inset(graph);
    let steps = shared.trend.steps(usize::from(graph.width));
    let peak = steps.iter().flatten().copied().max();
    let rate = peak.map_or_else(|| "-".to_owned(), |peak| count(peak * 1_000 / STEP_MS));
    painter.rule(title, &Word::Throughput.with(shared.language(), &[&(STEP_MS / 1_000).to_string(), &rate]), false);
    painter.put(graph, 0, usize::MAX, &Piece::new(bar(&steps, peak.unwrap_or(0)), Role::Good));
}

/// A sign for each step: a blank where nobody knows, the lowest for nothing, the highest for the peak.
fn bar(steps: &[Option<i64>], peak: i64) -> String {
    let top = i128::try_from(RAMP.len() - 1).unwrap_or(i128::MAX);
    let sign = |left: i64| {
        // Anything at all is more than nothing.
        let height = if left == 0 { 0 } else { (i128::from(left) * top / i128::from(peak.max(1))).clamp(1, top) };
        char::from(RAMP[usize::try_from(height).unwrap_or(0)])
    };
    steps.iter().map(|step| step.map_or(' ', sign)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_blank_nothing_is_low_little_is_more_and_the_peak_is_high() {
        assert_eq!(bar(&[None, Some(0), Some(1), Some(500), Some(1_000)], 1_000), " .:+@");
        assert_eq!(bar(&[Some(0), Some(0)], 0), "..");
        assert_eq!(bar(&[Some(i64::MAX), Some(1)], i64::MAX), "@:");
    }
}
