//! What a device makes of a hub that says it has dropped messages because a room keeps them no
//! longer.

#![expect(
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it says what went wrong"
)]

use chat_endpoint::Event;
use chat_protocol::hub::{self, DropClaim, HubToClient};
use chat_protocol::name::ConversationId;

use crate::hub::{Fate, TestHub, lobby};

const HOUR_MS: u64 = 3_600_000;

fn say(hub: &mut TestHub, text: &str) {
    let now = hub.now;
    hub.peers[0].endpoint.say(now, &lobby(), text).expect("a text that can be said");
    hub.run();
}

/// Lets the healing that is due happen.
fn wait(hub: &mut TestHub) {
    hub.now += 60_000;
    let now = hub.now;
    hub.peers.iter_mut().for_each(|peer| peer.endpoint.handle_timeout(now));
    hub.run();
}

fn events<T>(hub: &TestHub, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
    hub.peers[1].events.iter().filter_map(pick).collect()
}

fn texts(hub: &TestHub) -> Vec<String> {
    events(hub, |event| match event {
        Event::Message { text, .. } => Some(text.clone()),
        _ => None,
    })
}

fn gaps(hub: &TestHub) -> Vec<u32> {
    let lists = events(hub, |event| match event {
        Event::Gap { missing, .. } => Some(missing.clone()),
        _ => None,
    });
    lists.concat()
}

fn dropped(hub: &TestHub) -> Vec<u64> {
    events(hub, |event| match event {
        Event::Dropped { messages, .. } => Some(*messages),
        _ => None,
    })
}

/// Says things that bob does not get.
fn say_without_bob(hub: &mut TestHub, texts: &[&str]) {
    hub.rule = Some(Box::new(|index, _| if index == 1 { Fate::Lost } else { Fate::Good }));
    for text in texts {
        say(hub, text);
    }
    hub.rule = None;
}

/// The hub's word to bob, about everything that carol has.
fn claim(hub: &mut TestHub, messages: u64, before_ms: u64) {
    let positions = hub.peers[2].events.iter().filter_map(|event| match event {
        Event::Message { position, .. } => Some(*position),
        _ => None,
    });
    let position = positions.max().expect("carol has heard something");
    let cid = ConversationId::room(&lobby());
    let claim = DropClaim { cid, position, before_ms, keep_ms: HOUR_MS, messages };
    let now = hub.now;
    let text = hub::write(&HubToClient::Dropped(claim));
    hub.peers[1].endpoint.handle_text(now, &text);
    hub.run();
}

fn world() -> TestHub {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    say(&mut hub, "zero");
    hub
}

/// Goal: what was dropped is shown as the hub's word and asked of nobody; a later gap is one.
/// Method: two messages do not reach bob, the hub says so, then another one is withheld.
#[test]
fn what_the_hub_has_dropped_is_told_and_not_asked_for() {
    let mut hub = world();
    say_without_bob(&mut hub, &["one", "two"]);
    let before_ms = hub.now - HOUR_MS;
    claim(&mut hub, 2, before_ms);
    claim(&mut hub, 2, before_ms);
    say(&mut hub, "three");
    wait(&mut hub);
    assert_eq!((dropped(&hub), gaps(&hub)), (vec![2], vec![]), "told once, and no gap");
    assert_eq!(texts(&hub), ["zero", "three"], "nobody has sent it again");

    say_without_bob(&mut hub, &["four"]);
    say(&mut hub, "five");
    wait(&mut hub);
    assert_eq!(gaps(&hub), [4]);
    assert_eq!(texts(&hub), ["zero", "three", "five", "four"]);
}

/// Goal: the hub's word explains no more messages than it names. Method: four are missing, it says
/// one.
#[test]
fn a_hub_that_withholds_more_than_it_says_is_found_out() {
    let mut hub = world();
    say_without_bob(&mut hub, &["one", "two", "three", "four"]);
    let before_ms = hub.now - HOUR_MS;
    claim(&mut hub, 1, before_ms);
    say(&mut hub, "five");
    wait(&mut hub);
    assert_eq!((dropped(&hub), gaps(&hub)), (vec![1], vec![2, 3, 4]));
    assert_eq!(texts(&hub), ["zero", "five", "two", "three", "four"]);
}

/// Goal: messages that the room was to keep are not believed to be dropped. Method: the hub names a
/// time that is not past yet.
#[test]
fn what_is_too_young_is_a_gap() {
    let mut hub = world();
    say_without_bob(&mut hub, &["one"]);
    let before_ms = hub.now;
    claim(&mut hub, 1, before_ms);
    say(&mut hub, "two");
    wait(&mut hub);
    assert_eq!((dropped(&hub), gaps(&hub)), (vec![], vec![1]));
    assert_eq!(
        events(&hub, |event| matches!(event, Event::Complaint { .. }).then_some(())).len(),
        1
    );
    assert_eq!(texts(&hub), ["zero", "two", "one"]);
}

/// Goal: the tail of an epoch that the hub has dropped is explained for every message that names it.
/// Method: two messages are dropped at the end of an epoch; the next epoch begins with several that
/// leave together.
#[test]
fn a_tail_that_was_dropped_is_explained_once_and_for_all() {
    let mut hub = world();
    say_without_bob(&mut hub, &["one", "two"]);
    let before_ms = hub.now - HOUR_MS;
    claim(&mut hub, 2, before_ms);
    hub.close_next = true;
    let now = hub.now;
    for text in ["three", "four", "five"] {
        hub.peers[0].endpoint.say(now, &lobby(), text).expect("a text that can be said");
    }
    hub.run();
    wait(&mut hub);
    assert_eq!((dropped(&hub), gaps(&hub)), (vec![2], vec![]));
    assert_eq!(texts(&hub), ["zero", "three", "four", "five"]);
}
