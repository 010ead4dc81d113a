//! The hubs of a world: one with a disk, or several that share a log.
//!
//! A hub of several loses its disk when it crashes, and makes its copy again from the log. What is durable is
//! what is in the log, so a witness reads along that never crashes: its disk is what the checker sees.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chat_server::{
    order::{
        Alone, Append, Guarded, LogError, Logged, Opening, Records, SharedLog, Turn, Turns, Unkept,
        batch::Seal, follow::Follower, memory::MemoryLog, opening::attempt::Held, shared::Shared,
    },
    shared::Hub,
    start::Assembled,
    store::{CommitError, Committed, EntryKind, Incarnation, Proposal, Stored},
};
use futures_util::future::select_all;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    dice::Dice,
    disk::{Disk, Mistake, SimulatedStore},
    facts::Notes,
    lost::{LosingLog, Loss},
    world::{World, now_ms},
};

/// How many hubs share a log.
const SHARING: u32 = 3;

/// Lives that a hub has at most from one start to the next.
const LIVES: u64 = 1_000;

/// The longest that a way to the log takes, in milliseconds.
pub(crate) const WAY_MS_MAX: u64 = 20;

/// The same in a crowded world: others write nearly always between a decision and its batch.
pub(crate) const LONG_WAY_MS_MAX: u64 = 150;

/// The node that reads along.
const WITNESS: Incarnation = Incarnation { node: 0, life: 1 };

/// A hub while it lives.
pub(crate) struct HubLife {
    pub(crate) hub: Hub,
    pub(crate) worker: AbortOnDropHandle<Result<(), CommitError>>,
    /// What would end every connection in order. A crash is not in order.
    pub(crate) drain: CancellationToken,
    pub(crate) connections: Vec<JoinHandle<()>>,
}

/// Where a hub runs.
struct Place {
    disk: Disk,
    life: Mutex<Option<HubLife>>,
    lives: AtomicU64,
    /// Its way to the log is cut until then.
    cut_until: Arc<Mutex<Option<Instant>>>,
}

impl Place {
    fn new(disk: Disk) -> Self {
        Self { disk, life: Mutex::default(), lives: AtomicU64::new(0), cut_until: Arc::default() }
    }
}

/// All of a world.
pub(crate) struct Hubs {
    places: Vec<Place>,
    /// What they share, if they do.
    log: Option<Log>,
    /// The longest that a way to it takes, in milliseconds.
    way_ms_max: u64,
}

/// A log that hubs share.
enum Log {
    /// Nothing happens to it.
    Kept(MemoryLog),
    /// It is lost again and again.
    Losing(LosingLog),
}

/// How often a log is lost, and when the last time is over, in milliseconds.
const LOSSES: u64 = 4;
const LOSSES_MS: u64 = 18_000;

/// Turns that a log goes back by at most.
const TURNS_LOST_MAX: u64 = 12;

/// Loses the log some times.
async fn lose(log: LosingLog, mut dice: Dice) {
    for _ in 0..LOSSES {
        sleep(Duration::from_millis(dice.between(1_000, LOSSES_MS / LOSSES))).await;
        let last = usize::try_from(dice.between(1, TURNS_LOST_MAX)).unwrap();
        log.lose(match dice.between(0, 3) {
            0 => Loss::Nothing,
            1 => Loss::All,
            _ => Loss::Last(last),
        });
    }
}

fn follower() -> Follower {
    Follower::new(Seal::new(&[1; 32], [2; 16], 1))
}

impl Hubs {
    /// One hub with this disk.
    pub(crate) fn alone(disk: Disk) -> Self {
        Self { places: vec![Place::new(disk)], log: None, way_ms_max: 0 }
    }

    fn of(seed: u64, log: Log, way_ms_max: u64) -> Self {
        let disk =
            |node: u32| Disk::new(Dice::new(seed, 100 + u64::from(node)), Notes::default(), None);
        let places = (1..=SHARING).map(|node| Place::new(disk(node))).collect();
        Self { places, log: Some(log), way_ms_max }
    }

