//! The encryption, told as it happens, for a host that asks. Nothing is collected otherwise.

use bytes::Bytes;
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Header;
use chat_protocol::id::{Digest, KeyId};
use chat_protocol::trace;

use crate::endpoint::{Endpoint, Slot};

impl Endpoint {
    /// From now on each step tells what was signed, wrapped and verified, one block per frame.
    pub fn trace_crypto(&mut self) {
        self.trace.get_or_insert_default();
    }

    /// A frame of ours was signed.
    pub(crate) fn trace_sent(&mut self, slot: &Slot, bytes: &Bytes) {
        if self.trace.is_none() {
            return;
        }
        let Ok(frame) = RawFrame::decode(bytes.clone()) else { return };
        let Ok(header) = Header::parse(frame.header()) else { return };
        let mut block = format!("sends\n{}", trace::frame(&frame, &header));
        if let Slot::Key(id) = slot {
            let e = self.state.making.get(&id.to_string()).map(|making| making.head.e.to_string());
            let epoch = e.and_then(|e| self.state.epochs.get(&e));
            for line in epoch.into_iter().flat_map(|epoch| epoch.list.lines()) {
                block += &trace::wrap(line);
            }
        }
        block += &trace::verdict("signed here");
        self.trace.get_or_insert_default().push(block);
    }

    /// A frame of somebody else was judged.
    pub(crate) fn trace_received(&mut self, frame: &RawFrame, verdict: impl FnOnce() -> String) {
        if self.trace.is_none() {
            return;
        }
        let Ok(header) = Header::parse(frame.header()) else { return };
        let block = trace::frame(frame, &header) + &trace::verdict(&verdict());
        self.trace.get_or_insert_default().push(format!("receives\n{block}"));
    }

    /// The key of an epoch was unwrapped, or was not.
    pub(crate) fn trace_epoch(&mut self, e: &Digest, kc: &Digest, opened: Result<&KeyId, &str>) {
        let Some(blocks) = &mut self.trace else { return };
        let verdict = match opened {
            Ok(ek) => format!("unwrapped with key {ek}; the key fits its commitment {kc}"),
            Err(reason) => format!("refused: {reason}"),
        };
        blocks.push(format!("opens the epoch {e}\n{}", trace::verdict(&verdict)));
    }
}
