//! All chat state, and every decision about it. Pure: no clock, no socket, no file.
//!
//! [`Router::decide`] says what a request asks of the store, [`Router::apply`] is the only way the
//! state changes, and it changes only by what was committed. Requests of one batch are decided
//! before any of them is applied; [`Pending`] holds what the earlier ones have taken, and who needs
//! their outcome is put off to the next batch.

mod accounts;
mod admin;
mod answers;
mod backlog;
mod conversation;
mod feeds;
mod guard;
mod keys;
mod lobby;
mod mailbox;
mod members;
mod messages;
mod nobodies;
mod offers;
mod people;
mod presence;
mod receipts;
mod refused;
mod remind;
mod reset;
mod retention;
mod revoked;
mod rooms;
mod seen;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use chat_protocol::{
    header::Header,
    hub::{Head, HubToClient},
    id::Digest,
    limits::{EPOCH_DEVICES_MAX, ROOM_PEOPLE_MAX},
    members::{Candidate, fitting},
    name::{ConversationId, RoomName, UserName},
};

use crate::{
    budgets::{Limits, MailboxLimits},
    catalogue::Catalogue,
    request::{FrameRequest, Refusal},
    store::{
        AccountId, Committed, Conflict, EpochId, LogId, NewAccount, Proposal, SessionPlace,
        Snapshot, Standing, Stored, Waiting,
    },
};

pub use accounts::{Account, Device};
pub use admin::AdminDecision;
pub use conversation::{Conversation, Epoch, Line};
pub use offers::{OffersPage, check_form};
pub use people::{Wanted, WantedKey, WhoPage};
pub use presence::Presence;
use retention::Retention;
pub use rooms::{Chain, RoomsPage};

/// What becomes of a request.
#[derive(Debug)]
pub enum Decision {
    /// Ask the store.
    Propose(Proposal),
    /// Stored before: the same answer again.
    Again(u64),
    /// Refused for good.
    Refuse(Refusal),
    /// Nothing is kept; seal it again in a newer epoch.
    Rekey(Head),
    /// An earlier request of this batch must be applied first.
    Defer,
}

impl Decision {
    fn refuse(code: &'static str, reason: impl Into<String>) -> Self {
        Self::Refuse(Refusal::new(code, reason))
    }
}

/// What the earlier requests of a batch have taken.
#[derive(Debug, Default)]
pub struct Pending {
    /// Conversations whose epoch or membership changes.
    conversations: HashSet<ConversationId>,
    /// Names that are made or get new keys, in lower case.
    names: HashSet<String>,
    /// Rooms that are made, by their names in lower case.
    rooms: HashSet<String>,
    /// Accounts that come into a room.
    joining: HashSet<AccountId>,
    /// Last counter proposed, by epoch and line.
    counters: HashMap<(EpochId, u32), u32>,
    /// What is proposed for mailboxes: by recipient, and of each sender.
    mailboxes: HashMap<AccountId, Waiting>,
    /// See `mailboxes`.
    senders: HashMap<(AccountId, LogId), Waiting>,
    /// Bytes of receipts that are proposed for inboxes.
    receipts: HashMap<AccountId, u64>,
    /// What becomes of the list of shared files.
    offers: offers::PendingOffers,
    /// How often a code is used.
    invites: HashMap<Digest, u32>,
    /// Accounts of which a session begins.
    pub(crate) entering: HashSet<AccountId>,
}

/// Who gets what was committed.
#[derive(Debug, Clone)]
pub enum Audience {
    /// Every device of an account.
    Account(AccountId),
    /// The devices an epoch is wrapped for, but for the sender's.
    Devices {
        /// All of them.
        lines: Arc<[Line]>,
        /// The line of the sender.
        sender: u32,
    },
}

/// What is delivered.
#[derive(Debug, Clone)]
pub enum Payload {
    /// A frame as it is.
    Frame(Bytes),
    /// An epoch: the frame, the member lines, and to each device its own wrap.
    Epoch {
        /// The KEY frame.
        frame: Bytes,
        /// The epoch.
        e: Digest,
        /// The member lines.
        members: Bytes,
        /// One for each line.
        wraps: Arc<[Bytes]>,
    },
}

/// A delivery that follows from a commit.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its position.
    pub position: u64,
    /// When the hub accepted it.
    pub hub_ms: u64,
    /// To whom.
    pub audience: Audience,
    /// What.
    pub payload: Payload,
}

