//! What a hub reads on when it starts, and what it does where nothing in Redis goes on from what it has.

use chat_protocol::{crypto::sha256, id::Digest};
use chat_server::{
    order::{
        SharedLog as _,
        opening::{attempt::Kept, line::Began},
        redis::{Place, RedisLog},
    },
    store::{Facts, Unsure},
};

use super::{
    super::{
        batch, hub, read_to,
        server::{Redis, redis},
        turns,
    },
    CHAINS_KEPT, Opened, begun, begun_by_two, emptied_and_opened, seal,
};

/// A hub that has read these texts, the last one from this generation, and knows these openings.
fn who_has_read(
    place: &Place,
    node: u32,
    texts: &[&str],
    (read_from, facts): (u64, Facts),
) -> Opened {
    let turn = u64::try_from(texts.len()).expect("a few");
    let sealing = ([7; 16], seal([7; 16]));
    let log = RedisLog::new(place.clone(), sealing, hub(node), (turn, read_from));
    let kept = turns(texts).into_iter().map(|(turn, text)| Kept {
        turn,
        time_ms: 1,
        is_structure: false,
        batch: text.into(),
    });
    let (kept, given, unsure) = (kept.collect(), Vec::new(), None);
    Opened { log, hub: hub(node), kept, after: 0, read_from, facts, given, unsure }
}

/// Goal: a copy that has read something else than the log was opened with writes nothing there, also where the log does
/// not remember that opening; one that is only behind reads on and comes in. Method: two hubs open the log twice, the first opening is
/// forgotten, more is written than a copy has chains of, and hubs come that have stopped before. (Before, both came in at once, and
/// later whoever had read so much at a time that its chains did not go back to the opening.)
#[tokio::test]
async fn who_may_have_forked_reads_on_before_it_is_let_in() {
    let Some((redis, place, [mut one, mut two])) = begun_by_two().await else { return };
    emptied_and_opened(&redis, [&mut one, &mut two]).await;
    let forgotten = redis.say(&["HGET", "{test}:meta", "gen"]).await.expect("it is open");
    assert_eq!(one.append(batch(2, 1, "b")).await, Ok(2));
    assert_eq!(one.append(batch(3, 2, "c")).await, Ok(3));
    for hub in [&mut one, &mut two] {
        read_to(hub, 3).await;
    }
    emptied_and_opened(&redis, [&mut one, &mut two]).await;
    redis.say(&["HDEL", "{test}:meta", &format!("o:{forgotten}")]).await;
    let last = 3 + 2 * CHAINS_KEPT;
    for turn in 4..=last {
        assert_eq!(one.append(batch(turn, turn - 1, "d")).await, Ok(turn));
    }
    let began = Began { before: 1, turn: 1, chain: Digest(sha256(b"a")) };
    let other = |generation: u64| vec![began.sealed(generation, &seal([7; 16]))];
    // Each number of the other opening is larger or smaller than those of the log.
    let mut forked = [5, 1 << 52]
        .map(|generation| who_has_read(&place, 3, &["a", "x"], (generation, other(generation))));
    for copy in &mut forked {
        let ended = async {
            loop {
                match copy.try_step(0).await {
                    Ok(is_open) => assert!(!is_open, "it has something else"),
                    Err(error) => return error.to_string(),
                }
            }
        };
        let why = tokio::time::timeout(chat_testkit::PATIENCE, ended).await.expect("in time");
        assert!(why.contains("some of the turns up to 2."), "{why}");
        // What it had is kept for who takes it up, whatever it has learnt and read since.
        let kept = copy.unsure.as_ref().expect("it was unsure");
        let knew: Vec<&str> = kept.openings.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((kept.turn, knew), (2, vec![format!("o:{}", kept.read_from).as_str()]));
        assert_eq!(copy.kept.len(), 3, "it has read on, up to the opening");
        let name = format!("s:3:{:016x}", hub(3).life);
        let may_write = redis.say(&["HEXISTS", "{test}:meta", &name]).await;
        assert_eq!(may_write.as_deref(), Some("0"), "it was not let in");
    }
    let mut behind = who_has_read(&place, 4, &["a"], (1, Facts::new()));
    tokio::time::timeout(chat_testkit::PATIENCE, behind.open_with(0)).await.expect("in time");
    assert_eq!(behind.unsure, None, "the log has all of it");
    assert_eq!(read_to(&mut behind, last).await[..2], turns(&["a", "b", "c"])[1..]);
    assert_eq!(behind.append(batch(1, last, "e")).await, Ok(last + 1));
}

