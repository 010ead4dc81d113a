//! How a transfer ends: by a side, for want of one, or because nothing moves. Every side that still
//! has a place for it is told.

use chat_protocol::{code, file::relay::HubToRelay, id::Nonce16};
use tokio::time::Instant;

use super::{
    Effect, Fault, TransferId, Transfers,
    transfer::{Side, Transfer},
};
use crate::{
    connection::ConnectionId,
    limits::{DATA_IDLE_TIME_MAX, END_REASON_BYTES_MAX},
    relay::link::{Address, Word},
};

/// What the sides of a transfer are told in which nothing moves.
pub(super) const STALLED: &str = "nothing moved for a long time";

/// An END with as much of the reason as it has room for.
pub(super) fn end(tid: Nonce16, code: &str, reason: &str) -> HubToRelay {
    let cut = reason.floor_char_boundary(END_REASON_BYTES_MAX);
    let reason = reason.get(..cut).unwrap_or_default().to_owned();
    HubToRelay::End { tid, code: code.to_owned(), reason }
}

impl Transfers {
    /// END of one side.
    pub fn end(
        &mut self,
        now: Instant,
        id: ConnectionId,
        tid: Nonce16,
        reason: &str,
    ) -> Result<Vec<Effect>, Fault> {
        let Some(&transfer) = self.connection(id)?.places.get(&tid) else {
            // The other side ended it at the same time.
            return Ok(Vec::new());
        };
        let mut effects = Vec::new();
        if reason.is_empty() && self.by_id.get(&transfer).is_some_and(Transfer::is_complete) {
            // Of a copy: KEPT follows.
            return Ok(effects);
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.places.remove(&tid);
            connection.idle_since = now;
        }
        let code = if reason.is_empty() { "" } else { code::NO_PEER };
        self.finish(now, transfer, code, reason, &mut effects);
        Ok(effects)
    }

    /// Ends a transfer and tells every side that still has a place for it.
    pub fn finish(
        &mut self,
        now: Instant,
        id: TransferId,
        code: &'static str,
        reason: &str,
        effects: &mut Vec<Effect>,
    ) {
        self.close(now, id, code, effects, |tid| end(tid, code, reason));
    }

    /// A copy is kept, durably, until then.
    pub fn kept(&mut self, now: Instant, id: TransferId, until: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.close(now, id, "", &mut effects, |tid| HubToRelay::Kept { tid, until });
        effects
    }

    fn close(
        &mut self,
        now: Instant,
        id: TransferId,
        code: &'static str,
        effects: &mut Vec<Effect>,
        last_word: impl Fn(Nonce16) -> HubToRelay,
    ) {
        let Some(transfer) = self.by_id.remove(&id) else { return };
        let tid = transfer.key.tid;
        if self.by_key.get(&transfer.key) == Some(&id) {
            self.by_key.remove(&transfer.key);
        }
        let is_running = transfer.is_running();
        self.running -= usize::from(is_running);
        if let Some(half) = transfer.half().filter(|_| self.is_linked) {
            effects.push(Effect::Withdraw(id, half, transfer.key.clone()));
        }
        for side in [transfer.giver, transfer.taker] {
            match side {
                Side::Awaited => {}
                Side::Disk => effects.push(Effect::Stop(id)),
                Side::Far(_) if transfer.has_far_ended => {}
                Side::Far(far) => {
                    let HubToRelay::End { code, reason, .. } = last_word(tid) else { continue };
                    let word = Word::End { to: far.id, code, reason };
                    effects.push(Effect::Say(Address::Peer(far.peer), id, word));
                }
                Side::Connection(side) => {
                    let Some(connection) = self.connections.get_mut(&side) else { continue };
                    if connection.places.remove(&tid).is_some() {
                        if is_running && transfer.giver == Side::Connection(side) {
                            connection.strays = connection.strays.saturating_add(transfer.open);
                        }
                        connection.idle_since = now;
                        effects.push(Effect::Tell(side, last_word(tid)));
                    }
                }
            }
        }
        effects.push(Effect::Ended(transfer.summary(now), code));
    }

    /// Ends what has waited too long, and says whether this connection has been idle too long.
    pub fn tend(&mut self, now: Instant, id: ConnectionId) -> (Vec<Effect>, bool) {
        let Some(connection) = self.connections.get(&id) else { return (Vec::new(), true) };
        let places = connection.places.values();
        let late: Vec<TransferId> = places
            .filter(|&place| self.by_id.get(place).is_some_and(|t| t.is_late(now)))
            .copied()
            .collect();
        let idle = now.saturating_duration_since(connection.idle_since);
        let is_idle = connection.places.is_empty() && idle >= DATA_IDLE_TIME_MAX;
        let mut effects = Vec::new();
        for transfer in late {
            let is_running = self.by_id.get(&transfer).is_some_and(Transfer::is_running);
            let reason = if is_running { STALLED } else { "the other side did not come" };
            self.finish(now, transfer, code::NO_PEER, reason, &mut effects);
        }
        (effects, is_idle)
    }
}
