//! Who may know of a room, its limits and its topic.

use chat_protocol::{
    limits::{ROOMS_PAGE_MAX, TOPIC_BYTES_MAX},
    name::ConversationKind,
};

use super::*;
use crate::router::rooms::deleted_notice;
use crate::{
    limits::ROOMS_MAX,
    store::{Dropped, NewOrder, NewRetention, NewTopic},
};

/// Rooms that an account makes or joins.
const ROOMS_PER_USER_MAX: usize = 100;

impl World {
    fn with_argument(
        &mut self,
        user: &User,
        room: &str,
        (op, arg): (MemberOperation, MemberArgument),
        who: &User,
    ) -> FrameRequest {
        let request = self.link(user, room, op, who);
        let Header::Member(header) = request.header else { panic!("a link is a MEMBER") };
        Self::request(user, Header::Member(MemberHeader { arg, ..header }), None)
    }

    fn create_private(&mut self, user: &User, room: &str) {
        let kind = (MemberOperation::Create, MemberArgument::Invite);
        let request = self.with_argument(user, room, kind, user);
        let came = self.put(&request);
        assert!(matches!(came, Came::Stored(_)), "{came:?}");
    }

    /// What an account is told when it asks for rooms.
    fn rooms(&self, user: &User) -> Vec<String> {
        let page = self.router.rooms_page(&user.peer.name, None);
        page.rooms.iter().map(|info| info.room.to_string()).collect()
    }

    fn topic(&self, user: &User, room: &str, text: &str) -> Result<Proposal, &'static str> {
        self.router.decide_topic(&user.peer, &cid(room), text).map_err(|refusal| refusal.code)
    }
}

#[test]
fn a_private_room_is_nobody_elses_and_who_was_removed_reads_to_the_end_of_their_time() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let carol = world.user("carol", 2);
    let crew = cid("room:crew");
    world.create_private(&alice, "room:crew");
    assert_eq!(world.rooms(&alice), ["crew", "lobby"]);
    assert_eq!(world.rooms(&bob), ["lobby"]);
    let refused = world.router.chain(&bob.peer.name, &crew).unwrap_err();
    assert_eq!(refused.code, code::NOT_A_MEMBER);
    for (op, expected) in [
        (MemberOperation::Join, code::NOT_A_MEMBER),
        (MemberOperation::Leave, code::NOT_A_MEMBER),
        (MemberOperation::Create, code::NAME_TAKEN),
    ] {
        let request = world.link(&bob, "room:crew", op, &bob);
        assert_eq!(world.put(&request), Came::Refused(expected), "{op:?}");
    }
    assert_eq!(world.router.head_for(&bob.peer.name, &crew).mg, 0, "no head for outsiders");

    world.do_link(&alice, "room:crew", MemberOperation::Admit, &bob);
    let chain = world.router.chain(&bob.peer.name, &crew).unwrap().unwrap();
    assert_eq!((chain.end, world.rooms(&bob).len()), (u32::MAX, 2));
    let kick = world.link(&alice, "room:crew", MemberOperation::Remove, &bob);
    let (_, effects) = world.put_with(&kick, &mut Pending::default());
    let (who, head) = effects.removed.unwrap();
    assert_eq!((who, head.mg, head.epoch), (bob.peer.account, 3, None));
    world.do_link(&alice, "room:crew", MemberOperation::Admit, &carol);
    let chain = world.router.chain(&bob.peer.name, &crew).unwrap().unwrap();
    assert_eq!(chain.end, 3, "carol's coming is none of bob's business");
    assert_eq!(world.rooms(&bob), ["lobby"]);
    assert_eq!(world.router.head_for(&bob.peer.name, &crew).mg, 0);
}

#[test]
fn who_is_banned_is_refused_until_an_admin_admits_them() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    world.do_link(&alice, "room:square", MemberOperation::Create, &alice);
    world.do_link(&bob, "room:square", MemberOperation::Join, &bob);
    let ban = (MemberOperation::Remove, MemberArgument::Ban);
    let ban = world.with_argument(&alice, "room:square", ban, &bob);
    assert!(matches!(world.put(&ban), Came::Stored(_)));
    let join = world.link(&bob, "room:square", MemberOperation::Join, &bob);
    assert_eq!(world.put(&join), Came::Refused(code::NOT_ALLOWED));
    world.do_link(&alice, "room:square", MemberOperation::Admit, &bob);
    assert!(world.router.members(&cid("room:square")).contains(&bob.peer.account));
}

