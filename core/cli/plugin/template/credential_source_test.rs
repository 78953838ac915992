//! The plugin as Tidings uses it, without Tidings.

use std::time::Duration;

use tidings_sdk::{App, Intake, Permit, Settings, Timestamp};

fn admit(fields: &[(&str, &str)]) -> Result<Permit, String> {
    let plugin = acme_plugin::plugin();
    let (_, consent) = &plugin.credential_sources[0];
    let app = App { name: "main".to_owned(), settings: Settings::default() };
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    consent.admit(&app, &Intake::new(fields), Timestamp(0))
}

#[test]
fn a_consent_becomes_a_permit() {
    let permit = admit(&[("recipient", "ann"), ("id", "7")]).unwrap();
    assert_eq!((permit.recipient.as_str(), permit.identity.as_deref()), ("ann", Some("7")));
    assert_eq!(permit.expires_at, Some(Timestamp(0).after(Duration::from_secs(7 * 24 * 3600))));
}

#[test]
fn what_is_missing_or_misspelt_is_told() {
    assert_eq!(admit(&[("recipient", "ann")]).unwrap_err(), "`id` is missing");
    assert!(admit(&[("recipient", "ann"), ("ident", "7")]).unwrap_err().contains("no field `ident`"));
}
