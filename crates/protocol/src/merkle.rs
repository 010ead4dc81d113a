//! A Merkle tree over SHA-256, as frames of a batch and chunks of a file climb it.
//!
//! `leaf = SHA(00 || bytes)`, `node = SHA(01 || left || right)`, and an odd node is promoted as it is
//! (RFC 6962, section 2.1, gives the two prefixes). The number of leaves is not in the root: whoever
//! signs or keeps a root says it beside it.

use crate::crypto::sha256_parts;

/// The leaf of some bytes.
pub fn leaf(bytes: &[u8]) -> [u8; 32] {
    sha256_parts(&[&[0], bytes])
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    sha256_parts(&[&[1], left, right])
}

/// A tree over at least one leaf.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Levels from the leaves to the root; each is half the one below, rounded up.
    levels: Vec<Vec<[u8; 32]>>,
}

impl Tree {
    /// Builds the tree; `None` without leaves.
    pub fn new(leaves: Vec<[u8; 32]>) -> Option<Self> {
        if leaves.is_empty() {
            return None;
        }
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below
                .chunks(2)
                .filter_map(|pair| match pair {
                    [left, right] => Some(node(left, right)),
                    [promoted, ..] => Some(*promoted),
                    [] => None,
                })
                .collect();
            levels.push(above);
        }
        Some(Self { levels })
    }

    /// The root.
    pub fn root(&self) -> [u8; 32] {
        self.levels.last().and_then(|level| level.first()).copied().expect("a tree has a root")
    }

    /// How many leaves it has.
    pub fn leaves(&self) -> usize {
        self.levels.first().map_or(0, Vec::len)
    }

    /// The siblings on the way from leaf `index` to the root, lowest first.
    pub fn path(&self, index: usize) -> Vec<[u8; 32]> {
        let mut index = index;
        let mut path = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            path.extend(level.get(index ^ 1));
            index /= 2;
        }
        path
    }
}

/// How many siblings the path of leaf `index` of `count` has: a promoted node has none.
pub fn path_length(count: u32, index: u32) -> usize {
    let (mut size, mut index, mut length) = (count, index, 0);
    while size > 1 {
        if (index ^ 1) < size {
            length += 1;
        }
        index /= 2;
        size = size.div_ceil(2);
    }
    length
}

/// The root that a leaf and its path lead to; `None` if the path has the wrong length.
pub fn climb(leaf: [u8; 32], count: u32, index: u32, path: &[[u8; 32]]) -> Option<[u8; 32]> {
    let (mut size, mut index, mut hash) = (count, index, leaf);
    let mut siblings = path.iter();
    while size > 1 {
        if (index ^ 1) < size {
            let sibling = siblings.next()?;
            hash = if index % 2 == 0 { node(&hash, sibling) } else { node(sibling, &hash) };
        }
        index /= 2;
        size = size.div_ceil(2);
    }
    siblings.next().is_none().then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every tree size, every leaf: the path leads to the root, and nothing else does.
    #[test]
    fn every_leaf_of_every_size_climbs_to_the_root() {
        for count in (1..=70u32).chain([127, 128, 129, 1_000]) {
            let leaves: Vec<_> = (0..count).map(|i| leaf(&i.to_be_bytes())).collect();
            let tree = Tree::new(leaves.clone()).unwrap();
            for index in 0..count {
                let place = usize::try_from(index).unwrap();
                let path = tree.path(place);
                assert_eq!(path.len(), path_length(count, index));
                assert_eq!(climb(leaves[place], count, index, &path), Some(tree.root()));
                assert_ne!(climb([9; 32], count, index, &path), Some(tree.root()));
                let longer: Vec<_> = path.iter().copied().chain([[0; 32]]).collect();
                assert_eq!(climb(leaves[place], count, index, &longer), None);
            }
        }
        assert!(Tree::new(Vec::new()).is_none());
    }
}
