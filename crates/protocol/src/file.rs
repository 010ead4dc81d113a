//! Files between people (rule R10): what a file is, its chunks, and what a hub may know of it.
//!
//! ```text
//!  owner                                     receiver
//!  file ─ chunks ─ tree ─► Manifest (name, size, root) ─ in a signed message ─► pins the root
//!  chunk i + its path ─ seal, key of this transfer ─► FILE frame ─► open, climb to the root, keep
//! ```
//!
//! A chunk brings its way to the root along, so it is checked when it arrives, in any order and from
//! any holder, and before it is kept. FILE frames are not signed: the root stands in a message that is.

mod audience;
pub mod catalogue;
pub mod chunk;
pub mod name;
pub mod offer;
pub mod relay;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::Digest;
use crate::limits::{FILE_BYTES_MAX, FILE_CHUNK_BYTES, FILE_NAME_BYTES_MAX};
use crate::merkle;

/// Why a file, a manifest or a chunk was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FileError {
    /// Longer than a file may be.
    #[error("a file of {got} bytes; at most {FILE_BYTES_MAX} can be sent")]
    TooLong {
        /// Its size in bytes.
        got: u64,
    },
    /// The name in the manifest is empty or too long.
    #[error("a file's name has 1 to {FILE_NAME_BYTES_MAX} bytes, got {got}")]
    Name {
        /// Its length in bytes.
        got: usize,
    },
    /// The bytes of a frame are not a chunk.
    #[error("not a chunk of a file: {0}")]
    Form(&'static str),
    /// The chunk does not open under the key of this transfer.
    #[error("the chunk does not open under the key of this transfer")]
    Sealed,
    /// The chunk is not the one that the root in the manifest promises.
    #[error("chunk {index} is not part of the file that was offered")]
    NotOfTheFile {
        /// Its index.
        index: u32,
    },
}

/// What a file is: stands in a signed message, and everything that arrives is checked against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The owner's name for it; a receiver reduces it with [`name::reduce`].
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Root of the tree over its chunks.
    pub root: Digest,
}

impl Manifest {
    /// Refuses a manifest that no file can have.
    pub fn check(&self) -> Result<(), FileError> {
        if self.size > FILE_BYTES_MAX {
            return Err(FileError::TooLong { got: self.size });
        }
        if !(1..=FILE_NAME_BYTES_MAX).contains(&self.name.len()) {
            return Err(FileError::Name { got: self.name.len() });
        }
        Ok(())
    }

    /// How many chunks it has; an empty file has one, which is empty.
    pub fn chunks(&self) -> u32 {
        chunks(self.size)
    }

    /// Length of chunk `index` in bytes; `None` behind the end.
    pub fn chunk_length(&self, index: u32) -> Option<usize> {
        let chunk = u64::try_from(FILE_CHUNK_BYTES).unwrap_or(u64::MAX);
        let rest = self.size.checked_sub(u64::from(index) * chunk)?;
        (index < self.chunks()).then(|| usize::try_from(rest.min(chunk)).unwrap_or(0))
    }

    /// Whether chunk `index` is what the root promises, by its way up.
    pub fn verify(&self, index: u32, path: &[[u8; 32]], data: &[u8]) -> Result<(), FileError> {
        let fits = self.chunk_length(index) == Some(data.len());
        let root = merkle::climb(merkle::leaf(data), self.chunks(), index, path);
        if fits && root == Some(self.root.0) {
            Ok(())
        } else {
            Err(FileError::NotOfTheFile { index })
        }
    }
}

/// How many chunks a file of `size` bytes has.
pub fn chunks(size: u64) -> u32 {
    let chunk = u64::try_from(FILE_CHUNK_BYTES).unwrap_or(u64::MAX);
    u32::try_from(size.div_ceil(chunk)).unwrap_or(u32::MAX).max(1)
}

/// Gathers the leaves of a file while it is read.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    leaves: Vec<[u8; 32]>,
    size: u64,
}

impl TreeBuilder {
    /// Adds the next chunk: [`FILE_CHUNK_BYTES`] bytes, only the last may be shorter.
    pub fn add(&mut self, chunk: &[u8]) -> Result<(), FileError> {
        self.size += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if self.size > FILE_BYTES_MAX {
            return Err(FileError::TooLong { got: self.size });
        }
        self.leaves.push(merkle::leaf(chunk));
        Ok(())
    }

    /// The tree, and the size of the file in bytes.
    pub fn finish(mut self) -> (merkle::Tree, u64) {
        if self.leaves.is_empty() {
            self.leaves.push(merkle::leaf(&[]));
        }
        (merkle::Tree::new(self.leaves).expect("there is a leaf"), self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_a_file_exactly() {
        let chunk = u64::try_from(FILE_CHUNK_BYTES).unwrap();
        for (size, count) in [(0, 1), (1, 1), (chunk, 1), (chunk + 1, 2), (3 * chunk, 3)] {
            let manifest = Manifest { name: "f".into(), size, root: Digest::ZERO };
            assert_eq!(manifest.chunks(), count, "{size}");
            let sum: usize = (0..count).map(|i| manifest.chunk_length(i).unwrap()).sum();
            assert_eq!(u64::try_from(sum).unwrap(), size);
            assert_eq!(manifest.chunk_length(count), None);
        }
    }

    #[test]
    fn a_chunk_is_checked_by_its_way_to_the_root() {
        let file: Vec<u8> = (0..300_000u32).flat_map(u32::to_be_bytes).collect();
        let mut builder = TreeBuilder::default();
        file.chunks(FILE_CHUNK_BYTES).for_each(|chunk| builder.add(chunk).unwrap());
        let (tree, size) = builder.finish();
        let manifest = Manifest { name: "numbers".into(), size, root: Digest(tree.root()) };
        for (index, chunk) in (0..).zip(file.chunks(FILE_CHUNK_BYTES)) {
            let path = tree.path(usize::try_from(index).unwrap());
            assert_eq!(manifest.verify(index, &path, chunk), Ok(()));
            assert!(manifest.verify(index + 1, &path, chunk).is_err());
            assert!(manifest.verify(index, &path, &chunk[1..]).is_err());
            let mut other = chunk.to_vec();
            other[0] ^= 1;
            assert!(manifest.verify(index, &path, &other).is_err());
        }
    }

    #[test]
    fn impossible_manifests_are_refused() {
        let manifest = |name: &str, size| Manifest { name: name.into(), size, root: Digest::ZERO };
        assert_eq!(manifest("a", FILE_BYTES_MAX).check(), Ok(()));
        assert!(manifest("a", FILE_BYTES_MAX + 1).check().is_err());
        assert!(manifest("", 1).check().is_err());
        assert!(manifest(&"a".repeat(FILE_NAME_BYTES_MAX + 1), 1).check().is_err());
    }
}
