//! Commands before a hub that swaps, withholds and denies: numbered by who asks, answered in order, and
//! a refusal is only the hub's word (rules R34, R35).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it says what went wrong"
)]

use chat_endpoint::{Alarm, CommandEnd, CommandOptions, Event, SendError};
use chat_protocol::content::OutputStream;
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Header;
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::tag::Tag;

use crate::hub::{Fate, TestHub, lobby, name};

fn ask(hub: &mut TestHub, word: &str) -> MessageId {
    let (now, argv) = (hub.now, vec![word.to_owned()]);
    hub.peers[0].endpoint.run(now, &name("machine"), argv, CommandOptions::default()).unwrap()
}

/// The commands that came: their words and numbers.
fn asked(hub: &TestHub, index: usize) -> Vec<(String, u64, Option<u64>)> {
    let command = |event: &Event| match event {
        Event::Command { command, .. } => Some((command.argv[0].clone(), command.no, command.prev)),
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(command).collect()
}

pub(crate) fn digest_of(hub: &TestHub, index: usize, id: MessageId) -> Digest {
    let of = |event: &Event| match event {
        Event::Command { id: got, digest, .. } if *got == id => Some(*digest),
        _ => None,
    };
    hub.peers[index].events.iter().find_map(of).unwrap()
}

fn end(re: MessageId, of: Digest) -> CommandEnd {
    CommandEnd { re, of, status: Some(0), code: String::new(), reason: String::new() }
}

fn alarms(hub: &TestHub, index: usize) -> Vec<Alarm> {
    let kind = |event: &Event| match event {
        Event::Alarm { kind, .. } => Some(*kind),
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(kind).collect()
}

/// What was heard of a command, in words.
fn heard(hub: &TestHub, re: MessageId) -> Vec<String> {
    let word = |event: &Event| match event {
        Event::Started { re: of, .. } if *of == re => Some("started".to_owned()),
        Event::Output { re: of, data, .. } if *of == re => {
            Some(String::from_utf8_lossy(data).into_owned())
        }
        Event::OutputLost { re: of, pieces } if *of == re => Some(format!("{pieces} lost")),
        Event::Ended { re: of, ok, .. } if *of == re => Some(format!("ended {ok}")),
        _ => None,
    };
    hub.peers[0].events.iter().filter_map(word).collect()
}

#[test]
fn commands_are_numbered_and_one_that_the_hub_refuses_is_not_waited_for() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    ask(&mut hub, "zero");
    hub.run();
    hub.faults.refuse = 1;
    ask(&mut hub, "one");
    hub.run();
    // Sealed again in a new epoch, with the numbers that they had.
    hub.close_next = true;
    for word in ["two", "three"] {
        ask(&mut hub, word);
    }
    hub.run();
    hub.restart(0);
    ask(&mut hub, "four");
    hub.run();
    let expected =
        [("zero", 0, None), ("two", 2, Some(0)), ("three", 3, Some(2)), ("four", 4, Some(3))];
    let expected = expected.map(|(word, no, prev)| (word.to_owned(), no, prev));
    assert_eq!(asked(&hub, 1), expected);
}

/// Goal: whoever waits for a result that is none is told at once, and never that it went well. Before: only
/// the alarm was told, and the wait went on until its end.
#[test]
fn a_result_that_names_another_frame_is_an_alarm_and_is_not_used() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let (first, second) = (ask(&mut hub, "first"), ask(&mut hub, "second"));
    hub.run();
    let (now, other) = (hub.now, digest_of(&hub, 1, first));
    hub.peers[1].endpoint.report_outcome(now, &name("alice"), end(second, other));
    hub.run();
    assert_eq!(heard(&hub, second), ["ended false"]);
    assert_eq!(alarms(&hub, 0), [Alarm::BadResult]);
    let (now, of) = (hub.now, digest_of(&hub, 1, second));
    hub.peers[1].endpoint.report_outcome(now, &name("alice"), end(second, of));
    hub.run();
    assert_eq!(heard(&hub, second), ["ended false"], "its target is not believed any more");
}

