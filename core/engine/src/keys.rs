//! Keys of callers: how one is made, and how one that is shown is known again.
//!
//! A key is 256 random bits, so one round of SHA-256 is all that keeps it: nobody can try that many, and what makes a
//! password's hash slow would be paid by every request. A shown key is looked up by its hash in memory, never in the
//! store: a change is on disk first and in force with the same answer. The lookup takes a time that depends on hashes,
//! which whoever guesses cannot steer without knowing the key.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use tidings_model::limits::API_KEYS_MAX;
use tidings_model::rate::Rate;
use tidings_model::{KeyName, Scopes, Timestamp};
use tidings_store::{AuditEntry, KeyChange, KeyRow};

use crate::acts::By;
use crate::config::Secret;
use crate::handle::EngineHandle;
use crate::refusal::{Class, Refusal};

/// What a key begins with, for those who look for keys where none should be.
pub const KEY_PREFIX: &str = "tidings_";

/// Characters of a key that are random: 62 to the 43rd is just over 2 to the 256th.
const KEY_RANDOM_CHARS: usize = 43;
/// Characters that say whether the others are whole.
const KEY_CHECK_CHARS: usize = 6;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What the operating system's random bytes make: a key in our form.
///
/// # Panics
///
/// If the system gives no random bytes: nothing that is secret can be made then.
pub fn fresh_key() -> Secret {
    let system = SystemRandom::new();
    make_key(|bytes| system.fill(bytes).expect("the system gives random bytes"))
}

fn make_key(mut fill: impl FnMut(&mut [u8])) -> Secret {
    let mut random = String::with_capacity(KEY_RANDOM_CHARS);
    while random.len() < KEY_RANDOM_CHARS {
        let mut bytes = [0_u8; 64];
        fill(&mut bytes);
        // Six bits are one of 64: what is over 61 is thrown again, so that every character is as likely as any other.
        let fair = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 0x3f)));
        random.extend(fair.take(KEY_RANDOM_CHARS - random.len()).map(|byte| char::from(*byte)));
    }
    let check = check_chars(&random);
    Secret::new(format!("{KEY_PREFIX}{random}{check}"))
}

/// The beginning of the SHA-256 of the random characters, in the same alphabet.
fn check_chars(random: &str) -> String {
    let hash = digest(&SHA256, random.as_bytes());
    let chars = hash.as_ref().iter().take(KEY_CHECK_CHARS);
    chars.map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

/// Whether a text that begins as our keys do is one that was cut short or mistyped. Of other texts nobody can say.
pub fn is_damaged_key(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(KEY_PREFIX) else { return false };
    match rest.split_at_checked(KEY_RANDOM_CHARS) {
        Some((random, check)) => check != check_chars(random),
        None => true,
    }
}

/// What a key hashes to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a key.
    pub fn of(key: &str) -> KeyHash {
        KeyHash(digest(&SHA256, key.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    fn hexadecimal(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn from_hexadecimal(text: &str) -> Option<KeyHash> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(KeyHash(bytes))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// Who shows a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// The key's name.
    pub name: Arc<str>,
    /// What it is for.
    pub scopes: Scopes,
    /// Not after.
    pub expires_at: Option<Timestamp>,
    /// Its own rate of calls; that of all keys if not given.
    pub rate: Option<Rate>,
}

/// A key that config names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigKey {
    /// What it hashes to: the key itself is not kept.
    pub hash: KeyHash,
    /// Who shows it.
    pub holder: KeyHolder,
}

impl ConfigKey {
    /// Where in config it stands.
    pub(crate) fn setting(&self) -> String {
        let name = &self.holder.name;
        if &**name == OWN_KEY { OWN_KEY.to_owned() } else { format!("api.keys.{name}") }
    }
}

/// A key for people, without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub scopes: Scopes,
    /// When it was made and by whom; `None` of one that config names.
    pub created: Option<(Timestamp, String)>,
    /// Not after.
    pub expires_at: Option<Timestamp>,
    /// Since when it is as good as none.
    pub revoked_at: Option<Timestamp>,
    /// When it was shown last since the engine started.
    pub used_at: Option<Timestamp>,
}

/// The keys of the store, in memory.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    table: RwLock<Table>,
    /// Held from the look whether a key may be made until it is: one after the other.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Table {
    by_hash: HashMap<KeyHash, KeyName>,
    by_name: BTreeMap<KeyName, Known>,
}

#[derive(Debug)]
struct Known {
    row: KeyRow,
    holder: KeyHolder,
    /// [`NEVER`] or microseconds, as [`Timestamp`] has them.
    used_at: AtomicI64,
}

const NEVER: i64 = i64::MIN;

impl Keys {
    pub(crate) fn new(rows: Vec<KeyRow>) -> Keys {
        let mut table = Table::default();
        for row in rows {
            table.put(row);
        }
        Keys { table: RwLock::new(table), changing: tokio::sync::Mutex::default() }
    }

    fn holder(&self, hash: KeyHash, now: Timestamp) -> Option<KeyHolder> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let known = table.by_name.get(table.by_hash.get(&hash)?)?;
        known.row.is_usable(now).then(|| {
            known.used_at.store(now.0, Ordering::Relaxed);
            known.holder.clone()
        })
    }

    fn row(&self, name: &str) -> Option<KeyRow> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.by_name.get(name).map(|known| known.row.clone())
    }

    fn count(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).by_name.len()
    }

    /// Takes the keys as another engine left them.
    pub(crate) fn adopt(&self, rows: Vec<KeyRow>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            if table.by_name.get(&row.name).is_none_or(|known| known.row != row) {
                table.put(row);
            }
        }
    }

    fn apply(&self, change: KeyChange) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            KeyChange::Made(row) => table.put(row),
            KeyChange::Revoked { name, at } => {
                if let Some(known) = table.by_name.get_mut(&name) {
                    known.row.revoked_at.get_or_insert(at);
                }
            }
        }
    }

    fn views(&self) -> Vec<KeyView> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.by_name.values().map(Known::view).collect()
    }
}

