//! A device of one's own that was revoked, and that the hub shows as good again.

use chat_endpoint::{Alarm, DeviceState, Event, KnownDevice};
use chat_protocol::id::{KeyId, Nonce16};
use chat_protocol::keys::{Bundle, BundleOptions};
use chat_testkit::keys::second_device;

use crate::hub::{TestHub, name};

const ALICE: usize = 0;

/// How alice's first device sees another one of hers.
fn seen(hub: &TestHub, sk: KeyId) -> KnownDevice {
    let known = hub.peers[ALICE].endpoint.known_devices(hub.now, &name("alice"));
    known.into_iter().find(|device| device.sk == sk).unwrap()
}

/// A hub to which alice's phone has said that her laptop is revoked: the phone, and the laptop's key. Both are away.
fn with_phone() -> (TestHub, usize, KeyId) {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let phone = hub.joins_sibling(ALICE, None);
    let laptop = hub.joins_sibling(ALICE, None);
    let lost = hub.peers[laptop].endpoint.device().keys.signing_id();
    hub.disconnect(laptop);
    hub.disconnect(phone);
    hub.revoke(phone, lost);
    hub.tell_of_keys("alice");
    hub.run();
    (hub, phone, lost)
}

/// Goal: where the hub shows a device of one's own as good that was revoked by a bundle of before alone, the next bundle of
/// this device is to say it again, and then no more. Method: alice's phone revokes her laptop; its next bundle, which a thief
/// may have signed, says nothing of it, and the hub has forgotten the one before. Before: nobody said it again, and the
/// user could not.
#[test]
fn a_revocation_that_the_hub_has_lost_is_to_be_said_again_once() {
    let (mut hub, phone, lost) = with_phone();
    assert_eq!(seen(&hub, lost).state, DeviceState::Revoked);
    assert!(!seen(&hub, lost).is_taken_back, "the hub shows the same");
    assert_eq!(hub.peers[ALICE].endpoint.revocation_to_repeat(), None);

    hub.rotate(phone);
    hub.tell_of_keys("alice");
    hub.run();
    assert_eq!(seen(&hub, lost).state, DeviceState::Revoked, "it stays revoked here");
    assert!(seen(&hub, lost).is_taken_back);
    assert_eq!(hub.peers[ALICE].endpoint.revocation_to_repeat(), Some(lost));

    hub.disconnect(ALICE);
    assert_eq!(hub.peers[ALICE].endpoint.revocation_to_repeat(), None, "of one connection");
    hub.revoke(ALICE, lost);
    hub.comes(ALICE);
    hub.tell_of_keys("alice");
    hub.run();
    assert_eq!(hub.peers[ALICE].endpoint.revocation_to_repeat(), None);
    assert!(!seen(&hub, lost).is_taken_back);
}

/// Goal: what the bundle of this device revokes is said when the hub has that bundle, and not before; and no device revokes its
/// own key. Method: the hub shows all bundles, whatever they say, and one of this device's number that revokes nothing; then
/// this device's own key under another number, and that it is revoked; then the next bundle of this device, behind that one.
/// Before: a revocation that the hub had refused was never said again, because this device had a bundle that says so.
#[test]
fn what_the_hub_has_not_taken_is_to_be_said_again() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(ALICE, None);
    let lost = hub.peers[laptop].endpoint.device().keys.signing_id();
    hub.disconnect(ALICE);
    hub.revoke(ALICE, lost);
    hub.comes(ALICE);
    assert_eq!(hub.peers[ALICE].endpoint.revocation_to_repeat(), None);
    let device = hub.peers[ALICE].endpoint.device().clone();
    let (own, now) = (device.keys.signing_id(), hub.now);
    let forge = |dev, before, rev| {
        let options = BundleOptions { rev, ..BundleOptions::default() };
        device.keys.publish(&device.user, dev, before, now, options).unwrap()
    };
    hub.faults.tells_all = true;
    let mut shown = hub.offered("alice");
    let forged = forge(device.dev, Some(&*device.bundle), Vec::new());
    shown.push(forged.clone());
    hub.offer("alice", shown.clone());
    hub.tell_of_keys("alice");
    hub.run();
    assert!(seen(&hub, lost).is_taken_back, "its user may say it again");
    assert_eq!(hub.peers[ALICE].endpoint.revocation_to_repeat(), Some(lost));
    let newer = hub.peers[ALICE].endpoint.newer_own_bundle();
    assert_eq!(newer.map(Bundle::digest), Some(forged.digest()), "the next one comes behind it");

    shown.push(forge(Nonce16([201; 16]), None, Vec::new()));
    let other = second_device(ALICE, 5);
    let options = BundleOptions { rev: vec![own], ..BundleOptions::default() };
    let dev = Nonce16([202; 16]);
    shown.push(other.publish(&device.user, dev, None, hub.now, options).unwrap());
    hub.offer("alice", shown.clone());
    hub.tell_of_keys("alice");
    hub.run();
    assert_eq!(hub.peers[ALICE].endpoint.revocation_to_repeat(), Some(lost), "never its own key");

    shown.push(forge(device.dev, Some(&forged), vec![lost]));
    hub.offer("alice", shown);
    hub.tell_of_keys("alice");
    hub.run();
    assert_eq!(hub.peers[ALICE].endpoint.revocation_to_repeat(), None);
}

