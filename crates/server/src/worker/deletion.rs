//! The end of an account that its owner wants: the same record as the operator's `user delete`.

use super::{Next, Open, Worker};
use crate::{
    order::Turns,
    request::{Refusal, Request},
    store::Committed,
};

impl<T: Turns> Worker<T> {
    pub(super) fn decide_deletion(&self, queued: Open) -> Next {
        let Request::Delete(deletion) = &queued.item else { return Next::Done };
        match self.router.decide_deletion(deletion.account, deletion.sk) {
            Ok(proposal) => Next::Commit(queued, proposal),
            Err(refusal) => {
                answer(queued, Err(refusal));
                Next::Done
            }
        }
    }

    pub(super) fn finish_deletion(&mut self, now_ms: u64, queued: Open, committed: Committed) {
        self.follow(now_ms, committed, None);
        answer(queued, Ok(()));
    }
}

/// Whoever waited for it may be gone; what is done is done.
pub(super) fn answer(queued: Open, outcome: Result<(), Refusal>) {
    if let Request::Delete(deletion) = queued.item {
        deletion.reply.send(outcome).ok();
    }
}
