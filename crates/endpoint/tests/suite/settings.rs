//! What a person's devices tell each other is set.

use chat_endpoint::Event;
use chat_protocol::name::ConversationId;

use crate::hub::{TestHub, lobby, name};

fn set(hub: &mut TestHub, index: usize, key: &str, value: &str) {
    let (now, change) = (hub.now, [(key.to_owned(), value.to_owned())]);
    hub.peers[index].endpoint.set(now, &change);
}

fn value(hub: &TestHub, index: usize, key: &str) -> String {
    hub.peers[index].endpoint.settings().get(key).cloned().unwrap_or_default()
}

/// Nothing is missing, nothing was refused, nobody is alarmed.
fn assert_quiet(hub: &TestHub) {
    for index in 0..hub.peers.len() {
        let troubles = hub.count(index, |event| {
            matches!(
                event,
                Event::Alarm { .. }
                    | Event::Gap { .. }
                    | Event::Unreadable { .. }
                    | Event::Refused { .. }
                    | Event::Complaint { .. }
            )
        });
        assert_eq!(troubles, 0, "device {index}: {:?}", hub.peers[index].events);
        assert_eq!(hub.peers[index].endpoint.unanswered(), 0, "device {index}");
    }
}

/// Goal: what is set on one device is set on the other, and nobody else hears of it.
#[test]
fn what_is_set_is_set_on_the_other_device_alone() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(0, None);
    set(&mut hub, 0, "ignore:bob", "on");
    hub.run();
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on");
    let heard = |event: &Event| matches!(event, Event::Settings { .. });
    assert_eq!((hub.count(laptop, heard), hub.count(0, heard), hub.count(1, heard)), (1, 0, 0));
    set(&mut hub, laptop, "ignore:bob", "off");
    hub.run();
    assert_eq!(value(&hub, 0, "ignore:bob"), "off", "the later one holds");
    assert!(hub.peers[1].endpoint.settings().is_empty());
    assert_quiet(&hub);
}

/// Goal: a device that is away hears of it when it is back, and one that comes new is told everything.
#[test]
fn a_device_that_was_away_and_one_that_is_new_get_all() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    set(&mut hub, 0, "ignore:bob", "on");
    hub.run();
    assert_eq!(hub.peers[0].endpoint.unanswered(), 0, "there is nobody to tell");
    let laptop = hub.joins_sibling(0, None);
    // By this the other one learns that there is one more.
    let now = hub.now;
    hub.peers[laptop].endpoint.say(now, &lobby(), "here").expect("said");
    hub.run();
    assert_eq!(value(&hub, laptop, "ignore:bob"), "on", "told to who is new");
    hub.disconnect(laptop);
    set(&mut hub, 0, "mute:room:ops", "on");
    set(&mut hub, 0, "read:room:ops", "x");
    hub.run();
    hub.restarts(laptop);
    assert_eq!(value(&hub, laptop, "mute:room:ops"), "on", "told to who was away");
    assert_eq!(value(&hub, laptop, "read:room:ops"), "", "what was read is kept by nobody");
    assert_quiet(&hub);
}

/// Goal: of what both set at once one value holds, on both.
#[test]
fn two_devices_that_set_one_thing_at_once_agree() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(0, None);
    hub.disconnect(0);
    hub.disconnect(laptop);
    set(&mut hub, 0, "mute:room:ops", "off");
    set(&mut hub, laptop, "mute:room:ops", "on");
    hub.connect(0);
    hub.comes(laptop);
    let values = [0, laptop].map(|index| value(&hub, index, "mute:room:ops"));
    assert_eq!(values, ["on", "on"], "at one time the greater one holds");
    assert_quiet(&hub);
}

/// Goal: a hub that was restored has lost a setting; the devices agree again with the next thing that is told whole.
#[test]
fn a_restored_hub_takes_nothing_back() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(0, None);
    set(&mut hub, 0, "ignore:bob", "on");
    hub.run();
    let older = hub.snapshot();
    set(&mut hub, laptop, "ignore:bob", "off");
    hub.run();
    hub.rolls_back(&older);
    let values = [0, laptop].map(|index| value(&hub, index, "ignore:bob"));
    assert_eq!(values, ["off", "off"]);
}

/// Goal: nobody can set anything for somebody else.
#[test]
fn what_is_said_to_oneself_has_a_conversation_of_its_own() {
    let own = ConversationId::own(&name("alice"));
    assert_eq!(own.as_str(), "dm:alice:alice");
    assert!(own.is_own() && ConversationId::parse("dm:alice:alice").unwrap() == own);
    assert!(ConversationId::direct(&name("alice"), &name("alice")).is_err(), "no text goes there");
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    assert!(hub.peers[0].endpoint.tell_user(now, &name("alice"), "note").is_err());
}

/// Goal: that one may be seen is told to one person, once and after each change, and kept by them and their devices.
#[test]
fn that_one_may_be_seen_is_told_to_one_person_once() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    let laptop = hub.add_sibling(1, None);
    hub.run();
    let allow = |hub: &mut TestHub, on: bool| {
        let now = hub.now;
        hub.peers[0].endpoint.allow_seen(now, &name("bob"), on);
        hub.run();
    };
    let heard = |event: &Event| matches!(event, Event::Settings { .. });
    allow(&mut hub, false);
    assert_eq!(hub.count(1, heard), 0, "whoever was told nothing knows that");
    allow(&mut hub, true);
    allow(&mut hub, true);
    assert_eq!((hub.count(1, heard), hub.count(laptop, heard), hub.count(2, heard)), (1, 1, 0));
    for index in [1, laptop] {
        assert_eq!(value(&hub, index, "allows:alice"), "on");
    }
    allow(&mut hub, false);
    assert_eq!(value(&hub, 1, "allows:alice"), "off");
    assert!(hub.peers[2].endpoint.settings().is_empty());
    assert_quiet(&hub);
}
