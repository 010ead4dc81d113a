//! What is known of the place where a shared log lies: whether it answers, and what keeps this hub from writing there.

use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::store::Incarnation;

/// From then on a log that does not answer is said to be away.
pub const AWAY_AFTER: Duration = Duration::from_secs(2);

/// What is said of a log that answers and takes nothing.
const STUCK: &str = "nothing can be written to the log in Redis; the log of this server says why";

/// What is wrong with the log, as far as this hub sees.
#[derive(Debug, Default)]
struct Troubles {
    /// It promises less than was asked for.
    weak: bool,
    /// The clock of this machine is too far from that of the log.
    clock: bool,
    /// Another hub has come to something else.
    doubt: bool,
}

/// Shared by who looks after the log, who writes there, and who tells of it.
#[derive(Debug)]
pub struct LogHealth {
    /// Since when it has not answered.
    away: watch::Sender<Option<Instant>>,
    /// Since when something else keeps this hub from writing there.
    refused: watch::Sender<Option<Instant>>,
    /// Something waits to be written, and has for longer than a log that is there takes.
    is_stuck: AtomicBool,
    /// By how much its clock is ahead of that of this machine, in milliseconds.
    ahead_ms: AtomicI64,
    troubles: Mutex<Troubles>,
    /// The life of this hub that writes now.
    life: AtomicU64,
    /// Other hubs that were not heard of for some seconds.
    late: Mutex<HashSet<Incarnation>>,
    /// Whoever looks after the log has found it closed.
    closed: watch::Sender<bool>,
    /// What is waited for until it can be opened.
    opening: Mutex<Option<String>>,
    /// The last turn that was applied here.
    applied: AtomicU64,
    /// The last turn that a power cut leaves here.
    synced: AtomicU64,
    /// Up to which turn every hub has all batches.
    forgettable: AtomicU64,
    /// It is time to look what is said of the log beside its turns.
    has_news: AtomicBool,
    news: Notify,
    /// Somebody waits to hear how far this hub is.
    hurry: Notify,
    /// Which hub answers to the name `server`; empty while that is not known.
    host: watch::Sender<String>,
}

impl LogHealth {
    /// A log that answers, and this life of a hub that writes there.
    pub fn new(life: u64) -> Self {
        Self {
            away: watch::Sender::new(None),
            refused: watch::Sender::new(None),
            is_stuck: AtomicBool::new(false),
            ahead_ms: AtomicI64::new(0),
            troubles: Mutex::default(),
            life: AtomicU64::new(life),
            late: Mutex::default(),
            closed: watch::Sender::new(false),
            opening: Mutex::default(),
            applied: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            forgettable: AtomicU64::new(0),
            has_news: AtomicBool::new(false),
            news: Notify::new(),
            hurry: Notify::new(),
            host: watch::Sender::new(String::new()),
        }
    }

    /// The life of this hub that writes now.
    pub fn life(&self) -> u64 {
        self.life.load(Ordering::Acquire)
    }

    /// Another life of this hub writes from now on.
    pub fn set_life(&self, life: u64) {
        self.life.store(life, Ordering::Release);
    }

    /// Hubs that were not heard of for some seconds: those before are heard of again, or gone.
    pub fn set_late(&self, hubs: HashSet<Incarnation>) {
        *self.late.lock().unwrap_or_else(PoisonError::into_inner) = hubs;
    }

