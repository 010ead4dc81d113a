//! Bundles and links that the hub had and lost, brought back by whoever has them (rule R36).

use std::sync::Arc;

use chat_protocol::{
    code,
    header::{Header, MemberHeader, MemberOperation},
    id::KeyId,
    keys::Bundle,
    members::{MemberError, Membership},
    name::{ConversationId, ConversationKind, UserName},
};

use super::{Decision, Pending, Router};
use crate::{
    limits::UNSHOWN_LINKS_MAX,
    request::FrameRequest,
    store::{AccountId, NewBundle, NewExcuse, NewLink, Proposal},
};

impl Router {
    /// A bundle of an account, by its identity: of a device that is not known, or newer.
    pub fn decide_reminded_bundle(
        &self,
        now_ms: u64,
        bundle: &Arc<Bundle>,
        pending: &mut Pending,
    ) -> Option<Decision> {
        let header = bundle.header();
        let account = self.account_of(&header.u)?;
        if !pending.names.insert(account.folded()) {
            return Some(Decision::Defer);
        }
        let device = account.devices.iter().find(|device| device.dev == header.dev);
        let is_newer = device.is_none_or(|device| device.seq < header.seq);
        let is_foreign = bundle.identity() != account.identity;
        if is_foreign || !is_newer || account.device_problem(now_ms, bundle).is_some() {
            return None;
        }
        let device = device.map(|device| device.id);
        let new = NewBundle { account: account.id, device, bundle: Arc::clone(bundle) };
        Some(Decision::Propose(Proposal::Bundle(Box::new(new))))
    }

    /// A link that its signer has signed, whoever brings it. Where that is somebody whose account the hub
    /// has lost, or the link is about them, the chain goes on all the same. `None`: it is known, or its
    /// key was revoked since and it concerns others: whoever stole that key may have made it, and no
    /// device would take it (rule R14).
    pub fn decide_reminded_link(
        &self,
        now_ms: u64,
        request: &FrameRequest,
        signer: KeyId,
        pending: &mut Pending,
    ) -> Option<Decision> {
        let Header::Member(link) = &request.header else { return None };
        let account = self.account_of(&link.from).filter(|account| account.identity == signer);
        if account.is_some_and(|account| pending.names.contains(&account.folded())) {
            return Some(Decision::Defer);
        }
        let is_revoked = account.is_some_and(|account| account.is_revoked(&link.sk));
        if is_revoked && !link.concerns_signer_only() {
            return None;
        }
        let conversation = self.conversations.get(&link.cid);
        if let Some(known) = conversation.and_then(|c| c.link(link.mg)) {
            // A removal that does not go on from the chain spares others to wait for the remover.
            let is_fork = known != request.digest;
            return if is_fork { self.excuse_removed(link, signer, pending) } else { None };
        }
        let decision = match account {
            Some(account) if self.is_present(&link.who, &link.ik) => {
                self.decide_member(now_ms, account, request, link, pending)
            }
            _ if link.from == link.who || self.is_present(&link.from, &signer) => {
                self.decide_absent(request, link, signer, pending)
            }
            _ => return None,
        };
        match decision {
            Decision::Refuse(_) => self.excuse_removed(link, signer, pending),
            decision => Some(decision),
        }
    }

    /// A link by somebody, or about somebody, who has no account: it counts for nothing until they have.
    pub(super) fn decide_absent(
        &self,
        request: &FrameRequest,
        link: &MemberHeader,
        signer: KeyId,
        pending: &mut Pending,
    ) -> Decision {
        let cid = &link.cid;
        if pending.conversations.contains(cid) {
            return Decision::Defer;
        }
        let known = self.conversations.get(cid);
        let empty = Membership::new(cid.clone());
        let membership = known.and_then(|c| c.membership.as_ref()).unwrap_or(&empty);
        match membership.check(link, signer) {
            Ok(()) => {}
            Err(MemberError::Stale { .. }) => return self.stale_members(&link.from, cid),
            Err(error) => return Decision::refuse(code::NOT_ALLOWED, error.to_string()),
        }
        if membership.members().get(&link.who).is_some_and(|member| member.ik != link.ik) {
            let reason =
                format!("{} is a member by another key; nobody else's word ends that", link.who);
            return Decision::refuse(code::NOT_ALLOWED, reason);
        }
        if let Some(refusal) = self.lacks_owner(&link.from, cid) {
            return Decision::Refuse(refusal);
        }
        let is_full = known.is_some_and(|known| {
            known.unshown.len() >= UNSHOWN_LINKS_MAX && !known.unshown.contains_key(&link.who)
        });
        if is_full && self.is_unshown(link) {
            let reason = format!(
                "{} has {UNSHOWN_LINKS_MAX} people by keys that nobody can show",
                cid.spoken()
            );
            return Decision::refuse(code::TOO_MANY, reason);
        }
        let brought_by = match self.brought_by(request, link) {
            Ok(brought_by) => brought_by,
            Err(refusal) => return refusal,
        };
        if let (MemberOperation::Create, ConversationKind::Room(room)) = (link.op, cid.kind()) {
            if let Some(refusal) = self.cannot_create(&link.from, cid, pending) {
                return refusal;
            }
            pending.rooms.insert(room.as_str().to_ascii_lowercase());
        }
        pending.conversations.insert(cid.clone());
        Decision::Propose(Proposal::Link(Box::new(NewLink {
            log: known.and_then(|conversation| conversation.log),
            header: link.clone(),
            digest: request.digest,
            newcomers: Vec::new(),
            brought_by,
            frame: request.frame.clone(),
        })))
    }

