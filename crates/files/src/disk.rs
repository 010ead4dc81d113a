//! One folder in which files are made, renamed and synced: all that this crate does to a disk.
//!
//! It is a trait, so that tests can end the program, fill the disk or cut the power between any two
//! calls. [`Dir`] is the real one. It holds a descriptor: the folder stays the same when it is renamed
//! or when another takes its name. Every name is one component, and no link is followed.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FallocateFlags, FlockOperation, Mode, OFlags, RenameFlags, fallocate, flock, linkat,
    openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

/// Beginning of every name that this crate gives to files of its own.
pub const OWN_PREFIX: &str = ".chat-";

/// Names that one listing of a folder reads at most: parts beside very many other files are found.
const NAMES_MAX: usize = 100_000;

/// What a part needs of a folder. Errors are those of the system.
pub trait Disk {
    /// An open file.
    type File;

    /// Opens a file of one's own for reading and writing; `None` if there is none. Refuses links and
    /// whatever else is not a plain file of this user.
    fn open(&self, name: &str) -> io::Result<Option<Self::File>>;
    /// Makes a new file, mode 0600; fails if the name is taken.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Takes the lock of a file without waiting: `false` if another has it.
    fn lock(&self, file: &Self::File) -> io::Result<bool>;
    /// Whether `name` is still this file.
    fn is_at(&self, name: &str, file: &Self::File) -> io::Result<bool>;
    /// Gives the file its length, with room on the disk for all of it where that can be had.
    fn reserve(&self, file: &Self::File, length: u64) -> io::Result<()>;
    /// Its length in bytes.
    fn length(&self, file: &Self::File) -> io::Result<u64>;
    /// Writes all the bytes at a place.
    fn write_at(&self, file: &Self::File, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Reads exactly as many bytes as the buffer has.
    fn read_at(&self, file: &Self::File, buffer: &mut [u8], at: u64) -> io::Result<()>;
    /// What was written to the file is on the disk.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Renames over whatever has the new name.
    fn replace(&self, from: &str, to: &str) -> io::Result<()>;
    /// Renames, and fails with `AlreadyExists` if something has the new name, a link perhaps.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; one that is not there is removed already.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names made, changed and removed are on the disk.
    fn sync_names(&self) -> io::Result<()>;
    /// The names of this crate's own files.
    fn own_names(&self) -> io::Result<Vec<String>>;
    /// Where a name is, for people.
    fn path(&self, name: &str) -> PathBuf;
}

/// A folder of the file system.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// Opens a folder; links in `path` are followed now and never again.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { fd, path: path.to_owned() })
    }
}

/// `NONBLOCK`: what lies there under our name may be a pipe.
const TO_OPEN: OFlags = OFlags::RDWR
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

impl Disk for Dir {
    type File = File;

    fn open(&self, name: &str) -> io::Result<Option<File>> {
        let file = match openat(&self.fd, one(name)?, TO_OPEN, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let about = file.metadata()?;
        let is_ours = about.uid() == rustix::process::geteuid().as_raw();
        // A second name of it would let somebody write what has been checked.
        if about.is_file() && is_ours && about.nlink() <= 1 {
            return Ok(Some(file));
        }
        let reason = "what has this name is not a plain file of this user; move it away";
        Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let flags = TO_OPEN | OFlags::CREATE | OFlags::EXCL;
        Ok(openat(&self.fd, one(name)?, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    fn lock(&self, file: &File) -> io::Result<bool> {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn is_at(&self, name: &str, file: &File) -> io::Result<bool> {
        let ours = rustix::fs::fstat(file)?;
        match statat(&self.fd, one(name)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok((found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn reserve(&self, file: &File, length: u64) -> io::Result<()> {
        if length > 0 {
            loop {
                match fallocate(file, FallocateFlags::empty(), 0, length) {
                    Err(Errno::INTR) => {}
                    // Not every file system can: the file is sparse there.
                    Err(Errno::OPNOTSUPP | Errno::NOSYS) => break,
                    other => {
                        other?;
                        break;
                    }
                }
            }
        }
        file.set_len(length)
    }

    fn length(&self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
        file.read_exact_at(buffer, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, one(from)?, &self.fd, one(to)?)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (one(from)?, one(to)?);
        match renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            // A file system without that flag: a link never replaces anything either.
            Err(Errno::INVAL | Errno::NOSYS) => {
                linkat(&self.fd, from, &self.fd, to, AtFlags::empty())?;
                Ok(unlinkat(&self.fd, from, AtFlags::empty())?)
            }
            other => Ok(other?),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.fd, one(name)?, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn sync_names(&self) -> io::Result<()> {
        match rustix::fs::fsync(&self.fd) {
            // Some file systems cannot sync a folder; there is nothing else to be done there.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn own_names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)?.take(NAMES_MAX) {
            let entry = entry?;
            let name = entry.file_name().to_str().ok();
            names.extend(name.filter(|name| name.starts_with(OWN_PREFIX)).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Refuses everything that is not one component: nothing here leaves the folder.
fn one(name: &str) -> io::Result<&str> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of one file"));
    }
    Ok(name)
}
