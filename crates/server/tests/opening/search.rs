//! Every world that can be reached, in the order of the steps that lead there.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;

use super::promises::broken_in;
use super::steps::{self, Step};
use super::world::{Fault, Plan, World};

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

/// Looks at every world of a plan. Two are the same if their 64-bit hashes are.
pub(crate) fn search(plan: &Plan, fault: Fault, depth_max: usize) -> Found {
    let hasher = RandomState::new();
    let start = World::new(plan);
    let mut seen = HashSet::from([hasher.hash_one(&start)]);
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
