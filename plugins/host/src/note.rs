//! The note in a plugin file: what the file says of itself to somebody who runs none of it.

use object::elf::{EM_386, EM_AARCH64, EM_ARM, EM_RISCV, EM_X86_64, ET_DYN, Machine, PT_LOAD};
use object::endian::Endianness;
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _, SectionHeader as _};
use tidings_abi::v1;

/// What the note says, checked as far as it can be without the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) target: String,
    pub(crate) minor: u32,
    pub(crate) minor_needed: u32,
    pub(crate) roles: Vec<&'static str>,
}

/// The roles of this major, by their bit.
const ROLES: [(u32, &str); 6] = [
    (v1::ROLE_TOKEN_PROVIDER, "token_provider"),
    (v1::ROLE_CREDENTIAL_SOURCE, "credential_source"),
    (v1::ROLE_RENDERER, "renderer"),
    (v1::ROLE_HTTP_TRANSPORT, "http_transport"),
    (v1::ROLE_TRANSPORT, "transport"),
    (v1::ROLE_CALLBACK, "callback"),
];

/// What this engine was built for, in the words of a note.
fn our_target() -> String {
    let libc = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    format!("{}-linux-{libc}", std::env::consts::ARCH)
}

/// Reads the note of a shared object that this process could load.
///
/// # Errors
///
/// What is wrong with the file, as a sentence that its name begins.
pub(crate) fn read(file: &[u8]) -> Result<Note, String> {
    fits_this_machine(file)?;
    let elf: ElfFile64<'_, Endianness> =
        ElfFile64::parse(file).map_err(|error| format!("is cut short or damaged ({error}); copy it again"))?;
    is_whole(&elf, file)?;
    note_of(&elf, file)
}

/// Looks at the first bytes alone: what is said of a file for another machine should not depend on the rest of it.
fn fits_this_machine(file: &[u8]) -> Result<(), String> {
    if file.is_empty() {
        return Err("is empty; is it still being copied?".to_owned());
    }
    if !file.starts_with(b"\x7fELF") {
        return Err("is no shared object: it does not begin as an ELF file does".to_owned());
    }
    let Some(header) = file.get(..20) else {
        return Err("is cut short or damaged: there is no more of it than the first bytes; copy it again".to_owned());
    };
    // EI_CLASS and EI_DATA (ELF-64 object file format, version 1.5, §3): 2 is 64 bit, 1 is little endian.
    let (is_64_bit, is_little) = (header[4] == 2, header[5] == 1);
    let machine = [header[18], header[19]];
    let machine = Machine(if is_little { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) });
    let ours = std::env::consts::ARCH;
    if machine_name(machine) != ours {
        return Err(format!("is built for {}; this engine is {ours}", machine_name(machine)));
    }
    if !is_64_bit || is_little != cfg!(target_endian = "little") {
        let bits = if is_64_bit { "64" } else { "32" };
        let order = if is_little { "little" } else { "big" };
        return Err(format!("is a {bits}-bit, {order}-endian file; this engine is 64-bit, little-endian"));
    }
    Ok(())
}

fn machine_name(machine: Machine) -> String {
    match machine {
        EM_X86_64 => "x86_64".to_owned(),
        EM_AARCH64 => "aarch64".to_owned(),
        EM_386 => "x86 (32 bit)".to_owned(),
        EM_ARM => "arm (32 bit)".to_owned(),
        EM_RISCV => "riscv64".to_owned(),
        Machine(number) => format!("machine {number}"),
    }
}

/// The loader maps what the segments say; a byte that is mapped and not there ends the process when it is touched.
fn is_whole(elf: &ElfFile64<'_, Endianness>, file: &[u8]) -> Result<(), String> {
    let endian = elf.endian();
    if elf.elf_header().e_type(endian) != ET_DYN {
        return Err("is no shared object but a program or an object file; link it with -shared".to_owned());
    }
    for segment in elf.elf_program_headers() {
        let end = segment.p_offset(endian).checked_add(segment.p_filesz(endian));
        let there = u64::try_from(file.len()).unwrap_or(u64::MAX);
        if segment.p_type(endian) == PT_LOAD && end.is_none_or(|end| end > there) {
            return Err(format!("is cut short: it has {there} bytes and needs more; copy it again"));
        }
    }
    Ok(())
}

fn note_of(elf: &ElfFile64<'_, Endianness>, file: &[u8]) -> Result<Note, String> {
    let endian = elf.endian();
    let sections = elf.elf_section_table();
    let named = sections
        .iter()
        .filter(|section| sections.section_name(endian, section).is_ok_and(|name| name == v1::NOTE_SECTION.as_bytes()));
    let mut named = named.map(|section| section.data(endian, file));
    let section = match (named.next(), named.next()) {
        (None, _) => {
            return Err(
                "has no Tidings note: is it a plugin? One is made with TIDINGS_PLUGIN_NOTE or export!".to_owned()
            );
        }
        (Some(_), Some(_)) => return Err("has two Tidings notes; a file is one plugin".to_owned()),
        (Some(Err(error)), None) => return Err(format!("has a Tidings note that cannot be read: {error}")),
        (Some(Ok(section)), None) => section,
    };
    from_section(section, &our_target())
}

/// Reads words and texts one after the other. The note has our byte order: the header of the file said so.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn word(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_ne_bytes)
    }

    /// A text in a field of fixed size, closed by a NUL inside it, of visible ASCII.
    fn text(&mut self, size: usize) -> Option<Result<String, ()>> {
        let field = self.bytes(size)?;
        let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
        let is_text = !text.is_empty() && text.len() < size && text.iter().all(u8::is_ascii_graphic);
        Some(if is_text { Ok(String::from_utf8_lossy(text).into_owned()) } else { Err(()) })
    }
}