    /// A removal that forks off a chain, by an admin at its end: from now on an epoch may lack whom it
    /// is about, so nobody has to wait until the remover says it again.
    fn excuse_removed(
        &self,
        link: &MemberHeader,
        signer: KeyId,
        pending: &mut Pending,
    ) -> Option<Decision> {
        let conversation = self.conversations.get(&link.cid)?;
        let members = conversation.membership.as_ref()?.members();
        let is_admin = members.get(&link.from).is_some_and(|m| m.admin && m.ik == signer);
        let is_news = members.contains_key(&link.who) && !conversation.excused.contains(&link.who);
        if !is_admin || !is_news || link.op != MemberOperation::Remove {
            return None;
        }
        if !pending.conversations.insert(link.cid.clone()) {
            return Some(Decision::Defer);
        }
        let (log, who) = (conversation.log?, link.who.clone());
        Some(Decision::Propose(Proposal::Excuse(NewExcuse { log, who })))
    }

    /// It is kept: see [`Router::excuse_removed`].
    pub(super) fn apply_excuse(&mut self, new: NewExcuse) {
        let cid = self.by_log.get(&new.log);
        if let Some(conversation) = cid.and_then(|cid| self.conversations.get_mut(cid)) {
            conversation.excused.insert(new.who);
        }
    }

    /// Whether somebody is a member by the chain alone.
    pub(super) fn is_absent(&self, cid: &ConversationId, name: &UserName) -> bool {
        self.conversations.get(cid).is_some_and(|c| c.absent.contains(name))
    }

    /// Whether there is an account of this name with this identity.
    pub(super) fn is_present(&self, name: &UserName, identity: &KeyId) -> bool {
        self.account_of(name).is_some_and(|account| account.identity == *identity)
    }

    /// Somebody has an account: links that were about nobody until now count.
    pub(super) fn comes_back(&mut self, now_ms: u64, id: AccountId) {
        let Some(account) = self.accounts.get_mut(&id) else { return };
        for cid in self.absent.remove(&account.name).unwrap_or_default() {
            let Some(conversation) = self.conversations.get_mut(&cid) else { continue };
            let member =
                conversation.membership.as_ref().and_then(|m| m.members().get(&account.name));
            if member.is_some_and(|member| member.ik == account.identity) {
                conversation.absent.remove(&account.name);
                conversation.note_joined(id, now_ms);
                account.conversations.insert(cid);
            } else if member.is_some() {
                // Somebody else has taken the name.
                self.absent.entry(account.name.clone()).or_default().insert(cid);
            }
            if conversation.unshown.get(&account.name) == Some(&account.identity) {
                conversation.unshown.remove(&account.name);
                conversation.brought.remove(&account.name);
            }
        }
    }

    /// Whether a link by which somebody comes or goes counts by our word only: we cannot show the key of
    /// who has signed it, because the account was lost, or has another identity.
    pub(super) fn is_unshown(&self, link: &MemberHeader) -> bool {
        let account = self.account_of_any_time(&link.who);
        link.is_own_coming_or_going() && account.is_none_or(|account| account.identity != link.ik)
    }

    /// Notes whether whom a link is about has an account.
    pub(super) fn note_presence(&mut self, link: &MemberHeader) -> bool {
        let is_present = self.is_present(&link.who, &link.ik);
        let is_unshown = self.is_unshown(link);
        let Some(conversation) = self.conversations.get_mut(&link.cid) else { return is_present };
        conversation.note_unshown(link, is_unshown);
        let is_in = conversation.membership.as_ref().is_some_and(|m| m.contains(&link.who));
        if is_in && !is_present {
            conversation.absent.insert(link.who.clone());
            self.absent.entry(link.who.clone()).or_default().insert(link.cid.clone());
        } else {
            conversation.absent.remove(&link.who);
        }
        if !is_present {
            // The chain is not theirs to read who have the name now.
            conversation.gone.remove(&link.who);
        }
        is_present
    }
}
