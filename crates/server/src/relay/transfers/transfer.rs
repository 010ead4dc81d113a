//! One transfer: its two sides, what it has brought, and the chunks of it that wait in this hub.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use chat_protocol::{
    file::{Manifest, chunk::FileHeader},
    header::Recipient,
    id::{Digest, Nonce16},
    merkle,
    name::UserName,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::TransferId;
use crate::{
    connection::ConnectionId,
    limits::{HALF_TRANSFER_TIME_MAX, TRANSFER_STALL_TIME_MAX},
    relay::link::{Far, Half, SideOf},
};

/// What sealing adds to the bytes of a chunk.
const GCM_TAG_BYTES: usize = 16;

/// What the log of operations says of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The transfer.
    pub tid: Nonce16,
    /// Who gives.
    pub from: UserName,
    /// Who receives.
    pub to: Recipient,
    /// Chunks that went.
    pub chunks: u64,
    /// Bytes of those frames.
    pub bytes: u64,
    /// Microseconds since its first half came.
    pub duration_us: u64,
    /// Whether both sides were there.
    pub is_running: bool,
}

/// A chunk that waits in this hub. It counts until the last handle of its bytes is gone.
struct Held {
    bytes: Bytes,
    count: Arc<AtomicU32>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Release);
    }
}

/// The same bytes without a copy, counted while they live.
fn hold(bytes: Bytes, count: &Arc<AtomicU32>) -> Bytes {
    count.fetch_add(1, Ordering::Relaxed);
    Bytes::from_owner(Held { bytes, count: Arc::clone(count) })
}

/// Where a chunk goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// To the taker.
    Taker(ConnectionId, Bytes),
    /// To the hub of the taker.
    Far(TransferId, Far, Bytes),
    /// Into a copy.
    Disk(TransferId, Bytes),
    /// Nowhere: its transfer ended while it was on its way.
    Nowhere,
}

/// One end of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Has not come yet.
    Awaited,
    Connection(ConnectionId),
    /// Is at another hub.
    Far(Far),
    Disk,
}

#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) key: Key,
    pub(super) giver: Side,
    pub(super) taker: Side,
    pub(super) open: u32,
    pub(super) held: Arc<AtomicU32>,
    /// Of a copy that comes in: what it has to be.
    pub(super) expected: Option<Expected>,
    pub(super) chunks: u64,
    pub(super) bytes: u64,
    pub(super) begun: Instant,
    pub(super) moved: Instant,
    /// The hub of the other side knows that it is over.
    pub(super) has_far_ended: bool,
}

/// The chunks of a copy and the size of its file, as its owner said and as they count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) chunks: u32,
    pub(super) size: u64,
}

impl Expected {
    /// Whether a chunk has the length that it must have, path and tag included.
    pub(super) fn fits(self, header: &FileHeader, body: usize) -> bool {
        let file = Manifest { name: String::new(), size: self.size, root: Digest::ZERO };
        let data = file.chunk_length(header.i);
        let path = 32 * merkle::path_length(self.chunks, header.i);
        let is_last = header.i.checked_add(1) == Some(self.chunks);
        header.i < self.chunks
            && header.last == is_last
            && data.is_some_and(|data| body == path + data + GCM_TAG_BYTES)
    }
}

/// Both halves of a transfer name the same three things.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Who gives.
    pub from: UserName,
    /// Who receives.
    pub to: Recipient,
    /// The transfer.
    pub tid: Nonce16,
}

impl Transfer {
    pub(super) fn new(now: Instant, key: Key, giver: Side, taker: Side) -> Self {
        Self {
            key,
            giver,
            taker,
            open: 0,
            held: Arc::default(),
            expected: None,
            chunks: 0,
            bytes: 0,
            begun: now,
            moved: now,
            has_far_ended: false,
        }
    }

    /// The half that has come, if the other one has not.
    pub(super) fn half(&self) -> Option<Half> {
        match (self.giver, self.taker) {
            (Side::Awaited, Side::Connection(_)) => Some(Half::Taker),
            (Side::Connection(_), Side::Awaited) => Some(Half::Giver),
            _ => None,
        }
    }

    /// The side that has come, if the other one has not.
    pub(super) fn side(&self) -> Option<SideOf> {
        let half = self.half()?;
        Some(SideOf { half, transfer: self.key.clone() })
    }

    /// The side that is at another hub.
    pub(super) fn far(&self) -> Option<Far> {
        match (self.giver, self.taker) {
            (Side::Far(far), _) | (_, Side::Far(far)) => Some(far),
            _ => None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.giver != Side::Awaited && self.taker != Side::Awaited
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        let max = if self.is_running() { TRANSFER_STALL_TIME_MAX } else { HALF_TRANSFER_TIME_MAX };
        now.saturating_duration_since(self.moved) >= max
    }

    /// Whether the chunks of an incoming copy are all here.
    pub(super) fn is_complete(&self) -> bool {
        self.expected.is_some_and(|expected| u64::from(expected.chunks) == self.chunks)
    }

    pub(super) fn summary(&self, now: Instant) -> Summary {
        let duration = now.saturating_duration_since(self.begun);
        Summary {
            tid: self.key.tid,
            from: self.key.from.clone(),
            to: self.key.to.clone(),
            chunks: self.chunks,
            bytes: self.bytes,
            duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            is_running: self.is_running(),
        }
    }
}

impl Transfer {
    /// Counts a chunk and says where it goes.
    pub(super) fn send(&mut self, now: Instant, id: TransferId, frame: Bytes) -> Target {
        self.moved = now;
        self.chunks += 1;
        self.bytes += u64::try_from(frame.len()).unwrap_or(u64::MAX);
        let frame = hold(frame, &self.held);
        match self.taker {
            Side::Connection(taker) => Target::Taker(taker, frame),
            Side::Far(far) => Target::Far(id, far, frame),
            Side::Disk => Target::Disk(id, frame),
            Side::Awaited => Target::Nowhere,
        }
    }
}
