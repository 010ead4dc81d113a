//! The primitives everything else is made of, behind one set of names.
//!
//! RSA-PSS signs (SHA-256, MGF1-SHA-256, salt of 32 bytes), RSA-OAEP wraps keys (SHA-256,
//! MGF1-SHA-256, with a label), AES-256-GCM seals, HMAC and HKDF over SHA-256 derive, PBKDF2
//! stretches passwords. Nothing here knows a frame or a label of the protocol.
//!
//! Two backends have exactly the same items: [`aws_lc`] is the default, `rustcrypto` needs no C
//! compiler and is the independent cross-check. This module re-exports the one in use; tests name
//! the modules and run every primitive across them. A key is accepted by one exactly when it is
//! accepted by the other, because `der.rs` judges its shape before either library sees it; `keys.rs`
//! has what does not depend on the library.

use thiserror::Error;

#[cfg(feature = "aws-lc")]
pub mod aws_lc;
#[cfg(feature = "rustcrypto")]
pub mod rustcrypto;

mod der;
mod keys;

#[cfg(not(any(feature = "aws-lc", feature = "rustcrypto")))]
compile_error!("chat-protocol needs a backend: enable the feature `aws-lc` or `rustcrypto`");

#[cfg(feature = "aws-lc")]
pub use aws_lc::{
    Sha256Stream, SigningKey, UnwrapKey, VerifyingKey, WrapKey, constant_time_eq, gcm_open,
    gcm_seal, hkdf_expand, hkdf_extract, hmac_sha256, pbkdf2_sha256, random, sha256, sha256_parts,
};
#[cfg(all(feature = "rustcrypto", not(feature = "aws-lc")))]
pub use rustcrypto::{
    Sha256Stream, SigningKey, UnwrapKey, VerifyingKey, WrapKey, constant_time_eq, gcm_open,
    gcm_seal, hkdf_expand, hkdf_extract, hmac_sha256, pbkdf2_sha256, random, sha256, sha256_parts,
};

/// Smallest modulus accepted anywhere, in bits: 112-bit strength, the least still recommended.
pub const MODULUS_BITS_MIN: usize = 2048;

/// Largest modulus accepted anywhere, in bits: bounds the work a stranger's key can cause.
pub const MODULUS_BITS_MAX: usize = 4096;

/// The only public exponent accepted. Small exponents have a history of forged padding, large
/// ones make a check as slow as a signature.
pub const PUBLIC_EXPONENT: u64 = 65537;

/// Length of the tag that AES-256-GCM appends to a ciphertext, in bytes.
pub const GCM_TAG_LEN: usize = 16;

/// The modulus sizes that keys are generated with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyBits {
    /// 2048 bits: signing keys, and all keys of emulated clients.
    B2048,
    /// 3072 bits: identities and encryption keys, which must hold for decades.
    B3072,
    /// 4096 bits.
    B4096,
}

impl KeyBits {
    /// The size with this many bits; [`KeyError::KeyBits`] when keys of that size are not made.
    pub fn from_bits(bits: u32) -> Result<Self, KeyError> {
        match bits {
            2048 => Ok(Self::B2048),
            3072 => Ok(Self::B3072),
            4096 => Ok(Self::B4096),
            got => Err(KeyError::KeyBits { got }),
        }
    }

    /// Length of the modulus in bits.
    pub const fn bits(self) -> u32 {
        match self {
            Self::B2048 => 2048,
            Self::B3072 => 3072,
            Self::B4096 => 4096,
        }
    }
}

/// Why a key was not made or not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Keys of that size are not generated.
    #[error("key size: expected 2048, 3072 or 4096 bits, got {got}")]
    KeyBits {
        /// The size asked for, in bits.
        got: u32,
    },
    /// The bytes are not the one DER encoding of an RSA public key.
    #[error("public key: expected strict DER of an RSA SubjectPublicKeyInfo, got other bytes")]
    Public,
    /// The bytes are not the one DER encoding of an unencrypted RSA private key.
    #[error("private key: expected strict DER of an RSA PKCS#8 version 0 key, got other bytes")]
    Private,
    /// The modulus is too small to be safe or too large to be cheap.
    #[error(
        "modulus: expected {MODULUS_BITS_MIN} to {MODULUS_BITS_MAX} bits and an odd number, \
         got {got} bits"
    )]
    Modulus {
        /// The length of the modulus in bits.
        got: usize,
    },
    /// The public exponent is not the usual one.
    #[error("public exponent: expected {PUBLIC_EXPONENT}, got {got}")]
    Exponent {
        /// The exponent; `u64::MAX` for all that need more than 64 bits.
        got: u64,
    },
    /// The encoding is right, but the numbers in it are not an RSA key.
    #[error("key numbers: expected a consistent RSA key, got one the backend refuses")]
    Inconsistent,
    /// The backend could not make a key.
    #[error("key generation failed in the backend")]
    Generation,
}

