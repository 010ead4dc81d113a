//! History for newcomers (A11): a member grants what was said before somebody came, and
//! nobody else can, and nothing else.

use chat_endpoint::{Alarm, Event, GrantError, HistoryEntry};
use chat_protocol::b64::B64Vec;
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::name::ConversationId;
use chat_protocol::ratchet::MessageKey;

use crate::hub::{Fate, TestHub, lobby, name};

fn say(hub: &mut TestHub, index: usize, text: &str) -> MessageId {
    let now = hub.now;
    let id = hub.peers[index].endpoint.say(now, &lobby(), text).expect("a text that can be said");
    hub.run();
    id
}

/// What a device's host would have kept: what it said itself and what it was shown.
fn history(hub: &TestHub, index: usize) -> Vec<HistoryEntry> {
    let me = &hub.peers[index].endpoint.device().user;
    let kept = |event: &Event| match event {
        Event::Message { cid, id, from, frame: Some(kept), .. } => {
            let (cid, id, from) = (cid.clone(), *id, from.clone());
            Some(HistoryEntry { cid, id, from, kept: (**kept).clone() })
        }
        Event::Stored { id, frame: Some(kept), .. } => {
            let (cid, from) = (ConversationId::room(&lobby()), me.clone());
            Some(HistoryEntry { cid, id: *id, from, kept: (**kept).clone() })
        }
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(kept).collect()
}

fn grant(
    hub: &mut TestHub,
    index: usize,
    to: &str,
    entries: &[HistoryEntry],
) -> Result<Vec<MessageId>, GrantError> {
    let now = hub.now;
    let ids = hub.peers[index].endpoint.grant(now, &name(to), entries);
    hub.run();
    ids
}

/// Texts that a device was shown as granted, and by whom.
fn granted(hub: &TestHub, index: usize) -> Vec<(String, String)> {
    let granted = |event: &Event| match event {
        Event::Message { from, text, granted_by: Some(by), healed_by: None, .. } => {
            Some((format!("{from}: {text}"), by.to_string()))
        }
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(granted).collect()
}

/// How many there were, when those of a minute have been told together.
fn bad_grants(hub: &mut TestHub, index: usize) -> u32 {
    hub.now += 61_000;
    let now = hub.now;
    hub.peers[index].endpoint.handle_timeout(now);
    while hub.turn() {}
    let count = |event: &Event| match event {
        Event::Alarm { kind: Alarm::BadGrant, count, .. } => *count,
        _ => 0,
    };
    hub.peers[index].events.iter().map(count).sum()
}

/// Two have talked, and carol has come after that and spoken.
fn with_newcomer() -> (TestHub, usize) {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "one");
    say(&mut hub, 1, "two");
    say(&mut hub, 0, "three");
    let carol = hub.joins("carol");
    say(&mut hub, carol, "hello");
    hub.peers[1].endpoint.refresh(&ConversationId::room(&lobby()));
    hub.run();
    (hub, carol)
}

/// Goal: a newcomer reads what a member grants, each message once and by its own sender's word.
/// Method: bob grants what alice and he said before carol came, twice; carol restarts in between.
#[test]
fn granted_history_is_shown_once_with_its_granter() {
    let (mut hub, carol) = with_newcomer();
    let entries: Vec<_> =
        history(&hub, 1).into_iter().filter(|entry| entry.from != name("carol")).collect();
    assert_eq!(entries.len(), 3);
    let ids = grant(&mut hub, 1, "carol", &entries).unwrap();
    assert_eq!(ids.len(), 1, "three short messages are one piece");
    let by_bob = |text: &str| (text.to_owned(), "bob".to_owned());
    let mut shown = granted(&hub, carol);
    shown.sort();
    let expected = [by_bob("alice: one"), by_bob("alice: three"), by_bob("bob: two")];
    assert_eq!(shown, expected);
    let delivered = |event: &Event| matches!(event, Event::Delivered { id, readable: true, .. } if ids.contains(id));
    assert_eq!(hub.count(1, delivered), 1, "the granter learns that it came");
    hub.restart(carol);
    grant(&mut hub, 1, "carol", &entries).unwrap();
    assert_eq!(granted(&hub, carol).len(), 3, "never twice");
    let trouble = |event: &Event| {
        matches!(event, Event::Alarm { .. } | Event::Gap { .. } | Event::Unreadable { .. })
    };
    for index in 0..3 {
        assert_eq!(hub.count(index, trouble), 0);
    }
    say(&mut hub, 0, "four");
    assert_eq!(hub.texts(carol).last().unwrap(), "alice: four");
}

/// Goal: long history goes in pieces that fit a frame.
/// Method: forty messages of 4 KiB each.
#[test]
fn long_history_goes_in_pieces() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    for index in 0..40 {
        say(&mut hub, 0, &format!("{index} {}", "x".repeat(4096)));
    }
    let carol = hub.joins("carol");
    hub.peers[0].endpoint.refresh(&ConversationId::room(&lobby()));
    hub.run();
    let entries = history(&hub, 0);
    let ids = grant(&mut hub, 0, "carol", &entries).unwrap();
    assert!(ids.len() >= 5, "{} pieces", ids.len());
    assert_eq!(granted(&hub, carol).len(), 40);
    assert_eq!(bad_grants(&mut hub, carol), 0);
}

