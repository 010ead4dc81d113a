//! A view that is being brought up to date: what it waits for, what follows when all of it has come, and how far the hub
//! has shown the chain by then.

use chat_protocol::frame::RawFrame;
use chat_protocol::id::MessageId;
use chat_protocol::members::Membership;
use chat_protocol::name::ConversationId;
use chat_protocol::tag::label;

use super::view::Complete;
use crate::endpoint::Endpoint;
use crate::event::Event;

impl Endpoint {
    /// An answer for this view has come.
    pub(crate) fn refresh_answered(&mut self, cid: &ConversationId, request: &MessageId) {
        if let Some(refresh) = self.views.refresh(cid) {
            refresh.waiting.remove(request);
        }
        self.advance_refresh(cid);
    }

    /// Ends a refresh when everything has come.
    pub(super) fn advance_refresh(&mut self, cid: &ConversationId) {
        let Some(complete) = self.views.complete(cid) else { return };
        let Complete { mut links, more, is_anew, is_first } = complete;
        if is_first && self.ask_for_signers(cid, &links) {
            if let Some(refresh) = self.views.refresh(cid) {
                refresh.links = links;
            }
            return;
        }
        self.prove_links(cid);
        let (place, before) = (self.place_of(cid), self.people_of(cid));
        if is_anew && !self.gather_anew(cid, std::mem::take(&mut links), more) {
            self.views.goes_on(cid);
            return self.request_links(cid);
        }
        if !is_anew && links.first().is_some_and(|link| self.is_fork(cid, link)) {
            if !self.view_anew(cid) {
                self.views.end(cid);
            }
            return;
        }
        let known = self.state.rooms.get(cid).map_or(0, Membership::next);
        let Some(known) = self.views.applies(cid, known) else { return };
        let (news, rest) = self.apply_links(cid, &links, more);
        if self.place_of(cid) != place {
            self.note_growth(cid, if is_anew { 0 } else { place.mg });
        }
        if !links.is_empty() {
            self.mark_epochs(cid);
        }
        self.note_shown(cid, &links, is_anew);
        if let (Some(at), Some(refresh)) = (rest, self.views.refresh(cid)) {
            refresh.links = links.split_off(at);
        }
        self.tell_news(cid, news, known == 0);
        // People who were admitted by others signed no link themselves: theirs are still missing.
        let members = self.people_of(cid);
        let missing = members
            .iter()
            .any(|name| !before.contains(name) && self.people.devices(name).next().is_none());
        if missing {
            self.request_people(cid);
            return;
        }
        if self.views.goes_on(cid) {
            return self.request_links(cid);
        }
        self.end_refresh(cid, known);
    }

    /// Everything of a view has come; the chain had so many links before.
    fn end_refresh(&mut self, cid: &ConversationId, known: u32) {
        let ended = self.views.end(cid);
        if ended.is_overtaken {
            // Once for each time that the hub says so: a hub that lies keeps nobody busy alone.
            self.start_refresh(cid, ended.asked);
            return;
        }
        self.settle_struck(cid);
        self.views.set_current(cid);
        self.note_keyless(cid);
        self.is_forgotten(cid);
        self.join_if_lost(cid);
        self.epoch_is_contested(cid);
        // The chain may have grown meanwhile; one that does not verify is not asked for again.
        let next = self.state.rooms.get(cid).map_or(0, Membership::next);
        if next > known && self.views.of(cid).end.is_some_and(|end| end.mg > next) {
            self.start_refresh(cid, false);
        }
        if ended.asked {
            self.out.tell(Event::Refreshed { cid: cid.clone() });
        }
    }

    /// Notes how far the hub has shown a room's chain with the links that it has just served. A restored hub may have
    /// served a part of what another process of the home has applied meanwhile: then it is behind (rule R36).
    fn note_shown(&mut self, cid: &ConversationId, links: &[RawFrame], is_anew: bool) {
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
        let end = self.views.of(cid).end.filter(|end| end.mg >= place.mg);
        self.views.at(cid).end = end.or(Some(place));
    }
}
