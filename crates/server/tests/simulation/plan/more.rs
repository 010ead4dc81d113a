//! What comes on top in some of the worlds: more devices of one person, a room that people make, come
//! to and leave, a long night, and a hub that goes back to an older state. Drawn from dice of its own,
//! so that it changes nothing else of a seed.

use super::{
    CrashPoint, DeviceFault, Happening, Plan, Planned, Restore, RoomAct, SAFETY_MS, SETTLED_MS,
    Whereto,
};
use crate::{
    dice::Dice,
    facts::person,
    keys::{NAMES, SEATS},
};

/// Longer than an epoch is used.
const NIGHT_MS: u64 = 26 * 3600 * 1000;

impl Plan {
    pub(super) fn add_more(&mut self, dice: &mut Dice) {
        let has_devices = dice.percent(40);
        let has_crew = dice.percent(50);
        let restores = dice.percent(34);
        if has_devices {
            self.add_devices(dice);
        }
        if has_crew {
            self.add_crew(dice);
        }
        if dice.percent(4) {
            self.add_night(dice);
        }
        if restores {
            self.add_restore(dice, has_crew);
        }
        self.talks = has_devices || has_crew || restores;
    }

    fn add(&mut self, at_ms: u64, event: Happening) {
        self.events.push(Planned { at_ms, event });
    }

    /// The devices of this world that come in the middle of it.
    fn later_devices(&self) -> Vec<usize> {
        let comes = |planned: &Planned| match planned.event {
            Happening::Comes { seat } => Some(seat),
            _ => None,
        };
        self.events.iter().filter_map(comes).collect()
    }

    fn add_devices(&mut self, dice: &mut Dice) {
        for _ in 0..dice.between(1, 2) {
            let seat = NAMES.len() + dice.index(SEATS.len() - NAMES.len());
            let owner = NAMES.iter().position(|name| *name == person(SEATS[seat])).unwrap();
            if owner >= self.people || self.later_devices().contains(&seat) {
                continue;
            }
            let comes_ms = dice.between(1, SAFETY_MS * 3 / 4);
            self.add(comes_ms, Happening::Comes { seat });
            for _ in 0..2 {
                let whereto = match dice.between(0, 3) {
                    0 => Whereto::Person((owner + 1) % self.people),
                    1 => Whereto::Machine,
                    _ => Whereto::Lobby,
                };
                let count = dice.between(1, 3);
                let at_ms = dice.between(comes_ms, SAFETY_MS);
                self.add(at_ms, Happening::Say { who: seat, whereto, count });
            }
            let fault = match dice.between(0, 3) {
                0 => DeviceFault::Away { for_ms: dice.between(1_000, SAFETY_MS) },
                1 => DeviceFault::Cut { silent: dice.percent(50) },
                2 => DeviceFault::Rotate,
                _ => continue,
            };
            let at_ms = dice.between(comes_ms, SAFETY_MS);
            self.add(at_ms, Happening::Device { who: seat, fault });
        }
    }

    fn add_crew(&mut self, dice: &mut Dice) {
        let private = dice.percent(50);
        let made_ms = dice.between(SETTLED_MS, SAFETY_MS / 4);
        self.add(made_ms, Happening::Act { who: 0, act: RoomAct::Create { private } });
        for other in 1..self.people {
            if dice.percent(80) {
                let at_ms = dice.between(made_ms, SAFETY_MS / 2);
                let (who, act) =
                    if private { (0, RoomAct::Admit(other)) } else { (other, RoomAct::Join) };
                self.add(at_ms, Happening::Act { who, act });
            }
        }
        let mut actors: Vec<usize> = (0..self.people).collect();
        actors.extend(self.later_devices());
        for _ in 0..dice.between(2, 7) {
            let at_ms = dice.between(made_ms, SAFETY_MS);
            // Who has made the room does the most there.
            let who = if dice.percent(50) { 0 } else { dice.pick(&actors) };
            let other = dice.index(self.people);
            let act = match dice.between(0, 9) {
                0 => RoomAct::Leave,
                1 => RoomAct::Join,
                2..=4 => RoomAct::Admit(other),
                5..=7 => RoomAct::Remove { who: other, ban: dice.percent(40) },
                _ => RoomAct::Role { who: other, admin: dice.percent(70) },
            };
            self.add(at_ms, Happening::Act { who, act });
        }
        for _ in 0..dice.between(3, 7) {
            let at_ms = dice.between(made_ms, SAFETY_MS);
            let (who, count) = (dice.pick(&actors), dice.between(1, 2));
            self.add(at_ms, Happening::Say { who, whereto: Whereto::Crew, count });
        }
    }

