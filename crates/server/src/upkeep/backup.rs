//! A copy of everything that a server needs, made while it runs.
//!
//! Databases are copied in one view each, whatever is written meanwhile; then the copies are checked, and
//! each file gets its digest. What people left as copies of files (`data/files`) is not in it: it is
//! large, encrypted, and its owners have it. Nor is the journal of the server's own agent: an older one
//! does not know what has run since, and would let it run a second time. An agent without a journal begins
//! a new one, and refuses what was addressed to the old one. A backup is a folder, or one file when its
//! name ends with `.tar`.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
    ffi,
};
use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, open},
    io::Errno,
};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::manifest::{self, LAYOUT, Manifest};
use crate::{hex::hex, private_file::FileError, store::DATABASE_FILE};

/// Databases in the data folder. The first one must be there.
pub(super) const DATABASES: [&str; 2] = [DATABASE_FILE, "agent/home.db"];

/// Other files, as far as they are there.
pub(super) const FILES: [&str; 3] = ["server.key", "tls/cert.pem", "tls/key.pem"];

/// How long a copy waits for somebody who writes.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// Only the owner comes in.
const FOLDER_MODE: u32 = 0o700;
/// Only the owner reads.
const FILE_MODE: u32 = 0o600;

/// Why there is no backup, or why it cannot be put back.
#[derive(Debug, Error)]
pub enum BackupError {
    /// No server has ever used this folder.
    #[error("no server was started with --data {}; there is nothing to keep", .0.display())]
    Nothing(PathBuf),
    /// A backup never replaces anything.
    #[error("{} exists already; choose another name", .0.display())]
    Exists(PathBuf),
    /// Another process writes the same backup.
    #[error("another backup is being written to {}; let it end, or choose another name", .0.display())]
    Busy(PathBuf),
    /// In the place where a backup is made lies something else.
    #[error(
        "{} is in the way, and no backup has left it there; move it away, or choose another name",
        .0.display()
    )]
    InTheWay(PathBuf),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// SQLite refuses.
    #[error("cannot copy the database {}: {source}", path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The copy, and so the original, is not in order.
    #[error("the database {} is damaged: {what}; look for an older backup", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What SQLite found.
        what: String,
    },
    /// Not a backup, or not a whole one.
    #[error("{} is no backup of this program: {what}", path.display())]
    Strange {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A server runs on the folder.
    #[error(transparent)]
    Running(#[from] crate::lock::LockError),
}

impl BackupError {
    /// The same of what people have given: a copy of it in `folder`, which they do not know, was looked at.
    pub(super) fn renamed(mut self, folder: &Path, given: &Path) -> Self {
        match &mut self {
            // Written was what they do not know, and there the reason is.
            Self::File(FileError { action: "write" | "make" | "sync", .. })
            | Self::Nothing(_)
            | Self::Exists(_)
            | Self::Busy(_)
            | Self::InTheWay(_)
            | Self::Running(_) => {}
            Self::File(FileError { path, .. })
            | Self::Database { path, .. }
            | Self::Damaged { path, .. }
            | Self::Strange { path, .. } => {
                if let Ok(rest) = path.strip_prefix(folder) {
                    *path =
                        if rest.as_os_str().is_empty() { given.into() } else { given.join(rest) };
                }
            }
        }
        self
    }
}

pub(super) fn failed(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let failed = FileError::of(action, path);
    move |source| failed(source).into()
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// Where.
    pub path: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
    /// SHA-256 of the manifest, which names those of all files.
    pub digest: String,
}

/// The same name with something behind it.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

pub(super) fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "tar")
}

/// Makes a backup of `data` at `target`: all of it, or nothing.
pub fn make(data: &Path, target: &Path) -> Result<Made, BackupError> {
    let database = data.join(DATABASE_FILE);
    // Who may not look into the folder does not know what is there.
    if !database.try_exists().map_err(failed("read", &database))? {
        return Err(BackupError::Nothing(data.to_owned()));
    }
    if fs::symlink_metadata(target).is_ok() {
        return Err(BackupError::Exists(target.to_owned()));
    }
    let part = Part::claim(target)?;
    let manifest = fill(data, &part.folder)?;
    finish(&part, target, manifest)
}

/// Where a backup is made before it has its name: a folder, held by a lock as long as somebody writes to it.
#[derive(Debug)]
struct Part {
    folder: PathBuf,
    /// The one file that the folder becomes, before it has its name.
    packed: PathBuf,
    #[expect(dead_code, reason = "the open folder is the lock")]
    lock: File,
}

