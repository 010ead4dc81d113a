//! A known name in another case of its letters (rule R17).

use chat_endpoint::{Alarm, Event, Standing};

use crate::hub::{TestHub, name};

const ALICE: usize = 0;
const BOB: usize = 1;

/// Alice and bob, who know each other, and a `Bob` whom no honest hub has.
fn met() -> (TestHub, usize) {
    let mut hub = TestHub::with(&["alice", "bob"]);
    for index in [ALICE, BOB] {
        hub.say_in(index, "lobby", "hello");
    }
    let other = hub.joins("Bob");
    (hub, other)
}

/// About whom alice was told that another key is offered.
fn in_question(hub: &TestHub) -> Vec<String> {
    let about = |event: &Event| match event {
        Event::Alarm { kind: Alarm::KeyChanged, user, .. } => Some(user.to_string()),
        _ => None,
    };
    hub.peers[ALICE].events.iter().filter_map(about).collect()
}

fn has_heard(hub: &TestHub, index: usize, text: &str) -> bool {
    hub.texts(index).contains(&format!("alice: {text}"))
}

/// Goal: an account of the hub's own under a known name in another case gets nothing, and a person is asked. Before: its key
/// was pinned beside the known one, and what was said in a room was sealed for it.
#[test]
fn another_spelling_of_a_known_name_is_another_key_offered_for_it() {
    let (mut hub, other) = met();
    hub.say_in(ALICE, "lobby", "to bob");
    assert!(has_heard(&hub, BOB, "to bob") && !has_heard(&hub, other, "to bob"));
    assert_eq!(in_question(&hub), ["bob"]);
    let alice = &mut hub.peers[ALICE].endpoint;
    assert_eq!(alice.standing(&name("bob")), Standing::Changed);
    assert_eq!(alice.known_as(&name("BOB")), [name("bob")]);
    let refused = alice.introduction(&name("bob")).and_then(|both| both.other).expect("offered");
    alice.distrust(&name("bob"), refused.key).expect("decided");
    hub.run();
    hub.say_in(ALICE, "lobby", "to bob again");
    assert!(has_heard(&hub, BOB, "to bob again") && !has_heard(&hub, other, "to bob again"));
    assert_eq!(in_question(&hub), ["bob"], "once");
}

/// Goal: whoever met the false one first gets to the true one by a decision. Method: alice trusts the other spelling; from then
/// on that is the known name, and the former one is offered for it.
#[test]
fn a_person_takes_the_other_spelling() {
    let (mut hub, other) = met();
    hub.say_in(ALICE, "lobby", "to bob");
    let alice = &mut hub.peers[ALICE].endpoint;
    let offered = alice.introduction(&name("bob")).and_then(|both| both.other).expect("offered");
    alice.trust(&name("bob"), offered.key).expect("decided");
    hub.run();
    hub.say_in(ALICE, "lobby", "to the other one");
    assert!(has_heard(&hub, other, "to the other one"), "{:?}", hub.peers[ALICE].events);
    assert!(!has_heard(&hub, BOB, "to the other one"));
    let alice = &hub.peers[ALICE].endpoint;
    assert_eq!(alice.identity_of(&name("Bob")), Some(offered.key));
    assert_eq!(alice.known_as(&name("bob")), [name("Bob")]);
    assert_eq!(in_question(&hub), ["bob", "Bob"]);
}
