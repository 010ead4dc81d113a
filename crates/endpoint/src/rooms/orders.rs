//! What this user asks for in a room: each is one link of the chain, signed against the verified
//! view, and signed again when another link came first (rule R2).

use chat_protocol::b64::B64Vec;
use chat_protocol::code;
use chat_protocol::frame::{RawFrame, Unsigned};
use chat_protocol::header::{Canonical as _, Header, MemberOperation};
use chat_protocol::id::{KeyId, MessageId};
use chat_protocol::members::Membership;
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::spoken::{deleted, nobody};
use chat_protocol::tag::label;

use super::action::RoomAction;
use super::refusal;
use super::requests::RoomOrder;
use crate::answers::Refusal;
use crate::endpoint::Endpoint;
use crate::event::{Event, MemberChange};
use crate::limits::ORDER_FUTILE_MAX;
use crate::questions::{Kids, Question};
use crate::trust::untrusted;
use crate::views::KeptLink;

impl Endpoint {
    /// Asks for something in a room. The answer names the id returned:
    /// [`Event::Joined`], [`Event::Left`], [`Event::MemberChanged`], [`Event::Topic`], or
    /// [`Event::Refused`] with the reason.
    pub fn act_in_room(&mut self, now_ms: u64, room: &RoomName, action: RoomAction) -> MessageId {
        self.act_in(now_ms, ConversationId::room(room), action)
    }

    pub(crate) fn act_in(
        &mut self,
        now_ms: u64,
        cid: ConversationId,
        action: RoomAction,
    ) -> MessageId {
        let id = self.out.new_id(now_ms);
        self.requests.begin(id, cid, action, self.outbox.next());
        id
    }

    /// Whether this user is about to come into a room: what is to be said there waits for it.
    pub(crate) fn is_joining(&self, cid: &ConversationId) -> bool {
        self.out.questions.is_joining(cid)
            || self.requests.of(cid).any(|(_, order)| order.action.comes_in())
    }

    /// Does what can be done now of what was asked for in rooms.
    pub(crate) fn advance_orders(&mut self, now_ms: u64) {
        for id in self.requests.next() {
            self.advance_order(now_ms, id);
        }
    }

    /// Whether the room is seen as an order needs it. Outsiders are not told when a chain grows, and of a room that
    /// is joined once more the hub may have something else to say: then it is looked at anew, once.
    fn has_view_for(&mut self, id: MessageId, order: &RoomOrder) -> bool {
        let cid = &order.cid;
        let is_news = !self.is_member(cid) || matches!(order.action, RoomAction::Join { .. });
        if self.requests.is_first_look(&id) && is_news {
            self.views.outdate(cid);
        }
        self.ensure_view(cid)
    }

    fn advance_order(&mut self, now_ms: u64, id: MessageId) {
        let Some(order) = self.requests.get(&id).cloned() else { return };
        let cid = &order.cid;
        if let Some(asked) = order.action.question(id, cid) {
            self.out.text(&asked);
            self.out.questions.ask(id, Question::Order(id));
            return self.requests.asks(&id);
        }
        if self.out.questions.is_joining(cid) || self.is_told_first(cid) {
            return;
        }
        let me = self.device.user.clone();
        if !self.has_view_for(id, &order) {
            return;
        }
        let who = order.action.who(&me).clone();
        let room = self.state.rooms.get(cid).cloned();
        let room = room.unwrap_or_else(|| Membership::new(cid.clone()));
        let member = room.members().get(&who).map(|member| member.ik);
        // Who comes in does so by the key that is known as theirs, whoever had the name in this room before.
        let comes_in = who == me || matches!(order.action, RoomAction::Admit(_));
        let member = member.filter(|_| !comes_in);
        if member.is_none() && who != me && !self.has_keys(id, &who) {
            return;
        }
        let ik = member.or_else(|| self.expected_identity(&who));
        let is_done = order.action.is_done(&room, &me, ik);
        // Who follows somebody already is told so.
        let is_idle = matches!(order.action, RoomAction::Join { .. }) && !cid.is_feed();
        if is_done && is_idle && self.views.of(cid).is_deleted {
            let reason = "who runs this server has deleted this room";
            self.refuse_order(&id, code::NOT_ALLOWED, reason, true);
            return;
        }
        if is_done && order.was_sent && self.says_removal_again(id, &who) {
            return;
        }
        if is_done && (order.was_sent || is_idle) {
            self.order_done(&id, None);
            return;
        }
        if let Some((code, reason)) = self.order_problem(&room, &order.action, ik) {
            self.refuse_order(&id, code, &reason, false);
            return;
        }
        let Some(ik) = ik else { return };
        if !self.waits_for_messages(now_ms, &id) {
            self.send_link(now_ms, id, &order, (&room, who, ik));
        }
    }

