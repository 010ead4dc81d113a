//! What is kept: accounts, bundles, epochs, membership chains, frames and cursors.
//!
//! The contract of [`Store::commit`]:
//! 1. A batch is one transaction: after an error nothing of it is kept.
//! 2. What it returns as stored MUST survive a power cut.
//! 3. Positions are one sequence over all logs and grow in the order of the batch.
//! 4. Positions never go back, also when what stood at the last ones was deleted.
//! 5. A name (folded) and a (sender, log, id) are kept once; a second one is a [`Conflict`], or
//!    [`Stored::Again`] when it is the same frame.

pub mod memory;
pub mod source;
pub mod sqlite;

use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::{
    file::catalogue::Offer,
    header::{KeyHeader, MemberHeader},
    id::{Digest, KeyId, MessageId, Nonce16},
    keys::Bundle,
    members::MemberList,
    name::{ConversationId, UserName},
};
use thiserror::Error;

/// Gives a number of a row its own type.
macro_rules! row_id {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub i64);
    };
}

row_id!(
    /// An account. Numbered from 1.
    AccountId
);
row_id!(
    /// A device of an account.
    DeviceId
);
row_id!(
    /// A log: of a conversation (positive), or the inbox of an account (negative).
    LogId
);
row_id!(
    /// An epoch of a conversation.
    EpochId
);

impl LogId {
    /// The log of receipts for what this account sent.
    pub fn inbox(account: AccountId) -> Self {
        Self(account.0.saturating_neg())
    }
}

/// What an entry of a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A sealed message.
    Message,
    /// A receipt, in an inbox.
    Receipt,
    /// An epoch; its lines and wraps are kept beside it.
    Key,
}

/// An account with its first device.
#[derive(Debug)]
pub struct NewAccount {
    /// The name as claimed.
    pub name: UserName,
    /// The first bundle.
    pub bundle: Arc<Bundle>,
    /// Argon2 string of the login secret.
    pub password: Option<String>,
    /// The sealed vault.
    pub vault: Option<Vec<u8>>,
}

/// A bundle of a new or a known device.
#[derive(Debug)]
pub struct NewBundle {
    /// Whose.
    pub account: AccountId,
    /// Which device, `None` for a new one.
    pub device: Option<DeviceId>,
    /// The bundle.
    pub bundle: Arc<Bundle>,
}

/// Another password for an account.
#[derive(Debug)]
pub struct NewPassword {
    /// Whose.
    pub account: AccountId,
    /// The Argon2 string that it replaces; another one by now is a [`Conflict`].
    pub before: String,
    /// Argon2 string of the new login secret.
    pub password: String,
    /// The vault, sealed with the new password.
    pub vault: Vec<u8>,
}

/// A message or a receipt.
#[derive(Debug)]
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
    pub frame: Bytes,
}

/// An epoch, complete.
#[derive(Debug)]
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
    pub members: MemberList,
    /// The wrapped keys, one for each line.
    pub wraps: Vec<Bytes>,
    /// When the hub accepted it, Unix time in milliseconds.
    pub hub_ms: u64,
    /// The KEY frame.
    pub frame: Bytes,
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
#[derive(Debug)]
pub struct NewLink {
    /// The log, `None` when this link makes the room.
    pub log: Option<LogId>,
    /// Its header.
    pub header: MemberHeader,
    /// SHA-256 of what was signed.
    pub digest: Digest,
    /// Devices that come in: their cursors begin here.
    pub newcomers: Vec<DeviceId>,
    /// The MEMBER frame.
    pub frame: Bytes,
}

/// The topic of an open room; the newest replaces the one before.
#[derive(Debug)]
pub struct NewTopic {
    /// The room.
    pub log: LogId,
    /// Empty for none.
    pub text: String,
}

/// How long a room keeps its messages; the newest replaces the one before.
#[derive(Debug)]
pub struct NewRetention {
    /// The room.
    pub log: LogId,
    /// Milliseconds, 0 for ever; `None` for the server's default.
    pub keep_ms: Option<u64>,
}

/// One bounded step of deleting what a room keeps no longer.
#[derive(Debug, Clone, Copy)]
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

/// What a [`NewDrop`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Messages deleted.
    pub messages: u64,
    /// There is more to delete at once.
    pub is_more: bool,
    /// When what is the oldest now was accepted: it is the next to go. `None` when nothing is left.
    pub oldest_ms: Option<u64>,
}

/// An encrypted copy of a file that its owner has left here. The file itself is not in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// A change of the list of copies.
#[derive(Debug, Clone)]
pub enum CopyChange {
    /// Its file is durable.
    Keep(CopyRow),
    /// Their files go.
    Remove(Vec<(AccountId, Nonce16)>),
}

/// An offer of a file, and its JSON, which is written once.
#[derive(Debug)]
pub struct NewOffer {
    /// The offer.
    pub offer: Offer,
    /// The same as JSON.
    pub text: Box<str>,
}

/// Changes of one person's part of the list of shared files.
#[derive(Debug)]
pub struct NewShare {
    /// Whose.
    pub owner: AccountId,
    /// These are put on the list, each id once. One with the same owner and id is replaced.
    pub offers: Vec<NewOffer>,
    /// These are taken off before.
    pub ended: Vec<MessageId>,
}

