//! What is said in a room and what is asked for there leave in the order of the asking.

use chat_endpoint::{RoomAction, limits};
use chat_protocol::id::MessageId;

use crate::hub::{TestHub, name, room};

fn ask(hub: &mut TestHub, index: usize, action: RoomAction) -> MessageId {
    let now = hub.now;
    hub.peers[index].endpoint.act_in_room(now, &room("ops"), action)
}

fn say(hub: &mut TestHub, index: usize, text: &str) -> MessageId {
    let now = hub.now;
    hub.peers[index].endpoint.say(now, &room("ops"), text).unwrap()
}

/// Alice's room `ops`, open with bob in it, or private. Nothing was ever said there.
fn ops(private: bool) -> TestHub {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.act(0, "ops", RoomAction::Create { private });
    if !private {
        hub.act(1, "ops", RoomAction::Join { create: false });
    }
    hub
}

/// The host commits what was asked for and dies.
fn die(hub: &mut TestHub, index: usize) {
    let now = hub.now;
    let step = hub.peers[index].endpoint.finish(now);
    hub.peers[index].store.commit(step.changes);
    hub.restart(index);
}

/// Goal: who says something and leaves has said it. Method: bob does so where his texts need a new key; with a
/// connection, without one, and with a restart between; what he says behind the leave is refused.
#[test]
fn a_leave_waits_for_what_was_said_before_it() {
    for (is_away, dies) in [(false, false), (true, false), (true, true)] {
        let mut hub = ops(false);
        if is_away {
            hub.disconnect(1);
        }
        let before = ["one", "two"].map(|text| say(&mut hub, 1, text));
        let left = ask(&mut hub, 1, RoomAction::Leave);
        let behind = say(&mut hub, 1, "three");
        if dies {
            die(&mut hub, 1);
        } else if is_away {
            hub.connect(1);
        }
        hub.run();
        let case = format!("away {is_away}, dies {dies}");
        assert_eq!(hub.texts(0), ["bob: one", "bob: two"], "{case}");
        assert_eq!(hub.answer_to(1, left), "left", "{case}");
        assert!(hub.answer_to(1, behind).contains("you are not in this room"), "{case}");
        assert_eq!(hub.roster(0, "ops"), ["alice"], "{case}");
        for id in before {
            assert!(hub.answer_to(1, id).starts_with("Stored"), "{case}");
        }
    }
}

/// Goal: who leaves and comes back at once says in between what they say then. Method: text, leave, join, text.
#[test]
fn a_leave_and_a_join_behind_it_keep_their_places() {
    let mut hub = ops(false);
    say(&mut hub, 1, "goodbye");
    let left = ask(&mut hub, 1, RoomAction::Leave);
    let joined = ask(&mut hub, 1, RoomAction::Join { create: false });
    say(&mut hub, 1, "back again");
    hub.run();
    assert_eq!(hub.texts(0), ["bob: goodbye", "bob: back again"]);
    assert_eq!([left, joined].map(|id| hub.answer_to(1, id)), ["left", "joined"]);
}

/// Goal: who is let in reads what is said after that, and nothing from before.
#[test]
fn whoever_is_let_in_does_not_read_what_was_said_before() {
    let mut hub = ops(true);
    say(&mut hub, 0, "he must not know");
    ask(&mut hub, 0, RoomAction::Admit(name("bob")));
    say(&mut hub, 0, "welcome");
    hub.run();
    assert_eq!(hub.roster(0, "ops"), ["alice", "bob"]);
    assert_eq!(hub.texts(1), ["alice: welcome"]);
}

/// Goal: nothing that is said behind a removal is ever sealed for whoever is removed, whatever the hub takes.
/// Method: the room has a key with bob; the hub takes any frame, and hands bob every one.
#[test]
fn what_is_said_behind_a_removal_is_not_sealed_for_whoever_is_removed() {
    for ban in [false, true] {
        let mut hub = ops(false);
        hub.say_in(0, "ops", "hello");
        hub.faults.takes_anything = true;
        let (links, seen) = (hub.links_offered, hub.seen.len());
        ask(&mut hub, 0, RoomAction::Remove { who: name("bob"), ban });
        say(&mut hub, 0, "without him");
        hub.run();
        assert_eq!((hub.links_offered, hub.seen.len()), (links + 1, seen + 1), "ban {ban}");
        hub.hand_over_everything(1);
        hub.run();
        assert_eq!(hub.texts(1), ["alice: hello"], "ban {ban}");
    }
}

/// Goal: a leave does not wait where nothing can be said: not in a deleted room, not in one that bob is no
/// member of, and no longer than the bound where the hub takes no key of his.
#[test]
fn a_leave_never_hangs() {
    let mut hub = ops(false);
    hub.faults.refuses_devices = Some(0);
    say(&mut hub, 1, "one");
    let (left, asked_ms) = (ask(&mut hub, 1, RoomAction::Leave), hub.now);
    while hub.answer_to(1, left) != "left" {
        assert!(hub.step(asked_ms + 2 * limits::ORDER_WAIT_MS), "it hangs");
    }
    let waited = hub.now - asked_ms;
    assert!((limits::ORDER_WAIT_MS..=limits::ORDER_WAIT_MS + 1_000).contains(&waited), "{waited}");

    let (text, again) = (say(&mut hub, 1, "two"), ask(&mut hub, 1, RoomAction::Leave));
    let asked_ms = hub.now;
    hub.run();
    assert!(hub.answer_to(1, text).contains("not in this room"), "{}", hub.answer_to(1, text));
    assert!(hub.answer_to(1, again).contains("not in"), "{}", hub.answer_to(1, again));
    assert!(hub.now - asked_ms < limits::ORDER_WAIT_MS);

    let mut hub = ops(false);
    hub.faults.deletes_rooms = true;
    say(&mut hub, 1, "one");
    let (left, asked_ms) = (ask(&mut hub, 1, RoomAction::Leave), hub.now);
    hub.run();
    assert_eq!(hub.answer_to(1, left), "left");
    assert!(hub.now - asked_ms < limits::ORDER_WAIT_MS);
}

/// Goal: nor where connections break before the time is over. Before: each began it anew. Method: the hub takes no key
/// of bob's and ends his connection every ten seconds.
#[test]
fn a_leave_does_not_wait_anew_on_each_connection() {
    let mut hub = ops(false);
    hub.faults.refuses_devices = Some(0);
    say(&mut hub, 1, "one");
    let (left, asked_ms) = (ask(&mut hub, 1, RoomAction::Leave), hub.now);
    for _ in 0..6 {
        let end = hub.now + limits::ORDER_WAIT_MS / 3;
        while hub.answer_to(1, left) != "left" && hub.step(end) {}
        hub.now = hub.now.max(end);
        hub.peers[1].endpoint.handle_timeout(end);
        hub.disconnect(1);
        hub.connect(1);
    }
    assert_eq!(hub.answer_to(1, left), "left");
    assert!(hub.now - asked_ms <= 2 * limits::ORDER_WAIT_MS);
}
