//! Who is connected here, and what they get. Owned by the worker; nothing here waits.
//!
//! A session first catches up from the store and gets answers and notices only. Then it asks to go
//! live: what was committed meanwhile is in the ring and is pushed in one step with the change, so
//! nothing is missed and nothing comes twice.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use chat_protocol::{
    code,
    handshake::Purpose,
    hub::{self, HubToClient},
    limits::TEXT_BYTES_MAX,
    name::UserName,
};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::{
    budgets::Budget,
    close::CloseReason,
    connection::ConnectionId,
    delivery::Wire,
    limits::{
        CONNECTION_IDLE_MIN, CONNECTION_RETRY, GO_LIVE_ENTRIES_MAX, RING_BYTES_MAX,
        RING_ENTRIES_MAX,
    },
    metrics::Metrics,
    outbox::{Outgoing, Overflow},
    request::{Peer, Refusal},
    router::{Account, Audience},
    store::AccountId,
};

struct Session {
    peer: Arc<Peer>,
    is_live: bool,
}

/// The registry.
pub struct Sessions {
    by_account: BTreeMap<AccountId, Vec<Session>>,
    ring: VecDeque<Wire>,
    ring_bytes: usize,
    /// Every delivery after this position is in the ring.
    ring_start: u64,
    metrics: Arc<Metrics>,
}

impl Sessions {
    /// Nobody is here; the store ends at `position`.
    pub fn new(position: u64, metrics: Arc<Metrics>) -> Self {
        Self {
            by_account: BTreeMap::new(),
            ring: VecDeque::new(),
            ring_bytes: 0,
            ring_start: position,
            metrics,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_account.values().map(Vec::len).sum()
    }

    /// Everybody who is here.
    pub fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.by_account.values().flatten().map(|session| &session.peer)
    }

    /// Makes room for one more session of an account, of which there may be `max` at once that are
    /// `same`: the one that was idle longest gives way, and comes back when it has something to say. A
    /// person's chat never gives way to a task.
    pub fn make_room(
        &self,
        account: AccountId,
        purpose: Purpose,
        max: usize,
        same: impl Fn(&Peer) -> bool,
    ) -> Result<(), Refusal> {
        let sessions = self.by_account.get(&account).into_iter().flatten();
        let open = sessions.map(|session| &session.peer);
        let open: Vec<&Arc<Peer>> =
            open.filter(|peer| same(peer) && !peer.outbox.is_closed()).collect();
        if open.len() < max {
            return Ok(());
        }
        let may_go = |peer: &&&Arc<Peer>| {
            let is_chat = peer.purpose == Purpose::Interactive;
            peer.heard.at().elapsed() >= CONNECTION_IDLE_MIN
                && (!is_chat || purpose == Purpose::Interactive)
        };
        let Some(idle) = open.iter().filter(may_go).min_by_key(|peer| peer.heard.at()) else {
            let reason = format!("this account has {max} connections, which is the most");
            return Err(Refusal::new(code::TOO_MANY, reason).with_retry(CONNECTION_RETRY));
        };
        let reason = "another connection of this account needs the place; come back when there is \
                      something to say";
        idle.outbox.close(CloseReason::TryLater(reason.into()));
        Ok(())
    }

    /// Adds a session that has to catch up.
    pub fn open(&mut self, peer: Arc<Peer>) {
        let sessions = self.by_account.entry(peer.account).or_default();
        sessions.push(Session { peer, is_live: false });
    }

    /// Whether a connection has a session.
    pub fn has(&self, peer: &Peer) -> bool {
        let sessions = self.by_account.get(&peer.account).into_iter().flatten();
        sessions.into_iter().any(|session| session.peer.connection == peer.connection)
    }

    /// Knows nobody any more. What they are told last was said before.
    pub fn clear(&mut self) {
        self.by_account.clear();
    }

    /// Ends the session of a connection, and knows it no more.
    pub fn end(&mut self, connection: ConnectionId, reason: &CloseReason) {
        for sessions in self.by_account.values_mut() {
            for ended in sessions.extract_if(.., |one| one.peer.connection == connection) {
                ended.peer.outbox.close(reason.clone());
            }
        }
        self.by_account.retain(|_, sessions| !sessions.is_empty());
    }

    /// Removes a session.
    pub fn close(&mut self, peer: &Peer) {
        let Some(sessions) = self.by_account.get_mut(&peer.account) else { return };
        sessions.retain(|session| session.peer.connection != peer.connection);
        if sessions.is_empty() {
            self.by_account.remove(&peer.account);
        }
    }

    /// Pushes a delivery to every live session it is for, and keeps it for those who catch up. Counts
    /// those of whom `is_away` says that they are nowhere. Returns how many got it.
    pub fn deliver(&mut self, wire: Wire, is_away: impl Fn(AccountId) -> bool) -> u64 {
        let mut reached = 0;
        let mut push = |session: &Session, line: u32| {
            if session.is_live && push_to(&self.metrics, session, &wire, line) {
                reached += 1;
            }
        };
        match &wire.audience {
            Audience::Account(account) => {
                self.by_account.get(account).into_iter().flatten().for_each(|s| push(s, 0));
            }
            Audience::Devices { lines, sender } => {
                for (number, line) in (0u32..).zip(lines.iter()) {
                    if number == *sender {
                        continue;
                    }
                    let Some(sessions) = self.by_account.get(&line.account) else {
                        if is_away(line.account) {
                            self.metrics.deliveries.kept.inc();
                        }
                        continue;
                    };
                    sessions.iter().filter(|s| s.peer.sk == line.sk).for_each(|s| push(s, number));
                }
            }
        }
        self.remember(wire);
        reached
    }