    /// Several that share a log. `witness` gets what is in it.
    pub(crate) fn sharing(seed: u64, witness: &Disk, way_ms_max: u64) -> Self {
        let log = MemoryLog::new(now_ms);
        witness.calm();
        let (store, ..) = witness.open();
        let mut reader = Shared::new(WITNESS, log.join(WITNESS, 0), store, follower());
        tokio::spawn(async move {
            loop {
                reader.arrived().await;
                reader.others().await.expect("the log is whole");
            }
        });
        Self::of(seed, Log::Kept(log), way_ms_max)
    }

    /// Several that share a log which is lost again and again. `witness` is one of them, to which nobody comes.
    pub(crate) fn losing(
        seed: u64,
        witness: &Disk,
        (way_ms_max, mistake): (u64, Option<Mistake>),
    ) -> Self {
        let log = LosingLog::new(mistake == Some(Mistake::NothingPutBack));
        witness.calm();
        let (store, ..) = witness.open();
        let (end, dice) = (log.join(WITNESS), Dice::new(seed, 3_000));
        let way = Slow { end, dice, way_ms_max, cut_until: Arc::default() };
        let mut reader = Shared::new(WITNESS, way, store, follower()).announcing(now_ms);
        tokio::spawn(async move {
            // The others wait for whoever has said that it is there.
            reader.announce().await.expect("the log is whole");
            loop {
                reader.arrived().await;
                reader.others().await.expect("the log is whole");
            }
        });
        tokio::spawn(lose(log.clone(), Dice::new(seed, 3_001)));
        Self::of(seed, Log::Losing(log), way_ms_max)
    }

    /// Whether their log is lost again and again: what they have is then in their memory.
    pub(crate) fn is_losing(&self) -> bool {
        matches!(self.log, Some(Log::Losing(_)))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn life(&self, index: usize) -> MutexGuard<'_, Option<HubLife>> {
        self.places[index].life.lock().unwrap()
    }

    pub(crate) fn disk(&self, index: usize) -> &Disk {
        &self.places[index].disk
    }

    /// Which of the disks has lost its power.
    pub(crate) async fn failed(&self) -> usize {
        let failed = self.places.iter().map(|place| Box::pin(place.disk.failed()));
        select_all(failed).await.1
    }

    /// Whether a worker has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        let ended =
            |life: &Option<HubLife>| life.as_ref().is_some_and(|life| life.worker.is_finished());
        self.places.iter().any(|place| ended(&place.life.lock().unwrap()))
    }

    pub(crate) async fn start(&self, index: usize, world: &World) {
        let place = &self.places[index];
        let Assembled { hub, worker, .. } = match &self.log {
            None => {
                let (store, reads, snapshot) = place.disk.open();
                world.assemble(Alone::new(store), reads, snapshot).await
            }
            Some(log) => {
                // A hub that is taken for dead goes on under the next number.
                let life = LIVES * (place.lives.fetch_add(1, Ordering::Relaxed) + 1);
                let hub = Incarnation { node: u32::try_from(index + 1).unwrap(), life };
                match log {
                    Log::Kept(log) => self.share(index, (hub, log.join(hub, 0)), world).await,
                    Log::Losing(log) => self.share(index, (hub, log.join(hub)), world).await,
                }
            }
        };
        let (drain, connections) = (CancellationToken::new(), Vec::new());
        *self.life(index) = Some(HubLife { hub, worker, drain, connections });
    }

    /// Starts a hub that shares a log, of which it has nothing yet.
    async fn share(
        &self,
        index: usize,
        (hub, end): (Incarnation, impl SharedLog + Sync + 'static),
        world: &World,
    ) -> Assembled {
        let (place, way_ms_max) = (&self.places[index], self.way_ms_max);
        place.disk.wipe();
        let (store, reads, snapshot) = place.disk.open();
        let dice = Dice::new(world.seed(), 1_000 * u64::from(hub.node) + hub.life);
        let way = Slow { end, dice, way_ms_max, cut_until: Arc::clone(&place.cut_until) };
        let shared = Shared::new(hub, way, store, follower());
        // Where the log may be lost, others wait for whoever has said that it is there.
        let shared = if self.is_losing() { shared.announcing(now_ms) } else { shared };
        let dice = Dice::new(world.seed(), 2_000 * u64::from(hub.node) + hub.life);
        let turns = Careful { shared, mistake: world.mistake(), count: 0, dice };
        world.assemble(turns, reads, snapshot).await
    }

    /// Another hub has not heard of this one for a while, whether it lives or not.
    pub(crate) fn take_for_dead(&self, index: usize, dice: &mut Dice) {
        let node = u32::try_from(index + 1).unwrap();
        let Some(Log::Kept(log)) = &self.log else { return };
        let lives = log.hubs().into_iter().filter(|hub| hub.node == node);
        let other = (index + 1 + dice.index(self.count() - 1)) % self.count();
        let by = self.life(other).as_ref().map(|life| life.hub.clone());
        if let (Some(hub), Some(by)) = (lives.max(), by) {
            tokio::spawn(async move { by.lost(hub).await });
        }
    }

    /// The log does not answer a hub for a while.
    pub(crate) fn cut_off(&self, index: usize, time: Duration) {
        *self.places[index].cut_until.lock().unwrap() = Some(Instant::now() + time);
    }

    /// The power fails: everything of the hub ends where it stands.
    pub(crate) fn crash(&self, index: usize) {
        if let Some(HubLife { worker, connections, .. }) = self.life(index).take() {
            worker.abort();
            connections.iter().for_each(JoinHandle::abort);
        }
    }
}

