use std::sync::Arc;

use chat_protocol::id::{KeyId, Nonce16};
use chat_protocol::keys::BundleOptions;
use chat_testkit::keys::keys;
use chat_testkit::name;

use super::*;
use crate::endpoint::Device;
use crate::random::SystemRandom;

const NOW_MS: u64 = 1_790_000_000_000;

/// Alice's device, alone.
fn alice() -> Endpoint {
    let (user, dev) = (name("alice"), Nonce16([1; 16]));
    let bundle = keys(0).publish(&user, dev, None, NOW_MS, BundleOptions::default()).unwrap();
    let server = KeyId([9; 16]);
    let device = Device { user, dev, server, keys: keys(0), bundle: Arc::new(bundle) };
    Endpoint::new(device, &Vec::new(), Arc::default(), Box::new(SystemRandom)).unwrap()
}

fn says(endpoint: &mut Endpoint, who: &str, value: &str, at: u64) {
    let seen = Setting::new(SEEN, value, at).unwrap();
    endpoint.on_settings_of(NOW_MS, &name(who), vec![seen]);
}

fn has(endpoint: &Endpoint, key: &str) -> bool {
    endpoint.state.settings.get(key).is_some()
}

fn count(endpoint: &Endpoint, kind: &str) -> usize {
    endpoint.state.settings.keys_with(kind).len()
}

/// Goal: any number of accounts that say that they may be seen take no room from what is set, nor from people whom this
/// user writes to. (The build before kept 2,048 of them for good: nothing that was set later was kept, and no command took
/// them back.)
#[test]
fn what_others_allow_takes_no_room_from_what_is_set() {
    let mut alice = alice();
    says(&mut alice, "bob", "on", NOW_MS - 9_000);
    says(&mut alice, "carol", "on", NOW_MS - 8_000);
    alice.tell_user(NOW_MS, &name("bob"), "hello").unwrap();
    for number in 0..u64::try_from(SETTINGS_MAX).unwrap() {
        let value = if number % 7 == 0 { "off" } else { "on" };
        says(&mut alice, &format!("m{number}"), value, NOW_MS + number);
    }
    assert_eq!(count(&alice, ALLOWS), ALLOWS_MAX);
    assert!(has(&alice, "allows:bob"), "alice has written to him");
    assert!(!has(&alice, "allows:carol") && has(&alice, "allows:m2047"));
    // What comes late has no place before what is newer.
    says(&mut alice, "dave", "on", NOW_MS - 9_500);
    assert!(!has(&alice, "allows:dave"));
    let set = [("ignore:m7".to_owned(), "on".to_owned())];
    alice.set(NOW_MS, &set);
    assert!(has(&alice, "ignore:m7"));
    says(&mut alice, "bob", "off", NOW_MS - 10_000);
    assert_eq!(alice.settings()["allows:bob"], "on", "an older word");
    says(&mut alice, "bob", "off", NOW_MS);
    assert_eq!(alice.settings()["allows:bob"], "off");
}

/// Goal: what devices note for themselves takes no room from what a person sets, either; and nobody is told that they may
/// see something where that could not be taken back.
#[test]
fn what_is_noted_of_itself_has_an_end() {
    let mut alice = alice();
    for number in 0..SETTINGS_MAX {
        alice.allow_seen(NOW_MS, &name(&format!("m{number}")), true);
    }
    let said = alice.outbox.iter().filter(|(_, said)| !alice.is_own(&said.cid)).count();
    assert_eq!((count(&alice, TOLD), said), (TOLD_MAX, TOLD_MAX));
    alice.allow_seen(NOW_MS, &name("m0"), false);
    alice.allow_seen(NOW_MS, &name("bob"), true);
    assert!(has(&alice, "told:bob") && !has(&alice, "told:m0"), "`off` says no more than nothing");
    let set = [("ignore:m7".to_owned(), "on".to_owned())];
    alice.set(NOW_MS, &set);
    assert!(has(&alice, "ignore:m7"));
}