/// One change that the worker asks for, or a question that only the store can answer.
#[derive(Debug)]
pub enum Proposal {
    /// Makes an account.
    Account(Box<NewAccount>),
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
    /// Sets how long a room keeps its messages.
    Retention(NewRetention),
    /// Deletes what a room keeps no longer.
    Drop(NewDrop),
    /// Changes the list of copies.
    Copies(CopyChange),
    /// Changes the list of shared files.
    Share(Box<NewShare>),
    /// Moves cursors of a device, never back.
    Cursors {
        /// Whose.
        device: DeviceId,
        /// Log and last position kept.
        positions: Vec<(LogId, u64)>,
    },
    /// Changes nothing: is this frame stored? Answered [`Stored::Again`] or a [`Conflict`].
    Probe(Probe),
}

/// What a [`Proposal::Probe`] asks for.
#[derive(Debug, Clone, Copy)]
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

/// What was kept, with the numbers that the store gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// An account and its first device.
    Account(AccountId, DeviceId),
    /// A bundle of this device.
    Device(DeviceId),
    /// An entry at this position.
    Entry(u64),
    /// An epoch.
    Epoch {
        /// Its conversation.
        log: LogId,
        /// Its number.
        epoch: EpochId,
        /// Its position.
        position: u64,
    },
    /// A link.
    Link {
        /// Its room.
        log: LogId,
        /// Its position.
        position: u64,
    },
    /// The same frame was stored before, at this position.
    Again(u64),
    /// So much was deleted.
    Dropped(Dropped),
    /// Nothing that needs a number.
    Done,
}

/// Why one proposal was not kept. The others of its batch are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Another frame, or another name, has this place.
    Taken,
    /// Nothing is there. Of a message: whether its epoch was ever stored.
    Missing {
        /// The epoch is one of this conversation.
        is_epoch_known: bool,
    },
}

/// A proposal and what became of it.
#[derive(Debug)]
pub struct Committed {
    /// As it was proposed.
    pub proposal: Proposal,
    /// What was kept.
    pub outcome: Result<Stored, Conflict>,
}

/// Why a batch was not kept at all.
#[derive(Debug, Error)]
pub enum CommitError {
    /// There is no room on the disk. Later batches may succeed.
    #[error("the disk is full")]
    Full,
    /// The database failed. A retry could lie, so the server ends.
    #[error("cannot store: {0}")]
    Failed(#[from] rusqlite::Error),
    /// The thread of the database is gone.
    #[error("cannot store: the database thread has ended")]
    Gone,
}

/// Where batches go.
pub trait Store: Send {
    /// Keeps a batch; see the contract above. The results are in the order of the batch.
    fn commit(
        &mut self,
        batch: Vec<Proposal>,
    ) -> impl Future<Output = Result<Vec<Committed>, CommitError>> + Send;
}

/// A device as the store knows it.
#[derive(Debug, Clone)]
pub struct DeviceRow {
    /// Its number.
    pub id: DeviceId,
    /// Its own name for itself.
    pub dev: Nonce16,
    /// Its newest bundle.
    pub bundle: Bytes,
}

/// An account as the store knows it.
#[derive(Debug, Clone)]
pub struct AccountRow {
    /// Its number.
    pub id: AccountId,
    /// The name as claimed.
    pub name: UserName,
    /// Its identity key.
    pub identity: KeyId,
    /// How many bundles it has published.
    pub version: u32,
    /// Argon2 string of the login secret.
    pub password: Option<String>,
    /// Its devices.
    pub devices: Vec<DeviceRow>,
}

/// The newest epoch of a conversation.
#[derive(Debug, Clone)]
pub struct EpochRow {
    /// Its number.
    pub id: EpochId,
    /// Generation.
    pub g: u32,
    /// Digest of its header.
    pub e: Digest,
    /// Its place in the log.
    pub position: u64,
    /// Who holds the key.
    pub members: MemberList,
    /// Line, and the last counter used there.
    pub counters: Vec<(u32, u32)>,
}

/// A conversation as the store knows it.
#[derive(Debug, Clone)]
pub struct ConversationRow {
    /// Its log.
    pub log: LogId,
    /// Its name.
    pub cid: ConversationId,
    /// Frames, digests and positions of its membership chain.
    pub links: Vec<(MemberHeader, Digest, u64)>,
    /// What an open room is about.
    pub topic: String,
    /// How long it keeps its messages, in milliseconds, 0 for ever; `None` for the default.
    pub keep_ms: Option<u64>,
    /// Its newest epoch.
    pub epoch: Option<EpochRow>,
    /// Its last position.
    pub newest: u64,
    /// Of a direct conversation: what waits for each of the two.
    pub waiting: Vec<(AccountId, Waiting)>,
}

/// Messages that were kept for somebody and that no device of theirs has fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// How many.
    pub messages: u64,
    /// The length of their frames.
    pub bytes: u64,
}

/// An offer on the list of shared files.
#[derive(Debug, Clone)]
pub struct OfferRow {
    /// Whose.
    pub owner: AccountId,
    /// The offer.
    pub offer: Offer,
}

/// All that the router needs to begin where it ended.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The last position given.
    pub position: u64,
    /// Accounts in the order of their numbers, with the last position of their inbox.
    pub accounts: Vec<(AccountRow, u64)>,
    /// Conversations.
    pub conversations: Vec<ConversationRow>,
    /// Copies of files.
    pub copies: Vec<CopyRow>,
    /// The list of shared files.
    pub offers: Vec<OfferRow>,
}
