//! The lease of a hub: while it is renewed, the others know that it lives. It decides nothing about what is accepted;
//! it only says when a hub is declared gone, and that no two are called the same.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use redis::{RedisError, Script, aio::MultiplexedConnection};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};

use super::{
    AckLevel, Place, PlaceError, SCRIPT_TIME_MAX,
    level::{self, Promise},
};
use crate::{
    clock::Clock,
    metrics::Metrics,
    order::health::{AWAY_AFTER, LogHealth},
    store::Incarnation,
    tasks::Tasks,
};

/// How long a lease lasts that is not renewed.
const LEASE: Duration = Duration::from_secs(6);

/// How often it is renewed, and looked who else has one.
const RENEW_PERIOD: Duration = Duration::from_secs(1);

/// By then a process that runs has renewed its lease once more.
const RENEWED_AGAIN: Duration = Duration::from_secs(2);

/// A Redis that takes longer has not answered: what it said of others may be old.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// The answer before the last one came by so much later than it was asked for: two periods without one are somewhat less
/// than two periods.
const ANSWERED_EARLIER: Duration = Duration::from_millis(500);

/// For how long a hub is without a lease before it is declared gone. After a Redis that stood still has come back,
/// every hub that lives has renewed its lease by then.
const GONE_AFTER: Duration = Duration::from_secs(3);

/// A hub that has not renewed its lease for so long is late: whoever was there may come in elsewhere. It has to be so
/// at two looks, so that nobody counts as late because Redis stood still.
const LATE_AFTER: Duration = Duration::from_secs(3);

/// How long a start waits for a name that another process has.
const NAME_TIME_MAX: Duration = Duration::from_secs(12);

/// How often it is looked what Redis promises.
const LEVEL_PERIOD: Duration = Duration::from_secs(30);

/// From this difference of clocks on it is said, in milliseconds.
const CLOCK_WARNING_MS: u64 = 500;

/// From this one on nothing is written: batches would count for nothing from 4 s on.
const CLOCK_MS_MAX: u64 = 3_000;

/// A hub that has no lease any more. Whoever is told of it has that written into the log, and says whether it is there.
#[derive(Debug)]
pub struct Lost {
    /// Which.
    pub hub: Incarnation,
    /// Whether it is gone by the log now.
    pub reply: oneshot::Sender<bool>,
}

/// What a look at the leases has come to.
struct Looked {
    word: String,
    /// The time of Redis, Unix time in milliseconds.
    now_ms: u64,
    /// Hubs that may write and have no lease.
    missing: Vec<Incarnation>,
    /// Hubs that have one and have not renewed it for some seconds.
    late: HashSet<Incarnation>,
    /// Which hub answers to `server`; empty where that is not known.
    host: String,
}

/// The same as the script says it: a word, the time, who is missing, who is late, and who answers to `server`.
type Renewed = (String, u64, Vec<String>, Vec<String>, String);

impl Place {
    /// Where the lease of a hub lies.
    pub(super) fn lease_of(&self, node: u32) -> String {
        format!("{}{node}", self.nodes)
    }

    /// Takes the name of a hub for this process. `before` is the one that had it by the files of this one: unless they are
    /// a copy, it is dead, and renews its lease no more. Any other one is waited for, in case it is dead, too.
    pub async fn acquire(
        &self,
        (node, process): (u32, u64),
        before: Option<u64>,
    ) -> Result<(), PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let script = Script::new(include_str!("acquire.lua"));
        let deadline = Instant::now() + NAME_TIME_MAX;
        loop {
            let mut call = script.key(self.lease_of(node));
            call.arg(hex(process))
                .arg(hex(process))
                .arg(millis(LEASE))
                .arg(before.map_or_else(String::new, hex))
                .arg(millis(LEASE.saturating_sub(RENEWED_AGAIN)));
            let (is_mine, left_ms): (u8, i64) = call.invoke_async(&mut connection).await?;
            if is_mine == 1 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(PlaceError::Held);
            }
            let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
            sleep(left.clamp(super::PAUSES.0, RENEW_PERIOD)).await;
        }
    }

    /// Gives the name back: an end in order. The others find that this hub has no lease, and write down that it is gone:
    /// whoever opens the log later knows that it need not be waited for.
    pub async fn release(&self, hub: Incarnation, process: u64) -> Result<(), PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let script = Script::new(include_str!("release.lua"));
        let mut call = script.key(self.lease_of(hub.node));
        let () = call.arg(hex(process)).invoke_async(&mut connection).await?;
        Ok(())
    }

    /// What Redis promises. Less than this is an error.
    pub async fn promise(&self, least: AckLevel) -> Result<Promise, PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        let promise = level::ask(&mut connection).await?;
        if promise.level < least {
            let Promise { level, lacks } = promise;
            return Err(PlaceError::Weak { level, least, lacks: lacks.join(", ") });
        }
        Ok(promise)
    }
}

/// How often the log is trimmed.
const TRIM_PERIOD: Duration = Duration::from_secs(2);

