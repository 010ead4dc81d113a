//! Random bytes that come again (`SplitMix64`). They keep nothing secret.

use chat_endpoint::Random;

/// The same seed gives the same bytes on every machine.
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    /// The stream with this number of a seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut source = Self(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        source.number();
        source
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Another source whose numbers follow from this one's.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self::new(self.number(), 0)
    }
}

impl Random for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            let number = self.number().to_be_bytes();
            piece.copy_from_slice(&number[..piece.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_bytes_again_and_streams_differ() {
        let bytes = |seed, stream| {
            let mut bytes = [0; 21];
            Seeded::new(seed, stream).fill(&mut bytes);
            bytes
        };
        assert_eq!(bytes(1, 0), bytes(1, 0));
        assert_ne!(bytes(1, 0), bytes(2, 0));
        assert_ne!(bytes(1, 0), bytes(1, 1));
    }
}
