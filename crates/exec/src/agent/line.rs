//! Commands of one signing key in their order: who waits for one before it, and who follows whom.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::order::{Arrived, Order, Orders, Released, Verdict};

/// The places of all commands whose turn has come or that wait for it.
#[derive(Clone, Default)]
pub(super) struct Line(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    orders: Orders<oneshot::Sender<Option<Ticket>>>,
    /// By signing key: ends when the last one whose turn has come is recorded.
    tails: HashMap<String, oneshot::Receiver<()>>,
}

/// Held by a command whose turn has come, until it is recorded as started or refused.
pub(super) struct Ticket {
    line: Line,
    signing_key: String,
    before: Option<oneshot::Receiver<()>>,
    /// Dropped with the ticket: the next one's turn.
    _done: oneshot::Sender<()>,
}

/// A command's place.
pub(super) enum Placed {
    /// Its turn.
    Turn(Ticket),
    /// One before it is missing. The receiver gets a ticket when its turn comes, or nothing when a
    /// later one was dealt with.
    Held { until_ms: u64, woken: oneshot::Receiver<Option<Ticket>>, waiting: Waiting },
    /// Too many wait already.
    TooMany(Ticket),
    /// A later one was dealt with.
    Passed,
}

/// Held by a command that waits; when it is dropped, nobody waits any more.
pub(super) struct Waiting {
    line: Line,
    order: Order,
}

impl Line {
    /// A command comes. `highest` is the highest number of its key that is recorded, read under the
    /// lock under which it is written.
    pub(super) fn arrive(&self, order: &Order, highest: Option<u64>, times: (u64, u64)) -> Placed {
        let (wake, woken) = oneshot::channel();
        let mut inner = self.0.lock();
        let (arrived, released) = inner.orders.arrive(order, highest, times, wake);
        let placed = match arrived {
            Arrived::Turn => Placed::Turn(self.ticket(&mut inner, &order.signing_key)),
            Arrived::TooMany => Placed::TooMany(self.ticket(&mut inner, &order.signing_key)),
            Arrived::Passed => Placed::Passed,
            Arrived::Held { until_ms } => {
                let waiting = Waiting { line: self.clone(), order: order.clone() };
                Placed::Held { until_ms, woken, waiting }
            }
        };
        self.wake(inner, &order.signing_key, released);
        placed
    }

    /// A number was dealt with elsewhere.
    pub(super) fn raise(&self, order: &Order) {
        let mut inner = self.0.lock();
        let released = inner.orders.raise(order);
        self.wake(inner, &order.signing_key, released);
    }

    /// The next ticket of a key. Whoever is given one first has their turn first.
    fn ticket(&self, inner: &mut Inner, signing_key: &str) -> Ticket {
        let (done, tail) = oneshot::channel();
        let before = inner.tails.insert(signing_key.to_owned(), tail);
        let (line, signing_key) = (self.clone(), signing_key.to_owned());
        Ticket { line, signing_key, before, _done: done }
    }

    /// Tells those who wait no more, after the lock is given up: a ticket that nobody takes is dropped.
    fn wake(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        signing_key: &str,
        released: Vec<Released<oneshot::Sender<Option<Ticket>>>>,
    ) {
        let mut told = Vec::with_capacity(released.len());
        for Released { waiter, verdict } in released {
            let is_turn = verdict == Verdict::Turn;
            let ticket = is_turn.then(|| self.ticket(&mut inner, signing_key));
            told.push((waiter, ticket));
        }
        drop(inner);
        for (waiter, ticket) in told {
            drop(waiter.send(ticket));
        }
    }
}

impl Waiting {
    /// It has waited long enough. A ticket to be refused with, or nothing if it was woken meanwhile.
    pub(super) fn give_up(&self) -> Option<Ticket> {
        let mut inner = self.line.0.lock();
        let released = inner.orders.give_up(&self.order)?;
        let ticket = self.line.ticket(&mut inner, &self.order.signing_key);
        self.line.wake(inner, &self.order.signing_key, released);
        Some(ticket)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.line.0.lock().orders.forget(&self.order);
    }
}

impl Ticket {
    /// Waits until every command of the key before this one is recorded.
    pub(super) async fn wait(&mut self) {
        if let Some(before) = self.before.take() {
            // An error is the expected answer: the sender is dropped, never used.
            let _dropped = before.await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inner = self.line.0.lock();
        if inner.orders.recorded(&self.signing_key) {
            inner.tails.remove(&self.signing_key);
        }
    }
}
