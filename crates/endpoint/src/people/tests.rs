use chat_protocol::id::MessageId;
use chat_protocol::keys::{BundleOptions, DeviceKeys};
use chat_testkit::keys::{keys, second_device};
use chat_testkit::name;

use super::*;
use crate::event::{Alarm, Event, Notification, Standing};
use crate::limits::GIVEN_PERSON_MAX;
use crate::out::Out;
use crate::random::SystemRandom;
use crate::store::Change;
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
            let value = value.unwrap();
            for (kind, rows) in again.people.rows() {
                rows.load(kind, &key, &value).unwrap();
            }
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
    assert_eq!(alone.people.revoked_since(&bob, &sk), Some((NOW_MS, true)));
    let again = alone.restarted();
    assert_eq!(again.people.revoked_since(&bob, &sk), Some((0, true)), "for long");
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

/// Bob, whose two devices the hub has shown, and his bundles: of the first device in the order of their numbers, of
/// which the hub has shown none but the second one, and of the other device.
fn two_devices() -> (Alone, [Bundle; 3], Bundle) {
    let mut alone = Alone::new();
    let first_one = first("bob", &keys(1), 1);
    let second = next(&keys(1), &first_one, Vec::new());
    let third = next(&keys(1), &second, vec![second_device(1, 2).signing_id()]);
    let other = first("bob", &second_device(1, 2), 2);
    for bundle in [&second, &other] {
        assert_eq!(alone.accept("bob", bundle, None), Accepted::Kept);
    }
    (alone, [first_one, second, third], other)
}

/// Goal: a bundle that was handed over revokes, also where the hub shows a newer one of its device that says nothing of
/// that, and nothing where the hub has shown another one in its place. (In the build before a newer one took it back.)
#[test]
fn what_is_handed_over_revokes_where_it_contradicts_nothing_that_the_hub_has_shown() {
    let (bob, sk) = (name("bob"), second_device(1, 2).signing_id());
    let revoked = |alone: &Alone| alone.people.is_revoked(&bob, &sk);
    let (mut alone, [_, second, third], _) = two_devices();
    let old = |rev: Vec<KeyId>| {
        let options = BundleOptions { rev, ..BundleOptions::default() };
        keys(1).publish(&bob, second.header().dev, None, NOW_MS + 7, options).unwrap()
    };
    let (mut other, ..) = two_devices();
    assert_eq!(other.people.give(NOW_MS, &old(vec![sk])), Gave::Revokes, "older");
    assert!(revoked(&other));
    let unlinked = next(&keys(1), &next(&keys(1), &old(vec![]), vec![]), vec![sk]);
    assert_eq!(alone.people.give(NOW_MS, &unlinked), Gave::Contradicts, "goes on from another one");
    let options = BundleOptions { rev: vec![sk], ..BundleOptions::default() };
    let before = Some(&old(vec![]));
    let fork = keys(1).publish(&bob, second.header().dev, before, NOW_MS, options).unwrap();
    assert_eq!(alone.people.give(NOW_MS, &fork), Gave::Contradicts, "of the same number");
    assert!(!revoked(&alone));
    assert_eq!(alone.people.give(NOW_MS, &third), Gave::Revokes);
    assert_eq!(alone.people.give(NOW_MS, &third), Gave::Nothing, "again");
    assert!(revoked(&alone) && alone.people.is_disputed(&bob));
    assert_eq!(alone.people.revoked_since(&bob, &sk), Some((NOW_MS, false)));
    let again = alone.restarted();
    assert!(revoked(&again) && again.people.is_disputed(&bob));
    assert_eq!(again.people.revoked_since(&bob, &sk), Some((0, false)), "for long");
    // The hub shows a fourth one, which whoever has the identity key can sign.
    let (mut behind, [_, one, two], _) = two_devices();
    assert_eq!(behind.people.give(NOW_MS, &two), Gave::Revokes);
    assert!(behind.people.is_surely_revoked(&bob, &sk));
    let silent = next(&keys(1), &next(&keys(1), &one, Vec::new()), Vec::new());
    behind.accept("bob", &silent, None);
    assert!(revoked(&behind) && behind.people.is_disputed(&bob));
    assert!(
        !behind.people.is_surely_revoked(&bob, &sk),
        "the hub may have shown others another one"
    );
    // And one after it had shown the third.
    let (mut shown, [_, _, two], _) = two_devices();
    shown.accept("bob", &two, None);
    shown.accept("bob", &next(&keys(1), &two, Vec::new()), None);
    assert!(revoked(&shown) && revoked(&shown.restarted()));
    assert_eq!(shown.people.wrapped_for(NOW_MS, &bob, |_| true).count(), 1);
    // The hub shows another third one.
    alone.accept("bob", &next(&keys(1), &second, Vec::new()), None);
    assert!(!revoked(&alone) && !alone.people.is_disputed(&bob));
    assert_eq!(alone.alarms(), [Alarm::BadChain]);
    // Or the same one.
    let mut again = again;
    again.accept("bob", &third, None);
    assert!(revoked(&again) && !again.people.is_disputed(&bob));
    assert_eq!((again.alarms(), again.people.given_revoking(&bob).len()), (vec![], 0));
}

