//! The physical lines of a file, one at a time and none longer than a bound. What they mean is left to the formats.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

use tidings_model::limits::DATA_BYTES_MAX;

/// Bytes of a line without its end: the data of a message may take more room in a file than it does as compact JSON.
pub(super) const LINE_BYTES_MAX: usize = DATA_BYTES_MAX * 2;

/// What some programs write in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line, with its end if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its bytes, or what is wrong with it.
    pub(super) text: Result<Vec<u8>, String>,
}

/// The lines of a file. A line ends in `\n`, `\r\n` or a `\r` alone; what cannot be read is the last line.
pub(super) struct Lines<R> {
    reader: R,
    number: u64,
    ended: bool,
}

impl Lines<BufReader<File>> {
    /// The first bytes are read at once, so that what is no file (a folder opens like one) is found here.
    pub(super) fn open(file: File) -> io::Result<Self> {
        let mut reader = BufReader::new(file);
        fill(&mut reader)?;
        Ok(Lines::new(reader))
    }
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Lines { reader, number: 0, ended: false }
    }

    /// The next line with its end; nothing at the end of the file.
    fn read(&mut self) -> io::Result<Option<Result<Vec<u8>, String>>> {
        let (mut text, mut length) = (Vec::new(), 0_usize);
        loop {
            let chunk = fill(&mut self.reader)?;
            if chunk.is_empty() {
                return Ok((length > 0).then(|| whole(text, length)));
            }
            let end = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &chunk[..end.unwrap_or(chunk.len())];
            length = length.saturating_add(part.len());
            // What is left of an endless line is not kept: it is skipped to its end.
            if length <= LINE_BYTES_MAX {
                text.extend_from_slice(part);
            }
            let Some(end) = end else {
                let read = chunk.len();
                self.reader.consume(read);
                continue;
            };
            let last = chunk[end];
            self.reader.consume(end + 1);
            text.push(last);
            // A read that fails here is met again, and told, at the next line.
            if last == b'\r' && fill(&mut self.reader).is_ok_and(|chunk| chunk.first() == Some(&b'\n')) {
                self.reader.consume(1);
                text.push(b'\n');
            }
            return Ok(Some(whole(text, length)));
        }
    }
}

fn whole(text: Vec<u8>, length: usize) -> Result<Vec<u8>, String> {
    if length > LINE_BYTES_MAX { Err(format!("is longer than {LINE_BYTES_MAX} bytes")) } else { Ok(text) }
}

fn fill(reader: &mut impl BufRead) -> io::Result<&[u8]> {
    while let Err(error) = reader.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    reader.fill_buf()
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        if self.ended {
            return None;
        }
        self.number += 1;
        let text = match self.read() {
            Ok(Some(text)) => text,
            Ok(None) => {
                self.ended = true;
                return None;
            }
            Err(error) => {
                // It may fail for ever: whoever asks on would never come to an end.
                self.ended = true;
                Err(format!("cannot be read, nor can what follows: {error}"))
            }
        };
        let text = text.map(|text| match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if self.number == 1 => rest.to_vec(),
            _ => text,
        });
        Some(Line { number: self.number, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        // With every size of the buffer, so that each end of a line is once cut in two.
        for capacity in 1..=text.len() + 1 {
            let lines: Vec<Line> = Lines::new(BufReader::with_capacity(capacity, text.as_bytes())).collect();
            let texts: Vec<&str> =
                lines.iter().map(|line| std::str::from_utf8(line.text.as_ref().unwrap()).unwrap()).collect();
            assert_eq!(texts, expected, "{text:?} by {capacity}");
            assert!(lines.iter().map(|line| line.number).eq(1..=u64::try_from(lines.len()).unwrap()));
        }
    }

    #[test]
    fn a_line_ends_in_any_of_the_three_ways_and_keeps_its_end() {
        check("", &[]);
        check("a", &["a"]);
        check("a\nb\r\nc\rd", &["a\n", "b\r\n", "c\r", "d"]);
        check("\n\r\n\r\r\n\n", &["\n", "\r\n", "\r", "\r\n", "\n"]);
        check("a\r", &["a\r"]);
        check("\u{feff}a\n\u{feff}b", &["a\n", "\u{feff}b"]);
    }

    #[test]
    fn a_line_of_exactly_the_bound_is_whole_and_one_byte_more_is_told_without_the_next() {
        // The bound was once counted with the end: the skip to "the end of the line" then took the next one.
        for end in ["\n", "\r\n", "\r"] {
            for (more, good) in [(0, true), (1, false), (LINE_BYTES_MAX * 3, false)] {
                let text = format!("{}{end}next", "x".repeat(LINE_BYTES_MAX + more));
                let lines: Vec<Line> = Lines::new(text.as_bytes()).collect();
                assert_eq!(lines.len(), 2, "{end:?} {more}");
                assert_eq!(lines[0].text.is_ok(), good, "{end:?} {more}");
                assert_eq!(lines[1], Line { number: 2, text: Ok(b"next".to_vec()) });
            }
        }
    }

    /// A disk that gives a line and a half, and then errors for ever.
    struct Broken(&'static [u8]);

    impl io::Read for Broken {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() { Err(io::Error::other("the disk is gone")) } else { self.0.read(into) }
        }
    }

    #[test]
    fn a_read_error_is_told_once_and_ends_the_file() {
        let lines: Vec<Line> = Lines::new(BufReader::new(Broken(b"one\ntw"))).take(5).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].text, Ok(b"one\n".to_vec()));
        assert!(lines[1].number == 2 && lines[1].text.as_ref().unwrap_err().contains("the disk is gone"));
        let lines: Vec<Line> = Lines::new(BufReader::new(Broken(b"one\r"))).take(5).collect();
        assert_eq!((lines.len(), lines[0].text.is_ok(), lines[1].text.is_ok()), (2, true, false));
    }
}
