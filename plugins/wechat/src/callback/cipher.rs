//! The encrypted content of a push (§5): AES-256 in CBC mode, padded to 32 bytes; inside it 16 random bytes, the length of
//! the message, the message, and the appid it is for.

use aes::Aes256;
use aes::cipher::{BlockDecryptMut, KeyIvInit};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use cbc::Decryptor;

/// Characters of an EncodingAESKey: base64 of 32 bytes without its one `=`.
const KEY_CHARS: usize = 43;
/// Bytes of a block of AES.
const BLOCK_BYTES: usize = 16;
/// What WeChat pads to: twice the block of the cipher.
const PADDING_MAX: usize = 32;
/// Random bytes before everything else, so that equal messages look different.
const RANDOM_BYTES: usize = 16;
/// Bytes of the message's length, most significant first.
const LENGTH_BYTES: usize = 4;

/// The 43 characters stand for 258 bits, of which 256 count: the console draws the last two by chance as well, and a
/// strict decoder refuses three keys of four (§5).
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The key of an app's pushes.
pub(super) struct Key([u8; 32]);

impl Key {
    /// Reads an EncodingAESKey as the console shows it, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Key, String> {
        let length = text.chars().count();
        if length != KEY_CHARS {
            return Err(format!("has {length} characters; an EncodingAESKey has {KEY_CHARS}"));
        }
        let bytes = LENIENT.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Key).ok_or_else(|| "is no base64: an EncodingAESKey has letters, digits, `+` and `/`".to_owned())
    }

    /// The message in it, or what is wrong with it. The content is signed: whoever sees these sentences knows the token.
    pub(super) fn decrypt(&self, encrypted: &str, appid: &str) -> Result<Vec<u8>, String> {
        let mut content = LENIENT.decode(encrypted.trim()).map_err(|_| "`Encrypt` is no base64".to_owned())?;
        if content.is_empty() || content.len() % BLOCK_BYTES != 0 {
            return Err(format!("`Encrypt` has {} bytes, which is no number of whole blocks", content.len()));
        }
        let (key, start) = (&self.0, &self.0[..BLOCK_BYTES]);
        let mut decryptor = Decryptor::<Aes256>::new(key.into(), start.into());
        for block in content.chunks_exact_mut(BLOCK_BYTES) {
            decryptor.decrypt_block_mut(block.into());
        }
        let wrong = || "`Encrypt` does not decrypt with the app's `callback_key`".to_owned();
        let (message, receiver) = unpack(&content).ok_or_else(wrong)?;
        if receiver != appid.as_bytes() {
            return Err("the push is for another appid than the app's".to_owned());
        }
        Ok(message.to_vec())
    }
}

/// The message and the appid of decrypted content.
fn unpack(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let padding = usize::from(*content.last()?);
    if !(1..=PADDING_MAX).contains(&padding) {
        return None;
    }
    let (content, pad) = content.split_at_checked(content.len().checked_sub(padding)?)?;
    if pad.iter().any(|byte| usize::from(*byte) != padding) {
        return None;
    }
    let (length, rest) = content.get(RANDOM_BYTES..)?.split_first_chunk::<LENGTH_BYTES>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content as it is before it is encrypted.
    fn packed(message: &[u8], length: usize, appid: &str, padding: &[u8]) -> Vec<u8> {
        let length = u32::try_from(length).unwrap().to_be_bytes();
        [&[7; RANDOM_BYTES], &length[..], message, appid.as_bytes(), padding].concat()
    }

    #[test]
    fn the_message_and_its_receiver_are_found_behind_the_random_bytes() {
        let content = packed(b"hello", 5, "wx1", &[4; 4]);
        assert_eq!(unpack(&content), Some((&b"hello"[..], &b"wx1"[..])));
        let longest = packed(b"", 0, "", &[32; 32]);
        assert_eq!(unpack(&longest), Some((&b""[..], &b""[..])));
    }

    #[test]
    fn content_that_is_too_short_or_padded_otherwise_is_nothing() {
        let cases: [Vec<u8>; 8] = [
            Vec::new(),
            vec![1],
            vec![16; 16],
            packed(b"hello", 9, "wx1", &[4; 4]),
            packed(b"hello", usize::try_from(u32::MAX).unwrap(), "wx1", &[4; 4]),
            packed(b"hello", 5, "wx1", &[0; 4]),
            packed(b"hello", 5, "wx1", &[33; 33]),
            packed(b"hello", 5, "wx1", &[4, 4, 3, 4]),
        ];
        for content in cases {
            assert_eq!(unpack(&content), None, "{content:?}");
        }
    }

    #[test]
    fn every_key_of_43_characters_is_a_key_whatever_its_last_bits() {
        for last in ["A", "B", "C", "D", "b", "/"] {
            assert!(Key::parse(&format!("{}{last}", "k".repeat(42))).is_ok(), "{last}");
        }
        let zero = Key::parse(&"A".repeat(43)).unwrap_or_else(|it| panic!("{it}"));
        assert_eq!(zero.0, [0; 32]);
    }

    #[test]
    fn what_is_no_whole_number_of_blocks_is_told() {
        let key = Key::parse(&"A".repeat(43)).unwrap_or_else(|it| panic!("{it}"));
        for (encrypted, told) in [("", "0 bytes"), ("AAAA", "3 bytes"), ("%", "no base64")] {
            let problem = key.decrypt(encrypted, "wx1").unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
    }
}
