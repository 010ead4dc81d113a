//! Whose keys are whose: what a hub claims leaves nothing behind, and what a person decides counts
//! (rules R24, R37). Each lie is followed by an honest hub.

use chat_endpoint::{Alarm, CommandEnd, CommandOptions, Event, RoomAction, Standing, TrustError};
use chat_protocol::code;
use chat_protocol::fingerprint::ordered;
use chat_protocol::id::{KeyId, MessageId, Nonce16};
use chat_protocol::keys::{BundleOptions, DeviceKeys};
use chat_protocol::name::ConversationId;
use chat_testkit::keys::second_device;

use crate::hub::{TestHub, lobby, name};

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

fn alarms(hub: &TestHub, index: usize, wanted: Alarm) -> usize {
    hub.count(index, |event| matches!(event, Event::Alarm { kind, .. } if *kind == wanted))
}

/// The hub says that somebody has other keys, and the device looks.
fn look(hub: &mut TestHub, index: usize, other: &str) {
    let me = hub.peers[index].endpoint.device().user.clone();
    let cid = ConversationId::direct(&me, &name(other)).unwrap();
    hub.peers[index].endpoint.refresh(&cid);
    hub.run();
}

fn tell(hub: &mut TestHub, from: usize, to: &str, text: &str) -> MessageId {
    let now = hub.now;
    let id = hub.peers[from].endpoint.tell_user(now, &name(to), text).unwrap();
    hub.run();
    id
}

fn ask(hub: &mut TestHub, from: usize, to: &str) -> MessageId {
    let (now, options) = (hub.now, CommandOptions::default());
    let argv = vec!["date".to_owned()];
    let id = hub.peers[from].endpoint.run(now, &name(to), argv, options).unwrap();
    hub.run();
    id
}

fn refusal(hub: &TestHub, index: usize, id: MessageId) -> Option<String> {
    hub.peers[index].events.iter().find_map(|event| match event {
        Event::Refused { id: of, code, reason, .. } if *of == id => {
            Some(format!("{code}: {reason}"))
        }
        _ => None,
    })
}

fn commands(hub: &TestHub, index: usize) -> usize {
    hub.count(index, |event| matches!(event, Event::Command { .. }))
}

fn other_of(hub: &TestHub, index: usize, who: &str) -> KeyId {
    let known = hub.peers[index].endpoint.introduction(&name(who)).unwrap();
    known.other.unwrap().key
}

fn standing(hub: &TestHub, index: usize, who: &str) -> Standing {
    hub.peers[index].endpoint.standing(&name(who))
}

#[test]
fn r37_a_bundle_of_carol_under_another_name_is_an_alarm_and_leaves_nothing() {
    let mut hub = TestHub::with(&["alice", "mbob", "carol"]);
    tell(&mut hub, ALICE, "mbob", "first");
    let honest = hub.offered("mbob");
    hub.also_called("carol", "mbob");
    look(&mut hub, ALICE, "mbob");
    assert!(alarms(&hub, ALICE, Alarm::BadSignature) > 0);
    assert_eq!(alarms(&hub, ALICE, Alarm::KeyChanged), 0, "carol has said nothing about mbob");
    hub.offer("mbob", honest);
    look(&mut hub, ALICE, "mbob");
    assert_eq!(standing(&hub, ALICE, "mbob"), Standing::Known);
    tell(&mut hub, ALICE, "mbob", "second");
    ask(&mut hub, ALICE, "mbob");
    assert_eq!(hub.texts(BOB), ["alice: first", "alice: second"]);
    assert_eq!(commands(&hub, BOB), 1);
}

#[test]
fn r37_a_page_that_brings_nobody_ends_the_asking() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.add("carol");
    hub.faults.people_in_page = Some(0);
    hub.run();
    let id = tell(&mut hub, ALICE, "carol", "first");
    assert!(refusal(&hub, ALICE, id).is_some());
    hub.faults.people_in_page = None;
    tell(&mut hub, ALICE, "carol", "second");
    assert_eq!(hub.texts(2), ["alice: second"]);
}

