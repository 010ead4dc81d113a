//! The opening of a log in a real Redis.

use std::collections::{BTreeMap, BTreeSet};

use ::redis::aio::MultiplexedConnection;
use ::redis::streams::StreamRangeReply;
use chat_protocol::{crypto::sha256, id::Digest};
use chat_server::order::SharedLog as _;
use chat_server::order::opening::attempt::{Answer, Closed, Kept, Look, Opener};
use chat_server::order::opening::line::Began;
use chat_server::order::opening::redis::{ClosedError, ClosedInRedis};
use chat_server::order::opening::{Heard, Question, Said, Stamp, Words};

use super::opening::{TestPlace, contract};
use super::redis::{about, begun, seal};
use super::server::{Redis, redis};
use super::{TestLog as _, batch, hub, read_to, turns};

const ID: [u8; 16] = [7; 16];

/// What is said of the log beside its turns.
fn facts() -> Vec<(String, Vec<u8>)> {
    [("identity", "sealed"), ("host", "n1"), ("settings", "too")]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .to_vec()
}

/// A log in a Redis that runs all the time: what makes it another Redis is written into it.
struct InRedis {
    closed: ClosedInRedis<MultiplexedConnection>,
    connection: MultiplexedConnection,
}

/// What a hub says that has heard nobody.
fn words(said: Said) -> Words {
    Words { said, asks: Question(1), answers: BTreeMap::new() }
}

async fn connection(redis: &Redis) -> MultiplexedConnection {
    let client = ::redis::Client::open(redis.url()).expect("an address");
    client.get_multiplexed_async_connection().await.expect("connected")
}

impl InRedis {
    async fn new(redis: &Redis) -> Self {
        let connection = connection(redis).await;
        let sealing = (ID, seal(ID));
        let closed = ClosedInRedis::new(connection.clone(), "test", sealing, facts());
        Self { closed, connection }
    }

    async fn ask<T: ::redis::FromRedisValue>(&mut self, words: &[&str]) -> T {
        let mut command = ::redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query_async(&mut self.connection).await.expect("answered")
    }

    async fn entries(&mut self) -> Vec<(String, BTreeMap<String, String>)> {
        let reply: StreamRangeReply = self.ask(&["XRANGE", "{test}:log", "-", "+"]).await;
        let entries = reply.ids.into_iter().map(|entry| {
            let field = |name: &str| entry.get::<String>(name).unwrap_or_default();
            (
                entry.id.clone(),
                BTreeMap::from([("b".to_owned(), field("b")), ("t".to_owned(), field("t"))]),
            )
        });
        entries.collect()
    }

    /// What stands behind this turn goes.
    async fn cut(&mut self, last: u64) {
        for (id, _) in self.entries().await {
            let turn: u64 = id.split_once('-').expect("a turn").1.parse().expect("a number");
            if turn > last {
                let _: u64 = self.ask(&["XDEL", "{test}:log", &id]).await;
            }
        }
        // A stream remembers the largest id that it had; one that went back does not.
        let newest = self.entries().await.last().map(|(id, _)| id.clone()).expect("some are left");
        let _: String = self.ask(&["XSETID", "{test}:log", &newest]).await;
    }

    /// Where it lies what a hub has said.
    async fn place_of(&mut self, node: u32) -> (String, String) {
        let run = self.closed.look().await.expect("asked").run;
        (format!("{{test}}:open:{run}"), format!("n:{node}"))
    }

    /// It lies there as if it was said then, in seconds of Redis.
    async fn put_words(&mut self, node: u32, words: &[u8], seconds: &str) {
        let (key, field) = self.place_of(node).await;
        let parts: Vec<&[u8]> = words.splitn(3, |byte| *byte == b' ').collect();
        let words = [parts[0], seconds.as_bytes(), parts[2]].join(&b' ');
        let mut write = ::redis::cmd("HSET");
        write.arg(key).arg(field).arg(words);
        let _: u64 = write.query_async(&mut self.connection).await.expect("answered");
    }
}

impl Closed for InRedis {
    type Error = ClosedError;

    async fn look(&mut self) -> Result<Look, ClosedError> {
        self.closed.look().await
    }

    async fn last(&mut self) -> Result<Option<(u64, Stamp)>, ClosedError> {
        self.closed.last().await
    }

    async fn said(&mut self, run: &str) -> Result<Heard, ClosedError> {
        self.closed.said(run).await
    }

    async fn say(&mut self, run: &str, node: u32, words: &Words) -> Result<Answer, ClosedError> {
        self.closed.say(run, node, words).await
    }

