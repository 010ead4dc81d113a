//! Frames as a device would seal and sign them. The hub cannot look inside, so the sealed part is
//! random bytes of the right length, and so are the wrapped keys.

use bytes::Bytes;
use chat_protocol::crypto::random;
use chat_protocol::envelope::{ReceiptBody, receipt};
use chat_protocol::frame::{RawFrame, Unsigned, sign_all};
use chat_protocol::header::{Canonical as _, MessageHeader};
use chat_protocol::hub::EpochHead;
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::limits::RECEIPTS_PER_FRAME_MAX;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::{Tag, label};
use chat_testkit::device::Device;

/// Nonce, a text of 100 bytes padded to 128, and the tag of the encryption.
const BODY_BYTES: usize = 12 + 128 + 16;

/// One member's receipts for what each publisher has sealed, as many messages to a receipt as fit.
pub(crate) fn receipts(
    device: &Device,
    cid: &ConversationId,
    published: &[(UserName, Vec<(MessageId, Digest)>)],
    now_ms: u64,
) -> Vec<Bytes> {
    let mut unsigned = Vec::new();
    for (to, messages) in published {
        for named in messages.chunks(RECEIPTS_PER_FRAME_MAX) {
            let mut header = device.receipt(cid, to);
            header.ts = now_ms;
            unsigned.push(receipt(&header, &ReceiptBody { re: named.to_vec(), code: None }));
        }
    }
    let signed =
        unsigned.iter().map(|one| sign_all(&device.keys.signing, std::slice::from_ref(one)));
    signed.flatten().collect()
}

/// What a receipt names a message by.
pub(crate) fn named(id: MessageId, frame: &Bytes) -> Option<(MessageId, Digest)> {
    Some((id, RawFrame::decode(frame.clone()).ok()?.digest(label::MSG)))
}

/// Where messages go.
pub(crate) struct Target<'a> {
    pub(crate) cid: &'a ConversationId,
    pub(crate) tag: Tag,
    pub(crate) head: EpochHead,
}

/// `count` messages of one sender, ready to be sent. Each is made a millisecond after the one before,
/// as if the senders were live: ids of all senders then come in the order of time, and not one
/// sender after the other.
pub(crate) fn messages(
    device: &Device,
    target: &Target<'_>,
    count: usize,
    batch: usize,
    start_ms: u64,
) -> Vec<(MessageId, Bytes)> {
    let mut p = Digest::ZERO;
    let mut unsigned = Vec::with_capacity(count);
    let mut ids = Vec::with_capacity(count);
    for n in 0..u32::try_from(count).unwrap_or(u32::MAX) {
        let made_ms = start_ms + u64::from(n);
        let header = MessageHeader {
            id: MessageId::new(made_ms, random()),
            p,
            ts: made_ms,
            ..device.message(target.tag, target.cid, target.head.e, n)
        };
        let body: [u8; BODY_BYTES] = random();
        let frame = Unsigned::new(label::MSG, header.to_bytes(), body.to_vec());
        p = frame.digest();
        ids.push(header.id);
        unsigned.push(frame);
    }
    let signed =
        unsigned.chunks(batch.max(1)).flat_map(|part| sign_all(&device.keys.signing, part));
    ids.into_iter().zip(signed).collect()
}
