//! Each rule by itself, with a virtual clock and a store in memory.

mod away;
mod budgets;
mod feeds;
mod guards;
mod lobby;
mod offers;
mod presence;
mod reset;
mod rooms;
mod world;

use chat_protocol::{
    code,
    header::{MemberArgument, MemberHeader, MemberOperation, ReceiptHeader},
    id::{KeyId, MessageId, Nonce16},
    tag::{Stage, Tag},
};

use super::*;
use world::{Came, Made, User, World, came, cid, name};

#[test]
fn counters_grow_and_a_resend_is_answered_again() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let place = cid("dm:alice:bob");
    let made = world.make(&alice, &place, None, &[&alice, &bob]);
    let first = world.message(&alice, &place, made.e, 0);
    let Came::Stored(position) = world.put(&first) else { panic!("not stored") };
    assert_eq!(world.put(&first), Came::Again(position));
    assert!(matches!(world.say(&alice, &place, made.e, 7), Came::Stored(_)), "gaps are allowed");
    assert_eq!(world.say(&alice, &place, made.e, 7), Came::Refused(code::REPLAY));
    assert_eq!(world.say(&alice, &place, made.e, 3), Came::Refused(code::REPLAY));
    assert!(matches!(world.say(&bob, &place, made.e, 0), Came::Stored(_)), "bob counts himself");
    assert_eq!(world.say(&alice, &place, Digest([9; 32]), 8), Came::Rekey);
}

#[test]
fn requests_of_one_batch_see_what_the_earlier_ones_take() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let place = cid("dm:alice:bob");
    let made = world.make(&alice, &place, None, &[&alice, &bob]);
    let mut pending = Pending::default();
    let mut decide = |world: &World, request: &FrameRequest| {
        let decision = world.router.decide(world.now_ms, request, &mut pending);
        matches!(decision, Decision::Propose(_)).then_some(()).ok_or(decision)
    };
    let first = world.message(&alice, &place, made.e, 0);
    let second = world.message(&alice, &place, made.e, 1);
    assert!(decide(&world, &first).is_ok());
    assert!(decide(&world, &second).is_ok(), "pipelined");
    assert!(matches!(decide(&world, &first), Err(Decision::Defer)), "its own resend waits");
    let (key, _) = world.key(&bob, &place, Some(made), &[&alice, &bob]);
    assert!(decide(&world, &key).is_ok());
    let third = world.message(&alice, &place, made.e, 2);
    assert!(matches!(decide(&world, &third), Err(Decision::Defer)), "the epoch changes");
    let (race, _) = world.key(&alice, &place, Some(made), &[&alice, &bob]);
    assert!(matches!(decide(&world, &race), Err(Decision::Defer)));
}

#[test]
fn an_epoch_is_made_by_compare_and_set() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let place = cid("dm:alice:bob");
    let (first, made) = world.key(&alice, &place, None, &[&alice, &bob]);
    let (late, _) = world.key(&bob, &place, None, &[&alice, &bob]);
    let Came::Stored(position) = world.put(&first) else { panic!("not stored") };
    assert_eq!(world.put(&late), Came::Refused(code::EPOCH));
    assert_eq!(world.put(&first), Came::Again(position));
    let (skips, _) = world.key(&bob, &place, Some(Made { e: made.e, g: 4 }), &[&alice, &bob]);
    assert_eq!(world.put(&skips), Came::Refused(code::EPOCH));
    let mut newest = made;
    for _ in 0..OLD_EPOCHS {
        newest = world.make(&bob, &place, Some(newest), &[&alice, &bob]);
    }
    assert_eq!(world.put(&first), Came::Again(position), "forgotten here, known to the store");
}

/// More than are kept in memory.
const OLD_EPOCHS: usize = crate::limits::OLD_EPOCHS_MAX + 2;

