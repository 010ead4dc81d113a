//! A device of one's own that was revoked, and that the hub shows as good again.

use chat_endpoint::{DeviceState, KnownDevice};
use chat_protocol::id::{KeyId, Nonce16};
use chat_protocol::keys::BundleOptions;
use chat_testkit::keys::second_device;

use crate::hub::{TestHub, name};

const ALICE: usize = 0;

/// How alice's first device sees another one of hers.
fn seen(hub: &TestHub, sk: KeyId) -> KnownDevice {
    let known = hub.peers[ALICE].endpoint.known_devices(hub.now, &name("alice"));
    known.into_iter().find(|device| device.sk == sk).unwrap()
}

/// Goal: where the hub shows a device of one's own as good that was revoked by a bundle of before alone, the next bundle of
/// this device is to say it again, and then no more. Method: alice's phone revokes her laptop; its next bundle, which a thief
/// may have signed, says nothing of it, and the hub has forgotten the one before. Before: nobody said it again, and the
/// user could not.
#[test]
fn a_revocation_that_the_hub_has_lost_is_to_be_said_again_once() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let phone = hub.joins_sibling(ALICE, None);
    let laptop = hub.joins_sibling(ALICE, None);
    let lost = hub.peers[laptop].endpoint.device().keys.signing_id();
    hub.disconnect(laptop);
    hub.disconnect(phone);
    hub.revoke(phone, lost);
    hub.tell_of_keys("alice");
    hub.run();
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

/// Goal: a hub that goes on showing it makes no device publish one bundle after the other, also together with a thief of the
/// identity key. Method: the hub shows all bundles, whatever they say, and one of this device's number that revokes nothing;
/// then this device's own key under another number, and that it is revoked. Before: each connection asked for one more bundle.
#[test]
fn a_hub_that_does_not_hear_it_is_told_once() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let laptop = hub.joins_sibling(ALICE, None);
    let lost = hub.peers[laptop].endpoint.device().keys.signing_id();
    hub.disconnect(ALICE);
    hub.revoke(ALICE, lost);
    hub.comes(ALICE);
    let device = hub.peers[ALICE].endpoint.device().clone();
    let (own, now) = (device.keys.signing_id(), hub.now);
    let forge = |dev, before, rev| {
        let options = BundleOptions { rev, ..BundleOptions::default() };
        device.keys.publish(&device.user, dev, before, now, options).unwrap()
    };
    hub.faults.tells_all = true;
    let mut shown = hub.offered("alice");
    shown.push(forge(device.dev, Some(&*device.bundle), Vec::new()));
    hub.offer("alice", shown.clone());
    hub.tell_of_keys("alice");
    hub.run();
    assert!(seen(&hub, lost).is_taken_back, "its user may say it again");
    assert_eq!(hub.peers[ALICE].endpoint.revocation_to_repeat(), None, "its own bundle does");

    shown.push(forge(Nonce16([201; 16]), None, Vec::new()));
    let other = second_device(ALICE, 5);
    let options = BundleOptions { rev: vec![own], ..BundleOptions::default() };
    let dev = Nonce16([202; 16]);
    shown.push(other.publish(&device.user, dev, None, hub.now, options).unwrap());
    hub.offer("alice", shown);
    hub.tell_of_keys("alice");
    hub.run();
    assert_eq!(hub.peers[ALICE].endpoint.revocation_to_repeat(), None, "never its own key");
}
