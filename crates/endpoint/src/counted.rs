//! How far the hub has seen this device's signing key (rules R7, R40): asked once in a process and
//! conversation, before anything is sealed there. A hub that has seen more than this device has kept
//! knows a newer state of it: the device was restored from an old copy, and needs another key.

use chat_protocol::hub::{ClientToHub, Counter};
use chat_protocol::id::MessageId;
use chat_protocol::limits::COUNTERS_PAGE_MAX;
use chat_protocol::name::ConversationId;

use crate::endpoint::Endpoint;
use crate::questions::Question;

impl Endpoint {
    /// Whether the hub has said how far it has seen this key in a conversation. Otherwise it is asked
    /// at the end of the step, together with the others.
    pub(crate) fn is_counted(&mut self, cid: &ConversationId) -> bool {
        if self.counted.contains(cid) {
            return true;
        }
        let asks = |q: &Question| matches!(q, Question::Counters { cids } if cids.contains(cid));
        let is_asked = self.out.questions.any(asks);
        if !is_asked {
            self.link.uncounted.insert(cid.clone());
        }
        false
    }

    /// Asks for what is not known yet.
    pub(crate) fn ask_counters(&mut self) {
        let cids: Vec<ConversationId> =
            std::mem::take(&mut self.link.uncounted).into_iter().collect();
        for page in cids.chunks(COUNTERS_PAGE_MAX) {
            let id = self.request(Question::Counters { cids: page.to_vec() });
            self.ask_counters_of(id, page.to_vec());
        }
    }

    pub(crate) fn ask_counters_of(&mut self, id: MessageId, cids: Vec<ConversationId>) {
        self.out.text(&ClientToHub::Counters { id, cids });
    }

    /// Takes the answer: the conversations go on, or none does before there is another key.
    pub(crate) fn on_counters(&mut self, cids: Vec<ConversationId>, counters: &[Counter]) {
        let asked = counters.iter().filter(|counter| cids.contains(&counter.cid));
        if asked.into_iter().any(|counter| self.is_ahead(counter)) {
            self.link.rolled_back = true;
            self.ask_own_bundles();
            return;
        }
        for cid in cids {
            self.counted.insert(cid.clone());
            self.link.dirty.insert(cid);
        }
    }

    /// Whether the hub has seen a counter that could be used a second time here.
    fn is_ahead(&self, counter: &Counter) -> bool {
        let e = counter.epoch.e;
        let sending = self.epochs.sending(&counter.cid).filter(|s| s.head.e == e);
        if let Some(sending) = sending {
            return counter.n >= sending.chain.next();
        }
        if self.epochs.is_gone(&e) {
            return false;
        }
        // The own chain of an epoch is taken out when it is first used, and gone with the epoch that
        // comes after it: one that the hub has not heard of yet, or has lost (rule R36).
        let Some(epoch) = self.epochs.get(&e) else { return true };
        let own = epoch.list.position(&self.device.user, &self.device.keys.signing_id());
        own.is_none_or(|line| self.epochs.chain(&e, line).is_some())
    }

    /// Whether the hub has seen more of this signing key than this device has kept: it was restored or
    /// copied. Nothing is sealed on this connection; the host makes a new signing key and signs in with
    /// it. Not before the hub has shown this user's bundles: see [`Endpoint::ask_own_bundles`].
    pub fn is_rolled_back(&self) -> bool {
        self.link.rolled_back && self.has_own_bundles()
    }
}