/// Goal: what an interrupted program has asked for fills no home. Before: all that the command said later
/// stayed for whoever came, for ever.
#[test]
fn what_a_forgotten_command_says_is_dropped() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let (first, second) = (ask(&mut hub, "first"), ask(&mut hub, "second"));
    hub.run();
    hub.peers[0].shows_nothing = true;
    answer(&mut hub, second);
    let (now, alice) = (hub.now, name("alice"));
    hub.peers[1].endpoint.report_started(now, &alice, first);
    hub.run();
    hub.peers[0].endpoint.forget_command(&first);
    answer(&mut hub, first);
    hub.run();
    let rows = hub.peers[0].store.rows();
    let kept = rows.iter().filter(|(key, _)| key.starts_with("event/"));
    let kept: Vec<&[u8]> = kept.map(|(_, row)| row.as_slice()).collect();
    let named = |id: MessageId| {
        let id = id.to_string();
        kept.iter()
            .filter(|row| String::from_utf8_lossy(row).contains(&format!("re\":\"{id}")))
            .count()
    };
    assert_eq!((named(first), named(second)), (0, 4));
}

/// Delivers frames of output by a rule: the fate of the one with this place among them.
fn fate_of_output(hub: &mut TestHub, place: usize, fate: Fate) {
    let mut seen = 0;
    hub.rule = Some(Box::new(move |index, bytes| {
        let frame = RawFrame::decode(bytes.to_vec().into());
        let header = frame.ok().and_then(|frame| Header::parse(frame.header()).ok());
        let is_output = matches!(header, Some(Header::Message(header)) if header.t == Tag::Out);
        seen += usize::from(is_output && index == 0);
        if is_output && index == 0 && seen == place { fate } else { Fate::Good }
    }));
}

/// The machine says three pieces and the result.
fn answer(hub: &mut TestHub, re: MessageId) {
    let (now, of, alice) = (hub.now, digest_of(hub, 1, re), name("alice"));
    let machine = &mut hub.peers[1].endpoint;
    machine.report_started(now, &alice, re);
    for word in ["a", "b"] {
        machine.report_output(now, &alice, re, OutputStream::Stdout, word.into());
    }
    machine.report_outcome(now, &alice, end(re, of));
}

#[test]
fn output_that_comes_late_or_again_is_told_in_its_order() {
    for fate in [Fate::Late, Fate::Twice, Fate::Lost] {
        let mut hub = TestHub::with(&["alice", "machine"]);
        let re = ask(&mut hub, "date");
        hub.run();
        fate_of_output(&mut hub, 2, fate);
        answer(&mut hub, re);
        hub.run();
        assert_eq!(heard(&hub, re), ["started", "a", "b", "ended true"], "{fate:?}");
        assert!(alarms(&hub, 0).is_empty(), "{fate:?}");
    }
}

#[test]
fn output_that_is_not_to_be_had_is_marked_before_the_result() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let re = ask(&mut hub, "date");
    hub.run();
    fate_of_output(&mut hub, 2, Fate::Lost);
    answer(&mut hub, re);
    while hub.turn() {}
    hub.disconnect(1);
    assert_eq!(heard(&hub, re), ["started"], "the rest waits for what is missing");
    // As long as it takes to give up somebody who does not answer.
    for _ in 0..20 {
        hub.run();
        hub.now += 60_000;
        let now = hub.now;
        hub.peers[0].endpoint.handle_timeout(now);
    }
    assert_eq!(heard(&hub, re), ["started", "1 lost", "b", "ended true"]);
}

/// Goal: output that a full disk has refused, and that the machine says again, is shown. Before: the result was
/// kept in the same moment, and the piece counted as lost.
#[test]
fn output_that_was_refused_and_is_said_again_is_waited_for() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let re = ask(&mut hub, "date");
    hub.run();
    hub.faults.refuse = 1;
    answer(&mut hub, re);
    hub.run();
    assert_eq!(heard(&hub, re), ["started", "a", "b", "ended true"]);
}

