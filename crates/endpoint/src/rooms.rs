//! Keeping the view of rooms: fetch links of the membership chain, verify, apply (rules R2, R4).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chat_protocol::b64::B64Vec;
use chat_protocol::frame::{RawFrame, Unsigned};
use chat_protocol::header::{
    Canonical as _, Header, MemberArgument, MemberHeader, MemberOperation,
};
use chat_protocol::hub::{ClientToHub, Head};
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::keys::Held;
use chat_protocol::limits::{PAGE_ITEMS_MAX, VERSION};
use chat_protocol::members::{Membership, Place};
use chat_protocol::name::{ConversationId, ConversationKind, UserName};
use chat_protocol::tag::{Tag, label};

use crate::connection::Request;
use crate::endpoint::{Endpoint, Slot};
use crate::event::{Alarm, Event};

mod kept;
mod late;
mod news;
mod orders;
mod refusal;
mod vouched;

pub(crate) use kept::KeptOrder;
pub use news::Roster;
pub use orders::RoomAction;
pub(crate) use orders::RoomOrder;

/// A view that is being brought up to date.
#[derive(Debug, Default)]
pub(crate) struct Refresh {
    /// Links that wait for their signers' bundles.
    links: Vec<RawFrame>,
    /// The chain was asked for on this connection, and all of it has come.
    complete: bool,
    /// Bundles of everybody were asked for and have come.
    people: bool,
    /// Requests without an answer.
    waiting: BTreeSet<MessageId>,
    /// The host asked for it and wants to know.
    pub(crate) asked: bool,
    /// Number of links that were known before.
    known: Option<u32>,
}

impl Endpoint {
    /// The people of a conversation, by the verified view.
    pub(crate) fn people_of(&self, cid: &ConversationId) -> Vec<UserName> {
        match cid.kind() {
            ConversationKind::Direct(a, b) => vec![a, b],
            ConversationKind::Room(_) | ConversationKind::Feed(_) => {
                let room = self.state.rooms.get(cid.as_str());
                // A feed has its owner before it has a link.
                room.map_or_else(|| cid.feed_owner().into_iter().collect(), Membership::names)
            }
        }
    }

    /// How much of a room's chain the view has.
    pub(crate) fn place_of(&self, cid: &ConversationId) -> Place {
        self.state.rooms.get(cid.as_str()).map_or(Place::START, Membership::place)
    }

    /// Whether somebody is, or has been, in a conversation by the verified view.
    pub(crate) fn has_known(&self, cid: &ConversationId, name: &UserName) -> bool {
        match cid.kind() {
            ConversationKind::Direct(a, b) => *name == a || *name == b,
            ConversationKind::Room(_) | ConversationKind::Feed(_) => {
                let room = self.state.rooms.get(cid.as_str());
                room.map_or_else(|| cid.is_feed_of(name), |room| room.has_known(name))
            }
        }
    }

    /// Notes what the hub says about a room; a chain that has grown makes the view stale.
    pub(crate) fn note_head(&mut self, head: &Head) {
        let known = self.state.rooms.get(head.cid.as_str()).map_or(0, Membership::next);
        if head.mg > known {
            self.view_is_stale(&head.cid);
        }
        self.link.heads.insert(head.cid.clone(), head.clone());
    }

    /// The chain of a room has grown.
    pub(crate) fn view_is_stale(&mut self, cid: &ConversationId) {
        self.link.views.remove(cid);
        if self.link.refreshing.contains_key(cid) {
            self.link.overtaken.insert(cid.clone());
        }
    }

    /// Whether the view of a conversation is up to date; starts a refresh if it is not.
    pub(crate) fn ensure_view(&mut self, cid: &ConversationId) -> bool {
        if self.link.views.contains(cid) {
            return true;
        }
        if !self.link.refreshing.contains_key(cid) {
            self.start_refresh(cid, false);
        }
        self.link.views.contains(cid)
    }

    /// Brings a view up to date even if nothing says that it is stale.
    pub(crate) fn start_refresh(&mut self, cid: &ConversationId, asked: bool) {
        self.link.views.remove(cid);
        self.link.overtaken.remove(cid);
        let refresh = Refresh { asked, complete: cid.is_direct(), ..Refresh::default() };
        self.link.refreshing.insert(cid.clone(), refresh);
        if cid.is_direct() {
            self.request_people(cid);
        } else {
            self.request_links(cid);
        }
    }

    pub(crate) fn request_links(&mut self, cid: &ConversationId) {
        let held = self.link.refreshing.get(cid).map_or(0, |refresh| refresh.links.len());
        let known = self.state.rooms.get(cid.as_str()).map_or(0, Membership::next);
        let from = known.saturating_add(u32::try_from(held).unwrap_or(u32::MAX));
        let id = self.request(Request::Members(cid.clone()));
        self.text(&ClientToHub::Members { id, cid: cid.clone(), from });
    }

