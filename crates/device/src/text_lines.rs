//! Text of files and pipes: one reader for all of them, which passes over a byte order mark and refuses
//! a line that is no text without losing those around it.

use std::io::{self, BufRead, Read as _};

use thiserror::Error;

/// Some editors write it before a text.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Four times the longest message. A longer line is a file of something else, and it is not kept in
/// memory to its end.
const LINE_BYTES_MAX: usize = 4 * chat_protocol::limits::MESSAGE_TEXT_BYTES_MAX;

/// A line that cannot be used. Nothing of it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadLine {
    /// It is not UTF-8.
    #[error("line {number} is not UTF-8; nothing of it was sent. Write it as UTF-8 text")]
    NotUtf8 {
        /// Its number, from 1.
        number: u64,
    },
    /// No message is so long.
    #[error(
        "line {number} has more than {LINE_BYTES_MAX} bytes; nothing of it was sent. Send it in parts"
    )]
    TooLong {
        /// Its number, from 1.
        number: u64,
    },
}

/// The lines of a text, one after the other.
#[derive(Debug)]
pub struct TextLines<R> {
    reader: R,
    number: u64,
}

impl<R: BufRead> TextLines<R> {
    /// The lines of this reader, from its beginning.
    pub fn new(reader: R) -> Self {
        Self { reader, number: 0 }
    }

    /// The next line without its end; nothing at the end of the text. Fails when the reader does.
    fn next_line(&mut self) -> io::Result<Option<Result<String, BadLine>>> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        if self.reader.by_ref().take(limit).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let number = self.number;
        let has_end = bytes.pop_if(|byte| *byte == b'\n').is_some();
        if bytes.len() > LINE_BYTES_MAX {
            if !has_end {
                self.reader.skip_until(b'\n')?;
            }
            return Ok(Some(Err(BadLine::TooLong { number })));
        }
        let Ok(text) = String::from_utf8(bytes) else {
            return Ok(Some(Err(BadLine::NotUtf8 { number })));
        };
        let text = if number == 1 { without_mark(&text) } else { &text };
        Ok(Some(Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())))
    }
}

impl<R: BufRead> Iterator for TextLines<R> {
    type Item = io::Result<Result<String, BadLine>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().transpose()
    }
}

/// A text without the byte order mark before it.
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<Result<String, BadLine>> {
        TextLines::new(text).map(|line| line.unwrap()).collect()
    }

    #[test]
    fn a_mark_is_passed_over_once_and_line_ends_do_not_count() {
        let read = lines("\u{feff}bob*hi\r\n\u{feff}two\n\nfour".as_bytes());
        let expected = ["bob*hi", "\u{feff}two", "", "four"].map(|line| Ok(line.to_owned()));
        assert_eq!(read, expected);
        assert_eq!(without_mark("\u{feff}x"), "x");
    }

    #[test]
    fn a_bad_line_is_refused_with_its_number_and_the_others_stay() {
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        let text = [b"one\nt\xffo\nthree\n", long.as_bytes(), b"yyy\nfive\n"].concat();
        let expected = [
            Ok("one".to_owned()),
            Err(BadLine::NotUtf8 { number: 2 }),
            Ok("three".to_owned()),
            Err(BadLine::TooLong { number: 4 }),
            Ok("five".to_owned()),
        ];
        assert_eq!(lines(&text), expected);
        let longest = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(lines(format!("{longest}\nend").as_bytes())[0], Ok(longest));
    }
}
