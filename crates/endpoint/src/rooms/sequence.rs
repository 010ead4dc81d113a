//! In which order what is said and what is asked for in a room leaves: in that of the asking, where it makes
//! a difference to who reads what was said.

use chat_protocol::id::MessageId;

use super::action::RoomAction;
use crate::endpoint::Endpoint;

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
    pub(super) fn holds_messages(&self) -> bool {
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
    /// Whether something that is asked for waits for messages of this device that were said there before and
    /// have no answer yet. Where nothing can be said it does not, nor for longer than `ORDER_WAIT_MS`.
    pub(super) fn waits_for_messages(&mut self, now_ms: u64, id: &MessageId) -> bool {
        let Some(order) = self.requests.get(id) else { return false };
        let cid = &order.cid;
        let has_before = order.action.waits_for_messages()
            && self.outbox.has_before(cid, order.before)
            && !self.views.of(cid).is_deleted
            && self.cannot_send(now_ms, cid).is_none();
        self.requests.waits(now_ms, id, has_before)
    }
}
