//! The device's own keys and the newest bundle that publishes them.

use std::sync::Arc;

use chat_protocol::b64::B64Vec;
use chat_protocol::crypto::{KeyBits, SigningKey, UnwrapKey, random};
use chat_protocol::id::{KeyId, Nonce16};
use chat_protocol::keys::{Bundle, BundleError, BundleOptions, DeviceKeys, FormerKey, KeySizes};
use chat_protocol::name::UserName;
use serde::{Deserialize, Serialize};

use crate::store::StoreError;
use crate::vault::Vault;

/// A bundle is published again when one of its keys expires within this time: a day, so that a
/// device that signs in daily is never without a valid key.
const RENEW_BEFORE_MS: u64 = 24 * 3600 * 1000;

/// How often within [`FORCED_WINDOW_MS`] counters of the server may ask for a new signing key: an honest
/// restore of a home needs one, and each costs everybody a new epoch.
const FORCED_MAX: usize = 3;

/// A day, in milliseconds.
const FORCED_WINDOW_MS: u64 = 24 * 3600 * 1000;

/// Revoked keys that a bundle repeats at most: with the largest keys, the longest name and all else that
/// a device says they fit in a header.
pub const REVOKED_KEYS_MAX: usize = 48;

/// Which keys of a device are other ones from its next bundle on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyChange {
    /// The signing key, because the server has seen counters that this device has not kept (rule R7).
    Forced,
    /// Signing and encryption key, because their owner wants it.
    Rotated,
    /// None; another device of the account is revoked, by its signing key.
    Revokes(KeyId),
    /// None; the server has refused the last bundle, because it has another one of that number or a newer one.
    Republished,
}

impl KeyChange {
    /// Whether the signing key stays, and with it all that waits for an answer.
    pub fn keeps_signing_key(self) -> bool {
        matches!(self, Self::Revokes(_) | Self::Republished)
    }
}

/// What is known of an account beside the bundle of this device: its next one repeats that, and comes behind it.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The signing keys that the account has revoked, the most important first.
    pub revoked: Vec<KeyId>,
    /// The newest bundle of this very device that the server has shown, where that is newer than the one here: a copy of the
    /// home has gone on, or somebody has the identity key.
    pub newest: Option<Bundle>,
}

/// One device: keys, bundle, and whether the hub has the bundle.
#[derive(Debug, Clone)]
pub struct OwnDevice {
    /// Its own name for itself.
    pub dev: Nonce16,
    /// The private keys.
    pub keys: Arc<DeviceKeys>,
    /// The newest bundle.
    pub bundle: Arc<Bundle>,
    /// Whether the hub is known to have it.
    pub published: bool,
    /// When counters of the server have asked for new signing keys lately, Unix time in milliseconds.
    pub forced: Vec<u64>,
}

/// The row in the home's database.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    dev: Nonce16,
    sk: B64Vec,
    ek: B64Vec,
    /// Replaced encryption keys and when they were.
    #[serde(default)]
    former: Vec<(B64Vec, u64)>,
    bundle: B64Vec,
    published: bool,
    /// When the server has forced new signing keys.
    #[serde(default)]
    forced: Vec<u64>,
}

impl OwnDevice {
    /// A new device with these keys. `rb` is the restart nonce of an agent.
    pub fn first(
        user: &UserName,
        keys: DeviceKeys,
        rb: Option<Nonce16>,
        now_ms: u64,
    ) -> Result<Self, BundleError> {
        let dev = Nonce16(random());
        let options = BundleOptions { rb, ..BundleOptions::default() };
        let bundle = Arc::new(keys.publish(user, dev, None, now_ms, options)?);
        let forced = Vec::new();
        Ok(Self { dev, keys: Arc::new(keys), bundle, published: false, forced })
    }

