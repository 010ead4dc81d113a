//! The runs of the gate.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use chat_protocol::{crypto::sha256, id::Digest};

use crate::{
    disk::Mistake,
    plan::Plan,
    tally::Tally,
    world::{self, Report},
};

/// Worlds of the gate, within about a minute of two cores. `CHAT_SIM_SEEDS` asks for another number, and
/// `CHAT_SIM_FIRST` for others. They are the same each time, so that the gate speaks of the change that it is run for.
const SEEDS: u64 = 200;

/// Seeds that once showed a mistake, and what it was.
const REGRESSIONS: &[(u64, &str)] = &[
    (7, "what was said while the room was being joined was refused"),
    (21, "a full disk lost receipts and joins for good"),
    (41, "a full disk lost the outcome of a command for good"),
    (239, "a message sealed as the connection ended was sent empty"),
    (293, "a resend of what was stored was refused because the disk was full"),
    (195, "a machine forgot each new epoch after a restore"),
    (262, "what was said to a private room that the hub had lost was refused"),
    (338, "messages of another device of one's own were shown as missing twice"),
    (519, "who was removed and let in again was told the older end of the chain last"),
    (606, "a view stood still because a link of one's own was kept while it was fetched"),
    (871, "a link that a restore had taken was told beside the lower position"),
    (977, "a key was taken for lost that comes from the one which the hub had just put"),
    (1_442, "a key that the hub shows was taken for one that it has lost"),
    (1_598, "who had left before a restore was silenced by positions from before it"),
    (1_873, "a fork that a restore had made was told as another view of a member"),
    (
        423_279_729,
        "a refusal of who had left on another device before a restore was taken for a mistake",
    ),
    (816_465_096, "what a room had dropped of another device of one's own was a gap"),
    (1_712, "what was received before a restore and sealed anew left a gap in its new chain"),
    (
        185_349_251,
        "an answer from before a reminder was taken for a loss, and words were refused that waited for a join",
    ),
    (228_528_163, "what another device of one's own had given again was an alarm"),
];

/// A mistake on purpose must be found in so many worlds.
const MISTAKE_SEEDS_MAX: u64 = 50;

/// Worlds that are run twice.
const REPEATED_SEEDS: u64 = 40;

const THREADS: usize = 2;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

/// What a failure looks like: how to repeat it, what was planned, what happened.
fn describe(seed: u64, report: &Report) -> String {
    let mut text = format!(
        "seed {seed}; repeat it with\n  CHAT_SIM_SEED={seed} cargo test --workspace \
         --test simulation -- --nocapture worlds\n{}",
        Plan::of(seed)
    );
    if std::env::var_os("CHAT_SIM_TAPE").is_some() {
        report.travelled.iter().for_each(|line| writeln!(text, "{line}").unwrap());
    }
    for dated in &report.facts {
        writeln!(text, "{:>8} {:?}", dated.at_ms, dated.fact).unwrap();
    }
    for violation in &report.violations {
        writeln!(text, "BROKEN {}: {}", violation.rule, violation.what).unwrap();
    }
    text
}

/// What all people saw and all wires carried, as one number: it is the same for a build that does the same.
fn digest(report: &Report) -> Digest {
    Digest(sha256(format!("{:#?}{:#?}", report.facts, report.travelled).as_bytes()))
}

/// Runs worlds on two threads; the first broken promise is the end. What happened in them comes back.
fn run_all(seeds: &[u64], run: fn(u64, Option<Mistake>) -> Report) -> Tally {
    let next = AtomicU64::new(0);
    let worker = || {
        let mut tally = Tally::default();
        loop {
            let index = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
            let Some(seed) = seeds.get(index) else { return Ok(tally) };
            let report = run(*seed, None);
            if !report.violations.is_empty() {
                return Err(describe(*seed, &report));
            }
            if std::env::var_os("CHAT_SIM_DIGESTS").is_some() {
                println!("seed {seed}: {}", digest(&report));
            }
            tally += Tally::of(&report.facts);
        }
    };
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a world panicked")).collect()
    });
    let mut tally = Tally::default();
    for result in results {
        tally += result.unwrap_or_else(|failure| panic!("{failure}"));
    }
    tally
}

