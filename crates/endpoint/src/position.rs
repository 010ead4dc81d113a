//! Positions in the hub's one sequence, and when two of them may be compared.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;

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

impl Endpoint {
    /// A position that the hub names now.
    pub(crate) fn position(&self, at: u64) -> Position {
        Position { era: self.era(), at }
    }

    /// The number of a position, where it compares with those that the hub names now.
    pub(crate) fn comparable(&self, position: Position) -> Option<u64> {
        (position.era == self.era()).then_some(position.at)
    }

    /// The newest position that it has named. Where it says at a sign-in that it has given fewer, a new era
    /// begins, so what is above them decides nothing any more.
    pub(crate) fn newest_position(&self) -> Position {
        self.position(self.horizon().newest())
    }
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
