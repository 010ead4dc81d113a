//! What was begun to be typed: it stays with the conversation in which it was begun, and stands there again.

use chat_device::clock::now_ms;
use chat_protocol::name::ConversationId;
use chat_talk::Talk;
use chat_text::input;

use super::Desk;

impl Desk {
    /// Looks where the talk does.
    pub(super) fn follow(&mut self, talk: &mut Talk) {
        let here = talk.conversations().here().filter(|here| *here != self.screen.open());
        let Some(here) = here.cloned() else { return };
        // What was begun was meant for where it was begun.
        let (begun, left) = (self.screen.take_typed(), self.screen.open().clone());
        self.screen.opened(here);
        if !begun.is_empty() {
            let (place, shown) = (name_of(talk, &left), input::repeated(&begun, talk.is_veiled()));
            let line = format!("· what you had begun stays in {place}: {shown}");
            self.teller.note(&mut self.screen, line, now_ms());
            talk.leave_draft(&left, begun);
        }
        if talk.awaits_veil() {
            let line =
                "· what you had begun here was typed under the veil; /veil on brings it back";
            self.teller.note(&mut self.screen, line.to_owned(), now_ms());
        }
        self.put_back(talk);
    }

    /// Puts what was begun here where one types, and nothing stands: one has come here, or the veil is another.
    pub(super) fn put_back(&mut self, talk: &mut Talk) {
        let draft = talk.take_draft();
        if !draft.is_empty() {
            self.screen.set_typed(&draft);
        }
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
