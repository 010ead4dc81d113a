//! What a member hands over of people's keys: it verifies links and takes keys away, and makes no device (rules R33,
//! R39, R40).

use chat_endpoint::Event;
use chat_endpoint::limits::GIVEN_PERSON_MAX;
use chat_protocol::b64::B64Vec;
use chat_protocol::content::Content;
use chat_protocol::content::healing::Grant;
use chat_protocol::id::Nonce16;
use chat_protocol::keys::{Bundle, BundleOptions};
use chat_protocol::name::ConversationId;
use chat_protocol::tag::Tag;
use chat_testkit::keys::second_device;

use crate::hub::{TestHub, lobby, name};

const ALICE: usize = 0;
const BOB: usize = 1;
const OLIVER: usize = 2;

/// Alice, bob and oliver in the lobby, with a hub that wants a line of each device and no other.
fn three() -> TestHub {
    let mut hub = TestHub::with(&["alice", "bob", "oliver"]);
    hub.faults.counts_lines = true;
    say(&mut hub, "before");
    hub
}

fn say(hub: &mut TestHub, text: &str) {
    let now = hub.now;
    hub.peers[ALICE].endpoint.say(now, &lobby(), text).unwrap();
    hub.run();
}

/// Oliver's device hands these to alice's, in a message of their talk.
fn hand_over(hub: &mut TestHub, bundles: &[&Bundle]) {
    let between = ConversationId::direct(&name("alice"), &name("oliver")).unwrap();
    let mut forger = hub.forge_for(between, &[OLIVER, ALICE]);
    let bundles = bundles.iter().map(|bundle| B64Vec(bundle.bytes().to_vec())).collect();
    let grant = Content::Grant(Grant { bundles, ..Grant::default() });
    let frame = forger.tell(Tag::Grant, &name("alice"), &grant);
    hub.hand(ALICE, &frame);
    hub.run();
}

/// A bundle of oliver's that nobody has seen: of the device at this place, or of another one.
fn unseen(hub: &TestHub, device: Option<usize>, rev: Vec<chat_protocol::id::KeyId>) -> Bundle {
    let options = BundleOptions { rev, ..BundleOptions::default() };
    let keys = second_device(OLIVER, 6);
    let of = device.map(|device| hub.peers[device].endpoint.device().clone());
    let (dev, before) = of.map_or((Nonce16([66; 16]), None), |of| (of.dev, Some(of.bundle)));
    keys.publish(&name("oliver"), dev, before.as_deref(), hub.now + 1, options).unwrap()
}

fn left_out(hub: &TestHub) -> usize {
    hub.count(ALICE, |event| {
        matches!(event, Event::Complaint { reason, .. } if reason.contains("does not reach oliver"))
    })
}

/// Goal: a device that a member hands over, and the hub has not, is wrapped for by nobody, and stops nobody.
/// Before: alice's list had a line that no hub took, in every room that both are in, and for ever.
#[test]
fn a_device_that_only_a_member_shows_is_none() {
    let mut hub = three();
    let device = unseen(&hub, None, Vec::new());
    hand_over(&mut hub, &[&device]);
    hub.faults.forgets_reminders = true;
    hub.rotate(BOB);
    hub.tell_of_keys("bob");
    hub.run();
    say(&mut hub, "after");
    assert!(hub.texts(BOB).contains(&"alice: after".to_owned()), "{:?}", hub.texts(BOB));
    assert!(hub.texts(OLIVER).contains(&"alice: after".to_owned()), "{:?}", hub.texts(OLIVER));
    assert_eq!(left_out(&hub), 0);
}

/// Goal: a member who publishes another bundle than the one that they have handed over stops nobody.
/// Before: the first one stayed, and the hub wanted the other one.
#[test]
fn who_publishes_another_bundle_than_they_have_handed_over_stops_nobody() {
    let mut hub = three();
    let first = unseen(&hub, Some(OLIVER), Vec::new());
    hand_over(&mut hub, &[&first]);
    hub.disconnect(OLIVER);
    hub.rotate(OLIVER);
    hub.connect(OLIVER);
    hub.tell_of_keys("oliver");
    hub.run();
    say(&mut hub, "after");
    for index in [BOB, OLIVER] {
        assert!(hub.texts(index).contains(&"alice: after".to_owned()), "{:?}", hub.texts(index));
    }
}

