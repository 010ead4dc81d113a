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
    clippy::panic,
    clippy::print_stderr,
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

/// What the log may be like when it begins, by the turns that each hub has applied; the log has four.
const TURNS: [[usize; 3]; 4] = [[4, 3, 2], [4, 4, 1], [2, 4, 4], [4, 4, 4]];

/// The plans: each a few things that happen, in any order and at any moment.
fn plans() -> Vec<Plan> {
    let none = Budget::default();
    let budgets = [
        ("emptied twice", Budget { empties: 2, ..none }),
        ("gone back, then gone back again", Budget { backs: 2, ..none }),
        (
            "emptied, a hub dies and comes again",
            Budget { empties: 1, deaths: 1, starts: 1, ..none },
        ),
        (
            "a copy of long ago, emptied",
            Budget { empties: 1, deaths: 2, restores: 1, starts: 1, ..none },
        ),
        (
            "a person goes on without a hub",
            Budget { empties: 1, deaths: 1, words: 1, starts: 1, ..none },
        ),
        (
            "gone back, a hub dies and comes again",
            Budget { backs: 1, deaths: 1, starts: 1, ..none },
        ),
        ("emptied in place, then started again", Budget { flushes: 1, restarts: 1, ..none }),
        ("emptied under an append that is late", Budget { empties: 1, sends: 1, ..none }),
        ("gone back under an append that is late", Budget { backs: 1, sends: 1, ..none }),
        ("started again under an append that is late", Budget { restarts: 1, sends: 1, ..none }),
        ("started again twice, a hub dies", Budget { restarts: 2, deaths: 1, ..none }),
    ];
    let plan = |(name, budget)| move |turns| Plan { name, turns, budget };
    budgets.into_iter().flat_map(|budget| TURNS.map(plan(budget))).collect()
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
    assert!(worlds > 10_000, "so few are no search: {worlds}");
}

/// Goal: the model sees mistakes. Each that is planted breaks a promise in some plan.
#[test]
fn every_planted_mistake_is_found() {
    let plans = plans();
    for fault in Fault::ALL {
        let broken = plans.iter().find_map(|plan| match search(plan, fault, DEPTH_MAX) {
            Found::Broken { promise, steps } => Some((plan.name, promise, steps.len())),
            Found::Nothing { .. } => None,
        });
        let (plan, promise, steps) = broken.unwrap_or_else(|| panic!("{fault:?} is not found"));
        eprintln!("{fault:?}: \"{promise}\" after {steps} steps ({plan})");
    }
}
