//! Where the order of batches comes from: one hub alone, or a log that several hubs share.
//!
//! The worker decides on the state that it has, and says what that rests on ([`Guard`]). What comes back
//! are [`Turn`]s: its own batch and those of other hubs, in the order in which all of them apply them.

pub mod batch;
pub mod certify;
pub mod doubt;
pub mod follow;
pub mod health;
pub mod memory;
pub mod opening;
pub mod redis;
pub mod shared;
pub mod words;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use thiserror::Error;

use self::opening::attempt::Held;
use crate::store::{CommitError, Committed, Facts, Incarnation, Proposal, Store, Stored};

/// What a decision rests on: 64-bit hashes of the names of keys. Two names with one hash only cost a
/// decision that is made again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Guard {
    /// What it has read.
    pub reads: Vec<u64>,
    /// What others must not have read who are behind it.
    pub writes: Vec<u64>,
    /// It changes what nearly every decision reads.
    pub is_structure: bool,
}

/// A proposal, and what it rests on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Guarded {
    /// What is to be kept.
    pub proposal: Proposal,
    /// What it rests on; empty where nobody asks.
    pub guard: Guard,
}

/// What goes into one batch of a shared log, in the order in which parts of a batch go there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A question that never leaves the hub.
    Question,
    /// What is frequent.
    Frequent,
    /// What nearly every decision reads.
    Structure,
}

impl Guarded {
    /// Which it is.
    pub fn class(&self) -> Class {
        match self.proposal {
            Proposal::Probe(_) => Class::Question,
            _ if self.guard.is_structure => Class::Structure,
            _ => Class::Frequent,
        }
    }
}

/// Why a record of this hub was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unkept {
    /// Something that it rests on was changed by somebody else in between: it is decided again.
    Stale,
    /// The log has no room for it.
    Full,
    /// The clock of this hub is not that of the log: it is decided again.
    Clock,
}

/// One batch at its place in the order of all.
#[derive(Debug)]
pub struct Turn {
    /// When it was decided, Unix time in milliseconds.
    pub now_ms: u64,
    /// What it came to.
    pub records: Records,
}

impl Turn {
    /// Whether anything that this hub has proposed was kept by it.
    pub fn keeps_own(&self) -> bool {
        matches!(&self.records, Records::Own(records) if records.iter().any(Result::is_ok))
    }

    /// What was kept of it.
    pub fn kept(self) -> Vec<Committed> {
        match self.records {
            Records::Own(records) => records.into_iter().flatten().collect(),
            Records::Other(records) => records,
        }
    }
}

/// Whose batch a turn is.
#[derive(Debug)]
pub enum Records {
    /// This hub's, in the order of the batch.
    Own(Vec<Result<Committed, Unkept>>),
    /// Another one's.
    Other(Vec<Committed>),
}

/// Where the worker's batches go, and turns come from.
pub trait Turns: Send {
    /// Others write, too: guards are asked for.
    const IS_SHARED: bool;

    /// Which hub this is.
    fn hub(&self) -> Incarnation;

    /// How many turns the worker was given: what it has applied when it decides.
    fn applied(&self) -> u64;

    /// Keeps a batch that was decided when `at` turns were applied; see the contract of [`Store`]. All that
    /// came meanwhile comes back, this batch last. A large batch may come back in several turns.
    fn commit(
        &mut self,
        at: u64,
        now_ms: u64,
        batch: Vec<Guarded>,
    ) -> impl Future<Output = Result<Vec<Turn>, CommitError>> + Send;

    /// All that was kept until now, whoever has kept it. What is decided after it is no older than this call:
    /// a refusal is never said of a state that has passed.
    fn catch_up(&mut self) -> impl Future<Output = Result<Vec<Turn>, CommitError>> + Send;

    /// Says that this life of the hub has begun, and waits until another one that runs knows it: whoever opens the log
    /// after a loss then waits for this one.
    fn announce(&mut self) -> impl Future<Output = Result<Vec<Turn>, CommitError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Waits until other hubs have kept something. Nothing is lost when this is dropped.
    fn arrived(&mut self) -> impl Future<Output = ()> + Send;

    /// Whether a hub has written its last: the others have gone on without it.
    fn is_gone(&self, hub: Incarnation) -> bool;

