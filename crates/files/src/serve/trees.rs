//! Trees of files that were given a short while ago, so that whoever wants one of them next does not
//! wait until it is read through again.

use std::sync::Arc;

use chat_protocol::merkle::Tree;
use lru::LruCache;
use parking_lot::Mutex;

use crate::hash::Stamp;
use crate::limits::{TREES_BYTES_MAX, TREES_MAX};

/// Bytes of one hash.
const HASH_BYTES: usize = 32;

/// Trees by the stamps of their files, those that were used last. Clones share them.
///
/// A tree is believed as little as the disk: each chunk that is read has to climb to its root.
#[derive(Debug, Clone, Default)]
pub struct Trees(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    trees: LruCache<Stamp, Arc<Tree>>,
    bytes: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Self { trees: LruCache::unbounded(), bytes: 0 }
    }
}

impl Trees {
    /// The tree of a file with this stamp.
    pub(super) fn get(&self, stamp: &Stamp) -> Option<Arc<Tree>> {
        self.0.lock().trees.get(stamp).cloned()
    }

    /// Keeps a tree; those that were not used for the longest time make room.
    pub(super) fn keep(&self, stamp: Stamp, tree: Arc<Tree>) {
        let mut kept = self.0.lock();
        kept.bytes += weight(&tree);
        let old = kept.trees.put(stamp, tree);
        kept.bytes -= old.map_or(0, |tree| weight(&tree));
        while kept.trees.len() > TREES_MAX || kept.bytes > TREES_BYTES_MAX {
            let Some((_, tree)) = kept.trees.pop_lru() else { break };
            kept.bytes -= weight(&tree);
        }
    }

    /// What is read from the file does not fit to its tree.
    pub(super) fn forget(&self, stamp: &Stamp) {
        let mut kept = self.0.lock();
        let old = kept.trees.pop(stamp);
        kept.bytes -= old.map_or(0, |tree| weight(&tree));
    }
}

/// What a tree takes, in bytes, nearly: above its leaves stand as many hashes again.
fn weight(tree: &Tree) -> usize {
    2 * HASH_BYTES * tree.leaves()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(n: u64) -> Stamp {
        Stamp { place: (1, n), size: n, modified: (0, 0), changed: (0, 0) }
    }

    fn tree(leaves: usize) -> Arc<Tree> {
        Arc::new(Tree::new(vec![[1; 32]; leaves]).unwrap())
    }

    #[test]
    fn both_bounds_hold_and_what_was_used_last_stays() {
        let trees = Trees::default();
        for n in 0..u64::try_from(TREES_MAX).unwrap() + 10 {
            trees.keep(stamp(n), tree(1));
            assert!(trees.get(&stamp(0)).is_some(), "it was used just now");
        }
        assert_eq!(trees.0.lock().trees.len(), TREES_MAX);
        assert!(trees.get(&stamp(1)).is_none());
        let third = TREES_BYTES_MAX / 3 / weight(&tree(1));
        for n in 0..4 {
            trees.keep(stamp(n), tree(third));
        }
        assert_eq!(trees.0.lock().bytes, 3 * weight(&tree(third)));
        assert!(trees.get(&stamp(0)).is_none() && trees.get(&stamp(3)).is_some());
        // In the place of itself, and away.
        trees.keep(stamp(3), tree(1));
        trees.forget(&stamp(3));
        trees.forget(&stamp(3));
        assert_eq!(trees.0.lock().bytes, 2 * weight(&tree(third)));
        // One that is too large for all of it leaves nothing behind.
        trees.keep(stamp(9), tree(4 * third));
        let kept = trees.0.lock();
        assert_eq!((kept.trees.len(), kept.bytes), (0, 0));
    }
}
