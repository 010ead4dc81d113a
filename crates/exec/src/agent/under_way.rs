//! What is under way now: who asked for what, and whose turn it is.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};

use crate::cancelled::Cancelled;
use crate::journal::CommandKey;
use crate::limits::{
    ADMITTED_MAX, ADMITTED_PER_REQUESTER_MAX, RUNNING_MAX, RUNNING_PER_REQUESTER_MAX,
};

/// All commands of one agent that have arrived and not ended.
pub(super) struct UnderWay {
    by_requester: Mutex<HashMap<String, Load>>,
    running: Semaphore,
    admitted: Semaphore,
}

/// What one requester has under way.
struct Load {
    commands: HashMap<[u8; 16], Command>,
    turns: Arc<Semaphore>,
}

/// One command under way.
struct Command {
    /// Dropped with it: tells those who asked again that the outcome is recorded.
    ended: watch::Sender<()>,
    /// Set when its sender takes it back.
    cancelled: watch::Sender<bool>,
}

/// What an arriving command is.
pub(super) enum Arrival<'a> {
    /// The first of its id.
    First(Place<'a>),
    /// One of the same id is under way; the receiver fails when that has ended.
    Again(watch::Receiver<()>),
    /// The requester has too many under way.
    TooMany,
}

/// A command's place among those under way; given up when dropped.
pub(super) struct Place<'a> {
    all: &'a UnderWay,
    pub(super) key: CommandKey,
    pub(super) cancelled: Cancelled,
    turns: Arc<Semaphore>,
}

/// Held while a command runs.
pub(super) struct Turn<'a> {
    _admitted: SemaphorePermit<'a>,
    _own: OwnedSemaphorePermit,
    _shared: SemaphorePermit<'a>,
}

impl UnderWay {
    pub(super) fn new() -> Self {
        Self {
            by_requester: Mutex::default(),
            running: Semaphore::new(RUNNING_MAX),
            admitted: Semaphore::new(ADMITTED_MAX),
        }
    }

    /// A command comes.
    pub(super) fn arrive(&self, key: &CommandKey) -> Arrival<'_> {
        let mut by_requester = self.by_requester.lock();
        let load = by_requester.entry(key.requester.clone()).or_insert_with(|| Load {
            commands: HashMap::new(),
            turns: Arc::new(Semaphore::new(RUNNING_PER_REQUESTER_MAX)),
        });
        if let Some(first) = load.commands.get(&key.id) {
            return Arrival::Again(first.ended.subscribe());
        }
        if load.commands.len() >= ADMITTED_PER_REQUESTER_MAX {
            return Arrival::TooMany;
        }
        let command =
            Command { ended: watch::Sender::new(()), cancelled: watch::Sender::new(false) };
        let cancelled = Cancelled(command.cancelled.subscribe());
        load.commands.insert(key.id, command);
        let turns = Arc::clone(&load.turns);
        Arrival::First(Place { all: self, key: key.clone(), cancelled, turns })
    }

    /// Takes a command back; whether it is under way.
    pub(super) fn cancel(&self, key: &CommandKey) -> bool {
        let by_requester = self.by_requester.lock();
        let load = by_requester.get(&key.requester);
        let command = load.and_then(|load| load.commands.get(&key.id));
        if let Some(command) = command {
            command.cancelled.send_replace(true);
        }
        command.is_some()
    }
}

impl<'a> Place<'a> {
    /// Waits for a turn, first among one's own commands, then among all. `None` if too many wait.
    pub(super) async fn take_turn(&self) -> Option<Turn<'a>> {
        let admitted = self.all.admitted.try_acquire().ok()?;
        let own = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let shared = self.all.running.acquire().await.ok()?;
        Some(Turn { _admitted: admitted, _own: own, _shared: shared })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut by_requester = self.all.by_requester.lock();
        let Some(load) = by_requester.get_mut(&self.key.requester) else { return };
        load.commands.remove(&self.key.id);
        if load.commands.is_empty() {
            by_requester.remove(&self.key.requester);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the number of waiting commands is bounded for all requesters together.
    #[tokio::test]
    async fn the_whole_queue_is_bounded() {
        let all = UnderWay::new();
        let key = CommandKey { requester: "alice's key".to_owned(), id: [1; 16] };
        let Arrival::First(place) = all.arrive(&key) else { panic!("the first") };
        assert!(matches!(all.arrive(&key), Arrival::Again(_)));
        let others = u32::try_from(ADMITTED_MAX).expect("small");
        let waiting = all.admitted.acquire_many(others).await.expect("open");
        assert!(place.take_turn().await.is_none());
        drop(waiting);
        assert!(place.take_turn().await.is_some());
        drop(place);
        assert!(matches!(all.arrive(&key), Arrival::First(_)), "its place is free again");
    }
}
