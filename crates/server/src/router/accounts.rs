//! Accounts and their devices.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chat_protocol::{
    code,
    header::{MemberHeader, MemberOperation},
    hub::Log,
    id::{Digest, KeyId, Nonce16},
    keys::{Bundle, BundleError, DeviceMark, Held},
    limits::ACCOUNT_DEVICES_MAX,
    name::{ConversationId, UserName},
    spoken::nobody,
};

use super::{Decision, Effects, Pending, Router, backlog::Backlog, revoked::Revoked};
use crate::{
    limits::AWAY_SLACK_MS,
    request::{Plan, Proof, REVOKED, Refusal, SignIn},
    store::{
        AccountId, AccountRow, DeviceId, LogId, NewAccount, NewBundle, NewIdentity, Proposal,
        ResetCode, Standing, Waiting,
    },
};

/// One device, by its newest bundle.
#[derive(Debug)]
pub struct Device {
    /// Its number in the store.
    pub id: DeviceId,
    /// Its own name for itself.
    pub dev: Nonce16,
    /// Digest and number of its newest bundle.
    pub digest: Digest,
    /// See `digest`.
    pub seq: u32,
    /// Whether it is live, and what its newest bundle is compared by.
    pub mark: DeviceMark,
    /// Its newest signing key.
    pub sk: KeyId,
    /// Its newest encryption key.
    pub ek: KeyId,
    /// Whether it says that it accepts commands.
    pub is_agent: bool,
    /// When its newest bundle was signed, by its own clock.
    pub made_ms: u64,
    /// When these keys came, Unix time in milliseconds; 0 for long ago.
    pub since_ms: u64,
    /// From when on epochs may lack it, because it was away for too long (rule R12).
    pub away_ms: u64,
}

/// One account.
#[derive(Debug)]
pub struct Account {
    /// Its number in the store.
    pub id: AccountId,
    /// The name as claimed.
    pub name: UserName,
    /// Its identity key.
    pub identity: KeyId,
    /// What the operator lets it do.
    pub standing: Standing,
    /// Its devices.
    pub devices: Vec<Device>,
    /// Keys that count no more, by any bundle of this identity.
    pub(super) revoked: Revoked,
    /// Where it takes part.
    pub conversations: BTreeSet<ConversationId>,
    /// Rooms that it was in, and where in their logs that ended. What was said before is still its
    /// own to fetch: the senders were told that it is kept for it.
    pub left: BTreeMap<ConversationId, u64>,
    /// The last position in its inbox.
    pub inbox: u64,
    /// Direct messages that wait for it.
    pub waiting: Waiting,
    /// Receipts that wait for it.
    pub(super) receipts: Backlog,
    /// Who let it into rooms that it did not join by itself.
    pub(super) admitted: BTreeMap<ConversationId, UserName>,
    /// The code that lets another identity in, if there is one.
    pub(super) reset: Option<ResetCode>,
}

impl Account {
    /// An account without devices.
    fn new(id: AccountId, name: UserName, identity: KeyId) -> Self {
        Self {
            id,
            name,
            identity,
            standing: Standing::Active,
            devices: Vec::new(),
            revoked: Revoked::default(),
            conversations: BTreeSet::new(),
            left: BTreeMap::new(),
            inbox: 0,
            waiting: Waiting::default(),
            receipts: Backlog::default(),
            admitted: BTreeMap::new(),
            reset: None,
        }
    }

    /// The name in lower case.
    pub fn folded(&self) -> String {
        self.name.folded()
    }

    /// Whether a key is the newest of a device and not revoked.
    pub fn is_live(&self, sk: &KeyId) -> bool {
        self.live_devices().any(|device| device.sk == *sk)
    }

    /// Whether a key was revoked.
    pub fn is_revoked(&self, sk: &KeyId) -> bool {
        self.revoked.contains(sk)
    }

