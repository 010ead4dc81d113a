//! RSA keys by the rules that hold whichever backend does the arithmetic: what is accepted, how long
//! it must be, and what an error may tell.

use std::fmt;
use std::marker::PhantomData;

use zeroize::Zeroizing;

use super::{BadSignature, KeyBits, KeyError, UnwrapFailed, der};

/// What keys are for, with the names that their `Debug` shows.
pub trait Use {
    /// A private key for it.
    const PRIVATE: &str;
    /// A public key for it.
    const PUBLIC: &str;
}

/// Keys that sign with RSA-PSS and check such signatures.
#[derive(Clone, Copy, Debug)]
pub struct Signing;

impl Use for Signing {
    const PRIVATE: &str = "SigningKey";
    const PUBLIC: &str = "VerifyingKey";
}

/// Keys that wrap other keys with RSA-OAEP and unwrap them.
#[derive(Clone, Copy, Debug)]
pub struct Wrapping;

impl Use for Wrapping {
    const PRIVATE: &str = "UnwrapKey";
    const PUBLIC: &str = "WrapKey";
}

/// A backend's private key. What it reads has the shape of a key already.
pub trait Private: Sized {
    /// Makes a new key from the system's randomness.
    fn generate(bits: KeyBits) -> Result<Self, KeyError>;
    /// Reads PKCS#8 DER.
    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError>;
    /// The key as PKCS#8 DER.
    fn to_pkcs8(&self) -> Zeroizing<Vec<u8>>;
    /// Its public key as `SubjectPublicKeyInfo` DER.
    fn to_spki(&self) -> Result<Vec<u8>, KeyError>;
}

/// A backend's private key that signs.
pub trait Sign: Private {
    /// A signature with RSA-PSS, as long as the modulus.
    fn sign(&self, message: &[u8]) -> Vec<u8>;
}

/// A backend's private key that unwraps.
pub trait Unwrap: Private {
    /// What is in a wrapped key that is as long as the modulus, whatever its length.
    fn unwrap(&self, label: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnwrapFailed>;
}

/// A backend's public key. What it reads has the shape of a key already.
pub trait Public: Sized {
    /// Reads `SubjectPublicKeyInfo` DER.
    fn from_spki(der: &[u8]) -> Result<Self, KeyError>;
}

/// A backend's public key that checks signatures.
pub trait Verify: Public {
    /// Checks a signature that is as long as the modulus, with a salt of exactly 32 bytes.
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature>;
}

/// A backend's public key that wraps.
pub trait Wrap: Public {
    /// A wrapped key, as long as the modulus.
    fn wrap(&self, label: &[u8], key: &[u8; 32]) -> Vec<u8>;
}

/// A private key for one use, and its public key.
pub struct PrivateKey<K, U> {
    key: K,
    spki: Vec<u8>,
    modulus_len: usize,
    of: PhantomData<U>,
}

impl<K: Private, U> PrivateKey<K, U> {
    /// Makes a new key from the system's randomness; tens to hundreds of milliseconds.
    pub fn generate(bits: KeyBits) -> Result<Self, KeyError> {
        Self::new(K::generate(bits)?)
    }

    /// Reads a PKCS#8 key under the rules of [`PublicKey::from_spki`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        der::check_private(der)?;
        Self::new(K::from_pkcs8(der)?)
    }

    fn new(key: K) -> Result<Self, KeyError> {
        let spki = key.to_spki()?;
        let modulus_len = der::check_public(&spki)?;
        Ok(Self { key, spki, modulus_len, of: PhantomData })
    }

    /// The private key as unencrypted PKCS#8 DER.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.key.to_pkcs8()
    }

    /// The public key as `SubjectPublicKeyInfo` DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }
}

impl<K: Sign> PrivateKey<K, Signing> {
    /// Signs the message; the signature is as long as the modulus.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(message)
    }
}

impl<K: Unwrap> PrivateKey<K, Wrapping> {
    /// Opens a wrapped key. There is one error whatever the cause, and the content must be
    /// exactly 32 bytes.
    pub fn unwrap(
        &self,
        label: &[u8],
        wrapped: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, UnwrapFailed> {
        if wrapped.len() != self.modulus_len {
            return Err(UnwrapFailed);
        }
        let opened = self.key.unwrap(label, wrapped)?;
        <&[u8; 32]>::try_from(opened.as_slice())
            .map(|key| Zeroizing::new(*key))
            .map_err(|_other_length| UnwrapFailed)
    }
}

impl<K, U: Use> fmt::Debug for PrivateKey<K, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: _, spki: _, modulus_len: _, of: _ } = self;
        f.debug_struct(U::PRIVATE).finish_non_exhaustive()
    }
}

/// A public key for one use. Parsed once.
#[derive(Clone)]
pub struct PublicKey<K, U> {
    key: K,
    modulus_len: usize,
    of: PhantomData<U>,
}

impl<K: Public, U> PublicKey<K, U> {
    /// Reads a public key: exponent 65537, a modulus of 2048 to 4096 bits and strict DER, which
    /// leaves exactly one encoding of each key.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let modulus_len = der::check_public(der)?;
        Ok(Self { key: K::from_spki(der)?, modulus_len, of: PhantomData })
    }
}

impl<K: Verify> PublicKey<K, Signing> {
    /// Length of every signature by this key, in bytes.
    pub fn signature_len(&self) -> usize {
        self.modulus_len
    }

    /// Accepts only a signature of exactly this message, with a salt of exactly 32 bytes.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        if signature.len() != self.modulus_len {
            return Err(BadSignature);
        }
        self.key.verify(message, signature)
    }
}

impl<K: Wrap> PublicKey<K, Wrapping> {
    /// Wraps a key; the result is as long as the modulus and opens only with the same label.
    pub fn wrap(&self, label: &[u8], key: &[u8; 32]) -> Vec<u8> {
        self.key.wrap(label, key)
    }
}

impl<K, U: Use> fmt::Debug for PublicKey<K, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: _, modulus_len, of: _ } = self;
        f.debug_struct(U::PUBLIC).field("modulus_len", modulus_len).finish_non_exhaustive()
    }
}
