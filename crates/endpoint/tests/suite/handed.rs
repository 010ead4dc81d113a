//! What a member hands over of people's keys: it verifies links and takes keys away, and makes no device (rules R33,
//! R39, R40).

use chat_endpoint::limits::GIVEN_PERSON_MAX;
use chat_endpoint::{Alarm, Event};
use chat_protocol::b64::B64Vec;
use chat_protocol::code;
use chat_protocol::content::Content;
use chat_protocol::content::healing::Grant;
use chat_protocol::frame::RawFrame;
use chat_protocol::header::{Header, MessageHeader};
use chat_protocol::id::{KeyId, Nonce16};
use chat_protocol::keys::{Bundle, BundleOptions};
use chat_protocol::name::ConversationId;
use chat_protocol::tag::Tag;
use chat_testkit::keys::second_device;

use crate::hub::{Fate, TestHub, lobby, name};
use crate::rules::{alarms, complaints};

mod claims;
mod often;

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

/// The same with a laptop of oliver's, for which alice has sealed: its place and its signing key.
fn with_laptop() -> (TestHub, usize, KeyId) {
    let mut hub = three();
    let laptop = hub.joins_sibling(OLIVER, None);
    say(&mut hub, "to both of oliver");
    let lost = key_of(&hub, laptop);
    (hub, laptop, lost)
}

/// The same, and bob has, too.
fn with_laptop_of_both() -> (TestHub, usize, KeyId) {
    let (mut hub, laptop, lost) = with_laptop();
    says(&mut hub, BOB, "to both of oliver");
    (hub, laptop, lost)
}

/// The same, and alice's device was handed that oliver has shut the laptop out, which the hub does not tell.
fn with_laptop_shut_out() -> (TestHub, KeyId) {
    let (mut hub, _, lost) = with_laptop_of_both();
    (hub.faults.forgets_reminders, hub.faults.counts_lines) = (true, false);
    let revoking = next_of(&hub, OLIVER, vec![lost]);
    hand_over(&mut hub, &[&revoking]);
    (hub, lost)
}

/// What is put off is said again, and not often; nobody waits for it.
#[track_caller]
fn says_little(hub: &mut TestHub) {
    let heard = hub.reminds_heard;
    hub.run();
    let said = hub.reminds_heard - heard;
    assert!((1..=20).contains(&said), "{said} reminders in a minute");
    say_at_once(hub, "nobody waits");
}

fn say(hub: &mut TestHub, text: &str) {
    says(hub, ALICE, text);
}

/// Oliver's device hands these to alice's, in a message of their talk.
fn hand_over(hub: &mut TestHub, bundles: &[&Bundle]) {
    hand_to(hub, ALICE, bundles);
}

/// The same to somebody else's.
fn hand_to(hub: &mut TestHub, index: usize, bundles: &[&Bundle]) {
    // As many as one message has room for.
    let grants = bundles.chunks(20).map(|bundles| {
        let bundles = bundles.iter().map(|bundle| B64Vec(bundle.bytes().to_vec())).collect();
        Grant { bundles, ..Grant::default() }
    });
    hand(hub, index, grants);
}

/// The same of anything, in a message each.
fn hand(hub: &mut TestHub, index: usize, grants: impl IntoIterator<Item = Grant>) {
    let to = hub.peers[index].endpoint.device().user.clone();
    let between = ConversationId::direct(&to, &name("oliver")).unwrap();
    let mut forger = hub.forge_for(between, &[OLIVER, index]);
    for grant in grants {
        let frame = forger.tell(Tag::Grant, &to, &Content::Grant(grant));
        hub.hand(index, &frame);
    }
    hub.run();
}

/// A bundle of oliver's that nobody has seen: of the device at this place, or of another one.
fn unseen(hub: &TestHub, device: Option<usize>, rev: Vec<KeyId>) -> Bundle {
    let options = BundleOptions { rev, ..BundleOptions::default() };
    let keys = second_device(OLIVER, 6);
    let of = device.map(|device| hub.peers[device].endpoint.device().clone());
    let (dev, before) = of.map_or((Nonce16([66; 16]), None), |of| (of.dev, Some(of.bundle)));
    keys.publish(&name("oliver"), dev, before.as_deref(), hub.now + 1, options).unwrap()
}

/// Longer than what is under way takes, and a repair.
const HELD_MS: u64 = 75_000;

/// Somebody says something, and all come to rest.
fn says(hub: &mut TestHub, index: usize, text: &str) {
    let now = hub.now;
    hub.peers[index].endpoint.say(now, &lobby(), text).unwrap();
    hub.run();
}

