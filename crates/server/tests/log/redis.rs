//! The log in Redis, and what happens to Redis.

#[path = "redis/read_on.rs"]
mod read_on;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chat_protocol::{crypto::sha256, id::Digest};
use chat_server::{
    clock::now_ms,
    order::{
        Append, LogError, Logged, Opening, SharedLog,
        batch::VERSION,
        opening::{
            Question, Said, Stamp,
            attempt::{Held, Kept},
            line::{Began, number_behind},
        },
        redis::{
            About, Host, Place, RedisLog,
            lease::{Lease, Trimming},
            level::AckLevel,
        },
        words::WordSeal,
    },
    store::{CommitError, Facts, Incarnation, Unsure},
};
use tokio::time::sleep;

use super::{
    TestLog, batch, contract, hub, read_to,
    server::{Redis, redis},
    turns,
};

/// What seals the words of the hubs of a log.
pub(crate) fn seal(log: [u8; 16]) -> WordSeal {
    WordSeal::new(&[1; 32], log)
}

pub(crate) fn about(id: u8) -> About {
    let (identity, host, settings) = (b"sealed".to_vec(), "n1".to_owned(), b"too".to_vec());
    About { id: [id; 16], version: VERSION, identity, host, settings, base: None }
}

/// A hub that keeps what it has read, and opens the log where it is closed.
pub(crate) struct Opened {
    pub(crate) log: RedisLog,
    hub: Incarnation,
    kept: Vec<Kept>,
    /// Up to where its copy begins.
    after: u64,
    read_from: u64,
    facts: Facts,
    given: Vec<Logged>,
    unsure: Option<Unsure>,
}

impl Opened {
    fn keep(&mut self, logged: &[Logged]) {
        for Logged { turn, generation, time_ms, batch } in logged {
            self.read_from = *generation;
            let (turn, time_ms, batch) = (*turn, *time_ms, batch.clone());
            self.kept.push(Kept { turn, time_ms, is_structure: false, batch });
        }
    }

    /// Goes on until the log is open.
    pub(crate) async fn open_with(&mut self, used: u64) {
        while !self.step(used).await {}
    }

    /// One step. Whether the log is open then.
    pub(crate) async fn step(&mut self, used: u64) -> bool {
        self.try_step(used).await.expect("opened")
    }

    async fn try_step(&mut self, used: u64) -> Result<bool, CommitError> {
        let mut copy = PlainCopy {
            hub: self.hub,
            kept: self.kept.clone(),
            after: self.after,
            read_from: self.read_from,
            facts: std::mem::take(&mut self.facts),
            unsure: self.unsure.take(),
        };
        let opening = self.log.open(&mut copy, used).await;
        (self.facts, self.unsure) = (copy.facts, copy.unsure);
        match opening? {
            Opening::Open => return Ok(true),
            Opening::NotYet => {}
            Opening::Read(read) => {
                self.keep(&read);
                self.given.extend(read);
            }
        }
        Ok(false)
    }
}

/// Up to how many turns back a copy knows what everything came to.
const CHAINS_KEPT: u64 = 16;

struct PlainCopy {
    hub: Incarnation,
    kept: Vec<Kept>,
    after: u64,
    read_from: u64,
    facts: Facts,
    unsure: Option<Unsure>,
}

impl Held for PlainCopy {
    type Error = CommitError;

    fn node(&self) -> u32 {
        self.hub.node
    }

    fn said(&self) -> Said {
        let turn = self.kept.last().map_or(self.after, |kept| kept.turn);
        let chain = self.chain_at(turn).unwrap_or(Digest::ZERO);
        Said { turn, chain, generation: self.read_from, is_new: false }
    }

    fn chain_at(&self, turn: u64) -> Option<Digest> {
        let last = self.kept.last().map_or(self.after, |kept| kept.turn);
        let is_known = turn <= last && last < turn.saturating_add(CHAINS_KEPT);
        (self.after == 0 && is_known).then(|| {
            let upto = self.kept.iter().filter(|kept| kept.turn <= turn);
            let bytes: Vec<u8> = upto.flat_map(|kept| kept.batch.to_vec()).collect();
            Digest(sha256(&bytes))
        })
    }

    async fn stamp_at(&self, turn: u64) -> Result<Option<Stamp>, CommitError> {
        let kept = self.kept.iter().find(|kept| kept.turn == turn);
        Ok(kept.map(|kept| Stamp::new(kept.time_ms, &kept.batch)))
    }

    fn living(&self) -> BTreeSet<u32> {
        BTreeSet::new()
    }