/// Goal: a log that was opened by those who are left goes on for ever, also where they had learnt of an opening that they had not come
/// to, had read their turns under it, and where the one that opens it had been unsure. Before, that opening was part of the log,
/// which had come to something else there, so after the next start no server was let in; and who had been unsure ended at once.
/// Method: the log is opened anew and goes on, Redis and who has read that are lost, and two open it that have read less.
#[tokio::test]
async fn a_log_goes_on_where_its_opener_had_not_come_to_what_it_had_learnt_of() {
    for is_read_under_it in [false, true] {
        let Some((redis, place, mut one)) = begun().await else { return };
        assert_eq!(one.append(batch(2, 1, "b")).await, Ok(2));
        assert_eq!(read_to(&mut one, 2).await, [(2, "b".to_owned())]);
        redis.say(&["HDEL", "{test}:meta", "run"]).await;
        one.open_with(2).await;
        let known = one.facts.clone();
        let openings = |facts: &Facts| -> Vec<u64> {
            let generations = facts.iter().filter_map(|(name, _)| name.strip_prefix("o:"));
            generations.map(|generation| generation.parse().expect("a number")).collect()
        };
        let learnt = openings(&known)[0];
        assert_eq!(openings(&known), [learnt]);
        drop(one);
        redis.say(&["FLUSHALL"]).await.expect("emptied");
        // Whoever refills gives each turn the newest generation that it knows.
        let read_from = if is_read_under_it { learnt } else { 1 };
        let [mut two, mut three] =
            [2, 3].map(|node| who_has_read(&place, node, &["a"], (read_from, known.clone())));
        two.unsure = Some(Unsure { turn: 1, read_from: 1, openings: Facts::new() });
        emptied_and_opened(&redis, [&mut two, &mut three]).await;
        assert_eq!(two.unsure, None, "the log was opened with all that it had");
        let known = openings(&two.facts);
        assert!(known.len() == 2 && known.contains(&learnt), "and the new one: {known:?}");
        assert_eq!(two.append(batch(1, 1, "x")).await, Ok(2));
        assert_eq!(two.append(batch(2, 2, "y")).await, Ok(3));
        read_to(&mut two, 3).await;
        let standing = (two.read_from, two.facts.clone());
        drop(two);
        let mut two = who_has_read(&place, 2, &["a", "x", "y"], standing);
        tokio::time::timeout(chat_testkit::PATIENCE, two.open_with(2)).await.expect("in time");
        assert_eq!(two.append(batch(3, 3, "z")).await, Ok(4));
        assert_eq!(read_to(&mut two, 4).await, [(4, "z".to_owned())]);
        redis.say(&["HDEL", "{test}:meta", "run"]).await;
        tokio::time::timeout(chat_testkit::PATIENCE, two.open_with(3)).await.expect("in time");
        assert_eq!(two.append(batch(4, 4, "again")).await, Ok(5));
    }
}

/// Leaves turns in a Redis for which the log is closed, under these ids, as a server has put them back that was cut off.
async fn put_back(redis: &Redis, ids: &[(&str, &str)]) {
    for (id, text) in ids {
        redis.say(&["XADD", "{test}:log", id, "b", text, "t", "1"]).await.expect("added");
    }
}

/// Goal: a server goes on where what it has read stands in Redis under an older generation. Before, it waited behind an id that was
/// larger than what came, and said nothing; or it missed turns, where one that knew the newer one had gone on with the refill.
#[tokio::test]
async fn what_stands_under_an_older_generation_than_it_was_read_from_is_read() {
    let Some(redis) = redis().await else { return };
    let place = redis.place();
    put_back(&redis, &[("1-1", "a"), ("1-2", "b"), ("1-3", "c"), ("7-4", "d")]).await;
    // It has learnt of an opening that it has not come to, and has read its turns under it.
    let began = Began { before: 1, turn: 5, chain: Digest([3; 32]) };
    let known = vec![began.sealed(7, &seal([7; 16]))];
    for texts in [&["a"][..], &["a", "b"], &["a", "b", "c"]] {
        let mut two = who_has_read(&place, 2, texts, (7, known.clone()));
        let read = async {
            while two.kept.len() < 4 {
                assert!(!two.step(0).await, "it is closed");
            }
        };
        tokio::time::timeout(chat_testkit::PATIENCE, read).await.expect("in time");
        let read: Vec<u64> = two.kept.iter().map(|kept| kept.turn).collect();
        assert_eq!(read, [1, 2, 3, 4]);
    }
}

