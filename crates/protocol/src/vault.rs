//! The vault as it is kept, by the hub and in the key file: `u32 number | sealed vault (rule R25)`.
//!
//! The number is under the seal too, as part of what is authenticated, so nobody can change it. It
//! stands before the seal because whoever opens a vault must know it, and so that the hub can see
//! that it grows.

/// A sealed vault with its number before it.
pub fn keep(number: u32, sealed: &[u8]) -> Vec<u8> {
    let mut kept = number.to_be_bytes().to_vec();
    kept.extend_from_slice(sealed);
    kept
}

/// Number and sealed bytes of a kept vault; nothing if it is too short for a number.
pub fn split(kept: &[u8]) -> Option<(u32, &[u8])> {
    let (number, sealed) = kept.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), sealed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back() {
        assert_eq!(split(&keep(0x0102_0304, b"sealed")), Some((0x0102_0304, &b"sealed"[..])));
        assert_eq!(split(b"\0\0\0"), None);
    }
}