#[test]
fn an_account_is_in_a_hundred_rooms_and_lists_come_in_pages() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    for number in 0..ROOMS_PER_USER_MAX {
        world.do_link(&alice, &format!("room:r{number}"), MemberOperation::Create, &alice);
    }
    let one_more = world.link(&alice, "room:more", MemberOperation::Create, &alice);
    assert_eq!(world.put(&one_more), Came::Refused(code::TOO_MANY));
    let join = world.link(&alice, "room:lobby", MemberOperation::Join, &alice);
    assert_eq!(world.put(&join), Came::Refused(code::TOO_MANY));
    world.do_link(&alice, "room:r0", MemberOperation::Leave, &alice);
    assert!(matches!(world.put(&one_more), Came::Stored(_)));

    let first = world.router.rooms_page(&bob.peer.name, None);
    assert!(first.more && first.rooms.len() == ROOMS_PAGE_MAX);
    let last = first.rooms.last().map(|info| info.room.clone());
    let second = world.router.rooms_page(&bob.peer.name, last.as_ref());
    assert!(!second.more);
    // Those of alice and the lobby; the one that she has left is in no list.
    assert_eq!(first.rooms.len() + second.rooms.len(), ROOMS_PER_USER_MAX + 1);
}

#[test]
fn a_hub_has_so_many_rooms_and_no_two_that_differ_in_case_only() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let first = world.link(&alice, "room:Ops", MemberOperation::Create, &alice);
    let twin = world.link(&bob, "room:ops", MemberOperation::Create, &bob);
    let mut batch = Pending::default();
    assert!(matches!(world.put_with(&first, &mut batch).0, Came::Stored(_)));
    assert_eq!(world.put(&twin), Came::Refused(code::NAME_TAKEN));
    let lobby = world.link(&bob, "room:LOBBY", MemberOperation::Create, &bob);
    assert_eq!(world.put(&lobby), Came::Refused(code::NAME_TAKEN));
    let ConversationKind::Room(room) = cid("room:new").kind() else { panic!("a room") };
    for number in world.router.rooms.len()..ROOMS_MAX {
        world.router.rooms.insert(format!("filler{number}"), ConversationId::room(&room));
    }
    let one_more = world.link(&bob, "room:new", MemberOperation::Create, &bob);
    assert_eq!(world.put(&one_more), Came::Refused(code::TOO_MANY));
}

#[test]
fn two_spellings_in_one_batch_are_decided_one_after_the_other() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let first = world.link(&alice, "room:Ops", MemberOperation::Create, &alice);
    let twin = world.link(&bob, "room:ops", MemberOperation::Create, &bob);
    let mut batch = Pending::default();
    let proposed = world.router.decide(world.now_ms, &first, &mut batch);
    assert!(matches!(proposed, Decision::Propose(_)));
    let deferred = world.router.decide(world.now_ms, &twin, &mut batch);
    assert!(matches!(deferred, Decision::Defer), "{deferred:?}");
    let join = world.link(&alice, "room:lobby", MemberOperation::Join, &alice);
    let deferred = world.router.decide(world.now_ms, &join, &mut batch);
    assert!(matches!(deferred, Decision::Defer), "the limit of rooms is counted: {deferred:?}");
}

#[test]
fn members_of_open_rooms_set_the_topic() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    world.do_link(&alice, "room:square", MemberOperation::Create, &alice);
    world.create_private(&alice, "room:crew");
    let long = "x".repeat(TOPIC_BYTES_MAX + 1);
    assert_eq!(world.topic(&alice, "room:square", &long).unwrap_err(), code::TOO_MANY);
    assert_eq!(world.topic(&bob, "room:square", "mine").unwrap_err(), code::NOT_A_MEMBER);
    assert_eq!(world.topic(&alice, "room:crew", "ours").unwrap_err(), code::NOT_ALLOWED);
    assert_eq!(world.topic(&bob, "room:crew", "theirs").unwrap_err(), code::NO_SUCH_ROOM);
    assert_eq!(world.topic(&bob, "room:nowhere", "x").unwrap_err(), code::NO_SUCH_ROOM);
    let kept = world.topic(&alice, "room:square", "market day").unwrap();
    assert!(matches!(&kept, Proposal::Topic(NewTopic { text, .. }) if text == "market day"));
    world.apply(kept, Stored::Done);
    assert_eq!(world.router.members(&cid("room:square")), [alice.peer.account]);
    let page = world.router.rooms_page(&bob.peer.name, None);
    let square = page.rooms.iter().find(|info| info.room.as_str() == "square").unwrap();
    assert_eq!((square.topic.as_str(), square.users, square.member), ("market day", 1, false));
}

