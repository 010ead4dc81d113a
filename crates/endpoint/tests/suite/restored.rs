//! A hub that was restored from a backup has forgotten devices too (rule R36).

use std::sync::Arc;

use chat_endpoint::limits::AGENT_EPOCHS_MAX;
use chat_endpoint::{Alarm, Endpoint, Event, RoomAction, SystemRandom};
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Header;
use chat_protocol::hub::HubToClient;
use chat_protocol::name::ConversationId;

use crate::hub::{Fate, TestHub, lobby, name};
use crate::rules::{alarms, say};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// All talk again by then.
const AGAIN_MS: u64 = 10_000;

fn tell(hub: &mut TestHub, text: &str) {
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), text).expect("a text that can be said");
}

/// The same, and all come to rest.
fn tells(hub: &mut TestHub, text: &str) {
    tell(hub, text);
    hub.run();
}

/// Goal: a hub that forgets devices is told of them, also by two people who share no room with news,
/// and they talk within 10 s without another word than the alarm.
/// Method: it goes back behind an epoch and bob's newest key, and refuses every new epoch until it is told
/// of a bundle.
#[test]
fn a_hub_that_forgets_devices_is_told_of_them() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tells(&mut hub, "before");
    let (older, known) = (hub.snapshot(), hub.offered("bob"));
    hub.renew(1);
    hub.now += DAY_MS;
    tells(&mut hub, "in the next epoch");
    hub.offer("bob", known);
    hub.faults.refuses_devices = Some(0);
    hub.faults.learns_devices = true;
    hub.roll_back(&older);
    tell(&mut hub, "after the restore");
    let end = hub.now + AGAIN_MS;
    while hub.step(end) {}
    let texts = hub.texts(1);
    assert!(texts.contains(&"alice: after the restore".to_owned()), "{texts:?}");
    let is_other_word = |event: &Event| match event {
        Event::Alarm { kind, .. } => *kind != Alarm::RolledBack,
        Event::Complaint { .. } => true,
        _ => false,
    };
    for index in [0, 1] {
        assert_eq!(hub.count(index, is_other_word), 0, "{index}");
    }
}

/// Goal: what a hub could not take of a reminder, it is told again. (The build before took the word that it is too
/// early for an end, and every key that needed those devices was refused until somebody connected anew.)
#[test]
fn a_reminder_that_is_put_off_is_said_again() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tells(&mut hub, "before");
    let (older, known) = (hub.snapshot(), hub.offered("bob"));
    hub.renew(1);
    hub.now += DAY_MS;
    tells(&mut hub, "in the next epoch");
    hub.offer("bob", known);
    hub.faults.refuses_devices = Some(0);
    hub.faults.learns_devices = true;
    hub.faults.puts_off_reminders = 2;
    hub.roll_back(&older);
    // Bob is away: nobody else can tell of his newest key.
    hub.disconnect(1);
    tell(&mut hub, "after the restore");
    let end = hub.now + 3 * AGAIN_MS;
    while hub.step(end) {}
    assert_eq!((hub.faults.puts_off_reminders, hub.faults.refuses_devices), (0, None));
    hub.comes(1);
    let texts = hub.texts(1);
    assert!(texts.contains(&"alice: after the restore".to_owned()), "{texts:?}");
}

/// Goal: a hub that went back is one alarm for each device, also where a new key follows at once. Before: only
/// what it still showed two seconds later was one.
/// Method: it goes back behind an epoch, and alice makes another one in the place of that.
#[test]
fn going_back_is_an_alarm_however_soon_it_goes_on() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tells(&mut hub, "before");
    let older = hub.snapshot();
    hub.now += DAY_MS;
    tells(&mut hub, "in the next epoch");
    hub.roll_back(&older);
    tells(&mut hub, "at once");
    assert!(hub.texts(1).contains(&"alice: at once".to_owned()), "{:?}", hub.texts(1));
    let is_told = |event: &Event| matches!(event, Event::Alarm { kind: Alarm::RolledBack, .. });
    let is_alarm = |event: &Event| matches!(event, Event::Alarm { .. });
    for index in [0, 1] {
        assert_eq!((hub.count(index, is_told), hub.count(index, is_alarm)), (1, 1), "{index}");
    }
}

