//! A conversation: its membership, its newest epochs, and how far each sender is in them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use chat_protocol::{
    header::{MemberHeader, MemberOperation},
    hub::{EpochHead, Head},
    id::{Digest, KeyId},
    members::{MemberList, Membership, Place},
    name::{ConversationId, ConversationKind, UserName},
};

use super::{Router, backlog::Backlog};
use crate::{
    limits::{EPOCH_GRACE, EPOCH_MEMORY, OLD_EPOCHS_MAX},
    store::{AccountId, ConversationRow, EpochId, EpochRow, LogId},
};

/// One device an epoch is wrapped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Line {
    /// Whose.
    pub account: AccountId,
    /// Its signing key.
    pub sk: KeyId,
    /// Its encryption key.
    pub ek: KeyId,
}

/// An epoch in use.
#[derive(Debug)]
pub struct Epoch {
    /// Its number in the store.
    pub id: EpochId,
    /// Generation.
    pub g: u32,
    /// Digest of its header.
    pub e: Digest,
    /// Its place in the log.
    pub position: u64,
    /// Its devices, in the order of the member list.
    pub lines: Arc<[Line]>,
    /// Line numbers, sorted by account and signing key.
    by_device: Vec<((AccountId, KeyId), u32)>,
    /// Last counter of each line.
    counters: Vec<Option<u32>>,
    /// Somebody in it was removed or revoked: nothing more is taken in it.
    pub is_closed: bool,
    /// Since when it lacks a device that belongs here.
    pub lacking_ms: Option<u64>,
    /// When a newer one came.
    pub replaced_ms: Option<u64>,
}

/// The grace in milliseconds.
pub(super) fn grace_ms() -> u64 {
    u64::try_from(EPOCH_GRACE.as_millis()).unwrap_or(u64::MAX)
}

/// How long an epoch is remembered behind a newer one, in milliseconds.
fn memory_ms() -> u64 {
    u64::try_from(EPOCH_MEMORY.as_millis()).unwrap_or(u64::MAX)
}

impl Epoch {
    pub(super) fn new(id: EpochId, g: u32, e: Digest, position: u64, lines: Vec<Line>) -> Self {
        let devices = lines.iter().map(|line| (line.account, line.sk));
        let mut by_device: Vec<_> = devices.zip(0u32..).collect();
        by_device.sort_unstable();
        let counters = vec![None; lines.len()];
        Self {
            id,
            g,
            e,
            position,
            lines: lines.into(),
            by_device,
            counters,
            is_closed: false,
            lacking_ms: None,
            replaced_ms: None,
        }
    }

    /// The line of a device.
    pub fn line(&self, account: AccountId, sk: &KeyId) -> Option<u32> {
        let device = (account, *sk);
        let at = self.by_device.binary_search_by_key(&device, |(device, _)| *device).ok()?;
        self.by_device.get(at).map(|(_, number)| *number)
    }

    /// The last counter that a line has used.
    pub fn counter(&self, line: u32) -> Option<u32> {
        self.counters.get(usize::try_from(line).ok()?).copied().flatten()
    }

    pub(super) fn count(&mut self, line: u32, n: u32) {
        let slot = usize::try_from(line).ok().and_then(|line| self.counters.get_mut(line));
        if let Some(counter) = slot {
            *counter = Some(counter.map_or(n, |last| last.max(n)));
        }
    }

    /// Whether a message in this epoch must be sealed again in a newer one (rule R5).
    pub fn is_stale(&self, now_ms: u64) -> bool {
        let is_old = |since: Option<u64>| {
            since.is_some_and(|since| now_ms.saturating_sub(since) > grace_ms())
        };
        self.is_closed || is_old(self.lacking_ms) || is_old(self.replaced_ms)
    }
}

