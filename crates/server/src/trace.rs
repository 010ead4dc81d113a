//! What the hub sees of the encryption, for who asks with `--trace-crypto`: it carries frames and
//! checks their signatures, and has no key to open one.

use std::path::Path;

use chat_oplog::{CryptoTrace, OpenError};
use chat_protocol::{frame::RawFrame, header::Header, trace};

use crate::{
    config::Verify,
    request::{EpochUpload, Refusal},
    shared::Shared,
};

/// Opens the place where it goes.
pub(crate) fn open(path: &Path) -> Result<CryptoTrace, OpenError> {
    CryptoTrace::open(path).map_err(|source| OpenError::File { path: path.to_owned(), source })
}

impl Shared {
    /// A frame was judged at the door; `refusal` says why it goes no further.
    pub(crate) fn trace_frame(&self, frame: &RawFrame, header: &Header, refusal: Option<&Refusal>) {
        let Some(sink) = &self.trace else { return };
        let verdict = match refusal {
            Some(refusal) => format!("refused: {} {}", refusal.code, refusal.reason),
            None if self.verify == Verify::Transport => {
                "not checked here (--verify transport)".to_owned()
            }
            None => {
                let (from, sk) = header.signer();
                format!("verified with key {sk} of {from}")
            }
        };
        let block = trace::frame(frame, header) + &trace::verdict(&verdict);
        sink.write("server", &format!("takes\n{block}"));
    }

    /// The wraps of an epoch are complete.
    pub(crate) fn trace_wraps(&self, epoch: &EpochUpload) {
        let Some(sink) = &self.trace else { return };
        let wraps: String = epoch.members.lines().iter().map(trace::wrap).collect();
        let verdict = trace::verdict("one wrap for each member line; none opens here");
        sink.write("server", &format!("takes the wraps of epoch {}\n{wraps}{verdict}", epoch.e));
    }
}
