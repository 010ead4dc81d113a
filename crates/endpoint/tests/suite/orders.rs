//! What is asked for in rooms survives the process that was asked.

use chat_endpoint::{Endpoint, Event, MemberChange, RoomAction, SystemRandom};
use chat_protocol::id::MessageId;
use chat_protocol::name::RoomName;

use crate::hub::{TestHub, name, room};

/// Alice's open room `ops` with bob and carol in it.
fn ops() -> TestHub {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    hub.act(0, "ops", RoomAction::Create { private: false });
    hub.act(1, "ops", RoomAction::Join { create: false });
    hub.act(2, "ops", RoomAction::Join { create: false });
    hub.say_in(0, "ops", "welcome");
    hub
}

fn ask(hub: &mut TestHub, index: usize, action: RoomAction) -> MessageId {
    let now = hub.now;
    hub.peers[index].endpoint.act_in_room(now, &room("ops"), action)
}

/// The host commits what was asked for and dies.
fn commit(hub: &mut TestHub, index: usize) {
    let now = hub.now;
    let step = hub.peers[index].endpoint.finish(now);
    hub.peers[index].store.commit(step.changes);
}

fn kick(who: &str) -> RoomAction {
    RoomAction::Remove { who: name(who), ban: false }
}

/// Goal: what is asked for without a connection is done after a restart, in order, and answered once.
/// Method: alice asks for three things offline; her process ends before the next connection.
#[test]
fn what_was_asked_for_offline_is_done_after_a_restart() {
    let mut hub = ops();
    hub.disconnect(0);
    let asked =
        [kick("bob"), RoomAction::Role { who: name("carol"), admin: true }, RoomAction::Leave]
            .map(|action| ask(&mut hub, 0, action));
    commit(&mut hub, 0);
    hub.restarts(0);
    let answers = asked.map(|id| hub.answer_to(0, id));
    assert_eq!(answers, ["Removed bob", "Admin carol", "left"]);
    assert_eq!(hub.roster(2, "ops"), ["carol"]);
    // Nothing is left to do.
    let links = hub.links_offered;
    hub.restarts(0);
    assert_eq!(hub.links_offered, links);
    assert_eq!(asked.map(|id| hub.answer_to(0, id)), answers);
}

/// Goal: a process that ends between asking and the answer neither loses nor repeats what was asked
/// for. Method: alice kicks bob, and her process ends after each number of rounds; bob comes back
/// meanwhile in no case. One link is in the chain and one answer is told at the most; where the
/// answer was told before the end, none comes after it.
#[test]
fn a_restart_between_asking_and_answer_loses_and_repeats_nothing() {
    for rounds in 0..8 {
        let mut hub = ops();
        let before = hub.chain_length("ops");
        let id = ask(&mut hub, 0, kick("bob"));
        for _ in 0..rounds {
            hub.turn();
        }
        commit(&mut hub, 0);
        hub.restarts(0);
        assert_eq!(hub.chain_length("ops"), before + 1, "{rounds} rounds");
        assert_eq!(hub.roster(0, "ops"), ["alice", "carol"], "{rounds} rounds");
        assert_eq!(hub.answer_to(0, id), "Removed bob", "{rounds} rounds");
    }
}

/// Goal: two processes of one home do not both do it. Method: alice asks in one; another one that
/// started before reads the rows anew, and one that starts later takes it over until it is done.
#[test]
fn another_process_of_the_home_does_it_only_if_it_starts_later() {
    let mut hub = ops();
    hub.disconnect(0);
    let device = hub.peers[0].endpoint.device().clone();
    let open = |hub: &TestHub| {
        Endpoint::new(
            device.clone(),
            &hub.peers[0].store.rows(),
            std::sync::Arc::default(),
            Box::new(SystemRandom),
        )
        .unwrap()
    };
    let earlier = open(&hub);
    let id = ask(&mut hub, 0, RoomAction::Leave);
    commit(&mut hub, 0);
    let rows = hub.peers[0].store.rows();
    let later = open(&hub);
    let left = |event: &Event| matches!(event, Event::Left { id: Some(of), .. } if *of == id);
    for (mut process, does_it) in [(earlier, false), (later, true)] {
        process.reload(&rows).unwrap();
        let own = std::mem::replace(&mut hub.peers[0].endpoint, process);
        hub.comes(0);
        assert_eq!(hub.count(0, left), usize::from(does_it));
        hub.disconnect(0);
        hub.peers[0].endpoint = own;
    }
    // The one that was asked finds it done, and says so instead of a refusal.
    let rows = hub.peers[0].store.rows();
    hub.peers[0].endpoint.reload(&rows).unwrap();
    hub.comes(0);
    assert_eq!(hub.answer_to(0, id), "left, left");
    assert_eq!(hub.roster(1, "ops"), ["bob", "carol"]);
}