    fn numbers(&self) -> Vec<(String, u64)> {
        Vec::new()
    }

    fn read_from(&self) -> u64 {
        self.read_from
    }

    fn facts(&self) -> Facts {
        self.facts.clone()
    }

    fn unsure_since(&self) -> Option<u64> {
        self.unsure.as_ref().map(|unsure| unsure.turn)
    }

    async fn read_on_unsure(&mut self) -> Result<(), CommitError> {
        let (turn, read_from) = (self.said().turn, self.read_from);
        let openings = self.facts.clone();
        self.unsure.get_or_insert(Unsure { turn, read_from, openings });
        Ok(())
    }

    async fn be_sure(&mut self) -> Result<(), CommitError> {
        self.unsure = None;
        Ok(())
    }

    fn number_behind(&self, generation: u64) -> u64 {
        number_behind(generation)
    }

    async fn learn(&mut self, _generation: u64, facts: Facts) -> Result<(), CommitError> {
        self.facts = facts;
        Ok(())
    }

    async fn note(&mut self, _generation: u64) -> Result<(), CommitError> {
        Ok(())
    }

    async fn batches(&self, after: u64, _bytes: usize) -> Result<Vec<Kept>, CommitError> {
        Ok(self.kept.iter().filter(|kept| kept.turn > after).cloned().collect())
    }
}

impl SharedLog for Opened {
    async fn append(&mut self, append: Append) -> Result<u64, LogError> {
        loop {
            match self.log.append(append.clone()).await {
                Err(LogError::Closed) => self.open_with(append.seq - 1).await,
                appended => return appended,
            }
        }
    }

    async fn end(&mut self) -> Result<u64, LogError> {
        self.log.end().await
    }

    async fn begin_again(&mut self, hub: Incarnation) -> Result<(), LogError> {
        self.log.begin_again(hub).await
    }

    async fn next(&mut self) -> Result<Vec<Logged>, LogError> {
        loop {
            if !self.given.is_empty() {
                return Ok(std::mem::take(&mut self.given));
            }
            match self.log.next().await {
                Ok(read) => {
                    self.keep(&read);
                    return Ok(read);
                }
                Err(LogError::Closed) => self.open_with(0).await,
                Err(error) => return Err(error),
            }
        }
    }
}

impl TestLog for Place {
    type End = Opened;

    async fn join(&self, hub: Incarnation, after: u64) -> Opened {
        let id = self.about().await.expect("asked").expect("founded").id;
        let log = RedisLog::new(self.clone(), (id, seal(id)), hub, (after, 0));
        let (kept, facts, given) = (Vec::new(), Facts::new(), Vec::new());
        let unsure = None;
        let mut joined = Opened { log, hub, kept, after, read_from: 1, facts, given, unsure };
        joined.open_with(0).await;
        joined
    }

    async fn end(&self, hub: Incarnation) {
        self.shut_out(hub).await.expect("shut out");
    }
}

/// A Redis in which a log has begun, and hub 1 has put "a" there and has read it; nothing where there is none to start.
pub(crate) async fn begun() -> Option<(Redis, Place, Opened)> {
    let redis = redis().await?;
    let place = redis.place();
    place.found(&about(7)).await.expect("founded");
    let mut one = place.join(hub(1), 0).await;
    assert_eq!(one.append(batch(1, 0, "a")).await, Ok(1));
    assert_eq!(read_to(&mut one, 1).await, turns(&["a"]));
    Some((redis, place, one))
}

