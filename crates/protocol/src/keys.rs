//! The keys of a device, and the signed bundle that publishes them (6.1, rules R7, R9, R14, R27).
//!
//! Three RSA keys: the identity (IK) signs bundles and nothing else, the signing key (SK) signs
//! frames and sign-ins, the encryption key (EK) receives epoch keys. A hub's bundle has a link key
//! (LK) besides. A bundle travels in the layout of a [frame](crate::frame): its JSON as header, an
//! empty body, signed by the IK.

use std::collections::HashSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::b64;
use crate::crypto::{
    KeyBits, KeyError, SigningKey, UnwrapKey, VerifyingKey, WrapKey, sha256, sha256_parts,
};
use crate::frame::{FrameError, RawFrame, Unsigned, VerifiedBatches, sign_all};
use crate::id::{Digest, KeyId, Nonce16};
use crate::limits::{INTEGER_MAX, VERSION};
use crate::members::MemberLine;
use crate::name::UserName;
use crate::tag::label;

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

/// Why a bundle was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Not a frame.
    #[error("bundle: {0}")]
    Frame(#[from] FrameError),
    /// A field is missing, unknown or of the wrong form.
    #[error("bundle: {0}")]
    Field(String),
    /// A key of it is no acceptable RSA key.
    #[error("bundle: {0}")]
    Key(#[from] KeyError),
    /// The signing key did not agree to belong to this identity.
    #[error("bundle: the signing key's proof of possession is not valid")]
    Possession,
    /// The identity is not the one that is pinned for this name.
    #[error("bundle: signed by another identity than the one known for this name")]
    Identity,
    /// Older than one already accepted, or the same number with other bytes.
    #[error("bundle: number {got} comes after {stored}, or is another bundle of that number")]
    Sequence {
        /// The bundle's number.
        got: u32,
        /// The newest accepted.
        stored: u32,
    },
}

/// A published signing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedSigningKey {
    /// Its id.
    pub kid: KeyId,
    /// SPKI DER.
    #[serde(with = "b64::vec")]
    pub spki: Vec<u8>,
    /// Not before, Unix time in milliseconds.
    pub nbf: u64,
    /// Expires, Unix time in milliseconds.
    pub exp: u64,
    /// The key's signature over the identity and the name.
    #[serde(with = "b64::vec")]
    pub pop: Vec<u8>,
}

/// A published key that others wrap for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedWrapKey {
    /// Its id.
    pub kid: KeyId,
    /// SPKI DER.
    #[serde(with = "b64::vec")]
    pub spki: Vec<u8>,
    /// Not before, Unix time in milliseconds.
    pub nbf: u64,
    /// Expires, Unix time in milliseconds.
    pub exp: u64,
}

impl PublishedWrapKey {
    /// Publishes the key of this SPKI from `now_ms` on.
    pub fn new(spki: &[u8], now_ms: u64, lifetime_ms: u64) -> Self {
        let exp = now_ms.saturating_add(lifetime_ms).min(INTEGER_MAX);
        Self { kid: key_id(spki), spki: spki.to_vec(), nbf: now_ms, exp }
    }
}

/// What a bundle says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleHeader {
    /// Version.
    pub v: u8,
    /// Always `BUNDLE`.
    pub t: BundleTag,
    /// Whose.
    pub u: UserName,
    /// Which device of theirs.
    pub dev: Nonce16,
    /// Number of this bundle of the device, from 0.
    pub seq: u32,
    /// SHA-256 of the bundle before, 32 zero bytes for the first.
    pub prev: Digest,
    /// The identity key's SPKI DER.
    #[serde(with = "b64::vec")]
    pub ik: Vec<u8>,
    /// Signing keys, newest first.
    pub sk: Vec<PublishedSigningKey>,
    /// Encryption keys, newest first.
    pub ek: Vec<PublishedWrapKey>,
    /// Link keys; hubs only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lk: Vec<PublishedWrapKey>,
    /// The restart nonce; agents only (rule R9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rb: Option<Nonce16>,
    /// Revoked keys, cumulative (rule R14).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rev: Vec<KeyId>,
    /// Suites this device speaks.
    pub suites: Vec<u8>,
    /// When it was signed, Unix time in milliseconds.
    pub ts: u64,
}

/// The tag of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BundleTag {
    /// The only one.
    #[serde(rename = "BUNDLE")]
    Bundle,
}

/// A bundle whose signature, proofs and keys were checked.
#[derive(Debug, Clone)]
pub struct Bundle {
    header: BundleHeader,
    digest: Digest,
    identity: KeyId,
    bytes: Bytes,
}

