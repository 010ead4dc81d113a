//! Reading from a store that is no SQLite file.

use std::{collections::HashMap, fmt};

use chat_protocol::{
    id::Digest,
    name::{ConversationId, UserName},
};
use futures_util::future::BoxFuture;

use super::{
    AccountId, AccountRow, BundleName, DeviceId, LogId,
    sqlite::{Page, PageRequest, ReadError},
};

/// What comes of a question to a store.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, ReadError>>;

/// Bundles in the order of a question; `None` where there is none.
pub type BundlesInOrder = Vec<Option<Vec<u8>>>;

/// The questions of [`Reads`](super::sqlite::Reads), which says what each of them means. An answer
/// MUST come from what is durable.
pub trait ReadSource: fmt::Debug + Send + Sync {
    /// The account of a name.
    fn account<'a>(&'a self, name: &'a UserName) -> Answer<'a, Option<AccountRow>>;
    /// The vault of an account.
    fn vault(&self, account: AccountId) -> Answer<'_, Option<Vec<u8>>>;
    /// The bundles that are named.
    fn bundles(&self, names: Vec<BundleName>) -> Answer<'_, BundlesInOrder>;
    /// MEMBER frames of a room, and whether there are more.
    fn links(&self, log: LogId, from: u32, limit: usize) -> Answer<'_, (Vec<Vec<u8>>, bool)>;
    /// Whether the chain of a room has this link at this place.
    fn has_link<'a>(&'a self, cid: &'a ConversationId, mg: u32, link: Digest) -> Answer<'a, bool>;
    /// Where a device began, and its cursors.
    fn cursors(&self, device: DeviceId) -> Answer<'_, (u64, HashMap<LogId, u64>)>;
    /// The next entries of several logs together.
    fn page(&self, request: PageRequest) -> Answer<'_, Page>;
}