    /// Whether a hub was not heard of for some seconds: whoever was there may come in elsewhere.
    pub fn is_late(&self, hub: Incarnation) -> bool {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).contains(&hub)
    }

    /// It is closed for this Redis, or is so no more.
    pub fn set_closed(&self, is_closed: bool) {
        self.closed.send_if_modified(|closed| std::mem::replace(closed, is_closed) != is_closed);
    }

    /// Waits until it is closed.
    pub async fn closed(&self) {
        // The sender is as old as this.
        self.closed.subscribe().wait_for(|is_closed| *is_closed).await.ok();
    }

    /// This is waited for until it can be opened.
    pub fn set_opening(&self, words: Option<String>) {
        *self.opening.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }

    /// The last turn that was applied here.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// This turn was applied.
    pub fn set_applied(&self, turn: u64) {
        self.applied.store(turn, Ordering::Release);
    }

    /// The last turn that a power cut leaves here.
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// A power cut leaves the turns up to this one.
    pub fn set_synced(&self, turn: u64) {
        self.synced.store(turn, Ordering::Release);
    }

    /// It is time to look what is said of the log beside its turns.
    pub fn set_news(&self) {
        self.has_news.store(true, Ordering::Release);
        self.news.notify_one();
    }

    /// Waits until it is.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Whether it is, once.
    pub fn take_news(&self) -> bool {
        self.has_news.swap(false, Ordering::AcqRel)
    }

    /// Somebody waits to hear how far this hub is.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Waits until somebody does.
    pub async fn hurried(&self) {
        self.hurry.notified().await;
    }

    /// This hub answers to the name `server`; empty where that is not known.
    pub fn set_host(&self, name: String) {
        self.host.send_if_modified(|host| {
            let is_other = *host != name && !name.is_empty();
            if is_other {
                *host = name;
            }
            is_other
        });
    }

    /// Waits until another hub than this one answers to the name `server`.
    pub async fn is_hosted_elsewhere(&self, name: &str) {
        let is_other = |host: &String| !host.is_empty() && host != name;
        // The sender is as old as this.
        self.host.subscribe().wait_for(is_other).await.ok();
    }

    /// Up to which turn every hub has all batches.
    pub fn forgettable(&self) -> u64 {
        self.forgettable.load(Ordering::Acquire)
    }

    /// Every hub has all batches up to this turn.
    pub fn set_forgettable(&self, turn: u64) {
        self.forgettable.fetch_max(turn, Ordering::AcqRel);
    }

    /// It answers, or has not since then.
    pub fn set_away(&self, since: Option<Instant>) {
        self.away.send_if_modified(|away| {
            let is_other = away.is_some() != since.is_some();
            if is_other {
                *away = since;
            }
            is_other
        });
    }

    /// It promises less than was asked for, or does so no more.
    pub fn set_weak(&self, is_weak: bool) {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).weak = is_weak;
        self.note_refusal();
    }

    /// The clock of this machine is too far from that of the log, or is so no more.
    pub fn set_clock_wrong(&self, is_wrong: bool) {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).clock = is_wrong;
        self.note_refusal();
    }

    fn note_refusal(&self) {
        let is_refused = self.refusal().is_some();
        self.refused.send_if_modified(|since| {
            let is_other = since.is_some() != is_refused;
            if is_other {
                *since = is_refused.then(Instant::now);
            }
            is_other
        });
    }

    /// Something waits to be written for too long, or does so no more.
    pub fn set_stuck(&self, is_stuck: bool) {
        self.is_stuck.store(is_stuck, Ordering::Release);
    }

    /// The time is this there, and this here; Unix times in milliseconds.
    pub fn set_clocks(&self, there_ms: u64, here_ms: u64) {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let ahead_ms = signed(there_ms).saturating_sub(signed(here_ms));
        self.ahead_ms.store(ahead_ms, Ordering::Release);
    }

    /// What time it is there when it is this here, as far as is known.
    pub fn time_of_log(&self, here_ms: u64) -> u64 {
        here_ms.saturating_add_signed(self.ahead_ms.load(Ordering::Acquire))
    }

    /// Another hub has come to something else, and it is not known who is right; or it is known again.
    pub fn set_doubt(&self, is_it: bool) {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).doubt = is_it;
    }

    /// Since when it does not answer. Whoever has this hears of changes.
    pub fn away(&self) -> watch::Receiver<Option<Instant>> {
        self.away.subscribe()
    }

    /// Since when something keeps this hub from writing there although it answers. Whoever has this hears of changes.
    pub fn refused(&self) -> watch::Receiver<Option<Instant>> {
        self.refused.subscribe()
    }

    /// What keeps this hub from writing there; `None` when nothing does.
    pub fn obstacle(&self) -> Option<Cow<'static, str>> {
        if self.away.borrow().is_some() {
            return Some("Redis does not answer".into());
        }
        if self.troubles.lock().unwrap_or_else(PoisonError::into_inner).doubt {
            return Some("another server has come to something else than this one".into());
        }
        let opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_stuck = self.is_stuck.load(Ordering::Acquire);
        let refusal = || self.refusal().or_else(|| is_stuck.then_some(STUCK));
        opening.map(Cow::from).or_else(|| refusal().map(Cow::from))
    }

    /// What keeps this hub from writing there although it answers.
    pub fn refusal(&self) -> Option<&'static str> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match *troubles {
            Troubles { weak: true, .. } => Some("Redis keeps less than --redis-ack asks for"),
            Troubles { clock: true, .. } => {
                Some("the clock of this machine is more than 3 s away from that of Redis")
            }
            Troubles { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// Goal: who runs the commands hears that another one does, and of nothing else.
    #[tokio::test]
    async fn who_answers_to_server_hears_that_another_one_does() {
        let health = LogHealth::new(7);
        for name in ["", "n1", "", "n1"] {
            health.set_host(name.to_owned());
            assert!(health.is_hosted_elsewhere("n1").now_or_never().is_none(), "{name}");
        }
        health.set_host("n2".to_owned());
        health.is_hosted_elsewhere("n1").await;
        assert!(health.is_hosted_elsewhere("n2").now_or_never().is_none());
    }

    #[test]
    fn what_is_wrong_is_said_as_long_as_it_is() {
        let health = LogHealth::new(7);
        let away = health.away();
        assert_eq!((health.obstacle(), health.life()), (None, 7));
        let hub = Incarnation { node: 2, life: 3 };
        health.set_late(HashSet::from([hub]));
        assert!(health.is_late(hub));
        health.set_late(HashSet::new());
        assert!(!health.is_late(hub));
        health.set_opening(Some("waiting for n3".to_owned()));
        assert_eq!(health.obstacle().as_deref(), Some("waiting for n3"));
        health.set_opening(None);
        let since = Instant::now();
        health.set_away(Some(since));
        health.set_away(Some(since + AWAY_AFTER));
        assert_eq!(*away.borrow(), Some(since), "since the first time");
        assert_eq!(health.obstacle().as_deref(), Some("Redis does not answer"));
        assert_eq!(health.refusal(), None, "who waits for it is told nothing else");
        health.set_away(None);
        health.set_weak(true);
        assert_eq!(health.obstacle().as_deref(), health.refusal());
        assert!(health.refusal().is_some_and(|why| why.contains("--redis-ack")));
        health.set_weak(false);
        health.set_clock_wrong(true);
        assert!(health.obstacle().is_some_and(|why| why.contains("clock")));
    }

    #[test]
    fn who_cannot_write_knows_since_when_and_what_time_it_is_there() {
        let health = LogHealth::new(7);
        let refused = health.refused();
        assert_eq!(*refused.borrow(), None);
        health.set_clock_wrong(true);
        let since = *refused.borrow();
        health.set_weak(true);
        health.set_clock_wrong(false);
        assert!(since.is_some() && *refused.borrow() == since, "for whatever reason");
        health.set_weak(false);
        assert_eq!(*refused.borrow(), None);
        health.set_stuck(true);
        assert_eq!((health.obstacle().is_some(), health.refusal()), (true, None));
        health.set_stuck(false);
        assert!(health.obstacle().is_none());
        assert_eq!(health.time_of_log(10_000), 10_000, "nothing is known");
        health.set_clocks(4_000, 10_000);
        assert_eq!(health.time_of_log(20_000), 14_000);
        health.set_clocks(10_000, 4_000);
        assert_eq!(health.time_of_log(20_000), 26_000);
    }
}
