//! Which devices of an account count, and the digest by which hub and device compare what they hold
//! of it (rules R12, R37). Both compute it here.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Bundle;
use crate::crypto::sha256_parts;
use crate::id::{Digest, KeyId, from_text};

/// What of a device's newest bundle decides whether the device counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMark {
    /// Its newest signing key.
    pub sk: KeyId,
    /// From when on nobody wraps for it any more, Unix time in milliseconds.
    pub wrapped_until_ms: u64,
    /// SHA-256 of the bundle's bytes as in a frame.
    pub bundle: Digest,
}

impl DeviceMark {
    /// Of the newest bundle of a device. A bundle has a signing key, or it is none.
    pub fn of(bundle: &Bundle) -> Option<Self> {
        let (sk, bundle_digest) = (bundle.header().sk.first()?.kid, bundle.bytes_digest());
        Some(Self { sk, wrapped_until_ms: bundle.wrapped_until_ms(), bundle: bundle_digest })
    }

    /// Whether the device is live: its newest encryption key has not been expired for 90 days, and
    /// no bundle of the account revokes its signing key.
    pub fn is_live(&self, now_ms: u64, is_revoked: impl Fn(&KeyId) -> bool) -> bool {
        now_ms < self.wrapped_until_ms && !is_revoked(&self.sk)
    }
}

/// What somebody holds of a person's bundles: on the wire the empty string for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held(pub Option<Digest>);

impl Held {
    /// SHA-256 over the digests, sorted bytewise, of the newest bundle of each live device.
    pub fn of_live(
        now_ms: u64,
        devices: impl IntoIterator<Item = DeviceMark>,
        is_revoked: impl Fn(&KeyId) -> bool,
    ) -> Self {
        let live = devices.into_iter().filter(|device| device.is_live(now_ms, &is_revoked));
        let mut digests: Vec<Digest> = live.map(|device| device.bundle).collect();
        digests.sort_unstable();
        let parts: Vec<&[u8]> = digests.iter().map(|digest| &digest.as_bytes()[..]).collect();
        Self(Some(Digest(sha256_parts(&parts))))
    }
}

impl Serialize for Held {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(digest) => digest.serialize(serializer),
            None => serializer.serialize_str(""),
        }
    }
}

impl<'de> Deserialize<'de> for Held {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, |text| match text {
            "" => Ok(Self(None)),
            digest => Digest::parse(digest).map(|digest| Self(Some(digest))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Nonce16;
    use crate::keys::{BundleOptions, DeviceKeys, KeySizes};
    use crate::name::UserName;

    fn mark(byte: u8, wrapped_until_ms: u64) -> DeviceMark {
        DeviceMark { sk: KeyId([byte; 16]), wrapped_until_ms, bundle: Digest([byte; 32]) }
    }

    #[test]
    fn the_digest_is_of_live_devices_in_any_order() {
        let nobody = |_: &KeyId| false;
        let both = Held::of_live(5, [mark(1, 9), mark(2, 9)], nobody);
        assert_eq!(both, Held::of_live(5, [mark(2, 9), mark(1, 9)], nobody));
        let one = Held::of_live(5, [mark(1, 9)], nobody);
        assert_ne!(one, both);
        assert_eq!(one, Held::of_live(5, [mark(1, 9), mark(2, 5)], nobody), "away for too long");
        let second = |sk: &KeyId| *sk == KeyId([2; 16]);
        assert_eq!(one, Held::of_live(5, [mark(1, 9), mark(2, 9)], second), "revoked");
    }

    #[test]
    fn a_bundle_is_named_by_its_bytes_and_nobody_by_nothing() {
        let alice = UserName::new("alice").unwrap();
        let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        let options = BundleOptions::default();
        let bundle = keys.publish(&alice, Nonce16([1; 16]), None, 5, options).unwrap();
        let mark = DeviceMark::of(&bundle).unwrap();
        assert_eq!(mark.bundle.0, crate::crypto::sha256(bundle.bytes()));
        assert_eq!(serde_json::to_string(&Held(None)).unwrap(), "\"\"");
        let held = Held::of_live(5, [mark], |_| false);
        let text = serde_json::to_string(&held).unwrap();
        assert_eq!(serde_json::from_str::<Held>(&text).unwrap(), held);
        assert_eq!(serde_json::from_str::<Held>("\"\"").unwrap(), Held(None));
        assert!(serde_json::from_str::<Held>("\"AA\"").is_err());
        assert!(serde_json::from_str::<Held>("0").is_err());
    }
}
