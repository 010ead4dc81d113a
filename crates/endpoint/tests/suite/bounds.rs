//! A hub cannot exhaust its clients (rule R39): each test says what the build before did.

mod altered;
mod honest;
mod kept;
mod pace;
mod storm;

use bytes::Bytes;
use chat_endpoint::{Alarm, Event, RoomAction, Step};
use chat_protocol::b64::B64Vec;
use chat_protocol::envelope::{self, ReceiptBody};
use chat_protocol::frame::{Binary, Delivery, RawFrame, Unsigned, Upload, sign_all};
use chat_protocol::header::{Canonical as _, Header, MessageHeader, ReceiptHeader, Recipient};
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::name::ConversationId;
use chat_protocol::tag::{Stage, Tag, label};

use crate::hub::{Fate, TestHub, lobby, name};

const MIB: usize = 1 << 20;
const SECOND_MS: u64 = 1_000;

fn say(hub: &mut TestHub, index: usize, text: &str) -> MessageId {
    let now = hub.now;
    let id = hub.peers[index].endpoint.say(now, &lobby(), text).expect("a text that can be said");
    hub.run();
    id
}

fn tell(hub: &mut TestHub, index: usize, to: &str, text: &str) {
    let now = hub.now;
    hub.peers[index].endpoint.tell_user(now, &name(to), text).expect("a text that can be said");
    hub.run();
}

/// Lets so much time pass, with everything that is due in it; returns how often a device asked for
/// a new connection.
fn pass(hub: &mut TestHub, ms: u64) -> usize {
    let (end, mut connections) = (hub.now + ms, 0);
    loop {
        while hub.turn() {}
        for index in 0..hub.peers.len() {
            if hub.peers[index].connected && hub.peers[index].endpoint.must_reconnect() {
                hub.disconnect(index);
                hub.connect(index);
                connections += 1;
            }
        }
        while hub.turn() {}
        let deadlines = hub.peers.iter().filter_map(|peer| peer.endpoint.next_deadline());
        let next = deadlines.min().unwrap_or(end);
        if next > end || hub.now >= end {
            hub.now = end;
            return connections;
        }
        hub.now = hub.now.max(next);
        let now = hub.now;
        hub.peers.iter_mut().for_each(|peer| peer.endpoint.handle_timeout(now));
    }
}