    async fn claim(
        &mut self,
        run: &str,
        node: u32,
        without: &BTreeSet<u32>,
    ) -> Result<Answer, ClosedError> {
        self.closed.claim(run, node, without).await
    }

    async fn refill(
        &mut self,
        opener: Opener<'_>,
        after: u64,
        batches: &[Kept],
    ) -> Result<Answer, ClosedError> {
        self.closed.refill(opener, after, batches).await
    }

    async fn settle(
        &mut self,
        opener: Opener<'_>,
        begins: (u64, Began),
        numbers: &[(String, u64)],
    ) -> Result<Answer, ClosedError> {
        self.closed.settle(opener, begins, numbers).await
    }
}

impl TestPlace for InRedis {
    /// A process cannot change its own run id: what scripts compare is changed by DEBUG CHANGE-REPL-ID, as a promotion
    /// does it.
    async fn replace(&mut self, last: u64) {
        let _: String = self.ask(&["DEBUG", "CHANGE-REPL-ID"]).await;
        if last == 0 {
            let _: String = self.ask(&["FLUSHALL"]).await;
            return;
        }
        self.cut(last).await;
        let _: u64 = self.ask(&["HDEL", "{test}:meta", "s:1:00", "s:2:00", "s:3:00"]).await;
    }

    async fn turns(&mut self) -> Vec<(u64, String)> {
        let entries = self.entries().await;
        let turn = |id: &str| id.split_once('-').expect("a turn").1.parse().expect("a number");
        entries.iter().map(|(id, fields)| (turn(id), fields["b"].clone())).collect()
    }

    async fn number(&mut self, hub: &str) -> Option<u64> {
        self.ask(&["HGET", "{test}:meta", &format!("s:{hub}")]).await
    }

    async fn grows_silent(&mut self, node: u32) {
        let said = self.shown(node).await;
        self.put_words(node, &said, "1").await;
    }

    async fn close(&mut self, last: u64) {
        let _: u64 = self.ask(&["HDEL", "{test}:meta", "run"]).await;
        self.cut(last).await;
    }

    type Shown = Vec<u8>;

    async fn shown(&mut self, node: u32) -> Vec<u8> {
        let (key, field) = self.place_of(node).await;
        self.ask(&["HGET", &key, &field]).await
    }

    async fn show(&mut self, node: u32, shown: Vec<u8>) {
        let (seconds, _): (String, String) = self.ask(&["TIME"]).await;
        self.put_words(node, &shown, &seconds).await;
    }
}

#[tokio::test]
async fn an_opening_in_redis_keeps_the_contract() {
    let Some(redis) = redis().await else { return };
    contract(&mut InRedis::new(&redis).await).await;
}

/// Goal: hubs go on in a log that was refilled: what they had sent and not heard of goes in once, who was behind reads
/// what was added, and new batches follow. Method: Redis is emptied; a hub has appended a batch that is in the copies, and
/// says it again.
#[tokio::test]
async fn hubs_go_on_in_a_log_that_was_refilled() {
    let Some(redis) = redis().await else { return };
    let place = redis.place();
    place.found(&about(7)).await.expect("founded");
    let (mut one, mut two) = (place.join(hub(1), 0).await, place.join(hub(2), 0).await);
    assert_eq!(one.append(batch(1, 0, "a")).await, Ok(1));
    assert_eq!(two.append(batch(1, 1, "b")).await, Ok(2));
    assert_eq!(read_to(&mut two, 2).await, turns(&["a", "b"]));
    let mut closed = InRedis::new(&redis).await;
    closed.replace(0).await;
    let run = closed.look().await.expect("asked").run;
    let chain = Digest(sha256(b"ab"));
    let said = Said { turn: 2, chain, generation: 1, is_new: false };
    closed.say(&run, 2, &words(said)).await.expect("asked");
    closed.claim(&run, 2, &BTreeSet::new()).await.expect("asked");
    let kept = |turn, text: &'static str| Kept {
        turn,
        time_ms: 1,
        is_structure: false,
        batch: bytes::Bytes::from_static(text.as_bytes()),
    };
    let opener = Opener { run: &run, node: 2, before: 1 };
    let added = closed.refill(opener, 0, &[kept(1, "a"), kept(2, "b")]).await;
    assert_eq!(added.expect("asked"), Answer::Done(2));
    let named = |node| format!("{}:{:016x}", node, u64::from(node) + 100);
    let numbers = [(named(1_u32), 1), (named(2), 1)];
    let began = Began { before: 1, turn: 2, chain };
    assert_eq!(closed.settle(opener, (2, began), &numbers).await.expect("asked"), Answer::Done(2));
    assert_eq!(place.about().await.expect("asked"), Some(about(7)), "who it is was not lost");
    assert_eq!(one.append(batch(1, 0, "a")).await, Ok(2), "it is in, and goes in once");
    assert_eq!(one.append(batch(2, 2, "c")).await, Ok(3));
    assert_eq!(read_to(&mut one, 3).await, turns(&["a", "b", "c"]));
    assert_eq!(read_to(&mut two, 3).await, [(3, "c".to_owned())], "from where it was");
    let mut late = place.join(hub(3), 1).await;
    assert_eq!(read_to(&mut late, 3).await, turns(&["a", "b", "c"])[1..]);
    let ids: Vec<String> = closed.entries().await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["1-1", "1-2", "2-3"]);
}