impl Table {
    fn put(&mut self, row: KeyRow) {
        let Some(hash) = KeyHash::from_hexadecimal(&row.hash) else {
            tracing::error!("the store's hash of the key `{}` is none; the key opens nothing", row.name);
            return;
        };
        let name = row.name.clone();
        let holder =
            KeyHolder { name: name.as_str().into(), scopes: row.scopes, expires_at: row.expires_at, rate: None };
        let known = Known { row, holder, used_at: AtomicI64::new(NEVER) };
        self.by_hash.retain(|_, other| *other != name);
        self.by_hash.insert(hash, name.clone());
        self.by_name.insert(name, known);
    }
}

impl Known {
    fn view(&self) -> KeyView {
        let used_at = self.used_at.load(Ordering::Relaxed);
        KeyView {
            name: self.row.name.to_string(),
            scopes: self.row.scopes,
            created: Some((self.row.created_at, self.row.created_by.clone())),
            expires_at: self.row.expires_at,
            revoked_at: self.row.revoked_at,
            used_at: (used_at != NEVER).then_some(Timestamp(used_at)),
        }
    }
}

/// A key to make.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub scopes: Scopes,
    /// Not after: RFC 3339.
    pub expires_at: Option<String>,
}

impl EngineHandle {
    /// Who shows this key, if it is one that may be used now.
    pub fn key_holder(&self, shown: &str) -> Option<KeyHolder> {
        let hash = KeyHash::of(shown);
        let named =
            self.definitions().config.api.keys.iter().find(|key| key.hash == hash).map(|key| key.holder.clone());
        named.or_else(|| self.shared.keys.holder(hash, self.now()))
    }

    /// Every key, those of config first, without the keys.
    pub fn keys(&self) -> Vec<KeyView> {
        let of_config = |key: &ConfigKey| KeyView {
            name: key.holder.name.to_string(),
            scopes: key.holder.scopes,
            created: None,
            expires_at: key.holder.expires_at,
            revoked_at: None,
            used_at: None,
        };
        let mut views: Vec<KeyView> = self.definitions().config.api.keys.iter().map(of_config).collect();
        views.extend(self.shared.keys.views());
        views
    }

