//! Accounts and rooms that the operator of the hub has deleted: what others do goes on without an error.

#![expect(
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it says what went wrong"
)]

use chat_endpoint::Event;

use crate::hub::{TestHub, lobby, name};

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

fn complaints(hub: &TestHub, index: usize) -> Vec<&Event> {
    let events = hub.peers[index].events.iter();
    events.filter(|event| matches!(event, Event::Complaint { .. })).collect()
}

fn say(hub: &mut TestHub, from: usize, text: &str) {
    let now = hub.now;
    hub.peers[from].endpoint.say(now, &lobby(), text).expect("a text that can be said");
    hub.run();
}

/// Goal: an account that was deleted is no error of what others say in a room. Before: each connection that wrote
/// to a room complained of it, and a pipe ended as if its own line had been refused.
/// Method: alice has talked with bob; his account is deleted, she comes again and writes to the lobby.
#[test]
fn a_deleted_account_is_no_error_of_what_is_said_to_all() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    for index in [ALICE, BOB, CAROL] {
        say(&mut hub, index, "hello");
    }
    let now = hub.now;
    let alice = &mut hub.peers[ALICE].endpoint;
    alice.tell_user(now, &name("bob"), "to you alone").expect("a text that can be said");
    hub.run();
    hub.disconnect(BOB);
    hub.faults.deleted = vec![name("bob")];
    for _ in 0..2 {
        hub.disconnect(ALICE);
        hub.connect(ALICE);
        hub.tell_of_keys("bob");
        hub.run();
        say(&mut hub, ALICE, "to all");
    }
    assert_eq!(hub.texts(CAROL).last().map(String::as_str), Some("alice: to all"));
    let told = complaints(&hub, ALICE);
    assert!(told.is_empty(), "{told:?}");
}
