//! The queue between tasks: many readers push and wait for space, the worker takes batches.
//!
//! Two bounds are held, one for each connection and one for all. A request costs its length, and at
//! least a 64th of the connection's budget, so one number bounds both requests and bytes. Waiting
//! for space is first come, first served (tokio's semaphores are fair). The queue itself is behind
//! a std mutex that is locked for one push or one batch and never across an await.

use std::{
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{Lane, LaneMetrics, PerLane, PriorityQueue, Queued, Ticket};
use crate::{
    connection::ConnectionId,
    limits::{
        BATCH_BYTES_MAX, QUEUE_BYTES_MAX, QUEUE_BYTES_PER_CONNECTION_MAX,
        QUEUE_REQUESTS_PER_CONNECTION_MAX,
    },
};

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Requests of one connection.
    pub connection_requests_max: usize,
    /// Bytes of one connection.
    pub connection_bytes_max: usize,
    /// Bytes of all connections.
    pub bytes_max: usize,
    /// Bytes after which a batch takes nothing more.
    pub batch_bytes_max: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            connection_requests_max: QUEUE_REQUESTS_PER_CONNECTION_MAX,
            connection_bytes_max: QUEUE_BYTES_PER_CONNECTION_MAX,
            bytes_max: QUEUE_BYTES_MAX,
            batch_bytes_max: BATCH_BYTES_MAX,
        }
    }
}

impl QueueLimits {
    /// What a request of that many bytes costs: never more than a connection's whole budget, or it
    /// could wait for ever.
    fn cost(&self, bytes: usize) -> u32 {
        let least = self.connection_bytes_max / self.connection_requests_max.max(1);
        let most = self.connection_bytes_max.min(self.bytes_max);
        u32::try_from(bytes.max(least).max(1).min(most)).unwrap_or(u32::MAX)
    }
}

/// The queue takes nothing more: the hub is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the queue is closed")]
pub struct QueueClosed;

/// A waiting item with the space it holds of its connection's budget.
struct Held<T> {
    item: T,
    connection_space: OwnedSemaphorePermit,
    /// How long the request is.
    bytes: usize,
}

struct State<T, C> {
    queue: PriorityQueue<Held<T>, C>,
    is_closed: bool,
}

struct Shared<T, C> {
    state: Mutex<State<T, C>>,
    /// Space left for all connections.
    space: Semaphore,
    /// Set when the last sender is gone.
    is_abandoned: AtomicBool,
    /// Wakes the receiver when the queue was empty, and at the end.
    arrival: Notify,
    limits: QueueLimits,
    metrics: PerLane<LaneMetrics>,
}

/// Lives as long as any sender; tells the receiver when the last one goes.
struct Senders<T, C>(Arc<Shared<T, C>>);

impl<T, C> Drop for Senders<T, C> {
    fn drop(&mut self) {
        self.0.is_abandoned.store(true, Ordering::Release);
        self.0.arrival.notify_one();
    }
}

/// The end that makes a [`ConnectionSender`] for each connection.
pub struct QueueSender<T, C>(Arc<Senders<T, C>>);

impl<T, C> Clone for QueueSender<T, C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The end a connection pushes to, with its own budget.
pub struct ConnectionSender<T, C> {
    senders: Arc<Senders<T, C>>,
    connection: ConnectionId,
    space: Arc<Semaphore>,
}

impl<T, C> Clone for ConnectionSender<T, C> {
    fn clone(&self) -> Self {
        Self {
            senders: Arc::clone(&self.senders),
            connection: self.connection,
            space: Arc::clone(&self.space),
        }
    }
}

/// The end of the worker.
pub struct QueueReceiver<T, C>(Arc<Shared<T, C>>);

/// Makes the queue. `metrics` are moved by each push and take.
pub fn bounded<T, C: Eq + Hash + Clone>(
    limits: QueueLimits,
    metrics: PerLane<LaneMetrics>,
) -> (QueueSender<T, C>, QueueReceiver<T, C>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State { queue: PriorityQueue::default(), is_closed: false }),
        space: Semaphore::new(limits.bytes_max),
        is_abandoned: AtomicBool::new(false),
        arrival: Notify::new(),
        limits,
        metrics,
    });
    (QueueSender(Arc::new(Senders(Arc::clone(&shared)))), QueueReceiver(shared))
}

impl<T, C> QueueSender<T, C> {
    /// The sender for one connection. Clones of it share the connection's budget.
    pub fn for_connection(&self, connection: ConnectionId) -> ConnectionSender<T, C> {
        let budget = self.0.0.limits.connection_bytes_max;
        ConnectionSender {
            senders: Arc::clone(&self.0),
            connection,
            space: Arc::new(Semaphore::new(budget)),
        }
    }
}

