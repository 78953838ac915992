//! Providers echo what they were sent, the address above all: what they say is kept without the app's secret.

use serde_json::Value;
use tidings_sdk::{App, percent_encode};

use crate::header::basic;
use crate::placeholder::SECRET;

/// Bytes from which a part of a secret is a secret, too: `XXX` of `T000/B000/XXX`, whatever an echo does to the
/// slashes.
const PART_BYTES_MIN: usize = 8;

/// The text without the secret, and without what it is sent as.
pub(crate) fn hidden(app: &App, text: &str) -> String {
    forms(app).into_iter().fold(text.to_owned(), |text, form| text.replace(&form, "…"))
}

/// Whether the text has the secret in it.
pub(crate) fn shows(app: &App, text: &str) -> bool {
    forms(app).iter().any(|form| text.contains(form.as_str()))
}

/// Everything that gives the secret away, the longest first.
fn forms(app: &App) -> Vec<String> {
    let secret = app.settings.text(SECRET);
    if secret.is_empty() {
        return Vec::new();
    }
    let quoted = Value::from(secret).to_string();
    let mut forms = vec![secret.to_owned(), percent_encode(secret), quoted[1..quoted.len() - 1].to_owned()];
    let username = app.settings.text("username");
    if !username.is_empty() {
        forms.extend(basic(username, secret).split_once(' ').map(|(_, code)| code.to_owned()));
    }
    let parts = secret.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~')));
    forms.extend(parts.filter(|part| part.len() >= PART_BYTES_MIN).map(str::to_owned));
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::app;
    use serde_json::json;

    #[track_caller]
    fn check(settings: Value, text: &str, expected: &str) {
        let app = app(settings);
        assert_eq!(hidden(&app, text), expected);
        assert_eq!(shows(&app, text), text != expected);
    }

    #[test]
    fn a_secret_is_hidden_however_it_was_sent() {
        let settings = json!({"secret": "T0/B0/a\"b c-secret"});
        check(settings.clone(), "at T0/B0/a\"b c-secret!", "at …!");
        check(settings.clone(), "at T0%2FB0%2Fa%22b%20c-secret!", "at …!");
        check(settings.clone(), r#"{"at": "T0/B0/a\"b c-secret"}"#, r#"{"at": "…"}"#);
        check(settings, "nothing of it", "nothing of it");
        check(json!({"secret": "open sesame", "username": "Aladdin"}), "QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "…");
    }

    #[test]
    fn a_part_of_a_secret_is_hidden_where_it_is_long_enough() {
        check(json!({"secret": "12:ABCDEFGH"}), "12%3aABCDEFGH at 12", "12%3a… at 12");
        check(json!({"secret": "12:ABCDEFG"}), "ABCDEFG", "ABCDEFG");
    }

    #[test]
    fn an_app_without_a_secret_hides_nothing() {
        check(json!({"secret": null}), "a…b", "a…b");
    }
}
