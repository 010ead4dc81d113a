//! A hub among others: its batches go into the shared log, and what comes out of the log goes into its own
//! store, whoever has proposed it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    Append, Class, Guarded, LogError, Logged, Records, SharedLog, Stale, Turn, Turns,
    batch::{BATCH_BYTES, Batch, BatchId},
    follow::{FollowError, Follower, Judged},
};
use crate::store::{CommitError, Committed, Incarnation, Proposal, Store};

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
        match error {
            LogError::Full => Self::Full,
            error => Self::Failed(error.into()),
        }
    }
}

impl From<FollowError> for CommitError {
    fn from(error: FollowError) -> Self {
        Self::Failed(error.into())
    }
}

/// Roughly what a record takes in a batch.
fn bytes(proposal: &Proposal) -> usize {
    match proposal {
        Proposal::Entry(new) => new.frame.len(),
        Proposal::Epoch(new) => {
            let wraps = new.wraps.iter().map(Bytes::len).sum::<usize>();
            wraps.saturating_add(new.members.as_bytes().len()).saturating_add(new.frame.len())
        }
        Proposal::Link(new) => new.frame.len(),
        _ => 0,
    }
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
            let one = |is: bool| if is { committed.next().ok_or(Stale) } else { Err(Stale) };
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
        let stale = || Turn { now_ms, records: Records::Own(records_stale(number)) };
        let Some(chain) = self.follower.chain_at(at) else {
            turns.push(stale());
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
            Err(LogError::Late | LogError::Clock) => {
                turns.push(stale());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let came = self.read_until(until, Some(id)).await?;
        let is_in = came.iter().any(|turn| matches!(turn.records, Records::Own(_)));
        turns.extend(came);
        if !is_in {
            turns.push(stale());
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

/// All of a batch is to be decided again.
fn records_stale(number: usize) -> Vec<Result<Committed, Stale>> {
    std::iter::repeat_with(|| Err(Stale)).take(number).collect()
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
            } else {
                self.put((at, now_ms), part, &mut turns).await?;
            }
        }
        Ok(turns)
    }

    async fn catch_up(&mut self) -> Result<Vec<Turn>, CommitError> {
        let end = self.log.end().await?;
        self.read_until(end, None).await
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
        Ok(turns)
    }
}

#[cfg(test)]
mod tests;
