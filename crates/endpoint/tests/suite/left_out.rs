//! Members whose offered key is not the one they are known by stop nobody: who cannot seal for them says
//! so in the key, and the others talk (rule R40).

use chat_endpoint::Alarm;
use chat_protocol::code;
use chat_protocol::header::MemberOperation::{Join, Leave};

use crate::audience::live;
use crate::hub::TestHub;
use crate::rules::{alarms, complaints, say};

// The false keys of the double are those of the third: no other may have them.
const ALICE: usize = 0;
const CAROL: usize = 1;
const BOB: usize = 2;

/// Names in the newest epoch of the lobby.
fn sealed_for(hub: &TestHub) -> Vec<String> {
    let mut names: Vec<String> = hub.epoch_of("lobby").1;
    names.dedup();
    names
}

/// Goal: one name with another identity does not stop a room for those who knew the old one. Before: the hub
/// wanted a line of every member, and nothing could be sealed there any more.
/// Method: the hub has other keys for carol and counts lines. Later it has the true ones again.
#[test]
fn r40_a_member_with_another_key_is_left_out_and_the_others_talk() {
    let mut hub = TestHub::with(&["alice", "carol", "bob"]);
    for index in [ALICE, BOB, CAROL] {
        say(&mut hub, index, "hello");
    }
    hub.disconnect(CAROL);
    let honest = hub.offered("carol");
    hub.faults.counts_lines = true;
    hub.replace_people("carol");
    hub.tell_of_keys("carol");
    hub.run();
    say(&mut hub, ALICE, "to bob");
    say(&mut hub, BOB, "to alice");
    assert_eq!(hub.texts(BOB).last().map(String::as_str), Some("alice: to bob"));
    assert_eq!(hub.texts(ALICE).last().map(String::as_str), Some("bob: to alice"));
    assert_eq!(sealed_for(&hub), ["alice", "bob"]);
    for index in [ALICE, BOB] {
        assert_eq!(alarms(&hub, index), [Alarm::KeyChanged], "{index}");
        assert_eq!(complaints(&hub, index, code::MEMBERS), Vec::<String>::new(), "{index}");
    }
    let told = complaints(&hub, ALICE, code::UNTRUSTED);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("#lobby") && told[0].contains("carol"), "{told:?}");

    hub.offer("carol", honest);
    hub.connect(CAROL);
    hub.tell_of_keys("carol");
    hub.run();
    say(&mut hub, ALICE, "to all");
    assert_eq!(hub.texts(CAROL).last().map(String::as_str), Some("alice: to all"));
    assert_eq!(sealed_for(&hub), ["alice", "bob", "carol"]);
}

/// Goal: a reader is told the truth about who is left out: neither the writer nor the hub is accused of hiding
/// somebody. Method: only alice knows carol by another key; what she says leaves carol out, what bob says does not.
#[test]
fn r40_who_reads_such_a_key_is_told_why_it_lacks_somebody() {
    let mut hub = TestHub::with(&["alice", "carol", "bob"]);
    for index in [ALICE, BOB, CAROL] {
        say(&mut hub, index, "hello");
    }
    live(&mut hub);
    hub.faults.counts_lines = true;
    hub.swap_for("carol", ALICE);
    hub.tell_one_of_keys(ALICE, "carol");
    hub.run();
    say(&mut hub, ALICE, "to bob");
    hub.now += 60_000;
    // Bob's device looks first whether the hub has changed its mind about these people.
    say(&mut hub, ALICE, "to bob again");
    say(&mut hub, ALICE, "and once more");
    assert_eq!(hub.texts(BOB).last().map(String::as_str), Some("alice: and once more"));
    assert_eq!(hub.texts(CAROL).last().map(String::as_str), Some("bob: hello"));
    assert_eq!(alarms(&hub, BOB), []);
    let told = complaints(&hub, BOB, code::MEMBERS);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("alice knows carol by another key"), "{told:?}");
    say(&mut hub, BOB, "to everybody");
    assert_eq!(hub.texts(CAROL).last().map(String::as_str), Some("bob: to everybody"));
    assert_eq!(hub.texts(ALICE).last().map(String::as_str), Some("bob: to everybody"));
}

/// Goal: a hub that takes a member out by links which it cannot show is told of, however often it lets them come and go.
/// Before: their leaving looked like an honest one, and a whole stay by its word wiped out the trace of it.
/// Method: alice's chain says that bob has left, or has left, come and left, by a key that nobody has.
#[test]
fn r40_who_has_left_by_the_hubs_word_only_is_named() {
    for links in [vec![Leave], vec![Leave, Join, Leave]] {
        let mut hub = TestHub::with(&["alice", "carol", "bob"]);
        for index in [ALICE, BOB, CAROL] {
            say(&mut hub, index, "hello");
        }
        hub.faults.counts_lines = true;
        for op in links {
            hub.make_up_link("lobby", "bob", op);
        }
        say(&mut hub, ALICE, "to carol");
        assert_eq!(sealed_for(&hub), ["alice", "carol"]);
        let told = complaints(&hub, ALICE, code::UNTRUSTED);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("does not reach bob"), "{told:?}");
        hub.restart(ALICE);
        say(&mut hub, ALICE, "to carol again");
        assert_eq!(hub.texts(CAROL).last().map(String::as_str), Some("alice: to carol again"));
    }
}

/// Goal: links that counted by the hub's word give way to what people have signed, also when they cancel each other.
/// Before: that was a fork. Method: zed, whom nobody knows, comes and goes; then the chain of the hub has bob there.
#[test]
fn r40_a_stay_that_was_made_up_gives_way_to_the_true_chain() {
    let mut hub = TestHub::with(&["alice", "carol", "bob"]);
    say(&mut hub, ALICE, "hello");
    let older = hub.snapshot();
    for op in [Join, Leave] {
        hub.make_up_link("lobby", "zed", op);
    }
    hub.put_back(&older);
    hub.leave(BOB);
    hub.come_back(BOB);
    for index in [ALICE, CAROL, BOB] {
        hub.connect(index);
    }
    hub.run();
    say(&mut hub, ALICE, "after");
    assert_eq!(hub.texts(BOB).last().map(String::as_str), Some("alice: after"));
    for index in [ALICE, CAROL] {
        assert!(!alarms(&hub, index).contains(&Alarm::Fork), "{:?}", alarms(&hub, index));
    }
}
