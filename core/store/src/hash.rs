//! The fingerprint of a request: stored, so it must be the same in every build.

/// FNV-1a in 64 bits (draft-eastlake-fnv-17). It tells an honest repeat from another request under the same key; it
/// is no defence against somebody who wants a collision with his own key.
pub fn fingerprint(bytes: &[u8]) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    i64::from_ne_bytes(hash.to_ne_bytes())
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
}
