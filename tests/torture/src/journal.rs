//! The shim's journal, and the folder that a power cut would leave of it: what was synced is there; of what was not, any
//! part may be, torn at the sectors of a disk.

use std::collections::BTreeMap;
use std::path::Path;

use crate::random::Random;
use crate::trouble::{Outcome, Trouble};

/// What a disk writes whole.
const SECTOR: usize = 512;
/// As `shim.c` writes it.
const MAGIC: u32 = 0x5452_4f54;
const HEAD: usize = 24;

/// A change to the folder, in the order they happened. Names are relative to it; the empty one is the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) what: What,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Created,
    Wrote {
        offset: usize,
        bytes: Vec<u8>,
    },
    Truncated {
        size: usize,
    },
    Synced,
    Unlinked,
    Renamed {
        to: String,
    },
    /// A sync that was asked for and not done.
    NotSynced,
}

/// Reads a journal. A record that breaks off is the last thing the process did.
pub(crate) fn read(bytes: &[u8]) -> Outcome<Vec<Change>> {
    let mut changes = Vec::new();
    let mut rest = bytes;
    while let Some((head, after)) = rest.split_at_checked(HEAD) {
        let number =
            |from: usize, to: usize| head[from..to].iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
        let size = |n: u64| usize::try_from(n).map_err(|_| Trouble::new("a journal of another machine"));
        if number(0, 4) != u64::from(MAGIC) {
            return Err(Trouble::new("the journal is none: a record does not begin as one"));
        }
        let (op, name_len) = (head[4], size(number(6, 8))?);
        let (offset, len) = (size(number(8, 16))?, size(number(16, 20))?);
        let has_bytes = matches!(op, 2 | 6);
        let body = name_len + if has_bytes { len } else { 0 };
        let Some((body, after)) = after.split_at_checked(body) else { break };
        let (name, data) = body.split_at(name_len);
        let what = match op {
            1 => What::Created,
            2 => What::Wrote { offset, bytes: data.to_vec() },
            3 => What::Truncated { size: offset },
            4 => What::Synced,
            5 => What::Unlinked,
            6 => What::Renamed { to: String::from_utf8_lossy(data).into_owned() },
            7 => What::NotSynced,
            _ => return Err(Trouble::new(format!("the journal has a record of kind {op}"))),
        };
        changes.push(Change { name: String::from_utf8_lossy(name).into_owned(), what });
        rest = after;
    }
    Ok(changes)
}

/// The files of a folder, by name.
pub(crate) type Image = BTreeMap<String, Vec<u8>>;

/// Reads a folder, without what SQLite builds anew.
pub(crate) fn image_of(folder: &Path) -> Outcome<Image> {
    let mut image = Image::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_file() && !name.ends_with("-shm") {
            image.insert(name, std::fs::read(entry.path())?);
        }
    }
    Ok(image)
}