/// Alice says something, and bob has it without a wait.
fn say_at_once(hub: &mut TestHub, text: &str) {
    let now = hub.now;
    hub.peers[ALICE].endpoint.say(now, &lobby(), text).unwrap();
    while hub.step(now + 100) {}
    let said = format!("alice: {text}");
    assert!(hub.texts(BOB).contains(&said), "{:?}", hub.peers[ALICE].events);
}

/// The signing key that a device uses now.
fn key_of(hub: &TestHub, index: usize) -> KeyId {
    hub.peers[index].endpoint.device().keys.signing_id()
}

/// Whether the newest key of the lobby is for this signing key.
fn is_for(hub: &TestHub, sk: KeyId) -> bool {
    hub.newest_epoch().1.lines().iter().any(|line| line.sk == sk)
}

/// The next bundle of a device, which nobody has seen: with the keys that it has, and which revokes these.
fn next_of(hub: &TestHub, index: usize, rev: Vec<KeyId>) -> Bundle {
    let device = hub.peers[index].endpoint.device().clone();
    let options = BundleOptions { rev, ..BundleOptions::default() };
    let before = Some(&*device.bundle);
    device.keys.publish(&device.user, device.dev, before, hub.now + 1, options).unwrap()
}

/// A bundle in the place of the first one of a device, which revokes this.
fn in_place_of_first(hub: &TestHub, index: usize, rev: Vec<KeyId>) -> Bundle {
    let device = hub.peers[index].endpoint.device().clone();
    let options = BundleOptions { rev, ..BundleOptions::default() };
    device.keys.publish(&device.user, device.dev, None, hub.now + 1, options).unwrap()
}

/// Nothing that alice's device says to bob's comes there.
fn keep_from_bob(hub: &mut TestHub) {
    hub.rule = Some(Box::new(|index, bytes| {
        let is_theirs = said(bytes).is_some_and(|said| said.from == name("alice"));
        if index == BOB && is_theirs { Fate::Lost } else { Fate::Good }
    }));
}

