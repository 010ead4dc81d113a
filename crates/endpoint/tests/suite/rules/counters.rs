//! Counters, gaps and the hash chain of one sender (rules R6, R7, R15, R30).

use chat_endpoint::{Alarm, Event};
use chat_protocol::content::{ChainNotes, LastMessage, LineSet};
use chat_protocol::hub::{Counter, EpochHead};
use chat_protocol::id::{Digest, KeyId};
use chat_protocol::keys::{Bundle, BundleOptions};

use super::{alarms, assert_untroubled, gaps, header, say};
use crate::hub::{Fate, TestHub, lobby};

const NO_GAP: [Vec<u32>; 0] = [];

/// Longer than an epoch is used.
const DAY_MS: u64 = 25 * 3600 * 1000;

/// Goal: a counter that the hub refused is closed by the next message, and its frame is ignored if
/// it comes after all.
/// Method: the hub refuses a message, delivers the one after it, then the refused one.
#[test]
fn r06_a_burnt_counter_is_closed_and_its_frame_ignored() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "one");
    hub.faults.refuse = 1;
    let refused = say(&mut hub, 0, "refused");
    let told = |event: &Event| matches!(event, Event::Refused { id, .. } if *id == refused);
    assert_eq!(hub.count(0, told), 1);
    say(&mut hub, 0, "two");
    let counters: Vec<u32> = hub.seen.iter().map(|frame| header(frame).n).collect();
    assert_eq!(counters, [0, 1, 2], "a burnt counter is not used again");
    assert_eq!(hub.texts(1), ["alice: one", "alice: two"]);
    assert_untroubled(&hub, 1);

    let late = hub.withheld[0].clone();
    hub.hand(1, &late);
    hub.run();
    assert_eq!(hub.texts(1), ["alice: one", "alice: two"], "the sender was told it is refused");
}

/// Goal: recipients are told of every burnt counter, whatever happens to the message that tells it.
/// Method: the message that carries the first void is refused too; its sender restarts.
#[test]
fn r06_a_void_is_told_again_when_its_message_is_refused() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "one");
    hub.faults.refuse = 2;
    say(&mut hub, 0, "refused");
    say(&mut hub, 0, "refused too");
    hub.restart(0);
    say(&mut hub, 0, "two");
    assert_eq!(hub.texts(1), ["alice: one", "alice: two"]);
    assert_untroubled(&hub, 1);
}

/// Goal: what is missing is shown with the next message; what comes late is still read.
/// Method: the hub says that it keeps two messages and does not deliver them.
#[test]
fn r06_a_missing_counter_is_a_gap() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    hub.faults.lose = 2;
    say(&mut hub, 0, "one");
    say(&mut hub, 0, "two");
    say(&mut hub, 0, "three");
    assert_eq!(gaps(&hub, 1), [vec![1, 2]]);
    for frame in hub.withheld.clone() {
        hub.hand(1, &frame);
    }
    hub.run();
    assert_eq!(hub.texts(1), ["zero", "three", "one", "two"].map(|t| format!("alice: {t}")));
    assert_eq!(gaps(&hub, 1), [vec![1, 2]], "shown once");
    assert_eq!(alarms(&hub, 1), []);
}

/// Goal: after a lost connection the unanswered frames go first, in order and byte by byte the same.
/// Method: the answers to three messages are lost; a fourth is written while the device is away.
#[test]
fn r06_unanswered_frames_go_first_after_a_reconnect() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    hub.faults.hold_answers = true;
    for text in ["one", "two", "three"] {
        say(&mut hub, 0, text);
    }
    hub.disconnect(0);
    let now = hub.now;
    hub.peers[0].endpoint.say(now, &lobby(), "four").unwrap();
    hub.release();
    hub.disconnect(0);
    hub.comes(0);
    let counters: Vec<u32> = hub.seen.iter().map(|frame| header(frame).n).collect();
    assert_eq!(counters, [0, 1, 2, 3, 1, 2, 3, 4]);
    assert_eq!(hub.seen[1..4], hub.seen[4..7]);
    let texts = ["zero", "one", "two", "three", "four"].map(|t| format!("alice: {t}"));
    assert_eq!(hub.texts(1), texts);
    assert_untroubled(&hub, 1);
}

