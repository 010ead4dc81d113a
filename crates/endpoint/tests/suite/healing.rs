//! Gaps that heal (rule R19): whatever a hub does to the log is shown, and what it withheld comes
//! from its sender.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use chat_endpoint::{Alarm, Event};
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Header;
use chat_protocol::name::ConversationId;
use chat_protocol::tag::Tag;

use crate::hub::{Fate, TestHub, lobby, name};

const MINUTE_MS: u64 = 60_000;

fn say(hub: &mut TestHub, index: usize, text: &str) {
    let now = hub.now;
    hub.peers[index].endpoint.say(now, &lobby(), text).expect("a text that can be said");
    hub.run();
}

fn tell(hub: &mut TestHub, index: usize, to: &str, text: &str) {
    let now = hub.now;
    hub.peers[index].endpoint.tell_user(now, &name(to), text).expect("a text that can be said");
    hub.run();
}

/// Lets time pass, with everything that is due in it.
fn wait(hub: &mut TestHub, minutes: u64) {
    let end = hub.now + minutes * MINUTE_MS;
    while hub.now < end {
        hub.run();
        hub.now += MINUTE_MS;
        let now = hub.now;
        hub.peers.iter_mut().for_each(|peer| peer.endpoint.handle_timeout(now));
    }
    hub.run();
}

