//! A file that is being sent: its tree in memory, its chunks from the disk.

mod trees;

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use chat_beneath::{OpenError, RelativePath};
use chat_protocol::file::{FileError, Manifest};
use chat_protocol::id::Digest;
use chat_protocol::limits::{FILE_CHUNK_BYTES, FILE_NAME_BYTES_MAX};
use chat_protocol::merkle::Tree;
use thiserror::Error;

use crate::folder::SharedFolder;
use crate::hash::{HashError, Hashed, Hashing, Stamp};
use crate::limits::STEP_BYTES_MAX;

pub use trees::Trees;

/// Why a file is not sent, or not any more.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It cannot be opened.
    #[error("the file cannot be opened: {0}")]
    Open(#[from] OpenError),
    /// It cannot be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Its name.
    #[error("the name of the file is not text, or it has none")]
    Name,
    /// It is not any more what was offered.
    #[error("the file was changed while it was being sent; offer it again")]
    Changed,
    /// A chunk behind its end.
    #[error(transparent)]
    File(#[from] FileError),
    /// It cannot be read.
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// A file that is being read through for the first time.
#[derive(Debug)]
pub struct Opening {
    name: String,
    hashing: Hashing,
}

/// A file that can be sent. It stays the same file when another takes its name.
#[derive(Debug)]
pub struct Source {
    manifest: Manifest,
    file: File,
    stamp: Stamp,
    tree: Arc<Tree>,
    /// Where the tree is kept for the next one who wants this file.
    kept_in: Option<Trees>,
}

impl Opening {
    /// Opens a file of a shared folder.
    pub fn shared(folder: &SharedFolder, name: &RelativePath) -> Result<Self, SourceError> {
        let open = folder.open_file(name)?;
        let name = name.names().last().unwrap_or_default();
        Self::new(open.file, name)
    }

    /// Opens any file that its owner names. Links are followed; what is no plain file is refused.
    pub fn named(path: &Path) -> Result<Self, SourceError> {
        let name = path.file_name().and_then(std::ffi::OsStr::to_str).ok_or(SourceError::Name)?;
        // A pipe that nobody writes to would be waited for.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        let kind = file.metadata()?.file_type();
        if kind.is_dir() {
            return Err(OpenError::Folder.into());
        }
        if !kind.is_file() {
            return Err(OpenError::Special.into());
        }
        Self::new(file, name)
    }

    fn new(file: File, name: &str) -> Result<Self, SourceError> {
        if !(1..=FILE_NAME_BYTES_MAX).contains(&name.len()) {
            return Err(SourceError::Name);
        }
        Ok(Self { name: name.to_owned(), hashing: Hashing::new(file)? })
    }

    /// Reads some more of it, for some ten milliseconds; `true` when all is read.
    pub fn step(&mut self) -> Result<bool, SourceError> {
        Ok(self.hashing.step(STEP_BYTES_MAX)?)
    }

    /// Bytes read so far, and the size.
    pub fn progress(&self) -> (u64, u64) {
        self.hashing.progress()
    }

    /// The file, when all is read and it stood still meanwhile.
    pub fn finish(self) -> Result<Source, SourceError> {
        let Hashed { file, stamp, tree } = self.hashing.finish()?;
        let root = Digest(tree.root());
        let manifest = Manifest { name: self.name, size: stamp.size, root };
        Ok(Source { manifest, file, stamp, tree: Arc::new(tree), kept_in: None })
    }

    /// The file at once if its tree is kept, or else when all of it is read, which can take long. `now_ms`
    /// is Unix time in milliseconds.
    ///
    /// A kept tree stands for a file of the same place, size and times. Whatever else has become of
    /// it is seen when its chunks are read.
    pub fn read_through(mut self, trees: &Trees, now_ms: u64) -> Result<Source, SourceError> {
        let stamp = self.hashing.stamp();
        let kept_in = Some(trees.clone());
        if let Some(tree) = trees.get(&stamp) {
            let root = Digest(tree.root());
            let manifest = Manifest { name: self.name, size: stamp.size, root };
            return Ok(Source { manifest, file: self.hashing.into_file(), stamp, tree, kept_in });
        }
        while !self.step()? {}
        let source = self.finish()?;
        if stamp.has_settled(now_ms) {
            trees.keep(stamp, Arc::clone(&source.tree));
        }
        Ok(Source { kept_in, ..source })
    }
}

impl Source {
    /// Opens a file of a shared folder and reads all of it, which can take long.
    pub fn open(folder: &SharedFolder, name: &RelativePath) -> Result<Self, SourceError> {
        let mut opening = Opening::shared(folder, name)?;
        while !opening.step()? {}
        opening.finish()
    }

    /// What it is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether it is the file of an offer. If not, it was changed since it was listed.
    pub fn is(&self, offered: &Manifest) -> bool {
        (self.manifest.root, self.manifest.size) == (offered.root, offered.size)
    }

    /// Reads a chunk, with its path to the root. What is given here always climbs to it.
    pub fn read_chunk(&self, index: u32) -> Result<(Vec<u8>, Vec<[u8; 32]>), SourceError> {
        let read = self.read_checked(index);
        if let (Err(SourceError::Changed), Some(trees)) = (&read, &self.kept_in) {
            trees.forget(&self.stamp);
        }
        read
    }

    fn read_checked(&self, index: u32) -> Result<(Vec<u8>, Vec<[u8; 32]>), SourceError> {
        let length = self.manifest.chunk_length(index).ok_or(FileError::NotOfTheFile { index })?;
        let chunk = u64::try_from(FILE_CHUNK_BYTES).unwrap_or(u64::MAX);
        let mut data = vec![0; length];
        match self.file.read_exact_at(&mut data, u64::from(index) * chunk) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(SourceError::Changed);
            }
            other => other?,
        }
        let now = Stamp::new(&self.file.metadata()?);
        let path = self.tree.path(usize::try_from(index).unwrap_or(usize::MAX));
        let is_same = now.is_same_content(&self.stamp);
        if !is_same || self.manifest.verify(index, &path, &data).is_err() {
            return Err(SourceError::Changed);
        }
        Ok((data, path))
    }
}

#[cfg(test)]
mod tests;
