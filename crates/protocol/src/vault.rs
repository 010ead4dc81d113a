//! The vault as it is kept, by the hub and in the key file: `u32 number | sealed vault (rule R25)`.
//!
//! The number is under the seal too, as part of what is authenticated, so nobody can change it. It
//! stands before the seal because whoever opens a vault must know it, and so that the hub can see
//! that it grows.

use crate::crypto::GCM_TAG_LEN;

/// Shortest sealed vault in bytes: a nonce of 12 and the tag of an empty plaintext.
const SEALED_BYTES_MIN: usize = 12 + GCM_TAG_LEN;

/// A sealed vault with its number before it.
pub fn keep(number: u32, sealed: &[u8]) -> Vec<u8> {
    let mut kept = number.to_be_bytes().to_vec();
    kept.extend_from_slice(sealed);
    kept
}

/// Number, from 1, and sealed bytes of a kept vault; nothing if it has another number or is too
/// short to be one.
pub fn split(kept: &[u8]) -> Option<(u32, &[u8])> {
    let (number, sealed) = kept.split_first_chunk::<4>()?;
    let number = u32::from_be_bytes(*number);
    (number > 0 && sealed.len() >= SEALED_BYTES_MIN).then_some((number, sealed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back() {
        let sealed = [7; SEALED_BYTES_MIN];
        assert_eq!(split(&keep(0x0102_0304, &sealed)), Some((0x0102_0304, &sealed[..])));
    }

    #[test]
    fn what_cannot_be_a_vault_is_none() {
        assert_eq!(split(b"\0\0\0"), None, "no number");
        assert_eq!(split(&keep(0, &[7; 100])), None, "numbers begin with 1");
        assert_eq!(split(&keep(1, &[7; SEALED_BYTES_MIN - 1])), None, "no room for a seal");
    }
}
