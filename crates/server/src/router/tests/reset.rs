//! Another identity under a name, by a code of the operator.

use chat_protocol::{crypto::random, handshake::Purpose};

use super::*;
use crate::{
    connection::ConnectionId,
    outbox::{OutboxLimits, bounded},
    request::{Proof, SignIn},
    store::{NewOrder, ResetCode},
};

const CODE: Digest = Digest([7; 32]);

/// The operator has made a code for somebody.
fn make_code(world: &mut World, who: &User) {
    let code = ResetCode { digest: CODE, until_ms: world.now_ms + 1000 };
    let order = NewOrder::Reset { account: who.peer.account, code };
    let committed = world.store.keep(Proposal::Order(Box::new(order)));
    world.router.apply(world.now_ms, committed);
}

/// Who enters as somebody with a code, with the keys of this number.
fn sign_in(who: &User, code: Digest, (index, dev): (usize, Nonce16)) -> (SignIn, User) {
    let keys = world::keys(index);
    let bundle =
        keys.publish(&who.peer.name, dev, None, 5, chat_protocol::keys::BundleOptions::default());
    let bundle = Arc::new(bundle.unwrap());
    let outbox = bounded(OutboxLimits::default()).0;
    let (password, vault) = (Some("hash".to_owned()), None);
    let request = SignIn {
        connection: ConnectionId(9),
        name: who.peer.name.clone(),
        proof: Proof::Reset { code, bundle: Arc::clone(&bundle), password, vault },
        purpose: Purpose::Task,
        spki: Vec::new(),
        sk: keys.signing_id(),
        invite: None,
        received: None,
        outbox: outbox.clone(),
        reply: tokio::sync::oneshot::channel().0,
    };
    let peer = crate::request::Peer {
        connection: ConnectionId(9),
        account: who.peer.account,
        device: who.peer.device,
        name: who.peer.name.clone(),
        sk: keys.signing_id(),
        spki: Vec::new(),
        purpose: Purpose::Task,
        outbox,
        budgets: crate::budgets::AccountBudgets::lifted(),
        heard: crate::request::Heard::default(),
        page: tokio::sync::Semaphore::new(1),
    };
    (request, User { peer: Arc::new(peer), bundle, keys })
}

/// What entering with a code came to: the code of the refusal, or nothing.
fn enter(world: &mut World, request: &SignIn) -> Option<&'static str> {
    let mut pending = Pending::default();
    match world.router.decide_sign_in(world.now_ms, request, &mut pending) {
        Some(Decision::Propose(proposal)) => {
            let committed = world.store.keep(proposal);
            world.router.apply(world.now_ms, committed);
            None
        }
        Some(Decision::Refuse(refusal)) => Some(refusal.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_code_lets_one_new_identity_into_its_account_in_its_time() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let dev = Nonce16(random());
    let (came, new) = sign_in(&alice, CODE, (2, dev));
    assert_eq!(enter(&mut world, &came), Some(code::INVITE), "no code was made");
    make_code(&mut world, &alice);
    let (other, _) = sign_in(&bob, CODE, (2, dev));
    assert_eq!(enter(&mut world, &other), Some(code::INVITE), "the code of another account");
    let (wrong, _) = sign_in(&alice, Digest([8; 32]), (2, dev));
    assert_eq!(enter(&mut world, &wrong), Some(code::INVITE));
    let (same, _) = sign_in(&alice, CODE, (0, dev));
    assert_eq!(enter(&mut world, &same), Some(code::MALFORMED), "the identity that it has");
    let (same, _) = sign_in(&alice, CODE, (2, alice.bundle.header().dev));
    assert_eq!(enter(&mut world, &same), Some(code::MALFORMED), "a device that it has");
    world.now_ms += 1001;
    assert_eq!(enter(&mut world, &came), Some(code::INVITE), "too late");
    make_code(&mut world, &alice);
    assert_eq!(enter(&mut world, &came), None);
    let account = world.router.account(alice.peer.account).unwrap();
    assert_eq!((account.identity, account.devices.len()), (new.bundle.identity(), 1));
    let (again, _) = sign_in(&alice, CODE, (3, Nonce16(random())));
    assert_eq!(enter(&mut world, &again), Some(code::INVITE), "used up");
    let old = world.router.admittance().check(&alice.peer.name, &[alice.peer.sk]);
    assert_eq!(old.unwrap_err().code, code::REVOKED);
    assert!(world.router.admittance().check(&new.peer.name, &[new.peer.sk]).is_ok());
}

#[test]
fn a_new_identity_is_in_no_room_and_has_no_mailbox_until_it_comes_in() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let (lobby, direct) = (cid("room:lobby"), cid("dm:alice:bob"));
    for user in [&alice, &bob] {
        world.do_link(user, "room:lobby", MemberOperation::Join, user);
    }
    let spoken = world.make(&bob, &lobby, None, &[&alice, &bob]);
    let told = world.make(&bob, &direct, None, &[&alice, &bob]);
    assert!(matches!(world.say(&bob, &direct, told.e, 0), Came::Stored(_)));
    assert_eq!(world.router.waiting().messages, 1);
    make_code(&mut world, &alice);
    let (came, new) = sign_in(&alice, CODE, (2, Nonce16(random())));
    assert_eq!(enter(&mut world, &came), None);

    assert_eq!(world.router.waiting().messages, 0, "it is nobody's");
    assert_eq!(world.say(&alice, &lobby, spoken.e, 1), Came::Refused(code::BAD_SIGNATURE));
    assert_eq!(world.say(&bob, &lobby, spoken.e, 1), Came::Rekey, "the old key is for the old one");
    assert_eq!(world.say(&bob, &direct, told.e, 1), Came::Rekey);
    assert_eq!(world.say(&new, &lobby, spoken.e, 0), Came::Refused(code::NOT_A_MEMBER));
    assert_eq!(world.router.members(&lobby), [bob.peer.account]);
    // The others talk on, without waiting for anybody.
    world.now_ms += 60_000;
    let alone = world.make(&bob, &lobby, Some(spoken), &[&bob]);
    assert!(matches!(world.say(&bob, &lobby, alone.e, 0), Came::Stored(_)));
    let both = world.make(&bob, &direct, Some(told), &[&new, &bob]);
    assert!(matches!(world.say(&new, &direct, both.e, 0), Came::Stored(_)));
}