impl Part {
    /// Takes what an ended backup to the same target has left away and begins anew.
    fn claim(target: &Path) -> Result<Self, BackupError> {
        let (folder, packed) = (beside(target, ".part"), beside(target, ".part-packed"));
        if let Some(lock) = hold(&folder)? {
            if !is_left_over(&folder).map_err(failed("read", &folder))? {
                return Err(BackupError::InTheWay(folder));
            }
            match fs::remove_file(&packed) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", &packed)(error));
                }
                _ => {}
            }
            fs::remove_dir_all(&folder).map_err(failed("remove", &folder))?;
            drop(lock);
        }
        if let Some(outer) = folder.parent().filter(|outer| !outer.as_os_str().is_empty()) {
            make_folder(outer)?;
        }
        let made = DirBuilder::new().mode(FOLDER_MODE).create(&folder);
        made.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Busy(folder.clone()),
            _ => failed("make", &folder)(error),
        })?;
        // Gone only where another backup has just taken it for a left-over.
        let lock = hold(&folder)?.ok_or_else(|| BackupError::Busy(folder.clone()))?;
        Ok(Self { folder, packed, lock })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // What is half done helps nobody; that it cannot be taken away is said by the next try.
        fs::remove_file(&self.packed).ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// The lock of the folder of an unfinished backup, if it is there and nobody holds it.
fn hold(folder: &Path) -> Result<Option<File>, BackupError> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match open(folder, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(BackupError::InTheWay(folder.to_owned())),
        opened => opened.map_err(|errno| failed("open", folder)(errno.into()))?,
    };
    match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(File::from(opened))),
        Err(Errno::WOULDBLOCK) => Err(BackupError::Busy(folder.to_owned())),
        Err(errno) => Err(failed("lock", folder)(errno.into())),
    }
}

/// Whether a folder holds nothing but what a backup puts there: only then is it taken away.
fn is_left_over(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_str().unwrap_or_default();
        let is_of_file = |file: &str| {
            let top = file.split('/').next().unwrap_or_default();
            // SQLite puts its journal beside a database.
            name == top || name.strip_prefix(top).is_some_and(|rest| rest == "-journal")
        };
        let mut files = DATABASES.into_iter().chain(FILES).chain([manifest::FILE]);
        if !files.any(is_of_file) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn fill(data: &Path, part: &Path) -> Result<Manifest, BackupError> {
    let mut files = BTreeMap::new();
    for name in DATABASES.into_iter().chain(FILES) {
        let (from, to) = (data.join(name), part.join(name));
        if !from.exists() {
            continue;
        }
        if let Some(folder) = to.parent().filter(|folder| *folder != part) {
            make_folder(folder)?;
        }
        if DATABASES.contains(&name) {
            copy_database(&from, &to, LOCK_WAIT)?;
            check_database(&to)?;
        } else {
            copy_file(&from, &to)?;
        }
        let digest = manifest::digest(&to).map_err(failed("read", &to))?;
        files.insert(name.to_owned(), digest);
    }
    let (version, made_at) =
        (env!("CARGO_PKG_VERSION").to_owned(), jiff::Timestamp::now().to_string());
    Ok(Manifest { layout: LAYOUT, version, made_at, files })
}

fn finish(part: &Part, target: &Path, manifest: Manifest) -> Result<Made, BackupError> {
    let Part { folder: part, packed, .. } = part;
    let path = part.join(manifest::FILE);
    let failed_to_write = failed("write", &path);
    let text = serde_json::to_string_pretty(&manifest).map_err(Into::into);
    let text = text.and_then(|text| {
        write_new(&path, text.as_bytes())?;
        Ok(text)
    });
    let text = text.map_err(failed_to_write)?;
    if is_archive(target) {
        // Under another name until it is whole.
        pack(part, packed)?;
        fs::rename(packed, target).map_err(failed("rename", packed))?;
    } else {
        sync_folder(part)?;
        fs::rename(part, target).map_err(failed("rename", part))?;
    }
    if let Some(folder) = target.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        sync_folder(folder)?;
    }
    let digest = hex(&Sha256::digest(text));
    Ok(Made { path: target.to_owned(), manifest, digest })
}

pub(super) fn make_folder(path: &Path) -> Result<(), BackupError> {
    let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path);
    made.map_err(failed("make", path))
}

pub(super) fn sync_folder(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("sync", path))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(super) fn copy_file(from: &Path, to: &Path) -> Result<(), BackupError> {
    let mut source = File::open(from).map_err(failed("read", from))?;
    let mut target = create(to).map_err(failed("write", to))?;
    io::copy(&mut source, &mut target).map_err(failed("write", to))?;
    target.sync_all().map_err(failed("write", to))
}

/// One step copies all of it, in one view of the file: writers go on meanwhile, and nothing of theirs is
/// in the copy by halves.
fn copy_database(from: &Path, to: &Path, wait: Duration) -> Result<(), BackupError> {
    create(to).map_err(failed("write", to))?;
    let copy = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let source = Connection::open_with_flags(from, flags)?;
        source.busy_timeout(wait)?;
        let mut target = Connection::open(to)?;
        if Backup::new(&source, &mut target)?.step(-1)? != StepResult::Done {
            // Nothing was copied: somebody held it all the time.
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None));
        }
        // One file: nothing of it stands in a log beside it.
        target.pragma_update(None, "journal_mode", "DELETE")?;
        target.close().map_err(|(_, error)| error)
    };
    copy().map_err(|source| BackupError::Database { path: from.to_owned(), source })?;
    File::open(to).and_then(|file| file.sync_all()).map_err(failed("sync", to))
}

