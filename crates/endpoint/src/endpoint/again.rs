//! What is said again: on a new connection everything without an answer, and one id when the hub could
//! not take it.

use bytes::Bytes;
use chat_protocol::id::MessageId;
use chat_protocol::name::ConversationId;

use super::{Endpoint, Out, Transmit};
use crate::connection::Request;

impl Endpoint {
    /// Sends again, byte-identical and in order, what has no answer.
    pub(super) fn resend(&mut self) {
        let frames: Vec<(String, ConversationId, Vec<u8>)> = self
            .state
            .outgoing
            .iter()
            .filter_map(|(key, outgoing)| {
                let sealed = outgoing.sealed.as_ref()?;
                Some((key.clone(), outgoing.cid.clone(), sealed.frame.0.clone()))
            })
            .collect();
        for (key, cid, frame) in frames {
            self.link.flying.insert(key, cid);
            self.out.push(Out::Ready(Transmit::Binary(frame.into())));
        }
        for (_, receipt) in self.state.receipts.iter() {
            self.out.push(Out::Ready(Transmit::Binary(receipt.0.clone().into())));
        }
        self.say_keys();
    }

    /// Sends one id again; of a message, everything of its conversation from it on (rule R6).
    pub(super) fn send_again(&mut self, now_ms: u64, id: &MessageId) {
        if let Some(cid) = self.link.joining.remove(id) {
            return self.join(&cid, now_ms);
        }
        match self.link.requests.remove(id) {
            Some(Request::Bundles { names, kids, view }) => {
                let again = self.ask_bundles(&names, kids, view.clone());
                self.retry_moved(id, again);
                self.ask_moved(id, again);
                self.order_keys_moved(id, again);
                self.owners_moved(id, again);
                self.keys_moved(id, again);
                if let Some(cid) = view {
                    self.refresh_moved(&cid, id, again);
                }
                return;
            }
            Some(
                page @ (Request::Members { .. }
                | Request::Who { .. }
                | Request::Rooms { .. }
                | Request::Heads { .. }),
            ) => {
                let again = self.ask_page(page);
                return self.retry_moved(id, again);
            }
            Some(Request::Counters { cids }) => {
                self.link.requests.insert(*id, Request::Counters { cids: cids.clone() });
                return self.ask_counters_of(*id, cids);
            }
            Some(Request::Remind { bundles, links }) => {
                let again = self.send_reminder(bundles, links);
                return self.retry_moved(id, again);
            }
            Some(Request::Files(question)) => return self.ask_of_files(*id, *question),
            None => {}
        }
        self.order_again(id);
        self.say_key(id);
        let mut frames: Vec<Bytes> = Vec::new();
        if let Some(receipt) = self.state.receipts.get(&id.to_string()) {
            frames.push(receipt.0.clone().into());
        }
        if let Some(first) = self.index.get(id)
            && let Some(cid) = self.state.outgoing.get(first).map(|o| o.cid.clone())
        {
            let later = self.state.outgoing.iter().filter(|(key, o)| *key >= first && o.cid == cid);
            for outgoing in later.map(|(_, outgoing)| outgoing) {
                let Some(sealed) = &outgoing.sealed else { continue };
                self.link.retries.remove(&outgoing.id);
                frames.push(Bytes::from(sealed.frame.0.clone()));
            }
        }
        self.out.extend(frames.into_iter().map(|frame| Out::Ready(Transmit::Binary(frame))));
    }
}
