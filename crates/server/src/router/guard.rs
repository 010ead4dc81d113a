//! What a decision rests on, and whose decisions it ends: the one table of keys for hubs that share a log.
//!
//! Whatever is rare reads and writes [`Key::Structure`], so it is decided on exactly the state that it
//! meets. Only what is frequent has keys of its own: messages, receipts and sessions. A key is missing
//! here when a record is admitted that would be refused where it stands; `tests/guards.rs` looks for such.

use chat_protocol::{
    crypto::sha256_parts,
    handshake::Purpose,
    header::MemberOperation,
    id::Digest,
    name::{ConversationId, RoomName},
};

use super::Router;
use crate::{
    order::Guard,
    store::{
        AccountId, DeviceId, EntryKind, EpochId, Incarnation, LogId, NewEntry, NewLink, NewOrder,
        NewSession, Proposal, SessionPlace,
    },
};

/// Something that decisions read and records change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// Accounts, rooms, epochs, links, lists, orders: all that is rare.
    Structure,
    /// The keys, password and standing of an account: what it has signed rests on them.
    Account(AccountId),
    /// Something that was right in a conversation is not any more. That somebody has come, and that there is a
    /// newer epoch, is none of it: both have a time of grace.
    Conversation(LogId),
    /// The counters of a line of an epoch.
    Line(EpochId, u32),
    /// Who comes in at all: bans, standings, and keys of identities that were replaced.
    Door,
    /// The one session of a device that is for a person.
    Device(DeviceId),
    /// A session: whatever comes over it rests on it.
    Session(SessionPlace),
    /// What is said of a frame, by the digest of what was signed: that it is refused.
    Frame(Digest),
}

impl Key {
    /// The same for every hub, and for every release of it.
    fn hash(self) -> u64 {
        let (kind, one, other): (u8, i64, u32) = match self {
            Self::Session(place) => return session_hash(place),
            Self::Structure => (0, 0, 0),
            Self::Account(account) => (1, account.0, 0),
            Self::Conversation(log) => (2, log.0, 0),
            Self::Line(epoch, line) => (3, epoch.0, line),
            Self::Door => (4, 0, 0),
            Self::Device(device) => (5, device.0, 0),
            Self::Frame(Digest(digest)) => {
                let rest = digest.get(8..).and_then(|rest| rest.first_chunk());
                let rest = rest.map_or(0, |rest| u32::from_be_bytes(*rest));
                (6, first(&digest).cast_signed(), rest)
            }
        };
        first(&sha256_parts(&[&[kind], &one.to_be_bytes(), &other.to_be_bytes()]))
    }
}

fn session_hash(place: SessionPlace) -> u64 {
    let SessionPlace { hub: Incarnation { node, life }, connection } = place;
    let (node, life, connection) =
        (node.to_be_bytes(), life.to_be_bytes(), connection.0.to_be_bytes());
    first(&sha256_parts(&[&[7], &node, &life, &connection]))
}

fn first(digest: &[u8; 32]) -> u64 {
    digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// Keys before they are numbers.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) reads: Vec<Key>,
    pub(super) writes: Vec<Key>,
}

impl Keys {
    fn reads(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.reads.extend(keys);
        self
    }

    fn writes(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.writes.extend(keys);
        self
    }

    fn both(self, key: Key) -> Self {
        self.reads([key]).writes([key])
    }

    pub(super) fn guard(&self) -> Guard {
        let hashes = |keys: &[Key]| keys.iter().map(|key| key.hash()).collect();
        let is_structure = self.writes.contains(&Key::Structure);
        Guard { reads: hashes(&self.reads), writes: hashes(&self.writes), is_structure }
    }
}

impl Router {
    /// What everything rests on that comes over a session for a person: that it goes on nowhere else.
    pub fn session_key(place: SessionPlace) -> u64 {
        Key::Session(place).hash()
    }

    /// What a proposal rests on that was decided in this state.
    pub fn guard(&self, proposal: &Proposal) -> Guard {
        self.keys(proposal).guard()
    }

