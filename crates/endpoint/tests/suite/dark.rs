//! Random worlds in which a hub keeps one member in the dark (rule R33): it withholds one link of a
//! room's chain from them, shows it late, or swaps it with the next one. Somebody sees that before the
//! third message of that member. Some of the same worlds with an honest hub raise nothing.

use chat_endpoint::{Event, RoomAction};
use chat_protocol::code;
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Header;
use chat_protocol::name::ConversationId;
use chat_testkit::random::Seeded;

use crate::hub::{Fate, TestHub, name, room};

/// Worlds of the gate; `SEED` asks for one of them.
const WORLDS: u64 = 300;

/// One world in so many is run with an honest hub, too: what an honest one raises many other tests show.
const HONEST_EVERY: u64 = 4;

/// Who makes the room, and those who may be in it.
const NAMES: [&str; 5] = ["alice", "bob", "carol", "oliver", "dave"];

/// Longer than what is under way takes.
const HELD_MS: u64 = 16_000;

/// Longer than an epoch is used.
const DAY_MS: u64 = 25 * 3600 * 1000;

/// What the hub does with the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    Withheld,
    /// Until the one in the dark has said two things.
    Delayed,
    /// With the one behind it.
    Swapped,
}

/// What the link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Removed,
    Banned,
    Left,
    Came,
    Promoted,
    Demoted,
}

/// One world, as it is drawn.
#[derive(Debug)]
struct World {
    kind: Kind,
    lie: Lie,
    is_private: bool,
    /// Who is in the room beside alice, the newcomer included.
    people: usize,
    /// Whom the link is about, and who is kept in the dark.
    subject: usize,
    dark: usize,
    /// Whether bob is an admin, and makes the link.
    by_bob: bool,
    /// Keys of epochs that count the link are withheld from the one in the dark, too.
    hides_keys: bool,
    /// Who else speaks between their messages.
    speakers: [usize; 3],
    talks_before: usize,
}

fn below(dice: &mut Seeded, bound: usize) -> usize {
    usize::try_from(dice.number() % u64::try_from(bound).unwrap()).unwrap()
}

impl World {
    fn of(seed: u64) -> Self {
        let mut dice = Seeded::new(seed, 33);
        let people = 3 + below(&mut dice, 2);
        let kinds =
            [Kind::Removed, Kind::Banned, Kind::Left, Kind::Came, Kind::Promoted, Kind::Demoted];
        let kind = kinds[below(&mut dice, kinds.len())];
        let lie = [Lie::Withheld, Lie::Delayed, Lie::Swapped][below(&mut dice, 3)];
        // Bob may be an admin; the last one is the newcomer, or whom something is done to.
        let subject = people;
        let by_bob = below(&mut dice, 2) == 1;
        let dark = loop {
            let dark = below(&mut dice, people);
            let is_signer = (dark == 1 && by_bob) || (dark == 0 && !by_bob);
            if !is_signer {
                break dark;
            }
        };
        let other = |dice: &mut Seeded| loop {
            let who = below(dice, people);
            if who != dark {
                break who;
            }
        };
        let is_role = matches!(kind, Kind::Promoted | Kind::Demoted);
        Self {
            kind,
            lie,
            is_private: below(&mut dice, 2) == 1,
            people,
            subject,
            dark,
            by_bob,
            // A role alone changes nothing that is sealed: it shows by the keys that count it.
            hides_keys: !is_role && below(&mut dice, 2) == 1,
            speakers: [other(&mut dice), other(&mut dice), other(&mut dice)],
            talks_before: below(&mut dice, 3),
        }
    }
}

fn crew() -> ConversationId {
    ConversationId::room(&room("crew"))
}

/// Whether somebody was told: an alarm, a note of the program, or a mark on a message.
fn is_seen(hub: &TestHub) -> bool {
    let is_word = |event: &Event| match event {
        Event::Alarm { .. } | Event::Message { gone: true, .. } => true,
        Event::Complaint { code, by_hub, .. } => !by_hub && code == code::MEMBERS,
        _ => false,
    };
    hub.peers.iter().flat_map(|peer| &peer.events).any(is_word)
}

fn come(hub: &mut TestHub, world: &World, who: usize) {
    if world.is_private {
        hub.act(0, "crew", RoomAction::Admit(name(NAMES[who])));
    } else {
        hub.act(who, "crew", RoomAction::Join { create: false });
    }
}