    /// Whether something that is asked for waits for messages of this device that were said there before and
    /// have no answer yet. Where nothing can be said it does not, nor for longer than `ORDER_WAIT_MS`.
    fn waits_for_messages(&mut self, now_ms: u64, id: &MessageId) -> bool {
        let Some(order) = self.requests.get(id) else { return false };
        let cid = &order.cid;
        let has_before = order.action.waits_for_messages()
            && self.outbox.has_before(cid, order.before)
            && !self.views.of(cid).is_deleted
            && self.cannot_send(now_ms, cid).is_none();
        self.requests.waits(now_ms, id, has_before)
    }

    /// Signs the link that an order asks for, about this person with this key, and sends it.
    fn send_link(
        &mut self,
        now_ms: u64,
        id: MessageId,
        order: &RoomOrder,
        (room, who, ik): (&Membership, UserName, KeyId),
    ) {
        let (op, arg) = order.action.link(room.exists());
        let header = self.link_header(now_ms, (&order.cid, room.place()), (op, arg), (who, ik));
        let signer = self.device.bundle.identity();
        let problem =
            room.check(&header, signer).err().map(|error| error.to_string()).or_else(|| {
                (order.futile_at(room.next()) > ORDER_FUTILE_MAX).then(|| {
                    "the server says that others have changed the room, and shows no change"
                        .to_owned()
                })
            });
        if let Some(reason) = problem {
            self.refuse_order(&id, code::NOT_ALLOWED, &reason, false);
            return;
        }
        let frame = Unsigned::new(label::MEMBER, header.to_bytes(), Vec::new());
        let link = header.id;
        self.requests.sends(&id, header, frame.digest());
        self.out.sign((link, Question::Order(id)), frame, Vec::new());
    }

    /// The chain has the link that an order has asked for, and its answer was lost: it is said again, because that
    /// answer tells where a removal stands in the log.
    fn says_removal_again(&mut self, id: MessageId, who: &UserName) -> bool {
        let Some(order) = self.requests.get(&id) else { return false };
        let is_removal = matches!(order.action, RoomAction::Remove { .. });
        let link = self.removal_of(&order.cid, who).filter(|_| is_removal);
        let kept = link.and_then(|(number, _)| self.kept_link(&order.cid, number));
        let frame = kept.and_then(|link| RawFrame::decode(link.frame.clone()?.0.into()).ok());
        let Some(frame) = frame else { return false };
        let Ok(Header::Member(header)) = Header::parse(frame.header()) else { return false };
        if header.sk != self.device.keys.signing_id() {
            return false;
        }
        self.out.questions.ask(header.id, Question::Order(id));
        self.requests.says_again(&id, header, &frame);
        self.out.send_frame(frame.bytes().clone());
        true
    }

    /// Whether the keys of somebody outside are known, or are not to be had; asks for them once.
    fn has_keys(&mut self, id: MessageId, who: &UserName) -> bool {
        if self.people.devices(who).next().is_some() {
            return true;
        }
        if let Some(request) = self.requests.get(&id).and_then(|order| order.keys) {
            let is_it =
                |q: &Question| matches!(q, Question::Bundles { first, .. } if *first == request);
            return !self.out.questions.any(is_it);
        }
        let request = self.ask_bundles(std::slice::from_ref(who), Kids::new(), None);
        self.requests.asks_for_keys(&id, request);
        false
    }

    /// Why it cannot be done, by the verified view, in words for people.
    fn order_problem(
        &self,
        room: &Membership,
        action: &RoomAction,
        ik: Option<KeyId>,
    ) -> Option<(&'static str, String)> {
        let me = &self.device.user;
        let who = action.who(me);
        let own = self.device.bundle.identity();
        // Nobody is let into a deleted room any more: its last admin may go.
        let is_deleted = self.views.of(room.conversation()).is_deleted;
        if is_deleted && matches!(action, RoomAction::Leave) && room.holds(me, &own) {
            return None;
        }
        if is_deleted && matches!(action, RoomAction::Create { .. }) {
            return Some((code::NAME_TAKEN, refusal::reserved(room)));
        }
        let is_for_somebody =
            matches!(action, RoomAction::Admit(_) | RoomAction::Role { admin: true, .. });
        if is_for_somebody && self.is_deleted(who) {
            return Some((code::NO_SUCH_USER, deleted(who)));
        }
        refusal::by_view(room, (me, &own), action, ik).or_else(|| {
            let is_outside = who != me && !ik.is_some_and(|ik| room.holds(who, &ik));
            if ik.is_none() || (is_outside && self.people.devices(who).next().is_none()) {
                return Some((code::NO_SUCH_USER, nobody(who)));
            }
            (is_outside && !self.people.is_trusted(who)).then(|| (code::UNTRUSTED, untrusted(who)))
        })
    }

