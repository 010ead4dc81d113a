//! One server for one data folder and one log folder: an flock that the kernel gives back after any kind of end.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

/// Why the folder is not ours.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds it.
    #[error(
        "another server uses the {} folder {}; stop it, or choose another folder with {}",
        kind.name(), folder.display(), kind.flag()
    )]
    Held {
        /// Which of the two.
        kind: Kind,
        /// The folder.
        folder: PathBuf,
    },
    /// The file could not be made or locked.
    #[error("cannot lock the {} folder {}: {source}", kind.name(), folder.display())]
    Io {
        /// Which of the two.
        kind: Kind,
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Database and keys.
    Data,
    /// Two servers in one audit log would break each other's chain.
    Logs,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Logs => "log",
        }
    }

    fn flag(self) -> &'static str {
        match self {
            Self::Data => "--data",
            Self::Logs => "--logs",
        }
    }

    /// The locked file. Clients may log into the same folder, so its name says whose it is there.
    fn file(self) -> &'static str {
        match self {
            Self::Data => "lock",
            Self::Logs => "server.lock",
        }
    }
}

/// Only the owner opens it.
const MODE: u32 = 0o600;

/// Holds the folder until it is dropped.
#[derive(Debug)]
pub struct FolderLock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl FolderLock {
    /// Takes the folder, which is made if it is not there.
    pub fn take(kind: Kind, folder: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { kind, folder: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(MODE)
            .open(folder.join(kind.file()))
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(LockError::Held { kind, folder: folder.to_owned() })
            }
            Err(errno) => Err(failed(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_is_held_once_and_freed() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(Kind::Data, folder.path()).unwrap();
        let error = FolderLock::take(Kind::Data, folder.path()).unwrap_err();
        assert!(matches!(error, LockError::Held { .. }), "{error}");
        assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
        drop(first);
        FolderLock::take(Kind::Data, folder.path()).unwrap();
    }

    /// Goal: two servers with data folders of their own do not write one audit log, and the refusal names the
    /// flag. A log folder that is the data folder is held twice by one server.
    #[test]
    fn a_log_folder_is_held_once_too() {
        let folder = tempfile::tempdir().unwrap();
        let _data = FolderLock::take(Kind::Data, folder.path()).unwrap();
        let _logs = FolderLock::take(Kind::Logs, folder.path()).unwrap();
        let error = FolderLock::take(Kind::Logs, folder.path()).unwrap_err().to_string();
        assert!(error.contains("log folder") && error.contains("--logs"), "{error}");
        for name in ["lock", "server.lock"] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name}");
        }
    }
}
