//! Codes that let people make accounts on a server that asks for one.
//!
//! A code is 16 letters and digits in four groups: 80 random bits, written so that it can be read out. A
//! server keeps its digest only.

use crate::crypto::sha256;
use crate::id::Digest;

/// Digits of a code: no letter that looks like another one or like a digit.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What is hashed before the code, so that its digest serves nothing else.
const LABEL: &[u8] = b"chat-e2e/1 invite\0";

/// Longest code that is looked at.
pub const CODE_BYTES_MAX: usize = 64;

/// A code from 80 random bits.
pub fn make(random: [u8; 10]) -> String {
    let mut bits = random.iter().fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
    let mut digits = Vec::with_capacity(16);
    for _ in 0..16 {
        let at = usize::try_from(bits % 32).unwrap_or_default();
        digits.push(DIGITS.get(at).copied().unwrap_or(b'0'));
        bits /= 32;
    }
    let groups = digits.chunks(4).map(|group| String::from_utf8_lossy(group).into_owned());
    groups.collect::<Vec<_>>().join("-")
}

/// What a server keeps of a code. Case, hyphens and spaces do not count.
pub fn digest(code: &str) -> Digest {
    let letters = code.bytes().filter(u8::is_ascii_alphanumeric);
    let mut bytes = LABEL.to_vec();
    bytes.extend(letters.map(|letter| letter.to_ascii_lowercase()));
    Digest(sha256(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_again_however_it_is_typed() {
        let code = make([0xff; 10]);
        assert_eq!(code, "zzzz-zzzz-zzzz-zzzz");
        assert_eq!(make([0; 10]), "0000-0000-0000-0000");
        assert_eq!(digest(&code), digest(" ZZZZzzzz zzzz-ZZZZ"));
        assert_ne!(digest(&code), digest("zzzz-zzzz-zzzz-zzz"));
    }
}
