//! Feeds (rule R18): what one says in open rooms is sealed again for those who follow, once, and
//! nothing else is.

use chat_endpoint::{Alarm, Event, MemberChange, RoomAction};
use chat_protocol::envelope;
use chat_protocol::frame::{Delivery, RawFrame, sign_all};
use chat_protocol::header::{Header, MessageHeader, Recipient};
use chat_protocol::hub::{self, HubStage, HubToClient};
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::name::ConversationId;
use chat_protocol::ratchet::MessageKey;
use chat_protocol::tag::{Tag, label};

use crate::hub::{Fate, TestHub, lobby, name};

const OPEN: RoomAction = RoomAction::Create { private: false };

/// Alice follows bob, who is alone in the open room ops; carol is there too, and follows nobody.
fn followed() -> TestHub {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    let id = follow(&mut hub, 0, "bob");
    assert_eq!(hub.answer_to(0, id), "joined");
    hub.act(1, "ops", OPEN);
    hub
}

fn follow(hub: &mut TestHub, index: usize, whom: &str) -> MessageId {
    let now = hub.now;
    let id = hub.peers[index].endpoint.subscribe(now, &name(whom));
    hub.run();
    id
}

/// Where a device was shown what: conversation, room and text.
fn shown(hub: &TestHub, index: usize) -> Vec<String> {
    let place = |event: &Event| match event {
        Event::Message { cid, said_in, text, .. } => {
            let room = said_in.as_ref().map(|room| format!(" in {room}")).unwrap_or_default();
            Some(format!("{cid}{room}: {text}"))
        }
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(place).collect()
}

/// Ids of what was sealed for a feed.
fn copies(hub: &TestHub) -> Vec<MessageId> {
    let header = |frame: &bytes::Bytes| {
        let frame = RawFrame::decode(frame.clone()).unwrap();
        match Header::parse(frame.header()).unwrap() {
            Header::Message(header) => header,
            other => panic!("{other:?}"),
        }
    };
    let headers = hub.seen.iter().map(header);
    headers.filter(|header| header.cid.is_feed()).map(|header| header.id).collect()
}

fn alarms(hub: &TestHub, index: usize) -> usize {
    hub.count(index, |event| matches!(event, Event::Alarm { .. }))
}

#[test]
fn a_copy_reaches_who_follows_and_its_sender_hears_of_the_original_alone() {
    let mut hub = followed();
    let id = hub.say_in(1, "ops", "the disk is full");
    let now = hub.now;
    let ops = ConversationId::room(&crate::hub::room("ops"));
    hub.peers[1].endpoint.send(now, ops, "the butler", true).unwrap();
    hub.run();
    let expected = ["feed:bob in ops: the disk is full", "feed:bob in ops: uif cvumfs"];
    assert_eq!(shown(&hub, 0), expected);
    assert!(hub.count(0, |event| matches!(event, Event::Message { veiled: true, .. })) == 1);
    assert!(shown(&hub, 2).is_empty());
    assert_eq!(copies(&hub)[0], id, "under the same id");
    let stored =
        |event: &Event| matches!(event, Event::Stored { recipients, .. } if recipients.is_empty());
    assert_eq!(hub.count(1, stored), 2, "the room's answer for each, and no other");
    assert_eq!(hub.count(1, |event| matches!(event, Event::Delivered { .. })), 0);
    assert!(hub.receipts.is_empty(), "nobody owes a receipt for a copy");
    assert!(hub.peers.iter().all(|peer| peer.endpoint.unanswered() == 0));
    assert!(hub.peers.iter().all(|peer| !peer.endpoint.owes_receipts()));
    assert_eq!((alarms(&hub, 0), alarms(&hub, 1)), (0, 0));
}

/// Goal: what both bring is shown once, whichever comes first.
/// Method: both are in the lobby; what is said there is delivered before its copy and after it.
#[test]
fn who_is_in_the_same_room_is_shown_it_once() {
    for late in [false, true] {
        let mut hub = followed();
        hub.say_in(1, "ops", "makes the keys");
        let now = hub.now;
        hub.peers[1].endpoint.say(now, &lobby(), "makes the lobby's").unwrap();
        hub.run();
        if late {
            hub.rule = Some(Box::new(|to, bytes| {
                let header = RawFrame::decode(bytes.to_vec().into()).unwrap();
                let header = Header::parse(header.header());
                let in_lobby =
                    matches!(header, Ok(Header::Message(h)) if h.cid.as_str() == "room:lobby");
                if to == 0 && in_lobby { Fate::Late } else { Fate::Good }
            }));
        }
        let now = hub.now;
        hub.peers[1].endpoint.say(now, &lobby(), "hello").unwrap();
        hub.run();
        let hello: Vec<String> =
            shown(&hub, 0).into_iter().filter(|line| line.ends_with("hello")).collect();
        let expected = if late { "feed:bob in lobby: hello" } else { "room:lobby: hello" };
        assert_eq!(hello, [expected], "late: {late}");
        let confirmed =
            |event: &Event| matches!(event, Event::Delivered { by, .. } if *by == name("alice"));
        assert_eq!(hub.count(1, confirmed), 2, "both of the lobby's are confirmed all the same");
    }
}

/// Goal: a room whose first message waits for a bundle or a view is not overtaken by the feed.
/// Method: alice's process is new and knows nobody's keys; everything comes to it anew.
#[test]
fn a_copy_does_not_overtake_what_waits_in_the_room() {
    let mut hub = followed();
    hub.say_in(1, "ops", "makes the keys");
    hub.disconnect(0);
    let now = hub.now;
    for text in ["one", "two"] {
        hub.peers[1].endpoint.say(now, &lobby(), text).unwrap();
    }
    hub.run();
    let now = hub.now;
    hub.peers[1].endpoint.say(now, &crate::hub::room("ops"), "three").unwrap();
    hub.run();
    hub.restarts(0);
    let last = shown(&hub, 0).split_off(1);
    assert_eq!(last, ["room:lobby: one", "room:lobby: two", "feed:bob in ops: three"]);
}

#[test]
fn only_what_is_said_in_open_rooms_is_copied() {
    let mut hub = followed();
    hub.act(1, "crew", RoomAction::Create { private: true });
    hub.say_in(1, "crew", "our secret");
    hub.say_in(1, "ALL", "to everybody");
    let now = hub.now;
    hub.peers[1].endpoint.tell_user(now, &name("carol"), "between us").unwrap();
    hub.run();
    assert!(copies(&hub).is_empty());
    let id = hub.say_in(1, "ops", "public");
    assert_eq!(copies(&hub), [id], "or this tests nothing");
    hub.say_in(2, "lobby", "carol has no followers");
    assert_eq!(copies(&hub).len(), 1);
}

#[test]
fn following_is_asked_for_once_and_never_of_oneself_and_both_see_it() {
    let mut hub = followed();
    for (whom, answer) in
        [("bob", "you follow bob already"), ("alice", "nobody follows themselves")]
    {
        let id = follow(&mut hub, 0, whom);
        let got = hub.answer_to(0, id);
        assert!(got.contains(answer), "{whom}: {got:?}");
    }
    let came = |event: &Event| {
        matches!(event, Event::MemberChanged { id: None, change: MemberChange::Joined, who, .. }
            if *who == name("alice"))
    };
    assert_eq!((hub.count(1, came), hub.count(2, came)), (1, 0), "bob is told, carol is not");
    follow(&mut hub, 2, "bob");
    assert_eq!(hub.count(0, |event| matches!(event, Event::MemberChanged { .. })), 0);
    hub.peers.iter_mut().for_each(|peer| peer.endpoint.subscriptions());
    hub.run();
    let lists = |index: usize| {
        hub.peers[index].events.iter().find_map(|event| match event {
            Event::Subscriptions { follows, subscribers } => {
                Some((follows.clone(), subscribers.clone()))
            }
            _ => None,
        })
    };
    assert_eq!(lists(0), Some((vec![name("bob")], vec![])));
    assert_eq!(lists(1), Some((vec![], vec![name("alice"), name("carol")])));
    assert_eq!((0..3).map(|index| alarms(&hub, index)).sum::<usize>(), 0);
}

/// Goal: who is put out cannot open the next copy, and who leaves gets none.
/// Method: alice keeps everything she ever got, and the hub hands her every frame and key.
#[test]
fn who_was_removed_cannot_open_the_next_copy() {
    let mut hub = followed();
    follow(&mut hub, 2, "bob");
    hub.say_in(1, "ops", "to both");
    let now = hub.now;
    let id = hub.peers[1].endpoint.remove_subscriber(now, &name("alice"));
    hub.run();
    assert_eq!(hub.answer_to(1, id), "Removed alice");
    let told =
        |event: &Event| matches!(event, Event::MemberChanged { change: MemberChange::Removed, .. });
    assert_eq!((hub.count(0, told), hub.count(2, told)), (1, 0));
    hub.say_in(1, "ops", "to carol alone");
    hub.hand_over_everything(0);
    hub.run();
    hub.restarts(0);
    assert_eq!(shown(&hub, 0), ["feed:bob in ops: to both"]);
    let now = hub.now;
    let id = hub.peers[2].endpoint.unsubscribe(now, &name("bob"));
    hub.run();
    assert_eq!(hub.answer_to(2, id), "left");
    let before = copies(&hub).len();
    hub.say_in(1, "ops", "to nobody");
    assert_eq!(copies(&hub).len(), before, "nobody follows");
    assert_eq!(shown(&hub, 2), ["feed:bob in ops: to both", "feed:bob in ops: to carol alone"]);
    assert_eq!(hub.peers[1].endpoint.unanswered(), 0);
}

/// Goal: a crash at any step of the sender loses no copy and shows none twice, and who is away gets
/// them in order.
#[test]
fn a_restart_at_any_step_loses_no_copy() {
    for steps in 0..16 {
        let mut hub = followed();
        hub.disconnect(0);
        let now = hub.now;
        for text in ["one", "two", "three"] {
            hub.peers[1].endpoint.say(now, &crate::hub::room("ops"), text).unwrap();
        }
        for _ in 0..steps {
            hub.turn();
        }
        let step = hub.peers[1].endpoint.finish(now);
        hub.peers[1].store.commit(step.changes);
        hub.restarts(1);
        hub.comes(0);
        let expected = ["one", "two", "three"].map(|text| format!("feed:bob in ops: {text}"));
        assert_eq!(shown(&hub, 0), expected, "after {steps} steps");
        assert_eq!(hub.peers[1].endpoint.unanswered(), 0, "after {steps} steps");
    }
}

/// Goal: an answer that comes twice is not taken for the answer to the copy, which has the same id.
#[test]
fn an_answer_said_again_does_not_end_the_copy() {
    let mut hub = followed();
    let now = hub.now;
    let id = hub.peers[1].endpoint.say(now, &crate::hub::room("ops"), "once").unwrap();
    let position = |hub: &TestHub| {
        hub.peers[1].events.iter().find_map(|event| match event {
            Event::Stored { id: of, position, .. } if *of == id => Some(*position),
            _ => None,
        })
    };
    while position(&hub).is_none() {
        assert!(hub.turn(), "it is stored");
    }
    let (stage, position) = (HubStage::Stored, position(&hub).unwrap());
    let again = hub::write(&HubToClient::Ack { stage, id, position, kept: false });
    hub.peers[1].endpoint.handle_text(now, &again);
    hub.run();
    assert_eq!(shown(&hub, 0), ["feed:bob in ops: once"]);
}

/// Goal: a copy is answered also where a hub that was put back gives it the position of what it is a copy of. Before: it was
/// taken for that answer said again, and the copy waited for ever.
/// Method: the hub forgets what bob has said before it answers the copy.
#[test]
fn a_copy_may_get_the_position_of_what_it_copies() {
    let mut hub = followed();
    hub.say_in(1, "ops", "makes the keys");
    let older = hub.snapshot();
    let now = hub.now;
    let id = hub.peers[1].endpoint.say(now, &crate::hub::room("ops"), "once").unwrap();
    let stored = |event: &Event| matches!(event, Event::Stored { id: of, .. } if *of == id);
    while hub.count(1, stored) == 0 {
        assert!(hub.turn(), "it is stored");
    }
    assert!(hub.peers[1].endpoint.unanswered() > 0, "the copy");
    hub.put_back(&older);
    hub.comes(1);
    assert_eq!(hub.peers[1].endpoint.unanswered(), 0);
    hub.comes(0);
    assert_eq!(shown(&hub, 0).last().unwrap(), "feed:bob in ops: once");
}

/// Goal: nobody but its owner speaks in a feed, whatever they sign and whatever the hub lets pass.
#[test]
fn what_others_say_in_a_feed_is_not_shown() {
    let mut hub = followed();
    hub.say_in(1, "ops", "makes the key");
    let carol = hub.peers[2].endpoint.device().clone();
    let header = MessageHeader {
        v: 1,
        t: Tag::Text,
        stage: None,
        cid: ConversationId::feed(&name("bob")),
        from: name("carol"),
        sk: carol.keys.signing_id(),
        to: Recipient::Everyone,
        id: MessageId([7; 16]),
        e: Digest([7; 32]),
        n: 0,
        p: Digest::ZERO,
        ts: hub.now,
        nbf: None,
        exp: None,
        rb: None,
        tk: None,
    };
    let key = MessageKey::new([1; 32]);
    let frame = envelope::seal(&header, &key, [2; 12], b"{\"x\":\"pay me\"}");
    let frame = sign_all(&carol.keys.signing, &[frame]).remove(0);
    assert!(RawFrame::decode(frame.clone()).unwrap().digest(label::MSG) != Digest::ZERO);
    let now = hub.now;
    hub.peers[0].endpoint.handle_binary(now, Delivery::encode(900, now, &frame));
    hub.run();
    let refused = |event: &Event| matches!(event, Event::Unreadable { reason, .. } if reason.contains("whose feed it is"));
    assert_eq!(hub.count(0, refused), 1);
    assert_eq!(shown(&hub, 0).len(), 1);
    assert!(hub.receipts.is_empty());
    let chain = |event: &Event| matches!(event, Event::Alarm { kind: Alarm::BadChain, .. });
    assert_eq!(hub.count(0, chain), 0);
}
