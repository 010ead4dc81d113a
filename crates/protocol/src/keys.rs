//! The keys of a device, and the signed bundle that publishes them (section 7, rules R7, R9,
//! R14, R27).
//!
//! Three RSA keys: the identity (IK) signs bundles and nothing else, the signing key (SK) signs
//! frames and sign-ins, the encryption key (EK) receives epoch keys. A hub's bundle has a link key
//! (LK) besides. A bundle travels in the layout of a [frame](crate::frame): its JSON as header, an
//! empty body, signed by the IK.

mod bundle;
mod live;

use crate::crypto::{KeyBits, KeyError, SigningKey, UnwrapKey, VerifyingKey, sha256};
use crate::frame::{Unsigned, sign_all};
use crate::id::{Digest, KeyId, Nonce16};
use crate::limits::{INTEGER_MAX, VERSION};
use crate::name::UserName;
use crate::tag::label;

use bundle::possession_to_be_signed;
pub use bundle::{
    Bundle, BundleError, BundleHeader, BundleTag, PublishedSigningKey, PublishedWrapKey,
};
pub use live::{DeviceMark, Held};

/// A signing key is good for 90 days.
pub const SIGNING_KEY_MS: u64 = 90 * 24 * 3600 * 1000;

/// An encryption key is good for 7 days; senders use an expired one for up to 90 (rule R12).
pub const ENCRYPTION_KEY_MS: u64 = 7 * 24 * 3600 * 1000;

/// How long senders go on to use an encryption key that has expired (rule R12). A device that was
/// away for longer is wrapped for again when it has published a new one.
pub const EXPIRED_KEY_MS: u64 = 90 * 24 * 3600 * 1000;

/// A replaced encryption key is erased 14 days after its successor came (rule R12): what is still
/// undelivered then cannot be opened any more, and neither can it by a thief.
pub const FORMER_KEY_MS: u64 = 14 * 24 * 3600 * 1000;

/// The id of a public key.
pub fn key_id(spki: &[u8]) -> KeyId {
    let digest = sha256(spki);
    KeyId(*digest.first_chunk().expect("a digest has 32 bytes"))
}

/// The sizes of the keys that a device makes.
#[derive(Debug, Clone, Copy)]
pub struct KeySizes {
    /// Identity and encryption key.
    pub long: KeyBits,
    /// Signing key.
    pub signing: KeyBits,
}

impl KeySizes {
    /// What people get: identity and encryption 3072, signing 2048.
    pub const PEOPLE: Self = Self { long: KeyBits::B3072, signing: KeyBits::B2048 };

    /// What emulated clients get: 2048 throughout.
    pub const EMULATED: Self = Self { long: KeyBits::B2048, signing: KeyBits::B2048 };
}

/// The private keys of one device and the newest bundle that publishes them.
#[derive(Debug)]
pub struct DeviceKeys {
    /// Identity: signs bundles only.
    pub identity: SigningKey,
    /// Signs frames and sign-ins.
    pub signing: SigningKey,
    /// Opens wrapped epoch keys.
    pub encryption: UnwrapKey,
    /// Encryption keys that were replaced; they open what was wrapped for them before.
    pub former: Vec<FormerKey>,
}

/// An encryption key that was replaced.
#[derive(Debug)]
pub struct FormerKey {
    /// The key.
    pub key: UnwrapKey,
    /// When its successor came, Unix time in milliseconds.
    pub retired_ms: u64,
}

/// What changes from one bundle of a device to the next.
#[derive(Debug, Clone, Default)]
pub struct BundleOptions {
    /// Restart nonce, for agents.
    pub rb: Option<Nonce16>,
    /// Link keys, for hubs.
    pub lk: Vec<PublishedWrapKey>,
    /// Keys to revoke.
    pub rev: Vec<KeyId>,
    /// The lowest number of the bundle.
    pub seq_min: u32,
}

impl DeviceKeys {
    /// Makes three new keys; up to a second for the larger sizes.
    pub fn generate(sizes: KeySizes) -> Result<Self, KeyError> {
        Ok(Self {
            identity: SigningKey::generate(sizes.long)?,
            signing: SigningKey::generate(sizes.signing)?,
            encryption: UnwrapKey::generate(sizes.long)?,
            former: Vec::new(),
        })
    }

    /// The same device with a new encryption key of the same size. The old one is kept for
    /// [`FORMER_KEY_MS`]; those that are older are erased, and with them what could still be opened
    /// by stealing them (rule R12).
    pub fn with_new_encryption_key(&self, now_ms: u64) -> Result<Self, KeyError> {
        let size = VerifyingKey::from_spki(self.encryption.spki())?.signature_len() * 8;
        let bits = KeyBits::from_bits(u32::try_from(size).unwrap_or(u32::MAX))?;
        Ok(Self {
            encryption: UnwrapKey::generate(bits)?,
            former: self.kept_former(Some(now_ms), now_ms)?,
            identity: SigningKey::from_pkcs8(&self.identity.to_pkcs8())?,
            signing: SigningKey::from_pkcs8(&self.signing.to_pkcs8())?,
        })
    }

    /// The same device with another signing key.
    pub fn with_signing_key(&self, signing: SigningKey) -> Result<Self, KeyError> {
        Ok(Self {
            identity: SigningKey::from_pkcs8(&self.identity.to_pkcs8())?,
            encryption: UnwrapKey::from_pkcs8(&self.encryption.to_pkcs8())?,
            former: self.kept_former(None, 0)?,
            signing,
        })
    }

