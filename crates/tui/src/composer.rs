//! What is typed: several lines, with undo and cut, what was sent before, completion.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;

use chat_protocol::limits::MESSAGE_TEXT_BYTES_MAX;
use chat_protocol::name::ConversationId;
use chat_protocol::sanitise;
use chat_text::input::{may_come_back, seen_lines};
use ratatui_textarea::{CursorMove, DataCursor, TextArea};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::keys::Action;

mod completion;
mod sent;
mod typed;

pub(crate) use completion::{Candidates, candidates};

pub(crate) use typed::Typed;

use completion::Completion;
use sent::Sent;

/// Bytes of what is typed: the longest text that can be sent, with a command and a name before it. More would be laid out
/// for each key and then refused.
pub const TYPED_MAX: usize = MESSAGE_TEXT_BYTES_MAX + 256;

/// Conversations whose sent lines are remembered.
const CONVERSATIONS_MAX: usize = 64;

/// What is being typed.
#[derive(Debug, Default)]
pub(crate) struct Composer {
    area: TextArea<'static>,
    sent: HashMap<ConversationId, Sent>,
    /// What has made room for something else before it was sent, oldest first: nothing that was typed is lost.
    aside: Vec<String>,
    completion: Option<Completion>,
    /// It in so many columns, until it changes: a frame needs it more than once, and others come while nobody types.
    laid: RefCell<Option<(usize, Typed)>>,
}

