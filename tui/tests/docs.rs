//! The keys in docs/SCREEN.md, which are those of the table. `UPDATE_SCREENS=1` writes them.

use std::path::PathBuf;

use crate::keys::{self, BINDINGS, Where};
use crate::words::Language;

const BEGIN: &str = "<!-- keys: made of tui/src/keys.rs -->\n";
const END: &str = "<!-- end -->";

fn table() -> String {
    let mut rows = vec!["| Keys | Command | Where | It does | 作用 |".to_owned(), "|---|---|---|---|---|".to_owned()];
    for binding in BINDINGS {
        let chords: Vec<String> = binding.chords.iter().map(|chord| format!("`{}`", keys::name(*chord))).collect();
        let place = match binding.place {
            Where::Everywhere => "everywhere".to_owned(),
            Where::On(kinds) => {
                let titles: Vec<&str> = kinds.iter().map(|kind| kind.title().text(Language::En)).collect();
                titles.join(", ")
            }
        };
        let [en, zh] = [Language::En, Language::Zh].map(|language| binding.label.text(language));
        rows.push(format!("| {} | `:{}` | {place} | {en} | {zh} |", chords.join(" "), binding.name));
    }
    rows.join("\n") + "\n"
}

#[test]
fn the_docs_have_the_keys_of_the_table() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/SCREEN.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let start = text.find(BEGIN).expect("the table begins") + BEGIN.len();
    let end = start + text[start..].find(END).expect("the table ends");
    if std::env::var_os("UPDATE_SCREENS").is_some() {
        std::fs::write(&path, format!("{}{}{}", &text[..start], table(), &text[end..])).unwrap();
        return;
    }
    assert!(text[start..end] == table(), "docs/SCREEN.md has other keys; UPDATE_SCREENS=1 takes the table's");
}
