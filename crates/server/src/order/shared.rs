//! A hub among others: its batches go into the shared log, and what comes out of the log goes into its own
//! store, whoever has proposed it.

mod copy;

use std::{collections::VecDeque, io, time::Duration};

use chat_protocol::crypto::sha256;
use tokio::time::sleep;

use super::opening::attempt::Held as _;
use super::{
    Append, Class, Guarded, LogError, Logged, Opening, Records, SharedLog, Turn, Turns, Unkept,
    batch::{BATCH_BYTES, Batch, BatchId},
    doubt::{self, Doubt},
    follow::{FollowError, Follower, Judged},
};
use crate::clock::Clock;
use crate::store::{CommitError, Committed, Incarnation, Noted, Proposal, Store};
pub use copy::name_of;
use copy::{OwnCopy, Standing};

/// How long a hub with a wrong clock waits before it tries again.
const CLOCK_PAUSE: Duration = Duration::from_millis(200);

/// How often a hub tries to write its first batch: one whose clock is wrong goes on without it, and is not ready.
const BEGINNINGS_MAX: usize = 3;

/// A batch of this hub on its way. A number alone does not say which one: a machine may be put back to an earlier state.
#[derive(Debug, Clone, Copy)]
struct Own {
    id: BatchId,
    digest: [u8; 32],
}

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
    standing: Standing,
    /// The log was found closed while nobody wanted anything of it.
    is_closed: bool,
    /// The turn of the first batch of this life.
    began: Option<u64>,
    doubt: Doubt,
    /// Another hub has disagreed, and this one has not said since what it has come to.
    owes_word: bool,
    /// Another hub has begun, of which more is said beside the log than this one knows.
    is_new_about: bool,
    /// What tells the time of batches that nobody has asked for; without it there are none.
    clock: Option<Clock>,
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

impl<L: SharedLog, S: Store + Sync> Shared<L, S> {
    /// A hub that has applied what `follower` has, to this store.
    pub fn new(hub: Incarnation, log: L, store: S, follower: Follower) -> Self {
        let (waiting, standing) = (VecDeque::new(), Standing::default());
        Self {
            hub,
            log,
            store,
            follower,
            seq: 0,
            waiting,
            standing,
            is_closed: false,
            began: None,
            doubt: Doubt::default(),
            owes_word: false,
            is_new_about: false,
            clock: None,
        }
    }

