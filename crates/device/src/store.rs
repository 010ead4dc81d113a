//! Where the rows and the history of one device are kept: what every such place does.
//!
//! [`SqliteStore`] is the one of a program: durable before anything leaves the device, and shared by several
//! processes of the same home (rule R7). [`MemoryStore`] is the one of a device that keeps nothing for long.

use chat_endpoint::store::Change;
use chat_endpoint::{KeptFrame, Records};
use chat_protocol::crypto::KeyError;
use chat_protocol::id::MessageId;
use chat_protocol::keys::BundleError;
use chat_protocol::name::ConversationId;
use thiserror::Error;

use crate::record::{Entry, Record, Said};

mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

/// Everything that one step makes durable, in one commit.
#[derive(Debug, Default)]
pub struct Changes {
    /// Changed rows.
    pub rows: Vec<Change>,
    /// What the history learns.
    pub history: Vec<Said>,
}

impl Changes {
    /// Whether there is nothing to be made durable.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.history.is_empty()
    }
}

impl From<Vec<Change>> for Changes {
    fn from(rows: Vec<Change>) -> Self {
        Self { rows, history: Vec::new() }
    }
}

/// Why a home failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database says no; with what to do about it.
    #[error("the home's database: {0}")]
    Database(String),
    /// Made by a newer version.
    #[error("the home's database has schema {got}, this program knows {known}; use a newer one")]
    Version {
        /// The schema found.
        got: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// A value does not open: another key, or damage.
    #[error("the home's database does not open with this key; it is damaged or from another home")]
    Sealed,
    /// A stored value is not what this program writes.
    #[error("the home's database holds something unexpected: {0}; it is damaged")]
    Row(#[from] serde_json::Error),
    /// A stored key is no key.
    #[error("the home's database holds a key that cannot be used: {0}; it is damaged")]
    Key(#[from] KeyError),
    /// A stored bundle is no bundle.
    #[error("the home's database holds a bundle that cannot be used: {0}; it is damaged")]
    Bundle(#[from] BundleError),
}

/// Rows, and the steps that change them. Several processes may have the same home open.
pub trait Home {
    /// Takes the home for one step of this process. Returns all rows if another process has changed them since
    /// the last step: they are to be read again before anything is decided.
    fn begin(&mut self) -> Result<Option<Records>, StoreError>;

    /// Makes the changes of the step durable, all or none, and lets others take the home.
    fn commit(&mut self, changes: &Changes) -> Result<(), StoreError>;

    /// All rows.
    fn rows(&self) -> Result<Records, StoreError>;

    /// One row.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Changes rows in a step of their own that decides nothing.
    fn write(&mut self, rows: Vec<Change>) -> Result<(), StoreError>;
}

/// The history beside the rows: found again by conversation, by id, or from the newest on.
pub trait HistoryStore: Home {
    /// The newest messages of a conversation before a place, `count` at most, in the order in which they came.
    fn page(
        &self,
        cid: &ConversationId,
        before: Option<i64>,
        count: usize,
    ) -> Result<Vec<Entry>, StoreError>;

    /// The messages of this id, in the order in which they came: one's own, and those of others, who choose ids
    /// themselves.
    fn by_id(&self, id: &MessageId) -> Result<Vec<Entry>, StoreError>;

    /// Goes through the messages before a place, or all of them, from the newest on, until `take` says that it is
    /// enough.
    fn newest(&self, before: Option<i64>, take: &mut Take<'_>) -> Result<(), StoreError>;

    /// The newest message of each conversation, of so many at most: those in which something was said last.
    fn newest_of_each(&self, count: usize) -> Result<Vec<Record>, StoreError>;

    /// What stands at a place.
    fn entry(&self, place: i64) -> Result<Option<Entry>, StoreError>;

    /// The frame of the message at a place, and the key that opens it.
    fn frame(&self, place: i64) -> Result<Option<KeptFrame>, StoreError>;

    /// The signed receipts for a message of ours, as they came; each is there once.
    fn receipts(&self, place: i64) -> Result<Vec<Vec<u8>>, StoreError>;
}

/// Looks at a message, and says whether the next one is wanted.
pub type Take<'a> = dyn FnMut(i64, Record) -> Result<bool, StoreError> + 'a;

#[cfg(test)]
mod contract;
