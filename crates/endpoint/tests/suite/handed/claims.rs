//! What a member claims by handing it over, again and again, or to one and not to another: it makes nobody start over, wait
//! or look like a liar (rules R33, R36, R39).

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
    let mut hub = three();
    let laptop = hub.joins_sibling(OLIVER, None);
    say(&mut hub, "to both of oliver");
    let lost = key_of(&hub, laptop);
    hub.faults.puts_off_reminders = usize::MAX;
    let revs = (0..20).map(|at| vec![lost, KeyId([at; 16])]);
    let bundles = chain_of(&hub, revs);
    for bundle in &bundles {
        hand_over(&mut hub, &[bundle]);
        hub.tell_of_keys("oliver");
        hub.run();
    }
    let heard = hub.reminds_heard;
    hub.run();
    let said = hub.reminds_heard - heard;
    assert!((1..=20).contains(&said), "{said} reminders in a minute");
    say_at_once(&mut hub, "nobody waits");
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
    let mut hub = three();
    let laptop = hub.joins_sibling(OLIVER, None);
    for index in [ALICE, BOB] {
        says(&mut hub, index, "to both of oliver");
    }
    let lost = key_of(&hub, laptop);
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
    let mut hub = three();
    let laptop = hub.joins_sibling(OLIVER, None);
    for index in [ALICE, BOB] {
        says(&mut hub, index, "to both of oliver");
    }
    let lost = key_of(&hub, laptop);
    (hub.faults.forgets_reminders, hub.faults.counts_lines) = (true, false);
    let revoking = next_of(&hub, OLIVER, vec![lost]);
    hand_over(&mut hub, &[&revoking]);
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

/// Goal: however many accounts hand over that their devices are revoked, which the server does not take, the room goes on:
/// of more than a key can name the last ones are sealed for as the server shows them.
/// Before: the server missed lines in each key, and nobody who was handed them could say anything there.
#[test]
fn more_people_than_a_key_can_name_stop_nobody() {
    let names: Vec<String> = (0..LEFT_OUT_MAX + 2).map(|at| format!("p{at:02}")).collect();
    let names = ["alice", "bob", "oliver"].into_iter().chain(names.iter().map(String::as_str));
    let mut hub = TestHub::with(&names.collect::<Vec<_>>());
    hub.faults.counts_lines = true;
    say(&mut hub, "before");
    hub.faults.forgets_reminders = true;
    let revoking = |hub: &TestHub, index: usize| {
        let device = hub.peers[index].endpoint.device().clone();
        let mut others = (0..2).map(|set| second_device(0, set));
        let other = others.find(|other| other.signing_id() != key_of(hub, index)).unwrap();
        let signing = SigningKey::from_pkcs8(&other.signing.to_pkcs8()).unwrap();
        let keys = device.keys.with_signing_key(signing).unwrap();
        let options = BundleOptions { rev: vec![key_of(hub, index)], ..BundleOptions::default() };
        keys.publish(&device.user, Nonce16([200; 16]), None, hub.now, options).unwrap()
    };
    let bundles: Vec<Bundle> =
        (OLIVER + 1..hub.peers.len()).map(|index| revoking(&hub, index)).collect();
    hand_over(&mut hub, &bundles.iter().collect::<Vec<_>>());
    say(&mut hub, "after");
    assert!(hub.texts(BOB).contains(&"alice: after".to_owned()));
    let newest = hub.newest_epoch().1;
    let reached = newest.lines().iter().filter(|line| line.name.as_str().starts_with('p'));
    assert_eq!(reached.count(), 2);
    // Nobody is named for it.
    hub.now += HELD_MS;
    says(&mut hub, BOB, "from bob");
    assert_eq!((alarms(&hub, ALICE), alarms(&hub, BOB)), (vec![], vec![]));
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
