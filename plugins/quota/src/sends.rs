//! The stage: which permit a recipient has now, and what may be posted beside it.

use std::time::Duration;

use serde_json::json;
use tidings_sdk::spelling::distance;
use tidings_sdk::{App, CredentialKind, CredentialSource, Intake, Minted, Permit, Timestamp};

use crate::SENDS_MAX;
use crate::period::{Period, Unit};

const RECIPIENT: &str = "recipient";
const USES: &str = "uses";
const ID: &str = "id";
const FIELDS: &[&str] = &[RECIPIENT, USES, ID];

/// Bytes of a posted field.
const FIELD_BYTES_MAX: usize = 512;

/// So many sends in each period, for each recipient.
pub(crate) struct Sends;

impl CredentialSource for Sends {
    fn kind(&self) -> CredentialKind {
        // Nobody at the provider knows of it, so no answer proves a use, and it is good for any template: where
        // templates are counted by themselves, the permit says so itself.
        CredentialKind {
            life: None,
            uses: SENDS_MAX,
            proves_use: false,
            counted_by_provider: false,
            ripens_in: Duration::ZERO,
            scoped: false,
        }
    }

    fn mints(&self) -> bool {
        true
    }

    fn fits_any_transport(&self) -> bool {
        true
    }

    fn admit(&self, app: &App, intake: &Intake, now: Timestamp) -> Result<Permit, String> {
        if let Some(unknown) = intake.unknown(FIELDS) {
            let nearest = FIELDS.iter().min_by_key(|name| distance(unknown, name)).copied().unwrap_or_default();
            return Err(format!("there is no field `{}`; the nearest is `{nearest}`", shown(unknown)));
        }
        let recipient = required(intake, RECIPIENT)?;
        let uses = required(intake, USES)?.parse().ok().filter(|uses| (1..=SENDS_MAX).contains(uses));
        let uses = uses.ok_or_else(|| format!("`{USES}` is no whole number from 1 to {SENDS_MAX}"))?;
        let id = optional(intake, ID)?;
        let period = period(app, now).ok_or("the app's settings name no period that can be read")?;
        Ok(Permit {
            recipient: recipient.to_owned(),
            // An id is the poster's, and names one gift for ever: posted again it is the same, in a later period too.
            identity: id.map(|id| json!(["posted", recipient, id]).to_string()),
            made_at: Some(now),
            expires_at: Some(period.end),
            uses: Some(uses),
            ..Permit::default()
        })
    }

    fn mint(&self, app: &App, recipient: &str, scope: &str, now: Timestamp) -> Minted {
        let sends = app.settings.number("sends").and_then(|sends| u32::try_from(sends).ok());
        // Settings were checked before: without them there is nothing to count, and no permit is the safe answer.
        let (Some(period), Some(sends)) = (period(app, now), sends) else { return Minted::default() };
        let per_template = app.settings.flag("per_template") && !scope.is_empty();
        let scope = per_template.then(|| scope.to_owned());
        // As JSON, so that no recipient can be written to look like another one with a scope. The end is a part of it:
        // when config goes from days to months on the first of a month, the month is another permit than that day.
        let identity = json!(["minted", recipient, scope, period.start.0, period.end.0]).to_string();
        let permit = Permit {
            recipient: recipient.to_owned(),
            scope,
            identity: Some(identity),
            made_at: Some(period.start),
            expires_at: Some(period.end),
            uses: Some(sends.clamp(1, SENDS_MAX)),
            ..Permit::default()
        };
        Minted { permit: Some(permit), next_at: Some(period.end) }
    }
}

/// The app's period of this time.
fn period(app: &App, now: Timestamp) -> Option<Period> {
    let unit = Unit::of(app.settings.text("period"))?;
    let offset = app.settings.text("utc_offset").parse().ok()?;
    Some(Period::at(now, unit, offset))
}

fn required<'a>(intake: &'a Intake, name: &str) -> Result<&'a str, String> {
    optional(intake, name)?.ok_or_else(|| format!("`{name}` is missing"))
}

