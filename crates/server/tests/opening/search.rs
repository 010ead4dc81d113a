//! Every world that can be reached, in the order of the steps that lead there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;

use super::losses;
use super::promises::broken_in;
use super::sight::is_told_of_another;
use super::steps::{self, Step};
use super::world::{Budget, Fault, HUBS, Plan, World, small};

/// What a search has found.
pub(crate) enum Found {
    /// A promise does not hold after these steps; no shorter way leads there.
    Broken { promise: &'static str, steps: Vec<String> },
    /// All hold in so many worlds; whether these are all.
    Nothing { worlds: usize, is_all: bool },
}

/// The steps to a world, from the last one back.
struct Way {
    step: Step,
    before: Option<Rc<Self>>,
}

fn steps_of(way: Option<&Rc<Way>>) -> Vec<String> {
    let mut steps: Vec<String> = std::iter::successors(way, |way| way.before.as_ref())
        .map(|way| way.step.to_string())
        .collect();
    steps.reverse();
    steps
}

/// Looks whether somebody opens at last.
struct Ends {
    fault: Fault,
    hasher: RandomState,
    /// Worlds that come to an open log by themselves.
    open: HashSet<u64>,
}

impl Ends {
    /// Whether there is a way to an open log where nothing else happens, and a person says to go on without all who do not
    /// run, with the folder of one that does.
    fn has_one(&mut self, world: &World) -> bool {
        if is_settled(world) {
            return true;
        }
        let runs = |hub: usize| world.hubs[hub].is_up && !world.hubs[hub].is_forked;
        (0..HUBS).filter(|hub| runs(*hub)).any(|speaker| self.opens(quiet(world, speaker)))
    }

    /// Whether a way leads from here to an open log.
    fn opens(&mut self, start: World) -> bool {
        let mut seen = HashSet::new();
        // The worlds on the way, and those that may follow and were not looked at.
        let mut path: Vec<(u64, Vec<World>)> = Vec::new();
        let mut here = Some(start);
        loop {
            if let Some(world) = here.take() {
                let hash = self.hasher.hash_one(&world);
                if is_settled(&world) || self.open.contains(&hash) {
                    self.open.extend(path.iter().map(|(hash, _)| *hash));
                    return true;
                }
                if seen.insert(hash) {
                    let next = steps::by_themselves(&world, self.fault).into_iter();
                    path.push((hash, next.map(|(_, next)| next).collect()));
                }
            }
            let Some((_, following)) = path.last_mut() else { return false };
            here = following.pop();
            if here.is_none() {
                path.pop();
            }
        }
    }
}

/// The log is open, or nobody runs: who sees that it has something else than the log stops.
fn is_settled(world: &World) -> bool {
    world.is_open() || !world.hubs.iter().any(|hub| hub.is_up && !hub.is_forked)
}

/// Nothing happens any more, but that a person stops who has come to something else, leaves out all who do not run, and removes
/// what an old Redis has where the speaker says that.
fn quiet(world: &World, speaker: usize) -> World {
    let mut quiet = world.clone();
    quiet.left = Budget::default();
    quiet.flying.clear();
    let (mut without, mut answers) = (BTreeSet::new(), BTreeMap::new());
    let ids =
        |hub: usize| -> Vec<_> { world.hubs[hub].applied.iter().map(|entry| entry.id()).collect() };
    for hub in 0..HUBS {
        quiet.hubs[hub].is_up &= ids(speaker).starts_with(&ids(hub));
        if !quiet.hubs[hub].is_up || quiet.hubs[hub].is_forked {
            without.insert(u32::from(small(hub)));
        } else {
            // It is said when those wait that are to hear it.
            answers.insert(u32::from(small(hub)), quiet.ask(hub));
        }
    }
    if is_told_of_another(&quiet, speaker) {
        losses::remove(&mut quiet);
    }
    steps::says(&mut quiet, (speaker, without), answers);
    quiet
}

/// Looks at every world of a plan. Two are the same if their 64-bit hashes are.
pub(crate) fn search(plan: &Plan, fault: Fault, depth_max: usize) -> Found {
    let hasher = RandomState::new();
    let start = World::new(plan);
    let mut seen = HashSet::from([hasher.hash_one(&start)]);
    let mut ends = Ends { fault, hasher: hasher.clone(), open: HashSet::new() };
    let mut frontier: Vec<(World, Option<Rc<Way>>)> = vec![(start, None)];
    for _ in 0..depth_max {
        let mut later = Vec::new();
        for (world, way) in frontier {
            for (step, next) in steps::all(&world, fault) {
                if !seen.insert(hasher.hash_one(&next)) {
                    continue;
                }
                let way = Some(Rc::new(Way { step, before: way.clone() }));
                if let Some(promise) = broken_in(&next) {
                    return Found::Broken { promise, steps: steps_of(way.as_ref()) };
                }
                if !ends.has_one(&next) {
                    let promise = "nobody opens, although a person has said without whom";
                    return Found::Broken { promise, steps: steps_of(way.as_ref()) };
                }
                later.push((next, way));
            }
        }
        if later.is_empty() {
            return Found::Nothing { worlds: seen.len(), is_all: true };
        }
        frontier = later;
    }
    Found::Nothing { worlds: seen.len(), is_all: false }
}
