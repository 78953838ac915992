//! So many sends for each recipient and calendar period: a credential source that no provider has ever heard of.
//!
//! A recipient has one permit in each hour, day, week or month, by itself: it is minted, not posted. Its uses are the
//! quota, its end is the end of the period. The ledger then does what it does with every permit, so a quota holds
//! through crashes and retries as a `form_id` does. The modules in reading order:
//!
//! | Module | Subject |
//! |---|---|
//! | `sends` | the stage: which permit a recipient has now, and what may be posted beside it |
//! | `period` | the calendar: when a period begins and ends in a fixed offset from UTC |

mod sends;

mod period;

use tidings_sdk::{App, Plugin, Setting, SettingKind, Violation};

use crate::period::{UtcOffset, WORDS};

/// Sends that one permit may carry: of a period, or posted.
pub(crate) const SENDS_MAX: u32 = 1_000_000;

const APP_SETTINGS: &[Setting] = &[
    Setting::of(
        "sends",
        SettingKind::Number { min: 1, max: SENDS_MAX as u64 },
        "how many messages a recipient gets in a period",
    )
    .required()
    .example("3"),
    Setting::of(
        "period",
        SettingKind::Choice(WORDS),
        "the calendar period that the sends are counted in; weeks begin on Monday",
    )
    .default("day"),
    Setting::text("utc_offset", "how far the calendar is ahead of UTC, as +HH:MM or -HH:MM; China is +08:00")
        .default("+00:00"),
    Setting::of(
        "per_template",
        SettingKind::Boolean,
        "count each of the provider's templates by itself, instead of all of them together",
    )
    .default("false"),
];

/// The plugin `quota`: credential source `sends`.
pub fn plugin() -> Plugin {
    Plugin::new("quota", env!("CARGO_PKG_VERSION"))
        .app_settings(APP_SETTINGS)
        .check_app(check_app)
        .credential_source("sends", sends::Sends)
}

fn check_app(app: &App) -> Vec<Violation> {
    match app.settings.text("utc_offset").parse::<UtcOffset>() {
        Ok(_) => Vec::new(),
        Err(problem) => vec![Violation::new("utc_offset", problem)],
    }
}

tidings_sdk::export!(name: "quota", roles: [credential_source], plugin: plugin());

#[cfg(test)]
mod tests {
    use tidings_sdk::Settings;

    use super::*;

    #[test]
    fn the_plugin_offers_one_source() {
        let names: Vec<_> = plugin().credential_sources.iter().map(|(name, _)| *name).collect();
        assert_eq!((plugin().name, names), ("quota", vec!["sends"]));
    }

    #[test]
    fn an_app_needs_the_number_of_sends_and_nothing_else() {
        let required: Vec<_> = APP_SETTINGS.iter().filter(|setting| setting.required).map(|it| it.name).collect();
        assert_eq!(required, ["sends"]);
    }

    #[test]
    fn an_offset_that_is_none_is_told_with_its_setting() {
        let check = |offset: &str| {
            let values = serde_json::json!({"utc_offset": offset});
            let app = App { name: "news".into(), settings: Settings::new(values.as_object().unwrap().clone()) };
            (plugin().check_app)(&app)
        };
        assert_eq!(check("+08:00"), []);
        let problems = check("Asia/Shanghai");
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].field, "utc_offset");
        assert!(problems[0].problem.contains("+08:00"), "{}", problems[0].problem);
    }
}
