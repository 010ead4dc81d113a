//! What happens in a world, derived from its seed before it begins.

mod more;

use std::fmt;

use crate::{dice::Dice, disk::Moment, keys::MACHINE, network::Delay};

/// The safety phase lasts this long, in virtual milliseconds; somebody may stay away for longer.
const SAFETY_MS: u64 = 20_000;

/// Everybody but the newcomer has signed in by then, when nothing goes wrong.
const SETTLED_MS: u64 = 1_500;

/// The disk of the hub as it was at one time is put back at a later one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restore {
    /// How long the hub is away for it.
    pub(crate) down_ms: u64,
    /// How long nothing goes wrong before it.
    pub(crate) calm_ms: u64,
}

/// Everything that is decided before a world begins.
#[derive(Debug)]
pub(crate) struct Plan {
    /// People from the beginning of [`crate::keys::NAMES`].
    pub(crate) people: usize,
    /// When the last of them comes.
    pub(crate) newcomer_ms: u64,
    pub(crate) delay: Delay,
    /// How long rooms keep messages, in virtual milliseconds; 0 for ever.
    pub(crate) retention_ms: u64,
    /// A restore when everything else that goes wrong is over. From then on it is measured how long it
    /// takes until all talk again.
    pub(crate) last_restore: Option<Restore>,
    /// In the end everybody says something again wherever they did.
    pub(crate) talks: bool,
    pub(crate) events: Vec<Planned>,
}

/// Something at a moment, in virtual milliseconds.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) at_ms: u64,
    pub(crate) event: Happening,
}

/// What happens.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// A person says so many things in a row.
    Say { who: usize, whereto: Whereto, count: u64 },
    /// A fault of one device or its connection.
    Device { who: usize, fault: DeviceFault },
    /// The hub crashes, and is back after a while.
    HubCrash { moment: Option<Moment>, down_ms: u64 },
    /// The disk of the hub is full for a while.
    DiskFull { for_ms: u64 },
    /// A person gets another device.
    Comes { seat: usize },
    /// Something is done in the room that people make.
    Act { who: usize, act: RoomAct },
    /// The disk of the hub is copied.
    Copy,
    /// The copy is put back.
    Restore { down_ms: u64 },
    /// Nothing happens for long.
    Night { for_ms: u64 },
}

/// What is done in a room.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RoomAct {
    Create { private: bool },
    Join,
    Leave,
    Admit(usize),
    Remove { who: usize, ban: bool },
    Role { who: usize, admin: bool },
}

/// Where something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whereto {
    Lobby,
    Everybody,
    /// The room that people make.
    Crew,
    Person(usize),
    /// A command, not a text.
    Machine,
}

/// What goes wrong at a device.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DeviceFault {
    /// The connection is gone, and with it all that is under way. The hub may not notice.
    Cut { silent: bool },
    /// The process dies and starts again.
    Crash { point: CrashPoint, down_ms: u64 },
    /// Signs out, and is back after a while.
    Away { for_ms: u64 },
    /// Reads nothing for a while, with a small outbox at the hub.
    Stall { for_ms: u64 },
    /// Signs out, and when it is back its new connection does not live long.
    Flap { for_ms: u64, lives_ms: u64 },
    /// Comes back with a new encryption key.
    Rotate,
}

/// Where a device dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrashPoint {
    Now,
    /// The step is lost.
    BeforeCommit,
    /// The step is kept; nothing of it has left.
    AfterCommit,
    /// Half of what the step sends has left.
    HalfSent,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 0);
        let people = if dice.percent(70) { 4 } else { 3 };
        let newcomer_ms = if people == 4 { dice.between(1, SAFETY_MS) } else { 0 };
        let delay = match dice.between(0, 3) {
            0 => Delay { min_ms: 0, max_ms: 0 },
            1 => Delay { min_ms: 0, max_ms: 3 },
            2 => Delay { min_ms: 5, max_ms: 80 },
            _ => Delay { min_ms: 1, max_ms: 900 },
        };
        let mut events = Vec::new();
        let spread = |events: &mut Vec<Planned>, dice: &mut Dice, event| {
            // Half of it in a narrow window, so that things happen at the same time.
            let at_ms = if dice.percent(50) {
                dice.between(SETTLED_MS, SETTLED_MS + 1_500)
            } else {
                dice.between(SETTLED_MS, SAFETY_MS)
            };
            events.push(Planned { at_ms, event });
        };
        for _ in 0..dice.between(5, 12) {
            let event = said(&mut dice, people);
            spread(&mut events, &mut dice, event);
        }
        for _ in 0..dice.between(2, 6) {
            let event = fault(&mut dice, people);
            spread(&mut events, &mut dice, event);
        }
        // Of dice of its own, so that it changes nothing else of a seed.
        let mut dice = Dice::new(seed, u64::MAX);
        let retention_ms = if dice.percent(30) { dice.between(1_000, SAFETY_MS) } else { 0 };
        let mut plan = Self {
            people,
            newcomer_ms,
            delay,
            retention_ms,
            last_restore: None,
            talks: false,
            events,
        };
        plan.add_more(&mut Dice::new(seed, u64::MAX - 1));
        plan.events.sort_by_key(|planned| planned.at_ms);
        plan
    }
}

