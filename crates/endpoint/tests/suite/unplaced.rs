//! Keys and removals whose answer does not come: each has a place in the log all the same, or is not used
//! (rules R2, R33). A hub that cuts the connection at the right moment hid a removal so from its own maker.

use chat_endpoint::limits::LIVE_WAIT_MS;
use chat_endpoint::{Alarm, Event, MemberChange};
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Header;
use chat_protocol::name::UserName;

use crate::hub::{Fate, TestHub, lobby, name};
use crate::views::{ban, crew, met};

/// Where the others are.
const ALICE: usize = 0;
const BOB: usize = 1;
const OLIVER: usize = 2;

/// Whom the alarms of a kind at a device are about.
fn alarms(hub: &TestHub, index: usize, of: Alarm) -> Vec<UserName> {
    let events = hub.peers[index].events.iter();
    let users = events.filter_map(|event| match event {
        Event::Alarm { kind, user, .. } if *kind == of => Some(user.clone()),
        _ => None,
    });
    users.collect()
}

/// The hub hides alice's removal from bob and oliver, and alice's keys from bob, and takes what they say.
fn hide_removal(hub: &mut TestHub) {
    hub.faults.hides = vec![(BOB, crew(), 3), (OLIVER, crew(), 3)];
    hub.faults.takes_anything = true;
    hub.rule = Some(Box::new(move |index, bytes| {
        let frame = RawFrame::decode(bytes.to_vec().into()).unwrap();
        let is_key = matches!(Header::parse(frame.header()), Ok(Header::Key(key))
            if key.from == name("alice") && key.cid == crew());
        if index == BOB && is_key { Fate::Lost } else { Fate::Good }
    }));
}

fn cut(hub: &mut TestHub, index: usize) {
    hub.disconnect(index);
    hub.comes(index);
}

/// How many rows of a kind a device keeps.
fn rows(hub: &TestHub, index: usize, kind: &str) -> usize {
    let rows = hub.peers[index].store.rows();
    rows.iter().filter(|(key, _)| key.starts_with(&format!("{kind}/"))).count()
}

/// Goal: who removes somebody sees that it is withheld, whatever becomes of the key and of the connection. Before:
/// a hub that cut it at the key was believed for ever. Method: the connection ends before the hub takes the key,
/// or behind that, or again and again; once the process ends, too.
#[test]
fn r33_a_withheld_removal_is_seen_however_its_key_is_cut_off() {
    for (takes_key, again, restarts) in
        [(false, false, false), (true, false, false), (false, true, false), (false, true, true)]
    {
        let case = format!("takes {takes_key}, again {again}, restarts {restarts}");
        let mut hub = met();
        hide_removal(&mut hub);
        hub.faults.hold_keys = !takes_key;
        hub.faults.loses_key_answers = takes_key;
        hub.act(ALICE, "crew", ban());
        if !again {
            hub.faults.hold_keys = false;
        }
        for _ in 0..3 {
            cut(&mut hub, ALICE);
        }
        if restarts {
            hub.restarts(ALICE);
        }
        hub.say_in(BOB, "crew", "oliver reads this");
        assert!(hub.texts(OLIVER).contains(&"bob: oliver reads this".to_owned()), "the hub's lie");
        assert!(hub.texts(ALICE).contains(&"bob: oliver reads this".to_owned()), "{case}");
        assert_eq!(alarms(&hub, ALICE, Alarm::SealsForRemoved), [name("bob")], "{case}");
        // What alice's device hands bob's needs a key, too.
        hub.faults.hold_keys = false;
        hub.faults.loses_key_answers = false;
        cut(&mut hub, ALICE);
        hub.say_in(BOB, "crew", "oliver does not read this");
        let texts = hub.texts(OLIVER);
        assert!(!texts.contains(&"bob: oliver does not read this".to_owned()), "{case}: mended");
    }
}

