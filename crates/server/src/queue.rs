//! The one inbound queue: bounded, with priorities, fair to connections, and without starvation.
//!
//! Rules, in the order in which they decide who is next:
//! 1. The most urgent [`Lane`] that has an eligible request goes first.
//! 2. A request rises one lane for every [`QUEUE_AGEING_STEP`] it has waited.
//! 3. Requests with a chain (the frames of one sender in one conversation) never overtake each
//!    other: only the oldest is eligible. It stands in the most urgent lane of those behind it,
//!    so a command is not stuck behind the sender's own broadcast.
//! 4. Inside a lane connections take turns, one request each.
//! 5. The chains of one connection in one lane go in the order in which they came to that lane.
//!
//! [`PriorityQueue`] is pure: time is an argument and nothing waits. [`channel`] puts it between
//! tasks and holds the bounds.

pub mod channel;
pub mod lane;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
    time::{Duration, Instant},
};

use slab::Slab;

pub use channel::{
    ConnectionSender, QueueClosed, QueueLimits, QueueReceiver, QueueSender, bounded,
};
pub use lane::{Lane, LaneMetrics, PerLane};

use crate::{connection::ConnectionId, limits::QUEUE_AGEING_STEP};

/// Who asks, how urgently, and what it must not overtake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket<C> {
    /// Whose turn it is when this is taken.
    pub connection: ConnectionId,
    /// The lane it starts in.
    pub lane: Lane,
    /// Requests of one connection with equal chains keep their order. Without one (receipts, file
    /// chunks, the hub's own requests) a request keeps no order.
    pub chain: Option<C>,
}

/// A request that has been taken from the queue.
#[derive(Debug)]
pub struct Queued<T> {
    /// What was pushed.
    pub item: T,
    /// Who pushed it.
    pub connection: ConnectionId,
    /// The lane it was pushed to (it may have left from a higher one).
    pub lane: Lane,
    /// How long it was in the queue.
    pub waited: Duration,
    /// How often it was decided for nothing, because another hub was faster.
    pub rounds: u8,
}

/// Index of a request in [`PriorityQueue::requests`].
type RequestKey = usize;
/// Index of a chain in [`PriorityQueue::chains`].
type ChainKey = usize;

struct Waiting<T> {
    item: T,
    chain: ChainKey,
    /// The request behind it in its chain.
    next: Option<RequestKey>,
    pushed_to: Lane,
    pushed_at: Instant,
    /// Where ageing has brought it.
    lane: Lane,
    /// When it rises next; without meaning in the top lane.
    rises_at: Instant,
}

/// Requests that keep their order. One that needs no order is a nameless chain of its own.
struct Chain<C> {
    connection: ConnectionId,
    name: Option<C>,
    head: RequestKey,
    tail: RequestKey,
    /// How many of its requests are in which lane, ageing included.
    in_lane: PerLane<usize>,
    /// Where its head stands: the most urgent lane of `in_lane`.
    lane: Lane,
    /// Its place among the chains of its connection in that lane.
    place: u64,
}

impl<C> Chain<C> {
    fn most_urgent(&self) -> Option<Lane> {
        Lane::ALL.into_iter().find(|&lane| *self.in_lane.get(lane) > 0)
    }
}

/// What one connection has standing in one lane.
#[derive(Default)]
struct Standing {
    /// When its turn comes, compared with other connections of the lane.
    turn: u64,
    chains: BTreeMap<u64, ChainKey>,
}

/// The queue itself. Each operation costs O(log n); the common case is a nearly empty queue.
pub struct PriorityQueue<T, C> {
    requests: Slab<Waiting<T>>,
    chains: Slab<Chain<C>>,
    by_name: HashMap<(ConnectionId, C), ChainKey>,
    standings: HashMap<ConnectionId, PerLane<Standing>>,
    /// Per lane: turn -> connection.
    turns: PerLane<BTreeMap<u64, ConnectionId>>,
    /// Who rises when.
    rising: BTreeSet<(Instant, RequestKey)>,
    /// Source of turns and places.
    clock: u64,
}

impl<T, C> Default for PriorityQueue<T, C> {
    fn default() -> Self {
        Self {
            requests: Slab::new(),
            chains: Slab::new(),
            by_name: HashMap::new(),
            standings: HashMap::new(),
            turns: PerLane::default(),
            rising: BTreeSet::new(),
            clock: 0,
        }
    }
}

/// Says why a key that the queue holds is always valid.
const KEPT: &str = "a key is dropped together with what it points to";

impl<T, C> PriorityQueue<T, C> {
    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

impl<T, C: Eq + Hash + Clone> PriorityQueue<T, C> {
    /// Adds a request. `now` never goes back from one call to the next.
    pub fn push(&mut self, now: Instant, ticket: Ticket<C>, item: T) {
        self.age(now);
        let Ticket { connection, lane, chain: name } = ticket;
        let rises_at = now + QUEUE_AGEING_STEP;
        let existing =
            name.as_ref().and_then(|name| self.by_name.get(&(connection, name.clone())).copied());
        let waiting = Waiting {
            item,
            chain: existing.unwrap_or_else(|| self.chains.vacant_key()),
            next: None,
            pushed_to: lane,
            pushed_at: now,
            lane,
            rises_at,
        };
        let request = self.requests.insert(waiting);
        if lane.above().is_some() {
            self.rising.insert((rises_at, request));
        }
        match existing {
            Some(chain_key) => self.append(chain_key, request, lane),
            None => self.open_chain(connection, name, request, lane),
        }
    }

