//! Pairing, credit, cheats, and how transfers end.

mod far;

use std::time::Duration;

use bytes::Bytes;
use chat_protocol::{
    file::chunk::{FileHeader, TransferKey},
    frame::RawFrame,
    header::{Canonical as _, Recipient},
    id::MessageId,
    limits::FILE_CHUNK_BYTES,
    name::ConversationId,
    tag::Tag,
};

use super::*;
use crate::limits::{
    DATA_IDLE_TIME_MAX, END_REASON_BYTES_MAX, HALF_TRANSFER_TIME_MAX, TRANSFER_STALL_TIME_MAX,
    TRANSFER_WINDOW_CHUNKS as WINDOW, TRANSFERS_PER_CONNECTION_MAX, TRANSFERS_RUNNING_MAX,
};

/// Data connections of a person.
const CONNECTIONS_MAX: usize = 8;

const ALICE: ConnectionId = ConnectionId(1);
const BOB: ConnectionId = ConnectionId(2);
const CAROL: ConnectionId = ConnectionId(3);
const TID: Nonce16 = Nonce16([7; 16]);

fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

fn key(of: ConnectionId) -> KeyId {
    KeyId([u8::try_from(of.0).unwrap(); 16])
}

struct World {
    table: Transfers,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let (mut table, now) = (Transfers::default(), Instant::now());
        for (id, user) in [(ALICE, "alice"), (BOB, "bob"), (CAROL, "carol")] {
            table.enter(now, id, (name(user), CONNECTIONS_MAX), key(id)).unwrap();
        }
        Self { table, now }
    }

    fn give(&mut self) -> Vec<Effect> {
        self.table.give(self.now, ALICE, TID, name("bob")).unwrap()
    }

    fn take(&mut self, credit: u32) -> Vec<Effect> {
        self.table.take(self.now, BOB, TID, name("alice"), credit).unwrap()
    }

    fn paired() -> Self {
        let mut world = Self::new();
        world.give();
        world.take(WINDOW);
        world
    }

    fn send(&mut self, from: ConnectionId, header: &FileHeader) -> Result<Target, Fault> {
        let frame = frame(header, 100);
        self.table.chunk(self.now, from, header, &frame)
    }

    /// A chunk that goes to Bob; the caller holds it.
    fn forward(&mut self, index: u32) -> Bytes {
        match self.send(ALICE, &header(index)) {
            Ok(Target::Taker(BOB, bytes)) => bytes,
            other => panic!("{other:?}"),
        }
    }
}

fn header(index: u32) -> FileHeader {
    FileHeader {
        v: 1,
        t: Tag::File,
        cid: ConversationId::parse("dm:alice:bob").unwrap(),
        from: name("alice"),
        sk: key(ALICE),
        to: Recipient::User(name("bob")),
        id: MessageId([1; 16]),
        tid: TID,
        i: index,
        last: false,
        ts: 1,
    }
}

fn frame(header: &FileHeader, data: usize) -> RawFrame {
    let bytes = TransferKey::new(&[1; 32], &header.tid).seal(header, &[], &vec![0; data]);
    assert!(bytes.len() > header.to_bytes().len() + data);
    RawFrame::decode(bytes).unwrap()
}

fn credit(to: ConnectionId, n: u32) -> Effect {
    Effect::Tell(to, HubToRelay::Credit { tid: TID, n })
}

/// Who is told END with which code, and how the log ends.
fn ends(effects: &[Effect]) -> Vec<(ConnectionId, String)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Tell(to, HubToRelay::End { code, .. }) => Some((*to, code.clone())),
            _ => None,
        })
        .collect()
}

fn no_peer(to: ConnectionId) -> Vec<(ConnectionId, String)> {
    vec![(to, code::NO_PEER.to_owned())]
}

#[test]
fn two_halves_meet_in_both_orders_and_credit_goes_to_the_giver() {
    for giver_first in [true, false] {
        let mut world = World::new();
        let (first, second) =
            if giver_first { (world.give(), world.take(5)) } else { (world.take(5), world.give()) };
        assert_eq!(first, Vec::new(), "nobody is told of half a transfer");
        let [Effect::Began(summary), told] = &second[..] else { panic!("{second:?}") };
        assert_eq!((summary.from.as_str(), summary.to.to_string()), ("alice", "bob".to_owned()));
        assert_eq!(*told, credit(ALICE, 5));
        assert_eq!(world.table.running(), 1);
    }
}

#[test]
fn only_the_named_two_meet() {
    let mut world = World::new();
    world.give();
    let others = world.table.take(world.now, CAROL, TID, name("alice"), WINDOW).unwrap();
    assert_eq!(others, Vec::new(), "she waits for a transfer that is not hers");
    let others = world.table.give(world.now, CAROL, Nonce16([8; 16]), name("bob")).unwrap();
    assert_eq!(others, Vec::new());
    assert_eq!(world.table.running(), 0);
    world.take(WINDOW);
    assert_eq!(world.table.running(), 1);
}

