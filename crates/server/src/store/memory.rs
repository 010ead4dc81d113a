//! A store in memory: the contract without a disk, for tests of what stands above it.

use std::collections::HashMap;

use chat_protocol::{
    id::{Digest, MessageId},
    name::{ConversationId, RoomName},
};

use super::{
    AccountId, CommitError, Committed, Conflict, DeviceId, Dropped, EpochId, LogId, NewEntry,
    Probe, Proposal, Store, Stored,
};

/// Keeps what decides about conflicts, and nothing else.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    position: u64,
    names: HashMap<String, AccountId>,
    devices: i64,
    logs: HashMap<ConversationId, LogId>,
    entries: HashMap<(AccountId, LogId, MessageId), (u64, Digest)>,
    epochs: HashMap<(LogId, u32), (u64, Digest)>,
    links: HashMap<(LogId, u32), (u64, Digest)>,
    /// The next batches fail for want of room.
    pub is_full: bool,
}

impl Default for MemoryStore {
    fn default() -> Self {
        let mut store = Self {
            position: 0,
            names: HashMap::new(),
            devices: 0,
            logs: HashMap::new(),
            entries: HashMap::new(),
            epochs: HashMap::new(),
            links: HashMap::new(),
            is_full: false,
        };
        for room in [RoomName::lobby(), RoomName::all()] {
            store.log(None, &ConversationId::room(&room));
        }
        store
    }
}

fn number(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn same_or_other(found: Option<&(u64, Digest)>, digest: &Digest) -> Result<Stored, Conflict> {
    match found {
        Some((position, stored)) if stored == digest => Ok(Stored::Again(*position)),
        Some(_) => Err(Conflict::Taken),
        None => Err(Conflict::Missing { is_epoch_known: false }),
    }
}

impl MemoryStore {
    /// Keeps one proposal.
    pub fn keep(&mut self, proposal: Proposal) -> Committed {
        let outcome = match &proposal {
            Proposal::Account(new) => self.account(&new.name.folded()),
            Proposal::Bundle(new) => Ok(Stored::Device(match new.device {
                Some(device) => device,
                None => self.device(),
            })),
            Proposal::Identity(_) => Ok(Stored::Device(self.device())),
            Proposal::Entry(new) => self.entry(new),
            Proposal::Epoch(new) => {
                let log = self.log(new.log, &new.header.cid);
                if self.epochs.contains_key(&(log, new.header.g)) {
                    Err(Conflict::Taken)
                } else {
                    self.position += 1;
                    self.epochs.insert((log, new.header.g), (self.position, new.e));
                    let epoch = EpochId(number(self.epochs.len()));
                    Ok(Stored::Epoch { log, epoch, position: self.position })
                }
            }
            Proposal::Link(new) => {
                let log = self.log(new.log, &new.header.cid);
                if self.links.contains_key(&(log, new.header.mg)) {
                    Err(Conflict::Taken)
                } else {
                    self.position += 1;
                    self.links.insert((log, new.header.mg), (self.position, new.digest));
                    Ok(Stored::Link { log, position: self.position })
                }
            }
            Proposal::Password(_)
            | Proposal::Cursors { .. }
            | Proposal::Topic(_)
            | Proposal::Excuse(_)
            | Proposal::Retention(_)
            | Proposal::Copies(_)
            | Proposal::Share(_)
            | Proposal::Session(_)
            | Proposal::Gone(_)
            | Proposal::No(_)
            | Proposal::Order(_) => Ok(Stored::Done),
            // What was said and when is not kept here.
            Proposal::Drop(_) => Ok(Stored::Dropped(Dropped::default())),
            Proposal::Erase(_) => Ok(Stored::Erased(None)),
            Proposal::Probe(probe) => self.probe(probe),
        };
        Committed { proposal, outcome }
    }

    /// Knows a message no longer, as after it was dropped.
    pub fn forget(&mut self, sender: AccountId, log: LogId, id: MessageId) {
        self.entries.remove(&(sender, log, id));
    }

    fn device(&mut self) -> DeviceId {
        self.devices += 1;
        DeviceId(self.devices)
    }

    fn log(&mut self, known: Option<LogId>, cid: &ConversationId) -> LogId {
        let next = LogId(number(self.logs.len()) + 1);
        known.unwrap_or_else(|| *self.logs.entry(cid.clone()).or_insert(next))
    }

    fn account(&mut self, folded: &str) -> Result<Stored, Conflict> {
        if self.names.contains_key(folded) {
            return Err(Conflict::Taken);
        }
        let account = AccountId(number(self.names.len()) + 1);
        self.names.insert(folded.to_owned(), account);
        Ok(Stored::Account(account, self.device()))
    }

    fn entry(&mut self, new: &NewEntry) -> Result<Stored, Conflict> {
        let key = (new.sender, new.log, new.id);
        if let Some(found) = self.entries.get(&key) {
            return same_or_other(Some(found), &new.digest);
        }
        self.position += 1;
        self.entries.insert(key, (self.position, new.digest));
        Ok(Stored::Entry(self.position))
    }

    fn probe(&self, probe: &Probe) -> Result<Stored, Conflict> {
        match probe {
            Probe::Message { log, sender, id, digest, e } => {
                let found = same_or_other(self.entries.get(&(*sender, *log, *id)), digest);
                let is_epoch_known =
                    self.epochs.iter().any(|((of, _), (_, known))| of == log && known == e);
                found.map_err(|conflict| match conflict {
                    Conflict::Missing { .. } => Conflict::Missing { is_epoch_known },
                    Conflict::Taken => Conflict::Taken,
                })
            }
            Probe::Epoch { log, g, e } => same_or_other(self.epochs.get(&(*log, *g)), e),
            Probe::Link { log, mg, digest } => same_or_other(self.links.get(&(*log, *mg)), digest),
        }
    }
}

impl Store for MemoryStore {
    async fn commit(&mut self, batch: Vec<Proposal>) -> Result<Vec<Committed>, CommitError> {
        if self.is_full {
            return Err(CommitError::Full);
        }
        Ok(batch.into_iter().map(|proposal| self.keep(proposal)).collect())
    }
}