impl Plan {
    /// The same for hubs that share a log: it is never full, and never goes back.
    pub(crate) fn without_disks(mut self) -> Self {
        use Happening::{Copy, DiskFull, Restore};
        let is_of_a_disk =
            |event: &Happening| matches!(event, DiskFull { .. } | Copy | Restore { .. });
        self.events.retain(|planned| !is_of_a_disk(&planned.event));
        self.last_restore = None;
        self
    }

    /// The same where people talk in a room all the time and come and go there, on quick wires: decisions meet that
    /// rest on each other.
    pub(crate) fn crowded(mut self, seed: u64) -> Self {
        let mut dice = Dice::new(seed, 7_777);
        self.delay = Delay { min_ms: 0, max_ms: 3 };
        self.events
            .retain(|one| matches!(one.event, Happening::Say { .. } | Happening::Comes { .. }));
        let mut add = |at_ms, event| self.events.push(Planned { at_ms, event });
        let people = self.people;
        let (private, act) = (false, |who, act| Happening::Act { who, act });
        add(SETTLED_MS, act(0, RoomAct::Create { private }));
        for who in 1..people {
            add(SETTLED_MS + 500, act(who, RoomAct::Join));
        }
        for round in 0..ROUNDS {
            let at_ms = SETTLED_MS + 1_500 + round * 800;
            let who = dice.between(1, u64::try_from(people - 1).unwrap());
            let who = usize::try_from(who).unwrap();
            for speaker in 0..people {
                let say = Happening::Say { who: speaker, whereto: Whereto::Crew, count: 2 };
                add(at_ms + dice.between(0, 60), say);
            }
            let (by, goes) = if dice.percent(50) {
                (0, RoomAct::Remove { who, ban: false })
            } else {
                (who, RoomAct::Leave)
            };
            add(at_ms + dice.between(0, 60), act(by, goes));
            add(at_ms + 400 + dice.between(0, 100), act(who, RoomAct::Join));
        }
        self.events.sort_by_key(|planned| planned.at_ms);
        self
    }
}

/// How often somebody goes and comes in a crowded world.
const ROUNDS: u64 = 20;

fn said(dice: &mut Dice, people: usize) -> Happening {
    let who = dice.index(people);
    let machine = crate::keys::NAMES.iter().position(|name| *name == MACHINE).unwrap();
    let mut whereto = match dice.between(0, 9) {
        0..=3 => Whereto::Lobby,
        4 => Whereto::Everybody,
        5..=7 => Whereto::Person(dice.index(people)),
        _ => Whereto::Machine,
    };
    let is_oneself = match whereto {
        Whereto::Person(other) => other == who,
        Whereto::Machine => who == machine,
        Whereto::Lobby | Whereto::Everybody | Whereto::Crew => false,
    };
    if is_oneself {
        whereto = Whereto::Lobby;
    }
    let count = if dice.percent(25) { dice.between(2, 6) } else { 1 };
    Happening::Say { who, whereto, count }
}

fn fault(dice: &mut Dice, people: usize) -> Happening {
    let who = dice.index(people);
    let device = |fault| Happening::Device { who, fault };
    match dice.between(0, 99) {
        0..=24 => {
            let moments = [
                None,
                Some(Moment::BeforeWrite),
                Some(Moment::BeforeSync),
                Some(Moment::BeforeSync),
                Some(Moment::AfterSync),
            ];
            Happening::HubCrash { moment: dice.pick(&moments), down_ms: dice.between(1, 4_000) }
        }
        25..=44 => {
            use CrashPoint::{AfterCommit, BeforeCommit, HalfSent, Now};
            let point = dice.pick(&[Now, BeforeCommit, AfterCommit, HalfSent]);
            device(DeviceFault::Crash { point, down_ms: dice.between(1, 3_000) })
        }
        45..=60 => device(DeviceFault::Cut { silent: dice.percent(40) }),
        61..=66 => {
            let for_ms = dice.pick(&[2_000, 20_000, 90_000, 7_200_000]);
            device(DeviceFault::Away { for_ms })
        }
        67..=78 => {
            let (for_ms, lives_ms) = (dice.between(500, 15_000), dice.between(0, 120));
            device(DeviceFault::Flap { for_ms, lives_ms })
        }
        79..=86 => device(DeviceFault::Stall { for_ms: dice.between(500, 14_000) }),
        87..=93 => Happening::DiskFull { for_ms: dice.between(50, 4_000) },
        _ => device(DeviceFault::Rotate),
    }
}

impl fmt::Display for Plan {
    /// Every option, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { people, newcomer_ms, delay, retention_ms, last_restore, talks, events } = self;
        writeln!(f, "people {people}, the last one at {newcomer_ms} ms, {delay:?}")?;
        writeln!(f, "rooms keep messages for {retention_ms} ms")?;
        writeln!(f, "in the end a restore: {last_restore:?}; all talk again: {talks}")?;
        events.iter().try_for_each(|Planned { at_ms, event }| writeln!(f, "{at_ms:>6} {event:?}"))
    }
}
