//! Just enough DER to refuse a key before a library parses it.
//!
//! The layout of both encodings is fixed, every length must be minimal and no byte may be left
//! over, so whatever passes here is the only encoding of its key: equal keys have equal ids.

use super::{KeyError, MODULUS_BITS_MAX, MODULUS_BITS_MIN, PUBLIC_EXPONENT};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// Content of the algorithm identifier: rsaEncryption (1.2.840.113549.1.1.1), NULL parameters.
const RSA_ENCRYPTION: &[u8] =
    &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// Judges a public key (`SubjectPublicKeyInfo`) and returns the length of its modulus in bytes.
pub(super) fn check_public(der: &[u8]) -> Result<usize, KeyError> {
    let (modulus, exponent) = public_numbers(der).ok_or(KeyError::Public)?;
    check_numbers(modulus, exponent)
}

/// Judges a private key (PKCS#8, not encrypted, no attributes) by its public numbers and returns
/// the length of its modulus in bytes. The secret numbers are left to the backend.
pub(super) fn check_private(der: &[u8]) -> Result<usize, KeyError> {
    let (modulus, exponent) = private_numbers(der).ok_or(KeyError::Private)?;
    check_numbers(modulus, exponent)
}

fn check_numbers(modulus: &[u8], exponent: &[u8]) -> Result<usize, KeyError> {
    let bits = bit_length(modulus);
    let odd = modulus.last().is_some_and(|byte| byte % 2 == 1);
    if !odd || !(MODULUS_BITS_MIN..=MODULUS_BITS_MAX).contains(&bits) {
        return Err(KeyError::Modulus { got: bits });
    }
    match number(exponent) {
        PUBLIC_EXPONENT => Ok(modulus.len()),
        got => Err(KeyError::Exponent { got }),
    }
}

/// Modulus and exponent of `SEQUENCE { algorithm, BIT STRING { SEQUENCE { n, e } } }`.
fn public_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (info, rest) = element(der, SEQUENCE)?;
    ended(rest)?;
    let key = after_algorithm(info)?;
    let (key, rest) = element(key, BIT_STRING)?;
    ended(rest)?;
    let (&unused_bits, key) = key.split_first()?;
    let (key, rest) = element(key, SEQUENCE)?;
    (unused_bits == 0).then_some(())?;
    ended(rest)?;
    let (modulus, rest) = positive(key)?;
    let (exponent, rest) = positive(rest)?;
    ended(rest)?;
    Some((modulus, exponent))
}

/// Modulus and exponent of
/// `SEQUENCE { 0, algorithm, OCTET STRING { SEQUENCE { 0, n, e, six secret numbers } } }`.
fn private_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    const SECRET_NUMBERS: usize = 6;
    let (info, rest) = element(der, SEQUENCE)?;
    ended(rest)?;
    let key = after_algorithm(after_version(info)?)?;
    let (key, rest) = element(key, OCTET_STRING)?;
    ended(rest)?;
    let (key, rest) = element(key, SEQUENCE)?;
    ended(rest)?;
    let (modulus, rest) = positive(after_version(key)?)?;
    let (exponent, mut rest) = positive(rest)?;
    for _ in 0..SECRET_NUMBERS {
        (_, rest) = positive(rest)?;
    }
    ended(rest)?;
    Some((modulus, exponent))
}

/// What follows `INTEGER 0`.
fn after_version(input: &[u8]) -> Option<&[u8]> {
    let (version, rest) = element(input, INTEGER)?;
    (version == [0]).then_some(rest)
}

/// What follows the algorithm identifier of plain RSA.
fn after_algorithm(input: &[u8]) -> Option<&[u8]> {
    let (algorithm, rest) = element(input, SEQUENCE)?;
    (algorithm == RSA_ENCRYPTION).then_some(rest)
}

/// The big-endian bytes of a positive integer without its sign byte, and what follows it.
fn positive(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (content, rest) = element(input, INTEGER)?;
    match content {
        [0, magnitude @ ..] if magnitude.first().is_some_and(|&byte| byte >= 0x80) => {
            Some((magnitude, rest))
        }
        [1..=0x7f, ..] => Some((content, rest)),
        _ => None,
    }
}

/// The content of one element with the given tag, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, short], rest) = input.split_first_chunk()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (length >= 0x80).then_some((usize::from(length), rest))?
        }
        0x82 => {
            let (&length, rest) = rest.split_first_chunk()?;
            let length = u16::from_be_bytes(length);
            (length > 0xff).then_some((usize::from(length), rest))?
        }
        // 64 KiB and more is far beyond the largest key accepted.
        _ => return None,
    };
    (found == tag).then_some(())?;
    rest.split_at_checked(length)
}

fn ended(rest: &[u8]) -> Option<()> {
    rest.is_empty().then_some(())
}

fn bit_length(magnitude: &[u8]) -> usize {
    magnitude.split_first().map_or(0, |(first, rest)| {
        let leading = usize::try_from(u8::BITS - first.leading_zeros()).unwrap_or_default();
        rest.len() * 8 + leading
    })
}

/// The value of a big-endian magnitude, `u64::MAX` when it does not fit.
fn number(magnitude: &[u8]) -> u64 {
    if magnitude.len() > size_of::<u64>() {
        return u64::MAX;
    }
    magnitude.iter().fold(0, |value, &byte| (value << 8) | u64::from(byte))
}
