//! What the hub says that it has dropped because a room keeps messages no longer.
//!
//! Nobody has signed that, and a hub that withholds messages may say it. So it is shown as the hub's
//! word, with its number, and it explains no more than it says: of each sender only the gap before
//! the first message that comes behind it, and of all together only so many messages as it names.
//! What it explains is not asked for. Every other gap is one, as always.

use chat_protocol::code;
use chat_protocol::header::MessageHeader;
use chat_protocol::hub::{DropClaim, Log};
use chat_protocol::id::Digest;
use chat_protocol::retention;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::heal::ChainName;
use crate::limits::{CLOCK_SKEW_MAX_MS, DROPS_LOGS_MAX, DROPS_WAITING_MAX, RECEIPT_DELAY_MS};
use crate::position::Position;
use crate::receive::log_key;

/// What the hub says of a room, and what is left of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Claimed {
    position: Position,
    before_ms: u64,
    keep_ms: u64,
    /// Messages that no gap has shown yet.
    left: u64,
}

/// Counters that are missing, by epoch.
pub(crate) type Gone = Vec<(Digest, Vec<u32>)>;

impl Endpoint {
    /// The hub says that it has dropped messages of a room. That counts when everything that stood
    /// before them is dealt with.
    pub(crate) fn on_dropped(&mut self, now_ms: u64, claim: DropClaim) {
        let log = Log::Conversation(claim.cid.clone());
        let is_room = !claim.cid.is_direct();
        let is_deleted = is_room && claim.keep_ms == retention::DELETED_KEEP_MS;
        // Nothing is kept of rooms that this user has not: a hub can name any.
        if is_deleted && self.is_own_log(&log) {
            self.note_deleted(now_ms, &claim.cid, true);
        }
        if is_deleted && claim.position == 0 {
            return;
        }
        // Messages that are younger than the room keeps are not dropped for that reason.
        let over_ms = claim.before_ms.saturating_add(claim.keep_ms);
        let is_over = over_ms <= now_ms.saturating_add(CLOCK_SKEW_MAX_MS);
        let is_set = claim.keep_ms > 0 && retention::is_keep_time(claim.keep_ms);
        if !is_deleted && (!is_room || !is_over || !is_set) {
            let reason = format!(
                "the hub says that it has dropped messages of {} which it was to keep",
                claim.cid
            );
            self.complain(code::MALFORMED, &reason);
            return;
        }
        // As with deliveries: the next connection brings it again.
        let waits = self.link.drops.get(&log).map(Vec::len);
        let has_room = match waits {
            Some(waits) => waits < DROPS_WAITING_MAX,
            None => self.link.drops.len() < DROPS_LOGS_MAX,
        };
        if !self.is_overflowed(&log) && has_room {
            self.link.drops.entry(log.clone()).or_default().push(claim);
            self.drops_reached(now_ms, &log);
        }
    }

    /// Takes what the hub has said of places that this log has come to.
    pub(crate) fn drops_reached(&mut self, now_ms: u64, log: &Log) {
        // A room of which no view is held is none yet, or one that a hub has made up.
        if self.link.drops.is_empty() || !self.is_own_log(log) {
            return;
        }
        let waits_at = self.waits_at(log);
        let Some(claims) = self.link.drops.get_mut(log) else { return };
        let is_reached =
            |claim: &DropClaim| waits_at.is_none_or(|position| claim.position < position);
        let reached: Vec<DropClaim> = claims.extract_if(.., |claim| is_reached(claim)).collect();
        if claims.is_empty() {
            self.link.drops.remove(log);
        }
        for claim in reached {
            self.take_claim(now_ms, log, claim);
        }
    }

