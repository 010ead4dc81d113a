//! A device that accepts commands keeps the newest epochs of a conversation only (rule R41): whoever may
//! write to it could make it keep one a second, for ever.

use chat_protocol::id::Digest;
use chat_protocol::name::ConversationId;

use crate::endpoint::Endpoint;
use crate::limits::AGENT_EPOCHS_MAX;

impl Endpoint {
    /// An epoch of this conversation has come: on an agent the oldest one goes. Its digest stays, so
    /// that nothing of it is opened again.
    pub(super) fn keep_newest_epochs(&mut self, cid: &ConversationId) {
        if self.device.bundle.header().rb.is_none() {
            return;
        }
        let conversation = self.epochs.conversation(cid);
        let head = conversation.and_then(|c| c.head).map(|head| head.e);
        let sending = conversation.and_then(|c| c.sending.as_ref()).map(|s| s.head.e);
        let epochs = self.epochs.iter();
        // One without a position is on its way to the hub.
        let placed = epochs.filter(|epoch| epoch.cid == *cid && epoch.position.is_some());
        let mut placed: Vec<_> = placed.map(|epoch| (epoch.age(), epoch.head.e)).collect();
        placed.sort_unstable();
        let old = placed.len().saturating_sub(AGENT_EPOCHS_MAX);
        let old = placed.into_iter().take(old).map(|(_, e)| e);
        let old: Vec<Digest> = old.filter(|e| Some(*e) != head && Some(*e) != sending).collect();
        for e in old {
            self.epochs.forget_epoch(&e, cid);
        }
    }
}
