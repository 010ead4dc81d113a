//! How a message links to the ones of its sender before it: what is missing, what was burnt, and
//! whether the hashes fit (rules R6, R15).

use chat_protocol::content::{ChainNotes, LastMessage};
use chat_protocol::header::MessageHeader;
use chat_protocol::id::Digest;
use chat_protocol::limits::CHAIN_SKIP_MAX;

use crate::endpoint::Endpoint;
use crate::epochs::Receiving;
use crate::event::Alarm;
use crate::gaps::ChainName;
use crate::gaps::dropped::Claimed;
use crate::receive::Place;

impl Endpoint {
    /// The first frame of an epoch that names no message before it must not link to one (rule R15).
    pub(crate) fn check_first(&mut self, header: &MessageHeader, notes: &ChainNotes) {
        if header.n == 0 && notes.last.is_none() && header.p != Digest::ZERO {
            let detail = "the first message of an epoch links to one that it does not name";
            self.out.alarm(Alarm::BadChain, &header.from, detail);
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
            self.out.alarm(Alarm::BadChain, &header.from, detail);
        }
        // A burnt frame that the hub delivers after all must not open: its sender was told that it
        // is refused.
        if let Some(receiving) = self.epochs.chain_mut(&header.e, line) {
            for (n, _) in notes.void.iter().filter(|(n, _)| *n < header.n) {
                drop(receiving.chain.key_for(*n));
            }
        }
        for (n, _) in &notes.void {
            self.gaps.filled(&ChainName::of(header), *n);
        }
        self.note_missing(now_ms, (header, position), notes, Some((header.e, missing)));
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
            self.gaps.filled(&ChainName::of(header), *n);
        }
        self.note_missing(now_ms, (header, position), notes, None);
    }

    /// Shows what is missing, here and at the end of the epoch before.
    fn note_missing(
        &mut self,
        now_ms: u64,
        (header, position): (&MessageHeader, u64),
        notes: &ChainNotes,
        missing: Option<(Digest, Vec<u32>)>,
    ) {
        let at = (position > 0).then(|| self.positions.at(position));
        let drop = self.gaps.dropped().before(header, at);
        let tail = self.lost_tail(now_ms, header, notes, drop.as_ref());
        let gone = missing.into_iter().chain(tail).collect();
        let is_news = self.gaps.missed(now_ms, &mut self.out, (header, drop.as_ref()), gone);
        if is_news && self.is_own(&header.cid) {
            self.miss_settings(now_ms);
        }
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
        let epoch = self.epochs.get(&last.e);
        // What was said until this user went is not sent again to whoever comes back.
        if epoch.is_some_and(|epoch| self.has_gone_since(epoch, &self.device.user)) {
            let receiving = self.receiving_before(header, last)?;
            let gone = up_to(receiving.chain.next(), last.n);
            self.gaps.lost_before_going(&mut self.out, (header, drop), last.e, gone);
            return None;
        }
        if let Some(receiving) = self.receiving_before(header, last) {
            return Some((last.e, up_to(receiving.chain.next(), last.n)));
        }
        if epoch.is_some()
            || self.epochs.is_gone(&last.e)
            || self.was_not_for_me(header, last) == Some(true)
        {
            return None;
        }
        // Nor is anything asked for that the hub says it has dropped: senders keep what they said for
        // those who missed it, not beyond the time that their room keeps it.
        let chain = ChainName { e: last.e, ..ChainName::of(header) };
        if drop.is_some() {
            self.gaps.dropped().excuse(&chain, last.n);
        }
        if self.gaps.dropped().is_excused(&chain, last.n) {
            return None;
        }
        let gone = up_to(0, last.n);
        if self.was_not_for_me(header, last).is_some() {
            return Some((last.e, gone));
        }
        // The list of this message's epoch is not known here. The sender is asked, and nothing is shown
        // before the answer.
        self.gaps.want(now_ms, &mut self.out, chain, gone, true);
        None
    }

    /// Whether this device was no line of the epoch before, by the sender's word; nothing where the
    /// epoch of the message is not held.
    fn was_not_for_me(&self, header: &MessageHeader, last: &LastMessage) -> Option<bool> {
        let epoch = self.epochs.get(&header.e)?;
        let line = epoch.list.position(&self.device.user, &self.device.keys.signing_id());
        Some(line.is_none_or(|line| last.new.contains(line)))
    }

    /// The chain of this message's sender in the epoch that it names as the one before.
    fn receiving_before(&self, header: &MessageHeader, last: &LastMessage) -> Option<&Receiving> {
        self.epochs.chain_of((&header.cid, &last.e), (&header.from, &header.sk))
    }
}

/// Counters from one on to the last, which is its sender's word and may be any.
fn up_to(first: u32, last: u32) -> Vec<u32> {
    (first..=last).zip(0..CHAIN_SKIP_MAX).map(|(n, _)| n).collect()
}
