//! Several processes of one device: they share its rows, and each has a connection of its own.

use std::sync::Arc;

use chat_endpoint::{Alarm, Endpoint, Event, RoomAction, SystemRandom};
use chat_protocol::hub::{HubStage, HubToClient};

use crate::hub::{TestHub, name, room};

/// The texts that a process is told of when it looks at what the others have written.
fn heard(process: &mut Endpoint, hub: &TestHub, index: usize) -> Vec<String> {
    process.reload(&hub.peers[index].store.rows()).expect("rows");
    let step = process.finish(hub.now);
    let text = |event: &Event| match event {
        Event::Message { text, .. } => Some(text.clone()),
        _ => None,
    };
    step.events.iter().filter_map(|notification| text(&notification.event)).collect()
}

/// Goal: a process that has been there for long hears what one that has just begun was sent. Method:
/// everything so far was dealt with and has left no row from which numbers could go on.
#[test]
fn what_a_new_process_takes_in_is_heard_by_an_old_one_once() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    for n in 0..3 {
        hub.peers[0].endpoint.tell_user(hub.now, &name("bob"), &n.to_string()).expect("said");
    }
    hub.run();
    let device = hub.peers[1].endpoint.device().clone();
    let rows = hub.peers[1].store.rows();
    let new = Endpoint::new(device, &rows, Arc::default(), Box::new(SystemRandom)).expect("rows");
    let mut old = std::mem::replace(&mut hub.peers[1].endpoint, new);
    assert_eq!(heard(&mut old, &hub, 1), [""; 0]);
    hub.peers[1].shows_nothing = true;
    hub.comes(1);
    hub.peers[0].endpoint.tell_user(hub.now, &name("bob"), "for both").expect("said");
    hub.run();
    assert_eq!(hub.texts(1).last().map(String::as_str), Some("alice: for both"));
    assert_eq!(heard(&mut old, &hub, 1), ["for both"]);
    assert_eq!(heard(&mut old, &hub, 1), [""; 0]);
}

/// Goal: nobody waits for a key that another process of the home has made and has had no answer to. Method: one
/// process makes it and is gone; another one, which was there before, has something to say.
#[test]
fn a_key_that_another_process_has_left_is_asked_about() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let device = hub.peers[0].endpoint.device().clone();
    let rows = hub.peers[0].store.rows();
    let other = Endpoint::new(device, &rows, Arc::default(), Box::new(SystemRandom)).expect("rows");
    hub.faults.hold_keys = true;
    hub.peers[0].endpoint.tell_user(hub.now, &name("bob"), "one").expect("said");
    hub.run();
    hub.disconnect(0);
    hub.faults.hold_keys = false;
    hub.peers[0].endpoint = other;
    hub.comes(0);
    let rows = hub.peers[0].store.rows();
    hub.peers[0].endpoint.reload(&rows).expect("rows");
    hub.peers[0].endpoint.tell_user(hub.now, &name("bob"), "two").expect("said");
    hub.run();
    assert_eq!(hub.texts(1), ["alice: one", "alice: two"]);
}

/// Goal: a restored hub that serves a part of the links which another process of the home has written down meanwhile is
/// told the others. Before: the process that was served took the whole chain for shown, and the hub heard of nothing.
/// Method: bob's old process asks a hub that has lost the fourth link of a room for those behind the second one. While it
/// waits for keys, it reads what a newer process has written.
#[test]
fn a_part_of_a_chain_is_not_taken_for_all_of_it() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.act(0, "ops", RoomAction::Create { private: false });
    hub.act(1, "ops", RoomAction::Join { create: false });
    hub.disconnect(1);
    let device = hub.peers[1].endpoint.device().clone();
    let rows = hub.peers[1].store.rows();
    let new = Endpoint::new(device, &rows, Arc::default(), Box::new(SystemRandom)).expect("rows");
    let old = std::mem::replace(&mut hub.peers[1].endpoint, new);
    hub.connect(1);
    let role = |admin| RoomAction::Role { who: name("bob"), admin };
    hub.act(0, "ops", role(true));
    let older = hub.snapshot();
    hub.act(0, "ops", role(false));
    assert_eq!(hub.chain_length("ops"), 4);
    hub.put_back(&older);
    hub.peers[1].endpoint = old;
    hub.faults.hold_bundles = true;
    hub.connect(1);
    while hub.turn() {}
    let rows = hub.peers[1].store.rows();
    hub.peers[1].endpoint.reload(&rows).expect("rows");
    hub.release_bundles();
    hub.run();
    assert_eq!((hub.links_reminded, hub.chain_length("ops")), (1, 4));
}

