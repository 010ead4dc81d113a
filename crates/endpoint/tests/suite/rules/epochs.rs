//! Views, and epochs that close, come again or are old (rules R4, R5, R12, R13).

use chat_endpoint::{Alarm, Event};
use chat_protocol::code;
use chat_protocol::frame::RawFrame;
use chat_protocol::name::ConversationId;
use chat_protocol::tag::label;

use super::{alarms, assert_untroubled, header, say, unreadable};
use crate::hub::{TestHub, lobby, name};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// Alice knows of the newcomer carol and bob does not, because the hub does not tell him.
fn hub_with_two_views() -> (TestHub, usize) {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 1, "bob's view is up to date");
    hub.quiet = true;
    let carol = hub.joins("carol");
    hub.peers[0].endpoint.refresh(&ConversationId::room(&lobby()));
    hub.run();
    (hub, carol)
}

/// Goal: a mismatch of views never blocks what was received.
/// Method: alice makes an epoch with carol in it; bob has never heard of carol and reads alice.
#[test]
fn r04_what_was_sealed_for_another_view_is_opened() {
    let (mut hub, carol) = hub_with_two_views();
    say(&mut hub, 0, "to three");
    let (_, list) = hub.newest_epoch();
    assert_eq!(list.lines().len(), 3);
    assert_eq!(hub.texts(1), ["alice: to three"]);
    assert_eq!(hub.texts(carol), ["alice: to three"]);
    assert_untroubled(&hub, 1);
}

/// Goal: who sees that an epoch is for others than one's own view fetches the chain before making
/// the next epoch.
/// Method: bob answers in alice's epoch with carol. Without fetching he would make one without her.
#[test]
fn r04_the_chain_is_fetched_before_an_epoch_is_made_because_of_a_mismatch() {
    let (mut hub, carol) = hub_with_two_views();
    say(&mut hub, 0, "to three");
    let (head, _) = hub.newest_epoch();
    say(&mut hub, 1, "answer");
    assert_eq!(hub.newest_epoch().0, head, "bob's view is the epoch's now");
    assert_eq!(hub.texts(carol), ["alice: to three", "bob: answer"]);
    assert_eq!(hub.texts(0).last().unwrap(), "bob: answer");
}

/// Goal: nobody seals for a device that is not in his own verified view.
/// Method: alice and the hub put an account that never joined into the newest epoch. Bob reads what
/// she says there, and says his own in another epoch.
#[test]
fn r04_a_sender_seals_only_for_its_own_view() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let mut alice = hub.forge_epoch(0, Some("mallory"));
    let frame = alice.text("mallory reads this");
    hub.run();
    hub.hand(1, &frame);
    hub.run();
    assert_eq!(hub.texts(1), ["alice: mallory reads this"]);
    say(&mut hub, 1, "secret");
    assert_ne!(header(hub.seen.last().unwrap()).e, alice.head.e);
    let (head, list) = hub.newest_epoch();
    assert_eq!(head.g, alice.head.g + 1);
    let names: Vec<&str> = list.lines().iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names, ["alice", "bob"]);
}

/// Goal: a frame in a closed epoch is sealed again under its id; who gets both shows the first,
/// answers both, and the sender takes either answer.
/// Method: the hub answers REKEY and delivers the frame all the same.
#[test]
fn r05_a_frame_sealed_twice_is_shown_once_and_confirmed_both_times() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "one");
    hub.close_next = true;
    hub.faults.deliver_closed = true;
    let id = say(&mut hub, 0, "two");
    say(&mut hub, 0, "three");
    let sealed: Vec<_> = hub.seen.iter().filter(|frame| header(frame).id == id).collect();
    let [first, second] = sealed.as_slice() else { panic!("{} frames", sealed.len()) };
    let (before, after) = (header(first), header(second));
    assert_ne!(before.e, after.e, "in the current epoch");
    assert_eq!((before.n, after.n), (1, 0));
    let burnt = hub.seen.iter().filter(|f| (header(f).e, header(f).n) == (before.e, before.n));
    assert_eq!(burnt.count(), 1, "nothing else is sealed with that counter");

    assert_eq!(hub.texts(1), ["alice: one", "alice: two", "alice: three"]);
    assert_untroubled(&hub, 1);
    for frame in [first, second] {
        let digest = RawFrame::decode((*frame).clone()).unwrap().digest(label::MSG);
        let named = hub.receipts.iter().filter(|receipt| **receipt == (id, digest));
        assert_eq!(named.count(), 1, "a receipt with its own hash");
    }
    let delivered = |event: &Event| matches!(event, Event::Delivered { id: of, readable: true, .. } if *of == id);
    assert_eq!(hub.count(0, delivered), 1);
}