/// What follows from a commit.
#[derive(Debug, Default)]
pub struct Effects {
    /// Something to deliver.
    pub delivery: Option<Delivery>,
    /// The other party of a direct message, to tell whether they are here.
    pub recipient: Option<AccountId>,
    /// A room whose membership changed.
    pub changed: Option<ConversationId>,
    /// A feed whose membership changed, and whom to tell: its owner, and whom the link is about.
    pub followed: Option<(Vec<AccountId>, Head)>,
    /// Who was removed from it, and where the room stood then.
    pub removed: Option<(AccountId, Head)>,
    /// An account with other keys: those that count no more must not stay connected.
    pub revoked: Option<AccountId>,
    /// Names of which what others hold counts no more.
    pub renewed: Vec<UserName>,
    /// What is told of it at once.
    pub notice: Option<Box<Notice>>,
    /// Who comes in is decided by other rules.
    pub is_door_new: bool,
    /// Who has come, or has gone.
    pub came: Vec<(AccountId, bool)>,
    /// A session that goes on elsewhere.
    pub replaced: Option<SessionPlace>,
    /// A room was made.
    pub has_made_room: bool,
}

/// What connected devices are told of a record at once.
#[derive(Debug)]
pub struct Notice {
    /// Whose devices; `None` for everybody's.
    pub to: Option<Vec<AccountId>>,
    /// What. Who has asked for it is answered the same, with the id of their question.
    pub text: HubToClient,
}

impl Effects {
    fn telling(to: Vec<AccountId>, text: HubToClient) -> Self {
        Self { notice: Some(Box::new(Notice { to: Some(to), text })), ..Self::default() }
    }
}

/// The state.
#[derive(Debug, Default)]
pub struct Router {
    accounts: HashMap<AccountId, Account>,
    by_name: BTreeMap<UserName, AccountId>,
    by_folded: HashMap<String, AccountId>,
    conversations: HashMap<ConversationId, Conversation>,
    by_log: HashMap<LogId, ConversationId>,
    /// Conversations in which a member by the chain has no account, by their names.
    absent: HashMap<UserName, BTreeSet<ConversationId>>,
    /// Rooms that exist, by their names in lower case.
    rooms: BTreeMap<String, ConversationId>,
    /// Those of them that have no members.
    empty_rooms: BTreeSet<ConversationId>,
    /// Shared files.
    catalogue: Catalogue,
    position: u64,
    mailbox: MailboxLimits,
    /// What waits in all mailboxes.
    waiting: Waiting,
    limits: Limits,
    retention: Retention,
    operator: admin::Operator,
    lobby: lobby::Lobby,
    present: presence::Present,
    refused: refused::Refused,
}

impl Router {
    /// How much one account may use.
    pub fn set_limits(&mut self, limits: &Limits) {
        self.limits = limits.clone();
    }

    /// The state that a store describes.
    pub fn restore(
        snapshot: Snapshot,
        mailbox: MailboxLimits,
    ) -> Result<Self, chat_protocol::keys::BundleError> {
        let mut router = Self { position: snapshot.position, mailbox, ..Self::default() };
        for (row, inbox) in snapshot.accounts {
            router.restore_account(row, inbox)?;
        }
        let mut operator = snapshot.operator;
        let closed = std::mem::take(&mut operator.closed_rooms);
        let to_erase = std::mem::take(&mut operator.to_erase);
        let moderators = std::mem::take(&mut operator.moderators);
        let put_out = std::mem::take(&mut operator.put_out);
        router.restore_operator(operator);
        for row in snapshot.conversations {
            router.restore_conversation(row);
        }
        for room in [RoomName::lobby(), RoomName::all()] {
            let cid = ConversationId::room(&room);
            router.note_room(&cid);
            router
                .conversations
                .entry(cid)
                .or_insert_with_key(|cid| Conversation::new(cid.clone(), None));
        }
        router.restore_closed(closed, to_erase);
        router.restore_lobby(moderators, put_out);
        for row in snapshot.offers {
            router.restore_offer(row);
        }
        for session in &snapshot.sessions {
            router.apply_session(session);
        }
        Ok(router)
    }

