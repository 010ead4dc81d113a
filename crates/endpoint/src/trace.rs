//! The encryption, told as it happens, for a host that asks. Nothing is collected otherwise.

use bytes::Bytes;
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Header;
use chat_protocol::id::{Digest, KeyId};
use chat_protocol::trace;

use crate::endpoint::Endpoint;
use crate::questions::Question;

/// Blocks of the story of the encryption, where somebody wants it.
#[derive(Debug, Default)]
pub(crate) struct Trace(Option<Vec<String>>);

impl Trace {
    /// The blocks since the last call.
    pub(crate) fn take(&mut self) -> Vec<String> {
        self.0.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// A frame of somebody else was judged.
    pub(crate) fn received(&mut self, frame: &RawFrame, verdict: impl FnOnce() -> String) {
        let Some(blocks) = &mut self.0 else { return };
        let Ok(header) = Header::parse(frame.header()) else { return };
        let block = trace::frame(frame, &header) + &trace::verdict(&verdict());
        blocks.push(format!("receives\n{block}"));
    }

    /// The key of an epoch was unwrapped, or was not.
    pub(crate) fn epoch(&mut self, e: &Digest, kc: &Digest, opened: Result<&KeyId, &str>) {
        let Some(blocks) = &mut self.0 else { return };
        let verdict = match opened {
            Ok(ek) => format!("unwrapped with key {ek}; the key fits its commitment {kc}"),
            Err(reason) => format!("refused: {reason}"),
        };
        blocks.push(format!("opens the epoch {e}\n{}", trace::verdict(&verdict)));
    }
}

impl Endpoint {
    /// From now on each step tells what was signed, wrapped and verified, one block per frame.
    pub fn trace_crypto(&mut self) {
        self.out.trace.0.get_or_insert_default();
    }

    /// A frame of ours was signed.
    pub(crate) fn trace_sent(&mut self, question: &Question, bytes: &Bytes) {
        let Some(blocks) = &mut self.out.trace.0 else { return };
        let Ok(frame) = RawFrame::decode(bytes.clone()) else { return };
        let Ok(header) = Header::parse(frame.header()) else { return };
        let mut block = format!("sends\n{}", trace::frame(&frame, &header));
        if let Question::Key { head, .. } = question {
            let epoch = self.epochs.get(&head.e);
            for line in epoch.into_iter().flat_map(|epoch| epoch.list.lines()) {
                block += &trace::wrap(line);
            }
        }
        block += &trace::verdict("signed here");
        blocks.push(block);
    }
}
