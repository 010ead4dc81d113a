//! The list of shared files: SHARE, which is kept before it is answered, and FIND.

use std::time::Instant;

use chat_protocol::hub::{ClientToHub, HubToClient};

use super::{
    Next, Open, Worker,
    ask::asked,
    story::{self, Batch},
};
use crate::{
    metrics::Metrics,
    order::Turns,
    request::Request,
    router::{Decision, Pending, Router},
    store::Committed,
};

impl<T: Turns> Worker<T> {
    pub(super) fn decide_share(&self, queued: Open, pending: &mut Pending) -> Next {
        let Request::Ask(peer, ClientToHub::Share { id, offers, ended }) = &queued.item else {
            return Next::Done;
        };
        match self.router.decide_share(peer, offers, ended, pending) {
            Decision::Propose(proposal) => Next::Commit(queued, proposal),
            Decision::Defer => Next::Defer(queued),
            Decision::Refuse(refusal) => {
                self.tell(peer, &asked(&refusal, *id));
                story::files(&self.log, &queued, Some(&refusal), "", None);
                Next::Done
            }
            // Those are answers to frames.
            Decision::Again(_) | Decision::Rekey(_) => Next::Done,
        }
    }

    pub(super) fn finish_share(
        &mut self,
        now_ms: u64,
        queued: &Open,
        committed: Committed,
        batch: &Batch,
    ) {
        let Request::Ask(peer, ClientToHub::Share { id, offers, ended }) = &queued.item else {
            return;
        };
        self.follow(now_ms, committed, Some(peer.connection));
        let held = u32::try_from(self.router.offers_of(peer.account)).unwrap_or(u32::MAX);
        self.tell(peer, &HubToClient::Shared { id: *id, offers: held });
        let numbers = format!("{} put, {} ended, {held} on the list", offers.len(), ended.len());
        story::files(&self.log, queued, None, &numbers, Some(batch));
    }

    /// Answers a FIND from the state.
    pub(super) fn find(&self, queued: &Open) {
        let Request::Ask(peer, ClientToHub::Find { id, query }) = &queued.item else { return };
        let start = Instant::now();
        let found = self.router.find(peer, query);
        self.metrics.find_duration.observe(start.elapsed().as_secs_f64());
        match found {
            Ok(page) => {
                let numbers = format!(
                    "{} words, {} index keys, {} found{}",
                    query.words.len(),
                    query.tokens.len(),
                    page.offers.len(),
                    if page.more { ", more to come" } else { "" }
                );
                let answer = HubToClient::Found { id: *id, offers: page.offers, more: page.more };
                self.reply(peer, &answer);
                story::files(&self.log, queued, None, &numbers, None);
            }
            Err(refusal) => {
                self.tell(peer, &asked(&refusal, *id));
                story::files(&self.log, queued, Some(&refusal), "", None);
            }
        }
    }

    pub(super) fn count_offers(&self) {
        count(&self.metrics, &self.router);
    }
}

/// Shows how many offers are on the list.
pub(super) fn count(metrics: &Metrics, router: &Router) {
    metrics.offers.set(i64::try_from(router.offers().offers).unwrap_or(i64::MAX));
}
