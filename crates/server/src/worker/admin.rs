//! What the operator asks, in the order of the one queue.

use super::{Next, Open, Worker};
use crate::{
    admin::request::AdminAnswer,
    order::Turns,
    request::{AdminOrder, Request},
    router::AdminDecision,
    store::Committed,
};

impl<T: Turns> Worker<T> {
    pub(super) fn decide_admin(&mut self, now_ms: u64, mut queued: Open) -> Next {
        let Request::Admin(order) = &mut queued.item else { return Next::Done };
        match self.router.decide_admin(now_ms, &order.request) {
            AdminDecision::Propose(proposal, what) => {
                order.what = what;
                Next::Commit(queued, proposal)
            }
            AdminDecision::Answer(mut answer) => {
                if let AdminAnswer::Stats(stats) = &mut answer {
                    stats.sessions = self.sessions.count();
                }
                reply(queued, answer);
                Next::Done
            }
        }
    }

    pub(super) fn finish_admin(&mut self, now_ms: u64, mut queued: Open, committed: Committed) {
        let Request::Admin(order) = &mut queued.item else { return };
        let what = std::mem::take(&mut order.what);
        self.follow(now_ms, committed, None);
        reply(queued, AdminAnswer::Done { what });
    }

    /// Takes over what was read again.
    pub(super) fn settle(&mut self, queued: Open) {
        let Request::Settings(settings) = queued.item else { return };
        self.router.keep_for(settings.retention_ms);
        self.router.let_in(settings.registration, settings.bans);
        self.router.limit_mailboxes(settings.mailbox);
        self.gate.publish(self.router.admittance());
    }
}

/// Whoever asked may be gone; what is kept is kept.
pub(super) fn reply(queued: Open, answer: AdminAnswer) {
    if let Request::Admin(order) = queued.item {
        let AdminOrder { reply, .. } = *order;
        reply.send(answer).ok();
    }
}
