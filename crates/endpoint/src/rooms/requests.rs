//! What this user has asked for in rooms and what is not done yet. It is done after a restart, too.
//!
//! A process takes over the rows that it finds when it starts. What another process of the home asks
//! for later is that one's business, so that nothing is done by two who both live.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chat_protocol::frame::RawFrame;
use chat_protocol::header::MemberHeader;
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::name::{ConversationId, UserName};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::action::RoomAction;
use crate::limits::ORDER_WAIT_MS;
use crate::table::order_key;
use crate::table::{Kind, Table};

/// What was asked for and has no answer yet, as a row.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeptOrder {
    id: MessageId,
    cid: ConversationId,
    action: RoomAction,
    /// A link was sent: it may be in the chain.
    was_sent: bool,
    /// The number of the first message of this device that was said after it.
    before: u64,
}

/// The key of the row of what was asked for.
#[derive(Debug, Clone)]
enum OrderRow {
    /// Written by this process.
    Own(String),
    /// Written by a process before this one.
    TakenOver(String),
}

impl OrderRow {
    fn key(&self) -> &str {
        let (Self::Own(key) | Self::TakenOver(key)) = self;
        key
    }
}

/// What was asked for and is not done yet. What survives the process is in its row.
#[derive(Debug, Clone)]
pub(crate) struct RoomOrder {
    pub(super) cid: ConversationId,
    pub(super) action: RoomAction,
    /// The view was fetched for it: outsiders are not told when a chain grows.
    has_view: bool,
    /// The link that is under way, and its digest.
    flying: Option<(MemberHeader, Digest)>,
    /// That link as it was signed.
    pub(super) signed: Option<Bytes>,
    /// The topic, or how long messages are kept, is under way.
    pub(super) is_asked: bool,
    /// The request for the keys of whom it is about.
    pub(super) keys: Option<MessageId>,
    /// A link was sent, on this connection or an earlier one: it may be in the chain.
    pub(super) was_sent: bool,
    row: OrderRow,
    /// The number of the first message of this device that was said after it.
    pub(super) before: u64,
    /// Until when it waits for the messages before it, Unix time in milliseconds; nothing where it does not.
    waits_until_ms: Option<u64>,
    /// How long it may still wait for them, in milliseconds: connections that break do not begin it anew.
    may_wait_ms: u64,
    /// Number of the link before, and how often it was refused as late without a newer one.
    last: Option<u32>,
    futile: u32,
}

impl RoomOrder {
    fn new(cid: ConversationId, action: RoomAction, row: OrderRow, before: u64) -> Self {
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

    /// How often a link with this number was refused as late before.
    pub(super) fn futile_at(&self, number: u32) -> u32 {
        if self.last == Some(number) { self.futile + 1 } else { 0 }
    }

    fn waits_for(&self, link: &MessageId) -> bool {
        self.flying.as_ref().is_some_and(|(header, _)| header.id == *link)
    }
}

/// All that is not done yet.
#[derive(Debug, Default)]
pub(crate) struct RoomRequests {
    /// By the id of the asking and in the order of it: ids of one millisecond do not tell which came first.
    open: IndexMap<MessageId, RoomOrder>,
    /// By order and id.
    rows: Table<KeptOrder>,
    /// How often another link came first, by conversation, since one of ours was kept.
    lost: BTreeMap<ConversationId, u32>,
}

impl RoomRequests {
    pub(crate) fn rows(&mut self) -> [Kind<'_>; 1] {
        [("order", &mut self.rows)]
    }

    /// Begins what was asked for before the message with this number.
    pub(super) fn begin(
        &mut self,
        id: MessageId,
        cid: ConversationId,
        action: RoomAction,
        before: u64,
    ) {
        let last = self.rows.last_key();
        let last = last.and_then(|key| key.split('/').next()?.parse::<u64>().ok());
        // With the id, because another process of the home may have used the number before.
        let row = format!("{}/{id}", order_key(last.map_or(0, |last| last.saturating_add(1))));
        let was_sent = false;
        let kept = KeptOrder { id, cid: cid.clone(), action: action.clone(), was_sent, before };
        self.rows.put(&row, kept);
        self.open.insert(id, RoomOrder::new(cid, action, OrderRow::Own(row), before));
    }

    /// Takes over what a process before this one was asked for, in the order of the asking. The next message of
    /// this device has this number.
    pub(crate) fn take_over(&mut self, next: u64) {
        for (row, kept) in self.rows.iter() {
            let KeptOrder { id, cid, action, was_sent, before } = kept.clone();
            // Numbers begin anew where no message waits: those of later ones are not below this.
            let row = OrderRow::TakenOver(row.clone());
            let order = RoomOrder::new(cid, action, row, before.min(next));
            self.open.insert(id, RoomOrder { was_sent, ..order });
        }
    }