/// Reads all of a database.
pub(super) fn check_database(path: &Path) -> Result<(), BackupError> {
    let check = || -> rusqlite::Result<String> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))
    };
    let path = path.to_owned();
    match check() {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(what) => Err(BackupError::Damaged { path, what }),
        Err(source) => Err(BackupError::Database { path, source }),
    }
}

/// Puts a folder into one file.
fn pack(folder: &Path, target: &Path) -> Result<(), BackupError> {
    let file = create(target).map_err(failed("write", target))?;
    let packed = || {
        let mut archive = tar::Builder::new(&file);
        archive.follow_symlinks(false);
        archive.append_dir_all("", folder)?;
        archive.finish()?;
        file.sync_all()
    };
    packed().map_err(failed("write", target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        let database = Connection::open(data.path().join(DATABASE_FILE)).unwrap();
        database.pragma_update(None, "journal_mode", "WAL").unwrap();
        database.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1);").unwrap();
        fs::write(data.path().join("server.key"), "secret").unwrap();
        // The log of the database stays beside it, as with a server that runs.
        std::mem::forget(database);
        data
    }

    #[test]
    fn a_backup_holds_what_was_committed_and_replaces_nothing() {
        let (data, out) = (data(), tempfile::tempdir().unwrap());
        let target = out.path().join("one");
        let made = make(data.path(), &target).unwrap();
        assert_eq!(made.manifest.files.len(), 2);
        let copy = Connection::open(target.join(DATABASE_FILE)).unwrap();
        let x: i64 = copy.query_row("SELECT x FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(x, 1);
        assert!(matches!(make(data.path(), &target), Err(BackupError::Exists(_))));
        let archive = out.path().join("two.tar");
        make(data.path(), &archive).unwrap();
        assert!(archive.is_file() && !beside(&archive, ".part").exists());
    }

    /// Goal: a copy that was not made is never kept as one. Before: an empty file was.
    #[test]
    fn a_database_that_somebody_holds_is_said_and_the_journal_stays_where_it_is() {
        let (data, out) = (data(), tempfile::tempdir().unwrap());
        fs::create_dir(data.path().join("agent")).unwrap();
        let path = data.path().join("agent/journal.db");
        let journal = Connection::open(&path).unwrap();
        journal.pragma_update(None, "locking_mode", "EXCLUSIVE").unwrap();
        journal.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1);").unwrap();
        let made = make(data.path(), &out.path().join("one")).unwrap();
        assert!(!made.manifest.files.contains_key("agent/journal.db"), "{:?}", made.manifest);
        let copied = copy_database(&path, &out.path().join("two"), Duration::ZERO);
        assert!(matches!(copied, Err(BackupError::Database { .. })), "{copied:?}");
    }

    #[test]
    fn a_damaged_database_is_said_and_leaves_no_backup() {
        let (data, out) = (data(), tempfile::tempdir().unwrap());
        let path = data.path().join("agent/home.db");
        fs::create_dir(data.path().join("agent")).unwrap();
        fs::write(&path, b"SQLite format 3\0 and then rubbish").unwrap();
        let target = out.path().join("one");
        let error = make(data.path(), &target).unwrap_err().to_string();
        assert!(error.contains("home.db"), "{error}");
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    }

    /// Goal: what a killed backup has left is taken away by the next one, what one writes now or what is no backup's
    /// is left alone. Before: the name was refused for ever.
    #[test]
    fn what_a_killed_backup_left_is_replaced_and_nothing_else_is() {
        let (data, out) = (data(), tempfile::tempdir().unwrap());
        let target = out.path().join("one.tar");
        let (part, packed) = (beside(&target, ".part"), beside(&target, ".part-packed"));
        fs::create_dir_all(part.join("agent")).unwrap();
        fs::write(part.join("chat.sqlite-journal"), "half").unwrap();
        fs::write(&packed, "half").unwrap();
        let held = hold(&part).unwrap().unwrap();
        assert!(matches!(make(data.path(), &target), Err(BackupError::Busy(_))));
        drop(held);
        fs::write(part.join("letter.txt"), "mine").unwrap();
        assert!(matches!(make(data.path(), &target), Err(BackupError::InTheWay(_))));
        fs::remove_file(part.join("letter.txt")).unwrap();
        make(data.path(), &target).unwrap();
        let left: Vec<_> = fs::read_dir(out.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    /// Goal: a folder that cannot be looked into is not called unused.
    #[test]
    fn a_closed_folder_is_said() {
        let (data, out) = (data(), tempfile::tempdir().unwrap());
        // Below a file nobody can look, whoever asks.
        let error = make(&data.path().join("server.key"), &out.path().join("two")).unwrap_err();
        assert!(matches!(error, BackupError::File(_)), "{error}");
    }
}
