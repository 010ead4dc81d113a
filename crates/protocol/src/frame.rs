//! A frame between people as one binary WebSocket message (6.3, rule R20).
//!
//! ```text
//! u8 ver=1 | u8 auth | u32 hlen | hdr | u32 blen | body | authentication
//! auth 0: nothing (file chunks)
//! auth 1: signature
//! auth 2: u16 k | u16 i | u8 np | np * 32 path | signature of the batch's root
//! ```
//!
//! Three more kinds of binary message share the first byte and have a kind in place of `auth`:
//! [`Upload`] (wrapped keys and member lines of an epoch, rule R11) and [`Delivery`] (a frame with
//! the hub's position and time in front of it; the same bytes for every recipient).

use std::collections::{HashSet, VecDeque};
use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};
use thiserror::Error;

use crate::batch;
use crate::crypto::{SigningKey, VerifyingKey, sha256, sha256_parts};
use crate::id::Digest;
use crate::limits::{
    BATCH_FRAMES_MAX, BODY_BYTES_MAX, HEADER_BYTES_MAX, SIGNATURE_BYTES_MAX,
    UPLOAD_CHUNK_BYTES_MAX, VERSION,
};

const AUTH_NONE: u8 = 0;
const AUTH_SINGLE: u8 = 1;
const AUTH_BATCH: u8 = 2;
const KIND_WRAPS: u8 = 0x10;
const KIND_MEMBERS: u8 = 0x11;
const KIND_DELIVERY: u8 = 0x20;

/// Batches whose root signature was checked and is remembered: enough for every sender of a room
/// of a thousand to have several under way.
const VERIFIED_BATCHES_MAX: usize = 4096;

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes end too early or go on too long.
    #[error("frame: {what} does not fit the length of the message")]
    Length {
        /// The part that does not fit.
        what: &'static str,
    },
    /// Another version.
    #[error("frame version {got}, expected {VERSION}")]
    Version {
        /// The version found.
        got: u8,
    },
    /// Another kind of message or authentication.
    #[error("frame kind {got:#04x} is unknown here")]
    Kind {
        /// The kind found.
        got: u8,
    },
    /// A part is above its cap.
    #[error("frame: {what} has {got} bytes, at most {max} are allowed")]
    TooLong {
        /// The part.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The cap.
        max: usize,
    },
    /// A batch of impossible shape.
    #[error("frame: the batch's count, index and path do not go together")]
    Batch,
    /// The signature is not the sender's over this frame.
    #[error("the signature is not the sender's over this frame")]
    BadSignature,
}

/// How a frame is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Auth {
    None,
    Single { signature: Range<usize> },
    Batch { count: u16, index: u16, path: Range<usize>, signature: Range<usize> },
}

/// A frame cut into its parts, without a copy; nothing in it is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    bytes: Bytes,
    header: Range<usize>,
    body: Range<usize>,
    auth: Auth,
}

impl RawFrame {
    /// Cuts `bytes` into a frame. Every byte must be accounted for.
    pub fn decode(bytes: Bytes) -> Result<Self, FrameError> {
        let mut cursor = Cursor { bytes: &bytes, at: 0 };
        let version = cursor.u8("version")?;
        if version != VERSION {
            return Err(FrameError::Version { got: version });
        }
        let auth = cursor.u8("kind")?;
        if auth > AUTH_BATCH {
            return Err(FrameError::Kind { got: auth });
        }
        let header = cursor.block("header", HEADER_BYTES_MAX)?;
        let body = cursor.block("body", BODY_BYTES_MAX)?;
        let auth = match auth {
            AUTH_NONE => Auth::None,
            AUTH_SINGLE => Auth::Single { signature: cursor.rest() },
            _ => cursor.batch()?,
        };
        let (signature, at) = match &auth {
            Auth::None => (0, cursor.at),
            Auth::Single { signature } | Auth::Batch { signature, .. } => {
                (signature.len(), signature.end)
            }
        };
        if signature > SIGNATURE_BYTES_MAX {
            let max = SIGNATURE_BYTES_MAX;
            return Err(FrameError::TooLong { what: "signature", got: signature, max });
        }
        if at != bytes.len() {
            return Err(FrameError::Length { what: "end" });
        }
        Ok(Self { bytes, header, body, auth })
    }

    /// The whole frame as it travels.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The header as it was signed.
    pub fn header(&self) -> &[u8] {
        self.bytes.get(self.header.clone()).unwrap_or_default()
    }

