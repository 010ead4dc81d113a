//! Files that hold keys: only their owner reads them. And what is said of any file that cannot be used.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use thiserror::Error;
use zeroize::Zeroizing;

/// Permissions of such a file: only its owner reads it.
pub const MODE: u32 = 0o600;

/// A file could not be read, written or made.
#[derive(Debug, Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    /// What was tried.
    pub action: &'static str,
    /// Which file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// What the system says when this is tried.
    pub fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }
}

/// Why a private file cannot be used.
#[derive(Debug, Error)]
pub enum PrivateFileError {
    /// It could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Others on this machine can read it.
    #[error("{} can be read by others (mode {mode:o}); run: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// Reads a file that others must not be able to read.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let bytes = fs::read(path).map(Zeroizing::new).map_err(FileError::of("read", path))?;
    let mode = fs::metadata(path).map_err(FileError::of("read", path))?.mode();
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::Exposed { path: path.to_owned(), mode: mode & 0o777 });
    }
    Ok(bytes)
}

/// The same; nothing where there is no file.
pub fn read_if_there(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, PrivateFileError> {
    match read(path) {
        Err(PrivateFileError::File(error)) if error.source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Makes a file with these permissions, which must not be there, and waits until it is on the disk.
pub fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