/// Goal: what is said in a room that was being joined waits for the join after a restart, too.
/// Method: bob joins and talks offline, and his process ends.
#[test]
fn what_was_said_behind_a_join_is_said_after_a_restart() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    hub.act(0, "ops", RoomAction::Create { private: false });
    hub.disconnect(1);
    ask(&mut hub, 1, RoomAction::Join { create: false });
    let (now, ops): (u64, RoomName) = (hub.now, room("ops"));
    hub.peers[1].endpoint.say(now, &ops, "hello").unwrap();
    commit(&mut hub, 1);
    hub.restarts(1);
    assert_eq!(hub.texts(0), ["bob: hello"]);
}

/// Goal: whoever was put out of the lobby while away leaves it, so that others make no more keys for them. Method: the
/// server says so at the sign-in of a device that has not seen the lobby's chain yet.
#[test]
fn a_device_that_has_not_looked_yet_leaves_the_lobby_that_it_was_put_out_of() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    for index in [0, 1] {
        hub.say_in(index, "lobby", "hello");
    }
    hub.disconnect(1);
    let other = hub.add_sibling(1, None);
    hub.put_out(&[0, other], "bob", true);
    hub.say_in(0, "lobby", "who is here?");
    assert_eq!(hub.roster(0, "lobby"), ["alice"]);
    let links = hub.links_offered;
    hub.restarts(other);
    assert_eq!(hub.links_offered, links, "bob leaves once");
}

/// Goal: a removal that was asked for just before the connection was lost is done and told once, also where this
/// device has other keys since. Method: the hub keeps the link and the answer is lost, or the link is asked for
/// without a connection; alice's device comes back with the same signing key, or with another one.
#[test]
fn a_removal_is_done_and_told_once_whatever_keys_come_after_it() {
    for (was_sent, has_new_keys) in [(true, false), (true, true), (false, true)] {
        let mut hub = ops();
        let before = hub.chain_length("ops");
        let mut asked = None;
        if was_sent {
            hub.faults.hold_answers = true;
            asked = Some(ask(&mut hub, 0, kick("bob")));
            assert!((0..20).any(|_| hub.turn() && hub.chain_length("ops") > before), "never sent");
        }
        hub.disconnect(0);
        hub.faults.hold_answers = false;
        if has_new_keys {
            hub.replace_signing_key(0);
        }
        let id = asked.unwrap_or_else(|| ask(&mut hub, 0, kick("bob")));
        hub.comes(0);
        let case = format!("sent {was_sent}, new keys {has_new_keys}: {:?}", hub.peers[0].events);
        let removed = |event: &Event| {
            matches!(event, Event::MemberChanged { change: MemberChange::Removed, .. })
        };
        assert_eq!(hub.count(0, removed), 1, "{case}");
        assert_eq!(hub.answer_to(0, id), "Removed bob", "{case}");
        assert_eq!(hub.chain_length("ops"), before + 1, "{case}");
        hub.say_in(0, "ops", "among ourselves");
        let heard =
            |hub: &TestHub, index| hub.texts(index).contains(&"alice: among ourselves".to_owned());
        assert!(heard(&hub, 2) && !heard(&hub, 1), "{case}");
        assert_eq!(hub.count(0, |event| matches!(event, Event::Alarm { .. })), 0, "{case}");
    }
}

/// Goal: whoever joins a room once more that its operator has deleted is told so, and not that they are in.
#[test]
fn joining_a_deleted_room_again_is_refused() {
    let mut hub = ops();
    let id = hub.act(1, "ops", RoomAction::Join { create: false });
    assert_eq!(hub.answer_to(1, id), "joined");
    hub.faults.deletes_rooms = true;
    let id = hub.act(1, "ops", RoomAction::Join { create: false });
    assert!(hub.answer_to(1, id).contains("has deleted this room"), "{}", hub.answer_to(1, id));
    let id = hub.act(1, "ops", RoomAction::Leave);
    assert_eq!(hub.answer_to(1, id), "left");
}
