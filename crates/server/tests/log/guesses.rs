//! Wrong passwords that hubs count together, in a real Redis.

use std::{net::IpAddr, time::Duration};

use chat_server::{
    guesses::{Attempt, Ended, Wait},
    limits::GUESSED_NAMES_MAX,
    order::redis::guesses::RedisGuesses,
};
use zeroize::Zeroizing;

use super::server::{Redis, redis};

fn attempt(name: &str, source: Option<&str>) -> Attempt {
    let source = source.map(|source| source.parse::<IpAddr>().expect("an address"));
    Attempt { name: name.to_owned(), source }
}

fn guesses(redis: &Redis) -> RedisGuesses {
    let guesses = RedisGuesses::new(redis.place(), Zeroizing::new([1; 32]));
    // What a Redis that is slow does to this is no matter here.
    guesses.with_patience(Duration::from_secs(20))
}

async fn guess(guesses: &RedisGuesses, attempt: &Attempt, ended: Ended) -> Result<(), Wait> {
    let begun = guesses.begin(attempt).await?;
    guesses.settle(attempt, begun, ended).await;
    Ok(())
}

/// What a script with this text answers.
async fn eval(redis: &Redis, script: &str) -> String {
    redis.say(&["EVAL", script, "0"]).await.expect("an answer")
}

/// Counts that are there, without the lists of them.
const COUNTS: &str = "local n = 0 for _, key in ipairs(redis.call('KEYS', '*:g:*')) do \
    if redis.call('TYPE', key).ok == 'hash' then n = n + 1 end end return tostring(n)";

/// Goal: hubs count together, a right password begins anew at all of them, and nothing stays of what did not turn out to
/// be wrong.
#[tokio::test]
async fn hubs_count_guesses_together_and_keep_nothing_of_what_was_right() {
    let Some(redis) = redis().await else { return };
    let (one, two) = (guesses(&redis), guesses(&redis));
    let alice = attempt("alice", Some("192.0.2.1"));
    for (hub, ended) in [(&one, Ended::Void), (&two, Ended::Right), (&one, Ended::Void)] {
        guess(hub, &alice, ended).await.expect("free");
        assert_eq!(eval(&redis, COUNTS).await, "0", "{ended:?}");
        assert_eq!(redis.say(&["EXISTS", "{test}:g:name"]).await.as_deref(), Some("0"));
    }
    for hub in [&one, &two, &one] {
        guess(hub, &alice, Ended::Wrong).await.expect("free");
    }
    let waits = two.begin(&alice).await.expect_err("three were free");
    let Wait::Name(left) = waits else { panic!("{waits:?}") };
    assert!(left <= Duration::from_secs(1), "{left:?}");
    assert_eq!(eval(&redis, COUNTS).await, "2", "of the name and of the address");
}

/// Goal: an attempt that nobody settles counts for a minute and not for an hour: Redis was too slow to say that it has
/// counted it, or to hear how it ended. Before, a few right passwords kept a whole office waiting.
#[tokio::test]
async fn what_nobody_settles_counts_for_a_minute() {
    let Some(redis) = redis().await else { return };
    let hub = guesses(&redis);
    let alice = attempt("alice", None);
    for _ in 0..3 {
        drop(hub.begin(&alice).await.expect("free"));
    }
    assert!(hub.begin(&alice).await.is_err(), "many at once get no further");
    // A minute passes for those.
    let older = "for _, key in ipairs(redis.call('KEYS', '*:g:*')) do \
        if redis.call('TYPE', key).ok == 'hash' then \
        for _, name in ipairs(redis.call('HKEYS', key)) do \
        redis.call('HINCRBY', key, name, -60000) end end end return 'OK'";
    assert_eq!(eval(&redis, older).await, "OK");
    guess(&hub, &alice, Ended::Void).await.expect("they count no more");
    assert_eq!(eval(&redis, COUNTS).await, "0");
}

/// Goal: whoever guesses many names does not fill Redis: the oldest counts give way, as they do in the memory of one hub.
#[tokio::test]
async fn counts_of_guesses_have_a_bound() {
    const PART: usize = 500;
    let Some(redis) = redis().await else { return };
    let hub = guesses(&redis);
    // In parts, each of which is answered soon.
    for first in (1..=GUESSED_NAMES_MAX).step_by(PART) {
        let last = first + PART - 1;
        let fill = format!(
            "local now = redis.call('TIME')[1] * 1000 for n = {first}, {last} do \
            redis.call('HSET', '{{test}}:g:' .. n, 'wrong', 1) \
            redis.call('ZADD', '{{test}}:g:name', now - n, '{{test}}:g:' .. n) end return 'OK'"
        );
        assert_eq!(eval(&redis, &fill).await, "OK");
    }
    let most = GUESSED_NAMES_MAX.to_string();
    let listed = async || redis.say(&["ZCARD", "{test}:g:name"]).await;
    assert_eq!(listed().await.as_deref(), Some(most.as_str()));
    guess(&hub, &attempt("alice", None), Ended::Wrong).await.expect("free");
    assert_eq!(listed().await.as_deref(), Some(most.as_str()));
    let oldest = format!("{{test}}:g:{GUESSED_NAMES_MAX}");
    assert_eq!(redis.say(&["EXISTS", &oldest]).await.as_deref(), Some("0"), "the oldest");
}
