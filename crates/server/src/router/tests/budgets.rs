//! What one account may take from others: places, names, mailboxes, devices (rules R40, R41).

use chat_protocol::{
    handshake::Purpose,
    hub::Log,
    keys::{Bundle, BundleOptions, Held},
    limits::ACCOUNT_DEVICES_MAX,
};

use super::{
    world::{keys, mixed},
    *,
};
use crate::{
    budgets::{Budget, Limits},
    connection::ConnectionId,
    limits::ACCOUNT_REVOKED_MAX,
    request::{Proof, SignIn},
};

fn limits(set: &str) -> Limits {
    let mut limits = Limits::default();
    limits.set(set).unwrap();
    limits
}

/// A sign-in of alice with this bundle of hers.
fn sign_in(world: &World, alice: &User, bundle: Bundle) -> Option<Decision> {
    let (reply, _) = tokio::sync::oneshot::channel();
    let known = world.router.account(alice.peer.account)?;
    let known = known.devices.iter().find(|device| device.dev == bundle.header().dev);
    let request = SignIn {
        connection: ConnectionId(7),
        name: alice.peer.name.clone(),
        purpose: Purpose::Task,
        sk: bundle.header().sk[0].kid,
        spki: Vec::new(),
        invite: None,
        received: None,
        outbox: alice.peer.outbox.clone(),
        proof: Proof::Bundle { after: known.map(|device| device.digest), bundle: Arc::new(bundle) },
        reply,
    };
    world.router.decide_sign_in(world.now_ms, &request, &mut Pending::default())
}

fn is_taken(decision: Option<Decision>) -> bool {
    match decision {
        Some(Decision::Propose(_)) => true,
        Some(Decision::Refuse(refusal)) => {
            assert_eq!(refusal.code, code::TOO_MANY, "{}", refusal.reason);
            assert!(refusal.reason.contains("--revoke"), "{}", refusal.reason);
            false
        }
        other => panic!("{other:?}"),
    }
}

/// Goal: an account has 32 live devices, renews each of them, and comes in with a new one by revoking
/// another. Method: devices with one pair of keys are published until there are 32.
#[test]
fn an_account_has_so_many_live_devices_and_a_revocation_makes_room() {
    let mut world = World::new();
    let alice = world.user("alice", 0);
    let dev = |n: usize| Nonce16([u8::try_from(n).unwrap(); 16]);
    for n in 1..ACCOUNT_DEVICES_MAX {
        world.publish(&alice, 1 + n % 2, dev(n), Vec::new());
    }
    let publish = |dev, rev| {
        let options = BundleOptions { rev, ..BundleOptions::default() };
        let keys = mixed(alice.keys, keys(3));
        keys.publish(&alice.peer.name, dev, None, world.now_ms, options).unwrap()
    };
    assert!(!is_taken(sign_in(&world, &alice, publish(dev(99), Vec::new()))), "the 33rd");
    let other = mixed(alice.keys, keys(1)).signing_id();
    assert!(is_taken(sign_in(&world, &alice, publish(dev(99), vec![other]))), "revokes another");
    assert!(is_taken(sign_in(&world, &alice, publish(dev(5), Vec::new()))), "renews its own");
    let held = world.router.account(alice.peer.account).unwrap();
    assert_eq!(held.counted_devices(world.now_ms).count(), ACCOUNT_DEVICES_MAX);
    let known = [(alice.peer.name.clone(), Held::default())].into();
    let wanted = world.router.wanted(world.now_ms, &known, &[].into());
    assert_eq!(wanted.people[0].1.len(), ACCOUNT_DEVICES_MAX);
}

/// Goal: what is kept as revoked of an account has an end, and whoever fills it keeps no device from being put out or from
/// coming in. Method: keys that nobody has, until no more are kept; then one more beside the key of a device, and beside the
/// one that this device had before. (The build before refused those bundles.)
#[test]
fn a_bundle_revokes_keys_of_devices_however_many_are_revoked() {
    let mut world = World::new();
    let alice = world.user("alice", 0);
    let (own, other) = (alice.bundle.header().dev, Nonce16([1; 16]));
    let first = world.publish(&alice, 1, other, Vec::new());
    let (former, lost) = (first.peer.sk, world.publish(&first, 2, other, Vec::new()).peer.sk);
    let invented = |number: usize| {
        let mut kid = [9; 16];
        kid[..8].copy_from_slice(&number.to_be_bytes());
        KeyId(kid)
    };
    let numbers: Vec<usize> = (0..ACCOUNT_REVOKED_MAX).collect();
    for part in numbers.chunks(32) {
        let rev = part.iter().copied().map(invented).collect();
        world.publish(&alice, 0, own, rev);
    }
    let more = invented(ACCOUNT_REVOKED_MAX);
    for rev in [vec![more], vec![former, more], vec![lost, more]] {
        let options = BundleOptions { rev, ..BundleOptions::default() };
        let new = Nonce16([5; 16]);
        let bundle = alice.keys.publish(&alice.peer.name, new, None, world.now_ms, options);
        assert!(is_taken(sign_in(&world, &alice, bundle.unwrap())));
    }
    let is_revoked = |world: &World, sk: &KeyId| {
        world.router.account(alice.peer.account).unwrap().is_revoked(sk)
    };
    world.publish(&alice, 0, own, vec![lost, more]);
    assert!(is_revoked(&world, &lost) && is_revoked(&world, &more), "the newest bundle says so");
    world.publish(&alice, 0, own, Vec::new());
    assert!(is_revoked(&world, &lost), "the key of a device is kept");
    assert!(!is_revoked(&world, &more), "there is no room");
    // One that comes when the newest bundle of another device has revoked it already.
    let late = mixed(alice.keys, keys(3)).signing_id();
    world.publish(&alice, 0, own, vec![late]);
    world.publish(&alice, 3, Nonce16([2; 16]), Vec::new());
    world.publish(&alice, 0, own, Vec::new());
    assert!(is_revoked(&world, &late));
    assert!(is_revoked(&world, &invented(0)), "what was kept stays");
}