/// Makes a folder be that image.
pub(crate) fn write_out(image: &Image, folder: &Path) -> Outcome {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir(folder)?;
    for (name, bytes) in image {
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

/// What a cut left undone, for the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Changes that nobody had synced.
    pub(crate) unsynced: usize,
    /// Of those, the ones that are gone, or gone in part.
    pub(crate) dropped: usize,
}

/// One file: what is safe, and what is on its way there.
#[derive(Debug, Default, Clone)]
struct File {
    safe: Vec<u8>,
    pending: Vec<What>,
}

/// The folder as a power cut leaves it after these changes to `before`.
///
/// The contents of a file are safe with its own sync; of the rest each write is kept, lost, or torn sector by sector,
/// each on its own: any order in which a cache writes back is among that. Names (made, removed, renamed) are safe with
/// a sync of the folder; of the rest some first part is kept, as a file system's own journal has it.
pub(crate) fn cut(before: Image, changes: Vec<Change>, random: &mut Random) -> (Image, Cut) {
    let mut disk = Disk::new(before);
    for change in changes {
        disk.apply(change);
    }
    disk.cut(random)
}

/// Files are known by number, so that a name may come, go and move while its contents wait.
struct Disk {
    files: Vec<File>,
    /// Names as the process sees them, and as they are safe.
    names: BTreeMap<String, usize>,
    safe_names: BTreeMap<String, usize>,
    /// Changes of names since the folder was synced: the name, and the file it is of from then on, if of any.
    pending_names: Vec<Vec<(String, Option<usize>)>>,
}

impl Disk {
    fn new(before: Image) -> Disk {
        let mut disk =
            Disk { files: Vec::new(), names: BTreeMap::new(), safe_names: BTreeMap::new(), pending_names: Vec::new() };
        for (name, safe) in before {
            disk.names.insert(name, disk.files.len());
            disk.files.push(File { safe, pending: Vec::new() });
        }
        disk.safe_names = disk.names.clone();
        disk
    }

    fn apply(&mut self, change: Change) {
        let Change { name, what } = change;
        match what {
            What::Created => {
                let number = self.files.len();
                self.files.push(File::default());
                self.rename(vec![(name, Some(number))]);
            }
            What::Unlinked => self.rename(vec![(name, None)]),
            What::Renamed { to } => {
                if let Some(number) = self.names.get(&name).copied() {
                    self.rename(vec![(name, None), (to, Some(number))]);
                }
            }
            What::Synced if name.is_empty() => {
                self.safe_names = self.names.clone();
                self.pending_names.clear();
            }
            What::Synced => {
                if let Some(number) = self.names.get(&name) {
                    let file = &mut self.files[*number];
                    for what in std::mem::take(&mut file.pending) {
                        perform(&mut file.safe, &what, |_| true);
                    }
                }
            }
            What::NotSynced => {}
            what @ (What::Wrote { .. } | What::Truncated { .. }) => {
                if let Some(number) = self.names.get(&name) {
                    self.files[*number].pending.push(what);
                }
            }
        }
    }

    fn rename(&mut self, moves: Vec<(String, Option<usize>)>) {
        apply_names(&mut self.names, &moves);
        self.pending_names.push(moves);
    }

    fn cut(mut self, random: &mut Random) -> (Image, Cut) {
        let mut cut = Cut { unsynced: self.pending_names.len(), dropped: 0 };
        let kept = random.index(self.pending_names.len() + 1);
        cut.dropped += self.pending_names.len() - kept;
        for moves in self.pending_names.drain(..).take(kept) {
            apply_names(&mut self.safe_names, &moves);
        }
        for file in &mut self.files {
            for what in std::mem::take(&mut file.pending) {
                cut.unsynced += 1;
                match random.between(0, 4) {
                    0 => cut.dropped += 1,
                    1 => {
                        cut.dropped += 1;
                        perform(&mut file.safe, &what, |_| random.percent(50));
                    }
                    _ => perform(&mut file.safe, &what, |_| true),
                }
            }
        }
        let files = self.files;
        let image = self.safe_names.into_iter().map(|(name, number)| (name, files[number].safe.clone())).collect();
        (image, cut)
    }
}

fn apply_names(names: &mut BTreeMap<String, usize>, moves: &[(String, Option<usize>)]) {
    for (name, number) in moves {
        match number {
            Some(number) => names.insert(name.clone(), *number),
            None => names.remove(name),
        };
    }
}

/// Makes a change, of a write only the sectors that `reaches` lets through.
fn perform(contents: &mut Vec<u8>, what: &What, mut reaches: impl FnMut(usize) -> bool) {
    match what {
        What::Wrote { offset, bytes } => {
            let mut at = 0;
            while at < bytes.len() {
                let sector = (offset + at) / SECTOR;
                let end = bytes.len().min((sector + 1) * SECTOR - offset);
                if reaches(sector) {
                    if contents.len() < offset + end {
                        contents.resize(offset + end, 0);
                    }
                    contents[offset + at..offset + end].copy_from_slice(&bytes[at..end]);
                }
                at = end;
            }
        }
        What::Truncated { size } => contents.resize(*size, 0),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, what: What) -> Change {
        Change { name: name.to_owned(), what }
    }

    fn wrote(name: &str, offset: usize, bytes: &[u8]) -> Change {
        change(name, What::Wrote { offset, bytes: bytes.to_vec() })
    }

    fn cuts(changes: &[Change]) -> Vec<Image> {
        (0..200).map(|seed| cut(Image::new(), changes.to_vec(), &mut Random::new(seed)).0).collect()
    }

    #[test]
    fn what_was_synced_is_always_there() {
        let changes = [
            change("a", What::Created),
            wrote("a", 0, b"one"),
            change("", What::Synced),
            change("a", What::Synced),
            wrote("a", 3, b"two"),
        ];
        let all = cuts(&changes);
        assert!(all.iter().all(|image| image["a"].starts_with(b"one")));
        assert!(all.iter().any(|image| image["a"] == b"onetwo") && all.iter().any(|image| image["a"] == b"one"));
    }

    #[test]
    fn what_was_not_synced_may_be_lost_torn_or_out_of_order() {
        let page = [7_u8; 2 * SECTOR];
        let changes = [
            change("a", What::Created),
            change("", What::Synced),
            wrote("a", 0, &page),
            wrote("a", 2 * SECTOR, &page),
            change("a", What::NotSynced),
        ];
        let all = cuts(&changes);
        let whole = |image: &Image, from: usize| image["a"].get(from..from + 2 * SECTOR) == Some(&page[..]);
        assert!(all.iter().any(|image| whole(image, 2 * SECTOR) && !whole(image, 0)), "the later without the earlier");
        assert!(all.iter().any(|image| image["a"].is_empty()), "neither");
        assert!(all.iter().any(|image| image["a"].len() == SECTOR), "half of one");
    }

    #[test]
    fn a_name_is_safe_with_the_folder_and_not_with_the_file() {
        let changes = [change("a", What::Created), wrote("a", 0, b"one"), change("a", What::Synced)];
        let all = cuts(&changes);
        assert!(all.iter().any(Image::is_empty) && all.iter().any(|image| image.get("a").is_some_and(|a| a == b"one")));
        let moved = [
            change("a", What::Created),
            wrote("a", 0, b"one"),
            change("a", What::Synced),
            change("", What::Synced),
            change("a", What::Renamed { to: "b".to_owned() }),
        ];
        assert!(cuts(&moved).iter().all(|image| image.len() == 1 && image.values().all(|bytes| bytes == b"one")));
    }

    #[test]
    fn a_truncation_and_what_came_before_it_stay_in_order() {
        let before = Image::from([("a".to_owned(), vec![1; 10])]);
        let changes = vec![change("a", What::Truncated { size: 4 }), change("a", What::Synced)];
        let (image, cut) = cut(before, changes, &mut Random::new(1));
        assert_eq!((image["a"].len(), cut), (4, Cut::default()));
    }

    #[test]
    fn a_record_that_breaks_off_is_the_last() {
        let mut bytes = Vec::new();
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend([2, 0, 1, 0]);
        bytes.extend(5_u64.to_le_bytes());
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(b"axyz");
        let whole = bytes.clone();
        bytes.extend(&whole[..whole.len() - 1]);
        assert_eq!(read(&bytes).unwrap(), [wrote("a", 5, b"xyz")]);
        assert!(read(&[0; HEAD]).is_err());
    }
}