#[test]
fn worlds_with_faults_break_no_promise() {
    if let Some(seed) = number("CHAT_SIM_SEED") {
        let report = world::run(seed, None);
        let text = describe(seed, &report);
        assert!(report.violations.is_empty(), "{text}");
        println!("{text}");
        return;
    }
    let count = number("CHAT_SIM_SEEDS").unwrap_or(SEEDS);
    let first = number("CHAT_SIM_FIRST").unwrap_or(0);
    let seeds: Vec<u64> =
        REGRESSIONS.iter().map(|(seed, _)| *seed).chain(first..first + count).collect();
    let tally = run_all(&seeds, world::run);
    println!("{tally:#?}");
    tally.assert_is_much();
}

/// Worlds of the gate with hubs that share a log.
const SHARING_SEEDS: u64 = 40;

/// Goal: several hubs behave as one. Method: each connection goes to any of three, and each of them crashes.
#[test]
fn hubs_that_share_a_log_break_no_promise() {
    let first = number("CHAT_SIM_SEED").or(number("CHAT_SIM_FIRST")).unwrap_or(0);
    let one = number("CHAT_SIM_SEED").map(|_| 1);
    let count = one.or(number("CHAT_SIM_SEEDS")).unwrap_or(SHARING_SEEDS);
    run_all(&(first..first + count).collect::<Vec<_>>(), world::run_sharing);
}

/// Worlds of the gate with hubs whose log is lost.
const LOSING_SEEDS: u64 = 40;

/// Goal: whatever was acknowledged is there, once, when the log is emptied, goes back, or is another one, again and again.
/// Method: nobody dies, so that somebody has everything; each hub is cut off now and then, also while the others wait for it.
#[test]
fn hubs_that_lose_their_log_break_no_promise() {
    let first = number("CHAT_SIM_SEED").or(number("CHAT_SIM_FIRST")).unwrap_or(0);
    let one = number("CHAT_SIM_SEED").map(|_| 1);
    let count = one.or(number("CHAT_SIM_SEEDS")).unwrap_or(LOSING_SEEDS);
    run_all(&(first..first + count).collect::<Vec<_>>(), world::run_losing);
}

/// Goal: worlds that lose their log look at something. Method: what was lost is not put back, and no hub looks whether it
/// has more. That somebody misses it counts, and not that a hub has stopped.
#[test]
fn a_log_that_is_opened_without_what_it_had_is_found() {
    let is_missed = |seed| {
        let found = world::run_losing(seed, Some(Mistake::NothingPutBack)).violations;
        found.iter().any(|violation| MISSED.contains(&violation.rule))
    };
    assert!((0..MISTAKE_SEEDS_MAX).any(is_missed));
}

/// What is broken where something is not there that was acknowledged.
const MISSED: [&str; 2] = ["durability", "delivery"];

/// The first place at which two runs differ, with what came just before it.
fn difference<T: std::fmt::Debug + PartialEq>(first: &[T], second: &[T]) -> Option<String> {
    let same = first.iter().zip(second).take_while(|(one, two)| one == two).count();
    let from = same.saturating_sub(3);
    let shown = |of: &[T]| of.get(from..of.len().min(same + 2)).map(|part| format!("{part:#?}"));
    (first != second).then(|| format!("{:?}\n{:?}", shown(first), shown(second)))
}

/// The first worlds, and the first one with each kind of event.
fn repeated() -> Vec<u64> {
    let of_kind = |kind: usize| (0..SEEDS).find(|seed| Plan::of(*seed).kinds()[kind]);
    (0..REPEATED_SEEDS).chain((0..Plan::KINDS).filter_map(of_kind)).collect()
}

#[test]
fn a_seed_repeats_its_run() {
    for seed in repeated() {
        let (first, second) = (world::run(seed, None), world::run(seed, None));
        let travelled = difference(&first.travelled, &second.travelled);
        assert_eq!(travelled, None, "seed {seed}: what travelled");
        let facts = difference(&first.facts, &second.facts);
        assert_eq!(facts, None, "seed {seed}: what people saw");
    }
}

