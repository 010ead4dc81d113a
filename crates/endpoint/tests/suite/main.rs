//! Devices against a hub in memory: what is sealed opens for whom it is meant, once, in order, and
//! survives races, crashes and a hub that cheats.

#[cfg(test)]
mod audience;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod by_word;
mod commands;
#[cfg(test)]
mod dark;
mod deleted;
#[cfg(test)]
mod eras;
#[cfg(test)]
mod feeds;
#[cfg(test)]
mod files;
#[cfg(test)]
mod fits;
mod given_up;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod handed;
#[cfg(test)]
mod healing;
mod hub;
#[cfg(test)]
mod identity;
mod left_out;
mod lies;
mod long_ago;
mod newcomers;
#[cfg(test)]
mod newest;
#[cfg(test)]
mod offers;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod put_out;
#[cfg(test)]
mod put_twice;
#[cfg(test)]
mod races;
#[cfg(test)]
mod random;
#[cfg(test)]
mod resilience;
#[cfg(test)]
mod restored;
mod retention;
#[cfg(test)]
mod rooms;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod sequence;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod siblings;
#[cfg(test)]
mod spelled;
#[cfg(test)]
mod struck;
#[cfg(test)]
mod taken_back;
#[cfg(test)]
mod taken_names;
#[cfg(test)]
mod told_names;
mod trace;
#[cfg(test)]
mod unplaced;
mod views;

use chat_endpoint::{Alarm, CommandEnd, CommandOptions, Event};
use chat_protocol::code;
use chat_protocol::content::OutputStream;

use hub::{TestHub, lobby, name};

#[test]
fn a_room_message_reaches_everybody_else_and_is_confirmed_by_each() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    let now = hub.now;
    let id = hub.peers[0].endpoint.say(now, &lobby(), "hello").unwrap();
    hub.run();
    assert_eq!(hub.texts(1), ["alice: hello"]);
    assert_eq!(hub.texts(2), ["alice: hello"]);
    assert!(hub.texts(0).is_empty());
    let stored = hub.count(0, |event| {
        matches!(event, Event::Stored { id: of, recipients, .. } if *of == id && recipients.len() == 2)
    });
    assert_eq!(stored, 1);
    let delivered = |event: &Event| matches!(event, Event::Delivered { id: of, readable: true, .. } if *of == id);
    assert_eq!(hub.count(0, delivered), 2);
    assert!(hub.peers.iter().all(|peer| peer.endpoint.unanswered() == 0));
}

#[test]
fn direct_messages_of_both_sides_at_once_agree_on_one_epoch() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    for index in 0..5 {
        hub.peers[0].endpoint.tell_user(now, &name("bob"), &format!("a{index}")).unwrap();
        hub.peers[1].endpoint.tell_user(now, &name("alice"), &format!("b{index}")).unwrap();
    }
    hub.run();
    assert_eq!(hub.texts(1), ["a0", "a1", "a2", "a3", "a4"].map(|t| format!("alice: {t}")));
    assert_eq!(hub.texts(0), ["b0", "b1", "b2", "b3", "b4"].map(|t| format!("bob: {t}")));
    assert_eq!(hub.count(0, |event| matches!(event, Event::Alarm { .. })), 0);
}

#[test]
fn an_unknown_name_and_a_device_without_an_agent_are_refused_with_their_code() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    let alice = &mut hub.peers[0].endpoint;
    alice.tell_user(now, &name("ghost"), "anybody there?").unwrap();
    alice.run(now, &name("bob"), vec!["date".into()], CommandOptions::default()).unwrap();
    hub.run();
    let refused = |want: &'static str| move |event: &Event| matches!(event, Event::Refused { code, .. } if code == want);
    assert_eq!(hub.count(0, refused(code::NO_SUCH_USER)), 1);
    assert_eq!(hub.count(0, refused(code::NO_AGENT)), 1);
    assert_eq!(hub.peers[0].endpoint.unanswered(), 0);
}