impl<T, C: Eq + Hash + Clone> ConnectionSender<T, C> {
    /// Waits for space and pushes. `bytes` is the request's length; equal chains of one connection
    /// keep their order. Dropping the future before it ends pushes nothing.
    pub async fn send(
        &self,
        lane: Lane,
        chain: Option<C>,
        bytes: usize,
        item: T,
    ) -> Result<(), QueueClosed> {
        let shared = &self.senders.0;
        let cost = shared.limits.cost(bytes);
        let connection_space = Arc::clone(&self.space)
            .acquire_many_owned(cost)
            .await
            .map_err(|_closed| QueueClosed)?;
        let space = shared.space.acquire_many(cost).await.map_err(|_closed| QueueClosed)?;

        let ticket = Ticket { connection: self.connection, lane, chain };
        let was_empty = {
            let mut state = shared.state.lock();
            if state.is_closed {
                return Err(QueueClosed);
            }
            let was_empty = state.queue.is_empty();
            // The time is read under the lock, so that it never goes back between two pushes.
            let now = Instant::now().into_std();
            state.queue.push(now, ticket, Held { item, connection_space, bytes });
            shared.metrics.get(lane).depth.inc();
            was_empty
        };
        // Given back by the receiver, for a whole batch at once.
        space.forget();
        if was_empty {
            shared.arrival.notify_one();
        }
        Ok(())
    }
}

impl<T, C: Eq + Hash + Clone> QueueReceiver<T, C> {
    /// Waits until something is there and takes up to `max` requests in their order, or fewer where
    /// these are long.
    /// Empty only at the end: closed (or no sender left) and everything taken.
    pub async fn take_batch(&mut self, max: usize) -> Vec<Queued<T>> {
        loop {
            let (batch, is_over) = self.take_now(max);
            if is_over || !batch.is_empty() {
                return batch;
            }
            // A push between the look and this wait has left its permit here.
            self.0.arrival.notified().await;
        }
    }

    fn take_now(&self, max: usize) -> (Vec<Queued<T>>, bool) {
        // Read before the look: whoever was a sender then has pushed already.
        let is_abandoned = self.0.is_abandoned.load(Ordering::Acquire);
        let mut state = self.0.state.lock();
        let mut batch = Vec::with_capacity(max.min(state.queue.len()));
        let (mut space, mut bytes) = (0, 0);
        if max > 0 && !state.queue.is_empty() {
            let now = Instant::now().into_std();
            while batch.len() < max
                && (batch.is_empty() || bytes < self.0.limits.batch_bytes_max)
                && let Some(queued) = state.queue.take(now)
            {
                let Queued { item: held, connection, lane, waited, rounds } = queued;
                space += held.connection_space.num_permits();
                bytes += held.bytes;
                batch.push(Queued { item: held.item, connection, lane, waited, rounds });
            }
        }
        let is_over = (state.is_closed || is_abandoned) && state.queue.is_empty();
        drop(state);
        self.0.space.add_permits(space);
        for queued in &batch {
            let metrics = self.0.metrics.get(queued.lane);
            metrics.depth.dec();
            metrics.wait.observe(queued.waited.as_secs_f64());
        }
        (batch, is_over)
    }

    /// Refuses every further push; what is queued can still be taken.
    pub fn close(&mut self) {
        self.0.close();
    }
}

impl<T, C> Shared<T, C> {
    fn close(&self) {
        self.state.lock().is_closed = true;
        self.space.close();
        self.arrival.notify_one();
    }
}