/// Goal: an old key that was handed over verifies links, is handed on with them, and is good for nothing else; also after
/// a restart. (The build before handed on what the hub had shown alone.)
#[test]
fn a_key_that_was_handed_over_verifies_links_and_is_handed_on_with_them() {
    let bob = name("bob");
    let renewed = second_device(1, 5);
    let old = first("bob", &keys(1), 1);
    let second = next(&renewed, &old, vec![keys(1).signing_id()]);
    let mut alone = Alone::new();
    alone.accept("bob", &second, None);
    assert_eq!(alone.people.give(NOW_MS, &old), Gave::Kept);
    let link = link_by(&bob, &keys(1));
    for alone in [alone.restarted(), alone] {
        let sk = keys(1).signing_id();
        assert!(alone.people.signer_of_link(&bob, &sk).is_some());
        assert!(alone.people.signer_of_any_time(&bob, &sk).is_none());
        let behind = alone.people.bundle_behind(&link);
        assert_eq!(behind, Some(B64Vec(old.bytes().to_vec())));
        // Also where it is the newest: what somebody has handed over of others has no place before it.
        let behind = alone.people.bundle_behind(&link_by(&bob, &renewed));
        assert_eq!(behind, Some(B64Vec(second.bytes().to_vec())));
        assert_eq!(alone.people.devices(&bob).count(), 1);
    }
}

/// A link that somebody has signed with these keys.
fn link_by(user: &UserName, keys: &DeviceKeys) -> RawFrame {
    use chat_protocol::frame::{Unsigned, sign_all};
    use chat_protocol::header::{Canonical as _, MemberArgument, MemberHeader, MemberOperation};
    use chat_protocol::name::ConversationId;
    use chat_protocol::tag::{Tag, label};
    let link = MemberHeader {
        v: 1,
        t: Tag::Member,
        cid: ConversationId::parse("room:ops").unwrap(),
        from: user.clone(),
        sk: keys.signing_id(),
        op: MemberOperation::Join,
        who: user.clone(),
        ik: key_id_of(keys),
        arg: MemberArgument::None,
        mg: 0,
        pm: Digest::ZERO,
        id: MessageId([4; 16]),
        ts: NOW_MS,
    };
    let frame = Unsigned::new(label::MEMBER, link.to_bytes(), Vec::new());
    RawFrame::decode(sign_all(&keys.signing, &[frame]).remove(0)).unwrap()
}

fn key_id_of(keys: &DeviceKeys) -> KeyId {
    chat_protocol::keys::key_id(keys.identity.spki())
}

/// Goal: keys that nobody has, and that a bundle revokes all the same, take no memory but that of its row.
/// (The build before noted each for ever, also when the row was forgotten.)
#[test]
fn invented_keys_take_no_memory_but_that_of_their_row() {
    let (mut alone, [_, second, _], _) = two_devices();
    let (bob, sk) = (name("bob"), second_device(1, 2).signing_id());
    let noted = alone.people.revoked.len();
    let mut rev: Vec<KeyId> = (0..20).map(|at| KeyId([at; 16])).collect();
    let invented = next(&keys(1), &second, rev.clone());
    assert_eq!(alone.people.give(NOW_MS, &invented), Gave::Kept);
    rev.push(sk);
    let one_known = next(&keys(1), &invented, rev);
    assert_eq!(alone.people.give(NOW_MS, &one_known), Gave::Revokes);
    assert_eq!(alone.people.revoked.len(), noted);
    assert!(alone.people.given.revoked_since(&bob, &sk).is_some());
}

