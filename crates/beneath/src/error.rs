//! Why something is not opened.

use std::{io, path::PathBuf};

use rustix::io::Errno;
use thiserror::Error;

/// Why a folder cannot be used.
#[derive(Debug, Error)]
#[error("cannot open the folder {}: {source}", path.display())]
pub struct FolderError {
    /// Which folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Why there is no file to read.
#[derive(Debug, Error)]
pub enum OpenError {
    /// No such file, or a name on the way to it is not a folder.
    #[error("there is no such file")]
    Absent,
    /// A symbolic link is on the way or at its end.
    #[error("a symbolic link is on the way, and none is followed")]
    Link,
    /// It is a folder.
    #[error("it is a folder")]
    Folder,
    /// A device, a pipe or a socket.
    #[error("it is a device, a pipe or a socket")]
    Special,
    /// The system does not let this process read it.
    #[error("this process may not read it")]
    Denied,
    /// Anything else, as too many open files.
    #[error("{0}")]
    System(io::Error),
}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Self::Absent,
            // EXDEV: the kernel saw the way leave the folder.
            Errno::LOOP | Errno::XDEV => Self::Link,
            // A socket, or a device that is not there.
            Errno::NXIO | Errno::NODEV => Self::Special,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            other => Self::System(other.into()),
        }
    }
}

/// Why a file cannot be made.
#[derive(Debug, Error)]
pub enum CreateError {
    /// Something has that name already, a link perhaps. It is never overwritten.
    #[error("that name is taken; nothing is overwritten")]
    Exists,
    /// The folder that it should be in is not there.
    #[error("the folder for it is not there")]
    Absent,
    /// A symbolic link is on the way.
    #[error("a symbolic link is on the way, and none is followed")]
    Link,
    /// The system does not let this process write there.
    #[error("this process may not write there")]
    Denied,
    /// Anything else, as a full disk.
    #[error("{0}")]
    System(io::Error),
}

impl From<Errno> for CreateError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::EXIST | Errno::ISDIR => Self::Exists,
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Self::Absent,
            Errno::LOOP | Errno::XDEV => Self::Link,
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Self::Denied,
            other => Self::System(other.into()),
        }
    }
}