/// How many alarms a device was told of, each with its number.
fn alarms(hub: &TestHub, index: usize) -> Vec<(Alarm, u32)> {
    let alarm = |event: &Event| match event {
        Event::Alarm { kind, count, .. } => Some((*kind, *count)),
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(alarm).collect()
}

fn assert_untroubled(hub: &TestHub, index: usize) {
    let troubles = hub.count(index, |event| {
        matches!(event, Event::Alarm { .. } | Event::Gap { .. } | Event::Unreadable { .. })
    });
    assert_eq!(troubles, 0, "device {index}: {:?}", hub.peers[index].events);
}

/// Messages of this kind that a device has sent.
fn sent(hub: &TestHub, from: &str, tag: Tag) -> usize {
    let header = |frame: &Bytes| {
        let frame = RawFrame::decode(frame.clone()).expect("a frame");
        Header::parse(frame.header()).ok()
    };
    let headers = hub.seen.iter().filter_map(header);
    let of = |header: &Header| match header {
        Header::Message(header) => header.from == name(from) && header.t == tag,
        _ => false,
    };
    headers.filter(of).count()
}

/// A header as anybody can write it.
fn invented(from: &str, cid: &str, e: Digest, n: u32) -> MessageHeader {
    MessageHeader {
        v: 1,
        t: Tag::Text,
        stage: None,
        cid: ConversationId::parse(cid).expect("a conversation"),
        from: name(from),
        sk: KeyId([3; 16]),
        to: Recipient::Everyone,
        id: MessageId(chat_protocol::crypto::random()),
        e,
        n,
        p: Digest::ZERO,
        ts: 1_790_000_000_000,
        nbf: None,
        exp: None,
        rb: None,
        tk: None,
    }
}

/// A delivery of a frame under this header, whose body and signature are nothing.
fn unsigned(position: u64, header: &MessageHeader, body: usize) -> Bytes {
    let header = header.to_bytes();
    let mut frame = vec![1, 1];
    frame.extend(u32::try_from(header.len()).expect("short").to_be_bytes());
    frame.extend(&header);
    frame.extend(u32::try_from(body).expect("short").to_be_bytes());
    frame.resize(frame.len() + body, 0);
    frame.extend([7; 256]);
    let bytes = Delivery::encode(position, 1_790_000_000_000, &frame);
    assert!(matches!(Binary::decode(bytes.clone()), Ok(Binary::Delivery(_))));
    bytes
}

/// Goal: parts of epochs that no KEY has announced are not kept. Before: 8 of each epoch that a
/// hub made up, 300 MiB of 300 MiB.
#[test]
fn parts_that_nobody_asked_for_are_dropped() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "before");
    let (now, held) = (hub.now, hub.peers[1].endpoint.held_bytes());
    let bytes = Bytes::from(vec![b'x'; 128 << 10]);
    for number in 0u16..2_400 {
        let mut e = Digest([0; 32]);
        e.0[..2].copy_from_slice(&(number / 8).to_be_bytes());
        let part = Upload::Members { e, offset: 0, bytes: bytes.clone() }.encode();
        hub.peers[1].endpoint.handle_binary(now, part);
    }
    assert!(hub.peers[1].endpoint.held_bytes() < held + MIB / 8);
    say(&mut hub, 0, "after");
    assert_eq!(hub.texts(1), ["alice: before", "alice: after"]);
    assert_untroubled(&hub, 1);
}

/// Goal: what waits for keys has one budget, the first frame of each log included. Before: the first
/// frame of each log was free, 300 MiB of 300 MiB.
#[test]
fn first_frames_of_unknown_logs_have_one_budget() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.faults.hold_bundles = true;
    let now = hub.now;
    for number in 0..1_700u64 {
        let (from, cid) = (format!("a{number}"), format!("room:r{number}"));
        // In an epoch that nobody has, of somebody whose keys must be asked for.
        let mut header = invented(&from, &cid, Digest([9; 32]), 0);
        header.cid = ConversationId::direct(&name(&from), &name("bob")).expect("two");
        (header.t, header.to) = (Tag::Dm, Recipient::User(name("bob")));
        hub.peers[1].endpoint.handle_binary(now, unsigned(1_000 + number, &header, 180 << 10));
    }
    let held = hub.peers[1].endpoint.held_bytes();
    assert!(held > 30 * MIB, "{held}: nothing waits, so that this tests nothing");
    assert!(held < chat_endpoint::limits::PARKED_BYTES_MAX + MIB, "{held}");
    assert!(!hub.peers[1].endpoint.must_reconnect(), "the answers may be on their way");
    drop(hub.peers[1].endpoint.finish(now));
    hub.disconnect(1);
    assert!(hub.peers[1].endpoint.held_bytes() < MIB);
    hub.faults.hold_bundles = false;
    hub.connect(1);
    say(&mut hub, 0, "after");
    assert_eq!(hub.texts(1), ["alice: after"]);
}