#[test]
fn a_command_goes_there_and_its_output_and_outcome_come_back_in_order() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let now = hub.now;
    let argv = vec!["echo".to_owned(), "hi".to_owned()];
    let id = hub.peers[0]
        .endpoint
        .run(now, &name("machine"), argv.clone(), CommandOptions::default())
        .unwrap();
    hub.run();
    let commands: Vec<_> = hub.peers[1]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Command { id, digest, command, pinned, .. } => {
                Some((*id, *digest, command.argv.clone(), *pinned))
            }
            _ => None,
        })
        .collect();
    let [(re, of, got, true)] = commands.as_slice() else { panic!("{commands:?}") };
    assert_eq!((re, got), (&id, &argv));
    let (re, of) = (*re, *of);
    let (now, machine) = (hub.now, &mut hub.peers[1].endpoint);
    machine.report_started(now, &name("alice"), re);
    machine.report_output(now, &name("alice"), re, OutputStream::Stdout, b"hi\n".to_vec());
    let outcome =
        CommandEnd { re, of, status: Some(3), code: "E_EXIT".into(), reason: "no".into() };
    machine.report_outcome(now, &name("alice"), outcome);
    hub.run();
    let heard: Vec<&str> = hub.peers[0]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Started { .. } => Some("started"),
            Event::Output { data, .. } if data == b"hi\n" => Some("output"),
            Event::Ended { ok: false, status: Some(3), .. } => Some("ended"),
            _ => None,
        })
        .collect();
    assert_eq!(heard, ["started", "output", "ended"]);
}

#[test]
fn an_expired_command_is_refused_by_the_machine_itself() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let now = hub.now;
    // The machine is away when the command is sealed, and returns two minutes later.
    hub.peers[0]
        .endpoint
        .run(now, &name("machine"), vec!["date".into()], CommandOptions::default())
        .unwrap();
    hub.disconnect(1);
    hub.run();
    hub.now += 120_000;
    hub.comes(1);
    let expired =
        |event: &Event| matches!(event, Event::Ended { code, .. } if code == code::EXPIRED);
    assert_eq!(hub.count(1, |event| matches!(event, Event::Command { .. })), 0);
    assert_eq!(hub.count(0, expired), 1);
}

#[test]
fn a_newcomer_gets_what_is_said_from_then_on_in_a_new_epoch() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[0].endpoint.say(now, &lobby(), "before").unwrap();
    hub.run();
    let carol = hub.joins("carol");
    let now = hub.now;
    hub.peers[0].endpoint.say(now, &lobby(), "after").unwrap();
    hub.run();
    assert_eq!(hub.texts(carol), ["alice: after"]);
    assert_eq!(hub.texts(1), ["alice: before", "alice: after"]);
    assert_eq!(hub.count(1, |event| matches!(event, Event::Gap { .. } | Event::Alarm { .. })), 0);
}

#[test]
fn a_rekey_seals_the_same_ids_again_and_shows_each_once() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[0].endpoint.say(now, &lobby(), "one").unwrap();
    hub.run();
    hub.close_next = true;
    let now = hub.now;
    for text in ["two", "three", "four"] {
        hub.peers[0].endpoint.say(now, &lobby(), text).unwrap();
    }
    hub.run();
    assert_eq!(hub.texts(1), ["one", "two", "three", "four"].map(|t| format!("alice: {t}")));
    assert_eq!(hub.peers[0].endpoint.unanswered(), 0);
}

#[test]
fn a_restart_at_any_step_loses_nothing_and_shows_nothing_twice() {
    for steps in 0..14 {
        let mut hub = TestHub::with(&["alice", "bob"]);
        let now = hub.now;
        for text in ["one", "two", "three"] {
            hub.peers[0].endpoint.tell_user(now, &name("bob"), text).unwrap();
        }
        for _ in 0..steps {
            hub.turn();
        }
        // The host commits before it sends, so what was called but not committed never left.
        let now = hub.now;
        for index in 0..2 {
            let step = hub.peers[index].endpoint.finish(now);
            hub.peers[index].store.commit(step.changes);
            hub.peers[index].events.extend(step.events.into_iter().map(|n| n.event));
        }
        hub.restart(0);
        hub.restarts(1);
        let mut texts = hub.texts(1);
        texts.dedup();
        assert_eq!(texts, ["one", "two", "three"].map(|t| format!("alice: {t}")), "{steps} steps");
        assert_eq!(hub.peers[0].endpoint.unanswered(), 0, "after {steps} steps");
        assert_eq!(hub.peers[1].endpoint.unanswered(), 0, "after {steps} steps");
    }
}

