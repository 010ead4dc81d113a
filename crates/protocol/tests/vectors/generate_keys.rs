//! Bundles and epochs: as they should be, and forged.

use chat_protocol::b64::B64Vec;
use chat_protocol::crypto::{WrapKey, hkdf_extract, sha256};
use chat_protocol::frame::{Unsigned, sign_all};
use chat_protocol::header::{Canonical, KeyHeader};
use chat_protocol::id::Digest;
use chat_protocol::keys::{Bundle, BundleHeader, BundleOptions, PublishedWrapKey};
use chat_protocol::limits::LEFT_OUT_MAX;
use chat_protocol::members::MemberList;
use chat_protocol::name::UserName;
use chat_protocol::tag::label;

use super::format::{BundleCase, BundleExpect, Case, EpochCase, PossessionCase};
use super::generate::{Device, Epoch, NOW, World};

fn bundle_of(device: &Device) -> Case {
    let bundle = &device.bundle;
    let expect = BundleExpect {
        user: device.user.clone(),
        identity: bundle.identity(),
        digest: bundle.digest(),
    };
    Case::Bundle(BundleCase { bundle: B64Vec(bundle.bytes().to_vec()), expect: Some(expect) })
}

/// A bundle with this JSON, signed by the device's identity.
fn forged(device: &Device, json: Vec<u8>, body: Vec<u8>, label: &str) -> Case {
    let unsigned = Unsigned::new(label, json, body);
    let bundle = B64Vec(sign_all(&device.keys.identity, &[unsigned]).remove(0).to_vec());
    Case::Bundle(BundleCase { bundle, expect: None })
}

/// An RSA public key of that many bits with one byte of exponent or the usual three; no private
/// key belongs to it.
fn public_key(bits: usize, exponent: &[u8]) -> Vec<u8> {
    let element = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        let head = match length {
            [0, short @ 0..=0x7f] => vec![tag, short],
            [0, medium] => vec![tag, 0x81, medium],
            [high, low] => vec![tag, 0x82, high, low],
        };
        [head.as_slice(), content].concat()
    };
    let modulus = [vec![0], vec![0xf5; bits / 8]].concat();
    let numbers = element(0x30, &[element(2, &modulus), element(2, exponent)].concat());
    let algorithm = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let bits = [&[0], numbers.as_slice()].concat();
    element(0x30, &[element(0x30, &algorithm), element(3, &bits)].concat())
}

pub(crate) fn bundles(world: &mut World) {
    for (name, device) in [
        ("bundle/alice", &world.alice),
        ("bundle/bob-agent", &world.bob),
        ("bundle/mallory", &world.mallory),
        ("bundle/hub", &world.hub),
    ]
    .map(|(name, device)| (name, bundle_of(device)))
    {
        world.accept(name, device);
    }
    possession(world);
    bundle_bytes(world);
    bundle_fields(world);
}

fn possession(world: &mut World) {
    let (alice, mallory) = (&world.alice, &world.mallory);
    let own = &alice.bundle.header().sk[0];
    let right = PossessionCase {
        user: alice.user.clone(),
        ik: B64Vec(alice.keys.identity.spki().to_vec()),
        sk: B64Vec(own.spki.clone()),
        pop: B64Vec(own.pop.clone()),
    };
    let other_user = PossessionCase { user: mallory.user.clone(), ..right.clone() };
    let ik = B64Vec(mallory.keys.identity.spki().to_vec());
    let other_identity = PossessionCase { ik, ..right.clone() };
    world.accept("pop/alice", Case::Possession(right));
    let why = "a signing key belongs to the one identity and name that it agreed to";
    let user = ["possession", "the name", why];
    world.refuse("pop/another-name", user, Case::Possession(other_user));
    let identity = ["possession", "the identity key", why];
    world.refuse("pop/another-identity", identity, Case::Possession(other_identity));
}