fn gaps(hub: &TestHub, index: usize) -> Vec<u32> {
    let gap = |event: &Event| match event {
        Event::Gap { missing, .. } => Some(missing.clone()),
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(gap).flatten().collect()
}

fn healed(hub: &TestHub, index: usize) -> Vec<u32> {
    let healed = |event: &Event| match event {
        Event::Healed { n, .. } => Some(n.clone()),
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(healed).flatten().collect()
}

fn unhealed(hub: &TestHub, index: usize) -> Vec<u32> {
    let unhealed = |event: &Event| match event {
        Event::Unhealed { n, .. } => Some(n.clone()),
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(unhealed).flatten().collect()
}

fn alarms(hub: &TestHub, index: usize) -> Vec<Alarm> {
    let alarm = |event: &Event| match event {
        Event::Alarm { kind, .. } => Some(*kind),
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(alarm).collect()
}

/// The texts that were shown with the mark of who sent them again.
fn marked(hub: &TestHub, index: usize) -> Vec<String> {
    let marked = |event: &Event| match event {
        Event::Message { text, healed_by: Some(by), from, .. } if by == from => Some(text.clone()),
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(marked).collect()
}

fn tag(frame: &[u8]) -> Option<Tag> {
    let frame = RawFrame::decode(frame.to_vec().into()).ok()?;
    Header::parse(frame.header()).ok().map(|header| header.tag())
}

/// The counter of a room's or a person's message.
fn counter(frame: &[u8]) -> Option<u32> {
    let frame = RawFrame::decode(frame.to_vec().into()).ok()?;
    match Header::parse(frame.header()) {
        Ok(Header::Message(header)) if matches!(header.t, Tag::Text | Tag::Dm) => Some(header.n),
        _ => None,
    }
}

/// One fate for what bob is to get of some counters.
fn for_bob(hub: &mut TestHub, counters: &'static [u32], fate: Fate) {
    hub.rule = Some(Box::new(move |index, frame| {
        let hit = index == 1 && counter(frame).is_some_and(|n| counters.contains(&n));
        if hit { fate } else { Fate::Good }
    }));
}

/// Goal: what the hub loses is shown as missing, comes from its sender, and is confirmed to it.
/// Method: two messages of five are lost on their way to bob only, in a room and between two.
#[test]
fn lost_messages_heal() {
    for direct in [false, true] {
        let mut hub = TestHub::with(&["alice", "bob", "carol"]);
        for_bob(&mut hub, &[1, 2], Fate::Lost);
        for text in ["zero", "one", "two", "three", "four"] {
            if direct {
                tell(&mut hub, 0, "bob", text);
            } else {
                say(&mut hub, 0, text);
            }
        }
        assert_eq!(gaps(&hub, 1), [1, 2], "shown once");
        assert_eq!(healed(&hub, 1), [1, 2]);
        assert_eq!(marked(&hub, 1), ["one", "two"]);
        let texts = ["zero", "three", "one", "two", "four"].map(|text| format!("alice: {text}"));
        assert_eq!(hub.texts(1), texts);
        let others = if direct { 0 } else { 5 };
        assert_eq!(hub.texts(2).len(), others);
        assert!(marked(&hub, 2).is_empty() && gaps(&hub, 2).is_empty(), "carol lacked nothing");
        let by_bob = |e: &Event| matches!(e, Event::Delivered { by, readable: true, .. } if *by == name("bob"));
        assert_eq!(hub.count(0, by_bob), 5, "one receipt for each");
        for index in 0..3 {
            assert_eq!(alarms(&hub, index), []);
            assert!(unhealed(&hub, index).is_empty());
        }
        assert!(hub.peers.iter().all(|peer| peer.endpoint.unanswered() == 0));
    }
}

/// Goal: the log's own copy changes nothing once a message was healed.
/// Method: the hub delivers the lost messages after all, also after a restart.
#[test]
fn the_original_that_comes_later_changes_nothing() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    hub.faults.lose = 2;
    for text in ["one", "two", "three"] {
        say(&mut hub, 0, text);
    }
    let (shown, events) = (hub.texts(1), hub.peers[1].events.len());
    assert_eq!(shown, ["zero", "three", "one", "two"].map(|text| format!("alice: {text}")));
    for restart in [false, true] {
        if restart {
            hub.restart(1);
        }
        for frame in hub.withheld.clone() {
            hub.hand(1, &frame);
        }
        hub.run();
    }
    assert_eq!(hub.peers[1].events.len(), events, "nothing to tell: {:?}", hub.peers[1].events);
    say(&mut hub, 0, "four");
    assert_eq!(hub.texts(1).last().unwrap(), "alice: four");
    assert_eq!(alarms(&hub, 1), [], "the chain links");
}

/// Goal: an altered message is an alarm and never shown as it came; the true one is.
/// Method: one bit of it is changed on its way to bob, in turn at many places of the frame.
#[test]
fn altered_messages_heal() {
    for at in (2..900).step_by(61) {
        let mut hub = TestHub::with(&["alice", "bob"]);
        hub.rule = Some(Box::new(move |index, frame| {
            if index == 1 && counter(frame) == Some(1) { Fate::Altered(at) } else { Fate::Good }
        }));
        for text in ["zero", "one", "two"] {
            say(&mut hub, 0, text);
        }
        let mut texts = hub.texts(1);
        texts.sort();
        assert_eq!(texts, ["alice: one", "alice: two", "alice: zero"], "byte {at}");
        assert_eq!(marked(&hub, 1), ["one"], "byte {at}");
        let told = |event: &Event| {
            matches!(event, Event::Gap { .. } | Event::Alarm { .. } | Event::Unreadable { .. })
        };
        assert!(hub.count(1, told) > 0, "byte {at}");
    }
}

/// Goal: a repeated message is shown once, one out of order is shown with its gap.
/// Method: the hub delivers one twice, and lets two change places.
#[test]
fn repeated_and_swapped_messages_are_shown_once() {
    for (fate, order) in [
        (Fate::Twice, ["zero", "one", "two", "three"]),
        (Fate::Late, ["zero", "two", "one", "three"]),
    ] {
        let mut hub = TestHub::with(&["alice", "bob"]);
        say(&mut hub, 0, "zero");
        for_bob(&mut hub, &[1], fate);
        for text in ["one", "two", "three"] {
            say(&mut hub, 0, text);
        }
        wait(&mut hub, 2);
        assert_eq!(hub.texts(1), order.map(|text| format!("alice: {text}")), "{fate:?}");
        let gap: &[u32] = if fate == Fate::Late { &[1] } else { &[] };
        assert_eq!((gaps(&hub, 1), healed(&hub, 1)), (gap.to_vec(), gap.to_vec()), "{fate:?}");
        assert_eq!(alarms(&hub, 1), [], "{fate:?}");
    }
}

/// Goal: an epoch whose key never came is read all the same, and what is sealed next is readable.
/// Method: the hub withholds the KEY from bob, or damages its wrap; then alice writes in it.
#[test]
fn an_epoch_without_its_key_heals() {
    for (fate, direct) in
        [(Fate::Lost, false), (Fate::Lost, true), (Fate::BadWrap, false), (Fate::BadWrap, true)]
    {
        let mut hub = TestHub::with(&["alice", "bob", "carol"]);
        let mut left = 1;
        hub.rule = Some(Box::new(move |index, frame| {
            let hit = index == 1 && tag(frame) == Some(Tag::Key) && left > 0;
            left -= i32::from(hit);
            if hit { fate } else { Fate::Good }
        }));
        for text in ["zero", "one", "two"] {
            if direct {
                tell(&mut hub, 0, "bob", text);
            } else {
                say(&mut hub, 0, text);
            }
        }
        let what = format!("{fate:?}, direct: {direct}");
        let mut texts = hub.texts(1);
        texts.sort();
        assert_eq!(texts, ["alice: one", "alice: two", "alice: zero"], "{what}");
        let told = |event: &Event| matches!(event, Event::Alarm { .. } | Event::Unreadable { .. });
        assert!(hub.count(1, told) > 0, "{what}");
        if fate == Fate::BadWrap {
            assert!(alarms(&hub, 1).contains(&Alarm::BadChain), "{what}");
        }
        hub.rule = None;
        tell(&mut hub, 1, "alice", "from bob");
        say(&mut hub, 1, "from bob to all");
        assert_eq!(hub.texts(0), ["bob: from bob", "bob: from bob to all"], "{what}");
        assert!(unhealed(&hub, 1).is_empty(), "{what}");
    }
}

/// Goal: after a key that does not open, its device makes the next epoch by itself (rule R19).
/// Method: the wrap for bob is damaged, and nobody says anything after that.
#[test]
fn a_key_that_does_not_open_is_replaced_at_once() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    // With three in a row the next ones are not tried for a while (rule R39).
    let mut left = 2;
    hub.rule = Some(Box::new(move |_, bytes| {
        let frame = RawFrame::decode(bytes.to_vec().into()).expect("a frame");
        let is_key = matches!(Header::parse(frame.header()), Ok(Header::Key(_)));
        let damaged = is_key && left > 0;
        left -= usize::from(damaged);
        if damaged { Fate::BadWrap } else { Fate::Good }
    }));
    say(&mut hub, 0, "zero");
    let (head, list) = hub.newest_epoch();
    assert!(head.g >= 1, "generation {}", head.g);
    assert_eq!(list.lines().len(), 2);
    say(&mut hub, 0, "one");
    wait(&mut hub, 2);
    let mut texts = hub.texts(1);
    texts.sort();
    assert_eq!(texts, ["alice: one", "alice: zero"]);
    let made = hub.newest_epoch().0.g;
    assert!(made < 10, "a hub that damages keys makes its clients work: {made} epochs");
}

/// Goal: a lost tail shows with the next epoch, and heals; so does an epoch of which nothing came.
/// Method: the hub withholds the last two of an epoch, or its KEY and every message.
#[test]
fn a_withheld_tail_heals() {
    for all in [false, true] {
        let mut hub = TestHub::with(&["alice", "bob"]);
        let end_epoch = |hub: &mut TestHub| {
            hub.disconnect(1);
            hub.rotate(1);
            hub.comes(1);
            let cid = ConversationId::direct(&name("alice"), &name("bob")).expect("two people");
            hub.peers[0].endpoint.refresh(&cid);
            hub.run();
        };
        tell(&mut hub, 0, "bob", "first of all");
        end_epoch(&mut hub);
        // What was withheld once is withheld for ever.
        let (starts, mut withheld) = (Rc::new(Cell::new(true)), BTreeSet::new());
        let begins = Rc::clone(&starts);
        hub.rule = Some(Box::new(move |index, frame| {
            let lost = match (index, tag(frame)) {
                (1, Some(Tag::Key)) => all,
                (1, Some(Tag::Dm)) => all || counter(frame) != Some(0),
                _ => false,
            };
            let lost = if begins.get() { lost && withheld.insert(frame.to_vec()) } else { false };
            if lost || withheld.contains(frame) { Fate::Lost } else { Fate::Good }
        }));
        for text in ["zero", "one", "two"] {
            tell(&mut hub, 0, "bob", text);
        }
        starts.set(false);
        assert!(gaps(&hub, 1).is_empty(), "not before its sender writes again");
        end_epoch(&mut hub);
        tell(&mut hub, 0, "bob", "next");
        wait(&mut hub, 1);
        let lost: &[u32] = if all { &[0, 1, 2] } else { &[1, 2] };
        assert_eq!(gaps(&hub, 1), lost, "all: {all}");
        assert_eq!(healed(&hub, 1), lost, "all: {all}");
        let mut texts = hub.texts(1);
        texts.sort();
        let expected = ["first of all", "next", "one", "two", "zero"];
        assert_eq!(texts, expected.map(|text| format!("alice: {text}")), "all: {all}");
        assert_eq!(alarms(&hub, 1), [], "all: {all}");
    }
}

/// Goal: a hub that was put back to an older state hides nothing, though it gives positions twice.
/// Method: bob is away; alice and carol go on; the hub forgets that, and all meet again.
#[test]
fn a_hub_that_goes_back_loses_nothing() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    say(&mut hub, 0, "zero");
    let older = hub.snapshot();
    hub.disconnect(1);
    say(&mut hub, 0, "one");
    say(&mut hub, 0, "two");
    assert_eq!(hub.texts(2).len(), 3);
    hub.rolls_back(&older);
    assert_eq!(hub.texts(1), ["alice: zero"], "the hub has nothing else");
    say(&mut hub, 0, "three");
    wait(&mut hub, 1);
    assert_eq!(gaps(&hub, 1), [1, 2]);
    assert_eq!(hub.texts(1), ["zero", "three", "one", "two"].map(|text| format!("alice: {text}")));
    assert_eq!(hub.texts(2), ["zero", "one", "two", "three"].map(|text| format!("alice: {text}")));
    assert!(gaps(&hub, 2).is_empty());
}

/// Goal: a hub that forgets an epoch is found out, and what is said next is read by everybody.
/// Method: it goes back behind the epoch that alice sends in.
#[test]
fn a_hub_that_forgets_an_epoch_is_an_alarm() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    let older = hub.snapshot();
    hub.forge_epoch(0, None);
    hub.run();
    say(&mut hub, 1, "in the newer epoch");
    hub.rolls_back(&older);
    assert_eq!(alarms(&hub, 1), [Alarm::RolledBack], "bob has seen the newer one");
    say(&mut hub, 1, "in a fresh epoch");
    assert_eq!(hub.texts(0), ["bob: in the newer epoch", "bob: in a fresh epoch"]);
    assert_eq!(alarms(&hub, 1), [Alarm::RolledBack], "one line for one restore");
}

/// Goal: what was asked for survives a restart, and waits for a sender who is away.
/// Method: bob misses two messages while alice is gone, restarts, and she comes back later.
#[test]
fn a_request_waits_for_its_sender_and_survives_a_restart() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    hub.disconnect(1);
    hub.faults.lose = 2;
    for text in ["one", "two", "three"] {
        say(&mut hub, 0, text);
    }
    hub.disconnect(0);
    hub.connect(1);
    while hub.turn() {}
    assert_eq!(gaps(&hub, 1), [1, 2]);
    hub.restart(1);
    wait(&mut hub, 90);
    assert_eq!(unhealed(&hub, 1), [1, 2], "given up, and said so once");
    assert_eq!(hub.texts(1), ["alice: zero", "alice: three"]);
    hub.restarts(0);
    assert_eq!(healed(&hub, 1), [1, 2], "an answer that comes later is taken");
    assert_eq!(hub.texts(1), ["zero", "three", "one", "two"].map(|text| format!("alice: {text}")));
    assert_eq!(gaps(&hub, 1), [1, 2], "shown once");
}