/// Goal: the same where the answers name positions far above those at which the hub then delivers. Before: what bob says
/// stood before the removal, so nothing was told until alice said something. Method: on the connection of the
/// removal, on the next one, and with answers that come before the hub has said that all that waited has come.
#[test]
fn r33_a_withheld_removal_is_seen_however_far_its_answer_lies() {
    for (is_live, cuts) in [(true, false), (true, true), (false, false), (false, true)] {
        let case = format!("live {is_live}, cuts {cuts}");
        let mut hub = met();
        if !is_live {
            hub.faults.goes_never_live = true;
            cut(&mut hub, ALICE);
        }
        hide_removal(&mut hub);
        hub.faults.answers_above = 1 << 20;
        hub.act(ALICE, "crew", ban());
        if cuts {
            cut(&mut hub, ALICE);
        }
        hub.faults.goes_never_live = false;
        hub.run();
        hub.say_in(BOB, "crew", "oliver reads this");
        assert!(hub.texts(OLIVER).contains(&"bob: oliver reads this".to_owned()), "the hub's lie");
        assert!(hub.texts(ALICE).contains(&"bob: oliver reads this".to_owned()), "{case}");
        assert_eq!(alarms(&hub, ALICE, Alarm::SealsForRemoved), [name("bob")], "{case}");
        hub.say_in(OLIVER, "crew", "I am still here");
        assert_eq!(alarms(&hub, ALICE, Alarm::NotAMember), [name("oliver")], "{case}");
        assert!(!hub.texts(ALICE).iter().any(|text| text.contains("I am still here")), "{case}");
    }
}

/// Goal: a hub that never says that all has come is told of, each time that this has taken long; one that has said so is
/// not. Before: a person could not tell why nothing of what is withheld shows. Method: on one connection, and on
/// connections that are cut before that.
#[test]
fn a_hub_that_does_not_end_what_waited_is_told_of() {
    let late = |hub: &TestHub| {
        hub.count(ALICE, |event| {
            matches!(event, Event::Complaint { reason, by_hub: false, .. }
                if reason.contains("not all that waited for you has come"))
        })
    };
    for is_cut in [false, true] {
        for is_honest in [true, false] {
            let mut hub = met();
            hub.faults.goes_never_live = !is_honest;
            for number in 0..8 {
                if is_cut || number == 0 {
                    cut(&mut hub, ALICE);
                }
                hub.now += LIVE_WAIT_MS / 4;
                hub.say_in(BOB, "crew", "still here");
            }
            let told = late(&hub);
            assert_eq!(told > 0, !is_honest, "cut {is_cut}, honest {is_honest}: {told}");
            assert!(told <= 4, "cut {is_cut}: {told}");
        }
    }
}

/// Goal: the same where something of the room waits when the answer comes, and never ceases to. Before: what came behind
/// the answer was judged as if it had come before it. Method: the hub delivers a key by nobody that alice knows, and keeps
/// back the answer about who that may be until bob has spoken.
#[test]
fn r33_a_withheld_removal_is_seen_whatever_waits_before_it() {
    let mut hub = met();
    let made_up = hub.made_up_key(&crew(), "bob");
    hide_removal(&mut hub);
    hub.faults.hold_bundles = true;
    hub.hand(ALICE, &made_up);
    hub.run();
    hub.faults.answers_above = 1 << 20;
    hub.act(ALICE, "crew", ban());
    hub.say_in(BOB, "crew", "oliver reads this");
    assert!(!hub.texts(ALICE).contains(&"bob: oliver reads this".to_owned()), "it waits");
    hub.release_bundles();
    hub.run();
    assert!(hub.texts(ALICE).contains(&"bob: oliver reads this".to_owned()));
    assert_eq!(alarms(&hub, ALICE, Alarm::SealsForRemoved), [name("bob")]);
}

