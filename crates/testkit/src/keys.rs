//! Making RSA keys takes longer than a test, so a process makes each set once. They have 2,048 bits.

use std::sync::{Arc, LazyLock, OnceLock};

use chat_protocol::crypto::{SigningKey, UnwrapKey};
use chat_protocol::keys::{DeviceKeys, KeySizes};

/// Sets of keys in a process.
pub const SETS: usize = 8;

static KEYS: LazyLock<[OnceLock<Arc<DeviceKeys>>; SETS]> =
    LazyLock::new(|| [const { OnceLock::new() }; SETS]);

/// The keys with this number, the same each time.
///
/// # Panics
/// When the number is not below [`SETS`].
pub fn keys(index: usize) -> Arc<DeviceKeys> {
    let make = || Arc::new(DeviceKeys::generate(KeySizes::EMULATED).unwrap());
    Arc::clone(KEYS[index].get_or_init(make))
}

/// Another device of the person with the keys `identity`: its identity, everything else of `other`.
///
/// # Panics
/// When a number is not below [`SETS`].
pub fn second_device(identity: usize, other: usize) -> Arc<DeviceKeys> {
    let (identity, other) = (keys(identity), keys(other));
    Arc::new(DeviceKeys {
        identity: SigningKey::from_pkcs8(&identity.identity.to_pkcs8()).unwrap(),
        signing: SigningKey::from_pkcs8(&other.signing.to_pkcs8()).unwrap(),
        encryption: UnwrapKey::from_pkcs8(&other.encryption.to_pkcs8()).unwrap(),
        former: Vec::new(),
    })
}
