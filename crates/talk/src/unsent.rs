//! Lines that were not sent: those that were begun, and those of which nothing came.

use chat_protocol::name::ConversationId;
use chat_text::input;

use crate::talk::Talk;
use crate::told::Told;

/// What was begun to be written in one conversation, the newest last, and whether it was typed under the veil. They are no
/// more than somebody has typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drafts(Vec<(String, bool)>);

impl Drafts {
    /// Nothing was begun.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Something was begun under the veil.
    pub(crate) fn has_veiled(&self) -> bool {
        self.0.iter().any(|(_, is_veiled)| *is_veiled)
    }

    /// Keeps a text.
    pub(crate) fn leave(&mut self, text: String, is_veiled: bool) {
        let draft = (text, is_veiled);
        if !draft.0.is_empty() && self.0.last() != Some(&draft) {
            self.0.push(draft);
        }
    }

    /// The newest that may be sent as things are: what was typed under the veil waits for it. It is there no more.
    pub(crate) fn take(&mut self, is_veiled: bool) -> String {
        let at = self.0.iter().rposition(|(_, was_veiled)| is_veiled || !was_veiled);
        at.map(|at| self.0.remove(at).0).unwrap_or_default()
    }
}

/// How a line was typed.
#[derive(Debug, Clone, Copy)]
struct Typed {
    /// By somebody who can type it anew; a script cannot.
    by_person: bool,
    /// It is the answer to a question, and is not meant a second time.
    is_answer: bool,
    /// Its writer was moved while they typed: it was meant for where they are no more.
    was_moved: bool,
}

/// Whether a line is put back where it was typed, after it came to this.
fn is_put_back(line: &str, typed: Typed, is_veiled: bool, told: &Told) -> bool {
    let is_own = typed.by_person && !typed.is_answer && !typed.was_moved;
    is_own && told.fault.is_some() && input::is_put_back(line, is_veiled)
}

impl Talk {
    /// Does what a line asks for. Where nothing comes of it, and nothing else brings it back, it is a draft where it was
    /// typed, see [`Talk::take_draft`].
    pub async fn read(&mut self, line: &str) -> Told {
        let (here, is_veiled) = (self.conversations.here().cloned(), self.is_veiled());
        let typed = Typed {
            by_person: self.is_person,
            is_answer: self.asked.is_some() && !line.starts_with('/'),
            was_moved: self.rooms.moved.is_some(),
        };
        let told = Box::pin(self.obey(line)).await;
        let is_there = self.conversations.here() == here.as_ref();
        if is_there && is_put_back(line, typed, is_veiled, &told) {
            self.conversations.leave_draft(line.to_owned(), is_veiled);
        }
        told
    }

    /// Keeps what was begun to be written in a conversation, for [`Talk::take_draft`].
    pub fn leave_draft(&mut self, cid: &ConversationId, text: String) {
        self.conversations.leave_draft_in(cid, text, self.rooms.is_veiled);
    }

    /// What was begun to be written where one is, or was not sent and is to be had again; nothing that was typed under the
    /// veil while that is off.
    pub fn take_draft(&mut self) -> String {
        self.conversations.take_draft(self.rooms.is_veiled)
    }

    /// Whether something that was typed here under the veil waits for it.
    pub fn awaits_veil(&self) -> bool {
        let here = self.conversations.here().and_then(|cid| self.conversations.get(cid));
        !self.rooms.is_veiled && here.is_some_and(|one| one.drafts.has_veiled())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what was begun under the veil is not there without it, and nothing that was begun is gone. (The build before
    /// kept no mark, and gave it back without the veil.)
    #[test]
    fn what_was_begun_under_the_veil_waits_for_it() {
        let mut drafts = Drafts::default();
        drafts.leave(String::new(), false);
        assert!(drafts.is_empty());
        drafts.leave("bob*It was Zoe".to_owned(), true);
        drafts.leave("bob*It was Zoe".to_owned(), true);
        assert_eq!(drafts.take(false), "");
        drafts.leave("in clear".to_owned(), false);
        assert_eq!(drafts.take(false), "in clear");
        assert!(drafts.has_veiled());
        assert_eq!(drafts.take(true), "bob*It was Zoe");
        drafts.leave("in clear".to_owned(), false);
        assert!(!drafts.has_veiled());
        assert_eq!(drafts.take(true), "in clear", "under the veil fewer read it");
        assert!(drafts.is_empty());
    }

    /// Goal: only what a person has typed for where they are, and was refused, is put back. (The build before put back in
    /// the lobby what was begun in a room that its writer had been put out of.)
    #[test]
    fn what_is_not_to_be_typed_anew_is_not_put_back() {
        let own = Typed { by_person: true, is_answer: false, was_moved: false };
        let refused = Told::error("no");
        let line = "bob*It was Zoe";
        assert!(is_put_back(line, own, true, &refused));
        assert!(!is_put_back(line, own, true, &Told::default()), "it was accepted");
        assert!(!is_put_back(line, own, false, &refused), "Up brings it back");
        for typed in [
            Typed { by_person: false, ..own },
            Typed { is_answer: true, ..own },
            Typed { was_moved: true, ..own },
        ] {
            assert!(!is_put_back(line, typed, true, &refused), "{typed:?}");
        }
    }
}