fn bundle_bytes(world: &mut World) {
    let bytes = world.alice.bundle.bytes().to_vec();
    let json = serde_json::to_vec(world.alice.bundle.header()).unwrap();
    let changed = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bundle = bytes.clone();
        edit(&mut bundle);
        Case::Bundle(BundleCase { bundle: B64Vec(bundle), expect: None })
    };
    let flipped = changed(&|bytes| *bytes.last_mut().unwrap() ^= 1);
    let version = changed(&|bytes| bytes[0] = 2);
    let unsigned = changed(&|bytes| {
        bytes[1] = 0;
        bytes.truncate(10 + json.len());
    });
    let text = String::from_utf8(json.clone()).unwrap();
    let spaced = text.replacen(",\"seq\":", ", \"seq\":", 1).into_bytes();
    let alice = &world.alice;
    let spaced = forged(alice, spaced, Vec::new(), label::BUNDLE);
    let body = forged(alice, json.clone(), b"x".to_vec(), label::BUNDLE);
    let wrong_label = forged(alice, json.clone(), Vec::new(), label::KEY);
    let by_signing_key = alice.sign(label::BUNDLE, json, Vec::new());
    let by_signing_key = Case::Bundle(BundleCase { bundle: by_signing_key, expect: None });
    let why = "a bundle is what the identity signed, byte for byte";
    for (name, at, altered, case) in [
        ("bundle/signature-bit", "signature", "the last bit of the signature", flipped),
        ("bundle/version", "frame", "the version byte is 2", version),
        ("bundle/unsigned", "signature", "kind 0, and no signature", unsigned),
        ("bundle/space", "field", "a space in the JSON, then signed", spaced),
        ("bundle/body", "field", "a body of one byte, then signed", body),
        ("bundle/label", "signature", "signed under the label of epochs", wrong_label),
        ("bundle/by-signing-key", "signature", "signed by the signing key", by_signing_key),
    ] {
        world.refuse(name, [at, altered, why], case);
    }
}

fn bundle_fields(world: &mut World) {
    let alice = &world.alice;
    let edited = |edit: &dyn Fn(&mut BundleHeader)| {
        let mut header = alice.bundle.header().clone();
        edit(&mut header);
        forged(alice, serde_json::to_vec(&header).unwrap(), Vec::new(), label::BUNDLE)
    };
    let small = public_key(1024, &[1, 0, 1]);
    let exponent = public_key(2048, &[3]);
    let signing = alice.bundle.header().sk[0].spki.clone();
    let other_pop = world.mallory.bundle.header().sk[0].pop.clone();
    let cases = [
        (
            "pop",
            "possession",
            "the proof is another key's",
            edited(&|h| h.sk[0].pop.clone_from(&other_pop)),
        ),
        (
            "same-key",
            "field",
            "the encryption key is the signing key (rule R27)",
            edited(&|h| {
                h.ek[0] = PublishedWrapKey::new(&signing, NOW, 1000);
            }),
        ),
        ("kid", "field", "a key id with one bit changed", edited(&|h| h.ek[0].kid.0[0] ^= 1)),
        ("no-encryption-key", "field", "no encryption key", edited(&|h| h.ek.clear())),
        ("suites", "field", "suite 1 is missing", edited(&|h| h.suites = vec![2])),
        ("time", "field", "ts is 2^53", edited(&|h| h.ts = 1 << 53)),
        (
            "not-before",
            "field",
            "nbf of the signing key is 2^53",
            edited(&|h| h.sk[0].nbf = 1 << 53),
        ),
        (
            "small-key",
            "key",
            "an encryption key of 1024 bits",
            edited(&|h| {
                h.ek[0] = PublishedWrapKey::new(&small, NOW, 1000);
            }),
        ),
        (
            "exponent",
            "key",
            "an encryption key with exponent 3",
            edited(&|h| {
                h.ek[0] = PublishedWrapKey::new(&exponent, NOW, 1000);
            }),
        ),
    ];
    for (name, at, altered, case) in cases {
        let why = "signed by the identity, and still not what a bundle may say";
        world.refuse(&format!("bundle/{name}"), [at, altered, why], case);
    }
}

