//! Where the copy of a server and the log part, as far as somebody knows: by their openings, and by what everything up to their
//! last turns came to.

use std::collections::BTreeMap;

use chat_protocol::id::Digest;

use crate::order::opening::line::{Line, forked_behind};

/// What of a folder the log may lack: the turns behind one, up to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) after: u64,
    pub(super) last: u64,
    /// Nobody remembers where they parted: it may have been before the first turn whose bytes are there.
    pub(super) is_guess: bool,
}

/// Where a copy and a log part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parting {
    /// All up to this turn is in both, and what the copy has behind it may be in the copy alone.
    Behind(u64),
    /// Nobody remembers where: it is taken up from the first turn whose bytes are there. What the log has already is passed over
    /// then, and what is left out is lost.
    Unknown,
}

impl Parting {
    /// What is taken up of a folder that ends with turn `last`, and has no bytes of the turns up to `before`.
    pub(super) fn part(self, before: u64, last: u64) -> Part {
        match self {
            Self::Behind(after) => Part { after, last, is_guess: false },
            Self::Unknown => Part { after: before, last, is_guess: true },
        }
    }
}

/// Where a copy parts from a log, by the openings of both; nothing where it does not. Where only a chain says that it has something
/// else, that came anywhere behind the last turn of which it is known to have the same.
pub(super) fn parted_by_openings(
    (there, own): (&Line, &Line),
    copy: (u64, u64),
    mine: &BTreeMap<u64, Digest>,
) -> Option<Parting> {
    if there.is_unsure_of(own, copy) {
        return Some(Parting::Unknown);
    }
    let named = forked_behind(there, own, copy, |_| None);
    let found = forked_behind(there, own, copy, |turn| mine.get(&turn).copied())?;
    if let Some(named) = named.filter(|named| *named <= found) {
        return Some(Parting::Behind(named));
    }
    let openings = there.openings().values();
    let alike = openings.filter(|began| mine.get(&began.turn) == Some(&began.chain));
    let last_alike = alike.map(|began| began.turn).filter(|turn| *turn <= found).max();
    Some(last_alike.map_or(Parting::Unknown, Parting::Behind))
}

/// The same of a copy up to `applied`, also by what everything up to a turn came to in the log and in the copy.
pub(super) fn parted(
    (here, mine): (&BTreeMap<u64, Digest>, &BTreeMap<u64, Digest>),
    applied: u64,
    by_openings: Option<Parting>,
) -> Option<Parting> {
    let of_both = mine.iter().filter_map(|(turn, chain)| Some((*turn, here.get(turn)? == chain)));
    let (alike, other): (Vec<_>, Vec<_>) = of_both.partition(|(_, is_alike)| *is_alike);
    let first_other = other.iter().map(|(turn, _)| *turn).min();
    let last_alike = alike.iter().map(|(turn, _)| *turn).max();
    if last_alike.is_some_and(|turn| turn >= applied) {
        return None;
    }
    let Some(first_other) = first_other else { return by_openings };
    let before = first_other.saturating_sub(1);
    Some(match (last_alike, by_openings) {
        (Some(last), _) => Parting::Behind(last),
        (None, Some(Parting::Behind(turn))) if turn <= before => Parting::Behind(turn),
        // What is known of the chains begins after they have parted.
        (None, _) => Parting::Unknown,
    })
}