/// Goal: a device grants only what is whole, of rooms, to members.
/// Method: grants of every other kind are asked for.
#[test]
fn only_members_grant_to_members() {
    let (mut hub, _) = with_newcomer();
    let entries = history(&hub, 1);
    assert_eq!(grant(&mut hub, 1, "carol", &[]), Err(GrantError::Empty));
    assert_eq!(grant(&mut hub, 1, "bob", &entries), Err(GrantError::ToOneself));
    let refused = grant(&mut hub, 1, "ghost", &entries);
    assert!(matches!(refused, Err(GrantError::NotAMember { user, .. }) if user == name("ghost")));
    let direct = ConversationId::direct(&name("alice"), &name("bob")).unwrap();
    let private = HistoryEntry { cid: direct, ..entries[0].clone() };
    assert!(matches!(grant(&mut hub, 1, "carol", &[private]), Err(GrantError::NotARoom(_))));
    let room =
        HistoryEntry { cid: ConversationId::parse("room:pier").unwrap(), ..entries[0].clone() };
    let refused = grant(&mut hub, 1, "carol", &[room]);
    assert!(matches!(refused, Err(GrantError::NotAMember { user, .. }) if user == name("carol")));
    let renamed = HistoryEntry { from: name("carol"), ..entries[0].clone() };
    assert!(matches!(grant(&mut hub, 1, "carol", &[renamed]), Err(GrantError::Damaged(_))));
}

/// Goal: a granter can show nothing that was not said: every check of a delivery is made.
/// Method: bob's device is made to grant frames that are changed, wrongly named, or locked.
#[test]
fn a_granter_who_lies_is_an_alarm() {
    let good = {
        let (hub, _) = with_newcomer();
        history(&hub, 1).len()
    };
    assert!(good >= 3);
    for lie in 0..3 {
        let (mut hub, carol) = with_newcomer();
        let mut entry =
            history(&hub, 1).into_iter().find(|e| e.from == name("alice")).expect("alice spoke");
        match lie {
            // One bit of the signature.
            0 => {
                let mut bytes = entry.kept.frame.0.clone();
                let at = bytes.len() - 9;
                bytes[at] ^= 1;
                entry.kept.frame = B64Vec(bytes);
            }
            // Another key than the message's.
            1 => entry.kept.key = MessageKey::new([7; 32]),
            // Another place than the frame's.
            _ => entry.kept.e = Digest([7; 32]),
        }
        grant(&mut hub, 1, "carol", &[entry]).unwrap();
        assert!(granted(&hub, carol).is_empty(), "lie {lie}");
        assert_eq!(bad_grants(&mut hub, carol), 1, "lie {lie}");
        say(&mut hub, 0, "still fine");
        assert_eq!(hub.texts(carol).last().unwrap(), "alice: still fine", "lie {lie}");
    }
}

/// Goal: who is not in a room cannot show anything in it.
/// Method: bob has left by his own signature, which his device has not heard of yet; it grants.
#[test]
fn a_grant_by_somebody_outside_is_an_alarm() {
    let (mut hub, carol) = with_newcomer();
    let entries: Vec<_> =
        history(&hub, 1).into_iter().filter(|e| e.from == name("alice")).collect();
    hub.leave(1);
    hub.peers[carol].endpoint.refresh(&ConversationId::room(&lobby()));
    hub.run();
    grant(&mut hub, 1, "carol", &entries).unwrap();
    assert!(granted(&hub, carol).is_empty());
    assert_eq!(bad_grants(&mut hub, carol), u32::try_from(entries.len()).unwrap());
}

