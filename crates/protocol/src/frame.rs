//! A frame between people as one binary WebSocket message (section 5.1, rule R20).
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

mod cursor;
mod delivery;
mod sign;
mod upload;
mod verified;

use std::ops::Range;

use bytes::Bytes;
use thiserror::Error;

use crate::batch;
use crate::crypto::{VerifyingKey, sha256};
use crate::id::Digest;
use crate::limits::{BODY_BYTES_MAX, HEADER_BYTES_MAX, SIGNATURE_BYTES_MAX, VERSION};

use cursor::Cursor;
pub use delivery::Delivery;
pub use sign::{Unsigned, sign_all, unsigned};
pub use upload::Upload;
pub use verified::VerifiedBatches;

const AUTH_NONE: u8 = 0;
const AUTH_SINGLE: u8 = 1;
const AUTH_BATCH: u8 = 2;
const KIND_WRAPS: u8 = 0x10;
const KIND_MEMBERS: u8 = 0x11;
const KIND_DELIVERY: u8 = 0x20;

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
        let mut cursor = Cursor::new(&bytes);
        cursor.version()?;
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

    /// The string that is signed (section 5.1).
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

/// `label || 00 || SHA(hdr) || SHA(body)`: what a signature covers (section 5.1).
pub fn to_be_signed(label: &str, header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(label.len() + 65);
    bytes.extend_from_slice(label.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&sha256(header));
    bytes.extend_from_slice(&sha256(body));
    bytes
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
