//! Seeded randomness: the same seed throws the same dice on every machine.

use chat_endpoint::Random;
use chat_testkit::random::Seeded;

/// A source of decisions. Each actor of a world has its own, so that one more throw of one of them
/// does not change the others.
#[derive(Debug, Clone)]
pub(crate) struct Dice(Seeded);

impl Dice {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(Seeded::new(seed, stream))
    }

    /// From `low` up to and with `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.number() % (high.saturating_sub(low) + 1)
    }

    /// True in so many of a hundred throws.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.0.number() % 100 < chance
    }

    /// Another source whose throws follow from this one's.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.0.split())
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        let last = u64::try_from(length.saturating_sub(1)).unwrap();
        usize::try_from(self.between(0, last)).unwrap()
    }

    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.index(items.len())]
    }
}

/// The random bytes of a device. They keep nothing secret here.
impl Random for Dice {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}
