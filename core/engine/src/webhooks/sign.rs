//! Signatures as Standard Webhooks 1.0 has them: `v1`, HMAC-SHA256 of `id.timestamp.body`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// How a secret begins as people pass it on.
const PREFIX: &str = "whsec_";
/// Bytes of a secret ("Signature scheme": 24 to 64).
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What a webhook's posts are signed with.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// Reads `whsec_` and the base64 of 24 to 64 bytes.
    ///
    /// # Errors
    ///
    /// What was expected; nothing of the text.
    pub fn read(text: &str) -> Result<SigningKey, String> {
        let wrong = || {
            let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
            format!(
                "is no signing secret; expected `{PREFIX}` and the base64 of {least} to {most} random bytes, as \
                 `echo {PREFIX}$(head -c 32 /dev/urandom | base64)` makes it"
            )
        };
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX).ok_or_else(wrong)?).map_err(|_| wrong())?;
        if !SECRET_BYTES.contains(&bytes.len()) {
            return Err(wrong());
        }
        Ok(SigningKey(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

/// The header `webhook-signature`: one signature by each key, with spaces between them.
pub(crate) fn signature(keys: &[SigningKey], id: &str, timestamp_s: i64, body: &str) -> String {
    let text = format!("{id}.{timestamp_s}.{body}");
    let one = |SigningKey(key): &SigningKey| format!("v1,{}", STANDARD.encode(hmac::sign(key, text.as_bytes())));
    keys.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one that the libraries of Standard Webhooks test with.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_vector_of_the_specification_is_met() {
        let keys = [SigningKey::read(SECRET).unwrap()];
        let signed = signature(&keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_key_signs() {
        let other = format!("whsec_{}", STANDARD.encode([7_u8; 24]));
        let keys = [SigningKey::read(SECRET).unwrap(), SigningKey::read(&other).unwrap()];
        let both = signature(&keys, "evt_1", 1, "{}");
        let parts: Vec<&str> = both.split(' ').collect();
        assert_eq!(parts, [signature(&keys[..1], "evt_1", 1, "{}"), signature(&keys[1..], "evt_1", 1, "{}")]);
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        let of = |length| format!("whsec_{}", STANDARD.encode(vec![7_u8; length]));
        for right in [24, 32, 64] {
            assert!(SigningKey::read(&of(right)).is_ok(), "{right}");
        }
        for wrong in [of(23), of(65), SECRET.trim_start_matches("whsec_").to_owned(), "whsec_CANARY!".to_owned()] {
            let told = SigningKey::read(&wrong).unwrap_err();
            assert!(!told.contains("CANARY") && told.contains("24 to 64"), "{told}");
        }
        assert!(!format!("{:?}", SigningKey::read(SECRET)).contains("MfKQ"));
    }
}
