//! What a hub, or a member beside an honest one, can make a device keep or ask for (rule R39).

use bytes::Bytes;
use chat_endpoint::Transmit;
use chat_endpoint::limits::SILENT_EPOCHS_MAX;
use chat_protocol::frame::{Unsigned, Upload, sign_all};
use chat_protocol::header::{Canonical as _, Recipient};
use chat_protocol::hub::{self, ClientToHub, DropClaim, Head, HubToClient};
use chat_protocol::id::Digest;
use chat_protocol::name::{ConversationId, RoomName};
use chat_protocol::retention::DELETED_KEEP_MS;
use chat_protocol::tag::{Tag, label};

use super::{MIB, SECOND_MS, alarms, assert_untroubled, b64, invented, pass, say, unsigned};
use crate::hub::{TestHub, lobby, name};

const HOUR_MS: u64 = 3600 * SECOND_MS;

/// The questions that a step of bob's sends.
fn questions(hub: &mut TestHub) -> Vec<ClientToHub> {
    let now = hub.now;
    let step = hub.peers[1].endpoint.finish(now);
    let texts = step.transmits.into_iter().filter_map(|transmit| match transmit {
        Transmit::Text(text) => Some(hub::read(&text).expect("a question")),
        Transmit::Binary(_) => None,
    });
    texts.collect()
}

/// Goal: however often the hub says that somebody has new keys, one question about them is open, and
/// what came meanwhile is asked for afterwards. Before: a question for each notice.
#[test]
fn notices_of_new_keys_make_one_question_at_a_time() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "before");
    let now = hub.now;
    let notice = hub::write(&HubToClient::Keys { users: vec![name("bob")] });
    let mut asked = Vec::new();
    for _ in 0..200 {
        hub.peers[1].endpoint.handle_text(now, &notice);
        asked.extend(questions(&mut hub).into_iter().filter_map(|question| match question {
            ClientToHub::Bundles { id, .. } => Some(id),
            _ => None,
        }));
    }
    assert_eq!(asked.len(), 1);
    let (people, unknown, more) = (std::collections::BTreeMap::new(), Vec::new(), false);
    let id = *asked.first().expect("one");
    let answer = HubToClient::Bundles { id, people, unknown, gone: Vec::new(), more };
    hub.peers[1].endpoint.handle_text(now, &hub::write(&answer));
    let again = questions(&mut hub);
    assert!(matches!(&again[..], [ClientToHub::Bundles { .. }]), "{again:?}");
}

/// Goal: rooms of which nothing is held cannot differ from what is held. Before: the chain of each was
/// fetched from its beginning.
#[test]
fn heads_of_unknown_rooms_ask_for_nothing() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let (now, held) = (hub.now, hub.peers[1].endpoint.held_bytes());
    let unknown = |number: u32| Head {
        cid: ConversationId::room(&RoomName::new(&format!("r{number}")).expect("a name")),
        mg: 0,
        pm: Digest([7; 32]),
        epoch: None,
    };
    let heads = (0..500).map(unknown).collect();
    let told = hub::write(&HubToClient::Heads { id: None, heads, more: false });
    hub.peers[1].endpoint.handle_text(now, &told);
    let asked = questions(&mut hub);
    assert!(asked.is_empty(), "{} questions", asked.len());
    assert!(hub.peers[1].endpoint.held_bytes() < held + MIB / 4);
}

/// Goal: what cannot be a link does not wait as one. Before: 1,024 frames of any length, 190 MiB.
#[test]
fn long_frames_do_not_wait_as_links() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    let header = invented("alice", "room:endless", Digest([1; 32]), 0).to_bytes();
    let keys = std::sync::Arc::clone(&hub.peers[0].endpoint.device().keys);
    let long = Unsigned::new(label::MSG, header, vec![0; 150 << 10]);
    let long = b64(&sign_all(&keys.signing, &[long]).remove(0));
    let cid = ConversationId::room(&RoomName::new("endless").expect("a name"));
    hub.peers[1].endpoint.refresh(&cid);
    let mut asked = 0;
    while let Some(ClientToHub::Members { id, cid, .. }) =
        questions(&mut hub).into_iter().find(|q| matches!(q, ClientToHub::Members { .. }))
    {
        asked += 1;
        let links = vec![long.clone()];
        let answer = HubToClient::Members { id, cid, links, more: true, closed: false };
        hub.peers[1].endpoint.handle_text(now, &hub::write(&answer));
        assert!(asked < 10, "no end");
    }
    assert!(hub.peers[1].endpoint.held_bytes() < MIB);
}

/// Goal: parts that are worth nothing give an epoch no more time. Before: one every 9 s, and the room
/// stopped without a word.
#[test]
fn useless_parts_do_not_put_off_the_end() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.faults.lose_wraps = 1;
    let now = hub.now;
    hub.peers[0].endpoint.say(now, &lobby(), "zero").expect("a text");
    pass(&mut hub, 0);
    let e = hub.newest_epoch().0.e;
    let useless = Upload::Members { e, offset: 77_777, bytes: Bytes::new() }.encode();
    let mut connections = 0;
    for _ in 0..3 {
        let now = hub.now;
        hub.peers[1].endpoint.handle_binary(now, useless.clone());
        connections += pass(&mut hub, 9 * SECOND_MS);
    }
    assert_eq!(connections, 1);
    assert_eq!(hub.texts(1), ["alice: zero"]);
}