#[test]
fn a_resend_after_a_lost_connection_is_byte_identical() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "first").unwrap();
    hub.run();
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "second").unwrap();
    hub.turn();
    hub.disconnect(0);
    hub.comes(0);
    let frames: Vec<_> = hub.seen.iter().rev().take(2).collect();
    assert_eq!(frames[0], frames[1]);
    assert_eq!(hub.texts(1), ["alice: first", "alice: second"]);
}

#[test]
fn a_frame_with_one_bit_flipped_is_not_shown_and_its_sender_is_told() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "first").unwrap();
    hub.run();
    hub.tamper = Some(|frame| {
        let mut bytes = frame.to_vec();
        let last = bytes.len() - 300;
        bytes[last] ^= 1;
        bytes
    });
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "second").unwrap();
    while hub.turn() {}
    assert_eq!(hub.texts(1), ["alice: first"]);
    let alarm = |event: &Event| matches!(event, Event::Alarm { kind: Alarm::BadSignature, .. });
    assert_eq!(hub.count(1, alarm), 1);
    hub.tamper = None;
    hub.run();
    let told = |event: &Event| matches!(event, Event::Delivered { readable: false, .. });
    assert_eq!(hub.count(0, told), 1);
}

#[test]
fn a_key_by_somebody_who_never_was_in_the_room_is_an_alarm_and_is_not_used() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.forge_key("mallory", 0);
    hub.run();
    let alarm = |event: &Event| matches!(event, Event::Alarm { kind: Alarm::NotAMember, user, .. } if user.as_str() == "mallory");
    assert_eq!(hub.count(0, alarm), 1);
    let now = hub.now;
    hub.peers[0].endpoint.say(now, &lobby(), "among ourselves").unwrap();
    hub.run();
    assert_eq!(hub.texts(1), ["alice: among ourselves"]);
}

#[test]
fn what_was_wrapped_for_a_key_replaced_meanwhile_still_opens() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.disconnect(1);
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "for the old key").unwrap();
    hub.run();
    hub.rotate(1);
    hub.comes(1);
    assert_eq!(hub.texts(1), ["alice: for the old key"]);
    let now = hub.now;
    hub.peers[1].endpoint.tell_user(now, &name("alice"), "in an epoch of the new key").unwrap();
    hub.run();
    assert_eq!(hub.texts(0), ["bob: in an epoch of the new key"]);
    assert_eq!(hub.count(0, |event| matches!(event, Event::Alarm { .. })), 0);
}

#[test]
fn a_newcomers_key_that_overtakes_the_news_of_the_newcomer_is_used() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[1].endpoint.say(now, &lobby(), "bob's view is up to date").unwrap();
    hub.run();
    hub.quiet = true;
    let carol = hub.joins("carol");
    let now = hub.now;
    hub.peers[carol].endpoint.say(now, &lobby(), "hello").unwrap();
    hub.run();
    assert_eq!(hub.texts(1), ["carol: hello"]);
    assert_eq!(hub.count(1, |event| matches!(event, Event::Alarm { .. })), 0);
}

/// Long texts, so that few of them are more than may wait.
const LONG: usize = 60 << 10;

#[test]
fn more_than_may_wait_for_an_answer_comes_with_the_next_connection_and_none_is_missing() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.disconnect(1);
    let count = chat_endpoint::limits::PARKED_BYTES_MAX / LONG + 50;
    let mut expected = Vec::new();
    for number in 0..count {
        let text = format!("{number} {}", "x".repeat(LONG));
        hub.peers[0].endpoint.tell_user(hub.now, &name("bob"), &text).unwrap();
        expected.push(format!("alice: {text}"));
    }
    hub.run();
    hub.comes(1);
    let first = hub.texts(1).len();
    assert!(first < count, "everything found room: this tests nothing");
    assert!(hub.peers[1].endpoint.must_reconnect());
    hub.disconnect(1);
    hub.comes(1);
    assert!(!hub.peers[1].endpoint.must_reconnect());
    assert!(hub.texts(1) == expected, "{first} of {count}, then {}", hub.texts(1).len());
    assert_eq!(hub.count(1, |event| matches!(event, Event::Gap { .. })), 0);
}