/// Goal: after RETRY everything from that counter on goes again, in order.
/// Method: the hub can take none of three messages at first.
#[test]
fn r06_a_device_goes_back_to_the_counter_that_must_be_sent_again() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    hub.faults.busy = 3;
    let now = hub.now;
    for text in ["one", "two", "three"] {
        hub.peers[0].endpoint.say(now, &lobby(), text).unwrap();
    }
    hub.run();
    let counters: Vec<u32> = hub.seen.iter().map(|frame| header(frame).n).collect();
    assert_eq!(counters, [0, 1, 2, 3, 1, 2, 3], "each once more");
    assert_eq!(hub.texts(1), ["zero", "one", "two", "three"].map(|t| format!("alice: {t}")));
    assert_eq!(hub.peers[0].endpoint.unanswered(), 0);
    assert_untroubled(&hub, 1);
}

/// Goal: a message links to the one before it as that was sealed, whenever that was received.
/// Method: alice seals two frames with one counter, and links the next to the one that bob did not
/// get. In the second round the first frame comes late.
#[test]
fn r06_a_message_that_links_to_another_one_is_an_alarm() {
    for late in [false, true] {
        let mut hub = TestHub::with(&["alice", "bob"]);
        let mut alice = hub.forge_epoch(0, None);
        let zero = alice.text("zero");
        let mut other = alice.clone();
        let one = alice.text("one");
        other.text("another one");
        let two = other.text("two");
        let order = if late { [&one, &zero, &two] } else { [&zero, &one, &two] };
        for frame in order {
            hub.hand(1, frame);
        }
        hub.run();
        assert_eq!(alarms(&hub, 1), [Alarm::BadChain], "late: {late}");
        assert_eq!(hub.texts(1).len(), 3, "shown with the alarm");
    }
}

/// Goal: a device whose state is older than what the hub has seen of its key seals nothing with it.
/// Method: alice's state is put back behind her last message; the hub tells the counters it has.
#[test]
fn r07_an_older_state_than_the_hub_has_seen_is_an_error() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    let older = hub.peers[0].store.clone();
    say(&mut hub, 0, "one");
    let (epoch, _) = hub.newest_epoch();
    let cid = chat_protocol::name::ConversationId::room(&lobby());
    hub.faults.counters = vec![Counter { cid: cid.clone(), epoch, n: 0 }];
    hub.restart(0);
    say(&mut hub, 0, "two");
    assert!(!hub.peers[0].endpoint.is_rolled_back(), "the hub has seen no more than is kept");
    assert_eq!(hub.texts(1).pop().as_deref(), Some("alice: two"));
    for (e, n) in [(epoch.e, 1), (Digest([7; 32]), 0)] {
        hub.faults.counters = vec![Counter { cid: cid.clone(), epoch: EpochHead { g: 7, e }, n }];
        hub.restore(0, older.clone());
        hub.connect(0);
        let before = hub.seen.len();
        say(&mut hub, 0, "never with the old key");
        assert!(hub.peers[0].endpoint.is_rolled_back(), "{e} {n}");
        assert_eq!(hub.seen.len(), before, "nothing is sealed");
        hub.disconnect(0);
    }

    hub.faults.counters = vec![];
    hub.replace_signing_key(0);
    hub.comes(0);
    hub.peers[1].endpoint.refresh(&chat_protocol::name::ConversationId::room(&lobby()));
    hub.run();
    let last = hub.texts(1).pop();
    assert_eq!(last.as_deref(), Some("alice: never with the old key"), "sealed with the new one");
}

/// Goal: the bundle with the other key of a home that was restored comes behind the newest one of its device, and repeats what
/// was revoked since; or the hub refuses it, and knows neither key from then on. Before: the host was told before the hub had
/// shown that bundle. Method: alice's home is put back by two bundles; the hub answers about counters first.
#[test]
fn r07_a_restored_device_makes_another_key_behind_its_newest_bundle() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    let (older, lost) = (hub.peers[0].store.clone(), KeyId([7; 16]));
    let device = hub.peers[0].endpoint.device().clone();
    let next = |before: &Bundle, rev| {
        let options = BundleOptions { rev, ..BundleOptions::default() };
        device.keys.publish(&device.user, device.dev, Some(before), hub.now, options).unwrap()
    };
    let first = next(&device.bundle, vec![]);
    let newest = next(&first, vec![lost]);
    let mut published = hub.offered("alice");
    published.extend([first, newest.clone()]);
    hub.offer("alice", published);
    let cid = chat_protocol::name::ConversationId::room(&lobby());
    let epoch = EpochHead { g: 7, e: Digest([7; 32]) };
    hub.faults.counters = vec![Counter { cid, epoch, n: 0 }];
    hub.restore(0, older);
    hub.faults.hold_bundles = true;
    hub.connect(0);
    let now = hub.now;
    hub.peers[0].endpoint.say(now, &lobby(), "never with the old key").unwrap();
    while hub.turn() {}
    assert!(!hub.peers[0].endpoint.is_rolled_back(), "its newest bundle was not shown");

    hub.release_bundles();
    hub.run();
    let endpoint = &hub.peers[0].endpoint;
    assert!(endpoint.is_rolled_back());
    assert_eq!(endpoint.newer_own_bundle().map(Bundle::digest), Some(newest.digest()));
    assert_eq!(endpoint.revocations(), [lost]);
}