/// Goal: a revocation is said again for those who have missed it, also where the hub counts it and shows neither the revoked
/// device nor a bundle that says so. Before: nobody said it again, and they held the device as good for ever. Method: the
/// phone's next bundle, which a thief has signed, says nothing of the laptop, and the hub offers the laptop to nobody.
#[test]
fn a_revocation_that_the_hub_keeps_and_shows_to_nobody_is_to_be_said_again() {
    let (mut hub, phone, lost) = with_phone();
    assert_eq!(hub.peers[ALICE].endpoint.revocation_to_repeat(), None);

    hub.rotate(phone);
    let mut shown = hub.offered("alice");
    shown.retain(|bundle| bundle.header().sk[0].kid != lost);
    hub.offer("alice", shown);
    hub.tell_of_keys("alice");
    hub.run();
    assert_eq!(seen(&hub, lost).state, DeviceState::Revoked);
    assert!(seen(&hub, lost).is_taken_back, "its user may say it again, too");
    assert_eq!(hub.peers[ALICE].endpoint.revocation_to_repeat(), Some(lost));
}

/// Goal: keys of this very device that its home has not made are an alarm, and those of another process of the home are none.
/// Before: they were taken without a word, and the next bundle of this device was refused. Method: the hub shows two bundles
/// behind that of this device, one after the other; the home is known to have made the first.
#[test]
fn keys_of_this_device_that_its_home_has_not_made_are_an_alarm() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let device = hub.peers[ALICE].endpoint.device().clone();
    let now = hub.now;
    let next = |before: &Bundle| {
        let options = BundleOptions::default();
        device.keys.publish(&device.user, device.dev, Some(before), now, options).unwrap()
    };
    let alarms = |hub: &TestHub| {
        let events = hub.peers[ALICE].events.iter();
        let details = events.filter_map(|event| match event {
            Event::Alarm { kind: Alarm::BadChain, detail, .. } => Some(detail),
            _ => None,
        });
        details.filter(|detail| detail.contains("has not made")).count()
    };
    let first = next(&device.bundle);
    let second = next(&first);
    hub.peers[ALICE].endpoint.home_has_made(first.header().seq);
    for (bundle, told) in [(first, 0), (second, 1)] {
        let mut shown = hub.offered("alice");
        shown.push(bundle);
        hub.offer("alice", shown);
        hub.tell_of_keys("alice");
        hub.run();
        assert_eq!(alarms(&hub), told);
    }
}

/// Goal: what revokes devices comes before keys that nobody has, so that it finds room in the next bundle. Before: by their
/// ids, which whoever has the identity key chooses. Method: a bundle revokes a key of a low id beside the laptop.
#[test]
fn keys_of_known_devices_are_repeated_before_others() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(ALICE, None);
    let lost = hub.peers[laptop].endpoint.device().keys.signing_id();
    let device = hub.peers[ALICE].endpoint.device().clone();
    let invented = KeyId([0; 16]);
    let options = BundleOptions { rev: vec![invented, lost], ..BundleOptions::default() };
    let other = second_device(ALICE, 5);
    let dev = Nonce16([202; 16]);
    let mut shown = hub.offered("alice");
    shown.push(other.publish(&device.user, dev, None, hub.now, options).unwrap());
    hub.offer("alice", shown);
    hub.tell_of_keys("alice");
    hub.run();
    assert_eq!(hub.peers[ALICE].endpoint.revocations(), [lost, invented]);
}
