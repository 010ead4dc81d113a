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

use super::{BadSignature, GCM_TAG_LEN, KeyBits, KeyError, OpenFailed, UnwrapFailed, der};

/// A private key that signs with RSA-PSS.
pub struct SigningKey {
    pair: RsaKeyPair,
    spki: Vec<u8>,
}

impl SigningKey {
    /// Makes a new key from the system's randomness; tens to hundreds of milliseconds.
    pub fn generate(bits: KeyBits) -> Result<Self, KeyError> {
        RsaKeyPair::generate(key_size(bits)).map_err(generation)?.try_into()
    }

    /// Reads a PKCS#8 key under the rules of [`VerifyingKey::from_spki`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        der::check_private(der)?;
        RsaKeyPair::from_pkcs8(der).map_err(|_refused| KeyError::Inconsistent)?.try_into()
    }

    /// The private key as unencrypted PKCS#8 DER.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        pkcs8(&self.pair)
    }

    /// The public key as `SubjectPublicKeyInfo` DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Signs the message; the signature is as long as the modulus.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("a checked key of at least 2048 bits has room for SHA-256 PSS");
        signature
    }
}

impl TryFrom<RsaKeyPair> for SigningKey {
    type Error = KeyError;

    fn try_from(pair: RsaKeyPair) -> Result<Self, KeyError> {
        let spki = spki(pair.public_key())?;
        Ok(Self { pair, spki })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pair: _, spki: _ } = self;
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}

/// A public key that checks RSA-PSS signatures. Parsed once; clones share it.
#[derive(Clone)]
pub struct VerifyingKey {
    key: Arc<ParsedPublicKey>,
    signature_len: usize,
}

impl VerifyingKey {
    /// Reads a public key: exponent 65537, a modulus of 2048 to 4096 bits and strict DER, which
    /// leaves exactly one encoding of each key.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let signature_len = der::check_public(der)?;
        let key = ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, der)
            .map_err(|_refused| KeyError::Inconsistent)?;
        Ok(Self { key: Arc::new(key), signature_len })
    }

    /// Length of every signature by this key, in bytes.
    pub fn signature_len(&self) -> usize {
        self.signature_len
    }

    /// Accepts only a signature of exactly this message, with a salt of exactly 32 bytes.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        if signature.len() != self.signature_len {
            return Err(BadSignature);
        }
        self.key.verify_sig(message, signature).map_err(|Unspecified| BadSignature)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: _, signature_len } = self;
        f.debug_struct("VerifyingKey").field("signature_len", signature_len).finish_non_exhaustive()
    }
}

/// A private key that unwraps what was wrapped for it with RSA-OAEP.
pub struct UnwrapKey {
    private: PrivateDecryptingKey,
    oaep: OaepPrivateDecryptingKey,
    spki: Vec<u8>,
}

impl UnwrapKey {
    /// Makes a new key from the system's randomness; tens to hundreds of milliseconds.
    pub fn generate(bits: KeyBits) -> Result<Self, KeyError> {
        PrivateDecryptingKey::generate(key_size(bits)).map_err(generation)?.try_into()
    }

    /// Reads a PKCS#8 key under the rules of [`WrapKey::from_spki`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        der::check_private(der)?;
        PrivateDecryptingKey::from_pkcs8(der).map_err(|_refused| KeyError::Inconsistent)?.try_into()
    }

    /// The private key as unencrypted PKCS#8 DER.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        pkcs8(&self.private)
    }

    /// The public key as `SubjectPublicKeyInfo` DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Opens a wrapped key. There is one error whatever the cause, and the content must be
    /// exactly 32 bytes.
    pub fn unwrap(
        &self,
        label: &[u8],
        wrapped: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, UnwrapFailed> {
        if wrapped.len() != self.oaep.key_size_bytes() {
            return Err(UnwrapFailed);
        }
        let mut plaintext = Zeroizing::new(vec![0; self.oaep.min_output_size()]);
        let opened = self
            .oaep
            .decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut plaintext, Some(label))
            .map_err(|Unspecified| UnwrapFailed)?;
        <&[u8; 32]>::try_from(&*opened)
            .map(|key| Zeroizing::new(*key))
            .map_err(|_other_length| UnwrapFailed)
    }
}

impl TryFrom<PrivateDecryptingKey> for UnwrapKey {
    type Error = KeyError;

    fn try_from(private: PrivateDecryptingKey) -> Result<Self, KeyError> {
        let spki = spki(&private.public_key())?;
        let oaep = OaepPrivateDecryptingKey::new(private.clone())
            .map_err(|Unspecified| KeyError::Inconsistent)?;
        Ok(Self { private, oaep, spki })
    }
}

impl fmt::Debug for UnwrapKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { private: _, oaep: _, spki: _ } = self;
        f.debug_struct("UnwrapKey").finish_non_exhaustive()
    }
}

/// A public key that keys are wrapped for with RSA-OAEP.
pub struct WrapKey {
    oaep: OaepPublicEncryptingKey,
}

impl WrapKey {
    /// Reads a public key: exponent 65537, a modulus of 2048 to 4096 bits and strict DER, which
    /// leaves exactly one encoding of each key.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        der::check_public(der)?;
        let key = PublicEncryptingKey::from_der(der).map_err(|_refused| KeyError::Inconsistent)?;
        let oaep =
            OaepPublicEncryptingKey::new(key).map_err(|Unspecified| KeyError::Inconsistent)?;
        Ok(Self { oaep })
    }

    /// Wraps a key; the result is as long as the modulus and opens only with the same label.
    pub fn wrap(&self, label: &[u8], key: &[u8; 32]) -> Vec<u8> {
        let mut wrapped = vec![0; self.oaep.ciphertext_size()];
        self.oaep
            .encrypt(&OAEP_SHA256_MGF1SHA256, key, &mut wrapped, Some(label))
            .expect("a checked key of at least 2048 bits has room for 32 bytes in OAEP");
        wrapped
    }
}

impl fmt::Debug for WrapKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { oaep } = self;
        f.debug_struct("WrapKey")
            .field("wrapped_len", &oaep.ciphertext_size())
            .finish_non_exhaustive()
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
