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
use crate::limits::{HEADS_MAX, LINK_BYTES_MAX, LINKS_WAITING_MAX, PARKED_BYTES_MAX};
use crate::people::Signer;
use crate::views::KeptLink;

mod action;
mod anew;
mod kept;
mod late;
mod news;
mod orders;
mod put_out;
mod refresh;
mod refusal;
mod sequence;
mod shown;
mod struck;
mod unproved;
mod vouched;

pub use action::RoomAction;
use anew::Fresh;
pub(crate) use kept::KeptOrder;
pub use news::Roster;
pub(crate) use orders::RoomOrder;
pub(crate) use put_out::Moderated;
pub(crate) use struck::Struck;
pub(crate) use unproved::{Kids, Unproved};

/// A view that is being brought up to date.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about a refresh")]
pub(crate) struct Refresh {
    /// Links that wait for their signers' bundles.
    links: Vec<RawFrame>,
    /// The chain was asked for on this connection, and all of it has come.
    complete: bool,
    /// Bundles of everybody were asked for and have come.
    people: bool,
    /// Keys of the links' signers that were not known were asked for.
    signers: bool,
    /// Requests without an answer.
    waiting: BTreeSet<MessageId>,
    /// The host asked for it and wants to know.
    pub(crate) asked: bool,
    /// Number of links that were known before.
    known: Option<u32>,
    /// The chain is fetched from its beginning, because it does not go on from the one held here.
    anew: bool,
    /// What has come of it.
    fresh: Option<Box<Fresh>>,
    /// How many links the chain had by the hub's word when this began: no more are asked for.
    until: Option<u32>,
    /// There are more than may wait: they are asked for when those here are applied.
    more: bool,
}