#[test]
fn a_chunk_costs_one_credit_and_beyond_it_the_giver_is_cut() {
    let mut world = World::paired();
    let held: Vec<Bytes> = (0..WINDOW).map(|index| world.forward(index)).collect();
    let fault = world.send(ALICE, &header(WINDOW)).unwrap_err();
    assert!(fault.text().contains("beyond the credit"), "{fault}");
    drop(held);
    assert_eq!(world.table.credit(world.now, BOB, TID, 2).unwrap(), vec![credit(ALICE, 2)]);
    world.forward(8);
    world.forward(9);
    assert!(world.send(ALICE, &header(10)).is_err());
}

#[test]
fn a_giver_without_a_taker_has_no_credit() {
    let mut world = World::new();
    world.give();
    assert!(world.send(ALICE, &header(0)).is_err());
    let mut world = World::new();
    world.give();
    world.take(0);
    assert!(world.send(ALICE, &header(0)).is_err());
    assert_eq!(world.table.credit(world.now, BOB, TID, 1).unwrap(), vec![credit(ALICE, 1)]);
    world.forward(0);
}

#[test]
fn a_taker_cannot_give_credit_for_what_it_has_not_taken() {
    let mut world = World::paired();
    assert!(world.table.credit(world.now, BOB, TID, 1).is_err(), "the window is open already");
    let held: Vec<Bytes> = (0..3).map(|index| world.forward(index)).collect();
    assert!(world.table.credit(world.now, BOB, TID, 1).is_err(), "they wait for its socket");
    let clone = held[0].clone();
    drop(held);
    assert!(world.table.credit(world.now, BOB, TID, 3).is_err(), "one of them still does");
    assert_eq!(world.table.credit(world.now, BOB, TID, 2).unwrap(), vec![credit(ALICE, 2)]);
    drop(clone);
    assert_eq!(world.table.credit(world.now, BOB, TID, 1).unwrap(), vec![credit(ALICE, 1)]);
    assert!(world.table.credit(world.now, BOB, TID, u32::MAX).is_err());
    assert!(world.table.take(world.now, BOB, Nonce16([9; 16]), name("alice"), WINDOW + 1).is_err());
}

#[test]
fn a_chunk_must_be_of_its_sender_key_transfer_and_recipient() {
    type Change = fn(&mut FileHeader);
    let wrong: [(&str, Change); 4] = [
        ("from", |header| header.from = name("carol")),
        ("sk", |header| header.sk = KeyId([9; 16])),
        ("to", |header| header.to = Recipient::Everyone),
        ("tid", |header| header.tid = Nonce16([9; 16])),
    ];
    for (what, change) in wrong {
        let mut world = World::paired();
        let mut header = header(0);
        change(&mut header);
        assert!(world.send(ALICE, &header).is_err(), "{what}");
        world.forward(0);
    }
    let mut world = World::paired();
    let of_bob = FileHeader { from: name("bob"), sk: key(BOB), ..header(0) };
    assert!(world.send(BOB, &of_bob).is_err(), "the taker gives nothing");
    assert!(
        world.table.credit(world.now, ALICE, TID, 1).is_err(),
        "the giver has no credit to give"
    );
}

#[test]
fn an_end_of_either_side_reaches_the_other_and_frees_the_number() {
    for (side, other) in [(ALICE, BOB), (BOB, ALICE)] {
        for (reason, code) in [("", ""), ("the file has changed", code::NO_PEER)] {
            let mut world = World::paired();
            world.forward(0);
            let effects = world.table.end(world.now, side, TID, reason).unwrap();
            assert_eq!(ends(&effects), vec![(other, code.to_owned())]);
            let Some(Effect::Ended(summary, ended)) = effects.last() else { panic!("{effects:?}") };
            assert_eq!((summary.chunks, *ended), (1, code));
            assert!(summary.bytes > 100);
            assert_eq!(world.table.running(), 0);
            assert_eq!(world.table.end(world.now, other, TID, "").unwrap(), Vec::new());
            world.give();
            world.take(WINDOW);
            assert_eq!(world.table.running(), 1);
        }
    }
}

#[test]
fn chunks_on_their_way_when_the_taker_ends_are_dropped_and_no_more() {
    let mut world = World::paired();
    world.forward(0);
    world.table.end(world.now, BOB, TID, "enough").unwrap();
    for index in 1..WINDOW {
        assert_eq!(world.send(ALICE, &header(index)), Ok(Target::Nowhere));
    }
    assert!(world.send(ALICE, &header(WINDOW)).is_err());
}

