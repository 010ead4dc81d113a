//! What follows from a record that is kept, whoever has proposed it: the state takes it over, and the
//! sessions here are told.

use chat_protocol::{handshake::Purpose, hub};

use super::{Open, Queue, Worker};
use crate::{
    close::CloseReason,
    connection::ConnectionId,
    delivery::Wire,
    order::{Guarded, Records, Turn, Turns},
    request::Request,
    router::{Effects, Notice, Router},
    store::{CommitError, Committed, Proposal, SessionPlace, Stored},
};

impl<T: Turns> Worker<T> {
    /// A proposal on its way to the store, with what it rests on where others write, too. What comes over a session
    /// for a person rests on that one.
    pub(super) fn guarded_of(&self, queued: &Open, proposal: Proposal) -> Guarded {
        let mut guarded = self.guarded(proposal);
        if let Request::Frame(request) = &queued.item
            && T::IS_SHARED
            && request.peer.purpose == Purpose::Interactive
        {
            let connection = request.peer.connection;
            let place = SessionPlace { hub: self.turns.hub(), connection };
            guarded.guard.reads.push(Router::session_key(place));
        }
        guarded
    }

    /// A proposal on its way to the store, with what it rests on where others write, too.
    pub(super) fn guarded(&self, proposal: Proposal) -> Guarded {
        let guard = T::IS_SHARED.then(|| self.router.guard(&proposal));
        Guarded { proposal, guard: guard.unwrap_or_default() }
    }

    /// Takes a record over. `by` is the connection here that has proposed it: it is answered, and told
    /// nothing beside that. Returns what its answer needs, and how many devices got a delivery.
    pub(super) fn follow(
        &mut self,
        now_ms: u64,
        committed: Committed,
        by: Option<ConnectionId>,
    ) -> (Effects, u64) {
        self.note_copies(&committed);
        if let Ok(Stored::Dropped(dropped)) = committed.outcome {
            self.metrics.retention_dropped.inc_by(dropped.messages);
        }
        let mut effects = self.router.apply(now_ms, committed);
        if let Some(cid) = &effects.changed {
            self.notify.changed(cid, by);
        }
        if let Some((whom, head)) = effects.followed.take() {
            self.tell_feed(&whom, head, by);
        }
        if let Some((account, head)) = effects.removed.take() {
            self.notify.removed(account, head);
        }
        if let Some(account) = effects.revoked.and_then(|id| self.router.account(id)) {
            self.sessions.close_replaced(account);
            self.notify.keys(&account.name);
        }
        if let Some(place) = effects.replaced
            && place.hub == self.turns.hub()
        {
            let reason = "this device goes on at another server";
            self.sessions.end(place.connection, &CloseReason::TryLater(reason.into()));
        }
        for name in &effects.renewed {
            self.notify.keys(name);
        }
        for (account, joined) in &effects.came {
            self.tell_of(*account, *joined);
        }
        if let Some(notice) = &effects.notice {
            let Notice { to, text } = notice.as_ref();
            let text = hub::write(text).into();
            match to {
                Some(accounts) => self.sessions.tell(accounts, &text, by),
                None => self.sessions.tell_others(&text, None),
            }
        }
        if effects.is_door_new {
            self.gate.publish(self.router.admittance());
        }
        self.count_offers();
        // Who has proposed it counts those that are nowhere.
        let is_away = |account| by.is_some() && !self.router.is_online(account);
        let delivery = effects.delivery.take().map(Wire::new);
        let reached = delivery.map_or(0, |wire| self.sessions.deliver(wire, is_away));
        (effects, reached)
    }

    pub(super) fn follow_others(&mut self, now_ms: u64, records: Vec<Committed>) {
        // One that counts for nothing changes nothing here.
        if !records.is_empty() {
            self.metrics.shared_log.followed.inc();
        }
        for committed in records {
            self.follow(now_ms, committed, None);
        }
    }

    /// The list of copies changes here as it does at every hub: with each record, in the order of the records.
    fn note_copies(&self, committed: &Committed) {
        if let (Proposal::Copies(change), Ok(_)) = (&committed.proposal, &committed.outcome)
            && let Some(relay) = self.relay.upgrade()
            && let Some(copies) = &relay.copies
        {
            copies.changed(change);
        }
    }

    /// Takes turns over of which no request waits.
    pub(super) fn follow_all(&mut self, turns: Vec<Turn>) {
        for Turn { now_ms, records } in turns {
            match records {
                Records::Own(records) => {
                    for committed in records.into_iter().flatten() {
                        self.follow(now_ms, committed, None);
                    }
                }
                Records::Other(records) => self.follow_others(now_ms, records),
            }
        }
        if T::IS_SHARED {
            self.note_life();
        }
    }

    /// Keeps what nobody has asked for. False: there is no room for it now.
    pub(super) async fn keep(
        &mut self,
        now_ms: u64,
        proposal: Proposal,
        queue: &mut Queue,
    ) -> Result<bool, CommitError> {
        let at = self.turns.applied();
        let guarded = self.guarded(proposal);
        match self.put((at, now_ms), vec![guarded], queue).await {
            Ok(turns) => {
                self.follow_all(turns);
                Ok(true)
            }
            Err(CommitError::Full) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