    /// The same, which says when a life of it begins.
    #[must_use]
    pub fn announcing(self, clock: Clock) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// The same, which has noted this of the log, and read its last turn from this generation of it.
    #[must_use]
    pub fn knowing(mut self, noted: Noted, read_from: u64) -> Self {
        self.log.has_applied(self.follower.applied());
        (self.standing.noted, self.standing.read_from) = (noted, read_from);
        self
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
    async fn apply(&mut self, logged: &Logged, own: Option<Own>) -> Result<Turn, CommitError> {
        let judged = self.follower.judge(logged).map_err(|error| self.standing.ended(error))?;
        let Judged { turn, id, now_ms, records, mut mark, agrees } = judged;
        mark.forget = self.log.forgettable();
        let (verdicts, digest) = (mark.verdicts.clone(), mark.digest);
        let admitted = records.into_iter().filter_map(|(proposal, is)| is.then_some(proposal));
        let kept = self.store.commit_turn(admitted.collect(), mark).await;
        let (committed, chain) = kept.map_err(own_disk)?;
        self.follower.apply(turn, logged.time_ms, chain);
        self.standing.read_from = logged.generation;
        self.log.has_applied(turn);
        self.compare((turn, id), agrees).map_err(|error| self.standing.ended(error))?;
        match id {
            Some(id) if id.hub == self.hub => {
                self.began.get_or_insert(turn);
            }
            Some(id) if id.seq == 1 => {
                self.is_new_about = true;
                self.log.is_awaited();
            }
            _ => {}
        }
        let is_own = own.is_some_and(|own| id == Some(own.id) && own.digest == digest);
        let records = if is_own {
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

    /// Whether another hub has come to the same as this one.
    fn compare(
        &mut self,
        (turn, id): (u64, Option<BatchId>),
        agrees: Option<bool>,
    ) -> Result<(), FollowError> {
        let (Some(id), Some(agrees)) = (id, agrees) else { return Ok(()) };
        if id.hub.node == self.hub.node {
            return Ok(());
        }
        let was_alike = self.doubt.against().next().is_none();
        let standing = self.doubt.heard(id.hub.node, agrees);
        // The others wait for a word of this one, too.
        self.owes_word |= was_alike && !agrees;
        self.log.is_in_doubt(standing == doubt::Standing::Doubtful);
        if standing == doubt::Standing::Alone {
            return Err(FollowError::Alone { turn });
        }
        Ok(())
    }

    /// Waits until it is known who is right where another hub has come to something else. An empty batch says what this
    /// one has come to.
    async fn be_sure(&mut self, turns: &mut Vec<Turn>) -> Result<(), CommitError> {
        let Some(clock) = self.clock else { return Ok(()) };
        if std::mem::take(&mut self.owes_word) {
            self.put((self.follower.applied(), clock()), Vec::new(), turns).await?;
        }
        while self.doubt.standing() == doubt::Standing::Doubtful {
            match self.log.next().await {
                Ok(logged) => self.waiting.extend(logged),
                Err(LogError::Closed) => turns.extend(self.open(None, self.seq).await?),
                Err(error) => return Err(error.into()),
            }
            while let Some(logged) = self.waiting.pop_front() {
                turns.push(self.apply(&logged, None).await?);
            }
        }
        Ok(())
    }

    /// Takes over what is said of other hubs, when one has begun and now and then: names, how far they are, and what was
    /// changed would go with a Redis that is lost.
    async fn learn(&mut self) -> Result<(), CommitError> {
        let is_new_about = std::mem::take(&mut self.is_new_about);
        if (self.log.has_news() || is_new_about)
            && let Some(facts) = self.log.facts(self.standing.noted.facts.clone()).await
        {
            let generation = self.standing.noted.generation;
            let Self { hub, follower, store, standing, .. } = self;
            OwnCopy { hub: *hub, follower, store, standing }.learn(generation, facts).await?;
        }
        Ok(())
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
        let own = Some(Own { id, digest: sha256(&sealed) });
        let append = Append { seq: self.seq, at, is_structure, now_ms, batch: sealed.into() };
        let before = turns.len();
        let appended = loop {
            match self.log.append(append.clone()).await {
                // It may have gone in before: then it is among what was read, or its number is free again.
                Err(LogError::Closed) => turns.extend(self.open(own, id.seq - 1).await?),
                appended => break appended,
            }
        };
        let until = match appended {
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
                turns.push(unkept(Unkept::Full));
                return Ok(());
            }
            Err(LogError::Gone) => {
                turns.extend(self.read_all(own).await?);
                if !self.follower.is_gone(self.hub) {
                    return Err(LogError::Gone.into());
                }
                turns.push(unkept(Unkept::Stale));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        turns.extend(self.read_until(until, own).await?);
        let came = turns.iter().skip(before);
        if !came.into_iter().any(|turn| matches!(turn.records, Records::Own(_))) {
            turns.push(unkept(Unkept::Stale));
        }
        Ok(())
    }

    /// Where the other hubs have gone on without this one, it goes on as another one. What it had under way counts
    /// for nothing.
    async fn live_on(&mut self, turns: &mut Vec<Turn>) -> Result<(), CommitError> {
        if self.follower.is_gone(self.hub) {
            tracing::warn!(
                "the other servers have taken this one for dead; it goes on as a new one"
            );
            self.hub.life = self.hub.life.wrapping_add(1);
            self.seq = 0;
            self.began = None;
            self.log.begin_again(self.hub).await?;
            turns.extend(self.begin_life().await?);
        }
        Ok(())
    }

    /// Writes the first batch of this life, where nothing was written yet, and waits until another hub knows it.
    async fn begin_life(&mut self) -> Result<Vec<Turn>, CommitError> {
        let Some(clock) = self.clock else { return Ok(Vec::new()) };
        let mut turns = Vec::new();
        for _ in 0..BEGINNINGS_MAX {
            if self.began.is_some() || self.follower.is_gone(self.hub) {
                break;
            }
            // It says nothing but that it is there.
            self.put((self.follower.applied(), clock()), Vec::new(), &mut turns).await?;
        }
        if let Some(began) = self.began {
            self.log.heard_of(began).await;
        }
        Ok(turns)
    }

    /// Applies the log up to a turn, or up to where it is opened anew without that turn.
    async fn read_until(
        &mut self,
        mut until: u64,
        own: Option<Own>,
    ) -> Result<Vec<Turn>, CommitError> {
        let mut turns = Vec::new();
        while self.follower.applied() < until {
            if let Some(logged) = self.waiting.pop_front() {
                turns.push(self.apply(&logged, own).await?);
                continue;
            }
            match self.log.next().await {
                Ok(logged) => self.waiting.extend(logged),
                Err(LogError::Closed) => {
                    // A batch under way is here when it is read, or is decided again under another number.
                    turns.extend(self.open(own, self.seq).await?);
                    // What is not there by now was lost before any hub had read it.
                    until = until.min(self.end(own, &mut turns).await?);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(turns)
    }

    /// Where the log ends now; what is read on the way to an open one is added.
    async fn end(&mut self, own: Option<Own>, turns: &mut Vec<Turn>) -> Result<u64, CommitError> {
        loop {
            match self.log.end().await {
                Ok(end) => return Ok(end),
                Err(LogError::Closed) => turns.extend(self.open(own, self.seq).await?),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Applies everything that the log has now.
    async fn read_all(&mut self, own: Option<Own>) -> Result<Vec<Turn>, CommitError> {
        let mut turns = Vec::new();
        let end = self.end(own, &mut turns).await?;
        turns.extend(self.read_until(end, own).await?);
        self.standing.was_at_the_end = true;
        Ok(turns)
    }

    /// Goes on when the log was closed or opened anew: what this copy has and Redis lacks is put back, as far as it is
    /// this hub's turn to do so. `own` is a batch under way; numbers up to `used` are used up.
    async fn open(&mut self, own: Option<Own>, used: u64) -> Result<Vec<Turn>, CommitError> {
        let mut turns = Vec::new();
        loop {
            // What was given out is part of the copy.
            while let Some(logged) = self.waiting.pop_front() {
                turns.push(self.apply(&logged, own).await?);
            }
            let Self { hub, follower, store, standing, log, .. } = self;
            let mut copy = OwnCopy { hub: *hub, follower, store, standing };
            match log.open(&mut copy, used).await? {
                Opening::Open => break,
                Opening::NotYet => {}
                Opening::Read(read) => self.waiting.extend(read),
            }
        }
        self.is_closed = false;
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

impl<L: SharedLog, S: Store + Sync> Turns for Shared<L, S> {
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
        self.be_sure(&mut turns).await?;
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
        self.live_on(&mut turns).await?;
        Ok(turns)
    }

    async fn catch_up(&mut self) -> Result<Vec<Turn>, CommitError> {
        let mut turns = self.read_all(None).await?;
        self.be_sure(&mut turns).await?;
        self.live_on(&mut turns).await?;
        self.learn().await?;
        Ok(turns)
    }

    fn is_gone(&self, hub: Incarnation) -> bool {
        self.follower.is_gone(hub)
    }

    async fn announce(&mut self) -> Result<Vec<Turn>, CommitError> {
        self.begin_life().await
    }

    async fn arrived(&mut self) {
        if !self.waiting.is_empty() || self.is_closed {
            return;
        }
        let news = self.log.news();
        let next = tokio::select! {
            biased;
            next = self.log.next() => next,
            // A hub to which nobody writes learns as well what is said.
            () = news => return,
        };
        match next {
            Ok(logged) => self.waiting.extend(logged),
            Err(LogError::Closed) => self.is_closed = true,
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
        if self.is_closed {
            turns.extend(self.open(None, self.seq).await?);
        }
        self.be_sure(&mut turns).await?;
        self.live_on(&mut turns).await?;
        self.learn().await?;
        Ok(turns)
    }
}

#[cfg(test)]
mod tests;