/// One conversation.
#[derive(Debug)]
pub struct Conversation {
    /// Its name.
    pub cid: ConversationId,
    /// Its log, once something is in it.
    pub log: Option<LogId>,
    /// The members of a room, or of a feed.
    pub membership: Option<Membership>,
    /// The digest of every link.
    links: Vec<Digest>,
    /// Members whom an epoch may lack, because an admin has removed them in a chain that was lost.
    pub(super) excused: BTreeSet<UserName>,
    /// Members by the chain of whose identity there is no account: they count for nothing.
    pub(super) absent: BTreeSet<UserName>,
    /// Who came or went by a link whose key we cannot show, and nothing behind it has ended that: their
    /// identities.
    pub(super) unshown: BTreeMap<UserName, KeyId>,
    /// Who came in without an account by somebody else's word, and whose that was. Of those who are among
    /// [`Conversation::unshown`] no more, it says nothing.
    pub(super) brought: BTreeMap<UserName, AccountId>,
    /// Of the lobby: members by the chain whom a moderator has put out.
    pub(super) put_out: BTreeSet<UserName>,
    /// The newest epoch first, then those it replaced.
    pub epochs: VecDeque<Epoch>,
    /// Its last position.
    pub newest: u64,
    /// What an open room is about.
    pub topic: String,
    /// How long a room keeps its messages, in milliseconds, 0 for ever; `None` for the default.
    pub keep_ms: Option<u64>,
    /// The operator has closed it: nothing is said here any more.
    pub is_closed: bool,
    /// When the oldest that a room may drop was accepted, Unix time in milliseconds; 0 when only
    /// the store knows.
    pub(super) oldest_ms: Option<u64>,
    /// The last link about those who left or were removed, by its number.
    pub gone: HashMap<UserName, u32>,
    /// Who came in lately, and when.
    joined: Vec<(AccountId, u64)>,
    /// Of a direct conversation: what waits for each of the two.
    pub(super) backlogs: Vec<(AccountId, Backlog)>,
}

impl Conversation {
    pub(super) fn new(cid: ConversationId, log: Option<LogId>) -> Self {
        let membership = (!cid.is_direct()).then(|| Membership::new(cid.clone()));
        Self {
            cid,
            log,
            membership,
            links: Vec::new(),
            excused: BTreeSet::new(),
            absent: BTreeSet::new(),
            unshown: BTreeMap::new(),
            brought: BTreeMap::new(),
            put_out: BTreeSet::new(),
            epochs: VecDeque::new(),
            newest: 0,
            topic: String::new(),
            keep_ms: None,
            is_closed: false,
            oldest_ms: None,
            gone: HashMap::new(),
            joined: Vec::new(),
            backlogs: Vec::new(),
        }
    }

    /// Notes whether we can show the key of a link. One about somebody ends what was before it; a whole stay
    /// by keys that we cannot show leaves nothing behind.
    pub(super) fn note_unshown(&mut self, link: &MemberHeader, is_unshown: bool) {
        if link.op == MemberOperation::Role {
            return;
        }
        let was_unshown = self.unshown.remove(&link.who).is_some();
        if is_unshown && !(was_unshown && link.op == MemberOperation::Leave) {
            self.unshown.insert(link.who.clone(), link.ik);
        }
    }

    /// Applies a link that was accepted.
    pub(super) fn apply_link(&mut self, link: &MemberHeader, digest: Digest) {
        let Some(membership) = &mut self.membership else { return };
        let was_in = membership.contains(&link.who);
        membership.apply(link, digest);
        self.links.push(digest);
        if link.op == MemberOperation::Admit {
            self.excused.remove(&link.who);
        }
        match link.op {
            MemberOperation::Leave | MemberOperation::Remove if was_in => {
                self.gone.insert(link.who.clone(), link.mg);
            }
            MemberOperation::Create | MemberOperation::Join | MemberOperation::Admit => {
                self.gone.remove(&link.who);
            }
            MemberOperation::Leave | MemberOperation::Remove | MemberOperation::Role => {}
        }
    }

    /// The digest of the link with this number.
    pub(super) fn link(&self, number: u32) -> Option<Digest> {
        self.links.get(usize::try_from(number).ok()?).copied()
    }

    /// Whether a place is on its chain (rule R33).
    pub(super) fn has_place(&self, place: Place) -> bool {
        let Some(before) = place.mg.checked_sub(1) else { return place == Place::START };
        self.link(before) == Some(place.pm)
    }

