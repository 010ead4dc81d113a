//! A set of clients, one bit each: there is one for every message.

/// Numbers of clients.
#[derive(Debug, Default)]
pub(super) struct Clients(Vec<u64>);

impl Clients {
    /// Adds one; false when it was in already.
    pub(super) fn insert(&mut self, client: usize) -> bool {
        let (word, bit) = (client / 64, 1_u64 << (client % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let Some(word) = self.0.get_mut(word) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Whether it is in.
    pub(super) fn contains(&self, client: usize) -> bool {
        self.0.get(client / 64).is_some_and(|word| word & (1 << (client % 64)) != 0)
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// How many of these are not among the others.
    pub(super) fn count_without(&self, others: &Self) -> u64 {
        let other = |index| others.0.get(index).copied().unwrap_or(0);
        let rest = self.0.iter().enumerate().map(|(index, word)| word & !other(index));
        rest.map(|word| u64::from(word.count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_needs_more_than_one_word() {
        let mut clients = Clients::default();
        assert!(clients.insert(200) && !clients.insert(200) && clients.insert(63));
        assert!(clients.contains(200) && !clients.contains(64) && clients.count() == 2);
        assert_eq!(clients.count_without(&Clients(vec![u64::MAX])), 1);
    }
}