    /// The next bundle of this device. An encryption key that expires soon is replaced, which takes
    /// a while; the others stay.
    pub fn republished(
        &self,
        user: &UserName,
        (rb, known): (Option<Nonce16>, &Known),
        now_ms: u64,
    ) -> Result<Self, BundleError> {
        let soon = now_ms.saturating_add(RENEW_BEFORE_MS);
        let expires = self.bundle.header().ek.iter().any(|key| key.exp <= soon);
        let keys = if expires {
            Arc::new(self.keys.with_new_encryption_key(now_ms)?)
        } else {
            Arc::clone(&self.keys)
        };
        self.next(user, keys, (rb, None, known), now_ms)
    }

    /// The same device with what changes in its next bundle. Takes a while.
    pub fn renewed(
        &self,
        user: &UserName,
        change: KeyChange,
        known: &Known,
        now_ms: u64,
    ) -> Result<Self, StoreError> {
        let signing = || SigningKey::generate(KeySizes::PEOPLE.signing);
        let (mut now, mut forced) = (None, self.forced.clone());
        let keys = match change {
            KeyChange::Forced => {
                forced.push(now_ms);
                forced.drain(..forced.len().saturating_sub(FORCED_MAX));
                Arc::new(self.keys.with_signing_key(signing()?)?)
            }
            KeyChange::Rotated => {
                let keys = self.keys.with_new_encryption_key(now_ms)?;
                Arc::new(keys.with_signing_key(signing()?)?)
            }
            KeyChange::Revokes(sk) => {
                now = Some(sk);
                Arc::clone(&self.keys)
            }
            KeyChange::Republished => Arc::clone(&self.keys),
        };
        let rb = self.bundle.header().rb;
        Ok(Self { forced, ..self.next(user, keys, (rb, now, known), now_ms)? })
    }

    /// Whether counters of the server may ask for one more signing key now.
    pub fn may_be_forced(&self, now_ms: u64) -> bool {
        let lately = |at: &&u64| now_ms.saturating_sub(**at) < FORCED_WINDOW_MS;
        self.forced.iter().filter(lately).count() < FORCED_MAX
    }

    /// Whether this is to be published in another bundle: the server has not taken this one, and shows one that is newer.
    pub fn is_behind(&self, known: &Known) -> bool {
        !self.published && known.newest.is_some()
    }

    /// What the next bundle revokes, the most important first: a key that is revoked now, what is known of the account, and
    /// what else this device has revoked.
    fn revoking(&self, now: Option<KeyId>, known: &[KeyId]) -> Vec<KeyId> {
        let own = &self.bundle.header().rev;
        let mut rev: Vec<KeyId> = Vec::new();
        for sk in now.iter().chain(known).chain(own) {
            if !rev.contains(sk) {
                rev.push(*sk);
            }
        }
        rev
    }

    fn next(
        &self,
        user: &UserName,
        keys: Arc<DeviceKeys>,
        (rb, now, known): (Option<Nonce16>, Option<KeyId>, &Known),
        now_ms: u64,
    ) -> Result<Self, BundleError> {
        // Every bundle repeats what its account has revoked, but never what it publishes itself. A key that finds no
        // room was revoked by a bundle of before: whoever has seen that counts it for good, and whoever has not learns
        // nothing of it.
        let own = keys.signing_id();
        let rev = self.revoking(now, &known.revoked).into_iter();
        let rev = rev.filter(|sk| *sk != own).take(REVOKED_KEYS_MAX).collect();
        let seq = self.bundle.header().seq;
        // Another one may have the number of a bundle that the server has not taken: what leaves a number out comes behind
        // both.
        let seq_min = if self.published { 0 } else { seq.saturating_add(2) };
        let options = BundleOptions { rb, rev, seq_min, ..BundleOptions::default() };
        // Behind what the server has: it takes no other.
        let newest = known.newest.as_ref().filter(|newest| newest.header().seq > seq);
        let before = newest.unwrap_or(&self.bundle);
        let bundle = Arc::new(keys.publish(user, self.dev, Some(before), now_ms, options)?);
        Ok(Self { dev: self.dev, keys, bundle, published: false, forced: self.forced.clone() })
    }

