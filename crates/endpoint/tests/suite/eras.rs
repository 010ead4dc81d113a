//! Positions are the hub's word, and a hub that went back gives them twice: what a device has kept of them decides
//! nothing in a later era of the hub, whether it is honest or not (rules R36, R37).

use bytes::Bytes;
use chat_endpoint::{Alarm, Event, RoomAction};
use chat_protocol::frame::{Delivery, RawFrame};
use chat_protocol::header::Header;
use chat_protocol::hub::{self, DropClaim, HubToClient};
use chat_protocol::limits::INTEGER_MAX;
use chat_protocol::name::ConversationId;
use chat_protocol::retention;

use crate::hub::{Fate, Snapshot, TestHub, name, room};
use crate::rules::alarms;

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// A position that no hub comes to: the highest one that an answer can name.
const HUGE: u64 = INTEGER_MAX;

fn ops() -> ConversationId {
    ConversationId::room(&room("ops"))
}

/// An open room of alice, bob and carol, in which each has said something.
fn met() -> TestHub {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    hub.act(ALICE, "ops", RoomAction::Create { private: false });
    for index in [BOB, CAROL] {
        hub.act(index, "ops", RoomAction::Join { create: false });
    }
    for index in [ALICE, BOB, CAROL] {
        hub.say_in(index, "ops", "hello");
    }
    hub
}

fn say_often(hub: &mut TestHub, index: usize, times: usize) {
    for number in 0..times {
        hub.say_in(index, "ops", &format!("{number}"));
    }
}

/// Carol says something and leaves, while alice is away; alice's view is there before what carol has said.
fn carol_goes(hub: &mut TestHub) {
    hub.disconnect(ALICE);
    hub.say_in(CAROL, "ops", "bye");
    hub.act(CAROL, "ops", RoomAction::Leave);
    hub.rule = Some(Box::new(|index, _| if index == ALICE { Fate::Lost } else { Fate::Good }));
    hub.restarts(ALICE);
    assert_eq!(hub.roster(ALICE, "ops"), ["alice", "bob"]);
    hub.rule = None;
    hub.redeliver(ALICE);
    hub.run();
}

/// Whether alice was shown what carol has said, with the mark that she has gone since.
fn is_heard(hub: &TestHub) -> bool {
    let bye =
        |event: &Event| matches!(event, Event::Message { text, gone: true, .. } if text == "bye");
    hub.count(ALICE, bye) == 1
}

/// The hub's word to alice that it has dropped so many messages up to a position.
fn dropped(hub: &mut TestHub, position: u64, messages: u64) {
    let (cid, before_ms) = (ops(), hub.now - HOUR_MS);
    let claim = DropClaim { cid, position, before_ms, keep_ms: HOUR_MS, messages };
    let (now, text) = (hub.now, hub::write(&HubToClient::Dropped(claim)));
    hub.peers[ALICE].endpoint.handle_text(now, &text);
    hub.run();
}

/// Bob says two things that alice does not get, the hub says that it has dropped them, and he says another one. How many
/// alice misses then.
fn missed_of_dropped(hub: &mut TestHub) -> usize {
    hub.rule = Some(Box::new(|index, _| if index == ALICE { Fate::Lost } else { Fate::Good }));
    say_often(hub, BOB, 2);
    hub.rule = None;
    let position = u64::try_from(hub.positions()).expect("few");
    dropped(hub, position, 2);
    hub.say_in(BOB, "ops", "after it");
    assert!(hub.texts(ALICE).contains(&"bob: after it".to_owned()));
    let gaps = hub.peers[ALICE].events.iter().filter_map(|event| match event {
        Event::Gap { missing, .. } => Some(missing.len()),
        _ => None,
    });
    gaps.sum()
}

/// The honest hub is put back to what it had; alice's process comes back to it, and ends.
fn put_back(hub: &mut TestHub, older: &Snapshot) {
    hub.put_back(older);
    hub.comes(ALICE);
    hub.reopen(ALICE);
    for index in [BOB, CAROL] {
        hub.connect(index);
    }
    hub.run();
}