    /// Devices whose newest key is not revoked.
    pub fn live_devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(|device| !self.is_revoked(&device.sk))
    }

    /// Devices that count: in use in the last months, and not revoked (rule R40).
    pub fn counted_devices(&self, now_ms: u64) -> impl Iterator<Item = &Device> {
        let counts = move |d: &&Device| d.mark.is_live(now_ms, |sk| self.is_revoked(sk));
        self.devices.iter().filter(counts)
    }

    /// Their newest bundles, as clients compare them (rule R37).
    pub fn held(&self, now_ms: u64) -> Held {
        let marks = self.devices.iter().map(|device| device.mark);
        Held::of_live(now_ms, marks, |sk| self.is_revoked(sk))
    }

    /// Why a bundle of it is not taken: it would make one live device too many. Those that it revokes
    /// make room at once, so that who has the password always comes in. What it revokes is never too much.
    pub(super) fn device_problem(&self, now_ms: u64, bundle: &Bundle) -> Option<Refusal> {
        let new = DeviceMark::of(bundle)?;
        let is_gone = |sk: &KeyId| self.is_revoked(sk) || bundle.header().rev.contains(sk);
        let others = self.devices.iter().filter(|device| device.dev != bundle.header().dev);
        let mut others: Vec<_> =
            others.filter(|device| device.mark.is_live(now_ms, is_gone)).collect();
        let known = self.devices.iter().find(|device| device.dev == bundle.header().dev);
        let was_live = known.is_some_and(|device| device.mark.is_live(now_ms, is_gone));
        let is_live = new.is_live(now_ms, is_gone);
        if was_live || !is_live || others.len() < ACCOUNT_DEVICES_MAX {
            return None;
        }
        others.sort_by_key(|device| (device.made_ms, device.dev));
        let oldest = others.first()?.sk;
        let reason = format!(
            "{} has {ACCOUNT_DEVICES_MAX} devices, which is the most; sign in with --revoke {oldest} to \
             put the one out that was renewed the longest time ago, by the server's word",
            self.name
        );
        Some(Refusal::new(code::TOO_MANY, reason))
    }

    /// It came into a room by this link.
    pub(super) fn came_into(&mut self, cid: &ConversationId, link: &MemberHeader) {
        self.conversations.insert(cid.clone());
        if link.op == MemberOperation::Admit {
            self.admitted.insert(cid.clone(), link.from.clone());
        } else {
            self.admitted.remove(cid);
        }
    }

    /// Whether a device of it accepts commands.
    pub fn is_agent(&self) -> bool {
        self.live_devices().any(|device| device.is_agent)
    }

    /// Takes a bundle over; an unknown device is added.
    pub(super) fn take_bundle(&mut self, id: DeviceId, bundle: &Bundle, since_ms: u64) {
        self.revoked.keep(id, &bundle.header().rev);
        self.put_device(id, bundle, since_ms);
        self.revoked.keep_of_devices(self.devices.iter().map(|device| device.sk));
    }

    /// Takes over what a bundle says of its device.
    fn put_device(&mut self, id: DeviceId, bundle: &Bundle, since_ms: u64) {
        let header = bundle.header();
        let (Some(line), Some(mark)) = (bundle.member_line(), DeviceMark::of(bundle)) else {
            return;
        };
        let device = Device {
            id,
            dev: header.dev,
            digest: bundle.digest(),
            seq: header.seq,
            mark,
            sk: line.sk,
            ek: line.ek,
            is_agent: header.rb.is_some(),
            made_ms: header.ts,
            since_ms,
            away_ms: bundle.wrapped_until_ms().saturating_sub(AWAY_SLACK_MS),
        };
        match self.devices.iter_mut().find(|known| known.id == id) {
            // Only new keys need a new epoch.
            Some(known) if known.sk == device.sk && known.ek == device.ek => {
                *known = Device { since_ms: known.since_ms, ..device };
            }
            Some(known) => *known = device,
            None => self.devices.push(device),
        }
    }
}

impl Router {
    pub(super) fn restore_account(
        &mut self,
        row: AccountRow,
        inbox: u64,
    ) -> Result<(), BundleError> {
        let mut account = Account::new(row.id, row.name, row.identity);
        (account.inbox, account.reset) = (inbox, row.reset);
        account.revoked = Revoked::of(row.revoked);
        for device in row.devices {
            let bundle = Bundle::verify(device.bundle)?;
            account.revoked.note(device.id, &bundle.header().rev);
            account.put_device(device.id, &bundle, 0);
        }
        self.insert_account(account);
        Ok(())
    }

    fn insert_account(&mut self, account: Account) {
        self.by_name.insert(account.name.clone(), account.id);
        self.by_folded.insert(account.folded(), account.id);
        self.accounts.insert(account.id, account);
    }

    /// The account of a name in any case of its letters.
    pub fn account_folded(&self, name: &UserName) -> Option<&Account> {
        self.accounts.get(self.by_folded.get(&name.folded())?)
    }

