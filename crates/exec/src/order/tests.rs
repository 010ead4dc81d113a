use std::collections::BTreeMap;

use super::*;

const EXPIRES_MS: u64 = 60_000;

fn order(no: u64, prev: Option<u64>) -> Order {
    Order { signing_key: "alice's key".to_owned(), key_ends_at_ms: 1 << 40, no, prev }
}

/// One signing key before a journal.
#[derive(Default)]
struct Bench {
    orders: Orders<u64>,
    highest: Option<u64>,
    /// Numbers in the order in which their turn came.
    started: Vec<u64>,
    /// What became of each number.
    answers: BTreeMap<u64, &'static str>,
    /// Until when each one waits.
    held: BTreeMap<u64, u64>,
}

impl Bench {
    fn answer(&mut self, no: u64, what: &'static str) {
        assert_eq!(self.answers.insert(no, what), None, "{no} is answered twice");
        self.held.remove(&no);
        if what == "started" {
            self.started.push(no);
        }
        self.highest = self.highest.max(Some(no));
    }

    fn released(&mut self, released: Vec<Released<u64>>) {
        for Released { waiter, verdict } in released {
            match verdict {
                Verdict::Turn => {
                    self.answer(waiter, "started");
                    self.orders.recorded("alice's key");
                }
                Verdict::Passed => self.answer(waiter, "passed"),
            }
        }
    }

    fn arrive(&mut self, now_ms: u64, no: u64, prev: Option<u64>) -> Arrived {
        let times = (now_ms, EXPIRES_MS);
        let (arrived, released) = self.orders.arrive(&order(no, prev), self.highest, times, no);
        match arrived {
            Arrived::Turn => self.answer(no, "started"),
            Arrived::TooMany => self.answer(no, "busy"),
            Arrived::Passed => self.answer(no, "passed"),
            Arrived::Held { until_ms } => {
                self.held.insert(no, until_ms);
            }
        }
        self.released(released);
        if matches!(arrived, Arrived::Turn | Arrived::TooMany) {
            self.orders.recorded("alice's key");
        }
        arrived
    }

    /// Time passes up to then.
    fn wait_until(&mut self, now_ms: u64) {
        loop {
            let due = self.held.iter().filter(|(_, until)| **until <= now_ms);
            let Some((no, _)) = due.min_by_key(|(no, until)| (**until, **no)) else { return };
            let no = *no;
            if let Some(released) = self.orders.give_up(&order(no, None)) {
                self.answer(no, "missing");
                self.released(released);
                self.orders.recorded("alice's key");
            }
        }
    }
}

/// Goal: swapped commands start in their order, and what never comes closes the door behind it.
#[test]
fn two_that_were_swapped_start_in_order_or_the_late_one_never_does() {
    let mut bench = Bench::default();
    bench.arrive(0, 0, None);
    assert_eq!(bench.arrive(1, 2, Some(1)), Arrived::Held { until_ms: 1 + MISSING_WAIT_MS });
    assert_eq!(bench.arrive(2, 1, Some(0)), Arrived::Turn);
    assert_eq!(bench.started, [0, 1, 2]);

    let mut bench = Bench::default();
    bench.arrive(0, 1, Some(0));
    bench.wait_until(MISSING_WAIT_MS - 1);
    assert!(bench.answers.is_empty(), "it waits to the end");
    bench.wait_until(MISSING_WAIT_MS);
    assert_eq!(bench.answers[&1], "missing");
    assert_eq!(bench.arrive(MISSING_WAIT_MS + 1, 0, None), Arrived::Passed);
    assert_eq!(bench.arrive(MISSING_WAIT_MS + 2, 2, Some(1)), Arrived::Turn);
    assert!(bench.orders.doors.is_empty(), "nothing is kept of a key that waits for nothing");
}

/// Goal: it waits no longer than it may start.
#[test]
fn a_command_waits_no_longer_than_it_is_valid() {
    let mut bench = Bench::default();
    let late = EXPIRES_MS - 5;
    assert_eq!(bench.arrive(late, 1, Some(0)), Arrived::Held { until_ms: EXPIRES_MS });
}

/// Goal: what the hub has refused is not waited for.
#[test]
fn a_number_that_nobody_names_is_not_waited_for() {
    let mut bench = Bench::default();
    bench.arrive(0, 0, None);
    assert_eq!(bench.arrive(1, 3, Some(0)), Arrived::Turn, "1 and 2 were refused");
    assert_eq!(bench.arrive(2, 2, Some(0)), Arrived::Passed, "delivered all the same");
}

/// Goal: waiting is bounded for each key and for all; keys do not close each other's doors.
#[test]
fn only_so_many_wait() {
    let mut bench = Bench::default();
    for no in 1..=16 {
        assert!(matches!(bench.arrive(0, no, Some(no - 1)), Arrived::Held { .. }));
    }
    assert_eq!(bench.arrive(0, 17, Some(16)), Arrived::TooMany);
    assert_eq!(bench.held.len(), 0, "a number that was dealt with closes the door for lower ones");

    let mut orders: Orders<()> = Orders::default();
    let of = |key: usize, no| Order { signing_key: key.to_string(), ..order(no, Some(no - 1)) };
    for key in 0..HELD_MAX {
        let (arrived, _) = orders.arrive(&of(key, 1), None, (0, EXPIRES_MS), ());
        assert!(matches!(arrived, Arrived::Held { .. }), "{key}");
    }
    let another = of(HELD_MAX, 1);
    assert_eq!(orders.arrive(&another, None, (0, EXPIRES_MS), ()).0, Arrived::TooMany);
    orders.forget(&of(0, 1));
    let (arrived, _) = orders.arrive(&of(HELD_MAX + 1, 1), None, (0, EXPIRES_MS), ());
    assert!(matches!(arrived, Arrived::Held { .. }), "one has gone");
}

/// A number below `below` from a seed that changes.
fn next(seed: &mut u64, below: u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed % below
}

/// Goal: whatever a hub loses, delays, swaps, repeats or refuses, commands start in their order,
/// each at most once; and where all come in time, all start.
#[test]
fn random_deliveries_keep_the_order() {
    for run in 1..=2_000_u64 {
        let mut seed = run.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let cheats = next(&mut seed, 2) == 1;
        let mut bench = Bench::default();
        let (mut arrivals, mut prev, mut kept) = (Vec::new(), None, 0_usize);
        for no in 0..30 {
            // Refused by the hub, and perhaps delivered all the same.
            let refused = next(&mut seed, 6) == 0;
            let lost = cheats && next(&mut seed, 8) == 0;
            let delay = next(&mut seed, if cheats { 15_000 } else { 9 });
            if (!refused && !lost) || (refused && cheats && next(&mut seed, 2) == 0) {
                arrivals.push((no * 3 + delay, no, prev));
            }
            if !refused {
                (prev, kept) = (Some(no), kept + 1);
            }
        }
        arrivals.sort_unstable();
        for (at_ms, no, prev) in arrivals {
            bench.wait_until(at_ms);
            bench.arrive(at_ms, no, prev);
        }
        bench.wait_until(EXPIRES_MS);
        let started = &bench.started;
        assert!(started.windows(2).all(|pair| pair[0] < pair[1]), "seed {run}: {started:?}");
        assert!(bench.held.is_empty() && bench.orders.held == 0, "seed {run}");
        assert!(bench.orders.doors.is_empty(), "seed {run}");
        if !cheats {
            assert_eq!(started.len(), kept, "seed {run}: {:?}", bench.answers);
        }
    }
}