/// Goal: a receipt for the frame of the closed epoch counts for the message.
/// Method: only the first of the two frames is ever delivered.
#[test]
fn r05_the_receipt_for_either_frame_counts() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "one");
    hub.close_next = true;
    hub.faults.lose = 2;
    let id = say(&mut hub, 0, "two");
    let delivered = |event: &Event| matches!(event, Event::Delivered { id: of, readable: true, .. } if *of == id);
    assert_eq!(hub.count(0, delivered), 0);
    let first = hub.withheld[0].clone();
    hub.hand(1, &first);
    hub.run();
    assert_eq!(hub.texts(1), ["alice: one", "alice: two"]);
    assert_eq!(hub.count(0, delivered), 1);
}

/// Goal: a device that was away longer than its encryption key lasts is still written to.
/// Method: bob is away for eighty days; his key is good for seven.
#[test]
fn r12_an_expired_key_is_still_wrapped_for() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    say(&mut hub, 0, "in time");
    hub.disconnect(1);
    hub.now += 80 * DAY_MS;
    let bob = hub.peers[1].endpoint.device().bundle.header().ek[0].clone();
    assert!(bob.exp < hub.now);
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "are you there?").unwrap();
    say(&mut hub, 0, "anybody?");
    let (head, list) = hub.newest_epoch();
    assert_eq!(head.g, 1, "the first epoch is too old to be used");
    assert!(list.lines().iter().any(|line| line.ek == bob.kid));
    hub.comes(1);
    let mut texts = hub.texts(1);
    texts.sort();
    assert_eq!(texts, ["alice: anybody?", "alice: are you there?", "alice: in time"]);
    assert_untroubled(&hub, 1);
}

/// Goal: nobody wraps for a device that was away for more than ninety days after its key expired, and
/// the others go on. Method: bob is away for a hundred days; a day before the limit he is in the
/// epoch, then he is not.
#[test]
fn r12_a_device_that_was_away_too_long_is_left_out() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    say(&mut hub, 0, "in time");
    let limit = hub.peers[1].endpoint.device().bundle.wrapped_until_ms();
    assert_eq!(limit, hub.peers[1].endpoint.device().bundle.header().ek[0].exp + 90 * DAY_MS);
    hub.disconnect(1);
    hub.now = limit - DAY_MS;
    // Alice and carol are here: they have published meanwhile.
    hub.renew(0);
    hub.renew(2);
    hub.run();
    say(&mut hub, 0, "still for bob");
    hub.now = limit + 2 * DAY_MS;
    let id = say(&mut hub, 2, "among us");
    let (_, list) = hub.newest_epoch();
    let names: Vec<&str> = list.lines().iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names, ["alice", "carol"]);
    assert_eq!(hub.texts(0), ["carol: among us"]);
    let counted = |event: &Event| matches!(event, Event::Stored { id: of, recipients, .. } if *of == id && recipients.len() == 1);
    assert_eq!(hub.count(2, counted), 1);
    // Nor is he written to alone, and the writer is told at once.
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "are you there?").unwrap();
    hub.run();
    let refused = |event: &Event| matches!(event, Event::Refused { code, reason, .. } if code == code::UNTRUSTED && reason.contains("three months"));
    assert_eq!(hub.count(0, refused), 1);

    // He comes back with a new key, and nothing of what was for him is lost.
    hub.renew(1);
    hub.run();
    assert_eq!(hub.texts(1), ["alice: in time", "alice: still for bob"]);
    say(&mut hub, 0, "welcome back");
    say(&mut hub, 1, "thank you");
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "so you are there").unwrap();
    hub.run();
    assert_eq!(hub.texts(1)[2..], ["alice: welcome back", "alice: so you are there"]);
    assert!(hub.texts(2).contains(&"bob: thank you".to_owned()));
    for index in 0..3 {
        assert_untroubled(&hub, index);
    }
}

/// Goal: an epoch of somebody who still counts an old key is read (rule R4): the limit decides
/// where one seals. Method: carol's clock is two days behind, so bob is in her epoch.
#[test]
fn r12_an_epoch_with_an_old_key_in_it_is_read_and_not_used() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    let limit = hub.peers[1].endpoint.device().bundle.wrapped_until_ms();
    hub.disconnect(1);
    hub.now = limit - DAY_MS;
    hub.renew(0);
    hub.renew(2);
    hub.run();
    say(&mut hub, 2, "to all three");
    assert_eq!(hub.newest_epoch().1.lines().len(), 3);
    hub.now = limit;
    say(&mut hub, 0, "to two");
    assert_eq!(hub.newest_epoch().1.lines().len(), 2);
    assert_eq!(hub.texts(0), ["carol: to all three"]);
    assert_eq!(hub.texts(2), ["alice: to two"]);
    assert_untroubled(&hub, 0);
}