/// What comes after the owner: five words and three texts.
const DESCRIPTION_BYTES: usize = 5 * 4 + 32 + 32 + 48;

fn from_section(section: &[u8], our_target: &str) -> Result<Note, String> {
    let short = || format!("has a Tidings note of {} bytes, which is too short; was the file stripped?", section.len());
    let mut cursor = Cursor(section);
    let (name_size, description_size) = (cursor.word().ok_or_else(short)?, cursor.word().ok_or_else(short)?);
    let kind = cursor.word().ok_or_else(short)?;
    let owner = cursor.bytes(v1::NOTE_OWNER.len()).ok_or_else(short)?;
    if name_size as usize != v1::NOTE_OWNER.len() || owner != v1::NOTE_OWNER || kind != 1 {
        return Err("has a section for a Tidings note with something else in it; is it a plugin?".to_owned());
    }
    if description_size as usize > cursor.0.len() {
        return Err(format!(
            "has a Tidings note that says it has {description_size} bytes, and has {}; build it again",
            cursor.0.len()
        ));
    }
    let Some(major) = cursor.word() else { return Err(short()) };
    if major != v1::ABI_MAJOR {
        return Err(format!(
            "speaks major {major} of the contract; this engine speaks {}; build it with the header of this engine",
            v1::ABI_MAJOR
        ));
    }
    if (description_size as usize) < DESCRIPTION_BYTES {
        return Err(short());
    }
    let mut words = || cursor.word().ok_or_else(short);
    let (minor, minor_needed, panic, roles) = (words()?, words()?, words()?, words()?);
    let mut text = |what: &str, size| {
        let unreadable = |()| format!("has a Tidings note whose {what} is no text; build it again");
        cursor.text(size).ok_or_else(short)?.map_err(unreadable)
    };
    let (name, version, target) = (text("name", 32)?, text("version", 32)?, text("target", 48)?);
    if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_')) {
        return Err(format!("has a Tidings note with the name {name:?}, which is not of a-z, 0-9, - and _"));
    }
    if target != our_target {
        return Err(format!("is built for {target}; this engine is {our_target}"));
    }
    if minor_needed > v1::ABI_MINOR {
        return Err(format!(
            "needs minor {minor_needed} of the contract; this engine has {}; update the engine",
            v1::ABI_MINOR
        ));
    }
    match panic {
        v1::PANIC_NONE | v1::PANIC_UNWIND => {}
        v1::PANIC_ABORT => {
            return Err(
                "was built with panic=abort: a panic in it would end the engine; set panic = \"unwind\" in its \
                        Cargo.toml and build it again"
                    .to_owned(),
            );
        }
        other => return Err(format!("says in its note that it panics in the way {other}, which is none of 0, 1, 2")),
    }
    let roles: Vec<&'static str> = ROLES.iter().filter(|(bit, _)| roles & bit != 0).map(|(_, role)| *role).collect();
    if roles.is_empty() {
        return Err("has a Tidings note without a role that this engine knows".to_owned());
    }
    Ok(Note { name, version, target, minor, minor_needed, roles })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "x86_64-linux-gnu";

    /// A note as bytes, with a word changed: its place counts in words from the start.
    fn bytes(change: Option<(usize, u32)>) -> Vec<u8> {
        let mut words = vec![8, DESCRIPTION_BYTES.try_into().unwrap(), 1];
        words.extend([u32::from_ne_bytes(*b"Tidi"), u32::from_ne_bytes(*b"ngs\0")]);
        words.extend([1, 0, 0, v1::PANIC_UNWIND, v1::ROLE_RENDERER | v1::ROLE_CALLBACK]);
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        for (text, size) in [("acme", 32), ("1.2.3", 32), (TARGET, 48)] {
            bytes.extend(text.bytes().chain(std::iter::repeat(0)).take(size));
        }
        if let Some((place, word)) = change {
            bytes[4 * place..4 * (place + 1)].copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn a_note_is_read() {
        let note = from_section(&bytes(None), TARGET).unwrap();
        assert_eq!((note.name.as_str(), note.version.as_str(), note.target.as_str()), ("acme", "1.2.3", TARGET));
        assert_eq!(note.roles, ["renderer", "callback"]);
    }

    #[test]
    fn what_is_wrong_with_a_note_is_one_sentence() {
        for (change, part) in [
            ((0, 9), "something else in it"),
            ((1, 4096), "says it has 4096 bytes, and has 132"),
            ((1, 8), "too short"),
            ((2, 7), "something else in it"),
            ((3, 7), "something else in it"),
            ((5, 2), "speaks major 2 of the contract; this engine speaks 1"),
            ((7, 3), "needs minor 3 of the contract; this engine has 0; update the engine"),
            ((8, 2), "was built with panic=abort"),
            ((8, 9), "panics in the way 9"),
            ((9, 0), "without a role"),
            ((10, 0), "whose name is no text"),
            ((10, u32::from_ne_bytes(*b"A me")), "whose name is no text"),
            ((10, u32::from_ne_bytes(*b"Acme")), "not of a-z"),
        ] {
            let problem = from_section(&bytes(Some(change)), TARGET).unwrap_err();
            assert!(problem.contains(part), "{change:?}: {problem}");
        }
        let problem = from_section(&bytes(None), "x86_64-linux-musl").unwrap_err();
        assert_eq!(problem, "is built for x86_64-linux-gnu; this engine is x86_64-linux-musl");
    }

    #[test]
    fn a_note_cut_anywhere_is_refused() {
        let whole = bytes(None);
        for size in 0..whole.len() {
            assert!(from_section(&whole[..size], TARGET).is_err(), "{size}");
        }
    }
}
