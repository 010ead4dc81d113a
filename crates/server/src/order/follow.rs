//! What a hub makes of the turns of a shared log: the same as every other hub.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use chat_protocol::{crypto::sha256, id::Digest};
use thiserror::Error;

use super::{
    Guarded, Logged,
    batch::{Batch, BatchError, BatchId, Seal},
    certify::{Certifier, WINDOW_TURNS},
};
use crate::store::{
    AppliedTurn, Facts, Followed, HubRow, Incarnation, KeptBatch, Mark, Proposal, Written,
};

/// How far the clock of a hub may be from that of the log.
pub const CLOCK_SLACK_MS: u64 = 5_000;

/// How old the state may be that a batch was decided on. The times of grace for those who come and for
/// older epochs are longer.
pub const STATE_AGE_MS: u64 = 5_000;

/// A turn as every hub judges it.
#[derive(Debug)]
pub struct Judged {
    /// Its number.
    pub turn: u64,
    /// Whose batch it is; nobody's when it is not sealed by a hub.
    pub id: Option<BatchId>,
    /// When it was decided, Unix time in milliseconds.
    pub now_ms: u64,
    /// Its records, and whether each is admitted.
    pub records: Vec<(Proposal, bool)>,
    /// What is kept of it beside them.
    pub mark: Mark,
    /// Whether its hub has come to the same as this one; nothing where that cannot be said.
    pub agrees: Option<bool>,
}

/// Why a hub cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FollowError {
    /// The log has left something out.
    #[error(
        "turn {expected} of the log is missing, {got} came: this server was behind for too long and needs a snapshot \
         of another one; see chat-server cluster snapshot --help"
    )]
    Gap {
        /// The turn that comes next.
        expected: u64,
        /// The turn that came.
        got: u64,
    },
    /// It is not to be read here.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Other hubs have come to something else, and no one to the same.
    #[error(
        "two other servers agree with nothing that this one has come to, as of turn {turn}: its file differs; give it a \
         snapshot of another one, see chat-server cluster snapshot --help"
    )]
    Alone {
        /// The turn that the second one has written.
        turn: u64,
    },
}

/// A turn that was applied lately.
#[derive(Debug, Clone, Copy)]
struct Applied {
    turn: u64,
    time_ms: u64,
    chain: Digest,
}

/// What a fact is called that says what was there before the first turn.
pub const BASE: &str = "base";

/// What was there before the first turn of a log, which began with what a hub had that was alone.
fn was_base(facts: &Facts) -> Option<Digest> {
    let (_, base) = facts.iter().find(|(name, _)| name == BASE)?;
    base.as_slice().try_into().ok().map(Digest)
}

/// Follows the log, one turn after the other.
#[derive(Debug)]
pub struct Follower {
    seal: Seal,
    certifier: Certifier,
    /// The last number of each hub, and the turn of it.
    numbers: HashMap<Incarnation, (u64, u64)>,
    gone: HashSet<Incarnation>,
    /// The last turns; never empty.
    recent: VecDeque<Applied>,
}

impl Follower {
    /// At the beginning of a log.
    pub fn new(seal: Seal) -> Self {
        let start = Applied { turn: 0, time_ms: 0, chain: Digest::ZERO };
        Self {
            seal,
            certifier: Certifier::new(0),
            numbers: HashMap::new(),
            gone: HashSet::new(),
            recent: VecDeque::from([start]),
        }
    }

    /// Where a store is that has followed the log before: it judges as one that never stopped.
    pub fn restore(seal: Seal, was: Followed) -> Self {
        let Followed { horizon, turns, hubs, noted, .. } = was;
        let mut follower = Self { certifier: Certifier::new(horizon), ..Self::new(seal) };
        if let Some(chain) = was_base(&noted.facts) {
            follower.recent = VecDeque::from([Applied { turn: 0, time_ms: 0, chain }]);
        }
        for HubRow { hub, number, turn, is_gone } in hubs {
            follower.numbers.insert(hub, (number, turn));
            if is_gone {
                follower.gone.insert(hub);
            }
        }
        for AppliedTurn { time_ms, chain, written } in turns {
            follower.push(Applied { turn: written.turn, time_ms, chain });
            if written.turn > horizon {
                follower.certifier.remember(written);
            }
        }
        follower
    }

    /// The last turn that was applied.
    pub fn applied(&self) -> u64 {
        self.recent.back().map_or(0, |last| last.turn)
    }

    /// What everything up to the last turn came to.
    pub fn chain(&self) -> Digest {
        self.recent.back().map_or(Digest::ZERO, |last| last.chain)
    }

    /// The same up to an earlier turn, if that is not too long ago.
    pub fn chain_at(&self, turn: u64) -> Option<Digest> {
        self.recent_at(turn).map(|applied| applied.chain)
    }

    /// When a turn came, by the clock of the log, if that is not too long ago.
    pub fn time_at(&self, turn: u64) -> Option<u64> {
        // Before the first one nothing came.
        self.recent_at(turn).filter(|applied| applied.turn > 0).map(|applied| applied.time_ms)
    }

    fn recent_at(&self, turn: u64) -> Option<&Applied> {
        let first = self.recent.front()?.turn;
        self.recent.get(usize::try_from(turn.checked_sub(first)?).ok()?)
    }

