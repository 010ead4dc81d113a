use chat_protocol::id::MessageId;
use chat_protocol::keys::{BundleOptions, DeviceKeys};
use chat_testkit::keys::{keys, second_device};
use chat_testkit::name;

use super::*;
use crate::event::{Alarm, Event, Notification, Standing};
use crate::out::Out;
use crate::random::SystemRandom;
use crate::store::Change;
use crate::table::Rows as _;
use crate::trust::TrustError;

const NOW_MS: u64 = 1_790_000_000_000;

/// A device's people, and what comes out of them.
struct Alone {
    people: People,
    out: Out,
}

impl Alone {
    /// Of alice, who has the first set of keys.
    fn new() -> Self {
        let own = first("alice", &keys(0), 0);
        let device = Device {
            user: name("alice"),
            dev: own.header().dev,
            server: KeyId([9; 16]),
            keys: keys(0),
            bundle: Arc::new(own),
        };
        let mut people = People::new(&device, Arc::default());
        people.loaded(0);
        Self { people, out: Out::new(name("alice"), Box::new(SystemRandom)) }
    }

    fn accept(&mut self, as_whom: &str, bundle: &Bundle, vouched: Option<KeyId>) -> Accepted {
        let offered = (&name(as_whom), bundle);
        self.people.accept(NOW_MS, &mut self.out, offered, vouched)
    }

    /// The alarms since the last time.
    fn alarms(&mut self) -> Vec<Alarm> {
        let told = self.out.take_events().into_iter();
        let alarm = |told: Notification| match told.event {
            Event::Alarm { kind, .. } => Some(kind),
            _ => None,
        };
        told.filter_map(alarm).collect()
    }

    /// The same after a restart.
    fn restarted(&mut self) -> Self {
        let mut changes = Vec::new();
        for (kind, rows) in self.people.rows() {
            rows.flush(kind, &mut changes);
        }
        let mut again = Self::new();
        for Change { key, value } in changes {
            again.people.pins.load("pin", &key, &value.unwrap()).unwrap();
        }
        again.people.loaded(0);
        again
    }
}

fn first(user: &str, keys: &DeviceKeys, dev: u8) -> Bundle {
    keys.publish(&name(user), Nonce16([dev; 16]), None, NOW_MS, BundleOptions::default()).unwrap()
}

fn next(keys: &DeviceKeys, before: &Bundle, rev: Vec<KeyId>) -> Bundle {
    let options = BundleOptions { rev, ..BundleOptions::default() };
    let header = before.header();
    keys.publish(&header.u, header.dev, Some(before), NOW_MS, options).unwrap()
}

/// Goal: the identity that is seen first stays, and another one is remembered, told once and decided on by nobody else
/// than the user.
#[test]
fn the_first_identity_is_pinned_until_the_user_decides() {
    let mut alone = Alone::new();
    let (bob, known, other) = (name("bob"), first("bob", &keys(1), 1), first("bob", &keys(2), 2));
    assert_eq!(alone.accept("bob", &known, None), Accepted::Kept);
    assert!(alone.people.is_trusted(&bob));
    assert_eq!(alone.accept("bob", &other, None), Accepted::Stranger(Some(bob.clone())));
    assert_eq!(alone.accept("bob", &other, None), Accepted::Stranger(None), "told once");
    assert_eq!(alone.people.standing(&bob), Standing::Changed);
    assert_eq!(alone.people.identity(&bob), Some(known.identity()));
    let third = KeyId([7; 16]);
    assert_eq!(alone.people.mark_verified(&bob, known.identity()), Err(TrustError::Outdated));
    assert_eq!(alone.people.distrust(NOW_MS, &bob, third), Err(TrustError::Outdated));
    assert_eq!(alone.people.distrust(NOW_MS, &bob, other.identity()), Ok(()));
    assert!(alone.people.is_refused(&bob) && alone.people.is_trusted(&bob));
    assert_eq!(alone.accept("bob", &other, None), Accepted::Stranger(None), "decided on");
    assert_eq!(alone.people.mark_verified(&bob, known.identity()), Ok(()));
    let mut alone = alone.restarted();
    assert_eq!(alone.people.standing(&bob), Standing::Verified);
    assert_eq!(alone.people.trust(NOW_MS, &bob, other.identity()), Ok(bob.clone()));
    assert_eq!(alone.people.standing(&bob), Standing::Known, "of the new one nothing is compared");
    assert_eq!(alone.people.identity(&bob), Some(other.identity()));
    assert_eq!(alone.people.trust(NOW_MS, &bob, third), Err(TrustError::NothingNew));
    assert_eq!(alone.alarms(), [], "what is told of a stranger is up to the device");
}