    /// Makes a key: the only time that anybody sees it. A caller gives no more than it has, and for no longer. A name
    /// whose key was revoked or has expired may be used again.
    pub async fn add_key(&self, new: NewKey, giver: &KeyHolder, by: &By) -> Result<(Secret, KeyView), Refusal> {
        let _turn = self.shared.keys.changing.lock().await;
        let now = self.now();
        let name = KeyName::new(new.name).map_err(|error| Refusal::invalid("key-name-invalid", error.to_string()))?;
        self.name_is_free(&name, now)?;
        if new.scopes == Scopes::default() {
            return Err(Refusal::invalid("scope-unknown", "a key without a scope opens nothing; name one at least"));
        }
        let expires_at = crate::admit::instant("expires_at", new.expires_at.as_deref(), now)?;
        if expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::invalid("expired", "`expires_at` is over already"));
        }
        // Whoever may act until Friday makes no key that acts on Saturday.
        let expires_at = expires_at.or(giver.expires_at);
        let is_longer = giver.expires_at.is_some_and(|end| expires_at.is_none_or(|asked| asked > end));
        if is_longer || !new.scopes.is_within(giver.scopes) {
            return Err(exceeds(giver, "makes"));
        }
        let key = fresh_key();
        let row = KeyRow {
            name: name.clone(),
            hash: KeyHash::of(key.reveal()).hexadecimal(),
            scopes: new.scopes,
            created_at: now,
            created_by: by.who().to_owned(),
            expires_at,
            revoked_at: None,
        };
        let told = expires_at.map_or(String::new(), |end| format!(", until {}", end.to_rfc3339()));
        let detail = Some(format!("{}{told}", new.scopes));
        let entry = AuditEntry { detail, ..by.entry("key.add", name.as_str()) };
        self.change_key(KeyChange::Made(row), entry).await?;
        tracing::info!("the key `{name}` was made by `{}` for {}", by.who(), new.scopes);
        Ok((key, self.key_view(&name)?))
    }

    /// Makes a key as good as none, at once. A caller revokes no key that may do what it may not.
    pub async fn revoke_key(&self, name: &str, giver: &KeyHolder, by: &By) -> Result<KeyView, Refusal> {
        let _turn = self.shared.keys.changing.lock().await;
        let Some(row) = self.shared.keys.row(name) else {
            return Err(match self.of_config(name) {
                true => in_config(name, "take it out there and reload"),
                false => key_unknown(name),
            });
        };
        if !row.scopes.is_within(giver.scopes) {
            return Err(exceeds(giver, "revokes"));
        }
        if row.revoked_at.is_none() {
            let change = KeyChange::Revoked { name: row.name.clone(), at: self.now() };
            self.change_key(change, by.entry("key.revoke", row.name.as_str())).await?;
            tracing::info!("the key `{}` was revoked by `{}`", row.name, by.who());
        }
        self.key_view(&row.name)
    }

    /// On disk first, then in force.
    async fn change_key(&self, change: KeyChange, entry: AuditEntry) -> Result<(), Refusal> {
        self.shared.writer.change_key(change.clone(), entry).await?;
        self.shared.keys.apply(change);
        Ok(())
    }

    fn name_is_free(&self, name: &KeyName, now: Timestamp) -> Result<(), Refusal> {
        if self.of_config(name.as_str()) {
            return Err(in_config(name.as_str(), "choose another name"));
        }
        match self.shared.keys.row(name.as_str()) {
            Some(row) if row.is_usable(now) => {
                let detail = format!("there is a key `{name}`; revoke it first, or choose another name");
                Err(Refusal::new(Class::Conflict, "key-exists", detail))
            }
            None if self.shared.keys.count() >= API_KEYS_MAX => {
                let detail =
                    format!("there are {API_KEYS_MAX} keys, revoked ones too; use the name of one of those again");
                Err(Refusal::new(Class::Conflict, "keys-full", detail))
            }
            _ if RESERVED.contains(&name.as_str()) => {
                let detail = format!("`{name}` stands for who needs no key; choose another name");
                Err(Refusal::new(Class::Conflict, "key-exists", detail))
            }
            _ => Ok(()),
        }
    }

    fn of_config(&self, name: &str) -> bool {
        self.definitions().config.api.keys.iter().any(|key| &*key.holder.name == name)
    }

    fn key_view(&self, name: &KeyName) -> Result<KeyView, Refusal> {
        let mut views = self.shared.keys.views().into_iter();
        views.find(|view| view.name == name.as_str()).ok_or_else(|| key_unknown(name.as_str()))
    }
}