/// Alarms of the first two devices, of which all must be `rolled_back`; how many each has.
fn went_back(hub: &TestHub) -> [usize; 2] {
    [0, 1].map(|index| {
        let alarms = alarms(hub, index);
        assert!(alarms.iter().all(|kind| *kind == Alarm::RolledBack), "{index}: {alarms:?}");
        alarms.len()
    })
}

/// Goal: a hub that has lost direct messages alone, and no epoch and no link, is one alarm for each device
/// and each time, also where the same backup is put back again; reconnecting and restarting is none. Before:
/// nobody was told.
#[test]
fn a_hub_that_lost_direct_messages_alone_is_an_alarm_each_time() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tells(&mut hub, "before the backup");
    let older = hub.snapshot();
    for times in 1..=3 {
        // Two alarms within a minute are told together.
        hub.now += 2 * 60_000;
        tells(&mut hub, &format!("lost {times}"));
        assert_eq!(went_back(&hub), [times - 1; 2], "an honest hub");
        hub.rolls_back(&older);
        assert_eq!(went_back(&hub), [times; 2]);
        for index in [0, 1] {
            hub.disconnect(index);
            hub.comes(index);
            hub.restarts(index);
        }
        assert_eq!(went_back(&hub), [times; 2], "told once");
        tells(&mut hub, &format!("after {times}"));
        assert!(hub.texts(1).contains(&format!("alice: after {times}")), "{:?}", hub.texts(1));
    }
    let texts = hub.texts(1);
    assert_eq!(texts.len(), 7, "each once: {texts:?}");
}

/// Goal: a restore is one alarm, also where a lower position tells of it first, and a room's key comes from
/// before it while a link of that room is lost. Before: such a device was told twice.
/// Method: bob gets the key of a room only from the hub that was put back.
#[test]
fn a_lost_link_beside_a_key_that_stands_is_the_same_alarm() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tell(&mut hub, "so that they have a key of their own");
    hub.act(0, "crew", RoomAction::Create { private: true });
    hub.act(0, "crew", RoomAction::Admit(name("bob")));
    hub.disconnect(1);
    hub.say_in(0, "crew", "before the backup");
    let older = hub.snapshot();
    hub.act(0, "crew", RoomAction::Role { who: name("bob"), admin: true });
    let is_of_the_room = |frame: &[u8]| frame.windows(9).any(|part| part == b"room:crew");
    hub.rule =
        Some(Box::new(
            move |index, frame| {
                if index == 1 && is_of_the_room(frame) { Fate::Lost } else { Fate::Good }
            },
        ));
    hub.connect(1);
    tell(&mut hub, "lost");
    tells(&mut hub, "lost too");
    hub.rule = None;
    hub.put_back(&older);
    hub.redeliver(1);
    hub.comes(1);
    assert_eq!(went_back(&hub), [0, 1]);
}

/// Goal: a hub that goes back behind a key which it has carried messages with since the last alarm is
/// another one. Before: after an alarm about a position only a newer key was.
#[test]
fn a_key_that_was_used_since_an_alarm_is_lost_anew() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tells(&mut hub, "before the first backup");
    let first = hub.snapshot();
    hub.now += DAY_MS;
    tells(&mut hub, "in the next epoch");
    let second = hub.snapshot();
    tells(&mut hub, "lost");
    hub.rolls_back(&second);
    assert_eq!(went_back(&hub), [1, 1]);
    tells(&mut hub, "with the key that stands");
    hub.now += 2 * 60_000;
    let talk = ConversationId::direct(&name("alice"), &name("bob")).expect("two people");
    hub.roll_back_epoch(&first, &talk);
    tells(&mut hub, "after all");
    assert_eq!(went_back(&hub), [2, 2]);
    assert!(hub.texts(1).contains(&"alice: after all".to_owned()), "{:?}", hub.texts(1));
}