/// Goal: the final state of a message that its sender knows nothing of says so.
/// Method: alice's key is used by somebody else: her device has never sealed what bob asks for.
#[test]
fn a_message_that_its_sender_does_not_know_is_given_up() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let mut forger = hub.forge_epoch(0, None);
    let frames: Vec<_> = ["zero", "one", "two"].map(|text| forger.text(text)).into();
    hub.hand(1, &frames[0]);
    hub.hand(1, &frames[2]);
    hub.run();
    assert_eq!(gaps(&hub, 1), [1]);
    assert_eq!(unhealed(&hub, 1), [1]);
    assert!(healed(&hub, 1).is_empty());
    assert_eq!(hub.texts(1), ["alice: zero", "alice: two"]);
}

/// Goal: burnt counters close gaps as they are, whoever tells of them.
/// Method: a message is refused; the one that tells of it is lost.
#[test]
fn a_burnt_counter_closes_with_the_message_that_tells_of_it() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    hub.faults.refuse = 1;
    say(&mut hub, 0, "refused");
    hub.faults.lose = 1;
    say(&mut hub, 0, "two");
    say(&mut hub, 0, "three");
    assert_eq!(gaps(&hub, 1), [1, 2]);
    assert_eq!(healed(&hub, 1), [1, 2]);
    assert_eq!(hub.texts(1), ["zero", "three", "two"].map(|text| format!("alice: {text}")));
}

