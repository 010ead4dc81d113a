//! Bundles and names as a device takes them (rules R14, R17).

use bytes::Bytes;
use chat_endpoint::{Alarm, Event};
use chat_protocol::code;
use chat_protocol::name::ConversationId;

use super::{alarms, assert_untroubled, header, say, unreadable};
use crate::hub::{TestHub, lobby, name};

fn refresh(hub: &mut TestHub, index: usize) {
    hub.peers[index].endpoint.refresh(&ConversationId::room(&lobby()));
    hub.run();
}

/// Goal: two bundles of one device with the same number are an alarm, whichever is newest.
/// Method: bob's identity signs another first bundle, before and after his second one.
#[test]
fn r14_two_bundles_with_one_number_are_an_alarm() {
    for newer in [false, true] {
        let mut hub = TestHub::with(&["alice", "bob"]);
        say(&mut hub, 0, "to the keys that are known");
        if newer {
            hub.disconnect(1);
            hub.rotate(1);
            hub.connect(1);
            refresh(&mut hub, 0);
        }
        assert_eq!(alarms(&hub, 0), []);
        hub.fork_first_bundle(1);
        hub.faults.tells_all = true;
        refresh(&mut hub, 0);
        assert_eq!(alarms(&hub, 0), [Alarm::BadChain], "newer: {newer}");
        say(&mut hub, 0, "to the same keys as before");
        assert_eq!(hub.texts(1).last().unwrap(), "alice: to the same keys as before");
    }
}

/// Goal: frames by a revoked key that are first seen after its revocation are refused, and its
/// epochs are closed.
/// Method: the hub keeps a frame back until bob knows that its key is revoked.
#[test]
fn r14_frames_by_a_revoked_key_are_refused() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "before");
    let (closed, old) = hub.newest_epoch();
    hub.faults.lose = 1;
    say(&mut hub, 0, "kept back");
    let revoked = hub.peers[0].endpoint.device().keys.signing_id();
    hub.disconnect(0);
    hub.replace_signing_key(0);
    hub.connect(0);
    refresh(&mut hub, 1);
    let frame = hub.withheld[0].clone();
    hub.hand(1, &frame);
    hub.run();
    assert_eq!(hub.texts(1), ["alice: before"]);
    assert_eq!(unreadable(&hub, 1), 1);

    assert!(old.contains(&name("alice"), &revoked));
    say(&mut hub, 1, "for the new key only");
    let (head, list) = hub.newest_epoch();
    assert_eq!(head.g, closed.g + 1);
    assert!(!list.contains(&name("alice"), &revoked));
    assert_eq!(hub.texts(0).last().unwrap(), "bob: for the new key only");
}

/// Goal: a device whose key another device of its user has revoked is not wrapped for.
/// Method: bob has two devices; the first revokes the second, which is lost.
#[test]
fn r14_a_lost_device_gets_no_more_keys() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let lost = hub.add_second_device(1);
    refresh(&mut hub, 0);
    say(&mut hub, 0, "to both");
    assert!(hub.newest_epoch().1.contains(&name("bob"), &lost));
    hub.disconnect(1);
    hub.revoke(1, lost);
    hub.connect(1);
    refresh(&mut hub, 0);
    say(&mut hub, 0, "to the one that is left");
    assert!(!hub.newest_epoch().1.contains(&name("bob"), &lost));
    assert_eq!(hub.texts(1), ["alice: to both", "alice: to the one that is left"]);
    assert_untroubled(&hub, 1);
}

/// A frame with another text of the same length in its header.
fn altered(frame: &Bytes, from: &str, to: &str) -> Bytes {
    assert_eq!(from.len(), to.len());
    let mut bytes = frame.to_vec();
    let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes.into()
}

/// Goal: a name in a header is spelled as it was claimed, or it is another name.
/// Method: the hub changes the case of one letter in frames that were held back. It offers alice's
/// bundle for the changed name too.
#[test]
fn r17_another_spelling_of_a_name_is_another_name() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "first");
    hub.faults.lose = 2;
    say(&mut hub, 0, "second");
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "third").unwrap();
    hub.run();
    hub.also_called("alice", "Alice");
    let [second, third] = &hub.withheld.clone()[..] else { panic!("two frames") };
    assert_eq!(header(third).to.user(), Some(&name("bob")));
    let frames = [
        altered(second, "\"from\":\"alice\"", "\"from\":\"Alice\""),
        altered(third, "\"from\":\"alice\"", "\"from\":\"Alice\""),
        altered(third, "dm:alice:bob", "dm:Alice:bob"),
        altered(third, "\"to\":\"bob\"", "\"to\":\"Bob\""),
    ];
    for (count, frame) in frames.iter().enumerate() {
        hub.hand(1, frame);
        hub.run();
        assert_eq!(unreadable(&hub, 1), count + 1);
    }
    assert_eq!(hub.texts(1), ["alice: first"]);
    for frame in [second, third] {
        hub.hand(1, frame);
    }
    hub.run();
    assert_eq!(hub.texts(1), ["alice: first", "alice: second", "alice: third"], "nothing is burnt");
}

/// Goal: keys that were published under one spelling are not taken for another.
/// Method: bob writes to `Alice`; the hub offers what alice has published.
#[test]
fn r17_a_bundle_counts_for_the_spelling_in_it_only() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.also_called("alice", "Alice");
    let now = hub.now;
    let id = hub.peers[1].endpoint.tell_user(now, &name("Alice"), "secret").unwrap();
    hub.run();
    let refused = |event: &Event| matches!(event, Event::Refused { id: of, code, .. } if *of == id && code == code::NO_SUCH_USER);
    assert_eq!(hub.count(1, refused), 1);
    assert_eq!(alarms(&hub, 1).first(), Some(&Alarm::BadSignature));
    hub.peers[1].endpoint.tell_user(now, &name("alice"), "to the right one").unwrap();
    hub.run();
    assert_eq!(hub.texts(0), ["bob: to the right one"]);
}
