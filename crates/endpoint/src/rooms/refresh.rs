//! A view that is being brought up to date: what it waits for, and what follows when all of it has come.

use chat_protocol::id::MessageId;
use chat_protocol::members::Membership;
use chat_protocol::name::ConversationId;

use super::Refresh;
use crate::endpoint::Endpoint;
use crate::event::Event;

impl Endpoint {
    /// A request for this view was made again under another id.
    pub(crate) fn refresh_moved(&mut self, cid: &ConversationId, old: &MessageId, new: MessageId) {
        if let Some(refresh) = self.link.refreshing.get_mut(cid)
            && refresh.waiting.remove(old)
        {
            refresh.waiting.insert(new);
        }
    }

    /// One more answer is needed for this view.
    pub(crate) fn refresh_waits_for(&mut self, cid: &ConversationId, request: MessageId) {
        if let Some(refresh) = self.link.refreshing.get_mut(cid) {
            refresh.waiting.insert(request);
        }
    }

    /// An answer for this view has come.
    pub(crate) fn refresh_answered(&mut self, cid: &ConversationId, request: &MessageId) {
        if let Some(refresh) = self.link.refreshing.get_mut(cid) {
            refresh.waiting.remove(request);
        }
        self.advance_refresh(cid);
    }

    /// Ends a refresh when everything has come.
    pub(super) fn advance_refresh(&mut self, cid: &ConversationId) {
        let ready =
            |refresh: &Refresh| refresh.complete && refresh.people && refresh.waiting.is_empty();
        let Some(refresh) = self.link.refreshing.get_mut(cid).filter(|r| ready(r)) else { return };
        let mut links = std::mem::take(&mut refresh.links);
        let (more, is_anew) = (refresh.more, refresh.anew);
        if !std::mem::replace(&mut refresh.signers, true) && self.ask_for_signers(cid, &links) {
            if let Some(refresh) = self.link.refreshing.get_mut(cid) {
                refresh.links = links;
            }
            return;
        }
        self.prove_links(cid);
        let (place, before) = (self.place_of(cid), self.people_of(cid));
        if is_anew && !self.gather_anew(cid, std::mem::take(&mut links), more) {
            self.ask_on(cid);
            return;
        }
        if !is_anew && links.first().is_some_and(|link| self.is_fork(cid, link)) {
            self.link.refreshing.remove(cid);
            self.view_anew(cid);
            return;
        }
        let Some(refresh) = self.link.refreshing.get_mut(cid) else { return };
        refresh.anew = false;
        let known = self.state.rooms.get(cid.as_str()).map_or(0, Membership::next);
        let known = *refresh.known.get_or_insert(known);
        let (news, rest) = self.apply_links(cid, &links, more);
        if self.place_of(cid) != place {
            self.note_growth(cid, if is_anew { 0 } else { place.mg });
        }
        if !links.is_empty() {
            self.mark_epochs(cid);
        }
        self.note_shown(cid, &links, is_anew);
        if let (Some(at), Some(refresh)) = (rest, self.link.refreshing.get_mut(cid)) {
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
        if self.link.refreshing.get(cid).is_some_and(|refresh| refresh.more) {
            self.ask_on(cid);
            return;
        }
        self.end_refresh(cid, known);
    }

    /// Everything of a view has come; the chain had so many links before.
    fn end_refresh(&mut self, cid: &ConversationId, known: u32) {
        let asked = self.link.refreshing.remove(cid).is_some_and(|refresh| refresh.asked);
        if self.link.overtaken.contains(cid) {
            // Once for each time that the hub says so: a hub that lies keeps nobody busy alone.
            self.start_refresh(cid, asked);
            return;
        }
        self.settle_struck(cid);
        self.link.views.insert(cid.clone());
        self.note_keyless(cid);
        self.is_forgotten(cid);
        self.join_if_lost(cid);
        self.link.viewed.push(cid.clone());
        self.epoch_is_contested(cid);
        // The chain may have grown meanwhile; one that does not verify is not asked for again.
        let next = self.state.rooms.get(cid.as_str()).map_or(0, Membership::next);
        if next > known && self.link.heads.get(cid).is_some_and(|head| head.mg > next) {
            self.start_refresh(cid, false);
        }
        if asked {
            self.tell(Event::Refreshed { cid: cid.clone() });
        }
    }

    /// Asks for the links behind those that were dealt with.
    fn ask_on(&mut self, cid: &ConversationId) {
        if let Some(refresh) = self.link.refreshing.get_mut(cid) {
            (refresh.complete, refresh.people, refresh.more) = (false, false, false);
            refresh.signers = false;
        }
        self.request_links(cid);
    }
}
