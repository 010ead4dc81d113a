//! Whoever is newly left out of what is said is told of by name, whoever was left out before, and whatever answer
//! the hub gives to the key (rule R40).

use chat_endpoint::Event;
use chat_protocol::code;
use chat_protocol::header::MemberOperation::{Join, Leave};

use crate::audience::live;
use crate::hub::{TestHub, name};
use crate::rules::{complaints, say};

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

/// Longer than what is under way takes.
const HELD_MS: u64 = 60_000;

/// Four people who have talked.
fn met() -> TestHub {
    let mut hub = TestHub::with(&["alice", "bob", "carol", "dora"]);
    for index in 0..4 {
        say(&mut hub, index, "hello");
    }
    live(&mut hub);
    hub
}

/// The hub says to a device that it knows nobody of this name.
fn make_unknown(hub: &mut TestHub, index: usize, who: &str) {
    hub.faults.unknown_to.push((index, name(who)));
    hub.tell_one_of_keys(index, who);
    hub.run();
}

/// Goal: who says something is told of each name that is newly left out. Before: once in a connection of anybody,
/// so one name that was left out hid all later ones. Method: dora leaves by a link that nobody can show; then alice's
/// hub does not know carol.
#[test]
fn r40_each_name_that_is_newly_left_out_is_told() {
    let mut hub = met();
    hub.make_up_link("lobby", "dora", Leave);
    say(&mut hub, ALICE, "one");
    say(&mut hub, ALICE, "two");
    make_unknown(&mut hub, ALICE, "carol");
    say(&mut hub, ALICE, "three");
    say(&mut hub, ALICE, "four");
    let told = complaints(&hub, ALICE, code::UNTRUSTED);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("does not reach dora:"), "{told:?}");
    assert!(told[1].contains("does not reach carol:"), "{told:?}");
    // Reached again, and left out again: that is news.
    hub.faults.unknown_to.clear();
    hub.tell_one_of_keys(ALICE, "carol");
    say(&mut hub, ALICE, "five");
    assert_eq!(hub.texts(CAROL).last().map(String::as_str), Some("alice: five"));
    make_unknown(&mut hub, ALICE, "carol");
    say(&mut hub, ALICE, "six");
    assert_eq!(complaints(&hub, ALICE, code::UNTRUSTED).len(), 3);
}

/// Goal: the same, whatever answer the hub gives to the key. Before: only an ACK was followed by a word.
/// Method: the hub refuses the key and shows it as the current one, or the answer is lost with the connection.
#[test]
fn r40_who_is_left_out_is_told_whatever_answer_the_key_gets() {
    for refuses in [true, false] {
        let mut hub = met();
        make_unknown(&mut hub, ALICE, "carol");
        hub.faults.refuses_and_keeps = refuses;
        hub.faults.loses_key_answers = !refuses;
        say(&mut hub, ALICE, "one");
        hub.faults.refuses_and_keeps = false;
        hub.faults.loses_key_answers = false;
        hub.disconnect(ALICE);
        hub.comes(ALICE);
        make_unknown(&mut hub, ALICE, "carol");
        say(&mut hub, ALICE, "two");
        let texts = hub.texts(CAROL);
        assert!(!texts.contains(&"alice: two".to_owned()), "{texts:?}");
        let told = complaints(&hub, ALICE, code::UNTRUSTED);
        assert_eq!(told.len(), 1, "{refuses}: {told:?}");
        assert!(told[0].contains("does not reach carol:"), "{told:?}");
    }
}

/// Goal: so is whoever speaks in a key that somebody else has made. Before: only its maker was. Method: the hub knows
/// carol neither for alice nor for bob; alice makes the key.
#[test]
fn r40_who_speaks_in_anothers_key_is_told_whom_that_does_not_reach() {
    let mut hub = met();
    for index in [ALICE, BOB] {
        make_unknown(&mut hub, index, "carol");
    }
    say(&mut hub, ALICE, "one");
    let offered = hub.epochs_offered;
    say(&mut hub, BOB, "two");
    assert_eq!(hub.epochs_offered, offered, "in alice's key");
    for index in [ALICE, BOB] {
        let told = complaints(&hub, index, code::UNTRUSTED);
        assert_eq!(told.len(), 1, "{index}: {told:?}");
    }
}