/// The way to the log takes its time, so that others write between a decision and its batch.
struct Slow<E> {
    end: E,
    dice: Dice,
    way_ms_max: u64,
    cut_until: Arc<Mutex<Option<Instant>>>,
}

impl<E> Slow<E> {
    async fn pause(&mut self) {
        sleep(Duration::from_millis(self.dice.between(0, self.way_ms_max))).await;
        let cut_until = *self.cut_until.lock().unwrap();
        if let Some(until) = cut_until {
            sleep_until(until).await;
        }
    }
}

impl<E: SharedLog + Sync> SharedLog for Slow<E> {
    async fn append(&mut self, append: Append) -> Result<u64, LogError> {
        self.pause().await;
        let turn = self.end.append(append).await;
        self.pause().await;
        turn
    }

    async fn end(&mut self) -> Result<u64, LogError> {
        self.pause().await;
        self.end.end().await
    }

    async fn begin_again(&mut self, hub: Incarnation) -> Result<(), LogError> {
        self.pause().await;
        self.end.begin_again(hub).await
    }

    async fn next(&mut self) -> Result<Vec<Logged>, LogError> {
        self.pause().await;
        self.end.next().await
    }

    async fn open(
        &mut self,
        copy: &mut impl Held<Error = CommitError>,
        used: u64,
    ) -> Result<Opening, CommitError> {
        self.pause().await;
        self.end.open(copy, used).await
    }
}

/// A hub of several, which may make a mistake on purpose with each eighth batch or turn.
struct Careful<E> {
    shared: Shared<Slow<E>, SimulatedStore>,
    mistake: Option<Mistake>,
    count: u32,
    /// Which batches are cut.
    dice: Dice,
}

/// How often a batch goes into the log in two parts, as a long one does.
const CUT_PERCENT: u64 = 25;

/// Where the keys of a message stand in what it reads.
const FRAME: usize = 1;
const MEMBERS: usize = 2;
const LINE: usize = 3;

fn is_message(one: &Guarded) -> bool {
    matches!(&one.proposal, Proposal::Entry(new) if new.kind == EntryKind::Message)
}