    fn take_claim(&mut self, now_ms: u64, log: &Log, claim: DropClaim) {
        let DropClaim { cid, position, before_ms, keep_ms, messages } = claim;
        self.note_position(position);
        let at = self.position(position);
        // One that seems to have gone back may give positions twice.
        let is_reached = self.state.cursors.get(&log_key(log)).is_some_and(|cursor| at <= *cursor)
            && !self.link.behind.contains_key(&cid);
        // The hub is told in any case, so that it does not say it again.
        let moved = self.link.moved.entry(log.clone()).or_default();
        *moved = position.max(*moved);
        let due = now_ms.saturating_add(RECEIPT_DELAY_MS);
        self.link.receipts_due = Some(self.link.receipts_due.map_or(due, |at| at.min(due)));
        if is_reached {
            return;
        }
        self.move_cursor(log, at);
        let left = self.state.dropped.get(cid.as_str()).map_or(0, |claimed| claimed.left);
        let left = left.saturating_add(messages);
        self.state.dropped.put(cid.as_str(), Claimed { position: at, before_ms, keep_ms, left });
        // None of other people is there where all were of another device of one's own.
        if messages > 0 {
            self.tell_word(Event::Dropped { cid, from: None, messages, before_ms, keep_ms });
        }
    }

    /// What the hub has dropped before this message, if it is the first of its sender behind that.
    /// One that was sent again stands at no position, and where the hub has gone back since, every other one comes
    /// behind.
    pub(crate) fn drop_before(&mut self, header: &MessageHeader, position: u64) -> Option<Claimed> {
        let claimed = self.state.dropped.get(header.cid.as_str())?;
        if position == 0 || self.position(position) <= claimed.position {
            return None;
        }
        let key = format!("{}/{}", header.cid, header.sk);
        if self.state.looked.get(&key) == Some(&claimed.position) {
            return None;
        }
        let claimed = claimed.clone();
        self.state.looked.put(&key, claimed.position);
        Some(claimed)
    }

    /// Leaves of what is missing only what the hub's word does not explain. Several of the first
    /// messages of an epoch name the tail of the one before, so what was explained stays so.
    pub(crate) fn not_dropped(
        &mut self,
        header: &MessageHeader,
        claimed: Option<&Claimed>,
        mut gone: Gone,
    ) -> Gone {
        for (e, counters) in &mut gone {
            counters.retain(|n| !self.is_excused(header, e, *n));
        }
        let Some(&Claimed { before_ms, keep_ms, .. }) = claimed else { return gone };
        // The hub's number is of other people: what another device of one's own said is not in it.
        let is_sibling = header.from == self.device.user;
        let mut messages = 0;
        for (e, counters) in &mut gone {
            let claimed = self.state.dropped.get(header.cid.as_str());
            let left =
                if is_sibling { u64::MAX } else { claimed.map_or(0, |claimed| claimed.left) };
            let explained = usize::try_from(left).unwrap_or(usize::MAX).min(counters.len());
            let Some(last) = counters.drain(..explained).next_back() else { continue };
            self.excuse(header, e, last);
            let explained = u64::try_from(explained).unwrap_or(u64::MAX);
            messages += explained;
            if !is_sibling && let Some(claimed) = self.state.dropped.get_mut(header.cid.as_str()) {
                claimed.left = claimed.left.saturating_sub(explained);
            }
        }
        if is_sibling && messages > 0 {
            let (cid, from) = (header.cid.clone(), Some(header.from.clone()));
            self.tell(Event::Dropped { cid, from, messages, before_ms, keep_ms });
        }
        gone
    }

    /// Whether the hub's word has explained that this counter of the sender is missing.
    pub(crate) fn is_excused(&self, header: &MessageHeader, e: &Digest, n: u32) -> bool {
        let last = self.state.excused.get(&tail_key(header, e));
        last.is_some_and(|last| u64::from(n) <= *last)
    }

    /// Notes that a sender has nothing for this device up to this counter.
    pub(crate) fn excuse_chain(&mut self, chain: &ChainName, n: u32) {
        let ChainName { cid, e, sk, .. } = chain;
        self.state.excused.put(&format!("{cid}/{sk}/{e}"), n.into());
    }

    /// Notes that the hub's word explains a sender's chain up to this counter.
    pub(crate) fn excuse(&mut self, header: &MessageHeader, e: &Digest, n: u32) {
        self.state.excused.put(&tail_key(header, e), n.into());
    }
}

/// The key of a sender's chain in an epoch.
fn tail_key(header: &MessageHeader, e: &Digest) -> String {
    format!("{}/{}/{e}", header.cid, header.sk)
}