    /// Whether the bundle must be published again: it says something else about the agent, or a
    /// key of it expires soon.
    pub fn is_outdated(&self, rb: Option<Nonce16>, now_ms: u64) -> bool {
        let header = self.bundle.header();
        let signing = header.sk.iter().map(|key| key.exp);
        let mut expiries = signing.chain(header.ek.iter().map(|key| key.exp));
        let soon = now_ms.saturating_add(RENEW_BEFORE_MS);
        header.rb != rb || expiries.any(|expires| expires <= soon)
    }

    /// What the state machine needs to know of it.
    pub fn to_endpoint(&self, user: &UserName, server: KeyId) -> chat_endpoint::Device {
        chat_endpoint::Device {
            user: user.clone(),
            dev: self.dev,
            server,
            keys: Arc::clone(&self.keys),
            bundle: Arc::clone(&self.bundle),
        }
    }

    /// The row of a home that holds it.
    pub fn to_row(&self) -> Result<Vec<u8>, StoreError> {
        let former = self.keys.former.iter();
        let former =
            former.map(|former| (B64Vec(former.key.to_pkcs8().to_vec()), former.retired_ms));
        let row = Row {
            dev: self.dev,
            sk: B64Vec(self.keys.signing.to_pkcs8().to_vec()),
            ek: B64Vec(self.keys.encryption.to_pkcs8().to_vec()),
            former: former.collect(),
            bundle: B64Vec(self.bundle.bytes().to_vec()),
            published: self.published,
            forced: self.forced.clone(),
        };
        Ok(serde_json::to_vec(&row)?)
    }

    /// The number of the bundle in such a row.
    pub fn number_in(row: &[u8]) -> Result<u32, StoreError> {
        let Row { bundle, .. } = serde_json::from_slice(row)?;
        Ok(Bundle::verify(bundle.0.into())?.header().seq)
    }

    /// What such a row holds; the identity key is in the vault.
    pub fn from_row(row: &[u8], vault: &Vault) -> Result<Self, StoreError> {
        let Row { dev, sk, ek, former, bundle, published, forced } = serde_json::from_slice(row)?;
        let former = former.into_iter().map(|(key, retired_ms)| {
            Ok(FormerKey { key: UnwrapKey::from_pkcs8(&key.0)?, retired_ms })
        });
        let keys = DeviceKeys {
            identity: vault.identity()?,
            signing: SigningKey::from_pkcs8(&sk.0)?,
            encryption: UnwrapKey::from_pkcs8(&ek.0)?,
            former: former.collect::<Result<_, StoreError>>()?,
        };
        let bundle = Arc::new(Bundle::verify(bundle.0.into())?);
        Ok(Self { dev, keys: Arc::new(keys), bundle, published, forced })
    }
}

