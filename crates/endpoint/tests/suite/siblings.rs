//! Two devices of one person.

use chat_endpoint::{Alarm, CommandEnd, CommandOptions, Event};
use chat_protocol::code;
use chat_protocol::content::OutputStream;
use chat_protocol::id::Nonce16;

use crate::commands::digest_of;
use crate::hub::{TestHub, lobby, name};

/// Nobody is troubled by what is not theirs.
fn assert_quiet(hub: &TestHub) {
    for index in 0..hub.peers.len() {
        let troubles = hub.count(index, |event| {
            matches!(event, Event::Alarm { .. } | Event::Gap { .. } | Event::Unreadable { .. })
        });
        assert_eq!(troubles, 0, "device {index}: {:?}", hub.peers[index].events);
        assert_eq!(hub.peers[index].endpoint.unanswered(), 0, "device {index}");
    }
}

#[test]
fn both_devices_show_what_others_say_and_what_the_other_one_says_once() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[1].endpoint.tell_user(now, &name("alice"), "before").expect("said");
    hub.run();
    let laptop = hub.joins_sibling(0, None);
    // At once, in conversations whose views everybody holds already.
    let now = hub.now;
    let from_bob = hub.peers[1].endpoint.tell_user(now, &name("alice"), "to both").expect("said");
    hub.run();
    let from_alice = hub.peers[0].endpoint.tell_user(now, &name("bob"), "from one").expect("said");
    hub.peers[laptop].endpoint.say(now, &lobby(), "from two").expect("said");
    hub.run();
    let says = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    assert_eq!(hub.texts(0), says(&["bob: before", "bob: to both", "alice: from two"]));
    assert_eq!(hub.texts(laptop), says(&["bob: to both", "alice: from one"]));
    assert_eq!(hub.texts(1), says(&["alice: from one", "alice: from two"]));
    for (index, of) in [(1, from_bob), (0, from_alice)] {
        let confirmed = |event: &Event| matches!(event, Event::Delivered { id, readable: true, .. } if *id == of);
        assert_eq!(hub.count(index, confirmed), 1, "a person counts once");
    }
    let of_the_other =
        |event: &Event| matches!(event, Event::Delivered { id, .. } if *id == from_alice);
    assert_eq!(hub.count(laptop, of_the_other), 0, "receipts are for the device that has sent");
    assert_quiet(&hub);
}

#[test]
fn a_device_that_was_away_shows_what_the_other_one_said_meanwhile() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(0, None);
    hub.disconnect(laptop);
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "one").expect("said");
    hub.run();
    hub.peers[1].endpoint.tell_user(now, &name("alice"), "two").expect("said");
    hub.run();
    hub.restarts(laptop);
    assert_eq!(hub.texts(laptop), ["alice: one", "bob: two"]);
    assert_quiet(&hub);
}

#[test]
fn a_command_is_for_the_device_that_is_the_agent() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let machine = hub.add_sibling(0, Some(Nonce16([5; 16])));
    hub.run();
    let argv = vec!["date".to_owned()];
    let now = hub.now;
    let options = CommandOptions::default();
    let re = hub.peers[1].endpoint.run(now, &name("alice"), argv, options).expect("asked");
    hub.run();
    let is_command = |event: &Event| matches!(event, Event::Command { .. });
    assert_eq!((hub.count(0, is_command), hub.count(machine, is_command)), (0, 1));
    assert_eq!(hub.count(1, |event| matches!(event, Event::Ended { .. })), 0, "nobody refused it");
    let (of, status) = (digest_of(&hub, machine, re), Some(0));
    let (code, reason) = (String::new(), String::new());
    let agent = &mut hub.peers[machine].endpoint;
    agent.report_outcome(now, &name("bob"), CommandEnd { re, of, status, code, reason });
    hub.run();
    assert_eq!(hub.count(1, |event| matches!(event, Event::Ended { ok: true, .. })), 1);
    assert_quiet(&hub);
}

/// Goal: a command is for the machine to which the agent has moved, and not for the one where it was: that one still says
/// that it accepts commands, and is off. Before, the smaller number of the two devices decided, and who asked waited in vain.
#[test]
fn a_command_is_for_the_machine_to_which_the_agent_has_moved() {
    for is_back in [false, true] {
        let mut hub = TestHub::with(&["alice", "machine"]);
        hub.now += 60_000;
        let other = hub.joins_sibling(1, Some(Nonce16([6; 16])));
        if is_back {
            hub.now += 60_000;
            hub.renew(1);
            hub.run();
        }
        let (argv, options) = (vec!["date".to_owned()], CommandOptions::default());
        hub.peers[0].endpoint.run(hub.now, &name("machine"), argv, options).expect("asked");
        hub.run();
        let is_command = |event: &Event| matches!(event, Event::Command { .. });
        let came = (hub.count(1, is_command), hub.count(other, is_command));
        assert_eq!(came, if is_back { (1, 0) } else { (0, 1) });
    }
}

