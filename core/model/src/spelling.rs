//! How near two words are: for the hint in an error about a name that does not exist.

/// The known word that a slip of the finger could have made into `found`.
pub fn nearest<'w>(found: &str, words: &[&'w str]) -> Option<&'w str> {
    let bound = (found.chars().count() / 3).max(1);
    words
        .iter()
        .map(|word| (distance(found, word), *word))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, word)| word)
}

/// Whether the two are one edit apart.
pub fn is_slip(found: &str, word: &str) -> bool {
    distance(found, word) <= 1
}

/// Edits between two words, a swap of neighbours counting as one (optimal string alignment).
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let words = ["transport", "renderer", "rate"];
        assert_eq!(nearest("trasnport", &words), Some("transport"));
        assert_eq!(nearest("rait", &words), None);
        assert_eq!(nearest("rte", &words), Some("rate"));
    }
}
