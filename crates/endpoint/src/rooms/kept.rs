//! What was asked for in rooms, as rows: it is done after a restart, too.
//!
//! A process takes over the rows that it finds when it starts. What another process of the home asks
//! for later is that one's business, so that nothing is done by two who both live.

use chat_protocol::id::MessageId;
use chat_protocol::name::ConversationId;
use serde::{Deserialize, Serialize};

use super::action::RoomAction;
use super::orders::RoomOrder;
use crate::endpoint::Endpoint;
use crate::state::{next_order, order_key};

/// What was asked for and has no answer yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeptOrder {
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
pub(crate) enum OrderRow {
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

impl Endpoint {
    /// Begins what was asked for.
    pub(crate) fn keep_order(&mut self, id: MessageId, cid: ConversationId, action: RoomAction) {
        let last = self.state.orders.last_key();
        let last = last.and_then(|key| key.split('/').next()?.parse::<u64>().ok());
        // With the id, because another process of the home may have used the number before.
        let row = format!("{}/{id}", order_key(last.map_or(0, |last| last.saturating_add(1))));
        let (before, was_sent) = (self.next_message(), false);
        let kept = KeptOrder { id, cid: cid.clone(), action: action.clone(), was_sent, before };
        self.state.orders.put(&row, kept);
        self.orders.insert(id, RoomOrder::new(cid, action, OrderRow::Own(row), before));
    }

    /// Takes over what a process before this one was asked for, in the order of the asking.
    pub(crate) fn take_over_orders(&mut self) {
        for (row, kept) in self.state.orders.iter() {
            let KeptOrder { id, cid, action, was_sent, before } = kept.clone();
            // Numbers begin anew where no message waits: those of later ones are not below this.
            let before = before.min(next_order(&self.state.outgoing));
            let mut order = RoomOrder::new(cid, action, OrderRow::TakenOver(row.clone()), before);
            order.was_sent = was_sent;
            self.orders.insert(id, order);
        }
    }

    /// Another process of the home has written. What it has ended of what was taken over is ended
    /// here; what this process was asked for itself may be done, and is looked at again.
    pub(crate) fn orders_reloaded(&mut self) {
        let rows = &self.state.orders;
        let is_ended = |order: &RoomOrder| match &order.row {
            OrderRow::TakenOver(key) => rows.get(key).is_none(),
            OrderRow::Own(_) => false,
        };
        // What was said there may have waited for it.
        let ended = self.orders.values().filter(|order| is_ended(order));
        self.link.dirty.extend(ended.map(|order| order.cid.clone()));
        self.orders.retain(|_, order| !is_ended(order));
        for order in self.orders.values_mut() {
            order.was_sent |= rows.get(order.row.key()).is_none_or(|kept| kept.was_sent);
        }
    }

    /// A link is about to leave.
    pub(super) fn order_was_sent(&mut self, id: &MessageId) {
        let Some(order) = self.orders.get_mut(id) else { return };
        if !std::mem::replace(&mut order.was_sent, true)
            && let Some(kept) = self.state.orders.get_mut(order.row.key())
        {
            kept.was_sent = true;
        }
    }

    /// It has its answer: what was said there may have waited for it.
    pub(super) fn end_order(&mut self, id: &MessageId) -> Option<RoomOrder> {
        let order = self.orders.shift_remove(id)?;
        self.state.orders.remove(order.row.key());
        self.link.dirty.insert(order.cid.clone());
        Some(order)
    }
}
