//! What single scripts in Redis take care of.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chat_protocol::id::Digest;
use chat_server::{
    clock::now_ms,
    order::{
        LogError, SharedLog as _,
        opening::{
            Question, Said, Words,
            attempt::{Answer, Closed as _, Opener},
            line::Began,
            redis::ClosedInRedis,
        },
        redis::{
            lease::{Lease, Trimming},
            level::AckLevel,
        },
    },
    store::{Facts, Incarnation},
};
use tokio::time::{sleep, timeout};

use super::{
    TestLog as _, batch, hub, read_to,
    redis::{about, begun, seal},
    server::{Redis, redis},
    turns,
};

const ID: [u8; 16] = [7; 16];
const META: &str = "{test}:meta";
const LOG: &str = "{test}:log";

async fn field(redis: &Redis, name: &str) -> Option<String> {
    redis.say(&["HGET", META, name]).await
}

/// Opens the closed log behind this turn, as hub 2.
async fn settle(redis: &Redis, generation: u64, turn: u64, numbers: &[(String, u64)]) -> Answer {
    let client = ::redis::Client::open(redis.url()).expect("an address");
    let connection = client.get_multiplexed_async_connection().await.expect("connected");
    let mut closed = ClosedInRedis::new(connection, "test", (ID, seal(ID)), Facts::new());
    let run = closed.look().await.expect("asked").run;
    let said = Said { turn, chain: Digest::ZERO, generation: 1, is_new: false };
    let words = Words { said, asks: Question(1), answers: BTreeMap::new() };
    closed.say(&run, 2, &words).await.expect("asked");
    closed.claim(&run, 2, &BTreeSet::new()).await.expect("asked");
    let opener = Opener { run: &run, node: 2, before: 1 };
    let began = Began { before: 1, turn, chain: Digest::ZERO };
    closed.settle(opener, (generation, began), numbers).await.expect("asked")
}

/// Goal: a number that was used up stays so, whatever the opener knows, and nothing that was decided before a loss passes for
/// decided on what came since.
#[tokio::test]
async fn an_opening_takes_no_number_back_and_knows_no_older_structure() {
    let Some(redis) = redis().await else { return };
    let place = redis.place();
    place.found(&about(7)).await.expect("founded");
    let mut one = place.join(hub(1), 0).await;
    for number in 1..=3 {
        assert_eq!(one.append(batch(number, 0, "a")).await, Ok(number));
    }
    redis.say(&["HSET", META, "s:1:00", "50", "s:2:00", "5", "hturn", "2"]).await.expect("set");
    let numbers: Vec<(String, u64)> =
        [("1:00", 10), ("2:00", 20), ("3:00", 30)].map(|(hub, n)| (hub.to_owned(), n)).to_vec();
    redis.say(&["HDEL", META, "run"]).await.expect("closed");
    assert_eq!(settle(&redis, 2, 3, &numbers).await, Answer::Done(2));
    for (name, value) in [("s:1:00", "50"), ("s:2:00", "20"), ("s:3:00", "30"), ("hturn", "2")] {
        assert_eq!(field(&redis, name).await.as_deref(), Some(value), "{name}");
    }
    redis.say(&["HDEL", META, "run", "hturn"]).await.expect("closed");
    assert_eq!(settle(&redis, 2, 3, &[]).await, Answer::EndsAt(3), "no generation begins twice");
    assert_eq!(settle(&redis, 3, 3, &[]).await, Answer::Done(3));
    assert_eq!(field(&redis, "hturn").await.as_deref(), Some("3"), "it is not known");
}

/// Goal: of a hub one life writes.
#[tokio::test]
async fn a_life_of_before_writes_no_more_when_the_next_one_has_come() {
    let Some((_redis, place, mut one)) = begun().await else { return };
    let mut other = place.join(hub(2), 0).await;
    let mut next = place.join(Incarnation { life: 999, ..hub(1) }, 1).await;
    assert_eq!(one.append(batch(2, 1, "of before")).await, Err(LogError::Gone));
    assert_eq!(next.append(batch(1, 1, "b")).await, Ok(2));
    assert_eq!(other.append(batch(1, 1, "c")).await, Ok(3), "it is another hub");
    assert_eq!(read_to(&mut other, 3).await, turns(&["a", "b", "c"]));
}

/// Goal: a stream that somebody has removed is a loss, and not the beginning of a log.
#[tokio::test]
async fn a_stream_that_was_removed_is_put_back_and_not_gone_on_with() {
    let Some((redis, _, mut one)) = begun().await else { return };
    redis.say(&["DEL", LOG]).await.expect("removed");
    assert_eq!(one.log.append(batch(2, 1, "b")).await, Err(LogError::Closed));
    assert_eq!(field(&redis, "run").await, None, "for nobody it is open");
    assert_eq!(field(&redis, "turn").await.as_deref(), Some("1"));
}

/// Goal: the last turn stays, however little is to be kept: a log without any is one that was lost.
#[tokio::test]
async fn the_log_is_never_trimmed_to_nothing() {
    const TURNS: u64 = 250;
    let Some(redis) = redis().await else { return };
    let place = redis.place();
    place.found(&about(7)).await.expect("founded");
    let mut one = place.join(hub(1), 0).await;
    for number in 1..=TURNS {
        assert_eq!(one.append(batch(number, 0, "a")).await, Ok(number));
    }
    let health = one.log.health();
    health.set_applied(TURNS);
    health.set_synced(TURNS);
    let process = (1, hub(1).life);
    place.acquire(process, None).await.expect("free");
    let trimming = Trimming { keep: 0, most: None };
    let watched = (Arc::clone(&health), Arc::default());
    let lease = Lease::new(place.clone(), process, watched, (now_ms, AckLevel::Memory, trimming));
    let (lost, _reports) = tokio::sync::mpsc::channel(1);
    let keeping = tokio::spawn(lease.keep(lost));
    let length = async || -> u64 {
        let length = redis.say(&["XLEN", LOG]).await;
        length.and_then(|length| length.parse().ok()).expect("a number")
    };
    let trimmed = async {
        while length().await == TURNS {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(chat_testkit::PATIENCE, trimmed).await.expect("in time");
    // Whatever comes next is behind it.
    health.set_applied(TURNS + 1);
    assert_eq!(one.append(batch(TURNS + 1, TURNS, "b")).await, Ok(TURNS + 1));
    assert!((1..TURNS).contains(&length().await));
    keeping.abort();
}
