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
