//! What a member claims by handing it over, again and again, or to one and not to another: it makes nobody start over, wait
//! or look like a liar (rules R33, R36, R39).

use chat_endpoint::limits::{HANDED_ASKS_MAX, REPAIR_AGAIN_MS};
use chat_protocol::crypto::SigningKey;
use chat_protocol::limits::LEFT_OUT_MAX;

use super::*;

/// Bundles of oliver's device, each behind the one before, which revoke these.
fn chain_of(hub: &TestHub, revs: impl IntoIterator<Item = Vec<KeyId>>) -> Vec<Bundle> {
    let device = hub.peers[OLIVER].endpoint.device().clone();
    let mut before = (*device.bundle).clone();
    let mut bundles = Vec::new();
    for rev in revs {
        let options = BundleOptions { rev, ..BundleOptions::default() };
        let next =
            device.keys.publish(&device.user, device.dev, Some(&before), hub.now + 1, options);
        before = next.unwrap();
        bundles.push(before.clone());
    }
    bundles
}

/// Goal: who hands over bundle after bundle, each of which revokes a key that nobody has, makes nobody ask anew about
/// them, nor about the rooms with them, where nothing is sealed before that is answered.
/// Before: whoever was handed them did so for each, and what was under way started over.
#[test]
fn invented_keys_make_nobody_start_over() {
    let mut hub = three();
    let bundles = chain_of(&hub, (0..12).map(|at| vec![KeyId([at; 16])]));
    hand_over(&mut hub, &[&bundles[0]]);
    let asked = hub.bundles_asked;
    for bundle in &bundles[1..] {
        hand_over(&mut hub, &[bundle]);
    }
    assert_eq!(hub.bundles_asked, asked);
    say_at_once(&mut hub, "nobody waits");
}

/// Goal: the server is told of each bundle once, and of a person in one message at a time, however many are handed over
/// while it puts that off.
/// Before: each made one more reminder of all that was known of its signer, and each was said again for ever.
#[test]
fn a_server_that_puts_reminders_off_is_told_once() {
    let (mut hub, _, lost) = with_laptop();
    hub.faults.puts_off_reminders = usize::MAX;
    let revs = (0..20).map(|at| vec![lost, KeyId([at; 16])]);
    let bundles = chain_of(&hub, revs);
    for bundle in &bundles {
        hand_over(&mut hub, &[bundle]);
        hub.tell_of_keys("oliver");
        hub.run();
    }
    says_little(&mut hub);
    // What came meanwhile follows when there is room.
    hub.faults.puts_off_reminders = 0;
    hub.run();
    assert!(!hub.offered("oliver").is_empty());
    assert!(hub.reminders <= 4, "{} reminders", hub.reminders);
}

/// Goal: whoever was handed one of two bundles of one number learns from the others what the other one revokes; nobody is
/// named for it.
/// Before: the second was passed over, so bob sealed on, and was said to, in each room and on each connection.
#[test]
fn who_was_handed_one_of_two_bundles_learns_of_the_other() {
    let (mut hub, _, lost) = with_laptop_of_both();
    (hub.faults.forgets_reminders, hub.faults.counts_lines) = (true, false);
    let idle = next_of(&hub, OLIVER, vec![KeyId([7; 16])]);
    let revoking = next_of(&hub, OLIVER, vec![lost]);
    hand_to(&mut hub, BOB, &[&idle]);
    hand_over(&mut hub, &[&revoking]);
    for text in ["one", "two", "three"] {
        hub.now += HELD_MS;
        says(&mut hub, BOB, text);
    }
    assert!(!is_for(&hub, lost), "alice's device has told bob's");
    assert_eq!(alarms(&hub, ALICE), [], "bob has not known it");
    assert_eq!(alarms(&hub, BOB), [Alarm::BadChain], "who has signed both");
}

