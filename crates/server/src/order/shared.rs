//! A hub among others: its batches go into the shared log, and what comes out of the log goes into its own
//! store, whoever has proposed it.

use std::{collections::VecDeque, io, time::Duration};

use tokio::time::sleep;

use super::{
    Append, Class, Guarded, LogError, Logged, Records, SharedLog, Turn, Turns, Unkept,
    batch::{BATCH_BYTES, Batch, BatchId},
    follow::{FollowError, Follower, Judged},
};
use crate::store::{CommitError, Committed, Incarnation, Proposal, Store};

/// How long a hub with a wrong clock waits before it tries again.
const CLOCK_PAUSE: Duration = Duration::from_millis(200);

/// What keeps the log, this hub's copy of what it says, and how far it is.
#[derive(Debug)]
pub struct Shared<L, S> {
    hub: Incarnation,
    log: L,
    store: S,
    follower: Follower,
    /// The number of its last batch.
    seq: u64,
    /// Given out by the log and not applied yet.
    waiting: VecDeque<Logged>,
}

impl From<LogError> for CommitError {
    fn from(error: LogError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<FollowError> for CommitError {
    fn from(error: FollowError) -> Self {
        Self::Failed(error.into())
    }
}

/// What a record takes in a batch beside its largest part: names of fields, keys, ids.
const RECORD_BYTES: usize = 256;

/// What a cursor takes.
const CURSOR_BYTES: usize = 32;

/// Counts what would be written.
#[derive(Default)]
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Roughly what a record takes in a batch.
fn bytes(proposal: &Proposal) -> usize {
    let most = match proposal {
        Proposal::Entry(new) => new.frame.len(),
        Proposal::Session(_) => 0,
        Proposal::Cursors { positions, .. } => positions.len().saturating_mul(CURSOR_BYTES),
        // Whatever is rare is measured.
        rare => {
            let mut length = Length::default();
            // What cannot be written is said when the batch is sealed.
            ciborium::into_writer(rare, &mut length).ok();
            length.0
        }
    };
    most.saturating_add(RECORD_BYTES)
}

/// Cuts a batch into parts of one class and a bounded length, in the order that it has.
fn cut(batch: Vec<Guarded>) -> Vec<Vec<Guarded>> {
    let mut parts: Vec<Vec<Guarded>> = Vec::new();
    let mut length = 0;
    for guarded in batch {
        let more = bytes(&guarded.proposal);
        let last = parts.last_mut().filter(|part| {
            let is_same = part.last().is_some_and(|last| last.class() == guarded.class());
            is_same && length + more <= BATCH_BYTES
        });
        if let Some(part) = last {
            part.push(guarded);
            length += more;
        } else {
            parts.push(vec![guarded]);
            length = more;
        }
    }
    parts
}

impl<L: SharedLog, S: Store> Shared<L, S> {
    /// A hub that has applied what `follower` has, to this store.
    pub fn new(hub: Incarnation, log: L, store: S, follower: Follower) -> Self {
        Self { hub, log, store, follower, seq: 0, waiting: VecDeque::new() }
    }

    /// What everything that was applied came to: equal on all hubs.
    pub fn follower(&self) -> &Follower {
        &self.follower
    }

    /// This hub's copy.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Applies the next turn of the log to the store.
    async fn apply(&mut self, logged: &Logged, own: Option<BatchId>) -> Result<Turn, CommitError> {
        let Judged { turn, id, now_ms, records, mark } = self.follower.judge(logged)?;
        let verdicts = mark.verdicts.clone();
        let admitted = records.into_iter().filter_map(|(proposal, is)| is.then_some(proposal));
        let kept = self.store.commit_turn(admitted.collect(), mark).await;
        let (committed, chain) = kept.map_err(own_disk)?;
        self.follower.apply(turn, logged.time_ms, chain);
        let records = if own.is_some() && id == own {
            let mut committed = committed.into_iter();
            let one = |is: bool| {
                if is { committed.next().ok_or(Unkept::Stale) } else { Err(Unkept::Stale) }
            };
            Records::Own(verdicts.into_iter().map(one).collect())
        } else {
            Records::Other(committed)
        };
        Ok(Turn { now_ms, records })
    }

    /// Puts one part into the log and applies the log up to it.
    async fn put(
        &mut self,
        (at, now_ms): (u64, u64),
        records: Vec<Guarded>,
        turns: &mut Vec<Turn>,
    ) -> Result<(), CommitError> {
        let number = records.len();
        let unkept = |why| Turn { now_ms, records: Records::Own(unkept(number, why)) };
        let chain = self.follower.chain_at(at).filter(|_| !self.follower.is_gone(self.hub));
        let Some(chain) = chain else {
            turns.push(unkept(Unkept::Stale));
            return Ok(());
        };
        let batch = Batch { now_ms, at, chain, records };
        let is_structure = batch.is_structure();
        self.seq += 1;
        let id = BatchId { hub: self.hub, seq: self.seq };
        let sealed = self.follower.seal().seal(id, &batch).map_err(FollowError::from)?;
        // What cannot be read here, no other hub must get.
        self.follower.seal().open(&sealed).map_err(FollowError::from)?;
        let append = Append { seq: self.seq, at, is_structure, now_ms, batch: sealed.into() };
        let until = match self.log.append(append).await {
            Ok(until) => until,
            Err(LogError::Late) => {
                turns.push(unkept(Unkept::Stale));
                return Ok(());
            }
            Err(LogError::Clock) => {
                // Whoever looks after the log says so, too; until then nothing is tried in a hurry.
                sleep(CLOCK_PAUSE).await;
                turns.push(unkept(Unkept::Clock));
                return Ok(());
            }
            Err(LogError::Full) => {
                // Its number is free again.
                self.seq -= 1;
                turns.push(unkept(Unkept::Full));
                return Ok(());
            }
            Err(LogError::Gone) => {
                let end = self.log.end().await?;
                turns.extend(self.read_until(end, Some(id)).await?);
                if !self.follower.is_gone(self.hub) {
                    return Err(LogError::Gone.into());
                }
                turns.push(unkept(Unkept::Stale));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let came = self.read_until(until, Some(id)).await?;
        let is_in = came.iter().any(|turn| matches!(turn.records, Records::Own(_)));
        turns.extend(came);
        if !is_in {
            turns.push(unkept(Unkept::Stale));
        }
        Ok(())
    }

    /// Where the other hubs have gone on without this one, it goes on as another one. What it had under way counts
    /// for nothing.
    async fn live_on(&mut self) -> Result<(), CommitError> {
        if self.follower.is_gone(self.hub) {
            tracing::warn!(
                "the other servers have taken this one for dead; it goes on as a new one"
            );
            self.hub.life = self.hub.life.wrapping_add(1);
            self.seq = 0;
            self.log.begin_again(self.hub).await?;
        }
        Ok(())
    }

    /// Applies the log up to a turn.
    async fn read_until(
        &mut self,
        until: u64,
        own: Option<BatchId>,
    ) -> Result<Vec<Turn>, CommitError> {
        let mut turns = Vec::new();
        while self.follower.applied() < until {
            match self.waiting.pop_front() {
                Some(logged) => turns.push(self.apply(&logged, own).await?),
                None => self.waiting.extend(self.log.next().await?),
            }
        }
        Ok(turns)
    }
}

/// What is in the log is accepted: a hub that has no room for it on its own disk cannot go on, and nobody is
/// told that it was refused.
fn own_disk(error: CommitError) -> CommitError {
    match error {
        CommitError::Full => CommitError::Failed("the disk of this server is full".into()),
        error => error,
    }
}

/// Nothing of a batch was kept.
fn unkept(number: usize, why: Unkept) -> Vec<Result<Committed, Unkept>> {
    std::iter::repeat_with(|| Err(why)).take(number).collect()
}

/// Why a part of this hub's batch was not put into the log at all, if it was not for what others have put there.
fn kept_out(turn: &Turn) -> Option<Unkept> {
    let Records::Own(records) = &turn.records else { return None };
    records.iter().find_map(|record| {
        record.as_ref().err().copied().filter(|why| matches!(why, Unkept::Full | Unkept::Clock))
    })
}

impl<L: SharedLog, S: Store> Turns for Shared<L, S> {
    const IS_SHARED: bool = true;

    fn hub(&self) -> Incarnation {
        self.hub
    }

    fn applied(&self) -> u64 {
        self.follower.applied()
    }

    async fn commit(
        &mut self,
        at: u64,
        now_ms: u64,
        batch: Vec<Guarded>,
    ) -> Result<Vec<Turn>, CommitError> {
        let mut turns = Vec::new();
        for part in cut(batch) {
            if part.first().is_some_and(|first| first.class() == Class::Question) {
                let questions = part.into_iter().map(|guarded| guarded.proposal).collect();
                let answers = self.store.commit(questions).await?;
                let records = Records::Own(answers.into_iter().map(Ok).collect());
                turns.push(Turn { now_ms, records });
            } else if let Some(why) = turns.last().and_then(kept_out) {
                // It may rest on what did not go in, and must not pass it.
                turns.push(Turn { now_ms, records: Records::Own(unkept(part.len(), why)) });
            } else {
                self.put((at, now_ms), part, &mut turns).await?;
            }
        }
        self.live_on().await?;
        Ok(turns)
    }

    async fn catch_up(&mut self) -> Result<Vec<Turn>, CommitError> {
        let end = self.log.end().await?;
        let turns = self.read_until(end, None).await?;
        self.live_on().await?;
        Ok(turns)
    }

    fn is_gone(&self, hub: Incarnation) -> bool {
        self.follower.is_gone(hub)
    }

    async fn arrived(&mut self) {
        if !self.waiting.is_empty() {
            return;
        }
        match self.log.next().await {
            Ok(logged) => self.waiting.extend(logged),
            // The next batch says so.
            Err(error) => {
                tracing::error!(%error, "the log cannot be read");
                std::future::pending::<()>().await;
            }
        }
    }

    async fn others(&mut self) -> Result<Vec<Turn>, CommitError> {
        let mut turns = Vec::new();
        while let Some(logged) = self.waiting.pop_front() {
            turns.push(self.apply(&logged, None).await?);
        }
        self.live_on().await?;
        Ok(turns)
    }
}

#[cfg(test)]
mod tests;