/// Goal: frames that nobody has signed cost no memory, whatever they say. Before: a receipt for
/// each, without a bound.
#[test]
fn bad_frames_without_end_are_bounded_and_one_alarm_tells_their_number() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "before");
    let good = RawFrame::decode(hub.seen.last().expect("said").clone()).expect("a frame");
    let Ok(Header::Message(mut header)) = Header::parse(good.header()) else { unreachable!() };
    let (now, start) = (hub.now, hub.peers[1].endpoint.held_bytes());
    hub.peers[1].connected = false;
    for number in 0..20_000u32 {
        header.n = 1 + number;
        header.id = MessageId(chat_protocol::crypto::random());
        let position = 1_000 + u64::from(number);
        hub.peers[1].endpoint.handle_binary(now, unsigned(position, &header, 64));
        if number % 100 == 0 {
            hub.peers[1].endpoint.handle_timeout(now + u64::from(number));
            while hub.turn() {}
        }
    }
    while hub.turn() {}
    assert!(hub.peers[1].endpoint.held_bytes() < start + 3 * MIB);
    let now = now + 61 * SECOND_MS;
    hub.peers[1].endpoint.handle_timeout(now);
    while hub.turn() {}
    assert_eq!(alarms(&hub, 1), [(Alarm::BadSignature, 1), (Alarm::BadSignature, 19_999)]);
    // A screen is not filled with them.
    let unsigned = |event: &Event| matches!(event, Event::Unreadable { signed: false, .. });
    assert!(hub.count(1, unsigned) <= 2 * 64, "{}", hub.count(1, unsigned));
}

/// Goal: a header without its sender's signature shows no gap and asks nobody. Before: "500 messages
/// of alice are missing", and a KEYREQ to her.
#[test]
fn a_header_that_nobody_has_signed_counts_for_nothing() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "before");
    let good = RawFrame::decode(hub.seen.last().expect("said").clone()).expect("a frame");
    let Ok(Header::Message(said)) = Header::parse(good.header()) else { unreachable!() };
    let now = hub.now;
    let strange = MessageHeader { e: Digest([5; 32]), n: 500, ..said.clone() };
    let next = MessageHeader { n: 1, id: MessageId([4; 16]), ..said.clone() };
    let last = MessageHeader { e: Digest([6; 32]), n: u32::MAX, ..said };
    for (position, header) in (900..).zip([strange, next, last]) {
        hub.peers[1].endpoint.handle_binary(now, unsigned(position, &header, 64));
    }
    pass(&mut hub, 70 * SECOND_MS);
    let gaps = |event: &Event| matches!(event, Event::Gap { .. } | Event::Unhealed { .. });
    assert_eq!(hub.count(1, gaps), 0);
    // Nothing of them is kept: what a program must not miss is kept until it has dealt with it.
    let unsigned = |event: &Event| matches!(event, Event::Unreadable { signed: false, .. });
    assert_eq!(hub.count(1, unsigned), 3);
    assert_eq!(sent(&hub, "bob", Tag::Keyreq), 0);
    say(&mut hub, 0, "after");
    assert_eq!(hub.texts(1), ["alice: before", "alice: after"]);
}

/// Goal: a receipt counts in the conversation of its message. Before: it was counted in any.
#[test]
fn a_receipt_for_another_conversation_does_not_count() {
    for (cid, counts) in [("room:lobby", 0), ("dm:alice:bob", 1)] {
        let mut hub = TestHub::with(&["alice", "bob"]);
        let now = hub.now;
        hub.disconnect(1);
        tell(&mut hub, 0, "bob", "did you get this?");
        let frame = RawFrame::decode(hub.seen.last().expect("said").clone()).expect("a frame");
        let Ok(Header::Message(said)) = Header::parse(frame.header()) else { unreachable!() };
        let keys = std::sync::Arc::clone(&hub.peers[1].endpoint.device().keys);
        let header = ReceiptHeader {
            v: 1,
            t: Tag::Ack,
            stage: Stage::Delivered,
            cid: ConversationId::parse(cid).expect("a conversation"),
            from: name("bob"),
            sk: keys.signing_id(),
            to: name("alice"),
            id: MessageId([8; 16]),
            ts: now,
        };
        let re = vec![(said.id, frame.digest(label::MSG))];
        let receipt: Unsigned = envelope::receipt(&header, &ReceiptBody { re, code: None });
        hub.hand(0, &sign_all(&keys.signing, &[receipt]).remove(0));
        hub.run();
        let delivered = |event: &Event| matches!(event, Event::Delivered { .. });
        assert_eq!(hub.count(0, delivered), counts, "{cid}");
    }
}

