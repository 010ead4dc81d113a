//! What is kept: accounts, bundles, epochs, membership chains, frames and cursors.
//!
//! The contract of [`Store::commit`]:
//! 1. A batch is one transaction: after an error nothing of it is kept.
//! 2. What it returns as stored MUST survive a power cut.
//! 3. Positions are one sequence over all logs and grow in the order of the batch.
//! 4. Positions never go back, also when what stood at the last ones was deleted.
//! 5. A name (folded) and a (sender, log, id) are kept once; a second one is a [`Conflict`], or
//!    [`Stored::Again`] when it is the same frame.
//! 6. What any bundle of an account has revoked stays in its row, whatever newer ones say, until the account gets
//!    another identity.

mod errors;
pub mod memory;
mod operator;
mod page;
mod proposal;
mod reads;
mod record;
mod snapshot;
pub mod sqlite;
mod turns;

use chat_protocol::id::{Digest, KeyId};
use serde::{Deserialize, Serialize};

pub use errors::{Cause, CommitError, OpenError, ReadError};
pub use operator::{
    Banned, Invite, Network, NewErase, NewOrder, OperatorRows, PutOut, Registration, ResetCode,
    Standing,
};
pub use page::{Page, PageDropped, PageEntry, PageEpoch, PageRequest};
pub use proposal::{
    CopyChange, CopyRow, Incarnation, NewAccount, NewBundle, NewDrop, NewEntry, NewEpoch,
    NewExcuse, NewIdentity, NewLink, NewNo, NewOffer, NewPassword, NewRetention, NewSession,
    NewShare, NewTopic, Probe, Proposal, SessionPlace,
};
pub use reads::{Answer, BundlesInOrder, ReadSource, Reads};
pub use snapshot::{AccountRow, ConversationRow, DeviceRow, EpochRow, OfferRow, Snapshot, Waiting};
pub use turns::{AppliedTurn, Facts, Followed, HubRow, KeptBatch, Mark, Noted, Unsure, Written};

/// The database in the data folder.
pub const DATABASE_FILE: &str = "chat.sqlite";

/// Gives a number of a row its own type.
macro_rules! row_id {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
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

/// Names one bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleName {
    /// The newest of a device.
    Newest(DeviceId),
    /// The first one of an account with this signing key.
    Key(AccountId, KeyId),
}

/// What an entry of a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A sealed message.
    Message,
    /// A receipt, in an inbox.
    Receipt,
    /// An epoch; its lines and wraps are kept beside it.
    Key,
}

/// What a [`NewDrop`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dropped {
    /// Messages deleted.
    pub messages: u64,
    /// There is more to delete at once.
    pub is_more: bool,
    /// When what is the oldest now was accepted: it is the next to go. `None` when nothing is left.
    pub oldest_ms: Option<u64>,
}

/// What was kept, with the numbers that the store gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A step of erasing is done: where the next one begins, if there is more in this log.
    Erased(Option<u64>),
    /// Nothing that needs a number.
    Done,
}

/// Why one proposal was not kept. The others of its batch are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Serialize, Deserialize)]
pub struct Committed {
    /// As it was proposed.
    pub proposal: Proposal,
    /// What was kept.
    pub outcome: Result<Stored, Conflict>,
}

/// Where batches go.
pub trait Store: Send {
    /// Keeps a batch; see the contract above. The results are in the order of the batch.
    fn commit(
        &mut self,
        batch: Vec<Proposal>,
    ) -> impl Future<Output = Result<Vec<Committed>, CommitError>> + Send;

    /// Keeps a turn of a shared log: those of its records that count, which may be none, and how far the
    /// store is then, in one transaction. Returns what everything up to it came to, too. A store that is made
    /// again from the log need not remember the turn.
    fn commit_turn(
        &mut self,
        batch: Vec<Proposal>,
        mark: Mark,
    ) -> impl Future<Output = Result<(Vec<Committed>, Digest), CommitError>> + Send {
        async move {
            let kept = if batch.is_empty() { Vec::new() } else { self.commit(batch).await? };
            let chain = mark.chain(&kept);
            Ok((kept, chain))
        }
    }

    /// The batches behind a turn of a shared log that are kept for a log that has lost them: about so many bytes, and
    /// at least one. A store that is made again from the log has none.
    fn tail(
        &self,
        _after: u64,
        _bytes: usize,
    ) -> impl Future<Output = Result<Vec<KeptBatch>, CommitError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Keeps what is known of a shared log, so that it survives a power cut. A generation never gets smaller.
    fn note(&mut self, _noted: Noted) -> impl Future<Output = Result<(), CommitError>> + Send {
        async { Ok(()) }
    }
}
