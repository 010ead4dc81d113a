//! A line as it is read, and what becomes of it if nothing came of it.

use chat_protocol::name::ConversationId;
use chat_text::input::{self, Input};
use chat_text::show::veil_mark;

use crate::drafts::Place;
use crate::talk::Talk;
use crate::told::Told;

impl Talk {
    /// Does what a line asks for. Where nothing comes of it, and nothing else brings it back, [`Talk::refused`] does, or it
    /// is shown.
    pub async fn read(&mut self, line: &str) -> Told {
        let (here, is_veiled) = (self.conversations.here().cloned(), self.is_veiled());
        // A script types nothing anew, and an answer is not meant a second time.
        let is_own = self.is_person && (self.asked.is_none() || line.starts_with('/'));
        if is_own && !line.trim().is_empty() {
            self.refused.remove(&here);
        }
        let was_moved = self.rooms.moved.is_some();
        let told = Box::pin(self.obey(line)).await;
        // It is shown already, and is not to be had where it was not meant for.
        let is_late = was_moved && self.rooms.moved.is_none() && is_about_place(line);
        if told.fault.is_none() || !is_own || is_late {
            return told;
        }
        told.and(self.keep_refused(here, line, is_veiled))
    }

    /// Keeps a line of which nothing came, if nothing else brings it back; says so. Whom and what an answer is for is
    /// decided anew each time, so it is shown once instead.
    fn keep_refused(&mut self, here: Place, line: &str, is_veiled: bool) -> Told {
        if input::may_come_back(line, is_veiled) || input::may_hold_password(line) {
            return Told::default();
        }
        if let Ok(Input::Slash(_)) = input::parse(line) {
            return Told::error(format!("this was not sent: {}{line}", veil_mark(is_veiled)));
        }
        self.refused.insert(here, line.to_owned());
        Told::error("not sent; Up brings it back")
    }

    /// What was refused last under the veil where one is, and is to be had again: while that is on, until the next line.
    pub fn refused(&self) -> Option<&str> {
        let refused = self.refused.get(&self.conversations.here().cloned());
        refused.filter(|_| self.is_veiled()).map(String::as_str)
    }

    /// Keeps what was begun to be written in a conversation, for [`Talk::take_draft`].
    pub fn leave_draft(&mut self, cid: &ConversationId, text: String) {
        self.conversations.leave_draft_in(cid, text, self.rooms.is_veiled);
    }

    /// What was begun to be written where one is; nothing that was typed under the veil while that is off.
    pub fn take_draft(&mut self) -> String {
        self.conversations.take_draft(self.rooms.is_veiled)
    }

    /// Whether something that was typed here under the veil waits for it.
    pub fn awaits_veil(&self) -> bool {
        let here = self.conversations.here().and_then(|cid| self.conversations.get(cid));
        !self.rooms.is_veiled && here.is_some_and(|one| one.drafts.has_veiled())
    }
}

/// Whether a line is understood, and depends on where its writer is.
fn is_about_place(line: &str) -> bool {
    input::parse(line).is_ok_and(|input| input.is_about_place())
}
