//! What is on the disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::dropped::Dropped;
use bytes::Bytes;
use chat_protocol::{
    file::catalogue::{Audience, Offer},
    header::{MemberHeader, MemberOperation},
    id::{Digest, KeyId, MessageId},
    keys::Bundle,
    members::{MemberList, Membership},
    name::{ConversationId, RoomName, UserName},
};
use chat_server::store::{
    AccountId, AccountRow, Committed, ConversationRow, DeviceId, DeviceRow, EntryKind, EpochId,
    EpochRow, LogId, NewEntry, NewEpoch, NewLink, OfferRow, Proposal, Snapshot, Stored,
    memory::MemoryStore,
};

/// An entry of a log.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) log: LogId,
    pub(super) kind: EntryKind,
    pub(super) sender: AccountId,
    pub(super) id: MessageId,
    pub(super) epoch: Option<EpochId>,
    pub(super) line: u32,
    pub(super) n: u32,
    pub(super) hub_ms: u64,
    pub(super) frame: Bytes,
}

/// An epoch with all its parts.
#[derive(Debug)]
pub(super) struct Epoch {
    pub(super) log: LogId,
    pub(super) g: u32,
    pub(super) position: u64,
    pub(super) e: Digest,
    pub(super) members: MemberList,
    pub(super) wraps: Vec<Bytes>,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) header: MemberHeader,
    pub(super) digest: Digest,
    position: u64,
    pub(super) frame: Bytes,
}

/// Everything; rows are shared between the layers.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    pub(super) decides: MemoryStore,
    pub(super) position: u64,
    pub(super) accounts: BTreeMap<AccountId, AccountRow>,
    pub(super) vaults: BTreeMap<AccountId, Vec<u8>>,
    pub(super) starts: BTreeMap<DeviceId, u64>,
    /// The first bundle with each signing key.
    pub(super) signers: BTreeMap<(AccountId, KeyId), Bytes>,
    pub(super) cursors: BTreeMap<(DeviceId, LogId), u64>,
    pub(super) conversations: BTreeMap<LogId, ConversationId>,
    pub(super) entries: BTreeMap<u64, Arc<Entry>>,
    pub(super) epochs: BTreeMap<EpochId, Arc<Epoch>>,
    pub(super) links: BTreeMap<(LogId, u32), Arc<Link>>,
    /// What comes of the links.
    pub(super) rooms: BTreeMap<ConversationId, Arc<Membership>>,
    /// Whom epochs of a room may lack.
    excused: BTreeSet<(LogId, UserName)>,
    /// Who came into a room without an account: their identity, and who has brought them.
    brought: BTreeMap<(LogId, UserName), (KeyId, AccountId)>,
    /// What rooms keep no longer.
    pub(super) dropped: Dropped,
    offers: BTreeMap<(AccountId, MessageId), Offer>,
}

impl Default for Contents {
    fn default() -> Self {
        let rooms = [RoomName::lobby(), RoomName::all()].map(|room| ConversationId::room(&room));
        Self {
            decides: MemoryStore::default(),
            position: 0,
            accounts: BTreeMap::new(),
            vaults: BTreeMap::new(),
            starts: BTreeMap::new(),
            signers: BTreeMap::new(),
            cursors: BTreeMap::new(),
            // The numbers that the double of the store gives them.
            conversations: (1..).map(LogId).zip(rooms).collect(),
            entries: BTreeMap::new(),
            epochs: BTreeMap::new(),
            links: BTreeMap::new(),
            rooms: BTreeMap::new(),
            excused: BTreeSet::new(),
            brought: BTreeMap::new(),
            dropped: Dropped::default(),
            offers: BTreeMap::new(),
        }
    }
}

impl Contents {
    /// Keeps one proposal, if it can be.
    pub(super) fn keep(&mut self, proposal: Proposal) -> Committed {
        if let Proposal::Drop(step) = &proposal {
            let outcome = Ok(Stored::Dropped(self.drop_old(step)));
            return Committed { proposal, outcome };
        }
        let committed = self.decides.keep(proposal);
        if let Ok(stored) = committed.outcome {
            self.write(&committed.proposal, stored);
        }
        committed
    }

    fn keep_signers(&mut self, account: AccountId, bundle: &Bundle) {
        for key in &bundle.header().sk {
            let kept = self.signers.entry((account, key.kid));
            kept.or_insert_with(|| bundle.bytes().clone());
        }
    }