/// The same, where hub 2 has read it, too.
async fn begun_by_two() -> Option<(Redis, Place, [Opened; 2])> {
    let (redis, place, one) = begun().await?;
    let mut two = place.join(hub(2), 0).await;
    assert_eq!(read_to(&mut two, 1).await, turns(&["a"]));
    Some((redis, place, [one, two]))
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
async fn put(log: &mut Opened, seq: &mut u64, text: &str) {
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

/// Goal: a Redis that has lost turns is not believed by a hub alone, which may be one of long ago. Method: it is emptied
/// while a hub has read from it.
#[tokio::test]
async fn a_redis_that_was_emptied_is_not_taken_for_the_log() {
    let Some((redis, place, mut one)) = begun().await else { return };
    assert_eq!(redis.say(&["FLUSHALL"]).await.as_deref(), Some("OK"));
    assert_eq!(one.log.append(batch(2, 1, "b")).await, Err(LogError::Closed));
    for _ in 0..3 {
        assert!(!one.step(1).await);
    }
    let words = one.log.health().obstacle().expect("it says why").into_owned();
    assert!(words.contains("turns 1 to 1 of the log, and this server alone has it"), "{words}");
    assert!(place.about().await.expect("asked").is_none(), "nothing was begun");
}

/// Goal: a Redis without memory refuses whole batches, keeps what it has, and takes them when there is room.
#[tokio::test]
async fn a_redis_without_memory_refuses_and_goes_on_when_there_is_room() {
    let Some((redis, _, mut one)) = begun().await else { return };
    redis.say(&["CONFIG", "SET", "maxmemory", "1"]).await.expect("set");
    assert_eq!(one.append(batch(2, 1, "b")).await, Err(LogError::Full));
    redis.say(&["CONFIG", "SET", "maxmemory", "0"]).await.expect("set");
    assert_eq!(one.append(batch(3, 1, "b")).await, Ok(2));
    assert_eq!(one.append(batch(2, 1, "b")).await, Ok(2), "a copy that comes late does not go in");
    assert_eq!(read_to(&mut one, 2).await, turns(&["a", "b"])[1..]);
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

/// Goal: commands to `server` run on one machine at a time: whoever stands still and may go on is waited for until the others
/// say that it is gone. Before, a lease of six seconds that had ended was enough.
#[tokio::test]
async fn who_answers_to_server_is_another_one_only_when_the_one_before_is_gone() {
    const OWN: u64 = 7;
    let Some(redis) = redis().await else { return };
    let place = redis.place();
    place.found(&about(1)).await.expect("begun");
    let host = async || place.about().await.expect("answered").expect("there").host;
    // The first one runs, and a third one, too.
    for (node, field) in [(1, "s:1:00000000000000aa"), (3, "s:3:00000000000000bb")] {
        place.acquire((node, OWN), None).await.expect("free");
        redis.say(&["HSET", "{test}:meta", field, "1"]).await.expect("set");
    }
    assert_eq!(place.change_host((2, "n2"), 1).await.expect("answered"), Host::Runs);
    // It stands still, or is dead: the third one is about to say which.
    place.release(Incarnation { node: 1, life: OWN }, OWN).await.expect("released");
    let mut changing = std::pin::pin!(place.change_host((2, "n2"), 1));
    let wait = Duration::from_millis(300);
    assert!(tokio::time::timeout(wait, &mut changing).await.is_err(), "it may go on");
    assert_eq!(host().await, "n1");
    redis.say(&["HDEL", "{test}:meta", "s:1:00000000000000aa"]).await.expect("gone");
    assert_eq!(changing.await.expect("answered"), Host::Changed);
    assert_eq!(host().await, "n2");
    // Where nobody else runs nobody can say it.
    redis.say(&["HSET", "{test}:meta", "s:2:00000000000000cc", "1"]).await.expect("set");
    place.release(Incarnation { node: 3, life: OWN }, OWN).await.expect("released");
    assert_eq!(place.change_host((1, "n1"), 2).await.expect("answered"), Host::Changed);
    assert_eq!(host().await, "n1");
    // Of one that stands still all the time nobody says that it runs.
    redis.say(&["HSET", "{test}:meta", "s:1:00000000000000dd", "1"]).await.expect("set");
    redis.say(&["HSET", "{test}:meta", "s:3:00000000000000bb", "1"]).await.expect("set");
    let third = place.clone();
    let renewing = tokio::spawn(async move {
        loop {
            third.acquire((3, OWN), None).await.expect("free");
            sleep(Duration::from_millis(500)).await;
        }
    });
    until_leased(&place, 3).await;
    assert_eq!(place.change_host((2, "n2"), 1).await.expect("answered"), Host::MayGoOn);
    assert_eq!(host().await, "n1");
    renewing.abort();
}

/// Waits until a hub has a lease.
async fn until_leased(place: &Place, node: u32) {
    let leased = async {
        while !place.standing(node).await.expect("answered").has_lease {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(chat_testkit::PATIENCE, leased).await.expect("in time");
}

/// Goal: an old Redis that comes back is not taken for a log that has lost something. Method: a hub comes that knows of an
/// opening of which the log there knows nothing.
#[tokio::test]
async fn a_log_of_before_is_not_gone_on_with() {
    let Some((_redis, place, _)) = begun().await else { return };
    let began = Began { before: 1, turn: 1, chain: Digest([3; 32]) };
    let log = RedisLog::new(place.clone(), ([7; 16], seal([7; 16])), hub(2), (1, 9));
    let facts = vec![began.sealed(9, &seal([7; 16]))];
    let (kept, given, unsure) = (Vec::new(), Vec::new(), None);
    let mut other = Opened { log, hub: hub(2), kept, after: 1, read_from: 9, facts, given, unsure };
    for _ in 0..3 {
        assert!(!other.step(0).await, "it is open in a generation that has passed");
    }
    let words = other.log.health().obstacle().expect("it says why").into_owned();
    assert!(words.contains("the log in this Redis is one of before"), "{words}");
}

/// Empties the log under two hubs that have read the same, and has them open it. Returns what they have asked each other with.
async fn emptied_and_opened(
    redis: &Redis,
    [one, two]: [&mut Opened; 2],
) -> BTreeMap<u32, Question> {
    redis.say(&["FLUSHALL"]).await.expect("emptied");
    assert!(!one.step(0).await && !two.step(0).await, "nobody has answered yet");
    let place = redis.place();
    let (look, asked) = place.waiting([7; 16], &seal([7; 16])).await.expect("asked");
    assert_eq!(look.open, None);
    let opened = async {
        loop {
            let (is_one, is_two) = (one.step(0).await, two.step(0).await);
            if is_one && is_two {
                return;
            }
        }
    };
    tokio::time::timeout(chat_testkit::PATIENCE, opened).await.expect("in time");
    asked
}

/// Goal: a hub asks with another number at each closing of the log, in one run of Redis: nothing that was said at one before
/// answers it.
#[tokio::test]
async fn a_hub_asks_with_another_number_at_each_closing() {
    let Some((redis, _, [mut one, mut two])) = begun_by_two().await else { return };
    let first = emptied_and_opened(&redis, [&mut one, &mut two]).await;
    let second = emptied_and_opened(&redis, [&mut one, &mut two]).await;
    assert_eq!(first.keys().collect::<Vec<_>>(), [&1, &2]);
    for (node, asked) in &first {
        assert_ne!(second.get(node), Some(asked), "hub {node}");
        assert_ne!(asked.0, 0, "hub {node}");
    }
    assert_eq!(two.append(batch(1, 1, "b")).await, Ok(2));
    assert_eq!(read_to(&mut one, 2).await, [(2, "b".to_owned())]);
}

/// Goal: what is written beside the log by who has not the key is put right, and gets into no copy.
#[tokio::test]
async fn what_no_hub_has_sealed_is_put_right_from_a_copy() {
    let Some(redis) = redis().await else { return };
    let place = redis.place();
    let identity = seal([7; 16]).seal("identity", b"key");
    let right = About { identity: identity.clone(), ..about(7) };
    place.found(&right).await.expect("founded");
    let mut one = place.join(hub(1), 0).await;
    assert!(one.facts.contains(&("identity".to_owned(), identity)));
    let known = one.facts.clone();
    for words in [["identity", "x"], ["o:9999", "0"], ["n:5", "n1"]] {
        let [name, value] = words;
        redis.say(&["HSET", "{test}:meta", name, value]).await;
    }
    redis.say(&["HDEL", "{test}:meta", "run"]).await;
    one.open_with(0).await;
    assert_eq!(place.about().await.expect("asked"), Some(right));
    let mut learnt = one.facts.clone();
    learnt.retain(|(name, _)| !name.starts_with("o:") || name == "o:9999");
    assert_eq!(learnt, known, "but for the opening that there was");
}

/// Goal: what a power cut may take from a hub is not removed from the log.
#[tokio::test]
async fn what_is_not_on_the_disk_of_a_hub_is_still_needed() {
    let Some(redis) = redis().await else { return };
    let place = redis.place();
    place.found(&about(7)).await.expect("founded");
    let mut one = place.join(hub(1), 0).await;
    for number in 1..=30 {
        assert_eq!(one.append(batch(number, 0, "a")).await, Ok(number));
    }
    let health = one.log.health();
    health.set_applied(30);
    health.set_synced(10);
    let process = (1, hub(1).life);
    place.acquire(process, None).await.expect("free");
    let trimming = Trimming { keep: 0, most: None };
    let watched = (Arc::clone(&health), Arc::default());
    let lease = Lease::new(place.clone(), process, watched, (now_ms, AckLevel::Memory, trimming));
    let (lost, _reports) = tokio::sync::mpsc::channel(1);
    let keeping = tokio::spawn(lease.keep(lost));
    let forgettable = async |turn| {
        let reached = async {
            while health.forgettable() < turn {
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(chat_testkit::PATIENCE, reached).await.expect("in time");
        health.forgettable()
    };
    assert_eq!(forgettable(1).await, 10, "the rest may be gone");
    health.set_synced(30);
    assert_eq!(forgettable(11).await, 30);
    keeping.abort();
}