    /// Another process of the home has written. What it has ended of what was taken over is ended
    /// here; what this process was asked for itself may be done, and is looked at again. In which conversations
    /// something has ended.
    pub(crate) fn reloaded(&mut self) -> Vec<ConversationId> {
        let rows = &self.rows;
        let is_ended = |order: &RoomOrder| match &order.row {
            OrderRow::TakenOver(key) => rows.get(key).is_none(),
            OrderRow::Own(_) => false,
        };
        let ended = self.open.values().filter(|order| is_ended(order));
        let ended = ended.map(|order| order.cid.clone()).collect();
        self.open.retain(|_, order| !is_ended(order));
        for order in self.open.values_mut() {
            order.was_sent |= rows.get(order.row.key()).is_none_or(|kept| kept.was_sent);
        }
        ended
    }

    /// A new connection: nothing is under way on it.
    pub(crate) fn connected(&mut self) {
        for order in self.open.values_mut() {
            (order.flying, order.is_asked, order.keys) = (None, false, None);
            (order.last, order.futile) = (None, 0);
        }
    }

    /// The connection is gone: until the next one nothing waits, because nothing could leave.
    pub(crate) fn disconnected(&mut self, now_ms: u64) {
        self.lost.clear();
        for order in self.open.values_mut() {
            if let Some(until) = order.waits_until_ms.take() {
                order.may_wait_ms = until.saturating_sub(now_ms);
            }
        }
    }

    /// When the first that waits for messages waits no longer.
    pub(crate) fn deadline(&self, now_ms: u64) -> Option<u64> {
        let until = self.open.values().filter_map(|order| order.waits_until_ms);
        until.filter(|until| *until > now_ms).min()
    }

    pub(super) fn get(&self, id: &MessageId) -> Option<&RoomOrder> {
        self.open.get(id)
    }

    /// What was asked for in a conversation.
    pub(super) fn of<'a>(
        &'a self,
        cid: &'a ConversationId,
    ) -> impl Iterator<Item = (&'a MessageId, &'a RoomOrder)> {
        self.open.iter().filter(move |(_, order)| order.cid == *cid)
    }

    /// From which number on the messages of a conversation wait for something that was asked for there.
    pub(crate) fn waits_from(&self, cid: &ConversationId) -> Option<u64> {
        let holding = self.of(cid).filter(|(_, order)| order.action.holds_messages());
        holding.map(|(_, order)| order.before).min()
    }

    /// What can be done now: one for each room at a time, in the order of the asking.
    pub(super) fn next(&self) -> Vec<MessageId> {
        let mut rooms = BTreeSet::new();
        let firsts = self.open.iter().filter(|(_, order)| rooms.insert(&order.cid));
        let ready = firsts.filter(|(_, order)| order.flying.is_none() && !order.is_asked);
        ready.map(|(id, _)| *id).collect()
    }

    /// Whether the view is fetched for it the first time.
    pub(super) fn is_first_look(&mut self, id: &MessageId) -> bool {
        let order = self.open.get_mut(id);
        order.is_some_and(|order| !std::mem::replace(&mut order.has_view, true))
    }

    /// Whether it waits for messages that were said before it, if there are any: not for longer than `ORDER_WAIT_MS`.
    pub(super) fn waits(&mut self, now_ms: u64, id: &MessageId, has_before: bool) -> bool {
        let Some(order) = self.open.get_mut(id) else { return false };
        let until = now_ms.saturating_add(order.may_wait_ms);
        let until = order.waits_until_ms.unwrap_or(until);
        order.waits_until_ms = has_before.then_some(until);
        has_before && now_ms < until
    }

    /// A setting is under way.
    pub(super) fn asks(&mut self, id: &MessageId) {
        self.change(id, |order| order.is_asked = true);
    }

    /// The keys of whom it is about were asked for.
    pub(super) fn asks_for_keys(&mut self, id: &MessageId, request: MessageId) {
        self.change(id, |order| order.keys = Some(request));
    }

    /// A link is about to leave.
    pub(super) fn sends(&mut self, id: &MessageId, link: MemberHeader, digest: Digest) {
        let Some(order) = self.open.get_mut(id) else { return };
        order.futile = order.futile_at(link.mg);
        (order.last, order.flying) = (Some(link.mg), Some((link, digest)));
        if !std::mem::replace(&mut order.was_sent, true)
            && let Some(kept) = self.rows.get_mut(order.row.key())
        {
            kept.was_sent = true;
        }
    }

    /// A link was signed.
    pub(crate) fn signed(&mut self, id: &MessageId, frame: &Bytes) {
        self.change(id, |order| order.signed = Some(frame.clone()));
    }

    /// A link of the chain is said again, because its answer was lost.
    pub(super) fn says_again(&mut self, id: &MessageId, link: MemberHeader, frame: &RawFrame) {
        let digest = frame.digest(chat_protocol::tag::label::MEMBER);
        self.change(id, |order| {
            (order.flying, order.signed) = (Some((link, digest)), Some(frame.bytes().clone()));
        });
    }

    /// Nothing is under way for it any more.
    pub(crate) fn again(&mut self, id: &MessageId) {
        self.change(id, |order| (order.flying, order.is_asked) = (None, false));
    }

    /// It is signed again after a while. The view is fetched then, and not now: by then it would be old.
    pub(super) fn waits_for_its_turn(&mut self, id: &MessageId) {
        self.change(id, |order| order.has_view = false);
    }

