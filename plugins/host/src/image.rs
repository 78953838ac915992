//! Bytes that were checked, made a part of this process.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use tidings_abi::v1;

/// Loads these very bytes and finds the one function. Never unloaded: a plugin may have threads, and hooks that the C
/// library calls when they end.
///
/// Linux only: the bytes go through a sealed file in memory, so that nobody can change between the check and the load,
/// or after it, what was checked.
pub(crate) fn load(name: &str, bytes: &[u8]) -> Result<v1::Entry, String> {
    let file = sealed(name, bytes).map_err(|error| format!("cannot be put into memory: {error}"))?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // The loader knows what it has loaded by this path. Were the number used again for another plugin, it would give us
    // the first one: the file stays open for ever, as the plugin stays loaded.
    let _stays_open = file.into_raw_fd();
    // SAFETY: this runs the initialisers of the file, which is code that the operator named in config and that we have
    // just checked to be of our machine, whole, and written by nobody else. NOW: what is missing is told here and not by
    // the end of the process in the middle of a message. LOCAL: its names are nobody else's.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| format!("cannot be loaded: {}", told(&error, &path)))?;
    // SAFETY: the contract gives this name this type, and the note says that the file is of this contract.
    let entry = unsafe { library.get::<v1::Entry>(v1::ENTRY_SYMBOL) }.map(|entry| *entry);
    // Never unloaded: the handle is let go without being closed.
    let _stays_loaded = library.into_raw();
    entry.map_err(|_| format!("has a Tidings note but exports no {}", v1::ENTRY_SYMBOL.to_string_lossy()))
}

/// What the loader says, without a path that means nothing to anybody.
fn told(error: &libloading::Error, path: &str) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    cause.unwrap_or_else(|| error.to_string()).replace(&format!("{path}: "), "")
}

fn sealed(name: &str, bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels from 6.3 want to be told that it will be executed; older ones do not know the word.
    let file = match memfd_create(name, flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => memfd_create(name, flags)?,
        other => other?,
    };
    let mut file = File::from(file);
    file.write_all(bytes)?;
    let file = OwnedFd::from(file);
    fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    #[test]
    fn what_is_sealed_is_what_was_given_and_cannot_be_changed() {
        let mut file = File::from(sealed("test", b"abc").unwrap());
        assert!(file.write_all(b"d").is_err());
        assert!(file.set_len(0).is_err());
        file.rewind().unwrap();
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"abc");
    }
}
