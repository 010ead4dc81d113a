//! The vault as it is kept, by the hub and in the key file: `u32 number | sealed vault (rule R25)`.
//!
//! The number is under the seal too, as part of what is authenticated, so nobody can change it. It
//! stands before the seal because whoever opens a vault must know it, and so that the hub can see
//! that it grows.

/// Nonce and tag of AES-256-GCM: what is shorter holds nothing.
const SEAL_BYTES_MIN: usize = 12 + 16;

/// A sealed vault with its number before it.
pub fn keep(number: u32, sealed: &[u8]) -> Vec<u8> {
    let mut kept = number.to_be_bytes().to_vec();
    kept.extend_from_slice(sealed);
    kept
}

/// Number and sealed bytes of a kept vault; nothing if it is too short for one, or its number is 0:
/// the first vault of an account has number 1.
pub fn split(kept: &[u8]) -> Option<(u32, &[u8])> {
    let (number, sealed) = kept.split_first_chunk::<4>()?;
    let number = u32::from_be_bytes(*number);
    (number > 0 && sealed.len() >= SEAL_BYTES_MIN).then_some((number, sealed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back() {
        let sealed = [7; SEAL_BYTES_MIN];
        assert_eq!(split(&keep(0x0102_0304, &sealed)), Some((0x0102_0304, &sealed[..])));
    }

    #[test]
    fn what_has_no_number_or_no_seal_is_no_vault() {
        let sealed = [7; SEAL_BYTES_MIN];
        assert_eq!(split(&keep(0, &sealed)), None);
        for short in [&b""[..], b"\0\0\x01", &keep(1, b""), &keep(1, &sealed[1..])] {
            assert_eq!(split(short), None, "{} bytes", short.len());
        }
    }
}
