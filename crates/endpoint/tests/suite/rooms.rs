//! Rooms (rule R2): who is in them is what the signed chain says, never what the hub says.

use chat_endpoint::{Alarm, Event, MemberChange, RoomAction, Transmit};
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Header;
use chat_protocol::hub::{self, HubToClient};
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, UserName};

use crate::hub::{Forgery, TestHub, lobby, name, room};

const JOIN: RoomAction = RoomAction::Join { create: false };
const PRIVATE: RoomAction = RoomAction::Create { private: true };

fn kick(who: &str) -> RoomAction {
    RoomAction::Remove { who: name(who), ban: false }
}

fn ban(who: &str) -> RoomAction {
    RoomAction::Remove { who: name(who), ban: true }
}

fn admit(who: &str) -> RoomAction {
    RoomAction::Admit(name(who))
}

/// Alice's private room with everybody in it, and something said.
fn crew(names: &[&str]) -> TestHub {
    let mut hub = TestHub::with(names);
    hub.act(0, "crew", PRIVATE);
    for who in &names[1..] {
        hub.act(0, "crew", admit(who));
    }
    hub.say_in(0, "crew", "welcome");
    hub
}

fn alarms(hub: &TestHub, index: usize) -> usize {
    hub.count(index, |event| matches!(event, Event::Alarm { kind: Alarm::BadChain, .. }))
}

/// Goal: what is asked for at once is done in the order of the asking. Method: whole stories within one
/// millisecond, whose ids are random within it; in another order each of them is refused.
#[test]
fn what_is_asked_for_within_one_millisecond_is_done_in_order() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    let op = RoomAction::Role { who: name("bob"), admin: true };
    for n in 0..20 {
        let text = format!("crew{n}");
        let asked = [PRIVATE, admit("bob"), op.clone(), admit("carol"), kick("carol")]
            .map(|action| hub.peers[0].endpoint.act_in_room(hub.now, &room(&text), action));
        hub.run();
        let answers = asked.map(|id| hub.answer_to(0, id));
        assert!(answers.iter().all(|answer| !answer.starts_with("E_")), "{answers:?}");
        assert_eq!(hub.roster(0, &text), ["alice", "bob"]);
    }
}

/// Goal: a list that the hub has made before it took the link of somebody new does not say that they are nowhere. Method: the
/// hub puts that link off, and is asked for the list meanwhile.
#[test]
fn a_list_says_which_rooms_are_being_entered() {
    let mut hub = TestHub::with(&["alice"]);
    hub.faults.busy_links = 2;
    let bob = hub.add("bob");
    let listed = |hub: &mut TestHub| {
        let peer = &mut hub.peers[bob];
        peer.events.clear();
        peer.endpoint.rooms();
        while hub.turn() {}
        let lists = hub.peers[bob].events.iter().filter_map(|event| match event {
            Event::Rooms { rooms, entering, .. } => {
                let is_in = rooms.iter().any(|info| info.room == lobby() && info.member);
                Some((is_in, entering.contains(&lobby())))
            }
            _ => None,
        });
        lists.collect::<Vec<_>>()
    };
    assert_eq!(listed(&mut hub), [(false, true)], "it is from before the link");
    hub.run();
    assert_eq!(listed(&mut hub), [(true, false)]);
}

