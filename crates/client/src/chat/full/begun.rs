//! What was begun to be typed: it stays with the conversation in which it was begun. It stands where one types again once a
//! key opens that conversation, or asks for it; after a line it would stand before keys that were typed ahead.

use chat_device::clock::now_ms;
use chat_protocol::name::ConversationId;
use chat_talk::{Talk, comes_back};
use chat_text::input;
use chat_tui::keys::Action;

use super::Desk;

impl Desk {
    /// Looks where the talk does, which a line or somebody else has moved: keys may be typed ahead.
    pub(super) fn follow(&mut self, talk: &mut Talk) {
        if self.goes(talk) {
            self.tell_of_begun(talk);
        }
    }

    /// Looks where the talk does, which a key has moved: what was begun there is expected where one types.
    pub(super) fn follow_key(&mut self, talk: &mut Talk) {
        if self.goes(talk) {
            self.put_back(talk);
            self.tell_of_veiled(talk);
        }
    }

    /// Whether the talk is elsewhere; looks there.
    fn goes(&mut self, talk: &mut Talk) -> bool {
        let here = talk.conversations().here().filter(|here| *here != self.screen.open());
        let Some(here) = here.cloned() else { return false };
        // What was begun was meant for where it was begun.
        let (begun, left) = (self.screen.take_typed(), self.screen.open().clone());
        self.screen.opened(here);
        for text in begun {
            let (place, shown) = (name_of(talk, &left), input::repeated(&text, talk.is_veiled()));
            self.note(if input::may_hold_password(&text) {
                format!("· what may hold a password is not kept: {shown}")
            } else {
                format!("· what you had begun stays in {place}: {shown}")
            });
            talk.leave_draft(&left, text);
        }
        true
    }

    /// Puts what was begun here where one types, and nothing stands: a key asks for it.
    pub(super) fn put_back(&mut self, talk: &mut Talk) {
        let draft = talk.take_draft();
        if !draft.is_empty() {
            self.screen.set_typed(&draft);
        }
    }

    /// Keeps what has made room for something else where one types.
    pub(super) fn keep_aside(&mut self, talk: &mut Talk) {
        for text in self.screen.take_aside() {
            talk.leave_draft(self.screen.open(), text);
        }
    }

    /// Says how what was begun here comes back: one has come here, or the veil is another.
    pub(super) fn tell_of_begun(&mut self, talk: &Talk) {
        self.tell_of_veiled(talk);
        if talk.unsent().next().is_some() {
            let back = comes_back(self.screen.key_of(Action::Older));
            self.note(format!("· what you had begun here waits; {back}"));
        }
    }

    fn tell_of_veiled(&mut self, talk: &Talk) {
        if talk.awaits_veil() {
            let back = comes_back(self.screen.key_of(Action::Older));
            self.note(format!(
                "· what you had begun here was typed under the veil; after /veil on, {back}"
            ));
        }
    }

    fn note(&mut self, line: String) {
        self.teller.note(&mut self.screen, line, now_ms());
    }
}

/// A conversation as it is called here.
fn name_of(talk: &Talk, cid: &ConversationId) -> String {
    cid.other(talk.me()).map_or_else(|| cid.spoken(), |who| who.to_string())
}

/// Where something was begun that goes nowhere now, if it was.
pub(super) fn drafts(talk: &Talk) -> Option<String> {
    let begun = talk.conversations().with_drafts();
    let places: Vec<String> = begun.map(|one| name_of(talk, &one.cid)).collect();
    (!places.is_empty()).then(|| format!("· not sent, what you had begun in {}", places.join(", ")))
}