/// Goal: whoever speaks and leaves after a restore is heard by a device that was told higher positions before, also by a
/// new process of it, and where the hub has given as many again before it came back. Before: refused, with the alarm
/// that an honest hub has let through who was no member.
#[test]
fn who_speaks_and_leaves_after_a_restore_is_heard() {
    for is_seen in [true, false] {
        let mut hub = met();
        let older = hub.snapshot();
        say_often(&mut hub, BOB, 9);
        if is_seen {
            put_back(&mut hub, &older);
        } else {
            let reached = hub.positions();
            hub.put_back(&older);
            for index in [BOB, CAROL] {
                hub.connect(index);
            }
            hub.rule =
                Some(Box::new(|index, _| if index == ALICE { Fate::Lost } else { Fate::Good }));
            hub.say_in(CAROL, "ops", "bye");
            hub.act(CAROL, "ops", RoomAction::Leave);
            while hub.positions() < reached {
                let now = hub.now;
                hub.peers[BOB].endpoint.tell_user(now, &name("carol"), "more").expect("a text");
                hub.run();
            }
            hub.restarts(ALICE);
            hub.rule = None;
            hub.redeliver(ALICE);
            hub.run();
            assert!(is_heard(&hub), "{:?}", hub.texts(ALICE));
            assert_eq!(alarms(&hub, ALICE), []);
            continue;
        }
        carol_goes(&mut hub);
        assert!(is_heard(&hub), "{:?}", hub.texts(ALICE));
        assert_eq!(alarms(&hub, ALICE), [Alarm::RolledBack]);
    }
}

/// Goal: what a restored hub has dropped explains what is missing, at whatever position. Before: passed over where the
/// device had been told a higher one, and shown as a gap.
#[test]
fn what_a_restored_hub_has_dropped_is_no_gap() {
    let mut hub = met();
    let older = hub.snapshot();
    say_often(&mut hub, CAROL, 9);
    put_back(&mut hub, &older);
    hub.comes(ALICE);
    assert_eq!(missed_of_dropped(&mut hub), 0);
    assert_eq!(alarms(&hub, ALICE), [Alarm::RolledBack]);
}

/// Goal: what the hub has said before a restore that it has dropped still explains the gap of who says nothing until
/// after it.
#[test]
fn what_was_dropped_before_a_restore_stays_explained() {
    let mut hub = met();
    hub.rule = Some(Box::new(|index, _| if index == ALICE { Fate::Lost } else { Fate::Good }));
    say_often(&mut hub, BOB, 2);
    hub.rule = None;
    let position = u64::try_from(hub.positions()).expect("few");
    dropped(&mut hub, position, 2);
    let older = hub.snapshot();
    say_often(&mut hub, CAROL, 9);
    put_back(&mut hub, &older);
    hub.comes(ALICE);
    hub.say_in(BOB, "ops", "after it");
    assert!(hub.texts(ALICE).contains(&"bob: after it".to_owned()));
    assert_eq!(hub.count(ALICE, |event| matches!(event, Event::Gap { .. })), 0);
    assert_eq!(alarms(&hub, ALICE), [Alarm::RolledBack]);
}

/// The last frame that somebody has said in the room.
fn last_of(hub: &TestHub, from: &str) -> Bytes {
    let is_theirs = |frame: &&Bytes| {
        let frame = RawFrame::decode((*frame).clone()).expect("a frame");
        matches!(Header::parse(frame.header()), Ok(Header::Message(said)) if said.from == name(from))
    };
    hub.seen.iter().rfind(is_theirs).expect("said").clone()
}

/// Goal: a hub poisons no room by one position that it never gave. The device tells of it at the next honest sign-in, and
/// from then on it is as if it had not been named. Before: whoever had left since was refused for good under a false
/// alarm, and nothing that was dropped was believed any more.
/// Method: a frame, or a `DROPPED`, at 2^53 - 1; then the hub is honest.
#[test]
fn a_huge_position_poisons_nothing() {
    for is_frame in [true, false] {
        let mut hub = met();
        hub.rule = Some(Box::new(|index, _| if index == ALICE { Fate::Lost } else { Fate::Good }));
        hub.say_in(BOB, "ops", "far away");
        hub.rule = None;
        if is_frame {
            let (now, frame) = (hub.now, last_of(&hub, "bob"));
            let delivery = Delivery::encode(HUGE, now, &frame);
            hub.peers[ALICE].endpoint.handle_binary(now, delivery);
            hub.run();
            assert!(hub.texts(ALICE).contains(&"bob: far away".to_owned()));
        } else {
            dropped(&mut hub, HUGE, 1);
        }
        for round in 0..2 {
            hub.restarts(ALICE);
            assert_eq!(alarms(&hub, ALICE), [Alarm::RolledBack], "{is_frame} {round}");
        }
        assert_eq!(missed_of_dropped(&mut hub), 0, "{is_frame}");
        carol_goes(&mut hub);
        assert!(is_heard(&hub), "{is_frame}: {:?}", hub.texts(ALICE));
        assert_eq!(alarms(&hub, ALICE), [Alarm::RolledBack], "{is_frame}");
    }
}