/// What a device was told about members by others.
fn news(hub: &TestHub, index: usize) -> Vec<(MemberChange, UserName, UserName)> {
    let news = |event: &Event| match event {
        Event::MemberChanged { id: None, change, who, by, .. } => {
            Some((*change, who.clone(), by.clone()))
        }
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(news).collect()
}

#[test]
fn everything_asked_for_is_answered_with_what_became_of_it() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    for (index, action, answer) in [
        (1, JOIN, "E_NO_SUCH_ROOM: there is no room #ops"),
        (0, RoomAction::Join { create: true }, "joined"),
        (0, RoomAction::Create { private: false }, "E_NAME_TAKEN: there is a room #ops already"),
        (1, admit("carol"), "E_NOT_A_MEMBER: you are not in #ops"),
        (1, JOIN, "joined"),
        (1, JOIN, "joined"),
        (1, kick("alice"), "E_NOT_ALLOWED: only an admin of #ops may do that"),
        (0, kick("carol"), "E_NOT_ALLOWED: carol is not in #ops"),
        (0, admit("nemo"), "E_NO_SUCH_USER: nobody is called nemo"),
        (0, admit("carol"), "Added carol"),
        (0, admit("carol"), "E_NOT_ALLOWED: carol is in #ops already"),
        (0, RoomAction::Role { who: name("bob"), admin: true }, "Admin bob"),
        (0, RoomAction::Role { who: name("bob"), admin: true }, "bob is an admin of #ops already"),
        (1, RoomAction::Role { who: name("alice"), admin: false }, "NoAdmin alice"),
        (0, kick("carol"), "E_NOT_ALLOWED: only an admin"),
        (1, ban("carol"), "Banned carol"),
        (2, JOIN, "banned from this room"),
        (1, admit("carol"), "Added carol"),
        (1, kick("carol"), "Removed carol"),
        (2, JOIN, "joined"),
        (2, RoomAction::Leave, "left"),
        (2, RoomAction::Leave, "E_NOT_A_MEMBER: you are not in #ops"),
    ] {
        let id = hub.act(index, "ops", action.clone());
        let got = hub.answer_to(index, id);
        assert!(got.contains(answer) && !got.is_empty(), "{index} {action:?}: {got:?}");
    }
    assert_eq!(hub.roster(0, "ops"), ["alice", "bob"]);
    let leave = hub.act(0, "ALL", RoomAction::Leave);
    assert!(hub.answer_to(0, leave).contains("nobody can leave ALL"));
    assert_eq!((0..3).map(|index| alarms(&hub, index)).sum::<usize>(), 0);
}

#[test]
fn who_comes_second_signs_again_behind_the_first() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    let now = hub.now;
    let ids: Vec<_> = (0..3)
        .map(|index| {
            let join = RoomAction::Join { create: true };
            hub.peers[index].endpoint.act_in_room(now, &room("ops"), join)
        })
        .collect();
    hub.run();
    for (index, id) in ids.into_iter().enumerate() {
        assert_eq!(hub.answer_to(index, id), "joined");
        assert_eq!(hub.roster(index, "ops"), ["alice", "bob", "carol"]);
    }
}

#[test]
fn what_is_said_before_the_join_is_answered_is_said_there() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.act(0, "ops", RoomAction::Join { create: true });
    let now = hub.now;
    hub.peers[1].endpoint.act_in_room(now, &room("ops"), JOIN);
    hub.say_in(1, "ops", "hello");
    assert_eq!(hub.texts(0), ["bob: hello"]);
}

#[test]
fn who_is_let_in_or_put_out_by_others_learns_of_it_live_and_at_the_next_sign_in() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    hub.act(0, "crew", PRIVATE);
    hub.disconnect(2);
    hub.act(0, "crew", admit("bob"));
    hub.act(0, "crew", admit("carol"));
    let (alice, bob, carol) = (name("alice"), name("bob"), name("carol"));
    let added = |who: &UserName| (MemberChange::Added, who.clone(), alice.clone());
    assert_eq!(news(&hub, 1), [added(&bob), added(&carol)]);
    hub.comes(2);
    assert_eq!(news(&hub, 2), [added(&carol)], "the rest is the past");
    hub.say_in(2, "crew", "hello");
    assert_eq!(hub.texts(1), ["carol: hello"]);

    hub.disconnect(2);
    hub.act(0, "crew", kick("carol"));
    hub.comes(2);
    let removed = (MemberChange::Removed, carol.clone(), alice.clone());
    assert_eq!(news(&hub, 2).last(), Some(&removed));
    assert_eq!(news(&hub, 1).last(), Some(&removed));
}

#[test]
fn after_leaving_nothing_is_said_there() {
    let mut hub = crew(&["alice", "bob"]);
    hub.act(1, "crew", RoomAction::Leave);
    let id = hub.say_in(1, "crew", "too late");
    assert!(hub.answer_to(1, id).starts_with("E_NOT_A_MEMBER"), "{}", hub.answer_to(1, id));
    assert_eq!(hub.peers[1].endpoint.unanswered(), 0);
    assert!(hub.texts(0).is_empty());
}

