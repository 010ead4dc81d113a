//! How much is held, and when only a new connection helps.

use crate::endpoint::Endpoint;
use crate::epochs::Parts;
use crate::limits::UNASKED_MAX;

impl Endpoint {
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
        self.inbox
            .may_begin_anew()
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
        let (waiting, small) = self.inbox.held();
        let parts = link.parts.values().map(Parts::bytes).sum::<usize>();
        let links = self.views.bytes();
        let small = small + self.out.questions.len() + self.views.len();
        let small = small + link.retries.len() + self.receipts.counts().0;
        let held = self.gaps.held_bytes() + self.parked_grant_bytes() + self.resends.bytes();
        waiting + parts + links + self.receipts.bytes() + held + small * SMALL_BYTES
    }
}

/// What a question, a head or the name of a log costs, about.
const SMALL_BYTES: usize = 256;
