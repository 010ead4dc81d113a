//! What a hub answers in parts, because all of it would not fit (rule R40): bundles of the past by their
//! keys, heads in pages; and links whose signer nobody can show.

use chat_endpoint::{Event, RoomAction};
use chat_protocol::name::UserName;

use crate::hub::{TestHub, lobby, name};
use crate::rules::{alarms, say};

const ALICE: usize = 0;
const BOB: usize = 1;

/// Gives bob so many signing keys, one after the other.
fn many_keys(hub: &mut TestHub, count: usize) {
    for _ in 0..count {
        hub.disconnect(BOB);
        hub.replace_signing_key(BOB);
        hub.comes(BOB);
    }
}

fn unproved(hub: &TestHub, index: usize) -> Vec<UserName> {
    hub.peers[index].endpoint.roster(&lobby()).unwrap().unproved
}

/// Goal: a link by a key that was replaced long ago voids nothing for a newcomer, although the hub shows
/// the newest bundles only. Method: bob replaces his signing key again and again after he has joined.
#[test]
fn r40_links_by_keys_of_the_past_are_verified() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    many_keys(&mut hub, 5);
    let carol = hub.joins("carol");
    say(&mut hub, carol, "hello");
    assert_eq!(hub.texts(ALICE), ["carol: hello"]);
    assert_eq!(hub.texts(BOB), ["carol: hello"]);
    assert_eq!(alarms(&hub, carol), []);
    assert_eq!(unproved(&hub, carol), Vec::<UserName>::new());
}

/// Goal: a join whose signer nobody can show concerns that name alone, until it can be verified. Method:
/// the hub hides old bundles from carol, and shows them later; it wants a line of every member.
#[test]
fn r40_a_join_that_cannot_be_verified_voids_nothing_else() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    many_keys(&mut hub, 1);
    hub.faults.hides_kids = true;
    hub.faults.counts_lines = true;
    let carol = hub.joins("carol");
    say(&mut hub, carol, "not for bob");
    assert_eq!(hub.texts(ALICE), ["carol: not for bob"]);
    assert_eq!(hub.texts(BOB), Vec::<String>::new(), "nothing is wrapped for him");
    assert_eq!(alarms(&hub, carol), []);
    assert_eq!(unproved(&hub, carol), [name("bob")]);

    hub.faults.hides_kids = false;
    hub.restarts(carol);
    say(&mut hub, carol, "for all");
    assert_eq!(hub.texts(BOB), ["carol: for all"]);
    assert_eq!(unproved(&hub, carol), Vec::<UserName>::new());
}

/// Goal: a device that is in more rooms than fit into OK knows all of them. Method: the hub shows two at a
/// time; in one of the others bob has joined while alice was away.
#[test]
fn r40_heads_come_in_pages() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    for number in 0..7 {
        hub.act(ALICE, &format!("r{number}"), RoomAction::Create { private: false });
    }
    hub.disconnect(ALICE);
    hub.act(BOB, "r6", RoomAction::Join { create: false });
    hub.faults.heads_in_page = Some(2);
    hub.comes(ALICE);
    assert_eq!(hub.roster(ALICE, "r6"), ["alice", "bob"]);
    let complaints = |event: &Event| matches!(event, Event::Complaint { .. });
    assert_eq!((hub.count(ALICE, complaints), alarms(&hub, ALICE)), (0, vec![]));
}
