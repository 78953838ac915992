//! Signposts: where the messages of a recipient may be.
//!
//! An index by recipient would have each message written at a place of its own, far from that of the one before. Messages
//! never change their recipient, and their ids rise: so once a block of ids is complete, one list is made of it, for all
//! of them at once, and never written again. Recipients are spread over [`PARTS`] parts, and each part of a block has its
//! own list, so that whoever looks for one recipient reads a sixteenth of what there is.
//!
//! A list is of marks: [`MARK_BYTES`] each, the fingerprint of the recipient before the place in the block, in order. So
//! a look is a search by halves, and what it finds are messages, not blocks. One message in eight million has the part and
//! the fingerprint of another recipient: who looks reads the message to be sure.

use crate::MessageId;

/// Messages of a block.
pub const BLOCK_MESSAGES: i64 = 1 << PLACE_BITS;
/// Parts that recipients are spread over.
pub const PARTS: usize = 1 << PART_BITS;
/// Bytes of a mark.
pub const MARK_BYTES: usize = 4;

const PART_BITS: u32 = 4;
const PLACE_BITS: u32 = 13;
const PRINT_BITS: u32 = 32 - PLACE_BITS;

/// A stretch of [`BLOCK_MESSAGES`] ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block(pub i64);

impl Block {
    /// The block of a message.
    pub fn of(message: MessageId) -> Block {
        Block(message.0 >> PLACE_BITS)
    }

    /// The first id in it.
    pub fn first(self) -> MessageId {
        MessageId(self.0 << PLACE_BITS)
    }

    /// The last id in it.
    pub fn last(self) -> MessageId {
        MessageId(((self.0 + 1) << PLACE_BITS) - 1)
    }
}

/// What is written of a recipient, and looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sign {
    part: usize,
    print: u32,
}

impl Sign {
    /// That of a recipient, by a fingerprint of 64 bits that is the same in every build.
    pub fn of(fingerprint: i64) -> Sign {
        let mixed = mix(fingerprint.cast_unsigned());
        let part = usize::try_from(mixed >> (64 - PART_BITS)).expect("it has four bits");
        let print = u32::try_from((mixed >> PLACE_BITS) & ((1 << PRINT_BITS) - 1)).expect("it has nineteen bits");
        Sign { part, print }
    }

    /// Which part it is in, below [`PARTS`].
    pub fn part(self) -> usize {
        self.part
    }
}

/// Spreads every bit of a fingerprint over all of them (the finalizer of MurmurHash3): that of a short text has its first
/// bits in common with others'.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

/// The lists of a block, by part: of these messages, each with the sign of its recipient. What is of another block is
/// not written.
pub fn marks(block: Block, messages: impl IntoIterator<Item = (MessageId, Sign)>) -> [Vec<u8>; PARTS] {
    let mut parts: [Vec<u32>; PARTS] = std::array::from_fn(|_| Vec::new());
    for (message, sign) in messages.into_iter().filter(|(message, _)| Block::of(*message) == block) {
        let place = u32::try_from(message.0 - block.first().0).expect("a place is within its block");
        parts[sign.part].push((sign.print << PLACE_BITS) | place);
    }
    parts.map(|mut marks| {
        marks.sort_unstable();
        marks.into_iter().flat_map(u32::to_be_bytes).collect()
    })
}

