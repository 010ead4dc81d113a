//! What the worker asks the store for: each change that a batch may hold, with all that is needed to
//! keep it, so that the store decides nothing.
//!
//! A proposal is plain data. It holds no channel, no clock and nothing that somebody else changes, so it can be
//! written down and read again elsewhere (`record.rs`); with its outcome and the time of its batch it is all that
//! [`Router::apply`](crate::router::Router::apply) goes by.

use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::{
    file::catalogue::Offer,
    handshake::Purpose,
    header::{KeyHeader, MemberHeader},
    id::{Digest, MessageId, Nonce16},
    keys::Bundle,
    members::MemberList,
    name::UserName,
};

use serde::{Deserialize, Serialize};

use crate::connection::ConnectionId;

use super::{AccountId, DeviceId, EntryKind, EpochId, LogId, NewErase, NewOrder, record};

/// An account with its first device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewAccount {
    /// The name as claimed.
    pub name: UserName,
    /// The first bundle.
    #[serde(with = "record::bundle")]
    pub bundle: Arc<Bundle>,
    /// Argon2 string of the login secret.
    pub password: Option<String>,
    /// The sealed vault.
    #[serde(with = "record::vault")]
    pub vault: Option<Vec<u8>>,
    /// SHA-256 of the code that lets it in, where one is needed. It loses one use; without one left
    /// the account is a [`Conflict`](super::Conflict).
    pub invite: Option<Digest>,
}

/// Another identity for an account, with its first device. All devices of before go.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewIdentity {
    /// Whose.
    pub account: AccountId,
    /// SHA-256 of the code that lets it in. It is used up; where the account has no such code this is a
    /// [`Conflict`](super::Conflict).
    pub code: Digest,
    /// The first bundle.
    #[serde(with = "record::bundle")]
    pub bundle: Arc<Bundle>,
    /// Argon2 string of the login secret.
    pub password: Option<String>,
    /// The sealed vault.
    #[serde(with = "record::vault")]
    pub vault: Option<Vec<u8>>,
}

/// A bundle of a new or a known device.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewBundle {
    /// Whose.
    pub account: AccountId,
    /// Which device, `None` for a new one.
    pub device: Option<DeviceId>,
    /// The bundle.
    #[serde(with = "record::bundle")]
    pub bundle: Arc<Bundle>,
}

/// Another password for an account.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewPassword {
    /// Whose.
    pub account: AccountId,
    /// The Argon2 string that it replaces; another one by now is a
    /// [`Conflict`](super::Conflict).
    pub before: String,
    /// Argon2 string of the new login secret.
    pub password: String,
    /// The vault, sealed with the new password.
    #[serde(with = "record::bytes")]
    pub vault: Vec<u8>,
}

/// A message or a receipt.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewEntry {
    /// Where it goes.
    pub log: LogId,
    /// Who sent it.
    pub sender: AccountId,
    /// Its id, unique for sender and log.
    pub id: MessageId,
    /// SHA-256 of what was signed.
    pub digest: Digest,
    /// Message or receipt.
    pub kind: EntryKind,
    /// The epoch of a message.
    pub epoch: Option<EpochId>,
    /// The sender's line in that epoch.
    pub line: u32,
    /// The sender's counter in that epoch.
    pub n: u32,
    /// When the hub accepted it, Unix time in milliseconds.
    pub hub_ms: u64,
    /// The frame.
    #[serde(with = "record::bytes")]
    pub frame: Bytes,
}

/// An epoch, complete.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewEpoch {
    /// The log, `None` when this epoch makes the conversation.
    pub log: Option<LogId>,
    /// Who made it.
    pub sender: AccountId,
    /// Its header.
    pub header: KeyHeader,
    /// Digest of the header.
    pub e: Digest,
    /// SHA-256 of what was signed.
    pub digest: Digest,
    /// The maker's line.
    pub line: u32,
    /// Who holds the key.
    #[serde(with = "record::members")]
    pub members: MemberList,
    /// The wrapped keys, one for each line.
    #[serde(with = "record::frames")]
    pub wraps: Vec<Bytes>,
    /// When the hub accepted it, Unix time in milliseconds.
    pub hub_ms: u64,
    /// The KEY frame.
    #[serde(with = "record::bytes")]
    pub frame: Bytes,
}

