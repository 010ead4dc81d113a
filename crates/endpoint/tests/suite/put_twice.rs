//! A hub that goes back behind keys which a device does not hold (rule R36).

use chat_endpoint::{Alarm, Event};
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Header;
use chat_protocol::name::ConversationId;

use crate::hub::{Fate, TestHub, name};

const DAY_MS: u64 = 24 * 3600 * 1000;

fn tell(hub: &mut TestHub, text: &str) {
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), text).expect("a text that can be said");
    hub.run();
}

/// How often each of the two was told that the hub went back.
fn went_back(hub: &TestHub) -> [usize; 2] {
    let is_it = |event: &Event| matches!(event, Event::Alarm { kind: Alarm::RolledBack, .. });
    [0, 1].map(|index| hub.count(index, is_it))
}

/// Goal: a hub that goes back behind a key which a device does not hold is an alarm there, however soon it goes on. Before:
/// only a key in the very place of one that is held was.
/// Method: bob cannot open the third key, and makes the fourth; the hub goes back to the second, and alice makes another
/// third one at once. Then the same once more.
#[test]
fn going_back_behind_a_key_that_is_not_held_is_an_alarm() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tell(&mut hub, "one");
    hub.now += DAY_MS;
    tell(&mut hub, "two");
    let older = hub.snapshot();
    let talk = ConversationId::direct(&name("alice"), &name("bob")).expect("two people");
    for times in 1..=2 {
        hub.now += DAY_MS;
        let mut third = None;
        hub.rule = Some(Box::new(move |index, frame| {
            let header = RawFrame::decode(frame.to_vec().into()).expect("a frame");
            let is_key = matches!(Header::parse(header.header()), Ok(Header::Key(_)));
            let is_third = index == 1
                && is_key
                && third.get_or_insert_with(|| frame.to_vec()).as_slice() == frame;
            if is_third { Fate::BadWrap } else { Fate::Good }
        }));
        tell(&mut hub, "in a key that bob cannot open");
        hub.rule = None;
        tell(&mut hub, "in the next one");
        assert_eq!(went_back(&hub), [times - 1; 2], "an honest hub");
        hub.roll_back_epoch(&older, &talk);
        tell(&mut hub, &format!("after all {times}"));
        assert_eq!(went_back(&hub), [times; 2]);
        assert_eq!(hub.texts(1).last(), Some(&format!("alice: after all {times}")));
    }
}
