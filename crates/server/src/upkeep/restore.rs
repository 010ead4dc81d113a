//! Puts a backup back. What was there is kept beside it.
//!
//! The state of the server's own agent stays out: its journal would know less than has been run, and its
//! chains would use counters that were used. It begins anew, which every device of the server's bundle
//! sees (another restart nonce), so no command of before runs a second time.

use std::{
    error::Error,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    backup::{
        BackupError, beside, check_database, copy_file, failed, is_archive, make_folder,
        sync_folder,
    },
    manifest::{self, LAYOUT, Manifest},
};
use crate::{
    lock::{FolderLock, Kind},
    store::sqlite::DATABASE_FILE,
};

/// What is left out, for the reason on top of this file.
const LEFT_OUT: &str = "agent/";

/// Files of a backup: an archive with more was not made by this program.
const ENTRIES_MAX: usize = 64;

/// What was put back.
#[derive(Debug)]
pub struct Restored {
    /// Where what was there before is now, if anything was.
    pub replaced: Option<PathBuf>,
    /// What the backup says of itself.
    pub manifest: Manifest,
}

/// Puts `source` in the place of `data`, when all of it is in order.
pub fn restore(source: &Path, data: &Path) -> Result<Restored, BackupError> {
    let part = beside(data, ".restoring");
    if fs::symlink_metadata(&part).is_ok() {
        fs::remove_dir_all(&part).map_err(failed("remove", &part))?;
    }
    let restored = prepare(source, &part).and_then(|manifest| put(&part, data, manifest));
    if restored.is_err() {
        // What is half done helps nobody.
        fs::remove_dir_all(&part).ok();
    }
    restored
}

fn prepare(source: &Path, part: &Path) -> Result<Manifest, BackupError> {
    if is_archive(source) {
        let unpacked = beside(part, ".tar");
        let manifest = unpack(source, &unpacked).and_then(|()| take(&unpacked, part));
        fs::remove_dir_all(&unpacked).ok();
        return manifest.map_err(|error| error.renamed(&unpacked, source).renamed(part, source));
    }
    if source.is_file() {
        let what = "it is neither a folder nor an archive whose name ends with .tar".to_owned();
        return Err(BackupError::Strange { path: source.to_owned(), what });
    }
    take(source, part).map_err(|error| error.renamed(part, source))
}

/// The innermost reason: the archive's reader puts words around it that say less than that the disk is full.
fn innermost(error: &io::Error) -> io::Error {
    let mut reason: &dyn Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    io::Error::new(error.kind(), reason.to_string())
}

/// Unpacks the plain files of an archive, and nothing outside of the folder.
fn unpack(source: &Path, folder: &Path) -> Result<(), BackupError> {
    make_folder(folder)?;
    let file = File::open(source).map_err(failed("read", source))?;
    let length = file.metadata().map_err(failed("read", source))?.len();
    let unpacked = || -> io::Result<()> {
        let mut archive = tar::Archive::new(file);
        archive.set_preserve_permissions(false);
        for (number, entry) in archive.entries()?.enumerate() {
            let mut entry = entry?;
            // Said here: the archive's reader calls it a file that cannot be written.
            if entry.raw_file_position().saturating_add(entry.size()) > length {
                return Err(io::Error::other("it ends in the middle; look for a whole copy"));
            }
            let is_plain = matches!(
                entry.header().entry_type(),
                tar::EntryType::Regular | tar::EntryType::Directory
            );
            if number >= ENTRIES_MAX || !is_plain || !entry.unpack_in(folder)? {
                return Err(io::Error::other("it holds something that no backup holds"));
            }
        }
        Ok(())
    };
    unpacked().map_err(|error| failed("unpack", source)(innermost(&error)))
}

/// Copies what the manifest names, and checks it.
fn take(source: &Path, part: &Path) -> Result<Manifest, BackupError> {
    let strange = |what: String| BackupError::Strange { path: source.to_owned(), what };
    let path = source.join(manifest::FILE);
    let text = fs::read_to_string(&path).map_err(failed("read", &path))?;
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|error| strange(error.to_string()))?;
    if manifest.layout != LAYOUT {
        return Err(strange(format!("layout {}, not {LAYOUT}", manifest.layout)));
    }
    if !manifest.files.contains_key(DATABASE_FILE) {
        return Err(strange(format!("it lacks {DATABASE_FILE}")));
    }
    make_folder(part)?;
    for (name, expected) in &manifest.files {
        let is_known = super::backup::DATABASES
            .into_iter()
            .chain(super::backup::FILES)
            .any(|known| known == name);
        if !is_known {
            return Err(strange(format!("it holds {name:?}")));
        }
        if name.starts_with(LEFT_OUT) {
            continue;
        }
        let (from, to) = (source.join(name), part.join(name));
        if let Some(folder) = to.parent() {
            make_folder(folder)?;
        }
        copy_file(&from, &to)?;
        let found = manifest::digest(&to).map_err(failed("read", &to))?;
        if found != *expected {
            return Err(strange(format!("{name} is not what was written (SHA-256 {found})")));
        }
    }
    check_database(&part.join(DATABASE_FILE))?;
    sync_folder(part)?;
    Ok(manifest)
}

fn put(part: &Path, data: &Path, manifest: Manifest) -> Result<Restored, BackupError> {
    let mut replaced = None;
    if data.exists() {
        // Held while the folder changes its name: no server starts on what is about to go.
        let lock = FolderLock::take(Kind::Data, data)?;
        let time = jiff::Timestamp::now().as_second();
        // Two of one second have names of their own.
        let names = (0..u64::MAX).map(|number| match number {
            0 => beside(data, &format!(".before-restore-{time}")),
            _ => beside(data, &format!(".before-restore-{time}-{number}")),
        });
        let mut free = names.filter(|name| !name.exists());
        let old = free.next().unwrap_or_else(|| beside(data, ".before-restore"));
        fs::rename(data, &old).map_err(failed("rename", data))?;
        drop(lock);
        replaced = Some(old);
    }
    fs::rename(part, data).map_err(failed("rename", part))?;
    Ok(Restored { replaced, manifest })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a file that is no backup is called that, and an archive that ends early is told apart from a disk
    /// that is full.
    #[test]
    fn what_is_wrong_with_an_archive_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let [text, whole, short] =
            ["notes.txt", "whole.tar", "short.tar"].map(|n| folder.path().join(n));
        fs::write(&text, "x").unwrap();
        let data = folder.path().join("data");
        let error = restore(&text, &data).unwrap_err().to_string();
        assert!(error.contains("neither a folder nor an archive"), "{error}");
        let mut archive = tar::Builder::new(File::create(&whole).unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_size(100_000);
        header.set_cksum();
        archive.append_data(&mut header, DATABASE_FILE, vec![7; 100_000].as_slice()).unwrap();
        archive.into_inner().unwrap();
        let bytes = fs::read(&whole).unwrap();
        fs::write(&short, &bytes[..50_000]).unwrap();
        let error = restore(&short, &data).unwrap_err().to_string();
        assert!(error.contains("ends in the middle"), "{error}");
        assert!(!data.exists());
    }
}
