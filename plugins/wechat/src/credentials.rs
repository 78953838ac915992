//! What a posted permit is worth: `form_id` and `prepay_id` (§2), `subscription` (§3).
//!
//! A permit is taken under the names a mini-program posts it with. What cannot work is refused in a sentence: WeChat
//! would only say so days later, at the send.

use std::time::Duration;

use tidings_sdk::spelling::distance;
use tidings_sdk::{App, CredentialKind, CredentialSource, Intake, Permit, Timestamp};

/// The source of form ids.
pub(crate) const FORM_ID: &str = "form_id";
/// The source of prepay ids.
pub(crate) const PREPAY_ID: &str = "prepay_id";
/// The source of subscription grants.
pub(crate) const SUBSCRIPTION: &str = "subscription";

const SEVEN_DAYS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A prepay_id is refused as wrong for some ten seconds after the payment (§2, one thread): a minute is generous.
const RIPENS_IN: Duration = Duration::from_secs(60);

/// What WeChat's developer tool hands out in place of a form id (§2).
const MOCK_FORM_ID: &str = "the formId is a mock one";

/// Bytes of a posted value.
const VALUE_BYTES_MAX: usize = 1024;

/// The names one field is posted under, the first of them ours.
type Names = &'static [&'static str];

const USER: Names = &["recipient", "openId", "openid"];
const CREATED_AT: Names = &["created_at"];

/// One submit of a form: one message to its user, within seven days.
pub(crate) struct FormId;

impl CredentialSource for FormId {
    fn kind(&self) -> CredentialKind {
        // "Used up" (41029) is another answer than "invalid" (41028), and one use is all there is.
        let life = Some(SEVEN_DAYS);
        CredentialKind {
            life,
            uses: 1,
            proves_use: true,
            counted_by_provider: false,
            ripens_in: Duration::ZERO,
            scoped: false,
        }
    }

    fn admit(&self, _app: &App, intake: &Intake, _now: Timestamp) -> Result<Permit, String> {
        const VALUE: Names = &["form_id", "formId"];
        let posted = Posted::new(intake, &[VALUE, USER, CREATED_AT])?;
        let value = posted.required(VALUE)?;
        if value.trim() == MOCK_FORM_ID {
            return Err(format!(
                "`{MOCK_FORM_ID}` comes from the developer tool; WeChat takes form ids of real devices only"
            ));
        }
        posted.bearer(value)
    }
}

/// One payment: three messages to its payer, within seven days.
pub(crate) struct PrepayId;

impl CredentialSource for PrepayId {
    fn kind(&self) -> CredentialKind {
        // "Used up" after three uses does not tell which of them arrived (§7).
        let life = Some(SEVEN_DAYS);
        CredentialKind {
            life,
            uses: 3,
            proves_use: false,
            counted_by_provider: false,
            ripens_in: RIPENS_IN,
            scoped: false,
        }
    }

    fn admit(&self, _app: &App, intake: &Intake, _now: Timestamp) -> Result<Permit, String> {
        const VALUE: Names = &["prepay_id", "prepayId"];
        let posted = Posted::new(intake, &[VALUE, USER, CREATED_AT])?;
        // The payment call of a mini-program has it as `prepay_id=wx…`.
        let value = posted.required(VALUE)?;
        let value = value.strip_prefix("prepay_id=").unwrap_or(value);
        if value.is_empty() {
            return Err("`prepay_id` has nothing after `prepay_id=`".into());
        }
        if value.len() == TRANSACTION_DIGITS && value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(
                "`prepay_id` has 28 digits: that is a transaction number, which WeChat refuses to send with".into()
            );
        }
        posted.bearer(value)
    }
}

/// Digits of a WeChat Pay transaction number, which people post for a prepay id (§2).
const TRANSACTION_DIGITS: usize = 28;

/// One accept of one template by one user: one message, whenever. WeChat counts, so there is no value.
pub(crate) struct Subscription;

impl CredentialSource for Subscription {
    fn kind(&self) -> CredentialKind {
        CredentialKind {
            life: None,
            uses: 1,
            proves_use: false,
            counted_by_provider: true,
            ripens_in: Duration::ZERO,
            scoped: true,
        }
    }