/// Goal: the same for a device whose process begins after the restore; another process of its home, which was
/// there before and comes back later, is not told again.
#[test]
fn a_home_is_told_once_by_whichever_process_comes_first() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tells(&mut hub, "before the backup");
    let older = hub.snapshot();
    tells(&mut hub, "lost");
    hub.put_back(&older);
    let device = hub.peers[1].endpoint.device().clone();
    let rows = hub.peers[1].store.rows();
    let new = Endpoint::new(device, &rows, Arc::default(), Box::new(SystemRandom)).expect("rows");
    let mut old = std::mem::replace(&mut hub.peers[1].endpoint, new);
    hub.comes(1);
    assert_eq!(went_back(&hub), [0, 1]);
    hub.disconnect(1);
    old.reload(&hub.peers[1].store.rows()).expect("rows");
    hub.peers[1].endpoint = old;
    hub.connect(1);
    hub.comes(0);
    assert_eq!(went_back(&hub), [1, 1]);
}

/// Goal: another process of the home that hears of a newer position while this one signs in makes no alarm.
#[test]
fn what_another_process_hears_during_a_sign_in_is_no_alarm() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tells(&mut hub, "before");
    let older = hub.snapshot();
    let newest = u64::try_from(hub.positions()).expect("a small number");
    tells(&mut hub, "while bob's other process signs in");
    // The answer is from before that, the rows are from after it.
    hub.put_back(&older);
    hub.reopen(1);
    hub.peers[1].endpoint.knew(newest);
    hub.comes(1);
    assert_eq!(went_back(&hub), [0, 0]);
}

/// Goal: a device that was revoked after the backup gains nothing by the restore at anybody who knows of the
/// revocation, also after a restart of theirs; and they tell the hub of it while its owner is away.
/// Method: the hub forgets the bundle by which alice has revoked her laptop, and the laptop writes to bob.
#[test]
fn who_knows_of_a_revocation_refuses_and_tells_the_hub_of_it() {
    for restarts in [false, true] {
        let mut hub = TestHub::with(&["alice", "bob"]);
        let laptop = hub.joins_sibling(0, None);
        let say = |hub: &mut TestHub, text: &str| {
            let now = hub.now;
            hub.peers[laptop].endpoint.tell_user(now, &name("bob"), text).expect("said");
            hub.run();
        };
        say(&mut hub, "while it was hers");
        let (older, known) = (hub.snapshot(), hub.offered("alice"));
        let lost = hub.peers[laptop].endpoint.device().keys.signing_id();
        hub.disconnect(0);
        hub.revoke(0, lost);
        hub.connect(0);
        hub.tell_of_keys("alice");
        hub.run();
        let all = hub.offered("alice");
        hub.put_back(&older);
        hub.offer("alice", known);
        if restarts {
            hub.reopen(1);
        }
        hub.connect(1);
        hub.comes(laptop);
        hub.now += DAY_MS;
        say(&mut hub, "by whoever has it now");
        assert_eq!(hub.texts(1), ["alice: while it was hers"], "restarted: {restarts}");
        assert_eq!(hub.offered("alice").len(), all.len(), "the hub has the revocation again");
    }
}

/// Whom the newest epoch of the lobby is for.
fn sealed_for(hub: &TestHub) -> Vec<String> {
    let (_, list) = hub.newest_epoch();
    list.lines().iter().map(|line| line.name.to_string()).collect()
}

/// Goal: a hub that lacks a newer bundle is told of it, also where nothing else shows that it went back; an
/// honest one is told nothing. Before: nobody told it, and refused epochs came one after the other.
/// Method: bob has another encryption key; the hub forgets that, and is asked for his keys.
#[test]
fn a_hub_that_lacks_a_bundle_is_told_of_it() {
    for forgets in [false, true] {
        let mut hub = TestHub::with(&["alice", "bob"]);
        tells(&mut hub, "before");
        hub.renew(1);
        hub.run();
        tells(&mut hub, "with the new key");
        let known = hub.offered("bob");
        if forgets {
            hub.offer("bob", known[..1].to_vec());
        }
        hub.disconnect(0);
        hub.connect(0);
        tells(&mut hub, "after");
        assert_eq!(hub.reminders, usize::from(forgets));
        assert_eq!(hub.offered("bob").len(), known.len(), "it has all of them again");
        assert!(hub.texts(1).contains(&"alice: after".to_owned()));
        assert_eq!((alarms(&hub, 0), alarms(&hub, 1)), (vec![], vec![]), "{forgets}");
    }
}