/// Goal: a device that stays online for longer than its key lasts publishes the next one: it asks its
/// host for a new connection, and no more than once a day. Method: bob is online for ten days.
#[test]
fn r12_a_device_that_is_online_does_not_grow_old() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.now += 6 * DAY_MS;
    say(&mut hub, 0, "in time");
    assert!(!hub.peers[1].endpoint.must_reconnect());
    hub.now += 4 * DAY_MS;
    say(&mut hub, 0, "too late");
    assert!(hub.peers[1].endpoint.must_reconnect());
    hub.disconnect(1);
    hub.connect(1);
    say(&mut hub, 0, "a host that publishes nothing");
    assert!(!hub.peers[1].endpoint.must_reconnect());
    hub.renew(1);
    hub.now += 2 * DAY_MS;
    say(&mut hub, 0, "good for a week");
    assert!(!hub.peers[1].endpoint.must_reconnect());
}

/// Goal: an epoch seen once is never unwrapped again, after a restart neither.
/// Method: alice seals two frames with one counter. The hub delivers the first, then the KEY again,
/// then the second: with a chain from its start it would open.
#[test]
fn r13_a_key_that_comes_again_starts_nothing_anew() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let mut alice = hub.forge_epoch(0, None);
    let twin = alice.clone().text("with the same counter");
    let (first, next) = (alice.text("first"), alice.text("next"));
    hub.hand(1, &first);
    hub.run();
    for restart in [false, true] {
        if restart {
            hub.restart(1);
        }
        hub.repeat_key(1);
        hub.hand(1, &twin);
        hub.run();
        assert_eq!(hub.texts(1), ["alice: first"]);
    }
    assert_eq!(alarms(&hub, 1), [Alarm::Replay, Alarm::Replay]);
    hub.hand(1, &next);
    hub.run();
    assert_eq!(hub.texts(1), ["alice: first", "alice: next"], "the chain is where it was");
}

/// Goal: a message is shown once however often it comes, in an old epoch too, and its sender is told
/// again that it came.
/// Method: the hub delivers it again: at once, after a restart, and when its epoch has been replaced.
#[test]
fn r13_a_message_that_comes_again_is_shown_once() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let id = say(&mut hub, 0, "once");
    let frame = hub.seen.last().unwrap().clone();
    hub.hand(1, &frame);
    hub.run();
    hub.restart(1);
    hub.hand(1, &frame);
    hub.run();
    hub.now += 2 * DAY_MS;
    say(&mut hub, 0, "in the next epoch");
    hub.hand(1, &frame);
    hub.run();
    assert_eq!(hub.texts(1), ["alice: once", "alice: in the next epoch"]);
    assert_eq!(unreadable(&hub, 1), 0);
    let digest = RawFrame::decode(frame).unwrap().digest(label::MSG);
    let named = hub.receipts.iter().filter(|receipt| **receipt == (id, digest)).count();
    assert_eq!(named, 4, "the same receipt every time");
    let delivered = |event: &Event| matches!(event, Event::Delivered { id: of, .. } if *of == id);
    assert_eq!(hub.count(0, delivered), 1);
}

/// Goal: a hub that counts other devices than this one, as when a member's key is not the one they
/// are known by, is not asked for ever, and the person is told; when it agrees, what was said goes
/// out. Method: every epoch is refused for a minute.
#[test]
fn devices_that_are_refused_again_and_again_are_told_of_and_tried_at_a_pace() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.faults.refuses_devices = Some(0);
    let now = hub.now;
    hub.peers[0].endpoint.say(now, &lobby(), "patience").expect("a text that can be said");
    hub.run();
    let tries = hub.faults.refuses_devices.take().unwrap();
    assert!((9..=14).contains(&tries), "{tries} tries in a minute");
    let told =
        |event: &Event| matches!(event, Event::Complaint { code, .. } if code == code::MEMBERS);
    assert_eq!(hub.count(0, told), 1);
    hub.now += 60_000;
    let now = hub.now;
    hub.peers[0].endpoint.handle_timeout(now);
    hub.run();
    assert_eq!(hub.texts(1), ["alice: patience"]);
}
