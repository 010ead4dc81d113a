//! Roots of files that were hashed before, by their stamps.
//!
//! ```text
//! "chat-roots/1\n" || entry … || SHA-256 of all before
//! entry = u64 device | u64 inode | u64 size | i64 s | i64 ns | i64 s | i64 ns | root, 32 bytes
//! ```

use std::collections::HashMap;

use chat_protocol::crypto::sha256;
use chat_protocol::id::Digest;

use crate::hash::Stamp;
use crate::limits::CACHE_ENTRIES_MAX;

const MAGIC: &[u8] = b"chat-roots/1\n";

/// Seven numbers and the root.
const ENTRY_BYTES: usize = 7 * 8 + 32;

/// Roots by stamp. The caller keeps its bytes in the home; they are no secret and can be lost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cache {
    roots: HashMap<Stamp, Digest>,
}

impl Cache {
    /// The root of a file with this stamp.
    pub fn get(&self, stamp: &Stamp) -> Option<Digest> {
        self.roots.get(stamp).copied()
    }

    /// How many roots there are.
    pub fn len(&self) -> usize {
        self.roots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    pub(super) fn insert(&mut self, stamp: Stamp, root: Digest) {
        if self.roots.len() < CACHE_ENTRIES_MAX {
            self.roots.insert(stamp, root);
        }
    }

    pub(super) fn merge(&mut self, newer: Self) {
        for (stamp, root) in newer.roots {
            self.insert(stamp, root);
        }
    }

    /// The form for the disk.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAGIC.len() + self.roots.len() * ENTRY_BYTES + 32);
        bytes.extend_from_slice(MAGIC);
        for (stamp, root) in &self.roots {
            let signed = [stamp.modified.0, stamp.modified.1, stamp.changed.0, stamp.changed.1];
            for number in [stamp.place.0, stamp.place.1, stamp.size] {
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            for number in signed {
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            bytes.extend_from_slice(root.as_bytes());
        }
        let digest = sha256(&bytes);
        bytes.extend_from_slice(&digest);
        bytes
    }

    /// Reads the form of the disk. Bytes that are damaged make an empty cache: then files are hashed.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (signed, digest) = bytes.split_last_chunk::<32>()?;
        let entries = signed.strip_prefix(MAGIC)?;
        let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
        if sha256(signed) != *digest || !rest.is_empty() || entries.len() > CACHE_ENTRIES_MAX {
            return None;
        }
        let mut cache = Self::default();
        for entry in entries {
            let (numbers, root) = entry.split_last_chunk::<32>()?;
            let [device, inode, size, m, m_ns, c, c_ns] = *numbers.as_chunks::<8>().0 else {
                return None;
            };
            let stamp = Stamp {
                place: (u64::from_be_bytes(device), u64::from_be_bytes(inode)),
                size: u64::from_be_bytes(size),
                modified: (i64::from_be_bytes(m), i64::from_be_bytes(m_ns)),
                changed: (i64::from_be_bytes(c), i64::from_be_bytes(c_ns)),
            };
            cache.roots.insert(stamp, Digest(*root));
        }
        Some(cache)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_damaged_ones_are_nothing() {
        let mut cache = Cache::default();
        for n in 0..50u8 {
            let time = (i64::from(n) - 9, 999_999_999);
            let place = (u64::MAX, u64::from(n));
            let stamp = Stamp { place, size: 7, modified: time, changed: (time.1, time.0) };
            cache.insert(stamp, Digest([n; 32]));
        }
        let bytes = cache.to_bytes();
        assert_eq!(Cache::from_bytes(&bytes), cache);
        assert_eq!(Cache::from_bytes(&Cache::default().to_bytes()), Cache::default());
        for at in [0, 13, 14, 100, bytes.len() - 1] {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Cache::from_bytes(&bad).is_empty(), "byte {at}");
            assert!(Cache::from_bytes(&bytes[..at]).is_empty(), "{at} bytes");
        }
    }
}