    fn change(&mut self, id: &MessageId, change: impl FnOnce(&mut RoomOrder)) {
        if let Some(order) = self.open.get_mut(id) {
            change(order);
        }
    }

    /// The link with this id, if it is the one that an order waits for.
    pub(super) fn flying_link(
        &self,
        id: &MessageId,
        link: &MessageId,
    ) -> Option<(MemberHeader, Digest)> {
        self.open.get(id).filter(|order| order.waits_for(link))?.flying.clone()
    }

    /// Another link came first: how often in a row that was.
    pub(super) fn lost(&mut self, cid: &ConversationId) -> u32 {
        let lost = self.lost.entry(cid.clone()).or_default();
        *lost = lost.saturating_add(1);
        *lost
    }

    /// A link of ours came first.
    pub(crate) fn won(&mut self, cid: &ConversationId) {
        self.lost.remove(cid);
    }

    /// Whether a link is one that was signed here for something that has no answer yet.
    pub(super) fn has_signed(&self, link: &RawFrame) -> bool {
        self.open.values().any(|order| order.signed.as_ref() == Some(link.bytes()))
    }

    /// Whether a link is one that was asked for here, on this connection or since an earlier one.
    pub(super) fn is_ordered(&self, link: &MemberHeader, me: &UserName) -> bool {
        let was_sent = |order: &RoomOrder| {
            let (op, arg) = order.action.link(true);
            let is_same = order.cid == link.cid && order.action.who(me) == &link.who;
            order.was_sent && is_same && (op, arg) == (link.op, link.arg)
        };
        let is_it =
            |order: &RoomOrder| order.waits_for(&link.id) || (link.from == *me && was_sent(order));
        self.open.values().any(is_it)
    }

    /// It has its answer. With the id of the link that was under way for it.
    pub(super) fn end(&mut self, id: &MessageId) -> Option<(RoomOrder, Option<MessageId>)> {
        let order = self.open.shift_remove(id)?;
        self.rows.remove(order.row.key());
        let link = order.flying.as_ref().map(|(link, _)| link.id);
        Some((order, link))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Change;

    fn id(number: u8) -> MessageId {
        MessageId([number; 16])
    }

    fn room(name: &str) -> ConversationId {
        ConversationId::parse(&format!("room:{name}")).unwrap()
    }

    fn rows(requests: &mut RoomRequests) -> Vec<Change> {
        let mut changes = Vec::new();
        requests.rows().into_iter().for_each(|(kind, rows)| rows.flush(kind, &mut changes));
        changes
    }

    fn load(requests: &mut RoomRequests, changes: &[Change]) {
        for (kind, rows) in requests.rows() {
            rows.clear();
            for Change { key, value } in changes {
                rows.load(kind, key, value.as_ref().unwrap()).unwrap();
            }
        }
    }

    /// Goal: what is asked for in one room is done in its order, and in two rooms at once; messages wait for what
    /// decides who reads them.
    #[test]
    fn one_at_a_time_in_each_room() {
        let mut requests = RoomRequests::default();
        requests.begin(id(3), room("a"), RoomAction::Topic("x".to_owned()), 5);
        requests.begin(id(2), room("a"), RoomAction::Leave, 6);
        requests.begin(id(1), room("b"), RoomAction::Leave, 7);
        assert_eq!(requests.next(), [id(3), id(1)]);
        requests.asks(&id(3));
        assert_eq!(requests.next(), [id(1)]);
        assert_eq!(requests.waits_from(&room("a")), Some(6));
        assert!(requests.end(&id(3)).is_some() && requests.end(&id(3)).is_none());
        assert_eq!(requests.next(), [id(2), id(1)]);
    }

    /// Goal: what another process has ended is ended here if it was taken over, and looked at again if this process was
    /// asked itself.
    #[test]
    fn what_another_process_ends() {
        let mut first = RoomRequests::default();
        first.begin(id(1), room("a"), RoomAction::Leave, 9);
        let written = rows(&mut first);
        let mut second = RoomRequests::default();
        load(&mut second, &written);
        second.take_over(4);
        assert_eq!(second.waits_from(&room("a")), Some(4), "numbers have begun anew");
        second.begin(id(2), room("b"), RoomAction::Leave, 4);
        load(&mut second, &[]);
        assert_eq!(second.reloaded(), [room("a")]);
        assert_eq!(second.next(), [id(2)]);
        assert!(second.get(&id(2)).unwrap().was_sent, "its link may be in the chain");
    }

    /// Goal: connections that break give no more time to wait for messages.
    #[test]
    fn waiting_goes_on_where_it_was() {
        let mut requests = RoomRequests::default();
        requests.begin(id(1), room("a"), RoomAction::Leave, 1);
        assert!(requests.waits(0, &id(1), true));
        assert_eq!(requests.deadline(0), Some(ORDER_WAIT_MS));
        requests.disconnected(ORDER_WAIT_MS - 10);
        assert_eq!(requests.deadline(0), None);
        assert!(requests.waits(1_000_000, &id(1), true) && requests.waits(1_000_009, &id(1), true));
        assert!(!requests.waits(1_000_010, &id(1), true));
    }
}
