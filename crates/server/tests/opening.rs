//! The opening of a log for another Redis, as an exhaustive model: three hubs, Redis, and everything that may happen to
//! them between any two steps. No Redis and no network: each script is one step here, as it is there. The decisions are
//! those of the server (`order::opening`).
//!
//! ```text
//! worlds of one plan ─► every step that is possible in each ─► worlds not seen before ─► … ─► none, or the depth
//!                                        └─► the promises are checked in each
//! ```
//! Mistakes are planted one at a time, and each is found: a model that finds nothing has looked at nothing. `CHAT_OPENING_ALL=1`
//! searches the large plans, too, and all of them with more logs.

#![expect(
    clippy::indexing_slicing,
    reason = "a promise that is broken says so; hubs and lives are small numbers"
)]

#[path = "opening/losses.rs"]
mod losses;
#[path = "opening/promises.rs"]
mod promises;
#[path = "opening/search.rs"]
mod search;
#[path = "opening/sight.rs"]
mod sight;
#[path = "opening/steps.rs"]
mod steps;
#[path = "opening/world.rs"]
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use search::{Found, search};
use world::{Budget, Fault, Plan};

/// Steps in a row, at most. Every plan ends by itself before it, unless it says otherwise.
const DEPTH_MAX: usize = 90;

/// A mistake is looked for in few steps of a plan before it is in more: most worlds are far down.
const DEPTHS: [usize; 6] = [10, 14, 18, 22, 28, DEPTH_MAX];

/// Plans that are searched at once, at most: each holds all worlds that are so many steps away.
const AT_ONCE_MAX: usize = 4;

/// Worlds of a plan, at least: with fewer of them it looks at nothing.
const WORLDS_MIN: usize = 100;

/// How far the hubs may be when it begins; the log has four turns.
const TURNS: [[usize; 3]; 3] = [[4, 4, 1], [4, 3, 2], [2, 4, 4]];

const EMPTIED_TWICE: &str = "emptied twice";
const BACK_TWICE: &str = "gone back, then gone back again";
const EMPTIED_DIES: &str = "emptied, a hub dies and comes again";
const BACK_DIES: &str = "gone back, a hub dies and comes again";
const FLUSHED: &str = "emptied in place, then started again";
const OF_LONG_AGO: &str = "a copy of long ago, emptied";
const EMPTIED_LATE: &str = "emptied under an append that is late";
const STARTED_LATE: &str = "started again under an append that is late";
const WITHOUT: &str = "a person goes on without a hub";

/// The plan in which nobody runs at first.
const ALL_STOPPED: &str = "all were stopped, one gets a copy of long ago, emptied";

/// The plan in which Redis is emptied as who keeps it does it, who shows what was said at a closing before.
const SHOWN: &str = "emptied in place, a hub dies, what it said before is shown";

/// The plan in which one hub is left out that comes again. Others have more of it, and far more worlds.
const ONE_STOPPED: &str = "one was stopped, emptied, a person goes on without it";

/// The plan in which one hub runs at first.
const ONE_RUNS: &str =
    "one runs, started again, it dies, emptied, a person goes on with another one";

/// The plan in which a refill was cut, under an opening behind a later turn than those who are left have.
const REFILL_CUT: &str =
    "a refill was cut, a person goes on without who began it, and the log grows";

/// The same, where Redis is started again with what it has, and forgets what was said.
const CUT_AGAIN: &str = "a refill was cut, and Redis starts again";

/// The same, where Redis goes back when the log has grown: to where it was opened, or to before that.
const CUT_BACK: &str = "a refill was cut, the log grows, and Redis goes back";

/// The plan in which a Redis of before comes back, with turns that the log was opened without: fewer than a hub has, or as many.
const OLD: &str = "an old Redis with turns of another line, a hub dies";

/// Those in which hubs ask and answer if all is looked at. Elsewhere whatever is heard answers, which makes far fewer worlds.
const ASKING: [&str; 3] = [EMPTIED_TWICE, BACK_DIES, WITHOUT];

/// A few things that happen, in any order and at any moment.
fn plan(name: &'static str, turns: [usize; 3], budget: Budget) -> Plan {
    let are_up = match name {
        ALL_STOPPED => [false; 3],
        ONE_RUNS => [true, false, false],
        ONE_STOPPED | REFILL_CUT | CUT_AGAIN | CUT_BACK => [false, true, true],
        _ => [true; 3],
    };
    let is_cut = matches!(name, REFILL_CUT | CUT_AGAIN | CUT_BACK);
    Plan { name, turns, budget, are_up, are_asking: budget.shows > 0, is_cut }
}

/// The plans that are searched each time, each with the log that shows most: all that show a mistake, and those that are small.
fn few() -> Vec<Plan> {
    let none = Budget::default();
    vec![
        plan(EMPTIED_TWICE, TURNS[1], Budget { empties: 2, ..none }),
        plan(BACK_TWICE, TURNS[1], Budget { backs: 2, ..none }),
        plan(EMPTIED_DIES, TURNS[1], Budget { empties: 1, deaths: 1, starts: 1, ..none }),
        plan(BACK_DIES, TURNS[1], Budget { backs: 1, deaths: 1, starts: 1, ..none }),
        plan(ALL_STOPPED, TURNS[0], Budget { empties: 1, restores: 1, starts: 2, ..none }),
        plan(
            OF_LONG_AGO,
            TURNS[0],
            Budget { empties: 1, deaths: 1, restores: 1, starts: 1, ..none },
        ),
        plan(EMPTIED_LATE, TURNS[0], Budget { empties: 1, sends: 1, ..none }),
        plan(STARTED_LATE, TURNS[0], Budget { restarts: 1, sends: 1, ..none }),
        plan(FLUSHED, TURNS[0], Budget { flushes: 1, restarts: 1, ..none }),
        plan(SHOWN, TURNS[1], Budget { flushes: 1, deaths: 1, shows: 1, ..none }),
        plan(ONE_STOPPED, TURNS[1], Budget { empties: 1, starts: 1, words: 1, ..none }),
        // A hub that is far behind knows nothing of one that came later and dies when a person has said something.
        plan(
            ONE_RUNS,
            TURNS[0],
            Budget { restarts: 1, empties: 1, deaths: 1, starts: 1, words: 1, ..none },
        ),
        plan(REFILL_CUT, TURNS[1], Budget { deaths: 1, words: 1, sends: 1, ..none }),
        plan(CUT_AGAIN, TURNS[1], Budget { restarts: 1, starts: 1, ..none }),
        plan(CUT_BACK, TURNS[1], Budget { backs: 1, words: 2, sends: 1, ..none }),
        plan(OLD, TURNS[1], Budget { olds: 1, removes: 1, deaths: 1, ..none }),
    ]
}

