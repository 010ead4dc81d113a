//! How far the hub has shown the chain of a room on this connection.

use chat_protocol::frame::RawFrame;
use chat_protocol::hub::Head;
use chat_protocol::name::ConversationId;
use chat_protocol::tag::label;

use crate::endpoint::Endpoint;

impl Endpoint {
    /// Notes how far the hub has shown a room's chain with the links that it has just served. A restored hub may have
    /// served a part of what another process of the home has applied meanwhile: then it is behind (rule R36).
    pub(super) fn note_shown(&mut self, cid: &ConversationId, links: &[RawFrame], is_anew: bool) {
        // Of a chain that was fetched anew only what does not verify is left over.
        let is_whole = is_anew && links.is_empty() && self.is_taken(cid);
        if is_whole || (!is_anew && self.is_end_among(cid, links)) {
            self.hub_has_shown(cid);
        } else if !links.is_empty() {
            self.suspect(self.link.clock_ms, cid);
        }
    }

    /// Whether the last link of the view is one of these.
    fn is_end_among(&self, cid: &ConversationId, links: &[RawFrame]) -> bool {
        let end = self.place_of(cid).pm;
        links.iter().rev().any(|link| link.digest(label::MEMBER) == end)
    }

    /// The hub has served links up to the end of the view.
    pub(super) fn hub_has_shown(&mut self, cid: &ConversationId) {
        let place = self.place_of(cid);
        let epoch = self.known_head(cid);
        let make = || Head { cid: cid.clone(), mg: place.mg, pm: place.pm, epoch };
        let mut head = self.views.of(cid).head.clone().unwrap_or_else(make);
        if head.mg < place.mg {
            (head.mg, head.pm) = (place.mg, place.pm);
        }
        self.views.at(cid).head = Some(head);
    }
}
