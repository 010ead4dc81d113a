//! The buckets of one account, shared by all of its connections.

use std::{
    collections::HashSet,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chat_protocol::{id::Digest, name::ConversationId};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::{
    sync::Mutex as FairMutex,
    time::{Instant, sleep},
};

use super::{Bucket, Budget, Hits, Limits, TABLE};

/// Conversations of an account whose epochs are counted: more than anybody makes keys for in ten seconds
/// without being told to come again.
const CONVERSATIONS_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Links of an account that were brought back and cost it nothing when they are said again: all that may come
/// back in a day.
const REMINDED_REMEMBERED_MAX: usize = 2_048;

/// Why an account may not publish a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpublished {
    /// It has published as many signing keys as it may in a month.
    SigningKeys,
    /// It publishes too often; how long to wait.
    Bundles(Duration),
}

/// Why a link of an account is not brought back now; how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreminded {
    /// There were too many.
    Links(Duration),
    /// It has made too many rooms, or too many of its rooms were brought back.
    Rooms(Duration),
    /// It has brought too many people who have no account.
    Strangers(Duration),
}

/// What a link that is brought back takes besides its place in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reminded {
    /// Nothing.
    Link,
    /// It makes a room.
    Room,
    /// Somebody comes by it who has no account.
    Stranger,
}

/// What is said of a budget that is used up, with how long to wait.
type UsedUp = fn(Duration) -> Unreminded;

impl Reminded {
    /// The budget that it takes from, and what is said where that is used up.
    fn budget(self) -> Option<(Budget, UsedUp)> {
        match self {
            Self::Link => None,
            Self::Room => Some((Budget::RoomsMade, Unreminded::Rooms)),
            Self::Stranger => Some((Budget::RemindedStrangers, Unreminded::Strangers)),
        }
    }
}

/// What an account has used.
#[derive(Debug)]
pub struct AccountBudgets {
    limits: Arc<Limits>,
    hits: Arc<Hits>,
    buckets: Mutex<Vec<Bucket>>,
    keys: Mutex<LruCache<ConversationId, Bucket>>,
    /// Links that were brought back, and that were taken from its budgets.
    reminded: Mutex<HashSet<Digest>>,
    /// Whose turn it is of its connections to say something, and to report something.
    turns: [FairMutex<()>; 2],
    /// Bytes of its epochs that are coming in.
    pub(super) upload_bytes: AtomicU64,
}

impl AccountBudgets {
    pub(super) fn new(limits: Arc<Limits>, hits: Arc<Hits>) -> Self {
        Self {
            limits,
            hits,
            buckets: Mutex::new(vec![Bucket::default(); TABLE.len()]),
            keys: Mutex::new(LruCache::new(CONVERSATIONS_MAX)),
            reminded: Mutex::default(),
            turns: Default::default(),
            upload_bytes: AtomicU64::new(0),
        }
    }

    /// Budgets that nobody shares, for what has none: tests, and the hub's own connection.
    pub fn lifted() -> Arc<Self> {
        let hits = Arc::new(Hits(Vec::new()));
        Arc::new(Self::new(Arc::new(Limits::off()), hits))
    }

    /// How much each is.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes one, or says how long to wait for it.
    pub fn take(&self, budget: Budget, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.limits.rate(budget) else { return Ok(()) };
        let mut buckets = self.buckets.lock();
        let Some(bucket) = buckets.get_mut(budget.place()) else { return Ok(()) };
        bucket.take(&rate, now, 1).inspect_err(|_| self.hits.count(budget))
    }

    /// Whether there is one; otherwise how long to wait.
    pub fn has(&self, budget: Budget, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.limits.rate(budget) else { return Ok(()) };
        let wait = self.buckets.lock().get(budget.place()).map(|bucket| bucket.wait(&rate, now));
        match wait.filter(|wait| !wait.is_zero()) {
            Some(wait) => {
                self.hits.count(budget);
                Err(wait)
            }
            None => Ok(()),
        }
    }

    /// Takes what has been used already.
    pub fn spend(&self, budget: Budget, now: Instant, tokens: u64) {
        if let Some(rate) = self.limits.rate(budget)
            && let Some(bucket) = self.buckets.lock().get_mut(budget.place())
        {
            bucket.spend(&rate, now, tokens);
        }
    }

    /// Takes one, however long that is waited for.
    pub async fn wait_to_take(&self, budget: Budget) {
        while let Err(wait) = self.take(budget, Instant::now()) {
            sleep(wait).await;
        }
    }

