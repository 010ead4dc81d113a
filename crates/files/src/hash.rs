//! The tree of a file, read piece by piece, and a stamp by which a change is seen.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;

use chat_protocol::file::{FileError, TreeBuilder};
use chat_protocol::limits::{FILE_BYTES_MAX, FILE_CHUNK_BYTES};
use chat_protocol::merkle::Tree;
use thiserror::Error;

use crate::limits::STAMP_COARSE_MS;

/// What the system says of a file: another stamp is another content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The file system and the file on it.
    pub place: (u64, u64),
    /// Size in bytes.
    pub size: u64,
    /// When the content was changed: seconds and nanoseconds of Unix time.
    pub modified: (i64, i64),
    /// When anything was changed, the owner's own settings of `modified` included.
    pub changed: (i64, i64),
}

impl Stamp {
    /// The stamp of an open file.
    pub fn new(about: &Metadata) -> Self {
        Self {
            place: (about.dev(), about.ino()),
            size: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }

    /// Whether the content can be the same: a new link or mode changes `changed` alone.
    pub fn is_same_content(&self, other: &Self) -> bool {
        (self.place, self.size, self.modified) == (other.place, other.size, other.modified)
    }

    /// Whether a change from this moment on, Unix time in milliseconds, gets another stamp.
    pub fn has_settled(&self, now_ms: u64) -> bool {
        let changed_ms = u64::try_from(self.changed.0.saturating_mul(1_000)).unwrap_or(0);
        changed_ms.saturating_add(STAMP_COARSE_MS) < now_ms
    }
}

/// Why a file has no tree.
#[derive(Debug, Error)]
pub enum HashError {
    /// It was written to while it was read.
    #[error("the file is being changed just now")]
    Changed,
    /// It is too large.
    #[error(transparent)]
    File(#[from] FileError),
    /// It could not be read.
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// A file that is being hashed.
#[derive(Debug)]
pub struct Hashing {
    file: File,
    stamp: Stamp,
    builder: TreeBuilder,
    read: u64,
    buffer: Vec<u8>,
}

/// A file that was hashed.
#[derive(Debug)]
pub struct Hashed {
    /// The file, for reading at any place.
    pub file: File,
    /// Its stamp, the same before and after.
    pub stamp: Stamp,
    /// Its tree.
    pub tree: Tree,
}

impl Hashing {
    /// Begins with a file at its beginning.
    pub fn new(file: File) -> Result<Self, HashError> {
        let stamp = Stamp::new(&file.metadata()?);
        if stamp.size > FILE_BYTES_MAX {
            return Err(FileError::TooLong { got: stamp.size }.into());
        }
        let buffer = vec![0; FILE_CHUNK_BYTES];
        Ok(Self { file, stamp, builder: TreeBuilder::default(), read: 0, buffer })
    }

    /// Bytes read so far, and the size.
    pub fn progress(&self) -> (u64, u64) {
        (self.read, self.stamp.size)
    }

    /// The stamp at the beginning.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The file, when its tree is known already.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Reads about `bytes` more; `true` when the end is reached.
    pub fn step(&mut self, bytes: usize) -> Result<bool, HashError> {
        let mut left = bytes.max(1);
        while left > 0 {
            let length = fill(&mut self.file, &mut self.buffer)?;
            let data = self.buffer.get(..length).unwrap_or_default();
            if !data.is_empty() {
                self.builder.add(data)?;
            }
            self.read += u64::try_from(length).unwrap_or(u64::MAX);
            if self.read > self.stamp.size {
                return Err(HashError::Changed);
            }
            if length < FILE_CHUNK_BYTES {
                return Ok(true);
            }
            left = left.saturating_sub(length);
        }
        Ok(false)
    }

    /// The tree, if the file stood still.
    pub fn finish(self) -> Result<Hashed, HashError> {
        let (tree, size) = self.builder.finish();
        let after = Stamp::new(&self.file.metadata()?);
        if size != self.stamp.size || after != self.stamp {
            return Err(HashError::Changed);
        }
        Ok(Hashed { file: self.file, stamp: self.stamp, tree })
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