    /// Copies of the former keys that are young enough at `now_ms`, and of the current one if it is
    /// `retired`.
    fn kept_former(&self, retired: Option<u64>, now_ms: u64) -> Result<Vec<FormerKey>, KeyError> {
        let young =
            self.former.iter().filter(|key| now_ms.saturating_sub(key.retired_ms) < FORMER_KEY_MS);
        let former = young.map(|former| (&former.key, former.retired_ms));
        let current = retired.map(|retired_ms| (&self.encryption, retired_ms));
        let copy = |(key, retired_ms): (&UnwrapKey, u64)| {
            Ok(FormerKey { key: UnwrapKey::from_pkcs8(&key.to_pkcs8())?, retired_ms })
        };
        former.chain(current).map(copy).collect()
    }

    /// The encryption key with this id, the current one or a former one.
    pub fn encryption_key(&self, kid: &KeyId) -> Option<&UnwrapKey> {
        let former = self.former.iter().map(|former| &former.key);
        std::iter::once(&self.encryption).chain(former).find(|key| key_id(key.spki()) == *kid)
    }

    /// Publishes the keys as the bundle after `previous`.
    pub fn publish(
        &self,
        user: &UserName,
        dev: Nonce16,
        previous: Option<&Bundle>,
        now_ms: u64,
        options: BundleOptions,
    ) -> Result<Bundle, BundleError> {
        let spki = self.signing.spki();
        let pop = self.signing.sign(&possession_to_be_signed(self.identity.spki(), user));
        let signing = PublishedSigningKey {
            kid: key_id(spki),
            spki: spki.to_vec(),
            nbf: now_ms,
            exp: now_ms.saturating_add(SIGNING_KEY_MS).min(INTEGER_MAX),
            pop,
        };
        let ek = PublishedWrapKey::new(self.encryption.spki(), now_ms, ENCRYPTION_KEY_MS);
        let header = BundleHeader {
            v: VERSION,
            t: BundleTag::Bundle,
            u: user.clone(),
            dev,
            seq: previous.map_or(0, |b| b.header().seq.saturating_add(1)).max(options.seq_min),
            prev: previous.map_or(Digest::ZERO, Bundle::digest),
            ik: self.identity.spki().to_vec(),
            sk: vec![signing],
            ek: vec![ek],
            lk: options.lk,
            rb: options.rb,
            rev: options.rev,
            suites: vec![1],
            ts: now_ms,
        };
        let json = serde_json::to_vec(&header).map_err(|e| BundleError::Field(e.to_string()))?;
        let unsigned = Unsigned::new(label::BUNDLE, json, Vec::new());
        let bytes = sign_all(&self.identity, &[unsigned]).pop().unwrap_or_default();
        Bundle::verify(bytes)
    }

    /// The id of the signing key.
    pub fn signing_id(&self) -> KeyId {
        key_id(self.signing.spki())
    }
}

/// `srv`: the id of a hub, from its identity key (rule R16).
pub fn server_id(identity_spki: &[u8]) -> KeyId {
    key_id(identity_spki)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_proves_itself_and_follows_only_its_own() {
        let alice = UserName::new("alice").unwrap();
        let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        let dev = Nonce16([1; 16]);
        let publish = |keys: &DeviceKeys, previous: Option<&Bundle>| {
            keys.publish(&alice, dev, previous, 5, BundleOptions::default()).unwrap()
        };
        let first = publish(&keys, None);
        let second = publish(&keys, Some(&first));
        assert_eq!(second.follows(&first), Ok(()));
        assert_eq!(first.follows(&first), Ok(()), "the same again");
        assert!(first.follows(&second).is_err(), "older");
        let other = publish(&DeviceKeys::generate(KeySizes::EMULATED).unwrap(), Some(&first));
        assert_eq!(other.follows(&first), Err(BundleError::Identity));
        let other_first = keys.publish(&alice, dev, None, 6, BundleOptions::default()).unwrap();
        assert!(other_first.follows(&first).is_err(), "the same number with other bytes");
    }

    #[test]
    fn a_replaced_encryption_key_opens_for_two_weeks_more() {
        let first = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        let old = key_id(first.encryption.spki());
        let second = first.with_new_encryption_key(1_000).unwrap();
        assert_ne!(key_id(second.encryption.spki()), old);
        assert!(second.encryption_key(&old).is_some());
        assert_eq!(second.signing_id(), first.signing_id());
        let third = second.with_new_encryption_key(1_000 + FORMER_KEY_MS).unwrap();
        assert!(third.encryption_key(&old).is_none(), "erased");
        assert!(third.encryption_key(&key_id(second.encryption.spki())).is_some());
    }

    #[test]
    fn two_equal_keys_in_one_bundle_are_refused() {
        let alice = UserName::new("alice").unwrap();
        let mut keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        keys.signing = SigningKey::from_pkcs8(&keys.identity.to_pkcs8()).unwrap();
        let refused =
            keys.publish(&alice, Nonce16([0; 16]), None, 5, BundleOptions::default()).unwrap_err();
        assert!(matches!(refused, BundleError::Field(_)), "{refused}");
    }
}
