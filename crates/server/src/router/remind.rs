//! Bundles and links that the hub had and lost, brought back by whoever has them (rule R36).

use std::sync::Arc;

use chat_protocol::{
    header::{Header, MemberHeader, MemberOperation},
    id::KeyId,
    keys::Bundle,
    members::Place,
    name::UserName,
};

use super::{Decision, Pending, Router};
use crate::{
    request::FrameRequest,
    store::{NewBundle, Proposal},
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

    /// A link that its signer has signed, whoever brings it. `None`: it does not go on from the chain
    /// here, or its key was revoked since and it concerns others: whoever stole that key may have made
    /// it, and no device would take it (rule R14).
    pub fn decide_reminded_link(
        &self,
        now_ms: u64,
        request: &FrameRequest,
        pending: &mut Pending,
    ) -> Option<Decision> {
        let Header::Member(link) = &request.header else { return None };
        let signer = self.account_of(&link.from)?;
        if pending.names.contains(&signer.folded()) {
            return Some(Decision::Defer);
        }
        let conversation = self.conversations.get(&link.cid);
        let is_behind = conversation.is_some_and(|c| c.link_at(link.mg).is_some());
        if is_behind || signer.is_revoked(&link.sk) && !concerns_signer_only(link) {
            return None;
        }
        Some(self.decide_member(now_ms, signer, request, link, pending))
    }

    /// A removal that forks off a chain, by an admin at its end: from now on an epoch may lack whom it
    /// is about, so nobody has to wait until the remover says it again. It is not kept: who knows of
    /// it reminds again.
    pub fn excuse_removed(&mut self, request: &FrameRequest) {
        let Header::Member(link) = &request.header else { return };
        let Some(signer) = self.account_of(&link.from) else { return };
        let (identity, is_revoked) = (signer.identity, signer.is_revoked(&link.sk));
        let Some(conversation) = self.conversations.get_mut(&link.cid) else { return };
        let Some(room) = &conversation.membership else { return };
        let of = |name: &UserName, ik: KeyId| room.members().get(name).filter(|m| m.ik == ik);
        let is_admin = of(&link.from, identity).is_some_and(|member| member.admin);
        let is_about_member = of(&link.who, link.ik).is_some();
        let is_fork = room.place() != Place { mg: link.mg, pm: link.pm }
            && conversation.link_at(link.mg) != Some(request.digest);
        if link.op == MemberOperation::Remove
            && is_about_member
            && is_admin
            && is_fork
            && !is_revoked
        {
            conversation.excused.insert(link.who.clone());
        }
    }
}

/// Whether a link changes nothing for others: nothing is wrapped for a revoked key, so who creates,
/// joins or leaves gives no key to anybody.
fn concerns_signer_only(link: &MemberHeader) -> bool {
    match link.op {
        MemberOperation::Create | MemberOperation::Join | MemberOperation::Leave => true,
        MemberOperation::Admit | MemberOperation::Remove | MemberOperation::Role => false,
    }
}
