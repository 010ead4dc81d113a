//! Accounts and rooms that the operator of the hub has deleted: what others do goes on without an error.

#![expect(
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it says what went wrong"
)]

use chat_endpoint::{Alarm, Event, RoomAction};
use chat_protocol::frame::RawFrame;
use chat_protocol::header::{Header, MemberOperation};
use chat_protocol::hub::{DropClaim, HubToClient};
use chat_protocol::name::ConversationId;
use chat_protocol::retention;

use crate::hub::{Fate, TestHub, lobby, name, room};

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

fn complaints(hub: &TestHub, index: usize) -> Vec<&Event> {
    let events = hub.peers[index].events.iter();
    events.filter(|event| matches!(event, Event::Complaint { .. })).collect()
}

fn announced(hub: &TestHub, index: usize, words: &str) -> usize {
    hub.count(index, |event| matches!(event, Event::Announcement { text } if text.contains(words)))
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
    assert_eq!(announced(&hub, ALICE, "not reach them: bob"), 1);
}

/// Goal: a hub takes nobody out of what is said unseen by calling their account deleted. Before: the key did not
/// name them, nothing was told, and what was said meanwhile was no gap of theirs afterwards either.
/// Method: a private room of alice, bob and carol; the hub says so of bob, and takes it back.
#[test]
fn who_is_left_out_as_deleted_is_named_in_the_key_and_told() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    hub.act(ALICE, "crew", RoomAction::Create { private: true });
    for who in ["bob", "carol"] {
        hub.act(ALICE, "crew", RoomAction::Admit(name(who)));
    }
    hub.say_in(ALICE, "crew", "one");
    hub.faults.counts_lines = true;
    hub.faults.deleted = vec![name("bob")];
    hub.tell_of_keys("bob");
    hub.run();
    hub.say_in(ALICE, "crew", "two");
    let left_out = |hub: &TestHub| {
        let keys = hub.frames_for(CAROL).into_iter().filter_map(|frame| {
            let frame = RawFrame::decode(frame).expect("a frame");
            match Header::parse(frame.header()) {
                Ok(Header::Key(key)) => Some(key.wo),
                _ => None,
            }
        });
        keys.last().expect("a key")
    };
    assert_eq!(left_out(&hub), [name("bob")]);
    let roster = hub.peers[ALICE].endpoint.roster(&room("crew")).expect("a room");
    assert_eq!(roster.deleted, [name("bob")]);
    assert_eq!(announced(&hub, ALICE, "not reach them: bob"), 1);

    hub.faults.deleted.clear();
    hub.tell_of_keys("bob");
    hub.run();
    hub.say_in(ALICE, "crew", "three");
    assert_eq!(left_out(&hub), []);
    assert_eq!(hub.texts(BOB), ["alice: one", "alice: three"]);
    assert_eq!((complaints(&hub, ALICE).len(), complaints(&hub, CAROL).len()), (0, 0));
}

/// What the hub says of a room that was deleted, with so many messages up to this position.
fn is_deleted(hub: &mut TestHub, text: &str, position: u64, messages: u64) {
    let (cid, keep_ms) = (ConversationId::room(&room(text)), retention::DELETED_KEEP_MS);
    let claim = DropClaim { cid, position, before_ms: hub.now, keep_ms, messages };
    hub.tell_all(&HubToClient::Dropped(claim));
    hub.run();
}

/// Goal: a deleted room is told once, and what was dropped with it, and it holds nobody. Before: what was dropped was an
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
        let told = announced(&hub, index, "#crew was deleted");
        assert_eq!(told, usize::from(index != CAROL), "{index}");
        // Nothing is dropped without a word: the hub may say this of a room that lives.
        let dropped = hub.count(index, |event| matches!(event, Event::Dropped { messages: 2, .. }));
        assert_eq!(dropped, usize::from(index != CAROL), "{index}");
        let told = complaints(&hub, index);
        assert!(told.is_empty(), "{told:?}");
    }
    let id = hub.act(ALICE, "crew", RoomAction::Leave);
    assert_eq!(hub.answer_to(ALICE, id), "left");
}

/// Goal: a hub that calls a living room deleted drops nothing there unseen, and is found out. Before: whatever it kept
/// back from then on had no gap, was not asked for, and nothing was said, for ever.
/// Method: bob is told so and does not get two messages; the room goes on.
#[test]
fn a_room_in_which_people_talk_was_not_deleted() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    hub.act(ALICE, "ops", RoomAction::Create { private: false });
    hub.act(BOB, "ops", RoomAction::Join { create: false });
    hub.say_in(ALICE, "ops", "one");
    hub.faults.deletes_rooms = true;
    is_deleted(&mut hub, "ops", 0, 0);
    hub.rule = Some(Box::new(|index, _| if index == BOB { Fate::Lost } else { Fate::Good }));
    for text in ["two", "three"] {
        hub.say_in(ALICE, "ops", text);
    }
    hub.rule = None;
    let position = u64::try_from(hub.positions()).expect("few");
    is_deleted(&mut hub, "ops", position, 2);
    assert_eq!(hub.count(BOB, |event| matches!(event, Event::Dropped { messages: 2, .. })), 1);
    let alarms = |hub: &TestHub| {
        let is_one = |event: &Event| matches!(event, Event::Alarm { kind, .. } if *kind == Alarm::FalseDeletion);
        hub.count(BOB, is_one)
    };
    hub.say_in(ALICE, "ops", "four");
    assert_eq!(alarms(&hub), 0, "it may have been on its way");
    hub.now += 6 * 60_000;
    hub.say_in(ALICE, "ops", "five");
    hub.say_in(ALICE, "ops", "six");
    assert_eq!(alarms(&hub), 1);
    is_deleted(&mut hub, "ops", 0, 0);
    assert_eq!(announced(&hub, BOB, "#ops was deleted"), 2, "it is news again");
}

/// Goal: a hub hides nobody whom it leaves out behind accounts that it has made. Before: only those were told and named
/// whom the key has room for, by the order of their names.
/// Method: 66 invented names come into the lobby by the hub's word; then bob's account is called deleted.
#[test]
fn who_is_left_out_is_told_among_however_many_others() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    for index in [ALICE, BOB, CAROL] {
        say(&mut hub, index, "hello");
    }
    for number in 0..66 {
        hub.make_up_link("lobby", &format!("aaa{number:02}"), MemberOperation::Join);
    }
    hub.faults.deleted = vec![name("bob")];
    hub.tell_of_keys("bob");
    hub.run();
    say(&mut hub, ALICE, "to carol");
    assert_eq!(announced(&hub, ALICE, "not reach them: bob"), 1);
    let named = hub.frames_for(CAROL).into_iter().filter_map(|frame| {
        match Header::parse(RawFrame::decode(frame).expect("a frame").header()) {
            Ok(Header::Key(key)) => Some(key.wo),
            _ => None,
        }
    });
    assert!(named.last().expect("a key").contains(&name("bob")));
}