#[test]
fn being_admitted_takes_nothing_from_what_one_may_join() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let carol = world.user("carol", 2);
    world.router.set_limits(&limits("rooms=40"));
    for number in 0..33 {
        let room = format!("room:a{number}");
        world.do_link(&alice, &room, MemberOperation::Create, &alice);
        let admit = world.link(&alice, &room, MemberOperation::Admit, &bob);
        let expected = number < 32;
        assert_eq!(matches!(world.put(&admit), Came::Stored(_)), expected, "{number}");
    }
    // Another admitter has a part of its own, and bob's own rooms are not touched.
    world.do_link(&carol, "room:c", MemberOperation::Create, &carol);
    world.do_link(&carol, "room:c", MemberOperation::Admit, &bob);
    for number in 0..40 {
        world.do_link(&bob, &format!("room:b{number}"), MemberOperation::Create, &bob);
    }
    let more = world.link(&bob, "room:more", MemberOperation::Create, &bob);
    assert_eq!(world.put(&more), Came::Refused(code::TOO_MANY));
    world.router.set_limits(&limits("places=74"));
    world.do_link(&carol, "room:d", MemberOperation::Create, &carol);
    world.do_link(&carol, "room:d", MemberOperation::Admit, &bob);
    world.do_link(&carol, "room:e", MemberOperation::Create, &carol);
    let admit = world.link(&carol, "room:e", MemberOperation::Admit, &bob);
    assert_eq!(world.put(&admit), Came::Refused(code::TOO_MANY), "bob is in 74 rooms");
}

/// Goal: a room that everybody has left counts for nobody and can be made again, with one chain. Method:
/// alice makes and leaves it; bob makes it again behind the links that there are.
#[test]
fn an_empty_room_is_made_again_as_the_next_link_of_its_chain() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let ops = cid("room:ops");
    world.do_link(&alice, "room:ops", MemberOperation::Create, &alice);
    world.do_link(&alice, "room:ops", MemberOperation::Leave, &alice);
    let page = world.router.rooms_page(&bob.peer.name, None);
    assert!(page.rooms.iter().all(|info| info.room.as_str() != "ops"), "in no list");
    let join = world.link(&bob, "room:ops", MemberOperation::Join, &bob);
    assert_eq!(world.put(&join), Came::Refused(code::NO_SUCH_ROOM));
    let head = world.router.head_for(&bob.peer.name, &ops);
    assert_eq!(head.mg, 2, "bob is told where the chain ends");
    assert!(world.router.chain(&bob.peer.name, &ops).unwrap().is_some(), "and may read it");
    world.do_link(&bob, "room:ops", MemberOperation::Create, &bob);
    assert_eq!(world.router.head(&ops).mg, 3);
    let twin = world.link(&alice, "room:ops", MemberOperation::Create, &alice);
    assert_eq!(world.put(&twin), Came::Refused(code::NOT_ALLOWED));
    world.do_link(&alice, "room:ops", MemberOperation::Join, &alice);
}

#[test]
fn one_sender_takes_an_eighth_of_a_mailbox() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let carol = world.user("carol", 2);
    world.router.set_limits(&limits("mailbox_part=1/8"));
    world.router.mailbox.messages_max = 80;
    let mut sent = |from: &User, place: &str| {
        let place = cid(place);
        let epoch = world.make(from, &place, None, &[from, &bob]);
        let stored = |n: &u32| matches!(world.say(from, &place, epoch.e, *n), Came::Stored(_));
        (0..200).take_while(stored).count()
    };
    assert_eq!(sent(&alice, "dm:alice:bob"), 10);
    assert_eq!(sent(&carol, "dm:bob:carol"), 8, "an eighth of what alice has left");
}

#[test]
fn receipts_have_a_part_of_their_own() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let place = cid("dm:alice:bob");
    world.make(&alice, &place, None, &[&alice, &bob]);
    let receipt = |world: &mut World| {
        let header = ReceiptHeader {
            v: 1,
            t: Tag::Ack,
            stage: Stage::Delivered,
            cid: place.clone(),
            from: bob.peer.name.clone(),
            sk: bob.peer.sk,
            to: alice.peer.name.clone(),
            id: world.id(),
            ts: 5,
        };
        World::request(&bob, Header::Receipt(header), None)
    };
    let first = receipt(&mut world);
    let bytes = first.frame.len();
    world.router.set_limits(&limits(&format!("receipt_bytes={}B", 3 * bytes)));
    assert!(matches!(world.put(&first), Came::Stored(_)));
    for _ in 0..2 {
        let receipt = receipt(&mut world);
        assert!(matches!(world.put(&receipt), Came::Stored(_)));
    }
    let more = receipt(&mut world);
    assert_eq!(world.put(&more), Came::Refused(code::MAILBOX_FULL));
    // Alice fetches them.
    let newest = world.router.account(alice.peer.account).unwrap().inbox;
    let seen = BTreeMap::from([(Log::Inbox, newest)]);
    let proposal = world.router.decide_seen(&alice.peer, &seen).unwrap();
    world.apply(proposal, Stored::Done);
    assert!(matches!(world.put(&more), Came::Stored(_)));
    assert_eq!(world.router.limits.number(Budget::ReceiptBytes), u64::try_from(3 * bytes).unwrap());
}
