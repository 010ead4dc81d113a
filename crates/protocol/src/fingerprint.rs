//! What people read to each other to compare identity keys: six words for each of them, or thirty
//! digits (rule R24).
//!
//! Each person's half is derived from that person's key alone. A short text made of both keys together
//! would be weaker: a hub in the middle chooses both and finds a collision with the square root of
//! the work.

use std::fmt;

use bip39::Language;

use crate::crypto::{sha256, sha256_parts};
use crate::name::UserName;
use crate::tag::label;

/// Words of one half: 66 bits.
pub const WORDS: usize = 6;

/// Bits that one word of the list stands for.
const WORD_BITS: usize = 11;

/// Times the hash is taken: whoever searches for a key with the same words pays for each try.
const ROUNDS: usize = 5_200;

/// Groups of five digits in one half.
const DIGIT_GROUPS: usize = 6;

/// One person's half: of an identity key under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint {
    /// After [`ROUNDS`] rounds. First, because it decides which half is read first.
    last: [u8; 32],
    /// After one.
    first: [u8; 32],
}

impl Fingerprint {
    /// The half of the identity key with this SPKI (DER) under this name.
    pub fn of(name: &UserName, identity_spki: &[u8]) -> Self {
        let parts = [label::SAFETY.as_bytes(), &[0], name.as_str().as_bytes(), &[0], identity_spki];
        let first = sha256_parts(&parts);
        let last = (1..ROUNDS).fold(first, |hash, _| sha256(&hash));
        Self { last, first }
    }

    /// The six words: the first 66 bits, most significant first, as words of the English list of
    /// BIP-39.
    pub fn words(&self) -> [&'static str; WORDS] {
        let list = Language::English.word_list();
        let bit = |at: usize| {
            let byte = self.last.get(at / 8).copied().unwrap_or(0);
            usize::from(byte >> (7 - at % 8) & 1)
        };
        std::array::from_fn(|word| {
            let bits = word * WORD_BITS..(word + 1) * WORD_BITS;
            let index = bits.fold(0, |index, at| index << 1 | bit(at));
            // Eleven bits are less than 2,048, the length of the list.
            list.get(index).copied().unwrap_or_default()
        })
    }

    /// The long form: six groups of five digits, each from five bytes of the hash.
    pub fn digits(&self) -> [String; DIGIT_GROUPS] {
        std::array::from_fn(|group| {
            let bytes = self.first.iter().skip(group * 5).take(5);
            let number = bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            format!("{:05}", number % 100_000)
        })
    }

    /// Whether somebody has typed these six words, in any case and with any white space.
    pub fn is(&self, typed: &str) -> bool {
        typed.split_whitespace().map(str::to_lowercase).eq(self.words())
    }
}

/// The words with a space between.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

/// Both halves in the order in which both people read them: the lower one first.
pub fn ordered(one: Fingerprint, other: Fingerprint) -> [Fingerprint; 2] {
    if one <= other { [one, other] } else { [other, one] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(name: &str, spki: &[u8]) -> Fingerprint {
        Fingerprint::of(&UserName::new(name).unwrap(), spki)
    }

    #[test]
    fn words_and_digits_are_those_of_an_independent_computation() {
        let alice = half("alice", b"spki of alice");
        assert_eq!(alice.to_string(), "sing include skirt stadium smart toss");
        assert_eq!(alice.digits().join(" "), "08159 31760 01836 88054 15648 95117");
    }

    #[test]
    fn both_people_read_the_same_and_another_key_or_name_reads_otherwise() {
        let (alice, bob) = (half("alice", b"a"), half("bob", b"b"));
        assert_eq!(ordered(alice, bob), ordered(bob, alice));
        assert_ne!(alice.words(), half("alice", b"b").words());
        assert_ne!(alice.words(), half("bob", b"a").words());
        assert!(alice.is(&format!("  {} ", alice.to_string().to_uppercase().replace(' ', "\n"))));
        assert!(!alice.is(&bob.to_string()) && !alice.is(""));
    }
}
