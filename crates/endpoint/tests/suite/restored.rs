//! A hub that was restored from a backup has forgotten devices too (rule R36).

use chat_endpoint::{Alarm, Event};

use crate::hub::{TestHub, name};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// All talk again by then.
const AGAIN_MS: u64 = 10_000;

fn tell(hub: &mut TestHub, text: &str) {
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), text).expect("a text that can be said");
}

/// Goal: a hub that forgets devices is told of them, also by two people who share no room with news,
/// and they talk within 10 s without another word than the alarm.
/// Method: it goes back behind an epoch, and refuses every new one until it is told of a bundle.
#[test]
fn a_hub_that_forgets_devices_is_told_of_them() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tell(&mut hub, "before");
    hub.run();
    let older = hub.snapshot();
    hub.now += DAY_MS;
    tell(&mut hub, "in the next epoch");
    hub.run();
    hub.faults.refuses_devices = Some(0);
    hub.faults.learns_devices = true;
    hub.roll_back(&older);
    tell(&mut hub, "after the restore");
    let end = hub.now + AGAIN_MS;
    while hub.step(end) {}
    let texts = hub.texts(1);
    assert!(texts.contains(&"alice: after the restore".to_owned()), "{texts:?}");
    let is_other_word = |event: &Event| match event {
        Event::Alarm { kind, .. } => *kind != Alarm::RolledBack,
        Event::Complaint { .. } => true,
        _ => false,
    };
    for index in [0, 1] {
        assert_eq!(hub.count(index, is_other_word), 0, "{index}");
    }
}

/// Goal: a hub that went back is one alarm for each device, also where a new key follows at once. Before: only
/// what it still showed two seconds later was one.
/// Method: it goes back behind an epoch, and alice makes another one in the place of that.
#[test]
fn going_back_is_an_alarm_however_soon_it_goes_on() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    tell(&mut hub, "before");
    hub.run();
    let older = hub.snapshot();
    hub.now += DAY_MS;
    tell(&mut hub, "in the next epoch");
    hub.run();
    hub.roll_back(&older);
    tell(&mut hub, "at once");
    hub.run();
    assert!(hub.texts(1).contains(&"alice: at once".to_owned()), "{:?}", hub.texts(1));
    let is_told = |event: &Event| matches!(event, Event::Alarm { kind: Alarm::RolledBack, .. });
    let is_alarm = |event: &Event| matches!(event, Event::Alarm { .. });
    for index in [0, 1] {
        assert_eq!((hub.count(index, is_told), hub.count(index, is_alarm)), (1, 1), "{index}");
    }
}
