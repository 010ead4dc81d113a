//! Commands that nobody waits for any more, before a hub that delivers them late: their words stay in doubt as
//! long as they could start, and what their machine says of them is told (rule R35).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it says what went wrong"
)]

use chat_endpoint::limits::{DOUBTFUL_MAX, MAY_START_MAX_MS, STORAGE_WAIT_MS};
use chat_endpoint::{Alarm, CommandEnd, CommandOptions, Event, SendError};
use chat_protocol::code;
use chat_protocol::hub::{self, HubStage, HubToClient};
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

/// The hub keeps the first frame of what alice says, wants it in another epoch, and brings that epoch about or not.
fn want_it_sealed_again(
    hub: &mut TestHub,
    say: impl FnOnce(&mut TestHub) -> MessageId,
) -> MessageId {
    let before = hub.peers[0].endpoint.tell_user(hub.now, &name("machine"), "before").unwrap();
    hub.run();
    let is_kept = |event: &Event| matches!(event, Event::Stored { id, .. } if *id == before);
    assert_eq!(hub.count(0, is_kept), 1);
    (hub.close_next, hub.faults.lose) = (true, 1);
    let id = say(hub);
    hub.run();
    assert_eq!(hub.withheld.len(), 1, "it has left");
    id
}

fn hand_over(hub: &mut TestHub) {
    let frame = hub.withheld.remove(0);
    hub.hand(1, &frame);
    hub.run();
}

/// Until when alice is told that a refused message could start.
fn refused(hub: &TestHub, of: MessageId) -> Vec<Option<u64>> {
    let until = |event: &Event| match event {
        Event::Refused { id, may_start_until_ms, .. } if *id == of => Some(*may_start_until_ms),
        _ => None,
    };
    hub.peers[0].events.iter().filter_map(until).collect()
}

/// Goal: a hub that keeps a command and wants it sealed again makes nobody believe that it never left: it is taken back
/// at its machine, and its words are in doubt. (The build before said that it was cancelled before it was sent, and
/// took the same words again.)
#[test]
fn a_command_that_is_to_be_sealed_again_has_left() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let signed_ms = hub.now;
    let id = want_it_sealed_again(&mut hub, |hub| {
        hub.faults.hold_keys = true;
        ask(hub).unwrap()
    });
    let now = hub.now;
    let alice = &mut hub.peers[0].endpoint;
    assert!(alice.cancel(now, &id).is_some(), "its machine is told");
    let until = alice.give_up(now, &id, words()).unwrap();
    assert!(until >= signed_ms + MAY_START_MAX_MS);
    assert!(matches!(ask(&mut hub), Err(SendError::MayStart { .. })));
    assert_eq!(refused(&hub, id), []);
    hand_over(&mut hub);
    hub.faults.hold_keys = false;
    hub.restarts(0);
    let is_cancel = |event: &Event| matches!(event, Event::Cancel { re, .. } if *re == id);
    assert_eq!(hub.count(1, is_cancel), 1);
    let commands = |event: &Event| matches!(event, Event::Command { .. });
    assert_eq!(hub.count(1, commands), 1, "it is not sealed again");
    end(&mut hub, id, "");
    assert_eq!(heard(&hub, id), ["late", "ended "]);
}

/// Goal: what has left and ends as refused, because no key is to be had or the hub says that it never looked at it, is
/// refused by the hub's word only. (The build before took the same words again at once, and showed no alarm when it
/// was delivered.)
#[test]
fn whatever_refuses_what_has_left_its_words_are_in_doubt() {
    for is_key in [true, false] {
        let mut hub = TestHub::with(&["alice", "machine"]);
        let id = if is_key {
            want_it_sealed_again(&mut hub, |hub| {
                hub.faults.denies_keys = true;
                ask(hub).unwrap()
            })
        } else {
            (hub.faults.refuses_requests, hub.faults.refuse) = (true, 1);
            let id = ask(&mut hub).unwrap();
            hub.run();
            id
        };
        let until = id.made_ms() + MAY_START_MAX_MS;
        assert_eq!(refused(&hub, id), [Some(until)]);
        assert!(matches!(ask(&mut hub), Err(SendError::MayStart { .. })));
        hand_over(&mut hub);
        let alarm = |event: &Event| matches!(event, Event::Alarm { kind: Alarm::FalseRefusal, .. });
        end(&mut hub, id, "");
        hub.faults.denies_keys = false;
        hub.restarts(0);
        assert_eq!(hub.count(0, alarm), 1, "{is_key}");
    }
}

