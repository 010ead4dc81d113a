//! What the store knows: the rows that the router begins with where it ended, and that later
//! proposals change.

use bytes::Bytes;
use chat_protocol::{
    file::catalogue::Offer,
    header::MemberHeader,
    id::{Digest, KeyId, Nonce16},
    members::MemberList,
    name::{ConversationId, UserName},
};

use super::{AccountId, CopyRow, DeviceId, EpochId, LogId, NewSession, OperatorRows, ResetCode};
#[cfg(doc)]
use crate::limits::EPOCH_MEMORY;

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
    /// Argon2 string of the login secret.
    pub password: Option<String>,
    /// The code that lets another identity in, if there is one.
    pub reset: Option<ResetCode>,
    /// Its devices.
    pub devices: Vec<DeviceRow>,
    /// The keys that any bundle of this identity has revoked.
    pub revoked: Vec<KeyId>,
}

/// An epoch of a conversation.
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
    /// When a newer one was accepted, Unix time in milliseconds.
    pub replaced_ms: Option<u64>,
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
    /// Whom its epochs may lack.
    pub excused: Vec<UserName>,
    /// Who came in without an account, and who has brought them.
    pub brought: Vec<(UserName, AccountId)>,
    /// What an open room is about.
    pub topic: String,
    /// How long it keeps its messages, in milliseconds, 0 for ever; `None` for the default.
    pub keep_ms: Option<u64>,
    /// Its newest epoch first, then those that were replaced less than [`EPOCH_MEMORY`] before the last
    /// entry of all.
    pub epochs: Vec<EpochRow>,
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
    /// What the operator has decided.
    pub operator: OperatorRows,
    /// Sessions that are open on other hubs, or were here.
    pub sessions: Vec<NewSession>,
}