/// The first world in which a mistake breaks a promise.
fn first_found(mistake: Mistake) -> Option<u64> {
    (0..MISTAKE_SEEDS_MAX).find(|seed| !world::run(*seed, Some(mistake)).violations.is_empty())
}

/// The same with hubs that share a log.
fn is_found_sharing(mistake: Mistake) -> bool {
    let broken = |seed: &u64| world::run_sharing(*seed, Some(mistake)).violations;
    let found = (0..MISTAKE_SEEDS_MAX).find_map(|seed| Some((seed, broken(&seed).pop()?)));
    println!("{mistake:?} is found by seed {found:?}");
    found.is_some()
}

#[test]
fn an_ack_of_what_is_not_in_the_log_is_found() {
    assert!(is_found_sharing(Mistake::AckBeforeLog));
}

#[test]
fn a_turn_that_was_passed_over_is_found() {
    assert!(is_found_sharing(Mistake::TurnSkipped));
}

#[test]
fn a_batch_that_is_taken_over_before_its_turn_is_found() {
    assert!(is_found_sharing(Mistake::OwnFirst));
}

#[test]
#[ignore = "survey"]
fn crowded_survey() {
    let mut mistakes = vec![None];
    mistakes.extend(
        [
            Mistake::MessageWithoutMembers,
            Mistake::FrameWithoutRefusal,
            Mistake::OldRefusal,
            Mistake::AheadOfItself,
            Mistake::PartOvertakes,
        ]
        .map(Some),
    );
    for mistake in mistakes {
        let broken = |seed: &u64| world::run_crowded(*seed, mistake).violations;
        let found: Vec<_> = (0..25).filter_map(|seed| Some((seed, broken(&seed).pop()?))).collect();
        println!("SURVEY {mistake:?}: {} {:?}", found.len(), found.first());
    }
}

#[test]
fn an_ack_before_the_sync_is_found() {
    assert!(first_found(Mistake::AckBeforeSync).is_some());
}

#[test]
fn a_hub_that_does_not_listen_to_what_it_forgot_is_found() {
    assert!(first_found(Mistake::DeafToReminders).is_some());
}

/// Goal: an alarm that nothing explains is no accident to be passed over. Method: who signs in is shown a
/// conversation without its epoch, as after a restore that there never was.
#[test]
fn an_alarm_without_a_reason_is_found() {
    let of_alarms = |seed: &u64| {
        let report = world::run(*seed, Some(Mistake::HeadsWithoutEpochs));
        report.violations.iter().any(|violation| violation.rule == "alarm")
    };
    assert!((0..MISTAKE_SEEDS_MAX).any(|seed| of_alarms(&seed)));
}

#[test]
fn a_cursor_that_moves_before_the_delivery_is_found() {
    assert!(first_found(Mistake::CursorBeforeDelivery).is_some());
}

#[test]
#[ignore = "survey"]
fn survey() {
    let first = number("CHAT_SIM_FIRST").unwrap_or(0);
    let count = number("CHAT_SIM_SEEDS").unwrap_or(200);
    let next = AtomicU64::new(first);
    let worker = || {
        let mut found = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return found;
            }
            let began = std::time::Instant::now();
            let report = std::panic::catch_unwind(|| world::run(seed, None));
            let took = began.elapsed().as_millis();
            match report {
                Ok(report) => {
                    if took > 1500 {
                        found.push((seed, "slow", format!("{took} ms")));
                    }
                    for violation in report.violations {
                        found.push((seed, violation.rule, violation.what));
                    }
                }
                Err(error) => {
                    let text = error.downcast_ref::<String>().cloned().unwrap_or_default();
                    found.push((seed, "panic", text));
                }
            }
        }
    };
    let mut found: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    found.sort();
    let mut seeds: Vec<u64> = found.iter().map(|(seed, ..)| *seed).collect();
    seeds.dedup();
    for (seed, rule, what) in &found {
        println!("{seed} {rule}: {what}");
    }
    println!("{} of {count} seeds", seeds.len());
}
