//! What a connection that ends and a hub without room must not cost. Each of these was first shown
//! by the simulation of the server's tests.

use chat_endpoint::{CommandEnd, CommandOptions, Event, RoomAction};
use chat_protocol::name::RoomName;

use crate::hub::{TestHub, lobby, name};

fn refusals(hub: &TestHub, index: usize) -> usize {
    hub.count(index, |event| matches!(event, Event::Refused { .. }))
}

/// Goal: what is said in a room while the join is under way is said when it is done.
/// Method: the hub takes the question for the room's members at once, and the join later. It takes
/// both rooms' joins only when they are asked for again.
#[test]
fn a_text_said_while_the_room_is_being_joined_is_sent_after_it() {
    let mut hub = TestHub::with(&["alice"]);
    hub.faults.busy_links = 2;
    let bob = hub.add("bob");
    let now = hub.now;
    hub.peers[bob].endpoint.say(now, &lobby(), "already here").expect("a text");
    hub.run();
    assert_eq!(refusals(&hub, bob), 0);
    assert_eq!(hub.texts(0), ["bob: already here"]);
    let joined = |event: &Event| matches!(event, Event::Joined { .. });
    assert_eq!(hub.count(bob, joined), 2, "a join that was put off is asked for again");
}

/// Goal: whoever asked for what the hub puts off again and again is told why, once until it is done; a moment's wait is
/// no news.
/// Method: a join is put off twice, then one five times, then a text five times.
#[test]
fn what_is_put_off_for_long_is_told_once_with_the_reason() {
    let mut hub = TestHub::with(&["alice"]);
    let put_off = |event: &Event| matches!(event, Event::PutOff { reason } if reason == "busy");
    for (name, times, told) in [("crew", 2, 0), ("ops", 5, 1)] {
        hub.faults.busy_links = times;
        let (now, room) = (hub.now, RoomName::new(name).unwrap());
        let join = RoomAction::Join { create: true };
        hub.peers[0].endpoint.act_in_room(now, &room, join);
        hub.run();
        assert_eq!(hub.count(0, put_off), told, "{name}: {:?}", hub.peers[0].events);
    }
    hub.faults.busy = 5;
    let now = hub.now;
    hub.peers[0].endpoint.say(now, &lobby(), "once more").unwrap();
    hub.run();
    assert_eq!(hub.count(0, put_off), 2, "a new trouble is told anew");
}

/// Goal: who was not there yet can be written to when they are.
/// Method: a message to somebody without an account, and again after they have one. Nothing else
/// tells the writer of them.
#[test]
fn a_name_that_nobody_had_is_asked_for_again_the_next_time() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("carol"), "anybody?").expect("a text");
    hub.run();
    assert_eq!(refusals(&hub, 0), 1);
    let carol = hub.joins("carol");
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("carol"), "welcome").expect("a text");
    hub.run();
    assert_eq!(refusals(&hub, 0), 1);
    assert_eq!(hub.texts(carol), ["alice: welcome"]);
}

/// Goal: what was sealed and had not left when the connection ended is sent on the next one.
/// Method: the connection ends between sealing and the end of the step.
#[test]
fn what_was_sealed_in_the_step_in_which_the_connection_ended_is_sent_later() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "one").expect("a text");
    hub.run();
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "two").expect("a text");
    hub.peers[0].endpoint.handle_timeout(now);
    hub.disconnect(0);
    hub.comes(0);
    assert_eq!(hub.texts(1), ["alice: one", "alice: two"]);
    assert_eq!(hub.peers[0].endpoint.unanswered(), 0);
    let complaint = |event: &Event| matches!(event, Event::Complaint { .. });
    assert_eq!(hub.count(0, complaint), 0);
}

/// Goal: whoever asked for a command hears how it ended, even if the hub had no room for it.
/// Method: the hub refuses the outcome for want of room, once.
#[test]
fn an_outcome_that_the_hub_had_no_room_for_is_sent_again() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let now = hub.now;
    let argv = vec!["true".to_owned()];
    let alice = &mut hub.peers[0].endpoint;
    alice.run(now, &name("machine"), argv, CommandOptions::default()).expect("a command");
    hub.run();
    let commands = hub.peers[1].events.iter().find_map(|event| match event {
        Event::Command { id, digest, .. } => Some((*id, *digest)),
        _ => None,
    });
    let (re, of) = commands.expect("the command has come");
    hub.faults.refuse = 1;
    let now = hub.now;
    let outcome =
        CommandEnd { re, of, status: Some(0), code: String::new(), reason: String::new() };
    hub.peers[1].endpoint.report_outcome(now, &name("alice"), outcome);
    hub.run();
    let ended = |event: &Event| matches!(event, Event::Ended { re: of, ok: true, .. } if *of == re);
    assert_eq!(hub.count(0, ended), 1);
    assert_eq!(refusals(&hub, 1), 0, "nobody is told of a refusal that was made good");
    assert!(hub.now > now, "it was not sent again at once");
}
