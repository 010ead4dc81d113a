//! Sealing and opening one message (section 10): encrypt, then sign.
//!
//! The header is the additional data of the encryption and part of what is signed, so a frame that
//! is re-addressed, re-wrapped or signed again by somebody else opens nowhere.

use serde::Serialize;

use crate::crypto::{OpenFailed, gcm_open, gcm_seal};
use crate::frame::{RawFrame, Unsigned};
use crate::header::{Canonical as _, MessageHeader, ReceiptHeader};
use crate::id::{Digest, MessageId};
use crate::limits::RECEIPTS_PER_FRAME_MAX;
use crate::ratchet::MessageKey;
use crate::strict;
use crate::tag::{Tag, label};

/// Seals a plaintext. `nonce` is 12 fresh random bytes, in addition to the key being used once: a
/// restored backup may repeat a key, never a key with a nonce.
pub fn seal(
    header: &MessageHeader,
    key: &MessageKey,
    nonce: [u8; 12],
    plaintext: &[u8],
) -> Unsigned {
    let header = header.to_bytes();
    let mut body = nonce.to_vec();
    body.extend(gcm_seal(key, &nonce, &header, plaintext));
    Unsigned::new(label::MSG, header, body)
}

/// Opens the body of a frame whose signature was verified.
pub fn open(frame: &RawFrame, key: &MessageKey) -> Result<Vec<u8>, OpenFailed> {
    let (nonce, sealed) = frame.body().split_first_chunk::<12>().ok_or(OpenFailed)?;
    gcm_open(key, nonce, frame.header(), sealed)
        .map(|mut plaintext| std::mem::take(&mut *plaintext))
}

/// The clear body of a receipt (rule R8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptBody {
    /// The messages named: id, and digest of the frame as it was received.
    pub re: Vec<(MessageId, Digest)>,
    /// On NOACK: always [`crate::code::DELIVERED_UNREADABLE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A receipt, ready for its signature.
pub fn receipt(header: &ReceiptHeader, body: &ReceiptBody) -> Unsigned {
    let body = serde_json::to_vec(body).expect("receipts hold only strings");
    Unsigned::new(label::RECEIPT, header.to_bytes(), body)
}

/// Reads the body of a receipt; `None` if it is not one that this header may have.
pub fn read_receipt(header: &ReceiptHeader, body: &[u8]) -> Option<ReceiptBody> {
    let read: ReceiptBody = strict::from_slice(body).ok()?;
    let counted = (1..=RECEIPTS_PER_FRAME_MAX).contains(&read.re.len());
    let code = read.code.as_deref()
        == (header.t == Tag::Noack).then_some(crate::code::DELIVERED_UNREADABLE);
    (counted && code).then_some(read)
}
