//! What a device reads of its logs when it catches up.

use std::collections::HashMap;

use bytes::Bytes;
use chat_protocol::{
    id::{Digest, KeyId},
    name::{ConversationId, UserName},
};

use super::LogId;

/// An entry that one device may open.
#[derive(Debug, Clone)]
pub struct PageEntry {
    /// Its log.
    pub log: LogId,
    /// Its position.
    pub position: u64,
    /// When the hub accepted it.
    pub hub_ms: u64,
    /// The frame.
    pub frame: Bytes,
    /// Of an epoch: what comes with it.
    pub epoch: Option<PageEpoch>,
}

/// What a device gets with a KEY frame.
#[derive(Debug, Clone)]
pub struct PageEpoch {
    /// The epoch.
    pub e: Digest,
    /// The member lines.
    pub members: Bytes,
    /// The device's line.
    pub line: u32,
    /// The key, wrapped for it.
    pub wrap: Bytes,
}

/// Entries in the order of their positions, and where the next page begins.
#[derive(Debug, Default)]
pub struct Page {
    /// What this device may open.
    pub entries: Vec<PageEntry>,
    /// What of these logs was dropped behind the places asked for.
    pub dropped: Vec<PageDropped>,
    /// Everything up to here was looked at; `None` when nothing is left.
    pub next: Option<u64>,
}

/// Messages of a log that are not kept any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageDropped {
    /// The log.
    pub log: LogId,
    /// The room.
    pub cid: ConversationId,
    /// None is kept up to this position.
    pub position: u64,
    /// They were accepted before this, Unix time in milliseconds.
    pub before_ms: u64,
    /// How long the room kept messages then, in milliseconds.
    pub keep_ms: u64,
    /// How many there were by other people.
    pub messages: u64,
}

/// Which part of which logs a device wants.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// Whose device.
    pub name: UserName,
    /// Its signing key.
    pub sk: KeyId,
    /// Logs, and after which position in each.
    pub logs: Vec<(LogId, u64)>,
    /// Nothing up to here.
    pub after: u64,
    /// Nothing beyond.
    pub until: u64,
    /// What was dropped up to here of some logs was asked for before.
    pub counted: HashMap<LogId, u64>,
    /// Entries looked at.
    pub limit: usize,
}