/// Goal: a revocation of one's own other device counts at once where it brings no key, as an honest server takes it; also
/// where the server hides it. Before: it was passed over, and all was sealed for that device for ever without a word.
#[test]
fn a_revocation_of_ones_own_other_device_counts() {
    let mut hub = three();
    let phone = hub.joins_sibling(ALICE, None);
    let laptop = hub.joins_sibling(ALICE, None);
    say(&mut hub, "to all of alice");
    let lost = key_of(&hub, laptop);
    assert!(is_for(&hub, lost), "this tests nothing");
    (hub.faults.forgets_reminders, hub.faults.counts_lines) = (true, false);
    let revoking = next_of(&hub, phone, vec![lost]);
    hand_over(&mut hub, &[&revoking]);
    say(&mut hub, "not to the laptop");
    assert!(!is_for(&hub, lost) && is_for(&hub, key_of(&hub, phone)));
    hub.restarts(ALICE);
    say(&mut hub, "nor after a restart");
    assert!(!is_for(&hub, lost));
}

/// Goal: what brings a key, and says that another device of one's own is revoked, is decided by the server; where it shows
/// nothing of it, its user is told.
#[test]
fn what_the_server_does_not_decide_of_ones_own_devices_is_an_alarm() {
    for shows in [false, true] {
        let mut hub = three();
        let laptop = hub.joins_sibling(ALICE, None);
        say(&mut hub, "to both of alice");
        let lost = key_of(&hub, laptop);
        let options = BundleOptions { rev: vec![lost], ..BundleOptions::default() };
        let (keys, dev) = (second_device(ALICE, 7), Nonce16([77; 16]));
        let bundle = keys.publish(&name("alice"), dev, None, hub.now, options).unwrap();
        hub.faults.forgets_reminders = !shows;
        hand_over(&mut hub, &[&bundle]);
        say_at_once(&mut hub, "at once");
        hub.run();
        assert_eq!(is_for(&hub, lost), !shows);
        let told = alarms(&hub, ALICE);
        assert_eq!(told, if shows { vec![] } else { vec![Alarm::SealsForRemoved] });
    }
}

/// Goal: of several people whose keys were handed over as revoked, each is handed on to whoever seals for them.
/// Before: one for each writer and room; of the next, nothing was said or done.
#[test]
fn each_revocation_is_handed_on() {
    let mut hub = TestHub::with(&["alice", "bob", "oliver", "mallory"]);
    let mut lost = Vec::new();
    for owner in [OLIVER, 3] {
        let laptop = hub.joins_sibling(owner, None);
        lost.push((owner, key_of(&hub, laptop)));
    }
    for index in [ALICE, BOB] {
        says(&mut hub, index, "to all");
    }
    hub.faults.forgets_reminders = true;
    let revoking = |(owner, lost): &(usize, KeyId)| next_of(&hub, *owner, vec![*lost]);
    let revoking: Vec<Bundle> = lost.iter().map(revoking).collect();
    hand_over(&mut hub, &revoking.iter().collect::<Vec<_>>());
    for text in ["one", "two", "three"] {
        hub.now += HELD_MS;
        says(&mut hub, BOB, text);
    }
    assert!(lost.iter().all(|(_, lost)| !is_for(&hub, *lost)), "alice's device has told bob's");
    assert_eq!(alarms(&hub, ALICE), []);
}

/// Goal: who could not be handed a revocation is not named for it.
/// Before: ten seconds after it was drafted, also where the server refused it.
#[test]
fn who_was_refused_what_was_to_be_handed_over_is_not_named() {
    let (mut hub, lost) = with_laptop_shut_out();
    let between = ConversationId::direct(&name("alice"), &name("bob")).unwrap();
    hub.faults.refuses_in = Some(between);
    for text in ["one", "two", "three"] {
        hub.now += HELD_MS;
        says(&mut hub, BOB, text);
    }
    assert!(is_for(&hub, lost), "this tests nothing");
    assert_eq!(alarms(&hub, ALICE), []);
    // Later there is room, and it is said again.
    hub.faults.refuses_in = None;
    hub.now += 10 * HELD_MS;
    for text in ["four", "five"] {
        hub.now += HELD_MS;
        says(&mut hub, BOB, text);
    }
    assert!(!is_for(&hub, lost), "alice's device has told bob's");
    assert_eq!(alarms(&hub, ALICE), []);
}

