//! What the owner of an account wants of it: another password, or its end.

use chat_protocol::code;

use super::{Next, Open, Worker};
use crate::{
    order::Turns,
    request::{PasswordChange, Refusal, Request},
    store::{Committed, NewPassword, Proposal},
};

impl Next {
    /// Puts a change of password to the store: everything was checked at the door; the store decides between two at
    /// once.
    pub(super) fn password(queued: Open) -> Self {
        let Request::Password(request) = &queued.item else { return Self::Done };
        let PasswordChange { new, reply: _ } = request.as_ref();
        // It may be decided again.
        let new = NewPassword {
            account: new.account,
            before: new.before.clone(),
            password: new.password.clone(),
            vault: new.vault.clone(),
        };
        Self::Commit(queued, Proposal::Password(Box::new(new)))
    }
}

/// Answers it.
pub(super) fn finish_password(queued: Open, committed: &Committed) {
    let Request::Password(request) = queued.item else { return };
    let answer = committed.outcome.map(drop).map_err(|_conflict| {
        let reason = "the password was changed from another machine a moment ago; try again";
        Refusal::new(code::SIGN_IN, reason)
    });
    // Whoever waited for it may be gone; what is kept is kept.
    request.reply.send(answer).ok();
}

impl<T: Turns> Worker<T> {
    /// The same record as the operator's `user delete`.
    pub(super) fn decide_deletion(&self, queued: Open) -> Next {
        let Request::Delete(deletion) = &queued.item else { return Next::Done };
        match self.router.decide_deletion(deletion.account, deletion.sk) {
            Ok(proposal) => Next::Commit(queued, proposal),
            Err(refusal) => {
                answer_deletion(queued, Err(refusal));
                Next::Done
            }
        }
    }

    pub(super) fn finish_deletion(&mut self, now_ms: u64, queued: Open, committed: Committed) {
        self.follow(now_ms, committed, None);
        answer_deletion(queued, Ok(()));
    }
}

/// Whoever waited for it may be gone; what is done is done.
pub(super) fn answer_deletion(queued: Open, outcome: Result<(), Refusal>) {
    if let Request::Delete(deletion) = queued.item {
        deletion.reply.send(outcome).ok();
    }
}
