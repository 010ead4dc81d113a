//! A hub that shares the log and has not been heard of.

use super::{Next, Open, Worker};
use crate::{
    order::Turns,
    request::Request,
    store::{Committed, Proposal},
};

impl<T: Turns> Worker<T> {
    /// It is tried once to have it written down: where the hub has written meanwhile, it lives.
    pub(super) fn decide_lost(&self, mut queued: Open) -> Next {
        let Request::Lost(lost) = &mut queued.item else { return Next::Done };
        let hub = lost.hub;
        if lost.was_tried || self.turns.is_gone(hub) || hub == self.turns.hub() {
            answer(queued, self.turns.is_gone(hub));
            return Next::Done;
        }
        lost.was_tried = true;
        Next::Commit(queued, Proposal::Gone(hub))
    }

    pub(super) fn finish_lost(&mut self, now_ms: u64, queued: Open, committed: Committed) {
        let Request::Lost(lost) = &queued.item else { return };
        tracing::warn!(node = lost.hub.node, "another server is gone, and its sessions with it");
        self.follow(now_ms, committed, None);
        answer(queued, true);
    }
}

/// Whoever asked may be gone.
fn answer(queued: Open, is_gone: bool) {
    if let Request::Lost(lost) = queued.item {
        lost.reply.send(is_gone).ok();
    }
}
