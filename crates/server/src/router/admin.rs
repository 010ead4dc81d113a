//! What the operator asks: looked up, or decided and later applied like any other record.

mod lines;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use chat_protocol::{
    code,
    hub::HubToClient,
    id::{Digest, KeyId},
    name::{RoomName, UserName},
    retention,
    spoken::{counted, nobody},
};

use super::{Account, Conversation, Effects, Notice, Pending, Router, rooms::deleted_notice};
use crate::{
    admin::request::{AdminAnswer, AdminRequest},
    gate::Admittance,
    limits::{ANNOUNCEMENT_BYTES_MAX, BANS_MAX, INVITES_MAX},
    pattern::Pattern,
    request::{Proof, REVOKED, Refusal, SignIn},
    store::{
        AccountId, Banned, Invite, LogId, NewErase, NewOrder, NewRetention, OperatorRows, Proposal,
        Registration, ResetCode, Standing,
    },
};

/// What the operator has decided and what is still to be done about it.
#[derive(Debug, Default)]
pub(super) struct Operator {
    bans: BTreeSet<Banned>,
    /// Those of the configuration.
    fixed_bans: BTreeSet<Banned>,
    invites: HashMap<Digest, Invite>,
    registration: Registration,
    /// What follows from all this for who comes in.
    admittance: Arc<Admittance>,
    /// Accounts that were deleted, for what they have signed.
    gone: BTreeMap<UserName, AccountId>,
    /// Names that were deleted while nobody had an account of them, until somebody has.
    pub(super) nobodies: BTreeSet<UserName>,
    /// Signing keys of identities that were replaced since the start.
    pub(super) replaced: BTreeSet<KeyId>,
    erasing: VecDeque<Erasing>,
}

/// A mailbox that is being erased.
#[derive(Debug)]
struct Erasing {
    account: AccountId,
    logs: Vec<LogId>,
    after: u64,
}

/// What comes of a request.
#[derive(Debug)]
pub enum AdminDecision {
    /// This is the answer.
    Answer(AdminAnswer),
    /// To be kept; and what is answered then.
    Propose(Proposal, Vec<String>),
}

/// Why nothing is decided about the account of this process.
const SERVER_ITSELF: &str = "the account server is this server itself";

fn refuse(reason: impl Into<String>) -> AdminDecision {
    AdminDecision::Answer(AdminAnswer::refused(reason))
}

fn propose(order: NewOrder, what: Vec<String>) -> AdminDecision {
    AdminDecision::Propose(Proposal::Order(Box::new(order)), what)
}

impl Router {
    pub(super) fn restore_operator(&mut self, rows: OperatorRows) {
        for (account, standing) in rows.standings {
            if let Some(account) = self.accounts.get_mut(&account) {
                account.standing = standing;
            }
            if standing == Standing::Deleted {
                self.forget_name(account);
            }
        }
        self.operator.nobodies = rows.nobodies.into_iter().collect();
        self.operator.bans = rows.bans.into_iter().collect();
        self.operator.invites = rows.invites.into_iter().map(|i| (i.digest, i)).collect();
        self.renew_admittance();
    }

    /// After the conversations: rooms that are closed, and mailboxes that a stop has left.
    pub(super) fn restore_closed(&mut self, closed: Vec<LogId>, to_erase: Vec<AccountId>) {
        for log in closed {
            self.apply_closed(log);
        }
        for account in to_erase {
            self.begin_erasing(account);
        }
    }

    /// How accounts are made, and who the configuration keeps out.
    pub fn let_in(&mut self, registration: Registration, bans: impl IntoIterator<Item = Banned>) {
        self.operator.registration = registration;
        self.operator.fixed_bans = bans.into_iter().collect();
        self.renew_admittance();
    }

    /// What the doors look at.
    pub fn admittance(&self) -> &Arc<Admittance> {
        &self.operator.admittance
    }

    /// Whether the operator lets somebody in with the keys that they come with.
    pub(super) fn admits(&self, request: &SignIn, known: Option<&Account>) -> Result<(), Refusal> {
        let identity = match (&request.proof, known) {
            (
                Proof::New { bundle, .. }
                | Proof::Reset { bundle, .. }
                | Proof::Bundle { bundle, .. },
                _,
            ) => bundle.identity(),
            (Proof::Known { .. }, Some(account)) => account.identity,
            (Proof::Known { .. }, None) => return Ok(()),
        };
        self.operator.admittance.check(&request.name, &[identity, request.sk])
    }

