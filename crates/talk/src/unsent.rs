//! A line of which nothing comes: who typed it has it back.

use chat_text::input;

use crate::talk::Talk;
use crate::told::Told;

impl Talk {
    /// Does what a line asks for. Where nothing comes of it, for whatever reason, and nothing else brings it back, it is a
    /// draft where it was typed, see [`Talk::take_draft`].
    pub async fn read(&mut self, line: &str) -> Told {
        let (here, is_veiled) = (self.conversations.here().cloned(), self.is_veiled());
        // An answer is not meant a second time.
        let is_answer = self.asked.is_some() && !line.starts_with('/');
        let told = Box::pin(self.obey(line)).await;
        // A script types nothing anew.
        let is_lost = self.is_person && told.fault.is_some() && !is_answer;
        if is_lost && input::is_put_back(line, is_veiled) {
            match here {
                Some(cid) => self.conversations.leave_draft_in(&cid, line.to_owned()),
                None => self.conversations.leave_draft(line.to_owned()),
            }
        }
        told
    }
}