    /// The hub keeps a link of ours at this place of its log: it is applied to the view, which stays
    /// the verified one.
    pub(crate) fn order_kept(&mut self, id: MessageId, link: &MessageId, position: u64) {
        let Some((header, digest)) = self.requests.flying_link(&id, link) else { return };
        let room = self.state.rooms.entry(&header.cid, || Membership::new(header.cid.clone()));
        // A refresh may have brought it already.
        if room.next() == header.mg && room.head() == header.pm {
            room.apply(&header, digest);
            let signed = self.requests.get(&id).and_then(|order| order.signed.clone());
            let frame = signed.map(|frame| B64Vec(frame.to_vec()));
            let link = KeptLink { digest, by: header.from.clone(), frame, by_word: false };
            self.note_own_link(&header);
            self.keep_link(&header.cid, header.mg, link);
            self.note_growth(&header.cid, header.mg);
            self.hub_has_shown(&header.cid);
        }
        if header.op == MemberOperation::Remove {
            self.note_removed(&header.cid, (header.mg, digest), Some(position));
        }
        self.note_answered(&header.cid, position);
        self.requests.won(&header.cid);
        self.order_done(&id, Some(position));
    }

    /// The hub refused a link of ours, or a topic.
    pub(crate) fn order_refused(
        &mut self,
        now_ms: u64,
        (id, answered): (MessageId, &MessageId),
        refusal: &Refusal,
    ) {
        let Refusal { code, reason, .. } = refusal;
        if self.requests.get(answered).is_some_and(|order| order.is_asked) {
            return self.refuse_order(answered, code, reason, true);
        }
        let Some((header, digest)) = self.requests.flying_link(&id, answered) else { return };
        if self.kept_link(&header.cid, header.mg).is_some_and(|link| link.digest == digest) {
            // Said again for its place in the log alone. An honest hub names it: of one that does not, everything that
            // comes from now on is taken to stand behind.
            if header.op == MemberOperation::Remove {
                let newest = self.positions.horizon().newest;
                self.note_removed(&header.cid, (header.mg, digest), Some(newest));
                self.note_answered(&header.cid, newest);
            }
            self.order_done(&id, None);
        } else if code == code::MEMBERS {
            self.order_was_late(now_ms, id, &header);
        } else {
            self.refuse_order(&id, code, reason, true);
        }
    }

    /// It has its answer: what was said there may have waited for it.
    pub(super) fn end_order(&mut self, id: &MessageId) -> Option<RoomOrder> {
        let (order, link) = self.requests.end(id)?;
        for answered in [*id].into_iter().chain(link) {
            self.out.questions.take(&answered);
        }
        self.link.dirty.insert(order.cid.clone());
        Some(order)
    }

    fn order_done(&mut self, id: &MessageId, position: Option<u64>) {
        let Some(RoomOrder { cid, action, .. }) = self.end_order(id) else { return };
        let (id, me) = (Some(*id), self.device.user.clone());
        let changed = |cid, who, change| Event::MemberChanged { id, cid, change, who, by: me };
        let event = match action {
            RoomAction::Join { .. } | RoomAction::Create { .. } => {
                if !cid.is_feed() {
                    self.state.joined.put(&cid, true);
                }
                Event::Joined { id, cid, position }
            }
            RoomAction::Leave => Event::Left { id, cid, position },
            RoomAction::Admit(who) => changed(cid, who, MemberChange::Added),
            RoomAction::Remove { who, ban } => {
                // Rule R2: nothing more is sealed for them, whoever speaks next.
                if let Some(link) = self.removal_of(&cid, &who).filter(|_| position.is_none()) {
                    self.note_removed(&cid, link, None);
                }
                let change = if ban { MemberChange::Banned } else { MemberChange::Removed };
                changed(cid, who, change)
            }
            RoomAction::Role { who, admin: true } => changed(cid, who, MemberChange::Admin),
            RoomAction::Role { who, admin: false } => changed(cid, who, MemberChange::NoAdmin),
            // Answered with the setting.
            RoomAction::Unban(_) | RoomAction::Topic(_) | RoomAction::Retention(_) => return,
        };
        self.out.tell(event);
    }

    /// Ends what was asked for in a room, with the reason.
    pub(crate) fn refuse_order(&mut self, id: &MessageId, code: &str, reason: &str, by_hub: bool) {
        if self.end_order(id).is_some() {
            let (id, code, reason) = (*id, code.to_owned(), reason.to_owned());
            self.out.tell(Event::Refused { id, code, reason, by_hub, may_start_until_ms: None });
        }
    }

    /// The view of a room is not to be had: nothing can be done or said there.
    pub(crate) fn view_refused(&mut self, now_ms: u64, cid: &ConversationId, refusal: &Refusal) {
        let Refusal { code, reason, .. } = refusal;
        if self.views.end(cid).asked {
            self.out.complain(code, reason);
        }
        if self.is_forgotten(cid) || self.is_told_first(cid) {
            return;
        }
        let ids: Vec<MessageId> = self.requests.of(cid).map(|(id, _)| *id).collect();
        for id in ids {
            self.refuse_order(&id, code, reason, true);
        }
        self.refuse_drafts(now_ms, cid, code, reason);
    }

    /// The hub says what was set in a room: by which id this user has asked for it, if so.
    pub(crate) fn ends_setting(&mut self, id: Option<MessageId>) -> Option<MessageId> {
        id.filter(|id| self.end_order(id).is_some())
    }
}