/// Goal: requests and answers that are lost are repeated; they show nothing to people.
/// Method: the hub loses the first of each.
#[test]
fn lost_requests_and_answers_are_repeated() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "zero");
    let mut lost = [1, 1, 1];
    hub.rule = Some(Box::new(move |index, frame| {
        let slot = match (index, tag(frame)) {
            (1, Some(Tag::Text)) => &mut lost[0],
            (0, Some(Tag::Keyreq)) => &mut lost[1],
            (1, Some(Tag::Grant)) => &mut lost[2],
            _ => return Fate::Good,
        };
        let hit = *slot > 0;
        *slot -= i32::from(hit);
        if hit { Fate::Lost } else { Fate::Good }
    }));
    say(&mut hub, 0, "one");
    say(&mut hub, 0, "two");
    wait(&mut hub, 3);
    assert_eq!(hub.texts(1), ["zero", "two", "one"].map(|text| format!("alice: {text}")));
    assert!(unhealed(&hub, 1).is_empty() && unhealed(&hub, 0).is_empty());
    let answers = |e: &Event| matches!(e, Event::Stored { .. } | Event::Delivered { .. });
    assert_eq!(hub.count(1, answers), 0, "bob has said nothing himself");
    assert_eq!(hub.count(0, |event| matches!(event, Event::Stored { .. })), 3);
}

