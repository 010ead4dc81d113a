//! What the hub has seen of this device's counters (rule R7): more than this device has kept means that
//! the device was restored or reset, and would use a key twice.

use chat_protocol::handshake::Counter;

use crate::endpoint::Endpoint;
use crate::state::chain_key;

impl Endpoint {
    /// Whether a counter that the hub names could be used a second time here.
    pub(crate) fn would_use_again(&self, counter: &Counter) -> bool {
        let e = counter.epoch.e;
        let conversations = self.state.conversations.iter();
        let mut sending =
            conversations.filter_map(|(_, conversation)| conversation.sending.as_ref());
        if let Some(sending) = sending.find(|sending| sending.head.e == e) {
            return counter.n >= sending.chain.next();
        }
        if self.state.is_gone(&e) {
            return false;
        }
        // The own chain of an epoch is taken out when it is first used, and gone with the epoch that
        // comes after it. A hub that went back names such an epoch (rule R36).
        let Some(epoch) = self.state.epochs.get(&e.to_string()) else { return true };
        let own = epoch.list.position(&self.device.user, &self.device.keys.signing_id());
        own.is_none_or(|line| self.state.chains.get(&chain_key(&e, line)).is_some())
    }
}
