//! Many who need a new epoch at once (rule R3): few of them make one, and everybody gets a word in.

use chat_endpoint::limits::{IN_FLIGHT_MAX, RACE_WAIT_MAX_MS, RACE_WAIT_SLOW_MAX_MS};
use chat_endpoint::{Alarm, Event, RoomAction};
use chat_protocol::limits::EPOCH_SENDER_MESSAGES_MAX;

use crate::hub::{TestHub, name, room};

/// An open room `ops` of so many people in which something was said.
fn crowd(people: usize) -> TestHub {
    let names: Vec<String> = (0..people).map(|at| format!("p{at:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut hub = TestHub::with(&names);
    hub.act(0, "ops", RoomAction::Create { private: false });
    let now = hub.now;
    for peer in &mut hub.peers[1..] {
        peer.endpoint.act_in_room(now, &room("ops"), RoomAction::Join { create: false });
    }
    hub.run();
    hub.say_in(0, "ops", "welcome");
    hub.epochs_offered = 0;
    hub.lockstep = true;
    hub
}

/// Somebody leaves, and everybody who stays has something to say in that moment.
fn leave_and_talk(hub: &mut TestHub) {
    let now = hub.now;
    let last = hub.peers.len() - 1;
    hub.peers[last].endpoint.act_in_room(now, &room("ops"), RoomAction::Leave);
    while hub.turn() {}
    for (index, peer) in hub.peers[..last].iter_mut().enumerate() {
        peer.endpoint.say(now, &room("ops"), &format!("I am {index}")).unwrap();
    }
}

fn heard(hub: &TestHub) -> Vec<usize> {
    let others = hub.peers.len() - 1;
    (0..others)
        .map(|index| hub.texts(index).iter().filter(|t| t.contains("I am")).count())
        .collect()
}

/// Goal: an epoch of a large room is not made by everybody in vain, and all that was said goes out.
/// Method: forty people, one leaves, all others talk at once.
#[test]
fn few_of_a_large_room_make_the_next_epoch() {
    let mut hub = crowd(40);
    leave_and_talk(&mut hub);
    hub.run();
    assert_eq!(heard(&hub), [38; 39]);
    let offered = hub.epochs_offered;
    assert!((1..=8).contains(&offered), "{offered} epochs were made");
    let alarm = |event: &Event| matches!(event, Event::Alarm { kind: Alarm::BadChain, .. });
    assert!((0..40).all(|index| hub.count(index, alarm) == 0));
}

/// Goal: in a small room nobody waits. Method: the same with six people; the clock stands still.
#[test]
fn a_small_room_loses_no_time() {
    let mut hub = crowd(6);
    let before = hub.now;
    leave_and_talk(&mut hub);
    while hub.turn() {}
    assert_eq!(hub.now, before);
    assert_eq!(heard(&hub), [4; 5]);
}

/// Goal: who is alone with something to say gets it out within the bound, and at once when the
/// change was some time ago. Method: one of forty talks, just after the leaving and a second later.
#[test]
fn a_single_talker_of_a_large_room_is_not_forgotten() {
    for later in [0, 1_000] {
        let mut hub = crowd(40);
        let now = hub.now;
        hub.peers[39].endpoint.act_in_room(now, &room("ops"), RoomAction::Leave);
        while hub.turn() {}
        hub.now += later;
        let said = hub.now;
        hub.peers[0].endpoint.say(said, &room("ops"), "I am alone").unwrap();
        while hub.turn() {}
        while hub.texts(1).len() < 2 {
            let next = hub.peers[0].endpoint.next_deadline().expect("it will go out");
            hub.now = hub.now.max(next);
            let now = hub.now;
            hub.peers.iter_mut().for_each(|peer| peer.endpoint.handle_timeout(now));
            while hub.turn() {}
        }
        let waited = hub.now - said;
        let bound = if later == 0 { RACE_WAIT_MAX_MS } else { 0 };
        assert!(waited <= bound, "{waited} ms after {later} ms");
    }
}

/// Goal: whoever removes somebody makes the next epoch at once (rule R2), in a large room, too.
/// Method: the admin kicks; the clock stands still.
#[test]
fn the_remover_does_not_wait() {
    let mut hub = crowd(20);
    let (now, before) = (hub.now, hub.epoch_of("ops").0);
    let kick = RoomAction::Remove { who: name("p019"), ban: false };
    hub.peers[0].endpoint.act_in_room(now, &room("ops"), kick);
    while hub.turn() {}
    let (g, names) = hub.epoch_of("ops");
    assert_eq!((g, names.len()), (before + 1, 19));
    assert_eq!(hub.epochs_offered, 1);
}

/// Goal: an epoch whose counters are used up is replaced at once: that is nobody else's race.
/// Method: one of twenty says more than fits in one epoch and what may be under way at its end; the
/// clock stands still.
#[test]
fn an_epoch_that_is_used_up_is_replaced_at_once() {
    let mut hub = crowd(20);
    hub.now += RACE_WAIT_SLOW_MAX_MS;
    let (now, before) = (hub.now, hub.epoch_of("ops").0);
    let under_way = u32::try_from(IN_FLIGHT_MAX).unwrap();
    for at in 0..=EPOCH_SENDER_MESSAGES_MAX + under_way {
        hub.peers[0].endpoint.say(now, &room("ops"), &format!("{at}")).unwrap();
    }
    while hub.turn() {}
    assert_eq!(hub.epoch_of("ops").0, before + 1);
    assert_eq!(hub.peers[0].endpoint.unanswered(), 0);
}

/// Goal: many who come at once sign few links in vain, and all get in. Method: forty people sign in
/// at the same moment, which joins two rooms, and then join a third one. If everybody signed again
/// each time that one gets in, it were forty times twenty links for each room.
#[test]
fn a_crowd_gets_in_with_few_links() {
    let hub = crowd(40);
    assert_eq!(hub.roster(0, "ops").len(), 40);
    let each = hub.links_offered / 120;
    assert!((1..=9).contains(&each), "{} links", hub.links_offered);
}