    /// Waits until something is left of what others spend.
    pub async fn wait_for(&self, budget: Budget) {
        while let Err(wait) = self.has(budget, Instant::now()) {
            sleep(wait).await;
        }
    }

    /// Waits until what came before is paid for, then takes so many bytes. Of several connections one after the other: all
    /// of them would find something left at the same moment, and take much more than that at once.
    pub async fn pace(&self, budget: Budget, bytes: u64) {
        let [messages, reports] = &self.turns;
        let turn = if budget == Budget::ReportBytes { reports } else { messages };
        let _turn = turn.lock().await;
        self.wait_for(budget).await;
        self.spend(budget, Instant::now(), bytes);
    }

    /// Takes a bundle of this account, with its signing key where that is new.
    pub fn take_bundle(&self, is_new_key: bool, now: Instant) -> Result<(), Unpublished> {
        if is_new_key && self.has(Budget::SigningKeys, now).is_err() {
            return Err(Unpublished::SigningKeys);
        }
        self.take(Budget::Bundles, now).map_err(Unpublished::Bundles)?;
        if is_new_key {
            self.spend(Budget::SigningKeys, now, 1);
        }
        Ok(())
    }

    /// Takes a link of this account that is brought back, with what it makes. One that was taken
    /// before costs nothing: what is put off is said again as a whole. Beyond what may come back in a day it
    /// is as fast as the account may sign links anyhow.
    pub fn take_reminded(
        &self,
        link: Digest,
        what: Reminded,
        now: Instant,
    ) -> Result<(), Unreminded> {
        let mut reminded = self.reminded.lock();
        if reminded.contains(&link) {
            return Ok(());
        }
        if let Some((budget, unreminded)) = what.budget() {
            self.has(budget, now).map_err(unreminded)?;
        }
        self.take(Budget::RemindedLinks, now)
            .or_else(|wait| self.take(Budget::Links, now).map_err(|other| wait.min(other)))
            .map_err(Unreminded::Links)?;
        if let Some((budget, _)) = what.budget() {
            self.spend(budget, now, 1);
        }
        if reminded.len() >= REMINDED_REMEMBERED_MAX {
            reminded.clear();
        }
        reminded.insert(link);
        Ok(())
    }

    /// Takes one epoch of a conversation.
    pub fn take_key(&self, cid: &ConversationId, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.limits.rate(Budget::Keys) else { return Ok(()) };
        let mut keys = self.keys.lock();
        if let Some(bucket) = keys.get_mut(cid) {
            return bucket.take(&rate, now, 1).inspect_err(|_| self.hits.count(Budget::Keys));
        }
        // Who makes keys for many conversations at once waits until one of them has rested.
        if keys.len() == CONVERSATIONS_MAX.get()
            && let Some((_, oldest)) = keys.peek_lru()
            && !oldest.is_full(now)
        {
            self.hits.count(Budget::Keys);
            return Err(rate.per);
        }
        let mut bucket = Bucket::default();
        let taken = bucket.take(&rate, now, 1);
        keys.put(cid.clone(), bucket);
        taken
    }

    /// Bytes of its epochs that are coming in.
    pub(super) fn upload_bytes(&self) -> u64 {
        self.upload_bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: connections of one account that wait for its bytes get one after the other what comes back. Before, all of them
    /// found something left at the same moment, and twenty times as much came in at once. Method: twenty of them, on virtual time.
    #[tokio::test(start_paused = true)]
    async fn connections_that_wait_for_bytes_go_one_after_the_other() {
        let mut limits = Limits::default();
        limits.set("message_bytes=1000/s+1000").unwrap();
        let hits = Arc::new(Hits(Vec::new()));
        let budgets = Arc::new(AccountBudgets::new(Arc::new(limits), hits));
        let start = Instant::now();
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let budgets = Arc::clone(&budgets);
                tokio::spawn(async move {
                    budgets.pace(Budget::MessageBytes, 1_000).await;
                    start.elapsed().as_millis()
                })
            })
            .collect();
        // Letters are not kept waiting by what is reported.
        budgets.pace(Budget::ReportBytes, 1).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        let mut times = Vec::new();
        for one in waiting {
            times.push(one.await.unwrap());
        }
        assert!(times.is_sorted(), "{times:?}");
        let at_once = times.chunk_by(|one, next| next - one < 500).map(<[_]>::len).max();
        assert!(at_once <= Some(2), "{times:?}");
    }
}
