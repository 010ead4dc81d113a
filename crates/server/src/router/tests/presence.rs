//! Who is here, by the records of sessions alone.

use chat_protocol::handshake::Purpose;

use super::*;
use crate::{
    connection::ConnectionId,
    store::{DeviceId, Incarnation, NewSession, SessionPlace},
};

fn session(connection: u64, purpose: Purpose, is_open: bool) -> NewSession {
    let place = SessionPlace { hub: Incarnation::ALONE, connection: ConnectionId(connection) };
    let (account, device, replaces) = (AccountId(1), DeviceId(1), None);
    NewSession { place, account, device, purpose, is_open, replaces }
}

#[test]
fn a_task_that_ends_by_itself_is_no_arrival() {
    use Purpose::{Interactive, Task, Visit};
    let mut world = World::new();
    let alice = world.user("alice", 0).peer.account;
    let mut told = |connection, purpose, is_open| {
        let record = Proposal::Session(session(connection, purpose, is_open));
        world.apply(record, Stored::Done).came.pop()
    };
    assert_eq!(told(3, Visit, true), None, "others are told nothing of it");
    assert_eq!(told(1, Interactive, true), Some((alice, true)), "the first that is told of");
    assert_eq!(told(2, Task, true), None);
    assert_eq!(told(3, Visit, false), None);
    assert_eq!(told(4, Visit, true), None);
    assert_eq!(told(2, Task, false), None);
    assert_eq!(told(1, Interactive, false), Some((alice, false)), "although a task is still here");
    assert_eq!(told(1, Interactive, false), None, "once");
    assert!(world.router.is_online(alice), "the task");
    world.apply(Proposal::Session(session(4, Visit, false)), Stored::Done);
    assert!(!world.router.is_online(alice));
}

/// Goal: one interactive session of a device, wherever its session is served.
#[test]
fn a_device_is_signed_in_by_a_person_once_on_all_hubs() {
    let mut world = World::new();
    let alice = world.user("alice", 0).peer.account;
    let mut elsewhere = session(1, Purpose::Interactive, true);
    elsewhere.place.hub = Incarnation { node: 2, life: 7 };
    world.apply(Proposal::Session(elsewhere), Stored::Done);
    let admits = |world: &World, device, purpose| {
        let device = Some(DeviceId(device));
        world
            .router
            .admits_session((alice, device), purpose, (Incarnation::ALONE, |_| false))
            .is_ok()
    };
    let device = Some(DeviceId(1));
    let refused = |hub| {
        world
            .router
            .admits_session((alice, device), Purpose::Interactive, (hub, |_| false))
            .unwrap_err()
    };
    assert_eq!(
        refused(elsewhere.place.hub).retry_ms,
        None,
        "where it is open it is refused for good"
    );
    assert!(refused(Incarnation::ALONE).retry_ms.is_some(), "that hub may have died a moment ago");
    assert!(!admits(&world, 1, Purpose::Interactive));
    assert!(admits(&world, 1, Purpose::Task) && admits(&world, 2, Purpose::Interactive));
    // A connection of this hub with the same number is another one.
    world.apply(Proposal::Session(session(1, Purpose::Interactive, false)), Stored::Done);
    assert!(!admits(&world, 1, Purpose::Interactive));
    world.apply(Proposal::Session(NewSession { is_open: false, ..elsewhere }), Stored::Done);
    assert!(admits(&world, 1, Purpose::Interactive));
}

/// Goal: who was served by a hub that has ended without a word is not shown as here.
#[test]
fn sessions_end_with_their_hub() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let hub = Incarnation { node: 2, life: 7 };
    let at = |user: &User, hub, connection| {
        let place = SessionPlace { hub, connection: ConnectionId(connection) };
        let (account, device) = (user.peer.account, user.peer.device);
        let (purpose, is_open) = (Purpose::Interactive, true);
        Proposal::Session(NewSession { place, account, device, purpose, is_open, replaces: None })
    };
    for session in [at(&alice, hub, 1), at(&bob, hub, 2), at(&bob, Incarnation::ALONE, 2)] {
        world.apply(session, Stored::Done);
    }
    let came = world.apply(Proposal::Gone(hub), Stored::Done).came;
    assert_eq!(came, [(alice.peer.account, false)], "bob is here, too");
    assert!(!world.router.is_online(alice.peer.account));
    assert!(world.router.is_online(bob.peer.account));
}