impl<E: SharedLog + Sync> Careful<E> {
    /// What certification is told of a batch.
    fn forget_keys(&self, batch: &mut [Guarded], is_second: bool) {
        let messages = batch.iter_mut().filter(|one| is_message(one));
        for Guarded { guard, .. } in messages {
            match self.mistake {
                Some(Mistake::MessageWithoutMembers) => drop(guard.reads.remove(MEMBERS)),
                Some(Mistake::FrameWithoutRefusal) => drop(guard.reads.remove(FRAME)),
                Some(Mistake::PartOvertakes) if is_second => drop(guard.reads.remove(LINE)),
                _ => {}
            }
        }
    }

    /// Puts a batch into the log, in one part or in two.
    async fn put(
        &mut self,
        at: u64,
        now_ms: u64,
        mut batch: Vec<Guarded>,
    ) -> Result<Vec<Turn>, CommitError> {
        let second = if batch.len() > 1 && self.dice.percent(CUT_PERCENT) {
            batch.split_off(batch.len() / 2)
        } else {
            Vec::new()
        };
        let (mut turns, hub) = (Vec::new(), self.shared.hub());
        for (mut part, is_second) in [(batch, false), (second, true)] {
            if self.shared.hub() != hub {
                let unkept = part.iter().map(|_| Err(Unkept::Stale)).collect();
                turns.push(Turn { now_ms, records: Records::Own(unkept) });
            } else if !part.is_empty() {
                self.forget_keys(&mut part, is_second);
                turns.extend(self.shared.commit(at, now_ms, part).await?);
            }
        }
        Ok(turns)
    }

    fn errs(&mut self, mistake: Mistake) -> bool {
        self.count += 1;
        self.mistake == Some(mistake) && self.count.is_multiple_of(8)
    }

    fn passes_on(&mut self, mut turns: Vec<Turn>) -> Vec<Turn> {
        turns.retain(|turn| {
            !matches!(turn.records, Records::Other(_)) || !self.errs(Mistake::TurnSkipped)
        });
        turns
    }
}

impl<E: SharedLog + Sync> Turns for Careful<E> {
    const IS_SHARED: bool = true;

    fn hub(&self) -> Incarnation {
        self.shared.hub()
    }

    fn applied(&self) -> u64 {
        self.shared.applied()
    }

    async fn commit(
        &mut self,
        at: u64,
        now_ms: u64,
        batch: Vec<Guarded>,
    ) -> Result<Vec<Turn>, CommitError> {
        let is_said = batch.iter().all(|one| matches!(one.proposal, Proposal::Entry(_)));
        if is_said && self.errs(Mistake::AckBeforeLog) {
            let outcome = Ok(Stored::Entry(at + 1));
            let kept = |one: Guarded| Ok(Committed { proposal: one.proposal, outcome });
            let records = Records::Own(batch.into_iter().map(kept).collect());
            return Ok(vec![Turn { now_ms, records }]);
        }
        let mut before = Vec::new();
        let mut at = at;
        if self.mistake == Some(Mistake::AheadOfItself) {
            before = self.shared.catch_up().await?;
            at = self.shared.applied();
        }
        before.extend(self.put(at, now_ms, batch).await?);
        if self.mistake == Some(Mistake::OwnFirst) {
            before.sort_by_key(|turn| !matches!(turn.records, Records::Own(_)));
        }
        Ok(self.passes_on(before))
    }

    async fn catch_up(&mut self) -> Result<Vec<Turn>, CommitError> {
        if self.mistake == Some(Mistake::OldRefusal) && self.shared.applied() > 0 {
            return Ok(Vec::new());
        }
        let turns = self.shared.catch_up().await?;
        Ok(self.passes_on(turns))
    }

    async fn announce(&mut self) -> Result<Vec<Turn>, CommitError> {
        let turns = self.shared.announce().await?;
        Ok(self.passes_on(turns))
    }

    fn is_gone(&self, hub: Incarnation) -> bool {
        self.shared.is_gone(hub)
    }

    async fn arrived(&mut self) {
        self.shared.arrived().await;
    }

    async fn others(&mut self) -> Result<Vec<Turn>, CommitError> {
        let turns = self.shared.others().await?;
        Ok(self.passes_on(turns))
    }
}