/// Goal: a room does not stop when the hub holds back only the wrap of one epoch: it is asked for
/// again within 15 s, and then, as a key that does not open, healed by its sender. Before: the room
/// stopped on that device without a word.
#[test]
fn a_wrap_that_is_held_back_is_asked_for_again_and_then_done_without() {
    for (times, connections) in [(1, 1), (2, 2), (3, 2)] {
        let mut hub = TestHub::with(&["alice", "bob"]);
        hub.faults.lose_wraps = times;
        let now = hub.now;
        hub.peers[0].endpoint.say(now, &lobby(), "zero").expect("a text");
        let asked = pass(&mut hub, 15 * SECOND_MS);
        assert_eq!(asked, 1, "{times}");
        let more = pass(&mut hub, 45 * SECOND_MS);
        assert_eq!(asked + more, connections, "{times}");
        assert_eq!(hub.texts(1), ["alice: zero"], "{times}");
        let told = if times < 3 { vec![] } else { vec![(Alarm::BadChain, 1)] };
        assert_eq!(alarms(&hub, 1), told, "{times}");
        say(&mut hub, 0, "one");
        assert_eq!(hub.texts(1).last().expect("shown"), "alice: one");
    }
}

/// Goal: a maker of keys that do not open costs three tries in ten minutes. Before: each was tried.
#[test]
fn a_maker_whose_keys_do_not_open_is_left_alone_for_a_while() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.rule = Some(Box::new(|index, _| if index == 1 { Fate::BadWrap } else { Fate::Good }));
    let tried = |hub: &TestHub| alarms(hub, 1).iter().map(|(_, count)| *count).sum::<u32>();
    for _ in 0..8 {
        hub.forge_epoch(0, None);
        while hub.turn() {}
    }
    pass(&mut hub, 61 * SECOND_MS);
    assert_eq!(tried(&hub), 3);
    hub.rule = None;
    pass(&mut hub, 600 * SECOND_MS);
    let mut alice = hub.forge_epoch(0, None);
    while hub.turn() {}
    let frame = alice.text("it opens again");
    hub.hand(1, &frame);
    while hub.turn() {}
    assert_eq!(hub.texts(1), ["alice: it opens again"]);
}

/// Goal: what was not meant for somebody is not asked for. Before: it was, and anew with each connection.
/// Method: bob leaves the room, something is said, and he comes back: the next message names one that was
/// not for him, and says so.
#[test]
fn what_was_not_for_oneself_is_not_asked_for() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    say(&mut hub, 0, "to bob too");
    let now = hub.now;
    hub.peers[1].endpoint.act_in_room(now, &lobby(), RoomAction::Leave);
    hub.run();
    say(&mut hub, 0, "without bob");
    let now = hub.now;
    hub.peers[1].endpoint.act_in_room(now, &lobby(), RoomAction::Join { create: false });
    hub.run();
    say(&mut hub, 0, "he is back");
    say(&mut hub, 0, "and again");
    for _ in 0..3 {
        hub.disconnect(1);
        hub.connect(1);
        pass(&mut hub, 60 * SECOND_MS);
    }
    assert_eq!(
        hub.texts(1),
        ["to bob too", "he is back", "and again"].map(|t| format!("alice: {t}"))
    );
    assert_eq!(sent(&hub, "bob", Tag::Keyreq), 0);
    assert_untroubled(&hub, 1);
}

/// Frames of one step, for a device without a hub.
fn frames(step: &Step) -> usize {
    step.transmits.len()
}

/// A link in b64, as an answer carries it.
fn b64(bytes: &[u8]) -> B64Vec {
    B64Vec(bytes.to_vec())
}