/// What has come of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acted {
    /// It was for what is typed.
    Done,
    /// It was, and there is no room for what it inserts.
    NoRoom,
    /// It was not.
    Nothing,
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

    /// The one way to change it.
    fn area(&mut self) -> &mut TextArea<'static> {
        self.laid.take();
        &mut self.area
    }

    /// Changes it without touching what was cut.
    fn keeping_cut(&mut self, change: impl FnOnce(&mut TextArea<'static>)) {
        let area = self.area();
        let cut = area.yank_text();
        change(area);
        area.set_yank_text(cut);
    }

    /// Bytes of what is typed.
    pub(crate) fn bytes(&self) -> usize {
        let lines = self.area.lines();
        lines.iter().map(String::len).sum::<usize>() + lines.len().saturating_sub(1)
    }

    /// Whether there is room for so many bytes more.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.bytes().saturating_add(bytes) <= TYPED_MAX
    }

    /// Puts another text in the place of what is typed. It can be undone. Nothing is cut off from it: it was typed before,
    /// or said.
    pub(crate) fn set(&mut self, text: &str) {
        self.completion = None;
        self.keeping_cut(|area| {
            area.clear();
            area.insert_str(shown(text));
        });
    }

    /// Takes what is typed, with everything that could be undone.
    pub(crate) fn take(&mut self) -> String {
        let text = self.text();
        // What was cut can be inserted in another line, too.
        self.keeping_cut(|area| *area = TextArea::default());
        self.completion = None;
        text
    }

    /// Sets aside what was begun in a conversation that is left: what is typed, unless it is an older line as it was, and
    /// what was typed before one looked at such a line.
    pub(crate) fn leave(&mut self, cid: &ConversationId) {
        let typed = self.take();
        let sent = self.sent.get_mut(cid);
        let is_looked_at = sent.as_ref().is_some_and(|sent| sent.is_looked_at(&typed));
        let begun = sent.map(Sent::return_to_end).unwrap_or_default();
        self.set_aside(begun);
        if !is_looked_at {
            self.set_aside(typed);
        }
    }

    fn set_aside(&mut self, text: String) {
        if !text.is_empty() {
            self.aside.push(text);
        }
    }

    /// Takes what was set aside, oldest first.
    pub(crate) fn take_aside(&mut self) -> Vec<String> {
        std::mem::take(&mut self.aside)
    }

    /// Notes what was sent in a conversation, so that it can be had again, if it may be.
    pub(crate) fn was_sent(&mut self, cid: &ConversationId, text: &str, is_veiled: bool) {
        if self.sent.len() >= CONVERSATIONS_MAX && !self.sent.contains_key(cid) {
            // The one with the fewest lines is missed least.
            let least = self.sent.iter().min_by_key(|(_, sent)| sent.len());
            if let Some(least) = least.map(|(cid, _)| cid.clone()) {
                self.sent.remove(&least);
            }
        }
        let sent = self.sent.entry(cid.clone()).or_default();
        // It was not sent with the older line that it made room for.
        let begun = sent.return_to_end();
        if may_come_back(text, is_veiled) {
            sent.push(text);
        }
        self.set_aside(begun);
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

    /// Types a character; says whether there was room for it.
    pub(crate) fn insert(&mut self, character: char) -> bool {
        self.completion = None;
        let has_room = self.has_room(character.len_utf8());
        if has_room {
            self.area().insert_char(character);
        }
        has_room
    }

    /// Inserts a text that comes from elsewhere, if there is room for it: what nobody would see in it becomes visible.
    pub(crate) fn paste(&mut self, text: &str) -> bool {
        self.completion = None;
        let shown = shown(text);
        let has_room = self.has_room(shown.len());
        if has_room {
            self.area().insert_str(shown);
        }
        has_room
    }

    /// Does what a key is for, if it is for what is typed.
    pub(crate) fn act(
        &mut self,
        action: Action,
        cid: &ConversationId,
        candidates: Candidates<'_>,
    ) -> Acted {
        match action {
            Action::Complete => self.complete(candidates, true),
            Action::CompleteBack => self.complete(candidates, false),
            _ => {
                self.completion = None;
                self.edit(action, cid)
            }
        }
    }

    fn edit(&mut self, action: Action, cid: &ConversationId) -> Acted {
        let inserted = match action {
            Action::Newline => 1,
            Action::Paste => self.area.yank_text().len(),
            _ => 0,
        };
        if inserted > 0 && !self.has_room(inserted) {
            return Acted::NoRoom;
        }
        let (row, rows) = (self.area.cursor().0, self.area.lines().len());
        match action {
            Action::Older if row == 0 => self.recall(cid, Sent::older),
            Action::Newer if row + 1 == rows => self.recall(cid, Sent::newer),
            Action::Left => self.step_back(),
            Action::Right => self.step_on(),
            Action::DeleteBack => self.delete_back(),
            Action::Delete => self.delete(),
            _ => return self.edit_area(action),
        }
        Acted::Done
    }

    /// Does what the editor can do by itself.
    fn edit_area(&mut self, action: Action) -> Acted {
        let area = self.area();
        match action {
            Action::Newline => area.insert_newline(),
            Action::LineStart => area.move_cursor(CursorMove::Head),
            Action::LineEnd => area.move_cursor(CursorMove::End),
            Action::WordLeft => area.move_cursor(CursorMove::WordBack),
            Action::WordRight => area.move_cursor(CursorMove::WordForward),
            Action::Older => area.move_cursor(CursorMove::Up),
            Action::Newer => area.move_cursor(CursorMove::Down),
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
            _ => return Acted::Nothing,
        }
        Acted::Done
    }

    fn recall(&mut self, cid: &ConversationId, which: fn(&mut Sent, &str) -> Option<String>) {
        let typed = self.text();
        // Where nothing was sent there is no older line.
        let Some(sent) = self.sent.get_mut(cid) else { return };
        let is_changed = sent.is_changed(&typed);
        let Some(text) = which(sent, &typed) else { return };
        if is_changed {
            self.set_aside(typed);
        }
        self.set(&text);
    }

    /// Completes the word before the cursor, or takes the next of what it can become.
    fn complete(&mut self, candidates: Candidates<'_>, is_forward: bool) -> Acted {
        let (line, DataCursor(_, column)) = (self.current_line(), self.area.cursor());
        let before: String = line.chars().take(column).collect();
        let begun = self.completion.take().or_else(|| {
            let (start, words) = candidates(&before);
            Completion::new(&before, start, words)
        });
        let Some(mut completion) = begun else { return Acted::Done };
        let (typed, word) = completion.step(is_forward);
        if !self.has_room(word.len()) {
            return Acted::NoRoom;
        }
        let area = self.area();
        for _ in 0..typed {
            area.delete_char();
        }
        area.insert_str(word);
        self.completion = Some(completion);
        Acted::Done
    }

    fn current_line(&self) -> &str {
        self.area.lines().get(self.area.cursor().0).map_or("", String::as_str)
    }

    /// Characters between the cursor and the end of what a person takes for one of them, or its beginning: a letter with
    /// its accents, a sign of several parts. It is 0 at the end of the line, or its beginning.
    fn cluster(&self, is_forward: bool) -> usize {
        let (line, DataCursor(_, column)) = (self.current_line(), self.area.cursor());
        let mut start = 0;
        for one in line.graphemes(true) {
            let end = start + one.chars().count();
            if is_forward && column < end {
                return end - column;
            }
            if !is_forward && column <= end {
                return column.saturating_sub(start);
            }
            start = end;
        }
        0
    }

    /// Moves the cursor to a line and a column of it; says whether it is there. By itself the editor counts columns of a
    /// screen, and stops before marks that have none.
    fn go_to(&mut self, row: usize, column: usize) -> bool {
        let (Ok(row), Ok(column)) = (u16::try_from(row), u16::try_from(column)) else {
            return false;
        };
        self.area().move_cursor(CursorMove::Jump(row, column));
        true
    }

    fn step_back(&mut self) {
        let (DataCursor(row, column), cluster) = (self.area.cursor(), self.cluster(false));
        let before = row.checked_sub(1).and_then(|row| self.area.lines().get(row));
        let is_there = match (cluster, before) {
            (1.., _) => self.go_to(row, column.saturating_sub(cluster)),
            (0, Some(line)) => {
                let end = line.chars().count();
                self.go_to(row.saturating_sub(1), end)
            }
            (0, None) => true,
        };
        if !is_there {
            self.area().move_cursor(CursorMove::Back);
        }
    }

    fn step_on(&mut self) {
        let (DataCursor(row, column), cluster) = (self.area.cursor(), self.cluster(true));
        let is_there = match cluster {
            0 if row + 1 < self.area.lines().len() => self.go_to(row + 1, 0),
            0 => true,
            _ => self.go_to(row, column + cluster),
        };
        if !is_there {
            self.area().move_cursor(CursorMove::Forward);
        }
    }

    fn delete_back(&mut self) {
        let (DataCursor(row, column), cluster) = (self.area.cursor(), self.cluster(false));
        if cluster > 1 && self.go_to(row, column.saturating_sub(cluster)) {
            self.keeping_cut(|area| {
                area.delete_str(cluster);
            });
        } else {
            self.area().delete_char();
        }
    }

    fn delete(&mut self) {
        let cluster = self.cluster(true);
        if cluster > 0 {
            self.keeping_cut(|area| {
                area.delete_str(cluster);
            });
        } else {
            self.area().delete_next_char();
        }
    }
}

/// A text from elsewhere as it is typed: what nobody would see in it becomes visible, but at the start of a line, where it
/// counts for nothing.
pub(crate) fn shown(text: &str) -> String {
    sanitise::text(&seen_lines(text)).into_owned()
}

#[cfg(test)]
mod tests;