#[test]
fn r37_who_did_not_fit_in_a_page_is_asked_for_again() {
    let mut hub = TestHub::new();
    hub.faults.people_in_page = Some(1);
    for text in ["alice", "bob", "carol", "dave"] {
        hub.add(text);
    }
    hub.run();
    let now = hub.now;
    hub.peers[ALICE].endpoint.say(now, &lobby(), "to all").unwrap();
    hub.run();
    // Renewed keys of people who are known are asked for in the same way.
    for index in 1..4 {
        hub.renew(index);
    }
    hub.run();
    let now = hub.now;
    hub.peers[ALICE].endpoint.say(now, &lobby(), "again").unwrap();
    hub.run();
    for index in 1..4 {
        assert_eq!(hub.texts(index), ["alice: to all", "alice: again"], "device {index}");
    }
}

#[test]
fn r37_while_another_key_is_offered_talk_goes_on_under_a_mark_and_commands_stop() {
    let mut hub = TestHub::with(&["alice", "mbob"]);
    tell(&mut hub, ALICE, "mbob", "first");
    hub.swap_identity("mbob");
    look(&mut hub, ALICE, "mbob");
    assert_eq!(alarms(&hub, ALICE, Alarm::KeyChanged), 1);
    tell(&mut hub, ALICE, "mbob", "second");
    assert_eq!(hub.texts(BOB), ["alice: first", "alice: second"], "for the pinned key");
    tell(&mut hub, BOB, "alice", "hello");
    let marked = |event: &Event| matches!(event, Event::Message { peer: Standing::Changed, text, .. } if text == "hello");
    assert_eq!(hub.count(ALICE, marked), 1);
    let id = ask(&mut hub, ALICE, "mbob");
    let refused = refusal(&hub, ALICE, id).unwrap();
    assert!(refused.starts_with(code::UNTRUSTED) && refused.contains("mbob"), "{refused}");

    // The person refuses the other key: nothing is left of it, whatever the hub goes on to say.
    let other = other_of(&hub, ALICE, "mbob");
    hub.peers[ALICE].endpoint.distrust(&name("mbob"), other).unwrap();
    look(&mut hub, ALICE, "mbob");
    assert_eq!(alarms(&hub, ALICE, Alarm::KeyChanged), 1);
    assert_eq!(standing(&hub, ALICE, "mbob"), Standing::Known);
    ask(&mut hub, ALICE, "mbob");
    assert_eq!(commands(&hub, BOB), 1);
}

#[test]
fn r37_nothing_is_sealed_for_a_key_that_nobody_has_trusted() {
    let mut hub = TestHub::with(&["alice", "mbob"]);
    tell(&mut hub, ALICE, "mbob", "first");
    let honest = hub.offered("mbob");
    hub.replace_people("mbob");
    look(&mut hub, ALICE, "mbob");
    let id = tell(&mut hub, ALICE, "mbob", "secret");
    let refused = refusal(&hub, ALICE, id).unwrap();
    assert!(refused.starts_with(code::UNTRUSTED) && refused.contains("mbob"), "{refused}");
    hub.offer("mbob", honest);
    tell(&mut hub, ALICE, "mbob", "second");
    assert_eq!(hub.texts(BOB), ["alice: first", "alice: second"]);
    assert_eq!(standing(&hub, ALICE, "mbob"), Standing::Changed, "until somebody decides");
}

/// Goal: what is written to somebody whose only offered key was refused says so, and does not wait for
/// a later decision.
#[test]
fn r37_nothing_is_kept_for_a_key_that_was_refused() {
    let mut hub = TestHub::with(&["alice", "mbob"]);
    tell(&mut hub, ALICE, "mbob", "first");
    hub.replace_people("mbob");
    look(&mut hub, ALICE, "mbob");
    let other = other_of(&hub, ALICE, "mbob");
    hub.peers[ALICE].endpoint.distrust(&name("mbob"), other).unwrap();
    hub.run();
    look(&mut hub, ALICE, "mbob");
    let id = tell(&mut hub, ALICE, "mbob", "secret");
    let refused = refusal(&hub, ALICE, id).unwrap();
    assert!(refused.contains("you refuse") && refused.contains("mbob"), "{refused}");
    assert_eq!(hub.peers[ALICE].endpoint.unanswered(), 0);
    hub.peers[ALICE].endpoint.trust(&name("mbob"), other).unwrap();
    let id = tell(&mut hub, ALICE, "mbob", "after the decision");
    assert_eq!(refusal(&hub, ALICE, id), None);
}

