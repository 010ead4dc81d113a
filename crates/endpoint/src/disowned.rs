//! When the hub says no (rule R35): its no is its word, and what contradicts it is shown.

use chat_protocol::content::ChainNotes;
use chat_protocol::header::MessageHeader;
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;

use crate::endpoint::Endpoint;
use crate::event::{Alarm, Event};
use crate::limits::DISOWNED_MAX;

impl Endpoint {
    /// Somebody has a message of ours: whether the hub had refused it. That is said once.
    pub(crate) fn false_refusal(&mut self, id: &MessageId, by: &UserName) -> bool {
        let key = id.to_string();
        if !self.state.sent.get(&key).is_some_and(|sent| sent.refused) {
            return false;
        }
        let era = self.era();
        let Some(sent) = self.state.sent.get_mut(&key) else { return false };
        sent.refused = false;
        // A hub that lost what it had kept says no to what it has delivered. That it went back was told.
        if sent.era == era {
            let detail =
                format!("the server said that it refused a message, and {by} has it [{id}]");
            self.alarm(Alarm::FalseRefusal, &UserName::server(), &detail);
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
            let shown = self.state.received_frame(&header.from, *digest);
            let Some((key, id)) = shown.filter(|(key, _)| self.state.disowned.get(key).is_none())
            else {
                continue;
            };
            self.state.disowned.put(&key, true);
            if self.state.disowned.len() > DISOWNED_MAX
                && let Some(oldest) = self.state.disowned.first_key()
            {
                self.state.disowned.remove(&oldest);
            }
            self.owe(now_ms, &MessageHeader { id, ..header.clone() }, *digest, true);
            let (cid, from) = (header.cid.clone(), header.from.clone());
            self.tell(Event::Disowned { cid, from, id });
        }
    }
}