#[test]
fn who_has_just_left_still_confirms_what_they_got() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let lobby = cid("room:lobby");
    for user in [&alice, &bob] {
        world.do_link(user, "room:lobby", MemberOperation::Join, user);
    }
    world.do_link(&bob, "room:lobby", MemberOperation::Leave, &bob);
    let header = ReceiptHeader {
        v: 1,
        t: Tag::Ack,
        stage: Stage::Delivered,
        cid: lobby,
        from: bob.peer.name.clone(),
        sk: bob.peer.sk,
        to: alice.peer.name.clone(),
        id: world.id(),
        ts: 0,
    };
    let request = World::request(&bob, Header::Receipt(header), None);
    assert!(matches!(world.put(&request), Came::Stored(_)));
}

#[test]
fn the_last_admin_of_a_private_room_stays_while_others_are_in_it() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    world.create_private(&alice, "room:crew");
    world.do_link(&alice, "room:crew", MemberOperation::Admit, &bob);
    let leave = world.link(&alice, "room:crew", MemberOperation::Leave, &alice);
    assert_eq!(world.put(&leave), Came::Refused(code::NOT_ALLOWED));
    let role = |arg| (MemberOperation::Role, arg);
    let deop = world.with_argument(&alice, "room:crew", role(MemberArgument::Member), &alice);
    assert_eq!(world.put(&deop), Came::Refused(code::NOT_ALLOWED));
    let op = world.with_argument(&alice, "room:crew", role(MemberArgument::Admin), &bob);
    assert!(matches!(world.put(&op), Came::Stored(_)));
    let leave = world.link(&alice, "room:crew", MemberOperation::Leave, &alice);
    assert!(matches!(world.put(&leave), Came::Stored(_)));
    let leave = world.link(&bob, "room:crew", MemberOperation::Leave, &bob);
    assert!(matches!(world.put(&leave), Came::Stored(_)), "alone, the last one may go");
}

/// Goal: a room that the operator has deleted holds nobody, and its members hear of it at each sign-in. Before: its
/// last admin could neither go nor make somebody else one.
#[test]
fn the_last_admin_leaves_a_deleted_room_and_its_members_hear_of_it() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    world.create_private(&alice, "room:crew");
    world.do_link(&alice, "room:crew", MemberOperation::Admit, &bob);
    let log = world.router.chain(&alice.peer.name, &cid("room:crew")).unwrap().unwrap().log;
    let told = |world: &World, user: &User| {
        world.router.deleted_notices(world.router.account(user.peer.account).unwrap())
    };
    assert_eq!(told(&world, &bob), []);
    world.router.apply_order(NewOrder::CloseRoom(log));
    assert_eq!(told(&world, &bob), [deleted_notice(cid("room:crew"))]);
    let leave = world.link(&alice, "room:crew", MemberOperation::Leave, &alice);
    assert!(matches!(world.put(&leave), Came::Stored(_)));
    assert_eq!(told(&world, &alice), []);
}

