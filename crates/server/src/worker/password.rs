//! Another password: everything was checked at the door; the store decides between two at once.

use chat_protocol::code;

use super::{Next, Open};
use crate::{
    request::{PasswordChange, Refusal, Request},
    store::{Committed, NewPassword, Proposal},
};

impl Next {
    /// Puts a change of password to the store.
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
pub(super) fn finish(queued: Open, committed: &Committed) {
    let Request::Password(request) = queued.item else { return };
    let answer = committed.outcome.map(drop).map_err(|_conflict| {
        let reason = "the password was changed from another machine a moment ago; try again";
        Refusal::new(code::SIGN_IN, reason)
    });
    // Whoever waited for it may be gone; what is kept is kept.
    request.reply.send(answer).ok();
}
