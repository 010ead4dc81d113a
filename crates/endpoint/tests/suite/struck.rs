//! Whoever was put out by a link that the hub hides, and a member has handed over, does not speak as a member (rule
//! R33).

use chat_endpoint::{Alarm, Event, RoomAction};
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Header;

use crate::hub::{Fate, TestHub, name};
use crate::rules::alarms;
use crate::views::crew;

const ALICE: usize = 0;
const BOB: usize = 1;
const OLIVER: usize = 2;

/// Longer than an epoch is used.
const DAY_MS: u64 = 25 * 3600 * 1000;

/// Alice's private room with bob and oliver. The hub hides from both of them what comes behind that.
fn met() -> TestHub {
    let mut hub = TestHub::with(&["alice", "bob", "oliver"]);
    hub.act(ALICE, "crew", RoomAction::Create { private: true });
    for who in ["bob", "oliver"] {
        hub.act(ALICE, "crew", RoomAction::Admit(name(who)));
    }
    for index in [ALICE, BOB, OLIVER] {
        hub.say_in(index, "crew", "hello");
    }
    hub.faults.hides = vec![(BOB, crew(), 3), (OLIVER, crew(), 3)];
    (hub.faults.takes_anything, hub.faults.forgets_reminders) = (true, true);
    hub
}

/// Alice bans oliver, and her device hands bob's the link.
fn ban(hub: &mut TestHub) {
    hub.act(ALICE, "crew", RoomAction::Remove { who: name("oliver"), ban: true });
    hub.say_in(ALICE, "crew", "in an epoch that counts it");
    hub.say_in(BOB, "crew", "not for oliver");
    assert_eq!(hub.epoch_of("crew").1, ["alice", "bob"], "bob's device has the link");
    assert_eq!(hub.roster(BOB, "crew"), ["alice", "bob", "oliver"], "and the hub hides it");
}

/// How bob was shown what oliver has said: nothing, or whether with the mark of who has gone.
fn shown(hub: &TestHub, said: &str) -> Option<bool> {
    hub.peers[BOB].events.iter().find_map(|event| match event {
        Event::Message { text, gone, from, .. } if text == said && *from == name("oliver") => {
            Some(*gone)
        }
        _ => None,
    })
}

fn not_members(hub: &TestHub) -> usize {
    alarms(hub, BOB).into_iter().filter(|kind| *kind == Alarm::NotAMember).count()
}

/// Goal: what they say in an epoch from before has a mark, and a key that they make is not used. Before: shown as a
/// member's.
#[test]
fn who_was_struck_does_not_speak_as_a_member() {
    let mut hub = met();
    ban(&mut hub);
    hub.say_in(OLIVER, "crew", "in the old epoch");
    assert_eq!(shown(&hub, "in the old epoch"), Some(true));
    assert_eq!(not_members(&hub), 0);
    hub.now += DAY_MS;
    hub.say_in(OLIVER, "crew", "in an epoch of mine");
    assert_eq!(shown(&hub, "in an epoch of mine"), None);
    assert!(not_members(&hub) > 0, "{:?}", alarms(&hub, BOB));
    // And the members go on.
    hub.say_in(BOB, "crew", "without you");
    assert!(hub.texts(ALICE).contains(&"bob: without you".to_owned()));
}

/// Goal: a key and a line that stand before the removal are read, with the mark, although they come after it.
/// Method: oliver's next key is withheld from bob until alice's device has handed over the link.
#[test]
fn what_was_said_before_the_removal_is_read() {
    let mut hub = met();
    hub.now += DAY_MS;
    hub.rule = Some(Box::new(|index, bytes| {
        let frame = RawFrame::decode(bytes.to_vec().into()).expect("a frame");
        let is_his = match Header::parse(frame.header()) {
            Ok(Header::Key(key)) => key.from == name("oliver"),
            Ok(Header::Message(said)) => said.from == name("oliver") && said.cid == crew(),
            _ => false,
        };
        if index == BOB && is_his { Fate::Lost } else { Fate::Good }
    }));
    hub.say_in(OLIVER, "crew", "before it");
    ban(&mut hub);
    assert_eq!(shown(&hub, "before it"), None);
    hub.rule = None;
    hub.restarts(BOB);
    assert_eq!(shown(&hub, "before it"), Some(true), "{:?}", hub.texts(BOB));
    assert_eq!(not_members(&hub), 0, "{:?}", alarms(&hub, BOB));
}
