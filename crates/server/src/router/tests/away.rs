//! Devices that a key may lack: those that were away for too long (rule R12), and those whom its maker leaves
//! out and says so (rule R40).

use super::*;
use crate::limits::AWAY_SLACK_MS;

/// Goal: a key that leaves out a device is taken once nobody has to wrap for it any more, and not
/// before; a message in it is not sealed again for that. It may still be in one, too.
/// Method: bob is away. A day before senders leave him out the hub takes a key without him.
#[test]
fn r12_a_key_may_lack_a_device_that_was_away_too_long() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let lobby = cid("room:lobby");
    world.do_link(&alice, "room:lobby", MemberOperation::Join, &alice);
    world.do_link(&bob, "room:lobby", MemberOperation::Join, &bob);
    let made = world.make(&alice, &lobby, None, &[&alice, &bob]);
    let last = bob.bundle.wrapped_until_ms();
    world.now_ms = last - AWAY_SLACK_MS - 1;
    let (early, _) = world.key(&alice, &lobby, Some(made), &[&alice]);
    assert_eq!(world.put(&early), Came::Refused(code::MEMBERS));
    world.now_ms += 1;
    let without = world.make(&alice, &lobby, Some(made), &[&alice]);
    world.now_ms += 60_000;
    assert!(matches!(world.say(&alice, &lobby, without.e, 0), Came::Stored(_)), "good for long");
    let with_bob = world.make(&alice, &lobby, Some(without), &[&alice, &bob]);

    // He publishes a new key: now it may not be missing, and the old one may not be there.
    world.now_ms = last + 1;
    world.publish(&bob, 3, bob.bundle.header().dev, Vec::new());
    world.now_ms += 60_000;
    for stale in [&[&alice][..], &[&alice, &bob]] {
        let (key, _) = world.key(&alice, &lobby, Some(with_bob), stale);
        assert_eq!(world.put(&key), Came::Refused(code::MEMBERS));
    }
}

/// Goal: a member whose key the maker does not know as theirs stops nobody, and nobody is left out without a word.
/// Method: alice makes keys without bob, with his name in `wo` and without it, and with his line beside it.
#[test]
fn r40_a_key_may_lack_whom_its_maker_leaves_out() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let lobby = cid("room:lobby");
    world.do_link(&alice, "room:lobby", MemberOperation::Join, &alice);
    world.do_link(&bob, "room:lobby", MemberOperation::Join, &bob);
    world.now_ms += 60_000;
    let (silent, _) = world.key(&alice, &lobby, None, &[&alice]);
    assert_eq!(world.put(&silent), Came::Refused(code::MEMBERS));
    let (both_ways, _) = world.key_without(&alice, &lobby, (&[&alice, &bob], &[&bob]));
    assert_eq!(world.put(&both_ways), Came::Refused(code::MALFORMED));
    let (said, without) = world.key_without(&alice, &lobby, (&[&alice], &[&bob]));
    assert!(matches!(world.put(&said), Came::Stored(_)));
    world.now_ms += 60_000;
    assert!(matches!(world.say(&alice, &lobby, without.e, 0), Came::Stored(_)), "good for long");
}
