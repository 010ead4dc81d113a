//! In which order what is said and what is asked for in a room leaves: in that of the asking, where it makes
//! a difference to who reads what was said.

use chat_protocol::id::MessageId;
use chat_protocol::name::ConversationId;

use super::action::RoomAction;
use crate::endpoint::Endpoint;
use crate::state::order_key;

impl RoomAction {
    /// Whether it waits for what this device has said there before: who has left can say nothing more, and
    /// who is let in would read it. Who is put out goes at once, and reads less.
    fn waits_for_messages(&self) -> bool {
        matches!(self, Self::Leave | Self::Admit(_))
    }

    /// Whether its user comes into the room by it.
    pub(super) fn comes_in(&self) -> bool {
        matches!(self, Self::Join { .. } | Self::Create { .. })
    }

    /// Whether what is said there after it waits for its answer: it changes who reads that, or whether it can
    /// be said at all.
    fn holds_messages(&self) -> bool {
        match self {
            Self::Join { .. }
            | Self::Create { .. }
            | Self::Leave
            | Self::Admit(_)
            | Self::Remove { .. } => true,
            Self::Unban(_) | Self::Role { .. } | Self::Topic(_) | Self::Retention(_) => false,
        }
    }
}

impl Endpoint {
    /// From which number on the messages of a conversation wait for something that was asked for there.
    pub(crate) fn waits_from(&self, cid: &ConversationId) -> Option<u64> {
        let orders = self.orders.values().filter(|order| order.cid == *cid);
        orders.filter(|order| order.action.holds_messages()).map(|order| order.before).min()
    }

    /// Whether something that is asked for waits for messages of this device that were said there before and
    /// have no answer yet. Where nothing can be said it does not, nor for longer than `ORDER_WAIT_MS`.
    pub(super) fn waits_for_messages(&mut self, now_ms: u64, id: &MessageId) -> bool {
        let Some(order) = self.orders.get(id) else { return false };
        let (cid, before) = (&order.cid, order_key(order.before));
        let is_before = self.state.outgoing.iter().take_while(|(key, _)| **key < before);
        let waits = order.action.waits_for_messages()
            && is_before.map(|(_, outgoing)| outgoing).any(|outgoing| outgoing.cid == *cid)
            && !self.link.deleted.contains(cid)
            && self.cannot_send(now_ms, cid).is_none();
        let until = now_ms.saturating_add(order.may_wait_ms);
        let until = order.waits_until_ms.unwrap_or(until);
        if let Some(order) = self.orders.get_mut(id) {
            order.waits_until_ms = waits.then_some(until);
        }
        waits && now_ms < until
    }

    /// The connection is gone: until the next one nothing waits, because nothing could leave.
    pub(crate) fn pause_orders(&mut self) {
        let now_ms = self.link.clock_ms;
        for order in self.orders.values_mut() {
            if let Some(until) = order.waits_until_ms.take() {
                order.may_wait_ms = until.saturating_sub(now_ms);
            }
        }
    }

    /// When the first that waits for messages waits no longer.
    pub(crate) fn orders_deadline(&self) -> Option<u64> {
        let until = self.orders.values().filter_map(|order| order.waits_until_ms);
        until.filter(|until| *until > self.link.clock_ms).min()
    }
}