/// Goal: what a person says goes to those that wait: where all who have waited are gone, nobody hears it.
#[tokio::test]
async fn nobody_waits_where_all_have_grown_silent() {
    let Some(redis) = redis().await else { return };
    let (place, mut closed) = (redis.place(), InRedis::new(&redis).await);
    let run = closed.look().await.expect("asked").run;
    let said = Said { turn: 0, chain: Digest::ZERO, generation: 1, is_new: false };
    let asked = async || place.waiting(ID, &seal(ID)).await.expect("asked").1;
    assert!(asked().await.is_empty());
    closed.say(&run, 2, &words(said)).await.expect("asked");
    assert_eq!(asked().await, BTreeMap::from([(2, Question(1))]));
    closed.grows_silent(2).await;
    assert!(asked().await.is_empty(), "it has died");
}

/// Goal: a hub that waits hears that the log was open since it asked, and takes what was answered before that for nothing.
#[tokio::test]
async fn who_hears_of_a_newer_opening_asks_anew() {
    let Some((redis, place, mut one)) = begun().await else { return };
    redis.say(&["FLUSHALL"]).await.expect("emptied");
    let mut closed = InRedis::new(&redis).await;
    let run = closed.look().await.expect("asked").run;
    let mut asks = async |answer: Option<(u64, Question)>| {
        if let Some((generation, question)) = answer {
            let said = Said { turn: 1, chain: Digest(sha256(b"a")), generation, is_new: false };
            let answers = BTreeMap::from([(1, question)]);
            let words = Words { said, asks: Question(5), answers };
            closed.say(&run, 2, &words).await.expect("asked");
        }
        assert!(!one.step(0).await, "it waits");
        place.waiting(ID, &seal(ID)).await.expect("asked").1[&1]
    };
    let first = asks(None).await;
    assert_eq!(asks(Some((9, Question(first.0 ^ 1)))).await, first, "it answers something else");
    let second = asks(Some((9, first))).await;
    assert_ne!(second, first, "it knows an opening that this one does not");
    assert_eq!(asks(None).await, second, "once");
}

/// Goal: a hub that is away keeps its day, counted from then, where Redis was emptied.
#[tokio::test]
async fn a_hub_that_is_put_back_beside_the_log_counts_from_then() {
    let Some(redis) = redis().await else { return };
    let sealing = (ID, seal(ID));
    let mut facts = facts();
    facts.push(("d:9".to_owned(), b"5 1000 4".to_vec()));
    let connection = connection(&redis).await;
    let mut closed = ClosedInRedis::new(connection, "test", sealing, facts);
    let run = closed.look().await.expect("asked").run;
    let said = Said { turn: 0, chain: Digest::ZERO, generation: 1, is_new: false };
    closed.say(&run, 2, &words(said)).await.expect("asked");
    closed.claim(&run, 2, &BTreeSet::new()).await.expect("asked");
    let opener = Opener { run: &run, node: 2, before: 1 };
    let began = Began { before: 1, turn: 0, chain: Digest::ZERO };
    assert_eq!(closed.settle(opener, (2, began), &[]).await.expect("asked"), Answer::Done(2));
    let there = redis.say(&["HGET", "{test}:meta", "d:9"]).await.expect("it is there");
    let parts: Vec<u64> = there.split(' ').map(|part| part.parse().expect("a number")).collect();
    let [turn, at, synced] = parts[..] else { panic!("{there}") };
    assert_eq!((turn, synced), (5, 4));
    assert!(chat_server::clock::now_ms().abs_diff(at) < 60_000, "{there}");
}