/// Alice's KEY with another header, wrapped and signed as if it were right.
fn forged_epoch(world: &World, epoch: &Epoch, header: &KeyHeader, label: &str) -> EpochCase {
    let bytes = header.to_bytes();
    let wrap_label = format!("chat-e2e/1 wrap {}", Digest(sha256(&bytes)));
    let key = epoch.case.expect.as_ref().unwrap().key.0;
    let wrap = |device: &Device| {
        let wrap = WrapKey::from_spki(device.keys.encryption.spki()).unwrap();
        B64Vec(wrap.wrap(wrap_label.as_bytes(), &key))
    };
    let frame = world.alice.sign(label, bytes, Vec::new());
    let wraps = vec![wrap(&world.alice), wrap(&world.bob)];
    EpochCase { frame, wraps, expect: None, ..epoch.case.clone() }
}

#[expect(clippy::too_many_lines, reason = "a table, one row for each vector")]
pub(crate) fn epochs(world: &mut World, room: &Epoch, next: &Epoch, direct: &Epoch) {
    let right = EpochCase { expect: None, ..room.case.clone() };
    let with = |edit: &dyn Fn(&mut KeyHeader)| {
        let mut header = room.new.header.clone();
        edit(&mut header);
        forged_epoch(world, room, &header, label::KEY)
    };
    let lied = with(&|h| h.kc = Digest(*hkdf_extract(b"other", b"key")));
    let other_maker = {
        let mut header = room.new.header.clone();
        header.from = world.mallory.user.clone();
        header.sk = world.mallory.keys.signing_id();
        let frame = world.mallory.sign(label::KEY, header.to_bytes(), Vec::new());
        EpochCase { frame, ..right.clone() }
    };
    let by_bob = world.bob.sign(label::KEY, room.new.header.to_bytes(), Vec::new());
    let with_body = world.alice.sign(label::KEY, room.new.header.to_bytes(), b"x".to_vec());
    let moved = EpochCase { wraps: next.case.wraps.clone(), ..right.clone() };
    let swapped = EpochCase { wraps: right.wraps.iter().rev().cloned().collect(), ..right.clone() };
    let reversed: Vec<&str> = right.members.split_inclusive('\n').rev().collect();
    let longer = MemberList::new([world.alice.line(), world.bob.line(), world.mallory.line()]);
    let longer_text = String::from_utf8(longer.as_bytes().to_vec()).unwrap();
    let third = {
        let mut header = direct.new.header.clone();
        header.mh = longer.hash();
        let case = forged_epoch(world, direct, &header, label::KEY);
        EpochCase { members: longer_text.clone(), ..case }
    };
    let text = String::from_utf8(room.new.header.to_bytes()).unwrap();
    let old_form = text.replace(&format!(",\"g\":0,\"pe\":\"{}\"", Digest::ZERO), "");
    let old_form = world.alice.sign(label::KEY, old_form.into_bytes(), Vec::new());
    let label = forged_epoch(world, room, &room.new.header, label::MSG);
    let header = with(&|h| h.ts = 1 << 53);
    let (mallory, zoe) = (world.mallory.user.clone(), UserName::new("Zoe").unwrap());
    let left_out = |names: &[&UserName]| with(&|h| h.wo = names.iter().copied().cloned().collect());
    let many: Vec<UserName> =
        (0..=LEFT_OUT_MAX).map(|at| UserName::new(&format!("u{at:02}")).unwrap()).collect();
    let many: Vec<&UserName> = many.iter().collect();
    let none_left_out = text.replace(",\"ts\":", ",\"wo\":[],\"ts\":");
    let none_at_the_end = format!("{},\"wo\":[]}}", text.trim_end_matches('}'));
    let none_left_out = [none_left_out, none_at_the_end].map(|text| {
        let frame = world.alice.sign(label::KEY, text.into_bytes(), Vec::new());
        EpochCase { frame, ..right.clone() }
    });
    let [moved_field, empty_field] = none_left_out;
    let bare = {
        let mut header = direct.new.header.clone();
        header.wo = vec![mallory.clone()];
        forged_epoch(world, direct, &header, label::KEY)
    };
    for (name, at, altered, why, case) in [
        (
            "commitment",
            "commitment",
            "kc commits to another key",
            "all who accept share one key",
            lied,
        ),
        (
            "outsider",
            "members",
            "made and signed by somebody not in the list",
            "rule R1",
            other_maker,
        ),
        ("third-party", "members", "a dm epoch lists a third person", "rule R1", third),
        (
            "moved-wrap",
            "unwrap",
            "the wraps of the next epoch",
            "a wrap's label names its KEY",
            moved,
        ),
        (
            "swapped-wraps",
            "unwrap",
            "the two wraps are exchanged",
            "a wrap is for one key",
            swapped,
        ),
        (
            "other-list",
            "members",
            "one device more than was signed",
            "mh covers the list",
            EpochCase { members: longer_text, ..right.clone() },
        ),
        (
            "unsorted-list",
            "members",
            "the lines in reverse order",
            "a list has one spelling",
            EpochCase { members: reversed.concat(), ..right.clone() },
        ),
        (
            "by-another",
            "signature",
            "signed by bob in alice's name",
            "the header names its signer",
            EpochCase { frame: by_bob, ..right.clone() },
        ),
        (
            "label",
            "signature",
            "signed under the label of messages",
            "labels keep the kinds apart",
            label,
        ),
        (
            "body",
            "body",
            "a body of one byte, then signed",
            "the body of a KEY is empty",
            EpochCase { frame: with_body, ..right.clone() },
        ),
        (
            "no-generation",
            "header",
            "without g and pe, then signed",
            "rule R3",
            EpochCase { frame: old_form, ..right.clone() },
        ),
        ("time", "header", "ts is 2^53", "JavaScript reads integers to 2^53 - 1", header),
        (
            "left-out-order",
            "header",
            "those who are left out are not sorted",
            "a list has one spelling",
            left_out(&[&mallory, &zoe]),
        ),
        (
            "left-out-twice",
            "header",
            "somebody is left out twice",
            "a list has one spelling",
            left_out(&[&mallory, &mallory]),
        ),
        (
            "left-out-maker",
            "header",
            "the maker leaves herself out",
            "the maker reads what she says",
            left_out(&[&world.alice.user]),
        ),
        (
            "left-out-many",
            "header",
            "65 people are left out",
            "a header has a bound",
            left_out(&many),
        ),
        (
            "left-out-none",
            "header",
            "an empty list of those who are left out",
            "nobody has one spelling",
            empty_field,
        ),
        (
            "left-out-place",
            "header",
            "the same in front of ts",
            "fields have one order",
            moved_field,
        ),
        (
            "left-out-direct",
            "header",
            "a dm epoch leaves somebody out",
            "it is for both, rule R1",
            bare,
        ),
        (
            "left-out-listed",
            "members",
            "bob is left out and has a line",
            "one of the two is not true",
            left_out(&[&world.bob.user]),
        ),
    ] {
        world.refuse(&format!("epoch/{name}"), [at, altered, why], Case::Epoch(case));
    }
}

/// A bundle by this device that its hub does not know yet.
pub(crate) fn second_bundle(device: &Device) -> Bundle {
    let dev = device.bundle.header().dev;
    let previous = Some(&device.bundle);
    device.keys.publish(&device.user, dev, previous, NOW + 1, BundleOptions::default()).unwrap()
}
