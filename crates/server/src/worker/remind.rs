//! What the hub was told that it had lost: taken as if its own signers had brought it, and answered to
//! nobody.

use super::{Next, Open, Worker, story};
use crate::{
    order::Turns,
    request::{Reminder, Request},
    router::{Decision, Pending},
    store::{Committed, Stored},
};

impl<T: Turns> Worker<T> {
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
        // Who has brought it need not be its signer: everybody is told.
        self.follow(now_ms, committed, None);
    }
}
