//! Who was put out of the lobby and which rooms were deleted, by the hub's word.
//!
//! Nobody has signed it, so it takes no keys away: a hub that lies would make messages vanish unseen. It
//! decides alone who is handed something again: of what they were not given there, whoever is out gets
//! nothing, and a hub that lies keeps back no more than it has kept back itself.

use chat_protocol::hub::Moderation;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, RoomName, UserName};

use super::RoomAction;
use super::requests::RoomOrder;
use crate::endpoint::Endpoint;
use crate::epochs::Epoch;
use crate::event::{Alarm, Event};
use crate::limits::{CLOCK_SKEW_MAX_MS, PUT_OUT_MAX};
use crate::state::ToldDeleted;

/// What the hub says of somebody in the lobby.
pub(crate) struct Moderated {
    pub(crate) who: UserName,
    pub(crate) act: Moderation,
    pub(crate) by: UserName,
    /// How many links the chain had then.
    pub(crate) links: u32,
    /// It is no news.
    pub(crate) past: bool,
}

impl Endpoint {
    /// Somebody was put out of the lobby, or let in again. A hub has no say about other rooms. Whoever was
    /// put out leaves by the chain, so that others make no more keys for them.
    pub(crate) fn on_moderated(
        &mut self,
        now_ms: u64,
        id: Option<MessageId>,
        cid: &ConversationId,
        said: Moderated,
    ) {
        let id = self.ends_setting(id);
        if *cid != ConversationId::room(&RoomName::lobby()) {
            return;
        }
        let Moderated { who, act, by, links, past } = said;
        let (is_out, is_me) = (act != Moderation::Unban, who == self.device.user);
        let put_out = &mut self.link.put_out;
        if is_out && !is_me && (put_out.len() < PUT_OUT_MAX || put_out.contains_key(&who)) {
            put_out.insert(who.clone(), links);
        }
        if is_me {
            self.link.banned_by = (act == Moderation::Ban).then(|| by.clone());
        }
        // Why the device leaves is news until it has left.
        let is_outside = self.state.rooms.get(cid).is_some_and(|room| !self.is_in(room));
        if !past || (is_out && is_me && !is_outside) {
            self.out.tell_word(Event::Moderated { id, who, act, by });
        }
        let leaves = |order: &RoomOrder| matches!(order.action, RoomAction::Leave);
        // A device that has not looked at the lobby yet may be in it.
        let has_left = self.views.of(cid).is_current && !self.is_member(cid);
        if is_out && is_me && !has_left && !self.requests.of(cid).any(|(_, order)| leaves(order)) {
            self.act_in(now_ms, cid.clone(), RoomAction::Leave);
        }
    }

    /// Whether somebody is out of the lobby by the hub's word: they are until they have come in again by the
    /// chain.
    pub(crate) fn is_put_out(&self, cid: &ConversationId, name: &UserName) -> bool {
        let Some(links) = self.link.put_out.get(name) else { return false };
        let room = self.state.rooms.get(cid);
        let member = room.and_then(|room| room.members().get(name));
        *cid == ConversationId::room(&RoomName::lobby())
            && member.is_none_or(|member| member.since < *links)
    }

    /// Why nothing is said in a room that this user is not in.
    pub(crate) fn why_outside(&self, cid: &ConversationId) -> String {
        let is_lobby = *cid == ConversationId::room(&RoomName::lobby());
        match self.link.banned_by.as_ref().filter(|_| is_lobby) {
            Some(by) => format!("the server says: {by} has banned you from the lobby"),
            None => "you are not in this room".to_owned(),
        }
    }

    /// Notes whether a room was deleted, and tells a member of it once. What is said there the hub refuses
    /// anyway.
    pub(crate) fn note_deleted(&mut self, now_ms: u64, cid: &ConversationId, is_deleted: bool) {
        self.views.hear_deleted(cid, is_deleted);
        if !is_deleted {
            self.state.deleted.remove(cid);
            return;
        }
        let era = self.positions.era();
        let told = self.state.deleted.get(cid).copied();
        if self.is_member(cid) && told.is_none_or(|told| told.era != era) {
            self.state.deleted.put(cid, ToldDeleted { at_ms: now_ms, era });
        }
        if self.is_member(cid) && told.is_none() {
            let place = cid.spoken();
            let text = format!("the room {place} was deleted: nothing is said there any more");
            self.out.tell(Event::Announcement { text });
        }
    }

    /// Somebody has said something in a room, at this time by their clock, and it came at this time by the clock of
    /// this device: long after the room was deleted nobody can. A hub that lost the deletion is told of as one
    /// that went back.
    pub(crate) fn check_deleted(&mut self, cid: &ConversationId, said_ms: u64, came_ms: u64) {
        let Some(told) = self.state.deleted.get(cid).copied() else { return };
        let went_back = told.era != self.positions.era();
        // A clock that is ahead says nothing of what came before.
        let is_late = said_ms.min(came_ms) > told.at_ms.saturating_add(CLOCK_SKEW_MAX_MS);
        if !is_late || self.link.behind.contains_key(cid) {
            return;
        }
        self.note_deleted(came_ms, cid, false);
        if !went_back {
            let place = cid.spoken();
            let detail =
                format!("the server said that the room {place} was deleted, and people talk there");
            self.out.alarm_in(cid, (Alarm::FalseDeletion, &UserName::server()), &detail);
        }
    }

    /// Whether somebody has gone, by the chain, since the membership that an epoch was made from: what was
    /// said in it is of an earlier stay of theirs, if they are here at all.
    pub(crate) fn has_gone_since(&self, epoch: &Epoch, name: &UserName) -> bool {
        let room = self.state.rooms.get(&epoch.cid);
        let went = room.and_then(|room| room.went_before(name, room.next()));
        went.is_some_and(|went| epoch.place.mg <= went && self.has_place(&epoch.cid, epoch.place))
    }
}
