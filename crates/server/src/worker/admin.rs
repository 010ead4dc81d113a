//! What the operator asks, in the order of the one queue.

use chat_protocol::{
    hub::{self, HubToClient},
    name::UserName,
};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{Next, Open, Worker};
use crate::{
    admin::request::{AdminAnswer, AdminRequest},
    request::{AdminOrder, Request},
    router::{AdminDecision, deleted_notice},
    store::{Committed, NewOrder, Proposal, Standing, Store},
};

impl<S: Store> Worker<S> {
    pub(super) fn decide_admin(&mut self, now_ms: u64, mut queued: Open) -> Next {
        let Request::Admin(order) = &mut queued.item else { return Next::Done };
        let presence = |account| self.sessions.presence(account);
        match self.router.decide_admin(now_ms, &order.request, presence) {
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
        let answer = AdminAnswer::Done { what: std::mem::take(&mut order.what) };
        if let AdminRequest::Retention { room, .. } = &order.request {
            self.router.apply(now_ms, committed);
            if let Some(cid) = self.router.room_named(room) {
                let (keep_ms, members) = (self.router.keeps_ms(&cid), self.router.members(&cid));
                let notice =
                    HubToClient::Retention { id: None, cid, keep_ms, by: UserName::server() };
                self.sessions.tell(&members, &hub::write(&notice).into(), None);
            }
        } else {
            self.follow(now_ms, committed);
        }
        reply(queued, answer);
    }

    /// Takes over what was read again.
    pub(super) fn settle(&mut self, queued: Open) {
        let Request::Settings(settings) = queued.item else { return };
        self.router.keep_for(settings.retention_ms);
        self.router.let_in(settings.registration, settings.bans);
        self.router.limit_mailboxes(settings.mailbox);
        self.gate.publish(self.router.admittance());
    }

    /// Applies a decision and tells whom it concerns. Those who may not stay end by the gate.
    pub(super) fn follow(&mut self, now_ms: u64, committed: Committed) {
        let Proposal::Order(order) = &committed.proposal else { return };
        let mut gone = Vec::new();
        match order.as_ref() {
            NewOrder::Standing { accounts, names, standing: Standing::Deleted } => {
                gone.clone_from(names);
                let accounts = accounts.iter().filter_map(|id| self.router.account(*id));
                gone.extend(accounts.map(|account| account.name.clone()));
            }
            NewOrder::CloseRoom(log) => {
                if let Some((cid, members)) = self.router.members_of_log(*log) {
                    let text = hub::write(&deleted_notice(cid));
                    self.sessions.tell(&members, &text.into(), None);
                }
            }
            NewOrder::Announce(text) => {
                let text = hub::write(&HubToClient::Announce { text: text.clone() });
                self.sessions.tell_others(&Utf8Bytes::from(text), None);
            }
            _ => {}
        }
        self.router.apply(now_ms, committed);
        for name in &gone {
            // As if they had new keys: who has something for them looks anew.
            self.notify.keys(name);
        }
        if !gone.is_empty() {
            self.count_offers();
        }
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
