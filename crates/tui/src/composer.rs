//! What is typed: several lines, with undo and cut, what was sent before, completion.

use std::borrow::Cow;
use std::collections::HashMap;

use chat_protocol::name::ConversationId;
use chat_protocol::sanitise;
use chat_text::input::{may_hold_password, seen_lines};
use ratatui_textarea::{CursorMove, DataCursor, TextArea};

use crate::keys::Action;
use crate::wrap::{clean_line, width, wrap};

mod completion;
mod sent;

pub(crate) use completion::{Candidates, candidates};

use completion::Completion;
use sent::Sent;

/// Stands before what is typed, and as many spaces before its further rows.
const PROMPT: usize = 2;

/// Rows of what is typed that are on the screen at once.
const ROWS_MAX: usize = 10;

/// Conversations whose sent lines are remembered.
const CONVERSATIONS_MAX: usize = 64;

/// What is being typed.
#[derive(Debug, Default)]
pub(crate) struct Composer {
    area: TextArea<'static>,
    sent: HashMap<ConversationId, Sent>,
    completion: Option<Completion>,
}

/// What is typed as it is drawn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    /// The rows that are on the screen, without the prompt.
    pub(crate) rows: Vec<String>,
    /// Column and row of the cursor, counted from the first of these rows.
    pub(crate) cursor: (usize, usize),
}

impl Composer {
    /// Nothing is typed.
    pub(crate) fn is_empty(&self) -> bool {
        self.area.is_empty()
    }

    /// What is typed, its lines parted by newlines.
    pub(crate) fn text(&self) -> String {
        self.area.lines().join("\n")
    }

    /// Puts another text in the place of what is typed. It can be undone.
    pub(crate) fn set(&mut self, text: &str) {
        self.completion = None;
        self.area.clear();
        self.area.insert_str(shown(text));
    }

    /// Takes what is typed, with everything that could be undone.
    pub(crate) fn take(&mut self) -> String {
        let text = self.text();
        // What was cut can be inserted in another line, too.
        let cut = self.area.yank_text();
        self.area = TextArea::default();
        self.area.set_yank_text(cut);
        self.completion = None;
        text
    }

    /// Notes what was sent in a conversation, so that it can be had again. A password cannot.
    pub(crate) fn was_sent(&mut self, cid: &ConversationId, text: &str) {
        if may_hold_password(text) {
            return;
        }
        if self.sent.len() >= CONVERSATIONS_MAX && !self.sent.contains_key(cid) {
            // The one with the fewest lines is missed least.
            let least = self.sent.iter().min_by_key(|(_, sent)| sent.len());
            if let Some(least) = least.map(|(cid, _)| cid.clone()) {
                self.sent.remove(&least);
            }
        }
        self.sent.entry(cid.clone()).or_default().push(text);
    }

    /// Notes what was said in a conversation before the program was started, newest first: a page of the home that
    /// begins at this place of its history.
    pub(crate) fn was_said<'t>(
        &mut self,
        cid: &ConversationId,
        from: Option<i64>,
        said: impl Iterator<Item = (i64, Cow<'t, str>)>,
    ) {
        let Some(sent) = self.sent_in(cid) else { return };
        said.for_each(|(place, text)| sent.push_before(place, &text));
        sent.has_read(from);
    }

    /// What was sent there; nothing where there is no room for another conversation.
    fn sent_in(&mut self, cid: &ConversationId) -> Option<&mut Sent> {
        if self.sent.len() >= CONVERSATIONS_MAX && !self.sent.contains_key(cid) {
            return None;
        }
        Some(self.sent.entry(cid.clone()).or_default())
    }

    /// The newest line but `skip` that was sent there and has these letters.
    pub(crate) fn find_sent(
        &self,
        cid: &ConversationId,
        letters: &str,
        skip: usize,
    ) -> Option<String> {
        self.sent.get(cid)?.find(letters, skip).map(str::to_owned)
    }

    /// Types a character.
    pub(crate) fn insert(&mut self, character: char) {
        self.completion = None;
        self.area.insert_char(character);
    }

    /// Inserts a text that comes from elsewhere: what nobody would see in it becomes visible.
    pub(crate) fn paste(&mut self, text: &str) {
        self.completion = None;
        self.area.insert_str(shown(text));
    }

    /// Does what a key is for, if it is for what is typed.
    pub(crate) fn act(
        &mut self,
        action: Action,
        cid: &ConversationId,
        candidates: Candidates<'_>,
    ) -> bool {
        match action {
            Action::Complete => self.complete(candidates, true),
            Action::CompleteBack => self.complete(candidates, false),
            _ => {
                self.completion = None;
                return self.edit(action, cid);
            }
        }
        true
    }

