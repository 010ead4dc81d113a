//! Keys are slow to make: a process makes a few, and every world uses them.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use chat_endpoint::{BundleCache, Device};
use chat_protocol::{
    b64::B64Vec,
    crypto::{SigningKey, UnwrapKey},
    id::{KeyId, Nonce16},
    keys::{Bundle, BundleOptions, DeviceKeys, FormerKey, KeySizes},
    name::UserName,
};
use chat_server::identity::Identity;
use serde::{Deserialize, Serialize};

use crate::{
    facts::{Seat, person},
    world::START_MS,
};

/// Who lives in a world. The last one comes later than the others.
pub(crate) const NAMES: [&str; 4] = ["alice", "bob", "machine", "carol"];

/// The devices of a world: the first of everybody, then those that people get in the middle of a run.
pub(crate) const SEATS: [&str; 8] =
    ["alice", "bob", "machine", "carol", "alice-2", "bob-2", "carol-2", "alice-3"];

/// Runs commands for the others.
pub(crate) const MACHINE: &str = "machine";

/// A device, or the hub, with one encryption key.
type Keys = (Arc<DeviceKeys>, Arc<Bundle>);

/// The hub's keys, then those of each device: before and after it has changed its encryption key. Where
/// `CHAT_SIM_KEYS` names a file, the first process makes it and the others read it: what two builds do in the same
/// worlds can be compared.
static ALL: LazyLock<Vec<Keys>> = LazyLock::new(|| {
    let Some(file) = std::env::var_os("CHAT_SIM_KEYS") else { return make() };
    if let Ok(text) = std::fs::read(&file) {
        let saved: Vec<Saved> = serde_json::from_slice(&text).unwrap();
        return saved.iter().map(Saved::keys).collect();
    }
    let all = make();
    let saved: Vec<Saved> = all.iter().map(Saved::of).collect();
    std::fs::write(&file, serde_json::to_vec(&saved).unwrap()).unwrap();
    all
});

fn make() -> Vec<Keys> {
    let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
    let options = BundleOptions::default();
    let bundle =
        keys.publish(&UserName::server(), Nonce16([9; 16]), None, START_MS, options).unwrap();
    let mut all: Vec<Keys> = vec![(Arc::new(keys), Arc::new(bundle))];
    for (number, seat) in (0u8..).zip(SEATS) {
        let user = UserName::new(person(seat)).unwrap();
        let rb = (seat == MACHINE).then_some(Nonce16([5; 16]));
        let options = || BundleOptions { rb, ..BundleOptions::default() };
        let dev = Nonce16([number; 16]);
        let owner = NAMES.iter().position(|name| *name == user.as_str()).unwrap();
        let identity = all.get(place(owner, 0)).map(|(first, _)| first.identity.to_pkcs8());
        let sizes = KeySizes::EMULATED;
        let first = DeviceKeys {
            identity: match identity {
                Some(key) => SigningKey::from_pkcs8(&key).unwrap(),
                None => SigningKey::generate(sizes.long).unwrap(),
            },
            signing: SigningKey::generate(sizes.signing).unwrap(),
            encryption: UnwrapKey::generate(sizes.long).unwrap(),
            former: Vec::new(),
        };
        let bundle = first.publish(&user, dev, None, START_MS, options()).unwrap();
        let second = first.with_new_encryption_key(START_MS).unwrap();
        let next = second.publish(&user, dev, Some(&bundle), START_MS, options()).unwrap();
        all.extend([(first, bundle), (second, next)].map(|(k, b)| (Arc::new(k), Arc::new(b))));
    }
    all
}

/// Where the keys of a device stand.
fn place(index: usize, generation: usize) -> usize {
    1 + 2 * index + generation
}

/// Keys as they stand in a file.
#[derive(Serialize, Deserialize)]
struct Saved {
    identity: B64Vec,
    signing: B64Vec,
    encryption: B64Vec,
    former: Vec<B64Vec>,
    bundle: B64Vec,
}

impl Saved {
    fn of((keys, bundle): &Keys) -> Self {
        let unwrap = |key: &UnwrapKey| B64Vec(key.to_pkcs8().to_vec());
        Self {
            identity: B64Vec(keys.identity.to_pkcs8().to_vec()),
            signing: B64Vec(keys.signing.to_pkcs8().to_vec()),
            encryption: unwrap(&keys.encryption),
            former: keys.former.iter().map(|former| unwrap(&former.key)).collect(),
            bundle: B64Vec(bundle.bytes().to_vec()),
        }
    }

    fn keys(&self) -> Keys {
        let unwrap = |key: &B64Vec| UnwrapKey::from_pkcs8(&key.0).unwrap();
        let former = |key| FormerKey { key: unwrap(key), retired_ms: START_MS };
        let keys = DeviceKeys {
            identity: SigningKey::from_pkcs8(&self.identity.0).unwrap(),
            signing: SigningKey::from_pkcs8(&self.signing.0).unwrap(),
            encryption: unwrap(&self.encryption),
            former: self.former.iter().map(former).collect(),
        };
        let bundle = Bundle::verify(self.bundle.0.clone().into()).unwrap();
        (Arc::new(keys), Arc::new(bundle))
    }
}

static VERIFIED: LazyLock<Arc<BundleCache>> = LazyLock::new(Arc::default);

/// Bundles verified by any device of the process.
pub(crate) fn bundle_cache() -> Arc<BundleCache> {
    Arc::clone(&VERIFIED)
}

/// The hub's bundle, from its greeting.
pub(crate) fn hub_bundle() -> &'static Bundle {
    &ALL[0].1
}

/// The keys of the hub.
pub(crate) fn hub_identity() -> Identity {
    let keys = Arc::clone(&ALL[0].0);
    // Opens sign-ins, of which there are none: any key will do.
    let link = Arc::new(UnwrapKey::from_pkcs8(&keys.encryption.to_pkcs8()).unwrap());
    Identity { keys, link, bundle: hub_bundle().clone() }
}

/// A device with its first (0) or second (1) encryption key.
pub(crate) fn device(index: usize, generation: usize) -> Device {
    let (keys, bundle) = &ALL[place(index, generation)];
    Device {
        user: UserName::new(person(SEATS[index])).unwrap(),
        dev: bundle.header().dev,
        server: hub_bundle().identity(),
        keys: Arc::clone(keys),
        bundle: Arc::clone(bundle),
    }
}

/// The device with a signing key.
pub(crate) fn seat(sk: &KeyId) -> Option<Seat> {
    static SEATS_BY_KEY: LazyLock<HashMap<KeyId, Seat>> = LazyLock::new(|| {
        let by_key = |(index, seat): (usize, &&str)| {
            (ALL[place(index, 0)].0.signing_id(), (*seat).to_owned())
        };
        SEATS.iter().enumerate().map(by_key).collect()
    });
    SEATS_BY_KEY.get(sk).cloned()
}
