//! Who goes away in a run, when, and when they come back: from the seed alone. Moments are parts of
//! the run and not times, because how long a run takes is only known when it is over.
//!
//! ```text
//! home ─► leaving the room ─► away ─► returning ─► outside the room ─► joining ─► home
//!   └──────── without a room ───┘          └────── without a room ─────────────────┘
//! ```

use std::collections::VecDeque;

use crate::script::Random;

/// How much of a run is over, in thousandths.
pub(super) type Progress = u32;

/// All of it.
pub(super) const WHOLE: Progress = 1_000;

/// The stream of random numbers that chooses who moves; those of the clients are below.
const MOVEMENT_STREAM: u64 = 1 << 33;

/// Nobody moves before this part of the run: then something is under way everywhere.
const FROM_MIN: u64 = 50;

/// Who has not gone by now stays: what comes back needs some of the run for itself.
const FROM_MAX: u64 = 700;

/// The last return of somebody who is offline.
const UNTIL_MAX: u64 = 900;

/// Clients that churn are away for at most this part of the run, and outside their room for as much
/// again.
const CHURN_MAX: u64 = 150;

/// By so much a run goes on at each look while everybody waits for those who are away.
const PUSH: Progress = 20;

/// How much of a run is over of which `done` parts of `all` are done. It never goes back.
pub(super) fn reached(before: Progress, (done, all): (u128, u128), is_stuck: bool) -> Progress {
    let part = done.saturating_mul(u128::from(WHOLE)).checked_div(all).unwrap_or_default();
    let part = Progress::try_from(part).unwrap_or(WHOLE);
    let pushed = if is_stuck { before.saturating_add(PUSH) } else { before };
    part.max(pushed).min(WHOLE)
}

/// Who does not wait for the answer goes within this part of the run: into its midst.
const HASTE_MAX: u64 = 20;

/// One absence. Moments are parts of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Absence {
    /// When it begins.
    from: Progress,
    /// When the connection is made again.
    until: Progress,
    /// When the room is joined again.
    inside: Progress,
    /// It leaves a room first, this one modulo the number of its rooms; none when it only goes.
    room: Option<u64>,
    /// The server is told.
    says_goodbye: bool,
    /// It goes when the leaving of the room is answered, and not before.
    waits: bool,
    /// When it goes if it does not wait.
    goes: Progress,
}

/// The absences of each client. `churn` and `offline` are percents; a share of a client is one.
pub(super) fn absences(
    seed: u64,
    clients: usize,
    (churn, offline): (u32, u32),
) -> Vec<VecDeque<Absence>> {
    let mut random = Random::new(seed, MOVEMENT_STREAM);
    let mut absences = vec![VecDeque::new(); clients];
    for client in chosen(&mut random, clients, churn) {
        let absence = churning(&mut random);
        absences.get_mut(client).into_iter().for_each(|all| all.push_back(absence.clone()));
    }
    for client in chosen(&mut random, clients, offline) {
        let absence = being_offline(&mut random);
        absences.get_mut(client).into_iter().for_each(|all| all.push_back(absence.clone()));
    }
    absences
}

/// So many percent of the clients.
fn chosen(random: &mut Random, clients: usize, percent: u32) -> Vec<usize> {
    let percent = usize::try_from(percent).unwrap_or_default();
    let count = clients.saturating_mul(percent).div_ceil(100).min(clients);
    let mut rest: Vec<usize> = (0..clients).collect();
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let bound = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        let at = usize::try_from(random.below(bound)).unwrap_or_default();
        chosen.push(rest.swap_remove(at));
    }
    chosen
}

/// A number from `low` on and below `high`.
fn between(random: &mut Random, low: u64, high: u64) -> Progress {
    let number = low + random.below(high.saturating_sub(low));
    Progress::try_from(number).unwrap_or(WHOLE)
}