/// Goal: a hub that refuses the removal which its own chain shows hides nothing with that. Before: the removal had no
/// place, so nothing was a mark. Method: the answer is lost with the connection; said again, the link is refused, and no
/// key of alice's is taken.
#[test]
fn r33_a_removal_that_is_kept_and_refused_is_a_mark() {
    let mut hub = met();
    hide_removal(&mut hub);
    hub.faults.hold_keys = true;
    hub.faults.loses_link_answers = true;
    hub.act(ALICE, "crew", ban());
    hub.faults.loses_link_answers = false;
    hub.faults.refuses_kept_links = true;
    cut(&mut hub, ALICE);
    hub.say_in(BOB, "crew", "oliver reads this");
    assert!(hub.texts(ALICE).contains(&"bob: oliver reads this".to_owned()));
    assert_eq!(alarms(&hub, ALICE, Alarm::SealsForRemoved), [name("bob")]);
}

/// Goal: the key that counts a removal is due again where the hub has lost it, also where it kept the removal (rule R2).
/// Before: whoever was removed read on until somebody said something. Method: the hub loses the key alone.
#[test]
fn r02_a_key_that_a_restore_has_taken_is_due_again() {
    let mut hub = met();
    let older = hub.snapshot();
    hub.act(ALICE, "crew", ban());
    assert_eq!(hub.epoch_of("crew").1, ["alice", "bob"]);
    let offered = hub.epochs_offered;
    hub.roll_back_epoch(&older, &crew());
    hub.run();
    assert_eq!(alarms(&hub, ALICE, Alarm::RolledBack).len(), 1);
    assert_eq!(hub.epoch_of("crew").1, ["alice", "bob"], "without a word");
    assert_eq!(hub.epochs_offered, offered + 1, "one key");
}

/// Goal: the same where the answer to the removal is lost, and no key ever stands. Before: nothing was a mark.
/// Method: alice learns by the chain that her link was taken; the hub then answers the link said again.
#[test]
fn r33_a_removal_without_an_answer_is_said_again_for_its_place() {
    let mut hub = met();
    hide_removal(&mut hub);
    hub.faults.hold_keys = true;
    hub.faults.loses_link_answers = true;
    hub.act(ALICE, "crew", ban());
    hub.faults.loses_link_answers = false;
    cut(&mut hub, ALICE);
    hub.say_in(BOB, "crew", "oliver reads this");
    assert_eq!(alarms(&hub, ALICE, Alarm::SealsForRemoved), [name("bob")]);
    let told = |event: &Event| {
        matches!(event, Event::MemberChanged { id: Some(_), change: MemberChange::Banned, .. })
    };
    assert_eq!(hub.count(ALICE, told), 1, "told once, as done");
}

/// Goal: the key that a removal makes due is made on the next connection, and in the next process. Before: it
/// waited until its maker had something to say. Method: the hub answers no key; then it does.
#[test]
fn r02_the_key_that_is_due_survives_connections_and_processes() {
    for restarts in [false, true] {
        for takes_key in [false, true] {
            let mut hub = met();
            hub.faults.hold_keys = !takes_key;
            hub.faults.loses_key_answers = takes_key;
            hub.act(ALICE, "crew", ban());
            hub.faults.hold_keys = false;
            hub.faults.loses_key_answers = false;
            let offered = hub.epochs_offered;
            if restarts {
                hub.restart(ALICE);
            } else {
                hub.disconnect(ALICE);
                hub.connect(ALICE);
            }
            hub.run();
            assert_eq!(hub.epoch_of("crew").1, ["alice", "bob"], "{restarts} {takes_key}");
            assert_eq!(
                hub.epochs_offered,
                offered + 1,
                "the same key, once: {restarts} {takes_key}"
            );
            assert_eq!(rows(&hub, ALICE, "making"), 0, "{restarts} {takes_key}");
            let offered = hub.epochs_offered;
            cut(&mut hub, ALICE);
            assert_eq!(hub.epochs_offered, offered, "no other one is due");
        }
    }
}

/// What becomes of bob's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Lost with the connection.
    Lost,
    /// A refusal that shows it as the current one, for a while.
    Refusal,
    /// None; but the key is delivered to bob, too.
    Delivery,
}

