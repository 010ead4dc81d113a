//! Output of commands: raw bytes into a file or pipe, made harmless on a terminal, whole characters for
//! programs.

use std::collections::HashMap;

use chat_protocol::id::MessageId;
use chat_protocol::sanitise;

/// Bytes of an incomplete UTF-8 character, at most.
const INCOMPLETE_BYTES_MAX: usize = 3;

/// Joins pieces of output, so that no character is cut in two.
#[derive(Debug, Default)]
pub struct Joined(HashMap<(MessageId, bool), Vec<u8>>);

impl Joined {
    /// The whole characters up to the end of this piece of a command's standard output or standard
    /// error, and all bytes that belong to none.
    pub fn add(&mut self, command: MessageId, stderr: bool, piece: &[u8]) -> Vec<u8> {
        let mut bytes = self.0.remove(&(command, stderr)).unwrap_or_default();
        bytes.extend_from_slice(piece);
        let rest = bytes.split_off(bytes.len() - incomplete(&bytes));
        if !rest.is_empty() {
            self.0.insert((command, stderr), rest);
        }
        bytes
    }

    /// What was left of the output when the command ended, and whether it is of standard error: never
    /// a whole character.
    pub fn end(&mut self, command: MessageId) -> Vec<(bool, Vec<u8>)> {
        let rests = [false, true].map(|stderr| Some((stderr, self.0.remove(&(command, stderr))?)));
        rests.into_iter().flatten().collect()
    }
}

/// Joins pieces of output for a screen.
#[derive(Debug, Default)]
pub struct Pieces(Joined);

impl Pieces {
    /// What can be shown after this piece of a command's standard output or standard error.
    pub fn add(&mut self, command: MessageId, stderr: bool, piece: &[u8]) -> String {
        sanitise::bytes(&self.0.add(command, stderr, piece))
    }

    /// What was left of the output when the command ended: never a whole character.
    pub fn end(&mut self, command: MessageId) -> String {
        self.0.end(command).into_iter().map(|(_, rest)| sanitise::bytes(&rest)).collect()
    }
}

/// Bytes of a line that is shown before it ends: a progress bar without line ends is no reason to
/// keep megabytes.
const LINE_BYTES_MAX: usize = 4 << 10;

/// Output of commands in whole lines, for a screen that others write to as well.
#[derive(Debug, Default)]
pub struct OutputLines {
    pieces: Pieces,
    partial: HashMap<(MessageId, bool), String>,
}

impl OutputLines {
    /// The lines that are complete after this piece.
    pub fn add(&mut self, command: MessageId, stderr: bool, piece: &[u8]) -> Vec<String> {
        let shown = self.pieces.add(command, stderr, piece);
        let mut text = self.partial.remove(&(command, stderr)).unwrap_or_default();
        text.push_str(&shown);
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        let rest = lines.pop().unwrap_or_default();
        if rest.len() > LINE_BYTES_MAX {
            lines.push(rest);
        } else if !rest.is_empty() {
            self.partial.insert((command, stderr), rest);
        }
        lines
    }

    /// What is left when the command ended.
    pub fn end(&mut self, command: MessageId) -> Vec<String> {
        let mut lines: Vec<String> = [false, true]
            .iter()
            .filter_map(|stderr| self.partial.remove(&(command, *stderr)))
            .collect();
        let rest = self.pieces.end(command);
        if !rest.is_empty() {
            lines.push(rest);
        }
        lines
    }
}

/// Length of the beginning of a character at the end of `bytes`.
fn incomplete(bytes: &[u8]) -> usize {
    for length in 1..=INCOMPLETE_BYTES_MAX.min(bytes.len()) {
        let Some((start, _)) = bytes.get(bytes.len() - length..).and_then(|end| end.split_first())
        else {
            return 0;
        };
        let whole = match start {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => return 0,
        };
        return if whole > length { length } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_cut_anywhere_come_out_whole() {
        let text = "aé€😀\u{1b}z\n";
        for cut in 0..=text.len() {
            let (front, back) = text.as_bytes().split_at(cut);
            let (mut pieces, id) = (Pieces::default(), MessageId([0; 16]));
            let shown = pieces.add(id, false, front) + &pieces.add(id, false, back);
            assert_eq!(shown, "aé€😀\\x1bz\n", "cut at {cut}");
            assert_eq!(pieces.end(id), "");
        }
    }

    #[test]
    fn lines_come_whole_and_the_rest_at_the_end() {
        let (mut lines, id) = (OutputLines::default(), MessageId([0; 16]));
        assert_eq!(lines.add(id, false, b"one\ntw"), ["one"]);
        assert!(lines.add(id, true, b"error").is_empty());
        assert_eq!(lines.add(id, false, b"o\n\nthree"), ["two", ""]);
        assert_eq!(lines.end(id), ["three", "error"]);
        assert_eq!(lines.add(id, false, &[b'x'; LINE_BYTES_MAX + 1]).len(), 1);
    }

    #[test]
    fn bytes_that_are_no_text_are_not_held_back() {
        let (mut pieces, id) = (Pieces::default(), MessageId([0; 16]));
        assert_eq!(pieces.add(id, false, b"\xff\xfe\x80\x80\x80\x80"), r"\xff\xfe\x80\x80\x80\x80");
        assert_eq!(pieces.add(id, true, b"a\xe2\x82"), "a");
        assert_eq!(pieces.end(id), r"\xe2\x82");
    }
}