impl Refresh {
    /// Bytes of the links that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.links.iter().map(|link| link.bytes().len()).sum()
    }
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

    /// Whether this user is a member by the verified view. Somebody else can have had the name before.
    pub(crate) fn is_member(&self, cid: &ConversationId) -> bool {
        self.state.rooms.get(cid.as_str()).is_some_and(|room| self.is_in(room))
    }

    /// The same of a room.
    pub(crate) fn is_in(&self, room: &Membership) -> bool {
        let me = &self.device.user;
        room.holds(me, &self.device.bundle.identity()) || room.conversation().is_feed_of(me)
    }

    /// Notes what the hub says about a room; a chain that has grown makes the view stale.
    pub(crate) fn note_head(&mut self, head: &Head) {
        let known = self.state.rooms.get(head.cid.as_str()).map_or(0, Membership::next);
        if head.mg > known {
            self.view_is_stale(&head.cid);
        }
        // A hub that names conversations without end is not followed without end.
        if self.link.heads.len() < HEADS_MAX || self.link.heads.contains_key(&head.cid) {
            self.link.heads.insert(head.cid.clone(), head.clone());
        }
        // The end of the hub's chain should lie on the one held here, or behind it.
        let place = Place { mg: head.mg, pm: head.pm };
        // Of a room of which nothing is held nothing can differ.
        let is_within = known > 0 && head.mg <= known;
        if is_within && !head.cid.is_direct() && !self.has_place(&head.cid, place) {
            self.view_anew(&head.cid);
        }
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

    /// Brings a view up to date even if nothing says that it is stale. One that is fetched from its
    /// beginning is fetched so again.
    pub(crate) fn start_refresh(&mut self, cid: &ConversationId, asked: bool) {
        let anew = self.link.refreshing.get(cid).is_some_and(|refresh| refresh.anew);
        self.refresh_from(cid, asked, anew);
    }

    fn refresh_from(&mut self, cid: &ConversationId, asked: bool, anew: bool) {
        self.link.views.remove(cid);
        self.link.overtaken.remove(cid);
        let until = self.link.heads.get(cid).map(|head| head.mg);
        let complete = cid.is_direct();
        let refresh = Refresh { complete, asked, anew, until, ..Refresh::default() };
        self.link.refreshing.insert(cid.clone(), refresh);
        if cid.is_direct() {
            self.request_people(cid);
        } else {
            self.request_links(cid);
        }
    }

    pub(crate) fn request_links(&mut self, cid: &ConversationId) {
        let from = self.next_link(cid);
        self.ask_page(Request::Members { cid: cid.clone(), from });
    }

    /// The number of the link behind those that are known or wait.
    fn next_link(&self, cid: &ConversationId) -> u32 {
        let refresh = self.link.refreshing.get(cid);
        let held = refresh.map_or(0, |refresh| refresh.links.len());
        let known = match refresh.filter(|refresh| refresh.anew) {
            Some(refresh) => refresh.fresh.as_ref().map_or(0, |fresh| fresh.len()),
            None => self.place_of(cid).mg,
        };
        known.saturating_add(u32::try_from(held).unwrap_or(u32::MAX))
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
        self.ask_bundles(names, Kids::new(), view)
    }

    /// The same, and for older bundles by the signing keys in them.
    pub(crate) fn ask_bundles(
        &mut self,
        names: &[UserName],
        kids: Kids,
        view: Option<ConversationId>,
    ) -> MessageId {
        let known: BTreeMap<UserName, Held> =
            names.iter().map(|name| (name.clone(), self.held_bundles(name))).collect();
        let (names, asked) = (names.to_vec(), kids.clone());
        let id = self.request(Request::Bundles { names, kids, view });
        self.text(&ClientToHub::Bundles { id, known, kids: asked });
        id
    }

    /// Takes links of a chain that were asked for, from this number on. What another page answers than
    /// the next one was asked before the refresh began anew.
    pub(crate) fn on_members(
        &mut self,
        cid: &ConversationId,
        from: u32,
        links: &[B64Vec],
        more: bool,
    ) {
        if from != self.next_link(cid) {
            self.ask_for_rest(cid);
            return;
        }
        let parked = self.link.parked_bytes.saturating_add(self.link_bytes());
        let Some(refresh) = self.link.refreshing.get_mut(cid) else { return };
        let before = refresh.links.len();
        // The budget is that of all that waits; one page always has room, so that each chain goes on.
        let mut room =
            if before == 0 { usize::MAX } else { PARKED_BYTES_MAX.saturating_sub(parked) };
        let max = LINKS_WAITING_MAX.saturating_sub(before);
        let is_small = |B64Vec(bytes): &B64Vec| bytes.len() <= LINK_BYTES_MAX;
        let fitting: Vec<B64Vec> = links
            .iter()
            .take(max)
            .take_while(|link| {
                let fits = link.0.len() <= room;
                room = room.saturating_sub(link.0.len());
                fits && is_small(link)
            })
            .cloned()
            .collect();
        let is_full = fitting.len() < links.len() && links.iter().all(is_small);
        let more = more || is_full;
        for B64Vec(bytes) in fitting {
            if let Ok(link) = RawFrame::decode(Bytes::from(bytes)) {
                refresh.links.push(link);
            }
        }
        // A page that brings nothing is the last, and so is one behind the end that was named; one link
        // behind it may be this device's own.
        let is_news = refresh.links.len() > before;
        let (is_full, until) = (is_full || refresh.links.len() >= LINKS_WAITING_MAX, refresh.until);
        let next = self.next_link(cid);
        let more = more && is_news && until.is_none_or(|until| next <= until);
        if more && !is_full {
            self.request_links(cid);
        } else if let Some(refresh) = self.link.refreshing.get_mut(cid) {
            (refresh.complete, refresh.more) = (true, more);
            self.request_people(cid);
        }
    }

    /// A page was asked for before a link of one's own was kept: it goes on behind that, unless a later
    /// question does.
    fn ask_for_rest(&mut self, cid: &ConversationId) {
        let asks =
            |request: &Request| matches!(request, Request::Members { cid: of, .. } if of == cid);
        let is_asked = self.link.requests.values().any(asks);
        if !is_asked && self.link.refreshing.get(cid).is_some_and(|refresh| !refresh.complete) {
            self.request_links(cid);
        }
    }

    /// Applies links until one does not verify. Says what is news, and from which one on they wait for
    /// more.
    fn apply_links(
        &mut self,
        cid: &ConversationId,
        links: &[RawFrame],
        more: bool,
    ) -> (Vec<Event>, Option<usize>) {
        let mut news = Vec::new();
        for (at, link) in links.iter().enumerate() {
            let later = links.get(at + 1..).unwrap_or_default();
            match self.apply_link(cid, link, later) {
                Ok(event) => news.extend(event),
                // Whoever has built on it may be among those that have not come.
                Err(_) if more && at > 0 => return (news, Some(at)),
                Err(reason) => {
                    let user = header(link).map_or_else(UserName::server, |link| link.from);
                    let detail = format!("membership of {}: {reason}", cid.spoken());
                    self.alarm(Alarm::BadChain, &user, &detail);
                    self.end_pages(cid);
                    break;
                }
            }
        }
        (news, None)
    }

    /// What is left of a chain is not worth asking for.
    fn end_pages(&mut self, cid: &ConversationId) {
        if let Some(refresh) = self.link.refreshing.get_mut(cid) {
            refresh.more = false;
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
        // Taken out while it is checked: a large room is not copied for each of its links.
        let held = self.state.rooms.remove(cid.as_str());
        let is_held = held.is_some();
        let mut room = held.unwrap_or_else(|| Membership::new(cid.clone()));
        let checked = self.check_link(&room, frame, later).and_then(|(link, signer)| {
            room.check(&link, signer.identity).map_err(|error| error.to_string())?;
            let is_proved = self.is_proved(&link);
            Ok((link, is_proved))
        });
        let checked = checked.or_else(|reason| {
            let unproved = self.unproved(&room, frame, |name| self.unproved_but(cid, name));
            unproved.map(|link| (link, false)).ok_or(reason)
        });
        if let Ok((link, _)) = &checked {
            room.apply(link, frame.digest(label::MEMBER));
        }
        if is_held || checked.is_ok() {
            self.state.rooms.put(cid.as_str(), room);
        }
        let (link, is_proved) = checked?;
        self.note_proof(&link, frame, is_proved);
        self.keep_link(cid, link.mg, KeptLink::of(&link, frame, is_proved));
        self.link.dirty.insert(cid.clone());
        Ok(self.news(&link))
    }

    /// Who has signed a link, whose signature is verified; `later` are the links behind it.
    pub(crate) fn check_link(
        &mut self,
        room: &Membership,
        frame: &RawFrame,
        later: &[RawFrame],
    ) -> Result<(MemberHeader, Signer), String> {
        let link = header(frame).ok_or("a link that is none")?;
        let signer = self.link_signer(room, &link, frame, later)?;
        if self.takes_own_place(room, &link) {
            return Err("a link puts another identity in the place of this user".to_owned());
        }
        Ok((link, signer))
    }

    /// Whether a link says that this user's name belongs to another identity from now on. A chain may show
    /// that of the time before: somebody else had the name then.
    pub(crate) fn takes_own_place(&self, room: &Membership, link: &MemberHeader) -> bool {
        let own = self.device.bundle.identity();
        link.who == self.device.user && link.ik != own && room.holds(&link.who, &own)
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
pub(crate) fn header(frame: &RawFrame) -> Option<MemberHeader> {
    match Header::parse(frame.header()) {
        Ok(Header::Member(link)) => Some(link),
        _ => None,
    }
}
