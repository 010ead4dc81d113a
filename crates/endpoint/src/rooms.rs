//! Keeping the view of rooms: fetch links of the membership chain, verify, apply (rules R2, R4).

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::b64::B64Vec;
use chat_protocol::frame::{RawFrame, Unsigned};
use chat_protocol::header::{
    Canonical as _, Header, MemberArgument, MemberHeader, MemberOperation,
};
use chat_protocol::hub::{ClientToHub, Head};
use chat_protocol::id::{KeyId, MessageId};
use chat_protocol::keys::Held;
use chat_protocol::limits::{PAGE_ITEMS_MAX, VERSION};
use chat_protocol::members::{Membership, Place};
use chat_protocol::name::{ConversationId, ConversationKind, UserName};
use chat_protocol::tag::{Tag, label};

use crate::endpoint::Endpoint;
use crate::event::{Alarm, Event};
use crate::people::Signer;
use crate::questions::{Kids, Question};
use crate::views::KeptLink;

mod action;
mod anew;
mod late;
mod news;
mod orders;
mod put_out;
mod refresh;
mod refusal;
mod requests;
mod struck;
mod unproved;
mod view;
mod vouched;

pub use action::RoomAction;
pub use news::Roster;
pub(crate) use put_out::Moderated;
pub(crate) use requests::RoomRequests;
pub(crate) use struck::Struck;
pub(crate) use unproved::Unproved;
use view::Need;
pub(crate) use view::Views;

impl Endpoint {
    /// The people of a conversation, by the verified view.
    pub(crate) fn people_of(&self, cid: &ConversationId) -> Vec<UserName> {
        match cid.kind() {
            ConversationKind::Direct(a, b) if a == b => vec![a],
            ConversationKind::Direct(a, b) => vec![a, b],
            ConversationKind::Room(_) | ConversationKind::Feed(_) => {
                let room = self.state.rooms.get(cid);
                // A feed has its owner before it has a link.
                room.map_or_else(|| cid.feed_owner().into_iter().collect(), Membership::names)
            }
        }
    }

    /// How much of a room's chain the view has.
    pub(crate) fn place_of(&self, cid: &ConversationId) -> Place {
        self.state.rooms.get(cid).map_or(Place::START, Membership::place)
    }

    /// Whether somebody is, or has been, in a conversation by the verified view.
    pub(crate) fn has_known(&self, cid: &ConversationId, name: &UserName) -> bool {
        match cid.kind() {
            ConversationKind::Direct(a, b) => *name == a || *name == b,
            ConversationKind::Room(_) | ConversationKind::Feed(_) => {
                let room = self.state.rooms.get(cid);
                room.map_or_else(|| cid.is_feed_of(name), |room| room.has_known(name))
            }
        }
    }

    /// Whether this user is a member by the verified view. Somebody else can have had the name before.
    pub(crate) fn is_member(&self, cid: &ConversationId) -> bool {
        self.state.rooms.get(cid).is_some_and(|room| self.is_in(room))
    }

    /// The same of a room.
    pub(crate) fn is_in(&self, room: &Membership) -> bool {
        let me = &self.device.user;
        room.holds(me, &self.device.bundle.identity()) || room.conversation().is_feed_of(me)
    }

    /// Notes what the hub says about a room; a chain that has grown makes the view stale.
    pub(crate) fn note_head(&mut self, head: &Head) {
        let known = self.state.rooms.get(&head.cid).map_or(0, Membership::next);
        if head.mg > known {
            self.views.overtake(&head.cid);
        }
        self.views.hear(head);
        // The end of the hub's chain should lie on the one held here, or behind it.
        let place = Place { mg: head.mg, pm: head.pm };
        // Of a room of which nothing is held nothing can differ.
        let is_within = known > 0 && head.mg <= known;
        if is_within && !head.cid.is_direct() && !self.has_place(&head.cid, place) {
            self.view_anew(&head.cid);
        }
    }

    /// Whether the view of a conversation is up to date; starts a refresh if it is not.
    pub(crate) fn ensure_view(&mut self, cid: &ConversationId) -> bool {
        if !self.views.of(cid).is_current && !self.views.is_refreshing(cid) {
            self.start_refresh(cid, false);
        }
        self.views.of(cid).is_current
    }

    /// Whether the view of a conversation is being brought up to date; starts that if it is stale.
    pub(crate) fn view_is_on_its_way(&mut self, cid: &ConversationId) -> bool {
        self.link.online && !self.ensure_view(cid)
    }

    /// Brings a view up to date even if nothing says that it is stale. One that is fetched from its
    /// beginning is fetched so again.
    pub(crate) fn start_refresh(&mut self, cid: &ConversationId, asked: bool) {
        self.views.begin(cid, asked);
        self.ask_for_view(cid);
    }

    fn ask_for_view(&mut self, cid: &ConversationId) {
        if cid.is_direct() {
            self.request_people(cid);
        } else {
            self.request_links(cid);
        }
    }

    pub(crate) fn request_links(&mut self, cid: &ConversationId) {
        let from = self.views.next_link(cid, self.place_of(cid).mg);
        self.ask_page(Question::Members { cid: cid.clone(), from });
    }