    fn edit(&mut self, action: Action, cid: &ConversationId) -> bool {
        let area = &mut self.area;
        match action {
            Action::Newline => area.insert_newline(),
            Action::LineStart => area.move_cursor(CursorMove::Head),
            Action::LineEnd => area.move_cursor(CursorMove::End),
            Action::Left => area.move_cursor(CursorMove::Back),
            Action::Right => area.move_cursor(CursorMove::Forward),
            Action::WordLeft => area.move_cursor(CursorMove::WordBack),
            Action::WordRight => area.move_cursor(CursorMove::WordForward),
            Action::DeleteBack => {
                area.delete_char();
            }
            Action::Delete => {
                area.delete_next_char();
            }
            Action::CutWordBack => {
                area.delete_word();
            }
            Action::CutWord => {
                area.delete_next_word();
            }
            Action::CutBack => {
                area.delete_line_by_head();
            }
            Action::Cut => {
                area.delete_line_by_end();
            }
            Action::Paste => {
                area.paste();
            }
            Action::Undo => {
                area.undo();
            }
            Action::Redo => {
                area.redo();
            }
            Action::Older if area.cursor().0 > 0 => area.move_cursor(CursorMove::Up),
            Action::Newer if area.cursor().0 + 1 < area.lines().len() => {
                area.move_cursor(CursorMove::Down);
            }
            Action::Older => self.recall(cid, Sent::older),
            Action::Newer => self.recall(cid, Sent::newer),
            _ => return false,
        }
        true
    }

    fn recall(&mut self, cid: &ConversationId, which: fn(&mut Sent, &str) -> Option<String>) {
        let typed = self.text();
        let recalled = self.sent.get_mut(cid).and_then(|sent| which(sent, &typed));
        if let Some(text) = recalled {
            self.set(&text);
        }
    }

    /// Completes the word before the cursor, or takes the next of what it can become.
    fn complete(&mut self, candidates: Candidates<'_>, is_forward: bool) {
        let (line, DataCursor(_, column)) = (self.current_line(), self.area.cursor());
        let before: String = line.chars().take(column).collect();
        let begun = self.completion.take().or_else(|| {
            let (start, words) = candidates(&before);
            Completion::new(&before, start, words)
        });
        let Some(mut completion) = begun else { return };
        let (typed, word) = completion.step(is_forward);
        for _ in 0..typed {
            self.area.delete_char();
        }
        self.area.insert_str(word);
        self.completion = Some(completion);
    }

    fn current_line(&self) -> &str {
        self.area.lines().get(self.area.cursor().0).map_or("", String::as_str)
    }

    /// What is typed in a screen of so many columns.
    pub(crate) fn typed(&self, cells: usize) -> Typed {
        let cells = cells.saturating_sub(PROMPT).max(1);
        let DataCursor(cursor_line, column) = self.area.cursor();
        let mut rows: Vec<String> = Vec::new();
        let mut cursor = (0, 0);
        for (number, line) in self.area.lines().iter().enumerate() {
            let shown = clean_line(line);
            let parts = wrap(&shown, cells, cells);
            if number == cursor_line {
                let before: String = line.chars().take(column).collect();
                let (x, row) = place(&clean_line(&before), &shown, &parts);
                cursor = (x, rows.len() + row);
            }
            rows.extend(parts.into_iter().map(str::to_owned));
        }
        // A cursor behind a full row stands in the next one.
        if cursor.0 >= cells {
            cursor = (0, cursor.1 + 1);
            if cursor.1 >= rows.len() {
                rows.push(String::new());
            }
        }
        let first = (cursor.1 + 1).saturating_sub(ROWS_MAX);
        let rows: Vec<String> = rows.into_iter().skip(first).take(ROWS_MAX).collect();
        Typed { rows, cursor: (cursor.0, cursor.1 - first) }
    }
}

/// A text from elsewhere as it is typed: what nobody would see in it becomes visible, but at the start of a line, where it
/// counts for nothing.
fn shown(text: &str) -> String {
    sanitise::text(&seen_lines(text)).into_owned()
}

/// Column and row behind the beginning of a line that is broken into parts.
fn place(before: &str, line: &str, parts: &[&str]) -> (usize, usize) {
    let mut start = 0;
    for (row, part) in parts.iter().enumerate() {
        // Spaces between two parts belong to neither.
        let rest = line.get(start..).unwrap_or_default();
        start += rest.find(part).unwrap_or(0);
        let next = start + part.len();
        let is_last = row + 1 == parts.len();
        let gap = line.get(next..).is_some_and(|rest| rest.starts_with(' '));
        if before.len() < next || is_last || (before.len() == next && gap) {
            let from = start.min(before.len());
            return (width(before.get(from..).unwrap_or_default()), row);
        }
        start = next;
    }
    (0, 0)
}

#[cfg(test)]
mod tests;
