//! What holds in every world, whatever has happened.

use std::collections::{BTreeSet, HashSet};

use super::world::{Entry, Hub, World, living};

fn broken(world: &mut World, promise: &'static str) {
    world.broken = world.broken.or(Some(promise));
}

/// A batch was added at a turn, by a hub that has heard these.
pub(crate) fn refilled(world: &mut World, (turn, entry): (u8, Entry), said: &BTreeSet<u32>) {
    if said.len() < 2 && world.left_out.is_empty() {
        broken(world, "a hub alone says what the log was");
    }
    let before = *world.refilled.entry(turn).or_insert(entry);
    if before.id() != entry.id() {
        broken(world, "two openers write different bytes at one turn");
    }
    let is_read =
        |hub: &Hub| hub.applied.get(usize::from(turn)).is_some_and(|read| read.id() == entry.id());
    if !world.hubs.iter().any(is_read) {
        broken(world, "a batch that nobody has read back is part of the refill");
    }
}

/// The log was opened, with this generation, by a hub that has applied this, after these had said how far they are.
pub(crate) fn opened(
    world: &mut World,
    (generation, applied): (u8, &[Entry]),
    said: &BTreeSet<u32>,
) {
    if !is_there(world, applied) {
        broken(world, "the log is opened with other turns than its opener has");
    }
    if !world.begun.insert(generation) {
        broken(world, "an opening begins no new generation");
    }
    let is_said = world.word.as_ref().is_some_and(|(run, _)| *run == world.redis.run);
    if world.redis.told > u64::from(world.end()) && !is_said {
        broken(world, "what a hub has said to have is left out, and no person has said so");
    }
    let is_refilled = !world.refilled.is_empty();
    // Whoever has put a folder back has taken from it what it knew: who does not run is then not known.
    let is_known_who_lives = !world.hubs.iter().any(|hub| hub.is_restored);
    // Who is known to live by the most that anybody has.
    let longest = world.hubs.iter().map(|hub| &hub.applied).max_by_key(|applied| applied.len());
    let known = longest.map(|applied| living(applied)).unwrap_or_default();
    for (hub, number) in world.hubs.clone().iter().zip(0_u32..) {
        let is_left_out = world.left_out.contains(&number);
        // Who runs had their time; who does not run is waited for only where something is lacking.
        let is_owed = said.contains(&number)
            || (hub.is_up && hub.is_here)
            || (is_refilled && is_known_who_lives && known.contains(&number));
        if is_owed && !is_left_out && !hub.is_forked && !is_there(world, &hub.applied) {
            broken(world, "what a living hub has read back is lost");
        }
    }
}

/// A hub has put out the opener, which may go on without it: it has more, and says so again and again.
pub(crate) fn put_out(world: &mut World, is_left_out: bool) {
    if is_left_out {
        broken(world, "whom the opener goes on without puts it out");
    }
}

fn is_there(world: &World, applied: &[Entry]) -> bool {
    let there = world.redis.stream.iter().map(|entry| entry.id());
    applied.len() <= world.redis.stream.len()
        && applied.iter().map(|entry| entry.id()).eq(there.take(applied.len()))
}

/// The promise that does not hold here, if there is one.
pub(crate) fn broken_in(world: &World) -> Option<&'static str> {
    let mut seen = HashSet::new();
    if !world.redis.stream.iter().all(|entry| seen.insert(entry.id())) {
        return Some("a batch is in the log twice");
    }
    let is_wrongly_forked = |(_, hub): (usize, &Hub)| hub.is_forked;
    if world.left_out.is_empty() && world.hubs.iter().enumerate().any(is_wrongly_forked) {
        return Some("hubs have come to different things, and no person has said so");
    }
    world.broken
}