    pub(super) fn renew_admittance(&mut self) {
        let barred = self.accounts.values().filter(|a| a.standing != Standing::Active);
        let standings = barred.map(|account| (account.folded(), account.standing)).collect();
        let bans = self.operator.bans.union(&self.operator.fixed_bans);
        let admittance = Admittance::new(bans, standings)
            .without(self.operator.replaced.clone())
            .asking_for_codes(self.operator.registration == Registration::Invite);
        self.operator.admittance = Arc::new(admittance);
    }

    /// The code that a new account is made with, if one is needed, or why it is not made.
    pub(super) fn check_invite(
        &self,
        now_ms: u64,
        code: Option<Digest>,
        pending: &mut Pending,
    ) -> Result<Option<Digest>, Refusal> {
        let refusal = |reason: &str| Refusal::new(code::INVITE, reason);
        match self.operator.registration {
            Registration::Open => return Ok(None),
            Registration::Closed => {
                return Err(refusal("this server takes no new accounts; ask who runs it"));
            }
            Registration::Invite => {}
        }
        let Some(digest) = code else {
            let reason = "a new account needs a code here: ask who runs this server for one and give \
                          it with --invite CODE";
            return Err(refusal(reason));
        };
        let used = pending.invites.entry(digest).or_default();
        let invite = self.operator.invites.get(&digest);
        if invite.is_none_or(|i| i.until_ms < now_ms || i.uses <= *used) {
            let reason = "this code is not good, or is used up, or its time is over; ask who runs \
                          this server for another one";
            return Err(refusal(reason));
        }
        *used += 1;
        Ok(Some(digest))
    }

    pub(super) fn use_invite(&mut self, digest: &Digest) {
        if let Some(invite) = self.operator.invites.get_mut(digest) {
            invite.uses = invite.uses.saturating_sub(1);
        }
    }

    /// Decides on a request.
    pub fn decide_admin(&self, now_ms: u64, request: &AdminRequest) -> AdminDecision {
        AdminDecision::Answer(match request {
            AdminRequest::Users { who, after } => self.users(who.as_ref(), after.as_ref()),
            AdminRequest::User { name } => self.user(name),
            AdminRequest::Rooms { after } => self.room_lines(after.as_deref()),
            AdminRequest::Bans => {
                let bans = self.operator.bans.union(&self.operator.fixed_bans);
                AdminAnswer::Bans { bans: bans.cloned().collect() }
            }
            AdminRequest::Stats => AdminAnswer::Stats(self.stats(now_ms)),
            AdminRequest::Standing { who, standing } => {
                return self.decide_standing(who, *standing);
            }
            AdminRequest::CloseRoom { room } => return self.decide_closing(room),
            AdminRequest::Retention { room, keep_ms } => {
                return self.decide_room_retention(room, *keep_ms);
            }
            AdminRequest::Ban { what } => return self.decide_ban(what),
            AdminRequest::Unban { what } => return self.decide_unban(what),
            AdminRequest::Invite { digest, uses, for_ms } => {
                let until_ms = now_ms.saturating_add(*for_ms);
                return self
                    .decide_invite(now_ms, Invite { digest: *digest, uses: *uses, until_ms });
            }
            AdminRequest::Moderator { name, is_one } => {
                return self.decide_moderator(name, *is_one);
            }
            AdminRequest::Reset { name, digest, for_ms } => {
                let until_ms = now_ms.saturating_add(*for_ms);
                return self.decide_reset(name, ResetCode { digest: *digest, until_ms });
            }
            AdminRequest::Announce { text } => return decide_announcement(text),
            // These are no business of the state.
            AdminRequest::Drain | AdminRequest::Reload | AdminRequest::Running => {
                AdminAnswer::refused("not a request of the worker")
            }
        })
    }