    /// Takes the request whose turn it is, if any.
    pub fn take(&mut self, now: Instant) -> Option<Queued<T>> {
        self.age(now);
        let lane = Lane::ALL.into_iter().find(|&lane| !self.turns.get(lane).is_empty())?;
        let (_, &connection) = self.turns.get(lane).first_key_value()?;
        let standing = self.standings.get(&connection)?.get(lane);
        let (_, &chain_key) = standing.chains.first_key_value()?;
        self.leave(chain_key);
        self.pass_turn(connection, lane);
        let taken = self.take_head(chain_key);
        Some(Queued {
            item: taken.item,
            connection,
            lane: taken.pushed_to,
            waited: now.saturating_duration_since(taken.pushed_at),
            rounds: 0,
        })
    }

    /// Takes the oldest request out of a chain that stands nowhere, and lets the rest stand again.
    fn take_head(&mut self, chain_key: ChainKey) -> Waiting<T> {
        let chain = self.chains.get_mut(chain_key).expect(KEPT);
        let taken = self.requests.remove(chain.head);
        self.rising.remove(&(taken.rises_at, chain.head));
        *chain.in_lane.get_mut(taken.lane) -= 1;
        match taken.next {
            Some(next) => {
                chain.head = next;
                self.stand(chain_key);
            }
            None => self.close_chain(chain_key),
        }
        taken
    }

    /// Lets every request rise whose time has come, in the order of those times.
    fn age(&mut self, now: Instant) {
        while let Some(&(due, request)) = self.rising.first() {
            if due > now {
                return;
            }
            self.rising.remove(&(due, request));
            let waiting = self.requests.get_mut(request).expect(KEPT);
            let below = waiting.lane;
            let Some(lane) = below.above() else { continue };
            waiting.lane = lane;
            waiting.rises_at = due + QUEUE_AGEING_STEP;
            if lane.above().is_some() {
                self.rising.insert((waiting.rises_at, request));
            }
            let chain_key = waiting.chain;
            let chain = self.chains.get_mut(chain_key).expect(KEPT);
            *chain.in_lane.get_mut(below) -= 1;
            *chain.in_lane.get_mut(lane) += 1;
            self.restand_if_above(chain_key, lane);
        }
    }

    fn open_chain(
        &mut self,
        connection: ConnectionId,
        name: Option<C>,
        request: RequestKey,
        lane: Lane,
    ) {
        let mut in_lane = PerLane::default();
        *in_lane.get_mut(lane) = 1;
        let chain = Chain {
            connection,
            name: name.clone(),
            head: request,
            tail: request,
            in_lane,
            lane,
            place: 0,
        };
        let key = self.chains.insert(chain);
        if let Some(name) = name {
            self.by_name.insert((connection, name), key);
        }
        self.stand(key);
    }

    fn append(&mut self, chain_key: ChainKey, request: RequestKey, lane: Lane) {
        let chain = self.chains.get_mut(chain_key).expect(KEPT);
        self.requests.get_mut(chain.tail).expect(KEPT).next = Some(request);
        chain.tail = request;
        *chain.in_lane.get_mut(lane) += 1;
        self.restand_if_above(chain_key, lane);
    }

    fn close_chain(&mut self, chain_key: ChainKey) {
        let chain = self.chains.remove(chain_key);
        if let Some(name) = chain.name {
            self.by_name.remove(&(chain.connection, name));
        }
        let standing = self.standings.get(&chain.connection).expect(KEPT);
        if Lane::ALL.into_iter().all(|lane| standing.get(lane).chains.is_empty()) {
            self.standings.remove(&chain.connection);
        }
    }

    /// Moves a chain up when one of its requests has come to a lane above it.
    fn restand_if_above(&mut self, chain_key: ChainKey, lane: Lane) {
        if lane < self.chains.get(chain_key).expect(KEPT).lane {
            self.leave(chain_key);
            self.stand(chain_key);
        }
    }

    /// Puts a chain into its most urgent lane, behind the other chains of its connection there. The
    /// connection joins the lane behind the others if it is new there.
    fn stand(&mut self, chain_key: ChainKey) {
        self.clock += 1;
        let chain = self.chains.get_mut(chain_key).expect(KEPT);
        chain.lane = chain.most_urgent().expect("a chain holds at least one request");
        chain.place = self.clock;
        let standing = self.standings.entry(chain.connection).or_default().get_mut(chain.lane);
        if standing.chains.is_empty() {
            standing.turn = self.clock;
            self.turns.get_mut(chain.lane).insert(self.clock, chain.connection);
        }
        standing.chains.insert(chain.place, chain_key);
    }

    /// Takes a chain out of the lane it stands in.
    fn leave(&mut self, chain_key: ChainKey) {
        let chain = self.chains.get(chain_key).expect(KEPT);
        let standing = self.standings.get_mut(&chain.connection).expect(KEPT).get_mut(chain.lane);
        standing.chains.remove(&chain.place);
        if standing.chains.is_empty() {
            self.turns.get_mut(chain.lane).remove(&standing.turn);
        }
    }

    /// After its turn a connection that still stands in the lane goes behind the others.
    fn pass_turn(&mut self, connection: ConnectionId, lane: Lane) {
        let standing = self.standings.get_mut(&connection).expect(KEPT).get_mut(lane);
        if standing.chains.is_empty() {
            return;
        }
        self.clock += 1;
        let turns = self.turns.get_mut(lane);
        turns.remove(&standing.turn);
        standing.turn = self.clock;
        turns.insert(self.clock, connection);
    }
}

#[cfg(test)]
mod tests;