/// Goal: keys of an identity that was pinned once verify links of rooms, also after a restart, and nothing else.
#[test]
fn a_former_identity_signs_nothing_but_links_of_the_past() {
    let mut alone = Alone::new();
    let (bob, known, other) = (name("bob"), first("bob", &keys(1), 1), first("bob", &keys(2), 2));
    alone.accept("bob", &known, None);
    alone.accept("bob", &other, None);
    alone.people.trust(NOW_MS, &bob, other.identity()).unwrap();
    for alone in [alone.restarted(), alone] {
        let (old, new) = (keys(1).signing_id(), keys(2).signing_id());
        assert!(alone.people.signer(&bob, &new).is_some());
        assert!(alone.people.signer_of_any_time(&bob, &old).is_none());
        assert!(alone.people.signer_of_any_identity(&bob, &old).is_some());
        assert_eq!(alone.people.devices(&bob).count(), 1);
    }
}

/// Goal: a name means one person: neither another spelling, nor other than a link has vouched for, nor a bundle for
/// somebody else is taken.
#[test]
fn a_name_is_one_person() {
    let mut alone = Alone::new();
    let (known, spelled) = (first("bob", &keys(1), 1), first("Bob", &keys(1), 1));
    alone.accept("bob", &known, None);
    assert_eq!(alone.accept("Bob", &spelled, None), Accepted::Stranger(Some(name("bob"))));
    let carol = first("carol", &keys(3), 3);
    let vouched = Some(keys(2)).map(|keys| first("carol", &keys, 2).identity());
    // Nobody can decide on whom this device knows by a link only: it is told each time.
    for _ in 0..2 {
        let told = Accepted::Stranger(Some(name("carol")));
        assert_eq!(alone.accept("carol", &carol, vouched), told);
    }
    assert!(!alone.people.is_pinned(&name("carol")));
    assert_eq!(alone.accept("carol", &carol, Some(carol.identity())), Accepted::Kept);
    let own = first("alice", &keys(4), 4);
    assert_eq!(alone.accept("alice", &own, None), Accepted::Stranger(Some(name("alice"))));
    assert_eq!(alone.alarms(), []);
    assert_eq!(alone.accept("dave", &carol, None), Accepted::Nobodys);
    assert_eq!(alone.alarms(), [Alarm::BadSignature]);
}

/// Goal: two bundles with one number are an alarm (rule R14), and neither one that is older.
#[test]
fn a_device_has_one_bundle_of_each_number() {
    let mut alone = Alone::new();
    let known = first("bob", &keys(1), 1);
    let second = next(&keys(1), &known, Vec::new());
    for bundle in [&known, &second, &known] {
        assert_eq!(alone.accept("bob", bundle, None), Accepted::Kept);
    }
    assert_eq!(alone.alarms(), []);
    let newest: Vec<u32> =
        alone.people.devices(&name("bob")).map(|bundle| bundle.header().seq).collect();
    assert_eq!(newest, [second.header().seq]);
    let fork = next(&keys(1), &known, vec![KeyId([3; 16])]);
    assert_eq!(alone.accept("bob", &fork, None), Accepted::Fork);
    assert_eq!(alone.alarms(), [Alarm::BadChain]);
    assert!(!alone.people.is_revoked(&name("bob"), &KeyId([3; 16])), "nothing comes of it");
}

