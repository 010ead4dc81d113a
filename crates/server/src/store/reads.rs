//! Reading beside the worker: what a store is asked while it also writes.

use std::{collections::HashMap, fmt, ops::Deref, sync::Arc};

use chat_protocol::{
    id::Digest,
    name::{ConversationId, UserName},
};
use futures_util::future::BoxFuture;

use super::{AccountId, AccountRow, BundleName, DeviceId, LogId, Page, PageRequest, ReadError};

/// What comes of a question to a store.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, ReadError>>;

/// Bundles in the order of a question; `None` where there is none.
pub type BundlesInOrder = Vec<Option<Vec<u8>>>;

/// The questions. An answer MUST come from what is durable.
pub trait ReadSource: fmt::Debug + Send + Sync {
    /// The account of a name, in any case of its letters.
    fn account<'a>(&'a self, name: &'a UserName) -> Answer<'a, Option<AccountRow>>;

    /// The vault of an account.
    fn vault(&self, account: AccountId) -> Answer<'_, Option<Vec<u8>>>;

    /// Bundles by their names, in the order of these.
    fn bundles(&self, names: Vec<BundleName>) -> Answer<'_, BundlesInOrder>;

    /// Bytes of the frames that are kept, by who sent them. Looks at every entry.
    /// A store that nobody fills need not know.
    fn kept_bytes(&self) -> Answer<'_, HashMap<AccountId, u64>> {
        Box::pin(async { Ok(HashMap::new()) })
    }

    /// MEMBER frames of a room from number `from` on, and whether there are more.
    fn links(&self, log: LogId, from: u32, limit: usize) -> Answer<'_, (Vec<Vec<u8>>, bool)>;

    /// Whether the chain of a room has this link at this place.
    fn has_link<'a>(&'a self, cid: &'a ConversationId, mg: u32, link: Digest) -> Answer<'a, bool>;

    /// Where a device began, and its cursors.
    fn cursors(&self, device: DeviceId) -> Answer<'_, (u64, HashMap<LogId, u64>)>;

    /// The next entries of several logs together, in the order of their positions.
    fn page(&self, request: PageRequest) -> Answer<'_, Page>;
}

/// What reads the store. Clones share it.
#[derive(Debug, Clone)]
pub struct Reads(Arc<dyn ReadSource>);

impl Reads {
    /// Reads of this store.
    pub fn new(source: Arc<dyn ReadSource>) -> Self {
        Self(source)
    }
}

impl Deref for Reads {
    type Target = dyn ReadSource;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}