    /// Decides on a sign-in. `None`: nothing needs to be kept.
    pub fn decide_sign_in(
        &self,
        now_ms: u64,
        request: &SignIn,
        pending: &mut Pending,
    ) -> Option<Decision> {
        let folded = request.name.folded();
        if pending.names.contains(&folded) {
            return Some(Decision::Defer);
        }
        let known = self.by_folded.get(&folded).and_then(|id| self.accounts.get(id));
        if let Err(refusal) = self.admits(request, known) {
            return Some(Decision::Refuse(refusal));
        }
        let (account, bundle, after) = match (&request.proof, known) {
            (Proof::New { .. }, Some(_)) => {
                let reason = "this name belongs to somebody else; choose another one";
                return Some(Decision::refuse(code::NAME_TAKEN, reason));
            }
            (Proof::New { bundle, password, vault }, None) => {
                let invite = match self.check_invite(now_ms, request.invite, pending) {
                    Ok(invite) => invite,
                    Err(refusal) => return Some(Decision::Refuse(refusal)),
                };
                pending.names.insert(folded);
                let (name, bundle) = (request.name.clone(), Arc::clone(bundle));
                let (password, vault) = (password.clone(), vault.clone());
                let new = NewAccount { name, bundle, password, vault, invite };
                return Some(Decision::Propose(Proposal::Account(Box::new(new))));
            }
            (_, None) => {
                return Some(Decision::refuse(code::NO_SUCH_USER, nobody(&request.name)));
            }
            (Proof::Reset { code, bundle, password, vault }, Some(account)) => {
                let (code, bundle) = (*code, Arc::clone(bundle));
                let (password, vault) = (password.clone(), vault.clone());
                let new = NewIdentity { account: account.id, code, bundle, password, vault };
                return Some(account.decide_identity(now_ms, new, pending));
            }
            (Proof::Known { .. }, Some(account)) => {
                let (code, reason) = if account.is_revoked(&request.sk) {
                    (code::REVOKED, REVOKED)
                } else {
                    (code::SIGN_IN, "this signing key was replaced by a newer one")
                };
                let refusal = Decision::refuse(code, reason);
                return (!account.is_live(&request.sk)).then_some(refusal);
            }
            (Proof::Bundle { bundle, after }, Some(account)) => (account, bundle, after),
        };
        let device = account.devices.iter().find(|device| device.dev == bundle.header().dev);
        if bundle.identity() != account.identity || device.map(|device| device.digest) != *after {
            let reason = "this device has published another bundle meanwhile; sign in again";
            return Some(Decision::refuse(code::SIGN_IN, reason));
        }
        if account.is_revoked(&request.sk) {
            return Some(Decision::refuse(code::REVOKED, REVOKED));
        }
        if let Some(refusal) = account.device_problem(now_ms, bundle) {
            return Some(Decision::Refuse(refusal));
        }
        pending.names.insert(folded);
        let device = device.map(|device| device.id);
        let new = NewBundle { account: account.id, device, bundle: Arc::clone(bundle) };
        Some(Decision::Propose(Proposal::Bundle(Box::new(new))))
    }

    pub(super) fn apply_account(
        &mut self,
        now_ms: u64,
        new: NewAccount,
        id: AccountId,
        device: DeviceId,
    ) -> Effects {
        // What others hold of a name that was deleted counts no more.
        let renewed = self.is_gone(&new.name).then(|| new.name.clone()).into_iter().collect();
        let mut account = Account::new(id, new.name, new.bundle.identity());
        account.take_bundle(device, &new.bundle, now_ms);
        self.operator.nobodies.remove(&account.name);
        self.insert_account(account);
        self.comes_back(now_ms, id);
        if let Some(code) = &new.invite {
            self.use_invite(code);
        }
        Effects { renewed, ..Effects::default() }
    }

    pub(super) fn apply_bundle(
        &mut self,
        now_ms: u64,
        new: &NewBundle,
        device: DeviceId,
    ) -> Effects {
        let Some(account) = self.accounts.get_mut(&new.account) else { return Effects::default() };
        let has_revoked = new.bundle.header().rev.iter().any(|sk| !account.is_revoked(sk));
        account.take_bundle(device, &new.bundle, now_ms);
        let account = &*account;
        let wanted: Vec<_> = account.live_devices().map(|device| (device.sk, device.ek)).collect();
        for cid in &account.conversations {
            let Some(conversation) = self.conversations.get_mut(cid) else { continue };
            if has_revoked {
                conversation.close_epochs(|line| account.is_revoked(&line.sk));
            }
            let Some(epoch) = conversation.epochs.front_mut() else { continue };
            let lacks = wanted
                .iter()
                .any(|(sk, ek)| !epoch.lines.iter().any(|line| line.sk == *sk && line.ek == *ek));
            if lacks {
                epoch.lacking_ms.get_or_insert(now_ms);
            }
        }
        Effects { revoked: Some(new.account), ..Effects::default() }
    }

    /// Logs that an account reads, with their last positions.
    pub fn plan(&self, account: &Account) -> Plan {
        let conversations = account.conversations.iter().filter_map(|cid| {
            let conversation = self.conversations.get(cid)?;
            Some((conversation.log?, conversation.newest))
        });
        let left = account.left.iter().filter_map(|(cid, end)| {
            let conversation = self.conversations.get(cid)?;
            Some((conversation.log?, conversation.newest.min(*end)))
        });
        let inbox = (LogId::inbox(account.id), account.inbox);
        let logs =
            conversations.chain(left).chain([inbox]).filter(|(_, newest)| *newest > 0).collect();
        Plan { logs, target: self.position, notices: Vec::new() }
    }

    /// The last position of a log that a client means; 0 for none.
    pub(super) fn newest_of(&self, account: &Account, log: &Log) -> u64 {
        match log {
            Log::Inbox => account.inbox,
            Log::Conversation(cid) => self.conversations.get(cid).map_or(0, |c| c.newest),
        }
    }

    /// The log that a client means, if it takes part in it.
    pub(super) fn log_of(&self, account: &Account, log: &Log) -> Option<LogId> {
        match log {
            Log::Inbox => Some(LogId::inbox(account.id)),
            Log::Conversation(cid)
                if account.conversations.contains(cid) || account.left.contains_key(cid) =>
            {
                self.log(cid)
            }
            Log::Conversation(_) => None,
        }
    }
}