/// Goal: an admin says how long a room keeps messages, nobody else does, and the hub drops in time
/// and nothing before. Method: a private room, an open one and the lobby, with a clock.
#[test]
fn retention_is_set_by_admins_and_falls_due() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let carol = world.user("carol", 2);
    world.create_private(&alice, "room:crew");
    world.do_link(&alice, "room:crew", MemberOperation::Admit, &bob);
    world.do_link(&bob, "room:lobby", MemberOperation::Join, &bob);
    let set = |world: &World, user: &User, room: &str, keep_ms| {
        let decided = world.router.decide_retention(&user.peer, &cid(room), keep_ms);
        decided.map(|_| ()).map_err(|refusal| refusal.code)
    };
    for (user, room, keep_ms, expected) in [
        (&alice, "room:crew", Some(60_000), Ok(())),
        (&alice, "room:crew", Some(0), Ok(())),
        (&alice, "room:crew", None, Ok(())),
        (&alice, "room:crew", Some(999), Err(code::NOT_ALLOWED)),
        (&alice, "room:crew", Some(u64::MAX), Err(code::NOT_ALLOWED)),
        (&bob, "room:crew", Some(60_000), Err(code::NOT_ALLOWED)),
        (&carol, "room:crew", Some(60_000), Err(code::NO_SUCH_ROOM)),
        (&bob, "room:lobby", Some(60_000), Err(code::NOT_ALLOWED)),
        (&bob, "dm:alice:bob", Some(60_000), Err(code::NO_SUCH_ROOM)),
    ] {
        assert_eq!(set(&world, user, room, keep_ms), expected, "{room} {keep_ms:?}");
    }

    world.make(&alice, &cid("room:crew"), None, &[&alice, &bob]);
    assert_eq!(world.router.next_drop_ms(), None, "everything is kept");
    let accepted_ms = world.now_ms;
    let crew = cid("room:crew");
    let log = world.router.log(&crew).unwrap();
    let keep = |keep_ms| Proposal::Retention(NewRetention { log, keep_ms, by: name("alice") });
    let told = world.apply(keep(Some(60_000)), Stored::Done).notice.unwrap();
    assert_eq!(told.to.unwrap().len(), 2);
    assert!(matches!(told.text, HubToClient::Retention { keep_ms: 60_000, .. }));
    let due_ms = accepted_ms + 60_001;
    assert_eq!(world.router.next_drop_ms(), Some(due_ms));
    assert!(world.router.decide_drop(due_ms - 1).is_none());
    let step = world.router.decide_drop(due_ms).unwrap();
    assert_eq!((step.before_ms, step.keep_ms), (accepted_ms + 1, 60_000));
    let more = Dropped { messages: 256, is_more: true, oldest_ms: None };
    world.apply(Proposal::Drop(step), Stored::Dropped(more));
    assert!(world.router.decide_drop(due_ms).is_some(), "the next step at once");
    let rest = Dropped { messages: 1, is_more: false, oldest_ms: Some(accepted_ms + 5) };
    world.apply(Proposal::Drop(step), Stored::Dropped(rest));
    assert_eq!(world.router.next_drop_ms(), Some(due_ms + 5));
    world.apply(keep(Some(0)), Stored::Done);
    assert_eq!(world.router.next_drop_ms(), None);
    world.router.keep_for(1_000);
    assert_eq!(world.router.next_drop_ms(), None, "the room says otherwise");
    world.apply(keep(None), Stored::Done);
    assert_eq!(world.router.next_drop_ms(), Some(accepted_ms + 5 + 1_001));
}

/// Goal: whoever was removed and let in again is in no key that was made before, which the remover takes for one that hides
/// the removal. (The build before took it.) Method: bob's key is on its way while alice removes mallory by mistake.
#[test]
fn a_key_from_before_somebodys_return_is_refused() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let mallory = world.user("mallory", 2);
    let crew = cid("room:crew");
    world.create_private(&alice, "room:crew");
    world.do_link(&alice, "room:crew", MemberOperation::Admit, &bob);
    world.do_link(&alice, "room:crew", MemberOperation::Admit, &mallory);
    let (late, _) = world.key(&bob, &crew, None, &[&alice, &bob, &mallory]);
    world.do_link(&alice, "room:crew", MemberOperation::Remove, &mallory);
    world.do_link(&alice, "room:crew", MemberOperation::Admit, &mallory);
    assert_eq!(world.put(&late), Came::Refused(code::MEMBERS));
    world.make(&bob, &crew, None, &[&alice, &bob, &mallory]);
}

/// Goal: the answer to a key that was kept is had again whatever has become of its maker, who would forget the key
/// otherwise, and with it what others say in it. (The build before said that they are no member.)
#[test]
fn a_key_that_is_kept_is_answered_again_also_after_its_maker_was_removed() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let crew = cid("room:crew");
    world.create_private(&alice, "room:crew");
    world.do_link(&alice, "room:crew", MemberOperation::Admit, &bob);
    let (key, _) = world.key(&bob, &crew, None, &[&alice, &bob]);
    let Came::Stored(position) = world.put(&key) else { panic!("not stored") };
    world.do_link(&alice, "room:crew", MemberOperation::Remove, &bob);
    assert_eq!(world.put(&key), Came::Again(position));
    let (other, _) = world.key(&bob, &crew, None, &[&alice, &bob]);
    assert_eq!(world.put(&other), Came::Refused(code::NOT_A_MEMBER));
}
