//! The log in Redis, and what happens to Redis.

use std::time::Duration;

use chat_server::{
    order::{
        LogError, SharedLog as _,
        redis::{About, Place, RedisLog},
    },
    store::Incarnation,
};
use tokio::time::sleep;

use super::{TestLog, batch, contract, hub, read_to, server::redis, turns};

pub(crate) fn about(id: u8) -> About {
    let (identity, host, settings) = (b"sealed".to_vec(), "n1".to_owned(), b"too".to_vec());
    About { id: [id; 16], version: 1, identity, host, settings }
}

impl TestLog for Place {
    type End = RedisLog;

    async fn join(&self, hub: Incarnation, after: u64) -> RedisLog {
        RedisLog::join(self.clone(), hub, after).await.expect("joined")
    }

    async fn end(&self, hub: Incarnation) {
        self.shut_out(hub).await.expect("shut out");
    }
}

#[tokio::test]
async fn a_log_in_redis_keeps_the_contract() {
    let Some(redis) = redis().await else { return };
    let place = redis.place();
    assert!(place.about().await.expect("asked").is_none());
    place.found(&about(7)).await.expect("founded");
    place.found(&about(8)).await.expect_err("there is one");
    assert_eq!(place.about().await.expect("asked"), Some(about(7)));
    contract(&place).await;
}

/// Puts a text into the log. One that was decided too long ago, because Redis was away, is decided again.
async fn put(log: &mut RedisLog, seq: &mut u64, text: &str) {
    loop {
        *seq += 1;
        match log.append(batch(*seq, 0, text)).await {
            Ok(_) => return,
            Err(LogError::Clock) => {}
            Err(error) => panic!("{text}: {error}"),
        }
    }
}

/// Goal: whatever is answered is there, once and in order, whenever Redis dies. Method: two hubs append one after the
/// other while Redis is killed again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_dies_loses_nothing_and_doubles_nothing() {
    const BATCHES: u64 = 200;
    const KILLS: u32 = 6;
    let Some(mut redis) = redis().await else { return };
    let place = redis.place();
    place.found(&about(7)).await.expect("founded");
    let (mut one, mut two) = (place.join(hub(1), 0).await, place.join(hub(2), 0).await);
    let writing = tokio::spawn(async move {
        let (mut seqs_one, mut seqs_two) = (0, 0);
        for number in 0..BATCHES {
            let (a, b) = (format!("one {number}"), format!("two {number}"));
            tokio::join!(put(&mut one, &mut seqs_one, &a), put(&mut two, &mut seqs_two, &b));
        }
        read_to(&mut one, 2 * BATCHES).await
    });
    for _ in 0..KILLS {
        sleep(Duration::from_millis(150)).await;
        redis.kill();
        redis.start().await;
    }
    let read = writing.await.expect("written");
    let numbers: Vec<u64> = read.iter().map(|(turn, _)| *turn).collect();
    assert_eq!(numbers, (1..=2 * BATCHES).collect::<Vec<_>>());
    for who in ["one", "two"] {
        let of_one = read.iter().filter_map(|(_, text)| text.strip_prefix(who));
        let of_one: Vec<u64> = of_one.map(|n| n.trim().parse().expect("a number")).collect();
        assert_eq!(of_one, (0..BATCHES).collect::<Vec<_>>(), "{who}: each once, in order");
    }
    let mut late = place.join(hub(3), 0).await;
    assert_eq!(read_to(&mut late, 2 * BATCHES).await, read);
}

/// Goal: a Redis that has lost turns is not believed. Method: it is emptied while hubs have read from it.
#[tokio::test]
async fn a_redis_that_was_emptied_is_not_taken_for_the_log() {
    let Some(redis) = redis().await else { return };
    let place = redis.place();
    place.found(&about(7)).await.expect("founded");
    let mut one = place.join(hub(1), 0).await;
    assert_eq!(one.append(batch(1, 0, "a")).await, Ok(1));
    assert_eq!(read_to(&mut one, 1).await, turns(&["a"]));
    assert_eq!(redis.say(&["FLUSHALL"]).await.as_deref(), Some("OK"));
    assert_eq!(one.append(batch(2, 1, "b")).await, Err(LogError::Lost));
}

/// Goal: a Redis without memory refuses whole batches, keeps what it has, and takes them when there is room.
#[tokio::test]
async fn a_redis_without_memory_refuses_and_goes_on_when_there_is_room() {
    let Some(redis) = redis().await else { return };
    let place = redis.place();
    place.found(&about(7)).await.expect("founded");
    let mut one = place.join(hub(1), 0).await;
    assert_eq!(one.append(batch(1, 0, "a")).await, Ok(1));
    redis.say(&["CONFIG", "SET", "maxmemory", "1"]).await.expect("set");
    assert_eq!(one.append(batch(2, 1, "b")).await, Err(LogError::Full));
    redis.say(&["CONFIG", "SET", "maxmemory", "0"]).await.expect("set");
    assert_eq!(one.append(batch(2, 1, "b")).await, Ok(2), "its number was not used up");
    assert_eq!(read_to(&mut one, 2).await, turns(&["a", "b"]));
}

/// Goal: a server on a copy of a folder does not take the name of the one that runs. Before: it took it at once.
#[tokio::test]
async fn a_copy_of_a_folder_takes_no_name_from_a_server_that_runs() {
    const RUNS: u64 = 7;
    const COPY: u64 = 8;
    let Some(redis) = redis().await else { return };
    let place = redis.place();
    place.acquire((1, RUNS), None).await.expect("free");
    let mut copy = std::pin::pin!(place.acquire((1, COPY), Some(RUNS)));
    for _ in 0..5 {
        place.acquire((1, RUNS), None).await.expect("renewed");
        let wait = Duration::from_millis(500);
        assert!(tokio::time::timeout(wait, &mut copy).await.is_err(), "it has taken the name");
    }
    // It has died.
    copy.await.expect("taken");
}
