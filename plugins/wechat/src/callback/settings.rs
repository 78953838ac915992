//! What an app says about callbacks: the token both sides sign with, and the key of the content.

use tidings_sdk::{App, Violation};

use super::Refused;
use super::cipher::Key;

/// The setting of the word that WeChat's console calls `Token`.
pub(crate) const CALLBACK_TOKEN: &str = "callback_token";
/// The setting of what WeChat's console calls `EncodingAESKey`.
pub(crate) const CALLBACK_KEY: &str = "callback_key";
/// The setting of what is taken where there is a key.
pub(crate) const CALLBACK_MODE: &str = "callback_mode";

/// With a key only encrypted pushes are taken.
pub(crate) const SECURE: &str = "secure";
/// With a key plain pushes are taken, too.
const COMPATIBLE: &str = "compatible";
/// What [`CALLBACK_MODE`] may be.
pub(crate) const MODES: &[&str] = &[SECURE, COMPATIBLE];

/// Characters of a token, by WeChat's console.
const TOKEN_CHARS: std::ops::RangeInclusive<usize> = 3..=32;

/// How the content of a push comes.
pub(super) enum Mode {
    /// In the clear: the app has no key.
    Plain,
    /// Encrypted.
    Secure(Key),
    /// Either way.
    Compatible(Key),
}

/// The app's token; `None` if it takes no callbacks.
pub(super) fn token(app: &App) -> Option<&str> {
    Some(app.settings.text(CALLBACK_TOKEN)).filter(|token| !token.is_empty())
}

/// The app's mode.
pub(super) fn mode(app: &App) -> Result<Mode, Refused> {
    let key = app.settings.text(CALLBACK_KEY);
    if key.is_empty() {
        return Ok(Mode::Plain);
    }
    // Settings were checked; an app that comes unchecked must not fall back to what is in the clear.
    let key = Key::parse(key).map_err(|problem| Refused { status: 500, why: format!("`{CALLBACK_KEY}` {problem}") })?;
    Ok(if app.settings.text(CALLBACK_MODE) == COMPATIBLE { Mode::Compatible(key) } else { Mode::Secure(key) })
}

/// What is wrong with these settings. None of their values is repeated: they are secrets.
pub(crate) fn check(app: &App) -> Vec<Violation> {
    let mut violations = Vec::new();
    match token(app) {
        None if !app.settings.text(CALLBACK_KEY).is_empty() => {
            let problem = format!("`{CALLBACK_KEY}` is there and `{CALLBACK_TOKEN}` is not: no push could be proved");
            violations.push(Violation::new(CALLBACK_KEY, problem));
        }
        None => {}
        Some(token) => {
            let length = token.chars().count();
            if !TOKEN_CHARS.contains(&length) || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                let (least, most) = (TOKEN_CHARS.start(), TOKEN_CHARS.end());
                let problem = format!("has {length} characters; WeChat takes {least} to {most} letters and digits");
                violations.push(Violation::new(CALLBACK_TOKEN, problem));
            }
        }
    }
    let key = app.settings.text(CALLBACK_KEY);
    if !key.is_empty()
        && let Err(problem) = Key::parse(key)
    {
        violations.push(Violation::new(CALLBACK_KEY, problem));
    }
    violations
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::app;

    const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFb";

    fn violations(settings: Value) -> Vec<String> {
        check(&app(settings)).into_iter().map(|it| format!("{}: {}", it.field, it.problem)).collect()
    }

    #[test]
    fn an_app_may_have_neither_or_a_token_or_both() {
        let fine = [
            json!({}),
            json!({"callback_token": "AAA"}),
            json!({"callback_token": "a".repeat(32), "callback_key": KEY}),
        ];
        for settings in fine {
            assert_eq!(violations(settings.clone()), Vec::<String>::new(), "{settings}");
        }
    }

    #[test]
    fn what_wechats_console_would_not_take_is_told_without_being_repeated() {
        let wrong = [
            (json!({"callback_token": "aa"}), "callback_token: has 2 characters"),
            (json!({"callback_token": "a".repeat(33)}), "callback_token: has 33 characters"),
            (json!({"callback_token": "a b c"}), "letters and digits"),
            (json!({"callback_key": KEY}), "callback_token` is not"),
            (json!({"callback_token": "AAA", "callback_key": &KEY[1..]}), "callback_key: has 42 characters"),
            (json!({"callback_token": "AAA", "callback_key": format!("{KEY}=")}), "callback_key: has 44 characters"),
            (json!({"callback_token": "AAA", "callback_key": format!("-{}", &KEY[1..])}), "callback_key: is no base64"),
        ];
        for (settings, told) in wrong {
            let violations = violations(settings).join("\n");
            assert!(violations.contains(told), "{violations}");
            assert!(!violations.contains("bcdef") && !violations.contains("a b c"), "{violations}");
        }
    }
}
