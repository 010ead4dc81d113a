//! What happens in the rooms one is in: fetched when the hub says that a chain has grown, told only
//! when it has verified.

use chat_protocol::header::{MemberArgument, MemberHeader, MemberOperation};
use chat_protocol::hub::Head;
use chat_protocol::id::{Digest, KeyId};
use chat_protocol::members::Membership;
use chat_protocol::name::{ConversationId, RoomName, UserName};

use crate::endpoint::Endpoint;
use crate::event::{Event, MemberChange};
use crate::questions::Question;

/// The members of a room by the verified view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// Whether anybody may join.
    pub open: bool,
    /// Names, and whether they are admins.
    pub members: Vec<(UserName, bool)>,
    /// Members by the server's word only: nothing is sealed for them until their signature is seen.
    pub unproved: Vec<UserName>,
    /// Members for whom nothing is sealed, for this or another reason: nothing of the room is given to
    /// them either.
    pub left_out: Vec<UserName>,
    /// Members whom the server gives nothing of the room, because a moderator has put them out: its word.
    pub put_out: Vec<UserName>,
    /// Members whose accounts were deleted, by the server's word.
    pub deleted: Vec<UserName>,
}

impl Endpoint {
    /// Asks which rooms there are; answered by [`Event::Rooms`], page after page.
    pub fn rooms(&mut self) {
        self.ask_page(Question::Rooms { after: None });
    }

    /// Who is in a room by the verified view; nothing where no view was ever fetched.
    pub fn roster(&self, room: &RoomName) -> Option<Roster> {
        let cid = ConversationId::room(room);
        let room = self.state.rooms.get(&cid)?;
        let members = room.members().iter().map(|(name, member)| (name.clone(), member.admin));
        let those = |is_one: &dyn Fn(&UserName) -> bool| {
            room.members().keys().filter(|name| is_one(name)).cloned().collect()
        };
        Some(Roster {
            open: room.is_open(),
            members: members.collect(),
            unproved: those(&|name| self.is_unproved(&cid, name)),
            left_out: those(&|name| self.is_left_out(&cid, name)),
            put_out: those(&|name| self.is_put_out(&cid, name)),
            deleted: those(&|name| self.people.is_gone(name)),
        })
    }

    /// The identity key that a verified link names for somebody whose keys were never seen.
    pub(crate) fn identity_by_link(&self, name: &UserName) -> Option<KeyId> {
        self.state.rooms.iter().find_map(|(_, room)| {
            let member = room.members().get(name)?;
            let is_proved = !self.is_unproved(room.conversation(), name);
            is_proved.then_some(member.ik)
        })
    }

    /// Whether a member's known identity is the one that the chain names.
    pub(crate) fn is_member_by_key(&self, cid: &ConversationId, name: &UserName) -> bool {
        let room = self.state.rooms.get(cid);
        let member = room.and_then(|room| room.members().get(name));
        member.is_none_or(|member| self.expected_identity(name) == Some(member.ik))
    }

    /// The hub says that chains have grown. Those of rooms that were created are fetched at once:
    /// so who was let in or put out learns of it, and who comes and goes is shown.
    pub(crate) fn on_heads(&mut self, now_ms: u64, heads: Vec<Head>) {
        for head in heads {
            self.note_head(&head);
            if self.views.of(&head.cid).end.is_none() {
                continue;
            }
            self.suspect(now_ms, &head.cid);
            self.follow(&head.cid);
            self.link.dirty.insert(head.cid);
        }
    }

    /// A page of the rooms that did not fit into OK.
    pub(crate) fn on_more_heads(
        &mut self,
        now_ms: u64,
        after: &ConversationId,
        heads: &[Head],
        more: bool,
    ) {
        for head in heads {
            self.note_hub_head(now_ms, head);
            self.link.dirty.insert(head.cid.clone());
        }
        let last = heads.last().map(|head| &head.cid).filter(|last| more && *last > after);
        match last.cloned() {
            Some(after) => drop(self.ask_page(Question::Heads { after })),
            None => self.follow_all(),
        }
    }

    /// After a sign-in: rooms whose chain has grown, and rooms that the hub does not list although
    /// this user is in them by the view. Of those only the chain tells.
    pub(crate) fn follow_all(&mut self) {
        let rooms: Vec<ConversationId> = self.views.listed().cloned().collect();
        let me = &self.device.user;
        let unlisted =
            self.state.rooms.iter().map(|(_, room)| room).filter(|room| {
                room.contains(me) && self.views.of(room.conversation()).end.is_none()
            });
        let unlisted: Vec<ConversationId> =
            unlisted.map(|room| room.conversation().clone()).collect();
        for cid in rooms {
            self.follow(&cid);
        }
        for cid in unlisted {
            self.follow(&cid);
            if !cid.is_feed() {
                self.views.at(&cid).is_unlisted = true;
            }
        }
    }

