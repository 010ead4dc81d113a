//! What the hub was told that it had lost: taken as if its own signers had brought it, and answered to
//! nobody.

use super::{Next, Open, Worker, story};
use crate::{
    request::{Reminder, Request},
    router::{Decision, Pending},
    store::{Committed, Store, Stored},
};

impl<S: Store> Worker<S> {
    pub(super) fn decide_reminder(
        &mut self,
        now_ms: u64,
        queued: Open,
        pending: &mut Pending,
    ) -> Next {
        let Request::Remind(reminder) = &queued.item else { return Next::Done };
        let decision = match reminder {
            Reminder::Bundle(bundle) => self.router.decide_reminded_bundle(now_ms, bundle, pending),
            Reminder::Link(request, signer) => {
                self.router.decide_reminded_link(now_ms, request, *signer, pending)
            }
        };
        match decision {
            Some(Decision::Propose(proposal)) => Next::Commit(queued, proposal),
            Some(Decision::Defer) => Next::Defer(queued),
            _ => {
                story::reminder(&self.log, &queued, false);
                Next::Done
            }
        }
    }

    pub(super) fn finish_reminder(&mut self, now_ms: u64, queued: &Open, committed: Committed) {
        let is_kept =
            matches!(committed.outcome, Ok(Stored::Device(_) | Stored::Link { .. } | Stored::Done));
        story::reminder(&self.log, queued, is_kept);
        let effects = self.router.apply(now_ms, committed);
        if !is_kept {
            return;
        }
        if let Some(account) = effects.revoked.and_then(|id| self.router.account(id)) {
            self.sessions.close_replaced(account);
            self.notify.keys(&account.name);
        }
        if let Some(cid) = &effects.changed {
            self.notify.reminded(cid);
            self.count_offers();
        }
        if let Some((account, head)) = effects.removed {
            self.notify.removed(account, head);
        }
    }
}
