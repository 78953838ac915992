//! Reading what the other side sent: structs of its size, arrays of its stride.

use core::fmt;
use core::mem::{MaybeUninit, size_of};

use crate::v1::{Bytes, Text};

/// Elements an array may have. A count above it is a lie or a mistake, and is not walked.
pub const COUNT_MAX: usize = 65_536;

/// Bytes one element may have. Structs grow by a few words in a minor; what is above this is no struct of ours.
pub const STRIDE_MAX: usize = 4096;

/// A struct that begins with `struct_size: u32` and may have grown, or not yet grown, on the other side.
///
/// # Safety
///
/// The type is `repr(C)`, its first field is the `u32` size, and all its bytes zero is a valid value of it.
pub unsafe trait Grows: Copy {}

/// What the other side sent has not the shape it says, or is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misshapen {
    /// A NULL where something must be.
    Null,
    /// A struct smaller than it was in minor 0.
    Small {
        /// The size it says.
        said: usize,
        /// The size it has at least.
        least: usize,
    },
    /// An array with elements too large, or smaller than they say.
    Stride(usize),
    /// An array of more than [`COUNT_MAX`].
    Count(usize),
    /// A text that is not UTF-8.
    Text,
}

impl fmt::Display for Misshapen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misshapen::Null => f.write_str("a NULL where a value must be"),
            Misshapen::Small { said, least } => write!(f, "a struct of {said} bytes; it has at least {least}"),
            Misshapen::Stride(stride) => write!(f, "an array with a stride of {stride} bytes"),
            Misshapen::Count(count) => write!(f, "an array of {count} elements; at most {COUNT_MAX} are read"),
            Misshapen::Text => f.write_str("a text that is not UTF-8"),
        }
    }
}

impl core::error::Error for Misshapen {}

/// A struct with nothing in it but its size: what is not said is zero.
#[inline]
pub fn empty<T: Grows>() -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    let size = u32::try_from(size_of::<T>()).unwrap_or(u32::MAX);
    // SAFETY: `Grows` says that the first field is the `u32` size and that zeros are a value.
    unsafe {
        value.as_mut_ptr().cast::<u32>().write(size);
        value.assume_init()
    }
}

