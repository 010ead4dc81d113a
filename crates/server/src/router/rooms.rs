//! Which rooms there are, who may know of them, and their topics.

use std::ops::Bound;

use chat_protocol::{
    code,
    header::{MemberHeader, MemberOperation},
    hub::{DropClaim, Head, HubToClient, RoomInfo},
    id::Digest,
    limits::{ROOMS_PAGE_MAX, TOPIC_BYTES_MAX},
    members::Membership,
    name::{ConversationId, ConversationKind, RoomName, UserName},
    retention,
};

use super::{Account, Decision, Effects, Pending, Router};
use crate::{
    budgets::Budget,
    limits::ROOMS_MAX,
    request::{Peer, Refusal},
    store::{LogId, NewTopic, Proposal},
};

/// Rooms in the order of their names.
#[derive(Debug)]
pub struct RoomsPage {
    /// The page.
    pub rooms: Vec<RoomInfo>,
    /// There are more.
    pub more: bool,
}

/// The part of a membership chain that somebody may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// Its log.
    pub log: LogId,
    /// Links from this number on are not theirs to read.
    pub end: u32,
    /// The operator has deleted the room.
    pub closed: bool,
}

/// What is said to who wants to say something in a room that the operator has closed.
const CLOSED: &str = "the operator of this server has deleted this room; leave it";

/// What is said to who wants to make a room under the name of one that the operator has closed.
const RESERVED: &str = "a room of this name was deleted by the operator of this server, and its name stays reserved; choose another";

/// What outsiders are told about a private room.
const PRIVATE: &str = "this room is private; ask an admin of it to invite you";

/// That the operator has deleted a room, with no place in it and no message.
pub(super) fn deleted_notice(cid: ConversationId) -> HubToClient {
    let keep_ms = retention::DELETED_KEEP_MS;
    HubToClient::Dropped(DropClaim { cid, position: 0, before_ms: 0, keep_ms, messages: 0 })
}

impl Router {
    /// Notes that a room exists. ALL is no room to choose, so it is in no list.
    pub(super) fn note_room(&mut self, cid: &ConversationId) {
        if let ConversationKind::Room(room) = cid.kind()
            && !room.is_all()
        {
            self.rooms.entry(room.as_str().to_ascii_lowercase()).or_insert_with(|| cid.clone());
        }
    }

    /// Notes that a room has members, or has none: such a room keeps its name and its chain and counts
    /// for nobody.
    pub(super) fn note_members(&mut self, cid: &ConversationId) {
        let membership = self.conversations.get(cid).and_then(|c| c.membership.as_ref());
        let is_empty = membership.is_some_and(Membership::is_abandoned);
        if is_empty && !cid.is_feed() {
            self.empty_rooms.insert(cid.clone());
        } else {
            self.empty_rooms.remove(cid);
        }
    }

    /// Whether somebody may know more of a room than its name: it is open, or they are in it.
    pub(super) fn sees(&self, name: &UserName, cid: &ConversationId) -> bool {
        let Some(conversation) = self.conversations.get(cid) else { return false };
        let membership = conversation.membership.as_ref();
        membership.is_some_and(|m| m.exists() && (m.is_open() || conversation.contains(name)))
    }

    /// Whether somebody may make a room again that everybody has left: an open one anybody, a private one
    /// whoever was in it.
    fn may_revive(&self, name: &UserName, cid: &ConversationId) -> bool {
        let membership = self.conversations.get(cid).and_then(|c| c.membership.as_ref());
        membership.is_some_and(|m| m.is_abandoned() && (m.is_open() || m.has_known(name)))
    }

    /// Where a conversation stands, for somebody who may not be allowed to know.
    pub(super) fn head_for(&self, name: &UserName, cid: &ConversationId) -> Head {
        // Who makes a room again goes on from where it ended.
        if cid.is_direct() || self.sees(name, cid) || self.may_revive(name, cid) {
            return self.head(cid);
        }
        Head { cid: cid.clone(), mg: 0, pm: Digest::ZERO, epoch: None }
    }

    /// One page of the open rooms and of those that somebody is in.
    pub fn rooms_page(&self, name: &UserName, after: Option<&RoomName>) -> RoomsPage {
        let after = after.map(|room| room.as_str().to_ascii_lowercase());
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rooms: Vec<RoomInfo> = self
            .rooms
            .range((start, Bound::Unbounded))
            .filter(|(_, cid)| self.sees(name, cid))
            .filter_map(|(_, cid)| self.room_info(name, cid))
            .take(ROOMS_PAGE_MAX.saturating_add(1))
            .collect();
        let more = rooms.len() > ROOMS_PAGE_MAX;
        rooms.truncate(ROOMS_PAGE_MAX);
        RoomsPage { rooms, more }
    }

