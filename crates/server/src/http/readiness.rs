//! Whether the hub can take work, as `/readyz` tells it.

use std::{
    borrow::Cow,
    fmt,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::fs::statvfs;

/// Below this the next transactions may not fit: the log of the database grows by some MiB between two
/// checkpoints.
const ROOM_BYTES_MIN: u64 = 8 * 1024 * 1024;

/// One thing that is looked at: its name, and what is wrong with it.
type Check = (&'static str, Option<Cow<'static, str>>);

/// Says what keeps the hub from the log that it shares.
struct Obstacle(Box<dyn Fn() -> Option<Cow<'static, str>> + Send + Sync>);

impl fmt::Debug for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Obstacle")
    }
}

/// Asks the operation log whether it stands still.
struct Stalled(Box<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stalled")
    }
}

/// What is looked at.
#[derive(Debug, Default)]
pub struct Readiness {
    is_store_ready: AtomicBool,
    is_store_full: AtomicBool,
    is_draining: AtomicBool,
    data: OnceLock<PathBuf>,
    log: OnceLock<Stalled>,
    shared: OnceLock<Obstacle>,
}

impl Readiness {
    /// The store can be written (or, after a failure, cannot any more).
    pub fn set_store_ready(&self, is_ready: bool) {
        self.is_store_ready.store(is_ready, Ordering::Release);
    }

    /// The last batch did not fit on the disk (or, now, one has).
    pub fn set_store_full(&self, is_full: bool) {
        self.is_store_full.store(is_full, Ordering::Release);
    }

    /// From now on the room on the disk of this folder counts, too, and whether the operation log stands
    /// still. Only the first call counts.
    pub fn watch(&self, data: PathBuf, is_stalled: impl Fn() -> bool + Send + Sync + 'static) {
        self.data.get_or_init(|| data);
        self.log.get_or_init(|| Stalled(Box::new(is_stalled)));
    }

    /// From now on the log that hubs share counts, too. Only the first call counts.
    pub fn watch_shared(
        &self,
        obstacle: impl Fn() -> Option<Cow<'static, str>> + Send + Sync + 'static,
    ) {
        self.shared.get_or_init(|| Obstacle(Box::new(obstacle)));
    }

    /// Whether the hub waits for the log that it shares, as far as is known.
    pub fn waits_for_others(&self) -> bool {
        self.shared.get().is_some_and(|obstacle| obstacle.0().is_some())
    }

    /// The hub is stopping. There is no way back.
    pub fn start_draining(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// Whether the hub is stopping.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Whether there is so little room that the next batch may not fit. A file system that cannot be
    /// asked is taken to have room: the store will tell.
    fn lacks_room(&self) -> bool {
        let stat = self.data.get().and_then(|data| statvfs(data).ok());
        stat.is_some_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) < ROOM_BYTES_MIN)
    }

    fn checks(&self) -> Vec<Check> {
        let is_ready = self.is_store_ready.load(Ordering::Acquire);
        let is_full = self.is_store_full.load(Ordering::Acquire) || self.lacks_room();
        let is_stalled = self.log.get().is_some_and(|log| log.0());
        let shared = self.shared.get().map(|obstacle| ("redis", obstacle.0()));
        let checks = [
            ("accepting", self.is_draining().then_some("draining")),
            ("store", (!is_ready).then_some("starting")),
            ("disk", is_full.then_some("the disk is full")),
            ("log", is_stalled.then_some("the operation log stands still")),
        ];
        let own = checks.into_iter().map(|(name, problem)| (name, problem.map(Cow::from)));
        own.chain(shared).collect()
    }

    /// What keeps the hub from taking work, `None` when nothing does.
    pub fn obstacle(&self) -> Option<Cow<'static, str>> {
        self.checks().into_iter().find_map(|(_, problem)| problem)
    }

    /// A line for each thing: `[+]` in order, `[-]` not.
    pub fn lines(&self) -> String {
        let line = |(name, problem): Check| match problem {
            None => format!("[+] {name}: ok\n"),
            Some(problem) => format!("[-] {name}: {problem}\n"),
        };
        self.checks().into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_has_its_line_and_one_is_enough_to_be_not_ready() {
        let readiness = Readiness::default();
        readiness.set_store_ready(true);
        assert_eq!(readiness.obstacle(), None);
        readiness.watch(PathBuf::from("/"), || true);
        assert_eq!(readiness.obstacle().as_deref(), Some("the operation log stands still"));
        readiness.set_store_full(true);
        assert_eq!(readiness.obstacle().as_deref(), Some("the disk is full"));
        let lines = readiness.lines();
        assert!(lines.contains("[+] store: ok\n[-] disk: the disk is full\n"), "{lines}");
        assert_eq!(lines.lines().count(), 4);
    }
}