/// Goal: a hub that went back to an older epoch does not cost this device its signing key. Before: a
/// counter of an epoch that was replaced since was taken for one that was never used here.
/// Method: alice has spoken in two epochs; the hub names the counter of the first one.
#[test]
fn r07_a_counter_of_an_epoch_before_is_no_newer_state() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    let (first, _) = hub.newest_epoch();
    end_epoch(&mut hub);
    say(&mut hub, 0, "in the next epoch");
    let cid = chat_protocol::name::ConversationId::room(&lobby());
    hub.faults.counters = vec![Counter { cid, epoch: first, n: 0 }];
    hub.restart(0);
    say(&mut hub, 0, "with the same key");
    assert!(!hub.peers[0].endpoint.is_rolled_back());
    assert_eq!(hub.texts(1).pop().as_deref(), Some("alice: with the same key"));
}

/// Everything of bob's in the lobby goes into a new epoch.
fn end_epoch(hub: &mut TestHub) {
    hub.disconnect(1);
    hub.rotate(1);
    hub.comes(1);
    hub.peers[0].endpoint.refresh(&chat_protocol::name::ConversationId::room(&lobby()));
    hub.run();
}

/// Goal: messages lost at the end of an epoch are shown as missing to those who were in it.
/// Method: the hub loses the last two; then bob's key and with it the epoch changes, and carol comes.
#[test]
fn r15_a_lost_tail_shows_in_the_next_epoch() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    hub.faults.lose = 2;
    say(&mut hub, 0, "one");
    say(&mut hub, 0, "two");
    end_epoch(&mut hub);
    let carol = hub.joins("carol");
    assert_eq!(gaps(&hub, 1), NO_GAP, "not before its sender writes again");
    say(&mut hub, 0, "zero of the next epoch");
    assert_eq!(gaps(&hub, 1), [vec![1, 2]]);
    assert_eq!(alarms(&hub, 1), []);
    assert_untroubled(&hub, carol);
}

/// Goal: an epoch that was withheld whole is shown as missing to whom it was for, in a room too, and heals;
/// who came later misses nothing. Before: a room's lost epoch was asked for without a word.
/// Method: bob never gets the key and the messages of one epoch; carol comes after it.
#[test]
fn r15_a_lost_epoch_shows_to_whom_it_was_for() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    end_epoch(&mut hub);
    let before = hub.frames_for(1).len();
    hub.rule = Some(Box::new(|index, _| if index == 1 { Fate::Lost } else { Fate::Good }));
    say(&mut hub, 0, "one");
    say(&mut hub, 0, "two");
    let lost = hub.frames_for(1).split_off(before);
    hub.rule = Some(Box::new(move |index, bytes| {
        let is_lost = index == 1 && lost.iter().any(|frame| frame == bytes);
        if is_lost { Fate::Lost } else { Fate::Good }
    }));
    let carol = hub.joins("carol");
    end_epoch(&mut hub);
    say(&mut hub, 0, "in the next epoch");
    assert_eq!(gaps(&hub, 1), [vec![0, 1]]);
    let mut texts = hub.texts(1);
    texts.sort();
    let said = ["in the next epoch", "one", "two", "zero"];
    assert_eq!(texts, said.map(|text| format!("alice: {text}")));
    assert_eq!(alarms(&hub, 1), []);
    assert_untroubled(&hub, carol);
    assert_eq!(hub.texts(carol), ["alice: in the next epoch"]);
}

/// Goal: what another device of one's own has lost is shown once. Before: with each message that told of it.
/// Method: an epoch of it is withheld; the next begins with two messages at once.
#[test]
fn r15_what_ones_own_device_lost_shows_once() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let second = hub.joins_sibling(0, None);
    say(&mut hub, second, "zero");
    hub.now += DAY_MS;
    let before = hub.frames_for(0).len();
    hub.rule = Some(Box::new(|index, _| if index == 0 { Fate::Lost } else { Fate::Good }));
    say(&mut hub, second, "lost");
    let lost = hub.frames_for(0).split_off(before);
    hub.rule = Some(Box::new(move |index, bytes| {
        let is_lost = index == 0 && lost.iter().any(|frame| frame == bytes);
        if is_lost { Fate::Lost } else { Fate::Good }
    }));
    hub.now += DAY_MS;
    let now = hub.now;
    for text in ["one", "two"] {
        hub.peers[second].endpoint.say(now, &lobby(), text).unwrap();
    }
    hub.run();
    assert_eq!(gaps(&hub, 0), [vec![0]]);
}