    /// Asks for the bundles of everybody in a conversation as far as the hub has others than this device.
    fn request_people(&mut self, cid: &ConversationId) {
        let mut names: BTreeSet<UserName> = self.people_of(cid).into_iter().collect();
        if let Some(refresh) = self.link.refreshing.get(cid) {
            names.extend(refresh.links.iter().filter_map(|link| Some(header(link)?.from)));
        }
        let names: Vec<UserName> = names.into_iter().collect();
        let mut waiting = BTreeSet::new();
        for page in names.chunks(PAGE_ITEMS_MAX) {
            waiting.insert(self.request_bundles(page, Some(cid.clone())));
        }
        if let Some(refresh) = self.link.refreshing.get_mut(cid) {
            refresh.waiting = waiting;
            refresh.people = true;
        }
        self.advance_refresh(cid);
    }

    /// Asks for bundles of these people, on behalf of a view or not.
    pub(crate) fn request_bundles(
        &mut self,
        names: &[UserName],
        view: Option<ConversationId>,
    ) -> MessageId {
        let known: BTreeMap<UserName, Held> =
            names.iter().map(|name| (name.clone(), self.held_bundles(name))).collect();
        let id = self.request(Request::Bundles { names: names.to_vec(), view });
        self.text(&ClientToHub::Bundles { id, known });
        id
    }

    /// Takes links of a chain that were asked for.
    pub(crate) fn on_members(&mut self, cid: &ConversationId, links: Vec<B64Vec>, more: bool) {
        let Some(refresh) = self.link.refreshing.get_mut(cid) else { return };
        for B64Vec(bytes) in links {
            if let Ok(link) = RawFrame::decode(Bytes::from(bytes)) {
                refresh.links.push(link);
            }
        }
        if more {
            self.request_links(cid);
        } else {
            refresh.complete = true;
            self.request_people(cid);
        }
    }

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
    fn advance_refresh(&mut self, cid: &ConversationId) {
        let ready =
            |refresh: &Refresh| refresh.complete && refresh.people && refresh.waiting.is_empty();
        let Some(refresh) = self.link.refreshing.get_mut(cid).filter(|r| ready(r)) else { return };
        let links = std::mem::take(&mut refresh.links);
        let known = self.state.rooms.get(cid.as_str()).map_or(0, Membership::next);
        let known = *refresh.known.get_or_insert(known);
        let before = self.people_of(cid);
        let mut news = Vec::new();
        for (at, link) in links.iter().enumerate() {
            let later = links.get(at + 1..).unwrap_or_default();
            match self.apply_link(cid, link, later) {
                Ok(event) => news.extend(event),
                Err(reason) => {
                    let user = header(link).map_or_else(UserName::server, |link| link.from);
                    self.alarm(Alarm::BadChain, &user, &format!("membership of {cid}: {reason}"));
                    break;
                }
            }
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
        let asked = self.link.refreshing.remove(cid).is_some_and(|refresh| refresh.asked);
        if self.link.overtaken.contains(cid) {
            // Once for each time that the hub says so: a hub that lies keeps nobody busy alone.
            self.start_refresh(cid, asked);
            return;
        }
        self.link.views.insert(cid.clone());
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

    /// Applies a link that verifies, with the links behind it; says what is news in it.
    fn apply_link(
        &mut self,
        cid: &ConversationId,
        frame: &RawFrame,
        later: &[RawFrame],
    ) -> Result<Option<Event>, String> {
        let link = header(frame).ok_or("a link that is none")?;
        if link.mg < self.state.rooms.get(cid.as_str()).map_or(0, Membership::next) {
            return Ok(None);
        }
        let signer = self.link_signer(&link, frame, later)?;
        let known =
            self.people.devices(&link.who).next().map(chat_protocol::keys::Bundle::identity);
        if known.is_some_and(|identity| identity != link.ik) {
            return Err("a link names another identity than the known one".to_owned());
        }
        let room = self.state.rooms.entry(cid.as_str(), || Membership::new(cid.clone()));
        room.check(&link, signer.identity).map_err(|error| error.to_string())?;
        room.apply(&link, frame.digest(label::MEMBER));
        self.link.dirty.insert(cid.clone());
        Ok(self.news(&link))
    }

    /// Joins a room that this user is not known to be in. The number and digest of the last link
    /// are the hub's word: if it lies, the link follows nothing and is worth nothing.
    pub(crate) fn join(&mut self, cid: &ConversationId, now_ms: u64) {
        let (mg, pm) = self.link.heads.get(cid).map_or((0, Digest::ZERO), |h| (h.mg, h.pm));
        let header = MemberHeader {
            v: VERSION,
            t: Tag::Member,
            cid: cid.clone(),
            from: self.device.user.clone(),
            sk: self.device.keys.signing_id(),
            op: MemberOperation::Join,
            who: self.device.user.clone(),
            ik: self.device.bundle.identity(),
            arg: MemberArgument::None,
            mg,
            pm,
            id: self.new_id(now_ms),
            ts: now_ms,
        };
        self.link.joining.insert(header.id, cid.clone());
        let frame = Unsigned::new(label::MEMBER, header.to_bytes(), Vec::new());
        self.sign(Slot::Plain, frame, Vec::new());
    }
}

/// The header of a MEMBER frame.
fn header(frame: &RawFrame) -> Option<MemberHeader> {
    match Header::parse(frame.header()) {
        Ok(Header::Member(link)) => Some(link),
        _ => None,
    }
}
