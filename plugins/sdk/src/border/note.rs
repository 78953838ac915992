//! The note: what can be known of a file before any of it runs.

use std::env::consts;
use std::ffi::c_char;
use std::mem::{offset_of, size_of};

use tidings_abi::v1::{self, Note};

/// The roles, spelt as in `export!`.
#[expect(non_upper_case_globals, reason = "they are spelt as authors spell them")]
#[expect(missing_docs, reason = "they are the roles of the contract")]
pub mod roles {
    use tidings_abi::v1;

    pub const token_provider: u32 = v1::ROLE_TOKEN_PROVIDER;
    pub const credential_source: u32 = v1::ROLE_CREDENTIAL_SOURCE;
    pub const renderer: u32 = v1::ROLE_RENDERER;
    pub const http_transport: u32 = v1::ROLE_HTTP_TRANSPORT;
    pub const transport: u32 = v1::ROLE_TRANSPORT;
    pub const callback: u32 = v1::ROLE_CALLBACK;
}

/// The C library this is built for, as the header spells it.
const LIBC: &str = if cfg!(target_env = "musl") { "musl" } else { "gnu" };

/// The note of a file. Evaluated by the compiler: what does not fit does not compile.
pub const fn note(name: &str, version: &str, roles: u32) -> Note {
    assert!(!name.is_empty() && is_name(name.as_bytes()), "the plugin's name is not of a-z, 0-9 and -");
    let size = size_of::<Note>() - offset_of!(Note, major);
    assert!(size <= u32::MAX as usize);
    let mut owner = [0; 8];
    let mut place = 0;
    while place < owner.len() {
        owner[place] = c_char::from_ne_bytes([v1::NOTE_OWNER[place]]);
        place += 1;
    }
    Note {
        name_size: 8,
        #[expect(clippy::cast_possible_truncation, reason = "asserted above; `try_from` is not const")]
        description_size: size as u32,
        r#type: 1,
        owner,
        major: v1::ABI_MAJOR,
        minor: v1::ABI_MINOR,
        minor_needed: 0,
        panic: if cfg!(panic = "unwind") { v1::PANIC_UNWIND } else { v1::PANIC_ABORT },
        roles,
        name: closed(&[name]),
        version: closed(&[version]),
        target: closed(&[consts::ARCH, "-", consts::OS, "-", LIBC]),
    }
}

const fn is_name(name: &[u8]) -> bool {
    let mut place = 0;
    while place < name.len() {
        if !matches!(name[place], b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        place += 1;
    }
    true
}

/// The texts one after the other, closed by a NUL.
const fn closed<const SIZE: usize>(texts: &[&str]) -> [c_char; SIZE] {
    let mut closed = [0; SIZE];
    let mut end = 0;
    let mut which = 0;
    while which < texts.len() {
        let text = texts[which].as_bytes();
        assert!(end + text.len() < SIZE, "the plugin's name or version is longer than 31 bytes");
        let mut place = 0;
        while place < text.len() {
            closed[end] = c_char::from_ne_bytes([text[place]]);
            end += 1;
            place += 1;
        }
        which += 1;
    }
    closed
}

/// A text of a note.
pub(super) fn text(closed: &[c_char]) -> String {
    let bytes: Vec<u8> = closed.iter().take_while(|c| **c != 0).flat_map(|c| c.to_ne_bytes()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_the_file_is() {
        let note = note("acme-2", "1.2.3", roles::transport | roles::callback);
        assert_eq!((text(&note.name).as_str(), text(&note.version).as_str()), ("acme-2", "1.2.3"));
        assert_eq!(note.roles, 0x30);
        assert_eq!(note.panic, v1::PANIC_UNWIND);
        assert_eq!((note.name_size, note.description_size, note.r#type), (8, 132, 1));
        let target = text(&note.target);
        assert!(target.starts_with(consts::ARCH) && target.ends_with(LIBC), "{target}");
    }

    #[test]
    #[should_panic(expected = "longer than 31")]
    fn a_name_that_does_not_fit_is_refused() {
        note("a-name-of-thirty-two-bytes-is-it-", "1", 0);
    }

    #[test]
    fn a_name_is_of_the_letters_that_the_header_says() {
        assert!(is_name(b"acme-2"));
        assert!(!is_name(b"Acme") && !is_name(b"ac_me") && !is_name("é".as_bytes()));
    }
}