/// The header of a message.
fn said(frame: &[u8]) -> Option<MessageHeader> {
    let frame = RawFrame::decode(frame.to_vec().into()).unwrap();
    match Header::parse(frame.header()) {
        Ok(Header::Message(said)) => Some(said),
        _ => None,
    }
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
    let (mut hub, laptop, lost) = with_laptop();
    let revoking = unseen(&hub, Some(OLIVER), vec![lost]);
    hub.faults.forgets_reminders = true;
    hand_over(&mut hub, &[&revoking]);
    say(&mut hub, "after");
    assert!(hub.texts(BOB).contains(&"alice: after".to_owned()), "{:?}", hub.texts(BOB));
    assert!(!hub.texts(laptop).contains(&"alice: after".to_owned()), "it takes away at once");
    assert_eq!(left_out(&hub), 1, "{:?}", hub.peers[ALICE].events);
    // Bob, who knows nothing of it, is no part of it; and is told.
    hub.now += HELD_MS;
    for text in ["to the laptop", "not to the laptop"] {
        says(&mut hub, BOB, text);
    }
    assert!(!is_for(&hub, lost), "alice's device has told bob's");
    assert_eq!(alarms(&hub, ALICE), []);
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

/// Goal: a member who hands over that another device of theirs is revoked, and sees to it that the hub takes that later
/// or never, stops nobody for a moment; when the hub has it, they are reached again.
/// Before: every key of whoever was handed it was refused, as long as the hub put it off, and "this device and the
/// server do not agree" was all that was said of it.
#[test]
fn a_revocation_that_the_hub_puts_off_stops_nobody() {
    let (mut hub, _, lost) = with_laptop();
    hub.faults.puts_off_reminders = usize::MAX;
    let revoking = next_of(&hub, OLIVER, vec![lost]);
    hand_over(&mut hub, &[&revoking]);
    for text in ["at once", "and again"] {
        say_at_once(&mut hub, text);
        hub.run();
    }
    assert_eq!(complaints(&hub, ALICE, code::MEMBERS), [""; 0]);
    assert_eq!(left_out(&hub), 1, "{:?}", hub.peers[ALICE].events);
    hub.now += HELD_MS;
    says(&mut hub, BOB, "and bob?");
    says(&mut hub, BOB, "and now?");
    assert_eq!([ALICE, BOB].map(|index| alarms(&hub, index)), [[]; 2]);
    assert_eq!(hub.texts(ALICE), ["bob: and bob?", "bob: and now?"]);
    // The hub has room for it.
    hub.faults.puts_off_reminders = 0;
    hub.run();
    say(&mut hub, "to the one that is left");
    let said = "alice: to the one that is left".to_owned();
    assert!(hub.texts(OLIVER).contains(&said), "{:?}", hub.texts(OLIVER));
    assert!(!is_for(&hub, lost));
}

/// Goal: a person alone is written to when the hub has what it put off, and not refused meanwhile.
#[test]
fn what_is_for_one_person_waits_for_what_the_hub_puts_off() {
    let (mut hub, laptop, lost) = with_laptop();
    let revoking = next_of(&hub, OLIVER, vec![lost]);
    hub.faults.puts_off_reminders = 20;
    hand_over(&mut hub, &[&revoking]);
    let now = hub.now;
    hub.peers[ALICE].endpoint.tell_user(now, &name("oliver"), "for you alone").unwrap();
    hub.run();
    assert!(hub.texts(OLIVER).contains(&"alice: for you alone".to_owned()));
    assert!(!hub.texts(laptop).contains(&"alice: for you alone".to_owned()));
}

/// Goal: two bundles of one number are an alarm about who has signed them, and the one that the hub has not shown comes to
/// nothing: no honest writer is named because of it, then or later.
/// Before: what it revokes counted, no alarm was told about the two, and each writer in each room was said to seal for a
/// revoked device.
#[test]
fn a_bundle_in_the_place_of_a_known_one_revokes_nothing() {
    let (mut hub, laptop, lost) = with_laptop();
    let revoking = in_place_of_first(&hub, OLIVER, vec![lost]);
    hand_over(&mut hub, &[&revoking]);
    assert_eq!(alarms(&hub, ALICE), [Alarm::BadChain]);
    hub.now += HELD_MS;
    for index in [BOB, ALICE] {
        says(&mut hub, index, "to both");
    }
    assert!(hub.texts(laptop).contains(&"alice: to both".to_owned()), "{:?}", hub.texts(laptop));
    assert_eq!((alarms(&hub, ALICE), left_out(&hub)), (vec![Alarm::BadChain], 0));
}

/// Goal: the hub decides between what it shows and what a member has handed over: where both have one number, that is an
/// alarm, and the one that was handed over is forgotten.
/// Before: it revoked on and on.
#[test]
fn what_the_hub_shows_takes_the_place_of_what_was_handed_over() {
    let mut hub = three();
    let laptop = hub.joins_sibling(OLIVER, None);
    let revoking = unseen(&hub, Some(OLIVER), vec![key_of(&hub, laptop)]);
    hub.faults.forgets_reminders = true;
    hand_over(&mut hub, &[&revoking]);
    say(&mut hub, "without oliver");
    assert!(!hub.texts(laptop).contains(&"alice: without oliver".to_owned()));
    hub.renew(OLIVER);
    hub.run();
    say(&mut hub, "to both again");
    assert_eq!(alarms(&hub, ALICE), [Alarm::BadChain]);
    for index in [OLIVER, laptop] {
        assert!(hub.texts(index).contains(&"alice: to both again".to_owned()), "{index}");
    }
}

/// Goal: who knows of a revocation by a member only hands it on to whoever still seals for that key.
/// Before: they were handed the bundles that they had, and went on for ever.
/// Method: oliver has revoked his laptop; the hub shows it to nobody else, and his device hands it to alice's.
#[test]
fn a_revocation_that_a_member_has_handed_over_is_handed_on() {
    let (mut hub, _, lost) = with_laptop_of_both();
    hub.faults.hides_keys = vec![(ALICE, name("oliver")), (BOB, name("oliver"))];
    (hub.faults.forgets_reminders, hub.faults.counts_lines) = (true, false);
    hub.disconnect(OLIVER);
    hub.revoke(OLIVER, lost);
    hub.comes(OLIVER);
    let revoking = hub.offered("oliver").pop().unwrap();
    hand_over(&mut hub, &[&revoking]);
    hub.disconnect(OLIVER);
    hub.now += HELD_MS;
    says(&mut hub, BOB, "the laptop reads this");
    assert!(is_for(&hub, lost), "this tests nothing");
    says(&mut hub, BOB, "the laptop does not read this");
    assert!(!is_for(&hub, lost), "alice's device has told bob's");
    assert_eq!(alarms(&hub, ALICE), [], "bob has not known it");
}

/// Goal: a writer who was handed a revocation, and seals for that key all the same, is an alarm.
#[test]
fn who_was_handed_a_revocation_and_seals_on_is_an_alarm() {
    let (mut hub, _, lost) = with_laptop_of_both();
    (hub.faults.forgets_reminders, hub.faults.counts_lines) = (true, false);
    let revoking = unseen(&hub, Some(OLIVER), vec![lost]);
    hand_over(&mut hub, &[&revoking]);
    keep_from_bob(&mut hub);
    for text in ["one", "two", "three"] {
        assert_eq!(alarms(&hub, ALICE), [], "{text}");
        hub.now += HELD_MS;
        says(&mut hub, BOB, text);
    }
    assert_eq!(alarms(&hub, ALICE), [Alarm::SealsForRemoved]);
}

/// Goal: what is handed to a device does not stop it, whoever has signed it: its own keys are revoked by what the hub
/// shows alone. The hub is told, and decides.
/// Before: a thief of the identity handed a laptop that it is revoked. It counted itself out, refused all that its user
/// said with another reason, and did so after a restart, and when the stolen device was revoked.
#[test]
fn nobody_stops_a_device_by_handing_it_something() {
    for is_next in [false, true] {
        let mut hub = three();
        let stolen = hub.joins_sibling(ALICE, None);
        let own = key_of(&hub, ALICE);
        let bundle = if is_next {
            next_of(&hub, stolen, vec![own])
        } else {
            in_place_of_first(&hub, stolen, vec![own])
        };
        hub.faults.forgets_reminders = true;
        let reminders = hub.reminders;
        hand_over(&mut hub, &[&bundle, &bundle]);
        say_at_once(&mut hub, "still here");
        hub.run();
        assert_eq!(hub.reminders > reminders, is_next, "the hub decides about what it could take");
        let told = alarms(&hub, ALICE);
        assert_eq!(told.is_empty(), is_next, "{told:?}");
        assert!(told.iter().all(|alarm| *alarm == Alarm::BadChain), "{told:?}");
        hub.restarts(ALICE);
        say_at_once(&mut hub, "after a restart");
    }
}

/// Goal: what was handed over counts after a restart, too, and is forgotten when the hub shows all of it.
#[test]
fn what_was_handed_over_outlives_a_restart_until_the_hub_shows_it() {
    let (mut hub, laptop, lost) = with_laptop();
    let revoking = next_of(&hub, OLIVER, vec![lost]);
    hub.faults.forgets_reminders = true;
    hand_over(&mut hub, &[&revoking]);
    let given = |hub: &TestHub| {
        let rows = hub.peers[ALICE].store.rows();
        rows.iter().any(|(key, _)| key == "given/oliver")
    };
    hub.restarts(ALICE);
    say(&mut hub, "after a restart");
    assert!(!hub.texts(laptop).contains(&"alice: after a restart".to_owned()));
    assert!(given(&hub));
    hub.faults.forgets_reminders = false;
    hub.restarts(ALICE);
    say(&mut hub, "the hub is told");
    say(&mut hub, "to one of oliver");
    assert!(hub.texts(OLIVER).contains(&"alice: to one of oliver".to_owned()));
    assert!(!hub.texts(laptop).contains(&"alice: to one of oliver".to_owned()));
    assert!(!given(&hub));
}

/// Goal: who has two bundles of one number is reached again with the next one, whichever of the two it goes on from, and
/// whoever writes to them is told so.
/// Before: the next one was refused as well, and what was advised, a new device, did not help.
#[test]
fn who_goes_on_from_the_other_of_two_bundles_is_reached_again() {
    let mut hub = three();
    let before = hub.offered("oliver");
    let other = unseen(&hub, Some(OLIVER), Vec::new());
    hub.disconnect(OLIVER);
    hub.rotate(OLIVER);
    hub.tell_of_keys("oliver");
    say(&mut hub, "one");
    let both: Vec<Bundle> = before.into_iter().chain([other.clone()]).collect();
    hub.offer("oliver", both.clone());
    hub.tell_of_keys("oliver");
    hub.rotate(BOB);
    hub.tell_of_keys("bob");
    hub.run();
    say(&mut hub, "two");
    let now = hub.now;
    hub.peers[ALICE].endpoint.tell_user(now, &name("oliver"), "for you alone").unwrap();
    hub.run();
    let advice = "it does when oliver's device has published its next key or, where that does not help, was revoked";
    let is_told = |event: &Event| matches!(event, Event::Refused { code: c, reason, .. } if c == code::UNTRUSTED && reason.ends_with(advice));
    assert_eq!(hub.count(ALICE, is_told), 1, "{:?}", hub.peers[ALICE].events);
    let (keys, options) = (second_device(OLIVER, 6), BundleOptions::default());
    let dev = other.header().dev;
    let next = keys.publish(&name("oliver"), dev, Some(&other), hub.now, options).unwrap();
    let sk = next.header().sk[0].kid;
    hub.offer("oliver", both.into_iter().chain([next]).collect());
    hub.tell_of_keys("oliver");
    hub.run();
    say_at_once(&mut hub, "three");
    assert!(is_for(&hub, sk), "{:?}", hub.peers[ALICE].events);
    assert!(alarms(&hub, ALICE).contains(&Alarm::BadChain));
}
