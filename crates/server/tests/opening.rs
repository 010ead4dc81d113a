//! The opening of a log for another Redis, as an exhaustive model: three hubs, Redis, and everything that may happen to
//! them between any two steps. No Redis and no network: each script is one step here, as it is there. The decisions are
//! those of the server (`order::opening`).
//!
//! ```text
//! worlds of one plan ─► every step that is possible in each ─► worlds not seen before ─► … ─► none, or the depth
//!                                        └─► the promises are checked in each
//! ```
//! Mistakes are planted one at a time, and each is found: a model that finds nothing has looked at nothing.

#![expect(
    clippy::indexing_slicing,
    reason = "a promise that is broken says so; hubs and lives are small numbers"
)]

#[path = "opening/promises.rs"]
mod promises;
#[path = "opening/search.rs"]
mod search;
#[path = "opening/steps.rs"]
mod steps;
#[path = "opening/world.rs"]
mod world;

use search::{Found, search};
use world::{Budget, Fault, Plan};

/// Steps in a row, at most. Every plan ends by itself before it, unless it says otherwise.
const DEPTH_MAX: usize = 90;

/// A mistake is looked for in few steps of every plan before it is in more: most worlds are far down.
const DEPTHS: [usize; 6] = [10, 14, 18, 22, 28, DEPTH_MAX];

/// How far the hubs may be when it begins; the log has four turns.
const TURNS: [[usize; 3]; 3] = [[4, 4, 1], [4, 3, 2], [2, 4, 4]];

/// The plan in which nobody runs at first.
const ALL_STOPPED: &str = "all were stopped, one gets a copy of long ago, emptied";

/// The plan in which Redis is emptied as who keeps it does it, who shows what was said at a closing before.
const SHOWN: &str = "emptied in place, a hub dies, what it said before is shown";

/// The plan in which one hub runs at first.
const ONE_RUNS: &str =
    "one runs, started again, it dies, emptied, a person goes on with another one";

/// The plans: each a few things that happen, in any order and at any moment. Those with most worlds begin with one
/// log only, unless `CHAT_OPENING_ALL=1` is set.
fn plans() -> Vec<Plan> {
    let none = Budget::default();
    let few = [
        ("emptied twice", Budget { empties: 2, ..none }),
        ("gone back, then gone back again", Budget { backs: 2, ..none }),
        (
            "emptied, a hub dies and comes again",
            Budget { empties: 1, deaths: 1, starts: 1, ..none },
        ),
        (ALL_STOPPED, Budget { empties: 1, restores: 1, starts: 2, ..none }),
        (
            "gone back, a hub dies and comes again",
            Budget { backs: 1, deaths: 1, starts: 1, ..none },
        ),
        ("emptied under an append that is late", Budget { empties: 1, sends: 1, ..none }),
        (SHOWN, Budget { flushes: 1, deaths: 1, shows: 1, ..none }),
        (ONE_RUNS, Budget { restarts: 1, empties: 1, deaths: 1, starts: 1, words: 1, ..none }),
    ];
    let many = [
        ("emptied in place, then started again", Budget { flushes: 1, restarts: 1, ..none }),
        (
            "a person goes on without a hub",
            Budget { empties: 1, deaths: 1, words: 1, starts: 1, ..none },
        ),
        (
            "a copy of long ago, emptied",
            Budget { empties: 1, deaths: 1, restores: 1, starts: 1, ..none },
        ),
        ("gone back under an append that is late", Budget { backs: 1, sends: 1, ..none }),
        ("started again under an append that is late", Budget { restarts: 1, sends: 1, ..none }),
        ("started again twice, a hub dies", Budget { restarts: 2, deaths: 1, ..none }),
    ];
    let is_all = std::env::var_os("CHAT_OPENING_ALL").is_some();
    let of_many = if is_all { &TURNS[..] } else { &TURNS[..1] };
    let plan = |(name, budget), turns| {
        let are_up = match name {
            ALL_STOPPED => [false; 3],
            ONE_RUNS => [true, false, false],
            _ => [true; 3],
        };
        Plan { name, turns, budget, are_up }
    };
    // A hub that is far behind knows nothing of one that came later and dies when a person has said something.
    let fits = |plan: &Plan| plan.name != ONE_RUNS || plan.turns == TURNS[0];
    let plans = |these: &[(&'static str, Budget)], logs: &[[usize; 3]]| {
        let all = these.iter().flat_map(|one| logs.iter().map(|turns| plan(*one, *turns)));
        all.filter(fits).collect::<Vec<_>>()
    };
    [plans(&few, &TURNS), plans(&many, of_many)].concat()
}

/// Goal: whatever happens between any two steps, no promise is broken.
#[test]
fn no_order_of_steps_breaks_a_promise() {
    let mut worlds = 0;
    for plan in plans() {
        match search(&plan, Fault::None, DEPTH_MAX) {
            Found::Nothing { worlds: seen, is_all } => {
                assert!(is_all, "{plan:?}: the depth is too small");
                worlds += seen;
            }
            Found::Broken { promise, steps } => panic!("{plan:?}: {promise}\n{}", steps.join("\n")),
        }
    }
    eprintln!("{worlds} worlds");
    assert!(worlds > 100_000, "so few are no search: {worlds}");
}

/// Goal: the model sees mistakes. Each that is planted breaks a promise in some plan.
#[test]
fn every_planted_mistake_is_found() {
    let plans = plans();
    for fault in Fault::ALL {
        let find = |depth| {
            plans.iter().find_map(|plan| match search(plan, fault, depth) {
                Found::Broken { promise, steps } => Some((plan.name, promise, steps.len())),
                Found::Nothing { .. } => None,
            })
        };
        let broken = DEPTHS.into_iter().find_map(find);
        let (plan, promise, steps) = broken.unwrap_or_else(|| panic!("{fault:?} is not found"));
        eprintln!("{fault:?}: \"{promise}\" after {steps} steps ({plan})");
    }
}
