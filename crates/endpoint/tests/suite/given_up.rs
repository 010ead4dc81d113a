//! Commands that nobody waits for any more, before a hub that delivers them late: their words stay in doubt as
//! long as they could start, and what their machine says of them is told (rule R35).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it says what went wrong"
)]

use chat_endpoint::limits::MAY_START_MAX_MS;
use chat_endpoint::{CommandEnd, CommandOptions, Event, SendError};
use chat_protocol::code;
use chat_protocol::id::MessageId;

use crate::commands::digest_of;
use crate::hub::{TestHub, name};

fn words() -> Vec<String> {
    vec!["reboot".to_owned()]
}

fn ask(hub: &mut TestHub) -> Result<MessageId, SendError> {
    let now = hub.now;
    hub.peers[0].endpoint.run(now, &name("machine"), words(), CommandOptions::default())
}

/// Asks for a command that the hub keeps back, waits for 75 s and gives it up; the hub keeps that back, too.
fn give_up(hub: &mut TestHub) -> (MessageId, u64) {
    hub.faults.lose = 1;
    let id = ask(hub).unwrap();
    hub.run();
    hub.now += 75_000;
    let now = hub.now;
    hub.faults.lose = 1;
    let alice = &mut hub.peers[0].endpoint;
    assert!(alice.cancel(now, &id).is_some());
    let until = alice.give_up(now, &id, words());
    hub.run();
    assert_eq!(hub.withheld.len(), 2);
    (id, until.unwrap())
}

/// What alice was told of a command, in words.
fn heard(hub: &TestHub, id: MessageId) -> Vec<String> {
    let word = |event: &Event| match event {
        Event::Late { re, .. } if *re == id => Some("late".to_owned()),
        Event::Started { re, .. } if *re == id => Some("started".to_owned()),
        Event::Ended { re, code, .. } if *re == id => Some(format!("ended {code}")),
        _ => None,
    };
    hub.peers[0].events.iter().filter_map(word).collect()
}

fn end(hub: &mut TestHub, id: MessageId, code: &str) {
    let (now, of, code) = (hub.now, digest_of(hub, 1, id), code.to_owned());
    let status = code.is_empty().then_some(0);
    let end = CommandEnd { re: id, of, status, code, reason: String::new() };
    hub.peers[1].endpoint.report_outcome(now, &name("alice"), end);
    hub.run();
}

/// Goal: a hub that keeps back a command and what takes it back, and delivers the command when it was given up,
/// makes nobody ask twice, and that it ran is seen. (The build before said that it does not start any more, took
/// the same words, and dropped what the machine said.)
#[test]
fn a_command_that_was_given_up_stays_in_doubt_and_its_answer_is_told() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let signed_ms = hub.now;
    let (id, until) = give_up(&mut hub);
    assert_eq!(until, signed_ms + MAY_START_MAX_MS);
    hub.restart(0);
    let target = name("machine");
    let seconds = (until - hub.now) / 1_000;
    assert_eq!(ask(&mut hub), Err(SendError::MayStart { target, seconds }));
    hub.now = signed_ms + 6 * 60_000 - 1_000;
    let frame = hub.withheld.remove(0);
    hub.hand(1, &frame);
    hub.run();
    let started = |event: &Event| matches!(event, Event::Command { id: of, .. } if *of == id);
    assert_eq!(hub.count(1, started), 1, "the hub makes it start");
    let now = hub.now;
    hub.peers[1].endpoint.report_started(now, &name("alice"), id);
    end(&mut hub, id, "");
    assert_eq!(heard(&hub, id), ["late", "started", "ended "]);
    assert!(ask(&mut hub).is_err(), "the answer may not have been read yet");
    hub.now = until;
    ask(&mut hub).unwrap();
}

/// Goal: a machine's word that it has not started the command, and so never does, ends the doubt.
#[test]
fn what_its_machine_has_not_started_may_be_asked_for_again() {
    for (code, may_ask) in
        [(code::CANCELLED, true), (code::EXPIRED, true), ("E_INTERRUPTED", false)]
    {
        let mut hub = TestHub::with(&["alice", "machine"]);
        let (id, _) = give_up(&mut hub);
        let frame = hub.withheld.remove(0);
        hub.hand(1, &frame);
        hub.run();
        end(&mut hub, id, code);
        assert_eq!(heard(&hub, id), ["late".to_owned(), format!("ended {code}")]);
        assert_eq!(ask(&mut hub).is_ok(), may_ask, "{code}");
    }
}

/// Goal: nothing is in doubt about a command that never left, or that has ended.
#[test]
fn what_never_left_or_has_ended_is_not_in_doubt() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let id = ask(&mut hub).unwrap();
    hub.run();
    end(&mut hub, id, "");
    let now = hub.now;
    assert_eq!(hub.peers[0].endpoint.give_up(now, &id, words()), None);
    hub.disconnect(0);
    let unsent = ask(&mut hub).unwrap();
    let alice = &mut hub.peers[0].endpoint;
    assert_eq!((alice.cancel(now, &unsent), alice.give_up(now, &unsent, words())), (None, None));
    ask(&mut hub).unwrap();
}
