//! What was sent before in one conversation.

use super::shown;

/// Lines that are remembered.
const LINES_MAX: usize = 200;

/// Bytes of them: some dozen conversations are remembered. The newest line stays, however long it is.
const BYTES_MAX: usize = 256 * 1_024;

/// The lines, and which of them is looked at.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Oldest first.
    lines: Vec<String>,
    bytes: usize,
    /// The home's history was noted from this place on.
    reached: Option<i64>,
    /// How many steps back one is; 0 at what is being typed.
    back: usize,
    /// What was being typed when one began to step back.
    draft: String,
}

impl Sent {
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Something else is typed from now on; what was begun before one stepped back is given up.
    #[must_use]
    pub(super) fn return_to_end(&mut self) -> String {
        self.back = 0;
        std::mem::take(&mut self.draft)
    }

    /// Notes a line, once where it is sent twice.
    pub(super) fn push(&mut self, line: &str) {
        if self.lines.last().is_some_and(|last| last == line) {
            return;
        }
        self.bytes += line.len();
        self.lines.push(line.to_owned());
        let is_over = |sent: &Self| sent.lines.len() > LINES_MAX || sent.bytes > BYTES_MAX;
        while is_over(self) && self.lines.len() > 1 {
            self.bytes -= self.lines.remove(0).len();
        }
    }

    /// Notes a line of the home, from this place of its history, that was sent before all that are known, unless it is one
    /// of them. The home is read again, and each place counts once.
    pub(super) fn push_before(&mut self, place: i64, line: &str) {
        if self.reached.is_some_and(|reached| place >= reached) {
            return;
        }
        let has_room = self.lines.len() < LINES_MAX && self.bytes + line.len() <= BYTES_MAX;
        if has_room && self.lines.iter().all(|known| known != line) {
            self.bytes += line.len();
            self.lines.insert(0, line.to_owned());
        }
    }

    /// What the home has from this place on was noted, or all of it; what is sent from now on is noted as it is sent.
    pub(super) fn has_read(&mut self, from: Option<i64>) {
        let from = from.unwrap_or(i64::MIN);
        self.reached = Some(self.reached.map_or(from, |reached| reached.min(from)));
    }

    /// The line before; what is typed is kept for the way back.
    pub(super) fn older(&mut self, typed: &str) -> Option<String> {
        let line = self.at(self.back + 1)?.to_owned();
        if self.back == 0 {
            typed.clone_into(&mut self.draft);
        }
        self.back += 1;
        Some(line)
    }

    /// The line behind it, and at last what was being typed.
    pub(super) fn newer(&mut self, _typed: &str) -> Option<String> {
        self.back = self.back.checked_sub(1)?;
        if self.back == 0 {
            return Some(std::mem::take(&mut self.draft));
        }
        self.at(self.back).map(str::to_owned)
    }

    /// Whether what is typed is an older line as it was, which one only looks at.
    pub(super) fn is_looked_at(&self, typed: &str) -> bool {
        self.at(self.back).is_some_and(|line| shown(line) == typed)
    }

    /// Whether what is typed was made of an older line: it is nowhere else.
    pub(super) fn is_changed(&self, typed: &str) -> bool {
        self.back > 0 && !self.is_looked_at(typed)
    }

    fn at(&self, back: usize) -> Option<&str> {
        self.lines.iter().rev().nth(back.checked_sub(1)?).map(String::as_str)
    }

    /// The newest line but `skip` that has these letters.
    pub(super) fn find(&self, letters: &str, skip: usize) -> Option<&str> {
        let letters = letters.to_lowercase();
        let mut found =
            self.lines.iter().rev().filter(|line| line.to_lowercase().contains(&letters));
        found.nth(skip).map(String::as_str)
    }
}