    /// Applies a decision. The answer was made when it was decided.
    pub(super) fn apply_order(&mut self, order: NewOrder) -> Effects {
        let mut effects = Effects { is_door_new: true, ..Effects::default() };
        match order {
            NewOrder::Standing { accounts, names, standing } => {
                if standing == Standing::Deleted {
                    // As if they had new keys: who has something for them looks anew.
                    let accounts = accounts.iter().filter_map(|id| self.account(*id));
                    let accounts = accounts.map(|account| account.name.clone());
                    effects.renewed = names.iter().cloned().chain(accounts).collect();
                }
                for account in accounts {
                    self.apply_standing(account, standing);
                }
                self.apply_nobodies(names);
            }
            NewOrder::CloseRoom(log) => effects.notice = self.apply_closed(log),
            NewOrder::Ban(what) => drop(self.operator.bans.insert(what)),
            NewOrder::Unban(what) => drop(self.operator.bans.remove(&what)),
            NewOrder::Invite(invite) => {
                self.operator.invites.insert(invite.digest, invite);
            }
            NewOrder::Reset { account, code } => self.set_reset(account, code),
            NewOrder::Moderator { account, is_one } => self.set_moderator(account, is_one),
            NewOrder::PutOut(put_out) => effects.notice = self.apply_put_out(put_out),
            NewOrder::LetIn { who, by } => effects.notice = self.apply_let_in(who, by),
            NewOrder::Announce(text) => {
                effects.notice =
                    Some(Box::new(Notice { to: None, text: HubToClient::Announce { text } }));
            }
        }
        self.renew_admittance();
        effects
    }

    fn apply_standing(&mut self, id: AccountId, standing: Standing) {
        let Some(account) = self.accounts.get_mut(&id) else { return };
        account.standing = standing;
        if standing != Standing::Deleted {
            return;
        }
        self.waiting = self.waiting.minus(std::mem::take(&mut account.waiting));
        let conversations = std::mem::take(&mut account.conversations);
        self.catalogue.end_owner(id);
        for cid in conversations {
            if let Some(conversation) = self.conversations.get_mut(&cid) {
                conversation.close_epochs(|line| line.account == id);
                conversation.backlogs.retain(|(of, _)| *of != id);
                let membership = conversation.membership.as_ref();
                // A member by the chain alone from now on, as after a restart.
                if membership.is_some_and(|m| m.members().contains_key(&account.name)) {
                    conversation.absent.insert(account.name.clone());
                    self.absent.entry(account.name.clone()).or_default().insert(cid);
                }
            }
        }
        self.forget_name(id);
        self.begin_erasing(id);
    }

    /// Nobody has this name any more, and nobody gets it.
    fn forget_name(&mut self, id: AccountId) {
        let Some(account) = self.accounts.get(&id) else { return };
        self.by_name.remove(&account.name);
        self.operator.gone.insert(account.name.clone(), id);
    }

    /// An account by its name, also one that was deleted.
    pub(super) fn account_of_any_time(&self, name: &UserName) -> Option<&Account> {
        self.account_of(name).or_else(|| self.accounts.get(self.operator.gone.get(name)?))
    }

    /// Whether an account of this name was deleted, or the name while nobody had one.
    pub fn is_gone(&self, name: &UserName) -> bool {
        self.operator.gone.contains_key(name) || self.operator.nobodies.contains(name)
    }

    fn begin_erasing(&mut self, id: AccountId) {
        let Some(account) = self.accounts.get(&id) else { return };
        let direct = self.conversations.values().filter(|conversation| {
            conversation.cid.is_direct() && conversation.cid.other(&account.name).is_some()
        });
        let mut logs: Vec<LogId> = direct.filter_map(|conversation| conversation.log).collect();
        logs.push(LogId::inbox(id));
        self.operator.erasing.push_back(Erasing { account: id, logs, after: 0 });
    }

    /// The next step of erasing, if there is one.
    pub fn decide_erase(&self) -> Option<NewErase> {
        let Erasing { account, logs, after } = self.operator.erasing.front()?;
        Some(NewErase { account: *account, log: logs.last().copied(), after: *after })
    }

    /// A step is done; `next` is where the next one in this log begins.
    pub(super) fn apply_erase(&mut self, next: Option<u64>) {
        let Some(erasing) = self.operator.erasing.front_mut() else { return };
        erasing.after = next.unwrap_or(0);
        if next.is_none() && erasing.logs.pop().is_none() {
            self.operator.erasing.pop_front();
        }
    }