    /// Asks for the bundles of everybody in a conversation as far as the hub has others than this device.
    fn request_people(&mut self, cid: &ConversationId) {
        let mut names: BTreeSet<UserName> = self.people_of(cid).into_iter().collect();
        let links = self.views.refresh(cid).into_iter().flat_map(|refresh| &refresh.links);
        names.extend(links.filter_map(|link| Some(header(link)?.from)));
        let names: Vec<UserName> = names.into_iter().collect();
        let mut waiting = BTreeSet::new();
        for page in names.chunks(PAGE_ITEMS_MAX) {
            waiting.insert(self.ask_bundles(page, Kids::new(), Some(cid.clone())));
        }
        self.views.people_asked(cid, waiting);
        self.advance_refresh(cid);
    }

    /// Asks for bundles of these people, and for older ones by the signing keys in them, on behalf of a view or not.
    pub(crate) fn ask_bundles(
        &mut self,
        names: &[UserName],
        kids: Kids,
        view: Option<ConversationId>,
    ) -> MessageId {
        self.ask_bundles_again(None, names, kids, view)
    }

    /// Asks once more for bundles that were asked for first under this id; the id of the new question.
    pub(crate) fn ask_bundles_again(
        &mut self,
        first: Option<MessageId>,
        names: &[UserName],
        kids: Kids,
        view: Option<ConversationId>,
    ) -> MessageId {
        let known: BTreeMap<UserName, Held> = names
            .iter()
            .map(|name| (name.clone(), self.people.marks(self.link.clock_ms, name)))
            .collect();
        let id = MessageId(self.out.random());
        self.out.text(&ClientToHub::Bundles { id, known, kids: kids.clone() });
        let (names, first) = (names.to_vec(), first.unwrap_or(id));
        self.out.questions.ask(id, Question::Bundles { names, kids, view, first });
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
        let held = self.place_of(cid).mg;
        if from != self.views.next_link(cid, held) {
            return self.ask_for_rest(cid);
        }
        match self.views.take_links(cid, (links, more), held, self.inbox.parked_bytes()) {
            Some(Need::Links) => self.request_links(cid),
            Some(Need::People) => self.request_people(cid),
            None => {}
        }
    }

    /// A page was asked for before a link of one's own was kept: it goes on behind that, unless a later
    /// question does.
    fn ask_for_rest(&mut self, cid: &ConversationId) {
        let asks = |question: &Question| matches!(question, Question::Members { cid: of, .. } if of == cid);
        let is_asked = self.out.questions.any(asks);
        if !is_asked && self.views.refresh(cid).is_some_and(|refresh| !refresh.complete) {
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
                    self.out.alarm_in(cid, (Alarm::BadChain, &user), &detail);
                    self.views.end_pages(cid);
                    break;
                }
            }
        }
        (news, None)
    }

    /// Applies a link that verifies, with the links behind it; says what is news in it.
    fn apply_link(
        &mut self,
        cid: &ConversationId,
        frame: &RawFrame,
        later: &[RawFrame],
    ) -> Result<Option<Event>, String> {
        let link = header(frame).ok_or("a link that is none")?;
        if link.mg < self.state.rooms.get(cid).map_or(0, Membership::next) {
            return Ok(None);
        }
        // Taken out while it is checked: a large room is not copied for each of its links.
        let held = self.state.rooms.remove(cid);
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
            self.state.rooms.put(cid, room);
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

    /// A link of this user's behind this place of a chain, about somebody with this identity.
    fn link_header(
        &mut self,
        now_ms: u64,
        (cid, Place { mg, pm }): (&ConversationId, Place),
        (op, arg): (MemberOperation, MemberArgument),
        (who, ik): (UserName, KeyId),
    ) -> MemberHeader {
        MemberHeader {
            v: VERSION,
            t: Tag::Member,
            cid: cid.clone(),
            from: self.device.user.clone(),
            sk: self.device.keys.signing_id(),
            op,
            who,
            ik,
            arg,
            mg,
            pm,
            id: self.out.new_id(now_ms),
            ts: now_ms,
        }
    }

    /// Joins a room that this user is not known to be in. The number and digest of the last link
    /// are the hub's word: if it lies, the link follows nothing and is worth nothing.
    pub(crate) fn join(&mut self, cid: &ConversationId, now_ms: u64) -> MessageId {
        let place = self.views.of(cid).end.unwrap_or(Place::START);
        let join = (MemberOperation::Join, MemberArgument::None);
        let me = (self.device.user.clone(), self.device.bundle.identity());
        let header = self.link_header(now_ms, (cid, place), join, me);
        let frame = Unsigned::new(label::MEMBER, header.to_bytes(), Vec::new());
        self.out.sign((header.id, Question::Join(cid.clone())), frame, Vec::new());
        header.id
    }
}

/// The header of a MEMBER frame.
pub(crate) fn header(frame: &RawFrame) -> Option<MemberHeader> {
    match Header::parse(frame.header()) {
        Ok(Header::Member(link)) => Some(link),
        _ => None,
    }
}
