//! The portable backend: Rust only, no C compiler. Several times slower than the default one, and
//! its RSA has had timing leaks (RUSTSEC-2023-0071): here its private operations are blinded, and
//! only OAEP and PSS are used. It is the independent check of the default backend.
//!
//! Its calls return a `Result` even where only a broken random generator can make them fail. Those
//! places say `expect` with the precondition that this file ensures.

use std::num::NonZeroU32;
use std::sync::Arc;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use rand::TryRng as _;
use rand::rngs::SysRng;
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use rsa::rand_core::UnwrapErr;
use rsa::{Oaep, Pss, RsaPrivateKey, RsaPublicKey};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::keys::{
    Private, PrivateKey, Public, PublicKey, Sign, Signing, Unwrap, Verify, Wrap, Wrapping,
};
use super::{BadSignature, GCM_TAG_LEN, KeyBits, KeyError, OpenFailed, UnwrapFailed};

/// Length of the PSS salt in bytes: that of the hash, as RFC 8017 recommends.
const SALT_LEN: usize = 32;

/// A private key that signs with RSA-PSS.
pub type SigningKey = PrivateKey<RsaPrivateKey, Signing>;

/// A public key that checks RSA-PSS signatures. Parsed once; clones share it.
pub type VerifyingKey = PublicKey<Arc<RsaPublicKey>, Signing>;

/// A private key that unwraps what was wrapped for it with RSA-OAEP.
pub type UnwrapKey = PrivateKey<RsaPrivateKey, Wrapping>;

/// A public key that keys are wrapped for with RSA-OAEP.
pub type WrapKey = PublicKey<Arc<RsaPublicKey>, Wrapping>;

impl Private for RsaPrivateKey {
    fn generate(bits: KeyBits) -> Result<Self, KeyError> {
        let bits = usize::try_from(bits.bits()).map_err(|_too_large| KeyError::Generation)?;
        Self::new(&mut UnwrapErr(SysRng), bits).map_err(|_failed| KeyError::Generation)
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Self::from_pkcs8_der(der).map_err(|_refused| KeyError::Inconsistent)
    }

    fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let der = self.to_pkcs8_der();
        der.expect("an RSA key that was generated or read can be written").to_bytes()
    }

    fn to_spki(&self) -> Result<Vec<u8>, KeyError> {
        let der = self.as_public_key().to_public_key_der();
        Ok(der.map_err(|_refused| KeyError::Inconsistent)?.into_vec())
    }
}

impl Sign for RsaPrivateKey {
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.sign(Pss::<Sha256>::new_blinded_with_salt(SALT_LEN), &sha256(message))
            .expect("a checked key of at least 2048 bits has room for SHA-256 PSS")
    }
}

impl Unwrap for RsaPrivateKey {
    fn unwrap(&self, label: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnwrapFailed> {
        let padding = Oaep::<Sha256>::new_with_label(label);
        self.decrypt_blinded(&mut UnwrapErr(SysRng), padding, wrapped)
            .map(Zeroizing::new)
            .map_err(|_whatever| UnwrapFailed)
    }
}

impl Public for Arc<RsaPublicKey> {
    fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let key = RsaPublicKey::from_public_key_der(der);
        key.map(Self::new).map_err(|_refused| KeyError::Inconsistent)
    }
}

impl Verify for Arc<RsaPublicKey> {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.as_ref()
            .verify(Pss::<Sha256>::new_with_salt(SALT_LEN), &sha256(message), signature)
            .map_err(|_whatever| BadSignature)
    }
}

impl Wrap for Arc<RsaPublicKey> {
    fn wrap(&self, label: &[u8], key: &[u8; 32]) -> Vec<u8> {
        self.encrypt(&mut UnwrapErr(SysRng), Oaep::<Sha256>::new_with_label(label), key)
            .expect("a checked key of at least 2048 bits has room for 32 bytes in OAEP")
    }
}

/// SHA-256 of the bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 of the parts one after the other; where one ends and the next begins is not hashed.
pub fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// SHA-256 of what comes piece by piece.
#[derive(Clone, Default)]
pub struct Sha256Stream(Sha256);

impl Sha256Stream {
    /// One more piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The hash of all pieces so far.
    pub fn so_far(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}

/// HMAC-SHA256 of the parts one after the other, under a key of any length.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The extract step of HKDF-SHA256 (RFC 5869 section 2.2).
pub fn hkdf_extract(salt: &[u8], ikm: &[u8]) -> Zeroizing<[u8; 32]> {
    let (prk, _expander) = Hkdf::<Sha256>::extract(Some(salt), ikm);
    Zeroizing::new(prk.into())
}

/// The expand step of HKDF-SHA256 (RFC 5869 section 2.3) to 32 bytes, which is one block; the
/// parts of `info` are concatenated.
pub fn hkdf_expand(prk: &[u8; 32], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut derived = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::from_prk(prk)
        .expect("32 bytes are as long as the hash, which is enough for HKDF")
        .expand_multi_info(info, &mut *derived)
        .expect("32 bytes are one block of the 255 that HKDF gives");
    derived
}

/// Seals with AES-256-GCM: the ciphertext, then its 16-byte tag. A nonce must never be used twice
/// with one key.
pub fn gcm_seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    Aes256Gcm::new(key.into())
        .encrypt(nonce.into(), Payload { msg: plaintext, aad })
        .expect("every frame is far below the 64 GiB that one nonce can seal")
}

/// Opens what [`gcm_seal`] made with the same key, nonce and associated data.
pub fn gcm_open(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenFailed> {
    if sealed.len() < GCM_TAG_LEN {
        return Err(OpenFailed);
    }
    Aes256Gcm::new(key.into())
        .decrypt(nonce.into(), Payload { msg: sealed, aad })
        .map(Zeroizing::new)
        .map_err(|aes_gcm::Error| OpenFailed)
}

/// PBKDF2-HMAC-SHA256 to 32 bytes.
pub fn pbkdf2_sha256(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Zeroizing<[u8; 32]> {
    let mut derived = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations.get(), &mut *derived);
    derived
}

/// Bytes from the operating system's generator. For callers outside the pure code: everything
/// below takes its randomness as an argument.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).expect("the system always has randomness after boot");
    bytes
}

/// Whether two byte strings are equal, in a time that depends on their lengths only.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