    fn decide_standing(&self, who: &Pattern, standing: Standing) -> AdminDecision {
        let is_meant = |name: &UserName| !name.is_server() && who.matches(name.as_str());
        let meant = self.by_name.iter().filter(|(name, _)| is_meant(name));
        let meant: Vec<&Account> = meant.filter_map(|(_, id)| self.account(*id)).collect();
        // Names without an account can be deleted and nothing else.
        let names = match standing {
            Standing::Deleted => self.nobodies_like(who),
            Standing::Active | Standing::Disabled => Vec::new(),
        };
        if meant.is_empty() && names.is_empty() {
            return refuse(self.nobody(who));
        }
        let changed = meant.into_iter().filter(|account| account.standing != standing);
        let changed: Vec<&Account> = changed.collect();
        let what = changed.iter().map(|account| account.name.to_string());
        let what: Vec<String> = what.chain(names.iter().map(|n| self.story_of_nobody(n))).collect();
        if what.is_empty() {
            return AdminDecision::Answer(AdminAnswer::Done { what });
        }
        let accounts = changed.iter().map(|account| account.id).collect();
        propose(NewOrder::Standing { accounts, names, standing }, what)
    }

    /// An account ends because its owner, here with this signing key, wants it.
    pub fn decide_deletion(&self, id: AccountId, sk: KeyId) -> Result<Proposal, Refusal> {
        let refusal = |reason: &str| Refusal::new(code::SIGN_IN, reason);
        let account = self.account(id).ok_or_else(|| refusal("nobody has this account"))?;
        self.operator.admittance.check(&account.name, &[account.identity, sk])?;
        if account.is_revoked(&sk) {
            return Err(Refusal::new(code::REVOKED, REVOKED));
        }
        let (accounts, names) = (vec![id], Vec::new());
        let order = NewOrder::Standing { accounts, names, standing: Standing::Deleted };
        Ok(Proposal::Order(Box::new(order)))
    }

    pub(super) fn nobody(&self, who: &Pattern) -> String {
        if let Some(name) = self.nobodies_like(who).first() {
            let story = self.story_of_nobody(name);
            return format!("{story}; `user delete {name}` drops the name");
        }
        if self.operator.nobodies.iter().any(|name| who.matches(name.as_str())) {
            return format!("nobody has an account of {who}, and the name was deleted");
        }
        let is_gone = self.operator.gone.keys().any(|name| who.matches(name.as_str()));
        match (who.is_open(), is_gone) {
            (_, true) => format!("{who} was deleted, which cannot be undone"),
            (true, false) => format!("no name is like {who}; `user list` shows them"),
            (false, false) if who.matches(UserName::server().as_str()) => SERVER_ITSELF.to_owned(),
            (false, false) => nobody(who),
        }
    }

    fn decide_ban(&self, what: &Banned) -> AdminDecision {
        if let Banned::Name(who) = what
            && !who.is_open()
            && who.matches(UserName::server().as_str())
        {
            return refuse(SERVER_ITSELF);
        }
        if self.banned_as(what).is_some() {
            return AdminDecision::Answer(AdminAnswer::done(format!("{what} was banned before")));
        }
        if self.operator.bans.len() >= BANS_MAX {
            return refuse(format!(
                "the ban list has {BANS_MAX} entries, which is the most; unban some"
            ));
        }
        propose(NewOrder::Ban(what.clone()), vec![what.to_string()])
    }

    /// The entry of the ban list that keeps out the same.
    fn banned_as(&self, what: &Banned) -> Option<&Banned> {
        self.operator.bans.iter().find(|banned| banned.is_same(what))
    }

    fn decide_unban(&self, what: &Banned) -> AdminDecision {
        if let Some(banned) = self.banned_as(what) {
            return propose(NewOrder::Unban(banned.clone()), vec![banned.to_string()]);
        }
        if self.operator.fixed_bans.iter().any(|banned| banned.is_same(what)) {
            return refuse(format!("{what} is banned by the configuration file; change it there"));
        }
        refuse(format!("{what} is not banned; `ban` without a name lists who is"))
    }

    /// Whose account an operator means: names have no case.
    fn account_meant(&self, name: &UserName) -> Result<&Account, String> {
        let account = self
            .account_folded(name)
            .filter(|account| !account.name.is_server() && account.standing != Standing::Deleted);
        account.ok_or_else(|| self.nobody(&name.into()))
    }

