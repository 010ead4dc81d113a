//! A frame as the hub delivers it: the hub's position and time in front of it.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{FrameError, KIND_DELIVERY, RawFrame, cursor::Cursor};
use crate::limits::VERSION;

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

    pub(super) fn decode(bytes: &Bytes) -> Result<Self, FrameError> {
        let mut cursor = Cursor::new(bytes);
        cursor.version()?;
        cursor.u8("kind")?;
        let position = u64::from_be_bytes(cursor.array("position")?);
        let hub_ms = u64::from_be_bytes(cursor.array("time")?);
        let rest = cursor.rest();
        Ok(Self { position, hub_ms, frame: RawFrame::decode(bytes.slice(rest))? })
    }
}