    /// The newest epoch.
    pub fn current(&self) -> Option<&Epoch> {
        self.epochs.front()
    }

    /// An epoch that is still in memory.
    pub fn epoch(&self, e: &Digest) -> Option<&Epoch> {
        self.epochs.iter().find(|epoch| epoch.e == *e)
    }

    /// Where it stands.
    pub fn head(&self) -> Head {
        let (mg, pm) = self.membership.as_ref().map_or((0, Digest::ZERO), |m| (m.next(), m.head()));
        let epoch = self.current().map(|epoch| EpochHead { g: epoch.g, e: epoch.e });
        Head { cid: self.cid.clone(), mg, pm, epoch }
    }

    /// Who belongs to it.
    pub(super) fn names(&self) -> Vec<UserName> {
        match (&self.membership, self.cid.kind()) {
            (Some(membership), _) => {
                let mut names = membership.names();
                names.retain(|name| !self.absent.contains(name));
                names
            }
            (None, ConversationKind::Direct(a, b)) if a == b => vec![a],
            (None, ConversationKind::Direct(a, b)) => vec![a, b],
            (None, _) => Vec::new(),
        }
    }

    pub(super) fn contains(&self, name: &UserName) -> bool {
        match &self.membership {
            Some(membership) => {
                let is_out = self.absent.contains(name) || self.put_out.contains(name);
                membership.contains(name) && !is_out
            }
            None => self.cid.other(name).is_some(),
        }
    }

    /// How many people are in a room: of its members by the chain those who count for something. It takes no walk
    /// through all of them, because lists of rooms are asked for often.
    pub(super) fn people(&self) -> usize {
        let Some(membership) = &self.membership else { return 0 };
        let members = membership.members();
        let put_out = self.put_out.iter().filter(|name| !self.absent.contains(*name));
        let out = self.absent.iter().chain(put_out).filter(|name| members.contains_key(*name));
        members.len().saturating_sub(out.count())
    }

    /// When somebody came in; 0 for long ago.
    pub(super) fn joined_ms(&self, account: AccountId) -> u64 {
        self.joined.iter().find(|(who, _)| *who == account).map_or(0, |(_, at)| *at)
    }

    pub(super) fn note_joined(&mut self, account: AccountId, now_ms: u64) {
        self.joined.retain(|(who, at)| *who != account && at.saturating_add(grace_ms()) > now_ms);
        self.joined.push((account, now_ms));
        if let Some(epoch) = self.epochs.front_mut() {
            epoch.lacking_ms.get_or_insert(now_ms);
        }
    }

    /// Nothing more is taken in epochs that hold a line for which `is_gone`.
    pub(super) fn close_epochs(&mut self, is_gone: impl Fn(&Line) -> bool) {
        for epoch in &mut self.epochs {
            epoch.is_closed |= epoch.lines.iter().any(&is_gone);
        }
    }

    /// Puts a new epoch in front and forgets those that were replaced long ago.
    pub(super) fn push_epoch(&mut self, epoch: Epoch, now_ms: u64) {
        if let Some(old) = self.epochs.front_mut() {
            old.replaced_ms = Some(now_ms);
        }
        let since_ms = now_ms.saturating_sub(memory_ms());
        self.epochs.retain(|old| old.replaced_ms.is_some_and(|replaced| replaced > since_ms));
        self.epochs.push_front(epoch);
        self.epochs.truncate(OLD_EPOCHS_MAX);
    }
}