    fn remember(&mut self, wire: Wire) {
        self.ring_bytes += wire.bytes();
        self.ring.push_back(wire);
        while (self.ring.len() > RING_ENTRIES_MAX || self.ring_bytes > RING_BYTES_MAX)
            && let Some(oldest) = self.ring.pop_front()
        {
            self.ring_bytes = self.ring_bytes.saturating_sub(oldest.bytes());
            self.ring_start = oldest.position;
        }
    }

    /// Makes a session live that has read everything up to `position`. False when too much came
    /// meanwhile: it has to read on.
    pub fn go_live(&mut self, peer: &Peer, position: u64) -> bool {
        if position < self.ring_start {
            return false;
        }
        let sessions = self.by_account.get_mut(&peer.account);
        let session =
            sessions.and_then(|all| all.iter_mut().find(|s| s.peer.connection == peer.connection));
        // Whoever has left meanwhile needs nothing more.
        let Some(session) = session else { return true };
        let first = self.ring.partition_point(|wire| wire.position <= position);
        let missed: Vec<_> = self
            .ring
            .range(first..)
            .filter_map(|wire| Some((wire, wire.line_for(peer)?)))
            .take(GO_LIVE_ENTRIES_MAX + 1)
            .collect();
        if missed.len() > GO_LIVE_ENTRIES_MAX {
            return false;
        }
        session.is_live = true;
        for (wire, line) in missed {
            push_to(&self.metrics, session, wire, line);
        }
        true
    }

    /// Tells everybody but the sessions of one name.
    pub fn tell_others(&self, text: &Utf8Bytes, but: Option<&UserName>) {
        for session in self.by_account.values().flatten() {
            if Some(&session.peer.name) != but {
                self.tell_one(session, text);
            }
        }
    }

    /// Tells every session of some accounts but one connection.
    pub fn tell(&self, accounts: &[AccountId], text: &Utf8Bytes, but: Option<ConnectionId>) {
        let sessions = accounts.iter().filter_map(|account| self.by_account.get(account));
        for session in sessions.flatten() {
            if Some(session.peer.connection) != but {
                self.tell_one(session, text);
            }
        }
    }

    fn tell_one(&self, session: &Session, text: &Utf8Bytes) {
        push_text(&self.metrics, &session.peer, text.clone());
    }

    /// Ends the sessions of keys that are not the newest any more.
    pub fn close_replaced(&self, account: &Account) {
        let sessions = self.by_account.get(&account.id).into_iter().flatten();
        for session in sessions.filter(|session| !account.is_live(&session.peer.sk)) {
            // Whether its key was replaced or revoked, it is told when it signs in again.
            let reason = "the keys of this device have changed; sign in again";
            session.peer.outbox.close(CloseReason::TryLater(reason.into()));
        }
    }

    /// Ends the sessions of one account.
    pub fn close_of(&self, account: AccountId, reason: &CloseReason) {
        for session in self.by_account.get(&account).into_iter().flatten() {
            session.peer.outbox.close(reason.clone());
        }
    }

    /// Ends every session.
    pub fn close_all(&mut self, reason: &CloseReason) {
        for session in self.by_account.values().flatten() {
            session.peer.outbox.close(reason.clone());
        }
    }
}

/// Pushes a text and counts it. An overflow ends that connection and nothing else.
pub fn push_text(metrics: &Metrics, peer: &Peer, text: Utf8Bytes) {
    if text.len() > TEXT_BYTES_MAX {
        // Whoever makes one cuts it into pages; a client would refuse it and come again without end.
        tracing::error!(bytes = text.len(), "a message that is too long was not sent");
        return;
    }
    let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
    match peer.outbox.push(Outgoing::Text(text)) {
        Ok(()) => {
            metrics.frames_out.of(None).inc();
            metrics.bytes_out.inc_by(bytes);
        }
        Err(Overflow::Full { .. }) => {
            metrics.deliveries.overflowed.inc();
        }
        Err(Overflow::Closed) => {}
    }
}

/// Pushes the answer to a question, and takes its bytes from the budget of who asked.
pub fn push_answer(metrics: &Metrics, peer: &Peer, answer: &HubToClient) {
    let text = hub::write(answer);
    let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
    peer.budgets.spend(Budget::AnswerBytes, Instant::now(), bytes);
    push_text(metrics, peer, text.into());
}

fn push_to(metrics: &Metrics, session: &Session, wire: &Wire, line: u32) -> bool {
    match wire.push(&session.peer.outbox, line) {
        Ok(()) => {
            metrics.deliveries.pushed.inc();
            metrics.frames_out.of(wire.tag).inc();
            let bytes = u64::try_from(wire.bytes_for_one()).unwrap_or(u64::MAX);
            metrics.bytes_out.inc_by(bytes);
            true
        }
        Err(Overflow::Full { .. }) => {
            metrics.deliveries.overflowed.inc();
            false
        }
        Err(Overflow::Closed) => false,
    }
}

#[cfg(test)]
mod tests;