/// The hub refuses the next message of alice, and delivers it all the same.
fn deny(hub: &mut TestHub) {
    hub.faults.refuse = 1;
    hub.run();
    let frame = hub.withheld.pop().unwrap();
    hub.hand(1, &frame);
    hub.run();
}

#[test]
fn what_was_refused_and_delivered_is_an_alarm_of_both_kinds() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "before").unwrap();
    hub.run();
    let id = hub.peers[0].endpoint.tell_user(now, &name("bob"), "denied").unwrap();
    deny(&mut hub);
    assert_eq!(hub.texts(1), ["alice: before", "alice: denied"]);
    let refused = |e: &Event| matches!(e, Event::Refused { id: of, by_hub: true, may_start_until_ms: None, .. } if *of == id);
    assert_eq!(hub.count(0, refused), 1);
    assert_eq!(alarms(&hub, 0), [Alarm::FalseRefusal]);
    let delivered =
        |e: &Event| matches!(e, Event::Delivered { id: of, refused: true, .. } if *of == id);
    assert_eq!(hub.count(0, delivered), 1);
    // Bob hears of it with the next message, and says once more that he has it.
    let receipts = |hub: &TestHub| hub.receipts.iter().filter(|(of, _)| *of == id).count();
    assert_eq!(receipts(&hub), 1);
    for text in ["after", "later"] {
        let now = hub.now;
        hub.peers[0].endpoint.tell_user(now, &name("bob"), text).unwrap();
        hub.run();
    }
    let disowned = |e: &Event| matches!(e, Event::Disowned { id: of, from, .. } if *of == id && *from == name("alice"));
    assert_eq!(hub.count(1, disowned), 1);
    assert_eq!(receipts(&hub), 2);
    assert!(alarms(&hub, 1).is_empty(), "a member could invent it");
}

#[test]
fn what_was_refused_and_not_delivered_is_no_alarm() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[0].endpoint.say(now, &lobby(), "before").unwrap();
    hub.run();
    hub.faults.refuse = 1;
    for text in ["refused", "after"] {
        let now = hub.now;
        hub.peers[0].endpoint.say(now, &lobby(), text).unwrap();
    }
    hub.run();
    assert_eq!(hub.texts(1), ["alice: before", "alice: after"]);
    for index in 0..2 {
        assert!(alarms(&hub, index).is_empty());
        assert_eq!(hub.count(index, |event| matches!(event, Event::Disowned { .. })), 0);
    }
}

/// Goal: a command that was taken back is named by its id; one that had not left never leaves, and one that has
/// ended is left alone.
#[test]
fn a_command_is_taken_back_by_its_id_or_never_leaves() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let re = ask(&mut hub, "sleep");
    hub.run();
    let digest = digest_of(&hub, 1, re);
    let now = hub.now;
    assert!(hub.peers[0].endpoint.cancel(now, &re).is_some());
    hub.run();
    let taken_back = |event: &Event| match event {
        Event::Cancel { from, re: of, .. } => *from == name("alice") && *of == re,
        _ => false,
    };
    assert_eq!(hub.count(1, taken_back), 1);

    hub.disconnect(0);
    let unsent = ask(&mut hub, "never");
    assert_eq!(hub.peers[0].endpoint.cancel(now, &unsent), None);
    hub.comes(0);
    let refused = |event: &Event| matches!(event, Event::Refused { id, code, .. } if *id == unsent && code == "E_CANCELLED");
    assert_eq!(hub.count(0, refused), 1);
    assert_eq!(hub.count(1, |event| matches!(event, Event::Command { .. })), 1, "it never left");

    hub.peers[1].endpoint.report_outcome(now, &name("alice"), end(re, digest));
    hub.run();
    assert_eq!(hub.peers[0].endpoint.cancel(now, &re), None, "it has ended");
}

