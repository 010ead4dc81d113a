//! The list and the wrap of an epoch that somebody else has made, until both are here. Only those of
//! a KEY that came on this connection are kept; what a hub sends beside them is dropped (rule R39).

use bytes::Bytes;
use chat_protocol::frame::Upload;
use chat_protocol::header::KeyHeader;
use chat_protocol::hub::Log;
use chat_protocol::id::Digest;
use chat_protocol::name::ConversationId;

use super::Arriving;
use crate::endpoint::Endpoint;
use crate::limits::{
    LOST_PARTS_MAX, MEMBER_LIST_BYTES_MAX, PARKED_BYTES_MAX, PARTS_CONNECTIONS_MAX, PARTS_WAIT_MS,
    WAITING_OVERHEAD_BYTES,
};
use crate::position::Came;

/// What has come of one epoch.
#[derive(Debug)]
pub(crate) struct Parts {
    cid: ConversationId,
    /// The KEY, once it is verified, and how it came.
    header: Option<(KeyHeader, Came)>,
    members: Vec<u8>,
    /// The last part has come, and this device's wrap with it if it has one.
    is_complete: bool,
    wrap: Option<Bytes>,
    /// Something found no room: it comes with the next connection.
    is_cut: bool,
    /// When its KEY was verified, Unix time in milliseconds: what comes of it later gives no more time.
    since_ms: u64,
}

impl Parts {
    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let wrap = self.wrap.as_ref().map_or(0, Bytes::len);
        WAITING_OVERHEAD_BYTES + self.members.capacity() + wrap
    }

    fn take(&mut self, upload: Upload, room: usize) {
        match upload {
            Upload::Members { offset, bytes, .. } => {
                let len = self.members.len();
                let fits = len + bytes.len() <= MEMBER_LIST_BYTES_MAX;
                self.is_cut |= bytes.len() > room;
                if usize::try_from(offset) == Ok(len) && fits && !self.is_cut {
                    self.members.reserve_exact(bytes.len());
                    self.members.extend_from_slice(&bytes);
                }
            }
            Upload::Wraps { wraps, .. } => {
                // A copy, so that nothing holds what came around it.
                self.wrap = wraps.first().map(|wrap| Bytes::copy_from_slice(wrap));
                self.is_complete = !self.is_cut;
            }
        }
    }
}

impl Endpoint {
    /// A KEY is among what waits: its parts are kept from now on.
    pub(crate) fn expect_parts(&mut self, now_ms: u64, e: Digest, cid: &ConversationId) {
        if self.link.parts.contains_key(&e) {
            return;
        }
        let parts = Parts {
            cid: cid.clone(),
            header: None,
            members: Vec::new(),
            is_complete: false,
            wrap: None,
            is_cut: false,
            since_ms: now_ms,
        };
        self.inbox.park(parts.bytes(), 0);
        self.link.parts.insert(e, parts);
    }

    /// A KEY is dealt with: nobody waits for its parts.
    pub(crate) fn drop_parts(&mut self, e: &Digest) -> Option<Parts> {
        let parts = self.link.parts.remove(e)?;
        self.inbox.park(0, parts.bytes());
        Some(parts)
    }

    /// The KEY is verified; says whether it is dealt with, because its parts were here already or
    /// because it is not worth a try.
    pub(crate) fn await_parts(
        &mut self,
        now_ms: u64,
        e: Digest,
        (header, came): (&KeyHeader, Came),
    ) -> bool {
        if self.is_unlucky_maker(now_ms, header) {
            self.drop_parts(&e);
            self.pass_over_epoch(now_ms, header, e);
            return true;
        }
        self.expect_parts(now_ms, e, &header.cid);
        let Some(parts) = self.link.parts.get_mut(&e) else { return false };
        if parts.header.is_none() {
            parts.header = Some((header.clone(), came));
            parts.since_ms = now_ms;
        }
        self.open_whole(now_ms, &e)
    }

    /// Part of an epoch has come; with the wrap it is complete. Parts of a KEY that still waits for
    /// its maker's bundle wait with it.
    pub(crate) fn on_upload(&mut self, now_ms: u64, upload: Upload) {
        let e = upload.epoch();
        let room = PARKED_BYTES_MAX.saturating_sub(self.inbox.parked_bytes());
        let Some(parts) = self.link.parts.get_mut(&e) else { return };
        let before = parts.bytes();
        parts.take(upload, room);
        let (after, log) = (parts.bytes(), Log::Conversation(parts.cid.clone()));
        self.inbox.park(after, before);
        if self.open_whole(now_ms, &e) {
            self.front_done(&log);
            self.receive_waiting(now_ms, &log);
        }
    }

    /// Opens an epoch of which everything is here.
    fn open_whole(&mut self, now_ms: u64, e: &Digest) -> bool {
        let is_whole = |parts: &Parts| parts.is_complete && parts.header.is_some();
        let cid = self.link.parts.get(e).filter(|parts| is_whole(parts)).map(|p| p.cid.clone());
        let Some(cid) = cid else { return false };
        if self.awaits_settling(&Log::Conversation(cid)) {
            return false;
        }
        let Some(Parts { header: Some((header, came)), members, wrap, .. }) = self.drop_parts(e)
        else {
            return false;
        };
        self.luck.lost.remove(e);
        let arriving = Arriving { header, members, came };
        self.open_epoch(now_ms, *e, &arriving, wrap.as_ref());
        true
    }

    /// When the first parts count as missing.
    pub(crate) fn parts_deadline(&self) -> Option<u64> {
        let awaited = self.link.parts.values().filter(|parts| parts.header.is_some());
        let first = awaited.map(|parts| parts.since_ms.saturating_add(PARTS_WAIT_MS)).min();
        first.filter(|_| !self.link.lacks_parts)
    }

    /// Parts that do not come are asked for on a new connection; where that does not help, the key
    /// is one that does not open (rules R19, R39).
    pub(crate) fn parts_overdue(&mut self, now_ms: u64) {
        let is_due = |parts: &Parts| {
            let until = parts.since_ms.saturating_add(PARTS_WAIT_MS);
            parts.header.is_some() && until <= now_ms
        };
        if self.link.lacks_parts {
            return;
        }
        let due = self.link.parts.iter().filter(|(_, parts)| is_due(parts));
        let due: Vec<Digest> = due.map(|(e, _)| *e).collect();
        for e in due {
            let lost = &mut self.luck.lost;
            let unknown = if lost.len() < LOST_PARTS_MAX { 0 } else { PARTS_CONNECTIONS_MAX };
            let times = lost.get(&e).copied().unwrap_or(unknown);
            if times < PARTS_CONNECTIONS_MAX {
                lost.insert(e, times + 1);
                self.link.lacks_parts = true;
                return;
            }
            self.luck.lost.remove(&e);
            let Some(Parts { header: Some((header, _)), .. }) = self.drop_parts(&e) else {
                continue;
            };
            self.key_failed(now_ms, &header, "its list or its wrap never came");
            self.pass_over_epoch(now_ms, &header, e);
            let log = Log::Conversation(header.cid);
            self.front_done(&log);
            self.receive_waiting(now_ms, &log);
        }
    }
}