impl Router {
    pub(super) fn restore_conversation(&mut self, row: ConversationRow) {
        let mut conversation = Conversation::new(row.cid.clone(), Some(row.log));
        conversation.newest = row.newest;
        for (account, waiting) in row.waiting {
            conversation.backlogs.push((account, Backlog::restored(waiting, row.newest)));
            if let Some(account) = self.accounts.get_mut(&account) {
                account.waiting = account.waiting.plus(waiting);
                self.waiting = self.waiting.plus(waiting);
            }
        }
        conversation.topic = row.topic;
        conversation.keep_ms = row.keep_ms;
        // The first step looks.
        conversation.oldest_ms = (row.newest > 0 && !row.cid.is_direct()).then_some(0);
        for (link, digest, _) in &row.links {
            conversation.apply_link(link, *digest);
        }
        conversation.excused.extend(row.excused);
        conversation.brought.extend(row.brought);
        self.restore_absent(&mut conversation, &row.links);
        for (name, link) in &conversation.gone {
            let at = row.links.binary_search_by_key(link, |(header, ..)| header.mg).ok();
            let account = self.by_name.get(name).and_then(|id| self.accounts.get_mut(id));
            if let (Some((.., end)), Some(account)) = (at.and_then(|at| row.links.get(at)), account)
            {
                account.left.insert(row.cid.clone(), *end);
            }
        }
        if !row.links.is_empty() {
            self.note_room(&row.cid);
        }
        for name in conversation.names() {
            let account = self.by_name.get(&name).and_then(|id| self.accounts.get_mut(id));
            let Some(account) = account else { continue };
            account.conversations.insert(row.cid.clone());
            let members = conversation.membership.as_ref().map(Membership::members);
            let since = members.and_then(|members| Some(members.get(&name)?.since));
            let at = since.and_then(|since| {
                row.links.binary_search_by_key(&since, |(header, ..)| header.mg).ok()
            });
            if let Some((link, ..)) = at.and_then(|at| row.links.get(at)) {
                account.came_into(&row.cid, link);
            }
        }
        for epoch in row.epochs {
            let epoch = self.restore_epoch(&conversation, epoch);
            conversation.epochs.push_back(epoch);
        }
        self.note_log(row.log, &row.cid);
        let cid = row.cid.clone();
        self.conversations.insert(row.cid, conversation);
        self.note_members(&cid);
    }

    /// Finds the members who have no account, and forgets who went and has none.
    fn restore_absent(
        &mut self,
        conversation: &mut Conversation,
        links: &[(MemberHeader, Digest, u64)],
    ) {
        for (link, ..) in links {
            conversation.note_unshown(link, self.is_unshown(link));
        }
        let members = conversation.membership.iter().flat_map(Membership::members);
        let absent = members.filter(|(name, member)| !self.is_present(name, &member.ik));
        conversation.absent = absent.map(|(name, _)| name.clone()).collect();
        for name in &conversation.absent {
            self.absent.entry(name.clone()).or_default().insert(conversation.cid.clone());
        }
        conversation.gone.retain(|name, link| {
            let at = links.binary_search_by_key(link, |(header, ..)| header.mg).ok();
            at.and_then(|at| links.get(at))
                .is_some_and(|(link, ..)| self.is_present(name, &link.ik))
        });
    }

    fn restore_epoch(&self, conversation: &Conversation, row: EpochRow) -> Epoch {
        let lines = self.lines_of(&row.members);
        let mut epoch = Epoch::new(row.id, row.g, row.e, row.position, lines);
        for (line, n) in row.counters {
            epoch.count(line, n);
        }
        epoch.replaced_ms = row.replaced_ms;
        // Nobody's clock is known here, so of more than fit none is missing. Whom an older one lacks has
        // come since, and its grace is that of having been replaced.
        let wanted = self.wanted_lines(0, conversation);
        let lacks =
            wanted.iter().any(|(line, _, away_ms)| *away_ms > 0 && !epoch.lines.contains(line));
        epoch.lacking_ms = (lacks && row.replaced_ms.is_none()).then_some(0);
        epoch.is_closed = epoch.lines.iter().any(|line| {
            self.accounts.get(&line.account).is_none_or(|account| {
                account.is_revoked(&line.sk) || !conversation.contains(&account.name)
            })
        });
        epoch
    }

    /// The lines of a list by the numbers of their accounts; a name that nobody has becomes 0.
    pub(super) fn lines_of(&self, list: &MemberList) -> Vec<Line> {
        let nobody = AccountId(0);
        list.lines()
            .iter()
            .map(|line| Line {
                account: self.by_name.get(&line.name).copied().unwrap_or(nobody),
                sk: line.sk,
                ek: line.ek,
            })
            .collect()
    }
}
