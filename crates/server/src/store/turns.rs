//! How far in a shared log a store is, and what a hub needs to judge on from there as one that never stopped.

use bytes::Bytes;
use chat_protocol::{crypto::sha256_parts, id::Digest};
use serde::{Deserialize, Serialize};

use super::{Committed, Conflict, Incarnation, NewSession, Stored};

/// The keys that a turn has written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Written {
    /// Which turn.
    pub turn: u64,
    /// Keys of records that count.
    pub keys: Vec<u64>,
    /// Keys that void records of a hub were to write.
    pub void: Vec<(Incarnation, u64)>,
}

/// A turn as it was judged: what is kept of it beside its records.
#[derive(Debug)]
pub struct Mark {
    /// What it has written.
    pub written: Written,
    /// Decisions on states before this turn are void.
    pub horizon: u64,
    /// When it came, by the clock of the log: Unix time in milliseconds.
    pub time_ms: u64,
    /// Whose batch it is, and its number there; nobody's when it is not sealed by a hub.
    pub by: Option<(Incarnation, u64)>,
    /// Hubs that are gone by it.
    pub gone: Vec<Incarnation>,
    /// Which of its records count.
    pub verdicts: Vec<bool>,
    /// What everything before it came to.
    pub before: Digest,
    /// SHA-256 of its bytes.
    pub digest: [u8; 32],
    /// Its bytes, for a log that has lost them.
    pub batch: KeptBatch,
    /// The generation of the log that it was read from.
    pub generation: u64,
    /// The bytes of turns up to this one are needed no more: every hub has them.
    pub forget: u64,
}

/// A batch as it lay in the log, from the copy of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBatch {
    /// Its turn.
    pub turn: u64,
    /// When it came, by the clock of the log: Unix time in milliseconds.
    pub time_ms: u64,
    /// It changes what nearly every decision reads.
    pub is_structure: bool,
    /// The sealed bytes, as they were in the log.
    pub batch: Bytes,
}

/// What is said of a log beside its turns, by name: what must not go with a log that is lost. All of it that is secret is
/// sealed.
pub type Facts = Vec<(String, Vec<u8>)>;

/// What a hub knows of the openings of its log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Noted {
    /// The newest generation that has begun, or was about to.
    pub generation: u64,
    /// What else is said of the log.
    pub facts: Facts,
    /// How far the copy was when it was not known whether the log has it, and it read on; nothing where that is known.
    pub unsure: Option<Unsure>,
}

/// A copy before it has read on without knowing whether the log has it. What only it has came no later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unsure {
    /// The last turn that it had applied.
    pub turn: u64,
    /// The generation of the log that this one was read from.
    pub read_from: u64,
    /// The openings that it knew, as they are sealed.
    pub openings: Facts,
}

impl Mark {
    /// What everything up to this turn came to. `kept` are the records that count, in their order.
    pub fn chain(&self, kept: &[Committed]) -> Digest {
        let mut outcomes = kept.iter().map(|committed| committed.outcome);
        let mut written = Vec::new();
        for counts in &self.verdicts {
            write_outcome(&mut written, if *counts { outcomes.next() } else { None });
        }
        let number = self.written.turn.to_be_bytes();
        let parts: [&[u8]; 4] = [self.before.as_bytes(), &number, &self.digest, &written];
        Digest(sha256_parts(&parts))
    }
}

/// A turn that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedTurn {
    /// When it came, by the clock of the log: Unix time in milliseconds.
    pub time_ms: u64,
    /// What everything up to it came to.
    pub chain: Digest,
    /// What it has written.
    pub written: Written,
}

/// A hub that has written to the log, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubRow {
    /// Which.
    pub hub: Incarnation,
    /// The number of its last batch.
    pub number: u64,
    /// The turn of it.
    pub turn: u64,
    /// Nothing of it counts any more.
    pub is_gone: bool,
}

/// How far a store is, and what the last turns were.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Followed {
    /// Decisions on states before this turn are void.
    pub horizon: u64,
    /// The last turns in their order, as many as are judged by; empty at the beginning of a log.
    pub turns: Vec<AppliedTurn>,
    /// All hubs that ever wrote.
    pub hubs: Vec<HubRow>,
    /// Sessions that are open, wherever.
    pub sessions: Vec<NewSession>,
    /// The life of this hub that wrote here last.
    pub life: Option<u64>,
    /// The generation of the log that the last turn was read from.
    pub generation: u64,
    /// What was noted of the log.
    pub noted: Noted,
}

impl Followed {
    /// The last turn that was applied.
    pub fn applied(&self) -> u64 {
        self.turns.last().map_or(0, |last| last.written.turn)
    }
}

/// The same bytes on every hub for the same outcome; `None` is a record that counts for nothing.
fn write_outcome(to: &mut Vec<u8>, outcome: Option<Result<Stored, Conflict>>) {
    let mut put = |kind: u8, numbers: [u64; 3]| {
        to.push(kind);
        to.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    };
    let row = |id: i64| u64::from_be_bytes(id.to_be_bytes());
    match outcome {
        None => put(0, [0; 3]),
        Some(Err(Conflict::Taken)) => put(1, [0; 3]),
        Some(Err(Conflict::Missing { is_epoch_known })) => put(2, [is_epoch_known.into(), 0, 0]),
        Some(Ok(Stored::Account(account, device))) => put(3, [row(account.0), row(device.0), 0]),
        Some(Ok(Stored::Device(device))) => put(4, [row(device.0), 0, 0]),
        Some(Ok(Stored::Entry(position))) => put(5, [position, 0, 0]),
        Some(Ok(Stored::Epoch { log, epoch, position })) => {
            put(6, [row(log.0), row(epoch.0), position]);
        }
        Some(Ok(Stored::Link { log, position })) => put(7, [row(log.0), position, 0]),
        Some(Ok(Stored::Again(position))) => put(8, [position, 0, 0]),
        Some(Ok(Stored::Dropped(dropped))) => {
            let oldest_ms = dropped.oldest_ms.unwrap_or(u64::MAX);
            put(9, [dropped.messages, dropped.is_more.into(), oldest_ms]);
        }
        Some(Ok(Stored::Erased(next))) => put(10, [next.unwrap_or(u64::MAX), 0, 0]),
        Some(Ok(Stored::Done)) => put(11, [0; 3]),
    }
}
