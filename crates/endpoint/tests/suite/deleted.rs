//! Accounts and rooms that the operator of the hub has deleted: what others do goes on without an error.

#![expect(
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it says what went wrong"
)]

use chat_endpoint::{Event, RoomAction};
use chat_protocol::hub::{DropClaim, HubToClient};
use chat_protocol::name::ConversationId;
use chat_protocol::retention;

use crate::hub::{TestHub, lobby, name, room};

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

/// What the hub says of a room that was deleted, with so many messages up to this position.
fn is_deleted(hub: &mut TestHub, text: &str, position: u64, messages: u64) {
    let (cid, keep_ms) = (ConversationId::room(&room(text)), retention::DELETED_KEEP_MS);
    let claim = DropClaim { cid, position, before_ms: hub.now, keep_ms, messages };
    hub.tell_all(&HubToClient::Dropped(claim));
    hub.run();
}

/// Goal: a deleted room is told once, whatever was dropped with it, and holds nobody. Before: what was dropped was an
/// alarm at each sign-in, who was away heard nothing else of it, and its last admin could not leave it.
/// Method: a private room of alice and bob is deleted; the hub says so, with messages and without, on several
/// connections.
#[test]
fn a_deleted_room_is_told_once_and_its_last_admin_leaves() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    hub.act(ALICE, "crew", RoomAction::Create { private: true });
    hub.act(ALICE, "crew", RoomAction::Admit(name("bob")));
    let id = hub.act(ALICE, "crew", RoomAction::Leave);
    assert!(hub.answer_to(ALICE, id).contains("last admin"), "{}", hub.answer_to(ALICE, id));
    hub.faults.deletes_rooms = true;
    is_deleted(&mut hub, "crew", 0, 0);
    for index in [ALICE, BOB] {
        hub.restart(index);
    }
    is_deleted(&mut hub, "crew", 0, 0);
    is_deleted(&mut hub, "crew", 1_000, 2);
    for index in [ALICE, BOB, CAROL] {
        let told = |event: &Event| matches!(event, Event::Announcement { text } if text.contains("#crew was deleted"));
        assert_eq!(hub.count(index, told), usize::from(index != CAROL), "{index}");
        assert_eq!(hub.count(index, |event| matches!(event, Event::Dropped { .. })), 0, "{index}");
        let told = complaints(&hub, index);
        assert!(told.is_empty(), "{told:?}");
    }
    let id = hub.act(ALICE, "crew", RoomAction::Leave);
    assert_eq!(hub.answer_to(ALICE, id), "left");
}
