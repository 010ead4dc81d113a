//! In which order the commands of one signing key start (rule R34). Deciding is pure: it reads no file and no
//! clock.
//!
//! Every command has a number, and names the number of the one before it that its sender's hub did
//! not refuse. A command starts when that one has been dealt with, waits a short time when it is
//! missing, and never starts once a later one was dealt with. So whatever order a hub delivers in,
//! commands start in the order in which they were asked, or not at all.

use std::collections::{BTreeMap, HashMap};

use crate::limits::{HELD_MAX, HELD_PER_KEY_MAX, MISSING_WAIT_MS};

/// Where a command stands among those of its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The id of the key that signed it, base64url. Numbers are counted for each key alone.
    pub signing_key: String,
    /// Unix time in milliseconds at which that key expires.
    pub key_ends_at_ms: u64,
    /// Its number, from 0.
    pub no: u64,
    /// The number of the one before it.
    pub prev: Option<u64>,
}

/// What becomes of a command when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// Its turn.
    Turn,
    /// One before it is missing: it waits until then, Unix time in milliseconds.
    Held { until_ms: u64 },
    /// Too many wait already. Its number is dealt with all the same.
    TooMany,
    /// A later one was dealt with: it never starts.
    Passed,
}

/// What becomes of a command that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its turn.
    Turn,
    /// A later one was dealt with: it never starts.
    Passed,
}

/// A command that waits no more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Released<T> {
    pub(crate) waiter: T,
    pub(crate) verdict: Verdict,
}

/// The commands that wait, and how far each signing key has come. `T` is what wakes a waiting one.
#[derive(Debug)]
pub(crate) struct Orders<T> {
    doors: HashMap<String, Door<T>>,
    held: usize,
}

#[derive(Debug)]
struct Door<T> {
    /// The highest number that was dealt with or whose turn has come.
    reached: Option<u64>,
    held: BTreeMap<u64, Waiting<T>>,
    /// Commands whose turn has come and that are not recorded yet.
    open: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    prev: Option<u64>,
    waiter: T,
}

impl<T> Default for Orders<T> {
    fn default() -> Self {
        Self { doors: HashMap::new(), held: 0 }
    }
}

impl<T> Orders<T> {
    /// A command comes. `highest` is the highest number of its key that is recorded as dealt with.
    /// Whoever gets `Turn` or `TooMany` says [`recorded`](Self::recorded) later. Returns those that
    /// wait no more because of it, in the order of their numbers.
    pub(crate) fn arrive(
        &mut self,
        order: &Order,
        highest: Option<u64>,
        (now_ms, expires_at_ms): (u64, u64),
        waiter: T,
    ) -> (Arrived, Vec<Released<T>>) {
        let is_full = self.held >= HELD_MAX;
        let make = || Door { reached: highest, held: BTreeMap::new(), open: 0 };
        let door = self.doors.entry(order.signing_key.clone()).or_insert_with(make);
        door.reached = door.reached.max(highest);
        let arrived = if Some(order.no) <= door.reached || door.held.contains_key(&order.no) {
            Arrived::Passed
        } else if order.prev <= door.reached {
            Arrived::Turn
        } else if is_full || door.held.len() >= HELD_PER_KEY_MAX {
            Arrived::TooMany
        } else {
            let until_ms = expires_at_ms.min(now_ms.saturating_add(MISSING_WAIT_MS));
            Arrived::Held { until_ms }
        };
        match arrived {
            Arrived::Held { .. } => {
                door.held.insert(order.no, Waiting { prev: order.prev, waiter });
                self.held += 1;
            }
            Arrived::Turn | Arrived::TooMany => {
                (door.reached, door.open) = (Some(order.no), door.open + 1);
            }
            Arrived::Passed => {}
        }
        (arrived, self.release(&order.signing_key))
    }

    /// A command that waits has waited long enough: it is refused, and what it waited for never
    /// starts. Nothing if it does not wait any more. Says [`recorded`](Self::recorded) later.
    pub(crate) fn give_up(&mut self, order: &Order) -> Option<Vec<Released<T>>> {
        let door = self.doors.get_mut(&order.signing_key)?;
        door.held.remove(&order.no)?;
        self.held -= 1;
        door.reached = door.reached.max(Some(order.no));
        door.open += 1;
        Some(self.release(&order.signing_key))
    }

    /// A number was dealt with elsewhere.
    pub(crate) fn raise(&mut self, order: &Order) -> Vec<Released<T>> {
        if let Some(door) = self.doors.get_mut(&order.signing_key) {
            door.reached = door.reached.max(Some(order.no));
        }
        self.release(&order.signing_key)
    }

    /// A command whose turn had come is recorded, or was dropped. Returns whether its key has no
    /// other command left here.
    pub(crate) fn recorded(&mut self, signing_key: &str) -> bool {
        if let Some(door) = self.doors.get_mut(signing_key) {
            door.open = door.open.saturating_sub(1);
        }
        self.tidy(signing_key)
    }

    /// A command that waits is not wanted any more.
    pub(crate) fn forget(&mut self, order: &Order) {
        let door = self.doors.get_mut(&order.signing_key);
        if door.is_some_and(|door| door.held.remove(&order.no).is_some()) {
            self.held -= 1;
        }
        self.tidy(&order.signing_key);
    }

    /// Those of a key that wait for nothing any more.
    fn release(&mut self, signing_key: &str) -> Vec<Released<T>> {
        let mut released = Vec::new();
        let Some(door) = self.doors.get_mut(signing_key) else { return released };
        loop {
            let reached = door.reached;
            let mut held = door.held.iter();
            let due = held.find(|(no, waiting)| Some(**no) <= reached || waiting.prev <= reached);
            let Some(no) = due.map(|(no, _)| *no) else { break };
            let Some(Waiting { waiter, .. }) = door.held.remove(&no) else { break };
            self.held -= 1;
            let verdict = if Some(no) <= reached { Verdict::Passed } else { Verdict::Turn };
            if verdict == Verdict::Turn {
                (door.reached, door.open) = (Some(no), door.open + 1);
            }
            released.push(Released { waiter, verdict });
        }
        self.tidy(signing_key);
        released
    }

    /// Drops what is not needed: what was dealt with stands in the journal.
    fn tidy(&mut self, signing_key: &str) -> bool {
        let door = self.doors.get(signing_key);
        let is_idle = door.is_none_or(|door| door.open == 0 && door.held.is_empty());
        if is_idle {
            self.doors.remove(signing_key);
        }
        is_idle
    }
}

#[cfg(test)]
mod tests;