    /// Somebody is away all the time, the others say something in the middle.
    fn add_night(&mut self, dice: &mut Dice) {
        let at_ms = dice.between(SAFETY_MS / 4, SAFETY_MS * 3 / 4);
        let away = dice.index(self.people);
        let fault = DeviceFault::Away { for_ms: 2 * NIGHT_MS + dice.between(0, SAFETY_MS) };
        self.add(at_ms, Happening::Device { who: away, fault });
        self.add(at_ms + 1, Happening::Night { for_ms: NIGHT_MS });
        for who in (0..self.people).filter(|who| *who != away) {
            let (whereto, count) = (Whereto::Lobby, 1);
            self.add(at_ms + 2, Happening::Say { who, whereto, count });
        }
        self.add(at_ms + 500, Happening::Night { for_ms: NIGHT_MS });
    }

    fn add_restore(&mut self, dice: &mut Dice, has_crew: bool) {
        let copied_ms = dice.between(SETTLED_MS / 2, SAFETY_MS);
        self.add(copied_ms, Happening::Copy);
        let down_ms = dice.between(1, 4_000);
        if dice.percent(60) {
            self.last_restore = Some(Restore { down_ms, calm_ms: dice.between(1, 5_000) });
        } else {
            let at_ms = dice.between(copied_ms, SAFETY_MS);
            self.add(at_ms, Happening::Restore { down_ms });
            if has_crew {
                self.add_goodbye(dice, at_ms + down_ms);
            }
        }
    }

    /// Somebody comes back to a hub that was put back, and their process dies. While it is down somebody else says
    /// something in the room that people make, and leaves it.
    fn add_goodbye(&mut self, dice: &mut Dice, back_ms: u64) {
        let goes = dice.index(self.people);
        let reader = (goes + 1 + dice.index(self.people - 1)) % self.people;
        let (dies_ms, down_ms) = (back_ms + dice.between(1_000, 5_000), dice.between(1_000, 4_000));
        let fault = DeviceFault::Crash { point: CrashPoint::Now, down_ms };
        self.add(dies_ms, Happening::Device { who: reader, fault });
        let says_ms = dies_ms + dice.between(1, down_ms / 2);
        let count = dice.between(1, 2);
        self.add(says_ms, Happening::Say { who: goes, whereto: Whereto::Crew, count });
        self.add(says_ms + 1, Happening::Act { who: goes, act: RoomAct::Leave });
    }

    /// See [`Plan::kinds`].
    #[cfg(test)]
    pub(crate) const KINDS: usize = 4;

    /// Which kinds of events a world has beside the oldest ones: more devices, a room that people make,
    /// a night, a restore.
    #[cfg(test)]
    pub(crate) fn kinds(&self) -> [bool; Self::KINDS] {
        let has = |is: fn(&Happening) -> bool| self.events.iter().any(|p| is(&p.event));
        [
            has(|event| matches!(event, Happening::Comes { .. })),
            has(|event| matches!(event, Happening::Act { .. })),
            has(|event| matches!(event, Happening::Night { .. })),
            has(|event| matches!(event, Happening::Copy)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether somebody leaves the room that people make behind a restore, while the process of somebody else is down.
    fn says_goodbye(plan: &Plan) -> bool {
        let mut after = plan.events.iter().map(|planned| &planned.event);
        after.any(|event| matches!(event, Happening::Restore { .. }))
            && after.any(|event| {
                let is_death = |fault: &DeviceFault| {
                    matches!(fault, DeviceFault::Crash { point: CrashPoint::Now, .. })
                };
                matches!(event, Happening::Device { fault, .. } if is_death(fault))
            })
            && after.any(|event| matches!(event, Happening::Act { act: RoomAct::Leave, .. }))
    }

    /// Goal: no kind of event is left out by chance. Method: the shares in the first 500 worlds.
    #[test]
    fn every_kind_of_event_is_drawn() {
        let plans: Vec<Plan> = (0..500).map(Plan::of).collect();
        for kind in 0..Plan::KINDS {
            let count = plans.iter().filter(|plan| plan.kinds()[kind]).count();
            assert!(count >= 10, "kind {kind}: {count}");
        }
        let calm = plans.iter().filter(|plan| plan.last_restore.is_some()).count();
        let others = plans.iter().filter(|plan| plan.kinds()[3]).count() - calm;
        assert!(calm >= 60 && others >= 40, "{calm} and {others} restores");
        let goodbyes = plans.iter().filter(|plan| says_goodbye(plan)).count();
        assert!(goodbyes >= 20, "{goodbyes} leave behind a restore");
    }
}
