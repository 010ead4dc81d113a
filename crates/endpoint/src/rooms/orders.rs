//! What this user asks for in a room: each is one link of the chain, signed against the verified
//! view, and signed again when another link came first (rule R2).

use bytes::Bytes;
use chat_protocol::b64::B64Vec;
use chat_protocol::code;
use chat_protocol::frame::{RawFrame, Unsigned};
use chat_protocol::header::{
    Canonical as _, Header, MemberArgument, MemberHeader, MemberOperation,
};
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::limits::VERSION;
use chat_protocol::members::Membership;
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::spoken::{deleted, nobody};
use chat_protocol::tag::{Tag, label};

use super::action::RoomAction;
use super::kept::OrderRow;
use super::refusal;
use crate::answers::Refusal;
use crate::endpoint::{Endpoint, Slot};
use crate::event::{Event, MemberChange};
use crate::limits::{ORDER_FUTILE_MAX, ORDER_WAIT_MS};
use crate::trust::untrusted;
use crate::views::KeptLink;

/// What was asked for and is not done yet. What survives the process is in its row.
#[derive(Debug, Clone)]
pub(crate) struct RoomOrder {
    pub(super) cid: ConversationId,
    pub(super) action: RoomAction,
    /// The view was fetched for it: outsiders are not told when a chain grows.
    pub(super) has_view: bool,
    /// The link that is under way, and its digest.
    pub(super) flying: Option<(MemberHeader, Digest)>,
    /// That link as it was signed.
    pub(crate) signed: Option<Bytes>,
    /// The topic, or how long messages are kept, is under way.
    is_asked: bool,
    /// The request for the keys of whom it is about.
    keys: Option<MessageId>,
    /// A link was sent, on this connection or an earlier one: it may be in the chain.
    pub(super) was_sent: bool,
    pub(super) row: OrderRow,
    /// The number of the first message of this device that was said after it.
    pub(super) before: u64,
    /// Until when it waits for the messages before it, Unix time in milliseconds; nothing where it does not.
    pub(super) waits_until_ms: Option<u64>,
    /// How long it may still wait for them, in milliseconds: connections that break do not begin it anew.
    pub(super) may_wait_ms: u64,
    /// Number of the link before, and how often it was refused as late without a newer one.
    last: Option<u32>,
    futile: u32,
}