/// Goal: a reader is told of every name that a writer leaves out. Before: of one, and of no other one afterwards.
/// Method: alice leaves dora out, then carol and dora.
#[test]
fn r40_a_reader_is_told_of_each_name_that_a_writer_leaves_out() {
    let mut hub = met();
    for (who, text) in [("dora", "one"), ("carol", "two")] {
        make_unknown(&mut hub, ALICE, who);
        say(&mut hub, ALICE, text);
        hub.now += HELD_MS;
        say(&mut hub, ALICE, "again");
        say(&mut hub, ALICE, "and again");
    }
    let told = complaints(&hub, BOB, code::MEMBERS);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("dora") && !told[0].contains("carol"), "{told:?}");
    assert!(told[1].contains("carol") && !told[1].contains("dora"), "{told:?}");
}

/// Goal: all names that are missing are in one line.
#[test]
fn r40_a_reader_is_told_of_all_names_in_one_line() {
    let mut hub = met();
    for who in ["dora", "carol"] {
        make_unknown(&mut hub, ALICE, who);
    }
    say(&mut hub, ALICE, "one");
    hub.now += HELD_MS;
    say(&mut hub, ALICE, "again");
    say(&mut hub, ALICE, "and again");
    let told = complaints(&hub, BOB, code::MEMBERS);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("carol, dora"), "{told:?}");
}

/// Goal: what the hub says of an account for a while hides nobody for longer. Before: the list was compared with what
/// was wanted at that time, until keys or members changed. Method: bob's hub does not know carol while alice speaks
/// without her, and then does again.
#[test]
fn who_was_unknown_for_a_while_is_missed_afterwards() {
    let mut hub = met();
    make_unknown(&mut hub, ALICE, "carol");
    make_unknown(&mut hub, BOB, "carol");
    say(&mut hub, ALICE, "one");
    assert_eq!(complaints(&hub, BOB, code::MEMBERS), Vec::<String>::new());
    hub.faults.unknown_to.retain(|(index, _)| *index == ALICE);
    hub.tell_one_of_keys(BOB, "carol");
    hub.run();
    hub.now += HELD_MS;
    say(&mut hub, ALICE, "two");
    say(&mut hub, ALICE, "three");
    let told = complaints(&hub, BOB, code::MEMBERS);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("carol"), "{told:?}");
}

/// Goal: names that somebody has made up never look like people one knows who are missing, and are told in one line
/// whenever there are new ones. Before: each was told as an error, like a friend, also between their names, and a pipe ended with it.
/// Method: seven names come into the lobby by the hub's word, then an eighth; and the hub does not know carol.
#[test]
fn names_that_nobody_has_vouched_for_are_told_apart_in_one_line() {
    let mut hub = met();
    let announced = |hub: &TestHub| {
        let events = hub.peers[ALICE].events.iter();
        let words = events.filter_map(|event| match event {
            Event::Announcement { text } => Some(text.clone()),
            _ => None,
        });
        words.collect::<Vec<String>>()
    };
    for number in 0..7 {
        hub.make_up_link("lobby", &format!("aaa{number}"), Join);
    }
    make_unknown(&mut hub, ALICE, "carol");
    say(&mut hub, ALICE, "one");
    hub.make_up_link("lobby", "aaa7", Join);
    say(&mut hub, ALICE, "two");
    let told = announced(&hub);
    assert_eq!(
        told,
        [
            "in #lobby are 7 names that nobody has vouched for and that you have never met (aaa0, aaa1, aaa2, aaa3, \
             aaa4 and 2 more); what you say there does not reach them",
            "in #lobby is a name that nobody has vouched for and that you have never met (aaa7); what you say there \
             does not reach them"
        ]
    );
    let told = complaints(&hub, ALICE, code::UNTRUSTED);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("does not reach carol:") && !told[0].contains("aaa"), "{told:?}");
    assert_eq!(hub.texts(BOB).last().map(String::as_str), Some("alice: two"));
}