impl Proposal {
    /// Whether a full disk has no place for it.
    pub fn needs_room(&self) -> bool {
        !matches!(self, Self::Probe(_) | Self::Session(_) | Self::Gone(_) | Self::No(_))
    }
}

impl NewEpoch {
    /// Its entry in the log of its conversation. The number is what the reader of the log needs; the
    /// entry is no message of that epoch.
    pub fn entry(&self, log: LogId, epoch: EpochId) -> NewEntry {
        NewEntry {
            log,
            sender: self.sender,
            id: MessageId(self.header.eid.0),
            digest: self.digest,
            kind: EntryKind::Key,
            epoch: Some(epoch),
            line: self.line,
            n: 0,
            hub_ms: self.hub_ms,
            frame: self.frame.clone(),
        }
    }
}

/// A link of a membership chain.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewLink {
    /// The log, `None` when this link makes the room.
    pub log: Option<LogId>,
    /// Its header.
    pub header: MemberHeader,
    /// SHA-256 of what was signed.
    pub digest: Digest,
    /// Devices that come in: their cursors begin here.
    pub newcomers: Vec<DeviceId>,
    /// Who has brought somebody in by it who has no account.
    pub brought_by: Option<AccountId>,
    /// The MEMBER frame.
    #[serde(with = "record::bytes")]
    pub frame: Bytes,
}

/// The topic of an open room; the newest replaces the one before.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewTopic {
    /// The room.
    pub log: LogId,
    /// Empty for none.
    pub text: String,
    /// Who sets it.
    pub by: UserName,
}

/// Whom the epochs of a room may lack, until an admin lets them in again.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewExcuse {
    /// The room.
    pub log: LogId,
    /// Who.
    pub who: UserName,
}

/// How long a room keeps its messages; the newest replaces the one before.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewRetention {
    /// The room.
    pub log: LogId,
    /// Milliseconds, 0 for ever; `None` for the server's default.
    pub keep_ms: Option<u64>,
    /// Who sets it.
    pub by: UserName,
}

/// One bounded step of deleting what a room keeps no longer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct NewDrop {
    /// The room.
    pub log: LogId,
    /// Messages accepted before this are deleted, Unix time in milliseconds.
    pub before_ms: u64,
    /// How long the room keeps its messages, in milliseconds.
    pub keep_ms: u64,
    /// The epoch that messages are taken in now: its key stays whatever its age.
    pub current: Option<EpochId>,
}

/// A frame is refused, and another session of its device may still bring it: what is under way of it is void.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewNo {
    /// Whose.
    pub account: AccountId,
    /// The device that has signed it.
    pub device: DeviceId,
    /// SHA-256 of what was signed.
    pub digest: Digest,
    /// Why not; without one it is to be sealed again.
    pub code: Option<String>,
    /// The same in words.
    pub reason: String,
}

/// An encrypted copy of a file that its owner has left here. The file itself is not in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRow {
    /// Whose.
    pub account: AccountId,
    /// The owner's name.
    pub owner: UserName,
    /// Its transfer.
    pub tid: Nonce16,
    /// How many chunks it has.
    pub chunks: u32,
    /// Size of the file in bytes.
    pub size: u64,
    /// Until when it is kept, Unix time in milliseconds.
    pub until: u64,
    /// The number of the hub on whose disk it lies; 0 of one that is alone.
    #[serde(default)]
    pub node: u32,
}

/// A change of the list of copies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum CopyChange {
    /// Its file is durable.
    Keep(CopyRow),
    /// Their files go.
    Remove(Vec<(AccountId, Nonce16)>),
}

/// An offer of a file, and its JSON, which is written once.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewOffer {
    /// The offer.
    pub offer: Offer,
    /// The same as JSON.
    pub text: Box<str>,
}