/// The room with everybody in it who is to be there before the link.
fn set_up(world: &World) -> TestHub {
    let mut hub = TestHub::with(&NAMES[..=world.people]);
    hub.act(0, "crew", RoomAction::Create { private: world.is_private });
    for who in 1..world.people {
        come(&mut hub, world, who);
    }
    if world.by_bob {
        hub.act(0, "crew", RoomAction::Role { who: name("bob"), admin: true });
    }
    if world.kind != Kind::Came {
        come(&mut hub, world, world.subject);
    }
    if world.kind == Kind::Demoted {
        hub.act(0, "crew", RoomAction::Role { who: name(NAMES[world.subject]), admin: true });
    }
    hub.run();
    for who in 0..world.people {
        for turn in 0..world.talks_before {
            hub.say_in(who, "crew", &format!("before {turn}"));
        }
        hub.say_in(who, "crew", "hello");
    }
    hub
}

/// Makes the link, and where it is to be swapped another one behind it.
fn make_link(hub: &mut TestHub, world: &World) {
    let (by, who) = (usize::from(world.by_bob), name(NAMES[world.subject]));
    match world.kind {
        Kind::Removed => hub.act(by, "crew", RoomAction::Remove { who, ban: false }),
        Kind::Banned => hub.act(by, "crew", RoomAction::Remove { who, ban: true }),
        Kind::Left => hub.act(world.subject, "crew", RoomAction::Leave),
        Kind::Came if world.is_private => hub.act(by, "crew", RoomAction::Admit(who)),
        Kind::Came => hub.act(world.subject, "crew", RoomAction::Join { create: false }),
        Kind::Promoted => hub.act(by, "crew", RoomAction::Role { who, admin: true }),
        Kind::Demoted => hub.act(by, "crew", RoomAction::Role { who, admin: false }),
    };
    if world.lie == Lie::Swapped {
        let (who, admin) = (name(NAMES[2]), true);
        hub.act(by, "crew", RoomAction::Role { who, admin });
    }
}

/// How many messages of the one in the dark came until somebody saw it; nothing if nobody did before
/// the third.
fn seen_after(world: &World) -> Option<usize> {
    let mut hub = set_up(world);
    assert!(!is_seen(&hub), "before the lie");
    let first = u32::try_from(hub.chain_length("crew")).unwrap();
    if world.lie != Lie::None {
        hub.faults.hides = vec![(world.dark, crew(), first)];
        hub.faults.takes_anything = true;
    }
    if world.lie != Lie::None && world.hides_keys {
        let dark = world.dark;
        hub.rule = Some(Box::new(move |index, bytes| {
            let frame = RawFrame::decode(bytes.to_vec().into()).unwrap();
            let is_key = matches!(Header::parse(frame.header()), Ok(Header::Key(key))
                if key.cid == crew() && key.mg > first);
            if index == dark && is_key { Fate::Lost } else { Fate::Good }
        }));
    }
    make_link(&mut hub, world);
    if world.lie == Lie::Swapped {
        // Both at once: the first one alone would come as it is.
        hub.faults.hides.clear();
        hub.faults.swaps = vec![(world.dark, crew(), first)];
    }
    for turn in 0..3 {
        if world.lie == Lie::Delayed && turn == 2 {
            hub.faults.hides.clear();
        }
        // A day later everybody needs a new epoch.
        hub.now += if turn == 0 { DAY_MS } else { HELD_MS };
        hub.say_in(world.speakers[turn], "crew", &format!("beside {turn}"));
        if is_seen(&hub) {
            return Some(turn);
        }
        hub.now += HELD_MS;
        if turn == 2 {
            return None;
        }
        hub.say_in(world.dark, "crew", &format!("in the dark {turn}"));
        if is_seen(&hub) {
            return Some(turn + 1);
        }
    }
    None
}

#[test]
fn a_member_in_the_dark_is_seen_before_their_third_message() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = seed.map_or(0..WORLDS, |seed| seed..seed + 1);
    let mut after = [0; 3];
    for number in seeds {
        let world = World::of(number);
        let noticed = seen_after(&world);
        let Some(messages) = noticed else {
            panic!("SEED={number}: nobody has seen it: {world:?}")
        };
        after[messages] += 1;
        if number % HONEST_EVERY == 0 {
            let honest = World { lie: Lie::None, ..world };
            assert_eq!(seen_after(&honest), None, "SEED={number}, an honest hub: {honest:?}");
        }
    }
    println!("seen before the first message, the second, the third: {after:?}");
}
