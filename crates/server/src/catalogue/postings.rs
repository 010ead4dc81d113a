//! Offers in their order: those of a shelf, or those that have a term.

use std::{
    collections::{BTreeSet, btree_set},
    iter::Copied,
    slice,
};

use super::OfferKey;

/// Most offers in a plain list; more go into a tree. Most words are rare, and the smallest tree
/// takes the memory of ten of them.
const FEW_MAX: usize = 32;

/// An ordered set of offers, small when it holds few.
#[derive(Debug)]
pub(super) enum Postings {
    Few(Vec<OfferKey>),
    Many(BTreeSet<OfferKey>),
}

impl Default for Postings {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Postings {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(tree) => tree.len(),
        }
    }

    pub(super) fn contains(&self, key: OfferKey) -> bool {
        match self {
            Self::Few(list) => list.binary_search(&key).is_ok(),
            Self::Many(tree) => tree.contains(&key),
        }
    }

    pub(super) fn insert(&mut self, key: OfferKey) {
        match self {
            Self::Few(list) => {
                let Err(at) = list.binary_search(&key) else { return };
                if list.len() < FEW_MAX {
                    if list.len() == list.capacity() {
                        // Not by doubling from four: most lists hold one.
                        list.reserve_exact(list.len() / 2 + 1);
                    }
                    list.insert(at, key);
                } else {
                    let mut tree: BTreeSet<_> = list.iter().copied().collect();
                    tree.insert(key);
                    *self = Self::Many(tree);
                }
            }
            Self::Many(tree) => {
                tree.insert(key);
            }
        }
    }

    pub(super) fn remove(&mut self, key: OfferKey) {
        match self {
            Self::Few(list) => {
                if let Ok(at) = list.binary_search(&key) {
                    list.remove(at);
                }
            }
            Self::Many(tree) => {
                tree.remove(&key);
                // Well below the bound, so that one offer that comes and goes changes no form.
                if tree.len() < FEW_MAX / 2 {
                    *self = Self::Few(tree.iter().copied().collect());
                }
            }
        }
    }

    /// Those from `first` on, in order.
    pub(super) fn from(&self, first: OfferKey) -> Walk<'_> {
        match self {
            Self::Few(list) => {
                let at = list.partition_point(|key| *key < first);
                Walk::Few(list.get(at..).unwrap_or_default().iter().copied())
            }
            Self::Many(tree) => Walk::Many(tree.range(first..).copied()),
        }
    }
}

/// Walks over [`Postings`].
pub(super) enum Walk<'a> {
    Few(Copied<slice::Iter<'a, OfferKey>>),
    Many(Copied<btree_set::Range<'a, OfferKey>>),
}

impl Iterator for Walk<'_> {
    type Item = OfferKey;

    fn next(&mut self) -> Option<OfferKey> {
        match self {
            Self::Few(iter) => iter.next(),
            Self::Many(iter) => iter.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::id::MessageId;

    use super::*;
    use crate::store::AccountId;

    fn key(number: u8) -> OfferKey {
        (AccountId(i64::from(number % 3)), MessageId([number; 16]))
    }

    #[test]
    fn a_set_is_in_order_whatever_its_form() {
        let mut postings = Postings::default();
        let mut model = BTreeSet::new();
        // Up into a tree and down again, in an order that is none.
        for step in 0..=255_u8 {
            let key = key(step.wrapping_mul(37));
            postings.insert(key);
            postings.insert(key);
            model.insert(key);
            assert_eq!(postings.len(), model.len());
        }
        assert!(matches!(postings, Postings::Many(_)));
        for step in 0..=255_u8 {
            let first = key(step);
            assert!(postings.from(first).eq(model.range(first..).copied()), "step {step}");
            let key = key(step.wrapping_mul(91));
            assert!(postings.contains(key));
            postings.remove(key);
            postings.remove(key);
            model.remove(&key);
            assert!(!postings.contains(key));
        }
        assert!(matches!(&postings, Postings::Few(list) if list.is_empty()));
    }
}