/// Goal: a hub cannot choose when the tail is noted so that a loss stays hidden.
/// Method: it loses a message, and answers it only after the next epoch has come. It answers two
/// messages in the wrong order.
#[test]
fn r15_late_answers_hide_no_tail() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    hub.faults.hold_answers = true;
    hub.faults.lose = 2;
    say(&mut hub, 0, "one");
    say(&mut hub, 0, "two");
    hub.disconnect(1);
    hub.rotate(1);
    hub.comes(1);
    say(&mut hub, 1, "an epoch of bob's");
    hub.peers[0].endpoint.refresh(&chat_protocol::name::ConversationId::room(&lobby()));
    say(&mut hub, 0, "zero of the next epoch");
    hub.release_backwards();
    hub.run();
    let texts = hub.texts(1);
    let next = texts.iter().position(|text| text == "alice: zero of the next epoch").unwrap();
    assert_eq!(gaps(&hub, 1), [vec![1, 2]]);
    assert_eq!(texts[next + 1..], ["alice: one", "alice: two"], "asked for, and sent again");
}

/// Goal: the first frame of an epoch links to the last one before it.
/// Method: alice's first frame names the right counter and another digest than the frame had.
#[test]
fn r15_the_first_frame_links_to_the_epoch_before() {
    for honest in [true, false] {
        let mut hub = TestHub::with(&["alice", "bob"]);
        let mut before = hub.forge_epoch(0, None);
        let zero = before.text("zero");
        let last = Some(LastMessage { e: before.head.e, n: 0, new: LineSet::default() });
        let mut after = hub.forge_epoch(0, None);
        after.p = if honest { before.p } else { Digest([7; 32]) };
        let next = after.seal("next", &ChainNotes { void: vec![], last });
        hub.hand(1, &zero);
        hub.hand(1, &next);
        hub.run();
        assert_eq!(hub.texts(1), ["alice: zero", "alice: next"]);
        assert_eq!(alarms(&hub, 1).len(), usize::from(!honest), "honest: {honest}");
    }
}

/// Goal: nobody can make a device count to four thousand million.
/// Method: a first frame says that the last one before it had the highest counter there is.
#[test]
fn r15_what_is_shown_as_missing_is_bounded() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let before = hub.forge_epoch(0, None);
    let last = Some(LastMessage { e: before.head.e, n: u32::MAX, new: LineSet::default() });
    let frame = hub.forge_epoch(0, None).seal("next", &ChainNotes { void: vec![], last });
    hub.hand(1, &frame);
    hub.run();
    let [missing] = &gaps(&hub, 1)[..] else { panic!("{:?}", gaps(&hub, 1).len()) };
    assert!((1..=2_000).contains(&missing.len()), "{}", missing.len());
    assert_eq!(hub.texts(1), ["alice: next"]);
}

/// Goal: order and gaps are provable per sender, order between senders is not.
/// Method: the hub swaps two messages of alice for bob, and messages of alice and bob for carol.
#[test]
fn r30_order_shows_per_sender_only() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    say(&mut hub, 0, "alice zero");
    say(&mut hub, 1, "bob zero");
    hub.faults.lose = 3;
    for (who, text) in [(0, "alice one"), (1, "bob one"), (0, "alice two")] {
        say(&mut hub, who, text);
    }
    let [alice_one, bob_one, alice_two] = &hub.withheld.clone()[..] else { panic!() };
    for frame in [alice_two, alice_one] {
        hub.hand(1, frame);
    }
    for frame in [bob_one, alice_one, alice_two] {
        hub.hand(2, frame);
    }
    hub.run();
    assert_eq!(gaps(&hub, 1), [vec![1]], "two came before one");
    assert_untroubled(&hub, 2);
    assert_eq!(hub.texts(2)[2..], ["bob: bob one", "alice: alice one", "alice: alice two"]);
}

/// Goal: the newest tail is the hub's word until its sender writes again.
/// Method: the hub loses the newest message; nothing shows until the next one.
#[test]
fn r30_a_lost_newest_message_shows_with_the_next() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    hub.faults.lose = 1;
    say(&mut hub, 0, "lost");
    say(&mut hub, 1, "bob writes, which proves nothing about alice");
    assert_untroubled(&hub, 1);
    say(&mut hub, 0, "two");
    assert_eq!(gaps(&hub, 1), [vec![1]]);
}