/// Goal: the hub cannot put somebody into a room (rule R2).
/// Method: it adds a link for an account that it has made up, signed in each way it can; the view
/// stays as it was, there is an alarm, and what is said next is sealed for the members alone.
#[test]
fn r02_a_ghost_of_the_hub_is_an_alarm_and_nobody_seals_for_it() {
    for how in [
        Forgery::Unsigned,
        Forgery::InTheAdminsName,
        Forgery::InItsOwnName,
        Forgery::Join,
        Forgery::Borrowed,
    ] {
        let mut hub = crew(&["alice", "bob"]);
        hub.add_ghost("crew", "mallory", how);
        hub.run();
        for index in 0..2 {
            assert!(alarms(&hub, index) > 0, "{how:?}: no alarm for {index}");
            assert_eq!(hub.roster(index, "crew"), ["alice", "bob"], "{how:?}");
        }
        hub.now += 2 * 24 * 3600 * 1000;
        hub.say_in(0, "crew", "among ourselves");
        let (g, names) = hub.epoch_of("crew");
        assert_eq!(names, ["alice", "bob"], "{how:?}");
        assert!(g > 0, "{how:?}: an epoch of before the ghost proves nothing");
        assert_eq!(hub.texts(1), ["alice: welcome", "alice: among ourselves"], "{how:?}");
    }
}

/// Goal: the hub cannot give a member another key than the one that the admin has signed.
/// Method: carol has never met bob. When alice lets him in, the hub shows carol keys of its own for
/// his name.
#[test]
fn r02_a_members_key_is_the_one_in_the_link() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.act(0, "crew", PRIVATE);
    hub.act(0, "crew", admit("bob"));
    hub.replace_people("bob");
    let carol = hub.joins("carol");
    hub.act(0, "crew", admit("carol"));
    hub.say_in(carol, "crew", "hello");
    let (_, names) = hub.epoch_of("crew");
    assert!(!names.contains(&"bob".to_owned()), "sealed for the hub's key: {names:?}");
    let alarm =
        |event: &Event| matches!(event, Event::Alarm { user, .. } if user.as_str() == "bob");
    assert!(hub.count(carol, alarm) > 0);
}

/// Goal: who was removed cannot open what is said next, and the remover does not wait for it.
/// Method: carol keeps everything she ever got, and the hub hands her every frame and key.
#[test]
fn r02_who_was_removed_cannot_open_the_next_message() {
    let mut hub = crew(&["alice", "bob", "carol"]);
    let (before, _) = hub.epoch_of("crew");
    hub.act(0, "crew", kick("carol"));
    let (after, names) = hub.epoch_of("crew");
    assert_eq!(after, before + 1, "the next epoch is made at once");
    assert_eq!(names, ["alice", "bob"]);
    hub.say_in(1, "crew", "without carol");
    hub.hand_over_everything(2);
    hub.run();
    hub.restarts(2);
    assert_eq!(hub.texts(2), ["alice: welcome"]);
    assert_eq!(hub.texts(0), ["bob: without carol"]);
    let id = hub.say_in(2, "crew", "let me in");
    assert!(hub.answer_to(2, id).starts_with("E_NOT_A_MEMBER"), "{}", hub.answer_to(2, id));
}

/// A device gets a new signing key and revokes the old one, with which it has signed links.
fn revoke(hub: &mut TestHub, index: usize) {
    hub.disconnect(index);
    hub.replace_signing_key(index);
    hub.comes(index);
}