/// Goal: people to whom this user has written are noted, the latest, once a day.
#[test]
fn whom_this_user_has_written_to_is_noted() {
    let mut alice = alice();
    for number in 0..u64::try_from(WRITTEN_MAX).unwrap() + 9 {
        alice.note_written(NOW_MS + number, &name(&format!("m{number}")));
    }
    let written = &alice.state.written;
    assert_eq!(written.len(), WRITTEN_MAX);
    assert!(written.get(&name("m8")).is_none() && written.get(&name("m9")).is_some());
    let changes = written.changes();
    alice.note_written(NOW_MS + WRITTEN_AGAIN_MS, &name("m9"));
    alice.note_written(NOW_MS + WRITTEN_AGAIN_MS, &name("alice"));
    assert_eq!(alice.state.written.changes(), changes);
}

/// Goal: what others say and what devices note takes none of the places of what a person sets.
/// (The build before counted all kinds together, so others could take two thirds of them.)
#[test]
fn what_a_person_sets_has_all_of_its_places() {
    let mut alice = alice();
    for number in 0..u64::try_from(ALLOWS_MAX).unwrap() {
        says(&mut alice, &format!("m{number}"), "on", NOW_MS + number);
    }
    let ignored = |number: usize| (format!("{IGNORE}m{number}"), "on".to_owned());
    let set: Vec<(String, String)> = (0..=SETTINGS_MAX).map(ignored).collect();
    alice.set(NOW_MS, &set);
    assert_eq!((count(&alice, IGNORE), count(&alice, ALLOWS)), (SETTINGS_MAX, ALLOWS_MAX));
    // What takes something back gives way to what is set here.
    alice.set(NOW_MS, &[(format!("{IGNORE}m3"), "off".to_owned()), ignored(SETTINGS_MAX)]);
    assert!(!has(&alice, "ignore:m3") && has(&alice, &ignored(SETTINGS_MAX).0));
}

fn misses(endpoint: &Endpoint) -> bool {
    endpoint.state.missed.get("all").is_some()
}

/// What another device says in answer to a question of that time: something for this time, and that it was all.
fn answers(endpoint: &mut Endpoint, now_ms: u64, asked_ms: u64, at: u64) {
    let all = format!("{ALL}{}", endpoint.device.dev);
    let set = [("ignore:bob", "on", at), (all.as_str(), "", asked_ms)];
    let set = set.into_iter().filter_map(|(key, value, at)| Setting::new(key, value, at));
    endpoint.on_settings(now_ms, set.collect());
}

/// Goal: what lies ahead of a clock is asked for on each next connection until it does not any more, also where the
/// answer has brought it once more, or something else was missed meanwhile.
/// (The build before asked once, and forgot it with the answer.)
#[test]
fn what_lies_ahead_is_asked_for_until_the_clock_is_right() {
    let (mut alice, day_ms) = (alice(), SETTING_AHEAD_MAX_MS);
    let at = NOW_MS + 3 * day_ms;
    alice.miss_settings(NOW_MS);
    answers(&mut alice, NOW_MS, NOW_MS, at);
    assert!(misses(&alice));
    for half_days in 1..4 {
        let now_ms = NOW_MS + half_days * day_ms / 2;
        alice.settings_connected(now_ms);
        answers(&mut alice, now_ms, now_ms, at);
        assert!(misses(&alice), "{half_days}");
    }
    alice.settings_connected(NOW_MS + 2 * day_ms);
    answers(&mut alice, NOW_MS + 2 * day_ms, NOW_MS + 2 * day_ms, at);
    assert!(!misses(&alice) && has(&alice, "ignore:bob"));
}

/// Goal: what was missed by a clock that was ahead, and was put back, is answered by the answer.
/// (The build before asked on and on, until the clock had come to where it was.)
#[test]
fn what_was_missed_in_the_future_is_answered() {
    let mut alice = alice();
    let (me, keys) = (name("alice"), chat_testkit::keys::second_device(0, 1));
    let other = keys.publish(&me, Nonce16([2; 16]), None, NOW_MS, BundleOptions::default());
    alice.accept_bundle(&me, &other.unwrap());
    alice.miss_settings(NOW_MS + SETTING_AHEAD_MAX_MS);
    let asked_ms = NOW_MS + crate::limits::SETTINGS_ASK_DELAY_MS;
    alice.settle_settings(asked_ms);
    assert!(misses(&alice));
    answers(&mut alice, asked_ms, asked_ms, NOW_MS);
    assert!(!misses(&alice));
}