    fn decide_moderator(&self, name: &UserName, is_one: bool) -> AdminDecision {
        let account = match self.account_meant(name) {
            Ok(account) => account,
            Err(reason) => return refuse(reason),
        };
        if self.is_moderator(account.id) == is_one {
            return AdminDecision::Answer(AdminAnswer::Done { what: Vec::new() });
        }
        let what = vec![account.name.to_string()];
        propose(NewOrder::Moderator { account: account.id, is_one }, what)
    }

    fn decide_reset(&self, name: &UserName, code: ResetCode) -> AdminDecision {
        let account = match self.account_meant(name) {
            Ok(account) => account,
            Err(reason) => return refuse(reason),
        };
        let name = &account.name;
        if account.standing != Standing::Active {
            return refuse(format!("{name} is disabled; `user enable {name}` first"));
        }
        propose(NewOrder::Reset { account: account.id, code }, vec![name.to_string()])
    }

    fn decide_invite(&self, now_ms: u64, invite: Invite) -> AdminDecision {
        if self.operator.registration == Registration::Closed {
            let reason = "new accounts are closed here (registration), so nobody could use a code; set \
                          registration to \"invite\" in the configuration and say `reload`, or start the server \
                          with --registration invite";
            return refuse(reason);
        }
        let is_good = |invite: &&Invite| invite.uses > 0 && invite.until_ms >= now_ms;
        if self.operator.invites.values().filter(is_good).count() >= INVITES_MAX {
            return refuse(format!("{INVITES_MAX} codes are good now, which is the most"));
        }
        let what = vec![counted(invite.uses, "account")];
        propose(NewOrder::Invite(invite), what)
    }

    fn room_of(&self, room: &RoomName) -> Result<&Conversation, String> {
        let cid = self.rooms.get(&room.as_str().to_ascii_lowercase());
        let conversation = cid.and_then(|cid| self.conversations.get(cid));
        let conversation = conversation.filter(|c| c.log.is_some() && !c.is_closed);
        conversation.ok_or_else(|| format!("there is no room {room}; `room list` shows them"))
    }

    fn decide_closing(&self, room: &RoomName) -> AdminDecision {
        let conversation = match self.room_of(room) {
            Ok(conversation) => conversation,
            Err(reason) => return refuse(reason),
        };
        if conversation
            .membership
            .as_ref()
            .is_none_or(chat_protocol::members::Membership::is_implicit)
        {
            return refuse(format!("{room} is where everybody is; it cannot be deleted"));
        }
        let Some(log) = conversation.log else { return refuse("nothing was said there yet") };
        propose(NewOrder::CloseRoom(log), vec![room.to_string()])
    }

    fn decide_room_retention(&self, room: &RoomName, keep_ms: Option<u64>) -> AdminDecision {
        let log = match self.room_of(room) {
            Ok(conversation) => conversation.log,
            Err(reason) => return refuse(reason),
        };
        if !keep_ms.is_none_or(retention::is_keep_time) {
            return refuse("messages are kept for 1s to 36500d, or for ever with off");
        }
        let Some(log) = log else { return refuse("nothing was said there yet") };
        let by = UserName::server();
        let proposal = Proposal::Retention(NewRetention { log, keep_ms, by });
        AdminDecision::Propose(proposal, vec![room.to_string()])
    }

    /// What is told to the members of the room comes back.
    fn apply_closed(&mut self, log: LogId) -> Option<Box<Notice>> {
        let cid = self.by_log.get(&log)?.clone();
        let conversation = self.conversations.get_mut(&cid)?;
        conversation.is_closed = true;
        conversation.topic.clear();
        self.catalogue.end_room(&cid);
        self.note_due(log);
        let to = Some(self.members(&cid));
        Some(Box::new(Notice { to, text: deleted_notice(cid) }))
    }
}

fn decide_announcement(text: &str) -> AdminDecision {
    if text.trim().is_empty() || text.len() > ANNOUNCEMENT_BYTES_MAX {
        let reason = format!("an announcement has 1 to {ANNOUNCEMENT_BYTES_MAX} bytes");
        return refuse(reason);
    }
    propose(NewOrder::Announce(text.to_owned()), vec![text.to_owned()])
}
