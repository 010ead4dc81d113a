//! Wrapped keys and member lines of an epoch, on their way to the hub and from it (rule R11).

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{
    FrameError, KIND_MEMBERS, KIND_WRAPS,
    cursor::{Cursor, cap},
};
use crate::id::Digest;
use crate::limits::{SIGNATURE_BYTES_MAX, UPLOAD_CHUNK_BYTES_MAX, VERSION};

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

    pub(super) fn decode(bytes: &Bytes) -> Result<Self, FrameError> {
        let mut cursor = Cursor::new(bytes);
        cursor.version()?;
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
        if count == 0 {
            return Err(FrameError::Length { what: "count" });
        }
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
