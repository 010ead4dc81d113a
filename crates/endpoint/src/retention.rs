//! What the hub says that it has dropped because a room keeps messages no longer.
//!
//! Nobody has signed that, and a hub that withholds messages may say it. So it is shown as the hub's
//! word, with its number. What it explains is in [`crate::gaps`].

use chat_protocol::code;
use chat_protocol::hub::{DropClaim, Log};
use chat_protocol::retention;

use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::gaps::dropped::Claimed;
use crate::limits::CLOCK_SKEW_MAX_MS;

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
            self.out.complain(code::MALFORMED, &reason);
            return;
        }
        if self.inbox.hear_of_drop(&log, claim) {
            self.drops_reached(now_ms, &log);
        }
    }

    /// Takes what the hub has said of places that this log has come to.
    pub(crate) fn drops_reached(&mut self, now_ms: u64, log: &Log) {
        // A room of which no view is held is none yet, or one that a hub has made up.
        if !self.inbox.awaits_drops() || !self.is_own_log(log) {
            return;
        }
        for claim in self.inbox.reached_drops(log) {
            self.take_claim(now_ms, log, claim);
        }
    }

    fn take_claim(&mut self, now_ms: u64, log: &Log, claim: DropClaim) {
        let DropClaim { cid, position, before_ms, keep_ms, messages } = claim;
        self.positions.note(position);
        let at = self.positions.at(position);
        // One that seems to have gone back may give positions twice.
        let is_reached = self.inbox.is_kept(log, at) && !self.link.behind.contains_key(&cid);
        // The hub is told in any case, so that it does not say it again.
        self.receipts.moved(log, position);
        self.receipts.tell_soon(now_ms);
        if is_reached {
            return;
        }
        self.inbox.keep(log, at);
        let claimed = Claimed { position: at, before_ms, keep_ms, left: messages };
        self.gaps.dropped().claim(&cid, claimed);
        // None of other people is there where all were of another device of one's own.
        if messages > 0 {
            self.out.tell_word(Event::Dropped { cid, from: None, messages, before_ms, keep_ms });
        }
    }
}