/// Goal: of more bundles than are kept of a person those that revoke nothing are forgotten first, then those that revoke
/// what others do, too. (The build before forgot the oldest of those that revoke, whatever it was.)
#[test]
fn no_bundle_pushes_out_a_revocation_that_no_other_has() {
    let (mut alone, _, _) = two_devices();
    let (bob, one, two) = (name("bob"), second_device(1, 2), second_device(1, 3));
    alone.accept("bob", &first("bob", &two, 3), None);
    let of_device = |dev: u8, rev: Vec<KeyId>| {
        let options = BundleOptions { rev, ..BundleOptions::default() };
        keys(1).publish(&bob, Nonce16([dev; 16]), None, NOW_MS, options).unwrap()
    };
    let rows = |bundles: Vec<Bundle>| -> Vec<B64Vec> {
        bundles.iter().map(|bundle| B64Vec(bundle.bytes().to_vec())).collect()
    };
    let first_of_all = of_device(100, vec![two.signing_id()]);
    for others in [vec![], vec![one.signing_id()]] {
        let many = (101..).map(|dev| of_device(dev, others.clone()));
        let held = [first_of_all.clone()].into_iter().chain(many).take(GIVEN_PERSON_MAX);
        alone.people.given.rows().put(&bob, rows(held.collect()));
        // A key that is not known: it is kept for links.
        let last = first("bob", &second_device(1, 4), 99);
        assert_ne!(alone.people.give(NOW_MS, &last), Gave::Nothing);
        assert!(alone.people.is_revoked(&bob, &two.signing_id()));
        assert_eq!(alone.people.is_revoked(&bob, &one.signing_id()), !others.is_empty());
        alone.people.given.rows().remove(&bob);
        alone.people.settle_all_given(NOW_MS);
    }
}

/// Goal: a revocation counts also where it comes before the key that it is about.
/// Method: the hub shows the revoked device later, and nothing of what revokes it.
#[test]
fn what_revokes_a_key_counts_when_the_key_is_shown() {
    let (mut alone, bob) = (Alone::new(), name("bob"));
    let (known, other) = (first("bob", &keys(1), 1), first("bob", &second_device(1, 2), 2));
    let sk = second_device(1, 2).signing_id();
    alone.accept("bob", &known, None);
    let revoking = next(&keys(1), &known, vec![sk]);
    assert_eq!(alone.people.give(NOW_MS, &revoking), Gave::Kept);
    assert!(!alone.people.is_disputed(&bob) && !alone.people.is_revoked(&bob, &sk));
    alone.accept("bob", &other, None);
    assert!(alone.people.is_disputed(&bob) && alone.people.is_revoked(&bob, &sk));
    assert_eq!(alone.people.wrapped_for(NOW_MS, &bob, |_| false).count(), 1);
}

/// Goal: what revokes a device that is in use is kept, however many other keys are revoked by others.
/// Method: as many bundles as are kept, each of which revokes old keys that no other one does.
/// (The build before forgot the oldest.)
#[test]
fn a_bundle_that_revokes_a_device_in_use_goes_last() {
    let (mut alone, bob) = (Alone::new(), name("bob"));
    let old: Vec<_> = [0, 2, 3, 4, 5, 6, 7].map(|set| second_device(1, set)).into();
    for (dev, keys_before) in (1..).zip(&old) {
        let before = first("bob", keys_before, dev);
        alone.accept("bob", &before, None);
        alone.accept("bob", &next(&keys(1), &before, Vec::new()), None);
    }
    // Signed by an old key, which it does not revoke.
    let of_device = |dev: u8, rev: Vec<KeyId>| {
        let keys = old.iter().find(|keys| !rev.contains(&keys.signing_id())).unwrap();
        let options = BundleOptions { rev, ..BundleOptions::default() };
        keys.publish(&bob, Nonce16([dev; 16]), None, NOW_MS, options).unwrap()
    };
    let in_use = keys(1).signing_id();
    assert_eq!(alone.people.give(NOW_MS, &of_device(100, vec![in_use])), Gave::Revokes);
    let threes = (0..1_u32 << old.len()).filter(|bits| bits.count_ones() == 3);
    for (dev, bits) in (101..).zip(threes.take(GIVEN_PERSON_MAX)) {
        let of = old.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
        let rev = of.map(|(_, keys)| keys.signing_id()).collect();
        assert_eq!(alone.people.give(NOW_MS, &of_device(dev, rev)), Gave::Kept);
    }
    assert!(alone.people.is_disputed(&bob));
}

