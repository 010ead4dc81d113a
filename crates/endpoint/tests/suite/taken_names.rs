//! A name that somebody else has by now: the new owner gets in behind the old one, and nobody else is stopped.

use chat_endpoint::{Alarm, Event, RoomAction};

use crate::hub::{TestHub, name};

// Keys are by number: the second carol and dave have keys of their own.
const ALICE: usize = 0;
const CAROL: usize = 1;

fn alarms(hub: &TestHub, index: usize) -> Vec<Alarm> {
    let events = hub.peers[index].events.iter();
    let kinds = events.filter_map(|event| match event {
        Event::Alarm { kind, .. } => Some(*kind),
        _ => None,
    });
    kinds.collect()
}

fn last(hub: &TestHub, index: usize) -> String {
    hub.texts(index).pop().unwrap_or_default()
}

fn trust(hub: &mut TestHub, index: usize, text: &str) {
    let endpoint = &mut hub.peers[index].endpoint;
    let other = endpoint.introduction(&name(text)).unwrap().other.unwrap().key;
    endpoint.trust(&name(text), other).unwrap();
    hub.run();
}

/// Goal: the new owner of a name is in the lobby behind the links of the old one, talks with who trusts the new key,
/// and raises no alarm but the changed key. Before: the chain with the old link was refused by the new owner's
/// own device, which was in no room.
/// Method: carol's name is given to somebody else after all have talked; a newcomer sees both links.
#[test]
fn the_new_owner_of_a_name_talks_behind_the_old_one() {
    let mut hub = TestHub::with(&["alice", "carol"]);
    for index in [ALICE, CAROL] {
        hub.say_in(index, "lobby", "hello");
    }
    let other = hub.give_name("carol");
    let dave = hub.joins("dave");
    hub.say_in(other, "lobby", "I am another carol");
    hub.say_in(dave, "lobby", "hello to all");
    assert_eq!(last(&hub, other), "dave: hello to all");
    assert_eq!(hub.texts(dave), ["carol: I am another carol"]);
    for (index, expected) in [(ALICE, vec![Alarm::KeyChanged]), (other, vec![]), (dave, vec![])] {
        assert_eq!(alarms(&hub, index), expected, "{index}");
    }
    hub.say_in(ALICE, "lobby", "who is that?");
    assert_eq!(
        last(&hub, other),
        "dave: hello to all",
        "sealed for a key that alice does not know"
    );
    trust(&mut hub, ALICE, "carol");
    hub.say_in(ALICE, "lobby", "welcome");
    assert_eq!(last(&hub, other), "alice: welcome");
    hub.say_in(other, "lobby", "thanks");
    assert!(hub.texts(ALICE).contains(&"carol: thanks".to_owned()));
}

/// Goal: in a room by invitation the new owner of a name is nobody until an admin lets them in; what the old one had
/// signed there stays valid for newcomers. Before: the new owner could not be admitted, and a newcomer refused the
/// chain. Method: carol was an admin beside alice and had let erin in; the new carol is admitted, then dave.
#[test]
fn a_private_room_lets_the_new_owner_of_a_name_in_by_an_admin_only() {
    let mut hub = TestHub::with(&["alice", "carol"]);
    hub.act(ALICE, "ops", RoomAction::Create { private: true });
    hub.act(ALICE, "ops", RoomAction::Admit(name("carol")));
    hub.act(ALICE, "ops", RoomAction::Role { who: name("carol"), admin: true });
    let erin = hub.joins("erin");
    hub.act(CAROL, "ops", RoomAction::Admit(name("erin")));
    let other = hub.give_name("carol");
    let dave = hub.joins("dave");
    hub.say_in(ALICE, "ops", "to erin");
    assert_eq!(last(&hub, erin), "alice: to erin");
    hub.say_in(other, "lobby", "here");
    trust(&mut hub, ALICE, "carol");
    hub.say_in(ALICE, "ops", "without carol");
    assert!(hub.texts(other).iter().all(|text| !text.contains("without carol")));
    let admitted = hub.act(ALICE, "ops", RoomAction::Admit(name("carol")));
    assert_eq!(hub.answer_to(ALICE, admitted), "Added carol");
    hub.act(ALICE, "ops", RoomAction::Admit(name("dave")));
    hub.say_in(ALICE, "ops", "all of us");
    for index in [other, dave] {
        assert_eq!(last(&hub, index), "alice: all of us", "{index}");
        assert_eq!(alarms(&hub, index), [], "{index}");
    }
    hub.say_in(other, "ops", "I am in");
    assert_eq!(last(&hub, dave), "carol: I am in");
    let refused = hub.act(other, "ops", RoomAction::Remove { who: name("dave"), ban: false });
    assert!(hub.answer_to(other, refused).contains("admin"), "the rights went with the old owner");
}

