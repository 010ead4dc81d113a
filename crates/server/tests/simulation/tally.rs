//! What has really happened in worlds, so that no run passes because nothing did.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::AddAssign,
};

use crate::facts::{Dated, Fact, Person, Place};

/// Numbers of things that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) worlds: u64,
    /// Older disks that were put back.
    pub(crate) restores: u64,
    /// Messages that these took.
    pub(crate) taken: u64,
    /// Links of rooms in the place of one that a restore had taken.
    pub(crate) forks: u64,
    /// Second and third devices that the hub has let in.
    pub(crate) devices: u64,
    /// People who have come into the room that people make, and who have gone from it.
    pub(crate) came: u64,
    pub(crate) went: u64,
    /// Messages and commands that a hub has kept.
    pub(crate) stored: u64,
    /// Alarms that a restore explains.
    pub(crate) alarms: u64,
}

impl Tally {
    /// Of one world.
    pub(crate) fn of(facts: &[Dated]) -> Self {
        let mut tally = Self { worlds: 1, ..Self::default() };
        let mut rooms: BTreeMap<&Place, &BTreeSet<Person>> = BTreeMap::new();
        for Dated { fact, .. } in facts {
            match fact {
                Fact::Restored { .. } => {
                    tally.restores += 1;
                    // Whom it takes out of a room has not gone.
                    rooms.clear();
                }
                Fact::Taken { .. } => tally.taken += 1,
                Fact::Forked { .. } => tally.forks += 1,
                Fact::Entered { seat } => tally.devices += u64::from(seat.contains('-')),
                Fact::Stored { .. } => tally.stored += 1,
                Fact::Alarm { count, .. } => tally.alarms += u64::from(*count),
                Fact::Members { place, people } if place == "room:crew" => {
                    if let Some(before) = rooms.insert(place, people) {
                        let new = |one: &BTreeSet<Person>, other: &BTreeSet<Person>| {
                            u64::try_from(one.difference(other).count()).unwrap()
                        };
                        tally.came += new(people, before);
                        tally.went += new(before, people);
                    }
                }
                _ => {}
            }
        }
        tally
    }

    /// Panics unless enough of each thing happened: about two thirds of what many seeds make.
    pub(crate) fn assert_is_much(&self) {
        let least = [
            ("restores", self.restores, self.worlds / 5),
            ("messages taken", self.taken, self.worlds / 5),
            ("devices", self.devices, self.worlds / 4),
            ("people who came", self.came, self.worlds / 4),
            ("people who went", self.went, self.worlds / 8),
            ("messages", self.stored, self.worlds * 10),
        ];
        for (what, count, least) in least {
            assert!(count >= least, "{what}: {count}, and not even {least}: {self:?}");
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.worlds += other.worlds;
        self.restores += other.restores;
        self.taken += other.taken;
        self.forks += other.forks;
        self.devices += other.devices;
        self.came += other.came;
        self.went += other.went;
        self.stored += other.stored;
        self.alarms += other.alarms;
    }
}
