//! One file on disk with its rotation: `server.jsonl`, then `server~1.jsonl` and older ones.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Owner only: a log tells who spoke with whom and when.
const FILE_MODE: u32 = 0o600;
/// As for the files; only for folders that we make ourselves.
const FOLDER_MODE: u32 = 0o700;
/// `client-` and the longest name need 39; a path component may have 255.
const STEM_BYTES_MAX: usize = 80;

/// When a file is put aside, and how many of those are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes from which on the file is put aside. A single batch above it is written whole.
    pub file_bytes_max: u64,
    /// Files put aside that are kept; the oldest goes when one more is needed.
    pub kept_files_max: u32,
}

impl Default for Rotation {
    /// 64 MiB is what `less` and `grep` still handle at once; with fifteen more files a log takes
    /// at most 1 GiB.
    fn default() -> Self {
        Self { file_bytes_max: 64 << 20, kept_files_max: 15 }
    }
}

/// Why a log could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The stem becomes a part of a path, so it is held to the letters of a user name.
    #[error("bad log name {0:?}: letters, digits, '-', '_' and '.', at most 80, not first a '.'")]
    BadStem(String),
    /// The folder could not be made.
    #[error("cannot make the log folder {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be opened for appending.
    #[error("cannot open the log {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The writer thread could not be started.
    #[error("cannot start the log's writer thread: {0}")]
    Thread(io::Error),
}

/// An open log file. Several processes may append to the same one (a person may run `listen`
/// and `send` at once): each batch is written under the file's lock, and whoever finds that the
/// name now means another file opens that one.
#[derive(Debug)]
pub(crate) struct LogFile {
    folder: PathBuf,
    stem: String,
    rotation: Rotation,
    file: File,
}

impl LogFile {
    pub(crate) fn open(folder: &Path, stem: &str, rotation: Rotation) -> Result<Self, OpenError> {
        if !is_safe_stem(stem) {
            return Err(OpenError::BadStem(stem.to_owned()));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(folder)
            .map_err(|source| OpenError::Folder { path: folder.to_owned(), source })?;
        let path = numbered(folder, stem, 0);
        let file = open_append(&path).map_err(|source| OpenError::File { path, source })?;
        Ok(Self { folder: folder.to_owned(), stem: stem.to_owned(), rotation, file })
    }

    /// Appends whole lines, all of them or none: a write that fails half-way is taken back, so
    /// that the next line does not continue a torn one.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self.append_locked(lines);
        self.file.unlock()?;
        written
    }

    fn append_locked(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = self.lock_current(lines.len())?;
        let written = self.file.write_all(lines);
        if written.is_err() {
            self.file.set_len(length)?;
        }
        written
    }

    /// Locks the file that the name means now, after rotation where it is due; its length.
    fn lock_current(&mut self, incoming: usize) -> io::Result<u64> {
        /// Each round means that another process rotated in between: rare once, never eight times.
        const ROUNDS_MAX: u32 = 8;
        let path = numbered(&self.folder, &self.stem, 0);
        for _ in 0..ROUNDS_MAX {
            self.file.lock()?;
            let open = self.file.metadata()?;
            let named = fs::metadata(&path);
            let is_current =
                named.is_ok_and(|named| named.ino() == open.ino() && named.dev() == open.dev());
            let full = open.len().saturating_add(u64::try_from(incoming).unwrap_or(u64::MAX))
                > self.rotation.file_bytes_max;
            if is_current && !(full && open.len() > 0) {
                return Ok(open.len());
            }
            if is_current {
                self.put_aside()?;
            }
            // The lock goes with the old file handle.
            self.file = open_append(&path)?;
        }
        Err(io::Error::other("the log file is replaced faster than it can be opened"))
    }

    /// `x~2 -> x~3`, `x~1 -> x~2`, `x -> x~1`; what would be beyond the limit is overwritten.
    fn put_aside(&self) -> io::Result<()> {
        let last = self.rotation.kept_files_max;
        if last == 0 {
            return fs::remove_file(numbered(&self.folder, &self.stem, 0));
        }
        for number in (0..last).rev() {
            let from = numbered(&self.folder, &self.stem, number);
            match fs::rename(&from, numbered(&self.folder, &self.stem, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The path of the file put aside `number` times; 0 is the one in use. No user name holds a `~`,
/// so nobody's log is taken for another one's old log.
fn numbered(folder: &Path, stem: &str, number: u32) -> PathBuf {
    match number {
        0 => folder.join(format!("{stem}.jsonl")),
        _ => folder.join(format!("{stem}~{number}.jsonl")),
    }
}

fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)
}

fn is_safe_stem(stem: &str) -> bool {
    !stem.is_empty()
        && stem.len() <= STEM_BYTES_MAX
        && !stem.starts_with('.')
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(folder: &Path, name: &str) -> String {
        fs::read_to_string(folder.join(name)).unwrap()
    }

    #[test]
    fn rotation_keeps_the_newest_files_and_every_line_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = Rotation { file_bytes_max: 10, kept_files_max: 2 };
        let mut file = LogFile::open(folder.path(), "server", rotation).unwrap();
        for line in ["one..\n", "two..\n", "three\n", "four.\n"] {
            file.append(line.as_bytes()).unwrap();
        }
        assert_eq!(read(folder.path(), "server.jsonl"), "four.\n");
        assert_eq!(read(folder.path(), "server~1.jsonl"), "three\n");
        assert_eq!(read(folder.path(), "server~2.jsonl"), "two..\n");
        assert!(!folder.path().join("server~3.jsonl").exists());
    }

    #[test]
    fn only_the_owner_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/logs");
        LogFile::open(&inner, "client-alice", Rotation::default()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&inner.join("client-alice.jsonl")), 0o600);
        assert_eq!(mode(&inner), 0o700);
    }

    /// Goal: two processes with one file lose nothing while both rotate. Method: two handles,
    /// alternating, small files, then the lines of all files are counted.
    #[test]
    fn two_writers_share_a_rotating_file() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = Rotation { file_bytes_max: 40, kept_files_max: 100 };
        let mut left = LogFile::open(folder.path(), "c", rotation).unwrap();
        let mut right = LogFile::open(folder.path(), "c", rotation).unwrap();
        for number in 0..50 {
            left.append(format!("left {number}\n").as_bytes()).unwrap();
            right.append(format!("right {number}\n").as_bytes()).unwrap();
        }
        let mut lines = Vec::new();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            assert!(text.len() <= 40, "{text:?}");
            lines.extend(text.lines().map(str::to_owned));
        }
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), 100);
    }

    #[test]
    fn a_file_taken_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = LogFile::open(folder.path(), "s", Rotation::default()).unwrap();
        fs::rename(folder.path().join("s.jsonl"), folder.path().join("away")).unwrap();
        file.append(b"after\n").unwrap();
        assert_eq!(read(folder.path(), "s.jsonl"), "after\n");
    }

    #[test]
    fn stems_that_could_leave_the_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for stem in ["", "../x", "a/b", ".hidden", "a\nb", "ä", &"x".repeat(81)] {
            let error = LogFile::open(folder.path(), stem, Rotation::default()).unwrap_err();
            assert!(matches!(error, OpenError::BadStem(_)), "{stem:?}");
        }
    }
}