#[test]
fn answers_to_a_command_of_one_device_are_no_alarm_on_the_other() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let laptop = hub.joins_sibling(0, None);
    let (now, argv) = (hub.now, vec!["date".to_owned()]);
    let options = CommandOptions::default();
    let re = hub.peers[0].endpoint.run(now, &name("machine"), argv, options).expect("asked");
    hub.run();
    let of = digest_of(&hub, 1, re);
    let machine = &mut hub.peers[1].endpoint;
    machine.report_started(now, &name("alice"), re);
    machine.report_output(now, &name("alice"), re, OutputStream::Stdout, b"x".to_vec());
    let (code, reason, status) = (code::NO_AGENT.to_owned(), "no".to_owned(), None);
    machine.report_outcome(now, &name("alice"), CommandEnd { re, of, status, code, reason });
    hub.run();
    let is_heard = |event: &Event| {
        matches!(event, Event::Started { .. } | Event::Output { .. } | Event::Ended { .. })
    };
    assert_eq!((hub.count(0, is_heard), hub.count(laptop, is_heard)), (3, 0));
    assert_quiet(&hub);
}

/// A device that was away while another one came in hears the answers to a command of that one, which a restore
/// of the hub has lost. What it is alarmed by.
fn alarms_by_answers_to_another(hides_the_other: bool) -> usize {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let now = hub.now;
    hub.peers[1].endpoint.tell_user(now, &name("alice"), "before").expect("said");
    hub.run();
    hub.disconnect(0);
    let laptop = hub.joins_sibling(0, None);
    let older = hub.snapshot();
    let (now, argv) = (hub.now, vec!["date".to_owned()]);
    let options = CommandOptions::default();
    let re = hub.peers[laptop].endpoint.run(now, &name("machine"), argv, options).expect("asked");
    hub.run();
    let of = digest_of(&hub, 1, re);
    hub.put_back(&older);
    hub.connect(1);
    let now = hub.now;
    let machine = &mut hub.peers[1].endpoint;
    machine.report_started(now, &name("alice"), re);
    let (code, reason, status) = (code::NO_AGENT.to_owned(), "no".to_owned(), None);
    machine.report_outcome(now, &name("alice"), CommandEnd { re, of, status, code, reason });
    hub.run();
    if hides_the_other {
        let own = (*hub.peers[0].endpoint.device().bundle).clone();
        hub.faults.shows.push((0, name("alice"), vec![own]));
    }
    hub.faults.hold_bundles = true;
    hub.comes(0);
    hub.release_bundles();
    hub.comes(laptop);
    let is_ended = |event: &Event| matches!(event, Event::Ended { .. });
    assert_eq!((hub.count(0, is_ended), hub.count(laptop, is_ended)), (0, 1));
    hub.count(0, |event| matches!(event, Event::Alarm { kind: Alarm::Replay, .. }))
}

/// Goal: a device that was away while another one came in is not alarmed by the answers to that one's command.
/// Before: "an answer to a command that was not asked of them", when a restore had lost the command itself.
#[test]
fn answers_to_a_device_that_was_never_heard_of_are_no_alarm() {
    assert_eq!(alarms_by_answers_to_another(false), 0);
}

/// Goal: a hub that shows a device in this person's name to the machine and not to this person is seen when that
/// device has run a command.
/// Before: nothing was said, because the answer was sealed for the other device, too.
#[test]
fn answers_to_a_device_that_is_hidden_are_an_alarm() {
    assert!(alarms_by_answers_to_another(true) > 0);
}

/// Goal: a device that is newer than the backup of a restored hub misses nothing that was not for it.
/// Before: of the order of epochs, which a restored hub has twice, it seemed to follow that one was withheld.
/// Method: bob has written before alice had a laptop; the hub loses the epoch that was for it, too.
#[test]
fn a_device_newer_than_a_backup_misses_nothing() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[1].endpoint.tell_user(now, &name("alice"), "before").expect("said");
    hub.run();
    let older = hub.snapshot();
    let laptop = hub.joins_sibling(0, None);
    let now = hub.now;
    hub.peers[laptop].endpoint.tell_user(now, &name("bob"), "from the laptop").expect("said");
    hub.run();
    hub.roll_back(&older);
    let now = hub.now;
    hub.peers[1].endpoint.tell_user(now, &name("alice"), "after").expect("said");
    hub.run();
    assert!(hub.texts(laptop).contains(&"bob: after".to_owned()), "{:?}", hub.texts(laptop));
    for index in [0, 1, laptop] {
        let is_told = |event: &Event| matches!(event, Event::Gap { .. } | Event::Unhealed { .. });
        assert_eq!(hub.count(index, is_told), 0, "{index}: {:?}", hub.peers[index].events);
    }
}

/// Goal: what one device gives again to the other person, who has asked for it, is no alarm to a device that never had it.
/// Before: "a message was granted that is not shown: it was not asked for".
/// Method: the laptop says something while the others are away, the hub loses it, and the laptop says more.
#[test]
fn what_a_sibling_gives_again_to_somebody_else_is_no_alarm() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(0, None);
    let older = hub.snapshot();
    for index in [0, 1] {
        hub.disconnect(index);
    }
    let say = |hub: &mut TestHub, text: &str| {
        let now = hub.now;
        hub.peers[laptop].endpoint.tell_user(now, &name("bob"), text).expect("said");
        hub.run();
    };
    say(&mut hub, "lost");
    hub.rolls_back(&older);
    say(&mut hub, "after it");
    hub.now += 60_000;
    let now = hub.now;
    hub.peers.iter_mut().for_each(|peer| peer.endpoint.handle_timeout(now));
    hub.run();
    let texts = hub.texts(1);
    assert!(texts.contains(&"alice: lost".to_owned()), "it was given again: {texts:?}");
    let bad = |event: &Event| matches!(event, Event::Alarm { kind: Alarm::BadGrant, .. });
    assert_eq!(hub.count(0, bad), 0);
}