/// Goal: nothing is sealed for somebody whose account the hub has lost, until they have signed up again.
/// Before: every epoch named them, and was refused.
#[test]
fn who_is_unknown_to_the_hub_is_left_out_until_they_are_back() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    say(&mut hub, 0, "to all");
    let carols = hub.offered("carol");
    hub.disconnect(2);
    hub.forget("carol");
    hub.disconnect(0);
    hub.connect(0);
    hub.peers[0].endpoint.refresh(&ConversationId::room(&lobby()));
    hub.run();
    say(&mut hub, 0, "to bob");
    assert_eq!(sealed_for(&hub), ["alice", "bob"]);
    hub.offer("carol", carols);
    hub.connect(2);
    let joined = vec![name("carol")];
    hub.tell_all(&HubToClient::Presence { joined, left: Vec::new() });
    hub.run();
    say(&mut hub, 0, "to all again");
    assert_eq!(sealed_for(&hub), ["alice", "bob", "carol"]);
    assert!(hub.texts(2).contains(&"alice: to all again".to_owned()));
}

/// Goal: whoever was put out while they were away is not told that the hub went back. Before: the hub does
/// not list that room, and was taken to have forgotten it when its answer took longer than two seconds.
#[test]
fn a_slow_answer_about_a_room_that_one_was_put_out_of_is_no_alarm() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let crew = RoomAction::Create { private: true };
    hub.act(0, "crew", crew);
    hub.act(0, "crew", RoomAction::Admit(name("bob")));
    hub.say_in(1, "crew", "hello");
    hub.disconnect(1);
    hub.act(0, "crew", RoomAction::Remove { who: name("bob"), ban: false });
    hub.faults.hold_bundles = true;
    hub.comes(1);
    hub.release_bundles();
    hub.run();
    assert_eq!(alarms(&hub, 1), []);
    assert!(!hub.roster(1, "crew").contains(&"bob".to_owned()));
}

/// Goal: what is said to a room that the hub has forgotten waits until it is told of it. Before: it was
/// refused, because the hub shows no such room.
#[test]
fn what_is_said_to_a_forgotten_room_waits() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let older = hub.snapshot();
    hub.act(0, "crew", RoomAction::Create { private: true });
    hub.act(0, "crew", RoomAction::Admit(name("bob")));
    hub.say_in(0, "crew", "before");
    hub.roll_back(&older);
    let id = hub.say_in(0, "crew", "after the restore");
    assert!(hub.answer_to(0, id).starts_with("Stored"), "{}", hub.answer_to(0, id));
    assert!(hub.texts(1).contains(&"alice: after the restore".to_owned()));
    assert_eq!(
        (alarms(&hub, 0), alarms(&hub, 1)),
        (vec![Alarm::RolledBack], vec![Alarm::RolledBack])
    );
}

/// Goal: whoever joined the lobby, and whose view never had that link, joins again when the hub has lost
/// it. Before: nothing could be said there any more.
#[test]
fn a_lost_link_into_the_lobby_is_made_anew() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let older = hub.snapshot();
    let carol = hub.joins("carol");
    hub.rolls_back(&older);
    let id = say(&mut hub, carol, "here again");
    assert!(hub.answer_to(carol, id).starts_with("Stored"), "{}", hub.answer_to(carol, id));
    assert!(hub.texts(0).contains(&"carol: here again".to_owned()));
}

/// Goal: a machine, which keeps the newest epochs only, opens what is said after a restore. Before: it took
/// those at the higher positions from before for newer ones, and forgot the new one at once.
#[test]
fn a_machine_keeps_the_epochs_that_come_after_a_restore() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    say(&mut hub, 0, "before");
    let older = hub.snapshot();
    for day in 0..AGENT_EPOCHS_MAX {
        hub.now += DAY_MS;
        say(&mut hub, 0, &format!("day {day}"));
    }
    hub.rolls_back(&older);
    say(&mut hub, 0, "after the restore");
    assert!(hub.texts(1).contains(&"alice: after the restore".to_owned()), "{:?}", hub.texts(1));
}

