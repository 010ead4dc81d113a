//! A shared log in memory: what the real one promises, for tests of what stands above it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{Append, LogError, Logged, SharedLog};
use crate::{clock::Clock, store::Incarnation};

/// How far a clock may be from that of the log when a batch is put there.
const CLOCK_MS: u64 = 4_000;

#[derive(Debug, Default)]
struct Kept {
    turns: Vec<Logged>,
    /// The last number of each hub that may write.
    numbers: HashMap<Incarnation, u64>,
    /// The last turn that changed the structure.
    structure: u64,
}

/// The log. Clones are the same one.
#[derive(Debug, Clone)]
pub struct MemoryLog {
    kept: Arc<Mutex<Kept>>,
    length: watch::Sender<u64>,
    clock: Clock,
}

impl MemoryLog {
    /// An empty log with this clock.
    pub fn new(clock: Clock) -> Self {
        Self { kept: Arc::default(), length: watch::Sender::new(0), clock }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way of a hub to the log, which gives out what stands behind `after`.
    pub fn join(&self, hub: Incarnation, after: u64) -> MemoryEnd {
        self.kept().numbers.insert(hub, 0);
        MemoryEnd { log: self.clone(), hub, given: after, length: self.length.subscribe() }
    }

    /// A hub may not write any more.
    pub fn end(&self, hub: Incarnation) {
        self.kept().numbers.remove(&hub);
    }

    /// Hubs that may write.
    pub fn hubs(&self) -> Vec<Incarnation> {
        self.kept().numbers.keys().copied().collect()
    }

    /// All of it.
    pub fn turns(&self) -> Vec<Logged> {
        self.kept().turns.clone()
    }

    fn append(&self, hub: Incarnation, append: Append) -> Result<u64, LogError> {
        let mut kept = self.kept();
        let length = kept.turns.last().map_or(0, |last| last.turn);
        if length < append.at {
            return Err(LogError::Back { has: length, applied: append.at });
        }
        let structure = kept.structure;
        let last = kept.numbers.get_mut(&hub).ok_or(LogError::Gone)?;
        if *last >= append.seq {
            return Ok(length);
        }
        *last = append.seq;
        let time_ms = (self.clock)();
        if time_ms.abs_diff(append.now_ms) > CLOCK_MS {
            return Err(LogError::Clock);
        }
        if append.is_structure && structure > append.at {
            return Err(LogError::Late);
        }
        let turn = length.saturating_add(1);
        kept.turns.push(Logged { turn, generation: 1, time_ms, batch: append.batch });
        if append.is_structure {
            kept.structure = turn;
        }
        drop(kept);
        self.length.send_replace(turn);
        Ok(turn)
    }
}

/// One hub's way to the log.
#[derive(Debug)]
pub struct MemoryEnd {
    log: MemoryLog,
    hub: Incarnation,
    /// The last turn that was given out.
    given: u64,
    length: watch::Receiver<u64>,
}

impl SharedLog for MemoryEnd {
    async fn append(&mut self, append: Append) -> Result<u64, LogError> {
        self.log.append(self.hub, append)
    }

    async fn end(&mut self) -> Result<u64, LogError> {
        Ok(*self.length.borrow())
    }

    async fn begin_again(&mut self, hub: Incarnation) -> Result<(), LogError> {
        self.log.kept().numbers.insert(hub, 0);
        self.hub = hub;
        Ok(())
    }

    async fn next(&mut self) -> Result<Vec<Logged>, LogError> {
        let given = self.given;
        // The log lives as long as this end of it.
        self.length.wait_for(|length| *length > given).await.map_err(|_| LogError::Gone)?;
        let kept = self.log.kept();
        let later = kept.turns.iter().filter(|logged| logged.turn > given);
        let turns: Vec<Logged> = later.cloned().collect();
        drop(kept);
        self.given = turns.last().map_or(given, |last| last.turn);
        Ok(turns)
    }
}