#[test]
fn a_lost_connection_ends_all_of_its_transfers() {
    for (lost, other) in [(ALICE, BOB), (BOB, ALICE)] {
        let mut world = World::paired();
        let effects = world.table.leave(world.now, lost);
        assert_eq!(ends(&effects), no_peer(other));
        assert_eq!(world.table.running(), 0);
        assert!(world.table.by_id.is_empty() && world.table.by_key.is_empty());
    }
}

#[test]
fn a_half_and_a_transfer_that_stands_still_end_after_their_time() {
    let mut world = World::new();
    world.give();
    let almost = world.now + HALF_TRANSFER_TIME_MAX - Duration::from_millis(1);
    assert_eq!(world.table.tend(almost, ALICE), (Vec::new(), false));
    let (effects, _) = world.table.tend(world.now + HALF_TRANSFER_TIME_MAX, ALICE);
    assert_eq!(ends(&effects), no_peer(ALICE));
    assert!(world.table.by_key.is_empty());

    let mut world = World::paired();
    world.now += TRANSFER_STALL_TIME_MAX / 2;
    world.forward(0);
    world.now += TRANSFER_STALL_TIME_MAX / 2;
    assert_eq!(ends(&world.table.tend(world.now, BOB).0), Vec::new(), "it moved meanwhile");
    world.now += TRANSFER_STALL_TIME_MAX / 2;
    let told = ends(&world.table.tend(world.now, BOB).0);
    assert_eq!(told, [no_peer(ALICE), no_peer(BOB)].concat());
}

#[test]
fn a_connection_without_transfers_is_idle_and_one_with_them_is_not() {
    let mut world = World::paired();
    let begin = world.now;
    world.now += DATA_IDLE_TIME_MAX * 9 / 10;
    world.forward(0);
    assert!(!world.table.tend(world.now, CAROL).1);
    world.now = begin + DATA_IDLE_TIME_MAX;
    assert!(world.table.tend(world.now, CAROL).1);
    assert!(!world.table.tend(world.now, ALICE).1);
    world.table.end(world.now, ALICE, TID, "").unwrap();
    assert!(!world.table.tend(world.now, ALICE).1, "it counts from the last transfer");
    assert!(world.table.tend(world.now + DATA_IDLE_TIME_MAX, ALICE).1);
}

#[test]
fn transfers_of_a_connection_and_connections_of_a_person_are_bounded() {
    let mut world = World::new();
    let tid = |n: usize| Nonce16([u8::try_from(n).unwrap() + 100; 16]);
    for n in 0..TRANSFERS_PER_CONNECTION_MAX {
        let effects = world.table.give(world.now, ALICE, tid(n), name("bob")).unwrap();
        assert_eq!(effects, Vec::new());
    }
    let more = world.table.give(world.now, ALICE, TID, name("bob")).unwrap();
    assert_eq!(ends(&more), vec![(ALICE, code::TOO_MANY.to_owned())]);
    assert!(world.table.give(world.now, ALICE, tid(0), name("bob")).is_err(), "twice the same");

    for n in 1..u64::try_from(CONNECTIONS_MAX).unwrap() {
        world
            .table
            .enter(world.now, ConnectionId(100 + n), (name("alice"), CONNECTIONS_MAX), key(ALICE))
            .unwrap();
    }
    let more = world.table.enter(
        world.now,
        ConnectionId(200),
        (name("alice"), CONNECTIONS_MAX),
        key(ALICE),
    );
    assert_eq!(more.unwrap_err().code, code::TOO_MANY);
    world.table.leave(world.now, ALICE);
    world
        .table
        .enter(world.now, ConnectionId(200), (name("alice"), CONNECTIONS_MAX), key(ALICE))
        .unwrap();
}

#[test]
fn transfers_that_run_are_bounded_and_both_sides_are_told() {
    let mut world = World::paired();
    world.table.running = TRANSFERS_RUNNING_MAX;
    let tid = Nonce16([8; 16]);
    world.table.give(world.now, ALICE, tid, name("bob")).unwrap();
    let effects = world.table.take(world.now, BOB, tid, name("alice"), WINDOW).unwrap();
    let busy = code::TOO_MANY.to_owned();
    assert_eq!(ends(&effects), vec![(BOB, busy.clone()), (ALICE, busy)]);
    assert_eq!(world.table.running(), TRANSFERS_RUNNING_MAX);
}

#[test]
fn a_second_half_of_the_same_side_is_refused() {
    let mut world = World::paired();
    let second = ConnectionId(4);
    world.table.enter(world.now, second, (name("bob"), CONNECTIONS_MAX), key(second)).unwrap();
    let effects = world.table.take(world.now, second, TID, name("alice"), 1).unwrap();
    assert_eq!(ends(&effects), vec![(second, code::CONFLICT.to_owned())]);
    world.forward(0);
}