/// The sizes for `--key-bits`: signing keys stay small, because they sign every message.
pub fn key_sizes(bits: u32) -> Result<KeySizes, chat_protocol::crypto::KeyError> {
    Ok(KeySizes { long: KeyBits::from_bits(bits)?, signing: KeySizes::PEOPLE.signing })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> (UserName, OwnDevice) {
        let user = UserName::new("alice").unwrap();
        let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        let device = OwnDevice::first(&user, keys, None, 5).unwrap();
        (user, device)
    }

    #[test]
    fn counters_may_force_three_keys_a_day() {
        let (user, mut device) = device();
        for now_ms in 10..13 {
            assert!(device.may_be_forced(now_ms));
            let before = device.keys.signing_id();
            device = device.renewed(&user, KeyChange::Forced, &Known::default(), now_ms).unwrap();
            assert_ne!(device.keys.signing_id(), before);
        }
        let vault = Vault::new(&device.keys.identity);
        let device = OwnDevice::from_row(&device.to_row().unwrap(), &vault).unwrap();
        assert!(!device.may_be_forced(13), "also after a restart");
        assert!(device.may_be_forced(10 + FORCED_WINDOW_MS), "a day after the first");
        let rotated = device.renewed(&user, KeyChange::Rotated, &Known::default(), 13).unwrap();
        assert!(!rotated.may_be_forced(13), "one's own keys change nothing about it");
    }

    #[test]
    fn each_bundle_repeats_what_the_account_has_revoked() {
        let (user, device) = device();
        let (mine, theirs) = (KeyId([1; 16]), KeyId([2; 16]));
        let none = Known::default();
        let revoking = device.renewed(&user, KeyChange::Revokes(mine), &none, 6).unwrap();
        assert_eq!(revoking.bundle.header().rev, [mine]);
        assert_eq!(revoking.keys.signing_id(), device.keys.signing_id());
        let own = revoking.keys.signing_id();
        let known = Known { revoked: vec![theirs, own], newest: None };
        let next = revoking.renewed(&user, KeyChange::Rotated, &known, 7).unwrap();
        assert_eq!(next.bundle.header().rev, [theirs, own, mine]);
        let again = revoking.republished(&user, (None, &known), 8).unwrap();
        assert_eq!(again.bundle.header().rev, [theirs, mine], "never the key that it publishes");
    }

    /// Goal: where the server shows a newer bundle of this device than this home has made, the next one comes behind that one,
    /// so that the server takes it. Before: it had the next number of this home, and was refused. Method: somebody who has the
    /// identity key has gone on to the third one.
    #[test]
    fn the_next_bundle_comes_behind_the_newest_that_the_server_shows() {
        let (user, device) = device();
        let none = Known::default();
        let forged = device.republished(&user, (None, &none), 6).unwrap();
        let forged = forged.republished(&user, (None, &none), 7).unwrap();
        let known = Known { newest: Some((*forged.bundle).clone()), ..Known::default() };
        let change = KeyChange::Revokes(KeyId([1; 16]));
        let next = device.renewed(&user, change, &none, 8).unwrap();
        assert!(next.bundle.follows(&forged.bundle).is_err());
        assert!(next.is_behind(&known) && !next.is_behind(&none));
        let next = device.renewed(&user, change, &known, 8).unwrap();
        assert_eq!(next.bundle.follows(&forged.bundle), Ok(()));
        assert_eq!(next.bundle.header().prev, forged.bundle.digest());
        let other = OwnDevice { published: true, ..next.clone() };
        let other = other.renewed(&user, change, &known, 9).unwrap();
        assert_eq!(other.bundle.follows(&next.bundle), Ok(()), "its own is newer");
        let again = next.renewed(&user, change, &none, 9).unwrap();
        assert_eq!(again.bundle.follows(&next.bundle), Ok(()));
        let one = |now_ms| device.republished(&user, (None, &none), now_ms).unwrap();
        let (mine, theirs) = (one(6), one(7));
        assert!(mine.bundle.follows(&theirs.bundle).is_err(), "both have one number");
        let next = mine.renewed(&user, change, &none, 8).unwrap();
        assert_eq!(next.bundle.follows(&theirs.bundle), Ok(()), "also unseen");
    }

    #[test]
    fn what_is_revoked_fits_a_bundle_of_any_device() {
        let user = UserName::new(&"a".repeat(32)).unwrap();
        let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        let device = OwnDevice::first(&user, keys, Some(Nonce16([1; 16])), now_of_2100()).unwrap();
        let revoked: Vec<KeyId> = (0..100).map(|byte| KeyId([byte; 16])).collect();
        let many = Known { revoked, newest: None };
        let now = KeyId([200; 16]);
        let next = device.renewed(&user, KeyChange::Revokes(now), &many, now_of_2100()).unwrap();
        let header = next.bundle.header();
        assert_eq!((header.rev.len(), header.rev.first()), (REVOKED_KEYS_MAX, Some(&now)));
        // Two keys of 4,096 bits instead of 2,048 are each 256 bytes longer, in base64; `seq` may have
        // nine digits more.
        let longest = serde_json::to_vec(header).unwrap().len() + 2 * 344 + 9;
        assert!(longest <= chat_protocol::limits::HEADER_BYTES_MAX, "{longest}");
    }

    /// Early in the year 2100, Unix time in milliseconds.
    fn now_of_2100() -> u64 {
        4_102_444_800_000
    }
}