#[test]
fn r37_who_is_trusted_anew_is_pinned_not_verified_and_admitted_anew() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tell(&mut hub, ALICE, "bob", "first");
    let now = hub.now;
    hub.peers[ALICE].endpoint.say(now, &lobby(), "to the old key").unwrap();
    hub.run();
    let old = hub.peers[ALICE].endpoint.introduction(&name("bob")).unwrap();
    hub.peers[ALICE].endpoint.mark_verified(&name("bob"), old.pinned.key).unwrap();
    assert_eq!(standing(&hub, ALICE, "bob"), Standing::Verified);
    hub.replace_people("bob");
    look(&mut hub, ALICE, "bob");
    assert_eq!(hub.peers[ALICE].endpoint.undecided(), [name("bob")]);
    let other = other_of(&hub, ALICE, "bob");
    let trust = |hub: &mut TestHub, key| hub.peers[ALICE].endpoint.trust(&name("bob"), key);
    assert_eq!(trust(&mut hub, old.pinned.key), Err(TrustError::Outdated));
    trust(&mut hub, other).unwrap();
    hub.run();
    assert_eq!(standing(&hub, ALICE, "bob"), Standing::Known);
    assert_eq!(trust(&mut hub, other), Err(TrustError::NothingNew));
    hub.restarts(ALICE);
    let now = hub.now;
    let known = hub.peers[ALICE].endpoint.introduction(&name("bob")).unwrap();
    assert_eq!((known.pinned.key, known.other), (other, None));
    tell(&mut hub, ALICE, "bob", "to the new key");
    hub.peers[ALICE].endpoint.say(now, &lobby(), "to whom the room has admitted").unwrap();
    hub.run();
    let (_, list) = hub.newest_epoch();
    assert!(list.lines().iter().all(|line| line.name != name("bob")), "the room names the old key");
}

/// Goal: a chain in which somebody stands with the key that they had before is read, and they are admitted
/// anew. Before: its links were those of an unknown key, and nobody could come into such a room.
/// Method: bob is in carol's room, and is trusted with another key before alice has seen that room.
#[test]
fn r37_chains_with_the_former_key_of_somebody_are_read() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    tell(&mut hub, ALICE, "bob", "first");
    hub.act(CAROL, "den", RoomAction::Create { private: false });
    hub.act(BOB, "den", RoomAction::Join { create: false });
    hub.act(CAROL, "den", RoomAction::Role { who: name("bob"), admin: true });
    hub.disconnect(BOB);
    hub.replace_people("bob");
    look(&mut hub, ALICE, "bob");
    let other = other_of(&hub, ALICE, "bob");
    hub.peers[ALICE].endpoint.trust(&name("bob"), other).unwrap();
    hub.run();
    hub.restarts(ALICE);
    let join = hub.act(ALICE, "den", RoomAction::Join { create: false });
    assert_eq!(hub.answer_to(ALICE, join), "joined");
    assert_eq!(hub.roster(ALICE, "den"), ["alice", "bob", "carol"]);
    hub.say_in(ALICE, "den", "to carol");
    assert!(hub.texts(CAROL).contains(&"alice: to carol".to_owned()));
    assert_eq!(hub.epoch_of("den").1, ["alice", "carol"], "bob has to be admitted anew");
    assert_eq!(alarms(&hub, ALICE, Alarm::BadChain), 0);
}

#[test]
fn a_refused_key_can_be_trusted_later() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tell(&mut hub, ALICE, "bob", "first");
    hub.swap_identity("bob");
    look(&mut hub, ALICE, "bob");
    let other = other_of(&hub, ALICE, "bob");
    hub.peers[ALICE].endpoint.distrust(&name("bob"), other).unwrap();
    assert_eq!(other_of(&hub, ALICE, "bob"), other, "its words can still be shown");
    hub.peers[ALICE].endpoint.trust(&name("bob"), other).unwrap();
    let known = hub.peers[ALICE].endpoint.introduction(&name("bob")).unwrap();
    assert_eq!(known.pinned.key, other);
}

