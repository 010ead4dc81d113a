//! Who follows whom, and who speaks to them (rule R18).

use super::*;
use crate::limits::FOLLOWED_MAX;

const FEED: &str = "feed:bob";

/// Alice follows bob; carol is somebody else.
fn followed() -> (World, [User; 3]) {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let carol = world.user("carol", 2);
    world.do_link(&alice, FEED, MemberOperation::Join, &alice);
    (world, [alice, bob, carol])
}

fn refused(world: &mut World, request: &FrameRequest) -> &'static str {
    match world.put(request) {
        Came::Refused(code) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_follows_and_leaves_by_ones_own_signature_and_the_owner_removes() {
    let (mut world, [alice, bob, carol]) = followed();
    let members = world.router.members(&cid(FEED));
    assert_eq!(members, [alice.peer.account, bob.peer.account]);
    for (user, op, who) in [
        (&alice, MemberOperation::Join, &alice),
        (&bob, MemberOperation::Join, &bob),
        (&bob, MemberOperation::Join, &carol),
        (&bob, MemberOperation::Admit, &carol),
        (&bob, MemberOperation::Create, &bob),
        (&carol, MemberOperation::Leave, &carol),
        (&bob, MemberOperation::Leave, &alice),
        (&carol, MemberOperation::Remove, &alice),
        (&alice, MemberOperation::Remove, &bob),
        (&bob, MemberOperation::Role, &alice),
    ] {
        let request = world.link(user, FEED, op, who);
        let code = refused(&mut world, &request);
        assert_eq!(code, code::NOT_ALLOWED, "{} {op:?} {}", user.peer.name, who.peer.name);
    }
    let remove = world.link(&bob, FEED, MemberOperation::Remove, &alice);
    let (came, effects) = world.put_with(&remove, &mut Pending::default());
    assert!(matches!(came, Came::Stored(_)), "{came:?}");
    let (told, head) = effects.followed.unwrap();
    assert_eq!((told, head.mg), (vec![bob.peer.account, alice.peer.account], 2));
    assert_eq!(effects.changed, None, "who else follows is nobody's business");
    assert_eq!(world.router.members(&cid(FEED)), [bob.peer.account]);
    let again = world.put(&remove);
    assert!(matches!(again, Came::Again(_)), "{again:?}");
    let nobody = world.link(&carol, "feed:ghost", MemberOperation::Join, &carol);
    assert_eq!(refused(&mut world, &nobody), code::NO_SUCH_USER);
    let chain = world.router.chain(&carol.peer.name, &cid("feed:ghost"));
    assert_eq!(chain.unwrap_err().code, code::NO_SUCH_USER);
    assert!(world.router.chain(&carol.peer.name, &cid(FEED)).unwrap().is_some());
    assert!(world.router.chain(&carol.peer.name, &cid("feed:alice")).unwrap().is_none());
    assert_eq!(world.router.rooms_page(&alice.peer.name, None).rooms.len(), 1, "no room");
    let topic = world.router.decide_topic(&alice.peer, &cid(FEED), "mine");
    assert_eq!(topic.unwrap_err().code, code::NO_SUCH_ROOM);
}

#[test]
fn only_the_owner_speaks_makes_keys_and_nobody_sends_receipts() {
    let (mut world, [alice, bob, carol]) = followed();
    let feed = cid(FEED);
    for user in [&alice, &carol] {
        let (key, _) = world.key(user, &feed, None, &[user, &bob]);
        assert_eq!(refused(&mut world, &key), code::NOT_ALLOWED);
    }
    let (own, _) = world.key(&carol, &cid("feed:carol"), None, &[&carol]);
    assert_eq!(refused(&mut world, &own), code::NOT_ALLOWED, "nobody follows carol");
    let made = world.make(&bob, &feed, None, &[&alice, &bob]);
    let message = world.message(&alice, &feed, made.e, 0);
    assert_eq!(refused(&mut world, &message), code::NOT_ALLOWED);
    assert!(matches!(world.say(&bob, &feed, made.e, 0), Came::Stored(_)));
    let header = ReceiptHeader {
        v: 1,
        t: Tag::Ack,
        stage: Stage::Delivered,
        cid: feed,
        from: alice.peer.name.clone(),
        sk: alice.peer.sk,
        to: bob.peer.name.clone(),
        id: world.id(),
        ts: 0,
    };
    let receipt = World::request(&alice, Header::Receipt(header), None);
    assert_eq!(refused(&mut world, &receipt), code::NOT_ALLOWED);
}

/// Goal: the next copy is for exactly those who follow. Method: somebody comes, goes and is removed
/// between two copies; each time the epoch in use takes nothing more, without any grace.
#[test]
fn who_comes_or_goes_closes_the_epoch_at_once() {
    let (mut world, [alice, bob, carol]) = followed();
    let feed = cid(FEED);
    let both: [&User; 2] = [&alice, &bob];
    let first = world.make(&bob, &feed, None, &both);
    world.do_link(&carol, FEED, MemberOperation::Join, &carol);
    assert_eq!(world.say(&bob, &feed, first.e, 0), Came::Rekey);
    let second = world.make(&bob, &feed, Some(first), &[&alice, &bob, &carol]);
    assert!(matches!(world.say(&bob, &feed, second.e, 0), Came::Stored(_)));
    world.do_link(&carol, FEED, MemberOperation::Leave, &carol);
    assert_eq!(world.say(&bob, &feed, second.e, 1), Came::Rekey);
    let third = world.make(&bob, &feed, Some(second), &both);
    world.do_link(&bob, FEED, MemberOperation::Remove, &alice);
    assert_eq!(world.say(&bob, &feed, third.e, 0), Came::Rekey);
    let (with_alice, _) = world.key(&bob, &feed, Some(third), &both);
    assert_eq!(refused(&mut world, &with_alice), code::MEMBERS);
}

#[test]
fn owner_and_subscribers_are_told_of_the_feed_when_they_sign_in() {
    let (world, [alice, bob, carol]) = followed();
    let heads = |user: &User| {
        let account = world.router.account(user.peer.account).unwrap();
        let (heads, _) = world.router.heads_page(account, None);
        heads.iter().filter(|head| head.cid == cid(FEED)).map(|head| head.mg).collect::<Vec<_>>()
    };
    assert_eq!((heads(&alice), heads(&bob), heads(&carol)), (vec![1], vec![1], vec![]));
}

#[test]
fn one_follows_so_many_people_and_is_in_as_many_rooms_besides() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    for number in 0..FOLLOWED_MAX {
        world.user(&format!("u{number}"), 2);
        world.do_link(&alice, &format!("feed:u{number}"), MemberOperation::Join, &alice);
        world.do_link(&alice, &format!("room:r{number}"), MemberOperation::Create, &alice);
    }
    let one_more = world.link(&alice, FEED, MemberOperation::Join, &alice);
    assert_eq!(refused(&mut world, &one_more), code::TOO_MANY);
    world.do_link(&bob, "feed:alice", MemberOperation::Join, &bob);
    world.do_link(&alice, "feed:u0", MemberOperation::Leave, &alice);
    assert!(matches!(world.put(&one_more), Came::Stored(_)));
}
