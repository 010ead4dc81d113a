//! The default backend: AWS-LC, constant time, blinded and fault-checked private operations.
//!
//! Its calls return a `Result` even where only a lack of memory or a broken random generator can
//! make them fail. Those places say `expect` with the precondition that this file ensures.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeyPair as RsaKeyPair, KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{KeyPair, ParsedPublicKey, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256};
use aws_lc_rs::{hmac, pbkdf2};
use zeroize::Zeroizing;

use super::keys::{
    Private, PrivateKey, Public, PublicKey, Sign, Signing, Unwrap, Verify, Wrap, Wrapping,
};
use super::{BadSignature, GCM_TAG_LEN, KeyBits, KeyError, OpenFailed, UnwrapFailed};

/// A private key that signs with RSA-PSS.
pub type SigningKey = PrivateKey<RsaKeyPair, Signing>;

/// A public key that checks RSA-PSS signatures. Parsed once; clones share it.
pub type VerifyingKey = PublicKey<Arc<ParsedPublicKey>, Signing>;

/// A private key that unwraps what was wrapped for it with RSA-OAEP.
pub type UnwrapKey = PrivateKey<Decrypting, Wrapping>;

/// A public key that keys are wrapped for with RSA-OAEP.
pub type WrapKey = PublicKey<OaepPublicEncryptingKey, Wrapping>;

impl Private for RsaKeyPair {
    fn generate(bits: KeyBits) -> Result<Self, KeyError> {
        Self::generate(key_size(bits)).map_err(generation)
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Self::from_pkcs8(der).map_err(|_refused| KeyError::Inconsistent)
    }

    fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        pkcs8(self)
    }

    fn to_spki(&self) -> Result<Vec<u8>, KeyError> {
        spki(self.public_key())
    }
}

impl Sign for RsaKeyPair {
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.public_modulus_len()];
        self.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("a checked key of at least 2048 bits has room for SHA-256 PSS");
        signature
    }
}

impl Public for Arc<ParsedPublicKey> {
    fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let key = ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, der);
        key.map(Self::new).map_err(|_refused| KeyError::Inconsistent)
    }
}

impl Verify for Arc<ParsedPublicKey> {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.verify_sig(message, signature).map_err(|Unspecified| BadSignature)
    }
}

/// A private key as AWS-LC wants it for OAEP, which does not give it back.
pub struct Decrypting {
    private: PrivateDecryptingKey,
    oaep: OaepPrivateDecryptingKey,
}

impl Decrypting {
    fn new(private: PrivateDecryptingKey) -> Result<Self, KeyError> {
        let oaep = OaepPrivateDecryptingKey::new(private.clone())
            .map_err(|Unspecified| KeyError::Inconsistent)?;
        Ok(Self { private, oaep })
    }
}

impl fmt::Debug for Decrypting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { private: _, oaep: _ } = self;
        f.debug_struct("Decrypting").finish_non_exhaustive()
    }
}

impl Private for Decrypting {
    fn generate(bits: KeyBits) -> Result<Self, KeyError> {
        Self::new(PrivateDecryptingKey::generate(key_size(bits)).map_err(generation)?)
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let private = PrivateDecryptingKey::from_pkcs8(der);
        Self::new(private.map_err(|_refused| KeyError::Inconsistent)?)
    }

    fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        pkcs8(&self.private)
    }

    fn to_spki(&self) -> Result<Vec<u8>, KeyError> {
        spki(&self.private.public_key())
    }
}

impl Unwrap for Decrypting {
    fn unwrap(&self, label: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnwrapFailed> {
        let mut plaintext = Zeroizing::new(vec![0; self.oaep.min_output_size()]);
        let length = self
            .oaep
            .decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut plaintext, Some(label))
            .map_err(|Unspecified| UnwrapFailed)?
            .len();
        plaintext.truncate(length);
        Ok(plaintext)
    }
}

impl Public for OaepPublicEncryptingKey {
    fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let key = PublicEncryptingKey::from_der(der).map_err(|_refused| KeyError::Inconsistent)?;
        Self::new(key).map_err(|Unspecified| KeyError::Inconsistent)
    }
}