    fn room_info(&self, name: &UserName, cid: &ConversationId) -> Option<RoomInfo> {
        let ConversationKind::Room(room) = cid.kind() else { return None };
        let conversation = self.conversations.get(cid).filter(|c| !c.is_closed)?;
        let membership = conversation.membership.as_ref()?;
        Some(RoomInfo {
            room,
            open: membership.is_open(),
            users: u32::try_from(conversation.people()).unwrap_or(u32::MAX),
            topic: conversation.topic.clone(),
            member: conversation.contains(name),
            keep_ms: self.keep_ms(conversation),
        })
    }

    /// The links of a room that somebody may read; nothing where there are none. Who was removed
    /// from a private room may read up to the link that removed them.
    pub fn chain(&self, name: &UserName, cid: &ConversationId) -> Result<Option<Chain>, Refusal> {
        if let Some(refusal) = self.lacks_owner(name, cid) {
            return Err(refusal);
        }
        let conversation = self.conversations.get(cid);
        let Some((conversation, log)) = conversation.and_then(|c| Some((c, c.log?))) else {
            return Ok(None);
        };
        let closed = conversation.is_closed;
        if self.may_revive(name, cid) {
            return Ok(Some(Chain { log, end: u32::MAX, closed }));
        }
        if conversation.membership.as_ref().is_none_or(|membership| membership.next() == 0) {
            return Ok(None);
        }
        if self.sees(name, cid) {
            return Ok(Some(Chain { log, end: u32::MAX, closed }));
        }
        match conversation.gone.get(name) {
            Some(last) => Ok(Some(Chain { log, end: last.saturating_add(1), closed })),
            // Nobody lets anybody into it any more.
            None if closed => Err(Refusal::new(code::NOT_A_MEMBER, RESERVED)),
            None => Err(Refusal::new(code::NOT_A_MEMBER, PRIVATE)),
        }
    }

    /// Why nothing can be said in a room, if the operator has closed it.
    pub(super) fn closed(&self, cid: &ConversationId) -> Option<Refusal> {
        let is_closed = self.conversations.get(cid).is_some_and(|c| c.is_closed);
        is_closed.then(|| Refusal::new(code::NO_SUCH_ROOM, CLOSED))
    }

    /// What a member is told at a sign-in of each room that the operator has deleted.
    pub fn deleted_notices(&self, to: &Account) -> Vec<HubToClient> {
        let rooms = to.conversations.iter().filter(|cid| self.closed(cid).is_some());
        rooms.cloned().map(deleted_notice).collect()
    }

    /// What speaks against a link before its place in the chain is looked at: who may not know of
    /// the room, a name that is taken in another spelling, and the limits.
    pub(super) fn link_problem(
        &self,
        now_ms: u64,
        account: &Account,
        who: &Account,
        link: &MemberHeader,
        pending: &Pending,
    ) -> Option<Decision> {
        let (cid, op) = (&link.cid, link.op);
        if cid.is_feed() {
            return self.feed_link_problem(who, link);
        }
        let membership = self.conversations.get(cid).and_then(|c| c.membership.as_ref());
        let put_out = || match op {
            MemberOperation::Join => self.may_not_join(now_ms, cid, account.id),
            _ => self.is_put_out(cid, account.id),
        };
        if op == MemberOperation::Create && self.closed(cid).is_some() {
            return Some(Decision::refuse(code::NAME_TAKEN, RESERVED));
        }
        if op != MemberOperation::Leave
            && let Some(refusal) = self.closed(cid).or_else(put_out)
        {
            return Some(Decision::Refuse(refusal));
        }
        let exists = membership.is_some_and(Membership::exists);
        let was_in = membership.is_some_and(|m| m.has_known(&account.name));
        if exists && !was_in && !self.sees(&account.name, cid) {
            return Some(match op {
                MemberOperation::Create => {
                    Decision::refuse(code::NAME_TAKEN, "a room has this name already")
                }
                _ => Decision::refuse(code::NOT_A_MEMBER, PRIVATE),
            });
        }
        if !exists && op != MemberOperation::Create {
            let reason = format!("there is no {}; create it", cid.spoken());
            return Some(Decision::refuse(code::NO_SUCH_ROOM, reason));
        }
        if op == MemberOperation::Create
            && !exists
            && let Some(reason) = self.cannot_create(&account.name, cid, pending)
        {
            return Some(reason);
        }
        // A link that is sent again is answered as before, whatever the limit.
        let is_new = membership.is_none_or(|m| link.mg >= m.next());
        if is_new && !who.conversations.contains(cid) {
            return self.has_no_place(who, link);
        }
        None
    }

