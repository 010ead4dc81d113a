//! One signature over many frames: a Merkle tree over their to-be-signed strings (6.2, rule R20).
//!
//! `leaf = SHA(00 || TBS)`, `node = SHA(01 || left || right)`, an odd node is promoted as it is, and
//! the root is signed together with the number of leaves.

use crate::crypto::sha256_parts;
use crate::limits::{BATCH_FRAMES_MAX, BATCH_PATH_MAX};
use crate::tag::label;

/// The leaf of one frame.
pub fn leaf(to_be_signed: &[u8]) -> [u8; 32] {
    sha256_parts(&[&[0], to_be_signed])
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    sha256_parts(&[&[1], left, right])
}

/// The string that is signed for a tree of `count` leaves.
pub fn root_to_be_signed(count: u16, root: &[u8; 32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(label::BATCH.len() + 37);
    bytes.extend_from_slice(label::BATCH.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&u32::from(count).to_be_bytes());
    bytes.extend_from_slice(root);
    bytes
}

/// A tree over 2 to 64 leaves.
#[derive(Debug)]
pub struct Tree {
    /// Levels from the leaves to the root; each is half the one below, rounded up.
    levels: Vec<Vec<[u8; 32]>>,
}

impl Tree {
    /// Builds the tree; `None` unless there are 2 to [`BATCH_FRAMES_MAX`] leaves.
    pub fn new(leaves: Vec<[u8; 32]>) -> Option<Self> {
        if !(2..=BATCH_FRAMES_MAX).contains(&leaves.len()) {
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

    /// The siblings on the way from leaf `index` to the root, lowest first.
    pub fn path(&self, index: usize) -> Vec<[u8; 32]> {
        let mut path = Vec::with_capacity(BATCH_PATH_MAX);
        let mut index = index;
        for level in &self.levels {
            if let Some(sibling) = level.get(index ^ 1) {
                path.push(*sibling);
            }
            index /= 2;
        }
        path
    }
}

/// How many siblings the path of leaf `index` of `count` has: a promoted node has none.
pub fn path_length(count: u16, index: u16) -> usize {
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
pub fn climb(leaf: [u8; 32], count: u16, index: u16, path: &[[u8; 32]]) -> Option<[u8; 32]> {
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
        for count in 2..=64u16 {
            let leaves: Vec<_> = (0..count).map(|i| leaf(&i.to_be_bytes())).collect();
            let tree = Tree::new(leaves.clone()).unwrap();
            for index in 0..count {
                let path = tree.path(usize::from(index));
                assert_eq!(path.len(), path_length(count, index));
                let leaf = leaves[usize::from(index)];
                assert_eq!(climb(leaf, count, index, &path), Some(tree.root()));
                assert_ne!(climb([9; 32], count, index, &path), Some(tree.root()));
                let longer: Vec<_> = path.iter().copied().chain([[0; 32]]).collect();
                assert_eq!(climb(leaf, count, index, &longer), None);
            }
        }
        assert!(Tree::new(vec![[0; 32]]).is_none());
        assert!(Tree::new(vec![[0; 32]; 65]).is_none());
    }
}
