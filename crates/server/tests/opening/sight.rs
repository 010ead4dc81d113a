//! What a hub sees of what Redis has: by lines and chains, as a server does.

use chat_server::order::opening::line::{Line, forked_behind};
use chat_server::order::opening::{Stamp, apart};

use super::steps::turns;
use super::world::{Entry, Fault, Hub, Meta, World, chain};

/// The log has, at a turn that the hub has applied, something else. What an old Redis has is not the log.
pub(crate) fn is_forked(world: &World, hub: &Hub) -> bool {
    let pairs = world.redis.stream.iter().zip(&hub.applied);
    !world.redis.is_old && pairs.into_iter().any(|(there, here)| there.id() != here.id())
}

/// What an entry is, but for the generation in which it was put there.
fn stamp(entry: Entry) -> Stamp {
    Stamp { time_ms: 0, digest: Some(chain(&[entry])) }
}

/// Whether a hub goes on from the last turn that Redis has. It knows all that it has read.
pub(crate) fn goes_on(world: &World, hub: &Hub, fault: Fault) -> bool {
    let end = world.redis.stream.len();
    let last = world.redis.stream.last().copied();
    let Some(last) = last.filter(|_| fault != Fault::LastNotCompared) else { return true };
    let own = hub.applied.get(end - 1).copied();
    own.is_none() || apart((world.end().into(), stamp(last)), own.map(stamp), true).is_none()
}

/// Whether a hub is told that what an old Redis has is not what it has itself, or goes on from something else.
pub(crate) fn is_told_of_another(world: &World, number: usize) -> bool {
    let hub = &world.hubs[number];
    let next = world.redis.stream.get(hub.applied.len());
    let is_void = next.is_some_and(|next| passes_over(world, hub, *next));
    world.redis.is_old && (is_void || !goes_on(world, hub, Fault::None))
}

/// Whether a hub passes over what Redis has behind its last turn.
pub(crate) fn passes_over(world: &World, hub: &Hub, next: Entry) -> bool {
    let next = (turns(&hub.applied) + 1, next.generation.into());
    line_there(world).passes_over(&hub.line(), next)
}

/// The openings that led to where the log is, as Redis says.
pub(crate) fn line_there(world: &World) -> Line {
    world.redis.meta.as_ref().map(Meta::line).unwrap_or_default()
}

/// The last turn that a hub shares with the log, where it is told that it has something which the log was opened without.
pub(crate) fn seen_by(world: &World, hub: &Hub) -> Option<u64> {
    let copy = (turns(&hub.applied), hub.read_from());
    forked_behind(&line_there(world), &hub.line(), copy, |turn| hub.chain_at(turn))
}