    /// Why somebody may not come into one room more.
    fn has_no_place(&self, who: &Account, link: &MemberHeader) -> Option<Decision> {
        let refuse = |reason| Some(Decision::refuse(code::TOO_MANY, reason));
        let is_room = |cid: &&ConversationId| !cid.is_direct() && !cid.is_feed();
        let places = who.conversations.iter().filter(is_room).count();
        match link.op {
            MemberOperation::Create | MemberOperation::Join => {
                let own = places.saturating_sub(who.admitted.len());
                let max = self.limits.count(Budget::Rooms);
                (own >= max).then(|| {
                    let reason = format!(
                        "{} has made or joined {max} rooms, which is the most; leave one first",
                        who.name
                    );
                    Decision::refuse(code::TOO_MANY, reason)
                })
            }
            MemberOperation::Admit => {
                let max = self.limits.count(Budget::PlacesByOne);
                if who.admitted.values().filter(|by| **by == link.from).count() >= max {
                    return refuse(format!("you have let {} into {max} rooms already", who.name));
                }
                let max = self.limits.count(Budget::Places);
                if places >= max {
                    return refuse(format!("{} is in {max} rooms, which is the most", who.name));
                }
                None
            }
            MemberOperation::Leave | MemberOperation::Remove | MemberOperation::Role => None,
        }
    }

    pub(super) fn cannot_create(
        &self,
        name: &UserName,
        cid: &ConversationId,
        pending: &Pending,
    ) -> Option<Decision> {
        let ConversationKind::Room(room) = cid.kind() else { return None };
        let other = self.rooms.get(&room.as_str().to_ascii_lowercase());
        // In its own spelling a room without members is made again, as the next link of its chain.
        let other = other.filter(|other| *other != cid || !self.may_revive(name, cid));
        if let Some(other) = other {
            let reason = match other.kind() {
                _ if self.closed(other).is_some() => RESERVED.to_owned(),
                ConversationKind::Room(other_room) if self.sees(name, other) => {
                    format!(
                        "there is #{other_room} already; names of rooms differ in more than case"
                    )
                }
                _ => "a room has this name already".to_owned(),
            };
            return Some(Decision::refuse(code::NAME_TAKEN, reason));
        }
        let rooms = self.rooms.len().saturating_sub(self.empty_rooms.len());
        if rooms.saturating_add(pending.rooms.len()) >= ROOMS_MAX {
            let reason = format!("this server has {ROOMS_MAX} rooms, which is the most");
            return Some(Decision::refuse(code::TOO_MANY, reason));
        }
        // Two spellings of one name in one batch: the second is decided after the first.
        pending.rooms.contains(&room.as_str().to_ascii_lowercase()).then_some(Decision::Defer)
    }

    /// The topic to keep, or why it is not kept.
    pub fn decide_topic(
        &self,
        peer: &Peer,
        cid: &ConversationId,
        text: &str,
    ) -> Result<Proposal, Refusal> {
        let is_room = !cid.is_feed() && self.sees(&peer.name, cid) && self.closed(cid).is_none();
        let conversation = self.conversations.get(cid).filter(|_| is_room);
        let Some((conversation, membership)) =
            conversation.and_then(|c| Some((c, c.membership.as_ref()?)))
        else {
            return Err(Refusal::new(code::NO_SUCH_ROOM, "there is no such room"));
        };
        if !conversation.contains(&peer.name) {
            let reason = "only members set the topic; join the room first";
            return Err(Refusal::new(code::NOT_A_MEMBER, reason));
        }
        if let Some(refusal) = self.may_not_set_topic(cid, peer.account) {
            return Err(refusal);
        }
        if !membership.is_open() {
            let reason = "a private room has no topic: the server would read it; \
                          say it in the room instead";
            return Err(Refusal::new(code::NOT_ALLOWED, reason));
        }
        if text.len() > TOPIC_BYTES_MAX {
            let reason = format!(
                "the topic has {} bytes, at most {TOPIC_BYTES_MAX} are kept; make it shorter",
                text.len()
            );
            return Err(Refusal::new(code::TOO_MANY, reason));
        }
        let Some(log) = conversation.log else {
            return Err(Refusal::new(code::NO_SUCH_ROOM, "nobody is in this room yet"));
        };
        Ok(Proposal::Topic(NewTopic { log, text: text.to_owned(), by: peer.name.clone() }))
    }

    /// Takes a topic over that was kept.
    pub(super) fn apply_topic(&mut self, new: NewTopic) -> Effects {
        let cid = self.by_log.get(&new.log);
        let Some(conversation) = cid.and_then(|cid| self.conversations.get_mut(cid)) else {
            return Effects::default();
        };
        conversation.topic.clone_from(&new.text);
        let (cid, text, by) = (conversation.cid.clone(), new.text, new.by);
        let members = self.members(&cid);
        Effects::telling(members, HubToClient::Topic { id: None, cid, text, by })
    }
}
