//! A hub that damages every key of two people: neither can read the other, and each wants to make it
//! good (rules R19, R39).

use chat_protocol::hub::HubToClient;

use super::{SECOND_MS, pass};
use crate::hub::{Fate, TestHub, lobby, name};

const MINUTE_MS: u64 = 60 * SECOND_MS;
const PEOPLE: [&str; 2] = ["alice", "bob"];

/// Epochs of both together in any minute.
const EPOCHS_MAX: usize = 20;

/// Messages of both together in any minute: what people said, again with each epoch, and requests.
const MESSAGES_MAX: usize = 40;

fn met() -> TestHub {
    let mut hub = TestHub::with(&PEOPLE);
    hub.rule = Some(Box::new(|_, _| Fate::BadWrap));
    hub
}

/// Each says something.
fn talk(hub: &mut TestHub, in_room: bool, text: &str) {
    let now = hub.now;
    for (index, other) in [(0, 1), (1, 0)] {
        let endpoint = &mut hub.peers[index].endpoint;
        let said = if in_room {
            endpoint.say(now, &lobby(), text)
        } else {
            endpoint.tell_user(now, &name(PEOPLE[other]), text)
        };
        said.expect("a text");
    }
}

/// Goes on for so many minutes; the hub says each second that both have just come, if it tempts.
fn go_on(hub: &mut TestHub, minutes: usize, tempts: bool) -> Vec<(usize, usize)> {
    let mut counts = Vec::new();
    for _ in 0..minutes {
        let before = (hub.epochs_offered, hub.seen.len());
        for _ in 0..if tempts { 60 } else { 1 } {
            if tempts {
                let joined = PEOPLE.map(name).to_vec();
                hub.tell_all(&HubToClient::Presence { joined, left: Vec::new() });
            }
            pass(hub, MINUTE_MS / if tempts { 60 } else { 1 });
        }
        counts.push((hub.epochs_offered - before.0, hub.seen.len() - before.1));
    }
    counts
}

/// What each has read of the other, in any order.
fn read(hub: &TestHub, index: usize) -> Vec<String> {
    let mut texts = hub.texts(index);
    texts.sort();
    texts
}

/// Goal: the work that such a hub makes is bounded, whatever it says beside it, and ends. Before: the
/// devices answered each key with a key and each request with a request, as fast as the hub, for ever.
#[test]
fn damaged_keys_make_no_storm() {
    for (in_room, tempts) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut hub = met();
        let mut counts = Vec::new();
        for text in ["one", "two", "three"] {
            talk(&mut hub, in_room, text);
            counts.extend(go_on(&mut hub, 1, tempts));
        }
        counts.extend(go_on(&mut hub, 17, tempts));
        let fits = |(epochs, messages): &(usize, usize)| {
            *epochs <= EPOCHS_MAX && *messages <= MESSAGES_MAX
        };
        assert!(counts.iter().all(fits), "{in_room} {tempts}: {counts:?}");
        let rest = counts.iter().filter(|count| **count == (0, 0)).count();
        assert!(tempts || rest >= 8, "{in_room}: {counts:?}");
    }
}

/// Goal: when the hub stops, everything is read: by itself after ten minutes, and at once with the next
/// thing that is said where the devices had come to rest.
#[test]
fn when_keys_open_again_everything_is_read() {
    for (in_room, bad) in [(false, 4), (true, 4), (false, 14), (true, 14)] {
        let mut hub = met();
        for text in ["one", "two"] {
            talk(&mut hub, in_room, text);
            go_on(&mut hub, 1, false);
        }
        go_on(&mut hub, bad, false);
        hub.rule = None;
        let mut said = vec!["one", "two"];
        if bad > 10 {
            talk(&mut hub, in_room, "three");
            said.insert(1, "three");
            go_on(&mut hub, 1, false);
        } else {
            go_on(&mut hub, 8, false);
        }
        for (index, other) in [(0, 1), (1, 0)] {
            let expected: Vec<String> =
                said.iter().map(|text| format!("{}: {text}", PEOPLE[other])).collect();
            assert_eq!(read(&hub, index), expected, "{in_room} {bad}");
        }
    }
}

/// Goal: keys that are damaged in one place cost nothing in another. Before: three of alice's in the lobby,
/// and her direct messages were not read for ten minutes either.
#[test]
fn damaged_keys_of_a_room_do_not_stop_direct_messages() {
    let mut hub = TestHub::with(&PEOPLE);
    hub.rule = Some(Box::new(|index, _| if index == 1 { Fate::BadWrap } else { Fate::Good }));
    for _ in 0..4 {
        hub.forge_epoch(0, None);
        while hub.turn() {}
    }
    hub.rule = None;
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "beside it").expect("a text");
    while hub.turn() {}
    assert_eq!(hub.texts(1), ["alice: beside it"]);
}
