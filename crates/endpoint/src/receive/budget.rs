//! How much may wait: one budget for all logs, so that no hub fills the memory of its clients (rule
//! R39). What finds no room is not lost as long as nothing behind it is taken either: the cursor
//! stays, and the hub sends it again on the next connection.

use std::collections::VecDeque;

use chat_protocol::hub::Log;

use super::Waiting;
use crate::endpoint::Endpoint;
use crate::epochs::Parts;
use crate::limits::{OVERFLOWED_LOGS_MAX, PARKED_BYTES_MAX, UNASKED_MAX, WAITING_OVERHEAD_BYTES};

impl Waiting {
    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        WAITING_OVERHEAD_BYTES + self.delivery.frame.bytes().len()
    }
}

impl Endpoint {
    /// Whether one more delivery of this log may wait. Where not, nothing more of it is taken on
    /// this connection.
    pub(super) fn has_room(&mut self, log: &Log, bytes: usize) -> bool {
        let parked = self.link.parked_bytes.saturating_add(self.link_bytes());
        let has_room = parked.saturating_add(bytes) <= PARKED_BYTES_MAX;
        if !has_room {
            if self.link.overflowed.len() < OVERFLOWED_LOGS_MAX {
                self.link.overflowed.insert(log.clone());
            } else {
                self.link.is_full = true;
            }
        }
        has_room
    }

    /// Bytes of the links that wait for bundles.
    pub(crate) fn link_bytes(&self) -> usize {
        self.link.refreshing.values().map(crate::rooms::Refresh::bytes).sum()
    }

    /// Whether nothing more of this log is taken on this connection.
    pub(crate) fn is_overflowed(&self, log: &Log) -> bool {
        self.link.is_full || self.link.overflowed.contains(log)
    }

    /// Whether only a new connection helps; see [`Endpoint::reconnect_reason`].
    pub fn must_reconnect(&self) -> bool {
        self.reconnect_reason().is_some()
    }

    /// Why only a new connection helps, in words for people, if so.
    pub fn reconnect_reason(&self) -> Option<&'static str> {
        if self.link.keys_are_old {
            // The next sign-in publishes another one (rule R12).
            return Some("this device's key has expired; it publishes another one");
        }
        if self.link.unasked >= UNASKED_MAX {
            return Some("the server keeps answering what nobody has asked");
        }
        if self.link.lacks_parts {
            return Some("the server has held back a part of a key; it is asked for again");
        }
        // Not before there is room: a server that is only slow has the answers on their way.
        let has_room = self.link.parked_bytes <= PARKED_BYTES_MAX / 2;
        let is_done = |log| self.link.waiting.get(log).is_none_or(VecDeque::is_empty);
        (has_room && self.link.overflowed.iter().any(is_done))
            .then_some("more came at once than this device can hold; it asks for the rest again")
    }

    /// The hub has answered what was not asked: that is dropped, and counted.
    pub(crate) fn unasked(&mut self) {
        self.link.unasked = self.link.unasked.saturating_add(1);
    }

    /// About how many bytes of memory this device holds because of what others have sent and it has
    /// not dealt with, or has yet to send: deliveries that wait with their epochs' parts, links,
    /// frames without a key, granted messages, receipts, questions, and its own messages that are
    /// kept to be sent again. Rooms that the hub calls deleted count, too.
    pub fn held_bytes(&self) -> usize {
        let link = &self.link;
        let waiting = link.waiting.values().flatten().map(Waiting::bytes).sum::<usize>();
        let parts = link.parts.values().map(Parts::bytes).sum::<usize>();
        let links = self.link_bytes();
        let drops = link.drops.values().map(Vec::len).sum::<usize>();
        let small = link.requests.len() + link.heads.len() + link.overflowed.len() + drops;
        let small = small + link.retries.len() + link.waiting.len() + self.state.owed.len();
        let small = small + link.deleted.len();
        let receipts = self.state.receipts.iter().map(|(_, frame)| frame.0.len()).sum::<usize>();
        let held = self.held_frame_bytes() + self.parked_grant_bytes() + self.kept_bytes;
        waiting + parts + links + receipts + held + small * SMALL_BYTES
    }
}

/// What a question, a head or the name of a log costs, about.
const SMALL_BYTES: usize = 256;