/// Goal: a restored server that puts off what it has lost, for ever, stops a room for 10 s at most (rule R36).
/// Method: it has lost oliver's second device, of whom nobody has handed over anything.
#[test]
fn a_restored_server_that_puts_devices_off_stops_nobody_for_long() {
    let mut hub = three();
    let known = hub.offered("oliver");
    let laptop = hub.joins_sibling(OLIVER, None);
    say(&mut hub, "to both of oliver");
    for index in [OLIVER, laptop] {
        hub.disconnect(index);
    }
    hub.offer("oliver", known);
    hub.faults.puts_off_reminders = usize::MAX;
    hub.tell_of_keys("oliver");
    hub.rotate(BOB);
    hub.tell_of_keys("bob");
    let now = hub.now;
    hub.peers[ALICE].endpoint.say(now, &lobby(), "after the restore").unwrap();
    while hub.step(now + 10_000) {}
    let said = "alice: after the restore".to_owned();
    assert!(hub.texts(BOB).contains(&said), "{:?}", hub.peers[ALICE].events);
    assert_eq!(left_out(&hub), 1, "{:?}", hub.peers[ALICE].events);
}

/// Goal: of whom the server has lost a device nobody is left out while it is at work on what it was told.
/// Before: after two seconds, whether it had answered or not.
#[test]
fn nobody_is_left_out_while_a_restored_server_is_at_work() {
    let mut hub = three();
    let known = hub.offered("oliver");
    let laptop = hub.joins_sibling(OLIVER, None);
    say(&mut hub, "to both of oliver");
    let all = hub.offered("oliver");
    for index in [OLIVER, laptop] {
        hub.disconnect(index);
    }
    hub.offer("oliver", known);
    hub.faults.holds_reminders = true;
    hub.tell_of_keys("oliver");
    hub.rotate(BOB);
    hub.tell_of_keys("bob");
    let now = hub.now;
    hub.peers[ALICE].endpoint.say(now, &lobby(), "after the restore").unwrap();
    while hub.step(now + 6_000) {}
    assert_eq!(left_out(&hub), 0, "{:?}", hub.peers[ALICE].events);
    hub.offer("oliver", all);
    hub.faults.holds_reminders = false;
    hub.tell_of_keys("oliver");
    while hub.step(now + 20_000) {}
    let said = "alice: after the restore".to_owned();
    assert!(hub.texts(BOB).contains(&said), "{:?}", hub.peers[ALICE].events);
    assert!(is_for(&hub, key_of(&hub, laptop)));
    assert_eq!(left_out(&hub), 0, "{:?}", hub.peers[ALICE].events);
}

/// A bundle of somebody's further device, which nobody has seen, and which revokes the one that they use.
fn replacing(hub: &TestHub, index: usize) -> Bundle {
    let device = hub.peers[index].endpoint.device().clone();
    let mut others = (0..2).map(|set| second_device(0, set));
    let other = others.find(|other| other.signing_id() != key_of(hub, index)).unwrap();
    let keys = device.keys.with_signing_key(copy_of(&other.signing)).unwrap();
    let options = BundleOptions { rev: vec![key_of(hub, index)], ..BundleOptions::default() };
    keys.publish(&device.user, Nonce16([200; 16]), None, hub.now, options).unwrap()
}

/// The next bundle of a device by its number, which nobody has seen, with another signing key.
fn instead_of_next(hub: &TestHub, index: usize) -> Bundle {
    let device = hub.peers[index].endpoint.device().clone();
    let mut others = (0..2).map(|set| second_device(0, set));
    let other = others.find(|other| other.signing_id() != key_of(hub, index)).unwrap();
    let keys = device.keys.with_signing_key(copy_of(&other.signing)).unwrap();
    let (before, options) = (Some(&*device.bundle), BundleOptions::default());
    keys.publish(&device.user, device.dev, before, hub.now + 1, options).unwrap()
}

fn copy_of(key: &SigningKey) -> SigningKey {
    SigningKey::from_pkcs8(&key.to_pkcs8()).unwrap()
}