    /// The body as it was signed.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.body.clone()).unwrap_or_default()
    }

    /// Whether there is a signature at all.
    pub fn is_signed(&self) -> bool {
        self.auth != Auth::None
    }

    /// The string that is signed (6.2).
    pub fn to_be_signed(&self, label: &str) -> Vec<u8> {
        to_be_signed(label, self.header(), self.body())
    }

    /// SHA-256 of the to-be-signed string: what receipts and chains name a frame by.
    pub fn digest(&self, label: &str) -> Digest {
        Digest(sha256(&self.to_be_signed(label)))
    }

    /// The batch whose root was signed, as this frame climbs to it; nothing for a frame signed alone.
    pub fn batch(&self, label: &str) -> Option<BatchPlace> {
        let Auth::Batch { count, index, path, .. } = &self.auth else { return None };
        let (path, _) = self.bytes.get(path.clone()).unwrap_or_default().as_chunks::<32>();
        let leaf = batch::leaf(&self.to_be_signed(label));
        let root = Digest(batch::climb(leaf, *count, *index, path)?);
        Some(BatchPlace { count: *count, index: *index, root })
    }

    /// Checks the signature. The root of a batch is checked once and remembered in `verified`.
    pub fn verify(
        &self,
        label: &str,
        key: &VerifyingKey,
        key_digest: &Digest,
        verified: &mut VerifiedBatches,
    ) -> Result<(), FrameError> {
        let to_be_signed = self.to_be_signed(label);
        match &self.auth {
            Auth::None => Err(FrameError::BadSignature),
            Auth::Single { signature } => {
                let signature = self.bytes.get(signature.clone()).unwrap_or_default();
                key.verify(&to_be_signed, signature).map_err(|_| FrameError::BadSignature)
            }
            Auth::Batch { count, index, path, signature } => {
                let (path, _) = self.bytes.get(path.clone()).unwrap_or_default().as_chunks::<32>();
                let signature = self.bytes.get(signature.clone()).unwrap_or_default();
                if signature.len() != key.signature_len() {
                    return Err(FrameError::BadSignature);
                }
                let leaf = batch::leaf(&to_be_signed);
                let root = batch::climb(leaf, *count, *index, path).ok_or(FrameError::Batch)?;
                verified.check(key, key_digest, *count, &root, signature)
            }
        }
    }
}

/// A frame's place among those that one signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPlace {
    /// How many.
    pub count: u16,
    /// Which of them.
    pub index: u16,
    /// What was signed.
    pub root: Digest,
}

/// `label || 00 || SHA(hdr) || SHA(body)`: what a signature covers (6.2).
pub fn to_be_signed(label: &str, header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(label.len() + 65);
    bytes.extend_from_slice(label.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&sha256(header));
    bytes.extend_from_slice(&sha256(body));
    bytes
}

/// A frame that waits for its signature.
#[derive(Debug, Clone)]
pub struct Unsigned {
    header: Vec<u8>,
    body: Vec<u8>,
    to_be_signed: Vec<u8>,
}

impl Unsigned {
    /// A frame of this header and body, to be signed under `label`.
    pub fn new(label: &str, header: Vec<u8>, body: Vec<u8>) -> Self {
        let to_be_signed = to_be_signed(label, &header, &body);
        Self { header, body, to_be_signed }
    }

    /// SHA-256 of the to-be-signed string.
    pub fn digest(&self) -> Digest {
        Digest(sha256(&self.to_be_signed))
    }

    fn finish(&self, auth: u8, authentication: &[&[u8]]) -> Bytes {
        let extra: usize = authentication.iter().map(|part| part.len()).sum();
        let mut out = BytesMut::with_capacity(10 + self.header.len() + self.body.len() + extra);
        out.put_u8(VERSION);
        out.put_u8(auth);
        put_block(&mut out, &self.header);
        put_block(&mut out, &self.body);
        for part in authentication {
            out.put_slice(part);
        }
        out.freeze()
    }
}

/// A frame without a signature (file chunks only, rule R10).
pub fn unsigned(header: Vec<u8>, body: Vec<u8>) -> Bytes {
    Unsigned::new("", header, body).finish(AUTH_NONE, &[])
}

/// Signs everything that waits: one frame alone, more in batches of up to 64 (6.2). The order is
/// kept, and the batch's signature costs as much as that of one frame.
pub fn sign_all(key: &SigningKey, frames: &[Unsigned]) -> Vec<Bytes> {
    frames.chunks(BATCH_FRAMES_MAX).flat_map(|frames| sign_batch(key, frames)).collect()
}