#[test]
fn a_replaced_epoch_is_good_for_ten_seconds() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let place = cid("dm:alice:bob");
    let old = world.make(&alice, &place, None, &[&alice, &bob]);
    let stored = world.message(&alice, &place, old.e, 0);
    let Came::Stored(position) = world.put(&stored) else { panic!("not stored") };
    let next = world.make(&bob, &place, Some(old), &[&alice, &bob]);
    world.now_ms += 10_000;
    assert!(matches!(world.say(&alice, &place, old.e, 1), Came::Stored(_)));
    world.now_ms += 1;
    assert_eq!(world.say(&alice, &place, old.e, 2), Came::Rekey);
    assert_eq!(world.put(&stored), Came::Again(position), "a resend comes before staleness");
    world.make(&bob, &place, Some(next), &[&alice, &bob]);
    assert_eq!(world.say(&alice, &place, old.e, 2), Came::Rekey, "forgotten in memory");
    assert_eq!(world.put(&stored), Came::Again(position));
}

#[test]
fn a_newcomer_may_be_missing_for_ten_seconds() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let lobby = cid("room:lobby");
    world.do_link(&alice, "room:lobby", MemberOperation::Join, &alice);
    let made = world.make(&alice, &lobby, None, &[&alice]);
    world.now_ms += 60_000;
    world.do_link(&bob, "room:lobby", MemberOperation::Join, &bob);
    world.now_ms += 10_000;
    assert!(matches!(world.say(&alice, &lobby, made.e, 0), Came::Stored(_)));
    assert_eq!(world.say(&bob, &lobby, made.e, 0), Came::Refused(code::NOT_A_MEMBER));
    let lacking = world.make(&alice, &lobby, Some(made), &[&alice]);
    world.now_ms += 1;
    assert_eq!(world.say(&alice, &lobby, lacking.e, 0), Came::Rekey);
    let (without, _) = world.key(&alice, &lobby, Some(lacking), &[&alice]);
    assert_eq!(world.put(&without), Came::Refused(code::MEMBERS));
    let whole = world.make(&bob, &lobby, Some(lacking), &[&alice, &bob]);
    world.now_ms += 60_000;
    assert!(matches!(world.say(&alice, &lobby, whole.e, 0), Came::Stored(_)));
}

#[test]
fn who_leaves_closes_the_epoch_at_once() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let den = cid("room:den");
    world.do_link(&alice, "room:den", MemberOperation::Create, &alice);
    world.do_link(&bob, "room:den", MemberOperation::Join, &bob);
    let made = world.make(&alice, &den, None, &[&alice, &bob]);
    let outsider = world.user("carol", 2);
    let (foreign, _) = world.key(&outsider, &den, Some(made), &[&alice, &bob]);
    assert_eq!(world.put(&foreign), Came::Refused(code::NOT_A_MEMBER));
    world.do_link(&alice, "room:den", MemberOperation::Remove, &bob);
    assert_eq!(world.say(&alice, &den, made.e, 0), Came::Rekey);
    assert_eq!(world.say(&bob, &den, made.e, 0), Came::Refused(code::NOT_A_MEMBER));
    let (with_bob, _) = world.key(&alice, &den, Some(made), &[&alice, &bob]);
    assert_eq!(world.put(&with_bob), Came::Refused(code::MEMBERS));
    let next = world.make(&alice, &den, Some(made), &[&alice]);
    assert!(matches!(world.say(&alice, &den, next.e, 0), Came::Stored(_)));
}

#[test]
fn links_are_appended_in_order_and_resent_safely() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let join = world.link(&alice, "room:lobby", MemberOperation::Join, &alice);
    let late = world.link(&bob, "room:lobby", MemberOperation::Join, &bob);
    let Came::Stored(position) = world.put(&join) else { panic!("not stored") };
    assert_eq!(world.put(&join), Came::Again(position));
    assert_eq!(world.put(&late), Came::Refused(code::MEMBERS));
    let for_other = world.link(&alice, "room:lobby", MemberOperation::Join, &bob);
    assert_eq!(world.put(&for_other), Came::Refused(code::NOT_ALLOWED));
    let nowhere = world.link(&bob, "room:nowhere", MemberOperation::Join, &bob);
    assert_eq!(world.put(&nowhere), Came::Refused(code::NO_SUCH_ROOM));
    let account = world.router.account(alice.peer.account).unwrap();
    assert_eq!(world.router.heads_page(account, None).0.len(), 2, "lobby and ALL");
}

