//! A small seeded generator (splitmix64) and the ids made with it.

/// splitmix64 (Steele, Lea, Flood 2014): eight bytes of state, good enough to scatter faults and name things.
#[derive(Debug, Clone)]
pub(crate) struct SplitMix(u64);

impl SplitMix {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0.0..1.0`.
    pub(crate) fn next_unit(&mut self) -> f64 {
        // 53 bits fit an f64 exactly.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A token text as WeChat's look: two digits, an underscore, letters and digits (`wechat.md §1.1` reserves 512).
    pub(crate) fn token(&mut self) -> String {
        let mut text = format!("{:02}_", self.next() % 100);
        while text.len() < TOKEN_CHARACTERS {
            let mut bits = self.next();
            for _ in 0..10 {
                let index = usize::try_from(bits & 63).unwrap_or(0);
                text.push(char::from(TOKEN_ALPHABET[index]));
                bits >>= 6;
            }
        }
        text.truncate(TOKEN_CHARACTERS);
        text
    }

    /// A form_id: 32 hex characters from Android, 36 with hyphens from iOS (`wechat.md §2`), so nobody counts characters.
    pub(crate) fn form_id(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        if low & 1 == 0 {
            return format!("{high:016x}{low:016x}");
        }
        let (time, middle, version) = (high >> 32, (high >> 16) & 0xffff, high & 0xffff);
        let (variant, node) = (low >> 48, low & 0xffff_ffff_ffff);
        format!("{time:08X}-{middle:04X}-{version:04X}-{variant:04X}-{node:012X}")
    }

    pub(crate) fn prepay_id(&mut self) -> String {
        format!("wx{:016x}{:016x}00", self.next(), self.next())
    }

    /// The per-call id that ends an errmsg (`wechat.md §0`).
    pub(crate) fn rid(&mut self, now_ms: i64) -> String {
        let random = self.next();
        format!("{:08x}-{:08x}-{:08x}", now_ms / 1_000, random >> 32, random & 0xffff_ffff)
    }
}

const TOKEN_CHARACTERS: usize = 136;
const TOKEN_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Whether a text could be a token of ours at all; what could not is malformed (40014) rather than stale (40001).
pub(crate) fn is_token_shaped(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == TOKEN_CHARACTERS
        && bytes[..2].iter().all(u8::is_ascii_digit)
        && bytes[2] == b'_'
        && bytes[3..].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut one, mut two) = (SplitMix::new(7), SplitMix::new(7));
        assert!((0..100).all(|_| one.next() == two.next()));
    }

    #[test]
    fn the_generator_matches_the_published_first_value_for_seed_zero() {
        assert_eq!(SplitMix::new(0).next(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn a_made_token_has_the_shape_of_a_token_and_a_word_has_not() {
        let mut random = SplitMix::new(1);
        assert!((0..50).all(|_| is_token_shaped(&random.token())));
        assert!(!is_token_shaped("token"));
    }
}
