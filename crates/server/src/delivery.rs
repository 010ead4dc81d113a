//! Deliveries as they travel: written once, shared by everybody who gets them.

use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::{
    frame::{Delivery as Frame, Upload},
    id::Digest,
    limits::UPLOAD_CHUNK_BYTES_MAX,
    tag::Tag,
};

use crate::{
    outbox::{Outbox, Outgoing, Overflow},
    request::Peer,
    router::{Audience, Delivery, Payload},
};

/// A delivery ready to be pushed.
#[derive(Debug)]
pub struct Wire {
    /// Its position.
    pub position: u64,
    /// To whom.
    pub audience: Audience,
    /// What is delivered, for the figures.
    pub tag: Option<Tag>,
    frame: Bytes,
    epoch: Option<EpochParts>,
}

#[derive(Debug)]
struct EpochParts {
    e: Digest,
    members: Vec<Bytes>,
    wraps: Arc<[Bytes]>,
}

impl Wire {
    /// Writes a delivery.
    pub fn new(delivery: Delivery) -> Self {
        let Delivery { position, hub_ms, audience, payload } = delivery;
        let (frame, epoch) = match payload {
            Payload::Frame(frame) => (frame, None),
            Payload::Epoch { frame, e, members, wraps } => {
                let members = members_messages(e, &members);
                (frame, Some(EpochParts { e, members, wraps }))
            }
        };
        let tag = tag_of(&frame);
        Self { position, audience, tag, frame: Frame::encode(position, hub_ms, &frame), epoch }
    }

    /// Bytes it keeps in memory.
    pub fn bytes(&self) -> usize {
        let parts = self.epoch.as_ref().map_or(0, |parts| {
            let shared: usize = parts.members.iter().map(Bytes::len).sum();
            shared + parts.wraps.iter().map(Bytes::len).sum::<usize>()
        });
        self.frame.len() + parts
    }

    /// Bytes one session gets, about: the wraps of the others are not counted.
    pub fn bytes_for_one(&self) -> usize {
        let parts = self.epoch.as_ref();
        self.frame.len() + parts.map_or(0, |p| p.members.iter().map(Bytes::len).sum())
    }

    /// Whether a session gets it, and which line of the epoch is its own.
    pub fn line_for(&self, peer: &Peer) -> Option<u32> {
        match &self.audience {
            Audience::Account(account) => (*account == peer.account).then_some(0),
            Audience::Devices { lines, sender } => (0u32..)
                .zip(lines.iter())
                .find(|(_, line)| line.account == peer.account && line.sk == peer.sk)
                .map(|(number, _)| number)
                .filter(|number| number != sender),
        }
    }

    /// Pushes it to the device of this line.
    pub fn push(&self, outbox: &Outbox, line: u32) -> Result<(), Overflow> {
        outbox.push(Outgoing::Binary(self.frame.clone()))?;
        let Some(parts) = &self.epoch else { return Ok(()) };
        for piece in &parts.members {
            outbox.push(Outgoing::Binary(piece.clone()))?;
        }
        let wrap = usize::try_from(line).ok().and_then(|line| parts.wraps.get(line));
        let Some(wrap) = wrap else { return Ok(()) };
        outbox.push(Outgoing::Binary(wrap_message(parts.e, line, wrap.clone())))
    }
}

/// The tag of a frame that was checked when it was stored: it stands at a fixed place.
pub fn tag_of(frame: &[u8]) -> Option<Tag> {
    const BEFORE: &[u8] = b"{\"v\":1,\"t\":\"";
    // Version, kind, and the length of the header.
    let word = frame.get(6..)?.strip_prefix(BEFORE)?;
    let end = word.iter().position(|&byte| byte == b'"')?;
    Tag::parse(std::str::from_utf8(word.get(..end)?).ok()?)
}

/// The member lines of an epoch, in messages.
pub fn members_messages(e: Digest, members: &Bytes) -> Vec<Bytes> {
    let mut messages = Vec::new();
    let mut rest = members.clone();
    let mut offset = 0u32;
    while !rest.is_empty() {
        let bytes = rest.split_to(rest.len().min(UPLOAD_CHUNK_BYTES_MAX));
        let next = offset.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        messages.push(Upload::Members { e, offset, bytes }.encode());
        offset = next;
    }
    messages
}

/// The key of an epoch, wrapped for one line.
pub fn wrap_message(e: Digest, line: u32, wrap: Bytes) -> Bytes {
    let first = u16::try_from(line).unwrap_or(u16::MAX);
    Upload::Wraps { e, first, wraps: vec![wrap] }.encode()
}