fn churning(random: &mut Random) -> Absence {
    let from = between(random, FROM_MIN, FROM_MAX);
    let until = from + between(random, 0, CHURN_MAX);
    let inside = until + between(random, 0, CHURN_MAX);
    let room = Some(random.next_u64());
    // One in four goes while the answer is still on its way.
    let (says_goodbye, waits) = (random.below(2) == 0, random.below(4) > 0);
    let goes = from + between(random, 0, HASTE_MAX);
    Absence { from, until, inside, room, says_goodbye, waits, goes }
}

fn being_offline(random: &mut Random) -> Absence {
    let from = between(random, FROM_MIN, FROM_MAX);
    let until = between(random, u64::from(from), UNTIL_MAX);
    let says_goodbye = random.below(2) == 0;
    Absence { from, until, inside: until, room: None, says_goodbye, waits: false, goes: from }
}

/// What a client does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// Leaves the room with this place among its own.
    Leave(usize),
    /// Drops the connection.
    Go {
        /// The server is told.
        goodbye: bool,
    },
    /// Connects again.
    Return,
    /// Joins the room that it left.
    Join(usize),
}

/// Where a client is in its absence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Home,
    Leaving,
    Away,
    Returning,
    Outside,
    Joining,
}

/// The absences of one client, one after the other.
#[derive(Debug, Default)]
pub(super) struct Mover {
    absences: VecDeque<Absence>,
    at: At,
    /// The room of this absence, among those that it may leave.
    room: Option<usize>,
    /// That it was left is known.
    has_left: bool,
}

impl Mover {
    pub(super) fn new(absences: VecDeque<Absence>) -> Self {
        Self { absences, ..Self::default() }
    }

    /// What to do at this moment of the run; `rooms` are the places of those that may be left.
    pub(super) fn next(&mut self, now: Progress, rooms: &[usize]) -> Option<Move> {
        let absence = self.absences.front()?;
        let goodbye = absence.says_goodbye;
        match self.at {
            At::Home if absence.from <= now => {
                self.room = absence.room.and_then(|number| {
                    let count = u64::try_from(rooms.len()).unwrap_or(u64::MAX);
                    let index = number.checked_rem(count)?;
                    rooms.get(usize::try_from(index).ok()?).copied()
                });
                self.has_left = false;
                self.at = if self.room.is_some() { At::Leaving } else { At::Away };
                Some(self.room.map_or(Move::Go { goodbye }, Move::Leave))
            }
            At::Leaving if self.has_left || (!absence.waits && absence.goes <= now) => {
                self.at = At::Away;
                Some(Move::Go { goodbye })
            }
            At::Away if absence.until <= now => {
                self.at = At::Returning;
                Some(Move::Return)
            }
            At::Outside if absence.inside <= now && self.has_left => {
                self.at = At::Joining;
                self.room.map(Move::Join)
            }
            _ => None,
        }
    }

    /// A connection is there.
    pub(super) fn is_online(&mut self) {
        if self.at == At::Returning {
            self.at = At::Outside;
            if self.room.is_none() {
                self.finish();
            }
        }
    }

    /// The room is left.
    pub(super) fn has_left(&mut self) {
        self.has_left = true;
    }