    /// The last position applied.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Decides on a frame. `now_ms` is Unix time in milliseconds.
    pub fn decide(&self, now_ms: u64, request: &FrameRequest, pending: &mut Pending) -> Decision {
        let Some(account) = self.accounts.get(&request.peer.account) else {
            return Decision::refuse(chat_protocol::code::SIGN_IN, "this account is gone");
        };
        if account.standing != Standing::Active {
            let reason = "the operator of this server has closed this account";
            return Decision::refuse(chat_protocol::code::BARRED, reason);
        }
        if pending.names.contains(&account.folded()) {
            return Decision::Defer;
        }
        if !account.is_live(&request.peer.sk) {
            return Decision::refuse(
                chat_protocol::code::BAD_SIGNATURE,
                "this signing key was revoked or replaced; sign in with the newest one",
            );
        }
        let decision = match &request.header {
            Header::Message(header) => self.decide_message(now_ms, request, header, pending),
            Header::Receipt(header) => self.decide_receipt(now_ms, request, header, pending),
            Header::Key(header) => self.decide_key(now_ms, request, header, pending),
            Header::Member(header) => self.decide_member(now_ms, account, request, header, pending),
        };
        self.still_refused(request, decision)
    }

    /// Says what a conflict means for a frame.
    pub fn resolve(&self, header: &Header, conflict: Conflict) -> Decision {
        match header {
            Header::Message(header) => self.resolve_message(header, conflict),
            Header::Key(_) => self.lost_race(header.conversation()),
            Header::Member(link) => self.stale_members(&link.from, &link.cid),
            Header::Receipt(_) => Decision::refuse(
                chat_protocol::code::CONFLICT,
                "another receipt was sent under this id; use a new id",
            ),
        }
    }

    /// Applies what was committed: the state that follows is that of the record alone, and of the time of its
    /// batch, `now_ms`, at which it was decided. Whatever a store may keep is named here. An outcome that is none
    /// of its proposal's, as that the same frame stood there before, changes nothing.
    pub fn apply(&mut self, now_ms: u64, committed: Committed) -> Effects {
        let Ok(stored) = committed.outcome else { return Effects::default() };
        match committed.proposal {
            Proposal::Account(new) => self.applied_account(now_ms, *new, stored),
            Proposal::Identity(new) => {
                let Stored::Device(device) = stored else { return Effects::default() };
                self.apply_identity(now_ms, &new, device)
            }
            Proposal::Bundle(new) => {
                let Stored::Device(device) = stored else { return Effects::default() };
                self.apply_bundle(now_ms, &new, device)
            }
            Proposal::Entry(new) => {
                let Stored::Entry(position) = stored else { return Effects::default() };
                self.advance(position);
                self.apply_entry(*new, position)
            }
            Proposal::Epoch(new) => {
                let Stored::Epoch { log, epoch, position } = stored else {
                    return Effects::default();
                };
                self.advance(position);
                self.apply_epoch(now_ms, *new, log, epoch, position)
            }
            Proposal::Link(new) => {
                let Stored::Link { log, position } = stored else { return Effects::default() };
                self.advance(position);
                self.apply_link(now_ms, &new, (log, position))
            }
            Proposal::Order(order) => self.apply_order(*order),
            Proposal::Topic(new) => self.apply_topic(new),
            Proposal::Excuse(new) => self.applied(|router| router.apply_excuse(new)),
            Proposal::Retention(new) => self.apply_retention(new),
            Proposal::Share(new) => self.applied(|router| router.apply_share(*new)),
            Proposal::Drop(step) => {
                let Stored::Dropped(dropped) = stored else { return Effects::default() };
                self.applied(|router| router.apply_drop(step.log, &dropped))
            }
            Proposal::Erase(_) => {
                let Stored::Erased(next) = stored else { return Effects::default() };
                self.applied(|router| router.apply_erase(next))
            }
            Proposal::Cursors { account, positions, .. } => {
                self.applied(|router| router.apply_seen(account, positions))
            }
            Proposal::Session(new) => self.apply_session(&new),
            Proposal::Gone(hub) => self.apply_gone(hub),
            Proposal::No(new) => self.applied(|router| router.apply_no(*new)),
            // The router knows no password and no copy, and a probe is a question.
            Proposal::Password(_) | Proposal::Copies(_) | Proposal::Probe(_) => Effects::default(),
        }
    }

    /// Nothing follows but the change itself.
    fn applied(&mut self, change: impl FnOnce(&mut Self)) -> Effects {
        change(self);
        Effects::default()
    }