/// The struct at `pointer`, as much of it as both sides know. Its fields may be pointers, borrowed as it was.
///
/// No struct has grown since minor 0: the least size of each is its size here. When one grows, its least size stays.
///
/// # Errors
///
/// It is NULL, or smaller than ever.
///
/// # Safety
///
/// `pointer` is NULL, or points to a readable `u32` and to as many readable bytes as that says.
#[inline]
pub unsafe fn sized<T: Grows>(pointer: *const T) -> Result<T, Misshapen> {
    if pointer.is_null() {
        return Err(Misshapen::Null);
    }
    // SAFETY: the caller says that a `u32` is readable there; it need not be aligned for `T`.
    let said = unsafe { pointer.cast::<u32>().read_unaligned() } as usize;
    let least = size_of::<T>();
    if said < least {
        return Err(Misshapen::Small { said, least });
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: `said` bytes are readable by the caller's word, and `least` is no more; `value` has `least` bytes and does
    // not overlap. After it every byte of `value` is written or zero, and `Grows` says that zeros are a value.
    unsafe {
        core::ptr::copy_nonoverlapping(pointer.cast::<u8>(), value.as_mut_ptr().cast::<u8>(), least);
        Ok(value.assume_init())
    }
}

/// The elements of an array, each read as by [`sized`].
///
/// # Errors
///
/// The array is NULL and not empty, has too many elements, or a stride that cannot be. An element that is misshapen is
/// an error in its place.
///
/// # Safety
///
/// `pointer` is NULL, or points to `count` elements that are `stride` bytes apart, each readable as by [`sized`], for as
/// long as the iterator lives.
#[inline]
pub unsafe fn array<T: Grows>(
    pointer: *const T,
    count: usize,
    stride: usize,
) -> Result<impl Iterator<Item = Result<T, Misshapen>>, Misshapen> {
    if count > COUNT_MAX {
        return Err(Misshapen::Count(count));
    }
    if count > 0 && pointer.is_null() {
        return Err(Misshapen::Null);
    }
    if count > 0 && !(size_of::<T>()..=STRIDE_MAX).contains(&stride) {
        return Err(Misshapen::Stride(stride));
    }
    Ok((0..count).map(move |index| {
        // SAFETY: `index` is under `count`, so the element is inside what the caller says is there.
        unsafe { sized(pointer.byte_add(index * stride)) }
    }))
}

impl Text {
    /// Borrows `text`.
    #[inline]
    pub const fn of(text: &str) -> Text {
        Text { data: text.as_ptr().cast(), size: text.len() }
    }

    /// No text.
    pub const EMPTY: Text = Text { data: core::ptr::null(), size: 0 };

    /// The text.
    ///
    /// # Errors
    ///
    /// It is NULL and not empty, or no UTF-8.
    ///
    /// # Safety
    ///
    /// `data` is NULL or points to `size` bytes that stay as they are for `'a`.
    #[inline]
    pub unsafe fn read<'a>(self) -> Result<&'a str, Misshapen> {
        // SAFETY: the caller's word is the one that is asked for.
        let bytes = unsafe { self.bytes(usize::MAX) }?;
        // Most texts are ASCII, which is seen many bytes at a time, and ASCII is UTF-8.
        if bytes.is_ascii() {
            // SAFETY: seen above.
            return Ok(unsafe { core::str::from_utf8_unchecked(bytes) });
        }
        core::str::from_utf8(bytes).map_err(|_| Misshapen::Text)
    }

    /// At most the first `most` of its bytes, whatever they are.
    ///
    /// # Errors
    ///
    /// It is NULL and not empty.
    ///
    /// # Safety
    ///
    /// As for [`Text::read`].
    #[inline]
    pub unsafe fn bytes<'a>(self, most: usize) -> Result<&'a [u8], Misshapen> {
        let bytes = Bytes { data: self.data.cast(), size: self.size.min(most) };
        // SAFETY: a prefix of what the caller vouches for.
        unsafe { bytes.read() }
    }
}

impl Bytes {
    /// Borrows `bytes`.
    #[inline]
    pub const fn of(bytes: &[u8]) -> Bytes {
        Bytes { data: bytes.as_ptr(), size: bytes.len() }
    }

    /// The bytes.
    ///
    /// # Errors
    ///
    /// They are NULL and not empty, or more than a memory has.
    ///
    /// # Safety
    ///
    /// `data` is NULL or points to `size` bytes that stay as they are for `'a`.
    #[inline]
    pub unsafe fn read<'a>(self) -> Result<&'a [u8], Misshapen> {
        if self.size == 0 {
            return Ok(&[]);
        }
        if self.data.is_null() {
            return Err(Misshapen::Null);
        }
        if self.size > isize::MAX.unsigned_abs() {
            return Err(Misshapen::Count(self.size));
        }
        // SAFETY: not NULL, of a size a slice may have, and the caller says that the bytes are there for `'a`.
        Ok(unsafe { core::slice::from_raw_parts(self.data, self.size) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Fetched, Outcome};

    #[test]
    fn a_struct_that_is_smaller_than_ever_is_refused() {
        for said in [0, 1, 8] {
            let outcome = Outcome { struct_size: said, ..empty() };
            // SAFETY: a whole struct of ours.
            let read = unsafe { sized(&raw const outcome) };
            assert!(matches!(read, Err(Misshapen::Small { .. })), "{said}");
        }
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { sized(core::ptr::null::<Fetched>()) }.err(), Some(Misshapen::Null));
    }

    #[test]
    fn a_struct_that_has_grown_is_read_as_far_as_it_is_known() {
        #[repr(C)]
        struct Grown {
            known: Outcome,
            unknown: [u64; 7],
        }
        let size = u32::try_from(size_of::<Grown>()).unwrap();
        let one =
            |operation| Grown { known: Outcome { struct_size: size, operation, ..empty() }, unknown: [u64::MAX; 7] };
        let grown = [one(1), one(2), one(3)];
        // SAFETY: three elements, `size_of::<Grown>` apart.
        let read = unsafe { array(grown.as_ptr().cast::<Outcome>(), 3, size_of::<Grown>()) };
        let operations = read.unwrap().map(|outcome| outcome.unwrap().operation);
        assert!(operations.eq([1, 2, 3]));
    }

    #[test]
    fn arrays_that_cannot_be_are_refused_before_they_are_walked() {
        let outcome: Outcome = empty();
        let pointer = &raw const outcome;
        for (count, stride) in [(usize::MAX, 96), (1, 0), (1, 8), (1, usize::MAX), (COUNT_MAX + 1, 96)] {
            // SAFETY: refused before anything is read.
            assert!(unsafe { array(pointer, count, stride) }.is_err(), "{count} of {stride}");
        }
        // SAFETY: NULL is allowed.
        assert!(unsafe { array(core::ptr::null::<Outcome>(), 1, 96) }.is_err());
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { array(core::ptr::null::<Outcome>(), 0, 0) }.unwrap().count(), 0);
    }

    #[test]
    fn texts_are_read_and_what_is_no_text_is_told() {
        // SAFETY: borrowed from literals.
        unsafe {
            assert_eq!(Text::of("订单").read(), Ok("订单"));
            assert_eq!(Text::EMPTY.read(), Ok(""));
            assert_eq!(Text { data: core::ptr::null(), size: 3 }.read(), Err(Misshapen::Null));
            let broken = b"a\xff";
            assert_eq!(Text { data: broken.as_ptr().cast(), size: 2 }.read(), Err(Misshapen::Text));
            assert_eq!(Text::of("abcdef").bytes(2), Ok(&b"ab"[..]));
        }
    }
}
