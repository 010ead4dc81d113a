//! One signature over many frames: a Merkle tree over their to-be-signed strings (section 5.1, rule R20).
//! The root is signed together with the number of leaves.

use crate::limits::BATCH_FRAMES_MAX;
use crate::merkle;
use crate::tag::label;

pub use crate::merkle::leaf;

/// The string that is signed for a tree of `count` leaves.
pub fn root_to_be_signed(count: u16, root: &[u8; 32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(label::BATCH.len() + 37);
    bytes.extend_from_slice(label::BATCH.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&u32::from(count).to_be_bytes());
    bytes.extend_from_slice(root);
    bytes
}

/// The tree over 2 to [`BATCH_FRAMES_MAX`] frames; `None` for any other number.
pub fn tree(leaves: Vec<[u8; 32]>) -> Option<merkle::Tree> {
    (2..=BATCH_FRAMES_MAX).contains(&leaves.len()).then(|| merkle::Tree::new(leaves))?
}

/// How many siblings the path of frame `index` of `count` has.
pub fn path_length(count: u16, index: u16) -> usize {
    merkle::path_length(count.into(), index.into())
}

/// The root that a leaf and its path lead to; `None` if the path has the wrong length.
pub fn climb(leaf: [u8; 32], count: u16, index: u16, path: &[[u8; 32]]) -> Option<[u8; 32]> {
    merkle::climb(leaf, count.into(), index.into(), path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_two_to_sixty_four_frames() {
        assert!(tree(vec![[0; 32]]).is_none());
        assert!(tree(vec![[0; 32]; 2]).is_some());
        assert!(tree(vec![[0; 32]; 64]).is_some());
        assert!(tree(vec![[0; 32]; 65]).is_none());
    }
}