    pub(super) fn keys(&self, proposal: &Proposal) -> Keys {
        let rare = || Keys::default().both(Key::Structure);
        match proposal {
            // A question never leaves the hub that asks; of cursors the furthest counts, whatever came in
            // between; whether a hub has written since is looked at where the log is followed.
            Proposal::Probe(_) | Proposal::Cursors { .. } | Proposal::Gone(_) => Keys::default(),
            Proposal::Entry(new) => entry_keys(new),
            Proposal::Session(new) => session_keys(new),
            Proposal::No(new) => Keys::default().writes([Key::Frame(new.digest)]),
            Proposal::Bundle(new) => {
                self.closes(rare().reads([Key::Account(new.account)]), new.account)
            }
            Proposal::Identity(new) => self.closes(rare().writes([Key::Door]), new.account),
            Proposal::Password(new) => rare().both(Key::Account(new.account)),
            Proposal::Link(new) => link_keys(new),
            Proposal::Order(order) => self.order_keys(order),
            Proposal::Epoch(new) => rare().reads([Key::Frame(new.digest)]),
            Proposal::Account(_)
            | Proposal::Topic(_)
            | Proposal::Excuse(_)
            | Proposal::Retention(_)
            | Proposal::Drop(_)
            | Proposal::Copies(_)
            | Proposal::Share(_)
            | Proposal::Erase(_) => rare(),
        }
    }

    /// Keys of an account have changed: what it has signed, and what is said wherever it takes part.
    fn closes(&self, keys: Keys, id: AccountId) -> Keys {
        let account = self.account(id);
        let places = account.into_iter().flat_map(|account| &account.conversations);
        let logs = places.filter_map(|cid| self.log(cid)).map(Key::Conversation);
        keys.writes([Key::Account(id)]).writes(logs)
    }

    fn order_keys(&self, order: &NewOrder) -> Keys {
        let keys = Keys::default().both(Key::Structure);
        match order {
            NewOrder::Standing { accounts, .. } => accounts
                .iter()
                .fold(keys.writes([Key::Door]), |keys, account| self.closes(keys, *account)),
            NewOrder::CloseRoom(log) => keys.writes([Key::Conversation(*log)]),
            NewOrder::Ban(_) | NewOrder::Unban(_) => keys.writes([Key::Door]),
            NewOrder::PutOut(_) => {
                let lobby = self.log(&ConversationId::room(&RoomName::lobby()));
                keys.writes(lobby.map(Key::Conversation))
            }
            NewOrder::Invite(_)
            | NewOrder::Reset { .. }
            | NewOrder::Moderator { .. }
            | NewOrder::LetIn { .. } => keys,
            NewOrder::Announce(_) => Keys::default(),
        }
    }
}

fn entry_keys(new: &NewEntry) -> Keys {
    let keys = Keys::default().reads([Key::Account(new.sender), Key::Frame(new.digest)]);
    if new.kind == EntryKind::Receipt {
        return keys.reads([Key::Account(AccountId(new.log.0.saturating_neg()))]);
    }
    let line = new.epoch.map(|epoch| Key::Line(epoch, new.line));
    keys.reads([Key::Conversation(new.log)]).reads(line).writes(line)
}

fn link_keys(new: &NewLink) -> Keys {
    use MemberOperation::{Leave, Remove, Role};
    let keys = Keys::default().both(Key::Structure).reads([Key::Frame(new.digest)]);
    let ends = matches!(new.header.op, Leave | Remove | Role) || new.header.cid.is_feed();
    keys.writes(new.log.filter(|_| ends).map(Key::Conversation))
}

fn session_keys(new: &NewSession) -> Keys {
    if !new.is_open {
        return Keys::default();
    }
    let device = (new.purpose == Purpose::Interactive).then_some(Key::Device(new.device));
    let keys = Keys::default().reads([Key::Account(new.account), Key::Door]);
    let replaced = new.replaces.map(Key::Session);
    keys.reads(device).writes(device).reads(replaced).writes(replaced)
}
