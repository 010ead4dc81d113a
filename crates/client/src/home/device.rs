//! The device's own keys and the newest bundle that publishes them.

use std::sync::Arc;

use chat_protocol::b64::B64Vec;
use chat_protocol::crypto::{KeyBits, SigningKey, UnwrapKey, random};
use chat_protocol::id::{KeyId, Nonce16};
use chat_protocol::keys::{Bundle, BundleError, BundleOptions, DeviceKeys, FormerKey, KeySizes};
use chat_protocol::name::UserName;
use serde::{Deserialize, Serialize};

use super::{HomeError, Vault};

/// A bundle is published again when one of its keys expires within this time: a day, so that a
/// device that signs in daily is never without a valid key.
const RENEW_BEFORE_MS: u64 = 24 * 3600 * 1000;

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
        Ok(Self { dev, keys: Arc::new(keys), bundle, published: false })
    }

    /// The next bundle of this device. An encryption key that expires soon is replaced, which takes
    /// a while; the others stay.
    pub fn republished(
        &self,
        user: &UserName,
        rb: Option<Nonce16>,
        now_ms: u64,
    ) -> Result<Self, BundleError> {
        let soon = now_ms.saturating_add(RENEW_BEFORE_MS);
        let expires = self.bundle.header().ek.iter().any(|key| key.exp <= soon);
        let keys = if expires {
            Arc::new(self.keys.with_new_encryption_key(now_ms)?)
        } else {
            Arc::clone(&self.keys)
        };
        self.next(user, keys, rb, now_ms)
    }

    /// The same device with a new signing key (rule R7). Takes a while.
    pub fn with_new_signing_key(&self, user: &UserName, now_ms: u64) -> Result<Self, HomeError> {
        let keys = self.keys.with_signing_key(SigningKey::generate(KeySizes::PEOPLE.signing)?)?;
        let rb = self.bundle.header().rb;
        Ok(self.next(user, Arc::new(keys), rb, now_ms)?)
    }

    fn next(
        &self,
        user: &UserName,
        keys: Arc<DeviceKeys>,
        rb: Option<Nonce16>,
        now_ms: u64,
    ) -> Result<Self, BundleError> {
        let options = BundleOptions { rb, ..BundleOptions::default() };
        let bundle = keys.publish(user, self.dev, Some(&self.bundle), now_ms, options)?;
        Ok(Self { dev: self.dev, keys, bundle: Arc::new(bundle), published: false })
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

    pub(super) fn to_row(&self) -> Result<Vec<u8>, HomeError> {
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
        };
        Ok(serde_json::to_vec(&row)?)
    }

    pub(super) fn from_row(row: &[u8], vault: &Vault) -> Result<Self, HomeError> {
        let Row { dev, sk, ek, former, bundle, published } = serde_json::from_slice(row)?;
        let former = former.into_iter().map(|(key, retired_ms)| {
            Ok(FormerKey { key: UnwrapKey::from_pkcs8(&key.0)?, retired_ms })
        });
        let keys = DeviceKeys {
            identity: vault.identity()?,
            signing: SigningKey::from_pkcs8(&sk.0)?,
            encryption: UnwrapKey::from_pkcs8(&ek.0)?,
            former: former.collect::<Result<_, HomeError>>()?,
        };
        let bundle = Arc::new(Bundle::verify(bundle.0.into())?);
        Ok(Self { dev, keys: Arc::new(keys), bundle, published })
    }
}

/// The sizes for `--key-bits`: signing keys stay small, because they sign every message.
pub fn key_sizes(bits: u32) -> Result<KeySizes, chat_protocol::crypto::KeyError> {
    Ok(KeySizes { long: KeyBits::from_bits(bits)?, signing: KeySizes::PEOPLE.signing })
}
