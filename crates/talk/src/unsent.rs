//! A line as it is read, and what becomes of it if nothing came of it.

use chat_protocol::name::ConversationId;
use chat_text::input::{self, Input};
use chat_text::show::veil_mark;
use chat_text::slash::SlashCommand;

use crate::talk::Talk;
use crate::told::Told;

impl Talk {
    /// Does what a line asks for. Where nothing comes of it, and nothing else brings it back, it is a draft of where it was
    /// typed, or it is shown.
    pub async fn read(&mut self, line: &str) -> Told {
        let (here, is_veiled) = (self.conversations.here().cloned(), self.is_veiled());
        // A script types nothing anew, and an answer is not meant a second time.
        let is_own = self.is_person && (self.asked.is_none() || line.starts_with('/'));
        if is_own {
            self.conversations.drafts_in(here.as_ref()).forget(line, is_veiled);
        }
        let was_moved = self.rooms.moved.is_some();
        let told = Box::pin(self.obey(line)).await;
        // It is shown already, and is not to be had where it was not meant for.
        let is_late = was_moved && self.rooms.moved.is_none() && is_about_place(line);
        if told.fault.is_none() || !is_own || is_late {
            return told;
        }
        told.and(self.keep_refused(here.as_ref(), line, is_veiled).await)
    }

    /// Keeps a line of which nothing came, if nothing else brings it back; says so. Whom and what an answer is for is
    /// decided anew each time, so it is shown once instead.
    async fn keep_refused(
        &mut self,
        here: Option<&ConversationId>,
        line: &str,
        is_veiled: bool,
    ) -> Told {
        if input::may_come_back(line, is_veiled) || input::may_hold_password(line) {
            return Told::default();
        }
        if let Ok(Input::Slash(command)) = input::parse(line) {
            let mark = veil_mark(is_veiled || self.quotes_veiled(&command).await);
            return Told::error(format!("this was not sent: {mark}{line}"));
        }
        self.conversations.drafts_in(here).leave(line.to_owned(), is_veiled);
        Told::error(format!("not sent; {}", comes_back(&self.older_key)))
    }

    /// Whether this answers what was said under the veil: it would have gone out under it.
    async fn quotes_veiled(&self, command: &SlashCommand) -> bool {
        let SlashCommand::Reply { quoted: Some(number), .. } = command else { return false };
        let Some(place) = &self.rooms.current else { return false };
        self.quote(place, *number).await.is_ok_and(|(_, is_veiled)| is_veiled)
    }

    /// The device takes nothing more: the reason is in its last event, and what was typed must not go with it.
    pub(crate) fn has_stopped(&mut self, line: &str, is_veiled: bool) -> Told {
        let shown = input::repeated(line, is_veiled);
        let told = Told::error(format!("this was not sent: {shown}"));
        if !self.is_person {
            return told;
        }
        let here = self.conversations.here().cloned();
        self.conversations.drafts_in(here.as_ref()).leave(line.to_owned(), is_veiled);
        // It is kept, and nothing more is to be said of it.
        Told { fault: None, ..told }
    }

    /// What was not sent where one is, oldest first; nothing that was typed under the veil while that is off. It stands
    /// where one types when the person asks for it, and not by itself: there it would stand before keys that were typed
    /// ahead.
    pub fn unsent(&self) -> impl Iterator<Item = &str> {
        self.conversations.drafts().ready(self.rooms.is_veiled)
    }

    /// Keeps what was begun to be written in a conversation, for [`Talk::take_draft`]. Not what may hold a password: it would
    /// stand in sight once more.
    pub fn leave_draft(&mut self, cid: &ConversationId, text: String) {
        if !input::may_hold_password(&text) {
            self.conversations.drafts_in(Some(cid)).leave(text, self.rooms.is_veiled);
        }
    }

    /// The newest of [`Talk::unsent`]; it is there no more.
    pub fn take_draft(&mut self) -> String {
        let here = self.conversations.here().cloned();
        self.conversations.drafts_in(here.as_ref()).take(self.rooms.is_veiled)
    }

    /// Whether something that was typed here under the veil waits for it.
    pub fn awaits_veil(&self) -> bool {
        !self.rooms.is_veiled && self.conversations.drafts().has_veiled()
    }
}

/// How what was not sent comes back, with the key for what was typed before.
pub fn comes_back(older_key: &str) -> String {
    match older_key {
        "" => "it is kept".to_owned(),
        key => format!("{key} brings it back"),
    }
}

/// Whether a line is understood, and depends on where its writer is.
fn is_about_place(line: &str) -> bool {
    input::parse(line).is_ok_and(|input| input.is_about_place())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no key is named that is none, or that does something else. (The build before said Up, whatever that key did.)
    #[test]
    fn what_brings_a_line_back_is_the_key_that_does() {
        assert_eq!(comes_back("Up"), "Up brings it back");
        assert_eq!(comes_back("Alt-K"), "Alt-K brings it back");
        assert_eq!(comes_back(""), "it is kept");
    }
}
