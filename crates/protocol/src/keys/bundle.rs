//! The signed bundle that publishes a device's keys, as others read and check it (section 7, rule R14).

use std::collections::HashSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{EXPIRED_KEY_MS, key_id};
use crate::b64;
use crate::crypto::{KeyError, VerifyingKey, WrapKey, sha256, sha256_parts};
use crate::frame::{FrameError, RawFrame, VerifiedBatches};
use crate::id::{Digest, KeyId, Nonce16};
use crate::limits::{INTEGER_MAX, VERSION};
use crate::members::MemberLine;
use crate::name::UserName;
use crate::tag::label;

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
    /// The version of the format.
    pub v: u8,
    /// Always `BUNDLE`.
    pub t: BundleTag,
    /// The owner of the device.
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

impl BundleHeader {
    /// What bytes say that may be a bundle, before anything of it is verified: whose it is decides
    /// whether verifying it is worth the time.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        let frame = RawFrame::decode(Bytes::copy_from_slice(bytes)).ok()?;
        serde_json::from_slice(frame.header()).ok()
    }
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
    bytes_digest: Digest,
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
        let (bytes, bytes_digest) = (frame.bytes().clone(), Digest(sha256(frame.bytes())));
        Ok(Self { identity: key_id(&header.ik), digest, bytes, bytes_digest, header })
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

    /// SHA-256 of the bundle as it travels: what names it where bundles are compared (rule R37).
    pub fn bytes_digest(&self) -> Digest {
        self.bytes_digest
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
    if header.sk.first().is_some_and(|newest| header.rev.contains(&newest.kid)) {
        return field("it revokes the signing key that it publishes");
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

/// What a signing key signs to agree to belong to this identity (`pop` in section 7).
pub(super) fn possession_to_be_signed(identity_spki: &[u8], user: &UserName) -> Vec<u8> {
    let mut bytes = label::POP.as_bytes().to_vec();
    bytes.push(0);
    bytes.extend_from_slice(&sha256(identity_spki));
    bytes.extend_from_slice(&sha256_parts(&[user.as_str().as_bytes()]));
    bytes
}