/// How often a hub takes over what is said of others beside the log: an emptied Redis loses what came since.
const LEARN_PERIOD: Duration = Duration::from_secs(10);

/// A hub that was not heard of for so long does not keep the log from being trimmed.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

/// How much of the log stays in Redis.
#[derive(Debug, Clone, Copy)]
pub struct Trimming {
    /// Bytes that stay although every hub has them.
    pub keep: u64,
    /// Bytes from which on only hubs that run count.
    pub most: Option<u64>,
}

/// Keeps the lease of one process.
#[derive(Debug)]
pub struct Lease {
    place: Place,
    node: u32,
    /// Which process this is, by its first life: all of its lives have one lease.
    process: u64,
    health: Arc<LogHealth>,
    metrics: Arc<Metrics>,
    clock: Clock,
    least: AckLevel,
    trimming: Trimming,
    trim_due: Instant,
    /// What is said beside the log is looked at again then.
    learn_due: Instant,
    /// Without a lease since then.
    missing: HashMap<Incarnation, Instant>,
    /// Late at the last look.
    late: HashSet<Incarnation>,
    answered: Instant,
    level_due: Instant,
    promised: Option<AckLevel>,
    /// What is done about hubs that are gone.
    ends: Tasks,
}

impl Lease {
    /// That of this process, which has written `process` into its own files.
    pub fn new(
        place: Place,
        (node, process): (u32, u64),
        (health, metrics): (Arc<LogHealth>, Arc<Metrics>),
        (clock, least, trimming): (Clock, AckLevel, Trimming),
    ) -> Self {
        let (missing, now) = (HashMap::new(), Instant::now());
        Self {
            place,
            node,
            process,
            health,
            metrics,
            clock,
            least,
            trimming,
            trim_due: now + TRIM_PERIOD,
            learn_due: now + LEARN_PERIOD,
            missing,
            late: HashSet::new(),
            answered: now,
            level_due: now,
            promised: None,
            ends: Tasks::default(),
        }
    }