/// Changes of one person's part of the list of shared files.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewShare {
    /// Whose.
    pub owner: AccountId,
    /// These are put on the list, each id once. One with the same owner and id is replaced.
    pub offers: Vec<NewOffer>,
    /// These are taken off before.
    pub ended: Vec<MessageId>,
}

/// A hub from one start to its end, among those that share a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// Which of the hubs.
    pub node: u32,
    /// Drawn at its start, so that no other start of it has the same.
    pub life: u64,
}

impl Incarnation {
    /// A hub that shares its log with nobody.
    pub const ALONE: Self = Self { node: 0, life: 0 };
}

/// Which session is meant, among those of all hubs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionPlace {
    /// Where it is served.
    pub hub: Incarnation,
    /// Its connection there.
    pub connection: ConnectionId,
}

/// A session begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSession {
    /// Which.
    pub place: SessionPlace,
    /// Whose.
    pub account: AccountId,
    /// Of which device.
    pub device: DeviceId,
    /// What it is for.
    pub purpose: Purpose,
    /// It begins.
    pub is_open: bool,
    /// The one of the same device at a hub that is not heard of, which ends with that.
    #[serde(default)]
    pub replaces: Option<SessionPlace>,
}

/// One change that the worker asks for, or a question that only the store can answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Proposal {
    /// Makes an account.
    Account(Box<NewAccount>),
    /// Replaces an identity, its password, vault and devices. What it has offered goes.
    Identity(Box<NewIdentity>),
    /// Keeps a bundle.
    Bundle(Box<NewBundle>),
    /// Replaces a password and the vault together.
    Password(Box<NewPassword>),
    /// Appends a message or receipt.
    Entry(Box<NewEntry>),
    /// Appends an epoch.
    Epoch(Box<NewEpoch>),
    /// Appends a link. Who leaves or is removed by it offers nothing to the room any more.
    Link(Box<NewLink>),
    /// Sets a topic.
    Topic(NewTopic),
    /// Notes whom the epochs of a room may lack.
    Excuse(NewExcuse),
    /// Sets how long a room keeps its messages.
    Retention(NewRetention),
    /// Deletes what a room keeps no longer.
    Drop(NewDrop),
    /// Changes the list of copies.
    Copies(CopyChange),
    /// Changes the list of shared files.
    Share(Box<NewShare>),
    /// Keeps a decision of the operator.
    Order(Box<NewOrder>),
    /// Erases what was sent to an account that was deleted.
    Erase(NewErase),
    /// Moves cursors of a device, never back.
    Cursors {
        /// Whose device.
        account: AccountId,
        /// Which.
        device: DeviceId,
        /// Log and last position kept.
        positions: Vec<(LogId, u64)>,
    },
    /// Says that somebody is here, or is not any more. It takes no room in a store of its own.
    Session(NewSession),
    /// A hub that shares the log is gone: its sessions end with it.
    Gone(Incarnation),
    /// A frame is refused.
    No(Box<NewNo>),
    /// Changes nothing: is this frame stored? Answered
    /// [`Stored::Again`](super::Stored::Again) or a [`Conflict`](super::Conflict).
    Probe(Probe),
}

/// What a [`Proposal::Probe`] asks for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Probe {
    /// A message by its id; `e` is the epoch it names.
    Message {
        /// Where it would be.
        log: LogId,
        /// Who sent it.
        sender: AccountId,
        /// Its id.
        id: MessageId,
        /// SHA-256 of what was signed.
        digest: Digest,
        /// Its epoch.
        e: Digest,
    },
    /// An epoch by its generation.
    Epoch {
        /// The conversation.
        log: LogId,
        /// Generation.
        g: u32,
        /// Digest of its header.
        e: Digest,
    },
    /// A link by its number.
    Link {
        /// The room.
        log: LogId,
        /// Number.
        mg: u32,
        /// SHA-256 of what was signed.
        digest: Digest,
    },
}