/// Those with most worlds, which are searched only if `CHAT_OPENING_ALL=1` is set.
fn large() -> Vec<Plan> {
    let none = Budget::default();
    let late = "gone back under an append that is late";
    let twice = "started again twice, a hub dies";
    let stalled = "a person goes on without a hub, and the opener stands still";
    let without = Budget { empties: 1, deaths: 1, words: 1, starts: 1, ..none };
    vec![
        plan(WITHOUT, TURNS[0], without),
        plan(stalled, TURNS[0], Budget { stalls: 1, ..without }),
        plan(late, TURNS[0], Budget { backs: 1, sends: 1, ..none }),
        plan(twice, TURNS[0], Budget { restarts: 2, deaths: 1, ..none }),
    ]
}

/// What is searched: a few plans, or all of them with every log, and some with questions.
fn plans() -> Vec<Plan> {
    if std::env::var_os("CHAT_OPENING_ALL").is_none() {
        return few();
    }
    let all = [few(), large()].concat();
    let asking = all.iter().filter(|plan| ASKING.contains(&plan.name));
    let asking: Vec<Plan> = asking.map(|plan| Plan { are_asking: true, ..*plan }).collect();
    let of_all = all.iter().flat_map(|plan| TURNS.map(|turns| Plan { turns, ..*plan }));
    let fits = |plan: &Plan| match plan.name {
        ONE_RUNS => plan.turns == TURNS[0],
        REFILL_CUT | CUT_AGAIN | CUT_BACK => plan.turns == TURNS[1],
        _ => true,
    };
    of_all.filter(fits).chain(asking).collect()
}

/// The plan that shows a mistake.
fn shows(fault: Fault) -> &'static str {
    match fault {
        Fault::None => "",
        Fault::GenerationNotRaised | Fault::NobodyWaitedFor => EMPTIED_TWICE,
        Fault::NumbersNotRefilled => EMPTIED_LATE,
        Fault::BeyondTheFurthest => STARTED_LATE,
        Fault::OpenerNotChecked | Fault::OpenerNotPutOut | Fault::NotTheFurthest => BACK_DIES,
        Fault::RunNotCompared => FLUSHED,
        Fault::AloneIsEnough => ALL_STOPPED,
        Fault::NewIsNotSaid => OF_LONG_AGO,
        Fault::GenerationsCounted | Fault::LeftOutCounts => ONE_RUNS,
        Fault::OldWordsCount => SHOWN,
        Fault::LeftOutPutsOut => ONE_STOPPED,
        Fault::BehindWhatWasReached => REFILL_CUT,
        Fault::ToldIsForgotten => CUT_AGAIN,
        Fault::PassedIsForgotten => CUT_BACK,
        Fault::LastNotCompared => OLD,
    }
}

/// Does this with each of them, a few at once.
fn each<T: Copy + Send + Sync>(of: &[T], work: impl Fn(T) + Sync) {
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from).min(AT_ONCE_MAX);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(one) = of.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(*one);
                }
            });
        }
    });
}

/// Goal: whatever happens between any two steps, no promise is broken.
#[test]
fn no_order_of_steps_breaks_a_promise() {
    each(&plans(), |plan| match search(&plan, Fault::None, DEPTH_MAX) {
        Found::Nothing { worlds: seen, is_all } => {
            assert!(is_all, "{plan:?}: the depth is too small");
            eprintln!("{seen} worlds: {} {:?}", plan.name, plan.turns);
            assert!(seen > WORLDS_MIN, "{plan:?}: so few are no search: {seen}");
        }
        Found::Broken { promise, steps } => panic!("{plan:?}: {promise}\n{}", steps.join("\n")),
    });
}

/// Goal: the model sees mistakes. Each that is planted breaks a promise in the plan that is there for it, among those that are
/// searched each time.
#[test]
fn every_planted_mistake_is_found() {
    let plans = few();
    let find = |plan: &Plan, fault| {
        DEPTHS.into_iter().find_map(|depth| match search(plan, fault, depth) {
            Found::Broken { promise, steps } => Some((plan.name, promise, steps.len())),
            Found::Nothing { .. } => None,
        })
    };
    each(&Fault::ALL, |fault| {
        let plan = plans.iter().find(|plan| plan.name == shows(fault)).expect("one of the few");
        let Some((plan, promise, steps)) = find(plan, fault) else {
            let other = plans.iter().find_map(|plan| find(plan, fault));
            panic!("{fault:?} is not found in \"{}\", and elsewhere: {other:?}", plan.name);
        };
        eprintln!("{fault:?}: \"{promise}\" after {steps} steps ({plan})");
    });
}
