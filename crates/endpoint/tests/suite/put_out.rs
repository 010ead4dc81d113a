//! What was said while somebody was out is not theirs, however they ask for it (rule R19).

use chat_endpoint::{Event, RoomAction};
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Header;
use chat_protocol::hub::{DropClaim, HubToClient};
use chat_protocol::name::ConversationId;
use chat_protocol::tag::Tag;

use crate::hub::{Fate, TestHub, lobby};

const MINUTES: u64 = 20;

fn tag(frame: &[u8]) -> Option<Tag> {
    let frame = RawFrame::decode(frame.to_vec().into()).ok()?;
    Header::parse(frame.header()).ok().map(|header| header.tag())
}

/// Something said in the lobby that the hub keeps from mallory.
fn say_without_her(hub: &mut TestHub, text: &str) {
    hub.rule = Some(Box::new(|index, frame| {
        if index == 2 && tag(frame) == Some(Tag::Text) { Fate::Lost } else { Fate::Good }
    }));
    hub.say_in(0, "lobby", text);
    hub.rule = None;
}

/// Lets everything come that is asked for again and again.
fn wait(hub: &mut TestHub) {
    for _ in 0..MINUTES {
        hub.run();
        hub.now += 60_000;
        let now = hub.now;
        hub.peers.iter_mut().for_each(|peer| peer.endpoint.handle_timeout(now));
    }
    hub.run();
}

fn missing(hub: &TestHub, index: usize) -> usize {
    hub.count(index, |event| matches!(event, Event::Gap { .. } | Event::Unhealed { .. }))
}

/// Goal: whoever a moderator has put out is handed nothing of the lobby again, although their device has not
/// left it. Method: mallory's device asks for what the hub kept from it; alice has heard of it, as it happened
/// or when she came, or has not.
#[test]
fn who_was_put_out_of_the_lobby_is_handed_nothing_again() {
    for told in [None, Some(false), Some(true)] {
        let mut hub = TestHub::with(&["alice", "bob", "mallory"]);
        hub.say_in(0, "lobby", "zero");
        say_without_her(&mut hub, "one");
        if let Some(past) = told {
            hub.put_out(&[0, 1], "mallory", past);
        }
        hub.say_in(0, "lobby", "two");
        wait(&mut hub);
        let heals = told.is_none();
        assert_eq!(hub.texts(2).contains(&"alice: one".to_owned()), heals, "{told:?}");
        assert_eq!(hub.texts(1).len(), 3, "{told:?}");
        let shown = hub.count(1, |event| matches!(event, Event::Moderated { .. }));
        assert_eq!(shown, usize::from(told == Some(false)), "{told:?}");
        let out = hub.peers[0].endpoint.roster(&chat_protocol::name::RoomName::lobby());
        assert_eq!(out.unwrap().put_out.len(), usize::from(!heals), "{told:?}");
    }
}

/// Goal: who has gone and come back is handed nothing of the time before, and shown, once, that something of it did
/// not come. Before: nothing was shown, and a hub can see to it that somebody leaves the lobby.
/// Method: the hub keeps a message from mallory, whose device leaves and joins then.
#[test]
fn what_was_kept_from_who_went_is_shown_when_they_are_back() {
    let mut hub = TestHub::with(&["alice", "bob", "mallory"]);
    hub.say_in(0, "lobby", "zero");
    say_without_her(&mut hub, "one");
    hub.act(2, "lobby", RoomAction::Leave);
    hub.act(2, "lobby", RoomAction::Join { create: false });
    // Whoever leaves closes the epochs that they are in.
    hub.close_next = true;
    let now = hub.now;
    for text in ["two", "three"] {
        hub.peers[0].endpoint.say(now, &lobby(), text).expect("a text that can be said");
    }
    hub.run();
    hub.say_in(1, "lobby", "four");
    wait(&mut hub);
    assert_eq!(hub.texts(2), ["alice: zero", "alice: two", "alice: three", "bob: four"]);
    let lost = |event: &Event| matches!(event, Event::Unhealed { n, .. } if *n == [1]);
    assert_eq!((hub.count(2, lost), missing(&hub, 2)), (1, 1), "{:?}", hub.peers[2].events);
    assert_eq!(hub.texts(1), ["alice: zero", "alice: one", "alice: two", "alice: three"]);
}

/// Goal: what the hub says that it has dropped before somebody left is told once, and its number explains nothing
/// else. Before: it was shown as missing besides, and the number was left for another gap.
/// Method: the same, and the hub says so to mallory before her device leaves.
#[test]
fn what_was_dropped_before_who_went_is_told_once() {
    const HOUR_MS: u64 = 3_600_000;
    let mut hub = TestHub::with(&["alice", "bob", "mallory"]);
    hub.say_in(0, "lobby", "zero");
    say_without_her(&mut hub, "one");
    let (cid, position) = (ConversationId::room(&lobby()), hub.positions());
    let claim = DropClaim {
        cid,
        position: u64::try_from(position).expect("few"),
        before_ms: hub.now - HOUR_MS,
        keep_ms: HOUR_MS,
        messages: 1,
    };
    hub.tell_all(&HubToClient::Dropped(claim));
    hub.run();
    hub.act(2, "lobby", RoomAction::Leave);
    hub.act(2, "lobby", RoomAction::Join { create: false });
    // Whoever leaves closes the epochs that they are in.
    hub.close_next = true;
    hub.say_in(0, "lobby", "two");
    wait(&mut hub);
    let dropped = |event: &Event| matches!(event, Event::Dropped { messages: 1, .. });
    assert_eq!((hub.count(2, dropped), missing(&hub, 2)), (1, 0), "{:?}", hub.peers[2].events);

    say_without_her(&mut hub, "three");
    hub.say_in(0, "lobby", "four");
    let gaps = hub.count(2, |event| matches!(event, Event::Gap { .. }));
    assert_eq!(gaps, 1, "the number is used up");
}

/// Goal: what was asked for before somebody went is not handed to them when they are back.
/// Method: alice does not get what mallory asks until then.
#[test]
fn what_was_asked_for_before_is_not_handed_over_after_coming_back() {
    let mut hub = TestHub::with(&["alice", "bob", "mallory"]);
    hub.say_in(0, "lobby", "zero");
    say_without_her(&mut hub, "one");
    hub.rule = Some(Box::new(|index, frame| {
        if index == 0 && tag(frame) == Some(Tag::Keyreq) { Fate::Lost } else { Fate::Good }
    }));
    hub.say_in(0, "lobby", "two");
    hub.act(2, "lobby", RoomAction::Leave);
    hub.act(2, "lobby", RoomAction::Join { create: false });
    hub.rule = None;
    wait(&mut hub);
    assert_eq!(hub.texts(2), ["alice: zero", "alice: two"]);
    assert_eq!(hub.count(2, |event| matches!(event, Event::Unhealed { n, .. } if *n == [1])), 1);
}

/// Goal: whose device leaves because a moderator has put them out sees why, also when it was away then.
/// Method: mallory's device is told of it as of something past, twice.
#[test]
fn who_was_put_out_while_away_is_told_once() {
    let mut hub = TestHub::with(&["alice", "bob", "mallory"]);
    hub.say_in(0, "lobby", "zero");
    for _ in 0..2 {
        hub.put_out(&[2], "mallory", true);
        assert_eq!(hub.count(2, |event| matches!(event, Event::Moderated { .. })), 1);
    }
    assert_eq!(hub.roster(2, "lobby"), ["alice", "bob"]);
}
