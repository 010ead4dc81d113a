//! The rules of the queue one by one, then all together against a naive model.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

fn ticket(connection: u64, lane: Lane, chain: Option<u8>) -> Ticket<u8> {
    Ticket { connection: ConnectionId(connection), lane, chain }
}

fn drain(queue: &mut PriorityQueue<u32, u8>, now: Instant) -> Vec<u32> {
    std::iter::from_fn(|| queue.take(now)).map(|queued| queued.item).collect()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn lanes_go_in_their_order() {
    let (mut queue, now) = (PriorityQueue::default(), Instant::now());
    for (item, lane) in (0..).zip(Lane::ALL.into_iter().rev()) {
        queue.push(now, ticket(1, lane, None), item);
    }
    assert_eq!(drain(&mut queue, now), [4, 3, 2, 1, 0]);
}

#[test]
fn connections_take_turns_inside_a_lane() {
    let (mut queue, now) = (PriorityQueue::default(), Instant::now());
    for item in 0..4 {
        queue.push(now, ticket(1, Lane::Interactive, None), item);
    }
    queue.push(now, ticket(2, Lane::Interactive, None), 10);
    queue.push(now, ticket(2, Lane::Interactive, None), 11);
    queue.push(now, ticket(3, Lane::Interactive, None), 20);
    assert_eq!(drain(&mut queue, now), [0, 10, 20, 1, 11, 2, 3]);
}

#[test]
fn waiting_lifts_a_request_one_lane_in_100_ms() {
    for (waited, lane_it_beats) in [
        (99, None),
        (100, Some(Lane::Broadcast)),
        (399, Some(Lane::Command)),
        (400, Some(Lane::Control)),
    ] {
        let (mut queue, start) = (PriorityQueue::default(), Instant::now());
        queue.push(start, ticket(1, Lane::Bulk, None), 0);
        let now = start + ms(waited);
        let Some(lane) = lane_it_beats else {
            queue.push(now, ticket(2, Lane::Broadcast, None), 1);
            assert_eq!(drain(&mut queue, now), [1, 0], "not yet risen");
            continue;
        };
        // It came to that lane first, so its turn is before that of a newcomer there.
        queue.push(now, ticket(2, lane, None), 1);
        assert_eq!(drain(&mut queue, now), [0, 1], "after {waited} ms it stands in {lane}");
    }
}

#[test]
fn a_chain_keeps_its_order_and_inherits_the_urgency_behind_it() {
    let (mut queue, now) = (PriorityQueue::default(), Instant::now());
    queue.push(now, ticket(1, Lane::Bulk, Some(7)), 0);
    queue.push(now, ticket(2, Lane::Interactive, None), 10);
    queue.push(now, ticket(1, Lane::Bulk, Some(7)), 1);
    queue.push(now, ticket(1, Lane::Command, Some(7)), 2);
    queue.push(now, ticket(1, Lane::Bulk, Some(7)), 3);
    assert_eq!(drain(&mut queue, now), [0, 1, 2, 10, 3], "the last falls back to its own lane");
}

#[test]
fn equal_chains_of_two_connections_are_two_chains() {
    let (mut queue, now) = (PriorityQueue::default(), Instant::now());
    queue.push(now, ticket(1, Lane::Bulk, Some(7)), 0);
    queue.push(now, ticket(2, Lane::Control, Some(7)), 1);
    assert_eq!(drain(&mut queue, now), [1, 0]);
}

/// What one requester saw while another flooded.
struct Flood {
    waits: Vec<Duration>,
    flooded: usize,
    served: usize,
}

/// Simulates ten seconds in which the worker serves `per_second` requests in batches every 4 ms,
/// connection 1 keeps 64 broadcasts waiting, and connection 2 sends one request every 100 ms.
fn simulate_flood(per_second: usize, lane: Lane) -> Flood {
    let (mut queue, start) = (PriorityQueue::default(), Instant::now());
    let mut seen = Flood { waits: Vec::new(), flooded: 0, served: 0 };
    let mut flood_waiting = 0;
    for tick in 0..10_000_u64 {
        let now = start + ms(tick);
        while flood_waiting < 64 {
            queue.push(now, ticket(1, Lane::Broadcast, Some(1)), 0);
            flood_waiting += 1;
        }
        if tick % 100 == 37 {
            queue.push(now, ticket(2, lane, Some(2)), 1);
        }
        let batch = if tick % 4 == 0 { per_second / 250 } else { 0 };
        for queued in (0..batch).map_while(|_| queue.take(now)) {
            seen.served += 1;
            if queued.item == 1 {
                seen.waits.push(queued.waited);
            } else {
                flood_waiting -= 1;
                seen.flooded += 1;
            }
        }
    }
    seen.waits.sort_unstable();
    seen
}

/// Goal: one flooder does not make others wait, and is not starved either. At 1,000 a second the
/// flood waits 64 ms and stays in its lane; at 500 it waits 128 ms and has risen to Interactive.
#[test]
fn a_flood_of_broadcasts_delays_nobody_and_still_progresses() {
    for per_second in [500, 1_000, 10_000] {
        for lane in [Lane::Command, Lane::Interactive] {
            let seen = simulate_flood(per_second, lane);
            let case = format!("{lane} at {per_second}/s");
            assert_eq!(seen.waits.len(), 100, "{case}: all were served");
            assert!(seen.waits[50] < ms(50), "{case}: median {:?}", seen.waits[50]);
            assert!(seen.waits[99] < ms(50), "{case}: worst {:?}", seen.waits[99]);
            assert_eq!(seen.flooded + 100, seen.served, "{case}: the rest went to the flood");
            assert_eq!(seen.served, per_second * 10, "{case}: no capacity was left unused");
        }
    }
}

/// Goal: ageing. Method: control requests take all capacity; one file chunk waits below them.
#[test]
fn the_lowest_lane_is_served_within_half_a_second_under_overload() {
    let (mut queue, start) = (PriorityQueue::default(), Instant::now());
    queue.push(start, ticket(9, Lane::Bulk, None), 99);
    for tick in 0..1_000 {
        let now = start + ms(tick);
        for connection in 1..=4 {
            queue.push(now, ticket(connection, Lane::Control, None), 0);
        }
        for _ in 0..2 {
            if let Some(queued) = queue.take(now)
                && queued.item == 99
            {
                assert!(queued.waited <= ms(410), "waited {:?}", queued.waited);
                return;
            }
        }
    }
    panic!("starved");
}

// The model ----------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
enum Step {
    Push { connection: u64, lane: Lane, chain: Option<u8> },
    Take,
    Wait { milliseconds: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let push = (1..5_u64, 0..5_usize, prop::option::weighted(0.7, 0..3_u8)).prop_map(
        |(connection, lane, chain)| Step::Push { connection, lane: Lane::ALL[lane], chain },
    );
    let step = prop_oneof![
        4 => push,
        4 => Just(Step::Take),
        1 => (1..180_u64).prop_map(|milliseconds| Step::Wait { milliseconds }),
    ];
    prop::collection::vec(step, 1..200)
}

#[derive(Debug, Clone)]
struct Request {
    item: u32,
    ticket: Ticket<u8>,
    pushed_at: Instant,
}

/// A chain of the model: the connection, and its name or the one request that has no chain.
type Chain = (u64, Result<u8, u32>);

/// Everything by definition and by full scan.
#[derive(Default)]
struct Model {
    requests: Vec<Request>,
    /// Per chain and lane: who was served from that lane since the chain has stood there and since
    /// its own connection was last served there.
    passed_by: HashMap<(Chain, Lane), HashSet<u64>>,
}

impl Model {
    fn chain_of(request: &Request) -> Chain {
        (request.ticket.connection.0, request.ticket.chain.ok_or(request.item))
    }

    fn lane_of(&self, chain: Chain, now: Instant) -> Lane {
        let aged = |request: &Request| {
            let mut lane = request.ticket.lane;
            let steps = (now - request.pushed_at).as_millis() / QUEUE_AGEING_STEP.as_millis();
            for _ in 0..steps {
                lane = lane.above().unwrap_or(lane);
            }
            lane
        };
        self.requests.iter().filter(|r| Self::chain_of(r) == chain).map(aged).min().unwrap()
    }

    fn chains(&self) -> HashSet<Chain> {
        self.requests.iter().map(Self::chain_of).collect()
    }

    /// Forgets who passed chains that have moved to another lane or are gone.
    fn observe(&mut self, now: Instant) {
        let standing: HashSet<_> =
            self.chains().into_iter().map(|chain| (chain, self.lane_of(chain, now))).collect();
        self.passed_by.retain(|at, _| standing.contains(at));
    }

    fn check_taken(&mut self, item: u32, now: Instant) -> Result<(), TestCaseError> {
        self.observe(now);
        let taken = self.requests.iter().find(|r| r.item == item).cloned().unwrap();
        let chain = Self::chain_of(&taken);
        let oldest = self.requests.iter().find(|r| Self::chain_of(r) == chain).unwrap();
        prop_assert_eq!(oldest.item, item, "overtook in its chain");
        let lane = self.lane_of(chain, now);
        for other in self.chains() {
            let other_lane = self.lane_of(other, now);
            prop_assert!(lane <= other_lane, "{:?} in {} was more urgent", other, other_lane);
            if other_lane == lane && other.0 != chain.0 {
                let is_first = self.passed_by.entry((other, lane)).or_default().insert(chain.0);
                prop_assert!(is_first, "connection {} passed {:?} twice", chain.0, other);
            }
        }
        self.passed_by.retain(|((connection, _), at), _| !(*connection == chain.0 && *at == lane));
        self.requests.retain(|r| r.item != item);
        self.observe(now);
        Ok(())
    }
}

proptest! {
    /// Chains never overtake, the most urgent lane goes first, nobody is passed twice by the same
    /// connection in its lane, nothing is lost or doubled, and waits are measured right.
    #[test]
    fn behaves_as_defined(steps in steps()) {
        let (mut queue, mut model) = (PriorityQueue::default(), Model::default());
        let mut now = Instant::now();
        let draining = std::iter::repeat_n(Step::Take, steps.len());
        for (item, step) in (0..).zip(steps.iter().cloned().chain(draining)) {
            match step {
                Step::Push { connection, lane, chain } => {
                    let ticket = ticket(connection, lane, chain);
                    queue.push(now, ticket.clone(), item);
                    model.requests.push(Request { item, ticket, pushed_at: now });
                    model.observe(now);
                }
                Step::Wait { milliseconds } => {
                    now += ms(milliseconds);
                    model.observe(now);
                }
                Step::Take => match queue.take(now) {
                    None => prop_assert!(model.requests.is_empty(), "lost {:?}", model.requests),
                    Some(queued) => {
                        let pushed = model.requests.iter().find(|r| r.item == queued.item);
                        let pushed = pushed.expect("taken twice, or never pushed");
                        prop_assert_eq!(queued.waited, now - pushed.pushed_at);
                        prop_assert_eq!(queued.lane, pushed.ticket.lane);
                        prop_assert_eq!(queued.connection, pushed.ticket.connection);
                        model.check_taken(queued.item, now)?;
                    }
                },
            }
            prop_assert_eq!(queue.len(), model.requests.len());
        }
        prop_assert!(queue.is_empty());
        let nothing_left = queue.chains.is_empty() && queue.by_name.is_empty()
            && queue.standings.is_empty() && queue.rising.is_empty();
        prop_assert!(nothing_left, "an empty queue holds no memory of connections");
    }
}