/// Goal: clocks may differ by five minutes in either direction, and a command has its minute all the
/// same; a hub that lies about the time gains those five minutes and no more. (The build before refused
/// whatever came from a clock a minute behind.)
#[test]
fn a_command_has_its_minute_whatever_the_clock_of_its_sender() {
    let until = |hub: &TestHub, id| {
        let of_command = |event: &Event| match event {
            Event::Command { id: of, expires_ms, .. } if *of == id => Some(*expires_ms),
            _ => None,
        };
        hub.peers[1].events.iter().find_map(of_command)
    };
    let mut hub = TestHub::with(&["alice", "machine"]);
    for (own_ms, minute_ms) in [(-299_000, 0), (0, 0), (299_000, 299_000), (-359_000, -59_000)] {
        let now = hub.now;
        let options = CommandOptions::default();
        let alice = &mut hub.peers[0].endpoint;
        let own = now.checked_add_signed(own_ms).unwrap();
        let id = alice.run(own, &name("machine"), vec!["date".into()], options).unwrap();
        hub.run();
        let expected = (now + 60_000).checked_add_signed(minute_ms);
        assert_eq!(until(&hub, id), expected, "{own_ms} ms");
    }
    let now = hub.now;
    let alice = &mut hub.peers[0].endpoint;
    let options = CommandOptions::default();
    let id = alice.run(now - 361_000, &name("machine"), vec!["date".into()], options).unwrap();
    hub.run();
    assert_eq!(until(&hub, id), None, "too far behind");
    let expired = |event: &Event| matches!(event, Event::Ended { re, code, .. } if *re == id && code == chat_protocol::code::EXPIRED);
    assert_eq!(hub.count(0, expired), 1);
}

/// Goal: a clock that is set while the connection lasts refuses no command. (The build before brought the time of a
/// command to the clocks as they were at the sign-in, and every command had expired until the next one.) Method: the
/// hub's clock goes two minutes back.
#[test]
fn a_clock_that_is_set_during_a_connection_refuses_no_command() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    hub.faults.behind_ms = 120_000;
    let id = ask(&mut hub, "date");
    hub.run();
    let asked = |event: &Event| matches!(event, Event::Command { id: of, .. } if *of == id);
    assert_eq!(hub.count(1, asked), 1);
}

#[test]
fn words_that_could_still_start_are_not_asked_for_twice() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let id = ask(&mut hub, "reboot");
    let sealed_ms = hub.now;
    deny(&mut hub);
    // A minute, what the hub can gain by a lie about the time, and a machine's clock that is behind.
    let until = sealed_ms + 660_000;
    let refused = |e: &Event| matches!(e, Event::Refused { id: of, may_start_until_ms, .. } if *of == id && *may_start_until_ms == Some(until));
    assert_eq!(hub.count(0, refused), 1);
    hub.restart(0);
    hub.now = sealed_ms + 659_000;
    let now = hub.now;
    let words = || vec!["reboot".to_owned()];
    let alice = &mut hub.peers[0].endpoint;
    let again = alice.run(now, &name("machine"), words(), CommandOptions::default());
    let target = name("machine");
    assert_eq!(again, Err(SendError::MayStart { target, seconds: 1 }));
    alice.run(now, &name("machine"), vec!["date".into()], CommandOptions::default()).unwrap();
    let again = CommandOptions { again: true, ..CommandOptions::default() };
    alice.run(now, &name("machine"), words(), again).unwrap();
    alice.run(until, &name("machine"), words(), CommandOptions::default()).unwrap();
}

#[test]
fn the_result_of_a_refused_command_is_an_alarm_and_is_told() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let re = ask(&mut hub, "reboot");
    deny(&mut hub);
    answer(&mut hub, re);
    hub.run();
    assert_eq!(alarms(&hub, 0), [Alarm::FalseRefusal], "once, by the receipt or the result");
    assert_eq!(heard(&hub, re), ["started", "a", "b", "ended true"]);
    // The alarm may not have been read yet: the same words are still no new wish.
    let (now, words) = (hub.now, vec!["reboot".to_owned()]);
    let alice = &mut hub.peers[0].endpoint;
    let again = alice.run(now, &name("machine"), words, CommandOptions::default());
    assert!(matches!(again, Err(SendError::MayStart { .. })), "{again:?}");
    hub.now += 660_000;
    ask(&mut hub, "reboot");
}
