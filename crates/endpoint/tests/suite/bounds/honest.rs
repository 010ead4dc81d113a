//! An honest hub, slow or with much to deliver, raises no alarm and loses nothing.

use chat_endpoint::{Alarm, Event};
use chat_protocol::id::Digest;
use chat_protocol::tag::Tag;

use super::{SECOND_MS, alarms, assert_untroubled, pass, say, sent, tell};
use crate::hub::{TestHub, name};

/// Goal: a device is told of nothing that was said before it existed. Before: "5 messages of fr are
/// missing (0, 1, 2, 3, 4)" on the second machine, asked for at every connection.
#[test]
fn a_second_machine_misses_nothing_from_before_it() {
    let mut hub = TestHub::with(&["er", "fr"]);
    for number in 0..5 {
        tell(&mut hub, 1, "er", &format!("number {number}"));
    }
    let second = hub.add_sibling(0, None);
    hub.run();
    tell(&mut hub, second, "fr", "from the second machine");
    let third = hub.add_sibling(0, None);
    hub.run();
    tell(&mut hub, 1, "er", "an answer");
    tell(&mut hub, 1, "er", "another one");
    for _ in 0..3 {
        hub.disconnect(second);
        hub.connect(second);
        pass(&mut hub, 60 * SECOND_MS);
    }
    assert_eq!(hub.texts(second), ["fr: an answer", "fr: another one"]);
    assert_eq!(hub.texts(third), ["fr: an answer", "fr: another one"]);
    for index in 0..4 {
        assert_untroubled(&hub, index);
    }
    assert_eq!(sent(&hub, "er", Tag::Keyreq), 0);
}

/// Goal: the first message of an epoch that names none before it must link to none (rule R15).
/// Before: its `p` was not looked at.
#[test]
fn a_first_message_that_links_to_nothing_known_is_an_alarm() {
    for p in [Digest::ZERO, Digest([9; 32])] {
        let mut hub = TestHub::with(&["alice", "bob"]);
        let mut alice = hub.forge_epoch(0, None);
        alice.p = p;
        let frame = alice.text("the first");
        hub.hand(1, &frame);
        hub.run();
        assert_eq!(hub.texts(1), ["alice: the first"]);
        let told = if p == Digest::ZERO { vec![] } else { vec![(Alarm::BadChain, 1)] };
        assert_eq!(alarms(&hub, 1), told);
    }
}

/// Goal: 100 conversations may wait for bundles at once, for as long as a slow hub takes.
#[test]
fn a_hundred_conversations_wait_for_bundles_at_once() {
    let mut hub = TestHub::with(&["bob"]);
    hub.disconnect(0);
    let senders: Vec<usize> = (0..100).map(|number| hub.add(&format!("a{number}"))).collect();
    hub.run();
    for sender in &senders {
        let now = hub.now;
        hub.peers[*sender].endpoint.tell_user(now, &name("bob"), "hello").expect("a text");
    }
    hub.run();
    hub.faults.hold_bundles = true;
    hub.connect(0);
    assert_eq!(pass(&mut hub, 45 * SECOND_MS), 0, "nobody hurries a slow hub");
    assert!(hub.texts(0).is_empty());
    hub.release_bundles();
    pass(&mut hub, 10 * SECOND_MS);
    assert_eq!(hub.texts(0).len(), 100);
    assert_untroubled(&hub, 0);
    let is_confirmed = |event: &Event| matches!(event, Event::Delivered { .. });
    assert!(senders.iter().all(|sender| hub.count(*sender, is_confirmed) == 1));
}

/// Goal: 32 devices that all speak at once are read by all, without a word of alarm.
#[test]
fn thirty_two_devices_speak_at_once() {
    let names: Vec<String> = (0..32).map(|number| format!("d{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut hub = TestHub::with(&names);
    hub.lockstep = true;
    for index in 0..32 {
        let now = hub.now;
        let text = format!("from {index}");
        hub.peers[index].endpoint.say(now, &crate::hub::lobby(), &text).expect("a text");
    }
    pass(&mut hub, 30 * SECOND_MS);
    say(&mut hub, 0, "the last");
    for index in 0..32 {
        let own = usize::from(index == 0);
        assert_eq!(hub.texts(index).len(), 32 - own, "device {index}");
        assert_untroubled(&hub, index);
    }
}