/// Goal: a key that another process of the home has made says nothing against the hub, which has shown an older one to this
/// process. Before: an open chat called a server restored when somebody joined a room after a script had written there.
/// Method: alice's old process stays connected while a newer one makes a key; it reads what that has written, and then
/// somebody joins. A hub that shows the older key afterwards is still found out.
#[test]
fn a_key_of_another_process_is_no_sign_of_a_restored_hub() {
    for is_restored in [false, true] {
        let mut hub = TestHub::with(&["alice", "bob", "carol", "dave"]);
        hub.act(0, "ops", RoomAction::Create { private: false });
        hub.act(1, "ops", RoomAction::Join { create: false });
        hub.say_in(0, "ops", "by the old process");
        let older = hub.snapshot();
        let device = hub.peers[0].endpoint.device().clone();
        let rows = hub.peers[0].store.rows();
        let random = Box::new(SystemRandom);
        let new = Endpoint::new(device, &rows, Arc::default(), random).expect("rows");
        let mut old = std::mem::replace(&mut hub.peers[0].endpoint, new);
        hub.connect(0);
        hub.act(2, "ops", RoomAction::Join { create: false });
        let before = hub.epoch_of("ops").0;
        hub.say_in(0, "ops", "by the new process");
        assert!(hub.epoch_of("ops").0 > before, "it has made a key");
        old.reload(&hub.peers[0].store.rows()).expect("rows");
        hub.peers[0].endpoint = old;
        if is_restored {
            hub.put_back(&older);
            hub.connect(0);
        }
        hub.act(3, "ops", RoomAction::Join { create: false });
        hub.run();
        let went_back =
            |event: &Event| matches!(event, Event::Alarm { kind: Alarm::RolledBack, .. });
        assert_eq!(hub.count(0, went_back) > 0, is_restored);
    }
}

/// Goal: what one process of a home sets is heard by the others.
/// Before: a script went on showing whom the chat beside it had hidden.
#[test]
fn what_one_process_sets_is_heard_by_the_others() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let device = hub.peers[0].endpoint.device().clone();
    let rows = hub.peers[0].store.rows();
    let mut other =
        Endpoint::new(device, &rows, Arc::default(), Box::new(SystemRandom)).expect("rows");
    let now = hub.now;
    hub.peers[0].endpoint.set(now, &[("ignore:bob".to_owned(), "on".to_owned())]);
    hub.run();
    let mut changed = Vec::new();
    for _ in 0..2 {
        other.reload(&hub.peers[0].store.rows()).expect("rows");
        changed.extend(other.finish(now).events.into_iter().filter_map(|told| match told.event {
            Event::Settings { changed } => Some(changed),
            _ => None,
        }));
    }
    assert_eq!(changed, [vec![("ignore:bob".to_owned(), "on".to_owned())]], "once");
}

/// Goal: an answer that comes once more, of what copies for followers were made of, is no answer without a question.
/// Before: 16 of them ended the connection of an honest hub.
#[test]
fn a_second_answer_to_what_was_copied_is_counted_against_nobody() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[1].endpoint.subscribe(now, &name("alice"));
    hub.act(0, "ops", RoomAction::Create { private: false });
    hub.say_in(0, "ops", "first");
    hub.faults.hold_answers = true;
    let now = hub.now;
    let alice = &mut hub.peers[0].endpoint;
    let say = |n: usize| alice.say(now, &room("ops"), &n.to_string()).expect("said");
    let ids: Vec<_> = (0..20).map(say).collect();
    hub.run();
    let position = u64::try_from(hub.positions()).expect("few");
    let alice = &mut hub.peers[0].endpoint;
    for id in ids {
        let (stage, kept) = (HubStage::Stored, false);
        let ack = chat_protocol::hub::write(&HubToClient::Ack { stage, id, position, kept });
        // To the process that has said it, and to one that has said it again.
        alice.handle_text(now, &ack);
        alice.handle_text(now, &ack);
    }
    assert_eq!(alice.reconnect_reason(), None);
}