/// A signature that is not the key owner's over this message. Says nothing about the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("signature: expected one by this key over this message, got another")]
pub struct BadSignature;

/// A wrapped key that did not open: wrong key, wrong label or changed bytes, which are kept
/// indistinguishable because the difference would be an oracle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("wrapped key: expected 32 bytes wrapped for this key and label, got something else")]
pub struct UnwrapFailed;

/// A ciphertext that did not open: wrong key, nonce or associated data, or changed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("ciphertext: expected one sealed with this key, nonce and header, got something else")]
pub struct OpenFailed;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    #[test]
    fn sha256_of_fips_180_4() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256(b"abc")), expected);
        assert_eq!(hex(&sha256_parts(&[b"a", b"", b"bc"])), expected);
        let mut stream = Sha256Stream::default();
        stream.update(b"a");
        assert_eq!(stream.so_far(), sha256(b"a"));
        stream.update(b"bc");
        assert_eq!(hex(&stream.so_far()), expected);
    }

    #[test]
    fn hmac_of_rfc_4231_case_2() {
        assert_eq!(
            hex(&hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"])),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn hkdf_of_rfc_5869_case_1() {
        let salt: Vec<u8> = (0x00..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let prk = hkdf_extract(&salt, &[0x0b; 22]);
        assert_eq!(hex(&*prk), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
        let (front, back) = info.split_at(3);
        assert_eq!(
            hex(&*hkdf_expand(&prk, &[front, back])),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
        );
    }

    #[test]
    fn pbkdf2_of_rfc_7914_section_11() {
        // The RFC gives 64 bytes; the first block does not depend on how many are asked for.
        assert_eq!(
            hex(&*pbkdf2_sha256(b"passwd", b"salt", NonZeroU32::MIN)),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
        );
    }

    #[test]
    fn gcm_of_the_original_test_case_14() {
        let sealed = gcm_seal(&[0; 32], &[0; 12], b"", &[0; 16]);
        assert_eq!(
            hex(&sealed),
            "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
        );
        assert_eq!(*gcm_open(&[0; 32], &[0; 12], b"", &sealed).unwrap(), [0; 16]);
    }

    #[test]
    fn a_new_key_signs_and_unwraps() {
        let signing = SigningKey::generate(KeyBits::B2048).unwrap();
        let verifying = VerifyingKey::from_spki(signing.spki()).unwrap();
        let signature = signing.sign(b"message");
        assert_eq!(signature.len(), verifying.signature_len());
        assert_eq!(verifying.verify(b"message", &signature), Ok(()));
        assert_eq!(verifying.verify(b"massage", &signature), Err(BadSignature));

        let unwrap = UnwrapKey::generate(KeyBits::B2048).unwrap();
        let wrapped = WrapKey::from_spki(unwrap.spki()).unwrap().wrap(b"label", &[7; 32]);
        assert_eq!(*unwrap.unwrap(b"label", &wrapped).unwrap(), [7; 32]);
        assert_eq!(unwrap.unwrap(b"lapel", &wrapped).err(), Some(UnwrapFailed));
    }

    #[test]
    fn key_sizes_are_three() {
        for bits in [KeyBits::B2048, KeyBits::B3072, KeyBits::B4096] {
            assert_eq!(KeyBits::from_bits(bits.bits()), Ok(bits));
        }
        for got in [0, 1024, 2047, 2049, 8192] {
            assert_eq!(KeyBits::from_bits(got), Err(KeyError::KeyBits { got }));
        }
    }

    #[test]
    fn equality_and_randomness() {
        assert!(constant_time_eq(b"", b"") && constant_time_eq(b"same", b"same"));
        assert!(!constant_time_eq(b"same", b"sane") && !constant_time_eq(b"same", b"sam"));
        assert_ne!(random::<16>(), random::<16>());
        let [] = random::<0>();
    }
}