    fn admit(&self, _app: &App, intake: &Intake, _now: Timestamp) -> Result<Permit, String> {
        const TEMPLATE: Names = &["template_id", "templateId"];
        const ID: Names = &["id"];
        let posted = Posted::new(intake, &[TEMPLATE, USER, ID, CREATED_AT])?;
        let template = posted.required(TEMPLATE)?;
        let recipient = posted.required(USER)?;
        // One tap accepts several templates, and ids are the poster's: the same id for another user or template is
        // another grant. No part has a line break.
        let identity = posted.optional(ID)?.map(|id| format!("{recipient}\n{template}\n{id}"));
        Ok(Permit {
            recipient: recipient.to_owned(),
            scope: Some(template.to_owned()),
            value: String::new(),
            identity,
            made_at: posted.made_at()?,
            expires_at: None,
            uses: None,
        })
    }
}

/// An intake whose field names are all known.
struct Posted<'a>(&'a Intake);

impl<'a> Posted<'a> {
    fn new(intake: &'a Intake, fields: &[Names]) -> Result<Posted<'a>, String> {
        let names = fields.concat();
        match intake.unknown(&names) {
            None => Ok(Posted(intake)),
            Some(unknown) => {
                let unknown = shown(unknown);
                let nearest = names
                    .iter()
                    .min_by_key(|name| distance(&unknown.to_lowercase(), &name.to_lowercase()))
                    .copied()
                    .unwrap_or_default();
                Err(format!("there is no field `{unknown}`; the nearest is `{nearest}`"))
            }
        }
    }

    /// The one value of a field that may stand under several names.
    fn find(&self, names: Names) -> Result<Option<&'a str>, String> {
        let values: Vec<(&str, &str)> = names.iter().filter_map(|name| Some((*name, self.0.any(&[name])?))).collect();
        let Some(&(name, value)) = values.first() else { return Ok(None) };
        match values.iter().find(|(_, other)| *other != value) {
            Some((other, _)) => Err(format!("`{name}` and `{other}` are one field and differ")),
            None => Ok(Some(value)),
        }
    }

    fn required(&self, names: Names) -> Result<&'a str, String> {
        let value = self.find(names)?.ok_or_else(|| match names {
            [name] => format!("`{name}` is missing"),
            [name, others @ ..] => format!("`{name}` is missing (also read as `{}`)", others.join("`, `")),
            [] => String::new(),
        })?;
        fit(names[0], value)
    }

    fn optional(&self, names: Names) -> Result<Option<&'a str>, String> {
        self.find(names)?.map(|value| fit(names[0], value)).transpose()
    }

    /// When the permit was made: seconds since 1970, or RFC 3339.
    fn made_at(&self) -> Result<Option<Timestamp>, String> {
        let Some(text) = self.optional(CREATED_AT)? else { return Ok(None) };
        let instant = match text.parse::<i64>() {
            Ok(seconds @ 0..SECONDS_END) => Some(Timestamp(seconds * 1000)),
            Ok(SECONDS_END..) => return Err("`created_at` looks like milliseconds; seconds are expected".into()),
            _ => Timestamp::from_rfc3339(text),
        };
        let expected = "`created_at` is neither seconds since 1970 nor a time such as 2026-01-02T03:04:05Z";
        instant.map(Some).ok_or_else(|| expected.to_owned())
    }

    /// A permit that is worth what it says, to whoever it was made for.
    fn bearer(&self, value: &str) -> Result<Permit, String> {
        Ok(Permit {
            recipient: self.required(USER)?.to_owned(),
            scope: None,
            value: value.to_owned(),
            identity: Some(value.to_owned()),
            made_at: self.made_at()?,
            expires_at: None,
            uses: None,
        })
    }
}

/// Seconds since 1970 end here, in the year 5138; a larger number is one of milliseconds.
pub(crate) const SECONDS_END: i64 = 100_000_000_000;

/// Refuses what can be no id. The value itself is never repeated: it may be good, and somebody's.
pub(crate) fn fit<'a>(name: &str, value: &'a str) -> Result<&'a str, String> {
    if value.trim().is_empty() {
        return Err(format!("`{name}` is empty"));
    }
    if matches!(value, "undefined" | "null" | "[object Object]") {
        return Err(format!("`{name}` is the text `{value}`: the page posted a variable that was not set"));
    }
    if value.len() > VALUE_BYTES_MAX {
        return Err(format!("`{name}` has {} bytes; at most {VALUE_BYTES_MAX} are taken", value.len()));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("`{name}` has a control character"));
    }
    Ok(value)
}