impl<T, C> Drop for QueueReceiver<T, C> {
    /// Nobody will take what is left: frees it, and with it everybody who waits for its space.
    fn drop(&mut self) {
        self.0.close();
        let left = std::mem::take(&mut self.0.state.lock().queue);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> (QueueSender<u32, u8>, QueueReceiver<u32, u8>) {
        let limits = QueueLimits {
            connection_requests_max: 4,
            connection_bytes_max: 400,
            bytes_max: 1_000,
            batch_bytes_max: 500,
        };
        bounded(limits, PerLane::from_fn(|_| LaneMetrics::default()))
    }

    /// A test that would hang fails instead: with nothing else to do the paused clock runs out.
    async fn soon<F: Future>(test: F) -> F::Output {
        let hour = std::time::Duration::from_hours(1);
        tokio::time::timeout(hour, test).await.expect("stuck")
    }

    /// Whether the future is still waiting after every other task had its chance.
    async fn is_stuck(future: impl Future) -> bool {
        tokio::time::timeout(std::time::Duration::from_mins(1), future).await.is_err()
    }

    /// Goal: a connection at its bound waits, and goes on when the worker takes. Method: fill by
    /// requests and by bytes, each time one more than fits.
    #[tokio::test(start_paused = true)]
    async fn a_connection_waits_at_its_bound_of_requests_and_of_bytes() {
        soon(async {
            for (bytes, fits) in [(1, 4), (100, 4), (150, 2), (400, 1), (5_000, 1)] {
                let (queue, mut worker) = small();
                let sender = queue.for_connection(ConnectionId(1));
                for n in 0..fits {
                    sender.send(Lane::Interactive, None, bytes, n).await.unwrap();
                }
                let late = sender.send(Lane::Interactive, None, bytes, 99);
                tokio::pin!(late);
                assert!(is_stuck(late.as_mut()).await, "{bytes} bytes, {fits} fit");
                assert_eq!(worker.take_batch(1).await.len(), 1);
                late.await.unwrap();
            }
        })
        .await;
    }

    /// Goal: who writes little never waits for the commit of all that others have queued. Method:
    /// two queue twice 200 bytes each beside a batch of 500; the third's byte is in the first batch, and
    /// the last of the long ones is not.
    #[tokio::test(start_paused = true)]
    async fn a_batch_ends_where_its_bytes_do() {
        soon(async {
            let (queue, mut worker) = small();
            for connection in 1..=2 {
                let sender = queue.for_connection(ConnectionId(connection));
                sender.send(Lane::Interactive, None, 200, 0).await.unwrap();
                sender.send(Lane::Interactive, None, 200, 1).await.unwrap();
            }
            let sender = queue.for_connection(ConnectionId(3));
            sender.send(Lane::Interactive, None, 1, 2).await.unwrap();
            let mut batches = Vec::new();
            while batches.iter().sum::<usize>() < 5 {
                batches.push(worker.take_batch(9).await.len());
            }
            assert_eq!(batches, [4, 1]);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn all_together_wait_at_the_total_and_are_served_in_order_of_arrival() {
        soon(async {
            let (queue, mut worker) = small();
            for connection in 1..=2 {
                let sender = queue.for_connection(ConnectionId(connection));
                sender.send(Lane::Bulk, None, 400, 0).await.unwrap();
            }
            let waiting: Vec<_> = (3..=5)
                .map(|connection| {
                    let sender = queue.for_connection(ConnectionId(connection));
                    tokio::spawn(async move { sender.send(Lane::Bulk, None, 400, 1).await })
                })
                .collect();
            tokio::task::yield_now().await;
            let mut order = Vec::new();
            while order.len() < 5 {
                order.extend(worker.take_batch(1).await.iter().map(|queued| queued.connection.0));
            }
            assert_eq!(order, [1, 2, 3, 4, 5]);
            for task in waiting {
                task.await.unwrap().unwrap();
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_send_gives_its_space_back() {
        soon(async {
            let (queue, mut worker) = small();
            let sender = queue.for_connection(ConnectionId(1));
            sender.send(Lane::Bulk, None, 400, 1).await.unwrap();
            assert!(is_stuck(sender.send(Lane::Bulk, None, 400, 2)).await);
            assert_eq!(worker.take_batch(9).await.len(), 1);
            sender.send(Lane::Bulk, None, 400, 3).await.unwrap();
            assert_eq!(worker.take_batch(9).await.len(), 1);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_tells_how_long_each_waited() {
        soon(async {
            let (queue, mut worker) = small();
            let sender = queue.for_connection(ConnectionId(1));
            sender.send(Lane::Broadcast, None, 1, 1).await.unwrap();
            tokio::time::advance(std::time::Duration::from_millis(70)).await;
            sender.send(Lane::Command, None, 1, 2).await.unwrap();
            let batch = worker.take_batch(9).await;
            let seen: Vec<_> = batch
                .iter()
                .map(|queued| (queued.item, queued.lane, queued.waited.as_millis()))
                .collect();
            assert_eq!(seen, [(2, Lane::Command, 0), (1, Lane::Broadcast, 70)]);
            let metrics = worker.0.metrics.get(Lane::Broadcast);
            assert_eq!(metrics.depth.get(), 0, "what was taken is not counted any more");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_sender_ends_the_queue_after_what_is_in_it() {
        soon(async {
            let (queue, mut worker) = small();
            let sender = queue.for_connection(ConnectionId(1));
            drop(queue);
            sender.send(Lane::Bulk, None, 1, 7).await.unwrap();
            drop(sender);
            assert_eq!(worker.take_batch(9).await.len(), 1);
            assert!(worker.take_batch(9).await.is_empty());
        })
        .await;
    }

    /// Goal: closing frees everybody. Method: one sender at each bound waits while the worker
    /// closes, one while it goes away.
    #[tokio::test(start_paused = true)]
    async fn closing_refuses_new_requests_and_keeps_the_old_ones() {
        soon(async {
            for by_drop in [false, true] {
                let (queue, mut worker) = small();
                let sender = queue.for_connection(ConnectionId(1));
                sender.send(Lane::Bulk, None, 400, 1).await.unwrap();
                queue.for_connection(ConnectionId(2)).send(Lane::Bulk, None, 400, 2).await.unwrap();
                let third = queue.for_connection(ConnectionId(3));
                let waits = [sender.clone(), third].map(|sender| {
                    tokio::spawn(async move { sender.send(Lane::Bulk, None, 400, 3).await })
                });
                tokio::task::yield_now().await;
                if by_drop {
                    drop(worker);
                } else {
                    worker.close();
                    assert_eq!(worker.take_batch(9).await.len(), 2, "what was queued stays");
                    assert!(worker.take_batch(9).await.is_empty());
                }
                for task in waits {
                    assert_eq!(task.await.unwrap(), Err(QueueClosed), "by drop: {by_drop}");
                }
                assert_eq!(sender.send(Lane::Bulk, None, 1, 4).await, Err(QueueClosed));
            }
        })
        .await;
    }
}
