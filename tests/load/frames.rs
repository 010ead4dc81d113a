//! Frames as a device would seal and sign them. The hub cannot look inside, so the sealed part is
//! random bytes of the right length, and so are the wrapped keys.

use bytes::Bytes;
use chat_protocol::crypto::random;
use chat_protocol::crypto::sha256;
use chat_protocol::envelope::{ReceiptBody, receipt};
use chat_protocol::frame::{RawFrame, Unsigned, Upload, sign_all};
use chat_protocol::header::{
    Canonical as _, KeyHeader, MemberArgument, MemberHeader, MemberOperation, MessageHeader,
    ReceiptHeader, Recipient,
};
use chat_protocol::hub::{EpochHead, Head};
use chat_protocol::id::{Digest, MessageId, Nonce16};
use chat_protocol::keys::{Bundle, DeviceKeys};
use chat_protocol::limits::RECEIPTS_PER_FRAME_MAX;
use chat_protocol::members::MemberList;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::{Stage, Tag, label};

/// Nonce, a text of 100 bytes padded to 128, and the tag of the encryption.
const BODY_BYTES: usize = 12 + 128 + 16;
/// A key wrapped for an encryption key of 2048 bits.
const WRAP_BYTES: usize = 256;

/// A join link that follows the head.
pub(crate) fn join(
    keys: &DeviceKeys,
    bundle: &Bundle,
    cid: &ConversationId,
    head: &Head,
    now_ms: u64,
) -> Option<(MessageId, Bytes)> {
    let user = bundle.header().u.clone();
    let header = MemberHeader {
        v: 1,
        t: Tag::Member,
        cid: cid.clone(),
        from: user.clone(),
        sk: keys.signing_id(),
        op: MemberOperation::Join,
        who: user,
        ik: bundle.identity(),
        arg: MemberArgument::None,
        mg: head.mg,
        pm: head.pm,
        id: MessageId::new(now_ms, random()),
        ts: now_ms,
    };
    let frame = Unsigned::new(label::MEMBER, header.to_bytes(), Vec::new());
    Some((header.id, sign_all(&keys.signing, &[frame]).pop()?))
}

/// An epoch for these devices: its head, its id, and the messages that carry it.
pub(crate) fn epoch(
    keys: &DeviceKeys,
    from: &UserName,
    cid: &ConversationId,
    list: &MemberList,
    previous: Option<EpochHead>,
    now_ms: u64,
) -> (EpochHead, MessageId, Vec<Bytes>) {
    let header = KeyHeader {
        v: 1,
        t: Tag::Key,
        cid: cid.clone(),
        from: from.clone(),
        sk: keys.signing_id(),
        eid: Nonce16(random()),
        g: previous.map_or(0, |head| head.g + 1),
        pe: previous.map_or(Digest::ZERO, |head| head.e),
        mg: 0,
        pm: Digest::ZERO,
        kc: Digest(random()),
        mh: list.hash(),
        ts: now_ms,
    };
    let bytes = header.to_bytes();
    let head = EpochHead { g: header.g, e: Digest(sha256(&bytes)) };
    let frame = Unsigned::new(label::KEY, bytes, Vec::new());
    let wraps: Vec<Vec<u8>> = list.lines().iter().map(|_| vec![7; WRAP_BYTES]).collect();
    let mut messages = sign_all(&keys.signing, &[frame]);
    messages.extend(Upload::split(head.e, list.as_bytes(), &wraps));
    (head, MessageId(header.eid.0), messages)
}

/// One member's receipts for what each publisher has sealed, as many messages to a receipt as fit.
pub(crate) fn receipts(
    keys: &DeviceKeys,
    from: &UserName,
    cid: &ConversationId,
    published: &[(UserName, Vec<(MessageId, Digest)>)],
    now_ms: u64,
) -> Vec<Bytes> {
    let mut unsigned = Vec::new();
    for (to, messages) in published {
        for named in messages.chunks(RECEIPTS_PER_FRAME_MAX) {
            let header = ReceiptHeader {
                v: 1,
                t: Tag::Ack,
                stage: Stage::Delivered,
                cid: cid.clone(),
                from: from.clone(),
                sk: keys.signing_id(),
                to: to.clone(),
                id: MessageId::new(now_ms, random()),
                ts: now_ms,
            };
            unsigned.push(receipt(&header, &ReceiptBody { re: named.to_vec(), code: None }));
        }
    }
    let signed = unsigned.iter().map(|one| sign_all(&keys.signing, std::slice::from_ref(one)));
    signed.flatten().collect()
}

/// What a receipt names a message by.
pub(crate) fn named(id: MessageId, frame: &Bytes) -> Option<(MessageId, Digest)> {
    Some((id, RawFrame::decode(frame.clone()).ok()?.digest(label::MSG)))
}

/// Where messages go.
pub(crate) struct Target<'a> {
    pub(crate) cid: &'a ConversationId,
    pub(crate) to: Recipient,
    pub(crate) tag: Tag,
    pub(crate) head: EpochHead,
}

/// `count` messages of one sender, ready to be sent. Each is made a millisecond after the one before,
/// as if the senders were live: ids of all senders then come in the order of time, and not one
/// sender after the other.
pub(crate) fn messages(
    keys: &DeviceKeys,
    from: &UserName,
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
            v: 1,
            t: target.tag,
            stage: None,
            cid: target.cid.clone(),
            from: from.clone(),
            sk: keys.signing_id(),
            to: target.to.clone(),
            id: MessageId::new(made_ms, random()),
            e: target.head.e,
            n,
            p,
            ts: made_ms,
            nbf: None,
            exp: None,
            rb: None,
            tk: None,
        };
        let body: [u8; BODY_BYTES] = random();
        let frame = Unsigned::new(label::MSG, header.to_bytes(), body.to_vec());
        p = frame.digest();
        ids.push(header.id);
        unsigned.push(frame);
    }
    let signed = unsigned.chunks(batch.max(1)).flat_map(|part| sign_all(&keys.signing, part));
    ids.into_iter().zip(signed).collect()
}
