//! Keys are slow to make: a process makes a few, and every world uses them.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use chat_endpoint::{BundleCache, Device};
use chat_protocol::{
    crypto::{SigningKey, UnwrapKey},
    id::{KeyId, Nonce16},
    keys::{Bundle, BundleOptions, DeviceKeys, KeySizes},
    name::UserName,
};
use chat_server::identity::Identity;

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

/// One device before and after it has changed its encryption key.
struct Generations([(Arc<DeviceKeys>, Arc<Bundle>); 2]);

static HUB: LazyLock<(Arc<DeviceKeys>, Bundle)> = LazyLock::new(|| {
    let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
    let options = BundleOptions::default();
    let bundle =
        keys.publish(&UserName::server(), Nonce16([9; 16]), None, START_MS, options).unwrap();
    (Arc::new(keys), bundle)
});

static DEVICES: LazyLock<Vec<Generations>> = LazyLock::new(|| {
    let mut devices: Vec<Generations> = Vec::new();
    for (number, seat) in (0u8..).zip(SEATS) {
        let user = UserName::new(person(seat)).unwrap();
        let rb = (seat == MACHINE).then_some(Nonce16([5; 16]));
        let options = || BundleOptions { rb, ..BundleOptions::default() };
        let dev = Nonce16([number; 16]);
        let owner = NAMES.iter().position(|name| *name == user.as_str()).unwrap();
        let identity = devices.get(owner).map(|first| first.0[0].0.identity.to_pkcs8());
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
        let generations = [(Arc::new(first), Arc::new(bundle)), (Arc::new(second), Arc::new(next))];
        devices.push(Generations(generations));
    }
    devices
});

static VERIFIED: LazyLock<Arc<BundleCache>> = LazyLock::new(Arc::default);

/// Bundles verified by any device of the process.
pub(crate) fn bundle_cache() -> Arc<BundleCache> {
    Arc::clone(&VERIFIED)
}

/// The hub's bundle, from its greeting.
pub(crate) fn hub_bundle() -> &'static Bundle {
    &HUB.1
}

/// The keys of the hub.
pub(crate) fn hub_identity() -> Identity {
    let keys = Arc::clone(&HUB.0);
    // Opens sign-ins, of which there are none: any key will do.
    let link = Arc::new(UnwrapKey::from_pkcs8(&keys.encryption.to_pkcs8()).unwrap());
    Identity { keys, link, bundle: HUB.1.clone() }
}

/// A device with its first (0) or second (1) encryption key.
pub(crate) fn device(index: usize, generation: usize) -> Device {
    let (keys, bundle) = &DEVICES[index].0[generation];
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
        let seats = SEATS.iter().zip(DEVICES.iter());
        let by_key = |(seat, device): (&&str, &Generations)| {
            (device.0[0].0.signing_id(), (*seat).to_owned())
        };
        seats.map(by_key).collect()
    });
    SEATS_BY_KEY.get(sk).cloned()
}
