//! How a message links to the ones of its sender before it: what is missing, what was burnt, and
//! whether the hashes fit (rules R6, R15).

use chat_protocol::content::{ChainNotes, LastMessage};
use chat_protocol::header::MessageHeader;
use chat_protocol::id::Digest;
use chat_protocol::limits::CHAIN_SKIP_MAX;

use crate::endpoint::Endpoint;
use crate::event::{Alarm, Event};
use crate::heal::ChainName;
use crate::receive::Place;
use crate::retention::Claimed;
use crate::state::{Receiving, chain_key};

impl Endpoint {
    /// The first frame of an epoch that names no message before it must not link to one (rule R15).
    pub(crate) fn check_first(&mut self, header: &MessageHeader, notes: &ChainNotes) {
        if header.n == 0 && notes.last.is_none() && header.p != Digest::ZERO {
            let detail = "the first message of an epoch links to one that it does not name";
            self.alarm(Alarm::BadChain, &header.from, detail);
        }
    }

    /// Shows what is missing before this message, and a hash chain that does not link.
    pub(crate) fn check_chain(
        &mut self,
        now_ms: u64,
        (header, position): (&MessageHeader, u64),
        place: &Place,
        notes: &ChainNotes,
    ) {
        let Place { line, expected, before } = *place;
        let voided = |n: u32| notes.void.iter().find(|(at, _)| *at == n);
        let missing: Vec<u32> = (expected..header.n).filter(|n| voided(*n).is_none()).collect();
        let mut linked = header.n.checked_sub(1).and_then(|n| {
            voided(n)
                .map(|(_, digest)| *digest)
                .or_else(|| before.filter(|(at, _)| *at == n).map(|(_, digest)| digest))
        });
        if let Some(last) = notes.last.as_ref().filter(|_| header.n == 0)
            && let Some(receiving) = self.receiving_before(header, last)
        {
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
        for (n, _) in &notes.void {
            self.filled(&ChainName::of(header), *n);
        }
        let drop = self.drop_before(header, position);
        let tail = self.lost_tail(now_ms, header, notes, drop.as_ref());
        let gone = [(header.e, missing)].into_iter().chain(tail).collect();
        let gone = self.not_dropped(header, drop.as_ref(), gone);
        self.missed(now_ms, header, gone);
    }

    /// The same of a message in an epoch whose chains this device has not: what was before it in
    /// its epoch was noted when it came.
    pub(crate) fn check_strange_chain(
        &mut self,
        now_ms: u64,
        (header, position): (&MessageHeader, u64),
        notes: &ChainNotes,
    ) {
        for (n, _) in &notes.void {
            self.filled(&ChainName::of(header), *n);
        }
        let drop = self.drop_before(header, position);
        let tail = self.lost_tail(now_ms, header, notes, drop.as_ref());
        let gone = self.not_dropped(header, drop.as_ref(), tail.into_iter().collect());
        self.missed(now_ms, header, gone);
    }

    /// What is missing at the end of the epoch before, by one of the first messages of this one.
    fn lost_tail(
        &mut self,
        now_ms: u64,
        header: &MessageHeader,
        notes: &ChainNotes,
        drop: Option<&Claimed>,
    ) -> Option<(Digest, Vec<u32>)> {
        let last = notes.last.as_ref()?;
        let epoch = self.state.epochs.get(&last.e.to_string());
        // What was said until this user went is not sent again to whoever comes back.
        if epoch.is_some_and(|epoch| self.has_gone_since(epoch, &self.device.user)) {
            self.lost_before_going(header, last, drop);
            return None;
        }
        if let Some(receiving) = self.receiving_before(header, last) {
            // The counter is the sender's word, and may be any.
            let gone = receiving.chain.next()..=last.n;
            return Some((last.e, gone.zip(0..CHAIN_SKIP_MAX).map(|(n, _)| n).collect()));
        }
        if epoch.is_some()
            || self.state.is_gone(&last.e)
            || self.was_not_for_me(header, last) == Some(true)
        {
            return None;
        }
        // Nor is anything asked for that the hub says it has dropped: senders keep what they said for
        // those who missed it, not beyond the time that their room keeps it.
        if drop.is_some() {
            self.excuse(header, &last.e, last.n);
        }
        if self.is_excused(header, &last.e, last.n) {
            return None;
        }
        let gone: Vec<u32> = (0..=last.n).zip(0..CHAIN_SKIP_MAX).map(|(n, _)| n).collect();
        if self.was_not_for_me(header, last).is_some() {
            return Some((last.e, gone));
        }
        // The list of this message's epoch is not known here. The sender is asked, and nothing is shown
        // before the answer.
        self.want(now_ms, ChainName { e: last.e, ..ChainName::of(header) }, gone, true);
        None
    }

    /// Shows, once, what a sender has said before this user went and what did not come, but for what the hub's word
    /// explains. A hub that could hide it would only have to see to it that they go.
    fn lost_before_going(
        &mut self,
        header: &MessageHeader,
        last: &LastMessage,
        drop: Option<&Claimed>,
    ) {
        let Some(receiving) = self.receiving_before(header, last) else { return };
        let gone = receiving.chain.next()..=last.n;
        let gone = gone.zip(0..CHAIN_SKIP_MAX).map(|(n, _)| n).collect();
        let gone = self.not_dropped(header, drop, vec![(last.e, gone)]);
        let gone: Vec<u32> = gone.into_iter().flat_map(|(_, counters)| counters).collect();
        if let Some(newest) = gone.last() {
            self.excuse(header, &last.e, *newest);
            let (cid, from) = (header.cid.clone(), header.from.clone());
            let reason =
                "it was said before you left, and is not sent again to who has left".to_owned();
            self.tell(Event::Unhealed { cid, from, n: gone, reason });
        }
    }

    /// Whether this device was no line of the epoch before, by the sender's word; nothing where the
    /// epoch of the message is not held.
    fn was_not_for_me(&self, header: &MessageHeader, last: &LastMessage) -> Option<bool> {
        let epoch = self.state.epochs.get(&header.e.to_string())?;
        let line = epoch.list.position(&self.device.user, &self.device.keys.signing_id());
        Some(line.is_none_or(|line| last.new.contains(line)))
    }

    /// The chain of this message's sender in the epoch that it names as the one before.
    fn receiving_before(&self, header: &MessageHeader, last: &LastMessage) -> Option<&Receiving> {
        let epoch = self.state.epochs.get(&last.e.to_string())?;
        let line = epoch.list.position(&header.from, &header.sk)?;
        self.state.chains.get(&chain_key(&last.e, line)).filter(|_| epoch.cid == header.cid)
    }
}