/// Goal: of a message too long to travel in another one the key is granted; it opens the frame that
/// came without it. One of which nothing came is given up, and that is no alarm.
/// Method: a text of characters that are six bytes each in JSON; its KEY, or the message, is lost.
#[test]
fn a_message_too_long_to_be_sent_again_needs_its_own_frame() {
    let long = "\u{1}".repeat(25_000);
    for lost in [Tag::Key, Tag::Dm] {
        let mut hub = TestHub::with(&["alice", "bob"]);
        if lost == Tag::Dm {
            tell(&mut hub, 0, "bob", "first");
        }
        let mut left = 1;
        hub.rule = Some(Box::new(move |index, frame| {
            let hit = index == 1 && tag(frame) == Some(lost) && left > 0;
            left -= i32::from(hit);
            if hit { Fate::Lost } else { Fate::Good }
        }));
        tell(&mut hub, 0, "bob", &long);
        tell(&mut hub, 0, "bob", "after");
        assert!(hub.seen.iter().any(|frame| frame.len() > 128 * 1024), "long enough");
        assert_eq!(alarms(&hub, 1), [], "{lost}");
        let came = hub.texts(1).contains(&format!("alice: {long}"));
        assert_eq!(came, lost == Tag::Key, "{lost}");
        assert_eq!(unhealed(&hub, 1).len(), usize::from(lost == Tag::Dm), "{lost}");
    }
}