/// Goal: epochs in which nobody says anything are not kept for ever. Before: a member that made one a
/// second filled the homes of all others.
#[test]
fn epochs_in_which_nothing_is_said_are_forgotten() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "before");
    for _ in 0..SILENT_EPOCHS_MAX + 60 {
        hub.forge_epoch(0, None);
        while hub.turn() {}
    }
    let rows = |kind: &str| {
        let rows = hub.peers[1].store.rows();
        rows.iter().filter(|(key, _)| key.starts_with(kind)).count()
    };
    // The one in which something was said, and the current one, are kept beside them.
    assert_eq!(rows("epoch/"), SILENT_EPOCHS_MAX + 2);
    assert!(rows("chain/") <= 2 * (SILENT_EPOCHS_MAX + 2));
    assert_eq!(alarms(&hub, 1), []);
    let mut forger = hub.forge_epoch(0, None);
    let frame = forger.text("after");
    hub.hand(1, &frame);
    while hub.turn() {}
    assert_eq!(hub.texts(1), ["alice: before", "alice: after"]);
}

/// Goal: a hub that lost more links than are kept is told the newest. Before: it was told none.
#[test]
fn a_hub_is_reminded_of_the_links_that_are_kept() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    say(&mut hub, 0, "before");
    let older = hub.snapshot();
    for _ in 0..150 {
        hub.leave(1);
        hub.come_back(1);
    }
    hub.disconnect(0);
    hub.connect(0);
    hub.peers[0].endpoint.refresh(&ConversationId::room(&lobby()));
    hub.run();
    assert_untroubled(&hub, 0);
    hub.put_back(&older);
    hub.connect(0);
    hub.run();
    assert_eq!(hub.links_reminded, 256);
}

/// Goal: what a hub says of conversations that nobody has leaves nothing. Before: two rows for each room, loaded at each
/// start, and no word of it. Method: rooms of which it has dropped messages, or that it calls deleted, and frames by
/// people who do not exist.
#[test]
fn what_a_hub_says_of_invented_conversations_is_not_kept() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "before");
    let rows = |hub: &TestHub| {
        let rows = hub.peers[1].store.rows().into_iter().map(|(key, _)| key);
        let kinds = ["cursor/", "dropped/", "deleted/", "excused/"];
        rows.filter(|key| kinds.iter().any(|kind| key.starts_with(kind))).count()
    };
    let before = rows(&hub);
    for number in 0..100u64 {
        let now = hub.now;
        let bob = &mut hub.peers[1].endpoint;
        for keep_ms in [DELETED_KEEP_MS, HOUR_MS] {
            let cid = ConversationId::room(&RoomName::new(&format!("r{number}")).expect("a name"));
            let claim = DropClaim { cid, position: 1, before_ms: 0, keep_ms, messages: 1 };
            bob.handle_text(now, &hub::write(&HubToClient::Dropped(claim)));
        }
        let from = format!("a{number}");
        let cid = ConversationId::direct(&name(&from), &name("bob")).expect("two");
        let mut header = invented(&from, cid.as_str(), Digest([9; 32]), 0);
        (header.t, header.to) = (Tag::Dm, Recipient::User(name("bob")));
        bob.handle_binary(now, unsigned(1_000 + number, &header, 64));
        let header = invented(&from, &format!("room:x{number}"), Digest([9; 32]), 0);
        bob.handle_binary(now, unsigned(2_000 + number, &header, 64));
        while hub.turn() {}
    }
    pass(&mut hub, 10 * SECOND_MS);
    assert_eq!(rows(&hub), before);
    say(&mut hub, 0, "after");
    assert_eq!(hub.texts(1), ["alice: before", "alice: after"]);
}

/// Goal: nothing is held of rooms that a hub invents and calls deleted, for as long as a connection lasts. Before: the
/// name of each. Method: so many claims without a message, and then the room that this user is in.
#[test]
fn nothing_is_held_of_invented_rooms_that_a_hub_calls_deleted() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "before");
    let (now, held) = (hub.now, hub.peers[1].endpoint.held_bytes());
    let deleted = |text: &str| {
        let cid = ConversationId::room(&RoomName::new(text).expect("a name"));
        let keep_ms = DELETED_KEEP_MS;
        let claim = DropClaim { cid, position: 0, before_ms: now, keep_ms, messages: 0 };
        hub::write(&HubToClient::Dropped(claim))
    };
    let bob = &mut hub.peers[1].endpoint;
    for number in 0..10_000 {
        bob.handle_text(now, &deleted(&format!("r{number}")));
    }
    assert_eq!(bob.held_bytes(), held);
    bob.handle_text(now, &deleted("lobby"));
    assert!(bob.held_bytes() > held, "this tests nothing");
}
