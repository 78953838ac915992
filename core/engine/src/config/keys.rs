//! Keys of callers that config names: `[api] key`, for everything, and `[api.keys.NAME]`, for some scopes.

use tidings_model::rate::Rate;
use tidings_model::{KeyName, Scopes};

use super::channels::rate;
use super::read::{self, Section};
use super::{Reading, Secret, SecretUse};
use crate::keys::{ConfigKey, KeyHash, KeyHolder, OWN_KEY, RESERVED};

impl Reading<'_> {
    /// All of them; `own` is that of `[api] key`.
    pub(super) fn keys(&self, api: &Section<'_>, own: Option<&Secret>) -> Vec<ConfigKey> {
        let mut keys: Vec<ConfigKey> = own.map(|key| known(OWN_KEY, key, Scopes::ALL, None)).into_iter().collect();
        self.named_keys(api, &mut keys);
        keys
    }

    /// `[api.keys.NAME]`: a key with some scopes.
    fn named_keys(&self, api: &Section<'_>, keys: &mut Vec<ConfigKey>) {
        for (name, span, section) in api.named("keys") {
            if let Err(error) = KeyName::new(name) {
                section.report(&span, &format!("api.keys.{name}"), error.to_string());
            } else if RESERVED.contains(&name) || name == OWN_KEY {
                let message = format!("`{name}` stands for another caller; choose another name");
                section.report(&span, &format!("api.keys.{name}"), message);
            }
            let key = section.find("key").and_then(|found| self.secret(&section, &found, SecretUse::Ours));
            if key.is_none() && section.find("key").is_none() {
                section.missing("key", "`key = { env = \"…\" }` or `{ file = \"…\" }`");
            }
            let scopes = section.parsed("scopes", |value| {
                let words = read::texts(value)?;
                match Scopes::from_words(words.iter().map(String::as_str)) {
                    Ok(scopes) if scopes == Scopes::default() => Err(format!("name one at least of {}", Scopes::ALL)),
                    Ok(scopes) => Ok(scopes),
                    Err(word) => Err(format!("`{word}` is no scope; there are: {}", Scopes::ALL)),
                }
            });
            if scopes.is_none() && section.find("scopes").is_none() {
                section.missing("scopes", "what it is for, as in `[\"send\"]`");
            }
            let rate = section.parsed("rate", |value| rate(&read::text(value)?));
            section.finish();
            let (Some(key), Some(scopes)) = (key, scopes) else { continue };
            let key = known(name, &key, scopes, rate);
            if let Some(twin) = keys.iter().find(|other| other.hash == key.hash) {
                let message = format!("it is the same key as `{}`: whoever shows it could be either", twin.holder.name);
                api.report(&span, &format!("api.keys.{name}"), message);
            }
            keys.push(key);
        }
    }
}

fn known(name: &str, key: &Secret, scopes: Scopes, rate: Option<Rate>) -> ConfigKey {
    let holder = KeyHolder { name: name.into(), scopes, expires_at: None, rate };
    ConfigKey { hash: KeyHash::of(key.reveal()), holder }
}
