//! The library of lies against devices: nothing is shown that nobody has said, nothing twice, nothing
//! is missing without a word, and with an honest hub people talk again.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it says what went wrong"
)]

use chat_endpoint::Event;
use chat_evil_hub::{LIES, Liar, Lie, Switch};

use crate::hub::{TestHub, lobby, name};

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

/// What alice says to bob, and in the lobby, while a lie is told.
const DIRECT: [&str; 3] = ["one", "two", "three"];
const IN_THE_LOBBY: [&str; 3] = ["first", "second", "third"];

/// Rounds and deadlines that a lie is told for: enough for every repair, and for a storm to show.
const ROUNDS: usize = 600;

/// Frames of alice's in that time; more is a storm.
const FRAMES_MAX: usize = 100;

/// Nobody says so many messages here: a gap that names a higher one is made up.
const COUNTER_MAX: u32 = 100;

/// It is about the memory of a program, and is measured there.
const LARGE: &str = "unasked parts";

/// Lets everything happen that happens by itself, for so many rounds at most.
fn go_on(hub: &mut TestHub) {
    let end = hub.now + 60_000;
    (0..ROUNDS).all(|_| hub.step(end));
}

fn say(hub: &mut TestHub, direct: &str, room: &str) {
    let now = hub.now;
    let alice = &mut hub.peers[ALICE].endpoint;
    alice.tell_user(now, &name("bob"), direct).unwrap();
    alice.say(now, &lobby(), room).unwrap();
    go_on(hub);
}

/// Whether a person was told that something is not as it should be.
fn was_told(hub: &TestHub, index: usize) -> bool {
    let is_word = |event: &Event| {
        matches!(
            event,
            Event::Alarm { .. }
                | Event::Gap { .. }
                | Event::Unreadable { .. }
                | Event::Dropped { .. }
                | Event::Refused { .. }
                | Event::Complaint { .. }
        )
    };
    hub.count(index, is_word) > 0
}

/// Tells the lie; what it broke.
fn broken(lie: &Lie) -> Vec<String> {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    let switch = Switch::default();
    hub.liar = Some(Box::new(Liar::new((lie.make)(), &switch)));
    say(&mut hub, "before", "to all");
    switch.set(true);
    hub.disconnect(BOB);
    hub.connect(BOB);
    // Some lies are about bundles, links and new epochs.
    hub.add_sibling(ALICE, None);
    hub.add("dave");
    let sent_before = hub.seen.len();
    for (direct, room) in DIRECT.iter().zip(IN_THE_LOBBY) {
        say(&mut hub, direct, room);
    }
    // Some are about the counters of who seals here for the first time on a connection.
    let now = hub.now;
    hub.peers[BOB].endpoint.tell_user(now, &name("alice"), "from bob").ok();
    go_on(&mut hub);
    let sent = hub.seen.len() - sent_before;
    // A device that seals nothing for such a hub has seen through it.
    let seen_through = hub.peers[BOB].endpoint.is_rolled_back();
    hub.liar = None;
    for index in 0..hub.peers.len() {
        hub.disconnect(index);
        hub.connect(index);
    }
    go_on(&mut hub);
    for index in 0..2 {
        say(&mut hub, &format!("after {index}"), &format!("to all, after {index}"));
    }
    let (texts, carols) = (hub.texts(BOB), hub.texts(CAROL));
    let mut broken = Vec::new();
    if switch.told() == 0 {
        broken.push("it was never told".to_owned());
    }
    let said = |text: &str| format!("alice: {text}");
    for text in DIRECT.into_iter().chain(IN_THE_LOBBY) {
        match texts.iter().filter(|shown| **shown == said(text)).count() {
            0 if !seen_through && !was_told(&hub, BOB) && !was_told(&hub, ALICE) => {
                broken.push(format!("{text} is missing, and nobody was told"));
            }
            0 | 1 => {}
            times => broken.push(format!("{text} was shown {times} times")),
        }
    }
    if !texts.contains(&said("after 1")) || !carols.contains(&said("to all, after 1")) {
        broken.push("with an honest hub nothing comes any more".to_owned());
    }
    let known: Vec<String> = DIRECT
        .into_iter()
        .chain(IN_THE_LOBBY)
        .chain(["before", "to all", "after 0", "after 1", "to all, after 0", "to all, after 1"])
        .map(said)
        .collect();
    broken.extend(
        texts
            .iter()
            .filter(|text| !known.contains(text))
            .map(|text| format!("shown, and nobody has said it: {text}")),
    );
    let private = |text: &&String| DIRECT.iter().any(|direct| **text == said(direct));
    broken.extend(carols.iter().find(private).map(|text| format!("carol reads {text}")));
    let is_made_up = |event: &Event| matches!(event, Event::Gap { missing, .. } if missing.iter().any(|n| *n > COUNTER_MAX));
    if hub.count(BOB, is_made_up) > 0 {
        broken.push("bob is told of missing messages that nobody has written".to_owned());
    }
    if sent > FRAMES_MAX {
        broken.push(format!("alice has sent {sent} messages"));
    }
    broken
}

#[test]
fn no_lie_deceives_and_none_lasts() {
    let mut failures = Vec::new();
    for lie in LIES.iter().filter(|lie| lie.name != LARGE) {
        let broken = broken(lie);
        if !broken.is_empty() {
            failures.push(format!("{} ({}): {}", lie.name, lie.rule, broken.join("; ")));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
