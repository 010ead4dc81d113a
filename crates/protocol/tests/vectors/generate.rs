//! Makes the vectors: four parties with fixed keys, three of them people, one the hub.

use std::collections::BTreeMap;

use chat_protocol::b64::{B64Array, B64Vec};
use chat_protocol::crypto::{KeyBits, UnwrapKey, WrapKey};
use chat_protocol::epoch::{self, EpochParameters, NewEpoch};
use chat_protocol::frame::{Unsigned, sign_all};
use chat_protocol::hub::EpochHead;
use chat_protocol::id::{Digest, Nonce16};
use chat_protocol::keys::{Bundle, BundleOptions, DeviceKeys, KeySizes, PublishedWrapKey};
use chat_protocol::members::{MemberLine, MemberList, Place};
use chat_protocol::name::{ConversationId, UserName};
use zeroize::Zeroizing;

use super::format::{Case, EpochCase, EpochExpect, Refusal, Vector, VectorFile};
use super::{generate_keys, generate_link, generate_members, generate_message, generate_offers};

/// The time at which everything in the vectors happens.
pub(crate) const NOW: u64 = 1_790_000_000_000;

const ABOUT: &str = "Vectors of chat-e2e/1. `kind` says what a vector is. One with `refused` must be \
    refused by the check named in `at` and by none before it; every other one must be accepted and \
    give what `expect` says. Bytes are base64url without padding. The keys guard nothing.";

pub(crate) struct Device {
    pub(crate) user: UserName,
    pub(crate) keys: DeviceKeys,
    pub(crate) bundle: Bundle,
}

impl Device {
    pub(crate) fn line(&self) -> MemberLine {
        self.bundle.member_line().unwrap()
    }

    /// One frame, signed alone.
    pub(crate) fn sign(&self, label: &str, header: Vec<u8>, body: Vec<u8>) -> B64Vec {
        let unsigned = Unsigned::new(label, header, body);
        B64Vec(sign_all(&self.keys.signing, &[unsigned]).remove(0).to_vec())
    }
}

pub(crate) struct Epoch {
    pub(crate) name: &'static str,
    pub(crate) members: MemberList,
    pub(crate) new: NewEpoch,
    pub(crate) case: EpochCase,
}

impl Epoch {
    pub(crate) fn chain(&self, device: &Device) -> [u8; 32] {
        let line = self.members.position(&device.user, &device.keys.signing_id()).unwrap();
        *self.new.chains.get(line).unwrap()
    }
}

pub(crate) struct World {
    pub(crate) alice: Device,
    pub(crate) bob: Device,
    /// Has an account and is in no conversation.
    pub(crate) mallory: Device,
    pub(crate) hub: Device,
    pub(crate) link: UnwrapKey,
    vectors: Vec<Vector>,
}

impl World {
    fn new(keys: &BTreeMap<String, B64Vec>) -> Self {
        let link = UnwrapKey::from_pkcs8(&keys.get("hub.lk").unwrap().0).unwrap();
        let lk = vec![PublishedWrapKey::new(link.spki(), NOW, 24 * 3600 * 1000)];
        let person = |name: &str, dev| device(keys, name, dev, BundleOptions::default());
        let agent = BundleOptions { rb: Some(Nonce16([0xb0; 16])), ..BundleOptions::default() };
        Self {
            alice: person("alice", 1),
            bob: device(keys, "bob", 2, agent),
            mallory: person("mallory", 3),
            hub: device(keys, "hub", 4, BundleOptions { lk, ..BundleOptions::default() }),
            link,
            vectors: Vec::new(),
        }
    }

    pub(crate) fn accept(&mut self, name: &str, case: Case) {
        self.vectors.push(Vector { name: name.to_owned(), refused: None, case });
    }

    /// `refusal` is the check that refuses, what was altered, and why it matters.
    pub(crate) fn refuse(&mut self, name: &str, refusal: [&str; 3], case: Case) {
        let [at, altered, why] = refusal.map(str::to_owned);
        let refused = Some(Refusal { at, altered, why });
        self.vectors.push(Vector { name: name.to_owned(), refused, case });
    }

    /// An epoch by alice for herself and bob.
    pub(crate) fn epoch(
        &self,
        name: &'static str,
        cid: &str,
        previous: Option<EpochHead>,
        seed: u8,
    ) -> Epoch {
        self.epoch_without(name, cid, previous, (seed, Vec::new()))
    }