fn sign_batch(key: &SigningKey, frames: &[Unsigned]) -> Vec<Bytes> {
    let leaves: Vec<_> = frames.iter().map(|frame| batch::leaf(&frame.to_be_signed)).collect();
    let Some(tree) = batch::tree(leaves) else {
        let sign = |frame: &Unsigned| {
            frame.finish(AUTH_SINGLE, &[key.sign(&frame.to_be_signed).as_slice()])
        };
        return frames.iter().map(sign).collect();
    };
    let count = u16::try_from(frames.len()).unwrap_or(u16::MAX);
    let signature = key.sign(&batch::root_to_be_signed(count, &tree.root()));
    (0..count)
        .zip(frames)
        .map(|(index, frame)| {
            let path = tree.path(usize::from(index));
            let length = u8::try_from(path.len()).unwrap_or(u8::MAX);
            let (count, index) = (count.to_be_bytes(), index.to_be_bytes());
            let path = path.as_flattened();
            frame.finish(AUTH_BATCH, &[&count, &index, &[length], path, &signature])
        })
        .collect()
}

/// Roots of batches whose signature was good, oldest forgotten first.
///
/// The key covers everything that the check depended on, so a hit is as good as the check (R20).
#[derive(Debug, Default)]
pub struct VerifiedBatches {
    known: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl VerifiedBatches {
    fn check(
        &mut self,
        key: &VerifyingKey,
        key_digest: &Digest,
        count: u16,
        root: &[u8; 32],
        signature: &[u8],
    ) -> Result<(), FrameError> {
        let entry = sha256_parts(&[key_digest.as_bytes(), &count.to_be_bytes(), root, signature]);
        if self.known.contains(&entry) {
            return Ok(());
        }
        key.verify(&batch::root_to_be_signed(count, root), signature)
            .map_err(|_| FrameError::BadSignature)?;
        if self.order.len() >= VERIFIED_BATCHES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(entry);
        self.order.push_back(entry);
        Ok(())
    }
}

/// What a binary message is, by its second byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binary {
    /// A frame.
    Frame(RawFrame),
    /// Part of an epoch's upload or delivery.
    Upload(Upload),
    /// A frame with its place in the log.
    Delivery(Delivery),
}

impl Binary {
    /// Reads any binary message.
    pub fn decode(bytes: Bytes) -> Result<Self, FrameError> {
        match bytes.get(1) {
            Some(&KIND_DELIVERY) => Delivery::decode(&bytes).map(Self::Delivery),
            Some(&(KIND_WRAPS | KIND_MEMBERS)) => Upload::decode(&bytes).map(Self::Upload),
            _ => RawFrame::decode(bytes).map(Self::Frame),
        }
    }
}

/// Part of an epoch on its way to or from the hub (rule R11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upload {
    /// Wrapped keys, in the order of the member lines from line `first` on.
    Wraps {
        /// The epoch.
        e: Digest,
        /// Line of the first wrap.
        first: u16,
        /// The wraps.
        wraps: Vec<Bytes>,
    },
    /// A piece of the member lines.
    Members {
        /// The epoch.
        e: Digest,
        /// Where the piece begins.
        offset: u32,
        /// The piece.
        bytes: Bytes,
    },
}

impl Upload {
    /// The epoch it belongs to.
    pub fn epoch(&self) -> Digest {
        match self {
            Self::Wraps { e, .. } | Self::Members { e, .. } => *e,
        }
    }

    /// The binary messages that carry all wraps and all member lines of an epoch.
    pub fn split(e: Digest, members: &[u8], wraps: &[Vec<u8>]) -> Vec<Bytes> {
        let mut messages = Vec::new();
        let mut offset = 0u32;
        for piece in members.chunks(UPLOAD_CHUNK_BYTES_MAX) {
            let piece = Self::Members { e, offset, bytes: Bytes::copy_from_slice(piece) };
            messages.push(piece.encode());
            offset = offset.saturating_add(u32::try_from(UPLOAD_CHUNK_BYTES_MAX).unwrap_or(0));
        }
        // A wrap is as long as the largest modulus at most, so a chunk of this many always fits.
        let per_message = UPLOAD_CHUNK_BYTES_MAX / (SIGNATURE_BYTES_MAX + 2);
        let mut first = 0u16;
        for part in wraps.chunks(per_message) {
            let wraps: Vec<_> = part.iter().map(|wrap| Bytes::copy_from_slice(wrap)).collect();
            let count = u16::try_from(wraps.len()).unwrap_or(u16::MAX);
            messages.push(Self::Wraps { e, first, wraps }.encode());
            first = first.saturating_add(count);
        }
        messages
    }