    /// Renews the lease for ever, and reports hubs that have none. Ends with what no attempt changes.
    pub async fn keep(mut self, lost: mpsc::Sender<Lost>) -> PlaceError {
        let mut connection = None;
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.health.hurried() => {}
            }
            next = Instant::now() + RENEW_PERIOD;
            let looked = match self.renew(&mut connection).await {
                Ok(looked) => looked,
                Err(error) => {
                    connection = None;
                    self.unanswered(&error);
                    continue;
                }
            };
            self.answered = Instant::now();
            self.health.set_away(None);
            self.metrics.shared_log.away.set(0);
            self.compare_clocks(looked.now_ms);
            match looked.word.as_str() {
                "OK" => {
                    self.metrics.shared_log.closed.set(0);
                    self.health.set_host(looked.host);
                    self.note_late(looked.late);
                    self.look_at(looked.missing, &lost);
                }
                "CLOSED" => {
                    self.missing.clear();
                    self.metrics.shared_log.closed.set(1);
                    self.health.set_closed(true);
                }
                "OTHER" => return PlaceError::Held,
                other => return PlaceError::Strange(other.to_owned()),
            }
            if looked.word == "OK" && Instant::now() >= self.trim_due {
                self.trim(&mut connection).await;
            }
            if Instant::now() >= self.level_due {
                self.look_at_level(&mut connection).await;
            }
        }
    }

    async fn renew(
        &self,
        connection: &mut Option<MultiplexedConnection>,
    ) -> Result<Looked, RedisError> {
        let connection = match connection {
            Some(connection) => connection,
            none => none.insert(self.place.connect(ANSWER_TIME_MAX).await?),
        };
        let script = Script::new(include_str!("renew.lua"));
        let mut call = script.key(self.place.lease_of(self.node));
        call.key(&self.place.meta)
            .key(&self.place.log)
            .arg(hex(self.process))
            .arg(hex(self.health.life()))
            .arg(millis(LEASE))
            .arg(&self.place.nodes)
            .arg(self.node)
            .arg(self.health.applied())
            .arg(millis(LEASE.saturating_sub(LATE_AFTER)))
            .arg(self.health.synced());
        let (word, now_ms, missing, late, host): Renewed = call.invoke_async(connection).await?;
        let missing: Vec<_> = missing.iter().filter_map(|name| read_name(name)).collect();
        let late = late.iter().filter_map(|name| read_name(name));
        let late = late.chain(missing.iter().copied()).collect();
        Ok(Looked { word, now_ms, missing, late, host })
    }

    fn unanswered(&mut self, error: &RedisError) {
        // What was seen of others before is old.
        self.missing.clear();
        self.note_late(HashSet::new());
        // What Redis promises may be something else when it is back.
        self.level_due = Instant::now();
        if self.answered.elapsed() + ANSWERED_EARLIER >= AWAY_AFTER {
            if self.health.obstacle().is_none() {
                tracing::warn!(%error, "Redis is away; nothing is accepted until it is back");
            }
            self.health.set_away(Some(self.answered));
            self.metrics.shared_log.away.set(1);
            // What is acknowledged from now on is known when it was asked again.
            self.metrics.shared_log.set_no_durability(&AckLevel::ALL);
            self.promised = None;
        }
    }

    fn compare_clocks(&self, redis_ms: u64) {
        let own_ms = (self.clock)();
        let apart_ms = own_ms.abs_diff(redis_ms);
        self.health.set_clocks(redis_ms, own_ms);
        self.health.set_clock_wrong(apart_ms > CLOCK_MS_MAX);
        if apart_ms > CLOCK_WARNING_MS {
            tracing::warn!(apart_ms, "the clock of this machine is not that of Redis");
        }
    }

    /// Late are those that were so at the last look, too.
    fn note_late(&mut self, late: HashSet<Incarnation>) {
        self.health.set_late(self.late.intersection(&late).copied().collect());
        self.late = late;
    }

    /// Reports those that have been without a lease for long enough.
    fn look_at(&mut self, missing: Vec<Incarnation>, lost: &mpsc::Sender<Lost>) {
        let now = Instant::now();
        self.missing.retain(|hub, _| missing.contains(hub));
        for hub in missing {
            let since = *self.missing.entry(hub).or_insert(now);
            if now.duration_since(since) < GONE_AFTER {
                continue;
            }
            let (reply, answer) = oneshot::channel();
            if lost.try_send(Lost { hub, reply }).is_err() {
                // One at a time is enough: it is missing in a second, too.
                return;
            }
            self.missing.insert(hub, now);
            let place = self.place.clone();
            self.ends.spawn(tracing::debug_span!("lost"), async move {
                if answer.await.is_ok_and(|is_gone| is_gone)
                    && let Err(error) = place.shut_out(hub).await
                {
                    // It is missing, and said to be gone already, in some seconds again.
                    tracing::debug!(%error, "a hub that is gone is still named in Redis");
                }
            });
        }
    }

    /// Removes from the log what every hub has, as far as there is more than is to be kept.
    async fn trim(&mut self, connection: &mut Option<MultiplexedConnection>) {
        let Some(answering) = connection else { return };
        self.trim_due = Instant::now() + TRIM_PERIOD;
        let script = Script::new(include_str!("trim.lua"));
        let mut call = script.key(&self.place.log);
        call.key(&self.place.meta)
            .arg(self.trimming.keep)
            .arg(self.trimming.most.unwrap_or(0))
            .arg(&self.place.nodes)
            .arg(millis(FORGOTTEN_AFTER));
        match call.invoke_async::<(String, u64, i64, i64)>(answering).await {
            Ok((word, needed, turns, bytes)) if word == "OK" => {
                self.health.set_forgettable(needed);
                if Instant::now() >= self.learn_due {
                    self.learn_due = Instant::now() + LEARN_PERIOD;
                    self.health.set_news();
                }
                self.metrics.shared_log.turns.set(turns);
                self.metrics.shared_log.bytes.set(bytes);
            }
            Ok(_closed) => {}
            Err(error) => {
                tracing::warn!(%error, "the log was not trimmed");
                *connection = None;
            }
        }
    }

    async fn look_at_level(&mut self, connection: &mut Option<MultiplexedConnection>) {
        let Some(answering) = connection else { return };
        match level::ask(answering).await {
            Ok(promise) => {
                let period = if promise.will_rise() { RENEW_PERIOD } else { LEVEL_PERIOD };
                self.level_due = Instant::now() + period;
                let Promise { level, lacks } = promise;
                let (is_weak, lacks) = (level < self.least, lacks.join(", "));
                if self.promised != Some(level) && is_weak {
                    tracing::error!(%level, %lacks, "Redis keeps less than --redis-ack asks for");
                } else if self.promised != Some(level) {
                    tracing::info!(%level, %lacks, "an ACK promises this much of Redis");
                }
                self.promised = Some(level);
                self.metrics.shared_log.set_durability(level.name(), &AckLevel::ALL);
                self.health.set_weak(is_weak);
            }
            Err(error) => {
                tracing::debug!(%error, "Redis was not asked what it promises");
                *connection = None;
            }
        }
    }
}

/// A number as it stands in leases and in the names of hubs.
pub(super) fn hex(number: u64) -> String {
    format!("{number:016x}")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Reads what [`name_of`] has written.
fn read_name(name: &str) -> Option<Incarnation> {
    let (node, life) = name.split_once(':')?;
    Some(Incarnation { node: node.parse().ok()?, life: u64::from_str_radix(life, 16).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::shared::name_of;

    #[test]
    fn names_of_hubs_are_read_as_they_are_written() {
        let hub = Incarnation { node: 4_000_000_000, life: 1 << 63 | 5 };
        assert_eq!(read_name(&name_of(hub)), Some(hub));
        assert_eq!(hex(5).len(), 16);
        for wrong in ["", "1", "x:1", "1:zz"] {
            assert_eq!(read_name(wrong), None, "{wrong}");
        }
    }
}
