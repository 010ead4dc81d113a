//! Bundles and links that the hub had and lost, brought back by whoever has them (rule R36).

use std::sync::Arc;

use chat_protocol::{
    header::{Header, MemberOperation},
    keys::Bundle,
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

    /// A link that its signer has signed, whoever brings it.
    pub fn decide_reminded_link(
        &self,
        now_ms: u64,
        request: &FrameRequest,
        pending: &mut Pending,
    ) -> Option<Decision> {
        let Header::Member(link) = &request.header else { return None };
        let signer = self.account_of(&link.from)?;
        Some(self.decide_member(now_ms, signer, request, link, pending))
    }

    /// A removal that forks off a chain, by an admin at its end: from now on an epoch may lack whom it
    /// is about, so nobody has to wait until the remover says it again. It is not kept: who knows of
    /// it reminds again.
    pub fn excuse_removed(&mut self, request: &FrameRequest) {
        let Header::Member(link) = &request.header else { return };
        let Some(signer) = self.account_of(&link.from).map(|account| account.identity) else {
            return;
        };
        let Some(conversation) = self.conversations.get_mut(&link.cid) else { return };
        let member = conversation.membership.as_ref().and_then(|m| m.members().get(&link.from));
        let is_admin = member.is_some_and(|member| member.admin && member.ik == signer);
        if is_admin && link.op == MemberOperation::Remove {
            conversation.excused.insert(link.who.clone());
        }
    }
}