/// Goal: who has shown one bundle by the hub and another one by a hub that was restored is left out, and said to be, and
/// nobody else stops. Method: the hub forgets the one that everybody holds, and is given another of the same number.
/// Before: whoever held the first could say nothing in any room with them.
#[test]
fn who_has_two_bundles_of_one_number_is_left_out_and_stops_nobody() {
    let mut hub = three();
    let before = hub.offered("oliver");
    let other = unseen(&hub, Some(OLIVER), Vec::new());
    hub.disconnect(OLIVER);
    hub.rotate(OLIVER);
    hub.tell_of_keys("oliver");
    say(&mut hub, "one");
    hub.offer("oliver", before.into_iter().chain([other]).collect());
    hub.faults.forgets_reminders = true;
    hub.tell_of_keys("oliver");
    hub.rotate(BOB);
    hub.tell_of_keys("bob");
    hub.run();
    say(&mut hub, "two");
    assert!(hub.texts(BOB).contains(&"alice: two".to_owned()), "{:?}", hub.texts(BOB));
    assert_eq!(left_out(&hub), 1, "{:?}", hub.peers[ALICE].events);
}

/// Goal: a member who hands over that another device of theirs is revoked, and keeps it from the hub, is left out, and
/// said to be, and nobody else stops. When the hub has it, they are reached again.
/// Before: the hub missed that device's line in each key.
#[test]
fn who_hands_over_a_revocation_that_the_hub_does_not_take_is_left_out() {
    let mut hub = three();
    let laptop = hub.add_sibling(OLIVER, None);
    hub.run();
    say(&mut hub, "to both of oliver");
    let lost = hub.peers[laptop].endpoint.device().keys.signing_id();
    let revoking = unseen(&hub, Some(OLIVER), vec![lost]);
    hub.faults.forgets_reminders = true;
    hand_over(&mut hub, &[&revoking]);
    say(&mut hub, "after");
    assert!(hub.texts(BOB).contains(&"alice: after".to_owned()), "{:?}", hub.texts(BOB));
    assert!(!hub.texts(laptop).contains(&"alice: after".to_owned()), "it takes away at once");
    assert_eq!(left_out(&hub), 1, "{:?}", hub.peers[ALICE].events);
    let offered = hub.offered("oliver").into_iter().chain([revoking]);
    hub.offer("oliver", offered.collect());
    hub.tell_of_keys("oliver");
    hub.run();
    let reached = |hub: &mut TestHub, text: &str| {
        say(hub, text);
        let newest = hub.newest_epoch().1;
        newest.lines().iter().any(|line| line.name == name("oliver"))
    };
    assert!(reached(&mut hub, "again"));
}

/// Goal: what members hand over fills no home, whatever they sign.
/// Before: each was kept for good, in a row that was written anew with each of them.
#[test]
fn what_is_handed_over_has_an_end() {
    let mut hub = three();
    let keys = second_device(OLIVER, 6);
    let options = BundleOptions::default;
    let publish = |n: u8| {
        let user = name("oliver");
        keys.publish(&user, Nonce16([100 + n; 16]), None, hub.now, options()).unwrap()
    };
    let bundles: Vec<Bundle> = (0..60).map(publish).collect();
    let rows = |hub: &TestHub| {
        let rows = hub.peers[ALICE].store.rows();
        let people = rows.iter().filter(|(key, _)| key.ends_with("/oliver"));
        people.map(|(_, value)| value.len()).sum::<usize>()
    };
    let before = rows(&hub);
    for part in bundles.chunks(20) {
        hand_over(&mut hub, &part.iter().collect::<Vec<_>>());
    }
    let bundle = bundles[0].bytes().len() * 3 / 2;
    let kept = rows(&hub) - before;
    assert!(kept <= GIVEN_PERSON_MAX * bundle, "{kept} bytes of {bundle} each");
    say(&mut hub, "after");
    assert!(hub.texts(BOB).contains(&"alice: after".to_owned()));
}

/// Goal: that a new device was shown by a member first hides it from nobody.
/// Before: whoever was handed its bundle was not told when it came.
#[test]
fn a_new_device_is_told_whoever_has_shown_it_first() {
    let mut hub = three();
    let now = hub.now;
    hub.peers[OLIVER].endpoint.tell_user(now, &name("alice"), "hello").unwrap();
    hub.run();
    let device = unseen(&hub, None, Vec::new());
    hand_over(&mut hub, &[&device]);
    let is_told = |event: &Event| matches!(event, Event::NewDevice { .. });
    assert_eq!(hub.count(ALICE, is_told), 0);
    let offered = hub.offered("oliver").into_iter().chain([device]);
    hub.offer("oliver", offered.collect());
    hub.tell_of_keys("oliver");
    hub.run();
    assert_eq!(hub.count(ALICE, is_told), 1);
}