/// Goal: a device that another one of its person has revoked signs nothing, and nothing is wrapped for it.
#[test]
fn a_revoked_device_counts_no_more() {
    let mut alone = Alone::new();
    let (bob, other) = (name("bob"), second_device(1, 2));
    let (one, two) = (first("bob", &keys(1), 1), first("bob", &other, 2));
    alone.accept("bob", &one, None);
    alone.accept("bob", &two, None);
    let wrapped = |people: &People| people.wrapped_for(NOW_MS, &bob, |_| false).count();
    assert_eq!(wrapped(&alone.people), 2);
    let (changes, sk) = (alone.people.changes(), other.signing_id());
    alone.accept("bob", &next(&keys(1), &one, vec![sk]), None);
    assert_ne!(alone.people.changes(), changes, "lists are made anew");
    assert_eq!(wrapped(&alone.people), 1);
    assert!(alone.people.signer(&bob, &sk).is_none());
    assert!(alone.people.signer_of_any_time(&bob, &sk).is_some());
    assert_eq!(alone.people.revoked_since(&bob, &sk), Some(NOW_MS));
    let again = alone.restarted();
    assert_eq!(again.people.revoked_since(&bob, &sk), Some(0), "for long");
    assert!(again.people.has_device(&bob));
}

/// Goal: what the hub says of people counts for its connection, and changes no pin.
#[test]
fn the_word_of_the_hub_ends_with_the_connection() {
    let mut alone = Alone::new();
    let (bob, known) = (name("bob"), first("bob", &keys(1), 1));
    alone.accept("bob", &known, None);
    let former = first("bob", &keys(2), 2);
    let sk = keys(2).signing_id();
    let former = vec![B64Vec(former.bytes().to_vec())];
    let offered = PersonBundles { bundles: Vec::new(), former };
    let show = |alone: &mut Alone, asked: &[KeyId]| {
        alone.people.accept_former(&mut alone.out, &bob, &offered, asked);
    };
    show(&mut alone, &[]);
    assert!(!alone.people.has_signer(&bob, &sk), "nobody has asked for it");
    show(&mut alone, &[sk]);
    assert!(alone.people.has_signer(&bob, &sk));
    assert!(alone.people.signer_of_any_identity(&bob, &sk).is_none());
    alone.people.replaced_by_hub(&bob);
    for (user, is_news) in [("bob", true), ("bob", false), ("alice", false), ("server", false)] {
        assert_eq!(alone.people.note_gone(name(user), true), is_news, "{user}");
    }
    alone.people.disconnected();
    assert!(!alone.people.is_replaced(&bob) && !alone.people.is_gone(&bob));
    assert!(!alone.people.has_signer(&bob, &sk));
    assert!(alone.people.is_trusted(&bob));
}

/// Goal: an answer that may be older than the hub's notice of new keys is asked for again, once.
#[test]
fn keys_are_asked_for_again_when_a_notice_overtakes_the_answer() {
    let mut people = Alone::new().people;
    let (bob, carol) = (name("bob"), name("carol"));
    let both = BTreeSet::from([bob.clone(), carol.clone()]);
    let id = MessageId([1; 16]);
    let now = people.ask_now(both.clone());
    assert_eq!(now, [bob.clone(), carol.clone()]);
    people.asked(id, &now);
    assert!(people.ask_now([bob.clone()].into()).is_empty(), "the answer is on its way");
    people.has_newest(&bob);
    assert_eq!(people.answered(&id), [bob.clone()].into());
    assert!(!people.is_newest(&bob), "it was older than the notice");
    assert!(people.answered(&id).is_empty());
    assert_eq!(people.ask_now(both).len(), 2);
    assert_eq!(people.target(NOW_MS, &bob), TargetBundles::Wanted);
    assert_eq!(people.target(NOW_MS, &bob), TargetBundles::Asked);
    people.target_came(NOW_MS, &bob);
    assert_eq!(people.target(NOW_MS, &bob), TargetBundles::Fresh);
    people.forget_target(&bob);
    assert_eq!(people.target(NOW_MS, &bob), TargetBundles::Wanted);
}
