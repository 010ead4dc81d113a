//! Small numbers that look random and come again with the same seed.

use std::time::{SystemTime, UNIX_EPOCH};

/// A source of choices for one scenario.
pub struct Dice(u64);

impl Dice {
    /// Takes the seed from the environment variable, else from the clock, and prints it.
    ///
    /// # Panics
    /// When the variable holds no number.
    #[expect(clippy::print_stdout, reason = "the seed belongs to what a test says")]
    pub fn new(variable: &str) -> Self {
        let seed = match std::env::var(variable) {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos(),
        };
        println!("seed {seed}; the same choices again with {variable}={seed}");
        Self::of(u64::from(seed))
    }

    /// The choices of this seed.
    pub fn of(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `bound`, which must not be 0.
    ///
    /// # Panics
    /// When the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}
