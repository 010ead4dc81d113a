//! Bundles, epochs and membership chains: as they should be, and forged.

use chat_protocol::b64::B64Vec;
use chat_protocol::crypto::{WrapKey, hkdf_extract, sha256};
use chat_protocol::frame::{Unsigned, sign_all};
use chat_protocol::header::{Canonical, KeyHeader, MemberArgument, MemberHeader, MemberOperation};
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::keys::{Bundle, BundleHeader, PublishedWrapKey, key_id};
use chat_protocol::members::MemberList;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::{Tag, label};

use super::format::{
    BundleCase, BundleExpect, Case, EpochCase, MembershipCase, MembershipExpect, PossessionCase,
};
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
    ] {
        world.refuse(&format!("epoch/{name}"), [at, altered, why], Case::Epoch(case));
    }
}

/// One room's chain as it grows.
struct RoomChain {
    cid: ConversationId,
    frames: Vec<B64Vec>,
    head: Digest,
}

impl RoomChain {
    fn header(&self, from: &Device, op: MemberOperation, who: &Device) -> MemberHeader {
        let mg = u32::try_from(self.frames.len()).unwrap();
        MemberHeader {
            v: 1,
            t: Tag::Member,
            cid: self.cid.clone(),
            from: from.user.clone(),
            sk: from.keys.signing_id(),
            op,
            who: who.user.clone(),
            ik: key_id(who.keys.identity.spki()),
            arg: MemberArgument::None,
            mg,
            pm: self.head,
            id: MessageId::new(NOW + u64::from(mg), [7; 10]),
            ts: NOW,
        }
    }

    fn push(&mut self, signer: &Device, header: &MemberHeader) {
        let unsigned = Unsigned::new(label::MEMBER, header.to_bytes(), Vec::new());
        self.head = unsigned.digest();
        self.frames.push(signer.sign(label::MEMBER, header.to_bytes(), Vec::new()));
    }

    fn case(&self, last: Option<B64Vec>) -> Case {
        let links = self.frames.iter().cloned().chain(last).collect();
        Case::Membership(MembershipCase { cid: self.cid.clone(), links, expect: None })
    }

    fn expecting(&self, members: &[(&Device, bool)]) -> Case {
        let members = members.iter().map(|(device, admin)| (device.user.clone(), *admin)).collect();
        let expect = Some(MembershipExpect { head: self.head, members });
        Case::Membership(MembershipCase {
            cid: self.cid.clone(),
            links: self.frames.clone(),
            expect,
        })
    }
}

pub(crate) fn memberships(world: &mut World) {
    use MemberOperation::{Admit, Create, Join, Remove, Role};
    let World { alice, bob, mallory, .. } = &*world;
    let new = |cid: &str| RoomChain {
        cid: ConversationId::parse(cid).unwrap(),
        frames: Vec::new(),
        head: Digest::ZERO,
    };
    let mut lobby = new("room:lobby");
    lobby.push(alice, &lobby.header(alice, Join, alice));
    lobby.push(bob, &lobby.header(bob, Join, bob));
    let mut room = new("room:ops");
    let create = MemberHeader { arg: MemberArgument::Invite, ..room.header(alice, Create, alice) };
    let wrong_create = MemberHeader { arg: MemberArgument::Admin, ..create.clone() };
    let wrong_create =
        room.case(Some(alice.sign(label::MEMBER, wrong_create.to_bytes(), Vec::new())));
    room.push(alice, &create);
    room.push(alice, &room.header(alice, Admit, bob));
    let mut later = new("room:ops");
    later.frames.clone_from(&room.frames);
    later.head = room.head;
    let role = MemberHeader { arg: MemberArgument::Admin, ..later.header(alice, Role, bob) };
    later.push(alice, &role);
    later.push(bob, &later.header(bob, Remove, alice));

    let signed = |signer: &Device, header: &MemberHeader| {
        room.case(Some(signer.sign(label::MEMBER, header.to_bytes(), Vec::new())))
    };
    let admit = room.header(alice, Admit, mallory);
    let with = |edit: &dyn Fn(&mut MemberHeader)| {
        let mut header = admit.clone();
        edit(&mut header);
        signed(alice, &header)
    };
    let label_case = room.case(Some(alice.sign(label::MSG, admit.to_bytes(), Vec::new())));
    let body_case = room.case(Some(alice.sign(label::MEMBER, admit.to_bytes(), b"x".to_vec())));
    let twice = signed(alice, &room.header(alice, Admit, bob));
    let by_member = signed(bob, &room.header(bob, Admit, mallory));
    let self_join = signed(mallory, &room.header(mallory, Join, mallory));
    let as_alice = signed(bob, &admit);
    let (positive, chain, dm) = (
        lobby.expecting(&[(alice, false), (bob, false)]),
        later.expecting(&[(bob, true)]),
        with(&|h| h.cid = ConversationId::parse("room:lobby").unwrap()),
    );
    let cases = [
        ("stale", "chain", "mg and pm of an earlier place", with(&|h| h.mg = 1)),
        ("previous", "chain", "pm names another link", with(&|h| h.pm = Digest([9; 32]))),
        ("twice", "chain", "admits who is a member", twice),
        ("by-member", "chain", "an ordinary member admits", by_member),
        ("self-join", "chain", "joins an invite room unasked", self_join),
        ("room", "chain", "a link of another room", dm),
        ("create-argument", "chain", "create with the argument of role", wrong_create),
        (
            "role-argument",
            "chain",
            "role with the argument of create",
            with(&|h| {
                (h.op, h.who, h.ik) = (Role, bob.user.clone(), key_id(bob.keys.identity.spki()));
                h.arg = MemberArgument::Open;
            }),
        ),
        (
            "admit-argument",
            "chain",
            "admit with an argument",
            with(&|h| h.arg = MemberArgument::Admin),
        ),
        ("identity", "identity", "ik is nobody's identity", with(&|h| h.ik = KeyId([9; 16]))),
        ("by-another", "signature", "signed by bob in alice's name", as_alice),
        ("label", "signature", "signed under the label of messages", label_case),
        ("body", "body", "a body of one byte, then signed", body_case),
        (
            "name",
            "members",
            "signed in the name of nobody",
            with(&|h| h.from = UserName::new("nobody").unwrap()),
        ),
    ];
    world.accept("membership/lobby", positive);
    world.accept("membership/invite", chain);
    for (name, at, altered, case) in cases {
        let why = "members come from the signed chain alone (rule R2)";
        world.refuse(&format!("membership/{name}"), [at, altered, why], case);
    }
}

/// A bundle by this device that its hub does not know yet.
pub(crate) fn second_bundle(device: &Device) -> Bundle {
    let dev = device.bundle.header().dev;
    let previous = Some(&device.bundle);
    device.keys.publish(&device.user, dev, previous, NOW + 1, Default::default()).unwrap()
}
