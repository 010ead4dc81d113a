//! How a message links to the ones of its sender before it: what is missing, what was burnt, and
//! whether the hashes fit (rules R6, R15).

use chat_protocol::content::{ChainNotes, LastMessage};
use chat_protocol::header::MessageHeader;
use chat_protocol::id::Digest;
use chat_protocol::limits::CHAIN_SKIP_MAX;

use crate::endpoint::Endpoint;
use crate::event::{Alarm, Event};
use crate::state::{Receiving, chain_key};

impl Endpoint {
    /// Shows what is missing before this message, and a hash chain that does not link. `expected`
    /// is the counter that was to come, `before` the last frame received.
    pub(crate) fn check_chain(
        &mut self,
        header: &MessageHeader,
        line: usize,
        expected: u32,
        before: Option<(u32, Digest)>,
        notes: &ChainNotes,
    ) {
        let voided = |n: u32| notes.void.iter().find(|(at, _)| *at == n);
        let mut missing: Vec<u32> = (expected..header.n).filter(|n| voided(*n).is_none()).collect();
        let mut linked = header.n.checked_sub(1).and_then(|n| {
            voided(n)
                .map(|(_, digest)| *digest)
                .or_else(|| before.filter(|(at, _)| *at == n).map(|(_, digest)| digest))
        });
        if let Some(last) = notes.last.filter(|_| header.n == 0)
            && let Some(receiving) = self.receiving_before(header, &last)
        {
            // The counter is the sender's word, and may be any.
            let lost = receiving.chain.next()..=last.n;
            missing.extend(lost.zip(0..CHAIN_SKIP_MAX).map(|(n, _)| n));
            linked = receiving.last.filter(|(n, _)| *n == last.n).map(|(_, digest)| digest);
        }
        if linked.is_some_and(|digest| digest != header.p) {
            let detail = "a message does not link to the one before it";
            self.alarm(Alarm::BadChain, &header.from, detail);
        }
        // A burnt frame that the hub delivers after all must not open: its sender was told that it
        // is refused.
        if let Some(receiving) = self.state.chains.get_mut(&chain_key(&header.e, line)) {
            for (n, _) in notes.void.iter().filter(|(n, _)| *n < header.n) {
                drop(receiving.chain.key_for(*n));
            }
        }
        if !missing.is_empty() {
            let (cid, from) = (header.cid.clone(), header.from.clone());
            self.tell(Event::Gap { cid, from, missing });
        }
    }

    /// The chain of this message's sender in the epoch that it names as the one before.
    fn receiving_before(&self, header: &MessageHeader, last: &LastMessage) -> Option<&Receiving> {
        let epoch = self.state.epochs.get(&last.e.to_string())?;
        let line = epoch.list.position(&header.from, &header.sk)?;
        self.state.chains.get(&chain_key(&last.e, line)).filter(|_| epoch.cid == header.cid)
    }
}