    fn applied_account(&mut self, now_ms: u64, new: NewAccount, stored: Stored) -> Effects {
        let Stored::Account(account, device) = stored else { return Effects::default() };
        self.apply_account(now_ms, new, account, device)
    }

    fn advance(&mut self, position: u64) {
        self.position = self.position.max(position);
    }

    /// The account with exactly this name.
    fn account_of(&self, name: &UserName) -> Option<&Account> {
        self.accounts.get(self.by_name.get(name)?)
    }

    /// An account by its number.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    /// Where a conversation stands. One that does not exist yet stands at its beginning.
    pub fn head(&self, cid: &ConversationId) -> Head {
        match self.conversations.get(cid) {
            Some(conversation) => conversation.head(),
            None => Head { cid: cid.clone(), mg: 0, pm: Digest::ZERO, epoch: None },
        }
    }

    /// Accounts that belong to a conversation now.
    pub fn members(&self, cid: &ConversationId) -> Vec<AccountId> {
        let Some(conversation) = self.conversations.get(cid) else { return Vec::new() };
        let mut names = conversation.names();
        names.retain(|name| !conversation.put_out.contains(name));
        names.iter().filter_map(|name| self.by_name.get(name).copied()).collect()
    }

    /// The log of a conversation, if it has one.
    pub fn log(&self, cid: &ConversationId) -> Option<LogId> {
        self.conversations.get(cid)?.log
    }

    /// Whether an account belongs to a conversation.
    fn belongs(&self, account: &Account, cid: &ConversationId) -> bool {
        match cid.other(&account.name) {
            Some(_) => true,
            None => self.conversations.get(cid).is_some_and(|c| c.contains(&account.name)),
        }
    }

    /// The newest key pair of every device that a conversation's key may be for, with when it came and
    /// until when a key must be for it. Where there are more than fit, a key needs those alone that all
    /// compute to fit (rule R42).
    fn wanted_lines(&self, now_ms: u64, conversation: &Conversation) -> Vec<(Line, u64, u64)> {
        let mut wanted = Vec::new();
        for name in conversation.names() {
            let Some(account) = self.account_of(&name) else { continue };
            let joined = conversation.joined_ms(account.id);
            for device in account.live_devices() {
                let line = Line { account: account.id, sk: device.sk, ek: device.ek };
                let is_excused = conversation.excused.contains(&name);
                let away_ms = if is_excused { 0 } else { device.away_ms };
                wanted.push((line, device.since_ms.max(joined), away_ms));
            }
        }
        if wanted.len() > EPOCH_DEVICES_MAX {
            let fitting = self.fitting(now_ms, conversation);
            for (line, _, away_ms) in &mut wanted {
                *away_ms = if fitting.contains(line) { *away_ms } else { 0 };
            }
        }
        wanted
    }

    /// The lines of a conversation's live devices, as many as fit into one epoch.
    fn fitting(&self, now_ms: u64, conversation: &Conversation) -> HashSet<Line> {
        let names = conversation.names();
        let since = |name: &UserName| {
            let membership = conversation.membership.as_ref();
            membership.and_then(|m| m.members().get(name)).map_or(0, |member| member.since)
        };
        let accounts = names.iter().filter_map(|name| Some((name, self.account_of(name)?)));
        let candidates = accounts.flat_map(|(name, account)| {
            let since = since(name);
            account.counted_devices(now_ms).map(move |device| Candidate {
                name,
                since,
                ts: device.made_ms,
                dev: device.dev,
                line: Line { account: account.id, sk: device.sk, ek: device.ek },
            })
        });
        fitting(candidates.collect()).into_iter().collect()
    }

    /// Whether one more person does not fit into a room: it has as many with a live device as one key
    /// can be made for.
    fn is_crowded(&self, now_ms: u64, conversation: &Conversation) -> bool {
        let members = conversation.membership.as_ref().map_or(0, |m| m.members().len());
        // Nearly always there are fewer people at all.
        if members < ROOM_PEOPLE_MAX {
            return false;
        }
        let names = conversation.names();
        let is_live = |name: &&UserName| {
            self.account_of(name).is_some_and(|a| a.counted_devices(now_ms).next().is_some())
        };
        names.iter().filter(is_live).count() >= ROOM_PEOPLE_MAX
    }
}

#[cfg(test)]
mod tests;
