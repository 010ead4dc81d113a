//! Lines that a person has typed, to be recalled after a restart too. They stand sealed in the home: a file of them
//! would hold in clear what the home keeps sealed.

use std::collections::VecDeque;

use chat_device::client::Client;
use chat_device::keep::Keep;
use chat_text::input::{self, InputError};

/// Lines that are kept.
const LINES_MAX: usize = 500;

/// A longer line is something that was pasted; nobody recalls it.
const LINE_BYTES_MAX: usize = 1_000;

/// After so many new lines they are written: who is killed loses no more.
const UNWRITTEN_MAX: usize = 10;

/// The row of the home.
const ROW: &str = "typed";

/// Commands behind which somebody may type a password, although they ask for it by themselves.
const SECRET: [&str; 2] = ["/password", "/passwd"];

/// The newest lines, oldest first.
#[derive(Debug)]
pub(super) struct TypedLines {
    keep: Keep,
    lines: VecDeque<String>,
    unwritten: usize,
}

impl TypedLines {
    /// Those of before. What cannot be read is forgotten.
    pub(super) async fn open(client: &Client) -> Self {
        let keep = client.keep();
        let own = keep.clone();
        let read = move || own.get::<VecDeque<String>>(ROW).ok().flatten().unwrap_or_default();
        let lines = tokio::task::spawn_blocking(read).await.unwrap_or_default();
        Self { keep, lines, unwritten: 0 }
    }

    /// All of them.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }

    /// One more.
    pub(super) async fn add(&mut self, line: &str) {
        if !is_kept(line) || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        self.lines.push_back(line.to_owned());
        if self.lines.len() > LINES_MAX {
            self.lines.pop_front();
        }
        self.unwritten += 1;
        if self.unwritten >= UNWRITTEN_MAX {
            self.write().await;
        }
    }

    /// Writes what is new.
    pub(super) async fn write(&mut self) {
        if std::mem::take(&mut self.unwritten) == 0 {
            return;
        }
        let (keep, lines) = (self.keep.clone(), self.lines.clone());
        // A home that takes nothing says so by what matters more.
        tokio::task::spawn_blocking(move || keep.put(ROW, &lines).ok()).await.ok();
    }
}

fn is_kept(line: &str) -> bool {
    let is_secret = |word: &&str| line.trim_start().to_ascii_lowercase().starts_with(*word);
    // A command that there is not may be a slip of the fingers for one of those.
    let is_slip = matches!(input::parse(line), Err(InputError::UnknownCommand { .. }));
    let is_short = !line.trim().is_empty() && line.len() <= LINE_BYTES_MAX;
    is_short && !is_slip && !SECRET.iter().any(is_secret)
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
            ("//pasword is a word", true),
            ("  ", false),
        ] {
            assert_eq!(is_kept(line), kept, "{line}");
        }
        assert!(!is_kept(&"x".repeat(LINE_BYTES_MAX + 1)));
    }
}