/// Goal: who joined with a key that was revoked later does not break the view of who comes after.
/// Method: in the lobby and in an open room, alice's key is replaced before dave comes.
#[test]
fn joins_by_a_key_that_was_revoked_later_stay_valid() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.act(0, "ops", RoomAction::Create { private: false });
    hub.act(1, "ops", JOIN);
    revoke(&mut hub, 0);
    let dave = hub.joins("dave");
    hub.act(dave, "ops", JOIN);
    for room in ["lobby", "ops"] {
        for index in [dave, 0, 1] {
            hub.say_in(index, room, &format!("{index} in {room}"));
        }
        let events = &hub.peers[dave].events;
        assert_eq!(hub.roster(dave, room), ["alice", "bob", "dave"], "{room}: {events:?}");
    }
    assert_eq!(alarms(&hub, dave), 0);
    let theirs = ["alice: 0 in lobby", "bob: 1 in lobby", "alice: 0 in ops", "bob: 1 in ops"];
    assert_eq!(hub.texts(dave), theirs);
}

/// Goal: what an admin's key decided before it was revoked counts once the admin, or another one
/// who was admin without it, has built on it; until then it may be a thief's. Method: alice lets
/// people in and her key is replaced; somebody new comes before and after she has done more.
#[test]
fn decisions_by_a_key_that_was_revoked_later_need_somebody_who_built_on_them() {
    let mut hub = TestHub::with(&["alice", "bob", "carol", "dave"]);
    hub.act(0, "crew", PRIVATE);
    hub.act(0, "crew", admit("bob"));
    hub.act(0, "crew", RoomAction::Role { who: name("bob"), admin: true });
    revoke(&mut hub, 0);
    // Bob is an admin only by a link of the revoked key.
    hub.act(1, "crew", admit("carol"));
    assert_eq!(hub.roster(2, "crew"), ["alice"]);
    assert!(alarms(&hub, 2) > 0);
    hub.act(0, "crew", admit("dave"));
    assert_eq!(hub.roster(3, "crew"), ["alice", "bob", "carol", "dave"]);
    assert_eq!(alarms(&hub, 3), 0);
    hub.restarts(2);
    assert_eq!(hub.roster(2, "crew"), ["alice", "bob", "carol", "dave"]);
    hub.say_in(3, "crew", "all here");
    assert_eq!(hub.texts(2), ["dave: all here"]);
}

/// Goal: a view that is fetched while a link of one's own is kept comes to its end. Before: the page was passed
/// over, and nothing could be done or said in the room before the next connection.
#[test]
fn a_link_that_is_kept_while_the_view_is_fetched_stops_nothing() {
    let mut hub = crew(&["alice", "bob", "carol"]);
    let (now, links) = (hub.now, hub.chain_length("crew"));
    hub.peers[0].endpoint.act_in_room(now, &room("crew"), kick("carol"));
    while hub.chain_length("crew") == links {
        assert!(hub.turn());
    }
    hub.peers[0].endpoint.refresh(&ConversationId::room(&room("crew")));
    hub.run();
    hub.say_in(0, "crew", "goes on");
    assert_eq!(hub.texts(1), ["alice: welcome", "alice: goes on"]);
}

/// The links that a step of alice's sends, by their ids.
fn links_sent(hub: &mut TestHub) -> Vec<MessageId> {
    let now = hub.now;
    let step = hub.peers[0].endpoint.finish(now);
    let link = |transmit| {
        let Transmit::Binary(bytes) = transmit else { return None };
        match Header::parse(RawFrame::decode(bytes).ok()?.header()) {
            Ok(Header::Member(link)) => Some(link.id),
            _ => None,
        }
    };
    step.transmits.into_iter().filter_map(link).collect()
}

/// Goal: what was put off is signed anew, and the hub can put that off no more by what it was before. Before: a link
/// that was under way was signed once more.
#[test]
fn a_link_that_is_signed_anew_is_not_put_off_as_the_one_before() {
    let mut hub = crew(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[0].endpoint.act_in_room(now, &room("crew"), kick("bob"));
    let first = links_sent(&mut hub);
    assert_eq!(first.len(), 1);
    for signed_anew in [1, 0] {
        let retry = HubToClient::Retry { id: first[0], after_ms: 100, why: "busy".to_owned() };
        let now = hub.now;
        hub.peers[0].endpoint.handle_text(now, &hub::write(&retry));
        hub.now += 1_000;
        let now = hub.now;
        hub.peers[0].endpoint.handle_timeout(now);
        assert_eq!(links_sent(&mut hub).len(), signed_anew);
    }
}
