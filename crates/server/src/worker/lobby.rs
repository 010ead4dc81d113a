//! What moderators do about people in the lobby.

use chat_protocol::hub::ClientToHub;

use super::{Next, Open, Worker, ask::asked};
use crate::{order::Turns, request::Request};

impl<T: Turns> Worker<T> {
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
}