    /// The same, with members whom alice leaves out.
    fn epoch_without(
        &self,
        name: &'static str,
        cid: &str,
        previous: Option<EpochHead>,
        (seed, left_out): (u8, Vec<UserName>),
    ) -> Epoch {
        let members = MemberList::new([self.alice.line(), self.bob.line()]);
        let wrap = |device: &Device| WrapKey::from_spki(device.keys.encryption.spki()).unwrap();
        let parameters = EpochParameters {
            cid: ConversationId::parse(cid).unwrap(),
            from: self.alice.user.clone(),
            sk: self.alice.keys.signing_id(),
            previous,
            place: place(cid),
            left_out,
            ts: NOW,
        };
        let key = Zeroizing::new([seed; 32]);
        let eid = Nonce16([seed + 1; 16]);
        let wraps = [wrap(&self.alice), wrap(&self.bob)];
        let new = epoch::create(parameters, &members, &wraps, &key, eid).unwrap();
        let frame = sign_all(&self.alice.keys.signing, std::slice::from_ref(&new.frame)).remove(0);
        let expect = EpochExpect {
            e: new.head.e,
            key: B64Array(*key),
            chains: new.chains.iter().map(|chain| B64Array(*chain)).collect(),
        };
        let case = EpochCase {
            frame: B64Vec(frame.to_vec()),
            members: String::from_utf8(members.as_bytes().to_vec()).unwrap(),
            wraps: new.wraps.iter().cloned().map(B64Vec).collect(),
            openers: vec!["alice.ek".to_owned(), "bob.ek".to_owned()],
            expect: Some(expect),
        };
        Epoch { name, members, new, case }
    }
}

/// Of a room the second link, which is made up; of a direct conversation none.
fn place(cid: &str) -> Place {
    if cid.starts_with("dm:") { Place::START } else { Place { mg: 2, pm: Digest([0x77; 32]) } }
}

fn device(keys: &BTreeMap<String, B64Vec>, name: &str, dev: u8, options: BundleOptions) -> Device {
    let key = |role: &str| &keys.get(&format!("{name}.{role}")).expect(name).0;
    let keys = DeviceKeys {
        identity: chat_protocol::crypto::SigningKey::from_pkcs8(key("ik")).unwrap(),
        signing: chat_protocol::crypto::SigningKey::from_pkcs8(key("sk")).unwrap(),
        encryption: UnwrapKey::from_pkcs8(key("ek")).unwrap(),
        former: Vec::new(),
    };
    let user = if name == "hub" { UserName::server() } else { UserName::new(name).unwrap() };
    let bundle = keys.publish(&user, Nonce16([dev; 16]), None, NOW, options).unwrap();
    Device { user, keys, bundle }
}

/// Keys for a file that has none yet.
pub(crate) fn new_keys() -> BTreeMap<String, B64Vec> {
    let mut keys = BTreeMap::new();
    for name in ["alice", "bob", "mallory", "hub"] {
        let device = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        let mut put = |role: &str, key: &[u8]| {
            keys.insert(format!("{name}.{role}"), B64Vec(key.to_vec()));
        };
        put("ik", &device.identity.to_pkcs8());
        put("sk", &device.signing.to_pkcs8());
        put("ek", &device.encryption.to_pkcs8());
    }
    let link = UnwrapKey::generate(KeyBits::B2048).unwrap();
    keys.insert("hub.lk".to_owned(), B64Vec(link.to_pkcs8().to_vec()));
    keys
}

/// All vectors, made with these keys.
pub(crate) fn file(keys: BTreeMap<String, B64Vec>) -> VectorFile {
    let mut world = World::new(&keys);
    let room = world.epoch("epoch/room-0", "room:lobby", None, 0x10);
    let next = world.epoch("epoch/room-1", "room:lobby", Some(room.new.head), 0x20);
    let direct = world.epoch("epoch/dm-0", "dm:alice:bob", None, 0x30);
    let all = world.epoch("epoch/all-0", "room:ALL", None, 0x40);
    let left_out = vec![UserName::new("Zoe").unwrap(), world.mallory.user.clone()];
    let without = world.epoch_without("epoch/left-out", "room:lobby", None, (0x50, left_out));
    generate_keys::bundles(&mut world);
    for epoch in [&room, &next, &direct, &all, &without] {
        world.accept(epoch.name, Case::Epoch(epoch.case.clone()));
    }
    generate_keys::epochs(&mut world, &room, &next, &direct);
    generate_members::memberships(&mut world);
    generate_message::messages(&mut world, &room, &next, &direct, &all);
    generate_link::sign_ins(&mut world);
    generate_link::passwords(&mut world);
    generate_offers::offers(&mut world);
    VectorFile { about: ABOUT.to_owned(), keys, vectors: world.vectors }
}
