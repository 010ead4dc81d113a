//! The hub's disk: what is written is lost in a crash unless it was synced.
//!
//! What conflicts with what is decided by the server's own double of the store; this file keeps the
//! contents beside it, in two layers, and reads from the durable one.

mod contents;
mod dropped;
mod history;
mod reads;
mod restore;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chat_protocol::{
    id::{Digest, MessageId, Nonce16},
    keys::Bundle,
    name::{ConversationId, UserName},
};
use chat_server::store::{
    CommitError, Committed, KeptBatch, Mark, Proposal, Reads, Snapshot, Store,
};
use tokio::{sync::Notify, time::sleep};

use crate::{
    dice::Dice,
    facts::{Fact, Notes},
};
use contents::Contents;
use reads::DiskReads;
use restore::TakenLink;

/// Answers that leave too early have arrived by then.
const ANSWERS_LEAVE: Duration = Duration::from_millis(1_500);

/// Where the power fails in a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Nothing was written.
    BeforeWrite,
    /// Written, and lost.
    BeforeSync,
    /// Kept, and nobody was told.
    AfterSync,
}

/// A mistake on purpose: the checker has to find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// A batch is answered when it was written, and synced a moment later.
    AckBeforeSync,
    /// A device that catches up counts as having kept what is only on its way.
    CursorBeforeDelivery,
    /// A hub that was restored does not listen to what it is told that it forgot.
    DeafToReminders,
    /// Who signs in is shown that the lobby has no epoch.
    HeadsWithoutEpochs,
    /// Of hubs that share a log: some of what is said is answered and never gets there.
    AckBeforeLog,
    /// Of hubs that share a log: some of what others have kept is passed over.
    TurnSkipped,
    /// Of hubs that share a log: a message rests not on who is in its conversation.
    MessageWithoutMembers,
    /// Of hubs that share a log: a frame rests not on that it was refused elsewhere.
    FrameWithoutRefusal,
    /// Of hubs that share a log: a refusal is said of a state that has passed.
    OldRefusal,
    /// Of hubs that share a log: the own batch is taken over before those that came before it.
    OwnFirst,
    /// Of hubs that share a log: a batch says that it rests on turns that were not looked at.
    AheadOfItself,
    /// Of hubs that share a log: the second part of a batch is kept, although the first one was not.
    PartOvertakes,
    /// Of hubs that share a log: where it has lost something it is opened as it is.
    NothingPutBack,
}

/// The disk; clones are the same disk. It outlives the hubs.
#[derive(Debug, Clone)]
pub(crate) struct Disk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// The power has failed.
    failed: Notify,
}

#[derive(Debug)]
struct State {
    durable: Contents,
    written: Contents,
    /// What was written and is not synced yet.
    news: Vec<Fact>,
    /// An older state, to be put back.
    copy: Option<Contents>,
    /// Links that restores have taken.
    taken_links: Vec<TakenLink>,
    notes: Notes,
    is_full: bool,
    /// It takes no time.
    is_calm: bool,
    fails_at: Option<Moment>,
    /// Of the mistake: the power is about to fail, and nothing is synced any more.
    is_failing: bool,
    mistake: Option<Mistake>,
    dice: Dice,
}