/// Goal: an epoch of one's own that is used is a mark in the log, whatever answer brought it into use. Before: what
/// oliver says behind it was shown with the mark that it was said before. Method: bob's key counts the removal, and is
/// the only one that he has; the hub hides the removal from oliver and takes what he says.
#[test]
fn r33_an_epoch_of_ones_own_is_a_mark_whatever_answer_it_gets() {
    for answer in [Answer::Lost, Answer::Refusal, Answer::Delivery] {
        let mut hub = met();
        hub.faults.hides = vec![(OLIVER, crew(), 3)];
        hub.faults.hold_keys = true;
        hub.act(ALICE, "crew", ban());
        hub.disconnect(ALICE);
        hub.faults.hold_keys = false;
        hub.faults.loses_key_answers = answer != Answer::Refusal;
        hub.faults.refuses_and_keeps = answer == Answer::Refusal;
        let offered = hub.epochs_offered;
        hub.say_in(BOB, "crew", "among two");
        assert!(hub.epochs_offered < offered + 100, "{answer:?}: no storm");
        hub.faults.refuses_and_keeps = false;
        hub.faults.loses_key_answers = answer == Answer::Delivery;
        if answer == Answer::Delivery {
            hub.give_keys_back();
        }
        cut(&mut hub, BOB);
        assert_eq!(rows(&hub, BOB, "making"), 0, "{answer:?}");
        assert_eq!(hub.epoch_of("crew").1, ["alice", "bob"], "{answer:?}");
        hub.faults.takes_anything = true;
        hub.say_in(OLIVER, "crew", "I am back");
        let texts = hub.texts(BOB);
        assert!(!texts.iter().any(|text| text.contains("I am back")), "{answer:?}: {texts:?}");
        assert_eq!(alarms(&hub, BOB, Alarm::NotAMember), [name("oliver")], "{answer:?}");
    }
}

/// Goal: a hub that cuts the connection at each key fills no disk. Before: one epoch with all its chains was kept for
/// each, for ever. Method: alice has something to say, and the hub answers no key.
#[test]
fn keys_that_are_cut_off_again_and_again_are_one() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.faults.hold_keys = true;
    let now = hub.now;
    hub.peers[ALICE].endpoint.say(now, &lobby(), "hello").unwrap();
    hub.run();
    let (epochs, chains) = (rows(&hub, ALICE, "epoch"), rows(&hub, ALICE, "chain"));
    for round in 0..20 {
        if round % 5 == 4 {
            hub.restarts(ALICE);
        } else {
            cut(&mut hub, ALICE);
        }
    }
    assert_eq!((rows(&hub, ALICE, "epoch"), rows(&hub, ALICE, "chain")), (epochs, chains));
    assert_eq!(rows(&hub, ALICE, "making"), 1);
    hub.faults.hold_keys = false;
    cut(&mut hub, ALICE);
    assert_eq!(hub.texts(BOB), ["alice: hello"]);
    assert_eq!(rows(&hub, ALICE, "making"), 0);
}

/// Goal: a hub that loses a key whose answer was lost at first raises the alarm at its maker, too. Before: that key
/// had no place, and counted as never seen. Method: bob's key is answered on his second connection only; then the hub
/// is put back to before it.
#[test]
fn r36_a_key_that_was_answered_late_is_missed_when_it_is_lost() {
    let mut hub = met();
    let older = hub.snapshot();
    hub.faults.loses_key_answers = true;
    hub.now += 25 * 3600 * 1000;
    hub.say_in(BOB, "crew", "the next day");
    hub.faults.loses_key_answers = false;
    cut(&mut hub, BOB);
    assert_eq!(alarms(&hub, BOB, Alarm::RolledBack), []);
    hub.roll_back_epoch(&older, &crew());
    hub.run();
    assert_eq!(alarms(&hub, BOB, Alarm::RolledBack), [UserName::server()]);
}