#[test]
fn r24_both_people_compare_the_same_words() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tell(&mut hub, ALICE, "bob", "first");
    let by_alice = hub.peers[ALICE].endpoint.introduction(&name("bob")).unwrap();
    let by_bob = hub.peers[BOB].endpoint.introduction(&name("alice")).unwrap();
    let words = |known: chat_endpoint::Introduction| ordered(known.own.words, known.pinned.words);
    assert_eq!(words(by_alice), words(by_bob));
    assert_eq!(by_alice.pinned.words, by_bob.own.words);
    let mark = |hub: &mut TestHub, key| hub.peers[ALICE].endpoint.mark_verified(&name("bob"), key);
    assert_eq!(mark(&mut hub, by_alice.own.key), Err(TrustError::Outdated));
    mark(&mut hub, by_alice.pinned.key).unwrap();
    tell(&mut hub, BOB, "alice", "hello");
    let marked = |event: &Event| matches!(event, Event::Message { peer: Standing::Verified, .. });
    assert_eq!(hub.count(ALICE, marked), 1);
}

#[test]
fn a_new_device_is_told_to_its_user_and_to_whom_the_user_talks_to() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    tell(&mut hub, BOB, "alice", "hello");
    hub.add_sibling(ALICE, None);
    hub.run();
    let new = |event: &Event| matches!(event, Event::NewDevice { user, number: 2, words } if *user == name("alice") && words.split(' ').count() == 6);
    assert_eq!([0, 1, 2, 3].map(|index| hub.count(index, new)), [1, 1, 0, 0]);
    let now = hub.now;
    let devices = hub.peers[BOB].endpoint.known_devices(now, &name("alice"));
    assert_eq!(devices.len(), 2);
}

/// Goal: the number of a device means that device for good, so that nobody revokes another one than they were shown. Before:
/// devices were counted by the times in their bundles. Method: alice's home first hears of its account when a copy of it has
/// gone on; it starts again, and its own earlier bundle is there by then; then there is a device which is the oldest by its
/// own clock.
#[test]
fn the_number_of_a_device_stays_whatever_comes() {
    let mut hub = TestHub::new();
    hub.add("alice");
    let device = hub.peers[ALICE].endpoint.device().clone();
    let publish = |keys: &DeviceKeys, dev, before, at| {
        keys.publish(&device.user, dev, before, at, BundleOptions::default()).unwrap()
    };
    let later = publish(&device.keys, device.dev, Some(&*device.bundle), hub.now + 10);
    hub.offer("alice", vec![later]);
    hub.joins_sibling(ALICE, None);
    let listed = |hub: &TestHub| {
        let listed = hub.peers[ALICE].endpoint.known_devices(hub.now, &name("alice")).into_iter();
        listed.map(|device| device.sk).collect::<Vec<_>>()
    };
    let before = listed(&hub);
    assert_eq!(before.len(), 2);
    hub.restarts(ALICE);
    assert_eq!(listed(&hub), before);

    let mut offered = hub.offered("alice");
    offered.push(publish(&second_device(ALICE, 7), Nonce16([77; 16]), None, hub.now - 60_000));
    hub.offer("alice", offered);
    hub.tell_of_keys("alice");
    hub.run();
    let after = listed(&hub);
    assert_eq!((after.len(), &after[..2]), (3, &before[..]));
}

#[test]
fn an_agent_refuses_a_revoked_device_at_once() {
    let mut hub = TestHub::with(&["alice", "mbob"]);
    let laptop = hub.joins_sibling(ALICE, None);
    ask(&mut hub, laptop, "mbob");
    assert_eq!(commands(&hub, BOB), 1);
    let lost = hub.peers[laptop].endpoint.device().keys.signing_id();
    hub.disconnect(ALICE);
    hub.revoke(ALICE, lost);
    hub.connect(ALICE);
    hub.tell_of_keys("alice");
    hub.run();
    ask(&mut hub, laptop, "mbob");
    assert_eq!(commands(&hub, BOB), 1, "by a revoked key");
    assert_eq!(hub.peers[BOB].endpoint.revocations(), []);
    assert_eq!(hub.peers[ALICE].endpoint.revocations(), [lost]);
    ask(&mut hub, ALICE, "mbob");
    assert_eq!(commands(&hub, BOB), 2);
}