/// A file of two chunks, the second of 100 bytes.
fn size_of_two() -> u64 {
    u64::try_from(FILE_CHUNK_BYTES + 100).unwrap()
}

fn chunk_of_copy(index: u32) -> (FileHeader, RawFrame) {
    let header = FileHeader { to: Recipient::Everyone, last: index == 1, ..header(index) };
    // One sibling on the way to the root.
    let data = if index == 0 { FILE_CHUNK_BYTES + 32 } else { 132 };
    let frame = frame(&header, data);
    (header, frame)
}

#[test]
fn a_copy_comes_in_with_the_credit_of_the_disk() {
    let mut world = World::new();
    let (id, effects) = world.table.keep(world.now, ALICE, TID, (2, size_of_two())).unwrap();
    assert!(effects.contains(&credit(ALICE, 2)), "no more than it has chunks: {effects:?}");
    for index in [1, 0] {
        let (header, frame) = chunk_of_copy(index);
        let target = world.table.chunk(world.now, ALICE, &header, &frame).unwrap();
        let Target::Disk(disk, bytes) = target else { panic!("{target:?}") };
        assert_eq!((Some(disk), &bytes), (id, frame.bytes()));
        drop(bytes);
        assert_eq!(world.table.written(world.now, disk, 1), Vec::new(), "no more is wanted");
    }
    let (header, frame) = chunk_of_copy(1);
    assert!(world.table.chunk(world.now, ALICE, &header, &frame).is_err(), "beyond the credit");
    assert_eq!(world.table.end(world.now, ALICE, TID, "").unwrap(), Vec::new(), "KEPT comes");
    let effects = world.table.kept(world.now, id.unwrap(), 99);
    assert!(effects.contains(&Effect::Tell(ALICE, HubToRelay::Kept { tid: TID, until: 99 })));
    assert_eq!(world.table.running(), 0);
}

#[test]
fn a_long_copy_gets_credit_as_it_is_written() {
    let mut world = World::new();
    let (id, effects) = world.table.keep(world.now, ALICE, TID, (100, 1)).unwrap();
    assert!(effects.contains(&credit(ALICE, WINDOW)));
    let id = id.unwrap();
    assert_eq!(world.table.written(world.now, id, 1), Vec::new(), "nothing came yet");
    world.table.by_id.get_mut(&id).unwrap().open = 0;
    world.table.by_id.get_mut(&id).unwrap().chunks = 8;
    assert_eq!(world.table.written(world.now, id, 3), vec![credit(ALICE, 3)]);
}

#[test]
fn chunks_that_do_not_fit_the_size_of_a_copy_are_refused() {
    for change in 0..4 {
        let mut world = World::new();
        world.table.keep(world.now, ALICE, TID, (2, size_of_two())).unwrap();
        let (mut header, mut frame) = chunk_of_copy(1);
        match change {
            0 => frame = self::frame(&header, 133),
            1 => header.i = 2,
            2 => header.last = false,
            _ => header.i = 0,
        }
        assert!(world.table.chunk(world.now, ALICE, &header, &frame).is_err(), "{change}");
    }
}

#[test]
fn an_end_before_a_copy_is_complete_stops_it() {
    let mut world = World::new();
    let (id, _) = world.table.keep(world.now, ALICE, TID, (2, size_of_two())).unwrap();
    let effects = world.table.end(world.now, ALICE, TID, "").unwrap();
    assert!(effects.contains(&Effect::Stop(id.unwrap())), "{effects:?}");
    assert_eq!(world.table.running(), 0);
}

#[test]
fn a_copy_goes_out_with_the_credit_of_the_taker() {
    let mut world = World::new();
    let (id, _) = world.table.take_copy(world.now, BOB, TID, name("alice"), 1).unwrap();
    let id = id.unwrap();
    let bytes = Bytes::from_static(b"chunk");
    let Target::Taker(BOB, first) = world.table.chunk_of_copy(world.now, id, bytes.clone()) else {
        panic!("to bob")
    };
    assert_eq!(world.table.wanted(id), Some(0));
    assert_eq!(world.table.chunk_of_copy(world.now, id, bytes), Target::Nowhere);
    drop(first);
    assert_eq!(world.table.credit(world.now, BOB, TID, 4).unwrap(), vec![Effect::Go(id)]);
    assert_eq!(world.table.wanted(id), Some(4));
    let effects = world.table.leave(world.now, BOB);
    assert!(effects.contains(&Effect::Stop(id)));
    assert_eq!(world.table.wanted(id), None);
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let mut world = World::paired();
    let effects = world.table.end(world.now, ALICE, TID, &"ü".repeat(500)).unwrap();
    let [Effect::Tell(BOB, HubToRelay::End { reason, .. }), _] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(reason.len(), END_REASON_BYTES_MAX);
}
