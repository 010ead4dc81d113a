//! Where the clients were: outside which room between which positions of the hub's log, and away
//! since when.
//!
//! **What can be known.** The hub gives each link of a room's chain and each message of it one place
//! in one order. A message is for those who are in its epoch; a link of leaving closes every epoch
//! that holds the leaver, so that no message behind it can be for them before a link of joining.
//! Both the message's place and the link's are answers that clients got themselves. So:
//!
//! - who opened a message and is not among the people of its epoch, opened what was not theirs;
//! - a message that stands between somebody's leaving and joining again, and whose epoch holds them
//!   all the same, was sealed for somebody outside.
//!
//! The last needs both places. Where the answer to a link went down with a connection, the client
//! learns from the chain that the link is in it, but not where; then only the first is checked for
//! that absence, and it counts as unplaced.

use std::collections::HashMap;

use tokio::time::Instant;

use super::clients::Clients;
use crate::report::Movement;

/// The place of a link in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    At(u64),
    /// The answer was lost.
    Unknown,
    /// There is no such link.
    Never,
}

impl Place {
    fn of(position: Option<u64>) -> Self {
        position.map_or(Self::Unknown, Self::At)
    }
}

/// Between two links.
#[derive(Debug, Clone, Copy)]
struct Outside {
    left: Place,
    joined: Place,
}

impl Outside {
    /// Whether this place lies certainly in between.
    fn holds(&self, position: u64) -> bool {
        let is_behind = matches!(self.left, Place::At(left) if left < position);
        let is_before = match self.joined {
            Place::At(joined) => position < joined,
            Place::Unknown => false,
            Place::Never => true,
        };
        is_behind && is_before
    }
}

/// Where all clients were.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    /// Who was in a room when the run began, by its number.
    members: HashMap<usize, Clients>,
    /// By client and number of the room.
    outside: HashMap<(usize, usize), Vec<Outside>>,
    away: HashMap<usize, Instant>,
    returned: HashMap<usize, Instant>,
    movement: Movement,
}

impl Whereabouts {
    /// A client is in a room when the run begins.
    pub(super) fn belongs(&mut self, client: usize, room: usize) {
        self.members.entry(room).or_default().insert(client);
    }

    /// Who was in a room when the run began.
    pub(super) fn members(&self, room: usize) -> Option<&Clients> {
        self.members.get(&room)
    }

    /// Those of them who have left it before this place, or may have: they are not in it for certain.
    pub(super) fn movers(&self, room: usize, position: u64) -> impl Iterator<Item = usize> + '_ {
        let of_room = self.outside.iter().filter(move |((_, of), _)| *of == room);
        let is_certain = move |all: &[Outside]| matches!(all.first(), Some(Outside { left: Place::At(left), .. }) if position < *left);
        let moved = of_room.filter(move |(_, all)| !is_certain(all));
        moved.map(|((client, _), _)| *client)
    }

    /// A client has left a room.
    pub(super) fn left(&mut self, client: usize, room: usize, position: Option<u64>) {
        self.movement.leaves += 1;
        let outside = Outside { left: Place::of(position), joined: Place::Never };
        self.outside.entry((client, room)).or_default().push(outside);
    }

    /// A client has joined it again.
    pub(super) fn joined(&mut self, client: usize, room: usize, position: Option<u64>) {
        self.movement.joins += 1;
        let last = self.outside.get_mut(&(client, room)).and_then(|all| all.last_mut());
        if let Some(outside) = last {
            outside.joined = Place::of(position);
        }
    }

    /// A client drops its connection.
    pub(super) fn went(&mut self, client: usize, goodbye: bool, now: Instant) {
        self.movement.absences += 1;
        self.movement.cut += u64::from(!goodbye);
        self.away.insert(client, now);
    }

    /// It has a connection again.
    pub(super) fn came(&mut self, client: usize, now: Instant) {
        if let Some(since) = self.away.remove(&client) {
            let away = now.saturating_duration_since(since);
            self.movement.away += away;
            self.movement.away_max = self.movement.away_max.max(away);
            self.returned.insert(client, now);
        }
    }

    /// A client could not do so many of its moves.
    pub(super) fn unmoved(&mut self, absences: usize) {
        self.movement.unmoved += u64::try_from(absences).unwrap_or(u64::MAX);
    }

    /// When a client came back that was away when a message was due at `at`, or had not got it
    /// before it went.
    pub(super) fn returned_after(&self, client: usize, at: Instant) -> Option<Instant> {
        self.returned.get(&client).copied().filter(|returned| *returned > at)
    }

    /// Those for whom a message at this place of the room is not.
    pub(super) fn outsiders(&self, room: usize, position: u64) -> impl Iterator<Item = usize> + '_ {
        let of_room = self.outside.iter().filter(move |((_, of), _)| *of == room);
        let holding = of_room.filter(move |(_, all)| all.iter().any(|one| one.holds(position)));
        holding.map(|((client, _), _)| *client)
    }

    /// What was counted.
    pub(super) fn movement(&self) -> Movement {
        let is_known = |place| !matches!(place, Place::Unknown);
        let all = self.outside.values().flatten();
        let unplaced = all.filter(|one| !is_known(one.left) || !is_known(one.joined)).count();
        Movement { unplaced: u64::try_from(unplaced).unwrap_or(u64::MAX), ..self.movement }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn outsiders(whereabouts: &Whereabouts, position: u64) -> Vec<usize> {
        whereabouts.outsiders(1, position).collect()
    }

    #[test]
    fn who_left_is_outside_until_the_next_join() {
        let mut whereabouts = Whereabouts::default();
        whereabouts.left(4, 1, Some(10));
        whereabouts.left(5, 2, Some(10));
        assert!(outsiders(&whereabouts, 9).is_empty());
        assert_eq!(outsiders(&whereabouts, 11), [4]);
        whereabouts.joined(4, 1, Some(20));
        whereabouts.left(4, 1, Some(30));
        for (position, is_outside) in [(9, false), (19, true), (21, false), (31, true)] {
            assert_eq!(!outsiders(&whereabouts, position).is_empty(), is_outside, "{position}");
        }
        let Movement { leaves, joins, unplaced, .. } = whereabouts.movement();
        assert_eq!((leaves, joins, unplaced), (3, 1, 0));
    }

    #[test]
    fn nothing_is_said_of_an_absence_without_a_place() {
        let mut whereabouts = Whereabouts::default();
        whereabouts.left(4, 1, None);
        assert!(outsiders(&whereabouts, 11).is_empty());
        whereabouts.joined(4, 1, Some(20));
        whereabouts.left(5, 1, Some(10));
        assert_eq!(outsiders(&whereabouts, 11), [5]);
        whereabouts.joined(5, 1, None);
        assert!(outsiders(&whereabouts, 11).is_empty());
        assert_eq!(whereabouts.movement().unplaced, 2);
    }

    #[test]
    fn time_away_adds_up() {
        let (mut whereabouts, start) = (Whereabouts::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        whereabouts.came(1, at(1));
        for (client, from, until) in [(1, 100, 130), (2, 100, 350)] {
            whereabouts.went(client, client == 1, at(from));
            whereabouts.came(client, at(until));
        }
        let Movement { absences, cut, away, away_max, .. } = whereabouts.movement();
        assert_eq!((absences, cut), (2, 1));
        assert_eq!((away.as_millis(), away_max.as_millis()), (280, 250));
        assert_eq!(whereabouts.returned_after(1, at(129)), Some(at(130)));
        assert_eq!(whereabouts.returned_after(1, at(130)), None);
    }
}