/// Goal: a message whose sender's key is not to be had is not shown.
/// Method: alice has revoked the key that signed her messages; bob grants them and his own.
#[test]
fn a_sender_whose_key_is_not_to_be_had_is_not_shown() {
    let (mut hub, carol) = with_newcomer();
    hub.disconnect(0);
    hub.replace_signing_key(0);
    hub.comes(0);
    hub.peers[carol].endpoint.refresh(&ConversationId::room(&lobby()));
    hub.run();
    let entries: Vec<_> =
        history(&hub, 1).into_iter().filter(|entry| entry.from != name("carol")).collect();
    grant(&mut hub, 1, "carol", &entries).unwrap();
    assert_eq!(granted(&hub, carol), [("bob: two".to_owned(), "bob".to_owned())]);
    assert_eq!(bad_grants(&mut hub, carol), 2);
}

/// Goal: a veil is no lie about the content. Method: what was said under the veil is granted.
#[test]
fn what_was_said_under_the_veil_can_be_granted() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[0]
        .endpoint
        .send(now, ConversationId::room(&lobby()), "xyza", true)
        .expect("a text that can be said");
    hub.run();
    let carol = hub.joins("carol");
    hub.peers[1].endpoint.refresh(&ConversationId::room(&lobby()));
    hub.run();
    let entries = history(&hub, 1);
    grant(&mut hub, 1, "carol", &entries).expect("a grant among members");
    assert_eq!(granted(&hub, carol), [("alice: yzab".to_owned(), "bob".to_owned())]);
    assert_eq!(bad_grants(&mut hub, carol), 0);
}

/// Dave has talked with two others and gone before carol came: his bundle must be fetched.
fn with_one_who_left(messages: usize) -> (TestHub, usize) {
    let mut hub = TestHub::with(&["alice", "bob", "dave"]);
    for index in 0..messages {
        say(&mut hub, [2, 0, 2, 1][index % 4], &format!("{index}"));
    }
    hub.leave(2);
    let carol = hub.joins("carol");
    hub.peers[1].endpoint.refresh(&ConversationId::room(&lobby()));
    hub.run();
    (hub, carol)
}

/// What carol was shown: the numbers that were said.
fn numbers(hub: &TestHub, carol: usize) -> Vec<usize> {
    let texts = granted(hub, carol).into_iter();
    texts.map(|(text, _)| text.split_once(": ").unwrap().1.parse().unwrap()).collect()
}

/// Goal: history is shown in the order in which it was granted. Method: the hub withholds from
/// carol a new device of alice and what is said in its epoch, until bob grants that in two pieces:
/// the bundle of the device must be fetched, the others are known. Then the same with a connection
/// that ends meanwhile.
#[test]
fn granted_history_is_shown_in_its_order_whoever_must_be_fetched() {
    for cut_after in [usize::MAX, 1, 2, 3, 4, 5, 6] {
        let mut hub = TestHub::with(&["alice", "bob", "carol"]);
        // She has a view of the room, as it was before.
        say(&mut hub, 2, "hello");
        let laptop = hub.add_sibling(0, None);
        hub.peers[2].inbox.clear();
        let room = ConversationId::room(&lobby()).to_string();
        let of_the_room =
            move |frame: &[u8]| frame.windows(room.len()).any(|part| part == room.as_bytes());
        hub.rule =
            Some(Box::new(
                move |index, frame| {
                    if index == 2 && of_the_room(frame) { Fate::Lost } else { Fate::Good }
                },
            ));
        hub.run();
        for (number, index) in [laptop, 1, laptop, 0, 1].into_iter().enumerate() {
            say(&mut hub, index, &number.to_string());
        }
        let now = hub.now;
        let mut entries = history(&hub, 1);
        entries.retain(|entry| entry.from != name("carol"));
        for part in entries.chunks(3) {
            hub.peers[1].endpoint.grant(now, &name("carol"), part).unwrap();
        }
        for _ in 0..cut_after {
            if !hub.turn() {
                break;
            }
        }
        if cut_after < usize::MAX {
            hub.disconnect(2);
            hub.connect(2);
        }
        hub.run();
        assert_eq!(numbers(&hub, 2), (0..5).collect::<Vec<_>>(), "cut after {cut_after}");
        assert_eq!(bad_grants(&mut hub, 2), 0);
    }
}

/// Goal: nothing that was granted is dropped, however much of it must wait. Method: far more than
/// may wait comes before the bundle of the first message's sender.
#[test]
fn more_history_than_may_wait_is_shown_whole_and_in_order() {
    const MANY: usize = 600;
    let (mut hub, carol) = with_one_who_left(MANY);
    let entries = history(&hub, 1);
    assert_eq!(entries.len(), MANY);
    let ids = grant(&mut hub, 1, "carol", &entries).unwrap();
    assert!(ids.len() > 4, "{} pieces", ids.len());
    assert_eq!(numbers(&hub, carol), (0..MANY).collect::<Vec<_>>());
    assert_eq!(bad_grants(&mut hub, carol), 0);
}