/// The name under which the key of `[api] key` is known.
pub(crate) const OWN_KEY: &str = "api.key";

/// Names that the record of changes knows for others than keys.
pub(crate) const RESERVED: &[&str] = &["local", "engine"];

fn exceeds(giver: &KeyHolder, does: &str) -> Refusal {
    let until = giver.expires_at.map_or(String::new(), |end| format!(", until {}", end.to_rfc3339()));
    let detail = format!(
        "the key `{}` has the scopes {}{until}; it {does} no key that may do more or for longer",
        giver.name, giver.scopes
    );
    Refusal::new(Class::Forbidden, "key-exceeds", detail)
}

fn key_unknown(name: &str) -> Refusal {
    Refusal::not_found("key-unknown", format!("there is no key `{}`", name.escape_debug()))
}

fn in_config(name: &str, advice: &str) -> Refusal {
    let detail = format!("the key `{}` stands in config; {advice}", name.escape_debug());
    Refusal::new(Class::Conflict, "key-in-config", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_can_be_found_by_its_form_and_is_whole() {
        let key = fresh_key();
        let text = key.reveal();
        assert_eq!(text.len(), KEY_PREFIX.len() + KEY_RANDOM_CHARS + KEY_CHECK_CHARS);
        assert!(text.strip_prefix(KEY_PREFIX).unwrap().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(!is_damaged_key(text));
        assert!(!is_damaged_key("chosen by somebody"));
        for end in KEY_PREFIX.len()..text.len() {
            assert!(is_damaged_key(&text[..end]), "{end} characters");
        }
        assert!(is_damaged_key(&format!("{text}0")));
        // One character is another: never of the prefix, or it would be a key of somebody else's form.
        let (prefix, rest) = text.split_at(KEY_PREFIX.len());
        let other = format!("{prefix}{}{}", if rest.starts_with('x') { 'y' } else { 'x' }, &rest[1..]);
        assert!(is_damaged_key(&other));
        assert_ne!(fresh_key(), key);
    }

    #[test]
    fn every_character_comes_from_fair_random_bits() {
        let mut given = 0_u8;
        let key = make_key(|bytes| {
            for byte in bytes {
                *byte = given;
                given = given.wrapping_add(1);
            }
        });
        let random = &key.reveal()[KEY_PREFIX.len()..][..KEY_RANDOM_CHARS];
        assert_eq!(random.as_bytes(), &ALPHABET[..KEY_RANDOM_CHARS]);
        // 62 and 63 are no characters: after 61 comes 0 again.
        let mut given = 60_u8;
        let key = make_key(|bytes| {
            for byte in bytes {
                *byte = given;
                given = given.wrapping_add(1);
            }
        });
        assert!(key.reveal().starts_with("tidings_yz01"));
    }

    #[test]
    fn hashes_are_written_and_read_back() {
        let hash = KeyHash::of("abc");
        let text = hash.hexadecimal();
        assert!(text.starts_with("ba7816bf8f01cfea"), "FIPS 180-2: {text}");
        assert!(KeyHash::from_hexadecimal(&text) == Some(hash));
        assert!(KeyHash::from_hexadecimal("ba78").is_none());
    }

    #[test]
    fn nothing_of_a_key_is_shown() {
        let key = fresh_key();
        let hash = KeyHash::of(key.reveal());
        let row = KeyRow {
            name: KeyName::new("shop").unwrap(),
            hash: hash.hexadecimal(),
            scopes: Scopes::ALL,
            created_at: Timestamp(0),
            created_by: "local".to_owned(),
            expires_at: None,
            revoked_at: None,
        };
        let keys = Keys::new(vec![row]);
        assert!(keys.holder(hash, Timestamp(1)).is_some());
        let shown = format!("{key:?} {hash:?} {keys:?}");
        assert!(!shown.contains(key.reveal()) && !shown.contains(&hash.hexadecimal()), "{shown}");
    }
}