    /// What is sealed for this log.
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Judges the next turn. [`Follower::apply`] MUST follow.
    pub fn judge(&mut self, logged: &Logged) -> Result<Judged, FollowError> {
        let Logged { turn, time_ms, batch, .. } = logged;
        let expected = self.applied().saturating_add(1);
        if *turn != expected {
            return Err(FollowError::Gap { expected, got: *turn });
        }
        let digest = sha256(batch);
        let (id, batch) = match self.seal.open(batch) {
            Ok(opened) => opened,
            // Whoever keeps the log can write into it, and it counts for nothing on any hub.
            Err(error @ (BatchError::Seal | BatchError::Cut)) => {
                tracing::error!(turn, %error, "somebody else writes to the log");
                self.certifier.skip(*turn);
                let mark = self.mark(logged, digest);
                let (id, now_ms, records) = (None, *time_ms, Vec::new());
                return Ok(Judged { turn: *turn, id, now_ms, records, mark, agrees: None });
            }
            Err(error) => return Err(error.into()),
        };
        let (counts, agrees) = self.counts(logged, id, &batch);
        let verdicts = if counts {
            let guards = batch.records.iter().map(|record| &record.guard);
            self.certifier.judge(*turn, (id.hub, batch.at), guards)
        } else {
            self.certifier.skip(*turn);
            vec![false; batch.records.len()]
        };
        let mut mark = self.mark(logged, digest);
        mark.batch.is_structure = batch.is_structure();
        mark.by = Some((id.hub, id.seq));
        let mut records = Vec::with_capacity(batch.records.len());
        for (Guarded { proposal, .. }, is_admitted) in batch.records.into_iter().zip(verdicts) {
            let is_admitted = is_admitted && self.may_end(&proposal, batch.at);
            if let (Proposal::Gone(hub), true) = (&proposal, is_admitted) {
                mark.gone.push(*hub);
            }
            mark.verdicts.push(is_admitted);
            records.push((proposal, is_admitted));
        }
        Ok(Judged { turn: *turn, id: Some(id), now_ms: batch.now_ms, records, mark, agrees })
    }

    /// What is kept of the turn that was judged last, without its records.
    fn mark(&self, logged: &Logged, digest: [u8; 32]) -> Mark {
        let Logged { turn, generation, time_ms, ref batch } = *logged;
        let last = self.certifier.last().filter(|last| last.turn == turn);
        Mark {
            // One with too many keys is forgotten at once, and the horizon says so.
            written: last.cloned().unwrap_or(Written { turn, ..Written::default() }),
            horizon: self.certifier.horizon(),
            time_ms,
            by: None,
            gone: Vec::new(),
            verdicts: Vec::new(),
            before: self.chain(),
            digest,
            batch: KeptBatch { turn, time_ms, is_structure: false, batch: batch.clone() },
            generation,
            forget: 0,
        }
    }

    /// Whether a batch counts at all, and whether its hub agrees with this one, if that can be said.
    fn counts(&mut self, logged: &Logged, id: BatchId, batch: &Batch) -> (bool, Option<bool>) {
        let (number, last_turn) = self.numbers.entry(id.hub).or_default();
        if id.seq <= *number {
            tracing::error!(turn = logged.turn, "the log gives a batch out twice, or out of order");
            return (false, None);
        }
        (*number, *last_turn) = (id.seq, logged.turn);
        let is_odd = logged.time_ms.abs_diff(batch.now_ms) > CLOCK_SLACK_MS;
        let Some(state) = self.recent_at(batch.at) else { return (false, None) };
        if state.chain != batch.chain {
            // It counts for nothing here, nor on any hub that has come to the same as this one.
            tracing::error!(
                node = id.hub.node,
                at = batch.at,
                "another server has come to something else"
            );
            return (false, Some(false));
        }
        // The state is as old as the first turn that it lacks.
        let since = self.recent_at(batch.at.saturating_add(1));
        let age_ms = since.map_or(0, |since| logged.time_ms.saturating_sub(since.time_ms));
        (!is_odd && age_ms <= STATE_AGE_MS && !self.gone.contains(&id.hub), Some(true))
    }

    /// That a hub is gone is not true when it has written since. Nothing of it counts from then on.
    fn may_end(&mut self, proposal: &Proposal, at: u64) -> bool {
        let Proposal::Gone(hub) = proposal else { return true };
        let has_written = self.numbers.get(hub).is_some_and(|(_, turn)| *turn > at);
        !has_written && self.gone.insert(*hub)
    }

    /// Whether the other hubs have gone on without this one.
    pub fn is_gone(&self, hub: Incarnation) -> bool {
        self.gone.contains(&hub)
    }

    /// The newest life of each hub that lives by the log, and the number of its last batch.
    pub fn living(&self) -> Vec<(Incarnation, u64)> {
        let mut newest: BTreeMap<u32, (u64, Incarnation, u64)> = BTreeMap::new();
        for (hub, (number, turn)) in &self.numbers {
            let known = newest.entry(hub.node).or_insert((*turn, *hub, *number));
            if *turn > known.0 {
                *known = (*turn, *hub, *number);
            }
        }
        let living = newest.into_values().filter(|(_, hub, _)| !self.gone.contains(hub));
        living.map(|(_, hub, number)| (hub, number)).collect()
    }

    /// The turn that was judged last was applied, and everything came to this.
    pub fn apply(&mut self, turn: u64, time_ms: u64, chain: Digest) {
        self.push(Applied { turn, time_ms, chain });
    }

    fn push(&mut self, applied: Applied) {
        if applied.turn > self.applied().saturating_add(1) {
            // A store that has followed the log before knows the last turns alone.
            self.recent.clear();
        }
        self.recent.push_back(applied);
        // One more than the window: the state before its first turn.
        while self.recent.len() > WINDOW_TURNS.saturating_add(1) {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
