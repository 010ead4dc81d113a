//! The lobby's moderators, and whom they have put out.

use chat_protocol::hub::{HubToClient, Moderation};

use super::*;
use crate::{limits::LOBBY_KICK_MS, store::NewOrder};

const LOBBY: &str = "room:lobby";

/// What a moderator decides, applied; or the code of the refusal.
fn moderate(world: &mut World, by: &User, who: &User, act: Moderation) -> Result<(), &'static str> {
    let about = (&cid(LOBBY), &who.peer.name, act);
    let proposal = world.router.decide_moderation(world.now_ms, &by.peer, about);
    let committed = world.store.keep(proposal.map_err(|refusal| refusal.code)?);
    world.router.apply(world.now_ms, committed);
    Ok(())
}

fn make_moderator(world: &mut World, who: &User) {
    let order = NewOrder::Moderator { account: who.peer.account, is_one: true };
    let committed = world.store.keep(Proposal::Order(Box::new(order)));
    world.router.apply(world.now_ms, committed);
}

/// Alice moderates, bob and mallory are in the lobby, and there is a key for all three.
fn lobby() -> (World, [User; 3], Made) {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let mallory = world.user("mallory", 2);
    for user in [&alice, &bob, &mallory] {
        world.do_link(user, LOBBY, MemberOperation::Join, user);
    }
    make_moderator(&mut world, &alice);
    let made = world.make(&alice, &cid(LOBBY), None, &[&alice, &bob, &mallory]);
    (world, [alice, bob, mallory], made)
}

/// Whether a message reaches a device of somebody.
fn reaches(world: &mut World, from: &User, made: Made, n: u32, to: &User) -> bool {
    let request = world.message(from, &cid(LOBBY), made.e, n);
    let (came, effects) = world.put_with(&request, &mut Pending::default());
    assert!(matches!(came, Came::Stored(_)), "{came:?}");
    let Some(Audience::Devices { lines, .. }) = effects.delivery.map(|d| d.audience) else {
        panic!("no delivery")
    };
    lines.iter().any(|line| line.account == to.peer.account)
}

#[test]
fn only_a_moderator_puts_others_out_and_only_of_the_lobby() {
    let (mut world, [alice, bob, mallory], _) = lobby();
    assert_eq!(moderate(&mut world, &bob, &mallory, Moderation::Kick), Err(code::NOT_ALLOWED));
    assert_eq!(moderate(&mut world, &alice, &alice, Moderation::Ban), Err(code::NOT_ALLOWED));
    assert_eq!(moderate(&mut world, &alice, &bob, Moderation::Unban), Err(code::NOT_ALLOWED));
    let elsewhere = (&cid("room:ops"), &bob.peer.name, Moderation::Ban);
    let refused = world.router.decide_moderation(world.now_ms, &alice.peer, elsewhere);
    assert_eq!(refused.unwrap_err().code, code::NOT_ALLOWED);
    let nobody = (&cid(LOBBY), &name("nobody"), Moderation::Ban);
    let refused = world.router.decide_moderation(world.now_ms, &alice.peer, nobody);
    assert_eq!(refused.unwrap_err().code, code::NO_SUCH_USER);
    assert_eq!(moderate(&mut world, &alice, &mallory, Moderation::Kick), Ok(()));
    assert_eq!(moderate(&mut world, &alice, &mallory, Moderation::Kick), Err(code::NOT_A_MEMBER));
    let topic = |user: &User| world.router.decide_topic(&user.peer, &cid(LOBBY), "x").map(drop);
    assert_eq!(topic(&bob).unwrap_err().code, code::NOT_ALLOWED);
    assert_eq!(topic(&alice), Ok(()));
}

#[test]
fn who_is_put_out_says_nothing_hears_nothing_and_comes_back_after_a_while() {
    let (mut world, [alice, bob, mallory], made) = lobby();
    assert!(reaches(&mut world, &bob, made, 0, &mallory));
    assert_eq!(moderate(&mut world, &alice, &mallory, Moderation::Kick), Ok(()));
    assert!(!reaches(&mut world, &bob, made, 1, &mallory));
    let refused = Came::Refused(code::NOT_A_MEMBER);
    assert_eq!(world.say(&mallory, &cid(LOBBY), made.e, 0), refused);
    let everybody = [&alice, &bob, &mallory];
    let (key, _) = world.key(&mallory, &cid(LOBBY), Some(made), &everybody);
    assert_eq!(world.put(&key), refused);
    // Others go on to make keys for who is in the chain.
    let made = world.make(&bob, &cid(LOBBY), Some(made), &everybody);
    assert!(!reaches(&mut world, &bob, made, 0, &mallory));
    let plan =
        |world: &World| world.router.plan(world.router.account(mallory.peer.account).unwrap());
    let of_lobby = world.router.log(&cid(LOBBY)).unwrap();
    assert!(plan(&world).logs.iter().all(|(log, _)| *log != of_lobby), "nothing to catch up with");

    let told = |world: &World| world.router.put_out_notice(mallory.peer.account).is_some();
    assert!(told(&world), "a device that was away hears of it");
    let notices = |world: &World, user: &User| {
        world.router.put_out_notices(world.router.account(user.peer.account).unwrap())
    };
    let of_her = |told: &HubToClient| matches!(told, HubToClient::Moderated { who, mg: 3, past: true, .. } if *who == mallory.peer.name);
    let told_to_bob = notices(&world, &bob);
    assert!(told_to_bob.len() == 1 && told_to_bob.iter().all(of_her), "{told_to_bob:?}");
    assert!(notices(&world, &mallory).is_empty());
    world.do_link(&mallory, LOBBY, MemberOperation::Leave, &mallory);
    assert!(!told(&world));
    assert!(notices(&world, &bob).is_empty(), "the chain says it now");
    let join = world.link(&mallory, LOBBY, MemberOperation::Join, &mallory);
    world.now_ms += LOBBY_KICK_MS - 1;
    assert_eq!(world.put(&join), refused);
    world.now_ms += 1;
    assert!(matches!(world.put(&join), Came::Stored(_)));
    let made = world.make(&bob, &cid(LOBBY), Some(made), &everybody);
    assert!(matches!(world.say(&mallory, &cid(LOBBY), made.e, 0), Came::Stored(_)));
    assert!(plan(&world).logs.iter().any(|(log, _)| *log == of_lobby));
}

#[test]
fn leaving_does_not_help_against_a_ban_and_unban_does() {
    let (mut world, [alice, _, mallory], _) = lobby();
    assert_eq!(moderate(&mut world, &alice, &mallory, Moderation::Ban), Ok(()));
    world.do_link(&mallory, LOBBY, MemberOperation::Leave, &mallory);
    let join = world.link(&mallory, LOBBY, MemberOperation::Join, &mallory);
    world.now_ms += 100 * LOBBY_KICK_MS;
    assert_eq!(world.put(&join), Came::Refused(code::NOT_A_MEMBER));
    assert_eq!(moderate(&mut world, &alice, &mallory, Moderation::Unban), Ok(()));
    let again = moderate(&mut world, &alice, &mallory, Moderation::Unban);
    assert_eq!(again, Err(code::NOT_ALLOWED));
    assert!(matches!(world.put(&join), Came::Stored(_)));
}