    fn link(&mut self, new: &NewLink, log: LogId, position: u64) {
        self.position = position;
        self.conversations.entry(log).or_insert_with(|| new.header.cid.clone());
        let (header, digest, frame) = (new.header.clone(), new.digest, new.frame.clone());
        let number = (log, header.mg);
        let make = || Arc::new(Membership::new(header.cid.clone()));
        let room = self.rooms.entry(header.cid.clone()).or_insert_with(make);
        Arc::make_mut(room).apply(&header, digest);
        self.links.insert(number, Arc::new(Link { header, digest, position, frame }));
        if matches!(new.header.op, MemberOperation::Leave | MemberOperation::Remove) {
            // Whose account the hub has lost has no offers.
            let owner = self.accounts.values().find(|row| row.name == new.header.who);
            let owner = owner.map(|row| row.id);
            let place = Audience::Conversation(new.header.cid.clone());
            self.offers.retain(|(who, _), offer| Some(*who) != owner || offer.audience != place);
        }
        if new.header.op == MemberOperation::Admit {
            self.excused.remove(&(log, new.header.who.clone()));
        }
        if new.header.op != MemberOperation::Role {
            let member = (log, new.header.who.clone());
            self.brought.remove(&member);
            self.brought.extend(new.brought_by.map(|by| (member, (new.header.ik, by))));
        }
        for device in &new.newcomers {
            self.cursors.entry((*device, log)).or_insert(position);
        }
    }

    fn write(&mut self, proposal: &Proposal, stored: Stored) {
        match (proposal, stored) {
            (Proposal::Account(new), Stored::Account(id, device)) => {
                self.keep_signers(id, &new.bundle);
                let dev = new.bundle.header().dev;
                let row = DeviceRow { id: device, dev, bundle: new.bundle.bytes().clone() };
                let account = AccountRow {
                    id,
                    name: new.name.clone(),
                    identity: new.bundle.identity(),
                    password: new.password.clone(),
                    reset: None,
                    devices: vec![row],
                    revoked: new.bundle.header().rev.clone(),
                };
                let is_theirs = |name: &UserName, ik| *name == new.name && ik == account.identity;
                self.brought.retain(|(_, name), (ik, _)| !is_theirs(name, *ik));
                self.accounts.insert(id, account);
                self.vaults.extend(new.vault.clone().map(|vault| (id, vault)));
                self.starts.insert(device, self.position);
            }
            (Proposal::Bundle(new), Stored::Device(device)) => {
                self.keep_signers(new.account, &new.bundle);
                let account = self.accounts.get_mut(&new.account).expect("an account");
                let news =
                    new.bundle.header().rev.iter().filter(|sk| !account.revoked.contains(sk));
                let news: Vec<KeyId> = news.copied().collect();
                account.revoked.extend(news);
                let bundle = new.bundle.bytes().clone();
                let known = account.devices.iter_mut().find(|row| row.id == device);
                if let Some(row) = known {
                    row.bundle = bundle;
                } else {
                    let dev = new.bundle.header().dev;
                    account.devices.push(DeviceRow { id: device, dev, bundle });
                    self.starts.insert(device, self.position);
                }
            }
            (Proposal::Entry(new), Stored::Entry(position)) => self.entry(new, position),
            (Proposal::Epoch(new), Stored::Epoch { log, epoch, position }) => {
                self.epoch(new, log, epoch, position);
            }
            (Proposal::Link(new), Stored::Link { log, position }) => self.link(new, log, position),
            (Proposal::Excuse(new), Stored::Done) => {
                self.excused.insert((new.log, new.who.clone()));
            }
            (Proposal::Cursors { device, positions, .. }, Stored::Done) => {
                for (log, position) in positions {
                    self.move_cursor(*device, *log, (*position).min(self.position));
                }
            }
            (Proposal::Share(new), Stored::Done) => {
                self.offers.retain(|(who, id), _| *who != new.owner || !new.ended.contains(id));
                let offers = new.offers.iter().map(|new| new.offer.clone());
                self.offers.extend(offers.map(|offer| ((new.owner, offer.id), offer)));
            }
            (Proposal::Session(_) | Proposal::Gone(_) | Proposal::No(_), Stored::Done)
            | (_, Stored::Again(_)) => {}
            (proposal, stored) => panic!("{stored:?} for {proposal:?}"),
        }
    }