/// The messages of a block that may be the recipient's, oldest first, by the list of the recipient's part. `None` if that
/// is no list.
pub fn find(block: Block, marks: &[u8], sign: Sign) -> Option<impl DoubleEndedIterator<Item = MessageId>> {
    let (marks, rest) = marks.as_chunks::<MARK_BYTES>();
    let print = |mark: &[u8; MARK_BYTES]| u32::from_be_bytes(*mark) >> PLACE_BITS;
    let from = marks.partition_point(|mark| print(mark) < sign.print);
    let until = marks.partition_point(|mark| print(mark) <= sign.print);
    let place = |mark: &[u8; MARK_BYTES]| i64::from(u32::from_be_bytes(*mark) & ((1 << PLACE_BITS) - 1));
    let found = marks.get(from..until).filter(|_| rest.is_empty())?;
    Some(found.iter().map(move |mark| MessageId(block.first().0 + place(mark))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without an order, the same in each run (splitmix64).
    fn numbers(seed: u64) -> impl Iterator<Item = u64> {
        (1..).map(move |step: u64| mix(seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
    }

    fn sign(number: u64) -> Sign {
        Sign::of(number.cast_signed())
    }

    fn found(block: Block, marks: &[u8], sign: Sign) -> Vec<i64> {
        find(block, marks, sign).expect("that is a list").map(|message| message.0).collect()
    }

    #[test]
    fn every_id_is_of_one_block_that_begins_and_ends_where_the_next_to_it_do() {
        for id in [1, 2, 8190, 8191, 8192, 8193, 16_383, 16_384, i64::MAX >> 1] {
            let block = Block::of(MessageId(id));
            assert!(block.first().0 <= id && id <= block.last().0, "{id}: {block:?}");
            assert_eq!(block.last().0 - block.first().0 + 1, BLOCK_MESSAGES);
            assert_eq!(Block::of(MessageId(block.last().0 + 1)), Block(block.0 + 1));
            assert_eq!(Block::of(block.first()), block);
        }
    }

    #[test]
    fn every_message_of_a_full_block_is_found_by_its_recipient_and_by_no_list_of_another_part() {
        let block = Block(7);
        let recipients: Vec<u64> = numbers(1).take(8192).collect();
        let ids = block.first().0..=block.last().0;
        let lists = marks(block, ids.clone().zip(&recipients).map(|(id, number)| (MessageId(id), sign(*number))));
        assert_eq!(lists.iter().map(Vec::len).sum::<usize>(), 8192 * MARK_BYTES);
        for (id, number) in ids.zip(&recipients) {
            let sign = sign(*number);
            for (part, list) in lists.iter().enumerate() {
                let here = found(block, list, sign).contains(&id);
                assert_eq!(here, part == sign.part(), "message {id}, part {part}");
            }
        }
    }

    #[test]
    fn the_messages_of_one_recipient_are_found_in_their_order_wherever_they_stand() {
        // Every choice of the first and last places of a block, among messages of others.
        let block = Block(3);
        let (first, last) = (block.first().0, block.last().0);
        let places = [first, first + 1, first + 2, last - 1, last];
        for bits in 0..1_u32 << places.len() {
            let chosen = |place: usize| bits & (1 << place) != 0;
            let mine = sign(5);
            let messages = places
                .iter()
                .enumerate()
                .map(|(place, id)| (MessageId(*id), if chosen(place) { mine } else { sign(100 + place as u64) }));
            // In whatever order they are told.
            let lists = marks(block, messages.rev());
            let expected: Vec<i64> =
                places.iter().enumerate().filter(|(place, _)| chosen(*place)).map(|(_, id)| *id).collect();
            assert_eq!(found(block, &lists[mine.part()], mine), expected, "{bits:05b}");
        }
    }

    #[test]
    fn nothing_of_another_block_is_written() {
        let block = Block(3);
        let (before, after) = (MessageId(block.first().0 - 1), MessageId(block.last().0 + 1));
        let lists = marks(block, [(before, sign(1)), (after, sign(1))]);
        assert!(lists.iter().all(Vec::is_empty));
        assert!(found(block, &lists[0], sign(1)).is_empty());
    }

    #[test]
    fn what_is_cut_is_no_list() {
        let block = Block(0);
        let lists = marks(block, (1..100).map(|id| (MessageId(id), sign(1))));
        let list = &lists[sign(1).part()];
        for cut in 1..MARK_BYTES {
            assert!(find(block, &list[..list.len() - cut], sign(1)).is_none(), "{cut} bytes short");
        }
    }

    #[test]
    fn parts_are_even_and_strangers_are_rare_for_names_that_differ_little() {
        // Fingerprints that count up, as bad as they can be: what is mixed must not show it.
        let block = Block(0);
        let lists = marks(block, (1..8192).map(|id| (MessageId(id), Sign::of(id))));
        for list in &lists {
            let count = list.len() / MARK_BYTES;
            assert!((400..=640).contains(&count), "a part has {count} of 8191, and even ones have 512");
        }
        let strangers: usize =
            (1_000_000..1_100_000).map(|name| found(block, &lists[Sign::of(name).part()], Sign::of(name)).len()).sum();
        // 100,000 looks × 8191 marks / 2^23 are 98.
        assert!(strangers < 200, "{strangers} strangers");
    }

    #[test]
    fn what_is_written_stays_readable() {
        // The format is on disk: these bytes are what the first build wrote.
        let lists = marks(Block(1), [(MessageId(8192), Sign::of(1)), (MessageId(8193), Sign::of(2))]);
        let written: Vec<(usize, String)> = lists
            .iter()
            .enumerate()
            .filter(|(_, list)| !list.is_empty())
            .map(|(part, list)| (part, list.iter().map(|byte| format!("{byte:02x}")).collect()))
            .collect();
        assert_eq!(written, [(3, "65068001".to_owned()), (11, "34c2c000".to_owned())]);
    }
}