/// Alice, bob, oliver and so many others in the lobby, with a hub that takes back nothing.
fn crowd(others: usize) -> TestHub {
    let names: Vec<String> = (0..others).map(|at| format!("p{at:02}")).collect();
    let names = ["alice", "bob", "oliver"].into_iter().chain(names.iter().map(String::as_str));
    let mut hub = TestHub::with(&names.collect::<Vec<_>>());
    hub.faults.counts_lines = true;
    say(&mut hub, "before");
    hub.faults.forgets_reminders = true;
    hub
}

/// Goal: of more people than a key can name whose devices are revoked by what a member has handed over, and not by what the
/// server shows, nothing is sealed for those devices; the person is told once who it is, and who has said so. When enough of
/// them have gone, what was said is sent.
/// Before: of those who came last the hub's word counted, and nobody was told.
#[test]
fn more_disputed_people_than_a_key_can_name_are_told_and_stop_the_room_until_they_go() {
    let mut hub = crowd(LEFT_OUT_MAX + 2);
    let bundles: Vec<Bundle> =
        (OLIVER + 1..hub.peers.len()).map(|index| replacing(&hub, index)).collect();
    hand_over(&mut hub, &bundles.iter().collect::<Vec<_>>());
    say(&mut hub, "after");
    hub.now += HELD_MS;
    hub.run();
    assert!(!hub.texts(BOB).contains(&"alice: after".to_owned()));
    let told = complaints(&hub, ALICE, code::MEMBERS);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("oliver handed over") && told[0].contains("p00"), "{told:?}");
    for index in [OLIVER + 1, OLIVER + 2] {
        hub.leave(index);
    }
    hub.tell_of_keys("p00");
    hub.run();
    assert!(hub.texts(BOB).contains(&"alice: after".to_owned()), "{:?}", hub.texts(BOB));
    let newest = hub.newest_epoch().1;
    assert!(!newest.lines().iter().any(|line| line.name.as_str().starts_with('p')));
}

/// Goal: also where more people than a key can name have other devices by the server than are known here, whoever says
/// something is told who they are. Method: each publishes a bundle, and the server begins anew and is given another one of
/// that number. Before: no name was told, so nobody knew whom to remove.
#[test]
fn more_differing_people_than_a_key_can_name_are_told() {
    let mut hub = crowd(LEFT_OUT_MAX + 2);
    let mut anew = Vec::new();
    for index in OLIVER + 1..hub.peers.len() {
        let user = hub.peers[index].endpoint.device().user.clone();
        let other = instead_of_next(&hub, index);
        let before = hub.offered(user.as_str());
        anew.push((user, before.into_iter().chain([other]).collect::<Vec<Bundle>>()));
        hub.disconnect(index);
        hub.revoke(index, KeyId([9; 16]));
    }
    for (user, _) in &anew {
        hub.tell_of_keys(user.as_str());
    }
    say(&mut hub, "before it begins anew");
    for (user, bundles) in anew {
        hub.offer(user.as_str(), bundles);
        hub.tell_of_keys(user.as_str());
    }
    hub.rotate(BOB);
    hub.tell_of_keys("bob");
    hub.run();
    say(&mut hub, "after");
    hub.now += HELD_MS;
    hub.run();
    assert!(!hub.texts(BOB).contains(&"alice: after".to_owned()));
    let told = complaints(&hub, ALICE, code::MEMBERS);
    let last = told.last().unwrap();
    assert!(last.contains("has other devices of") && last.contains("p00"), "{told:?}");
    let named = told.iter().filter(|told| told.contains("p00")).count();
    assert_eq!(named, 1, "once: {told:?}");
}

/// Goal: one account does not stop a room, and a revocation that a member has handed over counts whoever else is left out.
/// Before: 64 accounts that were deleted long ago kept it from counting, and nobody was told.
#[test]
fn one_account_stops_no_room_and_a_revocation_counts_whoever_else_is_left_out() {
    let mut hub = crowd(LEFT_OUT_MAX);
    // It wants no line of who is deleted.
    hub.faults.counts_lines = false;
    let deleted = hub.peers.iter().skip(OLIVER + 1);
    hub.faults.deleted = deleted.map(|peer| peer.endpoint.device().user.clone()).collect();
    let revoking = replacing(&hub, OLIVER);
    hand_over(&mut hub, &[&revoking]);
    say(&mut hub, "not to oliver");
    assert!(!is_for(&hub, key_of(&hub, OLIVER)));
    assert!(hub.texts(BOB).contains(&"alice: not to oliver".to_owned()));
    assert_eq!(left_out(&hub), 1, "{:?}", hub.peers[ALICE].events);
}