    pub(super) fn move_cursor(&mut self, device: DeviceId, log: LogId, position: u64) {
        let cursor = self.cursors.entry((device, log)).or_insert(position);
        *cursor = position.max(*cursor);
    }

    fn entry(&mut self, new: &NewEntry, position: u64) {
        self.position = position;
        let entry = Entry {
            log: new.log,
            kind: new.kind,
            sender: new.sender,
            id: new.id,
            epoch: new.epoch,
            line: new.line,
            n: new.n,
            hub_ms: new.hub_ms,
            frame: new.frame.clone(),
        };
        assert!(self.entries.insert(position, Arc::new(entry)).is_none(), "a position used twice");
    }

    fn epoch(&mut self, new: &NewEpoch, log: LogId, id: EpochId, position: u64) {
        self.conversations.entry(log).or_insert_with(|| new.header.cid.clone());
        let epoch = Epoch {
            log,
            g: new.header.g,
            position,
            e: new.e,
            members: new.members.clone(),
            wraps: new.wraps.clone(),
        };
        self.epochs.insert(id, Arc::new(epoch));
        let entry = new.entry(log, id);
        self.entry(&entry, position);
    }

    /// Ids of the messages kept, with conversation and position.
    pub(crate) fn messages(&self) -> Vec<(MessageId, ConversationId, u64)> {
        // What was dropped was kept as long as it had to be.
        let entries: BTreeMap<_, _> = self.entries.iter().chain(&self.dropped.messages).collect();
        let messages = entries.into_iter().filter(|(_, entry)| entry.kind == EntryKind::Message);
        messages
            .map(|(position, entry)| (entry.id, self.conversations[&entry.log].clone(), *position))
            .collect()
    }

    fn newest(&self, log: LogId) -> u64 {
        let in_log = self.entries.iter().rev().find(|(_, entry)| entry.log == log);
        in_log.map_or(0, |(position, _)| *position).max(self.dropped.position(log))
    }

    /// What a hub begins with.
    pub(super) fn snapshot(&self) -> Snapshot {
        let accounts = self
            .accounts
            .values()
            .map(|account| (account.clone(), self.newest(LogId::inbox(account.id))))
            .collect();
        let conversations = self
            .conversations
            .iter()
            .map(|(log, cid)| ConversationRow {
                log: *log,
                cid: cid.clone(),
                links: self
                    .links
                    .range((*log, 0)..=(*log, u32::MAX))
                    .map(|(_, link)| (link.header.clone(), link.digest, link.position))
                    .collect(),
                excused: self
                    .excused
                    .iter()
                    .filter(|(room, _)| room == log)
                    .map(|(_, name)| name.clone())
                    .collect(),
                brought: self
                    .brought
                    .iter()
                    .filter(|((room, _), _)| room == log)
                    .map(|((_, name), (_, by))| (name.clone(), *by))
                    .collect(),
                epochs: self.newest_epoch(*log).into_iter().collect(),
                newest: self.newest(*log),
                // Nobody sets a topic in these worlds, and no mailbox comes near its quota.
                topic: String::new(),
                keep_ms: None,
                waiting: Vec::new(),
            })
            .collect();
        let offers = self.offers.iter();
        let offers = offers
            .map(|((owner, _), offer)| OfferRow { owner: *owner, offer: offer.clone() })
            .collect();
        let copies = Vec::new();
        let position = self.position;
        Snapshot { position, accounts, conversations, copies, offers, ..Snapshot::default() }
    }

    fn newest_epoch(&self, log: LogId) -> Option<EpochRow> {
        let of_log = self.epochs.iter().filter(|(_, epoch)| epoch.log == log);
        let (id, epoch) = of_log.max_by_key(|(_, epoch)| epoch.g)?;
        let mut counters: BTreeMap<u32, u32> = BTreeMap::new();
        let later = self.entries.iter().chain(&self.dropped.messages);
        let later = later.filter(|(position, _)| **position > epoch.position);
        for (_, entry) in later.filter(|(_, entry)| entry.epoch == Some(*id)) {
            let n = counters.entry(entry.line).or_insert(entry.n);
            *n = entry.n.max(*n);
        }
        let Epoch { g, e, position, members, .. } = &**epoch;
        Some(EpochRow {
            id: *id,
            g: *g,
            e: *e,
            position: *position,
            members: members.clone(),
            counters: counters.into_iter().collect(),
            replaced_ms: None,
        })
    }
}
