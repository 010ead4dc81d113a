//! The folder, opened once, and what is opened below it.

use std::{
    fs::{File, Metadata},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, open, openat, openat2},
    io::Errno,
};

use crate::{CreateError, FolderError, OpenError, RelativePath};

/// How a folder is held: enough to start from, and no right to list it.
const OF_FOLDERS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// `NONBLOCK`: the open of a pipe that nobody writes to would wait for ever. `NOCTTY`: a terminal
/// must not become that of this process.
const TO_READ: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// `EXCL` fails on everything that exists, a link to nowhere included.
const TO_CREATE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

/// Never outside of the folder, and over no link of any kind.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// How the way to a file is gone. Both see the same files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The kernel goes all of it in one call (`openat2`, Linux 5.6).
    AtOnce,
    /// Folder by folder, each opened from the one before and never over a link. For older kernels
    /// and for filters of system calls that do not know the new one.
    StepByStep,
}

/// A folder below which files are opened. It stays the same folder when it is renamed or when
/// another takes its name.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    way: Way,
}

/// A regular file, open for reading.
#[derive(Debug)]
pub struct OpenFile {
    /// At its beginning.
    pub file: File,
    /// Of exactly this file, asked after it was opened.
    pub metadata: Metadata,
}

impl Folder {
    /// Opens the folder that everything else will be below. Symbolic links in `path` are followed,
    /// now and never again.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let failed = |errno: Errno| FolderError { path: path.to_owned(), source: errno.into() };
        let fd = open(path, OF_FOLDERS, Mode::empty()).map_err(failed)?;
        let way = match openat2(&fd, ".", OF_FOLDERS, Mode::empty(), BENEATH) {
            // Old filters refuse what they do not know with EPERM.
            Err(Errno::NOSYS | Errno::PERM) => Way::StepByStep,
            Ok(_) => Way::AtOnce,
            Err(errno) => return Err(failed(errno)),
        };
        Ok(Self { fd, way })
    }

    /// Opens a regular file for reading, whatever others do to the folder meanwhile.
    ///
    /// It blocks as long as the file system does: call it from a thread that may.
    pub fn open_file(&self, path: &RelativePath) -> Result<OpenFile, OpenError> {
        let file = File::from(self.resolve(path, TO_READ, Mode::empty())?);
        let metadata = file.metadata().map_err(OpenError::System)?;
        let kind = metadata.file_type();
        if kind.is_file() {
            Ok(OpenFile { file, metadata })
        } else if kind.is_dir() {
            Err(OpenError::Folder)
        } else {
            Err(OpenError::Special)
        }
    }

    /// Makes a new file with mode 0600 (less what the process's mask takes away) and opens it for
    /// writing. Nothing that exists is overwritten or followed; the folders on the way must exist.
    ///
    /// It blocks as long as the file system does: call it from a thread that may.
    pub fn create_file(&self, path: &RelativePath) -> Result<File, CreateError> {
        Ok(File::from(self.resolve(path, TO_CREATE, Mode::RUSR | Mode::WUSR)?))
    }

    fn resolve(&self, path: &RelativePath, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        match self.way {
            Way::AtOnce => openat2(&self.fd, path.as_str(), flags, mode, BENEATH),
            Way::StepByStep => self.step_by_step(path, flags, mode),
        }
    }

    /// Safe without the kernel's help, because no name is `..` and no link is followed: each call
    /// looks up one name in a folder that is already open.
    fn step_by_step(
        &self,
        path: &RelativePath,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, Errno> {
        let mut names = path.names().peekable();
        let mut inner: Option<OwnedFd> = None;
        while let Some(name) = names.next() {
            let folder = inner.as_ref().map_or(self.fd.as_fd(), OwnedFd::as_fd);
            if names.peek().is_none() {
                return openat(folder, name, flags, mode);
            }
            inner = Some(openat(folder, name, OF_FOLDERS | OFlags::NOFOLLOW, Mode::empty())?);
        }
        // A path has at least one name.
        Err(Errno::NOENT)
    }
}

#[cfg(test)]
mod tests;
