//! Lines that a person has typed, to be recalled in the same conversation after a restart too. They stand sealed in the
//! home: a file of them would hold in clear what the home keeps sealed.

use std::collections::VecDeque;

use chat_device::client::Client;
use chat_device::keep::Keep;
use chat_text::input;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

/// Lines that are kept, of all conversations.
const LINES_MAX: usize = 1_000;

/// A longer line is something that was pasted; nobody recalls it.
const LINE_BYTES_MAX: usize = 1_000;

/// After so many new lines they are written: who is killed loses no more.
const UNWRITTEN_MAX: usize = 10;

/// The row of the home.
const ROW: &str = "typed";

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TypedLine {
    /// The conversation in which it was typed; nothing where there was none.
    cid: String,
    text: String,
}

/// The newest lines, oldest first.
#[derive(Debug)]
pub(super) struct TypedLines {
    keep: Keep,
    lines: VecDeque<TypedLine>,
    unwritten: usize,
    /// What is being written: the disk is not waited for.
    writing: Option<JoinHandle<()>>,
}

impl TypedLines {
    /// Those of before. What cannot be read is forgotten.
    pub(super) async fn open(client: &Client) -> Self {
        let keep = client.keep();
        let own = keep.clone();
        let read = move || own.get::<VecDeque<TypedLine>>(ROW).ok().flatten().unwrap_or_default();
        let lines = tokio::task::spawn_blocking(read).await.unwrap_or_default();
        Self { keep, lines, unwritten: 0, writing: None }
    }

    /// Those of one conversation.
    pub(super) fn lines(&self, cid: &str) -> Vec<String> {
        let here = self.lines.iter().filter(|line| line.cid == cid);
        let mut lines: Vec<String> = here.map(|line| line.text.clone()).collect();
        lines.dedup();
        lines
    }

    /// All of them, with their conversations.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().map(|line| (line.cid.as_str(), line.text.as_str()))
    }

    /// One more, typed under the veil or not.
    pub(super) fn add(&mut self, cid: &str, text: &str, is_veiled: bool) {
        let is_last = |line: &TypedLine| line.cid == cid && line.text == text;
        if !is_kept(text, is_veiled) || self.lines.back().is_some_and(is_last) {
            return;
        }
        self.lines.push_back(TypedLine { cid: cid.to_owned(), text: text.to_owned() });
        if self.lines.len() > LINES_MAX {
            self.lines.pop_front();
        }
        self.unwritten += 1;
        let is_written = self.writing.as_ref().is_none_or(JoinHandle::is_finished);
        if self.unwritten >= UNWRITTEN_MAX && is_written {
            self.begin_writing();
        }
    }

    fn begin_writing(&mut self) {
        self.unwritten = 0;
        let (keep, lines) = (self.keep.clone(), self.lines.clone());
        // A home that takes nothing says so by what matters more.
        self.writing = Some(tokio::task::spawn_blocking(move || drop(keep.put(ROW, &lines))));
    }

    /// Writes what is new, and waits until it is there.
    pub(super) async fn finish(&mut self) {
        if let Some(writing) = self.writing.take() {
            writing.await.ok();
        }
        if self.unwritten > 0 {
            self.begin_writing();
        }
        if let Some(writing) = self.writing.take() {
            writing.await.ok();
        }
    }
}

/// A line that was not understood may be a slip in a command with a password, so it is none either.
fn is_kept(line: &str, is_veiled: bool) -> bool {
    let is_short = !line.trim().is_empty() && line.len() <= LINE_BYTES_MAX;
    is_short && input::may_come_back(line, is_veiled) && input::parse(line).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_kept_that_may_hold_a_password() {
        for (line, kept) in [
            ("hello", true),
            ("bob*hi", true),
            ("/join ops", true),
            ("/password secret", false),
            (" /PASSWD secret", false),
            ("/pasword secret", false),
            ("/pass secret", false),
            (" /pass secret", false),
            ("/me waves", true),
            ("//pasword is a word", true),
            ("  ", false),
        ] {
            assert_eq!(is_kept(line, false), kept, "{line}");
        }
        assert!(!is_kept(&"x".repeat(LINE_BYTES_MAX + 1), false));
        assert!(!is_kept("It was Zoe", true) && is_kept("/veil off", true));
    }
}