/// Goal: a text that the hub keeps, wants sealed again and then makes end as refused is an alarm when somebody has it.
#[test]
fn a_text_that_has_left_and_was_refused_is_an_alarm_when_it_was_delivered() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let id = want_it_sealed_again(&mut hub, |hub| {
        hub.faults.denies_keys = true;
        let now = hub.now;
        hub.peers[0].endpoint.tell_user(now, &name("machine"), "denied").unwrap()
    });
    assert_eq!(refused(&hub, id), [None]);
    hand_over(&mut hub);
    let alarm = |event: &Event| matches!(event, Event::Alarm { kind: Alarm::FalseRefusal, .. });
    assert_eq!(hub.count(0, alarm), 1);
}

/// Goal: whoever leaves while a command still waits here to be sent asks for it no second time by the same words.
#[test]
fn a_command_that_waits_to_be_sent_and_was_given_up_is_in_doubt() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    hub.disconnect(0);
    let id = ask(&mut hub).unwrap();
    let now = hub.now;
    let until = hub.peers[0].endpoint.give_up(now, &id, words());
    assert_eq!(until, Some(id.made_ms() + MAY_START_MAX_MS));
    hub.turn();
    hub.reopen(0);
    assert!(matches!(ask(&mut hub), Err(SendError::MayStart { .. })));
}

/// Goal: whoever writes the first words of a conversation on a full disk is told so, as where there is a key, and can
/// say them again. Before: nothing was said, for as long as the disk was full.
#[test]
fn the_first_words_on_a_full_disk_are_refused() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.faults.has_no_room_for_keys = true;
    let now = hub.now;
    let id = hub.peers[0].endpoint.tell_user(now, &name("bob"), "first").unwrap();
    hub.run();
    let told = |event: &Event| matches!(event, Event::Refused { id: of, code, .. } if *of == id && code == code::STORAGE_FULL);
    assert_eq!(hub.count(0, told), 1, "{:?}", hub.peers[0].events);
    hub.faults.has_no_room_for_keys = false;
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "again").unwrap();
    hub.run();
    hub.now += STORAGE_WAIT_MS;
    let now = hub.now;
    hub.peers[0].endpoint.handle_timeout(now);
    hub.run();
    assert_eq!(hub.texts(1), ["alice: again"]);
}

/// Goal: a hub that wants a message sealed again and then says that it has kept it does not make it vanish unseen:
/// what is not sealed was not said. Before: it ended as stored, and in the next epoch nothing named it as missing.
#[test]
fn what_is_to_be_sealed_again_is_not_stored_before() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let id = want_it_sealed_again(&mut hub, |hub| {
        hub.faults.hold_keys = true;
        let now = hub.now;
        hub.peers[0].endpoint.tell_user(now, &name("machine"), "withheld").unwrap()
    });
    let (stage, now) = (HubStage::Stored, hub.now);
    let position = u64::try_from(hub.positions()).unwrap();
    let ack = hub::write(&HubToClient::Ack { stage, id, position, kept: false });
    hub.peers[0].endpoint.handle_text(now, &ack);
    hub.run();
    let is_stored = |event: &Event| matches!(event, Event::Stored { id: of, .. } if *of == id);
    assert_eq!(hub.count(0, is_stored), 0);
    hub.faults.hold_keys = false;
    hub.restarts(0);
    assert_eq!((hub.count(0, is_stored), hub.texts(1)), (1, said(&["before", "withheld"])));
}

fn said(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| format!("alice: {text}")).collect()
}

/// Goal: of so many commands that could still start those are forgotten that were given up first. Before: those whose
/// ids came first as text, which were the newest ones for hours at a time. Method: the text form of ids goes from
/// letters to digits, which sort before them.
#[test]
fn the_oldest_command_in_doubt_is_forgotten_first() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    hub.disconnect(0);
    let bits = 18;
    let letters_end = (hub.now >> 24 << 24) + (1 << 24) + (52 << bits);
    let mut at = letters_end - u64::try_from(DOUBTFUL_MAX).unwrap();
    let words = |number: u64| vec!["reboot".to_owned(), number.to_string()];
    let alice = &mut hub.peers[0].endpoint;
    let ask = |alice: &mut chat_endpoint::Endpoint, now: u64, number: u64| {
        alice.run(now, &name("machine"), words(number), CommandOptions::default())
    };
    for number in 0..u64::try_from(DOUBTFUL_MAX).unwrap() + 8 {
        let id = ask(alice, at, number).unwrap();
        assert!(alice.give_up(at, &id, words(number)).is_some());
        at += 1;
    }
    let in_doubt: Vec<u64> = (0..u64::try_from(DOUBTFUL_MAX).unwrap() + 8)
        .filter(|number| matches!(ask(alice, at, *number), Err(SendError::MayStart { .. })))
        .collect();
    assert_eq!(in_doubt, (8..u64::try_from(DOUBTFUL_MAX).unwrap() + 8).collect::<Vec<_>>());
}