impl Disk {
    pub(crate) fn new(dice: Dice, notes: Notes, mistake: Option<Mistake>) -> Self {
        let state = State {
            durable: Contents::default(),
            written: Contents::default(),
            news: Vec::new(),
            copy: None,
            taken_links: Vec::new(),
            notes,
            is_full: false,
            is_calm: false,
            fails_at: None,
            is_failing: false,
            mistake,
            dice,
        };
        Self(Arc::new(Inner { state: Mutex::new(state), failed: Notify::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// The next commit ends in a power failure.
    pub(crate) fn fail_at(&self, moment: Moment) {
        self.state().fails_at = Some(moment);
    }

    /// When the power has failed in a commit.
    pub(crate) async fn failed(&self) {
        self.0.failed.notified().await;
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    /// After the power is back: only what was synced is there.
    pub(crate) fn open(&self) -> (SimulatedStore, Reads, Snapshot) {
        let mut state = self.state();
        state.fails_at = None;
        state.is_failing = false;
        state.written = state.durable.clone();
        state.news.clear();
        let snapshot = state.durable.snapshot();
        drop(state);
        let reads = Reads::new(Arc::new(DiskReads(self.clone())));
        (SimulatedStore { disk: self.clone(), tail: Vec::new() }, reads, snapshot)
    }

    /// From now on it takes no time.
    pub(crate) fn calm(&self) {
        self.state().is_calm = true;
    }

    /// All is lost.
    pub(crate) fn wipe(&self) {
        self.state().durable = Contents::default();
    }

    /// No power failure any more.
    pub(crate) fn heal(&self) {
        self.state().fails_at = None;
    }

    /// The messages that are durable, with conversation and position.
    pub(crate) fn messages(&self) -> Vec<(MessageId, ConversationId, u64)> {
        self.state().durable.messages()
    }

    /// The newest bundle of a device.
    pub(crate) fn bundle(&self, name: &UserName, dev: Nonce16) -> Option<Bundle> {
        let state = self.state();
        let account = state.durable.accounts.values().find(|row| row.name == *name)?;
        let device = account.devices.iter().find(|row| row.dev == dev)?;
        Bundle::verify(device.bundle.clone()).ok()
    }

    /// What a reader sees, and after which pause.
    fn read<T>(&self, question: impl FnOnce(&mut Contents) -> T) -> T {
        let mut state = self.state();
        match state.mistake {
            // A reader sees what was answered.
            Some(Mistake::AckBeforeSync) => question(&mut state.written),
            Some(Mistake::CursorBeforeDelivery) => {
                let answer = question(&mut state.durable);
                let cursors = state.durable.cursors.clone();
                state.written.cursors = cursors;
                answer
            }
            _ => question(&mut state.durable),
        }
    }

    async fn pause(&self, max_ms: u64) {
        if self.state().is_calm {
            return;
        }
        let ms = self.state().dice.between(0, max_ms);
        sleep(Duration::from_millis(ms)).await;
    }

    fn sync(&self) {
        let mut state = self.state();
        if !state.is_failing {
            state.durable = state.written.clone();
            let State { news, notes, .. } = &mut *state;
            news.drain(..).for_each(|fact| notes.write(fact));
        }
    }

    /// The mistake: the batch is answered now. The power fails when the answers have left.
    fn answers_early(&self) -> bool {
        let mut state = self.state();
        if state.mistake != Some(Mistake::AckBeforeSync) {
            return false;
        }
        if state.fails_at == Some(Moment::BeforeSync) && !state.is_failing {
            state.is_failing = true;
            let disk = self.clone();
            tokio::spawn(async move {
                sleep(ANSWERS_LEAVE).await;
                disk.0.failed.notify_one();
            });
        }
        drop(state);
        self.sync();
        true
    }

    /// Never returns when the power fails here.
    async fn may_fail(&self, moment: Moment) {
        if self.state().fails_at != Some(moment) {
            return;
        }
        self.0.failed.notify_one();
        std::future::pending::<()>().await;
    }
}

/// The hub's way to the disk.
#[derive(Debug)]
pub(crate) struct SimulatedStore {
    disk: Disk,
    /// The batches of a shared log, as long as its hub lives.
    tail: Vec<KeptBatch>,
}

/// Batches that are put back into a log at once.
const TAIL_PART: usize = 8;

impl Store for SimulatedStore {
    async fn commit(&mut self, batch: Vec<Proposal>) -> Result<Vec<Committed>, CommitError> {
        let disk = &self.disk;
        disk.may_fail(Moment::BeforeWrite).await;
        disk.pause(2).await;
        let committed = {
            let mut state = disk.state();
            let writes = batch.iter().any(|proposal| !matches!(proposal, Proposal::Probe(_)));
            if state.is_full && writes {
                return Err(CommitError::Full);
            }
            batch.into_iter().map(|proposal| state.keep(proposal)).collect()
        };
        if disk.answers_early() {
            return Ok(committed);
        }
        disk.may_fail(Moment::BeforeSync).await;
        disk.pause(4).await;
        disk.sync();
        disk.may_fail(Moment::AfterSync).await;
        Ok(committed)
    }

    async fn commit_turn(
        &mut self,
        batch: Vec<Proposal>,
        mark: Mark,
    ) -> Result<(Vec<Committed>, Digest), CommitError> {
        let kept = if batch.is_empty() { Vec::new() } else { self.commit(batch).await? };
        let chain = mark.chain(&kept);
        self.tail.push(mark.batch);
        Ok((kept, chain))
    }

    async fn tail(&self, after: u64, _bytes: usize) -> Result<Vec<KeptBatch>, CommitError> {
        let later = self.tail.iter().filter(|kept| kept.turn > after);
        Ok(later.take(TAIL_PART).cloned().collect())
    }
}