/// Goal: nobody takes a member's place before the eyes of that member. Method: the hub appends a link by which
/// another identity joins under carol's name, while carol is there.
#[test]
fn a_member_sees_that_somebody_takes_their_place() {
    let mut hub = TestHub::with(&["alice", "carol"]);
    for index in [ALICE, CAROL] {
        hub.say_in(index, "lobby", "hello");
    }
    let other = hub.give_name("carol");
    hub.say_in(other, "lobby", "I am another carol");
    hub.connect(CAROL);
    hub.say_in(CAROL, "lobby", "but I am still here");
    assert!(alarms(&hub, CAROL).contains(&Alarm::BadChain), "{:?}", alarms(&hub, CAROL));
}

/// Goal: nobody ends a chain for newcomers by coming and going under a key that is a former one later. Before: more
/// than 256 such links ended the lobby for every newcomer, for good. Method: carol comes and goes as often; then her
/// name is given to somebody else, and dave comes.
#[test]
fn many_links_of_a_former_owner_do_not_end_the_chain() {
    let mut hub = TestHub::with(&["alice", "carol"]);
    hub.say_in(ALICE, "lobby", "hello");
    for _ in 0..=chat_endpoint::limits::UNPROVED_PEOPLE_MAX / 2 {
        hub.act(CAROL, "lobby", RoomAction::Leave);
        hub.act(CAROL, "lobby", RoomAction::Join { create: false });
    }
    assert!(hub.chain_length("lobby") > chat_endpoint::limits::UNPROVED_PEOPLE_MAX);
    let other = hub.give_name("carol");
    let dave = hub.joins("dave");
    hub.say_in(dave, "lobby", "hello to all");
    assert_eq!(last(&hub, other), "dave: hello to all");
    assert_eq!((alarms(&hub, dave), alarms(&hub, other)), (vec![], vec![]));
}

/// Goal: that somebody of the past has made a room is the hub's word, and gives no key to their name. Method: the hub
/// shows a newcomer that carol, under a key of the past, has made a room; her true key is met first there.
#[test]
fn a_room_of_a_former_owner_names_no_key() {
    let mut hub = TestHub::with(&["alice", "carol"]);
    hub.act(CAROL, "ops", RoomAction::Create { private: false });
    hub.act(ALICE, "ops", RoomAction::Join { create: false });
    hub.say_in(ALICE, "ops", "hello");
    let other = hub.give_name("carol");
    let dave = hub.joins("dave");
    hub.act(dave, "ops", RoomAction::Join { create: false });
    let room = chat_protocol::name::RoomName::new("ops").unwrap();
    let roster = hub.peers[dave].endpoint.roster(&room).unwrap();
    assert_eq!(roster.unproved, [name("carol")], "{roster:?}");
    hub.say_in(other, "lobby", "I am carol");
    assert_eq!(alarms(&hub, dave), []);
    assert!(hub.texts(dave).contains(&"carol: I am carol".to_owned()));
}