/// Goal: a key that is revoked by what was handed over stays so, whatever comes behind it: what is forgotten says nothing
/// that the rest does not, taken together. So who hands over the same again and again makes nobody ask anew.
/// Method: the first bundle alone revokes one device, and as many as are kept revoke three others each, of seven.
/// (The build before compared with single other bundles, and forgot the oldest, in turn.)
#[test]
fn no_device_is_revoked_no_more_because_of_what_comes_behind() {
    let (mut alone, bob) = (Alone::new(), name("bob"));
    let sets = [0, 2, 3, 4, 5, 6, 7].map(|set| second_device(1, set));
    for (dev, keys) in (1..).zip(&sets) {
        alone.accept("bob", &first("bob", keys, dev), None);
    }
    alone.accept("bob", &first("bob", &keys(1), 50), None);
    let of_device = |dev: u8, rev: Vec<KeyId>| {
        let keys = sets.iter().find(|keys| !rev.contains(&keys.signing_id())).unwrap();
        let options = BundleOptions { rev, ..BundleOptions::default() };
        keys.publish(&bob, Nonce16([dev; 16]), None, NOW_MS, options).unwrap()
    };
    let mut bundles = vec![of_device(100, vec![keys(1).signing_id()])];
    let threes = (0..1_u32 << sets.len()).filter(|bits| bits.count_ones() == 3);
    for (dev, bits) in (101..).zip(threes.take(GIVEN_PERSON_MAX)) {
        let of = sets.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
        bundles.push(of_device(dev, of.map(|(_, keys)| keys.signing_id()).collect()));
    }
    for bundle in &bundles {
        alone.people.give(NOW_MS, bundle);
    }
    for bundle in bundles.iter().chain(&bundles) {
        assert_ne!(alone.people.give(NOW_MS, bundle), Gave::Revokes);
        assert!(alone.people.is_revoked(&bob, &keys(1).signing_id()));
    }
}

/// Goal: of two bundles of one number that were handed over both revoke, in whichever order they come.
/// (The build before took the first alone, so two people who were handed different ones never agreed.)
#[test]
fn of_two_bundles_of_one_number_both_revoke() {
    for at in [0, 1] {
        let (mut alone, [_, second, third], _) = two_devices();
        let (bob, sk) = (name("bob"), second_device(1, 2).signing_id());
        let other = next(&keys(1), &second, vec![KeyId([9; 16])]);
        let both = [third, other];
        assert!(!alone.people.contradicts_given(&both[at]));
        assert_ne!(alone.people.give(NOW_MS, &both[at]), Gave::Contradicts);
        assert!(alone.people.contradicts_given(&both[1 - at]));
        assert_ne!(alone.people.give(NOW_MS, &both[1 - at]), Gave::Contradicts);
        assert!(alone.people.is_disputed(&bob) && alone.people.is_revoked(&bob, &sk));
    }
}

/// Goal: that what was handed over is forgotten shows to whoever keeps what follows from it.
/// (The build before said nothing where it was the last one of its person.)
#[test]
fn what_is_forgotten_of_somebody_is_a_change() {
    let (mut alone, [_, _, third], _) = two_devices();
    let bob = name("bob");
    assert_eq!(alone.people.give(NOW_MS, &third), Gave::Revokes);
    let before = alone.people.changes();
    alone.people.forget_given(NOW_MS, &bob);
    assert!(!alone.people.is_disputed(&bob));
    assert_ne!(alone.people.changes(), before);
}