#[test]
fn a_revoked_key_is_out_and_closes_its_epochs() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let place = cid("dm:alice:bob");
    let second = world.publish(&alice, 2, Nonce16([2; 16]), Vec::new());
    let made = world.make(&bob, &place, None, &[&alice, &second, &bob]);
    assert!(matches!(world.say(&second, &place, made.e, 0), Came::Stored(_)));
    let stolen = second.peer.sk;
    let alice = world.publish(&alice, 0, alice.bundle.header().dev, vec![stolen]);
    assert_eq!(world.say(&second, &place, made.e, 1), Came::Refused(code::BAD_SIGNATURE));
    assert_eq!(world.say(&bob, &place, made.e, 0), Came::Rekey);
    let (with_it, _) = world.key(&bob, &place, Some(made), &[&alice, &second, &bob]);
    assert_eq!(world.put(&with_it), Came::Refused(code::MEMBERS));
    world.make(&bob, &place, Some(made), &[&alice, &bob]);
}

#[test]
fn a_changed_key_needs_a_new_epoch_after_ten_seconds() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let place = cid("dm:alice:bob");
    let made = world.make(&alice, &place, None, &[&alice, &bob]);
    world.now_ms += 60_000;
    let fresh = world.publish(&alice, 3, alice.bundle.header().dev, Vec::new());
    assert_eq!(world.say(&alice, &place, made.e, 0), Came::Refused(code::BAD_SIGNATURE));
    assert!(matches!(world.say(&bob, &place, made.e, 0), Came::Stored(_)));
    world.now_ms += 10_001;
    assert_eq!(world.say(&bob, &place, made.e, 1), Came::Rekey);
    let (old_line, _) = world.key(&bob, &place, Some(made), &[&alice, &bob]);
    assert_eq!(world.put(&old_line), Came::Refused(code::MEMBERS));
    world.make(&fresh, &place, Some(made), &[&fresh, &bob]);
}

#[test]
fn receipts_go_to_the_inbox_of_who_sent() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let carol = world.user("carol", 2);
    let receipt = |world: &mut World, from: &User, place: &str, to: &str| {
        let header = ReceiptHeader {
            v: 1,
            t: Tag::Ack,
            stage: Stage::Delivered,
            cid: cid(place),
            from: from.peer.name.clone(),
            sk: from.peer.sk,
            to: name(to),
            id: world.id(),
            ts: 0,
        };
        World::request(from, Header::Receipt(header), None)
    };
    let good = receipt(&mut world, &bob, "dm:alice:bob", "alice");
    let (stored, effects) = world.put_with(&good, &mut Pending::default());
    let Came::Stored(position) = stored else { panic!("{stored:?}") };
    let audience = effects.delivery.unwrap().audience;
    assert!(matches!(audience, Audience::Account(account) if account == alice.peer.account));
    assert_eq!(world.put(&good), Came::Again(position));
    let foreign = receipt(&mut world, &carol, "dm:alice:bob", "alice");
    assert_eq!(world.put(&foreign), Came::Refused(code::NOT_A_MEMBER));
    let outside = receipt(&mut world, &bob, "room:lobby", "alice");
    assert_eq!(world.put(&outside), Came::Refused(code::NOT_A_MEMBER));
    let nobody = receipt(&mut world, &bob, "dm:alice:bob", "nobody");
    assert_eq!(world.put(&nobody), Came::Refused(code::NO_SUCH_USER));
}

#[test]
fn a_message_goes_to_the_devices_of_the_epoch_but_the_sender() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let second = world.publish(&alice, 2, Nonce16([2; 16]), Vec::new());
    let place = cid("dm:alice:bob");
    let made = world.make(&alice, &place, None, &[&alice, &second, &bob]);
    let request = world.message(&alice, &place, made.e, 0);
    let (_, effects) = world.put_with(&request, &mut Pending::default());
    assert_eq!(effects.recipient, Some(bob.peer.account));
    let wire = crate::delivery::Wire::new(effects.delivery.unwrap());
    assert_eq!(wire.tag, None, "this frame is a bare header");
    let gets = [&alice, &second, &bob].map(|user| wire.line_for(&user.peer).is_some());
    assert_eq!(gets, [false, true, true]);
}