    /// The room is joined again.
    pub(super) fn has_joined(&mut self) {
        if self.at == At::Joining {
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.absences.pop_front();
        (self.at, self.room) = (At::Home, None);
    }

    /// Whether nothing of it is left to do.
    pub(super) fn is_over(&self) -> bool {
        self.absences.is_empty()
    }

    /// Absences that are not over.
    pub(super) fn left_over(&self) -> usize {
        self.absences.len()
    }

    /// Whether the client is one that talks: who has gone is silent until the return.
    pub(super) fn is_here(&self) -> bool {
        !matches!(self.at, At::Away | At::Returning)
    }

    /// The room in which it must not talk. What is said while the join is under way is said there.
    pub(super) fn silent_in(&self) -> Option<usize> {
        self.room.filter(|_| self.at != At::Joining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absence(room: Option<u64>, waits: bool) -> Absence {
        Absence { from: 100, until: 300, inside: 400, room, says_goodbye: true, waits, goes: 120 }
    }

    #[test]
    fn so_many_percent_move_and_the_seed_says_who() {
        let all = absences(7, 200, (25, 10));
        assert_eq!(all, absences(7, 200, (25, 10)));
        assert_ne!(all, absences(8, 200, (25, 10)));
        let all: Vec<_> = all.into_iter().flatten().collect();
        assert_eq!(all.iter().filter(|absence| absence.room.is_some()).count(), 50);
        assert_eq!(all.len(), 70);
        for absence in &all {
            let Absence { from, until, inside, .. } = absence;
            assert!(from <= until && until <= inside && *inside <= WHOLE, "{absence:?}");
        }
        assert!(all.iter().any(|a| a.says_goodbye) && !all.iter().all(|a| a.says_goodbye));
        assert!(all.iter().any(|a| a.room.is_some() && !a.waits));
        assert_eq!(absences(7, 3, (1, 0)).into_iter().flatten().count(), 1);
        assert_eq!(absences(7, 3, (100, 100)).into_iter().flatten().count(), 6);
    }

    #[test]
    fn a_run_goes_on_and_never_back() {
        assert_eq!(reached(0, (1, 3), false), 333);
        assert_eq!(reached(400, (1, 3), false), 400);
        assert_eq!(reached(400, (1, 3), true), 420);
        assert_eq!((reached(990, (1, 3), true), reached(0, (9, 3), false)), (WHOLE, WHOLE));
        assert_eq!(reached(5, (1, 0), false), 5);
    }

    #[test]
    fn a_client_leaves_goes_returns_and_joins_in_this_order() {
        let mut mover = Mover::new([absence(Some(3), true)].into());
        let rooms = [4, 5];
        assert_eq!(mover.next(99, &rooms), None);
        assert_eq!(mover.next(100, &rooms), Some(Move::Leave(5)));
        assert_eq!((mover.next(350, &rooms), mover.silent_in()), (None, Some(5)));
        mover.has_left();
        assert_eq!(mover.next(150, &rooms), Some(Move::Go { goodbye: true }));
        assert_eq!((mover.next(299, &rooms), mover.is_here()), (None, false));
        assert_eq!(mover.next(300, &rooms), Some(Move::Return));
        assert_eq!((mover.next(500, &rooms), mover.is_here()), (None, false));
        mover.is_online();
        assert_eq!((mover.next(399, &rooms), mover.silent_in()), (None, Some(5)));
        assert_eq!(mover.next(400, &rooms), Some(Move::Join(5)));
        assert_eq!((mover.silent_in(), mover.is_over()), (None, false));
        mover.has_joined();
        assert!(mover.is_over() && mover.next(WHOLE, &rooms).is_none());
    }

    #[test]
    fn who_does_not_wait_joins_only_when_the_leaving_is_answered() {
        let mut mover = Mover::new([absence(Some(0), false)].into());
        assert_eq!(mover.next(100, &[1]), Some(Move::Leave(1)));
        assert_eq!(mover.next(119, &[1]), None);
        assert_eq!(mover.next(120, &[1]), Some(Move::Go { goodbye: true }));
        assert_eq!(mover.next(300, &[1]), Some(Move::Return));
        mover.is_online();
        assert_eq!(mover.next(900, &[1]), None);
        mover.has_left();
        assert_eq!(mover.next(900, &[1]), Some(Move::Join(1)));
    }

    #[test]
    fn without_a_room_the_return_ends_it_and_the_next_absence_follows() {
        let mut mover = Mover::new([absence(None, false), absence(Some(1), true)].into());
        assert_eq!(mover.next(100, &[]), Some(Move::Go { goodbye: true }));
        assert_eq!(mover.next(300, &[]), Some(Move::Return));
        mover.is_online();
        assert_eq!((mover.left_over(), mover.is_here()), (1, true));
        // It is in no room that it could leave.
        assert_eq!(mover.next(300, &[]), Some(Move::Go { goodbye: true }));
    }
}
