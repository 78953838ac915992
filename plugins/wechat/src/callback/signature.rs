//! Who may have signed a push: whoever knows the app's token (§5).

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// Whether `signature` is the hexadecimal SHA-1 of these parts, sorted as bytes and joined. One of them is the token, so
/// the comparison takes as long for a signature that is nearly right.
pub(super) fn is_of(signature: &str, parts: &mut [&str]) -> bool {
    sign(parts).as_bytes().ct_eq(signature.as_bytes()).into()
}

fn sign(parts: &mut [&str]) -> String {
    parts.sort_unstable();
    let mut hash = Sha1::new();
    parts.iter().for_each(|part| hash.update(part.as_bytes()));
    format!("{:x}", hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_signature_is_right_and_nothing_near_it_is() {
        // §5, the page's own example.
        let signature = "f464b24fc39322e44b38aa78f5edd27bd1441696";
        assert!(is_of(signature, &mut ["AAAAA", "1714036504", "1514711492"]));
        assert!(!is_of(signature, &mut ["AAAAB", "1714036504", "1514711492"]));
        assert!(!is_of(signature, &mut ["AAAAA", "1714036505", "1514711492"]));
        for other in ["", &signature[1..], &signature.to_uppercase(), &format!("{signature}0"), &"0".repeat(40)] {
            assert!(!is_of(other, &mut ["AAAAA", "1714036504", "1514711492"]), "{other}");
        }
    }

    #[test]
    fn parts_are_sorted_as_bytes_and_not_as_numbers() {
        // §5: the nonce 486452656 sorts after 1714037059.
        let (mut given, mut sorted) = (["AAAAA", "486452656", "1714037059"], ["1714037059", "486452656", "AAAAA"]);
        assert_eq!(sign(&mut given), sign(&mut sorted));
        assert_eq!(given, sorted);
        assert_eq!(sign(&mut given), format!("{:x}", Sha1::digest("1714037059486452656AAAAA")));
    }
}
