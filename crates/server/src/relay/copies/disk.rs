//! The file of a copy. Chunk `i` lies at `i * COPY_STRIDE_BYTES`: four bytes of length, then its frame
//! as it came. What is between two chunks was never written and takes no room.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use chat_protocol::code;
use thiserror::Error;

use crate::{
    limits::{COPY_STRIDE_BYTES, COPY_SYNC_BYTES, FILE_FRAME_BYTES_MAX},
    request::Refusal,
    store::CopyRow,
};

/// Why the disk does not do it.
#[derive(Debug, Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("chunk {0} came twice")]
    Twice(u32),
    #[error("the copy is damaged at chunk {0}; ask its owner for another one")]
    Damaged(u32),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match &failure {
            Failure::Io(error) => match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                    Self::storage_full()
                }
                ErrorKind::NotFound => Self::new(code::NO_SUCH_COPY, "the copy is gone"),
                _ => {
                    tracing::error!(%error, "a copy cannot be written or read");
                    Self::new(code::STORAGE_FULL, "the server cannot use its disk for copies now")
                }
            },
            Failure::Twice(_) => Self::new(code::MALFORMED, failure.to_string()),
            Failure::Damaged(_) => Self::new(code::NO_SUCH_COPY, failure.to_string()),
        }
    }
}

/// What a name under which a copy is not complete ends with.
const PART: &str = ".part";

fn file_name(row: &CopyRow) -> String {
    format!("{}-{}", row.account.0, row.tid)
}

/// Whether a name is one of ours: what else lies in the folder is left alone.
fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(PART).unwrap_or(name);
    name.split_once('-').is_some_and(|(account, tid)| {
        account.parse::<i64>().is_ok() && chat_protocol::id::Nonce16::parse(tid).is_ok()
    })
}

/// Makes the folder, takes away files that no row knows, and gives the rows with and without a file.
pub(super) fn sweep(folder: &Path, rows: Vec<CopyRow>) -> io::Result<(Vec<CopyRow>, Vec<CopyRow>)> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    let mut rows: HashMap<_, _> = rows.into_iter().map(|row| (file_name(&row), row)).collect();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
        match rows.remove(name) {
            Some(row) => found.push(row),
            None => fs::remove_file(entry.path())?,
        }
    }
    Ok((found, rows.into_values().collect()))
}

/// Takes a file away. One that stays is swept at the next start.
pub(super) fn remove(folder: &Path, row: &CopyRow) {
    if let Err(error) = fs::remove_file(folder.join(file_name(row)))
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(%error, "the file of a copy was not taken away");
    }
}

/// A file that goes away again unless it is kept.
#[derive(Debug)]
pub(super) struct Provisional(Option<PathBuf>);

impl Provisional {
    /// It stays.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Provisional {
    fn drop(&mut self) {
        // One that stays is swept at the next start.
        self.0.take().map(fs::remove_file);
    }
}

/// A copy that comes in.
#[derive(Debug)]
pub(super) struct Incoming {
    file: File,
    /// Goes away with this value unless it is renamed.
    part: Provisional,
    folder: PathBuf,
    path: PathBuf,
    /// Which chunks are written.
    seen: Vec<bool>,
    missing: u32,
    unsynced: u64,
}

impl Incoming {
    pub(super) fn create(folder: &Path, row: &CopyRow) -> Result<Self, Failure> {
        let path = folder.join(file_name(row));
        let part = folder.join(file_name(row) + PART);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        let seen = vec![false; usize::try_from(row.chunks).unwrap_or(usize::MAX)];
        Ok(Self {
            file,
            part: Provisional(Some(part)),
            folder: folder.to_owned(),
            path,
            seen,
            missing: row.chunks,
            unsynced: 0,
        })
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Writes one chunk. Its index and length were checked when it came.
    pub(super) fn write(&mut self, index: u32, frame: &Bytes) -> Result<(), Failure> {
        let place = usize::try_from(index).ok().and_then(|index| self.seen.get_mut(index));
        match place {
            Some(is_seen @ false) => *is_seen = true,
            _ => return Err(Failure::Twice(index)),
        }
        let length = u32::try_from(frame.len()).map_err(|_| Failure::Damaged(index))?;
        let at = offset(index);
        self.file.write_all_at(&length.to_be_bytes(), at)?;
        self.file.write_all_at(frame, at + 4)?;
        self.missing -= 1;
        self.unsynced += u64::from(length);
        Ok(())
    }

    /// Syncs now and then, so that little is left for the end.
    pub(super) fn sync_when_due(&mut self) -> Result<(), Failure> {
        if self.unsynced >= COPY_SYNC_BYTES {
            self.unsynced = 0;
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Gives a complete copy its name, durably.
    pub(super) fn finish(self) -> Result<Provisional, Failure> {
        let Self { file, part, folder, path, .. } = self;
        file.sync_all()?;
        if let Some(from) = &part.0 {
            fs::rename(from, &path)?;
        }
        part.keep();
        let named = Provisional(Some(path));
        File::open(folder)?.sync_all()?;
        Ok(named)
    }
}

fn offset(index: u32) -> u64 {
    u64::from(index) * COPY_STRIDE_BYTES
}

/// Opens a copy to be read. It can be read to its end even if it is taken away meanwhile.
pub(super) fn open(folder: &Path, row: &CopyRow) -> Result<File, Failure> {
    Ok(File::open(folder.join(file_name(row)))?)
}

/// The frame of one chunk.
pub(super) fn read(file: &File, index: u32) -> Result<Bytes, Failure> {
    let damaged = |error: io::Error| match error.kind() {
        ErrorKind::UnexpectedEof => Failure::Damaged(index),
        _ => Failure::Io(error),
    };
    let mut length = [0; 4];
    file.read_exact_at(&mut length, offset(index)).map_err(damaged)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if !(1..=FILE_FRAME_BYTES_MAX).contains(&length) {
        return Err(Failure::Damaged(index));
    }
    let mut frame = vec![0; length];
    file.read_exact_at(&mut frame, offset(index) + 4).map_err(damaged)?;
    Ok(frame.into())
}