/// Goal: what one member hands over makes a device ask and tell the server so often and not more; what it takes away counts
/// all the same. Before: each made it ask anew about all rooms that the two are in.
#[test]
fn what_one_member_hands_over_makes_a_device_ask_a_few_times_and_counts_all_the_same() {
    let mut hub = crowd(12);
    let (since, reminds) = (hub.now, hub.reminds_heard);
    for index in OLIVER + 1..hub.peers.len() {
        let bundle = replacing(&hub, index);
        hand_over(&mut hub, &[&bundle]);
        say_at_once(&mut hub, &format!("without {index}"));
        hub.run();
        let newest = hub.newest_epoch().1;
        assert!(newest.lines().iter().all(|line| line.name != bundle.header().u));
    }
    assert!(hub.now - since < REPAIR_AGAIN_MS, "this tests nothing");
    let asks = usize::try_from(HANDED_ASKS_MAX).unwrap();
    let heard = hub.reminds_heard - reminds;
    assert!((1..=asks).contains(&heard), "{heard} reminders");
}

/// Goal: a bundle that brings no key takes another device of one's own away only where the server takes that from anybody:
/// if it is of a further device. Method: a thief puts a key of theirs into a bundle of the tablet, which revokes the tablet.
/// Before: it counted, the server put it off, and took no key of alice's any more.
#[test]
fn a_thief_takes_no_device_away_that_the_server_keeps() {
    let mut hub = three();
    let [tablet, stolen] = [(); 2].map(|()| hub.joins_sibling(ALICE, None));
    say(&mut hub, "to all of alice");
    let kept = hub.peers[tablet].endpoint.device().clone();
    let options = BundleOptions { rev: vec![key_of(&hub, tablet)], ..BundleOptions::default() };
    let thief = &hub.peers[stolen].endpoint.device().keys;
    let bundle = thief.publish(&kept.user, kept.dev, Some(&*kept.bundle), hub.now + 1, options);
    hub.faults.puts_off_reminders = usize::MAX;
    hand_over(&mut hub, &[&bundle.unwrap()]);
    say_at_once(&mut hub, "still to all");
    assert!(is_for(&hub, key_of(&hub, tablet)));
}

/// Goal: what counts of one's own devices is not pushed out by what does not.
/// Before: bundles that bring a key, and say the same, counted as if they took its place; the oldest went.
#[test]
fn what_the_owner_has_revoked_is_not_pushed_out() {
    let mut hub = three();
    let [phone, laptop] = [(); 2].map(|()| hub.joins_sibling(ALICE, None));
    say(&mut hub, "to all of alice");
    let lost = key_of(&hub, laptop);
    (hub.faults.forgets_reminders, hub.faults.counts_lines) = (true, false);
    let revoking = next_of(&hub, phone, vec![lost]);
    hand_over(&mut hub, &[&revoking]);
    let publish = |dev: u8| {
        let (keys, dev) = (second_device(ALICE, 7), Nonce16([dev; 16]));
        let options = BundleOptions { rev: vec![lost], ..BundleOptions::default() };
        keys.publish(&name("alice"), dev, None, hub.now, options).unwrap()
    };
    let bundles: Vec<Bundle> = (100..140).map(publish).collect();
    hand_over(&mut hub, &bundles.iter().collect::<Vec<_>>());
    say(&mut hub, "not to the laptop");
    assert!(!is_for(&hub, lost) && is_for(&hub, key_of(&hub, phone)));
}

