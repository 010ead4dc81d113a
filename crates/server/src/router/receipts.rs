//! Receipts of delivery: they go to the inbox of who sent the messages (rule R8).

use chat_protocol::{code, header::ReceiptHeader};

use super::{Audience, Decision, Delivery, Effects, Payload, Pending, Router};
use crate::{
    request::FrameRequest,
    store::{AccountId, EntryKind, LogId, NewEntry, Proposal},
};

impl Router {
    pub(super) fn decide_receipt(
        &self,
        now_ms: u64,
        request: &FrameRequest,
        header: &ReceiptHeader,
        pending: &mut Pending,
    ) -> Decision {
        let Some(to) = self.account_of(&header.to) else {
            return Decision::Refuse(self.no_such_user(&header.to));
        };
        // One copy may have thousands of readers, and its sender waits for none of them.
        if header.cid.is_feed() {
            let reason = "nobody waits for receipts of a feed";
            return Decision::refuse(code::NOT_ALLOWED, reason);
        }
        let sender = request.peer.account;
        // Who has just left still owes receipts for what they got.
        let takes_part = |account| {
            self.account(account).is_some_and(|account| {
                let room = self.conversations.get(&header.cid).and_then(|c| c.membership.as_ref());
                self.belongs(account, &header.cid)
                    || room.is_some_and(|room| room.has_known(&account.name))
            })
        };
        if !takes_part(sender) || !takes_part(to.id) {
            let reason = "a receipt goes between two people of the conversation it names";
            return Decision::refuse(code::NOT_A_MEMBER, reason);
        }
        if let Some(refusal) = self.take_inbox(to, request.frame.len(), pending) {
            return refusal;
        }
        Decision::Propose(Proposal::Entry(Box::new(NewEntry {
            log: LogId::inbox(to.id),
            sender,
            id: header.id,
            digest: request.digest,
            kind: EntryKind::Receipt,
            epoch: None,
            line: 0,
            n: 0,
            hub_ms: now_ms,
            frame: request.frame.clone(),
        })))
    }

    pub(super) fn apply_receipt(&mut self, new: NewEntry, position: u64) -> Effects {
        let to = AccountId(new.log.0.saturating_neg());
        if let Some(account) = self.accounts.get_mut(&to) {
            account.inbox = position;
            account.receipts.add_bytes(new.frame.len());
        }
        let delivery = Delivery {
            position,
            hub_ms: new.hub_ms,
            audience: Audience::Account(to),
            payload: Payload::Frame(new.frame),
        };
        Effects { delivery: Some(delivery), ..Effects::default() }
    }
}