    /// What other hubs have kept.
    fn others(&mut self) -> impl Future<Output = Result<Vec<Turn>, CommitError>> + Send;
}

/// A batch on its way into a shared log.
#[derive(Debug, Clone)]
pub struct Append {
    /// Its number among those of its hub, from 1, and larger than those before. One number, one content, for ever.
    pub seq: u64,
    /// How many turns were applied when it was decided.
    pub at: u64,
    /// It is refused when another such batch has come since.
    pub is_structure: bool,
    /// When it was decided, Unix time in milliseconds.
    pub now_ms: u64,
    /// The sealed bytes.
    pub batch: Bytes,
}

/// A turn as a shared log gives it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its number, from 1 and without gaps.
    pub turn: u64,
    /// How often the log was opened when it was put there.
    pub generation: u64,
    /// When it came, by the clock of the log: Unix time in milliseconds.
    pub time_ms: u64,
    /// The sealed bytes.
    pub batch: Bytes,
}

/// Why a batch did not go into a shared log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LogError {
    /// Another batch that changes the structure came first: it is decided again. Its number is used up.
    #[error("another hub was faster")]
    Late,
    /// The clock of this hub is wrong. The number is used up.
    #[error("the clock of this machine is not that of the log")]
    Clock,
    /// It is of another Redis than the one that this hub writes to, or was opened anew: [`SharedLog::open`] goes on.
    #[error("the log is closed for this Redis")]
    Closed,
    /// The log is open, and shorter than what was applied here.
    #[error(
        "the log in Redis ends at turn {has}, and this server has read turn {applied}: Redis has lost the rest while it ran. \
         Start Redis again, and then this server: the servers put back what it lacks. Or this is another Redis: look at --redis"
    )]
    Back {
        /// Its last turn.
        has: u64,
        /// The last one that was applied here.
        applied: u64,
    },
    /// The log was opened without this hub, which has more than it was opened with.
    #[error(
        "the log was opened without this server, which has what nobody else has: turns {} to {applied}. They are in \
         its data folder. Look at --redis, whether this is the right Redis. If it is, move the folder away, make a new one with chat-server cluster snapshot, and start this server on it \
         with --salvage and the folder that was moved",
        common.saturating_add(1)
    )]
    Beyond {
        /// The last turn that both share.
        common: u64,
        /// The last one that was applied here.
        applied: u64,
    },
    /// The log may have been opened without this hub, and it may have more than that; nobody remembers where they parted.
    #[error(
        "the log was opened without this server, which may have what nobody else has: some of the turns up to {applied}. They are in \
         its data folder. Look at --redis, whether this is the right Redis. If it is, move the folder away, make a new one with chat-server cluster snapshot, and start this server on it \
         with --salvage and the folder that was moved"
    )]
    Apart {
        /// The last one that was applied here before it read on without knowing that.
        applied: u64,
    },
    /// The log does not go back to what was applied here.
    #[error(
        "the log in Redis begins at turn {first}, and this server has read up to {applied}: it needs a snapshot of \
         another one; see chat-server cluster snapshot --help"
    )]
    Trimmed {
        /// Its first turn.
        first: u64,
        /// The last one that was applied here.
        applied: u64,
    },
    /// The open log has, behind what was applied here, only what it was opened without.
    #[error(
        "what the log in Redis has behind turn {applied} is of before it was opened anew: this server, which has read up to \
         there, needs a snapshot of another one; see chat-server cluster snapshot --help"
    )]
    Void {
        /// The last turn that was applied here.
        applied: u64,
    },
    /// There is another log of this name.
    #[error("in Redis there is another log of this name; look at --redis and --cluster")]
    Foreign,
    /// No copy has what Redis lacks.
    #[error(
        "turn {0} is lacking in Redis, and this server, which is the furthest, does not have its bytes any more"
    )]
    Lacking(u64),
    /// This life of the hub was declared to be over.
    #[error("this server may not write to the log any more: another one has taken its name")]
    Gone,
    /// There is no room for it, and it does not go in later.
    #[error("the log has no room")]
    Full,
    /// What keeps the log does not speak our language.
    #[error("the log gives answers that mean nothing")]
    Strange,
}