    /// The message's bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        match self {
            Self::Wraps { e, first, wraps } => {
                out.put_u8(KIND_WRAPS);
                out.put_slice(e.as_bytes());
                out.put_u16(*first);
                out.put_u16(u16::try_from(wraps.len()).unwrap_or(u16::MAX));
                for wrap in wraps {
                    out.put_u16(u16::try_from(wrap.len()).unwrap_or(u16::MAX));
                    out.put_slice(wrap);
                }
            }
            Self::Members { e, offset, bytes } => {
                out.put_u8(KIND_MEMBERS);
                out.put_slice(e.as_bytes());
                out.put_u32(*offset);
                out.put_slice(bytes);
            }
        }
        out.freeze()
    }

    fn decode(bytes: &Bytes) -> Result<Self, FrameError> {
        let mut cursor = Cursor { bytes, at: 0 };
        let version = cursor.u8("version")?;
        if version != VERSION {
            return Err(FrameError::Version { got: version });
        }
        let kind = cursor.u8("kind")?;
        let e = Digest(cursor.array("epoch")?);
        if kind == KIND_MEMBERS {
            let offset = u32::from_be_bytes(cursor.array("offset")?);
            let rest = cursor.rest();
            cap("members", rest.len(), UPLOAD_CHUNK_BYTES_MAX)?;
            return Ok(Self::Members { e, offset, bytes: bytes.slice(rest) });
        }
        let first = u16::from_be_bytes(cursor.array("first")?);
        let count = u16::from_be_bytes(cursor.array("count")?);
        let mut wraps = Vec::new();
        for _ in 0..count {
            let length = usize::from(u16::from_be_bytes(cursor.array("wrap")?));
            cap("wrap", length, SIGNATURE_BYTES_MAX)?;
            wraps.push(bytes.slice(cursor.take("wrap", length)?));
        }
        if cursor.at != bytes.len() {
            return Err(FrameError::Length { what: "end" });
        }
        Ok(Self::Wraps { e, first, wraps })
    }
}

/// A frame with its place in the hub's log. Position and time are the hub's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Position in the log; grows within a conversation.
    pub position: u64,
    /// When the hub accepted it, Unix time in milliseconds.
    pub hub_ms: u64,
    /// The frame.
    pub frame: RawFrame,
}

impl Delivery {
    /// The message's bytes.
    pub fn encode(position: u64, hub_ms: u64, frame: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(18 + frame.len());
        out.put_u8(VERSION);
        out.put_u8(KIND_DELIVERY);
        out.put_u64(position);
        out.put_u64(hub_ms);
        out.put_slice(frame);
        out.freeze()
    }

    fn decode(bytes: &Bytes) -> Result<Self, FrameError> {
        let mut cursor = Cursor { bytes, at: 0 };
        let version = cursor.u8("version")?;
        if version != VERSION {
            return Err(FrameError::Version { got: version });
        }
        cursor.u8("kind")?;
        let position = u64::from_be_bytes(cursor.array("position")?);
        let hub_ms = u64::from_be_bytes(cursor.array("time")?);
        let rest = cursor.rest();
        Ok(Self { position, hub_ms, frame: RawFrame::decode(bytes.slice(rest))? })
    }
}

fn put_block(out: &mut BytesMut, block: &[u8]) {
    out.put_u32(u32::try_from(block.len()).unwrap_or(u32::MAX));
    out.put_slice(block);
}

fn cap(what: &'static str, got: usize, max: usize) -> Result<(), FrameError> {
    if got > max { Err(FrameError::TooLong { what, got, max }) } else { Ok(()) }
}

/// Reads forward and never past the end.
struct Cursor<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Cursor<'_> {
    fn take(&mut self, what: &'static str, length: usize) -> Result<Range<usize>, FrameError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let range = self.at..end.ok_or(FrameError::Length { what })?;
        self.at = range.end;
        Ok(range)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FrameError> {
        let range = self.take(what, N)?;
        let part = self.bytes.get(range).and_then(|part| part.as_array::<N>());
        part.copied().ok_or(FrameError::Length { what })
    }

    fn u8(&mut self, what: &'static str) -> Result<u8, FrameError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    fn block(&mut self, what: &'static str, max: usize) -> Result<Range<usize>, FrameError> {
        let length = usize::try_from(u32::from_be_bytes(self.array(what)?)).unwrap_or(usize::MAX);
        cap(what, length, max)?;
        self.take(what, length)
    }

    fn rest(&mut self) -> Range<usize> {
        let range = self.at..self.bytes.len();
        self.at = range.end;
        range
    }

    fn batch(&mut self) -> Result<Auth, FrameError> {
        let count = u16::from_be_bytes(self.array("batch")?);
        let index = u16::from_be_bytes(self.array("batch")?);
        let path_length = usize::from(self.u8("batch")?);
        let fits = (2..=BATCH_FRAMES_MAX).contains(&usize::from(count))
            && index < count
            && path_length == batch::path_length(count, index);
        if !fits {
            return Err(FrameError::Batch);
        }
        let path = self.take("path", path_length * 32)?;
        Ok(Auth::Batch { count, index, path, signature: self.rest() })
    }
}
