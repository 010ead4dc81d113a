//! Positions in the hub's one sequence, and when two of them may be compared.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::table::{Counter, Kind};

/// A position that the hub has named, and in which era of the hub: how often it had gone back by then.
///
/// A hub that went back gives positions a second time. So two positions of different eras say nothing about each other:
/// none of `<`, `<=`, `>` and `>=` is true of them. Whoever compares asks for what it needs to know, and takes a
/// position of another era for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    era: u64,
    at: u64,
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.era == other.era).then(|| self.at.cmp(&other.at))
    }
}

/// The row of a home that has the newest position which the hub has named, for whoever reads it before a sign-in; see
/// [`Endpoint::knew`](crate::Endpoint::knew).
pub const NEWEST_POSITION_ROW: &str = "counter/position";

/// What a device knew of positions at some time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Horizon {
    /// The newest position that the hub has named.
    pub(crate) newest: u64,
    /// How often the hub had gone back: another process of the home may tell of it first.
    pub(crate) era: u64,
}

/// How far the hub's sequence goes by its own word, and how often it has gone back.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    newest: Counter,
    restores: Counter,
}

impl Positions {
    pub(crate) fn rows(&mut self) -> [Kind<'_>; 2] {
        [(NEWEST_POSITION_ROW, &mut self.newest), ("counter/restores", &mut self.restores)]
    }

    /// Notes that the hub has named this position: nothing that is new there gets a lower one. No other position
    /// is kept that was not noted so.
    pub(crate) fn note(&mut self, position: u64) {
        if position > self.newest.get() {
            self.newest.put(position);
        }
    }

    /// Notes that the hub has given no positions but those up to this one.
    pub(crate) fn end_at(&mut self, position: u64) {
        self.newest.put(position);
    }

    /// What is known of positions now.
    pub(crate) fn horizon(&self) -> Horizon {
        Horizon { newest: self.newest.get(), era: self.era() }
    }

    /// How often the hub has gone back: what was seen before belongs to another era.
    pub(crate) fn era(&self) -> u64 {
        self.restores.get()
    }

    /// The hub has gone back.
    pub(crate) fn begin_era(&mut self) {
        self.restores.put(self.era().saturating_add(1));
    }

    /// A position that the hub names now.
    pub(crate) fn at(&self, at: u64) -> Position {
        Position { era: self.era(), at }
    }

    /// The number of a position, where it compares with those that the hub names now.
    pub(crate) fn comparable(&self, position: Position) -> Option<u64> {
        (position.era == self.era()).then_some(position.at)
    }

    /// The newest position that it has named. Where it says at a sign-in that it has given fewer, a new era
    /// begins, so what is above them decides nothing any more.
    pub(crate) fn newest(&self) -> Position {
        self.at(self.newest.get())
    }
}

/// How a frame came.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Came {
    /// Where the hub says that it stands; 0 for what was kept until its key came, or was handed over.
    pub(crate) position: u64,
    /// When, Unix time in milliseconds, if that was after all that waited at the sign-in.
    pub(crate) live_ms: Option<u64>,
    /// The newest position that the hub had answered with in its log by then, if that was after all that waited.
    pub(crate) behind: Option<Position>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: positions compare within an era and in no other way.
    #[test]
    fn positions_of_two_eras_say_nothing_about_each_other() {
        let position = |era, at| Position { era, at };
        assert!(position(1, 5) < position(1, 6) && position(1, 6) <= position(1, 6));
        for at in [5, 6, 7] {
            assert_eq!(position(0, at).partial_cmp(&position(1, 6)), None);
        }
        assert_ne!(position(0, 6), position(1, 6));
    }
}