/// Goal: a server that cannot go on in what Redis has says so, to people and to the others. Before, it said nothing, and the others
/// waited for it. Method: Redis has turns that go on from before an opening behind which this server has read.
#[tokio::test]
async fn who_finds_nothing_that_goes_on_from_its_copy_says_so() {
    let Some(redis) = redis().await else { return };
    let place = redis.place();
    put_back(&redis, &[("1-1", "a"), ("1-2", "x"), ("1-3", "y")]).await;
    let began = Began { before: 1, turn: 1, chain: Digest(sha256(b"a")) };
    let known = vec![began.sealed(7, &seal([7; 16]))];
    let mut two = who_has_read(&place, 2, &["a", "b"], (7, known));
    let health = two.log.health();
    let said = async {
        loop {
            assert!(!two.step(0).await, "it is closed");
            if let Some(words) = health.obstacle() {
                return words.into_owned();
            }
        }
    };
    let words = tokio::time::timeout(chat_testkit::PATIENCE, said).await.expect("in time");
    assert!(words.contains("nothing there goes on from turn 2"), "{words}");
    let waiting = place.waiting([7; 16], &seal([7; 16])).await.expect("asked").1;
    assert_eq!(waiting.keys().collect::<Vec<_>>(), [&2], "the others hear how far it is");
    assert_eq!(two.kept.len(), 2, "it has read nothing of that");
}

/// Goal: a server that cannot go on in an open log ends, and says why. Before, it was let in again and again, and said nothing.
/// Method: the open log has, behind what a hub has read, turns that go on from before an opening behind which it has read.
#[tokio::test]
async fn who_finds_nothing_in_an_open_log_that_goes_on_from_its_copy_ends() {
    let Some((redis, place, one)) = begun().await else { return };
    drop(one);
    redis.say(&["DEL", "{test}:log"]).await.expect("removed");
    put_back(&redis, &[("1-1", "a"), ("1-2", "x"), ("1-3", "y")]).await;
    redis.say(&["HSET", "{test}:meta", "gen", "12", "turn", "3"]).await.expect("it is there");
    let first = Began { before: 1, turn: 1, chain: Digest(sha256(b"a")) };
    let second = Began { before: 9, turn: 3, chain: Digest([3; 32]) };
    let known = [(9, first), (12, second)].map(|(of, began)| began.sealed(of, &seal([7; 16])));
    let mut two = who_has_read(&place, 2, &["a", "b"], (9, known.into()));
    let ended = async {
        loop {
            match two.try_step(0).await {
                // It reads until something comes that does not count.
                Ok(true) => while two.log.next().await.is_ok() {},
                Ok(false) => {}
                Err(error) => return error.to_string(),
            }
        }
    };
    let why = tokio::time::timeout(chat_testkit::PATIENCE, ended).await.expect("in time");
    assert!(why.contains("behind turn 2 is of before it was opened anew"), "{why}");
    assert_eq!(two.kept.len(), 2, "it has read nothing of that");
}

/// Goal: servers put nothing behind turns of another line, nor open a log that ends with one, and say so; when a person has removed
/// these, they go on. Before, the log was a mixture: an old Redis with turns that the log was opened without was filled up behind
/// them. Method: Redis has fewer turns than two servers, or as many, and the last ones are others.
#[tokio::test]
async fn an_old_redis_with_turns_of_another_line_is_not_filled_up() {
    for there in [&[("1-1", "a"), ("1-2", "x")][..], &[("1-1", "a"), ("1-2", "x"), ("1-3", "y")]] {
        let Some(redis) = redis().await else { return };
        let place = redis.place();
        put_back(&redis, there).await;
        let [mut one, mut two] =
            [1, 2].map(|node| who_has_read(&place, node, &["a", "b", "c"], (1, Facts::new())));
        let health = one.log.health();
        let other = format!("at turn {} is not what this server has read there", there.len());
        let said = async {
            loop {
                assert!(!one.step(0).await && !two.step(0).await, "it is closed");
                let words = health.obstacle().unwrap_or_default().into_owned();
                if words.contains(&other) {
                    return words;
                }
            }
        };
        let words = tokio::time::timeout(chat_testkit::PATIENCE, said).await.expect("in time");
        assert!(words.contains("remove the key there that ends in :log"), "{words}");
        let length = async || redis.say(&["XLEN", "{test}:log"]).await.expect("a number");
        assert_eq!(length().await, there.len().to_string(), "nothing is put there");
        redis.say(&["DEL", "{test}:log"]).await.expect("removed");
        let opened = async {
            loop {
                let (is_one, is_two) = (one.step(0).await, two.step(0).await);
                if is_one && is_two {
                    return;
                }
            }
        };
        tokio::time::timeout(chat_testkit::PATIENCE, opened).await.expect("in time");
        assert_eq!(length().await, "3", "they have put back what they have");
        assert_eq!(two.append(batch(1, 3, "d")).await, Ok(4));
        assert_eq!(read_to(&mut one, 4).await, [(4, "d".to_owned())]);
    }
}