/// A field's name as it may be repeated: short, and one line.
fn shown(name: &str) -> String {
    name.chars().take(40).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::credential_source;

    fn intake(fields: &[(&str, &str)]) -> Intake {
        Intake::new(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    fn admit(source: &str, intake: &Intake) -> Result<Permit, String> {
        credential_source(source).admit(&crate::testing::app(serde_json::json!({})), intake, Timestamp(0))
    }

    fn form_id(fields: &[(&str, &str)]) -> Result<Permit, String> {
        admit(FORM_ID, &intake(fields))
    }

    fn bearer(value: &str) -> Permit {
        Permit {
            recipient: "o-ann".into(),
            scope: None,
            value: value.into(),
            identity: Some(value.into()),
            made_at: None,
            expires_at: None,
            uses: None,
        }
    }

    #[track_caller]
    fn check_refusal(result: Result<Permit, String>, expected: &str) {
        assert_eq!(result.map(|_| ()).unwrap_err(), expected);
    }

    #[test]
    fn a_form_id_lives_seven_days_and_tells_used_from_invalid() {
        let life = Some(Duration::from_secs(604_800));
        let kind = CredentialKind {
            life,
            uses: 1,
            proves_use: true,
            counted_by_provider: false,
            ripens_in: Duration::ZERO,
            scoped: false,
        };
        assert_eq!(credential_source(FORM_ID).kind(), kind);
    }

    #[test]
    fn a_prepay_id_carries_three_and_proves_nothing() {
        let life = Some(Duration::from_secs(604_800));
        let kind = CredentialKind {
            life,
            uses: 3,
            proves_use: false,
            counted_by_provider: false,
            ripens_in: RIPENS_IN,
            scoped: false,
        };
        assert_eq!(credential_source(PREPAY_ID).kind(), kind);
    }

    #[test]
    fn a_grant_lives_for_ever_is_for_one_template_and_counted_by_wechat() {
        let kind = CredentialKind {
            life: None,
            uses: 1,
            proves_use: false,
            counted_by_provider: true,
            ripens_in: Duration::ZERO,
            scoped: true,
        };
        assert_eq!(credential_source(SUBSCRIPTION).kind(), kind);
    }

    #[test]
    fn a_form_id_is_taken_under_every_name_it_is_posted_with() {
        for value in ["form_id", "formId"] {
            for user in ["openId", "openid", "recipient"] {
                assert_eq!(form_id(&[(value, "F1"), (user, "o-ann")]), Ok(bearer("F1")));
            }
        }
    }

    #[test]
    fn a_form_id_of_any_shape_is_taken() {
        for value in ["1527832134389", "8b1fd46c-9c3b-4bb2-a9a6-8f5d53bc20d1", "表单"] {
            assert_eq!(form_id(&[("formId", value), ("openid", "o-ann")]), Ok(bearer(value)));
        }
    }

    #[test]
    fn the_form_id_of_the_developer_tool_is_refused() {
        let refusal = form_id(&[("formId", "the formId is a mock one"), ("openId", "o-ann")]).unwrap_err();
        assert!(refusal.contains("developer tool"), "{refusal}");
    }

    #[test]
    fn what_can_be_no_id_is_refused_in_a_sentence() {
        check_refusal(form_id(&[("openId", "o-ann")]), "`form_id` is missing (also read as `formId`)");
        check_refusal(form_id(&[("formId", "F")]), "`recipient` is missing (also read as `openId`, `openid`)");
        check_refusal(form_id(&[("formId", " "), ("openId", "o-ann")]), "`form_id` is empty");
        check_refusal(form_id(&[("formId", "F"), ("openId", "")]), "`recipient` is empty");
        check_refusal(form_id(&[("formId", "F\n"), ("openId", "o-ann")]), "`form_id` has a control character");
        check_refusal(form_id(&[("formId", "F"), ("openId", "o\u{0}")]), "`recipient` has a control character");
        let long = "f".repeat(1025);
        check_refusal(
            form_id(&[("formId", &long), ("openId", "o")]),
            "`form_id` has 1025 bytes; at most 1024 are taken",
        );
        assert!(form_id(&[("formId", &long[1..]), ("openId", "o")]).is_ok());
    }

    #[test]
    fn a_variable_that_was_not_set_is_refused() {
        for value in ["undefined", "null", "[object Object]"] {
            let refusal = form_id(&[("formId", "F"), ("openId", value)]).unwrap_err();
            assert!(refusal.contains("not set"), "{refusal}");
        }
    }

    #[test]
    fn a_misspelt_field_is_refused_with_the_nearest_name() {
        let with = |name| form_id(&[("formId", "F"), ("openId", "o-ann"), (name, "x")]);
        check_refusal(with("form_ids"), "there is no field `form_ids`; the nearest is `form_id`");
        check_refusal(with("OPENID"), "there is no field `OPENID`; the nearest is `openId`");
        check_refusal(with("createdAt"), "there is no field `createdAt`; the nearest is `created_at`");
        check_refusal(with("recipent"), "there is no field `recipent`; the nearest is `recipient`");
        let refusal = with(&"\u{1b}".repeat(500)).unwrap_err();
        assert!(refusal.len() < 400 && !refusal.contains('\u{1b}'), "{refusal}");
    }

    #[test]
    fn one_field_posted_under_two_names_has_one_value() {
        let twice = |other| form_id(&[("form_id", "F"), ("formId", other), ("openid", "o-ann")]);
        assert_eq!(twice("F"), Ok(bearer("F")));
        check_refusal(twice("G"), "`form_id` and `formId` are one field and differ");
    }

    #[test]
    fn the_time_of_making_is_read_as_seconds_or_rfc_3339() {
        let made_at =
            |text| form_id(&[("formId", "F"), ("openid", "o"), ("created_at", text)]).map(|permit| permit.made_at);
        assert_eq!(made_at("1767323045"), Ok(Some(Timestamp(1_767_323_045_000))));
        assert_eq!(made_at("2026-01-02T11:04:05+08:00"), Ok(Some(Timestamp(1_767_323_045_000))));
        assert!(made_at("1767323045000").unwrap_err().contains("milliseconds"));
        for text in ["-1", "1.5", "yesterday", "", "2026-01-02"] {
            assert!(made_at(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_prepay_id_is_taken_as_the_payment_call_has_it() {
        for (name, value) in [("prepay_id", "wx2014"), ("prepayId", "wx2014"), ("prepay_id", "prepay_id=wx2014")] {
            assert_eq!(admit(PREPAY_ID, &intake(&[(name, value), ("openid", "o-ann")])), Ok(bearer("wx2014")));
        }
        let nothing = admit(PREPAY_ID, &intake(&[("prepay_id", "prepay_id="), ("openid", "o-ann")]));
        assert!(nothing.is_err());
    }

    #[test]
    fn a_transaction_number_is_no_prepay_id() {
        let posted = intake(&[("prepay_id", "4200000031201712187405812345"), ("openid", "o-ann")]);
        assert!(admit(PREPAY_ID, &posted).unwrap_err().contains("transaction number"));
    }

    #[test]
    fn a_grant_is_for_its_template_and_has_no_value() {
        for template in ["template_id", "templateId"] {
            let permit = admit(SUBSCRIPTION, &intake(&[(template, "T1"), ("openId", "o-ann")])).unwrap();
            let expected = Permit { scope: Some("T1".into()), identity: None, value: String::new(), ..bearer("") };
            assert_eq!(permit, expected);
        }
    }

    #[test]
    fn the_same_grant_is_known_by_its_id_user_and_template() {
        let identity = |user, template, id| {
            let posted = intake(&[("openid", user), ("template_id", template), ("id", id)]);
            admit(SUBSCRIPTION, &posted).unwrap().identity.unwrap()
        };
        assert_eq!(identity("o-ann", "T1", "1"), identity("o-ann", "T1", "1"));
        assert_ne!(identity("o-ann", "T1", "1"), identity("o-ben", "T1", "1"));
        assert_ne!(identity("o-ann", "T1", "1"), identity("o-ann", "T2", "1"));
        assert_ne!(identity("o-ann", "T1", "1"), identity("o-ann", "T1", "2"));
    }

    #[test]
    fn a_grant_without_a_template_is_refused() {
        let refusal = admit(SUBSCRIPTION, &intake(&[("openid", "o-ann")]));
        check_refusal(refusal, "`template_id` is missing (also read as `templateId`)");
    }

    #[test]
    fn no_refusal_and_no_debug_shows_a_value() {
        let canary = "CANARY".repeat(300);
        let refused = [
            form_id(&[("formId", &canary), ("openid", "o")]),
            form_id(&[("formId", "CANARY\n"), ("openid", "o")]),
            form_id(&[("formId", "CANARY1"), ("form_id", "CANARY2"), ("openid", "o")]),
            form_id(&[("formId", "CANARY"), ("openid", "o"), ("x", "CANARY")]),
            form_id(&[("formId", "CANARY"), ("openid", "o"), ("created_at", "CANARY")]),
        ];
        for result in refused {
            let refusal = result.map(|_| ()).unwrap_err();
            assert!(!refusal.contains("CANARY"), "{refusal}");
        }
        let taken = form_id(&[("formId", "CANARY"), ("openid", "CANARY")]).unwrap();
        assert!(!format!("{taken:?}").contains("CANARY"));
    }
}