impl RoomOrder {
    pub(super) fn new(cid: ConversationId, action: RoomAction, row: OrderRow, before: u64) -> Self {
        Self {
            cid,
            action,
            has_view: false,
            flying: None,
            signed: None,
            is_asked: false,
            keys: None,
            was_sent: false,
            row,
            before,
            waits_until_ms: None,
            may_wait_ms: ORDER_WAIT_MS,
            last: None,
            futile: 0,
        }
    }
}

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
        let id = self.new_id(now_ms);
        self.keep_order(id, cid, action);
        id
    }

    /// A new connection: nothing is under way on it.
    pub(crate) fn restart_orders(&mut self) {
        for order in self.orders.values_mut() {
            *order = RoomOrder {
                flying: None,
                is_asked: false,
                keys: None,
                last: None,
                futile: 0,
                ..order.clone()
            };
        }
    }

    /// Whether this user is about to come into a room: what is to be said there waits for it.
    pub(crate) fn is_joining(&self, cid: &ConversationId) -> bool {
        self.link.joining.values().any(|joining| joining == cid)
            || self.orders.values().any(|order| order.cid == *cid && order.action.comes_in())
    }

    /// Signs what can be signed now: one link for each room at a time, in the order of the asking.
    pub(crate) fn advance_orders(&mut self, now_ms: u64) {
        let mut rooms = std::collections::BTreeSet::new();
        let ids: Vec<MessageId> = self.orders.keys().copied().collect();
        for id in ids {
            let Some(order) = self.orders.get(&id) else { continue };
            let is_first = rooms.insert(order.cid.clone());
            if is_first && order.flying.is_none() && !order.is_asked {
                self.advance_order(now_ms, id);
            }
        }
    }

    /// Whether the room is seen as an order needs it. Outsiders are not told when a chain grows, and of a room that
    /// is joined once more the hub may have something else to say: then it is looked at anew, once.
    fn has_view_for(&mut self, id: MessageId, order: &RoomOrder) -> bool {
        let cid = &order.cid;
        let is_news = !self.is_member(cid) || matches!(order.action, RoomAction::Join { .. });
        if let Some(order) = self.orders.get_mut(&id)
            && !std::mem::replace(&mut order.has_view, true)
            && is_news
        {
            self.link.views.remove(cid);
        }
        self.ensure_view(cid)
    }

    fn advance_order(&mut self, now_ms: u64, id: MessageId) {
        let Some(order) = self.orders.get(&id).cloned() else { return };
        let cid = &order.cid;
        if let Some(asked) = order.action.question(id, cid) {
            self.text(&asked);
            if let Some(order) = self.orders.get_mut(&id) {
                order.is_asked = true;
            }
            return;
        }
        if self.link.joining.values().any(|joining| joining == cid) || self.is_told_first(cid) {
            return;
        }
        let me = self.device.user.clone();
        if !self.has_view_for(id, &order) {
            return;
        }
        let who = order.action.who(&me).clone();
        let room = self.state.rooms.get(cid.as_str()).cloned();
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
        if is_done && is_idle && self.link.deleted.contains(cid) {
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

    /// Signs the link that an order asks for, about this person with this key, and sends it.
    fn send_link(
        &mut self,
        now_ms: u64,
        id: MessageId,
        order: &RoomOrder,
        (room, who, ik): (&Membership, UserName, KeyId),
    ) {
        let (op, arg) = order.action.link(room.exists());
        let futile = if order.last == Some(room.next()) { order.futile + 1 } else { 0 };
        let header = self.link_header(now_ms, room, (op, arg), (who, ik));
        let signer = self.device.bundle.identity();
        let problem =
            room.check(&header, signer).err().map(|error| error.to_string()).or_else(|| {
                (futile > ORDER_FUTILE_MAX).then(|| {
                    "the server says that others have changed the room, and shows no change"
                        .to_owned()
                })
            });
        if let Some(reason) = problem {
            self.refuse_order(&id, code::NOT_ALLOWED, &reason, false);
            return;
        }
        let frame = Unsigned::new(label::MEMBER, header.to_bytes(), Vec::new());
        if let Some(order) = self.orders.get_mut(&id) {
            (order.last, order.futile) = (Some(header.mg), futile);
            order.flying = Some((header, frame.digest()));
        }
        self.order_was_sent(&id);
        self.sign(Slot::Link(id), frame, Vec::new());
    }

    /// The chain has the link that an order has asked for, and its answer was lost: it is said again, because that
    /// answer tells where a removal stands in the log.
    fn says_removal_again(&mut self, id: MessageId, who: &UserName) -> bool {
        let Some(order) = self.orders.get(&id) else { return false };
        let is_removal = matches!(order.action, RoomAction::Remove { .. });
        let link = self.removal_of(&order.cid, who).filter(|_| is_removal);
        let kept = link.and_then(|(number, _)| self.kept_link(&order.cid, number));
        let frame = kept.and_then(|link| RawFrame::decode(link.frame.clone()?.0.into()).ok());
        let Some(frame) = frame else { return false };
        let Ok(Header::Member(header)) = Header::parse(frame.header()) else { return false };
        if header.sk != self.device.keys.signing_id() {
            return false;
        }
        let (bytes, digest) = (frame.bytes().clone(), frame.digest(label::MEMBER));
        if let Some(order) = self.orders.get_mut(&id) {
            (order.flying, order.signed) = (Some((header, digest)), Some(bytes.clone()));
        }
        self.send_frame(bytes);
        true
    }

    fn link_header(
        &mut self,
        now_ms: u64,
        room: &Membership,
        (op, arg): (MemberOperation, MemberArgument),
        (who, ik): (UserName, KeyId),
    ) -> MemberHeader {
        MemberHeader {
            v: VERSION,
            t: Tag::Member,
            cid: room.conversation().clone(),
            from: self.device.user.clone(),
            sk: self.device.keys.signing_id(),
            op,
            who,
            ik,
            arg,
            mg: room.next(),
            pm: room.head(),
            id: self.new_id(now_ms),
            ts: now_ms,
        }
    }

    /// Whether the keys of somebody outside are known, or are not to be had; asks for them once.
    fn has_keys(&mut self, id: MessageId, who: &UserName) -> bool {
        if self.people.devices(who).next().is_some() {
            return true;
        }
        if let Some(request) = self.orders.get(&id).and_then(|order| order.keys) {
            return !self.link.requests.contains_key(&request);
        }
        let request = self.request_bundles(std::slice::from_ref(who), None);
        if let Some(order) = self.orders.get_mut(&id) {
            order.keys = Some(request);
        }
        false
    }

    /// A request for keys was made again under another id.
    pub(crate) fn order_keys_moved(&mut self, old: &MessageId, new: MessageId) {
        for order in self.orders.values_mut().filter(|order| order.keys == Some(*old)) {
            order.keys = Some(new);
        }
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
        let is_deleted = self.link.deleted.contains(room.conversation());
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
            (is_outside && !self.is_trusted(who)).then(|| (code::UNTRUSTED, untrusted(who)))
        })
    }

    /// The hub keeps a link of ours at this place of its log: it is applied to the view, which stays
    /// the verified one.
    pub(crate) fn order_kept(&mut self, link: &MessageId, position: u64) -> bool {
        let Some((id, header, digest)) = self.order_of(link) else { return false };
        let room =
            self.state.rooms.entry(header.cid.as_str(), || Membership::new(header.cid.clone()));
        // A refresh may have brought it already.
        if room.next() == header.mg && room.head() == header.pm {
            room.apply(&header, digest);
            let signed = self.orders.get(&id).and_then(|order| order.signed.clone());
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
        self.link.links_lost.remove(&header.cid);
        self.order_done(&id, Some(position));
        true
    }

    /// The hub refused a link of ours, or a topic.
    pub(crate) fn order_refused(
        &mut self,
        now_ms: u64,
        answered: &MessageId,
        refusal: &Refusal,
    ) -> bool {
        let Refusal { code, reason, .. } = refusal;
        if self.orders.get(answered).is_some_and(|order| order.is_asked) {
            self.refuse_order(answered, code, reason, true);
            return true;
        }
        let Some((id, header, digest)) = self.order_of(answered) else { return false };
        if self.kept_link(&header.cid, header.mg).is_some_and(|link| link.digest == digest) {
            // Said again for its place in the log alone. An honest hub names it: of one that does not, everything that
            // comes from now on is taken to stand behind.
            if header.op == MemberOperation::Remove {
                let newest = self.horizon().newest();
                self.note_removed(&header.cid, (header.mg, digest), Some(newest));
                self.note_answered(&header.cid, newest);
            }
            self.order_done(&id, None);
        } else if code == code::MEMBERS {
            self.order_was_late(now_ms, id, &header);
        } else {
            self.refuse_order(&id, code, reason, true);
        }
        true
    }

    /// The hub could not take a link of ours: it is signed anew.
    pub(crate) fn order_again(&mut self, answered: &MessageId) {
        let id = self.order_of(answered).map_or(*answered, |(id, ..)| id);
        if let Some(order) = self.orders.get_mut(&id) {
            order.flying = None;
            order.is_asked = false;
        }
    }

    fn order_of(&self, link: &MessageId) -> Option<(MessageId, MemberHeader, Digest)> {
        self.orders.iter().find_map(|(id, order)| {
            let (header, digest) = order.flying.as_ref()?;
            (header.id == *link).then(|| (*id, header.clone(), *digest))
        })
    }

    /// Whether a link is one that an order here is waiting for.
    pub(crate) fn is_flying(&self, link: &MessageId) -> bool {
        self.order_of(link).is_some()
    }

    /// Whether a link is one that was signed here for an order that has no answer yet.
    pub(super) fn has_signed(&self, link: &RawFrame) -> bool {
        self.orders.values().any(|order| order.signed.as_ref() == Some(link.bytes()))
    }

    /// Whether a link is one that an order here has asked for, on this connection or since an earlier one.
    pub(super) fn is_ordered(&self, link: &MemberHeader) -> bool {
        let me = &self.device.user;
        let was_sent = |order: &RoomOrder| {
            let (op, arg) = order.action.link(true);
            let is_same = order.cid == link.cid && order.action.who(me) == &link.who;
            order.was_sent && is_same && (op, arg) == (link.op, link.arg)
        };
        self.is_flying(&link.id) || (link.from == *me && self.orders.values().any(was_sent))
    }

    fn order_done(&mut self, id: &MessageId, position: Option<u64>) {
        let Some(RoomOrder { cid, action, .. }) = self.end_order(id) else { return };
        let (id, me) = (Some(*id), self.device.user.clone());
        let changed = |cid, who, change| Event::MemberChanged { id, cid, change, who, by: me };
        let event = match action {
            RoomAction::Join { .. } | RoomAction::Create { .. } => {
                if !cid.is_feed() {
                    self.state.joined.put(cid.as_str(), true);
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
        self.tell(event);
    }

    /// Ends what was asked for in a room, with the reason.
    pub(crate) fn refuse_order(&mut self, id: &MessageId, code: &str, reason: &str, by_hub: bool) {
        if self.end_order(id).is_some() {
            let (id, code, reason) = (*id, code.to_owned(), reason.to_owned());
            self.tell(Event::Refused { id, code, reason, by_hub, may_start_until_ms: None });
        }
    }

    /// The view of a room is not to be had: nothing can be done or said there.
    pub(crate) fn view_refused(&mut self, now_ms: u64, cid: &ConversationId, refusal: &Refusal) {
        let Refusal { code, reason, .. } = refusal;
        let asked = self.link.refreshing.remove(cid).is_some_and(|refresh| refresh.asked);
        if asked {
            self.complain(code, reason);
        }
        if self.is_forgotten(cid) || self.is_told_first(cid) {
            return;
        }
        let ids: Vec<MessageId> =
            self.orders.iter().filter(|(_, order)| order.cid == *cid).map(|(id, _)| *id).collect();
        for id in ids {
            self.refuse_order(&id, code, reason, true);
        }
        self.refuse_drafts(now_ms, cid, code, reason);
    }

    /// The topic of a room was set, by this user or another one.
    pub(crate) fn on_topic(
        &mut self,
        id: Option<MessageId>,
        cid: ConversationId,
        text: String,
        by: UserName,
    ) {
        let id = id.filter(|id| self.end_order(id).is_some());
        self.tell_word(Event::Topic { id, cid, text, by });
    }

    /// How long the messages of a room are kept was set, by this user or another one.
    pub(crate) fn on_retention(
        &mut self,
        id: Option<MessageId>,
        cid: ConversationId,
        keep_ms: u64,
        by: UserName,
    ) {
        let id = id.filter(|id| self.end_order(id).is_some());
        self.tell_word(Event::Retention { id, cid, keep_ms, by });
    }
}
