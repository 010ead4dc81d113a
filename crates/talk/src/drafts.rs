//! Lines that were not sent: those that were begun, and those that were refused.

use std::collections::HashMap;

use chat_protocol::name::ConversationId;

/// Where a line is typed; nothing where that is in no conversation.
pub(crate) type Place = Option<ConversationId>;

/// Lines that were refused under the veil, the newest of each place.
pub(crate) type Refused = HashMap<Place, String>;

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
}