/// Alice's laptop, which the machine knows, is revoked by her other device; the laptop is not told.
fn revoke_laptop(hub: &mut TestHub, laptop: usize) {
    let lost = hub.peers[laptop].endpoint.device().keys.signing_id();
    hub.disconnect(ALICE);
    hub.revoke(ALICE, lost);
    hub.connect(ALICE);
}

/// A hub with a machine that has obeyed alice's laptop.
fn with_laptop() -> (TestHub, usize) {
    let mut hub = TestHub::with(&["alice", "mbob"]);
    let laptop = hub.joins_sibling(ALICE, None);
    ask(&mut hub, laptop, "mbob");
    assert_eq!(commands(&hub, BOB), 1);
    (hub, laptop)
}

/// Goal: a command that waited for an agent is not started for a device that was revoked meanwhile.
/// Method: the agent is away when the laptop asks and when it is revoked; it comes back.
#[test]
fn an_agent_that_was_away_refuses_a_device_that_was_revoked_meanwhile() {
    let (mut hub, laptop) = with_laptop();
    hub.disconnect(BOB);
    ask(&mut hub, laptop, "mbob");
    revoke_laptop(&mut hub, laptop);
    hub.comes(BOB);
    assert_eq!(commands(&hub, BOB), 1, "by a revoked key");
    let refused = |event: &Event| matches!(event, Event::Delivered { readable: false, .. });
    assert_eq!(hub.count(laptop, refused), 1);
    ask(&mut hub, ALICE, "mbob");
    assert_eq!(commands(&hub, BOB), 2);
}

/// Goal: the same for a command that comes between the word that there are new keys and the keys.
#[test]
fn an_agent_waits_for_keys_that_it_was_told_of() {
    let (mut hub, laptop) = with_laptop();
    revoke_laptop(&mut hub, laptop);
    hub.faults.hold_bundles = true;
    hub.tell_one_of_keys(BOB, "alice");
    while hub.turn() {}
    let (now, options) = (hub.now, CommandOptions::default());
    let argv = vec!["date".to_owned()];
    hub.peers[laptop].endpoint.run(now, &name("mbob"), argv, options).unwrap();
    while hub.turn() {}
    assert_eq!(commands(&hub, BOB), 1, "the answer has not come");
    hub.release_bundles();
    hub.run();
    assert_eq!(commands(&hub, BOB), 1, "by a revoked key");
}

/// Goal: an agent that gets no answer starts nothing, and what has waited too long is expired.
#[test]
fn an_agent_without_an_answer_about_the_requester_starts_nothing() {
    let (mut hub, _) = with_laptop();
    hub.disconnect(BOB);
    let id = ask(&mut hub, ALICE, "mbob");
    hub.faults.hold_bundles = true;
    hub.connect(BOB);
    while hub.turn() {}
    assert_eq!(commands(&hub, BOB), 1);
    hub.now += 61_000;
    hub.release_bundles();
    hub.run();
    assert_eq!(commands(&hub, BOB), 1);
    let expired = |event: &Event| matches!(event, Event::Ended { re, code, .. } if *re == id && code == code::EXPIRED);
    assert_eq!(hub.count(ALICE, expired), 1);
}

/// Goal: the answer to a command of one's own revoked device is no alarm on the one that is left.
#[test]
fn an_answer_to_a_revoked_device_is_no_alarm_on_the_others() {
    let (mut hub, laptop) = with_laptop();
    let command = hub.peers[BOB].events.iter().find_map(|event| match event {
        Event::Command { id, digest, .. } => Some((*id, *digest)),
        _ => None,
    });
    let (re, of) = command.unwrap();
    revoke_laptop(&mut hub, laptop);
    hub.tell_of_keys("alice");
    hub.run();
    let (now, code, reason) = (hub.now, String::new(), String::new());
    let end = CommandEnd { re, of, status: Some(0), code, reason };
    hub.peers[BOB].endpoint.report_outcome(now, &name("alice"), end);
    hub.run();
    assert_eq!(alarms(&hub, ALICE, Alarm::Replay), 0);
}
