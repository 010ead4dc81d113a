//! What moderators do about people in the lobby.

use chat_protocol::hub::{self, ClientToHub};

use super::{Next, Open, Worker, ask::asked};
use crate::{
    request::Request,
    store::{Committed, Store},
};

impl<S: Store> Worker<S> {
    pub(super) fn decide_moderation(&self, now_ms: u64, queued: Open) -> Next {
        let Request::Ask(peer, ClientToHub::Moderate { id, cid, who, act }) = &queued.item else {
            return Next::Done;
        };
        match self.router.decide_moderation(now_ms, peer, (cid, who, *act)) {
            Ok(proposal) => Next::Commit(queued, proposal),
            Err(refusal) => {
                self.tell(peer, &asked(&refusal, *id));
                Next::Done
            }
        }
    }

    /// Answers, and tells everybody in the lobby and whom it is about.
    pub(super) fn finish_moderation(&mut self, now_ms: u64, queued: &Open, committed: Committed) {
        let Request::Ask(peer, ClientToHub::Moderate { id, cid, who, act }) = &queued.item else {
            return;
        };
        let mut members = self.router.members(cid);
        self.router.apply(now_ms, committed);
        let about = self.router.account_folded(who).map(|account| account.id);
        members.extend(about.filter(|about| !members.contains(about)));
        let told = |id| self.router.moderated(id, (who.clone(), *act, peer.name.clone()), false);
        self.tell(peer, &told(Some(*id)));
        self.sessions.tell(&members, &hub::write(&told(None)).into(), Some(peer.connection));
    }
}
