//! acme: a source of permits to send, for Tidings. Here a permit is the consent of a recipient to one message.

use std::time::Duration;

use tidings_sdk::{App, CredentialKind, CredentialSource, Intake, Permit, Plugin, Setting, SettingKind, Timestamp};

const SETTINGS: &[Setting] = &[Setting::of("life", SettingKind::Duration, "how long a consent holds").default("7d")];

/// What `app.settings` has if config says nothing: the default above.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

struct Consent;

impl CredentialSource for Consent {
    /// What is true of every permit of this source.
    fn kind(&self) -> CredentialKind {
        CredentialKind {
            life: Some(LIFE),
            uses: 1,
            proves_use: false,
            counted_by_provider: false,
            ripens_in: Duration::ZERO,
            scoped: false,
        }
    }

    /// No provider wants to see it, so any transport may send with it.
    fn fits_any_transport(&self) -> bool {
        true
    }

    /// Takes what was posted to /v1/credentials/acme.consent, or says in a sentence why not. Pure: no clock, no files.
    fn admit(&self, app: &App, intake: &Intake, now: Timestamp) -> Result<Permit, String> {
        if let Some(name) = intake.unknown(&["recipient", "id"]) {
            return Err(format!("there is no field `{name}`; expected `recipient` and `id`"));
        }
        let field = |name| {
            let value = intake.any(&[name]).filter(|value| !value.trim().is_empty());
            value.map(str::to_owned).ok_or_else(|| format!("`{name}` is missing"))
        };
        let life = app.settings.duration("life").unwrap_or(LIFE);
        Ok(Permit {
            recipient: field("recipient")?,
            // The same consent twice is one permit.
            identity: Some(field("id")?),
            expires_at: Some(now.after(life)),
            ..Permit::default()
        })
    }
}

/// The plugin `acme`: credential source `consent`.
pub fn plugin() -> Plugin {
    Plugin::new("acme", env!("CARGO_PKG_VERSION")).app_settings(SETTINGS).credential_source("consent", Consent)
}

tidings_sdk::export!(name: "acme", roles: [credential_source], plugin: plugin());