/// A field that can be what it says. Its value is never repeated: it is somebody's.
fn optional<'a>(intake: &'a Intake, name: &str) -> Result<Option<&'a str>, String> {
    let Some(value) = intake.any(&[name]) else { return Ok(None) };
    if value.trim().is_empty() {
        return Err(format!("`{name}` is empty"));
    }
    if value.len() > FIELD_BYTES_MAX {
        return Err(format!("`{name}` has {} bytes; at most {FIELD_BYTES_MAX} are taken", value.len()));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("`{name}` has a control character"));
    }
    Ok(Some(value))
}

/// A field's name as it may be repeated: short, and one line.
fn shown(name: &str) -> String {
    name.chars().take(40).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use serde_json::Value;
    use tidings_sdk::Settings;

    use super::*;

    fn app(settings: Value) -> App {
        let mut values = json!({"sends": 3, "period": "day", "utc_offset": "+08:00", "per_template": false});
        for (key, value) in settings.as_object().unwrap() {
            values[key] = value.clone();
        }
        App { name: "news".into(), settings: Settings::new(values.as_object().unwrap().clone()) }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).unwrap()
    }

    fn mint(settings: Value, recipient: &str, scope: &str, now: &str) -> Permit {
        Sends.mint(&app(settings), recipient, scope, at(now)).permit.unwrap()
    }

    fn admit(fields: &[(&str, &str)]) -> Result<Permit, String> {
        let intake = Intake::new(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Sends.admit(&app(json!({})), &intake, at("2026-01-02T03:00:00Z"))
    }

    #[test]
    fn a_recipient_has_the_sends_of_the_day_until_its_end() {
        let minted = Sends.mint(&app(json!({})), "ann", "T1", at("2026-01-02T03:00:00Z"));
        let expected = Permit {
            recipient: "ann".into(),
            scope: None,
            value: String::new(),
            identity: Some(r#"["minted","ann",null,1767283200000,1767369600000]"#.into()),
            made_at: Some(at("2026-01-01T16:00:00Z")),
            expires_at: Some(at("2026-01-02T16:00:00Z")),
            uses: Some(3),
        };
        assert_eq!(minted.permit, Some(expected));
        assert_eq!(minted.next_at, Some(at("2026-01-02T16:00:00Z")));
    }

    #[test]
    fn all_templates_of_a_recipient_share_the_sends() {
        let one = mint(json!({}), "ann", "T1", "2026-01-02T03:00:00Z");
        assert_eq!(one, mint(json!({}), "ann", "T2", "2026-01-02T15:59:59Z"));
    }

    #[test]
    fn each_template_has_its_own_sends_where_config_says_so() {
        let settings = || json!({"per_template": true});
        let one = mint(settings(), "ann", "T1", "2026-01-02T03:00:00Z");
        let two = mint(settings(), "ann", "T2", "2026-01-02T03:00:00Z");
        assert_eq!((one.scope.as_deref(), two.scope.as_deref()), (Some("T1"), Some("T2")));
        assert_ne!(one.identity, two.identity);
    }

    #[test]
    fn a_transport_whose_templates_have_no_scope_counts_them_together() {
        assert_eq!(mint(json!({"per_template": true}), "ann", "", "2026-01-02T03:00:00Z").scope, None);
    }

    #[test]
    fn a_month_is_another_permit_than_its_first_day() {
        let now = "2026-01-31T17:00:00Z";
        let day = mint(json!({}), "ann", "", now);
        let month = mint(json!({"period": "month"}), "ann", "", now);
        assert_eq!(day.made_at, month.made_at);
        assert_ne!(day.identity, month.identity);
    }

    #[test]
    fn settings_that_cannot_be_read_give_no_permit() {
        for settings in [json!({"period": "year"}), json!({"utc_offset": "8"}), json!({"sends": null})] {
            assert_eq!(Sends.mint(&app(settings), "ann", "", Timestamp(0)), Minted::default());
        }
    }

    #[test]
    fn extra_sends_are_posted_for_the_rest_of_the_period() {
        let expected = Permit {
            recipient: "ann".into(),
            made_at: Some(at("2026-01-02T03:00:00Z")),
            expires_at: Some(at("2026-01-02T16:00:00Z")),
            uses: Some(20),
            ..Permit::default()
        };
        assert_eq!(admit(&[("recipient", "ann"), ("uses", "20")]), Ok(expected));
    }

    #[test]
    fn a_post_with_an_id_is_one_however_often_it_is_sent() {
        let identity = |recipient: &str, id: &str, uses: &str| {
            admit(&[("recipient", recipient), ("uses", uses), ("id", id)]).unwrap().identity
        };
        assert_eq!(identity("ann", "1", "5"), identity("ann", "1", "6"));
        assert_ne!(identity("ann", "1", "5"), identity("ann", "2", "5"));
        assert_ne!(identity("ann", "1", "5"), identity("ben", "1", "5"));
        assert_eq!(admit(&[("recipient", "ann"), ("uses", "5")]).unwrap().identity, None);
    }

    #[test]
    fn what_cannot_be_taken_is_refused_in_a_sentence() {
        let long = "x".repeat(FIELD_BYTES_MAX + 1);
        for (fields, expected) in [
            (vec![("uses", "1")], "`recipient` is missing"),
            (vec![("recipient", " "), ("uses", "1")], "`recipient` is empty"),
            (vec![("recipient", "a\nb"), ("uses", "1")], "`recipient` has a control character"),
            (vec![("recipient", &long), ("uses", "1")], "`recipient` has 513 bytes; at most 512 are taken"),
            (vec![("recipient", "ann")], "`uses` is missing"),
            (vec![("recipient", "ann"), ("uses", "0")], "`uses` is no whole number from 1 to 1000000"),
            (vec![("recipient", "ann"), ("uses", "1000001")], "`uses` is no whole number from 1 to 1000000"),
            (vec![("recipient", "ann"), ("uses", "-1")], "`uses` is no whole number from 1 to 1000000"),
            (vec![("recipient", "ann"), ("uses", "1.5")], "`uses` is no whole number from 1 to 1000000"),
            (vec![("recipient", "ann"), ("uses", "1"), ("id", "")], "`id` is empty"),
            (vec![("recipient", "ann"), ("uses", "1"), ("use", "1")], "there is no field `use`; the nearest is `uses`"),
        ] {
            assert_eq!(admit(&fields).map(|_| ()), Err(expected.to_owned()), "{fields:?}");
        }
    }

    /// Texts that are good at looking like two.
    fn texts() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "\"", ",", "\\", "[", "null", "0", "é"]), 0..5)
            .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn no_two_permits_have_one_identity(
            asked in prop::collection::vec((texts(), texts(), 0..4_i64, any::<bool>()), 2..20),
        ) {
            let mut seen: HashMap<String, Permit> = HashMap::new();
            for (recipient, scope, day, per_template) in asked {
                let app = app(json!({"per_template": per_template}));
                let permit = Sends.mint(&app, &recipient, &scope, Timestamp(day * 86_400_000)).permit.unwrap();
                let identity = permit.identity.clone().unwrap();
                let first = seen.entry(identity).or_insert_with(|| permit.clone());
                prop_assert_eq!(&*first, &permit);
            }
        }

        #[test]
        fn a_permit_is_usable_now_and_another_follows_at_its_end(now in any::<i32>(), word in prop::sample::select(crate::period::WORDS)) {
            let app = app(json!({"period": word}));
            let now = Timestamp(i64::from(now) * 1000);
            let Minted { permit, next_at } = Sends.mint(&app, "ann", "", now);
            let (permit, next_at) = (permit.unwrap(), next_at.unwrap());
            prop_assert!(permit.made_at.unwrap() <= now && now < next_at);
            prop_assert_eq!(permit.expires_at, Some(next_at));
            let next = Sends.mint(&app, "ann", "", next_at).permit.unwrap();
            prop_assert_ne!(next.identity, permit.identity);
            prop_assert_eq!(next.made_at, Some(next_at));
        }
    }
}
