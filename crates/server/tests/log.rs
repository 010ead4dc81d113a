//! One contract for the log that several hubs share: in memory, and in Redis.
//!
//! The tests with Redis start `redis-server` (Debian: `apt-get install redis-server`). Where it is missing they say so
//! and do nothing, unless `CHAT_WITH_REDIS=1` asks for it, as the gate does.

#![expect(
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test that fails says so; one that is skipped, too"
)]

#[path = "log/away.rs"]
mod away;
#[path = "log/claims.rs"]
mod claims;
#[cfg(test)]
#[expect(dead_code, unused_imports, reason = "the tests of one hub need more of it")]
#[path = "hub/client.rs"]
mod client;
#[path = "log/copies.rs"]
mod copies;
#[cfg(test)]
#[expect(dead_code, reason = "the tests of one hub need more of it")]
#[path = "hub/data.rs"]
mod data;
#[path = "log/ends.rs"]
mod ends;
#[path = "log/guesses.rs"]
mod guesses;
#[path = "log/node.rs"]
mod node;
#[path = "log/opening.rs"]
mod opening;
#[path = "log/redis.rs"]
mod redis;
#[path = "log/redis_opening.rs"]
mod redis_opening;
#[path = "log/scripts.rs"]
mod scripts;
#[path = "log/server.rs"]
mod server;

use bytes::Bytes;
use chat_server::{
    clock::now_ms,
    order::{Append, LogError, Logged, SharedLog, memory::MemoryLog},
    store::Incarnation,
};

/// A log that hubs join.
pub(crate) trait TestLog {
    type End: SharedLog;

    /// A hub that has applied the turns up to `after`.
    async fn join(&self, hub: Incarnation, after: u64) -> Self::End;

    /// A hub is gone.
    async fn end(&self, hub: Incarnation);
}

impl TestLog for MemoryLog {
    type End = chat_server::order::memory::MemoryEnd;

    async fn join(&self, hub: Incarnation, after: u64) -> Self::End {
        MemoryLog::join(self, hub, after)
    }

    async fn end(&self, hub: Incarnation) {
        MemoryLog::end(self, hub);
    }
}

pub(crate) fn hub(node: u32) -> Incarnation {
    Incarnation { node, life: u64::from(node) + 100 }
}

/// A batch that was decided when `at` turns were applied.
pub(crate) fn batch(seq: u64, at: u64, text: &str) -> Append {
    let batch = Bytes::copy_from_slice(text.as_bytes());
    Append { seq, at, is_structure: false, now_ms: now_ms(), batch }
}

pub(crate) fn structure(seq: u64, at: u64, text: &str) -> Append {
    Append { is_structure: true, ..batch(seq, at, text) }
}

/// The next turns up to this one, as number and text.
pub(crate) async fn read_to(end: &mut impl SharedLog, turn: u64) -> Vec<(u64, String)> {
    let mut read: Vec<Logged> = Vec::new();
    while read.last().is_none_or(|last| last.turn < turn) {
        read.extend(end.next().await.expect("turns"));
    }
    let text = |logged: &Logged| String::from_utf8_lossy(&logged.batch).into_owned();
    read.iter().map(|logged| (logged.turn, text(logged))).collect()
}

pub(crate) fn turns(texts: &[&str]) -> Vec<(u64, String)> {
    (1..).zip(texts.iter().map(|&text| text.to_owned())).collect()
}

/// Everything that is promised of a log that nothing happens to.
pub(crate) async fn contract(log: &impl TestLog) {
    let (mut one, mut two) = (log.join(hub(1), 0).await, log.join(hub(2), 0).await);
    assert_eq!(one.append(batch(1, 0, "a")).await, Ok(1));
    assert_eq!(
        two.append(batch(1, 0, "b")).await,
        Ok(2),
        "what is frequent may be decided at once"
    );
    assert_eq!(one.append(batch(1, 0, "a")).await, Ok(2), "said again it changes nothing");
    assert_eq!(one.append(structure(2, 2, "c")).await, Ok(3));
    assert_eq!(two.append(structure(2, 2, "late")).await, Err(LogError::Late));
    assert_eq!(two.append(structure(2, 2, "late")).await, Ok(3), "its number is used up");
    assert_eq!(two.append(batch(3, 2, "d")).await, Ok(4), "structure holds up structure alone");
    assert_eq!(two.append(structure(4, 4, "e")).await, Ok(5));
    let late = Append { now_ms: now_ms() - 60_000, ..batch(3, 5, "of another time") };
    assert_eq!(one.append(late).await, Err(LogError::Clock));
    let ahead = LogError::Back { has: 5, applied: 99 };
    assert_eq!(one.append(batch(4, 99, "ahead")).await, Err(ahead));
    let all = turns(&["a", "b", "c", "d", "e"]);
    assert_eq!(read_to(&mut one, 5).await, all);
    assert_eq!(read_to(&mut two, 5).await, all);
    log.end(hub(2)).await;
    assert_eq!(two.append(batch(5, 5, "gone")).await, Err(LogError::Gone));
    let mut three = log.join(hub(3), 3).await;
    assert_eq!(read_to(&mut three, 5).await, all[3..], "from where it is");
    assert_eq!(three.append(batch(1, 5, "f")).await, Ok(6));
    assert_eq!(read_to(&mut one, 6).await, [(6, "f".to_owned())]);
}

#[tokio::test]
async fn a_log_in_memory_keeps_the_contract() {
    contract(&MemoryLog::new(now_ms)).await;
}