/// Goal: a revocation is handed to the owner's own device so that it counts there, also when the device that has revoked
/// has got its next key since. Before: the newest bundle alone was handed over, which brings a key, and decides nothing.
#[test]
fn a_revocation_reaches_ones_own_device_also_after_the_next_key() {
    let mut hub = three();
    let [phone, laptop] = [(); 2].map(|()| hub.joins_sibling(ALICE, None));
    for index in [ALICE, BOB] {
        says(&mut hub, index, "to all of alice");
    }
    let lost = key_of(&hub, laptop);
    hub.faults.hides_keys = vec![(ALICE, name("alice"))];
    (hub.faults.forgets_reminders, hub.faults.counts_lines) = (true, false);
    hub.disconnect(phone);
    hub.revoke(phone, lost);
    hub.tell_of_keys("alice");
    says(&mut hub, BOB, "without the laptop");
    let device = hub.peers[phone].endpoint.device().clone();
    let keys = device.keys.with_signing_key(copy_of(&second_device(0, 7).signing)).unwrap();
    let options =
        BundleOptions { rev: vec![lost, key_of(&hub, phone)], ..BundleOptions::default() };
    let before = Some(&*device.bundle);
    let next = keys.publish(&device.user, device.dev, before, hub.now + 1, options).unwrap();
    let offered = hub.offered("alice").into_iter().chain([next]);
    hub.offer("alice", offered.collect());
    hub.tell_of_keys("alice");
    says(&mut hub, BOB, "with the phone's next key");
    hub.now += HELD_MS;
    say(&mut hub, "the laptop reads this");
    assert!(is_for(&hub, lost), "this tests nothing");
    say(&mut hub, "the laptop does not read this");
    assert!(!is_for(&hub, lost), "bob's device has told alice's");
}

/// Goal: of each device of one's own that is said to be revoked, and that the server shows as good, its user is told, with
/// the device. Before: of the first alone, and not which.
#[test]
fn each_undecided_device_is_an_alarm_with_its_words() {
    let mut hub = three();
    let devices = [(); 2].map(|()| hub.joins_sibling(ALICE, None));
    say(&mut hub, "to all of alice");
    hub.faults.forgets_reminders = true;
    for (dev, lost) in (77..).zip(devices) {
        let options = BundleOptions { rev: vec![key_of(&hub, lost)], ..BundleOptions::default() };
        let (keys, dev) = (second_device(ALICE, 7), Nonce16([dev; 16]));
        let bundle = keys.publish(&name("alice"), dev, None, hub.now, options).unwrap();
        hand_over(&mut hub, &[&bundle]);
        hub.now += HELD_MS;
    }
    let known = hub.peers[ALICE].endpoint.known_devices(hub.now, &name("alice"));
    for lost in devices {
        let device = known.iter().find(|device| device.sk == key_of(&hub, lost)).unwrap();
        let words = device.words.to_string();
        let is_told = |event: &Event| matches!(event, Event::Alarm { kind: Alarm::SealsForRemoved, detail, .. } if detail.contains(&words));
        assert_eq!(hub.count(ALICE, is_told), 1, "{:?}", hub.peers[ALICE].events);
    }
}

/// Goal: what brings a key, and says that another device of one's own is revoked, keeps nothing from being said, also where
/// the server puts it off: who has the identity key can use up what may be published.
#[test]
fn what_the_server_puts_off_of_ones_own_devices_stops_nothing() {
    let mut hub = three();
    let laptop = hub.joins_sibling(ALICE, None);
    say(&mut hub, "to both of alice");
    let options = || BundleOptions { rev: vec![key_of(&hub, laptop)], ..BundleOptions::default() };
    let publish = |dev: u8| {
        let (keys, dev) = (second_device(ALICE, 7), Nonce16([dev; 16]));
        keys.publish(&name("alice"), dev, None, hub.now, options()).unwrap()
    };
    let bundles: Vec<Bundle> = (77..90).map(publish).collect();
    hub.faults.puts_off_reminders = usize::MAX;
    for bundle in &bundles {
        hand_over(&mut hub, &[bundle]);
    }
    say_at_once(&mut hub, "in a room");
    let now = hub.now;
    hub.peers[ALICE].endpoint.tell_user(now, &name("bob"), "for you alone").unwrap();
    while hub.step(now + 1_000) {}
    assert!(hub.texts(BOB).contains(&"alice: for you alone".to_owned()), "{:?}", hub.texts(BOB));
    let heard = hub.reminds_heard;
    hub.run();
    assert!(hub.reminds_heard - heard <= 20, "{} reminders", hub.reminds_heard - heard);
}
