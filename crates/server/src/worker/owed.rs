//! Messages that were told to come again: until the first of them is there, none that was sealed behind it is taken.
//! Its counter would have been passed then, and it could never be stored any more.

use std::collections::HashMap;

use chat_protocol::{header::Header, id::Digest};

use crate::{connection::ConnectionId, request::FrameRequest};

/// Epochs of one connection in which a message is owed. A device has few conversations under way at once.
const EPOCHS_MAX: usize = 1_024;

/// By connection and epoch: the lowest counter that is to come again.
#[derive(Debug, Default)]
pub(super) struct Owed(HashMap<ConnectionId, HashMap<Digest, u32>>);

/// The epoch and the counter of a message; nothing else has one.
fn place(request: &FrameRequest) -> Option<(Digest, u32)> {
    match &request.header {
        Header::Message(header) => Some((header.e, header.n)),
        _ => None,
    }
}

impl Owed {
    /// A frame is told to come again. False where its connection owes more than any that is in order.
    pub(super) fn note(&mut self, request: &FrameRequest) -> bool {
        let Some((e, n)) = place(request) else { return true };
        let epochs = self.0.entry(request.peer.connection).or_default();
        if epochs.len() >= EPOCHS_MAX && !epochs.contains_key(&e) {
            return false;
        }
        epochs.entry(e).and_modify(|lowest| *lowest = n.min(*lowest)).or_insert(n);
        true
    }

    /// Whether a frame has to wait for one that is owed. That one itself is owed no more.
    pub(super) fn holds_back(&mut self, request: &FrameRequest) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let Some((e, n)) = place(request) else { return false };
        let Some(epochs) = self.0.get_mut(&request.peer.connection) else { return false };
        let Some(lowest) = epochs.get(&e).copied() else { return false };
        if n == lowest {
            epochs.remove(&e);
            if epochs.is_empty() {
                self.0.remove(&request.peer.connection);
            }
        }
        n > lowest
    }

    /// A connection has ended: on the next one its device says everything again in order.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.0.remove(&connection);
    }
}