    /// The hub has answered about the chain of a room that it did not list. Either this user was taken
    /// out, which the chain says, or the hub has forgotten that they were in, and is told again.
    pub(crate) fn is_forgotten(&mut self, cid: &ConversationId) -> bool {
        // Somebody may have told it meanwhile.
        let is_shown = self.views.of(cid).end.is_some_and(|end| end.mg >= self.place_of(cid).mg);
        let view = self.views.known(cid);
        let was_unlisted = view.is_some_and(|view| std::mem::take(&mut view.is_unlisted));
        let is_forgotten = was_unlisted && self.is_member(cid) && !is_shown;
        if is_forgotten {
            let head = Head { cid: cid.clone(), mg: 0, pm: Digest::ZERO, epoch: None };
            self.note_hub_head(self.link.clock_ms, &head);
        }
        is_forgotten
    }

    /// The rooms that everybody is in are joined once. A hub that lost the link that did so, and shows
    /// nothing of this user there, gets another one (rule R36).
    pub(super) fn join_if_lost(&mut self, cid: &ConversationId) {
        let room = self.state.rooms.get(cid);
        let me = &self.device.user;
        // Nothing of this user, or of who had the name before.
        let is_lost = room.is_some_and(|room| {
            let is_shown = if room.contains(me) { self.is_in(room) } else { room.has_known(me) };
            room.is_implicit() && !is_shown
        });
        let is_joined = self.state.joined.get(cid).is_some();
        if is_lost && is_joined && !self.is_joining(cid) {
            self.join(cid, self.link.clock_ms);
        }
    }

    fn follow(&mut self, cid: &ConversationId) {
        let fresh = Membership::new(cid.clone());
        let room = self.state.rooms.get(cid).unwrap_or(&fresh);
        let has_grown = self.views.of(cid).end.is_none_or(|end| end.mg > room.next());
        let is_followed = !cid.is_direct() && !room.is_implicit();
        if is_followed && has_grown && !self.views.is_refreshing(cid) {
            self.start_refresh(cid, false);
        }
    }

    /// The news of a link that was just applied, if it is any.
    pub(super) fn news(&self, link: &MemberHeader) -> Option<Event> {
        let me = &self.device.user;
        let is_implicit = Membership::new(link.cid.clone()).is_implicit();
        // Who else follows somebody is not this user's business.
        let is_of_others = link.cid.is_feed() && !link.cid.is_feed_of(me) && link.who != *me;
        // What this user does is told when it is answered.
        if is_implicit
            || is_of_others
            || self.requests.is_ordered(link, me)
            || (link.from == *me && link.who == *me)
        {
            return None;
        }
        let change = match (link.op, link.arg) {
            (MemberOperation::Create | MemberOperation::Join, _) => MemberChange::Joined,
            (MemberOperation::Leave, _) => MemberChange::Left,
            (MemberOperation::Admit, _) => MemberChange::Added,
            (MemberOperation::Remove, MemberArgument::Ban) => MemberChange::Banned,
            (MemberOperation::Remove, _) => MemberChange::Removed,
            (MemberOperation::Role, MemberArgument::Admin) => MemberChange::Admin,
            (MemberOperation::Role, _) => MemberChange::NoAdmin,
        };
        let (cid, who, by) = (link.cid.clone(), link.who.clone(), link.from.clone());
        Some(Event::MemberChanged { id: None, cid, change, who, by })
    }

    /// Tells what a refresh has brought. Of a chain that was never seen before only the last thing
    /// that others did to this user is news; the rest is the past.
    pub(super) fn tell_news(&mut self, cid: &ConversationId, mut news: Vec<Event>, is_first: bool) {
        if cid.is_feed_of(&self.device.user) {
            news = self.feed_news(news);
        } else if is_first {
            let me = &self.device.user;
            let last = news
                .iter()
                .rposition(|event| matches!(event, Event::MemberChanged { who, .. } if who == me));
            news = last.map(|at| news.swap_remove(at)).into_iter().collect();
        }
        for event in news {
            self.out.tell(event);
        }
    }
}
