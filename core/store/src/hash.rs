//! The fingerprint of a request: stored, so it must be the same in every build.

use std::io;

/// The fingerprint of the bytes: what [`Fingerprint`] makes of them at once.
pub fn fingerprint(bytes: &[u8]) -> i64 {
    let mut fingerprint = Fingerprint::default();
    fingerprint.add(bytes);
    fingerprint.finish()
}

/// FNV-1a in 64 bits (draft-eastlake-fnv-17), for bytes that come in parts. It tells an honest repeat from another
/// request under the same key; it is no defence against somebody who wants a collision with his own key.
#[derive(Debug, Clone)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Fingerprint {
        Fingerprint(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// Takes the next part; where one part ends and the next begins makes no difference.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The fingerprint of all parts.
    pub fn finish(self) -> i64 {
        i64::from_ne_bytes(self.0.to_ne_bytes())
    }
}

impl io::Write for Fingerprint {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_vectors() {
        let vectors: [(&[u8], u64); 3] =
            [(b"", 0xcbf2_9ce4_8422_2325), (b"a", 0xaf63_dc4c_8601_ec8c), (b"foobar", 0x8594_4171_f739_67e8)];
        for (text, expected) in vectors {
            assert_eq!(fingerprint(text).cast_unsigned(), expected);
        }
    }

    #[test]
    fn is_the_same_in_parts_as_at_once() {
        let text = b"to,title\nann,Hi\n";
        for cut in 0..=text.len() {
            let mut parts = Fingerprint::default();
            parts.add(&text[..cut]);
            parts.add(&text[cut..]);
            assert_eq!(parts.finish(), fingerprint(text));
        }
    }
}
