//! An account gets another identity: with a code of the operator, for whom has lost the password or has
//! been robbed of the keys.
//!
//! The name, its number here and what the operator has decided about it stay. All that was the old
//! identity's goes: devices, password, vault, offers and the right to read what was sent to it. In the rooms
//! it is a member by the chain alone, as somebody whose account this hub has lost.

use chat_protocol::{code, id::Digest, keys::Bundle, members::Membership};

use super::{Account, Decision, Effects, Pending, Router, backlog::Backlog, revoked::Revoked};
use crate::{
    request::Refusal,
    store::{AccountId, DeviceId, NewIdentity, Proposal, ResetCode},
};

impl Account {
    /// Whether another identity comes in.
    pub(super) fn decide_identity(
        &self,
        now_ms: u64,
        new: NewIdentity,
        pending: &mut Pending,
    ) -> Decision {
        if let Some(refusal) = self.admits_reset(now_ms, &new.code, &new.bundle) {
            return Decision::Refuse(refusal);
        }
        pending.names.insert(self.folded());
        Decision::Propose(Proposal::Identity(Box::new(new)))
    }

    /// Why another identity does not come in with this code.
    fn admits_reset(&self, now_ms: u64, code: &Digest, bundle: &Bundle) -> Option<Refusal> {
        if !self.reset.is_some_and(|reset| reset.admits(code, now_ms)) {
            let reason = "this code does not let anybody into this account, or is used up, or its time \
                          is over; ask who runs this server for another one";
            return Some(Refusal::new(code::INVITE, reason));
        }
        let is_known = self.devices.iter().any(|device| device.dev == bundle.header().dev);
        let is_own = bundle.identity() == self.identity;
        (is_own || is_known).then(|| {
            let reason = "whoever enters with this code makes a new identity and a new device";
            Refusal::new(code::MALFORMED, reason)
        })
    }
}

impl Router {
    pub(super) fn set_reset(&mut self, account: AccountId, code: ResetCode) {
        if let Some(account) = self.accounts.get_mut(&account) {
            account.reset = Some(code);
        }
    }

    /// Applies it: see the top of this file.
    pub(super) fn apply_identity(
        &mut self,
        now_ms: u64,
        new: &NewIdentity,
        device: DeviceId,
    ) -> Effects {
        let Some(account) = self.accounts.get_mut(&new.account) else { return Effects::default() };
        account.reset = None;
        account.identity = new.bundle.identity();
        self.operator.replaced.extend(account.devices.drain(..).map(|device| device.sk));
        account.revoked = Revoked::default();
        account.take_bundle(device, &new.bundle, now_ms);
        account.admitted.clear();
        account.receipts = Backlog::default();
        self.waiting = self.waiting.minus(std::mem::take(&mut account.waiting));
        account.left.clear();
        for (cid, conversation) in &mut self.conversations {
            conversation.gone.remove(&account.name);
            conversation.backlogs.retain(|(of, _)| *of != account.id);
            let members = conversation.membership.as_ref().map(Membership::members);
            let is_member = members.is_some_and(|members| members.contains_key(&account.name));
            if is_member {
                conversation.absent.insert(account.name.clone());
                self.absent.entry(account.name.clone()).or_default().insert(cid.clone());
            }
            // Those that stay its own are direct conversations and its feed.
            if (is_member && account.conversations.remove(cid))
                || account.conversations.contains(cid)
            {
                conversation.close_epochs(|line| line.account == account.id);
            }
        }
        self.catalogue.end_owner(new.account);
        self.renew_admittance();
        Effects { revoked: Some(new.account), is_door_new: true, ..Effects::default() }
    }
}