/// Goal: an honest hub that was restored and then refuses what it had delivered before is no liar, also after this
/// device's process has ended. Before: an alarm, because the process no longer knew where the hub had gone back.
/// Method: bob's receipt does not come; the hub goes back behind the message, and refuses it when it is sent again.
#[test]
fn a_restored_hub_that_refuses_what_it_had_delivered_is_no_liar() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tells(&mut hub, "before");
    let older = hub.snapshot();
    let is_receipt = |frame: &[u8]| {
        let frame = RawFrame::decode(frame.to_vec().into()).expect("a frame");
        matches!(Header::parse(frame.header()), Ok(Header::Receipt(_)))
    };
    hub.rule =
        Some(Box::new(
            move |index, frame| {
                if index == 0 && is_receipt(frame) { Fate::Lost } else { Fate::Good }
            },
        ));
    hub.faults.hold_answers = true;
    tells(&mut hub, "refused later");
    let receipt = hub.frames_for(0).into_iter().rfind(|frame| is_receipt(frame));
    let receipt = receipt.expect("bob has it");
    say(&mut hub, 1, "by this alice sees that the server has gone back");
    hub.rule = None;
    hub.faults.hold_answers = false;
    hub.faults.refuse = 1;
    hub.rolls_back(&older);
    assert_eq!(hub.count(0, |event| matches!(event, Event::Refused { .. })), 1);
    hub.restarts(0);
    hub.hand(0, &receipt);
    hub.run();
    let late = |event: &Event| matches!(event, Event::Delivered { refused: true, .. });
    assert_eq!(hub.count(0, late), 1, "{:?}", hub.peers[0].events);
    assert_eq!(alarms(&hub, 0), [Alarm::RolledBack]);
}

/// Goal: a hub that shows an older chain again and again is reminded once in a connection. Before: each time, every six
/// seconds, and each reminder was kept for an answer.
/// Method: alice is shown the first link of a room of two as its last, five times.
#[test]
fn who_shows_an_older_chain_again_and_again_is_reminded_once() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.act(0, "ops", RoomAction::Create { private: false });
    hub.act(1, "ops", RoomAction::Join { create: false });
    hub.disconnect(1);
    for _ in 0..5 {
        hub.show_older(0, "ops", 1);
    }
    assert_eq!(hub.reminders, 1);
    hub.connect(1);
    let id = hub.say_in(0, "ops", "all the same");
    assert!(hub.answer_to(0, id).starts_with("Stored"), "{}", hub.answer_to(0, id));
    assert_eq!(hub.texts(1), ["alice: all the same"]);
}

/// Goal: a second restore is another alarm also where a key between the one shown and the newest is not held. Before:
/// only keys were compared that lead back to the one shown.
/// Method: bob cannot open the third key of the lobby; the hub goes back in a room first, then in the lobby.
#[test]
fn a_second_restore_is_seen_over_a_key_that_is_not_held() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.act(0, "ops", RoomAction::Create { private: false });
    hub.act(1, "ops", RoomAction::Join { create: false });
    hub.say_in(0, "ops", "one");
    say(&mut hub, 0, "one");
    let older = hub.snapshot();
    for day in 2..5 {
        hub.now += DAY_MS;
        if day == 3 {
            let is_key = |frame: &[u8]| {
                let frame = RawFrame::decode(frame.to_vec().into()).expect("a frame");
                matches!(Header::parse(frame.header()), Ok(Header::Key(_)))
            };
            let mut third = None;
            hub.rule = Some(Box::new(move |index, frame| {
                let is_third = index == 1
                    && is_key(frame)
                    && third.get_or_insert_with(|| frame.to_vec()).as_slice() == frame;
                if is_third { Fate::BadWrap } else { Fate::Good }
            }));
        }
        say(&mut hub, 0, "another day");
    }
    hub.say_in(0, "ops", "two");
    let back =
        |hub: &TestHub| alarms(hub, 1).iter().filter(|kind| **kind == Alarm::RolledBack).count();
    for (text, times) in [("ops", 1), ("lobby", 2)] {
        hub.show_epoch(1, &older, text);
        assert_eq!(back(&hub), times, "{text}");
    }
}