/// What the hub says of the room that was deleted.
fn deleted(hub: &mut TestHub) {
    let (cid, keep_ms) = (ops(), retention::DELETED_KEEP_MS);
    let claim = DropClaim { cid, position: 0, before_ms: 0, keep_ms, messages: 0 };
    hub.tell_all(&HubToClient::Dropped(claim));
    hub.run();
}

/// Goal: an operator who deletes a room and puts back a backup from before is no liar, also to a process that begins after
/// that. Before: an alarm as soon as people talked there.
#[test]
fn a_room_that_a_restore_has_brought_back_is_no_lie() {
    let mut hub = met();
    let older = hub.snapshot();
    say_often(&mut hub, BOB, 3);
    deleted(&mut hub);
    put_back(&mut hub, &older);
    hub.comes(ALICE);
    hub.now += 10 * MINUTE_MS;
    hub.say_in(BOB, "ops", "here again");
    assert!(hub.texts(ALICE).contains(&"bob: here again".to_owned()));
    assert_eq!(alarms(&hub, ALICE), [Alarm::RolledBack]);
    // Deleted again it is no news, and it is one more word of the hub's that can be false.
    deleted(&mut hub);
    hub.now += 10 * MINUTE_MS;
    hub.say_in(BOB, "ops", "all the same");
    assert_eq!(alarms(&hub, ALICE), [Alarm::RolledBack, Alarm::FalseDeletion]);
}

/// Goal: whose clock is ahead makes no liar of a hub. Before: what waited for its sender's key while the room was deleted
/// was an alarm when it could be read.
/// Method: a new device of bob's, whose clock is ten minutes ahead, says something while alice is away; she comes back, the
/// room is deleted, then she gets the keys.
#[test]
fn a_clock_that_is_ahead_is_no_false_deletion() {
    let mut hub = met();
    let laptop = hub.joins_sibling(BOB, None);
    hub.disconnect(ALICE);
    let ahead = hub.now + 10 * MINUTE_MS;
    hub.peers[laptop].endpoint.say(ahead, &room("ops"), "from the future").expect("a text");
    hub.run();
    hub.faults.hold_bundles = true;
    hub.restart(ALICE);
    deleted(&mut hub);
    assert!(!hub.texts(ALICE).contains(&"bob: from the future".to_owned()), "it waits");
    hub.release_bundles();
    hub.run();
    assert!(hub.texts(ALICE).contains(&"bob: from the future".to_owned()));
    assert_eq!(alarms(&hub, ALICE), []);
}

/// Goal: a key that the hub still shows after it went back silences whoever it silenced before.
/// Method: the hub loses direct messages alone, and lets carol speak behind a key that counts her removal.
#[test]
fn a_key_that_stands_silences_after_a_restore() {
    let mut hub = met();
    hub.faults.hides = vec![(CAROL, ops(), 3)];
    hub.act(ALICE, "ops", RoomAction::Remove { who: name("carol"), ban: true });
    hub.say_in(BOB, "ops", "among two");
    let older = hub.snapshot();
    for number in 0..9 {
        let (now, text) = (hub.now, format!("{number}"));
        hub.peers[BOB].endpoint.tell_user(now, &name("alice"), &text).expect("a text");
        hub.run();
    }
    put_back(&mut hub, &older);
    hub.comes(ALICE);
    hub.faults.takes_anything = true;
    hub.say_in(CAROL, "ops", "I am back");
    let texts = hub.texts(ALICE);
    assert!(!texts.contains(&"carol: I am back".to_owned()), "{texts:?}");
    assert_eq!(alarms(&hub, ALICE), [Alarm::RolledBack, Alarm::NotAMember]);
}

/// Goal: what an honest hub delivers before a device has found out that it was restored is judged by what stands after
/// the restore. Before: carol, whom alice had removed in the state that was lost, was an alarm. Method: carol comes back
/// first and says so much that the hub names no lower position; the chain alone tells.
#[test]
fn what_is_delivered_before_a_restore_is_found_out_is_judged_after_it() {
    let mut hub = met();
    let older = hub.snapshot();
    hub.disconnect(CAROL);
    hub.act(ALICE, "ops", RoomAction::Remove { who: name("carol"), ban: true });
    hub.say_in(ALICE, "ops", "among two");
    let reached = hub.positions();
    hub.put_back(&older);
    hub.comes(CAROL);
    while hub.positions() <= reached {
        hub.say_in(CAROL, "ops", "a word");
    }
    let late = hub.say_in(CAROL, "ops", "the last word");
    hub.comes(ALICE);
    let heard = |event: &Event| matches!(event, Event::Message { id, .. } if *id == late);
    assert_eq!(hub.count(ALICE, heard), 1, "{:?}", hub.texts(ALICE));
    assert_eq!(alarms(&hub, ALICE), [Alarm::RolledBack]);
}