impl Wrap for OaepPublicEncryptingKey {
    fn wrap(&self, label: &[u8], key: &[u8; 32]) -> Vec<u8> {
        let mut wrapped = vec![0; self.ciphertext_size()];
        self.encrypt(&OAEP_SHA256_MGF1SHA256, key, &mut wrapped, Some(label))
            .expect("a checked key of at least 2048 bits has room for 32 bytes in OAEP");
        wrapped
    }
}

/// SHA-256 of the bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    array(digest::digest(&SHA256, bytes).as_ref())
}

/// SHA-256 of the parts one after the other; where one ends and the next begins is not hashed.
pub fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    array(context.finish().as_ref())
}

/// SHA-256 of what comes piece by piece.
#[derive(Clone)]
pub struct Sha256Stream(digest::Context);

impl Default for Sha256Stream {
    fn default() -> Self {
        Self(digest::Context::new(&SHA256))
    }
}

impl Sha256Stream {
    /// One more piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The hash of all pieces so far.
    pub fn so_far(&self) -> [u8; 32] {
        array(self.0.clone().finish().as_ref())
    }
}

/// HMAC-SHA256 of the parts one after the other, under a key of any length.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    array(context.sign().as_ref())
}

/// The extract step of HKDF-SHA256 (RFC 5869 section 2.2).
pub fn hkdf_extract(salt: &[u8], ikm: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(hmac_sha256(salt, &[ikm]))
}

/// The expand step of HKDF-SHA256 (RFC 5869 section 2.3) to 32 bytes, which is one block; the
/// parts of `info` are concatenated.
pub fn hkdf_expand(prk: &[u8; 32], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    const FIRST_BLOCK: &[u8] = &[1];
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, prk));
    for part in info {
        context.update(part);
    }
    context.update(FIRST_BLOCK);
    Zeroizing::new(array(context.sign().as_ref()))
}

/// Seals with AES-256-GCM: the ciphertext, then its 16-byte tag. A nonce must never be used twice
/// with one key.
pub fn gcm_seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(plaintext.len() + GCM_TAG_LEN);
    sealed.extend_from_slice(plaintext);
    gcm_key(key)
        .seal_in_place_append_tag(Nonce::from(nonce), Aad::from(aad), &mut sealed)
        .expect("every frame is far below the 64 GiB that one nonce can seal");
    sealed
}

/// Opens what [`gcm_seal`] made with the same key, nonce and associated data.
pub fn gcm_open(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenFailed> {
    let (ciphertext, tag) = sealed.split_last_chunk::<GCM_TAG_LEN>().ok_or(OpenFailed)?;
    let mut plaintext = Zeroizing::new(vec![0; ciphertext.len()]);
    gcm_key(key)
        .open_separate_gather(Nonce::from(nonce), Aad::from(aad), ciphertext, tag, &mut plaintext)
        .map_err(|Unspecified| OpenFailed)?;
    Ok(plaintext)
}

/// PBKDF2-HMAC-SHA256 to 32 bytes.
pub fn pbkdf2_sha256(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Zeroizing<[u8; 32]> {
    let mut derived = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password, &mut *derived);
    derived
}

/// Bytes from the operating system's generator. For callers outside the pure code: everything
/// below takes its randomness as an argument.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system always has randomness after boot");
    bytes
}

/// Whether two byte strings are equal, in a time that depends on their lengths only.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}

fn key_size(bits: KeyBits) -> KeySize {
    match bits {
        KeyBits::B2048 => KeySize::Rsa2048,
        KeyBits::B3072 => KeySize::Rsa3072,
        KeyBits::B4096 => KeySize::Rsa4096,
    }
}

fn generation(Unspecified: Unspecified) -> KeyError {
    KeyError::Generation
}

fn spki(public: &impl AsDer<PublicKeyX509Der<'static>>) -> Result<Vec<u8>, KeyError> {
    let der = public.as_der().map_err(|Unspecified| KeyError::Inconsistent)?;
    Ok(der.as_ref().to_vec())
}

fn pkcs8(private: &impl AsDer<Pkcs8V1Der<'static>>) -> Zeroizing<Vec<u8>> {
    let der = private.as_der().expect("an RSA key that was generated or read can be written");
    Zeroizing::new(der.as_ref().to_vec())
}

fn gcm_key(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes 32 bytes"))
}

fn array(digest: &[u8]) -> [u8; 32] {
    digest.try_into().expect("SHA-256 gives 32 bytes")
}