impl Bundle {
    /// Checks everything that a bundle proves by itself. Whether its identity is the expected one
    /// is for [`Bundle::follows`] or the caller's pin.
    pub fn verify(bytes: Bytes) -> Result<Self, BundleError> {
        let frame = RawFrame::decode(bytes)?;
        let header: BundleHeader = serde_json::from_slice(frame.header())
            .map_err(|error| BundleError::Field(error.to_string()))?;
        check_fields(&header, &frame)?;
        let identity = VerifyingKey::from_spki(&header.ik)?;
        let identity_digest = Digest(sha256(&header.ik));
        let mut verified = VerifiedBatches::default();
        frame.verify(label::BUNDLE, &identity, &identity_digest, &mut verified)?;
        let possession = possession_to_be_signed(&header.ik, &header.u);
        for key in &header.sk {
            VerifyingKey::from_spki(&key.spki)?
                .verify(&possession, &key.pop)
                .map_err(|_| BundleError::Possession)?;
        }
        for key in header.ek.iter().chain(&header.lk) {
            WrapKey::from_spki(&key.spki)?;
        }
        let digest = Digest(sha256(frame.header()));
        Ok(Self { identity: key_id(&header.ik), digest, bytes: frame.bytes().clone(), header })
    }

    /// Whether this bundle may replace `stored`, one of the same device (rule R14).
    pub fn follows(&self, stored: &Self) -> Result<(), BundleError> {
        if self.header.ik != stored.header.ik || self.header.u != stored.header.u {
            return Err(BundleError::Identity);
        }
        let (got, stored_seq) = (self.header.seq, stored.header.seq);
        let linked = got != stored_seq.saturating_add(1) || self.header.prev == stored.digest;
        let same = got == stored_seq && self.digest == stored.digest;
        let newer = got > stored_seq && linked && self.header.dev == stored.header.dev;
        if same || newer {
            return Ok(());
        }
        Err(BundleError::Sequence { got, stored: stored_seq })
    }

    /// What it says.
    pub fn header(&self) -> &BundleHeader {
        &self.header
    }

    /// The id of the identity key.
    pub fn identity(&self) -> KeyId {
        self.identity
    }

    /// SHA-256 of the bundle's JSON: what the next one names as `prev`.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The bundle as it travels.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The signing key with this id, if it is not revoked.
    pub fn signing_key(&self, kid: &KeyId) -> Option<&PublishedSigningKey> {
        self.header.sk.iter().find(|key| key.kid == *kid && !self.header.rev.contains(kid))
    }

    /// The device's line in a member list: its newest signing key and newest encryption key.
    pub fn member_line(&self) -> Option<MemberLine> {
        let (sk, ek) = (self.header.sk.first()?, self.header.ek.first()?);
        Some(MemberLine { name: self.header.u.clone(), sk: sk.kid, ek: ek.kid })
    }

    /// From when on nobody wraps for the device any more, Unix time in milliseconds (rule R12).
    pub fn wrapped_until_ms(&self) -> u64 {
        self.header.ek.first().map_or(0, |key| key.exp.saturating_add(EXPIRED_KEY_MS))
    }
}

fn check_fields(header: &BundleHeader, frame: &RawFrame) -> Result<(), BundleError> {
    let field = |reason: &str| Err(BundleError::Field(reason.to_owned()));
    if header.v != VERSION {
        return field("its version is not 1");
    }
    let canonical = serde_json::to_vec(header).map_err(|e| BundleError::Field(e.to_string()))?;
    if canonical != frame.header() {
        return field("it is not in canonical form");
    }
    if !frame.body().is_empty() {
        return field("its body is not empty");
    }
    if header.sk.is_empty() || header.ek.is_empty() || !header.suites.contains(&1) {
        return field("it needs a signing key, an encryption key and suite 1");
    }
    let mut seen = HashSet::from([header.ik.as_slice()]);
    let signing = header.sk.iter().map(|key| (key.kid, &key.spki, key.nbf.max(key.exp)));
    let wrapping = header.ek.iter().chain(&header.lk);
    let wrapping = wrapping.map(|key| (key.kid, &key.spki, key.nbf.max(key.exp)));
    for (kid, spki, latest) in signing.chain(wrapping) {
        if kid != key_id(spki) {
            return field("a key's id is not the one of its bytes");
        }
        if !seen.insert(spki) {
            return field("two of its keys are the same");
        }
        if latest > INTEGER_MAX {
            return field("a time of a key is above 2^53 - 1");
        }
    }
    if header.ts > INTEGER_MAX {
        return field("its time is above 2^53 - 1");
    }
    Ok(())
}

/// What a signing key signs to agree to belong to this identity (`pop` in 6.1).
fn possession_to_be_signed(identity_spki: &[u8], user: &UserName) -> Vec<u8> {
    let mut bytes = label::POP.as_bytes().to_vec();
    bytes.push(0);
    bytes.extend_from_slice(&sha256(identity_spki));
    bytes.extend_from_slice(&sha256_parts(&[user.as_str().as_bytes()]));
    bytes
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
            seq: previous.map_or(0, |bundle| bundle.header.seq.saturating_add(1)),
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
