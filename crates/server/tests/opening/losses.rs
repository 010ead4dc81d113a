//! What becomes of Redis: it is another one, has less than it had, or is one of before.

use std::collections::BTreeMap;

use chat_server::order::opening::line::Began;

use super::sight::{line_there, seen_by};
use super::steps::turns;
use super::world::{Redis, World, small};

/// Another process of Redis: whoever was there notices, and has time to say something.
pub(crate) fn other_redis(world: &mut World) {
    world.redis.run += 1;
    for hub in &mut world.hubs {
        hub.is_here = hub.is_up;
        hub.is_asking = false;
    }
}

pub(crate) fn empty(world: &mut World) {
    world.redis = Redis { run: world.redis.run, ..Redis::default() };
    world.refilled.clear();
}

/// Whether the log was opened behind this turn.
pub(crate) fn begins_at(world: &World, turn: usize) -> bool {
    let line = line_there(world);
    line.openings().values().any(|began| u64::from(small(turn)) == began.turn)
}

/// Redis is the one of before its last turns. Nobody has anything by that which the log was opened without.
pub(crate) fn go_back(world: &mut World, lost: usize, is_before_opening: bool) {
    world.left.backs -= 1;
    let are_told = |world: &World| world.hubs.each_ref().map(|hub| seen_by(world, hub).is_some());
    let before = are_told(world);
    lose(world, lost, is_before_opening);
    if before.into_iter().zip(are_told(world)).any(|(was, is)| is && !was) {
        let promise = "a hub is told that it has forked, and Redis has only gone back";
        world.broken = world.broken.or(Some(promise));
    }
}

/// What Redis is without its last turns: stream and numbers are written by one script, and lost by one. The log may have been
/// opened where it ends now, or was not yet.
fn lose(world: &mut World, lost: usize, is_before_opening: bool) {
    other_redis(world);
    world.redis.openings.clear();
    let keep = world.redis.stream.len() - lost;
    world.redis.stream.truncate(keep);
    // Whoever puts something back has said before how far it is. Without any of that Redis may be older than what was said.
    world.refilled.retain(|turn, _| usize::from(*turn) < keep);
    if world.refilled.is_empty() {
        world.redis.told = 0;
    }
    let Some(meta) = &mut world.redis.meta else { return };
    // The newest that had begun by then, or under which its turns were put back.
    let (known, end) = (meta.noted(), turns(&world.redis.stream));
    let newest: u64 = world.redis.stream.last().map_or(0, |last| last.generation.into());
    let has_begun = |began: &Began| began.turn < end || began.turn == end && !is_before_opening;
    let is_there =
        |(generation, began): &(&u64, &Began)| has_begun(began) || **generation <= newest;
    let begun = known.iter().rfind(is_there);
    meta.generation = begun.map_or(1, |(generation, _)| u8::try_from(*generation).expect("small"));
    meta.openings = meta.noted();
    for (life, number) in &mut meta.numbers {
        let of_life = world.redis.stream.iter().filter(|entry| (entry.hub, entry.life) == *life);
        *number = of_life.map(|entry| entry.number).max().unwrap_or(0);
    }
}

/// An old Redis takes its place, with so many turns: the last ones are of before the log was opened, which was without them.
pub(crate) fn becomes_old(world: &mut World, keep: usize) {
    let Some((meta, mut stream)) = world.before.take() else { return };
    world.left.olds -= 1;
    other_redis(world);
    stream.truncate(keep);
    let (run, openings) = (world.redis.run, BTreeMap::new());
    world.redis = Redis { run, meta: Some(meta), stream, told: 0, openings, is_old: true };
    world.refilled.clear();
}

/// A person removes the turns that Redis has, as is said there: they are of another line than what the hubs have.
pub(crate) fn remove(world: &mut World) {
    world.redis.stream.clear();
    world.redis.is_old = false;
    world.refilled.clear();
}
