//! When the hub says no (rule R35): its no is its word, and what contradicts it is shown.

use chat_protocol::content::ChainNotes;
use chat_protocol::header::MessageHeader;
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;

use crate::endpoint::Endpoint;
use crate::event::{Alarm, Event};
use crate::limits::DISOWNED_MAX;
use crate::outgoing::Outgoing;
use crate::receipts::Owed;

impl Endpoint {
    /// Whether a frame of a message of ours was made for the hub. That it has not kept it, as when it wants
    /// the message in another epoch, is only its word.
    pub(crate) fn has_left(&self, id: &MessageId) -> bool {
        self.state.sent.get(id).is_some_and(|sent| !sent.digests.is_empty())
    }

    /// A message of ours ends as refused, whoever says so. What has left under its id may be delivered all
    /// the same: a receipt for it is an alarm then, and the words of a command are in doubt. Until when the
    /// command could start, Unix time in milliseconds.
    pub(crate) fn note_refused(&mut self, now_ms: u64, refused: &Outgoing) -> Option<u64> {
        // A copy in a feed has the id of what it was made of, which was not refused.
        if refused.quiet || !self.has_left(&refused.id) {
            return None;
        }
        if let Some(sent) = self.state.sent.get_mut(&refused.id) {
            sent.refused = true;
        }
        self.doubt(now_ms, refused)
    }

    /// Somebody has a message of ours: whether the hub had refused it. That is said once.
    pub(crate) fn false_refusal(&mut self, id: &MessageId, by: &UserName) -> bool {
        if !self.state.sent.get(id).is_some_and(|sent| sent.refused) {
            return false;
        }
        let era = self.positions.era();
        let Some(sent) = self.state.sent.get_mut(id) else { return false };
        sent.refused = false;
        // A hub that lost what it had kept says no to what it has delivered. That it went back was told.
        if sent.era == era {
            let detail =
                format!("the server said that it refused a message, and {by} has it [{id}]");
            self.out.alarm(Alarm::FalseRefusal, &UserName::server(), &detail);
        }
        true
    }

    /// A sender says that the hub has refused what this device has shown. A member could invent that:
    /// it is a note, and the sender gets its receipt again, once.
    pub(crate) fn note_disowned(
        &mut self,
        now_ms: u64,
        header: &MessageHeader,
        notes: &ChainNotes,
    ) {
        for (_, digest) in &notes.void {
            let shown = self.epochs.received_frame(&header.from, *digest);
            let Some((key, id)) = shown.filter(|(key, _)| self.state.disowned.get(key).is_none())
            else {
                continue;
            };
            self.state.disowned.put(&key, true);
            if self.state.disowned.len() > DISOWNED_MAX {
                self.state.disowned.pop_first();
            }
            self.owe(now_ms, Owed { id, ..Owed::new(header, *digest, true) });
            let (cid, from) = (header.cid.clone(), header.from.clone());
            self.out.tell(Event::Disowned { cid, from, id });
        }
    }
}