/// What one step towards an open log came to.
#[derive(Debug)]
pub enum Opening {
    /// It is open, and gives out what stands behind the copy of this hub.
    Open,
    /// It is not open yet.
    NotYet,
    /// These were given out before; they are to be applied first.
    Read(Vec<Logged>),
}

/// Where the order of several hubs comes from. Each call but the last three may say [`LogError::Closed`]: then
/// [`SharedLog::open`] is called until the log is open, and the call is made again.
pub trait SharedLog: Send {
    /// Puts a batch at the end. Again with the same number it changes nothing. Returns a turn: whether the
    /// batch went in is said by the log up to there.
    fn append(&mut self, append: Append) -> impl Future<Output = Result<u64, LogError>> + Send;

    /// The last turn that the log has now.
    fn end(&mut self) -> impl Future<Output = Result<u64, LogError>> + Send;

    /// This hub goes on as another one: its life of before is over.
    fn begin_again(
        &mut self,
        hub: Incarnation,
    ) -> impl Future<Output = Result<(), LogError>> + Send;

    /// Waits for turns that were not given out yet, in their order. Nothing is lost when this is dropped.
    fn next(&mut self) -> impl Future<Output = Result<Vec<Logged>, LogError>> + Send;

    /// One step towards an open log, with the copy of this hub. Its numbers up to `used` are used up.
    fn open(
        &mut self,
        _copy: &mut impl Held<Error = CommitError>,
        _used: u64,
    ) -> impl Future<Output = Result<Opening, CommitError>> + Send {
        async { Ok(Opening::Open) }
    }

    /// What is said of the log beside its turns, where that is more than is known. Nothing where it cannot be asked.
    fn facts(&mut self, _known: Facts) -> impl Future<Output = Option<Facts>> + Send {
        async { None }
    }

    /// This hub has applied the turns up to this one.
    fn has_applied(&self, _turn: u64) {}

    /// Waits until it is time to look what is said of the log beside its turns.
    fn news(&self) -> impl Future<Output = ()> + Send + 'static {
        std::future::pending()
    }

    /// Whether it is time to look what is said of the log beside its turns; once.
    fn has_news(&self) -> bool {
        false
    }

    /// A hub that has just begun waits until another one has applied this.
    fn is_awaited(&self) {}

    /// Waits until another hub that runs has applied this turn, or there is none. Not for ever.
    fn heard_of(&mut self, _turn: u64) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// This hub and others have come to different things, and it is not known who is right; or it is known again.
    fn is_in_doubt(&self, _is_it: bool) {}

    /// Up to which turn nobody needs the bytes of batches any more.
    fn forgettable(&self) -> u64 {
        0
    }
}

/// One hub alone: nothing comes in between.
#[derive(Debug)]
pub struct Alone<S> {
    store: S,
    turns: u64,
}

impl<S: Store> Alone<S> {
    /// The only hub that writes to this store.
    pub fn new(store: S) -> Self {
        Self { store, turns: 0 }
    }
}

impl<S: Store> Turns for Alone<S> {
    const IS_SHARED: bool = false;

    fn hub(&self) -> Incarnation {
        Incarnation::ALONE
    }

    fn applied(&self) -> u64 {
        self.turns
    }

    async fn commit(
        &mut self,
        _at: u64,
        now_ms: u64,
        batch: Vec<Guarded>,
    ) -> Result<Vec<Turn>, CommitError> {
        let batch: Vec<Proposal> = batch.into_iter().map(|guarded| guarded.proposal).collect();
        let committed = if batch.iter().all(|one| matches!(one, Proposal::Session(_))) {
            // Who is here is known to this process alone, and waits for no disk.
            let kept = |proposal| Committed { proposal, outcome: Ok(Stored::Done) };
            batch.into_iter().map(kept).collect()
        } else {
            self.store.commit(batch).await?
        };
        self.turns += 1;
        let records = Records::Own(committed.into_iter().map(Ok).collect());
        Ok(vec![Turn { now_ms, records }])
    }

    async fn catch_up(&mut self) -> Result<Vec<Turn>, CommitError> {
        Ok(Vec::new())
    }

    fn is_gone(&self, _hub: Incarnation) -> bool {
        false
    }

    async fn arrived(&mut self) {
        std::future::pending::<()>().await;
    }

    async fn others(&mut self) -> Result<Vec<Turn>, CommitError> {
        Ok(Vec::new())
    }
}
